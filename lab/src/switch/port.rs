//! How a node that comes up gets its port: its builder asks the holder over a socket in the holder's state. The holder
//! makes the device in its own network, remembers its end of it, and the builder moves the device to the node. So
//! a node that comes again asks again, and the device goes with the node's network namespace, as a cable would.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::run::Switch;
use super::tap;
use crate::holder::state;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

fn socket() -> PathBuf {
    PathBuf::from(state("switch"))
}

/// Whether the lab of this process has a switch. Asked in the holder's mount namespace.
pub(crate) fn is_here() -> bool {
    socket().exists()
}

/// Answers builders in a thread of its own, for the rest of the process's life.
///
/// # Errors
/// When no socket or no thread can be had.
pub(crate) fn serve(switch: Arc<Switch>, nodes: usize) -> io::Result<()> {
    serve_at(&socket(), switch, nodes, tap::open)
}

fn serve_at(
    path: &Path,
    switch: Arc<Switch>,
    nodes: usize,
    open: impl Fn(&str) -> io::Result<std::fs::File> + Send + 'static,
) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let mut count = 0_u32;
    let answer = move || {
        for stream in listener.incoming().flatten() {
            // No name twice while an old device may still be on its way out.
            count = (count + 1) % 1_000_000;
            let name = format!("port{count}");
            // A builder that is gone does not hear the answer, and its device goes when the next one asks.
            let _ = answer(&stream, &switch, nodes, &name, &open);
        }
    };
    thread::Builder::new().name("ports".to_owned()).spawn(answer)?;
    Ok(())
}

fn answer(
    mut stream: &UnixStream,
    switch: &Switch,
    nodes: usize,
    name: &str,
    open: &impl Fn(&str) -> io::Result<std::fs::File>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(WITHIN))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let at = line.trim().parse::<usize>().ok().filter(|at| *at < nodes);
    let opened = at.ok_or_else(|| format!("there is no node at `{}`", line.trim()));
    match opened.and_then(|at| open(name).map(|device| (at, device)).map_err(|error| no_device(&error))) {
        Ok((at, device)) => {
            switch.attach(at + 1, device);
            stream.write_all(format!("ok {name}\n").as_bytes())
        }
        Err(error) => stream.write_all(format!("{error}\n").as_bytes()),
    }
}

/// In words, with what to do.
pub(crate) fn no_device(error: &io::Error) -> String {
    let todo = if error.raw_os_error() == Some(nix::libc::EACCES) {
        "/dev/net/tun is root's alone on this machine, where others have it for all users: sudo chmod 0666 /dev/net/tun, \
         or run as root"
    } else {
        "the kernel needs TUN/TAP (module `tun`) and /dev/net/tun"
    };
    format!("no TAP device can be made: {error}; {todo}")
}

/// Asks for the port of the node at this place. The answer is the device's name; it is down, and in the holder's network.
///
/// # Errors
/// What the holder says, or that it does not answer.
pub(crate) fn ask(at: usize) -> io::Result<String> {
    ask_at(&socket(), at)
}

fn ask_at(path: &Path, at: usize) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(format!("{at}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    match line.trim().strip_prefix("ok ") {
        Some(device) => Ok(device.to_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(io::Error::other(line.trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Mutex;

    use schism_history::Seed;

    use super::*;

    #[test]
    fn ports_are_given_under_a_new_name_each_time_and_only_to_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switch");
        let switch = Switch::start(&["n1".to_owned()], &[[2; 6], [4; 6]], Seed(1)).unwrap();
        let fails = Arc::new(Mutex::new(false));
        let its = Arc::clone(&fails);
        let open = move |_: &str| {
            if *its.lock().unwrap() { Err(io::ErrorKind::NotFound.into()) } else { File::open("/dev/null") }
        };
        serve_at(&path, switch, 1, open).unwrap();
        let names: Vec<String> = (0..2).map(|_| ask_at(&path, 0).unwrap()).collect();
        assert_eq!(names, ["port1", "port2"]);
        let refused = ask_at(&path, 1).err().unwrap().to_string();
        assert_eq!(refused, "there is no node at `1`");
        *fails.lock().unwrap() = true;
        let failed = ask_at(&path, 0).err().unwrap().to_string();
        assert!(failed.contains("module `tun`"), "{failed}");
        let closed = no_device(&io::Error::from_raw_os_error(nix::libc::EACCES));
        assert!(closed.contains("chmod 0666 /dev/net/tun"), "{closed}");
    }
}
