//! Disk faults by the device mapper: the device below the file system is slow or fails, and nothing is restarted for it.
//!
//! It reaches every file of the database and nothing above the device: what the page cache holds is read as fast as ever, and
//! what is written fails when it is synced. Single files, single operations of programs and a share of operations are left
//! to our own file system.

use std::collections::BTreeMap;
use std::time::Duration;

use schism_cluster::{Cluster, Command, DATA_DISK};
use schism_history::Node;

use crate::class::Ask;
use crate::fanout;
use crate::fault::{FaultError, Undo};
use crate::faults::disk::{PROBE_WITHIN, Probe, Victims, fuse_needs};
use crate::faults::{disk_errors, disk_slow, lost_writes};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts::{self, MapperHarm};
use crate::spec::FaultSpec;

/// What our own file system does, as suites say it.
pub(super) const FUSE: &str = "fuse";
/// What this file does.
pub(super) const DEVICE_MAPPER: &str = "device-mapper";
/// What a ground does.
pub(super) const IMAGE: &str = "image";
const AUTO: &str = "auto";

/// The option that says how.
pub(super) const WAY: OptionEntry = OptionEntry {
    name: "way",
    key: "way",
    kind: OptionKind::OneOf(&[AUTO, DEVICE_MAPPER, FUSE]),
    default: &[AUTO],
    about: "by the device below the file system, or by our own file system; `auto` takes the device where that does what is asked",
};

/// The same for a cut of the disk's power.
pub(super) const WAY_OF_CUT: OptionEntry = OptionEntry {
    name: "way",
    key: "way",
    kind: OptionKind::OneOf(&[AUTO, IMAGE, DEVICE_MAPPER, FUSE]),
    default: &[AUTO],
    about: "by the ground's image of the disk, by the device below the file system, or by our own file system; `auto` takes the \
            first that is possible",
};

/// The longest period of a device that fails for a share of time.
const PERIOD_MAX_S: u64 = 20;
/// The same, and some seconds for the probe itself.
pub(super) const PERIOD_MAX: Duration = Duration::from_secs(PERIOD_MAX_S + 2);

/// The harm, or why this way does not do it.
pub(super) type Harm = Result<MapperHarm, String>;

/// What the device would be told for every alternative of a class's options, asked for that way.
type Harms = fn(&FaultSpec, &str) -> Vec<Harm>;

/// The way that an intention asks for; those of older plans say nothing.
pub(super) fn way(ask: &Ask<'_>) -> String {
    ask.word("way").unwrap_or(AUTO).to_owned()
}

/// Whether this way of doing it is asked for, or left open.
pub(super) fn allows(way: &str, one: &str) -> bool {
    way == AUTO || way == one
}

/// Every read, write or flush of the device takes longer (dm-delay).
pub(super) fn delay(ms: u64, operations: &str, files: bool) -> Harm {
    if files {
        return Err("a device knows no files".to_owned());
    }
    let of = |what: &str| if operations == "all" || operations == what { ms } else { 0 };
    let target = format!(r"delay \2 {} \2 {} \2 {}", of("read"), of("write"), of("fsync"));
    Ok(MapperHarm { target, reads_fail: false, remount: false })
}

/// The device fails (dm-flakey), for a share of time where that is asked for by name.
pub(super) fn errors(ppm: u64, operations: &str, files: bool, way: &str) -> Harm {
    if files {
        return Err("a device knows no files".to_owned());
    }
    if way == AUTO && ppm < 1_000_000 {
        return Err("a device fails for a share of time, not at a share of operations".to_owned());
    }
    if ppm < 50_000 {
        return Err("a device fails for whole seconds: 5 % of the time at least".to_owned());
    }
    let features = match operations {
        "all" => "",
        "read" => " 1 error_reads",
        "write" => " 1 error_writes",
        _ => return Err("a device that fails at flushes alone is none that there is".to_owned()),
    };
    let (up, down) = period(ppm);
    let target = format!(r"flakey \2 {up} {down}{features}");
    Ok(MapperHarm { target, reads_fail: operations != "write", remount: true })
}

/// The device takes no writes, so that what was not synced never reaches it.
pub(super) fn cut() -> MapperHarm {
    MapperHarm { target: r"flakey \2 0 1 1 error_writes".to_owned(), reads_fail: false, remount: true }
}

