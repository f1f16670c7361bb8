//! A planning result: judged plans, their means with intervals, in all and by tier and family. Serialises to
//! `docs/schemas/planning-1.json`.

use crate::EvalError;
use crate::interval::{Clusters, Estimate, SEED};
use crate::openloop::{Judged, Start, judge};
use crate::protocol::Protocol;
use apprentice_core::Trajectory;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.planning/1";

/// Which protocol, by name and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRef {
    /// Name.
    pub name: String,
    /// Hash of its file.
    pub hash: String,
}

/// What was judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Driver or arm.
    pub driver: String,
    /// Source, as on the command line.
    pub data: String,
    /// Hash of the data or its split file; empty when it has none.
    pub data_hash: String,
    /// Seed of training, where there was any.
    pub seed: Option<u64>,
    /// Trained parameters, where there are any.
    pub parameters: Option<u64>,
    /// Median milliseconds from observation to plan (varies between runs).
    pub ms_per_frame: Option<f64>,
    /// `synthetic` where a recording without pictures was rendered for the driver: real behaviour, synthetic pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<String>,
}

/// Means of a group of starts, each at or up to 1, 2 and 3 s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Name of the group: `all`, a tier or a family.
    pub name: String,
    /// Starts in it.
    pub starts: usize,
    /// Worlds they come from.
    pub worlds: usize,
    /// Metres.
    pub l2_at_t: [Estimate; 3],
    /// Metres.
    pub l2_avg_to_t: [Estimate; 3],
    /// Fraction.
    pub collision_at_t: [Estimate; 3],
    /// Fraction.
    pub collision_avg_to_t: [Estimate; 3],
    /// Fraction of starts with a collision at any step.
    pub collision_any: Estimate,
    /// Metres to the nearest object over the plan.
    pub min_gap_m: Estimate,
    /// Mean of the three entries of `l2_avg_to_t`, metres.
    pub l2_mean: Estimate,
    /// Steps excluded because the recorded ego itself collides.
    pub excluded_steps: usize,
    /// Fraction of starts whose box touches an edge of the road at 1, 2, 3 s; `None` unless every start has a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_road_at_t: Option<[Estimate; 3]>,
    /// The same, averaged up to 1, 2, 3 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_road_avg_to_t: Option<[Estimate; 3]>,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanningResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// Under which protocol.
    pub protocol: ProtocolRef,
    /// What was judged.
    #[serde(flatten)]
    pub subject: Subject,
    /// Judged starts.
    pub starts: usize,
    /// Moments of the source that the protocol does not judge.
    pub left_out: usize,
    /// Mean L2 at 1, 2, 3 s, metres.
    pub l2_at_t: [f64; 3],
    /// Mean L2 averaged up to 1, 2, 3 s, metres.
    pub l2_avg_to_t: [f64; 3],
    /// Collision rate at 1, 2, 3 s.
    pub collision_at_t: [f64; 3],
    /// Collision rate averaged up to 1, 2, 3 s.
    pub collision_avg_to_t: [f64; 3],
    /// All starts, with intervals.
    pub all: Group,
    /// By tier, where the source has tiers.
    pub tiers: Vec<Group>,
    /// By family.
    pub families: Vec<Group>,
    /// Subsets of the recorded drives ([`Start::subsets`]) and those of a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subsets: Vec<Group>,
    /// Starts that the protocol judges and that had no plan; they are in no figure.
    #[serde(default)]
    pub unplanned: usize,
    /// Every judged start, for paired comparison; may be left out of a printed document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Judged>,
}

