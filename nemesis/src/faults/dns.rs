//! Names of nodes that are not known, take their time, or mean another node.
//!
//! On the targets, lines of `/etc/hosts` that name a node are set aside. Where names are to be wrong, lines of ours name
//! the next node's address instead. Else `/etc/resolv.conf` names a resolver of our own on [`LISTEN`] (the agent's verb
//! `dns`), which fails or waits for these names and passes all others on to the first resolver that was there. Programs
//! that read these files once and never again do not notice.
//!
//! Files are changed in place (they may be mounts or links) and restored byte for byte from a kept copy; where somebody
//! else has changed one meanwhile, only what is between our marks is taken out. The copy lies on disk: a node that
//! restarts in the middle of it is healed by the same undo.
//!
//! Not covered: names kept by a cache of the node (`nscd`, `systemd-resolved` asked over its own socket): then nothing is
//! seen, and the fault is not proven.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::agent;
use crate::class::{Ask, Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::TARGETS;
use crate::grudge::names;
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;
use crate::span::DurationText;

/// The class.
pub const CLASS: &str = "dns";

/// Where our resolver listens: an address of loopback that nobody else has.
pub const LISTEN: &str = "127.0.0.77";

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Network,
    about: "names of nodes are not known, resolved slowly, or mean another node",
    options: &[
        TARGETS,
        OptionEntry {
            name: "modes",
            key: "mode",
            kind: OptionKind::OneOf(&["fail", "servfail", "slow", "wrong"]),
            default: &["fail", "slow", "wrong"],
            about: "no such name (fail), try again later (servfail), late (slow), or another node's address (wrong)",
        },
        OptionEntry {
            name: "delay",
            key: "delay_ms",
            kind: OptionKind::Span(100, 25_000),
            default: &["2s"],
            about: "how late, where it is slow",
        },
    ],
    works: "every ground; all but `wrong` with the agent on the nodes",
    verified: "getent on the node: whether names are found, how soon, and what they mean, compared with before",
    undone: "its resolver is ended, and /etc/hosts and /etc/resolv.conf are restored byte for byte; by the node itself when its lease ends",
    needs: |spec| {
        let tools = Need::OnNodes {
            what: "names".to_owned(),
            script: "for tool in getent sha256sum sed; do command -v \"$tool\" >/dev/null 2>&1 || echo \"no $tool\"; done\n[ -w /etc/hosts ] || echo '/etc/hosts cannot be written'\ntrue\n".to_owned(),
            hint: "Install libc-bin, coreutils and sed there".to_owned(),
        };
        let with_resolver = spec.values("modes").iter().any(|mode| mode != "wrong");
        [Need::Probe, tools].into_iter().chain(with_resolver.then_some(Need::Agent)).collect()
    },
    decide,
    label: plain_label,
};

/// What a lookup may take beyond what is asked for.
const NOISE_MS: u64 = 1500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fail,
    Servfail,
    Slow,
    Wrong,
}

fn decide(ask: &Ask<'_>) -> Result<Box<dyn Fault>, FaultError> {
    let (_, targets) = ask.target()?;
    let mode = match ask.word("mode")? {
        "fail" => Mode::Fail,
        "servfail" => Mode::Servfail,
        "slow" => Mode::Slow,
        "wrong" => Mode::Wrong,
        other => return Err(ask.wrong(format!("its `mode` is `{other}`"))),
    };
    let delay_ms = if mode == Mode::Slow { ask.number("delay_ms")? } else { 0 };
    let told = match mode {
        Mode::Fail => "names are not known".to_owned(),
        Mode::Servfail => "names cannot be resolved now".to_owned(),
        Mode::Slow => format!("names take {}", DurationText::from_ms(delay_ms)),
        Mode::Wrong => "names mean other nodes".to_owned(),
    };
    let label = format!("dns: {} on {}", told, names(&targets));
    let name = ask.tag.lease(ask.fault_id);
    Ok(Box::new(Dns { targets, mode, delay_ms, label, name, before: BTreeMap::new(), agents: BTreeMap::new() }))
}

