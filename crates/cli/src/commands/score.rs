//! `apprentice score bench2drive FILE…`

use crate::Console;
use apprentice_core::BoxedError;
use apprentice_eval::bench2drive::{Score, score_file};
use std::fmt::Write;
use std::path::PathBuf;

/// Score result files over the benchmark's 220 routes.
pub fn bench2drive(files: &[PathBuf], console: &Console) -> Result<(), BoxedError> {
    let scores = files.iter().map(|file| score_file(file)).collect::<Result<Vec<_>, _>>()?;
    for warning in scores.iter().flat_map(|s| s.warnings.iter().map(move |w| format!("{}: {w}", s.file))) {
        console.say(&warning);
    }
    console.answer(&scores, || table(&scores));
    Ok(())
}

fn table(scores: &[Score]) -> String {
    let mut text =
        format!("{:32} {:>8} {:>9} {:>8} {:>8} {:>10}\n", "file", "DS", "successes", "SR %", "records", "efficiency");
    for s in scores {
        let efficiency = s.efficiency.map_or_else(|| "-".into(), |e| format!("{e:.2}"));
        writeln!(
            text,
            "{:32} {:8.4} {:>9} {:8.2} {:>8} {efficiency:>10}",
            s.file,
            s.driving_score,
            s.successes,
            s.success_rate * 100.0,
            s.records
        )
        .expect("writing to a string");
    }
    text + "Denominator: the benchmark's 220 routes; a missing route counts zero."
}
