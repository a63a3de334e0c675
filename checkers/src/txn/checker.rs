//! The checkers `list-append` and `rw-register`.
