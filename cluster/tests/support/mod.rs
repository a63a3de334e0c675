//! What the tests of this crate share.

pub mod cases;
pub mod sshd;
