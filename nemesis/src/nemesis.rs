//! The nemesis at work: one actor per class of fault, each injection written down, leased, proven, undone and proven
//! to be gone.
//!
//! The order of an injection is fixed: choose (purely, from a recorded view), prepare the undo, write it to the ledger,
//! leave the lease on the nodes, harm, look. Whatever goes wrong after the ledger is healed at once.
//!
//! A test hook: the variable `SCHISM_DIE_AT` names a point of that order ([`DIE_POINTS`]), where this process kills itself by
//! SIGKILL; `POINT:CLASS` only for a class. With it, tests prove that the nodes heal whenever a controller dies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use schism_cluster::{Cluster, Db, GroundLease};
use schism_generators::Invocation;
use schism_history::{F, Node, Value};
use serde_json::{Map, Value as Json, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::beat::Beats;
use crate::claim::Claim;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::heal::{heal_all_as, undo_with_retries};
use crate::intention::Intention;
use crate::lease::{LeaseInfo, Leases};
use crate::ledger::{Ender, Entry, Ledger, SCHEMA_VERSION, State, unix_ms};
use crate::schedule::OpenFaults;
use crate::tag::RunTag;
use crate::target::View;

/// How often a heal is repeated when the harm is still seen.
const HEAL_ROUNDS: u32 = 2;
/// How long the database may take to say who leads.
const PRIMARIES_WITHIN: Duration = Duration::from_secs(3);
/// How long the last heal waits for an injection that is under way.
const SLOT_WITHIN: Duration = Duration::from_secs(30);

/// What does not change during a run.
#[derive(Debug, Clone)]
pub struct NemesisOptions {
    /// The tag of the run.
    pub tag: RunTag,
    /// For how long the controller must be silent before the nodes heal themselves; whole seconds, at least 2.
    pub lease: Duration,
    /// Where leases live on the nodes.
    pub leases: Leases,
}

impl NemesisOptions {
    /// With a lease of 30 s, and leases in their usual folder.
    pub fn new(tag: RunTag) -> NemesisOptions {
        NemesisOptions { tag, lease: Duration::from_secs(30), leases: Leases::default() }
    }

    /// The lease in whole seconds.
    pub fn lease_s(&self) -> u64 {
        let more = u64::from(self.lease.subsec_nanos() > 0);
        self.lease.as_secs().saturating_add(more).max(LEASE_S_MIN)
    }
}

/// The shortest lease, in seconds: a sign of life comes twice a second at most.
pub const LEASE_S_MIN: u64 = 2;

/// Points at which [`Nemesis`] dies when it is told to (see the module).
pub const DIE_POINTS: &[&str] =
    &["after-ledger", "after-arm", "after-inject", "after-verify", "during-heal", "after-undo"];

/// Dies here if `SCHISM_DIE_AT` says so.
fn die_at(point: &str, class: &str) {
    let Ok(wanted) = std::env::var("SCHISM_DIE_AT") else { return };
    let (wanted_point, wanted_class) = wanted.split_once(':').unwrap_or((&wanted, class));
    if wanted_point == point && wanted_class == class {
        // Nothing of this process may get a chance to tidy up; `abort` is for systems without `kill`.
        let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}

/// The answer to an operation of the nemesis.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Of an injection `{"label", "nodes", "grudge" | "processes" and "target", "view", "evidence": {"proven",
    /// "measured"}}`, of a heal `{"evidence": {...}}`.
    pub value: Value,
    /// `["word", "text"]` when something failed.
    pub error: Option<Value>,
}

/// A fault that is on, or may be.
struct Open {
    fault: Box<dyn Fault>,
    entry: Entry,
}

/// What a class has.
#[derive(Default)]
enum Slot {
    /// Nothing.
    #[default]
    Idle,
    /// A fault that may be on.
    On(Open),
    /// A fault whose injection failed and that was healed at once: its heal is asked for later and answered with this.
    Healed(Evidence),
}

/// The nemesis of a run.
pub struct Nemesis {
    cluster: Cluster,
    db: Arc<dyn Db>,
    ledger: Ledger,
    options: NemesisOptions,
    slots: BTreeMap<String, Mutex<Slot>>,
    open: Arc<OpenFaults>,
    halted: AtomicBool,
    beats: std::sync::Mutex<Option<Beats>>,
}

/// Does the operations of one class.
#[derive(Clone)]
pub struct Actor {
    nemesis: Arc<Nemesis>,
    class: Arc<str>,
}

impl Nemesis {
    /// The nemesis of these classes. Nothing is touched before the first injection.
    pub fn new(
        cluster: Cluster,
        db: Arc<dyn Db>,
        ledger: Ledger,
        options: NemesisOptions,
        classes: &[&str],
    ) -> Arc<Nemesis> {
        let slots = classes.iter().map(|class| ((*class).to_owned(), Mutex::default())).collect();
        let (open, halted, beats) = (Arc::default(), AtomicBool::new(false), std::sync::Mutex::new(None));
        Arc::new(Nemesis { cluster, db, ledger, options, slots, open, halted, beats })
    }

    /// Begins to give signs of life, on all nodes and to the ground: without them, faults last as long as a lease. Nothing is
    /// injected any more once another controller took the claim. Must be called within a runtime; ends with
    /// [`Nemesis::rest`], or with the nemesis.
    pub fn keep_alive(self: &Arc<Nemesis>, claim: Option<&Claim>) {
        let me = Arc::downgrade(self);
        let on_lost = move |who: &str| {
            tracing::error!("{who}: nothing is harmed any more");
            if let Some(nemesis) = me.upgrade() {
                nemesis.halted.store(true, Ordering::SeqCst);
            }
        };
        let NemesisOptions { tag, lease, leases } = &self.options;
        let beats = Beats::start(&self.cluster, leases, tag, *lease, claim, on_lost);
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) = Some(beats);
    }

    /// Ends the signs of life, when everything is healed. Answers a line of trouble if another controller had taken the
    /// cluster meanwhile.
    pub async fn rest(&self) -> Option<String> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let lost = beats.lost();
        beats.end().await;
        lost.map(|who| format!("{who} during this run: its faults were stopped, and its evidence may be disturbed"))
    }

    /// Its classes.
    pub fn classes(&self) -> Vec<String> {
        self.slots.keys().cloned().collect()
    }

    /// Which classes have a fault on now, for progress and for [`crate::FinalHeal`].
    pub fn open_faults(&self) -> Arc<OpenFaults> {
        Arc::clone(&self.open)
    }

    /// The actor of a class, if it is one of its classes.
    pub fn actor(self: &Arc<Nemesis>, class: &str) -> Option<Actor> {
        self.slots.contains_key(class).then(|| Actor { nemesis: Arc::clone(self), class: Arc::from(class) })
    }

    /// Undoes everything that is on, with retries, and lets nothing be injected any more. Waits for an injection that
    /// is under way. Answers lines of trouble, none if all is healed.
    pub async fn heal_everything(&self) -> Vec<String> {
        self.halted.store(true, Ordering::SeqCst);
        let mut trouble = Vec::new();
        for (class, slot) in &self.slots {
            let Ok(mut slot) = tokio::time::timeout(SLOT_WITHIN, slot.lock()).await else {
                trouble.push(format!("{class}: an operation of the nemesis is still under way; healing without it"));
                continue;
            };
            if let Slot::On(open) = &*slot {
                let (evidence, error) = self.heal_open(open).await;
                match error {
                    None => self.close(class, &mut slot, Slot::Healed(evidence)),
                    Some(error) => trouble.push(format!("{class}: {error}")),
                }
            }
        }
        match heal_all_as(Ender::Controller, self.ledger.path(), &self.cluster, &self.options.leases).await {
            Ok(report) => trouble.extend(report.trouble()),
            Err(error) => trouble.push(error.to_string()),
        }
        trouble
    }

    fn close(&self, class: &str, slot: &mut MutexGuard<'_, Slot>, next: Slot) {
        **slot = next;
        self.open.close(class);
    }

    async fn view(&self) -> View {
        let primaries = match self.db.primaries() {
            Some(ability) => {
                tokio::time::timeout(PRIMARIES_WITHIN, ability.primaries(&self.cluster)).await.unwrap_or_default()
            }
            None => Vec::new(),
        };
        let roles = match self.db.roles() {
            Some(ability) => {
                tokio::time::timeout(PRIMARIES_WITHIN, ability.roles(&self.cluster)).await.unwrap_or_default()
            }
            None => BTreeMap::new(),
        };
        View { nodes: self.cluster.names(), primaries, roles }
    }

    async fn inject(&self, class: &str, slot: &mut MutexGuard<'_, Slot>, value: &Value, fault_id: u32) -> Answer {
        let mut told = Map::new();
        let done = self.try_inject(class, slot, value, fault_id, &mut told).await;
        let (evidence, error) = match done {
            Ok(evidence) => (evidence, None),
            Err(error) => {
                let mut texts = vec![error.to_string()];
                let healed = match &**slot {
                    Slot::On(open) => Some(self.heal_open(open).await),
                    _ => None,
                };
                match healed {
                    Some((evidence, None)) => self.close(class, slot, Slot::Healed(evidence)),
                    Some((_, Some(trouble))) => texts.push(trouble),
                    None => self.close(class, slot, Slot::Healed(unharmed("nothing was injected"))),
                }
                (unseen("the injection failed"), Some(failure(error.word(), &texts)))
            }
        };
        told.entry("nodes").or_insert_with(|| json!([]));
        told.insert(
            "evidence".to_owned(),
            json!({ "proven": error.is_none() && evidence.proven, "measured": evidence.measured }),
        );
        Answer { value: Value::from_json(&Json::Object(told)), error }
    }

    /// The way of an injection; what it learns it tells as it goes, so that a failure tells it too.
    async fn try_inject(
        &self,
        class: &str,
        slot: &mut MutexGuard<'_, Slot>,
        value: &Value,
        fault_id: u32,
        told: &mut Map<String, Json>,
    ) -> Result<Evidence, FaultError> {
        let refused = |reason: String| FaultError::Intention { class: class.to_owned(), reason };
        if self.halted.load(Ordering::SeqCst) {
            return Err(refused("the nemesis was halted".to_owned()));
        }
        if let Slot::On(open) = &**slot {
            return Err(refused(format!("fault {} ({}) is not healed", open.entry.fault_id, open.entry.label)));
        }
        let intention = Intention::from_value(class, value)?;
        told.insert("label".to_owned(), json!(format!("{class}: {}", intention.label())));
        // Asked also where the choice does not depend on it: the report tells which roles were hit.
        let view = self.view().await;
        if !view.primaries.is_empty() || !view.roles.is_empty() || intention.needs_primaries() {
            let mut seen = json!({ "primaries": view.primaries });
            if !view.roles.is_empty() {
                seen["roles"] = json!(view.roles);
            }
            told.insert("view".to_owned(), seen);
        }
        let mut fault = intention.decide(&view, &self.options.tag, fault_id)?;
        told.insert("label".to_owned(), json!(fault.label()));
        let undo = fault.prepare(&self.cluster, &*self.db).await?;
        told.extend(fault.details());
        told.insert("nodes".to_owned(), json!(fault.nodes()));
        told.insert("label".to_owned(), json!(fault.label()));
        let entry = Entry {
            schema_version: SCHEMA_VERSION,
            run_tag: self.options.tag.clone(),
            fault_id,
            class: class.to_owned(),
            label: fault.label(),
            nodes: fault.nodes(),
            state: State::Planned,
            undo,
            time_unix_ms: unix_ms(),
            later: None,
        };
        self.ledger.append_async(entry.clone()).await?;
        **slot = Slot::On(Open { fault, entry });
        self.open.open(class, fault_id);
        let Slot::On(Open { fault, entry }) = &**slot else { return Err(refused("its slot is taken".to_owned())) };
        die_at("after-ledger", class);
        let lease_s = self.options.lease_s();
        let info = LeaseInfo { class: class.to_owned(), label: entry.label.clone(), lease_s };
        let lease = self.options.tag.lease(fault_id);
        self.options.leases.arm(&self.cluster, &lease, &info, &entry.undo).await?;
        let on_ground = |undo: &Undo| match undo {
            Undo::OnGround { action } => Some(action.clone()),
            _ => None,
        };
        let undo: Vec<_> = entry.undo.iter().filter_map(on_ground).collect();
        if !undo.is_empty() {
            let (name, class, label, lease_s) = (lease.clone(), info.class.clone(), info.label.clone(), info.lease_s);
            self.cluster.ground.arm(&GroundLease { name, class, label, lease_s, undo }).await?;
        }
        die_at("after-arm", class);
        let leased = self.options.leases.guarding(&self.cluster, &lease, &entry.undo);
        fault.inject(&leased, &*self.db).await?;
        die_at("after-inject", class);
        if let Err(error) = self.ledger.append_async(entry.now(State::Injected)).await {
            // The undo is on disk already; only the progress is not.
            tracing::warn!(%error, fault_id, "the ledger does not say that the fault is injected");
        }
        let evidence = fault.verify_injected(&self.cluster, &*self.db).await;
        die_at("after-verify", class);
        evidence
    }

    async fn heal(&self, class: &str, slot: &mut MutexGuard<'_, Slot>) -> Answer {
        let (evidence, error) = match &**slot {
            Slot::On(open) => self.heal_open(open).await,
            Slot::Healed(evidence) => (evidence.clone(), None),
            Slot::Idle => (unharmed("no fault of this class was on"), None),
        };
        if error.is_none() {
            self.close(class, slot, Slot::Idle);
        }
        let value = json!({ "evidence": evidence });
        Answer { value: Value::from_json(&value), error: error.map(|text| failure("heal", &[text])) }
    }

    /// Undoes a fault and looks whether it is gone; the text says what is not.
    async fn heal_open(&self, open: &Open) -> (Evidence, Option<String>) {
        let Open { fault, entry } = open;
        let lease = self.options.tag.lease(entry.fault_id);
        self.note(entry.now(State::Healing)).await;
        if std::env::var_os("SCHISM_DIE_AT").is_some() {
            let class = entry.class.clone();
            // In the midst of it.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                die_at("during-heal", &class);
            });
        }
        let mut round = 1;
        let mut expired = std::collections::BTreeSet::new();
        let (mut evidence, trouble) = loop {
            let undone = undo_with_retries(&self.cluster, &self.options.leases, &lease, &entry.undo).await;
            die_at("after-undo", &entry.class);
            expired.extend(undone.expired);
            let seen = fault.verify_healed(&self.cluster, &*self.db).await;
            let failed = undone.failed.into_iter();
            let undone = failed.map(|(node, reason)| format!("the undo on {node} failed: {reason}"));
            let mut trouble: Vec<String> = undone.collect();
            let evidence = match seen {
                Ok(evidence) => evidence,
                Err(error) => unseen(&error.to_string()),
            };
            if !evidence.proven {
                trouble.push(format!("the harm is not seen to be gone: {}", wrong(&evidence)));
            }
            if trouble.is_empty() || round >= HEAL_ROUNDS {
                break (evidence, trouble);
            }
            round += 1;
        };
        if !expired.is_empty() && evidence.measured.is_object() {
            evidence.measured["healed_by_its_lease_before"] = json!(expired);
        }
        self.note(entry.now(if trouble.is_empty() { State::Healed } else { State::Failed })).await;
        let text = format!("fault {} ({}) is not healed: {}", entry.fault_id, entry.label, trouble.join("; "));
        (evidence, (!trouble.is_empty()).then_some(text))
    }

    /// Writes progress to the ledger. That it cannot be written stops no healing: what is missing is healed once more.
    async fn note(&self, entry: Entry) {
        let (fault_id, state) = (entry.fault_id, entry.state);
        if let Err(error) = self.ledger.append_async(entry).await {
            tracing::warn!(%error, fault_id, ?state, "the ledger does not say how far the fault is");
        }
    }
}