/// For how many seconds it is well and then fails: the shortest period that is within one in a hundred of the share, or
/// else the nearest.
fn period(ppm: u64) -> (u64, u64) {
    let off = |(up, down): &(u64, u64)| (down * 1_000_000 / (up + down)).abs_diff(ppm);
    let all = (1..=PERIOD_MAX_S).flat_map(|whole| (1..=whole).map(move |down| (whole - down, down)));
    let near = all.clone().find(|one| off(one) <= 10_000);
    near.or_else(|| all.min_by_key(off)).unwrap_or((0, 1))
}

/// What a class needs beside what every disk fault needs: for each way that it may be asked for, the harms that its options
/// may mean. `image` is what a ground would need.
pub(super) fn needs(spec: &FaultSpec, harms: impl Fn(&str) -> Vec<Harm>, image: Option<Need>) -> Vec<Need> {
    let mut needs = Vec::new();
    for way in spec.values("way").iter().filter_map(|way| way.as_str()) {
        let (able, unable): (Vec<Harm>, Vec<Harm>) = harms(way).into_iter().partition(Result::is_ok);
        let able: Vec<MapperHarm> = able.into_iter().flatten().collect();
        match way {
            FUSE => needs.extend(fuse_needs()),
            IMAGE => needs.extend(image.clone()),
            DEVICE_MAPPER => {
                needs.extend(unable.into_iter().filter_map(Result::err).map(|reason| never(&reason)));
                needs.extend((!able.is_empty()).then(|| need(&able)));
            }
            _ => {
                // The device is enough only where it can do all that may be asked.
                let device = (unable.is_empty() && !able.is_empty()).then(|| need(&able));
                let or: Vec<Need> = image.iter().cloned().chain(device).collect();
                needs.extend(fuse_needs().into_iter().map(|ours| match or.as_slice() {
                    [] => ours,
                    or => Need::AnyOf([or, &[ours]].concat()),
                }));
            }
        }
    }
    needs
}

/// In words, how disk faults of a suite are done: `has_device` says whether the nodes' data lies on a device of the device
/// mapper, where that is known. Nothing for classes that know one way only.
pub fn way_in_words(spec: &FaultSpec, has_device: Option<bool>) -> Option<String> {
    let ours = "our own file system (FUSE)";
    let image = spec.class() == lost_writes::CLASS;
    let harms: Harms = match spec.class() {
        disk_slow::CLASS => disk_slow::harms,
        disk_errors::CLASS => disk_errors::harms,
        lost_writes::CLASS => lost_writes::harms,
        _ => return None,
    };
    let words = spec.values("way").iter().filter_map(|way| way.as_str()).map(|way| {
        let all = harms(spec, way);
        let unable = all.iter().find_map(|harm| harm.as_ref().err());
        match (way, unable, has_device) {
            (FUSE, ..) => ours.to_owned(),
            (IMAGE, ..) => "the ground's image of the disk".to_owned(),
            (DEVICE_MAPPER, ..) => "the device mapper".to_owned(),
            (_, _, Some(false)) if image => format!("the ground's image of the disk, or {ours} where it has none"),
            (_, _, Some(false)) => format!("{ours}: a lab of namespaces has no device mapper"),
            (_, Some(reason), _) if all.iter().all(Result::is_err) => format!("{ours}: {reason}"),
            (_, Some(reason), _) => format!("the device mapper, or {ours} where {reason}"),
            (_, None, Some(true)) => "the device mapper".to_owned(),
            (_, None, None) => format!("the device mapper where the data lies on a device of its own, else {ours}"),
        }
    });
    Some(words.collect::<Vec<_>>().join("; or "))
}

/// A need that no node meets.
fn never(reason: &str) -> Need {
    Need::OnNodes {
        what: "a fault by the device mapper".to_owned(),
        script: format!("echo {}\n", schism_cluster::shell::quote(reason)),
        hint: "Change the option, or leave the way open (`way: auto`)".to_owned(),
    }
}

/// That the device under the databases' folder can be harmed in all of these ways.
fn need(harms: &[MapperHarm]) -> Need {
    let scripts = harms.iter().map(|harm| format!("(\n{})\n", scripts::mapper_missing(DATA_DISK, harm)));
    Need::OnNodes {
        what: "a device of its own under the data".to_owned(),
        script: scripts.collect::<std::collections::BTreeSet<_>>().into_iter().collect(),
        hint: format!(
            "Mount a logical volume at {DATA_DISK} (the node needs dmsetup, dm-delay and dm-flakey), or use FUSE"
        ),
    }
}

