//! Orders to a running QEMU (its QMP: a line of JSON out, lines of JSON in, events among them).

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long QEMU may take for an answer; it answers at once unless this machine is overloaded.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Longest line that is believed to be one.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A conversation. QEMU holds one at a time on a socket.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Greets.
    ///
    /// # Errors
    /// When nobody listens there, or not QEMU.
    pub(crate) fn connect(socket: &Path) -> io::Result<Qmp> {
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut qmp = Qmp { reader: BufReader::new(stream) };
        let greeting = qmp.line(Instant::now() + ANSWER_MAX)?;
        if greeting.get("QMP").is_none() {
            return Err(io::Error::other(format!("it greets with {greeting}")));
        }
        qmp.order("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Gives an order and waits for its answer; events in between are let go.
    ///
    /// # Errors
    /// What QEMU says against it, or that it says nothing.
    pub(crate) fn order(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let mut line = match arguments {
            Value::Null => json!({"execute": command}),
            arguments => json!({"execute": command, "arguments": arguments}),
        }
        .to_string();
        line.push('\n');
        self.reader.get_ref().write_all(line.as_bytes())?;
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let mut said = self.line(deadline)?;
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = said.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("no reason");
                return Err(io::Error::other(format!("QEMU refuses `{command}`: {why}")));
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> io::Result<Value> {
        let mut line = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "QEMU says nothing"));
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            match io::Read::take(&mut self.reader, LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => return serde_json::from_slice(&line).map_err(io::Error::other),
                Ok(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "QEMU ended")),
                // What was read so far stays in the line.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::thread;

    use super::*;

    /// A QEMU that says these lines, each after it was told one (the first at once); and what it was told.
    fn scripted(lines: &'static [&'static str]) -> (tempfile::TempDir, PathBuf, thread::JoinHandle<Vec<String>>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut told = Vec::new();
            let mut reader = BufReader::new(&stream);
            for (at, line) in lines.iter().enumerate() {
                if at > 0 {
                    let mut order = String::new();
                    reader.read_line(&mut order).unwrap();
                    told.push(order.trim().to_owned());
                }
                (&stream).write_all(line.as_bytes()).unwrap();
            }
            told
        });
        (folder, socket, server)
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

    #[test]
    fn orders_answers_events_and_refusals() {
        let (_folder, socket, server) = scripted(&[
            GREETING,
            "{\"return\": {}}\r\n",
            "{\"event\": \"STOP\", \"timestamp\": {}}\r\n{\"return\": {\"status\": \"paused\"}}\r\n",
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}}\r\n",
            "{\"return\": {}}\r\n{\"event\": \"POWERDOWN\"}\r\n{\"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n",
        ]);
        let mut qmp = Qmp::connect(&socket).unwrap();
        assert_eq!(qmp.order("query-status", Value::Null).unwrap(), json!({"status": "paused"}));
        let refused = qmp.order("cont", Value::Null).unwrap_err().to_string();
        assert_eq!(refused, "QEMU refuses `cont`: not now");
        qmp.order("send-key", json!({"keys": []})).unwrap();
        assert_eq!(
            server.join().unwrap(),
            [
                "{\"execute\":\"qmp_capabilities\"}",
                "{\"execute\":\"query-status\"}",
                "{\"execute\":\"cont\"}",
                "{\"arguments\":{\"keys\":[]},\"execute\":\"send-key\"}",
            ]
        );
        let ended = qmp.order("cont", Value::Null).unwrap_err().kind();
        assert!(matches!(ended, io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe), "{ended:?}");
    }

    #[test]
    fn silence_and_strangers_are_errors() {
        let (_folder, socket, _server) = scripted(&[GREETING, "{\"return\": {}}\r\n", "never said\n"]);
        let mut qmp = Qmp::connect(&socket).unwrap();
        let error = qmp.line(Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (_folder, socket, _server) = scripted(&["{\"hello\": 1}\r\n"]);
        assert!(Qmp::connect(&socket).is_err_and(|error| error.to_string().contains("hello")));
        assert!(Qmp::connect(Path::new("/nonexistent")).is_err());
    }
}
