//! The command `schism`.

fn main() {}
