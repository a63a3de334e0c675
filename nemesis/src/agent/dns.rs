//! `agent dns`: a resolver that lies, fails or takes its time for some names, and passes all others on.
//!
//! Speaks as much of RFC 1035 as the libraries of programs need: questions over UDP, one a datagram; answers with A and
//! AAAA records; what it does not know goes to the resolver that was there before, unread, and comes back the same way.
//! Not covered: TCP, and names with a search domain behind them (they are passed on).

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Verb;

/// The verb. Arguments: `ADDRESS:PORT MODE DELAY_MS UPSTREAM|- NAME=ADDRESS,ADDRESS...`. Modes: `fail` (no such name),
/// `servfail` (try again), `answer` (these addresses, after the delay).
pub(super) const VERB: Verb = Verb { name: "dns", about: "resolves names slowly, wrongly or not at all", run };

/// How long the resolver that was there before may take.
const UPSTREAM_WITHIN: Duration = Duration::from_secs(4);
/// How many questions are answered at once; more are not heard, as by any resolver under load.
const AT_ONCE: usize = 256;

const RCODE_SERVFAIL: u8 = 2;
const RCODE_NAME_ERROR: u8 = 3;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// What is done to a name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fail,
    Servfail,
    Answer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Config {
    listen: SocketAddr,
    mode: Mode,
    delay: Duration,
    upstream: Option<SocketAddr>,
    names: Vec<(String, Vec<IpAddr>)>,
}

impl Config {
    fn parse(args: &[String]) -> Result<Config, String> {
        let [listen, mode, delay_ms, upstream, names @ ..] = args else {
            return Err("expected ADDRESS:PORT MODE DELAY_MS UPSTREAM|- NAME=ADDRESS,...".to_owned());
        };
        let address = |text: &str| text.parse::<SocketAddr>().map_err(|error| format!("`{text}`: {error}"));
        let mode = match mode.as_str() {
            "fail" => Mode::Fail,
            "servfail" => Mode::Servfail,
            "answer" => Mode::Answer,
            other => return Err(format!("`{other}` is no mode: fail, servfail, answer")),
        };
        let name = |word: &String| {
            let (name, addresses) = word.split_once('=').ok_or_else(|| format!("`{word}` has no `=`"))?;
            let addresses = addresses.split(',').filter(|text| !text.is_empty());
            let addresses: Result<Vec<IpAddr>, _> =
                addresses.map(|text| text.parse().map_err(|error| format!("`{text}`: {error}"))).collect();
            Ok::<_, String>((name.trim_end_matches('.').to_ascii_lowercase(), addresses?))
        };
        Ok(Config {
            listen: address(listen)?,
            mode,
            delay: Duration::from_millis(delay_ms.parse().map_err(|error| format!("`{delay_ms}`: {error}"))?),
            upstream: if upstream == "-" { None } else { Some(address(upstream)?) },
            names: names.iter().map(name).collect::<Result<_, _>>()?,
        })
    }
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// This, after that time.
    Answer(Vec<u8>, Duration),
    /// It is passed on.
    PassOn,
    /// It is no question.
    Nothing,
}

/// Decides what becomes of a datagram.
fn reply(config: &Config, question: &[u8]) -> Reply {
    let Some(asked) = Question::read(question) else { return Reply::Nothing };
    let Some((_, addresses)) = config.names.iter().find(|(name, _)| *name == asked.name) else { return Reply::PassOn };
    if asked.class != CLASS_IN {
        return Reply::PassOn;
    }
    let answer = match config.mode {
        Mode::Fail => asked.answer(question, RCODE_NAME_ERROR, &[]),
        Mode::Servfail => asked.answer(question, RCODE_SERVFAIL, &[]),
        Mode::Answer => asked.answer(question, 0, addresses),
    };
    Reply::Answer(answer, config.delay)
}

