//! `apprentice report RUN`

use crate::Console;
use crate::arguments;
use apprentice_core::BoxedError;
use apprentice_report::{Report, arms_table};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Serialize)]
struct Written {
    schema: &'static str,
    file: PathBuf,
    /// Drivers in its tables.
    drivers: usize,
    /// Plots of training.
    plots: usize,
    /// Replays it links to.
    replays: usize,
}

/// Write the page of a run folder, from its files alone.
pub fn run(arguments: &arguments::Report, console: &Console) -> Result<(), BoxedError> {
    let file = arguments.out.clone().unwrap_or_else(|| arguments.run.join("report.html"));
    let report = Report::of_run(&arguments.run, &file)?;
    report.write(&file)?;
    let written = Written {
        schema: "apprentice.report/1",
        drivers: report.arms.len(),
        plots: report.panels.len(),
        replays: report.replays.len(),
        file,
    };
    console.answer(&written, || {
        let table = if report.arms.is_empty() { String::new() } else { arms_table(&report.arms).render() };
        format!("{table}report: {}", written.file.display())
    });
    Ok(())
}
