//! `schism explain` of consistency models and of kinds of anomaly: what is forbidden, by whose definition, with an example.

use std::fmt::Write;

use schism_checkers::AnomalyKind;
use schism_checkers::txn::levels::{Example, KindSet, LEVELS, Level, LevelEntry, example, ruled_out_by, weakest};

/// Where the first column ends.
const COLUMN: usize = 21;

/// What a consistency model is, by any of its names.
pub fn level(name: &str) -> Option<String> {
    let level = Level::parse(name)?;
    let entry = level.entry();
    let mut text = format!("{}: {}\n\n", level.usual_name(), entry.about);
    line(&mut text, "Also called", &others(entry).join(", "));
    line(&mut text, "Defined by", entry.source);
    let implied = entry.implies.iter().map(|arrow| format!("{} ({})", arrow.to.usual_name(), arrow.source));
    line(&mut text, "Implies", &implied.collect::<Vec<_>>().join(", "));
    let implying = LEVELS.iter().filter_map(|other| {
        let arrow = other.implies.iter().find(|arrow| arrow.to == level)?;
        Some(format!("{} ({})", other.level.usual_name(), arrow.source))
    });
    line(&mut text, "Implied by", &implying.collect::<Vec<_>>().join(", "));
    let check = format!("schism check HISTORY --checker list-append|rw-register --consistency {}", level.usual_name());
    line(&mut text, "Judged by", &check);
    if level.needs_realtime() {
        line(&mut text, "Needs", "the order of real time, which histories of formats without times do not have");
    }
    let own: KindSet = KindSet::of(entry.adds);
    forbidden(&mut text, "Forbids itself", own);
    let rest: KindSet = level.forbids_most_plainly().iter().filter(|kind| !own.contains(*kind)).collect();
    forbidden(&mut text, "Forbids by what it implies", rest);
    let plain = own.union(rest);
    let meant: KindSet = level.forbids().iter().filter(|kind| !plain.contains(*kind)).collect();
    forbidden(&mut text, "Forbids, as each means that one of these is there too", meant);
    let shown = entry.adds.iter().copied().chain(level.forbids().iter()).find_map(example);
    shown_by(&mut text, shown);
    Some(text)
}

/// What a kind of anomaly is.
pub fn anomaly(name: &str) -> Option<String> {
    let kind = AnomalyKind::ALL.iter().copied().find(|kind| kind.as_str().eq_ignore_ascii_case(name))?;
    let mut text = format!("{}: {}\n\n", kind.as_str(), kind.about());
    let levels = weakest(ruled_out_by(kind));
    if levels.is_empty() {
        text.push_str("Found by a checker that takes no consistency model.\n");
        return Some(text);
    }
    let names = levels.iter().map(|level| format!("{} ({})", level.usual_name(), level.entry().source));
    line(&mut text, "Rules out", &format!("{}, and all that imply one of these", names.collect::<Vec<_>>().join(", ")));
    let implied = KindSet::of(&[kind]).with_what_it_implies();
    let implied: Vec<&str> = implied.iter().filter(|other| *other != kind).map(AnomalyKind::as_str).collect();
    line(&mut text, "Where it is, is", &implied.join(", "));
    shown_by(&mut text, example(kind));
    Some(text)
}

/// Its names but for the usual one.
fn others(entry: &LevelEntry) -> Vec<&'static str> {
    let all = std::iter::once(&entry.name).chain(entry.aliases).copied();
    all.filter(|name| *name != entry.level.usual_name()).collect()
}

fn line(text: &mut String, title: &str, value: &str) {
    if !value.is_empty() {
        // Writing to a string never fails.
        let _ = writeln!(text, "{title:COLUMN$}{value}");
    }
}

fn forbidden(text: &mut String, title: &str, kinds: KindSet) {
    if kinds.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:\n");
    let width = kinds.iter().map(|kind| kind.as_str().len()).max().unwrap_or_default();
    for kind in kinds.iter() {
        let _ = writeln!(text, "    {:width$}  {}", kind.as_str(), kind.about());
    }
}

fn shown_by(text: &mut String, example: Option<&Example>) {
    let Some(example) = example else { return };
    let sources = match example.version_order {
        "" => String::new(),
        sources => format!(" --version-order {sources}"),
    };
    let _ = write!(
        text,
        "\nAn example, where 0:txn=[...] is a transaction of process 0, ( and ) are its beginning and end where others overlap it,\nand ! is one that failed:\n\n    history  {}\n    shows    {}\n    checker  {} --consistency {}{sources}\n",
        example.history(),
        example.kind.as_str(),
        example.data.as_str(),
        example.level,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_and_every_kind_has_a_text() {
        for entry in LEVELS {
            let text = level(entry.name).expect("a model");
            assert!(text.contains(entry.about) && text.contains("Forbids"), "{}", entry.name);
            assert!(entry.adds.iter().all(|kind| text.contains(kind.about())), "{}", entry.name);
            assert!(text.contains("An example"), "{}", entry.name);
        }
        for kind in AnomalyKind::ALL {
            let text = anomaly(kind.as_str()).expect("a kind");
            assert!(text.contains(kind.about()), "{text}");
        }
        assert_eq!((level("PL-4"), anomaly("G9")), (None, None));
    }

    #[test]
    fn what_it_says() {
        let text = level("SI").expect("a model");
        for part in [
            "snapshot-isolation: each transaction reads from one snapshot",
            "Also called          PL-SI, si\n",
            "Implies              forward-consistent-view (Adya 1999), ",
            "Forbids itself:\n\n    G-nonadjacent ",
            "    lost-update ",
            "\n    history  ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = anomaly("write-skew").expect("a kind");
        for part in [
            "Rules out            update-serializable (Adya 1999), repeatable-read (Adya 1999), and all that imply",
            "G2-item",
            "shows    write-skew",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
