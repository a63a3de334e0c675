//! Micro-operations that contradict each other by themselves: what was done, and why that cannot be.

use schism_checkers::AnomalyKind;
use schism_checkers::anomaly::{Place, Role};
use schism_history::History;

use super::transactions::Names;
use crate::phrase;
use crate::words;

/// Most micro-operations that are told.
const LINES_MAX: usize = 40;

/// What a witness of micro-operations says.
pub(super) struct Contradiction<'a> {
    pub history: &'a History,
    pub kind: &'a str,
    pub key: Option<&'a str>,
    pub places: &'a [Place],
    pub expected: Option<&'a str>,
    pub found: Option<&'a str>,
    pub names: &'a Names<'a>,
}

impl Contradiction<'_> {
    /// A line for what was done, a line for why it cannot be; where the witness is not as its kind has it, one for
    /// each micro-operation.
    pub fn told(&self) -> Vec<String> {
        let told = AnomalyKind::parse(self.kind).and_then(|kind| self.of_kind(kind));
        told.map_or_else(|| self.plainly(), |(done, yet)| vec![done, format!("yet {yet}: a contradiction")])
    }

    fn of_kind(&self, kind: AnomalyKind) -> Option<(String, String)> {
        match kind {
            AnomalyKind::G1a => self.aborted_read(),
            AnomalyKind::G1b => self.intermediate_read(),
            AnomalyKind::Internal | AnomalyKind::PredicateReadMiss => self.own_contradicted(),
            AnomalyKind::FutureRead => self.future_read(),
            AnomalyKind::DirtyUpdate => self.dirty_update(),
            AnomalyKind::LostUpdate => self.lost_update(),
            AnomalyKind::DuplicateElements => self.duplicate(),
            AnomalyKind::IncompatibleOrder => self.incompatible(),
            AnomalyKind::CyclicVersions => self.cyclic(),
            AnomalyKind::GarbageRead => self.garbage(),
            AnomalyKind::NonRepeatableRead => self.twice(),
            _ => None,
        }
    }

    /// The first micro-operation of a role.
    fn of(&self, role: Role) -> Option<&Place> {
        self.places.iter().find(|place| place.role == role)
    }

    fn who(&self, place: &Place) -> String {
        self.names.of(place.transaction)
    }

    /// What it did, in the past; `None` where the history does not have it.
    fn past(&self, place: &Place) -> Option<String> {
        let call = phrase::call_at(self.history, place.transaction)?;
        phrase::micros(self.history, &call).into_iter().nth(place.micro as usize).map(|micro| micro.past)
    }

    /// `T1 read 1 from key x`.
    fn deed(&self, place: &Place) -> Option<String> {
        Some(format!("{} {}", self.who(place), self.past(place)?))
    }

    fn key(&self) -> String {
        self.key.map_or_else(|| "the key".to_owned(), |key| format!("key {}", words::name(key)))
    }

    fn expected(&self) -> Option<String> {
        self.expected.map(cut)
    }

    fn found(&self) -> Option<String> {
        self.found.map(cut)
    }

    fn aborted_read(&self) -> Option<(String, String)> {
        let (read, write) = (self.of(Role::Read)?, self.of(Role::AbortedWrite)?);
        let done = format!("{}, and {}", self.deed(write)?, self.deed(read)?);
        Some((done, format!("{} certainly failed, so that nothing of it may be seen", self.who(write))))
    }

    fn intermediate_read(&self) -> Option<(String, String)> {
        let (read, write) = (self.of(Role::Read)?, self.of(Role::Write)?);
        let done = format!("{}, and {}", self.deed(write)?, self.deed(read)?);
        let later = match self.of(Role::OverWrite) {
            Some(over) => format!("{} {} after that", self.who(over), self.past(over)?),
            None => format!("{} wrote to {} again after that", self.who(write), self.key()),
        };
        Some((done, format!("{later}, and nobody may see what was there only for a while")))
    }

    /// A read of what its own transaction had done.
    fn own_contradicted(&self) -> Option<(String, String)> {
        let read = self.of(Role::Read)?;
        let before: Option<Vec<String>> = self
            .places
            .iter()
            .filter(|place| place.role != Role::Read)
            .take(LINES_MAX)
            .map(|own| self.past(own))
            .collect();
        let before = before?;
        let first = if before.is_empty() { String::new() } else { format!("{}, and then ", words::list(&before)) };
        let had_to = match self.expected().as_deref() {
            Some("not found") => format!("it may not find {}", self.key()),
            Some(expected) if self.kind == AnomalyKind::PredicateReadMiss.as_str() => {
                format!("it had to find {} as {expected}", self.key())
            }
            Some(expected) => format!("it had to read {expected}"),
            None => "it had to read what it had done itself".to_owned(),
        };
        Some((format!("{} {first}{}", self.who(read), self.past(read)?), had_to))
    }

    fn future_read(&self) -> Option<(String, String)> {
        let (read, write) = (self.of(Role::Read)?, self.of(Role::Write)?);
        let done = format!("{}, and only then {}", self.deed(read)?, self.past(write)?);
        Some((done, "nobody can read what is not written yet".to_owned()))
    }

    fn dirty_update(&self) -> Option<(String, String)> {
        let (aborted, over) = (self.of(Role::AbortedWrite)?, self.of(Role::OverWrite)?);
        let done = format!("{} and certainly failed; {} and committed", self.deed(aborted)?, self.deed(over)?);
        let seen = match self.of(Role::Read) {
            Some(read) => format!("{}, so that the one lies over the other", self.deed(read)?),
            None => "the one lies over the other".to_owned(),
        };
        Some((done, format!("{seen}, although what failed must not be there")))
    }

    fn lost_update(&self) -> Option<(String, String)> {
        let (one, two) = (self.of(Role::Read)?, self.of(Role::OtherRead)?);
        let mut writes = self.places.iter().filter(|place| place.role == Role::OverWrite);
        let (first, second) = (writes.next()?, writes.next()?);
        let of = match self.of(Role::Write) {
            Some(write) => format!(" (of {})", self.who(write)),
            None => String::new(),
        };
        let done = format!(
            "{}{of} and {}; {} and {}",
            self.deed(one)?,
            self.past(first)?,
            self.deed(two)?,
            self.past(second)?
        );
        Some((done, "whichever of the two came second did not see the other, whose update is lost".to_owned()))
    }

    fn duplicate(&self) -> Option<(String, String)> {
        let read = self.of(Role::Read)?;
        let element = self.found().unwrap_or_else(|| "an element".to_owned());
        let append = self.of(Role::Write).and_then(|write| self.deed(write));
        let append = append.map_or_else(String::new, |append| format!(" ({append})"));
        let done = format!("{}, in which {element} is more than once", self.deed(read)?);
        Some((done, format!("each element is appended once{append}, and is there once then")))
    }

    fn incompatible(&self) -> Option<(String, String)> {
        let read = self.of(Role::Read)?;
        if let Some(other) = self.of(Role::OtherRead) {
            let done = format!("{}, and {}", self.deed(read)?, self.deed(other)?);
            return Some((
                done,
                "neither list begins with the other, although lists only grow at their end".to_owned(),
            ));
        }
        let (earlier, later) = (self.of(Role::Write)?, self.of(Role::OverWrite)?);
        let done = format!("{}, and after that {}", self.deed(earlier)?, self.past(later)?);
        Some((done, format!("{}, where the earlier of these does not stand before the later", self.deed(read)?)))
    }

    fn cyclic(&self) -> Option<(String, String)> {
        let mut told: Vec<String> = Vec::new();
        for place in self.places.iter().take(LINES_MAX) {
            let deed = self.deed(place)?;
            if !told.contains(&deed) {
                told.push(deed);
            }
        }
        let circle = self.found().filter(|_| !told.is_empty())?;
        Some((words::list(&told), format!("that puts the versions of {} into a circle, {circle}", self.key())))
    }

    fn garbage(&self) -> Option<(String, String)> {
        let read = self.of(Role::Read)?;
        let found = self.found()?;
        Some((self.deed(read)?, format!("nobody ever asked to write {found} to {}", self.key())))
    }

    fn twice(&self) -> Option<(String, String)> {
        let (second, first) = (self.of(Role::Read)?, self.of(Role::OtherRead)?);
        let done = format!("{} and later {}", self.deed(first)?, self.past(second)?);
        Some((done, "it wrote nothing to it in between, so that it saw two versions of one key".to_owned()))
    }

    /// A line for each micro-operation, whatever they are.
    fn plainly(&self) -> Vec<String> {
        let one = |place: &Place| {
            let who = self.who(place);
            let what = self.past(place).unwrap_or_else(|| format!("did its micro-operation {}", place.micro));
            match place.role {
                Role::OtherRead => format!("{who} {what}, which contradicts it"),
                Role::Write => format!("before that {who} {what}"),
                Role::OverWrite => format!("over that {who} {what}"),
                Role::AbortedWrite => format!("{who} {what}, and failed"),
                _ => format!("{who} {what}"),
            }
        };
        let mut lines: Vec<String> = self.places.iter().take(LINES_MAX).map(one).collect();
        match (self.expected(), self.found()) {
            (Some(expected), Some(found)) => lines.push(format!("{found} was found where {expected} had to be")),
            (None, Some(found)) => lines.push(format!("what was found: {found}")),
            (Some(expected), None) => lines.push(format!("what had to be there: {expected}")),
            (None, None) => {}
        }
        lines
    }
}