/// Why the first node that cannot be harmed so cannot; nothing where all can.
///
/// # Errors
/// When a node does not answer.
pub(super) async fn missing(
    cluster: &Cluster,
    victims: &Victims,
    harm: &MapperHarm,
) -> Result<Option<(Node, String)>, FaultError> {
    let asked = fanout::run_all(cluster, victims.scripts(|_, folder| scripts::mapper_missing(folder, harm))).await?;
    let told = asked.into_iter().map(|(node, output)| (node, output.text().replace('\n', ", ")));
    Ok(told.into_iter().find(|(_, reason)| !reason.is_empty()))
}

/// What an explicit wish for this way is answered where it cannot be.
pub(super) fn refused(victims: &Victims, node: Node, reason: String) -> FaultError {
    FaultError::Refused {
        class: victims.class.to_owned(),
        node,
        reason: format!("the device under the data cannot be harmed: {reason}"),
        hint: "Leave the way open (`way: auto`), or put the data on a logical volume of its own".to_owned(),
    }
}

/// The undo on each node: the table as it was, and the file system mounted anew where it ended.
pub(super) fn undos(victims: &Victims) -> Vec<Undo> {
    victims.undos(|_, _| scripts::mapper_undo(&victims.name))
}

/// Exchanges the tables; those of now, by node.
///
/// # Errors
/// When a node does not obey.
pub(super) async fn start(
    cluster: &Cluster,
    victims: &Victims,
    harm: &MapperHarm,
) -> Result<BTreeMap<Node, String>, FaultError> {
    let start = victims.scripts(|_, folder| scripts::mapper_start(folder, &victims.name, harm));
    let started = fanout::run_all(cluster, start).await?;
    Ok(started.into_iter().map(|(node, output)| (node, output.text())).collect())
}

/// Tries the devices, past the page cache.
///
/// # Errors
/// When a node does not answer.
pub(super) async fn probe(cluster: &Cluster, victims: &Victims, rounds: u32) -> Result<Vec<Probe>, FaultError> {
    let commands: Vec<(Node, Command)> = victims
        .scripts(|_, folder| scripts::mapper_probe(folder, &victims.name, rounds))
        .into_iter()
        .map(|(node, command)| (node, command.deadline(PROBE_WITHIN)))
        .collect();
    let answers = fanout::run_all(cluster, commands).await?;
    Ok(answers.into_iter().map(|(node, output)| Probe::parse(node, &output.text())).collect())
}

/// What is left of it, by node.
///
/// # Errors
/// When a node does not answer.
pub(super) async fn left(cluster: &Cluster, victims: &Victims) -> Result<BTreeMap<Node, String>, FaultError> {
    let look = victims.scripts(|_, folder| scripts::mapper_left(folder, &victims.name));
    let looked = fanout::run_all(cluster, look).await?;
    let told = looked.into_iter().map(|(node, output)| (node, output.text()));
    Ok(told.filter(|(_, text)| !text.is_empty()).collect())
}

