//! A text in chunks, parsed on threads, taken in order.
//!
//! Memory: two chunks a thread, with the events in them. What is parsed does not depend on the number of threads, as each
//! chunk is parsed by itself.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Usual length of a chunk: with its events it fits a processor's cache.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// Chunks that each thread has at a time: one to work at, one to go on with.
const CHUNKS_A_THREAD: usize = 2;

/// Longest line, or event, that is read.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 20;

/// A piece of a text.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub bytes: Vec<u8>,
    /// Bytes of the text before it.
    pub offset: u64,
    /// Nothing follows.
    pub last: bool,
    /// Nothing follows because reading ended before the text did: what stands after the last line was cut off.
    pub broken: bool,
}

impl Chunk {
    /// Ends of lines before a place.
    pub(crate) fn lines_before(&self, at: usize) -> u64 {
        lines(&self.bytes[..at.min(self.bytes.len())])
    }
}

/// How many lines end in a text.
pub(crate) fn lines(bytes: &[u8]) -> u64 {
    // Summed in bytes, without a look at overflow (255 fit), so that many are counted at a time.
    let count = |part: &[u8]| part.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(u8::from(byte == b'\n')));
    bytes.chunks(255).map(|part| u64::from(count(part))).sum()
}

/// Where chunks may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After a line; chunks grow to hold one.
    Lines,
    /// After a line, or anywhere where none ends.
    Anywhere,
}

/// Cuts what a reader gives. The last chunk also has what stands after the last line.
pub(crate) struct Splitter<R> {
    reader: R,
    cut: Cut,
    chunk_bytes: usize,
    /// What was read beyond the last chunk.
    rest: Vec<u8>,
    offset: u64,
    done: bool,
    /// Why reading ended before the text did.
    pub trouble: Option<io::Error>,
    /// A line is longer than [`PIECE_BYTES_MAX`].
    pub line_too_long: bool,
}

impl<R: Read> Splitter<R> {
    pub(crate) fn new(reader: R, cut: Cut, chunk_bytes: usize) -> Splitter<R> {
        let rest = Vec::new();
        Splitter { reader, cut, chunk_bytes, rest, offset: 0, done: false, trouble: None, line_too_long: false }
    }

    /// The next chunk, in the memory of an old one.
    fn next(&mut self, mut bytes: Vec<u8>) -> Option<Chunk> {
        if self.done {
            return None;
        }
        bytes.clear();
        bytes.append(&mut self.rest);
        let mut wanted = self.chunk_bytes.max(bytes.len() + 1);
        loop {
            self.fill(&mut bytes, wanted);
            if self.done {
                break;
            }
            if let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') {
                self.rest.extend_from_slice(&bytes[end + 1..]);
                bytes.truncate(end + 1);
                break;
            }
            if self.cut == Cut::Anywhere {
                break;
            }
            if bytes.len() > PIECE_BYTES_MAX {
                (self.done, self.line_too_long) = (true, true);
                break;
            }
            wanted = (2 * wanted).min(PIECE_BYTES_MAX + 1);
        }
        let broken = self.trouble.is_some() || self.line_too_long;
        let chunk = Chunk { offset: self.offset, last: self.done, broken, bytes };
        self.offset += chunk.bytes.len() as u64;
        Some(chunk)
    }

    /// Reads until so many bytes are there, or no more follow.
    fn fill(&mut self, bytes: &mut Vec<u8>, wanted: usize) {
        let missing = wanted.saturating_sub(bytes.len());
        bytes.reserve_exact(missing);
        match self.reader.by_ref().take(missing as u64).read_to_end(bytes) {
            Ok(count) => self.done = count < missing,
            Err(error) => (self.done, self.trouble) = (true, Some(error)),
        }
    }
}

/// A chunk and what was parsed from it. Both go round, so that their memory and what they learned is used again.
#[derive(Default)]
struct Job<P> {
    chunk: Chunk,
    parsed: P,
}

/// A thread that parses: the way to it and the way back.
struct Worker<P> {
    jobs: Sender<Job<P>>,
    done: Receiver<Job<P>>,
}

