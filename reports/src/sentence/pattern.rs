//! Patterns of contradiction in words: the few operations of a counterexample that exclude each other, and how.

use crate::words;

/// How a pattern is told. `{0}`, `{1}` are the operations in the pattern's order, `{all}` is all of them.
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
    let mut text = template.replace("{all}", &all);
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
    fn every_pattern_of_registers_has_words() {
        for (pattern, least) in schism_checkers::linear::PATTERNS {
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
            ("out-before-in", 2, "A and B exclude each other (out before in)"),
        ] {
            assert_eq!(told(pattern, &names(count)), text);
        }
    }
}
