//! Whether this machine runs other machines in hardware (KVM). Asked by running the image's kernel as far as its first
//! program: a device that is there, that makes machines and that runs their first instructions may still not run a kernel
//! (where this machine is itself virtual, say).

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::qemu::Qemu;
use crate::sys::await_readable;

/// How machines are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// In hardware.
    Kvm,
    /// Emulated: ten to thirty times slower.
    Tcg,
}

/// Chooses without asking: `kvm` or `tcg`.
const VARIABLE: &str = "SCHISM_ACCEL";

/// What the first root's `probe` says.
const SAID: &[u8] = b"schism-machine-runs";

/// How long a kernel may take to get there; in hardware it is a second.
const PROBE_MAX: Duration = Duration::from_secs(15);

/// What was found out, and on which boot of this machine: another may have another kernel.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    boot_id: String,
    accelerator: Accelerator,
}

/// What this machine has; `SCHISM_ACCEL` overrides. Takes seconds once in a boot, 15 at the worst, and is then remembered in
/// `folder`.
pub(crate) fn find(qemu: &Qemu, image: &Path, folder: &Path) -> Accelerator {
    match env::var(VARIABLE).as_deref() {
        Ok("kvm") => return Accelerator::Kvm,
        Ok("tcg") => return Accelerator::Tcg,
        _ => {}
    }
    if !Path::new("/dev/kvm").exists() {
        return Accelerator::Tcg;
    }
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let file = folder.join("accelerator.json");
    if let Some(known) = remembered(&file, &boot_id) {
        return known;
    }
    let accelerator = match runs(qemu, image) {
        Ok(true) => Accelerator::Kvm,
        Ok(false) => Accelerator::Tcg,
        Err(error) => {
            tracing::debug!(%error, "KVM could not be probed");
            return Accelerator::Tcg;
        }
    };
    // Where it cannot be remembered it is asked again.
    let known = Known { boot_id, accelerator };
    let _ = serde_json::to_vec(&known).map_err(io::Error::other).and_then(|text| {
        let fresh = folder.join(format!("accelerator.{}", std::process::id()));
        fs::write(&fresh, text)?;
        fs::rename(fresh, file)
    });
    accelerator
}

fn remembered(file: &Path, boot_id: &str) -> Option<Accelerator> {
    let known: Known = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (known.boot_id == boot_id).then_some(known.accelerator)
}

fn runs(qemu: &Qemu, image: &Path) -> io::Result<bool> {
    let mut command = qemu.command();
    command.args(["-machine", "pc,usb=off,vmport=off", "-accel", "kvm", "-cpu", "max", "-m", "256", "-nodefaults"]);
    command.args(["-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    command.arg("-kernel").arg(image.join("kernel")).arg("-initrd").arg(image.join("initrd"));
    command.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/probe"]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let heard = match child.stdout.take() {
        Some(pipe) => hears(pipe, Instant::now() + PROBE_MAX),
        None => Ok(false),
    };
    child.kill()?;
    child.wait()?;
    heard
}

/// Whether it is said before the deadline and before the end.
fn hears(mut pipe: impl Read + std::os::fd::AsFd, deadline: Instant) -> io::Result<bool> {
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    while await_readable(&pipe, deadline)? {
        let got = pipe.read(&mut chunk)?;
        if got == 0 {
            return Ok(false);
        }
        said.extend_from_slice(&chunk[..got]);
        if said.windows(SAID.len()).any(|window| window == SAID) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_machine_that_runs_is_heard_and_one_that_ends_or_hangs_is_not() {
        let soon = || Instant::now() + Duration::from_millis(40);
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"Booting\r\nschism-machine-").unwrap();
        assert!(!hears(read, soon()).unwrap(), "it hangs");
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"\x1bcBooting\r\nschism-machine-runs\r\n").unwrap();
        assert!(hears(read, soon()).unwrap());
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"panic").unwrap();
        drop(write);
        assert!(!hears(read, Instant::now() + Duration::from_secs(60)).unwrap(), "it ended");
    }

    #[test]
    fn what_was_found_out_holds_for_one_boot() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("accelerator.json");
        assert_eq!(remembered(&file, "a"), None);
        fs::write(&file, "{\"boot_id\": \"a\", \"accelerator\": \"tcg\"}").unwrap();
        assert_eq!(remembered(&file, "a"), Some(Accelerator::Tcg));
        assert_eq!(remembered(&file, "b"), None);
    }
}
