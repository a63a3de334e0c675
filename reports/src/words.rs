//! Figures, times and values as a person reads them. All of it pure, cheap, and short for any input.

use schism_history::Value;

/// Longest text of one value in a sentence, in characters; what is longer is cut and says so.
pub const VALUE_CHARS_MAX: usize = 80;

/// Longest name (key, node, class, checker) in a sentence, in characters.
pub const NAME_CHARS_MAX: usize = 40;

const NS_PER_S: u64 = 1_000_000_000;

/// Least time for an operation that a rate is told of: ten million a second are beyond any client over a network.
const OPERATION_NS_MIN: u64 = 100;

/// `12345` as `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 operation`, `2 operations`. The plural is the noun with an `s`.
pub fn plural(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number)) }
}

/// A length of time with three figures: `850 ns`, `4.12 ms`, `2.90 s`, `3 min 05 s`.
pub fn span(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ if ns < 120 * NS_PER_S => (ns as f64 / 1e9, "s"),
        _ => {
            let seconds = ns / NS_PER_S;
            return match seconds {
                0..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
                _ => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
            };
        }
    };
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// A moment since the start of the run, in seconds, with so many decimals (at most 9): `12.301 s`.
pub fn moment(ns: u64, decimals: usize) -> String {
    let decimals = decimals.min(9);
    let unit = 10u64.pow(9 - decimals as u32);
    let rounded = ns / unit;
    let per_s = NS_PER_S / unit;
    if decimals == 0 {
        return format!("{} s", count(rounded));
    }
    format!("{}.{:0decimals$} s", rounded / per_s, rounded % per_s)
}

/// Fewest decimals of [`moment`] (3, 6 or 9) that tell all those moments apart.
pub fn moment_decimals(moments_ns: &[u64]) -> usize {
    let mut sorted = moments_ns.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let told_apart = |unit: u64| sorted.windows(2).all(|pair| pair[0] / unit != pair[1] / unit);
    if told_apart(1_000_000) {
        3
    } else if told_apart(1_000) {
        6
    } else {
        9
    }
}

/// A share of a whole: `99.8 %`; `-` where the whole is nothing. Never rounds up to 100 nor down to 0.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    let share = if part < whole { share.min(99.99) } else { share };
    match share {
        _ if part == 0 => "0 %".to_owned(),
        _ if part >= whole => "100 %".to_owned(),
        share if share < 0.01 => "< 0.01 %".to_owned(),
        share if share > 99.9 => format!("{share:.2} %"),
        share => format!("{:.1} %", share.min(99.9)),
    }
}

/// Whether a time can be that of so many operations. A history without clock (no times at all, or its events' places
/// for times) gives less than [`OPERATION_NS_MIN`] to each.
pub fn is_timed(number: u64, over_ns: u64) -> bool {
    over_ns > 0 && over_ns / number.max(1) >= OPERATION_NS_MIN
}

/// A rate: `1,234/s`, `12.3/s`; `-` over no time, and where the times cannot be real ones ([`is_timed`]).
pub fn rate(number: u64, over_ns: u64) -> String {
    if !is_timed(number, over_ns) {
        return "-".to_owned();
    }
    let per_s = number as f64 / (over_ns as f64 / 1e9);
    if per_s >= 100.0 { format!("{}/s", count(per_s.round() as u64)) } else { format!("{per_s:.1}/s") }
}

/// A value in a sentence, cut at [`VALUE_CHARS_MAX`]; control characters become visible.
pub fn value(value: &Value) -> String {
    cut(&value.to_string(), VALUE_CHARS_MAX)
}

/// A name in a sentence (node, key, class, checker), short and visible.
pub fn name(name: &str) -> String {
    cut(name, NAME_CHARS_MAX)
}

