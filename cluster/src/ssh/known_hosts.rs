//! Who the node is: OpenSSH `known_hosts` files, read and (at first sight) added to.
//!
//! Names, patterns (`*`, `?`, `!`), lists, hashed names (`|1|...`), `[host]:port`, `@revoked` and comments are
//! understood. Certificates (`@cert-authority`) are not: such lines are passed over.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// `SHA256:...`, as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The kind of a public key (`ssh-ed25519`), which its blob begins with.
pub(crate) fn key_kind(key: &[u8]) -> Option<&str> {
    let length = u32::from_be_bytes(key.get(..4)?.try_into().ok()?) as usize;
    std::str::from_utf8(key.get(4..4usize.checked_add(length)?)?).ok()
}

/// What a file says of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// Keys that were seen there.
    pub keys: Vec<Vec<u8>>,
    /// Keys that must not be trusted.
    pub revoked: Vec<Vec<u8>>,
}

/// Finds what a file says of a name (`host` or `[host]:port`). Lines that make no sense are passed over, as OpenSSH
/// does.
pub(crate) fn look_up(text: &str, name: &str) -> Known {
    let mut known = Known::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(first) = fields.next().filter(|field| !field.starts_with('#')) else { continue };
        let (marker, hosts) = if first.starts_with('@') { (first, fields.next()) } else { ("", Some(first)) };
        let (Some(hosts), Some(kind), Some(key)) = (hosts, fields.next(), fields.next()) else { continue };
        let Ok(key) = STANDARD.decode(key) else { continue };
        if key_kind(&key) != Some(kind) || !names(hosts, name) {
            continue;
        }
        match marker {
            "" => known.keys.push(key),
            "@revoked" => known.revoked.push(key),
            _ => {}
        }
    }
    known
}