/// The one question of a datagram.
struct Question {
    name: String,
    kind: u16,
    class: u16,
    /// Where it ends in the datagram.
    end: usize,
}

impl Question {
    /// `None` for what is no plain question of one name.
    fn read(bytes: &[u8]) -> Option<Question> {
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let is_query = bytes.get(2)? & 0xf8 == 0;
        if !is_query || word(4)? != 1 {
            return None;
        }
        let (mut name, mut at) = (String::new(), 12);
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // Compression has no place in a question.
            if length > 63 || name.len() > 255 {
                return None;
            }
            let label = bytes.get(at..at + length)?;
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            at += length;
        }
        Some(Question { name, kind: word(at)?, class: word(at + 2)?, end: at + 4 })
    }

    /// The answer to it: the addresses of its kind, which live for no time at all.
    fn answer(&self, question: &[u8], rcode: u8, addresses: &[IpAddr]) -> Vec<u8> {
        let fits = |address: &&IpAddr| match self.kind {
            TYPE_A => address.is_ipv4(),
            TYPE_AAAA => address.is_ipv6(),
            _ => false,
        };
        let records: Vec<&IpAddr> = addresses.iter().filter(fits).take(16).collect();
        let mut bytes = question.get(..self.end).unwrap_or_default().to_vec();
        // Recursion is wanted as it was, and available.
        for (at, value) in [
            (2, bytes.get(2).copied().unwrap_or(0) | 0x80),
            (3, 0x80 | rcode),
            (6, 0),
            (8, 0),
            (9, 0),
            (10, 0),
            (11, 0),
        ] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Some(byte) = bytes.get_mut(7) {
            *byte = u8::try_from(records.len()).unwrap_or(0);
        }
        for address in records {
            let data = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            bytes.extend([0xc0, 12]);
            bytes.extend(self.kind.to_be_bytes());
            bytes.extend(CLASS_IN.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let config = Config::parse(args)?;
    let socket =
        UdpSocket::bind(config.listen).map_err(|error| format!("{} cannot be bound: {error}", config.listen))?;
    let mut out = std::io::stdout();
    writeln!(out, "ready").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    serve(&Arc::new(config), &Arc::new(socket))
}

fn serve(config: &Arc<Config>, socket: &Arc<UdpSocket>) -> Result<(), String> {
    let busy = Arc::new(AtomicUsize::new(0));
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            // An earlier answer that nobody wanted is told here; nothing to do about it.
            continue;
        };
        let question = buffer.get(..length).unwrap_or_default().to_vec();
        if busy.fetch_add(1, Ordering::SeqCst) >= AT_ONCE {
            busy.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (config, socket, done) = (Arc::clone(config), Arc::clone(socket), Arc::clone(&busy));
        let work = move || {
            answer_one(&config, &socket, &question, from);
            done.fetch_sub(1, Ordering::SeqCst);
        };
        if std::thread::Builder::new().stack_size(128 << 10).spawn(work).is_err() {
            busy.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn answer_one(config: &Config, socket: &UdpSocket, question: &[u8], from: SocketAddr) {
    let answer = match reply(config, question) {
        Reply::Nothing => return,
        Reply::Answer(answer, delay) => {
            std::thread::sleep(delay);
            answer
        }
        Reply::PassOn => passed_on(config, question),
    };
    // Whoever asked may be gone by now.
    let _ = socket.send_to(&answer, from);
}

/// What the resolver that was there before says; "try again" where there is none or it does not answer.
fn passed_on(config: &Config, question: &[u8]) -> Vec<u8> {
    let ask = || -> std::io::Result<Vec<u8>> {
        let upstream = config.upstream.ok_or(std::io::ErrorKind::NotConnected)?;
        let any: IpAddr = if upstream.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(upstream)?;
        socket.set_read_timeout(Some(UPSTREAM_WITHIN))?;
        socket.send(question)?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer)?;
        Ok(buffer.get(..length).unwrap_or_default().to_vec())
    };
    let failed = || Question::read(question).map(|asked| asked.answer(question, RCODE_SERVFAIL, &[]));
    ask().ok().or_else(failed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(mode: &str, delay_ms: &str) -> Config {
        let args = ["127.0.0.1:0", mode, delay_ms, "-", "N1.=10.0.0.1,fd00::1,10.0.0.9", "db.lan=10.0.0.2"];
        Config::parse(&args.map(str::to_owned)).unwrap()
    }

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        bytes
    }

    #[test]
    fn names_of_ours_are_answered_as_the_mode_says() {
        /// Error code, records, and bytes beyond the question.
        type Told = (u8, u8, usize);
        let cases: &[(&str, &str, u16, Option<Told>)] = &[
            ("answer", "n1", TYPE_A, Some((0, 2, 2 * 16))),
            ("answer", "N1", TYPE_AAAA, Some((0, 1, 28))),
            ("answer", "n1", 15, Some((0, 0, 0))),
            ("answer", "db.lan", TYPE_A, Some((0, 1, 16))),
            ("answer", "db", TYPE_A, None),
            ("fail", "n1", TYPE_A, Some((3, 0, 0))),
            ("servfail", "n1", TYPE_A, Some((2, 0, 0))),
        ];
        for (mode, name, kind, expected) in cases {
            let asked = question(name, *kind);
            match (reply(&config(mode, "70"), &asked), expected) {
                (Reply::Answer(answer, delay), Some((rcode, count, bytes))) => {
                    assert_eq!(delay, Duration::from_millis(70));
                    assert_eq!(answer[..3], [0xab, 0xcd, 0x81], "the same number, an answer, recursion wanted");
                    assert_eq!((answer[3], answer[7], answer.len() - asked.len()), (0x80 | rcode, *count, *bytes));
                }
                (Reply::PassOn, None) => {}
                (found, _) => panic!("{mode} {name}: {found:?}"),
            }
        }
        let Reply::Answer(answer, _) = reply(&config("answer", "0"), &question("db.lan", TYPE_A)) else { panic!() };
        assert_eq!(answer[answer.len() - 4..], [10, 0, 0, 2]);
    }

    #[test]
    fn what_is_no_question_is_left_alone() {
        let good = question("n1", TYPE_A);
        for length in 0..good.len() {
            assert_eq!(reply(&config("answer", "0"), &good[..length]), Reply::Nothing, "{length}");
        }
        let mut answer = good.clone();
        answer[2] |= 0x80;
        let mut compressed = good.clone();
        compressed[12] = 0xc0;
        for bytes in [answer, compressed, vec![0xff; 600]] {
            assert_eq!(reply(&config("answer", "0"), &bytes), Reply::Nothing);
        }
        for args in [&["x"][..], &["127.0.0.1:1", "lie", "0", "-"], &["127.0.0.1:1", "fail", "0", "-", "n1"]] {
            Config::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()).unwrap_err();
        }
    }

    #[test]
    fn it_serves_and_passes_on() {
        let bound = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (upstream, front) = (bound(), Arc::new(bound()));
        let config = Config { upstream: Some(upstream.local_addr().unwrap()), ..config("answer", "30") };
        let address = front.local_addr().unwrap();
        std::thread::spawn(move || serve(&Arc::new(config), &front));
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, from) = upstream.recv_from(&mut buffer).unwrap();
            upstream.send_to(&[b"told ", &buffer[..length]].concat(), from).unwrap();
        });
        let client = bound();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 512];
        let begin = std::time::Instant::now();
        client.send_to(&question("n1", TYPE_A), address).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(buffer[length - 4..length], [10, 0, 0, 9]);
        assert!(begin.elapsed() >= Duration::from_millis(30));
        client.send_to(&question("elsewhere", TYPE_A), address).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], [b"told ", &question("elsewhere", TYPE_A)[..]].concat());
    }
}
