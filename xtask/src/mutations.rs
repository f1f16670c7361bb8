//! Damaged inputs by the hundred thousand: no reader may panic.

use crate::{Failure, command};

/// How many inputs a run must give in all.
const AT_LEAST: u64 = 100_000;

/// Run the mutation tests of the readers at full length, and count their inputs.
pub fn mutations() -> Result<(), Failure> {
    let output = command("cargo", &["test", "--release", "--workspace", "--test", "mutations", "--", "--show-output"])
        .env("APPRENTICE_TEST_FULL", "1")
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start cargo test: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut inputs, mut refused) = (0, 0);
    for line in text.lines().filter_map(|line| line.strip_prefix("MUTATIONS ")) {
        println!("{line}");
        let number = |word: &str| {
            line.split(", ").find_map(|part| part.strip_suffix(word)?.rsplit(' ').next()?.parse::<u64>().ok())
        };
        inputs += number(" inputs").unwrap_or(0);
        refused += number(" refused").unwrap_or(0);
    }
    println!("{inputs} inputs in all, {refused} refused with an error, no panic");
    if !output.status.success() {
        print!("{text}");
        return Err("a reader panicked, or a test failed".into());
    }
    if inputs < AT_LEAST {
        return Err(format!("expected at least {AT_LEAST} inputs").into());
    }
    Ok(())
}
