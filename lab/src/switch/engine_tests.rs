//! The engine and its rules in virtual time: each shape alone, together, and as they come and go.

use schism_cluster::link::{Distribution, LinkRule, LinkShape};
use schism_history::{Node, Seed};
use serde_json::json;

use super::engine::{Engine, ROOM, Room};
use super::rules::Rules;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// A switch with a clock of its own.
struct World {
    rules: Rules,
    now_ns: u64,
    /// When, at which port, what.
    came: Vec<(u64, usize, Vec<u8>)>,
}

impl World {
    fn new(nodes: usize, seed: u64) -> World {
        World::with_room(nodes, seed, ROOM)
    }

    fn with_room(nodes: usize, seed: u64, room: Room) -> World {
        let names: Vec<String> = (1..=nodes).map(|node| format!("n{node}")).collect();
        let addresses: Vec<[u8; 6]> = (0..=nodes).map(address).collect();
        World { rules: Rules::new(&names, Engine::new(&addresses, Seed(seed), room)), now_ns: 0, came: Vec::new() }
    }

    /// Goes on to this time, as the thread would: woken for each frame that is due.
    fn until(&mut self, end_ns: u64) {
        while let Some(due_ns) = self.rules.engine.next_due_ns().filter(|due_ns| *due_ns <= end_ns) {
            self.now_ns = self.now_ns.max(due_ns);
            let (now_ns, came) = (self.now_ns, &mut self.came);
            self.rules.engine.due(now_ns, &mut |port, frame| came.push((now_ns, port, frame.to_vec())));
        }
        self.now_ns = end_ns;
    }

    fn send(&mut self, from: usize, frame: &[u8]) {
        let (now_ns, came) = (self.now_ns, &mut self.came);
        self.rules.engine.frame(now_ns, from, frame, &mut |port, frame| came.push((now_ns, port, frame.to_vec())));
    }

    fn shape(&mut self, tag: &str, links: &[(usize, usize, LinkShape)]) -> serde_json::Value {
        let node = |at: usize| Node::new(&format!("n{at}"));
        let rules: Vec<LinkRule> = links
            .iter()
            .map(|(from, to, shape)| LinkRule { from: node(*from), to: node(*to), shape: shape.clone() })
            .collect();
        let (now_ns, came) = (self.now_ns, &mut self.came);
        let out = &mut |port: usize, frame: &[u8]| came.push((now_ns, port, frame.to_vec()));
        serde_json::to_value(self.rules.set(now_ns, tag, &rules, out).unwrap()).unwrap()
    }

    fn clear(&mut self, tag: &str) -> serde_json::Value {
        let (now_ns, came) = (self.now_ns, &mut self.came);
        let out = &mut |port: usize, frame: &[u8]| came.push((now_ns, port, frame.to_vec()));
        serde_json::to_value(self.rules.clear(now_ns, tag, out)).unwrap()
    }

    /// Sends this many numbered frames of 1000 bytes from node 1 to node 2, one each so many nanoseconds.
    fn stream(&mut self, count: u32, each_ns: u64) {
        for number in 0..count {
            self.send(1, &frame(1, 2, number));
            self.until(self.now_ns + each_ns);
        }
    }

    /// The numbers that came to a port, in order.
    fn numbers(&self, at: usize) -> Vec<u32> {
        self.came.iter().filter(|(_, port, _)| *port == at).map(|(_, _, frame)| number(frame)).collect()
    }
}

fn address(port: usize) -> [u8; 6] {
    [2, 0x77, 0, 0, 0, port as u8]
}

/// An IPv4 frame of 1000 bytes, as far as its Ethernet header tells, with a number at its end.
fn frame(from: usize, to: usize, number: u32) -> Vec<u8> {
    let mut frame = [&address(to)[..], &address(from), &[8, 0], &[0; 982], &number.to_be_bytes()].concat();
    frame.truncate(1000);
    frame
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(*frame.last_chunk().unwrap())
}