/// A text cut to so many characters, the last of them `…` where it was longer; control characters become visible.
pub fn cut(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    for (place, char) in text.chars().enumerate() {
        if place + 1 >= chars_max && text.chars().nth(chars_max).is_some() {
            out.push('…');
            return out;
        }
        if char.is_control() {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// A text cut in its middle to about so many characters, where it is longer: what a list begins with stays, and what it ends
/// with.
pub fn cut_middle(text: &str, chars_max: usize) -> String {
    let count = text.chars().count();
    if count <= chars_max {
        return cut(text, usize::MAX);
    }
    let tail = chars_max.saturating_sub(1) / 2;
    let head = chars_max.saturating_sub(1) - tail;
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{}…{}", cut(&begin, usize::MAX), cut(&end, usize::MAX))
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A text with its first letter in upper case.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `A`, `B`, ... `Z`, `A2`, `B2`, ...: the short name of the n-th operation of a counterexample.
pub fn letter(place: usize) -> String {
    let letter = char::from(b'A' + (place % 26) as u8);
    if place < 26 { letter.to_string() } else { format!("{letter}{}", place / 26 + 1) }
}

/// Breaks a text at spaces into lines of at most so many characters (a longer word stands alone).
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        let word_chars = word.chars().count();
        if chars > 0 && chars + 1 + word_chars > width {
            lines.push(std::mem::take(&mut line));
            chars = 0;
        }
        if chars > 0 {
            line.push(' ');
            chars += 1;
        }
        line.push_str(word);
        chars += word_chars;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (4_120_000, "4.12 ms"),
            (9_999_000, "10.0 ms"),
            (99_960_000, "100 ms"),
            (2_900_000_000, "2.90 s"),
            (185_000_000_000, "3 min 05 s"),
            (7_260_000_000_000, "2 h 01 min"),
        ] {
            assert_eq!(span(ns), text);
        }
        for (part, whole, text) in [
            (0, 0, "-"),
            (0, 5, "0 %"),
            (5, 5, "100 %"),
            (999_999, 1_000_000, "99.99 %"),
            (1, 1_000_000, "< 0.01 %"),
            (1, 3, "33.3 %"),
        ] {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
        assert_eq!(rate(10, 0), "-");
        assert_eq!(rate(1, 5), "-", "200,000,000/s: places, not times");
        assert_eq!(rate(0, 2_000_000_000), "0.0/s");
        assert_eq!(rate(10_000, 2_000_000_000), "5,000/s");
        assert_eq!(rate(3, 2_000_000_000), "1.5/s");
    }

    #[test]
    fn moments_are_told_apart() {
        assert_eq!(moment(12_301_999_999, 3), "12.301 s");
        assert_eq!(moment(12_000_000_001, 9), "12.000000001 s");
        assert_eq!(moment(12_999_999_999, 0), "12 s");
        assert_eq!(moment(u64::MAX, 99), "18446744073.709551615 s");
        for (moments, decimals) in [
            (vec![], 3),
            (vec![1_000_000, 2_000_000], 3),
            (vec![1_000_000, 1_000_000], 3),
            (vec![1_000_000, 1_001_000], 6),
            (vec![5, 6], 9),
        ] {
            assert_eq!(moment_decimals(&moments), decimals, "{moments:?}");
        }
    }

    #[test]
    fn texts_stay_short_and_visible() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("a\u{1b}[31m\n", 20), "a\\u{1b}[31m\\n");
        assert_eq!(cut_middle("abcdef", 6), "abcdef");
        assert_eq!(cut_middle("abcdefg\n", 6), "abc…g\\n");
        assert_eq!([cut_middle("abc", 0), cut_middle("abc", 1), cut_middle("abc", 2)], ["…", "…", "a…"]);
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!(wrap("aa bb cccccccc d", 5), ["aa bb", "cccccccc", "d"]);
        assert_eq!(wrap("", 5), Vec::<String>::new());
        assert_eq!([letter(0), letter(25), letter(26)], ["A", "Z", "A2"]);
        assert_eq!(capital("éa"), "Éa");
    }
}
