//! QEMU: where it is, and the command line of a node's machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::accel::Accelerator;
use crate::process::PATH;

const PROGRAM: &str = "qemu-system-x86_64";

/// Folders of libraries on Debian's x86-64.
pub(super) const TRIPLET: &str = "x86_64-linux-gnu";

/// QEMU out of a package tree, or this machine's own where the tree has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qemu {
    program: PathBuf,
    libraries: Vec<PathBuf>,
    modules: Option<PathBuf>,
    firmware: Vec<PathBuf>,
}

impl Qemu {
    /// Nothing where there is neither.
    pub(crate) fn find(tree: &Path) -> Option<Qemu> {
        let in_tree = tree.join("usr/bin").join(PROGRAM);
        let folders = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| tree.join(name)).filter(|path| path.is_dir()).collect()
        };
        if in_tree.exists() {
            let libraries = [format!("usr/lib/{TRIPLET}"), format!("lib/{TRIPLET}")];
            return Some(Qemu {
                program: in_tree,
                libraries: folders(&libraries.each_ref().map(String::as_str)),
                modules: folders(&[&format!("usr/lib/{TRIPLET}/qemu")]).pop(),
                firmware: folders(&["usr/share/qemu", "usr/share/seabios"]),
            });
        }
        let program = PATH.split(':').map(|folder| Path::new(folder).join(PROGRAM)).find(|path| path.exists())?;
        Some(Qemu { program, libraries: Vec::new(), modules: None, firmware: Vec::new() })
    }

    /// The program with its libraries and firmware, and no environment or standard files of ours.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").env("TMPDIR", "/tmp").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !self.libraries.is_empty() {
            let folders: Vec<_> = self.libraries.iter().map(|path| path.to_string_lossy()).collect();
            command.env("LD_LIBRARY_PATH", folders.join(":"));
        }
        if let Some(modules) = &self.modules {
            command.env("QEMU_MODULE_DIR", modules);
        }
        for folder in &self.firmware {
            command.arg("-L").arg(folder);
        }
        command
    }
}

/// A node's machine, as its command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachinePlan {
    pub(crate) lab: String,
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: String,
    /// Folder with the node's disks, sockets and logs.
    pub(crate) folder: String,
    /// Folder of the image, for the kernel.
    pub(crate) image: String,
    pub(crate) accelerator: Accelerator,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
}

impl MachinePlan {
    /// The path of something of this machine.
    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The name of its network device in the holder's network.
    pub(crate) fn tap(&self) -> String {
        format!("v{}", self.at)
    }