impl Actor {
    /// Its class.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Does an operation: `inject` with an [`Intention`], or `heal`. Never fails as a call: trouble is in the answer.
    pub async fn invoke(&self, invocation: &Invocation, fault_id: u32) -> Answer {
        let unknown = |text: String| Answer { value: Value::Nil, error: Some(failure("intention", &[text])) };
        let Some(slot) = self.nemesis.slots.get(&*self.class) else {
            return unknown(format!("the nemesis has no class `{}`", self.class));
        };
        let mut slot = slot.lock().await;
        match &invocation.f {
            F::Inject => self.nemesis.inject(&self.class, &mut slot, &invocation.value, fault_id).await,
            F::Heal => self.nemesis.heal(&self.class, &mut slot).await,
            other => unknown(format!("the nemesis knows `inject` and `heal`, not `{other}`")),
        }
    }

    /// Nodes that its open fault harms, if there is one and nothing is under way.
    pub fn nodes(&self) -> Vec<Node> {
        let slot = self.nemesis.slots.get(&*self.class).and_then(|slot| slot.try_lock().ok());
        match slot.as_deref() {
            Some(Slot::On(open)) => open.fault.nodes(),
            _ => Vec::new(),
        }
    }
}

/// Evidence of an injection or a heal of which nothing was seen.
fn unseen(reason: &str) -> Evidence {
    Evidence { proven: false, measured: json!({ "unseen": reason }) }
}

/// Evidence of a heal where nothing was harmed.
fn unharmed(reason: &str) -> Evidence {
    Evidence { proven: true, measured: json!({ "unharmed": reason }) }
}

fn wrong(evidence: &Evidence) -> String {
    let measured = &evidence.measured;
    let told = ["leftover", "wrong", "unseen"].iter().filter_map(|name| measured.get(name)).next();
    told.unwrap_or(measured).to_string()
}

fn failure(word: &str, texts: &[String]) -> Value {
    Value::list(vec![Value::str(word), Value::str(&texts.join("; "))])
}
