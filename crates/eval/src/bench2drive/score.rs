//! From records to the table's figures.

use super::record::{Record, ResultFile, penalty_of};
use super::{Abilities, ROUTES};
use crate::EvalError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.bench2drive-score/1";

/// The score of one result file. Serialises to the document of `apprentice score bench2drive --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// [`SCHEMA`].
    pub schema: String,
    /// The file.
    pub file: String,
    /// Version of the benchmark, 0.0.3 or 0.0.4.
    #[serde(default = "first_version")]
    pub benchmark: String,
    /// Percent, over `routes`.
    pub driving_score: f64,
    /// Routes completed without an infraction that counts.
    pub successes: usize,
    /// Fraction, over `routes`.
    pub success_rate: f64,
    /// The denominator: 220 for a published file.
    pub routes: usize,
    /// Routes the file has a record of; the others count zero.
    pub records: usize,
    /// Percent of the surrounding traffic's speed; `None` when no route has a usable speed message.
    pub efficiency: Option<f64>,
    /// Routes that entered `efficiency`.
    pub efficiency_routes: usize,
    /// Mean over the records of the share of comfortable stretches; `None` without per-tick files.
    #[serde(default)]
    pub comfort: Option<f64>,
    /// By ability.
    pub abilities: Abilities,
    /// Mean route completion over the records, percent.
    pub route_completion: Option<f64>,
    /// Messages by kind, divided by the number of records.
    pub infractions_per_route: BTreeMap<String, f64>,
    /// Successes and records by scenario type.
    pub by_scenario: BTreeMap<String, Tally>,
    /// What the file says of itself and its records do not bear out.
    pub warnings: Vec<String>,
}

fn first_version() -> String {
    super::VERSIONS[0].into()
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Successes.
    pub successes: usize,
    /// Records.
    pub records: usize,
}

/// Score records over `routes` routes (220 for the benchmark; for a part of it, the routes that were driven).
///
/// `past_junction` is as in [`Abilities::of`].
///
/// # Errors
/// When there are more records than routes.
pub fn score(
    file: &str,
    records: &[Record],
    routes: usize,
    past_junction: &dyn Fn(&str) -> Option<f64>,
) -> Result<Score, EvalError> {
    if records.len() > routes {
        let message = format!("expected at most {routes} routes, found {}", records.len());
        return Err(EvalError::field(file, "_checkpoint.records", message));
    }
    if routes == 0 {
        return Err(EvalError::Empty { what: file.into() });
    }
    let total: f64 = records.iter().map(|r| r.scores.score_composed).sum();
    let successes = records.iter().filter(|r| r.succeeded()).count();
    let efficiencies: Vec<f64> = records.iter().filter_map(Record::efficiency).collect();
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let mut by_scenario: BTreeMap<String, Tally> = BTreeMap::new();
    let mut infractions_per_route: BTreeMap<String, f64> = BTreeMap::new();
    for record in records {
        let tally = by_scenario.entry(record.scenario_type().into()).or_default();
        tally.records += 1;
        tally.successes += usize::from(record.succeeded());
        for (kind, texts) in record.infractions.by_kind() {
            *infractions_per_route.entry(kind.into()).or_default() += texts.len() as f64;
        }
    }
    infractions_per_route.values_mut().for_each(|count| *count /= records.len() as f64);
    Ok(Score {
        schema: SCHEMA.into(),
        file: file.into(),
        benchmark: first_version(),
        driving_score: total / routes as f64,
        successes,
        success_rate: successes as f64 / routes as f64,
        routes,
        records: records.len(),
        efficiency: mean(&efficiencies),
        efficiency_routes: efficiencies.len(),
        comfort: None,
        abilities: Abilities::of(records, past_junction),
        route_completion: mean(&records.iter().map(|r| r.scores.score_route).collect::<Vec<_>>()),
        infractions_per_route,
        by_scenario,
        warnings: warnings(records),
    })
}

/// Records that contradict themselves in ways that published files do.
fn warnings(records: &[Record]) -> Vec<String> {
    let mut found = Vec::new();
    for record in records {
        let expected = penalty_of(&record.infractions);
        let stored = record.scores.score_penalty;
        if (expected - stored).abs() > 2e-3 {
            found.push(format!("route {}: score_penalty is {stored}, its messages give {expected:.6}", record.route()));
        }
        if record.efficiency().is_none() && !record.infractions.min_speed_infractions.is_empty() {
            found
                .push(format!("route {}: every speed message is above 1000 %, left out of efficiency", record.route()));
        }
    }
    found
}

/// Score a published result file over the benchmark's 220 routes, without maps.
///
/// # Errors
/// As [`ResultFile::read`] and [`score`].
pub fn score_file(path: &Path) -> Result<Score, EvalError> {
    score_parsed(&ResultFile::read(path)?)
}

/// [`score_file`] on text.
///
/// # Errors
/// As [`ResultFile::parse`] and [`score`].
pub fn score_text(file: &str, text: &str) -> Result<Score, EvalError> {
    score_parsed(&ResultFile::parse(file, text)?)
}

fn score_parsed(result: &ResultFile) -> Result<Score, EvalError> {
    let mut scored = score(&result.file, &result.records, ROUTES, &|_| None)?;
    for (name, stated, found) in [
        ("driving score", result.stated_driving_score, scored.driving_score),
        ("success rate", result.stated_success_rate, scored.success_rate),
    ] {
        if let Some(stated) = stated.filter(|s| (s - found).abs() > 1e-6) {
            scored.warnings.push(format!("the file states `{name}` {stated}, its records over {ROUTES} give {found}"));
        }
    }
    Ok(scored)
}
