//! The classes that shape packets: their lines in the table, their options, and the shape that they mean.

use schism_cluster::link::Distribution;
use schism_cluster::{Ability, LinkShape};
use serde_json::Value;

use super::Kind;
use crate::class::{Ask, Family, FaultEntry};
use crate::fault::FaultError;
use crate::faults::TARGETS;
use crate::intention::Intention;
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;
use crate::span::DurationText;

const DIRECTION: OptionEntry = OptionEntry {
    name: "direction",
    key: "direction",
    kind: OptionKind::OneOfOrMixed(&["both", "in", "out"], &["both", "both", "in", "out"]),
    default: &["mixed"],
    about: "whether what the targets send is harmed (out), what they are sent (in) or both",
};

const TO: OptionEntry = OptionEntry {
    name: "to",
    key: "to",
    kind: OptionKind::Target,
    default: &["all"],
    about: "the other ends of the harmed links",
};

const WORKS: &str = "labs with a switch, else nodes with netem (tc, the kernel's sch_netem)";
const UNDONE: &str = "what this fault asked of the switch or of the node's queues is taken away, what others asked stays; by the ground or the node itself when its lease ends";

/// Delay.
pub const DELAY: FaultEntry = FaultEntry {
    name: "delay",
    family: Family::Network,
    about: "lets packets between nodes take longer",
    options: &[
        TARGETS,
        DIRECTION,
        TO,
        OptionEntry {
            name: "delay",
            key: "delay_ms",
            kind: OptionKind::Span(1, 60_000),
            default: &["20ms", "100ms", "500ms"],
            about: "how long each packet waits, in each harmed direction",
        },
        OptionEntry {
            name: "jitter",
            key: "jitter_ms",
            kind: OptionKind::Span(0, 60_000),
            default: &["0ms", "10ms"],
            about: "by how much that scatters (packets that wait for less overtake others)",
        },
        OptionEntry {
            name: "distribution",
            key: "distribution",
            kind: OptionKind::OneOf(&["uniform", "normal", "pareto"]),
            default: &["uniform"],
            about: "how it scatters",
        },
    ],
    works: WORKS,
    verified: "round trips of datagrams on the harmed links, compared with those before",
    undone: UNDONE,
    needs: |_| needs(true),
    decide: |ask| super::decide(ask, Kind::Delay),
    label,
};

/// Loss.
pub const LOSS: FaultEntry = FaultEntry {
    name: "loss",
    family: Family::Network,
    about: "loses part of the packets between nodes",
    options: &[
        TARGETS,
        DIRECTION,
        TO,
        share("loss", "loss_ppm", &["5%", "20%", "50%"], "how many packets are lost"),
        share("correlation", "correlation_ppm", &["0%", "25%"], "how much a loss depends on the one before (bursts)"),
    ],
    works: WORKS,
    verified: "numbered datagrams on the harmed links: the share that arrives, within the bounds of chance",
    undone: UNDONE,
    needs: |_| needs(true),
    decide: |ask| super::decide(ask, Kind::Loss),
    label,
};

/// Duplication.
pub const DUPLICATE: FaultEntry = FaultEntry {
    name: "duplicate",
    family: Family::Network,
    about: "delivers part of the packets between nodes twice",
    options: &[
        TARGETS,
        DIRECTION,
        TO,
        share("duplicate", "duplicate_ppm", &["5%", "30%"], "how many packets come twice"),
    ],
    works: WORKS,
    verified: "numbered datagrams on the harmed links: the share that arrives twice, within the bounds of chance",
    undone: UNDONE,
    needs: |_| needs(true),
    decide: |ask| super::decide(ask, Kind::Duplicate),
    label,
};

/// Reordering.
pub const REORDER: FaultEntry = FaultEntry {
    name: "reorder",
    family: Family::Network,
    about: "lets part of the packets between nodes overtake others, which wait",
    options: &[
        TARGETS,
        DIRECTION,
        TO,
        share("reorder", "reorder_ppm", &["25%"], "how many packets overtake"),
        OptionEntry {
            name: "delay",
            key: "delay_ms",
            kind: OptionKind::Span(1, 10_000),
            default: &["20ms"],
            about: "how long the others wait",
        },
    ],
    works: WORKS,
    verified: "numbered datagrams on the harmed links: some arrive after later ones",
    undone: UNDONE,
    needs: |_| needs(true),
    decide: |ask| super::decide(ask, Kind::Reorder),
    label,
};

