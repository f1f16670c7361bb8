//! The whole story in one command: every stage is an `apprentice` command that a user could type.

use crate::{Failure, root, run};

/// Build, then run the stages under `--out` (default `runs/demo`).
pub fn demo(arguments: &[&str]) -> Result<(), Failure> {
    // The workspace as a whole: single packages would resolve other features and compile the large crates once more.
    run("cargo", &["build", "--release", "--workspace", "--bins"])?;
    let program = root().join("target/release/apprentice").display().to_string();
    let mut words = vec!["prove", "--size", "minutes"];
    words.extend(arguments);
    run(&program, &words)
}
