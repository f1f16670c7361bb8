//! Every check and every test, with a count of what was skipped and why.

use crate::{Failure, check, command, run, setup};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Run the checks, build the binary, run all tests. With `full`, the slow suites too.
pub fn test(full: bool) -> Result<(), Failure> {
    // What some tests compare with. Where it cannot be fetched, they skip themselves and say so.
    for fetched in [setup::captions(), setup::sentence_encoder()] {
        if let Err(e) = fetched {
            println!("setup: {}", e.message);
        }
    }
    check::check()?;
    run("cargo", &["build", "--release", "--workspace"])?;
    let mut child = command("cargo", &["test", "--release", "--workspace", "--no-fail-fast", "--", "--show-output"])
        .env("APPRENTICE_TEST_FULL", if full { "1" } else { "" })
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start cargo test: {e}"))?;
    let output = child.stdout.take().ok_or("cargo test gave no output")?;
    let (mut passed, mut failed) = (0u64, 0u64);
    let mut skipped = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|e| format!("reading cargo test: {e}"))?;
        if let Some(reason) = line.split_once("SKIPPED:").map(|(_, reason)| reason.trim().to_string()) {
            skipped.push(reason);
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |word: &str| {
                counts
                    .split(';')
                    .find_map(|part| part.trim().strip_suffix(word)?.trim().rsplit(' ').next()?.parse::<u64>().ok())
            };
            passed += count("passed").unwrap_or(0);
            failed += count("failed").unwrap_or(0);
        }
        println!("{line}");
    }
    let status = child.wait().map_err(|e| format!("cargo test: {e}"))?;
    for reason in &skipped {
        println!("skipped: {reason}");
    }
    // A test that skips itself counts as passed for the harness; say how many really ran.
    let ran = passed.saturating_sub(skipped.len() as u64);
    println!("\n{ran} passed, {failed} failed, {} skipped", skipped.len());
    if status.success() && failed == 0 { Ok(()) } else { Err("tests failed".into()) }
}
