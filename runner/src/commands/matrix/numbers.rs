//! Sets of numbers as the command line and YAML write them: `7`, `1..5` (5 included), `1,2,7..9`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// More numbers than this are a typing mistake.
const NUMBERS_MAX: u64 = 100_000;

/// Some whole numbers, each once, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberSet {
    text: String,
    numbers: Vec<u64>,
}

impl NumberSet {
    /// The numbers.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }
}

impl FromStr for NumberSet {
    type Err = String;

    fn from_str(text: &str) -> Result<NumberSet, String> {
        let wrong = || format!("`{text}` is no set of numbers; write 7, 1..5 (5 included) or 1,2,7..9");
        let mut numbers: Vec<u64> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for part in text.split(',') {
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
            let (from, to) = match part.split_once("..") {
                Some((from, to)) => (number(from)?, number(to)?),
                None => (number(part)?, number(part)?),
            };
            if from > to {
                return Err(format!("`{}` goes down; write {to}..{from}", part.trim()));
            }
            if to - from >= NUMBERS_MAX || numbers.len() as u64 + (to - from) >= NUMBERS_MAX {
                return Err(format!("`{text}` is more than {NUMBERS_MAX} numbers"));
            }
            numbers.extend((from..=to).filter(|number| seen.insert(*number)));
        }
        Ok(NumberSet { text: text.to_owned(), numbers })
    }
}

impl fmt::Display for NumberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for NumberSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NumberSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NumberSet, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = NumberSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a text like 1..5 or 1,2,7")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<NumberSet, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NumberSet, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges() {
        let cases: &[(&str, Result<&[u64], &str>)] = &[
            ("7", Ok(&[7])),
            ("1..5", Ok(&[1, 2, 3, 4, 5])),
            ("1, 2,7..9,2", Ok(&[1, 2, 7, 8, 9])),
            ("0..0", Ok(&[0])),
            ("18446744073709551615", Ok(&[u64::MAX])),
            ("18446744073709551614..18446744073709551615", Ok(&[u64::MAX - 1, u64::MAX])),
            ("5..1", Err("goes down; write 1..5")),
            ("", Err("is no set of numbers")),
            ("1..", Err("is no set of numbers")),
            ("1..=5", Err("is no set of numbers")),
            ("-1", Err("is no set of numbers")),
            ("1,,2", Err("is no set of numbers")),
            ("0..18446744073709551615", Err("more than 100000 numbers")),
            ("1..60000,100001..160000", Err("more than 100000 numbers")),
        ];
        for (text, expected) in cases {
            match (text.parse::<NumberSet>(), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.numbers(), *expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