/// Corruption.
pub const CORRUPT: FaultEntry = FaultEntry {
    name: "corrupt",
    family: Family::Network,
    about: "flips a bit in part of the packets between nodes (checksums mostly turn that into loss)",
    options: &[TARGETS, DIRECTION, TO, share("corrupt", "corrupt_ppm", &["1%", "10%"], "how many packets are damaged")],
    works: WORKS,
    verified: "datagrams without checksums on the harmed links: the share that arrives damaged, within the bounds of chance",
    undone: UNDONE,
    needs: |_| needs(true),
    decide: |ask| super::decide(ask, Kind::Corrupt),
    label,
};

/// Bandwidth.
pub const BANDWIDTH: FaultEntry = FaultEntry {
    name: "bandwidth",
    family: Family::Network,
    about: "lets only so many bits a second pass on each link",
    options: &[
        TARGETS,
        DIRECTION,
        TO,
        OptionEntry {
            name: "rate",
            key: "rate_bits_per_s",
            kind: OptionKind::Rate,
            default: &["1mbit", "256kbit"],
            about: "how many bits a second pass",
        },
    ],
    works: "labs with a switch, else nodes with tc (htb)",
    verified: "a stream of datagrams of three times the rate on the harmed links: the rate at which they arrive",
    undone: UNDONE,
    needs: |_| needs(false),
    decide: |ask| super::decide(ask, Kind::Bandwidth),
    label,
};

/// Queue and release.
pub const HOLD: FaultEntry = FaultEntry {
    name: "hold",
    family: Family::Network,
    about: "keeps all packets between nodes and lets them go together when it ends: late, but not lost",
    options: &[TARGETS, DIRECTION, TO],
    works: "labs with a switch",
    verified: "UDP datagrams between every pair of nodes: none on the harmed links, some everywhere else",
    undone: "the switch lets go what it holds; by the ground itself when its lease ends",
    needs: |_| vec![Need::Ground(Ability::Links), Need::Probe, two_nodes()],
    decide: |ask| super::decide(ask, Kind::Hold),
    label,
};

const fn share(
    name: &'static str,
    key: &'static str,
    default: &'static [&'static str],
    about: &'static str,
) -> OptionEntry {
    OptionEntry { name, key, kind: OptionKind::Share, default, about }
}

fn two_nodes() -> Need {
    Need::Nodes { at_least: 2, of: "a fault of links".to_owned() }
}

fn needs(with_netem: bool) -> Vec<Need> {
    let kind = if with_netem { "netem delay 1ms" } else { "bfifo limit 10000" };
    let on_nodes = Need::OnNodes {
        what: "shaping packets on the node".to_owned(),
        script: scripts::netem_missing(kind),
        hint: "Use a lab with a switch, or nodes whose kernel has sch_netem and sch_htb, with iproute2".to_owned(),
    };
    vec![Need::AnyOf(vec![Need::Ground(Ability::Links), on_nodes]), Need::Probe, two_nodes()]
}

