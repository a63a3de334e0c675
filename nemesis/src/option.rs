//! Options of faults, as data: one table a class feeds the reader of suites, help, documents and the draws of a schedule.
//!
//! Every option is a list of alternatives (one alone may be written without the list); each injection draws one of them,
//! evenly. A value has two forms: the text of suites (`50ms`, `5%`, `1mbit`) and the one of histories and ledgers, whole
//! numbers whose key names the unit (`delay_ms`, `loss_ppm`, `rate_bits_per_s`).

use serde_json::{Value as Json, json};

use crate::grudge::{NAMED_SHAPES, SHAPES, Shape, parse_groups, parse_links};
use crate::span::DurationText;
use crate::target::Target;

/// An option of a class.
#[derive(Debug, Clone, Copy)]
pub struct OptionEntry {
    /// Its name in suites: `targets`, `delay`.
    pub name: &'static str,
    /// Its key in the value of an injection, unit last: `target`, `delay_ms`.
    pub key: &'static str,
    /// What it may be.
    pub kind: OptionKind,
    /// What it is where the suite says nothing, in the texts of suites. Empty: of targets and shapes all that cluster
    /// and database allow, of others nothing (the key is missing).
    pub default: &'static [&'static str],
    /// One line for a person.
    pub about: &'static str,
}

/// What an option may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionKind {
    /// Which nodes: see [`Target`].
    Target,
    /// A shape of partition: see [`Shape`].
    Shape,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, or the word `mixed`, which stands for this list.
    OneOfOrMixed(&'static [&'static str], &'static [&'static str]),
    /// A span of time: `500ms`, `2s`. A key in `_ms`; `(least, most)` in milliseconds.
    Span(u64, u64),
    /// A span that may be negative: `-5s`, `250ms`. A key in `_ms`; at most so many milliseconds either way.
    SignedSpan(u64),
    /// A share: `5%`, `0.1%`. A key in `_ppm`, parts of a million.
    Share,
    /// A whole number, from and to.
    Integer(i64, i64),
    /// Bits a second: `1mbit`, `64kbit`. A key in `_bits_per_s`.
    Rate,
    /// A number of bytes: `4096`, `64KiB`, `10MiB`. A key in `_bytes`.
    Bytes,
    /// `true` or `false`.
    Flag,
    /// A text of one line.
    Text,
    /// Links between nodes: `n1>n2` (what n1 sends to n2), `n1<>n2` (both ways), several with blanks between.
    Links,
    /// Groups of nodes: `n1 n2 | n3 n4 n5`.
    Groups,
    /// Ports: `2379`, or several that belong together, `2379,2380`. In histories a list of numbers.
    Ports,
}

