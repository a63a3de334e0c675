//! Whether this machine runs other machines in hardware (KVM). Asked by running some: a device that is there, and even one
//! that makes machines, may still not run them (in a machine that is itself virtual, say).

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::qemu::Qemu;

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

/// How long a machine of five instructions may take.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// What QEMU ends with after the probe's machine has written [`PROBE_VALUE`] to its debug port.
const PROBE_VALUE: u8 = 0x10;
const PROBE_EXIT: i32 = ((PROBE_VALUE as i32) << 1) | 1;
const PROBE_PORT: u8 = 0xf4;

/// What this machine has; `SCHISM_ACCEL` overrides. Takes a tenth of a second where KVM works, 5 s at the worst. `folder`
/// is for a file of 64 KiB, which is removed again.
pub(crate) fn probe(qemu: &Qemu, folder: &Path) -> Accelerator {
    match env::var(VARIABLE).as_deref() {
        Ok("kvm") => return Accelerator::Kvm,
        Ok("tcg") => return Accelerator::Tcg,
        _ => {}
    }
    if !Path::new("/dev/kvm").exists() {
        return Accelerator::Tcg;
    }
    let firmware = folder.join(format!("kvm-probe-{}", std::process::id()));
    let runs = fs::write(&firmware, probe_firmware()).and_then(|()| runs(qemu, &firmware));
    // Where it is left, the next probe's differs only in its name; it does no harm.
    let _ = fs::remove_file(&firmware);
    match runs {
        Ok(true) => Accelerator::Kvm,
        Ok(false) => Accelerator::Tcg,
        Err(error) => {
            tracing::debug!(%error, "KVM could not be probed");
            Accelerator::Tcg
        }
    }
}

fn runs(qemu: &Qemu, firmware: &Path) -> io::Result<bool> {
    let mut command = qemu.command();
    command.args(["-machine", "pc", "-accel", "kvm", "-m", "16", "-nodefaults", "-no-user-config", "-display", "none"]);
    command.arg("-device").arg(format!("isa-debug-exit,iobase={PROBE_PORT:#x},iosize=4"));
    let mut child = command.arg("-bios").arg(firmware).spawn()?;
    let code = wait(&mut child, PROBE_MAX);
    if code.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(code == Some(PROBE_EXIT))
}

fn wait(child: &mut Child, at_most: Duration) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < at_most {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code().or(Some(-1));
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A firmware that halts, but for the place where a processor begins: `mov al, VALUE; out PORT, al; hlt`.
fn probe_firmware() -> Vec<u8> {
    const HALT: u8 = 0xf4;
    let mut bytes = vec![HALT; 1 << 16];
    let start = bytes.len() - 16;
    bytes[start..start + 5].copy_from_slice(&[0xb0, PROBE_VALUE, 0xe6, PROBE_PORT, HALT]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_begins_where_processors_do() {
        let bytes = probe_firmware();
        assert_eq!(bytes.len(), 65_536);
        assert_eq!(bytes[0xfff0..0xfff5], [0xb0, 0x10, 0xe6, 0xf4, 0xf4]);
        assert_eq!(PROBE_EXIT, 33);
    }
}