/// A name as a node resolved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lookup {
    /// The name.
    pub name: String,
    /// Whether it was found.
    pub found: bool,
    /// How long that took.
    pub took_ms: u64,
    /// What it means.
    pub addresses: BTreeSet<IpAddr>,
}

/// A file under `/etc` as it was: its hash (`absent`) and text.
#[derive(Debug, Clone, Default)]
struct EtcFile {
    sha256: String,
    text: String,
}

#[derive(Debug, Clone, Default)]
struct Before {
    hosts: EtcFile,
    resolv: EtcFile,
    /// Names that were found.
    lookups: Vec<Lookup>,
}

/// Names, harmed.
#[derive(Debug, Clone)]
pub struct Dns {
    targets: Vec<Node>,
    mode: Mode,
    delay_ms: u64,
    label: String,
    /// Under which files are kept and lines are marked.
    name: String,
    before: BTreeMap<Node, Before>,
    agents: BTreeMap<Node, String>,
}

impl Dns {
    fn with_resolver(&self) -> bool {
        self.mode != Mode::Wrong
    }

    async fn on_targets(&self, cluster: &Cluster, script: String) -> Result<Vec<(Node, String)>, FaultError> {
        let command = Command::new(script).deadline(Duration::from_secs(60));
        let commands = self.targets.iter().map(|node| (node.clone(), command.clone())).collect();
        let answers = fanout::run_all(cluster, commands).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(answers.into_iter().map(|(node, output)| (node, text(&output.stdout))).collect())
    }

    async fn files(&self, cluster: &Cluster, file: &str) -> Result<BTreeMap<Node, EtcFile>, FaultError> {
        let read = |(node, text): (Node, String)| {
            let (sha256, text) = text.split_once('\n').unwrap_or((text.trim(), ""));
            (node, EtcFile { sha256: sha256.to_owned(), text: text.to_owned() })
        };
        Ok(self.on_targets(cluster, scripts::etc_read(file)).await?.into_iter().map(read).collect())
    }

    async fn lookups(&self, cluster: &Cluster, names: &[String]) -> Result<BTreeMap<Node, Vec<Lookup>>, FaultError> {
        let answers = self.on_targets(cluster, scripts::names_lookup(names)).await?;
        let lines = |text: String| text.lines().filter_map(parse_lookup).collect();
        Ok(answers.into_iter().map(|(node, text)| (node, lines(text))).collect())
    }

    /// What a name shall mean: its own addresses, or where it is to be wrong those of the next.
    fn meanings(&self, before: &Before) -> Vec<(String, Vec<IpAddr>)> {
        let known = &before.lookups;
        let means = |at: usize| {
            let own = &known[at].addresses;
            if self.mode != Mode::Wrong {
                return own.iter().copied().collect();
            }
            let others = (1..known.len()).map(|step| &known[(at + step) % known.len()].addresses);
            let other = others.flatten().find(|address| !own.contains(address) && !address.is_loopback());
            // Nobody has this address (RFC 5737).
            vec![other.copied().unwrap_or_else(|| IpAddr::from([192, 0, 2, 1]))]
        };
        known.iter().enumerate().map(|(at, lookup)| (lookup.name.clone(), means(at))).collect()
    }

    async fn measured(&self, cluster: &Cluster, healed: bool) -> Result<Evidence, FaultError> {
        let names: BTreeSet<String> =
            self.before.values().flat_map(|before| before.lookups.iter().map(|lookup| lookup.name.clone())).collect();
        let now = self.lookups(cluster, &names.into_iter().collect::<Vec<_>>()).await?;
        let (mut wrong, mut rows) = (Vec::new(), Vec::new());
        for (node, before) in &self.before {
            let seen = now.get(node).map_or(&[][..], Vec::as_slice);
            for was in &before.lookups {
                let is = seen.iter().find(|is| is.name == was.name);
                rows.push(json!({ "node": node, "name": was.name, "before": was, "now": is }));
                let mode = (!healed).then_some(self.mode);
                match is.map(|is| judge(mode, self.delay_ms, was, is)) {
                    Some(Ok(())) => {}
                    Some(Err(reason)) => wrong.push(format!("{} on {node} {reason}", was.name)),
                    None => wrong.push(format!("{} was not looked up on {node}", was.name)),
                }
            }
        }
        let mut measured = json!({ "lookups": rows });
        if !wrong.is_empty() {
            measured["wrong"] = json!(wrong);
        }
        Ok(Evidence { proven: wrong.is_empty() && !rows.is_empty(), measured })
    }
}