impl OptionKind {
    /// Reads one alternative as it stands in a suite; `mixed` is more than one.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn parse(self, value: &Json) -> Result<Vec<Json>, String> {
        let text = match value {
            Json::String(text) => Some(text.as_str()),
            _ => None,
        };
        let number = value.as_i64();
        let wrong = |expected: &str| Err(format!("{value} found, expected {expected}"));
        let one = match self {
            OptionKind::Target => {
                let target: Target = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
                json!(target)
            }
            OptionKind::Shape => {
                let shape: Shape = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
                json!(shape)
            }
            OptionKind::OneOf(words) => match text {
                Some(word) if words.contains(&word) => json!(word),
                Some(word) => return Err(unknown(word, words)),
                None => return wrong(&format!("one of {}", words.join(", "))),
            },
            OptionKind::OneOfOrMixed(_, mixed) if text == Some("mixed") => {
                return Ok(mixed.iter().map(|word| json!(word)).collect());
            }
            OptionKind::OneOfOrMixed(words, _) => return OptionKind::OneOf(words).parse(value),
            OptionKind::Span(least_ms, most_ms) => {
                let Some(text) = text else { return wrong("a span of time with its unit, like 500ms or 10s") };
                let span: DurationText = text.parse().map_err(|error: crate::span::DurationError| error.to_string())?;
                if !(least_ms..=most_ms).contains(&span.ms) {
                    let (least, most) = (DurationText::from_ms(least_ms), DurationText::from_ms(most_ms));
                    return Err(format!("`{text}` is out of range: from {least} to {most}"));
                }
                json!(span.ms)
            }
            OptionKind::SignedSpan(most_ms) => {
                let Some(text) = text else { return wrong("a span of time like 500ms or -10s") };
                json!(signed_ms(text, most_ms)?)
            }
            OptionKind::Share => json!(share_ppm(value)?),
            OptionKind::Integer(from, to) => match number.or_else(|| text.and_then(|text| text.parse().ok())) {
                Some(number) if (from..=to).contains(&number) => json!(number),
                _ => return wrong(&format!("a whole number from {from} to {to}")),
            },
            OptionKind::Rate => json!(scaled(value, RATE_UNITS, "a rate like 64kbit or 1mbit (bits a second)")?),
            OptionKind::Bytes => json!(scaled(value, BYTE_UNITS, "a number of bytes like 4096, 64KiB or 10MiB")?),
            OptionKind::Flag => match (value.as_bool(), text) {
                (Some(flag), _) => json!(flag),
                (None, Some("true")) => json!(true),
                (None, Some("false")) => json!(false),
                _ => return wrong("true or false"),
            },
            OptionKind::Text => match text {
                Some(text) if !text.chars().any(char::is_control) => json!(text),
                _ => return wrong("a text of one line"),
            },
            OptionKind::Links => match text {
                Some(text) => parse_links(text).map(|_| json!(text))?,
                None => return wrong("links like n1>n2 or n1<>n2"),
            },
            OptionKind::Groups => match text {
                Some(text) => parse_groups(text).map(|_| json!(text))?,
                None => return wrong("groups of nodes like n1 n2 | n3"),
            },
            OptionKind::Ports => json!(ports(value)?),
        };
        Ok(vec![one])
    }

    /// The text of suites for a value, which [`OptionKind::parse`] reads again.
    pub fn show(self, value: &Json) -> Json {
        let text = match (self, value.as_u64(), value.as_i64()) {
            (OptionKind::Span(..), Some(ms), _) => DurationText::from_ms(ms).to_string(),
            (OptionKind::SignedSpan(_), _, Some(ms)) => {
                format!("{}{}", if ms < 0 { "-" } else { "" }, DurationText::from_ms(ms.unsigned_abs()))
            }
            (OptionKind::Share, Some(ppm), _) => format!("{}%", ppm as f64 / 10_000.0),
            (OptionKind::Rate, Some(rate), _) => unscaled(rate, RATE_UNITS),
            (OptionKind::Bytes, Some(bytes), _) => unscaled(bytes, BYTE_UNITS),
            (OptionKind::Ports, ..) => {
                let ports = value.as_array().into_iter().flatten().filter_map(Json::as_u64);
                ports.map(|port| port.to_string()).collect::<Vec<_>>().join(",")
            }
            _ => return value.clone(),
        };
        json!(text)
    }

    /// What may be written, for help and documents.
    pub fn expected(self) -> String {
        match self {
            OptionKind::Target => {
                format!("{}, role:NAME, or nodes like [n1, n3]", crate::target::TARGET_NAMES.join(", "))
            }
            OptionKind::Shape => {
                SHAPES.iter().chain(NAMED_SHAPES).map(|shape| shape.name()).collect::<Vec<_>>().join(", ")
            }
            OptionKind::OneOf(words) => words.join(", "),
            OptionKind::OneOfOrMixed(words, _) => format!("{}, mixed", words.join(", ")),
            OptionKind::Span(least, most) => {
                format!("{} to {}", DurationText::from_ms(least), DurationText::from_ms(most))
            }
            OptionKind::SignedSpan(most) => format!("-{0} to {0}", DurationText::from_ms(most)),
            OptionKind::Share => "0% to 100%".to_owned(),
            OptionKind::Integer(from, to) => format!("{from} to {to}"),
            OptionKind::Rate => "like 64kbit, 1mbit".to_owned(),
            OptionKind::Bytes => "like 4096, 64KiB, 10MiB".to_owned(),
            OptionKind::Flag => "true, false".to_owned(),
            OptionKind::Text => "a text".to_owned(),
            OptionKind::Links => "like n1>n2 n3<>n4".to_owned(),
            OptionKind::Groups => "like n1 n2 | n3 n4 n5".to_owned(),
            OptionKind::Ports => "like 2379 or 2379,2380".to_owned(),
        }
    }
}

/// In the words of serde, so that whoever reads errors of suites finds the nearest word.
pub(crate) fn unknown(word: &str, words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("unknown variant `{word}`, expected one of {}", words.join(", "))
}

const RATE_UNITS: &[(&str, u64)] = &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const BYTE_UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn share_ppm(value: &Json) -> Result<u32, String> {
    let wrong = || format!("{value} found, expected a share like 5% or 0.1%");
    let Json::String(text) = value else { return Err(wrong()) };
    let number: f64 = text.strip_suffix('%').ok_or_else(wrong)?.trim().parse().map_err(|_| wrong())?;
    if !(0.0..=100.0).contains(&number) {
        return Err(format!("`{text}` is out of range: from 0% to 100%"));
    }
    Ok((number * 10_000.0).round() as u32)
}

