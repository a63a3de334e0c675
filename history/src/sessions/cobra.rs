//! Cobra's log of one client: see [`super::read_cobra`].

use std::io::{BufReader, Read};

use super::SessionsError;
use super::binary::Bytes;
use super::gather::{Does, End, Gather, Number};
use crate::value::Key;

/// Numbers of writes that stand for what was there at first.
const INITIAL: [i64; 2] = [0xbebe_ebee, 0xdead_beef];

pub(super) fn read(log: impl Read, gather: &mut Gather) -> Result<(), SessionsError> {
    let mut bytes = Bytes::new(BufReader::with_capacity(1 << 16, log));
    let session = gather.next_session();
    let mut open: Option<(i64, Number)> = None;
    while let Some([letter]) = bytes.try_take::<1>("a record")? {
        let offset = bytes.offset - 1;
        let found = |expected| {
            let found = format!("`{}`", char::from(letter).escape_default());
            SessionsError::Binary { offset, found, expected }
        };
        match (letter, open) {
            (b'S', None) => {
                let id = bytes.big("the number of a transaction")?;
                // Until it ends.
                open = Some((id, gather.txn(session, End::Open)));
            }
            (b'W', Some((_, txn))) => {
                let write = bytes.big("the number of a write")?;
                let key = gather.key(Key::Int(bytes.big("a key")?));
                bytes.big("a value")?;
                gather.step(txn, Does::Write, key, write);
            }
            (b'R', Some((_, txn))) => {
                bytes.big("the number of the transaction that wrote")?;
                let write = bytes.big("the number of the write that was read")?;
                let key = gather.key(Key::Int(bytes.big("a key")?));
                bytes.big("a value")?;
                let does = if INITIAL.contains(&write) { Does::ReadInitial } else { Does::Read };
                gather.step(txn, does, key, write);
            }
            (b'C' | b'A', Some((id, txn))) => {
                let found_id = bytes.big("the number of the transaction")?;
                if found_id != id {
                    let found = format!("the end of transaction {found_id}");
                    let expected = "that of the transaction that began last";
                    return Err(SessionsError::Binary { offset, found, expected });
                }
                gather.set_end(txn, if letter == b'C' { End::Committed } else { End::Aborted });
                open = None;
            }
            (_, None) => return Err(found("`S`, the beginning of a transaction")),
            (_, Some(_)) => return Err(found("`R`, `W`, `C` or `A` within a transaction")),
        }
    }
    Ok(())
}
