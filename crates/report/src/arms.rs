//! The closing table: one row per driver or arm, open loop under each protocol beside closed loop, size and time.

use crate::table::{Align, Table};
use apprentice_eval::interval::Estimate;
use apprentice_eval::{DrivingSummary, PlanningResult};

/// One driver or arm with everything known about it.
#[derive(Clone, Debug, Default)]
pub struct Arm {
    /// Name for the row.
    pub name: String,
    /// Open-loop results, at most one per protocol.
    pub open_loop: Vec<PlanningResult>,
    /// Closed-loop result.
    pub driving: Option<DrivingSummary>,
    /// Trained parameters.
    pub parameters: Option<u64>,
    /// Milliseconds from observation to plan, median.
    pub ms_per_frame: Option<f64>,
}

impl Arm {
    /// Its result under a protocol.
    pub fn under(&self, protocol: &str) -> Option<&PlanningResult> {
        self.open_loop.iter().find(|r| r.protocol.name == protocol)
    }
}

const ABSENT: &str = "–";

/// Parameters in thousands or millions.
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.0} k", n as f64 / 1e3),
        _ => format!("{:.2} M", n as f64 / 1e6),
    }
}

fn metres(values: [f64; 3]) -> String {
    values.map(|v| format!("{v:.2}")).join(" / ")
}

fn percents(values: [f64; 3]) -> String {
    values.map(|v| format!("{:.1}", v * 100.0)).join(" / ")
}

/// An estimate with half the width of its interval.
fn plus_minus(e: &Estimate, factor: f64, digits: usize) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => {
            format!("{:.digits$} ±{:.digits$}", e.mean * factor, (high - low) / 2.0 * factor)
        }
        _ => format!("{:.digits$}", e.mean * factor),
    }
}

/// Protocols that occur, in the order of their first result.
pub(crate) fn protocols(arms: &[Arm]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for result in arms.iter().flat_map(|arm| &arm.open_loop) {
        if !names.contains(&result.protocol.name) {
            names.push(result.protocol.name.clone());
        }
    }
    names
}

/// The closing table.
pub fn arms_table(arms: &[Arm]) -> Table {
    let protocols = protocols(arms);
    let closed = arms.iter().any(|arm| arm.driving.is_some());
    let right = |name: &str| (name.to_string(), Align::Right);
    let mut table = Table { columns: vec![("driver".into(), Align::Left)], ..Default::default() };
    table.groups.push((String::new(), 1));
    for name in &protocols {
        table.groups.push((name.clone(), 3));
        table.columns.extend([right("L2 at 1/2/3 s, m"), right("L2 up to 1/2/3 s, m"), right("coll. up to t, %")]);
    }
    if closed {
        table.groups.push(("closed loop".into(), 3));
        table.columns.extend([right("driving score"), right("success, %"), right("routes")]);
    }
    table.groups.push((String::new(), 2));
    table.columns.extend([right("params"), right("ms/frame")]);
    table.rows = arms.iter().map(|arm| row(arm, &protocols, closed)).collect();
    for name in &protocols {
        let results = || arms.iter().filter_map(|arm| arm.under(name));
        if let Some(first) = results().next() {
            let same = results().all(|r| r.starts == first.starts && r.all.worlds == first.all.worlds);
            let most = results().map(|r| r.starts).max().unwrap_or(0);
            let of = if same { "starts" } else { "starts at most: not every row has all" };
            table.notes.push(format!("{name} ({}): {most} {of}, {} worlds", first.protocol.hash, first.all.worlds));
        }
    }
    let seeds: std::collections::BTreeSet<_> =
        arms.iter().flat_map(|a| &a.open_loop).filter_map(|r| r.subject.seed).collect();
    if let [seed] = seeds.into_iter().collect::<Vec<_>>()[..] {
        table.notes.push(format!("one training run a row: seed {seed}"));
    }
    if closed {
        table.notes.push("closed loop: scored over the routes driven; ± is half of the 95 % bootstrap interval".into());
    }
    table
}

fn row(arm: &Arm, protocols: &[String], closed: bool) -> Vec<String> {
    let mut cells = vec![arm.name.clone()];
    for name in protocols {
        match arm.under(name) {
            Some(r) => cells.extend([metres(r.l2_at_t), metres(r.l2_avg_to_t), percents(r.collision_avg_to_t)]),
            None => cells.extend([ABSENT; 3].map(String::from)),
        }
    }
    if closed {
        match &arm.driving {
            Some(d) => cells.extend([
                plus_minus(&d.driving_score, 1.0, 1),
                plus_minus(&d.success_rate, 100.0, 0),
                d.score.records.to_string(),
            ]),
            None => cells.extend([ABSENT; 3].map(String::from)),
        }
    }
    cells.push(arm.parameters.map_or(ABSENT.into(), count));
    cells.push(arm.ms_per_frame.map_or(ABSENT.into(), |ms| format!("{ms:.1}")));
    cells
}
