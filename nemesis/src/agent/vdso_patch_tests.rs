//! What is read of processes; `tests/skew.rs` changes some.

use super::*;

/// What lives in the test itself is only read.
#[test]
fn this_process_has_the_image_of_the_kernel() {
    let image = own_image().unwrap();
    let process = ProcessId { pid: std::process::id(), start_ticks: family::start_ticks(std::process::id()).unwrap() };
    let mapped = Mapped::of(&image, process, false).unwrap().unwrap();
    assert_eq!(mapped.condition(), Condition::Pristine);
    assert!(!mapped.is_gone());
    let reused = ProcessId { start_ticks: process.start_ticks + 1, ..process };
    assert!(Mapped::of(&image, reused, false).unwrap().unwrap().is_gone());
}

#[test]
fn one_that_is_gone_has_none() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let image = own_image().unwrap();
    assert!(Mapped::of(&image, ProcessId { pid, start_ticks: 1 }, true).unwrap().is_none());
}