/// The shape that an intention means.
pub(super) fn shape(ask: &Ask<'_>, kind: Kind) -> Result<LinkShape, FaultError> {
    let mut shape = LinkShape::default();
    let ppm = |key: &str| -> Result<u32, FaultError> {
        let ppm = u32::try_from(ask.number(key)?).ok().filter(|ppm| *ppm <= 1_000_000);
        ppm.ok_or_else(|| ask.wrong(format!("its `{key}` is more than a whole")))
    };
    let us = |key: &str| ask.number(key).map(|ms| ms.saturating_mul(1000));
    match kind {
        Kind::Delay => {
            shape.delay_us = us("delay_ms")?;
            shape.jitter_us = if ask.intention.value("jitter_ms").is_some() { us("jitter_ms")? } else { 0 };
            if let Some(value) = ask.intention.value("distribution") {
                let read = serde_json::from_value::<Distribution>(value.clone());
                shape.distribution = read.map_err(|error| ask.wrong(format!("its `distribution`: {error}")))?;
            }
        }
        Kind::Loss => {
            shape.loss_ppm = ppm("loss_ppm")?;
            if ask.intention.value("correlation_ppm").is_some() {
                shape.loss_correlation_ppm = ppm("correlation_ppm")?;
            }
        }
        Kind::Duplicate => shape.duplicate_ppm = ppm("duplicate_ppm")?,
        Kind::Reorder => {
            (shape.reorder_ppm, shape.delay_us) = (ppm("reorder_ppm")?, us("delay_ms")?);
        }
        Kind::Corrupt => shape.corrupt_ppm = ppm("corrupt_ppm")?,
        Kind::Bandwidth => shape.rate_bits_per_s = ask.number("rate_bits_per_s")?,
        Kind::Hold => shape.hold = true,
    }
    let nothing = match kind {
        Kind::Loss => shape.loss_ppm == 0,
        Kind::Reorder => shape.reorder_ppm == 0,
        _ => shape.is_nothing(),
    };
    if nothing { Err(ask.wrong("it asks for no harm at all (0)".to_owned())) } else { Ok(shape) }
}

/// `20% lost (bursts: 25%)`, `100ms ± 10ms`.
pub(super) fn told(shape: &LinkShape) -> String {
    let percent = |ppm: u32| format!("{}%", f64::from(ppm) / 10_000.0);
    let ms = |us: u64| DurationText::from_ms(us / 1000).to_string();
    let mut parts = Vec::new();
    if shape.reorder_ppm > 0 {
        parts.push(format!("{} overtake what waits {}", percent(shape.reorder_ppm), ms(shape.delay_us)));
    } else if shape.delay_us > 0 || shape.jitter_us > 0 {
        let mut text = format!("{} later", ms(shape.delay_us));
        if shape.jitter_us > 0 {
            let distribution = format!("{:?}", shape.distribution).to_lowercase();
            text = format!("{} ± {} later ({distribution})", ms(shape.delay_us), ms(shape.jitter_us));
        }
        parts.push(text);
    }
    if shape.loss_ppm > 0 {
        let bursts = shape.loss_correlation_ppm;
        let tied = if bursts > 0 { format!(" (correlation {})", percent(bursts)) } else { String::new() };
        parts.push(format!("{} lost{tied}", percent(shape.loss_ppm)));
    }
    for (ppm, what) in [(shape.duplicate_ppm, "twice"), (shape.corrupt_ppm, "damaged")] {
        if ppm > 0 {
            parts.push(format!("{} {what}", percent(ppm)));
        }
    }
    if shape.rate_bits_per_s > 0 {
        let rate = OptionKind::Rate.show(&Value::from(shape.rate_bits_per_s));
        parts.push(format!("at most {} a second", rate.as_str().unwrap_or_default()));
    }
    if shape.hold {
        parts.push("held".to_owned());
    }
    parts.join(", ")
}

/// One line before the nodes are known: `one, both, 100ms, 10ms, uniform` would say little, so with names.
fn label(intention: &Intention) -> String {
    let mut parts = Vec::new();
    for option in intention.entry().options {
        let Some(value) = intention.value(option.key) else { continue };
        let shown = match option.kind.show(value) {
            Value::String(text) => text,
            Value::Array(nodes) => nodes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
        match (option.name, shown.as_str()) {
            ("targets", _) => parts.push(shown),
            ("to", "all") | ("direction", "both") | ("distribution", "uniform") | ("jitter", "0ms") => {}
            ("correlation", "0%") => {}
            ("direction", "in") => parts.push("what it is sent".to_owned()),
            ("direction", _) => parts.push("what it sends".to_owned()),
            (name, _) if name == intention.entry().name => parts.push(shown),
            (name, _) => parts.push(format!("{name} {shown}")),
        }
    }
    parts.join(", ")
}
