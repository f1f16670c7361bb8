//! What a run reports: per route what happened, over all the scores of what was driven.

use apprentice_eval::bench2drive::{Meta, Record};
use apprentice_sim::criteria;
use serde::{Deserialize, Serialize};

/// What became of one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Route id.
    pub id: String,
    /// Town.
    pub town: String,
    /// Scenario name, such as `Accident_1`.
    pub scenario: String,
    /// `Perfect`, `Completed`, `Failed - …`, or `Skipped`.
    pub status: String,
    /// Why it was skipped or broke off; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Percent; absent when skipped.
    pub driving_score: Option<f64>,
    /// Completed without an infraction that counts; absent when skipped.
    pub success: Option<bool>,
    /// The full record, as in the result file; absent when skipped.
    pub record: Option<Record>,
    /// Simulated ticks.
    pub ticks: u32,
    /// Hash over the state hashes of all ticks, hexadecimal: equal runs have equal ones.
    pub state_hash: String,
    /// Plans made.
    pub plans: u32,
    /// Wall-clock milliseconds per plan, cameras included (volatile).
    pub ms_per_plan: Option<f64>,
}

impl Entry {
    /// A route that was not driven.
    pub fn skipped(id: &str, town: &str, scenario: &str, reason: String) -> Self {
        Self {
            id: id.into(),
            town: town.into(),
            scenario: scenario.into(),
            status: "Skipped".into(),
            reason: Some(reason),
            driving_score: None,
            success: None,
            record: None,
            ticks: 0,
            state_hash: String::new(),
            plans: 0,
            ms_per_plan: None,
        }
    }

    /// Whether it was driven.
    pub fn was_driven(&self) -> bool {
        self.record.is_some()
    }
}

/// A run's figures. Scores are over the driven routes only, and `driven` says how many those are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriveReport {
    /// Version of this layout.
    pub schema: String,
    /// Who drove.
    pub driver: String,
    /// Seed.
    pub seed: u64,
    /// Percent, mean over the driven routes.
    pub driving_score: f64,
    /// Fraction of the driven routes.
    pub success_rate: f64,
    /// Mean completion of the driven routes, percent.
    pub route_completion: f64,
    /// Routes asked for.
    pub routes: usize,
    /// Routes driven.
    pub driven: usize,
    /// Routes skipped.
    pub skipped: usize,
    /// Reasons of the skipped, with counts, by reason.
    pub skipped_reasons: Vec<(String, usize)>,
    /// Bench2Drive's driving efficiency over the driven routes; none without traffic to compare with.
    pub efficiency: Option<f64>,
    /// Wall-clock milliseconds per plan over all routes (volatile).
    pub ms_per_plan: Option<f64>,
    /// Every route, in the file's order.
    pub entries: Vec<Entry>,
}

/// Name and version of [`DriveReport`]'s layout.
pub const SCHEMA: &str = "apprentice.drive/1";

impl DriveReport {
    /// Figures of entries.
    pub fn new(driver: &str, seed: u64, entries: Vec<Entry>) -> Self {
        let driven: Vec<&Record> = entries.iter().filter_map(|e| e.record.as_ref()).collect();
        let over = driven.len().max(1) as f64;
        let mean = |f: &dyn Fn(&Record) -> f64| driven.iter().map(|r| f(r)).sum::<f64>() / over;
        let efficiencies: Vec<f64> = driven.iter().filter_map(|r| r.efficiency()).collect();
        let mut reasons: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        for entry in entries.iter().filter(|e| !e.was_driven()) {
            *reasons.entry(entry.reason.clone().unwrap_or_default()).or_default() += 1;
        }
        let plans: u32 = entries.iter().map(|e| e.plans).sum();
        let plan_ms: f64 = entries.iter().filter_map(|e| e.ms_per_plan.map(|ms| ms * f64::from(e.plans))).sum();
        Self {
            schema: SCHEMA.into(),
            driver: driver.into(),
            seed,
            driving_score: mean(&|r| r.scores.score_composed),
            success_rate: mean(&|r| f64::from(u8::from(r.succeeded()))),
            route_completion: mean(&|r| r.scores.score_route),
            routes: entries.len(),
            driven: driven.len(),
            skipped: entries.len() - driven.len(),
            skipped_reasons: reasons.into_iter().collect(),
            efficiency: (!efficiencies.is_empty())
                .then(|| efficiencies.iter().sum::<f64>() / efficiencies.len() as f64),
            ms_per_plan: (plan_ms > 0.0).then(|| plan_ms / f64::from(plans.max(1))),
            entries,
        }
    }

    /// The records of the driven routes, for result files.
    pub fn records(&self) -> Vec<Record> {
        self.entries.iter().filter_map(|e| e.record.clone()).collect()
    }
}

/// The record of an episode.
pub(crate) fn record(
    job: &crate::Job,
    index: usize,
    criteria: &criteria::Criteria,
    status: &str,
    wall_s: f64,
) -> Record {
    let round = |x: f64| (x * 1e3).round() / 1e3;
    let route_id = format!("RouteScenario_{}_rep0", job.id);
    Record {
        index: Some(index as u32),
        save_name: format!("{route_id}_{}_{}", job.town, job.scenario),
        route_id,
        scenario_name: job.scenario.clone(),
        weather_id: String::new(),
        town_name: job.town.clone(),
        status: status.into(),
        num_infractions: criteria.infractions().total(),
        infractions: criteria.infractions().clone(),
        scores: criteria.scores(),
        meta: Meta {
            route_length: round(job.route.length_m),
            duration_game: round(criteria.duration_s()),
            duration_system: round(wall_s),
        },
    }
}
