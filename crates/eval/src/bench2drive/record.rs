//! Per-route records and the files that hold them.

use crate::EvalError;
use apprentice_core::infractions::{Infractions, Scores};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened on one route. Field names are Bench2Drive's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the run; merged files leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// `RouteScenario_<id>_rep<n>`.
    pub route_id: String,
    /// Scenario type and number, such as `ParkingCutIn_1`.
    pub scenario_name: String,
    /// Number of the weather preset, as text.
    #[serde(default)]
    pub weather_id: String,
    /// Name of the folder with the run's recordings.
    #[serde(default)]
    pub save_name: String,
    /// CARLA's town name.
    #[serde(default)]
    pub town_name: String,
    /// `Perfect`, `Completed` or `Failed - …`.
    pub status: String,
    /// Number of messages in `infractions`, low speed included.
    pub num_infractions: usize,
    /// Messages by kind.
    pub infractions: Infractions,
    /// Scores.
    pub scores: Scores,
    /// Lengths and times.
    pub meta: Meta,
}

/// Length in metres, durations in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Meta {
    pub route_length: f64,
    pub duration_game: f64,
    pub duration_system: f64,
}

/// The first `number%` of a message.
pub(super) fn percent_in(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (0..bytes.len()).find_map(|start| {
        if !bytes[start].is_ascii_digit() || (start > 0 && is_word(bytes[start - 1])) {
            return None;
        }
        let mut end = start;
        let mut dot_seen = false;
        while end < bytes.len() && (bytes[end].is_ascii_digit() || (bytes[end] == b'.' && !dot_seen)) {
            dot_seen |= bytes[end] == b'.';
            end += 1;
        }
        (bytes.get(end) == Some(&b'%')).then(|| text[start..end].parse().ok()).flatten()
    })
}

/// The factor that a route's infractions multiply its score by: that of its counted messages, and the share of the
/// completed distance driven outside the route's lanes, as its messages have it.
pub fn penalty_of(infractions: &Infractions) -> f64 {
    let inside = |text: &String| 1.0 - percent_in(text).unwrap_or(0.0) / 100.0;
    let inside: f64 = infractions.outside_route_lanes.iter().map(inside).product();
    infractions.penalty(1.0 - inside).max(0.0)
}

impl Record {
    /// The id of the route in the route file: the part between the underscores of `route_id`.
    pub fn route(&self) -> &str {
        self.route_id.split('_').nth(1).unwrap_or(&self.route_id)
    }

