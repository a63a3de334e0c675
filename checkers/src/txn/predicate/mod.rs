//! Reads by predicate over a closed universe of objects.
