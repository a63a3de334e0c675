//! What happens to frames between nodes: frames and times in, frames and times out. No clock, no I/O; all chance from one
//! seed, with a stream of its own for each link, so that the traffic of one link does not change the fate of another's.
//!
//! A frame of a shaped link goes through these stages, in this order: cut, hold, loss, duplication, corruption (each copy
//! by itself), rate (it leaves when those before it have left), delay. Frames of a link stay in order, also where the
//! jitter would turn it (a link in which waits scatter is one with a queue; netem lets them overtake), except those that
//! are reordered on purpose: these skip the delay.
//!
//! Cost of a frame: constant on a link without rules, logarithmic in the number of waiting frames where it must wait.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, VecDeque};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_cluster::link::LinkShape;
use schism_history::Seed;
use serde::Serialize;

use super::chance::{delay_ns, is_lost, strikes};
use super::shape::delay_ns_max;

/// A slow link keeps at most as much as passes in this time; what comes on top is dropped, as by a router.
const BACKLOG_NS_MAX: u64 = 500_000_000;
/// What may wait or be held, in bytes; what comes on top is dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// On one link.
    pub(crate) link_bytes_max: usize,
    /// On all links.
    pub(crate) all_bytes_max: usize,
}

impl Room {
    /// Whether one more frame may wait.
    fn is_for(&self, frame: &[u8], bytes_of_all: usize, bytes_of_link: usize) -> bool {
        bytes_of_link + cost(frame) <= self.link_bytes_max && bytes_of_all + cost(frame) <= self.all_bytes_max
    }
}

/// Far more than TCP's windows on each link; and no more in all than a machine that holds a lab can spare.
pub(crate) const ROOM: Room = Room { link_bytes_max: 32 << 20, all_bytes_max: 256 << 20 };
/// What a waiting frame costs beside its bytes.
const FRAME_BYTES: usize = 96;
/// Length of an Ethernet header.
const HEADER: usize = 14;

/// What happened to the frames of a link in one direction since rules first named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Counters {
    /// Frames that came to the link.
    pub(crate) offered: u64,
    /// Frames that came out of it, copies included.
    pub(crate) passed: u64,
    /// Lost by chance.
    pub(crate) lost: u64,
    /// Dropped by a cut.
    pub(crate) cut: u64,
    /// Dropped as too many waited or were held.
    pub(crate) overflowed: u64,
    /// Further copies.
    pub(crate) duplicated: u64,
    /// Frames that overtook others.
    pub(crate) reordered: u64,
    /// Frames with a bit flipped.
    pub(crate) corrupted: u64,
    /// Frames that were held, released since or not.
    pub(crate) held: u64,
    /// How long those that passed had waited, all together.
    pub(crate) delayed_us: u64,
}

impl Counters {
    /// What happened since.
    pub(crate) fn since(&self, before: &Counters) -> Counters {
        Counters {
            offered: self.offered - before.offered,
            passed: self.passed - before.passed,
            lost: self.lost - before.lost,
            cut: self.cut - before.cut,
            overflowed: self.overflowed - before.overflowed,
            duplicated: self.duplicated - before.duplicated,
            reordered: self.reordered - before.reordered,
            corrupted: self.corrupted - before.corrupted,
            held: self.held - before.held,
            delayed_us: self.delayed_us - before.delayed_us,
        }
    }
}

/// Takes frames out of the engine: the port, and the frame.
pub(crate) type Out<'a> = dyn FnMut(usize, &[u8]) + 'a;

/// The engine. Port 0 is the controller's; node `i` (from 0) has port `i + 1`.
pub(crate) struct Engine {
    nodes: usize,
    seed: Seed,
    ports: HashMap<[u8; 6], usize>,
    /// By `from * nodes + to`; those that rules have named.
    links: Vec<Option<Box<Link>>>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
    room: Room,
    sequence: u64,
}

/// A link in one direction.
struct Link {
    to_port: usize,
    shape: LinkShape,
    chance: ChaCha8Rng,
    was_lost: Option<bool>,
    /// When the last frame will have left, where there is a rate.
    busy_until_ns: u64,
    /// When the last frame in order is due.
    due_ns_last: u64,
    /// Frames in the heap.
    waiting: usize,
    held: VecDeque<(u64, Box<[u8]>)>,
    /// Of both.
    bytes: usize,
    counters: Counters,
}

