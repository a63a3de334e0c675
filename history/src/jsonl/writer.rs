//! Events to lines, as fast as the controller makes them.

use std::io::{self, Write};

use super::SCHEMA;
use super::line::is_escaped;
use crate::history::History;
use crate::json::{write_int, write_key, write_str, write_value};
use crate::op::{Op, Process};

/// How many bytes are gathered before they are handed on.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes events as they come. Whole lines are gathered and handed on 64 KiB at a time, or at [`JsonlWriter::flush`];
/// whoever keeps a journal flushes as often as it wants to lose little. No allocation per event.
///
/// After an error nothing is lost and nothing is written twice: the next call goes on with the byte after the last
/// that was taken. Dropping flushes, but cannot tell of errors; call [`JsonlWriter::into_inner`].
#[derive(Debug)]
pub struct JsonlWriter<W: Write> {
    /// `None` only while it is being taken apart.
    inner: Option<W>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that `inner` has taken.
    taken: usize,
}

impl<W: Write> JsonlWriter<W> {
    /// A writer with nothing written yet.
    pub fn new(inner: W) -> JsonlWriter<W> {
        JsonlWriter { inner: Some(inner), buffer: Vec::with_capacity(BUFFER_BYTES + 1024), taken: 0 }
    }

    /// Adds an event, with the index it says it has.
    ///
    /// # Errors
    /// When gathered lines could not be handed on (disk full); the event is gathered all the same.
    pub fn write(&mut self, op: &Op) -> io::Result<()> {
        write_line(&mut self.buffer, op);
        if self.buffer.len() - self.taken >= BUFFER_BYTES { self.hand_on() } else { Ok(()) }
    }

    /// Hands on all lines and flushes.
    ///
    /// # Errors
    /// When they could not be handed on (disk full).
    pub fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }

    /// What it writes to (to sync a file, say). Lines may still be gathered; flush first.
    pub fn get_ref(&self) -> Option<&W> {
        self.inner.as_ref()
    }

    /// Flushes and gives back what it wrote to.
    ///
    /// # Errors
    /// When the lines could not be handed on; they are lost then.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.flush()?;
        self.inner.take().ok_or_else(|| io::Error::other("the writer was taken apart before"))
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let Some(inner) = &mut self.inner else { return Ok(()) };
        while self.taken < self.buffer.len() {
            match inner.write(&self.buffer[self.taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.taken += count.min(self.buffer.len() - self.taken),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.taken = 0;
        Ok(())
    }
}

impl<W: Write> Drop for JsonlWriter<W> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Writes a whole history, with a head if it has no real time.
///
/// # Errors
/// When it cannot be written.
pub fn write(history: &History, to: impl Write) -> io::Result<()> {
    let mut writer = JsonlWriter::new(to);
    if !history.has_realtime() {
        write_head(&mut writer.buffer);
    }
    history.ops().try_for_each(|op| writer.write(&op))?;
    writer.into_inner().map(drop)
}

fn write_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"schema_version\":");
    write_int(out, SCHEMA);
    out.extend_from_slice(b",\"realtime\":false}\n");
}

fn write_line(out: &mut Vec<u8>, op: &Op) {
    out.extend_from_slice(b"{\"index\":");
    write_int(out, op.index);
    out.extend_from_slice(b",\"time\":");
    write_int(out, op.time_ns);
    out.extend_from_slice(b",\"process\":");
    match &op.process {
        Process::Client(number) => write_int(out, *number),
        Process::Nemesis(class) if class.is_empty() => out.extend_from_slice(b"\"nemesis\""),
        Process::Nemesis(class) => {
            let start = out.len();
            write_str(out, class);
            out.splice(start..=start, *b"\"nemesis/");
        }
    }
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(op.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"f\":");
    write_str(out, op.f.as_str());
    if let Some(key) = &op.key {
        out.extend_from_slice(b",\"key\":");
        write_key(out, key);
    }
    out.extend_from_slice(b",\"value\":");
    write_value(out, &op.value);
    if let Some(node) = &op.node {
        out.extend_from_slice(b",\"node\":");
        write_str(out, node.as_str());
    }
    if let Some(matched) = op.matched {
        out.extend_from_slice(if matched { b",\"matched\":true" } else { b",\"matched\":false" });
    }
    write_rare(out, op);
    out.extend_from_slice(b"}\n");
}

fn write_rare(out: &mut Vec<u8>, op: &Op) {
    if let Some(fault_id) = op.fault_id {
        out.extend_from_slice(b",\"fault_id\":");
        write_int(out, fault_id);
    }
    if let Some(session) = op.session {
        out.extend_from_slice(b",\"session\":");
        write_int(out, session);
    }
    if let Some(error) = &op.error {
        out.extend_from_slice(b",\"error\":");
        write_value(out, error);
    }
    for (name, value) in op.extra.iter().flat_map(|extra| extra.iter()) {
        out.push(b',');
        if is_escaped(name) {
            write_str(out, &format!("extra.{name}"));
        } else {
            write_str(out, name);
        }
        out.push(b':');
        write_value(out, value);
    }
}
