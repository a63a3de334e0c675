//! The whole way, from a history to its models.