    /// Scenario type: the name without its number.
    pub fn scenario_type(&self) -> &str {
        match self.scenario_name.rsplit_once('_') {
            Some((kind, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => kind,
            _ => &self.scenario_name,
        }
    }

    /// Whether the route was completed without an infraction that counts.
    pub fn succeeded(&self) -> bool {
        matches!(self.status.as_str(), "Completed" | "Perfect") && self.infractions.counted() == 0
    }

    /// Mean of the percentages in the speed messages, those above 1000 dropped. `None` when nothing is left.
    pub fn efficiency(&self) -> Option<f64> {
        let kept: Vec<f64> = self
            .infractions
            .min_speed_infractions
            .iter()
            .filter_map(|t| percent_in(t))
            .filter(|p| *p <= 1000.0)
            .collect();
        (!kept.is_empty()).then(|| kept.iter().sum::<f64>() / kept.len() as f64)
    }

    /// Refuse values that no run writes.
    fn check(&self, file: &str, at: &str) -> Result<(), EvalError> {
        let bad = |field: &str, message: String| Err(EvalError::field(file, format!("{at}.{field}"), message));
        let parts: Vec<&str> = self.route_id.split('_').collect();
        if parts.len() < 2 || parts[1].is_empty() {
            return bad("route_id", format!("expected `RouteScenario_<id>_rep<n>`, found `{}`", self.route_id));
        }
        if !(matches!(self.status.as_str(), "Completed" | "Perfect") || self.status.starts_with("Failed")) {
            return bad("status", format!("expected `Perfect`, `Completed` or `Failed…`, found `{}`", self.status));
        }
        let Scores { score_route, score_penalty, score_composed } = self.scores;
        for (name, value, top) in [
            ("score_route", score_route, 100.0),
            ("score_penalty", score_penalty, 1.0),
            ("score_composed", score_composed, 100.0),
        ] {
            if !(0.0..=top).contains(&value) {
                return bad(&format!("scores.{name}"), format!("expected a number from 0 to {top}, found {value}"));
            }
        }
        if (score_route * score_penalty - score_composed).abs() > 1e-3 {
            return bad(
                "scores.score_composed",
                format!(
                    "expected score_route × score_penalty = {}, found {score_composed}",
                    score_route * score_penalty
                ),
            );
        }
        if self.infractions.total() != self.num_infractions {
            let message = format!(
                "expected {}, the number of messages, found {}",
                self.infractions.total(),
                self.num_infractions
            );
            return bad("num_infractions", message);
        }
        for (name, texts) in [
            ("min_speed_infractions", &self.infractions.min_speed_infractions),
            ("outside_route_lanes", &self.infractions.outside_route_lanes),
        ] {
            for (i, text) in texts.iter().enumerate() {
                if percent_in(text).is_none() {
                    return bad(&format!("infractions.{name}[{i}]"), format!("expected a percentage in `{text}`"));
                }
            }
        }
        Ok(())
    }
}

/// A result file: per-route records and what the file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultFile {
    /// Name for messages.
    pub file: String,
    /// One per route, in file order.
    pub records: Vec<Record>,
    /// `driving score`, as stated by a merged file.
    pub stated_driving_score: Option<f64>,
    /// `success rate`, as stated by a merged file.
    pub stated_success_rate: Option<f64>,
}

impl ResultFile {
    /// Parse and check a result file, merged or of one run.
    ///
    /// # Errors
    /// Names the first field that is missing, of the wrong type or impossible; a route that appears twice is refused.
    pub fn parse(file: &str, text: &str) -> Result<Self, EvalError> {
        let document: serde_json::Value = crate::json::read(file, text)?;
        let records = document
            .get("_checkpoint")
            .ok_or_else(|| match document.get("Overtaking") {
                Some(_) => {
                    EvalError::field(file, "_checkpoint", "missing: a table of abilities, made from a result file")
                }
                None => EvalError::field(file, "_checkpoint", "missing"),
            })?
            .get("records")
            .ok_or_else(|| EvalError::field(file, "_checkpoint.records", "missing"))?
            .as_array()
            .ok_or_else(|| EvalError::field(file, "_checkpoint.records", "expected a list"))?;
        let mut seen = BTreeMap::new();
        let mut parsed = Vec::with_capacity(records.len());
        for (i, value) in records.iter().enumerate() {
            let at = format!("_checkpoint.records[{i}]");
            let record = Record::deserialize(value).map_err(|e| EvalError::field(file, &at, e.to_string()))?;
            record.check(file, &at)?;
            if let Some(first) = seen.insert(record.route().to_string(), i) {
                let message = format!("route {} appears twice, first in records[{first}]", record.route());
                return Err(EvalError::field(file, format!("{at}.route_id"), message));
            }
            parsed.push(record);
        }
        let stated = |key: &str| match document.get(key) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(EvalError::field(file, key, "expected a number")),
            },
        };
        Ok(Self {
            file: file.into(),
            records: parsed,
            stated_driving_score: stated("driving score")?,
            stated_success_rate: stated("success rate")?,
        })
    }

    /// Read and parse a file.
    ///
    /// # Errors
    /// As [`ResultFile::parse`], and when it cannot be read.
    pub fn read(path: &std::path::Path) -> Result<Self, EvalError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| EvalError::Io { path: path.to_path_buf(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The document in Bench2Drive's merged layout, scored over `denominator` routes.
    pub fn to_json(records: &[Record], denominator: usize) -> serde_json::Value {
        let total: f64 = records.iter().map(|r| r.scores.score_composed).sum();
        let successes = records.iter().filter(|r| r.succeeded()).count();
        let over = denominator.max(1) as f64;
        serde_json::json!({
            "_checkpoint": { "records": records },
            "driving score": total / over,
            "success rate": successes as f64 / over,
            "eval num": records.len(),
        })
    }
}
