//! Showing and writing the result of a benchmark that makes a sheet.

use crate::arguments::{EvalFiles, SheetOut};
use crate::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_eval::EvalError;
use apprentice_eval::sheet::{Metric, Sheet};
use apprentice_eval::{instances, vector_map};
use std::path::Path;

/// Read a file that a benchmark needs.
///
/// # Errors
/// When it cannot be read as text.
pub(super) fn read(path: &Path) -> Result<(String, String), EvalError> {
    let text = std::fs::read_to_string(path).map_err(|source| EvalError::Io { path: path.to_path_buf(), source })?;
    Ok((path.display().to_string(), text))
}

/// `eval map`
pub(super) fn map(eval: &EvalFiles, console: &Console) -> Result<(), BoxedError> {
    let (file, text) = read(&eval.truth)?;
    let (subject, predicted) = read(&eval.predictions)?;
    let (truth, predicted) = (vector_map::read(&file, &text, false)?, vector_map::read(&subject, &predicted, true)?);
    finish(&vector_map::score((&file, &text), &truth, (&subject, &predicted))?, &eval.out, console)
}

/// `eval segmentation`
pub(super) fn segmentation(eval: &EvalFiles, console: &Console) -> Result<(), BoxedError> {
    let (file, text) = read(&eval.truth)?;
    let (subject, predicted) = read(&eval.predictions)?;
    let (truth, predicted) = (instances::read(&file, &text)?, instances::read(&subject, &predicted)?);
    finish(&instances::score((&file, &text), &truth, (&subject, &predicted))?, &eval.out, console)
}

/// Write and print a sheet. What has no answer is shown, and the exit code says so.
///
/// # Errors
/// When the file cannot be written, or something has no answer.
pub(super) fn finish(sheet: &Sheet, out: &SheetOut, console: &Console) -> Result<(), BoxedError> {
    if let Some(path) = &out.out {
        let text = serde_json::to_string_pretty(sheet).expect("a sheet is plain data");
        apprentice_store::write_atomic(path, text.as_bytes())?;
    }
    console.answer(&sheet.brief(), || text(sheet));
    let coverage = &sheet.coverage;
    if coverage.is_whole() {
        return Ok(());
    }
    let reasons: Vec<String> = coverage.missing.iter().map(|(reason, n)| format!("{n} × {reason}")).collect();
    Err(CliError::new(
        format!("{} of {} items have an answer ({})", coverage.answered, coverage.asked, reasons.join(", ")),
        "the figures above count the rest as wrong or empty; a result to publish answers every item",
    )
    .into())
}

fn text(sheet: &Sheet) -> String {
    let coverage = &sheet.coverage;
    let mut text = format!(
        "{} under `{}` ({} of {} answered)\n",
        sheet.subject, sheet.protocol.name, coverage.answered, coverage.asked
    );
    let line = |m: &Metric| {
        let value = m.value.map_or_else(|| "-".into(), |v| format!("{v:.4}"));
        format!("  {:24} {value:>10}\n", m.name)
    };
    sheet.metrics.iter().for_each(|m| text += &line(m));
    for part in &sheet.parts {
        text += &format!("{} ({})\n", part.name, part.items);
        part.metrics.iter().for_each(|m| text += &line(m));
    }
    sheet.remarks.iter().for_each(|remark| text += &format!("{remark}\n"));
    text
}
