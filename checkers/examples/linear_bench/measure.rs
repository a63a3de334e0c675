//! Seconds, peak memory, and one pass of SHA-256 over the same history as text, to compare with.

use std::io::{self, Write};
use std::time::Instant;

use schism_history::{History, jsonl};
use sha2::{Digest, Sha256};

/// Bytes hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Where text goes to be hashed; only the hashing is timed.
struct Hashing {
    chunk: Vec<u8>,
    hash: Sha256,
    seconds: f64,
    bytes: u64,
}

impl Hashing {
    fn hash(&mut self) {
        let start = Instant::now();
        self.hash.update(&self.chunk);
        self.seconds += start.elapsed().as_secs_f64();
        self.bytes += self.chunk.len() as u64;
        self.chunk.clear();
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.hash();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hash();
        Ok(())
    }
}

/// Seconds that one pass of SHA-256 over the history's JSON Lines takes, and how many bytes these are.
pub fn sha256_pass(history: &History) -> (f64, u64) {
    let mut sink = Hashing { chunk: Vec::new(), hash: Sha256::new(), seconds: 0.0, bytes: 0 };
    let written = jsonl::write(history, &mut sink);
    sink.hash();
    let digest = sink.hash.finalize();
    assert!(written.is_ok() && digest.iter().any(|&byte| byte != 0), "nothing was hashed");
    (sink.seconds, sink.bytes)
}

/// Runs something: its answer, seconds, and by how many bytes the process' memory grew at most (0 where the kernel does not
/// tell).
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, f64, u64) {
    // Sets the high-water mark back to what is resident now.
    let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = resident("VmRSS:");
    let start = Instant::now();
    let answer = work();
    let seconds = start.elapsed().as_secs_f64();
    let grown = resident("VmHWM:").saturating_sub(before);
    (answer, seconds, if reset { grown } else { 0 })
}

fn resident(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib = found.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
