//! Plans from a file, for drivers that ran elsewhere, and named subsets of starts.

use crate::EvalError;
use crate::openloop::Start;
use crate::protocol::Protocol;
use apprentice_core::Trajectory;
use apprentice_core::sample::SampleId;
use apprentice_core::trajectory::HORIZON_STEPS;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A line of a file of plans (`docs/schemas/plan-1.json`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanLine {
    world: String,
    index: u32,
    waypoints: Vec<[f32; 2]>,
}

/// Plans by start.
pub type Plans = BTreeMap<SampleId, Trajectory>;

/// Read JSON lines `{"world": "…", "index": 0, "waypoints": [[x, y], … six]}`: metres in the ego frame of the start (x
/// forward, y left), half a second apart.
///
/// # Errors
/// Names the line that is not a plan, or repeats one.
pub fn read(file: &str, text: &str) -> Result<Plans, EvalError> {
    let mut plans = Plans::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = format!("line {}", i + 1);
        let wrong = |message: String| EvalError::field(file, &at, message);
        let line: PlanLine = crate::json::read_line(file, i + 1, line)?;
        let found = line.waypoints.len();
        let waypoints: [[f32; 2]; HORIZON_STEPS] = line
            .waypoints
            .try_into()
            .map_err(|_| wrong(format!("waypoints: expected {HORIZON_STEPS}, found {found}")))?;
        if !waypoints.iter().flatten().all(|v| v.is_finite()) {
            return Err(wrong("waypoints: expected finite numbers".into()));
        }
        let id = SampleId { world: line.world, index: line.index };
        if plans.contains_key(&id) {
            return Err(wrong(format!("{id} is planned twice")));
        }
        plans.insert(id, Trajectory(waypoints));
    }
    if plans.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(plans) }
}

/// Starts with their plans, and how many starts that the protocol judges have none.
///
/// # Errors
/// When a plan is for no start of the source.
pub fn join(
    file: &str,
    protocol: &Protocol,
    starts: Vec<Start>,
    plans: &Plans,
) -> Result<(Vec<Start>, Vec<Trajectory>, usize), EvalError> {
    let known: BTreeSet<&SampleId> = starts.iter().map(|start| &start.id).collect();
    if let Some(id) = plans.keys().find(|id| !known.contains(id)) {
        return Err(EvalError::field(file, id.to_string(), "is not a start of the source"));
    }
    let (planned, rest): (Vec<Start>, Vec<Start>) = starts.into_iter().partition(|start| plans.contains_key(&start.id));
    let unplanned = rest.iter().filter(|start| start.counts_in(protocol)).count();
    let trajectories = planned.iter().map(|start| plans[&start.id]).collect();
    Ok((planned, trajectories, unplanned))
}

/// Read subsets: `{"<name>": ["<world>#<index>", …]}`, such as a list of long-tail scenarios.
///
/// # Errors
/// When it is not such an object.
pub fn read_subsets(file: &str, text: &str) -> Result<BTreeMap<String, BTreeSet<String>>, EvalError> {
    let subsets: BTreeMap<String, BTreeSet<String>> = crate::json::read(file, text)?;
    if subsets.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(subsets) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_bad_ones_named() {
        let line = |index: u32, n: usize| {
            let points = vec!["[1.0, 0.5]"; n].join(", ");
            format!("{{\"world\": \"w\", \"index\": {index}, \"waypoints\": [{points}]}}")
        };
        let plans = read("f", &format!("{}\n\n{}\n", line(0, 6), line(1, 6))).unwrap();
        assert_eq!(plans.len(), 2);
        for (text, expected) in [
            (line(0, 5), "line 1: waypoints: expected 6, found 5"),
            (format!("{}\n{}", line(0, 6), line(0, 6)), "planned twice"),
            (line(0, 6).replace("0.5", "1e60"), "line 1"),
            (String::new(), "nothing to judge"),
        ] {
            let error = read("f", &text).unwrap_err().to_string();
            assert!(error.replace("`", "").contains(expected), "{error}");
        }
    }
}
