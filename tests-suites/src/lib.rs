//! One folder a database: how to install, run, kill and speak to it; its suites as YAML, embedded in the binary.