/// On which nodes the device is harmed, by whatever fault.
///
/// # Errors
/// When a node does not answer.
pub(super) async fn shared(cluster: &Cluster, victims: &Victims) -> Result<Vec<Node>, FaultError> {
    let looked = fanout::run_all(cluster, victims.scripts(|_, folder| scripts::mapper_look(folder))).await?;
    Ok(looked.into_iter().filter(|(_, output)| !output.text().is_empty()).map(|(node, _)| node).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_of_time_are_whole_seconds() {
        for (percent, expected) in [(100, (0, 1)), (50, (1, 1)), (33, (2, 1)), (30, (7, 3)), (10, (9, 1)), (5, (16, 1))]
        {
            let (up, down) = period(percent * 10_000);
            assert_eq!((up, down), expected, "{percent} %");
            assert!((down * 100).abs_diff(percent * (up + down)) <= up + down, "{percent} %");
        }
    }

    #[test]
    fn what_a_device_cannot_do_is_said() {
        assert_eq!(delay(20, "fsync", false).unwrap().target, r"delay \2 0 \2 0 \2 20");
        assert_eq!(delay(20, "all", false).unwrap().target, r"delay \2 20 \2 20 \2 20");
        assert!(delay(20, "all", true).unwrap_err().contains("no files"));
        let all = errors(1_000_000, "all", false, AUTO).unwrap();
        assert_eq!((all.target.as_str(), all.reads_fail, all.remount), (r"flakey \2 0 1", true, true));
        assert_eq!(errors(1_000_000, "write", false, AUTO).unwrap(), cut());
        for (ppm, operations, files, way, part) in [
            (100_000, "all", false, AUTO, "share of time"),
            (10_000, "all", false, DEVICE_MAPPER, "whole seconds"),
            (1_000_000, "fsync", false, DEVICE_MAPPER, "flushes alone"),
            (1_000_000, "all", true, DEVICE_MAPPER, "no files"),
        ] {
            let reason = errors(ppm, operations, files, way).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
        let some = errors(100_000, "read", false, DEVICE_MAPPER).unwrap();
        assert_eq!(some.target, r"flakey \2 9 1 1 error_reads");
    }

    #[test]
    fn the_way_is_told() {
        for (fault, has_device, expected) in [
            (json!("disk-slow"), Some(true), Some("the device mapper")),
            (
                json!("disk-slow"),
                Some(false),
                Some("our own file system (FUSE): a lab of namespaces has no device mapper"),
            ),
            (
                json!("disk-slow"),
                None,
                Some("the device mapper where the data lies on a device of its own, else our own"),
            ),
            (
                json!({"disk-slow": {"files": "*.wal"}}),
                Some(true),
                Some("our own file system (FUSE): a device knows no files"),
            ),
            (
                json!({"disk-slow": {"way": ["fuse", "device-mapper"]}}),
                None,
                Some("our own file system (FUSE); or the device mapper"),
            ),
            (
                json!("disk-errors"),
                Some(true),
                Some("the device mapper, or our own file system (FUSE) where a device fails for"),
            ),
            (json!("lost-writes"), Some(false), Some("the ground's image")),
            (json!("lost-writes"), Some(true), Some("the device mapper")),
            (json!("disk-full"), Some(true), None),
        ] {
            let spec: FaultSpec = serde_json::from_value(fault.clone()).unwrap();
            let told = way_in_words(&spec, has_device);
            assert_eq!(told.is_some(), expected.is_some(), "{fault}");
            assert!(told.as_deref().unwrap_or_default().starts_with(expected.unwrap_or_default()), "{fault}: {told:?}");
        }
    }

    /// Which needs there are, by the words that tell them apart.
    #[test]
    fn needs_follow_the_way() {
        let told = |need: &Need| match need {
            Need::AnyOf(needs) => format!("any of {}", needs.len()),
            Need::OnNodes { what, .. } => what.clone(),
            other => format!("{other:?}"),
        };
        let (device, ours) = ("a device of its own under the data", "a file system of our own");
        for (class, options, expected) in [
            ("disk-slow", json!({}), vec!["any of 2", "any of 2"]),
            ("disk-slow", json!({"way": "fuse"}), vec!["Agent", ours]),
            ("disk-slow", json!({"way": "device-mapper"}), vec![device]),
            ("disk-slow", json!({"files": "*.wal"}), vec!["Agent", ours]),
            ("disk-slow", json!({"way": "device-mapper", "files": "*.wal"}), vec!["a fault by the device mapper"]),
            ("disk-errors", json!({}), vec!["Agent", ours]),
            ("disk-errors", json!({"share": "100%"}), vec!["any of 2", "any of 2"]),
            ("disk-errors", json!({"share": "100%", "way": ["device-mapper", "fuse"]}), vec!["Agent", device, ours]),
            ("lost-writes", json!({}), vec!["any of 3", "any of 3"]),
            ("lost-writes", json!({"way": "device-mapper"}), vec![device]),
            ("lost-writes", json!({"way": "image"}), vec!["Ground(DataDisk)"]),
        ] {
            let spec: FaultSpec = serde_json::from_value(json!({ class: options })).unwrap();
            let base = [Need::DataFiles, Need::Kill, Need::Probe];
            let other = |need: &&Need| !base.contains(need) && !matches!(need, Need::Nodes { .. } | Need::Primaries);
            let mut found: Vec<String> = spec.needs().iter().filter(other).map(told).collect();
            found.sort();
            let mut expected = expected;
            expected.sort();
            assert_eq!(found, expected, "{class} {options}");
        }
    }
}
