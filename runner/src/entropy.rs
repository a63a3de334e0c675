//! Fresh numbers from the kernel, for what must differ between runs: seeds and ids. All other chance comes from a seed.

use std::io::Read;

use crate::error::RunnerError;

/// A number that nobody could have known.
///
/// # Errors
/// When the kernel gives none.
pub fn fresh() -> Result<u32, RunnerError> {
    let mut bytes = [0; 4];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| RunnerError::Internal(format!("/dev/urandom cannot be read: {error}")))?;
    Ok(u32::from_le_bytes(bytes))
}
