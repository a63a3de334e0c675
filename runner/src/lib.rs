//! The controller: reads a suite, makes or finds a cluster, runs, judges and tells.