/// A span with a sign, at most so many milliseconds either way.
fn signed_ms(text: &str, most_ms: u64) -> Result<i64, String> {
    let (sign, plain) = text.strip_prefix('-').map_or((1, text), |plain| (-1, plain));
    let plain = plain.strip_prefix('+').unwrap_or(plain);
    let span: DurationText = plain.parse().map_err(|error: crate::span::DurationError| error.to_string())?;
    if span.ms > most_ms {
        return Err(format!("`{text}` is more than {} either way", DurationText::from_ms(most_ms)));
    }
    Ok(sign * i64::try_from(span.ms).unwrap_or(i64::MAX))
}

/// One port or several.
fn ports(value: &Json) -> Result<Vec<u16>, String> {
    let wrong = || format!("{value} found, expected a port like 2379, or several like 2379,2380");
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return Err(wrong()),
    };
    let one = |word: &str| word.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    text.split(',').map(one).collect()
}

fn scaled(value: &Json, units: &[(&str, u64)], expected: &str) -> Result<u64, String> {
    let wrong = || format!("{value} found, expected {expected}");
    if let (Some(number), Some(("B", _))) = (value.as_u64(), units.last()) {
        return Ok(number);
    }
    let Json::String(text) = value else { return Err(wrong()) };
    let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(wrong)?;
    let number: u64 = text.trim_end_matches(unit).trim().parse().map_err(|_| wrong())?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

fn unscaled(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, factor)| number > 0 && number.is_multiple_of(*factor)).or(units.last());
    fits.map_or_else(|| number.to_string(), |(unit, factor)| format!("{}{unit}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_shown_and_read_again() {
        use OptionKind::{
            Bytes, Flag, Groups, Integer, Links, OneOf, Ports, Rate, Shape, Share, SignedSpan, Span, Target,
        };
        let cases: &[(OptionKind, Json, Result<Json, &str>)] = &[
            (Target, json!(["n1", "n3"]), Ok(json!(["n1", "n3"]))),
            (Target, json!("most"), Err("unknown variant `most`, expected one of `one`")),
            (Shape, json!("bridge"), Ok(json!("bridge"))),
            (OneOf(&["a", "b"]), json!("b"), Ok(json!("b"))),
            (OneOf(&["a", "b"]), json!("c"), Err("unknown variant `c`, expected one of `a`, `b`")),
            (Span(1, 10_000), json!("1s500ms"), Ok(json!(1500))),
            (Span(1, 10_000), json!("11s"), Err("out of range: from 1ms to 10s")),
            (Span(1, 10_000), json!(5), Err("expected a span of time with its unit")),
            (SignedSpan(60_000), json!("-1s"), Ok(json!(-1000))),
            (SignedSpan(60_000), json!("-2m"), Err("more than 1m either way")),
            (Share, json!("0.1%"), Ok(json!(1000))),
            (Share, json!("101%"), Err("out of range")),
            (Share, json!(5), Err("expected a share")),
            (Integer(0, 9), json!(7), Ok(json!(7))),
            (Integer(0, 9), json!(10), Err("a whole number from 0 to 9")),
            (Rate, json!("64kbit"), Ok(json!(64_000))),
            (Rate, json!(64), Err("expected a rate")),
            (Bytes, json!("3MiB"), Ok(json!(3 << 20))),
            (Bytes, json!(4097), Ok(json!(4097))),
            (Bytes, json!("99999999999GiB"), Err("expected a number of bytes")),
            (Flag, json!(true), Ok(json!(true))),
            (Flag, json!("yes"), Err("expected true or false")),
            (Links, json!("n1>n2 n3<>n1"), Ok(json!("n1>n2 n3<>n1"))),
            (Links, json!("n1-n2"), Err("`n1-n2` is no link")),
            (Groups, json!("n1 | n2 n3"), Ok(json!("n1 | n2 n3"))),
            (Groups, json!("n1 n2"), Err("two groups at least")),
            (Ports, json!(2379), Ok(json!([2379]))),
            (Ports, json!("2379, 2380"), Ok(json!([2379, 2380]))),
            (Ports, json!("0"), Err("expected a port")),
            (Ports, json!("2379,"), Err("expected a port")),
        ];
        for (kind, text, expected) in cases {
            match (kind.parse(text), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, std::slice::from_ref(expected), "{text}");
                    assert_eq!(kind.parse(&kind.show(&found[0])).unwrap(), found, "{text}");
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn mixed_is_a_list() {
        let kind = OptionKind::OneOfOrMixed(&["in", "out"], &["in", "in", "out"]);
        assert_eq!(kind.parse(&json!("mixed")).unwrap(), [json!("in"), json!("in"), json!("out")]);
        assert_eq!(kind.parse(&json!("out")).unwrap(), [json!("out")]);
        assert!(kind.parse(&json!("up")).unwrap_err().contains("unknown variant `up`"));
    }
}
