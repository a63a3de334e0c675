//! A place in a text, for the plain shape of events only: each method answers `None` or `false` where the text is not
//! plain, and whoever asked reads it the long way. None of them steps back.

/// Most digits of a number that fits 63 bits whatever they are.
const DIGITS_MAX: usize = 18;

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over this text, if it is next.
    #[inline]
    pub(crate) fn eat<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        let there = self.rest().first_chunk::<N>() == Some(text);
        self.at += if there { N } else { 0 };
        there
    }

    /// An integer from 0, of at most 18 digits.
    #[inline]
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let start = self.at;
        let mut number: u64 = 0;
        while let Some(eight) = self.rest().first_chunk::<8>().and_then(eight_digits) {
            // Three times eight digits would be more than are let through; 64 bits hold twice eight.
            if self.at - start > 8 {
                return None;
            }
            number = number.wrapping_mul(100_000_000).wrapping_add(eight);
            self.at += 8;
        }
        while let Some(digit) = self.peek().map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        let digits = self.at - start;
        let leading_zero = digits > 1 && self.bytes[start] == b'0';
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

    /// A process' number.
    #[inline]
    pub(crate) fn number32(&mut self) -> Option<u32> {
        self.unsigned().and_then(|number| u32::try_from(number).ok())
    }

    /// The bytes up to the quote that ends a plain string, whose opening quote was stepped over: printable ASCII without
    /// escapes. The quote is stepped over.
    #[inline]
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let length = rest.iter().position(|&byte| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\')?;
        self.at += length + 1;
        (rest[length] == b'"').then_some(&rest[..length])
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
        let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
        let number = scan.unsigned();
        (number, scan.at)
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
        let int = |text: &str| Scan { bytes: text.as_bytes(), at: 0 }.int();
        assert_eq!((int("-17,"), int("-0"), int("--1"), int("-"), int("5")), (Some(-17), None, None, None, Some(5)));
        let quoted = |text: &'static str| Scan { bytes: text.as_bytes(), at: 0 }.quoted();
        assert_eq!((quoted("n1\","), quoted("\"")), (Some(&b"n1"[..]), Some(&b""[..])));
        assert_eq!((quoted("n1"), quoted("a\\n\""), quoted("a\n\""), quoted("é\"")), (None, None, None, None));
    }
}
