//! One command on one connection: open a channel, start it, feed and drain it, see how it ended.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::connection::{Connection, Stop, after};
use super::jump::again;

/// How much of a command's output is kept in memory. More is an error: a node must not be able to fill ours.
pub(super) const OUTPUT_BYTES_MAX: usize = 256 << 20;

/// A command as it goes over the wire.
pub(crate) struct Request<'a> {
    /// For the login shell.
    pub line: &'a str,
    /// What comes before the standard input.
    pub head: &'a [u8],
    /// Its standard input.
    pub stdin: &'a [u8],
    /// Where its standard output goes; into memory if nowhere else.
    pub sink: Option<&'a mut File>,
    /// When it must have ended.
    pub until: Instant,
    /// How long the channel may take to open: longer means that the connection is dead.
    pub open_timeout: Duration,
    /// Whether its caller is gone.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// How much went to standard output.
    pub stdout_bytes: u64,
}

/// Why there is no end to tell.
#[derive(Debug)]
pub(crate) enum NoEnd {
    /// The connection broke before the command left: it did not run.
    NotStarted(String),
    /// The server will not run it.
    Denied(String),
    /// The connection broke while it ran, or may have run.
    Lost(String),
    /// It did not end in time. The flag says whether it had started.
    Deadline { started: bool },
    /// Its caller is gone.
    Cancelled,
    /// Its output cannot be kept.
    Sink(String),
}

/// Runs a command to its end. After any error but `Denied` the connection must be thrown away.
pub(crate) fn run(connection: &Connection, request: &mut Request<'_>) -> Result<Ended, NoEnd> {
    let cancelled = request.cancelled;
    let open_until = request.until.min(after(request.open_timeout));
    let opened = connection.drive(open_until, cancelled, || connection.session.channel_session());
    let mut channel = opened.map_err(|stop| match stop {
        Stop::Deadline if Instant::now() >= request.until => NoEnd::Deadline { started: false },
        Stop::Deadline => NoEnd::NotStarted("no answer to a new channel".to_owned()),
        Stop::Cancelled => NoEnd::Cancelled,
        Stop::Failed(error) => NoEnd::NotStarted(error.message().to_owned()),
    })?;
    connection.drive(request.until, cancelled, || channel.exec(request.line)).map_err(|stop| match stop {
        // CHANNEL_REQUEST_DENIED and CHANNEL_FAILURE: the server has read the request and said no.
        Stop::Failed(error) if matches!(error.code(), ssh2::ErrorCode::Session(-22 | -21)) => {
            NoEnd::Denied(error.message().to_owned())
        }
        other => lost(other),
    })?;
    let mut ended = Ended::default();
    pump(connection, &mut channel, request, &mut ended)?;
    // End of output is not the end of the command: only the server's close comes after its status.
    connection.drive(request.until, cancelled, || channel.wait_close()).map_err(lost)?;
    let signal = channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
    ended.status = match signal {
        Some(name) => 128 + signal_number(&name),
        None => channel.exit_status().map_err(|error| NoEnd::Lost(error.message().to_owned()))?,
    };
    connection.drive(request.until, cancelled, || channel.close()).map_err(lost)?;
    Ok(ended)
}

fn lost(stop: Stop) -> NoEnd {
    match stop {
        Stop::Deadline => NoEnd::Deadline { started: true },
        Stop::Cancelled => NoEnd::Cancelled,
        Stop::Failed(error) => NoEnd::Lost(error.message().to_owned()),
    }
}

/// Feeds standard input and drains both outputs until the command closed them. Neither waits for the other, so that
/// no amount of either can make it stand still.
fn pump(
    connection: &Connection,
    channel: &mut Channel,
    request: &mut Request<'_>,
    ended: &mut Ended,
) -> Result<(), NoEnd> {
    let (until, cancelled) = (request.until, request.cancelled);
    let mut buffer = vec![0; 64 * 1024];
    let mut input = Input { parts: [request.head, request.stdin], open: true };
    loop {
        let mut moved = input.feed(connection, channel, until, cancelled)?;
        let read = connection.settle(until, cancelled, || again(channel.read(&mut buffer))).map_err(lost)?;
        if let Some(count @ 1..) = read {
            moved = true;
            ended.stdout_bytes += count as u64;
            match request.sink.as_mut() {
                Some(file) => file.write_all(&buffer[..count]).map_err(|error| NoEnd::Sink(error.to_string()))?,
                None => keep(&mut ended.stdout, &buffer[..count])?,
            }
        }
        let read = connection.settle(until, cancelled, || again(channel.stderr().read(&mut buffer))).map_err(lost)?;
        if let Some(count @ 1..) = read {
            moved = true;
            keep(&mut ended.stderr, &buffer[..count])?;
        }
        if channel.eof() {
            return Ok(());
        }
        if !moved {
            connection.wait(until, cancelled).map_err(lost)?;
        } else if Instant::now() >= until {
            // An endless talker never lets us wait.
            return Err(NoEnd::Deadline { started: true });
        } else if cancelled() {
            return Err(NoEnd::Cancelled);
        }
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) -> Result<(), NoEnd> {
    if kept.len() + bytes.len() > OUTPUT_BYTES_MAX {
        return Err(NoEnd::Sink(format!(
            "it said more than {} MiB; send its output to a file and download that",
            OUTPUT_BYTES_MAX >> 20
        )));
    }
    kept.extend_from_slice(bytes);
    Ok(())
}

/// What is still to be said on standard input.
struct Input<'a> {
    parts: [&'a [u8]; 2],
    open: bool,
}

impl Input<'_> {
    /// Sends what fits now, then the end. A command that closed its input does not hear the rest; that is no error.
    fn feed(
        &mut self,
        connection: &Connection,
        channel: &mut Channel,
        until: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<bool, NoEnd> {
        if !self.open {
            return Ok(false);
        }
        if let Some(part) = self.parts.iter_mut().find(|part| !part.is_empty()) {
            let sent = connection.settle(until, cancelled, || again(channel.write(part)));
            return match sent {
                Ok(sent) => {
                    let sent = sent.unwrap_or(0);
                    *part = &part[sent..];
                    Ok(sent > 0)
                }
                Err(Stop::Failed(_)) => {
                    // Either the channel takes no more, or the connection is gone; reading tells which.
                    self.open = false;
                    Ok(true)
                }
                Err(other) => Err(lost(other)),
            };
        }
        self.open = false;
        match connection.drive(until, cancelled, || channel.send_eof()) {
            Ok(()) | Err(Stop::Failed(_)) => Ok(true),
            Err(other) => Err(lost(other)),
        }
    }
}

/// The number of a signal by its SSH name (RFC 4254, 6.10; others as OpenSSH sends them, `XCPU@openssh.com`).
fn signal_number(name: &str) -> i32 {
    let name = name.split('@').next().unwrap_or(name);
    let number = format!("SIG{name}").parse::<nix::sys::signal::Signal>();
    number.map_or(0, |signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers() {
        let cases = [("KILL", 9), ("TERM", 15), ("SEGV", 11), ("XCPU@openssh.com", 24), ("NOSUCH", 0), ("", 0)];
        for (name, number) in cases {
            assert_eq!(signal_number(name), number, "{name}");
        }
    }
}
