//! What the terminal shows, and what the folder keeps.

use super::*;
use crate::commands::matrix::expect::{self, Expectation};
use crate::commands::matrix::support::matrix;

fn expected(verdict: &str) -> Option<Expectation> {
    let yaml = format!("- {{suite: etcd/register, verdict: {verdict}, reason: so it is}}");
    Some(expect::parse("e", &yaml).expect("good").remove(0))
}

fn all() -> Matrix {
    let mut all = matrix(&[
        Some(Exit::Valid),
        Some(Exit::Anomaly),
        Some(Exit::Anomaly),
        Some(Exit::Valid),
        Some(Exit::Unavailable),
        None,
    ]);
    for (place, row) in all.runs.iter_mut().enumerate() {
        if let Some(end) = &mut row.end {
            (end.faults_landed, end.faults_tried, end.duration_ms) = (3, 4, 61_400);
            end.run = Some(format!("00{}/run", place + 1));
        }
    }
    all.runs[2].expected = expected("invalid");
    all.runs[3].expected = expected("invalid");
    all.runs[4].end.as_mut().expect("an end").message = Some("node n1 does not answer".to_owned());
    all.runs[5].cell.faults = vec!["dns".to_owned()];
    all.runs[5].cell.suite = "a suite of a name that is much too long for any column of a terminal".to_owned();
    all
}

#[test]
fn rows_say_what_how_and_where() {
    let all = all();
    let widths = Widths::of(&all);
    let lines: Vec<String> = all.runs.iter().map(|row| row_lines(row, &widths, 6, "runs/m")).collect();
    let part = |line: usize, words: &[&str]| {
        for word in words {
            assert!(lines[line].contains(word), "row {line} should say {word}: {}", lines[line]);
        }
    };
    part(0, &["1/6  etcd/register ", "kill,pause", "seed 1", "valid  61 s  3/4 faults  runs/m/001/run\n"]);
    part(1, &["anomaly found (linearizable: nonlinearizable)  61 s"]);
    part(2, &["(linearizable: nonlinearizable), as expected", "\n     expected: so it is\n"]);
    part(3, &["valid, NOT as expected", "\n     expected invalid, found valid: so it is\n"]);
    part(4, &["nodes or database unavailable", "\n     node n1 does not answer\n"]);
    part(5, &["too long for…", "dns", "not run\n"]);
    let starts: Vec<Option<usize>> =
        lines.iter().map(|line| line.split_once("seed ").map(|(before, _)| before.chars().count())).collect();
    assert!(starts.windows(2).all(|pair| pair[0] == pair[1]), "columns stand below each other: {starts:?}");
}

#[test]
fn the_summary_counts_each_run_once() {
    let text = summary(&all(), "runs/m");
    let counted: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.is_empty()).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(counted[0][..3], ["suite", "workload", "faults"]);
    assert_eq!(counted[1][2..], ["kill,pause", "5", "1", "1", "1", "0", "2", "0"]);
    assert_eq!(counted[2][counted[2].len() - 7..], ["1", "0", "0", "0", "0", "0", "1"]);
    assert_eq!(counted[3], ["all", "6", "1", "1", "1", "0", "2", "1"]);
    assert!(text.contains("Together anomaly found (exit 1)"), "{text}");
    assert!(text.contains("schism matrix --resume runs/m"), "{text}");
    let done = summary(&matrix(&[Some(Exit::Valid)]), "runs/m");
    assert!(!done.contains("--resume") && !done.contains("all "), "{done}");
}

#[test]
fn a_matrix_is_written_and_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = all();
    all.write(folder.path()).expect("written");
    assert_eq!(Matrix::read(folder.path()).expect("read"), all);
    let text = std::fs::read_to_string(folder.path().join("matrix.json")).expect("a file");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&json["exit"], &json["schema_version"]), (&1.into(), &1.into()));
    let counts =
        |place: usize| (&json["runs"][place]["counts_as"]["exit"], &json["runs"][place]["counts_as"]["standing"]);
    assert_eq!(counts(2), (&0.into(), &"expected".into()));
    assert_eq!(counts(3), (&1.into(), &"unexpected".into()));
    assert_eq!(counts(5), (&130.into(), &"as-it-ended".into()));
    assert_eq!(json["runs"][1]["end"]["valid"], false);
    let other = text.replace("\"schema_version\": 1", "\"schema_version\": 2");
    std::fs::write(folder.path().join("matrix.json"), other).expect("a file");
    let error = Matrix::read(folder.path()).expect_err("another version");
    assert_eq!(error.exit(), Exit::Malformed, "{error}");
    let nothing = Matrix::read(&folder.path().join("nowhere")).expect_err("no folder");
    assert!(nothing.to_string().contains("it has no matrix.json"), "{nothing}");
}
