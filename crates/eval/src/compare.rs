//! Paired comparison of two planning results: the same starts under the same protocol, or none at all.

use crate::EvalError;
use crate::interval::{Clusters, Estimate, SEED};
use crate::openloop::Judged;
use crate::planning::{PlanningResult, tier_rank};
use crate::protocol::Protocol;
use crate::sheet::exchange_test;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Differences (second minus first) over a group of starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// `all` or a tier.
    pub name: String,
    /// Paired starts.
    pub starts: usize,
    /// Mean over 1, 2, 3 s of L2 averaged up to t, metres.
    pub l2_mean: Estimate,
    /// L2 at 3 s, metres.
    pub l2_at_3s: Estimate,
    /// Fraction of starts with a collision at any step.
    pub collision_any: Estimate,
    /// Least gap, metres.
    pub min_gap_m: Estimate,
    /// Chance of a difference of `l2_mean` this large if which result is which did not matter; `None` with fewer than two
    /// worlds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_mean_p_value: Option<f64>,
}

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.comparison/1";

/// The document of `apprentice compare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the protocol both were judged under.
    pub protocol: String,
    /// First driver.
    pub first: String,
    /// Second driver.
    pub second: String,
    /// All starts.
    pub all: Difference,
    /// By tier.
    pub tiers: Vec<Difference>,
}

fn same(field: &str, left: impl ToString, right: impl ToString) -> Result<(), EvalError> {
    let (left, right) = (left.to_string(), right.to_string());
    if left == right { Ok(()) } else { Err(EvalError::Incomparable { field: field.into(), left, right }) }
}

/// Compare two results.
///
/// # Errors
/// When they were judged under different protocols, on different data, or hold different starts or none.
pub fn compare(first: &PlanningResult, second: &PlanningResult) -> Result<Comparison, EvalError> {
    let named = |result: &PlanningResult| Protocol::named(&result.protocol.name).ok();
    if let (Some(left), Some(right)) = (named(first), named(second))
        && let Some((axis, a, b)) = left.differing_axis(&right)
    {
        let of = |protocol: &Protocol, value: &str| format!("{value} (`{}`)", protocol.name);
        return Err(EvalError::Incomparable {
            field: format!("the protocol's axis `{axis}`"),
            left: of(&left, &a),
            right: of(&right, &b),
        });
    }
    same("the protocol", &first.protocol.name, &second.protocol.name)?;
    same("the protocol's hash", &first.protocol.hash, &second.protocol.hash)?;
    same("the hash of the data", &first.subject.data_hash, &second.subject.data_hash)?;
    same("the number of starts", first.starts, second.starts)?;
    same("the number of rows", first.rows.len(), second.rows.len())?;
    if first.rows.is_empty() {
        return Err(EvalError::Empty { what: "rows of the results (written with --out, not printed)".into() });
    }
    let pairs: Vec<(&Judged, &Judged)> = first.rows.iter().zip(&second.rows).collect();
    for (a, b) in &pairs {
        same("a start", &a.id, &b.id)?;
    }
    let mut by_tier: BTreeMap<(usize, &str), Vec<(&Judged, &Judged)>> = BTreeMap::new();
    for &(a, b) in pairs.iter().filter(|(a, _)| !a.tier.is_empty()) {
        by_tier.entry((tier_rank(&a.tier), &a.tier)).or_default().push((a, b));
    }
    Ok(Comparison {
        schema: SCHEMA.into(),
        protocol: first.protocol.name.clone(),
        first: first.subject.driver.clone(),
        second: second.subject.driver.clone(),
        all: difference("all", &pairs),
        tiers: by_tier.iter().map(|((_, name), pairs)| difference(name, pairs)).collect(),
    })
}

fn difference(name: &str, pairs: &[(&Judged, &Judged)]) -> Difference {
    let clusters = Clusters::new(pairs.iter().map(|(a, _)| a.id.world.as_str()));
    let of = |metric: fn(&Judged) -> f64| {
        let values: Vec<f64> = pairs.iter().map(|(a, b)| metric(b) - metric(a)).collect();
        clusters.estimate(&values, SEED).unwrap_or(Estimate { mean: 0.0, low: None, high: None })
    };
    Difference {
        name: name.into(),
        starts: pairs.len(),
        l2_mean: of(|row| row.l2_avg_to_t().iter().sum::<f64>() / 3.0),
        l2_at_3s: of(|row| row.l2_at_t()[2]),
        collision_any: of(Judged::collision_any),
        min_gap_m: of(|row| row.min_gap_m),
        l2_mean_p_value: {
            let mean = |row: &Judged| row.l2_avg_to_t().iter().sum::<f64>() / 3.0;
            let values: Vec<f64> = pairs.iter().map(|(a, b)| mean(b) - mean(a)).collect();
            exchange_test(pairs.iter().map(|(a, _)| a.id.world.as_str()), &values)
        },
    }
}
