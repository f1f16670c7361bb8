//! `apprentice compare A B`

use crate::arguments::Compare;
use crate::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_eval::PlanningResult;
use apprentice_eval::compare::{Difference, compare};
use std::path::Path;

/// Paired differences, second minus first.
pub fn run(pair: &Compare, console: &Console) -> Result<(), BoxedError> {
    let comparison = compare(&read(&pair.a)?, &read(&pair.b)?)?;
    console.answer(&comparison, || {
        let mut text = format!("{} minus {} under `{}`\n", comparison.second, comparison.first, comparison.protocol);
        for d in std::iter::once(&comparison.all).chain(&comparison.tiers) {
            text += &line(d);
        }
        text
    });
    Ok(())
}

fn line(d: &Difference) -> String {
    format!(
        "  {:13} {:6} starts   L2 mean {:+.3} [{:+.3}, {:+.3}] m   collisions {:+.4} [{:+.4}, {:+.4}]\n",
        d.name,
        d.starts,
        d.l2_mean.mean,
        bound(d.l2_mean.low),
        bound(d.l2_mean.high),
        d.collision_any.mean,
        bound(d.collision_any.low),
        bound(d.collision_any.high)
    )
}

fn read(path: &Path) -> Result<PlanningResult, BoxedError> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        CliError::new(format!("cannot read {}: {e}", path.display()), "write it with `eval planning --out FILE`")
    })?;
    Ok(PlanningResult::parse(&path.display().to_string(), &text)?)
}

/// An interval's bound; one world alone has none.
fn bound(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}
