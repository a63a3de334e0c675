//! Who sees whom, for every shape, direction and one to nine nodes.

use super::*;
use schism_history::Seed;

fn view(count: usize) -> View {
    let nodes: Vec<Node> = (1..=count).map(|number| Node::new(&format!("n{number}"))).collect();
    View { primaries: nodes.iter().skip(1).take(1).cloned().collect(), nodes, ..View::default() }
}

fn grudge(shape: Shape, direction: Direction, count: usize, seed: u64) -> Result<Grudge, String> {
    shape.grudge(direction, &view(count), &mut Seed(seed).stream("grudge")).map(|(grudge, _)| grudge)
}

fn hears<'a>(grudge: &Grudge, nodes: &'a [Node], to: &Node) -> BTreeSet<&'a Node> {
    nodes.iter().filter(|from| !grudge.is_cut(from, to)).collect()
}

fn is_symmetric(grudge: &Grudge, nodes: &[Node]) -> bool {
    nodes.iter().all(|a| nodes.iter().all(|b| grudge.is_cut(a, b) == grudge.is_cut(b, a)))
}

/// Sizes of the components of nodes that hear each other alike, smallest first.
fn component_sizes(grudge: &Grudge, nodes: &[Node]) -> Vec<usize> {
    let views: BTreeSet<BTreeSet<&Node>> = nodes.iter().map(|node| hears(grudge, nodes, node)).collect();
    let mut sizes: Vec<usize> = views.iter().map(BTreeSet::len).collect();
    sizes.sort_unstable();
    sizes
}

/// Every case: shape, direction, number of nodes, seed.
fn each_case(mut check: impl FnMut(Shape, Direction, usize, u64)) {
    for &shape in SHAPES {
        for direction in [Direction::Both, Direction::In, Direction::Out] {
            for count in 1..=9 {
                for seed in 0..20 {
                    check(shape, direction, count, seed);
                }
            }
        }
    }
}

#[test]
fn a_shape_cuts_something_or_says_why_not() {
    each_case(|shape, direction, count, seed| match grudge(shape, direction, count, seed) {
        Ok(grudge) => {
            assert!(count >= shape.nodes_min());
            assert!(!grudge.is_empty(), "{shape:?} {direction:?} {count}");
            assert!(grudge.drops().all(|(node, dropped)| !dropped.contains(node) && !dropped.is_empty()));
            assert!(grudge.touched().iter().all(|node| view(count).nodes.contains(node)));
        }
        Err(reason) => {
            assert!(count < shape.nodes_min(), "{reason}");
            assert!(reason.contains("needs at least"), "{reason}");
        }
    });
}

#[test]
fn two_sides_of_the_right_size_that_do_not_hear_each_other() {
    type Size = fn(usize) -> usize;
    let sizes: &[(Shape, Size)] = &[
        (Shape::Halves, |count| count / 2),
        (Shape::RandomHalves, |count| count / 2),
        (Shape::One, |_| 1),
        (Shape::MajorityMinority, |count| count - majority(count)),
        (Shape::Leader, |_| 1),
    ];
    for (shape, small) in sizes {
        for count in shape.nodes_min()..=9 {
            for seed in 0..20 {
                let grudge = grudge(*shape, Direction::Both, count, seed).unwrap();
                let nodes = view(count).nodes;
                assert!(is_symmetric(&grudge, &nodes));
                let mut expected = vec![small(count), count - small(count)];
                expected.sort_unstable();
                let found = component_sizes(&grudge, &nodes);
                assert_eq!(found, expected, "{shape:?} of {count}: {grudge}");
            }
        }
    }
}

#[test]
fn the_bridge_hears_all_and_no_half_hears_the_other() {
    for count in 3..=9 {
        for seed in 0..20 {
            let grudge = grudge(Shape::Bridge, Direction::Both, count, seed).unwrap();
            let nodes = view(count).nodes;
            assert!(is_symmetric(&grudge, &nodes));
            let bridges: Vec<&Node> = nodes.iter().filter(|node| hears(&grudge, &nodes, node).len() == count).collect();
            assert_eq!(bridges.len(), 1, "{grudge}");
            let half = count / 2;
            let degrees: BTreeSet<usize> = nodes.iter().map(|node| hears(&grudge, &nodes, node).len()).collect();
            assert_eq!(degrees, BTreeSet::from([half + 1, count - half, count]));
        }
    }
}