/// Judge a plan per start. `plans` are in the order of `starts`; `source` picks the ego's box.
///
/// # Errors
/// When the numbers differ, a plan is not finite, or no start counts under the protocol.
pub fn evaluate(
    protocol: &Protocol,
    source: &str,
    subject: Subject,
    starts: &[Start],
    plans: &[Trajectory],
) -> Result<PlanningResult, EvalError> {
    let file = subject.driver.as_str();
    if starts.len() != plans.len() {
        let message = format!("expected one for each of {} starts, found {}", starts.len(), plans.len());
        return Err(EvalError::field(file, "plans", message));
    }
    let ego = protocol.ego_box(source)?;
    let mut rows = Vec::new();
    for (start, plan) in starts.iter().zip(plans).filter(|(start, _)| start.counts_in(protocol)) {
        if plan.0.iter().flatten().any(|v| !v.is_finite()) {
            return Err(EvalError::field(file, format!("plans[{}]", start.id), "a waypoint is not a finite number"));
        }
        rows.push(judge(protocol, ego, start, plan));
    }
    let left_out = starts.len() - rows.len();
    summarise(protocol, subject, rows, left_out)
}

/// The document of judged rows.
///
/// # Errors
/// When there are none.
pub fn summarise(
    protocol: &Protocol,
    subject: Subject,
    rows: Vec<Judged>,
    left_out: usize,
) -> Result<PlanningResult, EvalError> {
    let everyone: Vec<&Judged> = rows.iter().collect();
    let all = group("all", &everyone).ok_or_else(|| EvalError::Empty { what: subject.data.clone() })?;
    let means = |estimates: &[Estimate; 3]| estimates.map(|e| e.mean);
    Ok(PlanningResult {
        schema: SCHEMA.into(),
        protocol: ProtocolRef { name: protocol.name.clone(), hash: protocol.hash.clone() },
        starts: rows.len(),
        left_out,
        l2_at_t: means(&all.l2_at_t),
        l2_avg_to_t: means(&all.l2_avg_to_t),
        collision_at_t: means(&all.collision_at_t),
        collision_avg_to_t: means(&all.collision_avg_to_t),
        tiers: groups(&everyone, |row| &row.tier, tier_rank),
        families: groups(&everyone, |row| &row.family, |_| 0),
        subsets: subsets(&everyone),
        unplanned: 0,
        all,
        subject,
        rows,
    })
}

/// Tiers in the order of the proving ground, anything else after them.
pub fn tier_rank(name: &str) -> usize {
    let tiers = apprentice_core::sample::Tier::ALL;
    tiers.iter().position(|t| t.name() == name).unwrap_or(tiers.len())
}

fn groups<'a>(rows: &[&'a Judged], key: impl Fn(&'a Judged) -> &'a String, rank: fn(&str) -> usize) -> Vec<Group> {
    let mut by_name: BTreeMap<(usize, &str), Vec<&Judged>> = BTreeMap::new();
    for row in rows {
        let name = key(row).as_str();
        if !name.is_empty() {
            by_name.entry((rank(name), name)).or_default().push(row);
        }
    }
    by_name.iter().filter_map(|((_, name), members)| group(name, members)).collect()
}

fn subsets(rows: &[&Judged]) -> Vec<Group> {
    let mut names: Vec<&String> = rows.iter().flat_map(|row| &row.subsets).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &&String| {
        group(name, &rows.iter().filter(|row| row.subsets.contains(name)).copied().collect::<Vec<_>>())
    };
    names.iter().filter_map(of).collect()
}

fn group(name: &str, rows: &[&Judged]) -> Option<Group> {
    let clusters = Clusters::new(rows.iter().map(|row| row.id.world.as_str()));
    // 21 columns: six metrics at three horizons, then the three of the whole plan.
    let triples: [fn(&Judged) -> [f64; 3]; 6] = [
        Judged::l2_at_t,
        Judged::l2_avg_to_t,
        Judged::collision_at_t,
        Judged::collision_avg_to_t,
        Judged::off_road_at_t,
        Judged::off_road_avg_to_t,
    ];
    let mapped = rows.iter().all(|row| row.off_road.is_some());
    let mut columns: Vec<Vec<f64>> = Vec::with_capacity(21);
    for metric in triples {
        let values: Vec<[f64; 3]> = rows.iter().map(|row| metric(row)).collect();
        columns.extend((0..3).map(|i| values.iter().map(|v| v[i]).collect::<Vec<f64>>()));
    }
    columns.push(rows.iter().map(|row| row.collision_any()).collect());
    columns.push(rows.iter().map(|row| row.min_gap_m).collect());
    columns.push(rows.iter().map(|row| row.l2_avg_to_t().iter().sum::<f64>() / 3.0).collect());
    let borrowed: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let estimates: Vec<Estimate> = clusters.estimates(&borrowed, SEED).into_iter().collect::<Option<_>>()?;
    let three = |i: usize| [estimates[3 * i], estimates[3 * i + 1], estimates[3 * i + 2]];
    Some(Group {
        name: name.into(),
        starts: rows.len(),
        worlds: clusters.count(),
        l2_at_t: three(0),
        l2_avg_to_t: three(1),
        collision_at_t: three(2),
        collision_avg_to_t: three(3),
        collision_any: estimates[18],
        min_gap_m: estimates[19],
        l2_mean: estimates[20],
        off_road_at_t: mapped.then(|| three(4)),
        off_road_avg_to_t: mapped.then(|| three(5)),
        excluded_steps: rows.iter().map(|row| row.excluded.iter().filter(|x| **x).count()).sum(),
    })
}

