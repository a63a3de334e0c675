//! Verdicts as JSON: what `verdict.json` holds and `check --json` prints.
//!
//! `{"schema_version": 1, "valid": true | false | "unknown", "checkers": {"<name>": {"valid": ..., "anomaly_types": [...],
//! "anomalies": [...], "gaps": [...], "beyond": [...], "stats": {...}}}}`. `anomaly_types` names each kind of anomaly
//! once, in order of the alphabet. What follows from the lists (`valid`, `anomaly_types`) is not read back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::verdict::{Finding, Outcome, Verdict};

/// Version of the form.
pub const SCHEMA_VERSION: u64 = 1;

/// Why a text is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerdictError {
    /// Another version of the form.
    #[error(
        "the verdict has schema version {found}, and this program reads {SCHEMA_VERSION}; judge the run again with `schism check`"
    )]
    Version {
        /// Its version, as JSON.
        found: Json,
    },
    /// It does not have the form.
    #[error("not a verdict: {0}; judge the run again with `schism check`")]
    Form(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Written {
    checkers: BTreeMap<String, Finding>,
}

impl Outcome {
    /// `true`, `false` or `"unknown"`.
    pub fn to_json(self) -> Json {
        match self {
            Outcome::Valid => json!(true),
            Outcome::Unknown => json!("unknown"),
            Outcome::Invalid => json!(false),
        }
    }
}

impl Finding {
    /// As JSON.
    pub fn to_json(&self) -> Json {
        let kinds: BTreeSet<&str> = self.anomalies.iter().map(|anomaly| anomaly.kind.as_str()).collect();
        json!({
            "valid": self.outcome().to_json(),
            "anomaly_types": kinds,
            "anomalies": self.anomalies,
            "gaps": self.gaps,
            "beyond": self.beyond,
            "stats": self.stats,
        })
    }
}

impl Verdict {
    /// As JSON.
    pub fn to_json(&self) -> Json {
        let checkers: serde_json::Map<String, Json> =
            self.checkers.iter().map(|(name, finding)| (name.clone(), finding.to_json())).collect();
        json!({ "schema_version": SCHEMA_VERSION, "valid": self.outcome().to_json(), "checkers": checkers })
    }

    /// From JSON.
    ///
    /// # Errors
    /// When it is another version or has not the form.
    pub fn from_json(json: &Json) -> Result<Verdict, VerdictError> {
        match &json["schema_version"] {
            version if *version == json!(SCHEMA_VERSION) => {
                Ok(Verdict { checkers: Written::deserialize(json)?.checkers })
            }
            version => Err(VerdictError::Version { found: version.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use schism_history::{RunFacts, notation};

    use super::*;
    use crate::checker::{Budget, check_all};
    use crate::table::{CHECKERS, build};

    fn judged(line: &str) -> Verdict {
        // Whoever compares replicas has nothing to compare here, and there are no transactions.
        let judges = CHECKERS.iter().filter(|entry| entry.name != "replicas" && entry.data.is_none());
        let checkers: Vec<_> = judges.map(|entry| build(entry.name, None).unwrap()).collect();
        check_all(&checkers, &notation::parse(line).unwrap(), &RunFacts::default(), &Budget::default())
    }

    #[test]
    fn there_and_back() {
        for (line, valid) in [("0:w1 0:r1", json!(true)), ("0:w1 0:w2 0:r1", json!(false)), ("0:r!", json!("unknown"))]
        {
            let verdict = judged(line);
            let text = verdict.to_json().to_string();
            let json: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(json["valid"], valid, "{line}");
            assert_eq!(Verdict::from_json(&json).unwrap(), verdict, "{line}");
        }
    }

    #[test]
    fn the_form() {
        let json = judged("0@5:w1 0@5:r2").to_json();
        let linear = &json["checkers"]["linearizable"];
        assert_eq!(json["schema_version"], 1);
        assert_eq!((&linear["valid"], &linear["anomaly_types"]), (&json!(false), &json!(["nonlinearizable"])));
        let anomaly = json!({
            "type": "nonlinearizable", "key": "5",
            "witness": {
                "witness": "nonlinearizable", "model": "cas-register", "initial": "nil", "operations": [2],
                "exclusion": {"pattern": "value-never-written", "operations": [2]},
                "smallest": true, "blocked": 2, "failed_at": 3, "operations_count": 2,
                "paths": [{"placed": [], "illegal": [
                    {"operation": 2, "because": {"because": "state", "state": "nil", "observed": "2"}}]}],
            },
        });
        assert_eq!(linear["anomalies"], json!([anomaly]));
        assert_eq!((&linear["gaps"], &linear["beyond"]), (&json!([]), &json!([])));
    }

    #[test]
    fn what_is_no_verdict() {
        for (text, part) in [
            ("null", "schema version null"),
            ("{}", "schema version null"),
            (r#"{"schema_version":2}"#, "schema version 2"),
            (r#"{"schema_version":1}"#, "missing field `checkers`"),
            (r#"{"schema_version":1,"checkers":{"run":{"gaps":[{"gap":"x"}]}}}"#, "unknown variant `x`"),
            (r#"{"schema_version":1,"checkers":[]}"#, "not a verdict"),
        ] {
            let error = Verdict::from_json(&serde_json::from_str(text).unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