fn cut(text: &str) -> String {
    words::cut_middle(text, 2 * words::VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    fn told(kind: &str, places: &[Place], expected: Option<&str>, found: Option<&str>) -> Vec<String> {
        let line = r#"0:txn=[["append","x",1],["append","x",2]] 1:txn=[["r","x",[2]],["r","x",[1,2]]]"#;
        let history = notation::parse(line).expect("a history");
        let names = Names(&[0, 2]);
        Contradiction { history: &history, kind, key: Some("x"), places, expected, found, names: &names }.told()
    }

    fn place(transaction: u32, micro: u32, role: Role) -> Place {
        Place { transaction, micro, role }
    }

    /// A list that has a transaction's later append without its earlier one is no two lists.
    #[test]
    fn own_appends_out_of_order_have_words() {
        let places = [place(2, 0, Role::Read), place(0, 0, Role::Write), place(0, 1, Role::OverWrite)];
        assert_eq!(
            told("incompatible-order", &places, None, Some("[2]")),
            [
                "T1 appended 1 to key x, and after that appended 2 to key x",
                "yet T2 read [2] from key x, where the earlier of these does not stand before the later: a contradiction",
            ]
        );
    }

    #[test]
    fn what_is_not_as_its_kind_has_it_is_told_plainly() {
        let places = [
            place(2, 1, Role::Read),
            place(2, 0, Role::OtherRead),
            place(0, 0, Role::Write),
            place(0, 1, Role::OverWrite),
            place(0, 9, Role::AbortedWrite),
        ];
        for kind in ["of-a-later-version", "G0"] {
            assert_eq!(
                told(kind, &places, Some("[1]"), Some("[2]")),
                [
                    "T2 read [1,2] from key x",
                    "T2 read [2] from key x, which contradicts it",
                    "before that T1 appended 1 to key x",
                    "over that T1 appended 2 to key x",
                    "T1 did its micro-operation 9, and failed",
                    "[2] was found where [1] had to be",
                ]
            );
        }
        // A kind of which a part is missing, or that speaks of another history.
        for kind in AnomalyKind::ALL {
            assert_eq!(told(kind.as_str(), &[], None, None), Vec::<String>::new(), "{}", kind.as_str());
            let far = [place(77, 0, Role::Read), place(78, 0, Role::Write)];
            assert!(told(kind.as_str(), &far, None, Some("1")).len() == 3, "{}", kind.as_str());
        }
    }
}