/// Whether the first field of a line means this name.
fn names(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return hashed_name(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if glob(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// Case does not count in host names.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    // The position to return to when what follows the last star does not fit: linear in memory, no recursion.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// `salt|hash`: whether hash = HMAC-SHA1(salt, name).
fn hashed_name(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    Some(hmac_sha1(&salt, name.to_ascii_lowercase().as_bytes())[..] == hash)
}

/// HMAC (RFC 2104) of SHA-1: known_hosts files need it to hide names, not to protect anything of ours.
fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..20].copy_from_slice(&sha1(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let with = |pad: u8, rest: &[u8]| {
        let mut text: Vec<u8> = block.iter().map(|byte| byte ^ pad).collect();
        text.extend_from_slice(rest);
        sha1(&text)
    };
    with(0x5c, &with(0x36, message))
}

/// SHA-1 (FIPS 180-4).
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut text = message.to_vec();
    text.push(0x80);
    while text.len() % 64 != 56 {
        text.push(0);
    }
    text.extend_from_slice(&(message.len() as u64).wrapping_mul(8).to_be_bytes());
    for block in text.chunks_exact(64) {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        }
        for i in 16..80 {
            words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (f, k) = match i {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, add) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(add);
        }
    }
    let mut digest = [0u8; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// Sessions to one host begin at once: the second must see what the first wrote.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes a key down at the end of a file, unless it is there by now. Makes file and folder where there are none.
pub(crate) fn append(file: &Path, name: &str, key: &[u8]) -> std::io::Result<()> {
    let _guard = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if look_up(&text, name).keys.iter().any(|known| known == key) {
        return Ok(());
    }
    let kind = key_kind(key).ok_or_else(|| std::io::Error::other("the host key names no kind"))?;
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.append(true).create(true).open(file)?;
    file.write_all(format!("{newline}{name} {kind} {}\n", STANDARD.encode(key)).as_bytes())
}

/// Whether a key is the one that a user wrote down: `SHA256:...`, or a public key with or without a host before it.
pub(crate) fn is_the_known(written: &str, key: &[u8]) -> bool {
    let written = written.trim();
    if written.starts_with("SHA256:") {
        return written.trim_end_matches('=') == fingerprint(key);
    }
    let encoded = STANDARD.encode(key);
    written.split_whitespace().any(|word| word == encoded)
}

/// Host key algorithms, those of known keys first: a server that has several kinds of key must show the one we know.
/// Where none is known, Ed25519 goes first, as with OpenSSH, so that both write the same key down.
pub(crate) fn preferred(known: &[Vec<u8>], supported: &[&str]) -> String {
    let mut kinds: Vec<&str> = known.iter().filter_map(|key| key_kind(key)).collect();
    if kinds.is_empty() {
        kinds.push("ssh-ed25519");
    }
    let rsa = kinds.contains(&"ssh-rsa");
    let knows = |algorithm: &&&str| kinds.contains(*algorithm) || (rsa && algorithm.starts_with("rsa-sha2-"));
    let (first, rest): (Vec<&&str>, Vec<&&str>) = supported.iter().partition(knows);
    let all: Vec<&str> = first.into_iter().chain(rest).copied().collect();
    all.join(",")
}

/// The public key in what a user wrote down, if it is one and no fingerprint.
pub(crate) fn written_key(written: &str) -> Option<Vec<u8>> {
    written.split_whitespace().filter_map(|word| STANDARD.decode(word).ok()).find(|key| key_kind(key).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> Vec<u8> {
        let mut key = vec![0, 0, 0, 11];
        key.extend_from_slice(b"ssh-ed25519");
        key.extend_from_slice(&[0, 0, 0, 32]);
        key.extend_from_slice(&[fill; 32]);
        key
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sha1_and_hmac_say_what_the_standards_say() {
        let cases = [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        ];
        for (text, digest) in cases {
            assert_eq!(hex(&sha1(text.as_bytes())), digest);
        }
        // RFC 2202, cases 1, 2 and 6.
        assert_eq!(hex(&hmac_sha1(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(
            hex(&hmac_sha1(b"Jefe", b"what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        let long = hmac_sha1(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn names_and_patterns() {
        let cases = [
            ("n1", "n1", true),
            ("N1", "n1", true),
            ("n1", "n11", false),
            ("n1,n2", "n2", true),
            ("n*", "n22", true),
            ("n?", "n1", true),
            ("n?", "n", false),
            ("*,!n3", "n3", false),
            ("!n3", "n1", false),
            ("*.a,n1", "x.a", true),
            ("[n1]:2222", "[n1]:2222", true),
            ("n1", "[n1]:2222", false),
            ("[*]:22*", "[n1]:2222", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "aXbY", false),
            ("**", "", true),
            ("", "n1", false),
            ("|1|x", "n1", false),
            ("|1|!!|??", "n1", false),
        ];
        for (hosts, name, expected) in cases {
            assert_eq!(names(hosts, name), expected, "{hosts} {name}");
        }
    }

    #[test]
    fn hashed_names_made_by_openssh_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known");
        append(&file, "node-7.example", &key(7)).unwrap();
        append(&file, "[10.0.0.1]:2222", &key(8)).unwrap();
        let hashed = std::process::Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file).output();
        let Ok(hashed) = hashed else { return };
        assert!(hashed.status.success());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|") && !text.contains("example"), "{text}");
        assert_eq!(look_up(&text, "node-7.example").keys, [key(7)]);
        assert_eq!(look_up(&text, "[10.0.0.1]:2222").keys, [key(8)]);
        assert_eq!(look_up(&text, "10.0.0.1"), Known::default());
    }

    #[test]
    fn lines_of_all_kinds() {
        let (one, two) = (STANDARD.encode(key(1)), STANDARD.encode(key(2)));
        let text = format!(
            "# comment\n\n@cert-authority * ssh-ed25519 {one}\n@revoked * ssh-ed25519 {two} why\nn1 ssh-ed25519 {one} c\n\
             n1 ssh-rsa {two}\nn1 ssh-ed25519 ???\nn1\nn1 ssh-ed25519\n@revoked\n  n2,n3 ssh-ed25519 {two}\n"
        );
        assert_eq!(look_up(&text, "n1"), Known { keys: vec![key(1)], revoked: vec![key(2)] });
        assert_eq!(look_up(&text, "n3").keys, [key(2)]);
        assert_eq!(look_up(&text, "n9").keys, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_new_key_is_written_once_and_on_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/known");
        append(&file, "n1", &key(1)).unwrap();
        append(&file, "n1", &key(1)).unwrap();
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap().trim_end()).unwrap();
        append(&file, "n2", &key(2)).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(look_up(&text, "n1").keys, [key(1)]);
        assert_eq!(look_up(&text, "n2").keys, [key(2)]);
    }

    #[test]
    fn a_key_written_down_is_known_by_fingerprint_or_line() {
        let line = STANDARD.encode(key(1));
        let cases = [
            (fingerprint(&key(1)), true),
            (fingerprint(&key(2)), false),
            (format!("ssh-ed25519 {line}"), true),
            (format!("n1 ssh-ed25519 {line} me@x\n"), true),
            (String::new(), false),
            ("ssh-ed25519".to_owned(), false),
        ];
        for (written, expected) in cases {
            assert_eq!(is_the_known(&written, &key(1)), expected, "{written}");
        }
    }

    #[test]
    fn known_kinds_come_first() {
        let supported = ["ecdsa-sha2-nistp256", "ssh-ed25519", "rsa-sha2-512"];
        assert_eq!(preferred(&[key(1)], &supported), "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512");
        assert_eq!(preferred(&[], &supported), "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512");
        let rsa = [&[0, 0, 0, 7][..], b"ssh-rsa"].concat();
        assert_eq!(preferred(&[rsa], &supported), "rsa-sha2-512,ecdsa-sha2-nistp256,ssh-ed25519");
        let line = format!("n1 ssh-ed25519 {} me@x", STANDARD.encode(key(1)));
        assert_eq!(written_key(&line), Some(key(1)));
        assert_eq!(written_key(&fingerprint(&key(1))), None);
    }

    #[test]
    fn no_blob_makes_it_stumble() {
        for blob in [&[][..], &[0, 0, 0], &[0xff; 4], &[0xff; 8], &[0, 0, 0, 9, b's']] {
            assert_eq!(key_kind(blob), None);
        }
    }
}
