//! Patterns of contradiction in words: the few operations of a counterexample that exclude each other, and how.

use crate::words;

/// How a pattern is told. `{0}`, `{1}` are the operations in the pattern's order, `{last}` the last one, `{all}` all.
const PATTERNS: &[(&str, &str)] = &[
    ("value-never-written", "{0} was told a value that nothing had written"),
    ("ended-before-its-write", "{0} had ended before {1}, which wrote the value that {0} was told, began"),
    (
        "chain-out-of-order",
        "{0} was told a value that compare-and-sets made after the one that {1} is about, yet had ended before {1} began",
    ),
    ("two-cas-from-one-value", "{0} and {1} both changed the same value to another one, and it was written only once"),
    ("cycle-of-cas", "{all} each need the value that the one before left, and the first needs that of the last"),
    (
        "initial-value-returned",
        "{0} had ended before {1} began, so {1} cannot go back to what stood before the first write",
    ),
    (
        "two-forward-zones",
        "{all} are about two values, each of which stood before and after the other, though each was written only once",
    ),
    (
        "backward-zone-inside",
        "{all} exclude each other: one value was there before and after another one was written and over, though each \
         was written only once",
    ),
    (
        "overwritten-value",
        "{last} was told a value that had been written over before it began, and that nobody wrote again",
    ),
    ("value-of-nobody", "{0} was told a value that nobody had written by then"),
    ("out-of-nothing", "{0} took out a value that nobody had put in"),
    ("out-before-in", "{all} are about one value, which was taken out before it was put in"),
    ("out-too-often", "{all} are about one value, which was taken out more often than it was put in"),
    ("never-empty", "{all} leave no moment at which nothing was in, though one of them was told so"),
    ("overtaken", "{all} are about two values, of which the one that was put in later came out first"),
    ("greater-inside", "{all}: whenever the value could have come out, a greater one was in"),
    ("popped-from-below", "{all}: a value came out from below another one, which was still on top of it"),
    ("entangled", "{all} are about values each of which would have to come out from below another one of them"),
    (
        "more-lost-than-removals-in-doubt",
        "{all}: more values are gone without having been taken out than removals in doubt can have taken by then",
    ),
    ("acquired-while-held", "{last} was granted while nobody can have let go of what was held"),
    ("released-while-free", "{last} let go of what nobody can have held"),
    ("refused-while-held", "{last} was refused, although what it asked for was possible all the time"),
    ("refused-while-free", "{last} was refused, although what it asked for was free all the time"),
    ("holds-overlap", "{all} are about two holds that overlap for sure"),
    ("acquired-twice", "{0} and {1} were granted to one process, which did not let go in between"),
    ("released-without-hold", "{last} let go of what its process did not hold"),
    ("holder-was-refused", "{last} was refused to the process that held it"),
    ("holder-could-not-release", "{last} was refused, although its process held what it wanted to let go of"),
    ("token-did-not-grow", "{1} was granted after {0}, with a token that is not greater"),
    ("element-not-there", "{last} was told that the element is there, when it cannot have been"),
    ("element-still-there", "{last} was told that the element is not there, when it must have been"),
    (
        "reads-disagree",
        "{0} and {1} were told sets of which neither holds all of the other, though nothing is ever removed",
    ),
    ("never-added", "{0} was told an element that nobody had added"),
    ("addition-lost", "{1} shows that an element was missing after {0} had added it"),
    ("added-in-another-order", "{all}: the elements were seen in another order than the one in which they were added"),
    ("read-before", "{1} had to follow {0}, yet had ended before {0} began"),
    ("no-such-total", "{last} was told a total that no sum of what was added gives"),
    ("total-too-low", "{last} was told less than what had been added for sure"),
    ("total-too-high", "{last} was told more than can have been added by then"),
    ("two-from-one-value", "{0} and {1} both found the same total, though each changed it"),
    ("value-stepped-over", "{0} and {1}: one was told a total that the other one stepped over"),
    ("answered-out-of-order", "{1} was told a later total than {0}, yet had ended before {0} began"),
    ("value-never-reached", "{last} was told a total that nothing that happened leads to"),
];

/// What a pattern says of operations that have these names; a pattern that has no words of its own is told by its name.
pub(super) fn told(pattern: &str, names: &[String]) -> String {
    let all = words::list(names);
    let template = PATTERNS.iter().find(|(name, _)| *name == pattern).map(|(_, template)| *template);
    // A witness from elsewhere may name fewer operations than the pattern has.
    let template = template.filter(|template| names.len() >= wanted(template));
    let Some(template) = template else {
        return match names {
            [only] => format!("{only} alone has no place in any order ({})", words::cut(&spaced(pattern), 60)),
            _ => format!("{all} exclude each other ({})", words::cut(&spaced(pattern), 60)),
        };
    };
    let last = names.last().map_or("", String::as_str);
    let mut text = template.replace("{all}", &all).replace("{last}", last);
    for (place, name) in names.iter().enumerate() {
        text = text.replace(&format!("{{{place}}}"), name);
    }
    text
}

/// How many operations a template names one by one.
fn wanted(template: &str) -> usize {
    (0..).take_while(|place| template.contains(&format!("{{{place}}}"))).count()
}

fn spaced(pattern: &str) -> String {
    pattern.replace('-', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(words::letter).collect()
    }

    #[test]
    fn every_pattern_has_words() {
        use schism_checkers::linear::{PATTERNS, PATTERNS_OF_OTHERS};
        for (pattern, least) in PATTERNS.iter().chain(PATTERNS_OF_OTHERS) {
            let text = told(pattern, &names(*least));
            assert!(text.contains('A') && !text.contains('{'), "{pattern}: {text}");
            assert!(!text.contains(&spaced(pattern)), "{pattern} is told by its name alone");
        }
    }

    #[test]
    fn sentences() {
        for (pattern, count, text) in [
            ("value-never-written", 1, "A was told a value that nothing had written"),
            ("ended-before-its-write", 2, "A had ended before B, which wrote the value that A was told, began"),
            (
                "two-cas-from-one-value",
                2,
                "A and B both changed the same value to another one, and it was written only once",
            ),
            (
                "cycle-of-cas",
                3,
                "A, B and C each need the value that the one before left, and the first needs that of the last",
            ),
            ("ended-before-its-write", 1, "A alone has no place in any order (ended before its write)"),
            ("of-another-version", 2, "A and B exclude each other (of another version)"),
        ] {
            assert_eq!(told(pattern, &names(count)), text);
        }
    }
}