#[test]
fn on_a_ring_everyone_hears_a_majority_and_up_to_five_nobody_hears_the_same_one() {
    for count in 3..=9 {
        for seed in 0..50 {
            let grudge = grudge(Shape::MajoritiesRing, Direction::Both, count, seed).unwrap();
            let nodes = view(count).nodes;
            let views: Vec<BTreeSet<&Node>> = nodes.iter().map(|node| hears(&grudge, &nodes, node)).collect();
            assert!(views.iter().all(|seen| seen.len() >= majority(count)), "{grudge}");
            if count <= 5 {
                assert!(views.iter().all(|seen| seen.len() == majority(count)), "{grudge}");
                assert_eq!(views.iter().collect::<BTreeSet<_>>().len(), count, "{grudge}");
            } else {
                assert!(is_symmetric(&grudge, &nodes));
            }
        }
    }
}

#[test]
fn one_way_cuts_each_link_of_the_whole_cut_exactly_one_way() {
    each_case(|shape, direction, count, seed| {
        let (Ok(both), Ok(one_way)) =
            (grudge(shape, Direction::Both, count, seed), grudge(shape, direction, count, seed))
        else {
            return;
        };
        for a in &view(count).nodes {
            for b in &view(count).nodes {
                let ways = |grudge: &Grudge| usize::from(grudge.is_cut(a, b)) + usize::from(grudge.is_cut(b, a));
                let expected = if direction == Direction::Both { ways(&both) } else { ways(&both).min(1) };
                assert_eq!(ways(&one_way), expected, "{shape:?} {direction:?} {a} {b}: {both} -> {one_way}");
            }
        }
    });
}

#[test]
fn in_cannot_hear_and_out_cannot_be_heard() {
    let nodes = view(5).nodes;
    let deaf = grudge(Shape::Halves, Direction::In, 5, 0).unwrap();
    assert_eq!(deaf.to_string(), "n1 drops n3 n4 n5; n2 drops n3 n4 n5");
    let mute = grudge(Shape::Halves, Direction::Out, 5, 0).unwrap();
    assert_eq!(mute.to_string(), "n3 drops n1 n2; n4 drops n1 n2; n5 drops n1 n2");
    let leader = grudge(Shape::Leader, Direction::In, 5, 3).unwrap();
    assert_eq!(leader.to_string(), "n2 drops n1 n3 n4 n5");
    assert_eq!(hears(&leader, &nodes, &nodes[0]).len(), 5);
}

#[test]
fn labels_say_the_sides() {
    let label = |shape: Shape, direction| shape.grudge(direction, &view(5), &mut Seed(0).stream("g")).unwrap().1;
    assert_eq!(label(Shape::Halves, Direction::Both), "halves: n1 n2 | n3 n4 n5");
    assert_eq!(label(Shape::Leader, Direction::Out), "leader: n2 | n1 n3 n4 n5, one way: the first cannot be heard");
    let none = View { nodes: view(5).nodes, ..View::default() };
    let error = Shape::Leader.grudge(Direction::Both, &none, &mut Seed(0).stream("g")).unwrap_err();
    assert_eq!(error, "no node believes itself a leader now");
}

#[test]
fn halves_are_the_same_for_every_seed_and_random_halves_are_not() {
    let all = |shape| (0..20).map(move |seed| grudge(shape, Direction::Both, 5, seed).unwrap().to_string());
    assert_eq!(all(Shape::Halves).collect::<BTreeSet<_>>().len(), 1);
    assert!(all(Shape::RandomHalves).collect::<BTreeSet<_>>().len() > 3);
    assert_eq!(all(Shape::RandomHalves).collect::<Vec<_>>(), all(Shape::RandomHalves).collect::<Vec<_>>());
}

