//! The plain line, byte by byte: a client's operation on integers, fields in any order, no escapes.
//!
//! Answers only where it is sure; what it leaves is read by [`super::line::Parser`], which also says what is wrong.

use crate::op::Kind;
use crate::reading::plain::{Names, Plain, Shape};
use crate::reading::scan::Scan;

const PROCESS: u16 = 1 << 2;
const TYPE: u16 = 1 << 3;
const F: u16 = 1 << 4;

/// The event of the line that begins at byte `start`; its `end` is after the end of the line. `None`: not plain.
pub(super) fn event(bytes: &[u8], start: usize, names: &mut Names) -> Option<Plain> {
    let mut scan = Scan::new(bytes, start);
    let mut plain = Plain { at: u32::try_from(start).ok()?, ..Plain::NEW };
    let mut seen = 0;
    if !scan.eat(b"{") {
        return None;
    }
    loop {
        let field = field(&mut scan, &mut plain, names)?;
        if seen & field != 0 {
            return None;
        }
        seen |= field;
        match scan.next()? {
            b',' => spaces(&mut scan),
            b'}' => break,
            _ => return None,
        }
    }
    let whole = seen & (PROCESS | TYPE | F) == PROCESS | TYPE | F;
    if !whole || !(scan.eat(b"\n") || scan.eat(b"\r\n")) {
        return None;
    }
    plain.end = u32::try_from(scan.at()).ok()?;
    Some(plain)
}

/// Reads one field into `plain`; which one, as a bit.
#[inline]
fn field(scan: &mut Scan<'_>, plain: &mut Plain, names: &mut Names) -> Option<u16> {
    if !scan.eat(b"\"") {
        return None;
    }
    Some(match scan.next()? {
        b'i' if named(scan, b"ndex\":") => {
            scan.unsigned()?;
            1
        }
        b't' if named(scan, b"ime\":") => {
            plain.time_ns = scan.unsigned()?;
            plain.has_time = true;
            1 << 1
        }
        b'p' if named(scan, b"rocess\":") => {
            plain.process = scan.number32()?;
            PROCESS
        }
        b't' if named(scan, b"ype\":") => {
            plain.kind = kind(scan)?;
            TYPE
        }
        b'f' if named(scan, b"\":") && scan.eat(b"\"") => {
            plain.f = names.function(scan.quoted()?)?;
            F
        }
        b'k' if named(scan, b"ey\":") => {
            plain.first = scan.int()?;
            plain.has_key = true;
            1 << 5
        }
        b'v' if named(scan, b"alue\":") => {
            value(scan, plain)?;
            1 << 6
        }
        b'n' if named(scan, b"ode\":") && scan.eat(b"\"") => {
            plain.node = names.node(scan.quoted()?)?;
            1 << 7
        }
        b'm' if named(scan, b"atched\":") => {
            plain.matched = Some(if scan.eat(b"true") {
                true
            } else if scan.eat(b"false") {
                false
            } else {
                return None;
            });
            1 << 8
        }
        _ => return None,
    })
}

/// Steps over the rest of a name, its colon and the spaces after it, if that is next.
#[inline]
fn named<const N: usize>(scan: &mut Scan<'_>, rest: &[u8; N]) -> bool {
    let there = scan.eat(rest);
    if there {
        spaces(scan);
    }
    there
}

#[inline]
fn spaces(scan: &mut Scan<'_>) {
    while scan.peek() == Some(b' ') {
        scan.next();
    }
}

#[inline]
fn kind(scan: &mut Scan<'_>) -> Option<Kind> {
    if scan.eat(b"\"invoke\"") {
        Some(Kind::Invoke)
    } else if scan.eat(b"\"ok\"") {
        Some(Kind::Ok)
    } else if scan.eat(b"\"fail\"") {
        Some(Kind::Fail)
    } else if scan.eat(b"\"info\"") {
        Some(Kind::Info)
    } else {
        None
    }
}

/// Nothing, an integer, or two of them.
#[inline]
fn value(scan: &mut Scan<'_>, plain: &mut Plain) -> Option<()> {
    if scan.eat(b"null") {
        plain.shape = Shape::Nil;
    } else if scan.eat(b"[") {
        plain.a = scan.int()?;
        if !scan.eat(b",") {
            return None;
        }
        spaces(scan);
        plain.b = scan.int()?;
        if !scan.eat(b"]") {
            return None;
        }
        plain.shape = Shape::Pair;
    } else {
        plain.a = scan.int()?;
        plain.shape = Shape::Int;
    }
    Some(())
}
