//! What the processes of a lab tell each other while it comes up: JSON lines through pipes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::sys::await_readable;

/// One line, from a holder to the controller or from a node to its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The number of the process just started, as the one who started it sees it.
    Pid(u32),
    /// Everything is there.
    Ready,
    /// It is not, and will not be.
    Failed(Failure),
}

impl Message {
    /// Writes it to standard output, in one piece.
    pub(crate) fn send(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }
}

/// Reads messages from a pipe, up to a deadline.
pub(crate) struct Reader<R> {
    pipe: R,
    buffer: Vec<u8>,
}

impl<R: Read + AsFd> Reader<R> {
    pub(crate) fn new(pipe: R) -> Reader<R> {
        Reader { pipe, buffer: Vec::new() }
    }

    /// The next message; an error says whether the time ran out, the other end died, or spoke nonsense.
    pub(crate) fn next(&mut self, deadline: Instant) -> io::Result<Message> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(io::Error::other);
            }
            if self.buffer.len() > 1 << 16 {
                return Err(io::Error::other("a line without end"));
            }
            if !await_readable(&self.pipe, deadline)? {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
            let mut chunk = [0; 4096];
            let got = self.pipe.read(&mut chunk)?;
            if got == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
            }
            self.buffer.extend_from_slice(&chunk[..got]);
        }
    }
}

/// Everything that comes through standard input, as one value.
pub(crate) fn receive<T: for<'de> Deserialize<'de>>() -> io::Result<T> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_come_whole_in_order_and_the_end_is_told_from_silence() {
        let (read, write) = io::pipe().unwrap();
        let mut write = Some(write);
        let mut reader = Reader::new(read);
        let soon = || Instant::now() + Duration::from_millis(30);
        write.as_mut().unwrap().write_all(b"{\"Pid\":7}\n\"Rea").unwrap();
        assert_eq!(reader.next(soon()).unwrap(), Message::Pid(7));
        assert_eq!(reader.next(soon()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        write.as_mut().unwrap().write_all(b"dy\"\nnonsense\n").unwrap();
        assert_eq!(reader.next(soon()).unwrap(), Message::Ready);
        assert_eq!(reader.next(soon()).unwrap_err().kind(), io::ErrorKind::Other);
        drop(write.take());
        assert_eq!(reader.next(soon()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
