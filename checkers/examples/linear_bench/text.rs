//! Histories written to a temporary file, and read back as `schism check` reads them.

use std::io::{self, BufReader, BufWriter};

use schism_history::{History, Import, Keyed, edn, jsonl};
use tempfile::NamedTempFile;

/// A format of text.
#[derive(Debug, Clone, Copy)]
pub enum Text {
    /// JSON Lines.
    Jsonl,
    /// EDN as Jepsen writes it, one map a line.
    Edn,
}

impl Text {
    /// Writes a history to a file that is removed when it is dropped.
    pub fn write(self, history: &History) -> io::Result<NamedTempFile> {
        let file = NamedTempFile::new()?;
        let out = BufWriter::new(file.as_file());
        match self {
            Text::Jsonl => jsonl::write(history, out)?,
            Text::Edn => edn::write(history, out)?,
        }
        Ok(file)
    }

    /// Reads it back.
    pub fn read(self, file: &NamedTempFile, keyed: Keyed) -> Result<History, String> {
        let reader = BufReader::new(file.reopen().map_err(|error| error.to_string())?);
        let import = Import::default();
        match self {
            Text::Jsonl => jsonl::read_with(reader, &import).map_err(|error| error.to_string()),
            Text::Edn => edn::read_from(reader, keyed, &import).map_err(|error| error.to_string()),
        }
        .map(|(history, _)| history)
    }
}
