//! The plain map, byte by byte: a client's operation on integers or transaction of them, fields in any order, keywords
//! without escapes.
//!
//! Answers only where it is sure; what it leaves is read as a form, which also says what is wrong. What it reads depends
//! on nothing but the bytes from `start` on.

use crate::history::{MicroF, ValueId};
use crate::op::Kind;
use crate::reading::flat::Flats;
use crate::reading::plain::{Names, Plain, Shape};
use crate::reading::scan::Scan;

const TYPE: u16 = 1 << 2;
const PROCESS: u16 = 1 << 3;
const F: u16 = 1 << 4;

/// The event of the map, perhaps tagged, that begins at byte `start`; its `end` is after its closing brace. `None`: not
/// plain.
pub(super) fn event(bytes: &[u8], start: usize, names: &mut Names) -> Option<Plain> {
    let mark = names.flats.mark();
    let found = map(bytes, start, names);
    if found.is_none() {
        names.flats.rewind(mark);
    }
    found
}

#[inline]
fn map(bytes: &[u8], start: usize, names: &mut Names) -> Option<Plain> {
    let mut scan = Scan::new(bytes, start);
    let mut plain = Plain { at: u32::try_from(start).ok()?, ..Plain::NEW };
    let mut seen = 0;
    if !scan.eat(b"{") && !scan.eat(b"#jepsen.history.Op{") {
        return None;
    }
    loop {
        if scan.eat(b"}") {
            break;
        }
        let field = field(&mut scan, &mut plain, names)?;
        if seen & field != 0 {
            return None;
        }
        seen |= field;
        // What ends a value of any kind; other ends there are (a bracket, a quote) are left.
        match scan.peek()? {
            b',' | b' ' => blanks(&mut scan),
            b'}' => {}
            _ => return None,
        }
    }
    plain.end = u32::try_from(scan.at()).ok()?;
    let whole = seen & (PROCESS | TYPE) == PROCESS | TYPE && names.settle_txn(&mut plain, seen & F != 0);
    whole.then_some(plain)
}

/// Reads one field into `plain`; which one, as a bit.
#[inline]
fn field(scan: &mut Scan<'_>, plain: &mut Plain, names: &mut Names) -> Option<u16> {
    if !scan.eat(b":") {
        return None;
    }
    Some(match scan.next()? {
        b'i' if named(scan, b"ndex ") => {
            scan.unsigned()?;
            1
        }
        b't' if named(scan, b"ime ") => {
            plain.time_ns = scan.unsigned()?;
            plain.has_time = true;
            1 << 1
        }
        b't' if named(scan, b"ype ") && scan.eat(b":") => {
            plain.kind = kind(scan)?;
            TYPE
        }
        b'p' if named(scan, b"rocess ") => {
            plain.process = scan.number32()?;
            PROCESS
        }
        b'f' if named(scan, b" ") && scan.eat(b":") => {
            plain.f = names.function(word(scan)?)?;
            F
        }
        b'v' if named(scan, b"alue ") => {
            value(scan, plain, &mut names.flats)?;
            1 << 5
        }
        b'n' if named(scan, b"ode ") && scan.eat(b"\"") => {
            plain.node = names.node(scan.quoted()?)?;
            1 << 6
        }
        _ => return None,
    })
}

/// Steps over the rest of a name and the blanks after it, if that is next.
#[inline]
fn named<const N: usize>(scan: &mut Scan<'_>, rest: &[u8; N]) -> bool {
    let there = scan.eat(rest);
    if there {
        blanks(scan);
    }
    there
}

#[inline]
fn blanks(scan: &mut Scan<'_>) {
    while let Some(b' ' | b',') = scan.peek() {
        scan.next();
    }
}

/// What a keyword is made of, its colon stepped over: at least one byte, and only such as any reader takes.
#[inline]
fn word<'a>(scan: &mut Scan<'a>) -> Option<&'a [u8]> {
    scan.while_bytes(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'?' | b'!' | b'*' | b'/'))
}

#[inline]
fn kind(scan: &mut Scan<'_>) -> Option<Kind> {
    // What follows is looked at by whoever asked: a longer word has another byte there.
    if scan.eat(b"invoke") {
        Some(Kind::Invoke)
    } else if scan.eat(b"ok") {
        Some(Kind::Ok)
    } else if scan.eat(b"fail") {
        Some(Kind::Fail)
    } else if scan.eat(b"info") {
        Some(Kind::Info)
    } else {
        None
    }
}

/// Nothing, an integer, a vector of an integer and one of both or a vector of two integers, or a transaction.
#[inline]
fn value(scan: &mut Scan<'_>, plain: &mut Plain, flats: &mut Flats) -> Option<()> {
    if scan.eat(b"nil") {
        plain.shape = Shape::Nil;
        return Some(());
    }
    if !scan.eat(b"[") {
        plain.a = scan.int()?;
        plain.shape = Shape::Int;
        return Some(());
    }
    if let Some(b'[' | b']' | b' ') = scan.peek() {
        return txn(scan, plain, flats);
    }
    plain.first = scan.int()?;
    if !scan.eat(b" ") {
        return None;
    }
    if scan.eat(b"nil]") {
        plain.shape = Shape::FirstAndNil;
    } else if scan.eat(b"[") {
        plain.a = scan.int()?;
        if !scan.eat(b" ") {
            return None;
        }
        plain.b = scan.int()?;
        plain.shape = Shape::FirstAndPair;
        if !scan.eat(b"]]") {
            return None;
        }
    } else {
        plain.a = plain.first;
        plain.b = scan.int()?;
        plain.shape = Shape::Pair;
        if !scan.eat(b"]") {
            return None;
        }
    }
    Some(())
}

/// Micro-operations, the opening bracket of their vector stepped over.
#[inline]
fn txn(scan: &mut Scan<'_>, plain: &mut Plain, flats: &mut Flats) -> Option<()> {
    let start = flats.mark();
    blanks(scan);
    while !scan.eat(b"]") {
        if !scan.eat(b"[") {
            return None;
        }
        micro(scan, flats)?;
        blanks(scan);
    }
    plain.set_txn(flats, start);
    Some(())
}

/// A micro-operation, its opening bracket stepped over.
#[inline]
fn micro(scan: &mut Scan<'_>, flats: &mut Flats) -> Option<()> {
    blanks(scan);
    let f = if scan.eat(b":r ") {
        MicroF::Read
    } else if scan.eat(b":append ") {
        MicroF::Append
    } else if scan.eat(b":w ") {
        MicroF::Write
    } else {
        return None;
    };
    blanks(scan);
    let key = scan.int()?;
    let (b' ' | b',') = scan.next()? else { return None };
    blanks(scan);
    if f == MicroF::Read && scan.eat(b"[") {
        list(scan, key, flats)?;
    } else if scan.eat(b"nil") {
        flats.one(f, key, ValueId::NIL);
    } else {
        flats.one(f, key, scan.small()?);
    }
    blanks(scan);
    scan.eat(b"]").then_some(())
}

/// A list that was read of a key, its opening bracket stepped over.
#[inline]
fn list(scan: &mut Scan<'_>, key: i64, flats: &mut Flats) -> Option<()> {
    let start = flats.items_len();
    blanks(scan);
    while !scan.eat(b"]") {
        flats.item(scan.small()?);
        match scan.peek()? {
            b' ' | b',' => blanks(scan),
            b']' => {}
            _ => return None,
        }
    }
    flats.list(key, start)
}
