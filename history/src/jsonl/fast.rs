//! The plain line, byte by byte: a client's operation on integers or transaction of them, fields in any order, no escapes.
//!
//! Answers only where it is sure; what it leaves is read by [`super::line::Parser`], which also says what is wrong.

use crate::history::{MicroF, ValueId};
use crate::op::Kind;
use crate::reading::flat::Flats;
use crate::reading::plain::{Names, Plain, Shape};
use crate::reading::scan::Scan;

const PROCESS: u16 = 1 << 2;
const TYPE: u16 = 1 << 3;
const F: u16 = 1 << 4;

/// The event of the line that begins at byte `start`; its `end` is after the end of the line. `None`: not plain.
pub(super) fn event(bytes: &[u8], start: usize, names: &mut Names) -> Option<Plain> {
    let mark = names.flats.mark();
    let found = line(bytes, start, names);
    if found.is_none() {
        names.flats.rewind(mark);
    }
    found
}

#[inline]
fn line(bytes: &[u8], start: usize, names: &mut Names) -> Option<Plain> {
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
    let whole = seen & (PROCESS | TYPE) == PROCESS | TYPE;
    if !whole || !names.settle_txn(&mut plain, seen & F != 0) || !(scan.eat(b"\n") || scan.eat(b"\r\n")) {
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
            value(scan, plain, &mut names.flats)?;
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

/// Nothing, an integer, two of them, or a transaction.
#[inline]
fn value(scan: &mut Scan<'_>, plain: &mut Plain, flats: &mut Flats) -> Option<()> {
    if scan.eat(b"null") {
        plain.shape = Shape::Nil;
    } else if scan.eat(b"[") {
        if let Some(b'[' | b']') = scan.peek() {
            return txn(scan, plain, flats);
        }
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

/// Micro-operations, the opening bracket of their list stepped over.
#[inline]
fn txn(scan: &mut Scan<'_>, plain: &mut Plain, flats: &mut Flats) -> Option<()> {
    let start = flats.mark();
    if !scan.eat(b"]") {
        loop {
            if !scan.eat(b"[") {
                return None;
            }
            micro(scan, flats)?;
            match scan.next()? {
                b',' => spaces(scan),
                b']' => break,
                _ => return None,
            }
        }
    }
    plain.set_txn(flats, start);
    Some(())
}

/// A micro-operation, its opening bracket stepped over.
#[inline]
fn micro(scan: &mut Scan<'_>, flats: &mut Flats) -> Option<()> {
    let f = if scan.eat(b"\"r\",") {
        MicroF::Read
    } else if scan.eat(b"\"append\",") {
        MicroF::Append
    } else if scan.eat(b"\"w\",") {
        MicroF::Write
    } else {
        return None;
    };
    spaces(scan);
    let key = scan.int()?;
    if !scan.eat(b",") {
        return None;
    }
    spaces(scan);
    if f == MicroF::Read && scan.eat(b"[") {
        list(scan, key, flats)?;
    } else if scan.eat(b"null") {
        flats.one(f, key, ValueId::NIL);
    } else {
        flats.one(f, key, scan.small()?);
    }
    scan.eat(b"]").then_some(())
}

/// A list that was read of a key, its opening bracket stepped over.
#[inline]
fn list(scan: &mut Scan<'_>, key: i64, flats: &mut Flats) -> Option<()> {
    let start = flats.items_len();
    if !scan.eat(b"]") {
        loop {
            flats.item(scan.small()?);
            match scan.next()? {
                b',' => spaces(scan),
                b']' => break,
                _ => return None,
            }
        }
    }
    flats.list(key, start)
}
