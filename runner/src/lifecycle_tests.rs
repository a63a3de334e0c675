//! What is told of a cluster before its run.

use schism_cluster::RemoteError;
use schism_cluster::script::{Log, said, scripted_cluster};
use schism_history::{Node, Seed};

use super::*;
use crate::exit::Exit;
use crate::plan::{self, GroundPlan, Overrides};
use crate::suite;

fn plan(faults: &str) -> Plan {
    let yaml = format!("database: {{etcd: {{}}}}\nworkload: {{register: {{}}}}\nnodes: 3\nfaults: {faults}\n");
    let suite = suite::parse("suite.yaml", &yaml, &[]).unwrap();
    let overrides = Overrides::default();
    plan::resolve("suite.yaml", &suite, GroundPlan::Namespaces, &overrides, Seed(1), String::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_a_probe_is_no_wrong_request() {
    let slow = |on: &str, command: &str| RemoteError::Deadline {
        node: Node::new(on),
        command: command.to_owned(),
        after: Duration::from_secs(30),
    };
    type Answers = fn(&Log);
    let not_there: Answers = |log| _ = log.on_node("n2", "command -v \"$tool\"", said("perl\n"));
    // What is asked, of whom it is asked in vain, what else is found out.
    let cases: &[(&str, &str, Answers, Exit, &[&str])] = &[
        (
            "[partition]",
            "command -v \"$tool\"",
            |_| {},
            Exit::Unavailable,
            &[
                "`partition` can be done here is not known: asked for the programs of the probes: on node n3",
                "within 30000 ms",
            ],
        ),
        (
            "[partition]",
            "nft list",
            |_| {},
            Exit::Unavailable,
            &["asked for its packet filter: on node n3", "`schism doctor`"],
        ),
        ("[cpu-hog]", "agent hello", |_| {}, Exit::Unavailable, &["asked for schism itself there: on node n3"]),
        // What some node lacks is known, whatever the other would say.
        ("[partition]", "command -v \"$tool\"", not_there, Exit::Usage, &["cannot be done here: node n2 has no perl"]),
        ("[partition]", "nothing of this", not_there, Exit::Usage, &["cannot be done here: node n2 has no perl"]),
    ];
    for (faults, asked, answers, exit, expected) in cases {
        let plan = plan(faults);
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        answers(&log);
        let in_vain = (*asked).to_owned();
        log.with(move |node, command| {
            let silent = node.as_str() == "n3" && command.script.contains(&in_vain);
            silent.then(|| Err(slow("n3", &schism_cluster::remote::shortened(&command.script, 60))))
        });
        log.on("echo nft", said("nft\n")).on("agent hello", said("/run/schism/agent/schism\n"));
        let database = schism_tests_suites::build(&plan.database).unwrap();
        let error = bring_up(&plan, &cluster, &database).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.exit(), *exit, "{faults}, {asked}: {text}");
        expected.iter().for_each(|part| assert!(text.contains(part), "{faults}, {asked}: {text}"));
    }
}
