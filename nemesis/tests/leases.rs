//! Leases, signs of life and claims with real shells on this machine.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schism_cluster::{Cluster, Command, Output};
use schism_history::Node;
use schism_nemesis::{Beats, Claim, ClaimError, LeaseInfo, Leases, RunTag, Undo, claim, scripts};
use support::local_cluster;

/// One node with folders of its own. Its leases end with it.
struct Bench {
    folder: tempfile::TempDir,
    cluster: Cluster,
    leases: Leases,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What waits sees that its lease is gone, and ends.
        let _ = std::fs::remove_dir_all(self.folder.path().join("leases"));
    }
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("the set-up of a test");
        let leases = Leases::within(&folder.path().join("leases").display().to_string()).of_controller("here:1:2");
        Bench { folder, cluster: local_cluster(1), leases }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An undo that leaves a file behind.
    fn undo(&self, name: &str) -> Vec<Undo> {
        let script = format!("echo done >>{}\n", self.path(name).display());
        vec![Undo::OnNode { node: Node::new("n1"), script }]
    }

    async fn arm(&self, name: &str, lease_s: u64, undo: &[Undo]) {
        let info = LeaseInfo { class: "kill".to_owned(), label: "kill: n1".to_owned(), lease_s };
        self.leases.arm(&self.cluster, name, &info, undo).await.expect("the lease is armed");
    }

    async fn run(&self, script: String) -> String {
        self.cluster.nodes[0].remote.run(&Command::new(script)).await.expect("it works").text()
    }

    /// Runs what a controller runs to heal, with this on standard input.
    async fn heal(&self, name: &str, stdin: &str) -> Output {
        let script = scripts::heal(self.leases.places(), name, true);
        self.cluster.nodes[0].remote.output(&Command::new(script).stdin(stdin)).await.expect("it ends")
    }

    /// Numbers of the watchers of this bench.
    fn watchers(&self) -> Vec<i32> {
        let folder = self.folder.path().display().to_string();
        let words = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let ours = |pid: &i32| {
            let words = String::from_utf8_lossy(&words(pid)).into_owned();
            words.contains("schism-lease") && words.contains(&folder)
        };
        let entries = std::fs::read_dir("/proc").expect("proc").flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(ours).collect()
    }

    /// The one that waits. Seen twice: who starts it is called alike, and one that is just becoming another program has no name.
    async fn watcher(&self) -> nix::unistd::Pid {
        let begun = Instant::now();
        let mut before = None;
        loop {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing waits");
            let now = match self.watchers()[..] {
                [one] => Some(one),
                _ => None,
            };
            match now {
                Some(one) if now == before => return nix::unistd::Pid::from_raw(one),
                _ => before = now,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn until(what: &str, within: Duration, is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_signs_of_life_come_and_ends_soon_after() {
    let bench = Bench::new();
    // Several signs of life fit into it, as some come late on a busy machine.
    bench.arm("t-1", 6, &bench.undo("undone")).await;
    let (tag, lease) = (RunTag::new("t"), Duration::from_secs(6));
    let beats = Beats::start(&bench.cluster, &bench.leases, &tag, lease, None, |_| {});
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!bench.path("undone").exists(), "it is renewed");
    let (found, errors) = bench.leases.list(&bench.cluster).await;
    assert!(errors.is_empty() && found.len() == 1 && found[0].run_tag() == "t", "{found:?}");
    assert!(found[0].left_s.is_some_and(|left_s| (-1..=6).contains(&left_s)), "{found:?}");
    assert_eq!((found[0].restarts_by.is_some(), found[0].controller.as_deref()), (true, Some("here:1:2")));
    beats.end().await;
    let after = until("the lease runs out", Duration::from_secs(30), || bench.path("undone").exists()).await;
    assert!(after > Duration::from_millis(900), "not before its time: {after:?}");
    until("nothing waits any more", Duration::from_secs(20), || bench.watchers().is_empty()).await;
    let left = [files(&bench.path("leases")), files(&bench.path("leases.boot"))].concat();
    assert_eq!(left, Vec::<String>::new(), "the last lease takes all with it");
    // Who heals later is told that the node was first.
    assert_eq!(bench.heal("t-1-n1", &scripts::whole("true")).await.text(), "expired");
}

#[tokio::test]
async fn the_ledger_learns_which_nodes_had_healed_themselves() {
    use schism_nemesis::ledger::{Ender, Entry, Later, State, read};
    let bench = Bench::new();
    let undo = bench.undo("undone");
    let ledger = bench.path("faults.jsonl");
    let planned = Entry {
        schema_version: 1,
        run_tag: RunTag::new("t"),
        fault_id: 1,
        class: "kill".to_owned(),
        label: "kill: n1".to_owned(),
        nodes: vec![Node::new("n1")],
        state: State::Injected,
        undo: undo.clone(),
        time_unix_ms: 7,
        later: None,
    };
    let open = schism_nemesis::Ledger::open(&ledger).expect("a ledger");
    open.append(&planned).expect("a line");
    open.append(&Entry { fault_id: 2, ..planned.clone() }).expect("a line");
    // The controller dies: nobody renews this lease. Of the other fault there is none.
    bench.arm("t-1", 1, &undo).await;
    until("nothing waits any more", Duration::from_secs(30), || !bench.path("leases").exists()).await;
    let report = schism_nemesis::heal_all(&ledger, &bench.cluster, &bench.leases).await.expect("a report");
    assert_eq!(report.trouble(), Vec::<String>::new());
    let lines = read(&ledger).expect("a ledger").entries;
    let later = |nodes: &[&str]| Later {
        by: Ender::Heal,
        healed_themselves: nodes.iter().map(|name| Node::new(name)).collect(),
        errors: Vec::new(),
    };
    let ends: Vec<_> = lines[2..].iter().map(|line| (line.fault_id, line.state, line.later.clone())).collect();
    assert_eq!(ends, [(2, State::Healed, Some(later(&[]))), (1, State::Healed, Some(later(&["n1"])))]);
    assert_eq!(schism_nemesis::ended_with_lab(&ledger).expect("a ledger"), 0, "nothing is open");
    open.append(&Entry { fault_id: 3, ..planned }).expect("a line");
    assert_eq!(schism_nemesis::ended_with_lab(&ledger).expect("a ledger"), 1);
    assert_eq!(read(&ledger).expect("a ledger").entries[5].later.as_ref().map(|later| later.by), Some(Ender::LabGone));
}

#[tokio::test]
async fn another_run_renews_nothing_and_an_undo_that_fails_is_tried_again() {
    let bench = Bench::new();
    let gate = bench.path("gate");
    let script = format!("[ -e {} ] && echo done >{}\n", gate.display(), bench.path("undone").display());
    bench.arm("t-1", 2, &[Undo::OnNode { node: Node::new("n1"), script }]).await;
    let (other, lease) = (RunTag::new("other"), Duration::from_secs(2));
    let beats = Beats::start(&bench.cluster, &bench.leases, &other, lease, None, |_| {});
    let tried = bench.path("leases/t-1-n1.out");
    until("the undo is tried", Duration::from_secs(30), || tried.exists()).await;
    std::fs::write(&gate, "").expect("a file");
    until("it is tried again", Duration::from_secs(30), || bench.path("undone").exists()).await;
    beats.end().await;
}

#[tokio::test]
async fn a_machine_that_was_frozen_does_not_take_that_for_silence() {
    use nix::sys::signal::{Signal, kill};
    let bench = Bench::new();
    // It takes 4 s of any sleep for silence at most: shorter than the lease, which is shorter than the sleep.
    bench.arm("t-1", 8, &bench.undo("undone")).await;
    let pid = bench.watcher().await;
    // The first tick is seen, so that it waits.
    tokio::time::sleep(Duration::from_millis(500)).await;
    kill(pid, Signal::SIGSTOP).expect("stopped");
    tokio::time::sleep(Duration::from_secs(10)).await;
    kill(pid, Signal::SIGCONT).expect("goes on");
    let (tag, lease) = (RunTag::new("t"), Duration::from_secs(8));
    let beats = Beats::start(&bench.cluster, &bench.leases, &tag, lease, None, |_| {});
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!bench.path("undone").exists(), "the controller has its say first");
    beats.end().await;
}

#[tokio::test]
async fn a_restart_of_the_node_goes_on_with_its_leases() {
    let bench = Bench::new();
    bench.arm("t-1", 6, &bench.undo("undone")).await;
    // A restart ends everything that runs and empties /run.
    let pid = bench.watcher().await;
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
    until("it is gone", Duration::from_secs(20), || bench.watchers().is_empty()).await;
    std::fs::remove_dir_all(bench.path("leases.run")).expect("removed");
    let (found, _) = bench.leases.list(&bench.cluster).await;
    assert_eq!((found.len(), found[0].left_s), (1, None), "nothing waits, and that is told");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!bench.path("undone").exists());
    bench.run(bench.path("leases.boot/schism-leases").display().to_string()).await;
    until("the lease runs out", Duration::from_secs(30), || bench.path("undone").exists()).await;
}

#[tokio::test]
async fn the_lock_of_a_heal_is_void_when_its_process_is_gone() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("leases.run")).expect("a folder");
    let lock = bench.path("leases.run/t-1-n1.lock");
    let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
    let start_ticks = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)).expect("a number").to_owned()
    };
    let pid = sleeper.id();
    // Another process has that number now: the one that is named is gone.
    for gone in [format!("{pid} 1"), "garbage".to_owned()] {
        std::fs::write(&lock, format!("{gone}\n")).expect("a file");
        bench.arm("t-1", 60, &bench.undo("undone")).await;
        let begun = Instant::now();
        let healed = bench.heal("t-1-n1", &scripts::whole("true")).await;
        assert!(healed.status == 0 && begun.elapsed() < Duration::from_secs(15), "{gone}: {:?}", begun.elapsed());
        assert!(!bench.path("leases/t-1-n1.undo").exists() && !lock.exists(), "{gone}");
    }
    // One that lives is waited for, until it dies.
    std::fs::write(&lock, format!("{pid} {}\n", start_ticks(pid))).expect("a file");
    let begun = Instant::now();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_500));
        sleeper.kill().and_then(|()| sleeper.wait()).expect("it ends");
    });
    assert_eq!(bench.heal("t-1-n1", &scripts::whole("true")).await.status, 0);
    let waited = begun.elapsed();
    killer.join().expect("it ends");
    assert!((1_400..15_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(files(&bench.path("leases.run")).iter().filter(|name| name.contains("lock")).count(), 0);
}

#[tokio::test]
async fn an_undo_that_was_cut_off_is_neither_run_nor_taken_for_done() {
    let bench = Bench::new();
    bench.arm("t-1", 60, &bench.undo("undone")).await;
    let whole = scripts::whole(&format!("echo half >>{0}\necho whole >>{0}", bench.path("undone").display()));
    for length in [0, 1, whole.len() / 2, whole.len() - 2] {
        let healed = bench.heal("t-1-n1", &whole[..length]).await;
        assert_ne!(healed.status, 0, "{length} of {} bytes", whole.len());
        assert!(bench.path("leases/t-1-n1.undo").exists() && !bench.path("undone").exists(), "{length}");
    }
    assert_eq!(bench.heal("t-1-n1", &whole).await.status, 0);
    assert_eq!(std::fs::read_to_string(bench.path("undone")).expect("it is run"), "half\nwhole\n");
    // Nor does a lease stand on it.
    let script = scripts::lease_arm(bench.leases.places(), "t-2-n1", 60, "-", "{}");
    for length in [0, whole.len() / 2] {
        let command = Command::new(&script).stdin(&whole[..length]);
        assert_ne!(bench.cluster.nodes[0].remote.output(&command).await.expect("it ends").status, 0, "{length}");
        assert_eq!(bench.leases.list(&bench.cluster).await.0, []);
    }
}

#[tokio::test]
async fn what_comes_after_the_end_of_its_lease_harms_no_more() {
    let bench = Bench::new();
    let undo = bench.undo("undone");
    bench.arm("t-1", 6, &undo).await;
    let leased = bench.leases.guarding(&bench.cluster, "t-1", &undo);
    let harm = Command::new(format!("echo harm >>{}", bench.path("harmed").display()));
    leased.nodes[0].remote.run(&harm).await.expect("the lease stands");
    until("the lease runs out", Duration::from_secs(30), || !bench.path("leases/t-1-n1.undo").exists()).await;
    let error = leased.nodes[0].remote.run(&harm).await.expect_err("it came too late").to_string();
    assert!(error.contains("the lease of this fault has run out"), "{error}");
    assert_eq!(std::fs::read_to_string(bench.path("harmed")).expect("it was done once"), "harm\n");
    // Where a fault has no lease, nothing is asked.
    let free = bench.leases.guarding(&bench.cluster, "t-1", &[Undo::Irreversible { reason: "none".to_owned() }]);
    free.nodes[0].remote.run(&harm).await.expect("it has none");
}

/// Harm that takes long: it writes a line every 50 ms, in a process that hears no SIGTERM; what it leaves behind writes too.
fn slow_harm(bench: &Bench) -> Command {
    let [harm, behind, told] = ["harm", "behind", "told"].map(|name| bench.path(name).display().to_string());
    let lines = |to: &str| format!("i=0; while [ $i -lt 400 ]; do echo $i >>{to}; sleep 0.05; i=$((i + 1)); done");
    Command::new(format!(
        "setsid sh -c '{}' </dev/null >/dev/null 2>&1 &\n\
         trap 'echo ended >>{told}; exit 3' TERM\n\
         sh -c 'trap \"\" TERM; {}'\n",
        lines(&behind),
        lines(&harm)
    ))
}

/// What became of it: whether it was seen by the undo, is not done any more after that, and what the shell said.
async fn assert_ended_before_its_undo(bench: &Bench, undone: &Path) {
    let count = |path: &Path| std::fs::read_to_string(path).expect("a file").lines().count();
    let (then, behind) = (count(undone), count(&bench.path("behind")));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(count(&bench.path("harm")), then, "harm after its undo");
    assert!(then > 5, "there was harm: {then}");
    assert!(count(&bench.path("behind")) > behind, "what was left behind on purpose is for the undo alone");
    let left = files(&bench.path("leases.run"));
    assert!(!left.iter().any(|name| name.contains(".work.") || name.contains(".ending")), "{left:?}");
    let sessions = std::fs::read_dir("/proc").expect("proc").flatten().filter_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&words).contains(&*bench.path("behind").to_string_lossy());
        ours.then(|| entry.file_name().to_str()?.parse::<i32>().ok()).flatten()
    });
    for pid in sessions {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// An undo that keeps what harm there is when it is run.
fn keeping(bench: &Bench) -> Vec<Undo> {
    let (harm, undone) = (bench.path("harm"), bench.path("undone"));
    let script = format!("cp {} {}\n", harm.display(), undone.display());
    vec![Undo::OnNode { node: Node::new("n1"), script }]
}

#[tokio::test]
async fn what_is_still_at_work_when_its_lease_runs_out_is_ended_before_the_undo() {
    let bench = Bench::new();
    let undo = keeping(&bench);
    bench.arm("t-1", 6, &undo).await;
    let leased = bench.leases.guarding(&bench.cluster, "t-1", &undo);
    let begun = Instant::now();
    leased.nodes[0].remote.run(&slow_harm(&bench)).await.expect_err("it is ended");
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
    until("it is undone", Duration::from_secs(20), || !bench.path("leases/t-1-n1.undo").exists()).await;
    assert_ended_before_its_undo(&bench, &bench.path("undone")).await;
}

#[tokio::test]
async fn who_heals_ends_what_is_still_at_work() {
    for of_the_lease in [false, true] {
        let bench = Bench::new();
        let undo = keeping(&bench);
        bench.arm("t-1", 60, &undo).await;
        let leased = bench.leases.guarding(&bench.cluster, "t-1", &undo);
        // Its controller gave it up; it goes on all the same.
        let remote = std::sync::Arc::clone(&leased.nodes[0].remote);
        let harm = slow_harm(&bench);
        let work = tokio::spawn(async move { remote.output(&harm).await });
        until("it is at work", Duration::from_secs(20), || bench.path("harm").exists()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if of_the_lease {
            assert_eq!(bench.leases.heal(&bench.cluster).await.failed, []);
        } else {
            for (_, answer) in bench.leases.undo(&bench.cluster, "t-1", &undo).await {
                answer.expect("it is undone");
            }
        }
        assert_ended_before_its_undo(&bench, &bench.path("undone")).await;
        assert_ne!(work.await.expect("no panic").expect("it ends").status, 0);
    }
}

#[tokio::test]
async fn what_would_begin_when_the_undo_has_begun_does_not() {
    let bench = Bench::new();
    // An undo that takes its time, in the midst of which a late injection comes.
    let script = format!("echo begun >>{}\nsleep 5\n", bench.path("undone").display());
    let undo = vec![Undo::OnNode { node: Node::new("n1"), script }];
    bench.arm("t-1", 60, &undo).await;
    let leased = bench.leases.guarding(&bench.cluster, "t-1", &undo);
    let healing = async { bench.leases.undo(&bench.cluster, "t-1", &undo).await };
    let late = async {
        until("the undo has begun", Duration::from_secs(20), || bench.path("undone").exists()).await;
        assert!(bench.path("leases/t-1-n1.undo").exists(), "its lease is still there");
        leased.nodes[0].remote.run(&Command::new("echo harm")).await
    };
    let (healed, late) = tokio::join!(healing, late);
    assert!(healed.iter().all(|(_, answer)| answer.is_ok()), "{healed:?}");
    let error = late.expect_err("it came too late").to_string();
    assert!(error.contains("the lease of this fault has run out"), "{error}");
    assert_eq!(files(&bench.path("leases.run")).iter().filter(|name| name.contains(".work.")).count(), 0);
}

#[tokio::test]
async fn two_controllers_exclude_each_other() {
    let bench = Bench::new();
    let claim = |tag: &str, lease_s| Claim::new(&RunTag::new(tag), lease_s);
    let (first, second) = (claim("one", 60), claim("two", 60));
    first.take(&bench.cluster, &bench.leases).await.expect("nobody has it");
    first.take(&bench.cluster, &bench.leases).await.expect("it is ours already");
    let error = second.take(&bench.cluster, &bench.leases).await.expect_err("held");
    let text = error.to_string();
    assert!(matches!(error, ClaimError::Held(_)) && text.contains("in use by the run one (process "), "{text}");
    assert!(text.contains("schism halt"), "{text}");
    let (found, _) = claim::claims(&bench.cluster, &bench.leases).await;
    assert!(found.len() == 1 && found[0].claim == first && found[0].is_alive(), "{found:?}");
    assert_eq!(second.release(&bench.cluster, &bench.leases).await, Vec::<String>::new());
    assert_eq!(claim::claims(&bench.cluster, &bench.leases).await.0.len(), 1, "that of another stays");
    assert_eq!(first.release(&bench.cluster, &bench.leases).await, Vec::<String>::new());
    second.take(&bench.cluster, &bench.leases).await.expect("it is free");
    // A sign of life of who was dead long ago finds the node lost, and never takes it back.
    let said = bench.run(scripts::beat(&bench.leases.places().run, "one", 9, Some(&first.line()))).await;
    assert!(said.starts_with("lost two "), "{said}");
    // Broken from outside: the next sign of life is told, and whoever comes next may have it.
    claim::break_claims(&bench.cluster, &bench.leases).await;
    let said = bench.run(scripts::beat(&bench.leases.places().run, "two", 9, Some(&second.line()))).await;
    assert!(said.starts_with("lost halted "), "{said}");
    first.take(&bench.cluster, &bench.leases).await.expect("a broken claim holds nobody up");
}

#[tokio::test]
async fn the_claim_of_a_dead_controller_is_taken_over_by_exactly_one() {
    let bench = Bench::new();
    let dead = Claim::new(&RunTag::new("dead"), 3);
    dead.take(&bench.cluster, &bench.leases).await.expect("nobody has it");
    assert!(Claim::new(&RunTag::new("x"), 60).take(&bench.cluster, &bench.leases).await.is_err(), "not yet");
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    let (cluster, leases) = (&bench.cluster, &bench.leases);
    let contest = (0..8).map(|number| async move {
        Claim::new(&RunTag::new(&format!("c{number}")), 60).take(cluster, leases).await.is_ok()
    });
    let parts = contest.map(|one| Box::pin(one) as schism_nemesis::fanout::Part<'_, bool>).collect();
    let won = schism_nemesis::fanout::all(parts).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_node_with_faults_of_another_run_is_not_claimed() {
    let bench = Bench::new();
    bench.arm("old-3", 60, &bench.undo("undone")).await;
    let error = Claim::new(&RunTag::new("new"), 60).take(&bench.cluster, &bench.leases).await.expect_err("unhealed");
    let text = error.to_string();
    assert!(text.contains("(old-3-n1)") && text.contains("schism heal"), "{text}");
    assert_eq!(claim::claims(&bench.cluster, &bench.leases).await.0, []);
    let report = bench.leases.heal(&bench.cluster).await;
    assert_eq!((report.healed, report.failed.len()), (vec!["lease old-3-n1 on n1".to_owned()], 0));
    Claim::new(&RunTag::new("new"), 60).take(&bench.cluster, &bench.leases).await.expect("it is clean");
}

#[tokio::test]
async fn leftovers_are_told_by_their_whole_name_and_what_is_foreign_stays() {
    let bench = Bench::new();
    // Packet filters that are files: what is removed is what their names say.
    let tools = bench.path("tools");
    std::fs::create_dir(&tools).expect("a folder");
    let nft = "#!/bin/sh\ncase $1 in\nlist) cat \"$0.tables\" ;;\n\
               delete) grep -v \" $4\\$\" \"$0.tables\" >\"$0.new\"; mv \"$0.new\" \"$0.tables\" ;;\nesac\n";
    // Not written by this process: another test's child would hold it open, and nobody can execute it then.
    let write = "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"";
    let written = std::process::Command::new("sh").args(["-c", write, "-", nft]).arg(tools.join("nft")).status();
    assert!(written.expect("sh starts").success());
    let tables = "table inet schism_k3f9_1\ntable inet filter\ntable ip schism_mine\ntable inet schism_K3_1\n\
                  table ip6 xschism_k3f9_1\ntable inet schism_abcdefghij_22\n";
    std::fs::write(tools.join("nft.tables"), tables).expect("a file");
    let beats = bench.path("leases.run/beats");
    std::fs::create_dir_all(&beats).expect("a folder");
    std::fs::create_dir_all(bench.path("leases.run/claim")).expect("a folder");
    std::fs::write(bench.path("leases.run/claim/owner"), "gone here:1:2 3 5\n").expect("a file");
    std::fs::write(beats.join("gone"), "1 7\n").expect("a file");
    let script = scripts::leftovers_remove(bench.leases.places());
    let script = format!("iptables() {{ :; }}\nPATH={}:$PATH\n{script}", tools.display());
    // On a node of its own: what else is on this machine is not for this test to heal.
    let node =
        "for folder in /run /var/lib /sys/fs/cgroup; do mount -t tmpfs none \"$folder\" || exit 1; done; exec \"$@\"";
    let alone = ["unshare", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", node, "-"];
    let alone = |script: &str| {
        let mut command = std::process::Command::new(alone[0]);
        let output = command.args(&alone[1..]).args(["sh", "-c", script]).output().expect("unshare starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let said = alone(&script);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "removed the claim of the run gone, whose controller is gone",
            "removed the nftables table schism_abcdefghij_22",
            "removed the nftables table schism_k3f9_1",
        ]
    );
    let left = std::fs::read_to_string(tools.join("nft.tables")).expect("a file");
    assert_eq!(left, "table inet filter\ntable ip schism_mine\ntable inet schism_K3_1\ntable ip6 xschism_k3f9_1\n");
    assert_eq!(alone(&script), "", "as often as one likes");
}
