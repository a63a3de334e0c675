//! What a ground cannot do, known from its kind alone: before a lab is made, and before any node is reached.
//!
//! Covered are the abilities of grounds. What only a node can tell (a kernel's modules, say) is asked when nodes are there
//! ([`schism_nemesis::check_needs`]).

use schism_cluster::Ability;
use schism_lab::LabKind;
use schism_nemesis::{FaultSpec, Need};
use serde::{Deserialize, Serialize};

use crate::plan::GroundPlan;

/// A class of fault that a run leaves out, as its ground cannot do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub class: String,
    /// Why.
    pub reason: String,
}

/// Those that this ground may be able to do, in their order, and those that it certainly is not.
pub fn sorted(faults: Vec<FaultSpec>, ground: &GroundPlan) -> (Vec<FaultSpec>, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let mut possible = faults;
    possible.retain(|fault| on(ground, fault).map_err(|why| left_out.push(why)).is_ok());
    (possible, left_out)
}

/// With the usual amounts made to fit: a lab's machine has less memory than `memory-pressure` usually leaves. What a suite says
/// otherwise stays.
pub fn fitted(fault: FaultSpec, ground: &GroundPlan) -> FaultSpec {
    let usual =
        |name: &str| FaultSpec::named(fault.class()).is_some_and(|usual| usual.values(name) == fault.values(name));
    if ground.is_of_machines() && fault.class() == "memory-pressure" && usual("leave") {
        return fault.clone().with("leave", &[serde_json::json!("128MiB")]).unwrap_or(fault);
    }
    fault
}

/// Whether this ground may be able to do a fault.
///
/// # Errors
/// What it lacks.
pub fn on(ground: &GroundPlan, fault: &FaultSpec) -> Result<(), LeftOut> {
    match fault.needs().iter().find_map(|need| lacking(need, ground)) {
        None => Ok(()),
        Some(ability) => {
            let reason = format!("a ground of {} cannot {ability}", spoken(ground));
            Err(LeftOut { class: fault.class().to_owned(), reason })
        }
    }
}

/// The ability that the need asks for and the ground has not.
fn lacking(need: &Need, ground: &GroundPlan) -> Option<Ability> {
    match need {
        Need::Ground(ability) => (!may(ground, *ability)).then_some(*ability),
        Need::AnyOf(needs) => {
            let lacks: Option<Vec<Ability>> = needs.iter().map(|need| lacking(need, ground)).collect();
            lacks.and_then(|lacks| lacks.first().copied())
        }
        _ => None,
    }
}

/// Whether grounds of this kind can do that, some of them at least.
fn may(ground: &GroundPlan, ability: Ability) -> bool {
    let lab = match ground {
        GroundPlan::Namespaces => LabKind::Namespaces,
        GroundPlan::Vms => LabKind::Vms,
        GroundPlan::Lab { kind, .. } => *kind,
        GroundPlan::Machines { .. } => return false,
    };
    match lab {
        LabKind::Namespaces => true,
        LabKind::Vms => matches!(ability, Ability::Power | Ability::Freeze),
    }
}

fn spoken(ground: &GroundPlan) -> &'static str {
    match ground.name() {
        "vms" => "virtual machines",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(ground: &GroundPlan) -> (usize, Vec<String>) {
        let all: Vec<FaultSpec> =
            schism_nemesis::FAULTS.iter().filter_map(|entry| FaultSpec::named(entry.name)).collect();
        let (possible, left_out) = sorted(all, ground);
        assert_eq!(possible.len() + left_out.len(), schism_nemesis::FAULTS.len());
        (possible.len(), left_out.into_iter().map(|one| one.class).collect())
    }

    #[test]
    fn machines_have_less_memory() {
        let spec = |text: serde_json::Value| -> FaultSpec { serde_json::from_value(text).expect("a fault") };
        let (usual, told) = (
            spec(serde_json::json!("memory-pressure")),
            spec(serde_json::json!({"memory-pressure": {"leave": "64MiB"}})),
        );
        assert_eq!(fitted(usual.clone(), &GroundPlan::Namespaces), usual);
        assert_eq!(fitted(usual.clone(), &GroundPlan::Vms).values("leave"), [serde_json::json!(128 << 20)]);
        assert_eq!(fitted(told.clone(), &GroundPlan::Vms), told);
    }

    #[test]
    fn each_ground_names_what_it_cannot() {
        assert_eq!(classes(&GroundPlan::Namespaces).1, [""; 0]);
        assert_eq!(classes(&GroundPlan::Vms).1, ["hold"]);
        let lab = GroundPlan::Lab { id: "l1".into(), kind: LabKind::Vms, names: Vec::new() };
        assert_eq!(classes(&lab).1, ["hold"]);
        let machines = GroundPlan::Machines { inventory: serde_json::Value::Null, names: Vec::new() };
        assert_eq!(classes(&machines).1, ["hold", "power-cut", "freeze"]);
        let why = on(&machines, &FaultSpec::named("freeze").expect("it is there")).expect_err("nobody freezes those");
        assert_eq!(why.reason, "a ground of machines cannot freeze a whole node");
    }
}
