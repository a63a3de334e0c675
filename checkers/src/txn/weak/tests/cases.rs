//! Histories that show what each level forbids.
