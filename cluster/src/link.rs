//! What may be done to the packets of a link: one description for every tool that does it (netem, a userspace switch).

use schism_history::Node;
use serde::{Deserialize, Serialize};

/// How delays scatter around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Evenly within the jitter.
    #[default]
    Uniform,
    /// Normal, with the jitter as standard deviation.
    Normal,
    /// Pareto, with the jitter as standard deviation: long tails.
    Pareto,
}

/// What is done to the packets of a link in one direction. What is 0 (or `false`) is not done. Parts per million and
/// microseconds are whole numbers, so that what stands in a ledger is exactly what was meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkShape {
    /// Each packet waits this long.
    pub delay_us: u64,
    /// By how much that scatters.
    pub jitter_us: u64,
    /// How it scatters.
    pub distribution: Distribution,
    /// How many of a million packets are lost.
    pub loss_ppm: u32,
    /// How much whether a packet is lost depends on the one before (parts of a million; 0: not at all).
    pub loss_correlation_ppm: u32,
    /// How many of a million packets come twice.
    pub duplicate_ppm: u32,
    /// How many of a million packets overtake those that wait (needs a delay).
    pub reorder_ppm: u32,
    /// How many of a million packets have one bit flipped.
    pub corrupt_ppm: u32,
    /// How many bits a second pass.
    pub rate_bits_per_s: u64,
    /// Packets are kept and let go together when the shape is taken away (a switch can, netem cannot).
    pub hold: bool,
    /// No packet passes.
    pub cut: bool,
}

impl LinkShape {
    /// Whether it does anything.
    pub fn is_nothing(&self) -> bool {
        *self == LinkShape { distribution: self.distribution, ..LinkShape::default() }
    }
}

/// A link in one direction, and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRule {
    /// From where the packets come.
    pub from: Node,
    /// Where they go.
    pub to: Node,
    /// What is done to them.
    pub shape: LinkShape,
}
