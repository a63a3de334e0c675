//! Cases by hand: what each rule says, and why it passes.

use schism_history::notation;

use super::super::brute;
use super::{Container, search};
use crate::linear::models::bag::Bag;
use crate::linear::models::priority_queue::PriorityQueue;
use crate::linear::models::queue::Queue;
use crate::linear::models::stack::Stack;
use crate::linear::ruling::Ruling;
use crate::linear::split;

/// `+5` puts 5, `-5` takes it, `-` finds it empty, `-?` is in doubt; `(` begins, `)` ends.
fn line(short: &str, put: &str, get: &str) -> String {
    let token = |token: &str| {
        let Some((process, what)) = token.split_once(':') else { return token.to_owned() };
        let what = match what.chars().next() {
            Some('+') => what.replacen('+', &format!("{put}="), 1),
            Some('-') if what.ends_with(['(', '?']) => format!("{get}=nil{}", &what[1..]),
            Some('-') if what.len() > 1 => format!("{get}=nil>{}", &what[1..]),
            _ => format!("{get}=nil"),
        };
        format!("{process}:{what}")
    };
    short.split(' ').map(token).collect::<Vec<_>>().join(" ")
}

fn check<C: Container>(model: &C, (put, get): (&str, &str), cases: &[(&str, &str)]) {
    for (short, expected) in cases {
        let line = line(short, put, get);
        let history = notation::parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let keys = split::by_key(&history);
        let operations = keys.first().map(|key| split::operations(model, &history, key).operations).unwrap_or_default();
        let told = match C::ruling(&operations, None) {
            Ruling::Good { .. } => "good".to_owned(),
            Ruling::Bad { certificate, .. } => {
                certificate.map_or("bad".to_owned(), |certificate| certificate.pattern.to_owned())
            }
            Ruling::Unfit(why) => format!("unfit: {why}"),
        };
        assert_eq!(&told, expected, "{short}");
        let truth = brute::linearizable(model, &operations);
        assert!(told.starts_with("unfit") || (told == "good") == truth, "{short}");
        assert_eq!(search(model, &operations), Some(truth), "{short}");
    }
}

const QUEUE: (&str, &str) = ("enqueue", "dequeue");

#[test]
fn queues() {
    let twice = "unfit: a value that was taken out was put in twice";
    check(
        &Queue,
        QUEUE,
        &[
            ("", "good"),
            ("0:-", "good"),
            ("0:+1 0:+2 0:-1 0:-2 0:-", "good"),
            ("0:-1", "out-of-nothing"),
            ("0:-1 0:+1", "out-before-in"),
            ("0:-( 1:+1 0)1", "good"),
            ("0:+1 0:-1 1:-1", "out-too-often"),
            ("0:+1 0:+2 0:-2", "overtaken"),
            ("0:+1 0:+2 0:-2 0:-1", "overtaken"),
            ("0:+1 0:+2 0:-( 1:-2 0)1", "good"),
            ("0:+1( 1:+2 0) 0:-2 0:-1", "good"),
            // Three in a ring that is none: only pairs matter.
            ("0:+1( 1:+2( 2:+3( 0) 1) 2) 0:-3 0:-1 0:-2", "good"),
            // An empty answer inside two items that take turns.
            ("0:+1 0:-( 1:+2 1:-1 0) 1:-2", "never-empty"),
            ("0:+1 0:-( 1:-1 1:+2 0) 1:-2", "good"),
            ("0:+1( 1:- 0) 0:-1", "good"),
            ("0:+1 1:-", "never-empty"),
            // Doubt: put, removal of unknown result, and one of known result (which nobody can write by hand).
            ("0:+1? 1:+2 1:-2", "good"),
            ("0:+1? 1:+2 1:-2 1:-1", "good"),
            ("0:+1? 1:- 1:-1", "good"),
            ("0:+1 1:+2 2:-? 1:-2", "good"),
            ("0:+1 1:+2 1:-2 2:-?", "more-lost-than-removals-in-doubt"),
            ("0:+1 1:+2 2:-? 1:-2 0:+3 0:+4 0:-4", "more-lost-than-removals-in-doubt"),
            ("0:+1 2:-? 1:-", "good"),
            ("1:- 2:-? 0:+1 1:+2 1:-2 1:-", "good"),
            // The same value again: clear who is who, and not clear.
            ("0:+1 0:-1 0:+1 0:-1", "good"),
            ("0:+1 0:+2 0:+1 0:-1 0:-1", "overtaken"),
            // It does not matter, or it is a guess, which may be wrong.
            ("0:+1( 1:+1 0) 0:-1", "good"),
            ("0:+1? 1:+1 1:-1", "good"),
            ("0:+1? 1:+1 1:+2 1:-2 1:-1", twice),
            ("0:+1? 1:+1 1:-1 1:-7", "out-of-nothing"),
            ("0:+1 0:+1 2:-? 0:-1", "good"),
            ("0:+1 0:+2 0:+1 2:-? 0:-2 0:-1", "unfit: a removal in doubt may have taken one of several equal values"),
        ],
    );
}

