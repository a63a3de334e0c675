//! Texts are read as streams: the memory that reading takes is that of the history, whatever the length of the text.
//!
//! One test, as it looks at the most memory that its process ever held.

use std::io::{self, BufReader, Read};

use schism_history::{History, Import, Keyed, Tail, edn, etcd_log, jsonl};

/// Repeats a call, its lines ended by blanks, without ever holding the text.
struct Repeated {
    call: Vec<u8>,
    count: usize,
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.call.len() - self.at).min(buffer.len());
        if self.count == 0 {
            return Ok(0);
        }
        buffer[..count].copy_from_slice(&self.call[self.at..self.at + count]);
        self.at += count;
        if self.at == self.call.len() {
            (self.at, self.count) = (0, self.count - 1);
        }
        Ok(count)
    }
}

/// The most memory that this process held so far, if the system tells.
fn most_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

type Reader = fn(BufReader<Repeated>, &Import) -> Result<(History, Tail), String>;

#[test]
fn a_long_text_takes_the_memory_of_its_history() {
    const CALLS: usize = 60_000;
    /// Blanks before the end of each line.
    const BLANKS: usize = 500;
    /// Four threads with two chunks each, and what a test takes anyway.
    const BYTES_MAX: u64 = 24 << 20;
    let readers: [(&str, &str, Reader); 5] = [
        ("{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":1", "}\n", |reader, import| {
            jsonl::read_with(reader, import).map_err(|error| error.to_string())
        }),
        ("{:process 0 :type :invoke :f :write :value 1", "}\n", |reader, import| {
            edn::read_from(reader, Keyed::Auto, import).map_err(|error| error.to_string())
        }),
        // One line without end.
        ("{:process 0 :type :invoke :f :write :value 1", "} ", |reader, import| {
            edn::read_from(reader, Keyed::Auto, import).map_err(|error| error.to_string())
        }),
        ("{:process 0 :type :invoke :f :put :key \"x\" :value \"1\"", "}\n", |reader, import| {
            edn::read_key_value(reader, import).map_err(|error| error.to_string())
        }),
        ("INFO  jepsen.util - 0 :invoke :write 1", "\n", |reader, import| {
            etcd_log::read(reader, import).map_err(|error| error.to_string())
        }),
    ];
    for (event, end, reader) in readers {
        let event = format!("{event}{}{end}", " ".repeat(BLANKS));
        let call = (event.clone() + &event.replace("invoke", "ok")).into_bytes();
        let text_bytes = (call.len() * CALLS) as u64;
        let before = most_bytes();
        let import = Import { threads: Some(4), ..Import::default() };
        let (history, tail) = reader(BufReader::new(Repeated { call, count: CALLS, at: 0 }), &import).expect(&event);
        assert_eq!((history.len(), tail.torn), (2 * CALLS, None), "{event}");
        assert!(text_bytes > 2 * BYTES_MAX, "{text_bytes}");
        if let (Some(before), Some(after)) = (before, most_bytes()) {
            assert!(after - before < BYTES_MAX, "{} bytes for {text_bytes} of text: {event}", after - before);
        }
    }
}