/// Whether a name is resolved as the mode says (`None`: as before).
fn judge(mode: Option<Mode>, delay_ms: u64, was: &Lookup, is: &Lookup) -> Result<(), String> {
    match mode {
        Some(Mode::Fail | Mode::Servfail) if is.found => Err("is still found".to_owned()),
        Some(Mode::Fail | Mode::Servfail) => Ok(()),
        Some(Mode::Slow) if !is.found => Err("is not found, though it should only be slow".to_owned()),
        Some(Mode::Slow) if is.took_ms * 10 < delay_ms * 9 => Err(format!("takes only {} ms", is.took_ms)),
        Some(Mode::Slow) => Ok(()),
        Some(Mode::Wrong) if !is.found => Err("is not found, though it should only be wrong".to_owned()),
        Some(Mode::Wrong) if !is.addresses.is_disjoint(&was.addresses) => Err("still means what it meant".to_owned()),
        Some(Mode::Wrong) => Ok(()),
        None if !is.found => Err("is not found".to_owned()),
        None if is.addresses != was.addresses => Err("does not mean what it meant".to_owned()),
        None if is.took_ms > was.took_ms + NOISE_MS => Err(format!("takes {} ms", is.took_ms)),
        None => Ok(()),
    }
}

/// `NAME STATUS MILLISECONDS ADDRESSES`
fn parse_lookup(line: &str) -> Option<Lookup> {
    let mut words = line.split(' ');
    let (name, status, took_ms) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    let addresses: BTreeSet<IpAddr> =
        words.next().unwrap_or_default().split(',').filter_map(|text| text.parse().ok()).collect();
    Some(Lookup { name: name.to_owned(), found: status == "0" && !addresses.is_empty(), took_ms, addresses })
}

/// A file of hosts in which lines of these names are set aside, with lines of ours at its end.
fn hosts_file(text: &str, mark: &str, names: &[(String, Vec<IpAddr>)], ours: bool) -> String {
    let mut file = String::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace().skip(1);
        let named = words.any(|word| names.iter().any(|(name, _)| name.eq_ignore_ascii_case(word)));
        file += &if named { format!("# {mark}: {line}\n") } else { format!("{line}\n") };
    }
    let means = |(name, addresses): &(String, Vec<IpAddr>)| {
        addresses.iter().map(|address| format!("{address} {name}\n")).collect::<String>()
    };
    let lines: String = if ours { names.iter().map(means).collect() } else { String::new() };
    format!("{file}# {mark} begin\n{lines}# {mark} end\n")
}

/// A resolver's configuration that names ours alone and keeps the rest.
fn resolv_file(text: &str, mark: &str) -> String {
    let mut file = format!("# {mark} begin\nnameserver {LISTEN}\noptions timeout:30 attempts:1\n# {mark} end\n");
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        let aside = ["nameserver", "options"].contains(&first);
        file += &if aside { format!("# {mark}: {line}\n") } else { format!("{line}\n") };
    }
    file
}

/// The first resolver that was there.
fn upstream(resolv: &str) -> Option<String> {
    let address = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    let first = resolv.lines().find_map(address).filter(|address| address.to_string() != LISTEN)?;
    Some(std::net::SocketAddr::new(first, 53).to_string())
}

#[async_trait]
impl Fault for Dns {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn nodes(&self) -> Vec<Node> {
        self.targets.clone()
    }

