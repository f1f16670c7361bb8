//! `kill -9` at random moments of everything that learns, through the program: the same command again resumes, and ends
//! with the bytes of an undisturbed run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../cli/tests/common/mod.rs"]
mod common;
mod small;

use common::survives_kills;
use small::{PROGRAM, STUDENT, Stage, TEACHER, published, short};

#[test]
fn train_planner_survives() {
    let stage = Stage::worlds();
    let words = short(&["train", "planner", "--data", &stage.data, "--out", "run"], STUDENT);
    survives_kills(PROGRAM, &words, 21);
}

#[test]
fn train_teacher_survives() {
    let stage = Stage::worlds();
    let words = short(&["train", "teacher", "--data", &stage.data, "--out", "run"], TEACHER);
    survives_kills(PROGRAM, &words, 22);
}

#[test]
fn harvest_survives() {
    let stage = Stage::guided();
    let words = ["harvest", "--teacher", &stage.teacher, "--data", &stage.data, "--out", "guidance"];
    survives_kills(PROGRAM, &words, 23);
}

#[test]
fn harvest_of_a_published_model_survives() {
    let stage = Stage::worlds();
    let llava = published("llava");
    let base = ["harvest", "--teacher", &llava, "--data", &stage.data, "--out", "guidance", "--size", "64x36"];
    let taken = ["--layers", "all", "--places", "prompt", "--answers", "--stop-after", "3", "--prompt", "go?"];
    survives_kills(PROGRAM, &[&base[..], &taken[..], &["--limit", "400"]].concat(), 26);
}

#[test]
fn distill_survives() {
    let stage = Stage::guided();
    let taught = ["--teacher", &stage.teacher, "--guidance", &stage.guidance, "--data", &stage.data];
    let words = [&["distill", "--out", "run"], &taught[..]].concat();
    survives_kills(PROGRAM, &short(&words, STUDENT), 24);
    let shared = [&words[..], &["--variant", "shared-vision"]].concat();
    survives_kills(PROGRAM, &short(&shared, &[]), 25);
}
