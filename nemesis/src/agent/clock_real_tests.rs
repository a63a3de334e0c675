//! Judgement, arithmetic and files of the real clock; no clock is set.

use super::*;

const OTHER: &str = "00000000-0000-4000-8000-000000000000";
const OWN: &str = "11111111-1111-4111-8111-111111111111";

#[test]
fn only_a_clock_of_its_own_is_set() {
    let guard = |controller: &str, despite_doubts| Guard { controller_boot_id: controller.to_owned(), despite_doubts };
    let signs = |boot_id: &str, may_set, doubts: &[&str]| Signs {
        boot_id: boot_id.to_owned(),
        may_set,
        of_a_container: doubts.iter().map(|doubt| (*doubt).to_owned()).collect(),
    };
    let cases = [
        (guard(OWN, false), signs(OTHER, true, &[]), None),
        (guard(OWN, true), signs(OTHER, true, &["there is /.dockerenv"]), None),
        (guard(OWN, false), signs(OTHER, true, &["there is /.dockerenv"]), Some("container")),
        (guard(OWN, true), signs(OTHER, false, &[]), Some("CAP_SYS_TIME")),
        (guard(OWN, true), signs(OWN, true, &[]), Some("controller's kernel")),
        (guard("", true), signs(OTHER, true, &[]), Some("not known")),
        (guard("", true), signs("", true, &[]), Some("not known")),
        (guard(OWN, true), signs("", true, &[]), Some("not known")),
    ];
    for (guard, signs, expected) in cases {
        let said = verdict(&guard, &signs);
        match expected {
            None => assert_eq!(said, Ok(()), "{guard:?} {signs:?}"),
            Some(words) => assert!(said.as_ref().is_err_and(|why| why.contains(words)), "{guard:?} {signs:?} {said:?}"),
        }
    }
}

/// The clock of this machine is that of the controller: whatever else is so, it is refused.
#[test]
fn this_kernel_is_told_from_others() {
    let id = boot_id();
    assert!(id.len() >= 32, "{id:?}");
    let guard = Guard { controller_boot_id: id, despite_doubts: true };
    assert!(may_be_set(&guard).unwrap_err().contains("controller's kernel"));
}

#[test]
fn rates_and_back() {
    for ppb in [0, 1_000, -1_000, 49_999, 50_001, -50_001, 500_000, 100_000_000, -100_000_000, 12_345_678] {
        let rate = Rate::of_ppb(ppb);
        assert!((9_000..=11_000).contains(&rate.tick_us), "{rate:?}");
        assert!(rate.frequency_q16.abs() <= 500 << 16, "{rate:?}");
        assert!((rate.ppb() - ppb).abs() <= 1, "{ppb} {rate:?}");
    }
    assert_eq!(Rate { tick_us: 10_000, frequency_q16: 65_536 }.ppb(), 1_000, "a millionth");
}

#[test]
fn true_time_goes_on_at_the_rate_that_was_found() {
    let anchor = |rate: Rate| Anchor {
        guard: Guard::default(),
        boot_id: boot_id(),
        real_ns: 1_000_000_000_000,
        raw_ns: 500,
        rate,
        daemons: Vec::new(),
    };
    let second = 1_000_000_000;
    assert_eq!(anchor(Rate::of_ppb(0)).true_ns(500 + second), 1_001_000_000_000);
    assert_eq!(anchor(Rate::of_ppb(100_000)).true_ns(500 + 100 * second), 1_100_010_000_000);
}

#[test]
fn an_anchor_of_another_boot_is_none() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(folder.path()), Ok(None));
    let mut anchor = Anchor {
        guard: Guard::default(),
        boot_id: OTHER.to_owned(),
        real_ns: 1,
        raw_ns: 2,
        rate: Rate::of_ppb(3000),
        daemons: vec!["chronyd".to_owned()],
    };
    let write = |anchor: &Anchor| write_whole(&path(folder.path()), &serde_json::to_string(anchor).unwrap()).unwrap();
    write(&anchor);
    assert_eq!(load(folder.path()), Ok(None));
    // Nothing to undo after a reboot.
    assert_eq!(apply(folder.path(), &Terms::new()), Ok(()));
    anchor.boot_id = boot_id();
    write(&anchor);
    assert_eq!(load(folder.path()), Ok(Some(anchor.clone())));
    // Here the guard of the anchor itself says no: it names no controller.
    assert!(apply(folder.path(), &Terms::new()).unwrap_err().contains("not known"));
    // And it bites before every single change, whoever wrote the anchor.
    anchor.guard = Guard { controller_boot_id: boot_id(), despite_doubts: true };
    write(&anchor);
    for said in [apply(folder.path(), &Terms::new()), set(folder.path(), &Terms::new())] {
        assert!(said.unwrap_err().contains("controller's kernel"));
    }
    fs::write(path(folder.path()), "{").unwrap();
    assert!(load(folder.path()).is_err());
}
