//! `agent faultfs`: a file system of our own, laid over the folder of a database's data, that passes everything through to
//! the files beneath and does wrong what its rules say: slow, EIO, ENOSPC, read-only, un-synced writes lost, a torn write.
//!
//! It has no state of its own: beneath are the very files, always whole, so that taking it away (or its death) loses
//! nothing. Rules are files in its state folder (`rules/<fault>`, JSON), looked at ten times a second, so that a plain
//! shell takes a fault away by removing a file; a socket (`ctl`) beside them takes them over at once, asks for the status, and
//! cuts the power. It ends when it is unmounted.
//!
//! `agent faultfs-ctl STATE status|reload|crash|revive` speaks to it.

pub mod disk;
pub mod fs;
pub mod nodes;
pub mod rules;
pub mod unsynced;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fuser::{Config, MountOption, Session, SessionACL};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use self::disk::{Disk, Status};
use self::fs::FaultFs;
use self::nodes::Nodes;
use self::rules::Rule;
use self::unsynced::Lost;
use super::Verb;

/// Serves the file system.
pub(super) const VERB: Verb =
    Verb { name: "faultfs", about: "serves a faulty file system over a folder: FOLDER STATE NAME SEED", run };
/// Speaks to it.
pub(super) const CONTROL: Verb = Verb {
    name: "faultfs-ctl",
    about: "speaks to a faulty file system: STATE status|reload|crash|revive",
    run: control,
};

/// How often the folder of rules is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How many operations may be under way (delayed ones wait here).
const THREADS: usize = 32;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What `faultfs-ctl` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it was, before the order was done.
    pub status: Status,
    /// What a crash took.
    pub lost: Option<Lost>,
}

/// The rules of a state folder, by name.
///
/// # Errors
/// The first file that is no rule.
pub fn read_rules(state: &Path) -> Result<Vec<(String, Rule)>, String> {
    let folder = state.join("rules");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut rules = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(told)? {
        let entry = entry.map_err(told)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Not there whole yet.
        if name.ends_with(".new") {
            continue;
        }
        let text = match std::fs::read_to_string(entry.path()) {
            Ok(text) => text,
            // Taken away since.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(told(error)),
        };
        let rule = serde_json::from_str(&text).map_err(|error| format!("the rule {name}: {error}"))?;
        rules.push((name, rule));
    }
    rules.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(rules)
}

fn run(args: &[String]) -> Result<(), String> {
    let [folder, state, name, seed] = args else { return Err("FOLDER STATE NAME SEED are wanted".to_owned()) };
    let seed = seed.parse().map_err(|_| format!("`{seed}` is no seed"))?;
    let served = serve(Path::new(folder), PathBuf::from(state), name, seed)?;
    served.run().map_err(|error| format!("serving {folder}: {error}"))
}

/// Mounts it over a folder and starts whoever listens to orders; the answer is to be run (or spawned), and ends when it
/// is unmounted.
///
/// # Errors
/// Where it cannot be mounted, or a rule cannot be read.
pub fn serve(folder: &Path, state: PathBuf, name: &str, seed: u64) -> Result<Session<FaultFs>, String> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let beneath = nix::fcntl::open(folder, flags, Mode::empty());
    let beneath = beneath.map_err(|error| format!("opening {}: {error}", folder.display()))?;
    let nodes = Nodes::new(beneath).map_err(|error| format!("{}: {error}", folder.display()))?;
    let disk = Arc::new(Disk::new(nodes, seed));
    disk.set_rules(read_rules(&state)?);
    let socket = state.join("ctl");
    let _ = std::fs::remove_file(&socket);
    let listener =
        UnixListener::bind(&socket).map_err(|error| format!("listening on {}: {error}", socket.display()))?;
    let mut config = Config::default();
    let subtype = MountOption::Subtype("schism".to_owned());
    config.mount_options = vec![MountOption::FSName(name.to_owned()), subtype, MountOption::DefaultPermissions];
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    let session = Session::new(FaultFs::new(Arc::clone(&disk)), folder, &config)
        .map_err(|error| format!("mounting over {}: {error}", folder.display()))?;
    let (watched, watching) = (state.clone(), Arc::downgrade(&disk));
    std::thread::spawn(move || {
        while let Some(disk) = watching.upgrade() {
            take_over(&disk, &watched);
            drop(disk);
            std::thread::sleep(LOOK);
        }
    });
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (disk, state) = (Arc::clone(&disk), state.clone());
            std::thread::spawn(move || {
                let _ = obey(&disk, &state, connection);
            });
        }
    });
    Ok(session)
}

/// From reading the rules until they are taken over: who was held up in between would bring back older ones.
static TAKING: Mutex<()> = Mutex::new(());

/// Takes over the rules where they changed; where one cannot be read those before stay.
fn take_over(disk: &Disk, state: &Path) {
    let _one_at_a_time = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(rules) = read_rules(state)
        && rules != *disk.rules()
    {
        disk.set_rules(rules);
    }
}

/// Does one order of a connection.
fn obey(disk: &Disk, state: &Path, connection: UnixStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    connection.set_write_timeout(Some(ANSWER_WITHIN))?;
    let mut order = String::new();
    BufReader::new((&connection).take(100)).read_line(&mut order)?;
    if order.trim() == "reload" {
        take_over(disk, state);
    }
    let status = disk.status();
    let lost = match order.trim() {
        "status" | "reload" => Ok(None),
        "crash" => disk.crash().map(Some).map_err(|error| format!("not everything could be put back: {error}")),
        "revive" => {
            disk.revive();
            Ok(None)
        }
        other => Err(format!("`{other}` is no order")),
    };
    let answer = lost.map(|lost| Answer { status, lost });
    let text = serde_json::to_string(&answer).map_err(std::io::Error::other)?;
    writeln!(&connection, "{text}")
}

/// Gives an order to the file system of that state folder.
///
/// # Errors
/// Where nobody listens, or the order failed.
pub fn order(state: &Path, order: &str) -> Result<Answer, String> {
    let socket = state.join("ctl");
    let told = |error: std::io::Error| format!("{}: {error}", socket.display());
    let connection = UnixStream::connect(&socket).map_err(told)?;
    connection.set_read_timeout(Some(ANSWER_WITHIN)).map_err(told)?;
    writeln!(&connection, "{order}").map_err(told)?;
    let mut text = String::new();
    (&connection).read_to_string(&mut text).map_err(told)?;
    serde_json::from_str::<Result<Answer, String>>(&text).map_err(|error| format!("`{text}`: {error}"))?
}

fn control(args: &[String]) -> Result<(), String> {
    let [state, wish] = args else { return Err("STATE and an order are wanted".to_owned()) };
    let answer = order(Path::new(state), wish)?;
    let text = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}