#[test]
fn bags() {
    check(
        &Bag,
        QUEUE,
        &[
            ("0:+1 0:+2 0:-2 0:-1 0:-", "good"),
            ("0:-1", "out-of-nothing"),
            ("0:+1 0:-1 1:-1", "out-too-often"),
            ("0:+1 0:-( 1:+2 1:-1 0) 1:-2", "never-empty"),
            ("0:+1 0:+2 1:-? 0:-", "more-lost-than-removals-in-doubt"),
            ("0:+1 0:+2 1:-? 0:-2 0:-", "good"),
            ("0:+1 0:+2 1:-? 0:-2 0:-1", "good"),
            ("0:+1 0:-( 1:+2 2:-? 3:-1 0) 3:-2", "never-empty"),
        ],
    );
}

#[test]
fn priority_queues() {
    check(
        &PriorityQueue,
        QUEUE,
        &[
            ("0:+1 0:+2 0:-2 0:-1 0:-", "good"),
            ("0:+1 0:+2 0:-1", "greater-inside"),
            ("0:+2 0:-( 1:+1 1:-2 0)1", "good"),
            // Each moment of the removal is covered by another one.
            ("0:+1 0:+5 0:-( 1:+6 1:-5 0)1 1:-6", "greater-inside"),
            ("0:+1 0:+5 0:-( 1:-5 1:+6 0)1 1:-6", "good"),
            // Before the put began there was nothing greater, but also nothing to take.
            ("0:-( 1:+5 1:+1 0)1", "greater-inside"),
            ("0:-( 1:+1 1:+5 0)1", "good"),
            ("0:+5 1:-? 0:+1 0:-1", "good"),
            ("0:+5 0:+1 0:-1 1:-?", "more-lost-than-removals-in-doubt"),
            ("0:+3 0:-3 0:+3 0:-3", "good"),
            ("0:+1 1:-", "never-empty"),
        ],
    );
}

#[test]
fn stacks() {
    let twice = "unfit: a value that was taken out was put in twice";
    check(
        &Stack,
        ("push", "pop"),
        &[
            ("0:+1 0:+2 0:-2 0:-1 0:-", "good"),
            ("0:+1 0:+2 0:-1", "popped-from-below"),
            ("0:+1 0:+2 0:-1 0:-2", "popped-from-below"),
            ("0:+1( 1:+2 0) 0:-1 0:-2", "good"),
            ("0:+1 0:+2 0:-( 1:-2 0)1", "good"),
            // 3 may come when 1 and 2 have gone, and may not.
            ("0:+1( 1:+2( 0) 1) 2:+3( 0:-( 1:-( 2) 0)1 1)2 2:-3", "good"),
            ("0:+1( 1:+2( 0) 1) 2:+3 0:-( 1:-( 0)1 1)2 2:-3", "popped-from-below"),
            ("0:+1 0:-( 1:+2 0) 1:-2 1:-1", "never-empty"),
            // No two of them cross: 1 and 2 may stand in either order, and so on.
            ("0:+4( 1:+1( 0) 2:+3( 0:+2( 1) 2) 1:-( 0) 2:-( 1)4 2)3", "entangled"),
            ("0:+1 0:+2 1:-? 0:-1", "good"),
            ("0:+1 0:+2 0:-1 1:-?", "more-lost-than-removals-in-doubt"),
            ("0:+1? 1:+2 1:-2 1:-1", "good"),
            ("0:+1? 1:+2 1:-2 1:-", "good"),
            ("0:+1 0:-1 0:+1 0:-1", "good"),
            ("0:+1 0:+1 0:-1 0:-1", "good"),
            ("0:+1 0:+2( 1:+1 0) 0:-1 0:-2 0:-1", "good"),
            ("0:+1 0:+2 0:+1 0:-1 0:-1 0:-2", twice),
            ("0:+1 0:+1 0:+2 0:-2", "good"),
        ],
    );
}
