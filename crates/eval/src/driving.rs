//! Closed-loop figures of a set of episodes with intervals, for tables: Bench2Drive's score over what was driven.

use crate::EvalError;
use crate::bench2drive::{Record, Score, score};
use crate::interval::{Clusters, Estimate, SEED};
use serde::{Deserialize, Serialize};

/// Closed-loop result of one driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrivingSummary {
    /// Driver.
    pub driver: String,
    /// Percent, over the routes driven, with its interval over routes.
    pub driving_score: Estimate,
    /// Fraction, over the routes driven.
    pub success_rate: Estimate,
    /// Bench2Drive's figures over the routes driven.
    pub score: Score,
    /// One per route driven.
    pub records: Vec<Record>,
}

impl DrivingSummary {
    /// Summarise the records of the routes that were driven; routes are their own clusters.
    ///
    /// # Errors
    /// When there is no record.
    pub fn of(driver: &str, records: Vec<Record>) -> Result<Self, EvalError> {
        let clusters = Clusters::new(records.iter().map(|r| r.route_id.as_str()));
        let composed: Vec<f64> = records.iter().map(|r| r.scores.score_composed).collect();
        let succeeded: Vec<f64> = records.iter().map(|r| f64::from(u8::from(r.succeeded()))).collect();
        let empty = || EvalError::Empty { what: format!("closed loop of {driver}") };
        Ok(Self {
            driver: driver.into(),
            driving_score: clusters.estimate(&composed, SEED).ok_or_else(empty)?,
            success_rate: clusters.estimate(&succeeded, SEED).ok_or_else(empty)?,
            score: score(driver, &records, records.len(), &|_| None)?,
            records,
        })
    }

    /// The records from worst to best: by score, then by completion, then by route.
    pub fn worst_first(&self) -> Vec<&Record> {
        let mut order: Vec<&Record> = self.records.iter().collect();
        order.sort_by(|a, b| {
            let by_score = a.scores.score_composed.total_cmp(&b.scores.score_composed);
            let by_route = a.scores.score_route.total_cmp(&b.scores.score_route);
            by_score.then(by_route).then_with(|| a.route_id.cmp(&b.route_id))
        });
        order
    }
}