    fn details(&self) -> Map<String, Value> {
        let meanings = |before: &Before| self.meanings(before).into_iter().collect::<BTreeMap<_, _>>();
        let all: BTreeMap<&Node, _> = self.before.iter().map(|(node, before)| (node, meanings(before))).collect();
        Map::from_iter([("names".to_owned(), json!(all))])
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        let mut hosts = self.files(cluster, "hosts").await?;
        let mut resolvs = self.files(cluster, "resolv.conf").await?;
        let mut wanted: BTreeSet<String> = cluster.names().iter().map(ToString::to_string).collect();
        let addresses = cluster.nodes.iter().map(|handle| handle.address.clone());
        wanted.extend(addresses.filter(|address| address.parse::<IpAddr>().is_err()));
        let wanted: Vec<String> = wanted.into_iter().filter(|name| !name.starts_with('-')).collect();
        for (node, mut lookups) in self.lookups(cluster, &wanted).await? {
            lookups.retain(|lookup| lookup.found);
            if lookups.is_empty() {
                return Err(FaultError::NoTarget {
                    class: CLASS.to_owned(),
                    reason: format!("{node} resolves none of the names {}", wanted.join(" ")),
                });
            }
            let (hosts, resolv) = (hosts.remove(&node).unwrap_or_default(), resolvs.remove(&node).unwrap_or_default());
            self.before.insert(node, Before { hosts, resolv, lookups });
        }
        if self.with_resolver() {
            self.agents = agent::ensure(cluster, &self.targets).await?;
        }
        let script = scripts::names_undo(&self.name);
        Ok(self.targets.iter().map(|node| Undo::OnNode { node: node.clone(), script: script.clone() }).collect())
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        let mark = format!("schism-{}", self.name);
        let (mut first, mut then, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for (node, before) in &self.before {
            let names = self.meanings(before);
            let text = hosts_file(&before.hosts.text, &mark, &names, self.mode == Mode::Wrong);
            let swap = scripts::etc_swap(&self.name, "hosts", &before.hosts.sha256);
            last.push((node.clone(), Command::new(swap).stdin(text)));
            let Some(agent) = self.agents.get(node) else { continue };
            let mode = match self.mode {
                Mode::Fail => "fail",
                Mode::Servfail => "servfail",
                Mode::Slow | Mode::Wrong => "answer",
            };
            let upstream = upstream(&before.resolv.text).unwrap_or_else(|| "-".to_owned());
            let mut arguments = vec![format!("{LISTEN}:53"), mode.to_owned(), self.delay_ms.to_string(), upstream];
            arguments.extend(names.iter().map(|(name, addresses)| {
                let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                format!("{name}={}", addresses.join(","))
            }));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let start = scripts::resolver_start(&self.name, &agent::command(agent, "dns", &arguments));
            first.push((node.clone(), Command::new(start)));
            let swap = scripts::etc_swap(&self.name, "resolv.conf", &before.resolv.sha256);
            then.push((node.clone(), Command::new(swap).stdin(resolv_file(&before.resolv.text, &mark))));
        }
        for commands in [first, then, last] {
            fanout::run_all(cluster, commands).await?;
        }
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.measured(cluster, false).await
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let mut evidence = self.measured(cluster, true).await?;
        let left = self.on_targets(cluster, scripts::names_leftover(&self.name)).await?;
        let left: Vec<String> = left
            .into_iter()
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(node, text)| format!("{node}: {}", text.trim()))
            .collect();
        let mut same = Vec::new();
        for file in ["hosts", "resolv.conf"] {
            for (node, now) in self.files(cluster, file).await? {
                let was =
                    self.before.get(&node).map(|before| if file == "hosts" { &before.hosts } else { &before.resolv });
                same.push(
                    json!({ "node": node, "file": file, "as_before": was.is_some_and(|was| was.sha256 == now.sha256) }),
                );
            }
        }
        evidence.measured["files"] = json!(same);
        if !left.is_empty() {
            evidence.proven = false;
            evidence.measured["leftover"] = json!(left);
        }
        Ok(evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "127.0.0.1 localhost\n10.0.0.1 n1.lan n1 # one\n10.0.0.2\tN2\n#10.0.0.3 n1\n\n10.0.0.4 n10";

    fn names() -> Vec<(String, Vec<IpAddr>)> {
        vec![("n1".to_owned(), vec!["10.0.0.2".parse().unwrap()]), ("n2".to_owned(), vec!["fd00::1".parse().unwrap()])]
    }

    #[test]
    fn lines_of_nodes_are_set_aside_and_no_others() {
        let text = hosts_file(HOSTS, "schism-t-1", &names(), true);
        let expected = "127.0.0.1 localhost\n# schism-t-1: 10.0.0.1 n1.lan n1 # one\n# schism-t-1: 10.0.0.2\tN2\n\
                        #10.0.0.3 n1\n\n10.0.0.4 n10\n# schism-t-1 begin\n10.0.0.2 n1\nfd00::1 n2\n# schism-t-1 end\n";
        assert_eq!(text, expected);
        assert!(!hosts_file(HOSTS, "schism-t-1", &names(), false).contains("fd00::1"));
        let resolv = resolv_file("# mine\nnameserver 10.0.0.53\nsearch lan\n", "schism-t-1");
        assert_eq!(
            resolv,
            "# schism-t-1 begin\nnameserver 127.0.0.77\noptions timeout:30 attempts:1\n# schism-t-1 end\n\
             # mine\n# schism-t-1: nameserver 10.0.0.53\nsearch lan\n"
        );
        assert_eq!(upstream("# x\nnameserver 10.0.0.53\n"), Some("10.0.0.53:53".to_owned()));
        assert_eq!(upstream("nameserver fd00::53"), Some("[fd00::53]:53".to_owned()));
        assert_eq!(upstream(&resolv), None);
    }

    #[test]
    fn lookups_are_judged_by_mode() {
        let look = |found, took_ms, address: &str| Lookup {
            name: "n1".to_owned(),
            found,
            took_ms,
            addresses: BTreeSet::from([address.parse().unwrap()]),
        };
        let was = look(true, 3, "10.0.0.1");
        // Fail, servfail, slow by 2 s, wrong, as before.
        let modes = [Some(Mode::Fail), Some(Mode::Servfail), Some(Mode::Slow), Some(Mode::Wrong), None];
        for (is, expected) in [
            (look(true, 3, "10.0.0.1"), [false, false, false, false, true]),
            (look(false, 3, "10.0.0.1"), [true, true, false, false, false]),
            (look(true, 2003, "10.0.0.1"), [false, false, true, false, false]),
            (look(true, 3, "10.0.0.2"), [false, false, false, true, false]),
        ] {
            assert_eq!(modes.map(|mode| judge(mode, 2000, &was, &is).is_ok()), expected, "{is:?}");
        }
        assert_eq!(parse_lookup("n1 0 3 10.0.0.1"), Some(was));
        assert!(!parse_lookup("n1 2 3 ").unwrap().found);
        assert_eq!(parse_lookup("n1 0"), None);
    }

    #[test]
    fn wrong_names_mean_other_nodes() {
        let dns = |mode| Dns {
            targets: vec![],
            mode,
            delay_ms: 0,
            label: String::new(),
            name: "t-1".to_owned(),
            before: BTreeMap::new(),
            agents: BTreeMap::new(),
        };
        let lookup = |name: &str, address: &str| parse_lookup(&format!("{name} 0 1 {address}")).unwrap();
        let before = |lookups| Before { lookups, ..Before::default() };
        let three = before(vec![lookup("n1", "127.0.1.1"), lookup("n2", "10.0.0.2"), lookup("n3", "10.0.0.3")]);
        let meanings = |mode, before: &Before| {
            let all = dns(mode).meanings(before);
            all.into_iter().map(|(name, to)| format!("{name} {}", to[0])).collect::<Vec<_>>()
        };
        assert_eq!(meanings(Mode::Wrong, &three), ["n1 10.0.0.2", "n2 10.0.0.3", "n3 10.0.0.2"]);
        assert_eq!(meanings(Mode::Slow, &three), ["n1 127.0.1.1", "n2 10.0.0.2", "n3 10.0.0.3"]);
        assert_eq!(meanings(Mode::Wrong, &before(vec![lookup("n1", "10.0.0.1")])), ["n1 192.0.2.1"]);
    }
}