    /// The command line, without the program.
    ///
    /// Disks are written back through this machine's page cache: it survives a machine that is killed, so what the guest
    /// has synced stays and what it has not is lost, as with a real power cut. Emulated machines keep time by a timer, as
    /// their counter of cycles is none.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let (accelerator, clock) = match self.accelerator {
            Accelerator::Kvm => ("kvm", ""),
            Accelerator::Tcg => ("tcg,thread=multi", " tsc=unstable no_timer_check"),
        };
        let disk = |name: &str| {
            let file = self.file(&format!("{name}.qcow2"));
            // A full tmpfs is the guest's error to see; by default QEMU would stop the machine.
            format!("file={file},if=none,id={name},format=qcow2,cache=writeback,werror=report,rerror=report")
        };
        let append =
            format!("console=ttyS0 quiet panic=1 net.ifnames=0 mitigations=off random.trust_cpu=on audit=0{clock}");
        let words = [
            ("-name", format!("schism-{}-{}", self.lab, self.name)),
            ("-machine", "pc,usb=off,vmport=off".to_owned()),
            ("-accel", accelerator.to_owned()),
            ("-cpu", "max".to_owned()),
            ("-smp", self.cpus.to_string()),
            ("-m", self.memory_mib.to_string()),
            ("-nodefaults", String::new()),
            ("-no-user-config", String::new()),
            ("-display", "none".to_owned()),
            ("-kernel", format!("{}/kernel", self.image)),
            ("-initrd", self.file("initrd")),
            ("-append", append),
            ("-drive", disk("root")),
            ("-device", "virtio-blk-pci,drive=root".to_owned()),
            ("-drive", disk("data")),
            ("-device", "virtio-blk-pci,drive=data".to_owned()),
            ("-netdev", format!("tap,id=net,ifname={},script=no,downscript=no", self.tap())),
            ("-device", format!("virtio-net-pci,netdev=net,mac={},romfile=", self.mac)),
            ("-device", "virtio-rng-pci".to_owned()),
            ("-no-reboot", String::new()),
            ("-chardev", format!("file,id=console,path={},append=on", self.file("console"))),
            ("-serial", "chardev:console".to_owned()),
            ("-qmp", format!("unix:{},server=on,wait=off", self.file("qmp"))),
        ];
        words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).filter(|word| !word.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(accelerator: Accelerator) -> MachinePlan {
        MachinePlan {
            lab: "l1".into(),
            name: "n2".into(),
            at: 1,
            address: Ipv4Addr::new(10, 77, 0, 12),
            mac: "02:77:00:00:01:0c".into(),
            folder: "/run/schism-lab/nodes/n2".into(),
            image: "/run/schism-lab/image".into(),
            accelerator,
            memory_mib: 512,
            cpus: 1,
        }
    }

    #[test]
    fn the_command_line_is_this() {
        let wanted = "-name schism-l1-n2|-machine pc,usb=off,vmport=off|-accel tcg,thread=multi|-cpu max|-smp 1|-m 512|\
            -nodefaults|-no-user-config|-display none|-kernel /run/schism-lab/image/kernel|\
            -initrd /run/schism-lab/nodes/n2/initrd|\
            -append console=ttyS0 quiet panic=1 net.ifnames=0 mitigations=off random.trust_cpu=on audit=0 tsc=unstable \
            no_timer_check|\
            -drive file=/run/schism-lab/nodes/n2/root.qcow2,if=none,id=root,format=qcow2,cache=writeback,\
            werror=report,rerror=report|\
            -device virtio-blk-pci,drive=root|\
            -drive file=/run/schism-lab/nodes/n2/data.qcow2,if=none,id=data,format=qcow2,cache=writeback,\
            werror=report,rerror=report|\
            -device virtio-blk-pci,drive=data|-netdev tap,id=net,ifname=v1,script=no,downscript=no|\
            -device virtio-net-pci,netdev=net,mac=02:77:00:00:01:0c,romfile=|-device virtio-rng-pci|\
            -no-reboot|-chardev file,id=console,path=/run/schism-lab/nodes/n2/console,append=on|-serial chardev:console|\
            -qmp unix:/run/schism-lab/nodes/n2/qmp,server=on,wait=off";
        let told: Vec<String> = plan(Accelerator::Tcg).arguments();
        let mut lines: Vec<String> = Vec::new();
        for word in &told {
            match lines.last_mut() {
                Some(line) if !word.starts_with('-') => line.push_str(&format!(" {word}")),
                _ => lines.push(word.clone()),
            }
        }
        assert_eq!(lines.join("|"), wanted);
        let in_hardware = plan(Accelerator::Kvm).arguments();
        assert!(in_hardware.contains(&"kvm".to_owned()) && !in_hardware.iter().any(|word| word.contains("tsc=")));
    }

    #[test]
    fn a_tree_with_qemu_gives_its_libraries_too() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path();
        for path in ["usr/bin/qemu-system-x86_64", "usr/share/seabios/bios.bin", "usr/lib/x86_64-linux-gnu/qemu/a.so"] {
            std::fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            std::fs::write(tree.join(path), "").unwrap();
        }
        let qemu = Qemu::find(tree).unwrap();
        assert_eq!(qemu.libraries, [tree.join("usr/lib/x86_64-linux-gnu")]);
        assert_eq!(qemu.modules, Some(tree.join("usr/lib/x86_64-linux-gnu/qemu")));
        assert_eq!(qemu.firmware, [tree.join("usr/share/seabios")]);
        let command = qemu.command();
        let variables: Vec<_> = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert!(variables.contains(&"LD_LIBRARY_PATH".to_owned()), "{variables:?}");
    }
}