/// A frame that waits. The sequence decides where two are due at once.
struct Waiting {
    due_ns: u64,
    sequence: u64,
    came_ns: u64,
    link: usize,
    frame: Box<[u8]>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        (self.due_ns, self.sequence).cmp(&(other.due_ns, other.sequence))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl Engine {
    /// With the hardware addresses of the ports, the controller's first.
    pub(crate) fn new(addresses: &[[u8; 6]], seed: Seed, room: Room) -> Engine {
        let nodes = addresses.len().saturating_sub(1);
        Engine {
            nodes,
            seed,
            ports: addresses.iter().copied().zip(0..).collect(),
            links: (0..nodes * nodes).map(|_| None).collect(),
            waiting: BinaryHeap::new(),
            bytes: 0,
            room,
            sequence: 0,
        }
    }

    /// A frame that came into a port. One for a hardware address that no port has, or for many, goes to all others, each
    /// copy through its own link.
    pub(crate) fn frame(&mut self, now_ns: u64, from: usize, frame: &[u8], out: &mut Out<'_>) {
        let Some(to) = frame.first_chunk::<6>().filter(|_| frame.len() >= HEADER) else { return };
        match self.ports.get(to).copied() {
            Some(to) if to == from => {}
            Some(to) => self.travel(now_ns, from, to, frame, out),
            None => (0..=self.nodes).filter(|to| *to != from).for_each(|to| self.travel(now_ns, from, to, frame, out)),
        }
    }

    fn travel(&mut self, now_ns: u64, from: usize, to: usize, frame: &[u8], out: &mut Out<'_>) {
        let at = from.checked_sub(1).zip(to.checked_sub(1)).map(|(from, to)| from * self.nodes + to);
        let Some(at) = at.filter(|at| matches!(self.links.get(*at), Some(Some(_)))) else { return out(to, frame) };
        if asks_for_neighbours(frame) {
            return out(to, frame);
        }
        let Some(link) = self.links[at].as_deref_mut() else { return };
        link.counters.offered += 1;
        if link.shape.cut {
            link.counters.cut += 1;
        } else if !link.shape.hold {
            self.pass(now_ns, now_ns, at, frame, out);
        } else if !self.room.is_for(frame, self.bytes, link.bytes) {
            link.counters.overflowed += 1;
        } else {
            link.counters.held += 1;
            link.bytes += cost(frame);
            self.bytes += cost(frame);
            link.held.push_back((now_ns, frame.into()));
        }
    }

    /// The stages behind cut and hold.
    fn pass(&mut self, now_ns: u64, came_ns: u64, at: usize, frame: &[u8], out: &mut Out<'_>) {
        let Some(link) = self.links[at].as_deref_mut() else { return };
        let lost = is_lost(&mut link.chance, &link.shape, link.was_lost);
        link.was_lost = Some(lost);
        if lost {
            link.counters.lost += 1;
            return;
        }
        let twice = strikes(&mut link.chance, link.shape.duplicate_ppm);
        link.counters.duplicated += u64::from(twice);
        for _ in 0..1 + usize::from(twice) {
            let Some(link) = self.links[at].as_deref_mut() else { return };
            let frame = link.corrupted(frame);
            let Some(due_ns) = link.due_ns(now_ns, frame.len()) else {
                link.counters.overflowed += 1;
                continue;
            };
            if due_ns <= now_ns && link.waiting == 0 {
                link.counters.passed += 1;
                link.counters.delayed_us += now_ns.saturating_sub(came_ns) / 1_000;
                out(link.to_port, &frame);
            } else if !self.room.is_for(&frame, self.bytes, link.bytes) {
                link.counters.overflowed += 1;
            } else {
                link.waiting += 1;
                link.bytes += cost(&frame);
                self.bytes += cost(&frame);
                self.sequence += 1;
                let frame = frame.into_owned().into_boxed_slice();
                self.waiting.push(Reverse(Waiting { due_ns, sequence: self.sequence, came_ns, link: at, frame }));
            }
        }
    }

    /// When the next waiting frame is due.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.peek().map(|Reverse(next)| next.due_ns)
    }

    /// Lets the frames go that are due. To be called before frames that came later are handed in.
    pub(crate) fn due(&mut self, now_ns: u64, out: &mut Out<'_>) {
        while self.next_due_ns().is_some_and(|due_ns| due_ns <= now_ns)
            && let Some(Reverse(next)) = self.waiting.pop()
        {
            self.bytes -= cost(&next.frame);
            let Some(link) = self.links[next.link].as_deref_mut() else { continue };
            link.waiting -= 1;
            link.bytes -= cost(&next.frame);
            link.counters.passed += 1;
            link.counters.delayed_us += now_ns.saturating_sub(next.came_ns) / 1_000;
            out(link.to_port, &next.frame);
        }
    }

    /// What happened on the link between two nodes since rules first named it.
    pub(crate) fn counters(&self, (from, to): (usize, usize)) -> Counters {
        self.links.get(from * self.nodes + to).and_then(Option::as_deref).map(|link| link.counters).unwrap_or_default()
    }

