//! Bytes one after the other, each with its place.

use std::io::{self, Read};

use super::SessionsError;

/// What is left of a binary file.
pub(super) struct Bytes<R> {
    reader: R,
    pub offset: u64,
}

impl<R: Read> Bytes<R> {
    pub(super) fn new(reader: R) -> Bytes<R> {
        Bytes { reader, offset: 0 }
    }

    /// So many bytes; `None` at the end of the file.
    pub(super) fn try_take<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<Option<[u8; N]>, SessionsError> {
        let mut bytes = [0; N];
        let mut there = 0;
        while there < N {
            match self.reader.read(&mut bytes[there..]) {
                Ok(0) if there == 0 => return Ok(None),
                Ok(0) => return Err(SessionsError::BinaryCut { offset: self.offset + there as u64, expected }),
                Ok(count) => there += count.min(N - there),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SessionsError::Io { line: 1, reason: error.to_string() }),
            }
        }
        self.offset += N as u64;
        Ok(Some(bytes))
    }

    /// So many bytes.
    pub(super) fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], SessionsError> {
        let offset = self.offset;
        self.try_take(expected)?.ok_or(SessionsError::BinaryCut { offset, expected })
    }

    /// An integer of 64 bits, its last byte first.
    pub(super) fn little(&mut self, expected: &'static str) -> Result<u64, SessionsError> {
        self.take(expected).map(u64::from_le_bytes)
    }

    /// An integer of 64 bits, its first byte first.
    pub(super) fn big(&mut self, expected: &'static str) -> Result<i64, SessionsError> {
        self.take(expected).map(i64::from_be_bytes)
    }

    /// A byte that is 0 or 1.
    pub(super) fn flag(&mut self, expected: &'static str) -> Result<bool, SessionsError> {
        match self.take(expected)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => {
                Err(SessionsError::Binary { offset: self.offset - 1, found: format!("the byte {other}"), expected })
            }
        }
    }

    /// Steps over so many bytes.
    pub(super) fn skip(&mut self, count: u64, expected: &'static str) -> Result<(), SessionsError> {
        let skipped = io::copy(&mut self.reader.by_ref().take(count), &mut io::sink());
        let skipped = skipped.map_err(|error| SessionsError::Io { line: 1, reason: error.to_string() })?;
        self.offset += skipped;
        if skipped < count { Err(SessionsError::BinaryCut { offset: self.offset, expected }) } else { Ok(()) }
    }
}
