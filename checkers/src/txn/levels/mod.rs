//! Consistency models, which of them implies which, and what each forbids.
