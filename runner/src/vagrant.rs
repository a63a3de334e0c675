//! `--inventory vagrant`: machines of a Vagrantfile, brought up if asked, with addresses and keys from Vagrant itself.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use schism_cluster::inventory::Inventory;
use schism_cluster::vagrant::{self, VagrantMachine};
use schism_cluster::{Command, Remote, SshRemote};

use crate::commands::say;
use crate::error::RunnerError;
use crate::ground;

/// The word that stands for these machines in place of an inventory's file.
pub const WORD: &str = "vagrant";

/// Where a provisioned machine says which address the others use.
const ADDRESS_FILE: &str = "/etc/schism/address";

/// The machines of the Vagrantfile at hand, as the value of an inventory; brought up first if asked.
///
/// # Errors
/// When there is no Vagrantfile or no Vagrant, it fails, or a machine does not say its address.
pub fn inventory(bring_up: bool) -> Result<serde_json::Value, RunnerError> {
    let folder = folder(std::env::var_os("VAGRANT_CWD").map(PathBuf::from))?;
    if bring_up {
        say(&format!("schism: `vagrant up` in {}", folder.display()));
        run(&folder, &["up"], Stdio::inherit())?;
    }
    let output = run(&folder, &["ssh-config"], Stdio::piped())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let machines = vagrant::parse_ssh_config(&text).map_err(|error| RunnerError::Usage(error.to_string()))?;
    let addresses = machines.iter().map(own_address).collect::<Result<Vec<_>, _>>()?;
    Ok(vagrant::inventory(&machines, &addresses))
}

/// The folder of the Vagrantfile: `VAGRANT_CWD`, this one, or `vagrant` in it.
fn folder(told: Option<PathBuf>) -> Result<PathBuf, RunnerError> {
    let candidates = match told {
        Some(folder) => vec![folder],
        None => vec![PathBuf::from("."), PathBuf::from("vagrant")],
    };
    let names: Vec<String> = candidates.iter().map(|folder| folder.display().to_string()).collect();
    candidates.into_iter().find(|folder| folder.join("Vagrantfile").is_file()).ok_or_else(|| {
        RunnerError::Usage(format!(
            "--inventory vagrant needs a Vagrantfile, and there is none in {}; go where it is, set VAGRANT_CWD, or take the one of schism's folder `vagrant`",
            names.join(" or ")
        ))
    })
}

fn run(folder: &Path, args: &[&str], stdout: Stdio) -> Result<std::process::Output, RunnerError> {
    let what = format!("`vagrant {}` in {}", args.join(" "), folder.display());
    let mut command = Process::new("vagrant");
    command.args(args).current_dir(folder).env("VAGRANT_CWD", ".").stdin(Stdio::null());
    // What it tells of its progress is no result of ours.
    let output = match args {
        ["up"] => command.stdout(std::io::stderr()).stderr(Stdio::inherit()).output(),
        _ => command.stdout(stdout).stderr(Stdio::piped()).output(),
    };
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => RunnerError::Usage(
            "the command `vagrant` is not on this machine; install Vagrant, or name the machines in an inventory file"
                .to_owned(),
        ),
        _ => RunnerError::Usage(format!("{what} could not be started: {error}")),
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = tail[tail.len().saturating_sub(4)..].join(" | ");
    let hint = if args == ["ssh-config"] { "; are the machines up? --vagrant-up brings them up" } else { "" };
    Err(RunnerError::Usage(format!("{what} failed ({}): {tail}{hint}", output.status)))
}

/// The address that the other nodes use, of a machine that is only reached through a forwarded port.
fn own_address(machine: &VagrantMachine) -> Result<Option<String>, RunnerError> {
    if !machine.is_forwarded() {
        return Ok(None);
    }
    let alone = vagrant::inventory(std::slice::from_ref(machine), &[]);
    let inventory: Inventory =
        serde_json::from_value(alone).map_err(|error| RunnerError::Internal(format!("an inventory: {error}")))?;
    let Some((target, _)) = ground::targets(&inventory)?.into_iter().next() else { return Ok(None) };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))?;
    let asked = runtime.block_on(SshRemote::new(target).run(&Command::new(format!("cat {ADDRESS_FILE}"))));
    runtime.shutdown_background();
    let address = asked?.text();
    if address.parse::<std::net::IpAddr>().is_ok() {
        return Ok(Some(address));
    }
    Err(RunnerError::Usage(format!(
        "the machine {} says `{address}` in {ADDRESS_FILE}, which is no address; provision it with vagrant/provision.sh",
        machine.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vagrantfile_is_looked_for_where_people_are() {
        let place = tempfile::tempdir().unwrap();
        let error = folder(Some(place.path().to_owned())).unwrap_err().to_string();
        assert!(error.contains("needs a Vagrantfile") && error.contains("VAGRANT_CWD"), "{error}");
        std::fs::write(place.path().join("Vagrantfile"), "").unwrap();
        assert_eq!(folder(Some(place.path().to_owned())).unwrap(), place.path());
    }
}
