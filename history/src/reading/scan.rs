//! A place in a text, for the plain shape of events only: each method answers `None` or `false` where the text is not
//! plain, and whoever asked reads it the long way. None of them steps back.

use crate::history::ValueId;

/// Most digits of a number that fits 63 bits whatever they are.
const DIGITS_MAX: usize = 18;

/// A place in a text: what is left of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Scan<'a> {
        Scan { rest: bytes.get(at..).unwrap_or_default(), length: bytes.len() }
    }

    /// Bytes of the text before the place.
    pub(crate) fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next byte, stepped over.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Steps over this text, if it is next.
    #[inline]
    pub(crate) fn eat<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((found, rest)) if found == text => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// An integer from 0, of at most 18 digits.
    #[inline]
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let start = self.rest;
        let mut number: u64 = 0;
        while let Some((eight, rest)) = self.rest.split_first_chunk::<8>()
            && let Some(eight) = eight_digits(eight)
        {
            // Three times eight digits would be more than are let through; 64 bits hold twice eight.
            if start.len() - self.rest.len() > 8 {
                return None;
            }
            number = number.wrapping_mul(100_000_000).wrapping_add(eight);
            self.rest = rest;
        }
        while let Some((byte, rest)) = self.rest.split_first()
            && byte.is_ascii_digit()
        {
            number = number.wrapping_mul(10).wrapping_add(u64::from(byte & 15));
            self.rest = rest;
        }
        let digits = start.len() - self.rest.len();
        let leading_zero = digits > 1 && start.first() == Some(&b'0');
        ((1..=DIGITS_MAX).contains(&digits) && !leading_zero).then_some(number)
    }

    /// An integer of at most 18 digits, not `-0`.
    #[inline]
    pub(crate) fn int(&mut self) -> Option<i64> {
        let negative = self.eat(b"-");
        let number = self.unsigned()?.cast_signed();
        match (negative, number) {
            (false, _) => Some(number),
            (true, 0) => None,
            (true, _) => Some(-number),
        }
    }

    /// An integer from 0, of at most nine digits: one that is its own number among values.
    #[inline]
    pub(crate) fn small(&mut self) -> Option<ValueId> {
        let (&first, mut rest) = self.rest.split_first()?;
        let mut number = u32::from(first.wrapping_sub(b'0'));
        if number > 9 {
            return None;
        }
        let mut digits = 1;
        while let Some((&byte, after)) = rest.split_first()
            && byte.is_ascii_digit()
        {
            digits += 1;
            if digits > 9 || number == 0 {
                return None;
            }
            number = 10 * number + u32::from(byte & 15);
            rest = after;
        }
        self.rest = rest;
        ValueId::of_small(number)
    }

    /// A process' number.
    #[inline]
    pub(crate) fn number32(&mut self) -> Option<u32> {
        self.unsigned().and_then(|number| u32::try_from(number).ok())
    }

    /// The bytes up to the first that is not such a one, at least one of them; `None` too if none is not.
    #[inline]
    pub(crate) fn while_bytes(&mut self, is_one: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|&byte| !is_one(byte))?;
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then_some(bytes)
    }

    /// The bytes up to the quote that ends a plain string, whose opening quote was stepped over: printable ASCII without
    /// escapes. The quote is stepped over.
    #[inline]
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        let length = self.rest.iter().position(|&byte| !plain(byte))?;
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.eat(b"\"").then_some(bytes)
    }
}

/// The number that eight digits make.
#[inline]
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let word = u64::from_le_bytes(*bytes);
    // A digit is 0x30 to 0x39: its upper half is 3, and is 3 still after adding 6.
    if word & HIGH != ZEROS || word.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    // Neighbours join: digits to numbers of two, of four, of eight digits.
    let digits = word.wrapping_sub(ZEROS);
    let twos = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = twos.wrapping_mul(100).wrapping_add(twos >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(text: &str) -> (Option<u64>, usize) {
        let mut scan = Scan::new(text.as_bytes(), 0);
        let number = scan.unsigned();
        (number, scan.at())
    }

    #[test]
    fn numbers_of_every_length_are_read() {
        let digits = "123456789012345678";
        for length in 1..=18 {
            for after in ["", ",", "}x", "a1234567", "/", ":"] {
                let text = format!("{}{after}", &digits[..length]);
                assert_eq!(unsigned(&text), (digits[..length].parse().ok(), length), "{text}");
            }
        }
        for text in ["", "x", "01", "00000000", "1234567890123456789", "123456789012345678901234567890", "-1"] {
            assert_eq!(unsigned(text).0, None, "{text}");
        }
        assert_eq!(unsigned("0"), (Some(0), 1));
        assert_eq!(unsigned("999999999999999999,").0, Some(999_999_999_999_999_999));
    }

    #[test]
    fn small_numbers_have_at_most_nine_digits() {
        for text in ["0", "7", "10", "123456789", "999999999"] {
            for after in ["", ",", "]", " 1", "x"] {
                let text = format!("{text}{after}");
                let mut scan = Scan::new(text.as_bytes(), 0);
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                assert_eq!(scan.small().map(ValueId::number), text[..digits].parse().ok(), "{text}");
                assert_eq!(scan.at(), digits, "{text}");
            }
        }
        for text in ["", "-1", "01", "00", "1000000000", "4294967296", "x"] {
            assert_eq!(Scan::new(text.as_bytes(), 0).small(), None, "{text}");
        }
    }

    #[test]
    fn eight_digits_are_each_a_digit() {
        assert_eq!(eight_digits(b"00000000"), Some(0));
        assert_eq!(eight_digits(b"98765432"), Some(98_765_432));
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = *b"99999999";
                text[place] = byte;
                let expected = std::str::from_utf8(&text).ok().filter(|_| byte.is_ascii_digit());
                assert_eq!(eight_digits(&text), expected.map(|text| text.parse().expect("digits")), "{text:?}");
            }
        }
    }

    #[test]
    fn integers_have_a_sign_and_strings_an_end() {
        let int = |text: &str| Scan::new(text.as_bytes(), 0).int();
        assert_eq!((int("-17,"), int("-0"), int("--1"), int("-"), int("5")), (Some(-17), None, None, None, Some(5)));
        let quoted = |text: &'static str| Scan::new(text.as_bytes(), 0).quoted();
        assert_eq!((quoted("n1\","), quoted("\"")), (Some(&b"n1"[..]), Some(&b""[..])));
        assert_eq!((quoted("n1"), quoted("a\\n\""), quoted("a\n\""), quoted("é\"")), (None, None, None, None));
    }
}