    /// Gives the link between two nodes another shape. A cut drops what waits there; what is no longer held goes through
    /// the new shape, in order; nothing waits longer than the new shape would let it.
    pub(crate) fn set(&mut self, now_ns: u64, (from, to): (usize, usize), shape: LinkShape, out: &mut Out<'_>) {
        if from >= self.nodes || to >= self.nodes || from == to {
            return;
        }
        let at = from * self.nodes + to;
        let seed = self.seed;
        let fresh = || Box::new(Link::new(to + 1, seed.stream(&format!("switch/{from}/{to}"))));
        let link = self.links[at].get_or_insert_with(fresh);
        if link.shape.rate_bits_per_s != shape.rate_bits_per_s {
            link.busy_until_ns = now_ns;
        }
        if (link.shape.loss_ppm, link.shape.loss_correlation_ppm) != (shape.loss_ppm, shape.loss_correlation_ppm) {
            link.was_lost = None;
        }
        let latest_ns = link.busy_until_ns.max(now_ns).saturating_add(delay_ns_max(&shape));
        link.due_ns_last = link.due_ns_last.min(latest_ns);
        let (cut, hold, waits) = (shape.cut, shape.hold, link.waiting > 0);
        link.shape = shape;
        if cut && waits {
            self.drop_waiting(at);
        } else if waits {
            let mut all = std::mem::take(&mut self.waiting).into_vec();
            let its = all.iter_mut().filter(|Reverse(waiting)| waiting.link == at);
            its.for_each(|Reverse(waiting)| waiting.due_ns = waiting.due_ns.min(latest_ns));
            self.waiting = all.into();
        }
        if !hold {
            self.release(now_ns, at, out);
        }
    }

    fn drop_waiting(&mut self, at: usize) {
        let all = std::mem::take(&mut self.waiting).into_vec();
        let (dropped, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|Reverse(waiting)| waiting.link == at);
        self.waiting = kept.into();
        let bytes: usize = dropped.iter().map(|Reverse(waiting)| cost(&waiting.frame)).sum();
        self.bytes -= bytes;
        if let Some(link) = self.links[at].as_deref_mut() {
            link.bytes -= bytes;
            link.waiting = 0;
            link.counters.cut += dropped.len() as u64;
        }
    }

    /// Lets go what is held, which then meets what the link does otherwise.
    fn release(&mut self, now_ns: u64, at: usize, out: &mut Out<'_>) {
        let Some(link) = self.links[at].as_deref_mut() else { return };
        let held = std::mem::take(&mut link.held);
        let bytes: usize = held.iter().map(|(_, frame)| cost(frame)).sum();
        link.bytes -= bytes;
        self.bytes -= bytes;
        if link.shape.cut {
            link.counters.cut += held.len() as u64;
            return;
        }
        for (came_ns, frame) in held {
            self.pass(now_ns, came_ns, at, &frame, out);
        }
    }
}

impl Link {
    fn new(to_port: usize, chance: ChaCha8Rng) -> Link {
        Link {
            to_port,
            shape: LinkShape::default(),
            chance,
            was_lost: None,
            busy_until_ns: 0,
            due_ns_last: 0,
            waiting: 0,
            held: VecDeque::new(),
            bytes: 0,
            counters: Counters::default(),
        }
    }

    /// The frame, with one bit flipped behind the Ethernet header if chance wants it: one in the header would only keep
    /// it from the node, where a real network's own checksum had found it anyway.
    fn corrupted<'a>(&mut self, frame: &'a [u8]) -> Cow<'a, [u8]> {
        if frame.len() <= HEADER || !strikes(&mut self.chance, self.shape.corrupt_ppm) {
            return Cow::Borrowed(frame);
        }
        self.counters.corrupted += 1;
        let bit = self.chance.random_range(HEADER * 8..frame.len() * 8);
        let mut frame = frame.to_vec();
        frame[bit / 8] ^= 1 << (bit % 8);
        Cow::Owned(frame)
    }

    /// When a frame of this length is due; none if too many bits wait to leave before it.
    fn due_ns(&mut self, now_ns: u64, length: usize) -> Option<u64> {
        let mut leaves_ns = now_ns;
        // The longest frame has a million bits: no overflow. A rate of 0 is none.
        if let Some(takes_ns) = (length as u64 * 8 * 1_000_000_000).checked_div(self.shape.rate_bits_per_s) {
            if self.busy_until_ns.saturating_sub(now_ns) > BACKLOG_NS_MAX {
                return None;
            }
            self.busy_until_ns = self.busy_until_ns.max(now_ns) + takes_ns;
            leaves_ns = self.busy_until_ns;
        }
        let waits_ns = delay_ns(&mut self.chance, &self.shape);
        if strikes(&mut self.chance, self.shape.reorder_ppm) && self.waiting > 0 && leaves_ns < self.due_ns_last {
            self.counters.reordered += 1;
            return Some(leaves_ns);
        }
        self.due_ns_last = self.due_ns_last.max(leaves_ns.saturating_add(waits_ns));
        Some(self.due_ns_last)
    }
}

/// What a waiting frame takes of what may wait.
fn cost(frame: &[u8]) -> usize {
    frame.len() + FRAME_BYTES
}

/// Whether this is ARP or IPv6 neighbour discovery (RFC 4861: ICMPv6 of the types 133 to 137, directly behind the header).
fn asks_for_neighbours(frame: &[u8]) -> bool {
    const ICMP_V6: u8 = 58;
    match frame.get(12..14) {
        Some([0x08, 0x06]) => true,
        Some([0x86, 0xdd]) => {
            frame.get(20) == Some(&ICMP_V6) && frame.get(54).is_some_and(|kind| (133..=137).contains(kind))
        }
        _ => false,
    }
}
