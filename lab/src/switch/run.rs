//! The switch at work: one thread that moves frames between the devices, asleep where there are none.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use schism_cluster::link::LinkRule;
use schism_history::Seed;

use super::engine::{Engine, Out, ROOM};
use super::rules::{Happened, Rules};

/// The longest frame: an MTU of 64 KiB and the header.
const FRAME_MAX: usize = (64 << 10) + 32;
/// A port gives at most so many frames before the others have their turn.
const FRAMES_PER_TURN: usize = 64;

/// A switch. It lives as long as its process.
pub(crate) struct Switch {
    shared: Mutex<Shared>,
    /// A byte here wakes the thread.
    wake: UnixStream,
    start: Instant,
}

struct Shared {
    rules: Rules,
    /// By port; what is not there is switched off.
    ports: Vec<Option<Arc<File>>>,
    /// Counts changes of the ports.
    version: u64,
}

impl Shared {
    /// Does something with the rules, and with where their frames go. A device that is down or gone takes no frame, as a
    /// cable that leads to it would not.
    fn with<T>(&mut self, what: impl FnOnce(&mut Rules, &mut Out<'_>) -> T) -> T {
        let ports = &self.ports;
        what(&mut self.rules, &mut |to: usize, frame: &[u8]| {
            if let Some(Some(port)) = ports.get(to) {
                let _ = (&**port).write(frame);
            }
        })
    }
}

impl Switch {
    /// A switch for these nodes, all ports off. Port 0 is the controller's, node `i` (from 0) has port `i + 1`; the
    /// hardware addresses are in this order.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn start(nodes: &[String], addresses: &[[u8; 6]], seed: Seed) -> io::Result<Arc<Switch>> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Shared {
            rules: Rules::new(nodes, Engine::new(addresses, seed, ROOM)),
            ports: addresses.iter().map(|_| None).collect(),
            version: 0,
        };
        let switch = Arc::new(Switch { shared: Mutex::new(shared), wake, start: Instant::now() });
        let its = Arc::clone(&switch);
        thread::Builder::new().name("switch".to_owned()).spawn(move || its.run(&woken))?;
        Ok(switch)
    }

    /// Connects a port with a device, in place of the one that it had.
    pub(crate) fn attach(&self, port: usize, device: File) {
        self.put(port, Some(Arc::new(device)));
    }

    /// Switches a port off: nothing comes out of it or goes into it, at once.
    pub(crate) fn detach(&self, port: usize) {
        self.put(port, None);
    }

    fn put(&self, port: usize, device: Option<Arc<File>>) {
        let mut shared = self.shared();
        if let Some(its) = shared.ports.get_mut(port) {
            *its = device;
            shared.version += 1;
        }
        drop(shared);
        self.wake();
    }

    /// See [`Rules::set`].
    ///
    /// # Errors
    /// The first rule that cannot be; nothing is changed then.
    pub(crate) fn set(&self, tag: &str, links: &[LinkRule]) -> Result<Happened, String> {
        let answer = self.shared().with(|rules, out| rules.set(self.now_ns(), tag, links, out));
        self.wake();
        answer
    }

    /// See [`Rules::clear`].
    pub(crate) fn clear(&self, tag: &str) -> Happened {
        let answer = self.shared().with(|rules, out| rules.clear(self.now_ns(), tag, out));
        self.wake();
        answer
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A full pipe means that it will wake anyway.
    fn wake(&self) {
        let _ = (&self.wake).write(&[0]);
    }

    fn run(&self, woken: &UnixStream) {
        // The kernel may wake a sleeper 50 µs late otherwise, which would be added to each delay.
        let _ = nix::sys::prctl::set_timerslack(1);
        go_first();
        let mut buffer = vec![0; FRAME_MAX];
        let (mut ports, mut version): (Vec<(usize, Arc<File>)>, u64) = (Vec::new(), u64::MAX);
        loop {
            let mut shared = self.shared();
            if shared.version != version {
                version = shared.version;
                ports = on(&shared.ports);
            }
            let next_due_ns = shared.with(|rules, out| {
                rules.engine.due(self.now_ns(), out);
                rules.engine.next_due_ns()
            });
            drop(shared);
            let sleep = next_due_ns.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(self.now_ns())));
            let ready = await_any(woken, &ports, sleep);
            if ready.first().is_some_and(|flags| !flags.is_empty()) {
                let _ = (&*woken).read(&mut buffer);
            }
            for ((port, device), flags) in ports.iter().zip(ready.iter().skip(1)) {
                if !flags.is_empty() {
                    self.take(*port, device, *flags, &mut buffer);
                }
            }
        }
    }

    /// Takes the frames that a port has for us.
    fn take(&self, port: usize, device: &Arc<File>, flags: PollFlags, buffer: &mut [u8]) {
        let mut shared = self.shared();
        let is_its = |its: &Option<Arc<File>>| its.as_ref().is_some_and(|its| Arc::ptr_eq(its, device));
        if !shared.ports.get(port).is_some_and(is_its) {
            return;
        }
        let failed = shared.with(|rules, out| {
            for _ in 0..FRAMES_PER_TURN {
                match (&**device).read(buffer) {
                    Ok(length @ 1..) => {
                        let now_ns = self.now_ns();
                        rules.engine.due(now_ns, out);
                        rules.engine.frame(now_ns, port, buffer.get(..length).unwrap_or_default(), out);
                    }
                    Ok(_) => return Some(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Some(error),
                }
            }
            None
        });
        // A device goes with the network namespace of its node; its descriptor would say so for ever.
        let gone = |error: io::Error| error.kind() != io::ErrorKind::WouldBlock || flags.contains(PollFlags::POLLERR);
        if failed.is_some_and(gone)
            && let Some(its) = shared.ports.get_mut(port)
        {
            *its = None;
            shared.version += 1;
        }
    }
}