fn none() -> LinkShape {
    LinkShape::default()
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

#[test]
fn without_rules_everything_passes_at_once() {
    let mut world = World::new(3, 1);
    world.send(1, &frame(1, 2, 7));
    world.send(2, &frame(2, 0, 8));
    // To itself, and too short for a frame.
    world.send(1, &frame(1, 1, 9));
    world.send(1, &[2, 0x77, 0, 0, 0, 2, 0]);
    world.send(1, &[]);
    let wanted = vec![(0, 2, frame(1, 2, 7)), (0, 0, frame(2, 0, 8))];
    assert_eq!(world.came, wanted);
    // To many, and to an address that nobody has: to all others.
    for to in [[0xff; 6], [0x33, 0x33, 0, 0, 0, 1], [6; 6]] {
        world.came.clear();
        world.send(2, &[&to[..], &frame(2, 0, 1)[6..]].concat());
        assert_eq!(world.came.iter().map(|(_, port, _)| *port).collect::<Vec<_>>(), [0, 1, 3]);
    }
}

#[test]
fn delay_in_one_direction_only() {
    let mut world = World::new(2, 1);
    world.shape("t", &[(1, 2, LinkShape { delay_us: 50_000, ..none() })]);
    world.send(1, &frame(1, 2, 1));
    world.send(2, &frame(2, 1, 2));
    world.send(0, &frame(0, 2, 3));
    world.send(2, &frame(2, 0, 4));
    world.until(SECOND);
    let seen: Vec<(u64, usize, u32)> = world.came.iter().map(|(at, port, frame)| (*at, *port, number(frame))).collect();
    assert_eq!(seen, [(0, 1, 2), (0, 2, 3), (0, 0, 4), (50 * MS, 2, 1)]);
    let happened = world.clear("t");
    let wanted = json!({"links": [{"from": "n1", "to": "n2", "offered": 1, "passed": 1, "lost": 0, "cut": 0,
        "overflowed": 0, "duplicated": 0, "reordered": 0, "corrupted": 0, "held": 0, "delayed_us": 50_000}]});
    assert_eq!(happened, wanted);
}

#[test]
fn jitter_keeps_the_order() {
    for distribution in [Distribution::Uniform, Distribution::Normal, Distribution::Pareto] {
        let mut world = World::new(2, 2);
        let shape = LinkShape { delay_us: 50_000, jitter_us: 10_000, distribution, ..none() };
        world.shape("t", &[(1, 2, shape)]);
        // Seldom enough that few wait for their predecessors: then the mean is the delay.
        world.stream(2_000, 100 * MS);
        world.until(world.now_ns + 10 * SECOND);
        assert_eq!(world.numbers(2), (0..2_000).collect::<Vec<_>>(), "{distribution:?}");
        let total_ns: u64 = world.came.iter().map(|(at, _, frame)| at - u64::from(number(frame)) * 100 * MS).sum();
        let mean_ms = total_ns as f64 / 2_000.0 / 1e6;
        assert!((mean_ms - 50.0).abs() < 1.5, "{distribution:?}: {mean_ms} ms");
        // Often enough that the jitter alone would turn many.
        world.came.clear();
        world.stream(2_000, MS);
        world.until(world.now_ns + 10 * SECOND);
        assert_eq!(world.numbers(2), (0..2_000).collect::<Vec<_>>(), "{distribution:?}");
    }
}

#[test]
fn loss_duplication_and_corruption_come_as_often_as_asked() {
    let shape = LinkShape { loss_ppm: 300_000, ..none() };
    let mut world = World::new(2, 3);
    world.shape("t", &[(1, 2, shape)]);
    world.stream(20_000, 1000);
    let came = world.numbers(2);
    assert!((share(came.len(), 20_000) - 0.7).abs() < 0.01, "{}", came.len());
    assert!(came.is_sorted(), "what is not lost stays in order");

    let mut world = World::new(2, 3);
    world.shape("t", &[(1, 2, LinkShape { duplicate_ppm: 200_000, ..none() })]);
    world.stream(20_000, 1000);
    let came = world.numbers(2);
    assert!((share(came.len(), 20_000) - 1.2).abs() < 0.01, "{}", came.len());
    let distinct: std::collections::BTreeSet<u32> = came.iter().copied().collect();
    assert!(came.is_sorted() && distinct.len() == 20_000, "a copy comes right behind");

    let mut world = World::new(2, 3);
    world.shape("t", &[(1, 2, LinkShape { corrupt_ppm: 100_000, ..none() })]);
    let mut flipped = Vec::new();
    for at in 0..20_000 {
        let sent = frame(1, 2, at);
        world.send(1, &sent);
        let (_, _, came) = world.came.pop().unwrap();
        let bits = sent.iter().zip(&came).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        assert!(bits <= 1 && sent.len() == came.len());
        if bits == 1 {
            flipped.push(sent.iter().zip(&came).position(|(a, b)| a != b).unwrap());
        }
    }
    assert!((share(flipped.len(), 20_000) - 0.1).abs() < 0.01, "{}", flipped.len());
    let (first, last) = (flipped.iter().min().unwrap(), flipped.iter().max().unwrap());
    assert!(*first >= 14 && *first < 20 && *last > 990, "anywhere behind the Ethernet header: {first} to {last}");
}

#[test]
fn losses_of_a_link_come_in_bursts_where_that_is_asked_for() {
    let mut world = World::new(2, 12);
    let shape = LinkShape { loss_ppm: 300_000, loss_correlation_ppm: 800_000, ..none() };
    world.shape("t", &[(1, 2, shape)]);
    world.stream(50_000, 1000);
    let came = world.numbers(2);
    let gaps: Vec<u32> = came.windows(2).map(|two| two[1] - two[0] - 1).filter(|gap| *gap > 0).collect();
    let length = f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64;
    // 1 / (0.7 · 0.2)
    assert!((share(came.len(), 50_000) - 0.7).abs() < 0.02 && (length - 7.14).abs() < 0.4, "{} {length}", came.len());
    // Another rule does not go on from what was: all are lost, though none was before and each is as the one before.
    world.shape("t", &[(1, 2, LinkShape { loss_ppm: 1, ..none() })]);
    world.stream(10, 1000);
    world.came.clear();
    world.shape("t", &[(1, 2, LinkShape { loss_ppm: 1_000_000, loss_correlation_ppm: 1_000_000, ..none() })]);
    world.stream(10, 1000);
    assert_eq!(world.came, []);
}

#[test]
fn reordered_frames_overtake_and_only_they() {
    let mut world = World::new(2, 4);
    let shape = LinkShape { delay_us: 20_000, reorder_ppm: 100_000, ..none() };
    world.shape("t", &[(1, 2, shape)]);
    world.stream(10_000, MS);
    world.until(world.now_ns + SECOND);
    let came = world.numbers(2);
    assert_eq!(came.len(), 10_000);
    // Who comes while one with a lower number is still to come has overtaken it.
    let mut lowest_behind = u32::MAX;
    let mut overtook = 0;
    for number in came.iter().rev() {
        overtook += usize::from(*number > lowest_behind);
        lowest_behind = lowest_behind.min(*number);
    }
    assert!((share(overtook, 10_000) - 0.1).abs() < 0.01, "{overtook}");
    // The others are in order among themselves: they waited the whole delay.
    let late: Vec<u32> = world
        .came
        .iter()
        .filter(|(at, _, frame)| at - u64::from(number(frame)) * MS == 20 * MS)
        .map(|(_, _, frame)| number(frame))
        .collect();
    assert!(late.is_sorted() && late.len() == 10_000 - overtook, "{}", late.len());
    assert_eq!(world.clear("t")["links"][0]["reordered"], overtook);
    // Nothing waits, so nothing can be overtaken.
    let mut world = World::new(2, 4);
    world.shape("t", &[(1, 2, LinkShape { reorder_ppm: 1_000_000, ..none() })]);
    world.stream(100, MS);
    assert_eq!(world.clear("t")["links"][0]["reordered"], 0);
}

#[test]
fn a_rate_lets_so_many_bits_pass_and_drops_what_does_not_fit() {
    let mut world = World::new(2, 5);
    world.shape("t", &[(1, 2, LinkShape { rate_bits_per_s: 1_000_000, ..none() })]);
    // Twice what passes, for ten seconds.
    world.stream(2_500, 4 * MS);
    let bits = 8_000 * world.came.len() as u64;
    assert!((9_900_000..=10_010_000).contains(&bits), "{bits} bits in 10 s at 1 Mbit/s");
    assert!(world.numbers(2).is_sorted());
    let gaps: Vec<u64> = world.came.windows(2).map(|two| two[1].0 - two[0].0).collect();
    assert!(gaps.iter().all(|gap| *gap == 8 * MS), "evenly");
    world.until(world.now_ns + 10 * SECOND);
    let happened = world.clear("t");
    // Half a second's worth was waiting in the end.
    assert_eq!(bits / 8_000 + 63, world.came.len() as u64);
    assert_eq!(happened["links"][0]["overflowed"], 2_500 - world.came.len());
    // A frame that takes longer than the queue is long passes all the same.
    world.came.clear();
    world.shape("t", &[(1, 2, LinkShape { rate_bits_per_s: 8_000, ..none() })]);
    let start_ns = world.now_ns;
    world.stream(2, 2 * SECOND);
    assert_eq!(world.came.iter().map(|(at, ..)| at - start_ns).collect::<Vec<_>>(), [SECOND, 3 * SECOND]);
}

#[test]
fn what_is_held_comes_in_order_when_it_is_let_go() {
    let mut world = World::new(2, 6);
    world.shape("t", &[(1, 2, LinkShape { hold: true, ..none() })]);
    world.stream(100, MS);
    assert_eq!(world.came, []);
    assert_eq!(world.rules.engine.next_due_ns(), None, "nothing to wake for");
    let happened = world.clear("t");
    assert_eq!((&happened["links"][0]["held"], &happened["links"][0]["passed"]), (&json!(100), &json!(100)));
    assert_eq!(happened["links"][0]["delayed_us"], json!((1..=100).map(|ms| ms * 1_000).sum::<u64>()));
    assert_eq!(world.numbers(2), (0..100).collect::<Vec<_>>());
    // What is held on by another tag stays; what another tag does is done as it goes.
    world.came.clear();
    world.shape("a", &[(1, 2, LinkShape { hold: true, ..none() })]);
    world.shape("b", &[(1, 2, LinkShape { hold: true, delay_us: 5_000, ..none() })]);
    world.stream(10, MS);
    world.clear("a");
    world.until(world.now_ns + SECOND);
    assert_eq!(world.came, []);
    let start_ns = world.now_ns;
    world.shape("b", &[(1, 2, LinkShape { delay_us: 5_000, ..none() })]);
    world.send(1, &frame(1, 2, 10));
    world.until(world.now_ns + SECOND);
    assert_eq!(world.numbers(2), (0..11).collect::<Vec<_>>());
    assert!(world.came.iter().all(|(at, ..)| *at == start_ns + 5 * MS));
    // What is held when a cut comes stays held; where the hold goes first, the cut takes it.
    world.came.clear();
    world.shape("b", &[(1, 2, LinkShape { hold: true, ..none() })]);
    world.stream(10, MS);
    world.shape("cut", &[(1, 2, LinkShape { cut: true, ..none() })]);
    world.clear("cut");
    world.clear("b");
    assert_eq!(world.numbers(2), (0..10).collect::<Vec<_>>());
    world.shape("b", &[(1, 2, LinkShape { hold: true, ..none() })]);
    world.stream(10, MS);
    world.shape("cut", &[(1, 2, LinkShape { cut: true, ..none() })]);
    assert_eq!(world.clear("b")["links"][0]["passed"], 0);
    assert_eq!((world.numbers(2).len(), &world.clear("cut")["links"][0]["cut"]), (10, &json!(10)));
}

#[test]
fn what_waits_has_a_limit_for_each_link_and_for_all() {
    // A frame of 1000 bytes takes 1096.
    let room = Room { link_bytes_max: 110_000, all_bytes_max: 150_000 };
    let (per_link, in_all) = (100, 136);
    let hold = || LinkShape { hold: true, ..none() };
    let delay = || LinkShape { delay_us: 10_000, ..none() };
    let mut world = World::with_room(3, 6, room);
    // Again and again, as what was let go gives its room back.
    for shape in [hold(), delay(), hold(), delay()] {
        world.came.clear();
        world.shape("t", &[(1, 2, shape.clone()), (1, 3, shape)]);
        (0..120).for_each(|number| world.send(1, &frame(1, 2, number)));
        (0..120).for_each(|number| world.send(1, &frame(1, 3, number)));
        world.until(world.now_ns + SECOND);
        let happened = world.clear("t");
        assert_eq!(world.numbers(2), (0..per_link).collect::<Vec<_>>(), "the first ones are kept");
        assert_eq!(world.numbers(3), (0..in_all - per_link).collect::<Vec<_>>());
        let overflowed = |at: usize| happened["links"][at]["overflowed"].clone();
        assert_eq!((overflowed(0), overflowed(1)), (json!(120 - per_link), json!(120 - (in_all - per_link))));
    }
    // What a cut drops gives its room back too.
    for _ in 0..2 {
        world.shape("t", &[(1, 2, delay())]);
        (0..100).for_each(|number| world.send(1, &frame(1, 2, number)));
        assert_eq!(world.shape("cut", &[(1, 2, LinkShape { cut: true, ..none() })]), json!({"links": []}));
        world.clear("cut");
        assert_eq!(world.clear("t")["links"][0]["overflowed"], 0);
    }
}

#[test]
fn a_cut_cuts_one_direction_with_what_is_under_way() {
    let mut world = World::new(3, 7);
    world.shape("slow", &[(1, 2, LinkShape { delay_us: 50_000, ..none() })]);
    world.send(1, &frame(1, 2, 1));
    world.send(1, &frame(1, 2, 2));
    world.until(MS);
    world.shape("t", &[(1, 2, LinkShape { cut: true, ..none() })]);
    world.send(1, &frame(1, 2, 3));
    world.send(2, &frame(2, 1, 4));
    world.send(1, &frame(1, 3, 5));
    // To all: each copy meets its own link.
    world.send(1, &[&[0xff; 6][..], &frame(1, 0, 6)[6..]].concat());
    world.until(SECOND);
    assert_eq!(
        (world.numbers(2), world.numbers(1), world.numbers(3), world.numbers(0)),
        (vec![], vec![4], vec![5, 6], vec![6])
    );
    let happened = world.clear("t");
    assert_eq!((&happened["links"][0]["cut"], &happened["links"][0]["offered"]), (&json!(4), &json!(2)));
    world.send(1, &frame(1, 2, 7));
    world.until(2 * SECOND);
    assert_eq!(world.numbers(2), [7]);
    assert_eq!(world.clear("t"), json!({"links": []}), "clearing twice is clearing once");
}

#[test]
fn neighbours_are_found_whatever_the_rules_are() {
    let arp = [&[0xff; 6][..], &address(1), &[8, 6], &[0; 28]].concat();
    let discovery =
        |kind: u8| [&address(2)[..], &address(1), &[0x86, 0xdd], &[0; 6], &[58], &[0; 33], &[kind]].concat();
    let mut world = World::new(2, 8);
    let shape = LinkShape { cut: true, corrupt_ppm: 1_000_000, loss_ppm: 1_000_000, hold: true, ..none() };
    world.shape("t", &[(1, 2, shape)]);
    world.send(1, &arp);
    world.send(1, &discovery(135));
    let to_node: Vec<&Vec<u8>> =
        world.came.iter().filter(|(_, port, _)| *port == 2).map(|(_, _, frame)| frame).collect();
    assert_eq!(to_node, [&arp, &discovery(135)]);
    world.came.clear();
    // A ping over IPv6, and packets in which these bytes are something else.
    world.send(1, &discovery(128));
    let mut tcp = discovery(135);
    tcp[20] = 6;
    world.send(1, &tcp);
    world.send(1, &[&address(2)[..], &address(1), &[8, 0], &[0; 40]].concat());
    assert_eq!(world.came, []);
}

#[test]
fn rules_of_several_tags_add_up_and_part_again() {
    let mut world = World::new(2, 9);
    let delay = |delay_us| LinkShape { delay_us, ..none() };
    world.shape("a", &[(1, 2, delay(10_000))]);
    // Two rules of one tag for one link are rules too.
    world.shape("b", &[(1, 2, delay(20_000)), (1, 2, delay(5_000)), (2, 1, delay(1_000))]);
    let took_ms = |world: &mut World, from: usize, to: usize| {
        let start_ns = world.now_ns;
        world.came.clear();
        world.send(from, &frame(from, to, 0));
        world.until(start_ns + SECOND);
        (world.came[0].0 - start_ns) / MS
    };
    assert_eq!(took_ms(&mut world, 1, 2), 35);
    assert_eq!(took_ms(&mut world, 2, 1), 1);
    // The same rules again change nothing, and tell what happened so far.
    let again = world.shape("a", &[(1, 2, delay(10_000))]);
    assert_eq!((&again["links"][0]["passed"], &again["links"][0]["delayed_us"]), (&json!(1), &json!(35_000)));
    assert_eq!(world.shape("a", &[(1, 2, delay(10_000))]), again);
    assert_eq!(took_ms(&mut world, 1, 2), 35);
    world.clear("a");
    assert_eq!(took_ms(&mut world, 1, 2), 25);
    let replaced = world.shape("b", &[(2, 1, delay(2_000))]);
    assert_eq!(replaced["links"].as_array().map(Vec::len), Some(2), "of the rules that are replaced");
    assert_eq!(took_ms(&mut world, 1, 2), 0);
    assert_eq!(took_ms(&mut world, 2, 1), 2);
    world.shape("b", &[]);
    world.came.clear();
    world.send(2, &frame(2, 1, 9));
    assert_eq!(world.numbers(1), [9], "at once, not at the next turn");
}

#[test]
fn when_rules_go_nothing_waits_and_nothing_is_turned() {
    let mut world = World::new(2, 10);
    let shape = LinkShape { delay_us: 600_000_000, rate_bits_per_s: 1_000_000, ..none() };
    world.shape("t", &[(1, 2, shape)]);
    world.stream(20, MS);
    assert_eq!(world.came, []);
    world.shape("t", &[(1, 2, LinkShape { delay_us: 3_000, ..none() })]);
    let start_ns = world.now_ns;
    world.send(1, &frame(1, 2, 20));
    world.until(start_ns + SECOND);
    assert_eq!(world.numbers(2), (0..=20).collect::<Vec<_>>());
    assert!(world.came.iter().all(|(at, ..)| *at <= start_ns + 3 * MS), "a tenth of a minute is over");
    // Not even where both go at the same moment.
    world.came.clear();
    world.send(1, &frame(1, 2, 0));
    world.clear("t");
    world.send(1, &frame(1, 2, 1));
    world.until(world.now_ns);
    assert_eq!(world.numbers(2), [0, 1]);
    world.shape("t", &[(1, 2, LinkShape { delay_us: 3_000, ..none() })]);
    // A longer delay does not call back what is under way.
    world.came.clear();
    world.send(1, &frame(1, 2, 21));
    world.shape("more", &[(1, 2, LinkShape { delay_us: 100_000, ..none() })]);
    world.send(1, &frame(1, 2, 22));
    let start_ns = world.now_ns;
    world.until(start_ns + SECOND);
    let seen: Vec<(u64, u32)> = world.came.iter().map(|(at, _, frame)| (at - start_ns, number(frame))).collect();
    assert_eq!(seen, [(3 * MS, 21), (103 * MS, 22)]);
}

#[test]
fn the_same_seed_repeats_and_other_links_do_not_disturb() {
    let run = |seed: u64, disturbed: bool| {
        let mut world = World::new(3, seed);
        let shape = LinkShape {
            delay_us: 5_000,
            jitter_us: 2_000,
            distribution: Distribution::Normal,
            loss_ppm: 100_000,
            loss_correlation_ppm: 300_000,
            duplicate_ppm: 100_000,
            reorder_ppm: 100_000,
            corrupt_ppm: 100_000,
            rate_bits_per_s: 10_000_000,
            ..none()
        };
        world.shape("t", &[(1, 2, shape.clone()), (3, 2, shape)]);
        for number in 0..500 {
            world.send(1, &frame(1, 2, number));
            if disturbed {
                world.send(3, &frame(3, 2, 1_000_000 + number));
            }
            world.until(world.now_ns + MS);
        }
        world.until(world.now_ns + SECOND);
        world.came.retain(|(_, _, came)| came[6..12] == address(1));
        world.came
    };
    let first = run(1, false);
    assert_eq!(first, run(1, false));
    assert_eq!(first, run(1, true));
    assert_ne!(first, run(2, false));
    // Each link has chances of its own.
    let mut world = World::new(3, 1);
    let shape = LinkShape { loss_ppm: 500_000, ..none() };
    world.shape("t", &[(1, 2, shape.clone()), (1, 3, shape)]);
    for number in 0..100 {
        world.send(1, &frame(1, 2, number));
        world.send(1, &frame(1, 3, number));
    }
    assert_ne!(world.numbers(2), world.numbers(3));
}

#[test]
fn rules_that_cannot_be_change_nothing() {
    let mut world = World::new(2, 11);
    let rule = |from: &str, to: &str, shape: LinkShape| LinkRule { from: Node::new(from), to: Node::new(to), shape };
    let cut = || LinkShape { cut: true, ..none() };
    for (links, said) in [
        (vec![rule("n1", "n2", cut()), rule("n1", "n9", cut())], "the lab has no node `n9`, but n1, n2"),
        (vec![rule("controller", "n2", cut())], "the lab has no node `controller`"),
        (
            vec![rule("n1", "n2", cut()), rule("n1", "n1", cut())],
            "the rule from n1 to n1: a node has no link to itself",
        ),
        (
            vec![rule("n1", "n2", LinkShape { loss_ppm: 2_000_000, ..cut() })],
            "the rule from n1 to n2: loss_ppm is 2000000",
        ),
    ] {
        let error = world.rules.set(0, "t", &links, &mut |_, _| {}).unwrap_err();
        assert!(error.starts_with(said), "{error}");
        world.came.clear();
        world.send(1, &frame(1, 2, 1));
        assert_eq!(world.numbers(2), [1]);
    }
}
