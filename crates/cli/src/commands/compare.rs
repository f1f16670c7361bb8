//! `apprentice compare A B`

use crate::Console;
use crate::arguments::Compare;
use apprentice_core::BoxedError;
use apprentice_eval::compare::{Difference, compare};
use apprentice_eval::sheet::{self, Sheet};
use apprentice_eval::{EvalError, PlanningResult};

/// Paired differences, second minus first.
pub fn run(pair: &Compare, console: &Console) -> Result<(), BoxedError> {
    let (a, b) = (super::sheet::read(&pair.a)?, super::sheet::read(&pair.b)?);
    let is_sheet = |text: &str| text.contains(sheet::SCHEMA);
    match (is_sheet(&a.1), is_sheet(&b.1)) {
        (true, true) => return sheets(&Sheet::parse(&a.0, &a.1)?, &Sheet::parse(&b.0, &b.1)?, console),
        (false, false) => {}
        (first, _) => {
            let kind = |is: bool| if is { "a sheet" } else { "a planning result" };
            let (left, right) = (kind(first).into(), kind(!first).into());
            return Err(EvalError::Incomparable { field: "the kind of result".into(), left, right }.into());
        }
    }
    let comparison = compare(&PlanningResult::parse(&a.0, &a.1)?, &PlanningResult::parse(&b.0, &b.1)?)?;
    console.answer(&comparison, || {
        let mut text = format!("{} minus {} under `{}`\n", comparison.second, comparison.first, comparison.protocol);
        for d in std::iter::once(&comparison.all).chain(&comparison.tiers) {
            text += &line(d);
        }
        text
    });
    Ok(())
}

/// Paired differences of two sheets, column by column.
fn sheets(first: &Sheet, second: &Sheet, console: &Console) -> Result<(), BoxedError> {
    let comparison = sheet::compare(first, second)?;
    console.answer(&comparison, || {
        let (first, second) = (&comparison.first, &comparison.second);
        let mut text = format!("{second} minus {first} under `{}`, {} items\n", comparison.protocol, comparison.items);
        for d in &comparison.differences {
            let p = d.p_value.map_or_else(|| "-".into(), |p| format!("{p:.4}"));
            let (low, high) = (bound(d.difference.low), bound(d.difference.high));
            text += &format!("  {:24} {:+.4} [{low:+.4}, {high:+.4}]   p {p}\n", d.name, d.difference.mean);
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

/// An interval's bound; one world alone has none.
fn bound(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}
