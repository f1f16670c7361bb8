//! `kill -9` at random moments, through the program: the same command again resumes, and ends with the bytes of an
//! undisturbed run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::{succeed, survives_kills};

const PROGRAM: &str = env!("CARGO_BIN_EXE_apprentice");

#[test]
fn worlds_make_survives() {
    survives_kills(PROGRAM, &["worlds", "make", "--out", "worlds", "--size", "tiny"], 11);
}

#[test]
fn drive_survives() {
    let place = tempfile::tempdir().unwrap();
    succeed(PROGRAM, &["worlds", "make", "--out", "worlds", "--size", "tiny"], place.path());
    let data = format!("worlds:{}", place.path().join("worlds").display());
    let drive = ["drive", "--data", &data, "--driver", "expert", "--out", "out", "--limit", "2"];
    survives_kills(PROGRAM, &drive, 12);
    // Many short episodes: the journal is cut while it grows.
    let drive = ["drive", "--data", &data, "--driver", "expert", "--out", "out", "--no-replay"];
    survives_kills(PROGRAM, &drive, 13);
}
