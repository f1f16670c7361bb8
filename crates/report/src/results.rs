//! Results side by side, in the column order of the field's tables.

use crate::table::{Align, Table};
use apprentice_eval::bench2drive::Score;
use apprentice_eval::sheet::{self, Sheet};
use apprentice_eval::{Estimate, EvalError, PlanningResult, planning};
use serde_json::Value;

/// One result as a row: what makes it comparable, its name, its cells.
struct ResultRow {
    protocol: String,
    columns: Vec<String>,
    groups: Vec<(String, usize)>,
    cells: Vec<String>,
    note: Option<String>,
}

/// A table of results (name of the file, its text).
///
/// # Errors
/// When a file is no result, or two were judged under different protocols.
pub fn table_of(files: &[(String, String)]) -> Result<Table, EvalError> {
    let mut table = Table::default();
    let mut first: Option<String> = None;
    for (file, text) in files {
        for row in rows_of(file, text)? {
            match &first {
                None => {
                    table.title = row.protocol.clone();
                    table.groups = row.groups;
                    let align = |i: usize| if i == 0 { Align::Left } else { Align::Right };
                    table.columns = row.columns.iter().enumerate().map(|(i, c)| (c.clone(), align(i))).collect();
                    first = Some(row.protocol);
                }
                Some(protocol) if *protocol != row.protocol => {
                    return Err(EvalError::Incomparable {
                        field: "the protocol".into(),
                        left: protocol.clone(),
                        right: format!("{} ({file})", row.protocol),
                    });
                }
                Some(_) if table.columns.len() != row.columns.len() => {
                    return Err(EvalError::Incomparable {
                        field: "the list of columns".into(),
                        left: table.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
                        right: row.columns.join(", "),
                    });
                }
                Some(_) => {}
            }
            table.notes.extend(row.note);
            table.rows.push(row.cells);
        }
    }
    Ok(table)
}

fn rows_of(file: &str, text: &str) -> Result<Vec<ResultRow>, EvalError> {
    let document: Value = apprentice_eval::json::read(file, text)?;
    let wrong = |field: &str, message: String| EvalError::Field { file: file.into(), field: field.into(), message };
    // `score bench2drive --json` prints a list.
    let schema = document.get("schema").or_else(|| document.get(0)?.get("schema")).and_then(Value::as_str);
    match schema {
        Some(planning::SCHEMA) => Ok(vec![planned(&PlanningResult::parse(file, text)?)]),
        Some(sheet::SCHEMA) => Ok(vec![sheeted(&Sheet::parse(file, text)?)]),
        Some("apprentice.bench2drive-score/1") => {
            let list = if document.is_array() { document } else { Value::Array(vec![document]) };
            let scores: Vec<Score> = serde_json::from_value(list).map_err(|e| wrong("score", e.to_string()))?;
            Ok(scores.iter().map(driven).collect())
        }
        other => {
            let message = format!("expected a result of this program, found {}", other.unwrap_or("nothing"));
            Err(wrong("schema", message))
        }
    }
}

fn named(protocol: &planning::ProtocolRef) -> String {
    format!("{} ({})", protocol.name, protocol.hash)
}

/// L2 and collision at 1, 2, 3 s and their mean, at t and averaged up to t.
fn planned(result: &PlanningResult) -> ResultRow {
    let mut columns = vec!["driver".to_string(), "starts".into()];
    let mut cells = vec![result.subject.driver.clone(), result.starts.to_string()];
    let mut groups = vec![(String::new(), 2)];
    let mut add = |name: &str, values: [f64; 3], digits: usize| {
        groups.push((name.into(), 4));
        columns.extend(["1 s", "2 s", "3 s", "avg"].map(String::from));
        let mean = values.iter().sum::<f64>() / 3.0;
        cells.extend(values.into_iter().chain([mean]).map(|v| format!("{v:.digits$}")));
    };
    add("L2 at t, m", result.l2_at_t, 2);
    add("collision at t, %", result.collision_at_t.map(|v| v * 100.0), 2);
    add("L2 up to t, m", result.l2_avg_to_t, 2);
    add("collision up to t, %", result.collision_avg_to_t.map(|v| v * 100.0), 2);
    if let Some(off_road) = &result.all.off_road_avg_to_t {
        let means: [Estimate; 3] = *off_road;
        add("edge of road up to t, %", means.map(|e| e.mean * 100.0), 2);
    }
    let judged = result.starts + result.unplanned;
    let mut notes = Vec::new();
    if result.unplanned > 0 {
        notes.push(format!("{} of {judged} starts have a plan", result.starts));
    }
    notes.extend(result.subject.pixels.as_ref().map(|pixels| format!("{pixels} pixels")));
    let note = (!notes.is_empty()).then(|| format!("{}: {}", result.subject.driver, notes.join(", ")));
    ResultRow { protocol: named(&result.protocol), columns, groups, cells, note }
}

fn sheeted(result: &Sheet) -> ResultRow {
    let name = |m: &sheet::Metric| m.name.clone();
    let value = |m: &sheet::Metric| m.value.map_or_else(|| "-".into(), |v| format!("{v:.4}"));
    let coverage = &result.coverage;
    let note = (!coverage.is_whole())
        .then(|| format!("{}: {} of {} items have an answer", result.subject, coverage.answered, coverage.asked));
    ResultRow {
        protocol: named(&result.protocol),
        columns: std::iter::once("subject".to_string()).chain(result.metrics.iter().map(name)).collect(),
        groups: vec![],
        cells: std::iter::once(result.subject.clone()).chain(result.metrics.iter().map(value)).collect(),
        note,
    }
}

/// Driving score, success rate, efficiency, comfort, then the five abilities and their mean.
fn driven(score: &Score) -> ResultRow {
    let fixed = |value: Option<f64>, factor: f64| value.map_or_else(|| "-".into(), |v| format!("{:.2}", v * factor));
    let mut columns: Vec<String> = ["file", "DS", "SR %", "efficiency", "comfort"].map(String::from).into();
    let mut cells = vec![
        score.file.clone(),
        fixed(Some(score.driving_score), 1.0),
        fixed(Some(score.success_rate), 100.0),
        fixed(score.efficiency, 1.0),
        fixed(score.comfort, 100.0),
    ];
    for (name, value) in score.abilities.named() {
        columns.push(name.replace('_', " "));
        cells.push(fixed(value, 100.0));
    }
    columns.push("mean".into());
    cells.push(fixed(score.abilities.mean, 100.0));
    let missing = score.routes.saturating_sub(score.records);
    ResultRow {
        protocol: format!("Bench2Drive {} over {} routes", score.benchmark, score.routes),
        columns,
        groups: vec![(String::new(), 5), ("ability, %".into(), 6)],
        cells,
        note: (missing > 0).then(|| format!("{}: {missing} routes have no record and count zero", score.file)),
    }
}