#[test]
fn inverting_twice_changes_nothing() {
    each_case(|shape, direction, count, seed| {
        if let Ok(grudge) = grudge(shape, direction, count, seed) {
            let nodes = view(count).nodes;
            let inverted = grudge.inverted(&nodes);
            for (a, b) in nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b))) {
                assert!(a == b || inverted.is_cut(a, b) != grudge.is_cut(a, b));
            }
            assert_eq!(inverted.inverted(&nodes), grudge);
        }
    });
}

#[test]
fn leaders_are_cut_off_with_a_minority() {
    for count in 3..=9 {
        for seed in 0..20 {
            let grudge = grudge(Shape::PrimariesMinority, Direction::Both, count, seed).unwrap();
            let nodes = view(count).nodes;
            let small = count - majority(count);
            assert_eq!(component_sizes(&grudge, &nodes), [small, majority(count)], "{grudge}");
            assert_eq!(hears(&grudge, &nodes, &nodes[1]).len(), small, "n2 leads: {grudge}");
        }
    }
    let many = View { primaries: view(5).nodes, ..view(5) };
    let (grudge, _) = Shape::PrimariesMinority.grudge(Direction::Both, &many, &mut Seed(1).stream("g")).unwrap();
    assert_eq!(component_sizes(&grudge, &many.nodes), [2, 3], "more leaders than a minority has room for");
}

#[test]
fn one_link_alone_is_cut() {
    for seed in 0..20 {
        let grudge = grudge(Shape::Partial, Direction::Both, 5, seed).unwrap();
        assert_eq!((grudge.touched().len(), grudge.drops().count()), (2, 2), "{grudge}");
    }
}

#[test]
fn shapes_with_options() {
    let with = |shape: Shape, isolated: &[&str], neighbours, count| {
        let options = ShapeOptions { isolated: isolated.iter().map(|name| Node::new(name)).collect(), neighbours };
        shape.grudge_with(Direction::Both, &view(count), &options, &mut Seed(3).stream("g"))
    };
    let (cut, label) = with(Shape::Isolate, &["n4", "n2"], 0, 5).unwrap();
    assert_eq!(label, "isolate: n2 n4 | n1 n3 n5");
    assert_eq!(component_sizes(&cut, &view(5).nodes), [2, 3]);
    assert!(with(Shape::Isolate, &["n1", "n2"], 0, 2).unwrap_err().contains("nobody is left"));
    for count in 4..=9 {
        let nodes = view(count).nodes;
        for neighbours in 1..count - 1 {
            let (cut, _) = with(Shape::Ring, &[], neighbours, count).unwrap();
            assert!(nodes.iter().all(|node| hears(&cut, &nodes, node).len() == neighbours + 1), "{neighbours}: {cut}");
            assert_eq!(is_symmetric(&cut, &nodes), neighbours % 2 == 0, "{neighbours}: {cut}");
            // It is one ring: whatever one node says reaches every other.
            let mut reached = BTreeSet::from([&nodes[0]]);
            while let Some(next) =
                nodes.iter().find(|node| !reached.contains(node) && reached.iter().any(|from| !cut.is_cut(from, node)))
            {
                reached.insert(next);
            }
            assert_eq!(reached.len(), count, "{cut}");
        }
        assert!(with(Shape::Ring, &[], count - 1, count).unwrap_err().contains("all see all"));
    }
}

#[test]
fn links_and_groups_are_read() {
    let links = |text: &str| parse_links(text).map(|grudge| grudge.to_string());
    assert_eq!(links("n1>n2 n3<>n4").unwrap(), "n2 drops n1; n3 drops n4; n4 drops n3");
    assert_eq!(links("db-1>db-2  db-3>db-2").unwrap(), "db-2 drops db-1 db-3");
    for wrong in ["", "n1", "n1>", ">n1", "n1>n1", "n1>n2>n3", "n1<n2", "n1,n2>n3", "n1 > n2"] {
        assert!(links(wrong).is_err(), "{wrong}");
    }
    let groups = parse_groups("n1, n2 |n3| n4 n5").unwrap();
    assert_eq!(Grudge::complete(&groups).to_string().split(';').count(), 5);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 2]);
    for wrong in ["", "n1 n2", "n1 |", "n1 | n2 | ", "n1 | n1", "n1 n1 | n2"] {
        assert!(parse_groups(wrong).is_err(), "{wrong}");
    }
}
