//! The circle in which a derivation ends, as steps of a cycle: what the last lines say goes from one transaction to the next and
//! back, so it can be drawn like a cycle of dependencies.

use schism_checkers::anomaly::{Dependency, Derived, Rule, Step};
use schism_history::{History, OpIndex};

use super::derivation::{begin_of_circle, read_place, write_place};
use super::operations::OPERATIONS_MAX;

/// The circle, each step with the place of the line that says it. `None` where the last lines make none, where it
/// rests on an assumption, and where it is too long to be drawn.
pub fn circle(history: &History, lines: &[Derived]) -> Option<Vec<(Step, usize)>> {
    let mut places = Vec::new();
    for place in begin_of_circle(lines)?..lines.len() {
        expand(lines, place, &mut places)?;
    }
    let steps = places.iter().map(|&place| Some((step(history, &lines[place])?, place)));
    let steps: Vec<(Step, usize)> = steps.collect::<Option<_>>()?;
    let is_joined = |place: usize| lines[places[place]].to == steps[(place + 1) % steps.len()].0.transaction;
    let is_once = |place: usize| steps[..place].iter().all(|(step, _)| step.transaction != steps[place].0.transaction);
    (steps.len() > 1 && (0..steps.len()).all(|place| is_joined(place) && is_once(place))).then_some(steps)
}

/// A line, or those that lead where it leads.
fn expand(lines: &[Derived], place: usize, places: &mut Vec<usize>) -> Option<()> {
    let line = lines.get(place)?;
    match line.rule {
        Rule::Follows => {
            for &earlier in &line.rests_on {
                // Lines rest on earlier ones, so this ends.
                expand(lines, usize::try_from(earlier).ok().filter(|&earlier| earlier < place)?, places)?;
            }
            (!line.rests_on.is_empty()).then_some(())
        }
        Rule::Process
        | Rule::Realtime
        | Rule::ReadsFrom
        | Rule::OverwrittenBefore
        | Rule::WrittenAfterRead
        | Rule::Versions => {
            places.push(place);
            (places.len() <= OPERATIONS_MAX).then_some(())
        }
        _ => None,
    }
}

fn step(history: &History, line: &Derived) -> Option<Step> {
    let (from, to) = (line.from?, line.to);
    let key = line.key.as_deref().unwrap_or_default();
    let read = |reader: OpIndex, writer: Option<OpIndex>| read_place(history, reader, key, writer);
    let write = |writer: OpIndex| write_place(history, writer, key);
    let (kind, from_micro, to_micro) = match line.rule {
        Rule::Process => ("process", None, None),
        Rule::Realtime => ("realtime", None, None),
        Rule::ReadsFrom => ("wr", write(from), read(to, Some(from))),
        Rule::WrittenAfterRead => ("rw", read(from, line.other), write(to)),
        _ => ("ww", write(from), write(to)),
    };
    let because = Dependency {
        kind: kind.to_owned(),
        key: line.key.clone(),
        from_micro: from_micro.map(|place| place as u32),
        to_micro: to_micro.map(|place| place as u32),
        ..Dependency::default()
    };
    Some(Step { transaction: from, because })
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    fn line(from: u32, to: u32, rule: Rule, other: Option<u32>, rests_on: &[u32]) -> Derived {
        let key = (!matches!(rule, Rule::Process | Rule::Realtime)).then(|| "x".to_owned());
        Derived { from: Some(from), to, key, rule, other, rests_on: rests_on.to_vec() }
    }

    /// Kind, transaction and micro-operations of a step, and its line.
    type Told = (String, u32, [Option<u32>; 2], usize);

    fn told(lines: &[Derived]) -> Option<Vec<Told>> {
        let text = r#"0:txn=[["w","y",9],["w","x",1]] 1:txn=[["w","x",2]] 2:txn=[["r","x",null],["r","x",1]] 3:txn=[["r","x",2],["w","x",3]]"#;
        let history = notation::parse(text).expect("a history");
        let steps = circle(&history, lines)?.into_iter();
        let told = steps.map(|(step, place)| {
            let because = step.because;
            (because.kind, step.transaction, [because.from_micro, because.to_micro], place)
        });
        Some(told.collect())
    }

    #[test]
    fn lines_become_steps_between_micro_operations() {
        let lines = [
            line(0, 4, Rule::ReadsFrom, None, &[]),
            line(4, 2, Rule::WrittenAfterRead, Some(0), &[]),
            line(2, 6, Rule::Versions, None, &[]),
            line(6, 0, Rule::Process, None, &[]),
        ];
        let expected = [
            ("wr", 0, [Some(1), Some(1)], 0),
            ("rw", 4, [Some(1), Some(0)], 1),
            ("ww", 2, [Some(0), Some(1)], 2),
            ("process", 6, [None, None], 3),
        ];
        let expected: Vec<Told> =
            expected.iter().map(|&(kind, from, micros, place)| (kind.to_owned(), from, micros, place)).collect();
        assert_eq!(told(&lines), Some(expected.clone()));
        // A line that follows from others stands for them.
        let follows = line(0, 2, Rule::Follows, None, &[0, 1]);
        let lines = [&lines[..2], &[follows], &lines[2..]].concat();
        let places: Vec<usize> = told(&lines).into_iter().flatten().map(|(.., place)| place).collect();
        assert_eq!(places, [0, 1, 3, 4]);
    }

    #[test]
    fn what_is_no_circle_is_none() {
        let realtime = |from, to| line(from, to, Rule::Realtime, None, &[]);
        let cases: [&[Derived]; 7] = [
            &[],
            &[realtime(0, 2)],
            &[realtime(0, 0)],
            &[realtime(0, 2), realtime(4, 0)],
            &[realtime(0, 2), line(2, 0, Rule::Otherwise, None, &[0])],
            &[line(0, 2, Rule::Follows, None, &[0]), realtime(2, 0)],
            &[realtime(4, 6), line(0, 2, Rule::Follows, None, &[0]), realtime(2, 0)],
        ];
        for lines in cases {
            assert_eq!(told(lines), None, "{lines:?}");
        }
    }
}