/// Parses chunks on so many threads and hands them to `take` in the order of the text. Each thread has a parser of its
/// own; `parse` finds in `parsed` what an earlier chunk left there.
///
/// # Errors
/// The first one of `take`, which ends it all.
pub(crate) fn in_order<R: Read, W: Send, P: Default + Send, E>(
    splitter: &mut Splitter<R>,
    threads: usize,
    parser: impl Fn() -> W,
    parse: impl Fn(&mut W, &Chunk, &mut P) + Sync,
    mut take: impl FnMut(&Chunk, &mut P) -> Result<(), E>,
) -> Result<(), E> {
    let Some(first) = splitter.next(Vec::new()) else { return Ok(()) };
    let mut job = Job { chunk: first, parsed: P::default() };
    if threads < 2 || job.chunk.last {
        return alone(splitter, &mut job, parser(), parse, take);
    }
    thread::scope(|scope| {
        let mut workers: Vec<Worker<P>> = Vec::new();
        for _ in 0..threads {
            let (to_worker, jobs) = channel::<Job<P>>();
            let (to_us, done) = channel::<Job<P>>();
            let (mut parser, parse) = (parser(), &parse);
            let work = move || {
                for mut job in jobs {
                    parse(&mut parser, &job.chunk, &mut job.parsed);
                    if to_us.send(job).is_err() {
                        return;
                    }
                }
            };
            match thread::Builder::new().name("schism-read".to_owned()).spawn_scoped(scope, work) {
                Ok(_) => workers.push(Worker { jobs: to_worker, done }),
                // What there is must do.
                Err(_) => break,
            }
        }
        if workers.is_empty() {
            return alone(splitter, &mut job, parser(), &parse, take);
        }
        let mut next = Some(job);
        let mut free: Vec<Job<P>> = Vec::new();
        let (mut sent, mut taken) = (0, 0);
        loop {
            while sent - taken < workers.len() * CHUNKS_A_THREAD
                && let Some(job) = next.take()
            {
                // A thread ends early only by a panic, which the scope hands on.
                if workers[sent % workers.len()].jobs.send(job).is_err() {
                    return Ok(());
                }
                sent += 1;
                let Job { chunk, parsed } = free.pop().unwrap_or_default();
                next = splitter.next(chunk.bytes).map(|chunk| Job { chunk, parsed });
            }
            if sent == taken {
                return Ok(());
            }
            let Ok(mut job) = workers[taken % workers.len()].done.recv() else { return Ok(()) };
            take(&job.chunk, &mut job.parsed)?;
            taken += 1;
            free.push(job);
        }
    })
}

fn alone<R: Read, W, P, E>(
    splitter: &mut Splitter<R>,
    job: &mut Job<P>,
    mut parser: W,
    parse: impl Fn(&mut W, &Chunk, &mut P),
    mut take: impl FnMut(&Chunk, &mut P) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        parse(&mut parser, &job.chunk, &mut job.parsed);
        take(&job.chunk, &mut job.parsed)?;
        match splitter.next(std::mem::take(&mut job.chunk.bytes)) {
            Some(chunk) => job.chunk = chunk,
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, and how they come back in chunks of about four bytes.
    #[test]
    fn chunks_end_after_lines_where_they_can() {
        for (text, by_lines, anywhere) in [
            ("", vec![""], vec![""]),
            ("a", vec!["a"], vec!["a"]),
            ("a\nb\nc\nd", vec!["a\nb\n", "c\nd"], vec!["a\nb\n", "c\nd"]),
            ("abcde\nfghijklmno", vec!["abcde\n", "fghijklmno"], vec!["abcd", "e\n", "fghi", "jklm", "no"]),
            ("ab\ncdefghijkl\n", vec!["ab\n", "cdefghijkl\n", ""], vec!["ab\n", "cdef", "ghij", "kl\n"]),
        ] {
            for (cut, expected) in [(Cut::Lines, by_lines), (Cut::Anywhere, anywhere)] {
                for threads in [1, 3] {
                    let mut splitter = Splitter::new(text.as_bytes(), cut, 4);
                    let mut found: Vec<String> = Vec::new();
                    let parse = |_: &mut (), chunk: &Chunk, parsed: &mut String| {
                        *parsed = String::from_utf8_lossy(&chunk.bytes).into_owned();
                    };
                    let taken: Result<(), ()> = in_order(
                        &mut splitter,
                        threads,
                        || (),
                        parse,
                        |chunk, parsed| {
                            assert_eq!(chunk.offset as usize, found.concat().len());
                            found.push(std::mem::take(parsed));
                            Ok(())
                        },
                    );
                    assert_eq!(taken, Ok(()));
                    found.retain(|part| !part.is_empty());
                    let expected: Vec<&str> = expected.iter().copied().filter(|part| !part.is_empty()).collect();
                    assert_eq!(found, expected, "{text:?} {cut:?} {threads}");
                }
            }
        }
    }

    #[test]
    fn the_first_error_of_many_threads_ends_it() {
        let text = "a\n".repeat(1000);
        let mut splitter = Splitter::new(text.as_bytes(), Cut::Lines, 4);
        let mut taken = 0;
        let end = in_order(
            &mut splitter,
            4,
            || (),
            |_, _, _: &mut ()| (),
            |_, ()| {
                taken += 1;
                if taken == 10 { Err("ten") } else { Ok(()) }
            },
        );
        assert_eq!((end, taken), (Err("ten"), 10));
    }

    #[test]
    fn lines_are_counted() {
        for count in [0, 1, 254, 255, 256, 1000] {
            assert_eq!(lines(&b"\n".repeat(count)), count as u64);
            assert_eq!(lines(&b"a\nb".repeat(count)), count as u64);
        }
    }
}
