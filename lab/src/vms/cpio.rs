//! Archives that Linux unpacks into its first root (`Documentation/driver-api/early-userspace/buffer-format.rst`): cpio in
//! the form "newc". Several may follow each other in one file; later ones win.

/// Longer files than this do not fit into the form.
const FILE_BYTES_MAX: usize = u32::MAX as usize;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// An archive in the making. Folders come before what is in them: [`Archive::file`] sees to that.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: Vec<String>,
    entries: u32,
}

impl Archive {
    /// Adds a file at this path (without a leading `/`), owned by root, and the folders that it needs. A file that is too
    /// long for the form is cut, which no file of ours is.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        for (at, _) in path.match_indices('/') {
            self.folder(&path[..at], 0o755);
        }
        self.entry(path, FILE | mode, content);
    }

    /// Adds a folder, once.
    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        if !path.is_empty() && !self.folders.iter().any(|known| known == path) {
            self.folders.push(path.to_owned());
            self.entry(path, FOLDER | mode, &[]);
        }
    }

    /// The archive, with its end mark, padded so that another may follow.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.pad(512);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let content = &content[..content.len().min(FILE_BYTES_MAX)];
        self.entries += 1;
        let links = if mode & FOLDER != 0 { 2 } else { 1 };
        // Magic, inode, mode, owner, group, links, time, size, device (two), special device (two), name, check.
        let fields = [self.entries, mode, 0, 0, links, 0, content.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(content);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back by the description of the form: path, mode, content.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let (mut found, whole) = (Vec::new(), bytes.len());
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |number: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * number..14 + 8 * number]).unwrap();
                u32::from_str_radix(text, 16).unwrap() as usize
            };
            let (mode, size, name) = (field(1), field(6), field(11));
            let path = String::from_utf8(bytes[110..110 + name - 1].to_vec()).unwrap();
            assert_eq!(bytes[110 + name - 1], 0);
            let content = (110 + name).next_multiple_of(4);
            if path == "TRAILER!!!" {
                assert_eq!(whole % 512, 0);
                return found;
            }
            found.push((path, mode as u32, bytes[content..content + size].to_vec()));
            bytes = &bytes[(content + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn what_goes_in_comes_out_folders_first_and_once() {
        let mut archive = Archive::default();
        archive.folder("proc", 0o555);
        archive.file("etc/ssh/key", 0o600, b"secret");
        archive.file("etc/hosts", 0o644, b"");
        archive.file("init", 0o755, &[7; 4097]);
        let entries = read(&archive.finish());
        let short: Vec<(&str, u32, usize)> =
            entries.iter().map(|(path, mode, content)| (path.as_str(), *mode, content.len())).collect();
        assert_eq!(
            short,
            [
                ("proc", 0o040_555, 0),
                ("etc", 0o040_755, 0),
                ("etc/ssh", 0o040_755, 0),
                ("etc/ssh/key", 0o100_600, 6),
                ("etc/hosts", 0o100_644, 0),
                ("init", 0o100_755, 4097),
            ]
        );
        assert_eq!(entries[3].2, b"secret");
    }

    #[test]
    fn the_first_bytes_are_those_of_the_form() {
        let mut archive = Archive::default();
        archive.file("a", 0o644, b"xyz");
        let text = String::from_utf8(archive.finish()).unwrap();
        // Number, mode, owner and group, links, time, size, devices, length of the name with its end, check.
        let fields = [1, 0o100_644, 0, 0, 1, 0, 3, 0, 0, 0, 0, 2, 0].map(|field| format!("{field:08x}")).concat();
        assert!(text.starts_with(&format!("070701{fields}a\x00xyz\x00{}", "070701")), "{text:?}");
    }
}