/// Lets this thread go before all others: nodes that are busy must not make their network slow, as they could not outside
/// of a lab; and with a waiting time for the processor every packet comes some milliseconds late. It runs for a few
/// microseconds a frame. Where it is not allowed, deviations are larger.
fn go_first() {
    // SAFETY: a `sched_param` is integers, for which zero is a value; the calls read it while it lives, and touch no
    // other memory of ours; 0 stands for the thread that calls.
    #[allow(unsafe_code)]
    unsafe {
        let mut lowest: libc::sched_param = std::mem::zeroed();
        lowest.sched_priority = 1;
        if libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const lowest) < 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, -15);
        }
    }
}

/// The ports that are on.
fn on(ports: &[Option<Arc<File>>]) -> Vec<(usize, Arc<File>)> {
    ports.iter().enumerate().filter_map(|(port, device)| Some((port, Arc::clone(device.as_ref()?)))).collect()
}

/// Waits for frames, a wake-up or the end of the time; what each has, the wake-up first. Empty if nothing came.
fn await_any(woken: &UnixStream, ports: &[(usize, Arc<File>)], at_most: Option<Duration>) -> Vec<PollFlags> {
    let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut fds: Vec<PollFd> =
        std::iter::once(woken.as_fd()).chain(ports.iter().map(|(_, device)| device.as_fd())).map(wanted).collect();
    match ppoll(&mut fds, at_most.map(TimeSpec::from_duration), None) {
        Ok(count) if count > 0 => fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect(),
        // Interrupted, or out of memory for a moment: the next turn asks again.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use schism_cluster::link::LinkShape;
    use schism_history::Node;

    use super::*;

    /// A device, and the node's side of it. Sequenced packets keep the bounds of frames, as TAP devices do.
    fn device() -> (File, File) {
        let (ours, theirs): (OwnedFd, OwnedFd) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
        (ours.into(), theirs.into())
    }

    fn receive(mut side: &File, at_most: Duration) -> Option<Vec<u8>> {
        let start = Instant::now();
        let mut frame = [0; 2000];
        loop {
            match side.read(&mut frame) {
                Ok(length) => return Some(frame[..length].to_vec()),
                Err(_) if start.elapsed() > at_most => return None,
                Err(_) => thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    #[test]
    fn frames_travel_and_wait_in_real_time() {
        let addresses: Vec<[u8; 6]> = (0..3).map(|port| [2, 0, 0, 0, 0, port]).collect();
        let nodes = ["n1".to_owned(), "n2".to_owned()];
        let switch = Switch::start(&nodes, &addresses, Seed(1)).unwrap();
        let sides: Vec<File> = (0..3)
            .map(|port| {
                let (ours, theirs) = device();
                switch.attach(port, ours);
                theirs
            })
            .collect();
        let frame =
            |to: usize, from: usize, number: u8| [&addresses[to][..], &addresses[from], &[8, 0, number]].concat();
        let soon = Duration::from_secs(30);
        let send = |from: usize, frame: &[u8]| assert_eq!((&sides[from]).write(frame).unwrap(), frame.len());
        send(1, &frame(2, 1, 1));
        assert_eq!(receive(&sides[2], soon), Some(frame(2, 1, 1)));
        let delay = |delay_us: u64| {
            let shape = LinkShape { delay_us, ..LinkShape::default() };
            switch.set("t", &[LinkRule { from: Node::new("n1"), to: Node::new("n2"), shape }]).unwrap();
        };
        // The other way, and to the controller, nothing waits: here it would be for an hour.
        delay(3_600_000_000);
        send(2, &frame(1, 2, 2));
        send(1, &frame(0, 1, 3));
        assert_eq!(receive(&sides[1], soon), Some(frame(1, 2, 2)));
        assert_eq!(receive(&sides[0], soon), Some(frame(0, 1, 3)));
        delay(60_000);
        let start = Instant::now();
        send(1, &frame(2, 1, 4));
        assert_eq!(receive(&sides[2], soon), Some(frame(2, 1, 4)));
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(60), "{took:?}");
        // A port that is off gives and takes nothing; another device goes on in its place.
        switch.detach(2);
        send(1, &frame(2, 1, 5));
        let (ours, theirs) = device();
        thread::sleep(Duration::from_millis(500));
        switch.attach(2, ours);
        send(1, &frame(2, 1, 6));
        assert_eq!(receive(&theirs, soon), Some(frame(2, 1, 6)));
        assert_eq!(receive(&sides[2], Duration::ZERO).filter(|frame| !frame.is_empty()), None);
    }
}
