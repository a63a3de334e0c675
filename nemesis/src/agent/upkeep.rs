//! What verbs that go on for long have in common: how long they go on, and their arguments.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// A verb goes on while its file `PREFIX.on` is there, and not longer than it was told: the last guard, should nobody
/// come to end it.
pub(super) struct Upkeep {
    prefix: String,
    until: Instant,
}

impl Upkeep {
    /// From the first two arguments, `PREFIX LIFETIME_S`; the rest is answered.
    pub(super) fn parse(args: &[String]) -> Result<(Upkeep, &[String]), String> {
        let [prefix, lifetime, rest @ ..] = args else {
            return Err("it wants a prefix of its files and a lifetime in seconds first".to_owned());
        };
        let lifetime_s: u64 = number(lifetime, "lifetime")?;
        let until = Instant::now().checked_add(Duration::from_secs(lifetime_s));
        let until = until.ok_or_else(|| format!("a lifetime of {lifetime_s} s is too long"))?;
        Ok((Upkeep { prefix: prefix.clone(), until }, rest))
    }

    /// Whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.until && self.file("on").exists()
    }

    /// One of its files.
    pub(super) fn file(&self, end: &str) -> PathBuf {
        PathBuf::from(format!("{}.{end}", self.prefix))
    }

    /// Writes one of its files.
    pub(super) fn tell(&self, end: &str, text: &str) -> Result<(), String> {
        let path = self.file(end);
        std::fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

/// A number among the arguments.
pub(super) fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number ({what})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_while_its_file_is_there_and_its_time_is_not_up() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("t").display().to_string();
        let args = |lifetime: &str| vec![prefix.clone(), lifetime.to_owned(), "more".to_owned()];
        let long = args("60");
        let (upkeep, rest) = Upkeep::parse(&long).unwrap();
        assert_eq!(rest, ["more"]);
        assert!(!upkeep.goes_on());
        upkeep.tell("on", "").unwrap();
        assert!(upkeep.goes_on());
        assert!(!Upkeep::parse(&args("0")).unwrap().0.goes_on());
        for wrong in [&args("x")[..], &args("18446744073709551615")[..], &args("1")[..1], &[]] {
            assert!(Upkeep::parse(wrong).is_err());
        }
    }
}