impl PlanningResult {
    /// Add the groups of named subsets of starts (`world#index`).
    ///
    /// # Errors
    /// When a subset names no judged start.
    pub fn add_subsets(&mut self, file: &str, named: &BTreeMap<String, BTreeSet<String>>) -> Result<(), EvalError> {
        for (name, ids) in named {
            let mut found = 0;
            for row in self.rows.iter_mut().filter(|row| ids.contains(&row.id.to_string())) {
                row.subsets.push(name.clone());
                found += 1;
            }
            if found == 0 {
                return Err(EvalError::field(file, name, "names no judged start"));
            }
        }
        self.subsets = subsets(&self.rows.iter().collect::<Vec<_>>());
        Ok(())
    }

    /// The document without its rows, for printing.
    pub fn brief(&self) -> Self {
        Self { rows: Vec::new(), ..self.clone() }
    }

    /// Parse a result file, checking its schema.
    ///
    /// # Errors
    /// When it is not a result of this kind and version: names the field.
    pub fn parse(file: &str, text: &str) -> Result<Self, EvalError> {
        let document: serde_json::Value = crate::json::read(file, text)?;
        match document.get("schema").and_then(|s| s.as_str()) {
            Some(SCHEMA) => {}
            other => {
                let message = format!("expected `{SCHEMA}`, found {}", other.unwrap_or("nothing"));
                return Err(EvalError::field(file, "schema", message));
            }
        }
        let mut fields = Fields { file, document };
        Ok(Self {
            schema: fields.take("schema")?,
            protocol: fields.take("protocol")?,
            subject: Subject {
                driver: fields.take("driver")?,
                data: fields.take("data")?,
                data_hash: fields.take("data_hash")?,
                seed: fields.take("seed")?,
                parameters: fields.take("parameters")?,
                ms_per_frame: fields.take("ms_per_frame")?,
                pixels: fields.take("pixels")?,
            },
            starts: fields.take("starts")?,
            left_out: fields.take("left_out")?,
            l2_at_t: fields.take("l2_at_t")?,
            l2_avg_to_t: fields.take("l2_avg_to_t")?,
            collision_at_t: fields.take("collision_at_t")?,
            collision_avg_to_t: fields.take("collision_avg_to_t")?,
            all: fields.take("all")?,
            tiers: fields.take("tiers")?,
            families: fields.take("families")?,
            subsets: fields.take::<Option<Vec<Group>>>("subsets")?.unwrap_or_default(),
            unplanned: fields.take::<Option<usize>>("unplanned")?.unwrap_or_default(),
            rows: fields.take::<Option<Vec<Judged>>>("rows")?.unwrap_or_default(),
        })
    }
}

/// The fields of a document, taken out one by one so that the one at fault is named.
struct Fields<'a> {
    file: &'a str,
    document: serde_json::Value,
}

impl Fields<'_> {
    fn take<T: serde::de::DeserializeOwned>(&mut self, field: &str) -> Result<T, EvalError> {
        let value = self.document.get_mut(field).map(serde_json::Value::take).unwrap_or_default();
        serde_json::from_value(value).map_err(|e| EvalError::field(self.file, field, e.to_string()))
    }
}
