//! Spans of time as suites write them: `500ms`, `10s`, `1m30s`, `2h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time, written as text with its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationText {
    /// Milliseconds.
    pub ms: u64,
}

/// Why a text is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no span of time: {reason}; write it like 500ms, 10s, 1m30s or 2h")]
pub struct DurationError {
    /// What was found.
    pub found: String,
    /// What is wrong with it.
    pub reason: String,
}

impl DurationText {
    /// That many milliseconds.
    pub const fn from_ms(ms: u64) -> DurationText {
        DurationText { ms }
    }

    /// That many seconds.
    pub const fn from_secs(secs: u64) -> DurationText {
        DurationText { ms: secs * 1000 }
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

impl FromStr for DurationText {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<DurationText, DurationError> {
        let wrong = |reason: String| DurationError { found: text.chars().take(40).collect(), reason };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        let mut ms: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            if number.is_empty() {
                return Err(wrong("a whole number is expected before the unit".to_owned()));
            }
            if unit.is_empty() {
                return Err(wrong(format!("the unit after {number} is missing")));
            }
            let (_, factor) =
                UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| wrong(format!("`{unit}` is no unit")))?;
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
            ms = part.and_then(|part| ms.checked_add(part)).ok_or_else(|| wrong("it is too long".to_owned()))?;
            rest = after;
        }
        Ok(DurationText { ms })
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.ms;
        for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if left >= factor {
                write!(f, "{}{unit}", left / factor)?;
                left %= factor;
            }
        }
        if self.ms == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationText, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = DurationText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time with its unit, like 500ms, 10s, 1m30s or 2h")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationText, E> {
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
    fn texts_and_back() {
        let cases: &[(&str, Result<u64, &str>, &str)] = &[
            ("500ms", Ok(500), "500ms"),
            ("10s", Ok(10_000), "10s"),
            ("1m30s", Ok(90_000), "1m30s"),
            ("90s", Ok(90_000), "1m30s"),
            (" 2h ", Ok(7_200_000), "2h"),
            ("0s", Ok(0), "0s"),
            ("", Err("it is empty"), ""),
            ("10", Err("the unit after 10 is missing"), ""),
            ("s", Err("a whole number is expected before the unit"), ""),
            ("1.5s", Err("the unit after 1 is missing"), ""),
            ("-1s", Err("a whole number is expected before the unit"), ""),
            ("10 s", Err("the unit after 10 is missing"), ""),
            ("3d", Err("`d` is no unit"), ""),
            ("99999999999999999999s", Err("it is too long"), ""),
            ("18446744073709551615h", Err("it is too long"), ""),
            ("5é", Err("the unit after 5 is missing"), ""),
        ];
        for (text, expected, back) in cases {
            let found = text.parse::<DurationText>();
            assert_eq!(
                found.clone().map(|span| span.ms).map_err(|error| error.reason),
                expected.map_err(str::to_owned)
            );
            if let Ok(span) = found {
                assert_eq!(span.to_string(), *back);
                assert_eq!(back.parse(), Ok(span));
            }
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_the_reason() {
        let error = serde_json::from_str::<DurationText>("10").unwrap_err().to_string();
        assert!(error.contains("expected a span of time with its unit, like 500ms, 10s"), "{error}");
        assert_eq!(serde_json::from_str::<DurationText>("\"10s\"").unwrap(), DurationText::from_secs(10));
        assert_eq!(serde_json::to_string(&DurationText::from_ms(1500)).unwrap(), "\"1s500ms\"");
    }
}
