//! Damaged and lying weights, guidance, configurations and run folders given to the program that learns: one error that
//! names the file and the field, a hint, an exit code, no panic, nothing half-written.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../cli/tests/common/mod.rs"]
mod common;
mod small;

use apprentice_core::seal;
use common::{full, refused, succeed, survives_mutations};
use small::{PROGRAM, STUDENT, Stage, TEACHER, short};
use std::path::Path;

/// A change of bytes.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

fn cut(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() / 2);
}

#[allow(clippy::ptr_arg)] // as `Change` has it
fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 0x10;
}

/// Another text of the same length in a safetensors header, under a renewed seal.
fn lie(from: &'static str, to: &'static str) -> impl Fn(&mut Vec<u8>) {
    assert_eq!(from.len(), to.len());
    move |bytes| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("no `{from}`"));
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        seal::safetensors(bytes);
    }
}

/// Change a file, have the command refuse it, and put it back.
fn damaged(file: &Path, change: Change<'_>, arguments: &[&str], folder: &Path, words: &[&str]) {
    let good = std::fs::read(file).unwrap();
    let mut bad = good.clone();
    change(&mut bad);
    std::fs::write(file, bad).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    refused(PROGRAM, arguments, folder, &[words, &[name]].concat());
    std::fs::write(file, good).unwrap();
}

/// A student trained in `folder/run`.
fn student(stage: &Stage, folder: &Path) {
    let words = short(&["train", "planner", "--data", &stage.data, "--out", "run"], STUDENT);
    succeed(PROGRAM, &words, folder);
}

#[test]
fn checkpoints() {
    let stage = Stage::guided();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    student(&stage, folder);
    let file = folder.join("run/student.safetensors");
    let eval = ["eval", "planning", "--data", &stage.data, "--driver", "run/student.safetensors", "--out", "r.json"];
    damaged(&file, &cut, &eval, folder, &[]);
    damaged(&file, &flip, &eval, folder, &["checksum"]);
    damaged(&file, &|b| b.clear(), &eval, folder, &[]);
    damaged(&file, &|b| *b = b"no weights".to_vec(), &eval, folder, &[]);
    damaged(&file, &lie("\\\"kind\\\":\\\"student\\\"", "\\\"kind\\\":\\\"robots!\\\""), &eval, folder, &["kind"]);
    damaged(&file, &lie("waypoint_steps\\\":6", "waypoint_steps\\\":8"), &eval, folder, &["waypoint_steps"]);
    damaged(&file, &lie("\\\"heads\\\":4", "\\\"heads\\\":5"), &eval, folder, &["model", "heads"]);
    damaged(&file, &lie("\\\"width\\\":64", "\\\"width\\\":72"), &eval, folder, &[]);
    damaged(&file, &lie("\"dtype\":\"F32\"", "\"dtype\":\"I32\""), &eval, folder, &["type"]);
    damaged(&file, &lie("apprentice.contract", "apprentice.contrast"), &eval, folder, &["apprentice.contract"]);
    succeed(PROGRAM, &eval, folder);
    std::fs::remove_file(folder.join("r.json")).unwrap();

    let not_there = ["eval", "planning", "--data", &stage.data, "--driver", "gone.safetensors"];
    refused(PROGRAM, &not_there, folder, &["gone.safetensors"]);
    // The right file in the wrong place.
    let harvest = ["harvest", "--teacher", "run/student.safetensors", "--data", &stage.data, "--out", "guidance"];
    refused(PROGRAM, &harvest, folder, &["student.safetensors", "kind"]);
    let export = ["export", &stage.teacher, "--data", &stage.data, "--out", "student.onnx"];
    refused(PROGRAM, &export, folder, &["teacher.safetensors", "kind"]);

    let count = if full() { 300 } else { 10 };
    let words = ["student.safetensors"];
    survives_mutations(PROGRAM, &eval, folder, "run/student.safetensors", &words, count, 71);
}

#[test]
fn guidance() {
    let stage = Stage::guided();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let harvest = ["harvest", "--teacher", &stage.teacher, "--data", &stage.data, "--out", "guidance"];
    succeed(PROGRAM, &harvest, folder);
    let taught = ["--teacher", &stage.teacher, "--guidance", "guidance", "--data", &stage.data, "--out", "run"];
    let distill = short(&[&["distill"], &taught[..]].concat(), STUDENT);
    let found = std::fs::read_dir(folder.join("guidance/planning-token")).unwrap().flatten().map(|e| e.path());
    let shard = found.into_iter().find(|p| p.extension().is_some_and(|e| e == "guidance")).unwrap();
    let name = shard.file_name().unwrap().to_str().unwrap().to_string();
    damaged(&shard, &cut, &distill, folder, &[]);
    damaged(&shard, &flip, &distill, folder, &["checksum"]);
    damaged(&shard, &|b| b.clear(), &distill, folder, &["length"]);
    let list = folder.join("guidance/trajectories/guidance.json");
    let text = |from: &'static str, to: &'static str| {
        move |b: &mut Vec<u8>| *b = String::from_utf8(b.clone()).unwrap().replacen(from, to, 1).into_bytes()
    };
    damaged(&list, &cut, &distill, folder, &["line"]);
    damaged(&list, &text("\"version\": 2", "\"version\": 3"), &distill, folder, &["version"]);
    damaged(&list, &text("\"shard_samples\": 512", "\"shard_samples\": 0"), &distill, folder, &["shard_samples"]);
    damaged(&list, &text("\"spec\"", "\"specification\""), &distill, folder, &["specification"]);

    let count = if full() { 200 } else { 8 };
    let words = [".guidance", "guidance.json"];
    let files = [format!("guidance/planning-token/{name}"), "guidance/trajectories/guidance.json".into()];
    for (i, file) in files.iter().enumerate() {
        survives_mutations(PROGRAM, &distill, folder, file, &words, count, 72 + i as u64);
    }
    std::fs::remove_file(&shard).unwrap();
    let fresh = short(&[&["distill"], &taught[..7], &["other"]].concat(), STUDENT);
    refused(PROGRAM, &fresh, folder, &[name.as_str()]);
    // Guidance of another teacher.
    let another = short(&["train", "teacher", "--data", &stage.data, "--out", "another", "--seed", "5"], TEACHER);
    succeed(PROGRAM, &another, folder);
    let taught = ["--teacher", "another/teacher.safetensors", "--guidance", &stage.guidance, "--data", &stage.data];
    let words = short(&[&["distill", "--out", "other"], &taught[..]].concat(), STUDENT);
    refused(PROGRAM, &words, folder, &["teacher"]);
    // Guidance of other worlds, whose samples have the same names.
    let make = ["worlds", "make", "--out", "elsewhere", "--size", "tiny", "--seed", "9"];
    succeed(PROGRAM, &make, folder);
    let taught = ["--teacher", &stage.teacher, "--guidance", &stage.guidance, "--data", "worlds:elsewhere"];
    let words = short(&[&["distill", "--out", "other"], &taught[..]].concat(), STUDENT);
    refused(PROGRAM, &words, folder, &["guidance", "data"]);
    let again = ["harvest", "--teacher", &stage.teacher, "--data", "worlds:elsewhere", "--out", &stage.guidance];
    refused(PROGRAM, &again, folder, &["guidance", "data"]);
    // What would be ignored is refused.
    let shared = [&words[..], &["--variant", "shared-vision", "--pseudo-labels"]].concat();
    refused(PROGRAM, &shared, folder, &["--pseudo-labels"]);
    refused(PROGRAM, &[&again[..], &["--store", "int8"]].concat(), folder, &["--store"]);
}

#[test]
fn configurations() {
    let stage = Stage::worlds();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let train = ["train", "planner", "--data", &stage.data, "--out", "run"];
    let file = folder.join("run.toml");
    let good =
        "[train]\nsteps = 7\nbatch = 4\n[train.optimiser]\nlearning_rate = 0.5\n[model.backbone]\nimage_width = 64\n";
    let configured = [&train[..], &["--config", "run.toml"]].concat();
    for (text, word) in [
        ("[train]\nstepz = 7\n", "stepz"),
        ("[training]\nsteps = 7\n", "training"),
        ("[train\nsteps = 7\n", "line 1"),
        ("[train]\nsteps = \"many\"\n", "many"),
        ("[train]\nsteps = -7\n", "-7"),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(PROGRAM, &configured, folder, &["run.toml", word]);
    }
    std::fs::write(&file, good).unwrap();
    let dry = [&configured[..], &["--dry-run"]].concat();
    survives_mutations(PROGRAM, &dry, folder, "run.toml", &["run.toml"], if full() { 500 } else { 20 }, 75);
    // A seed in the file counts, unless the command line has one.
    let seed_of = |more: &[&str]| {
        std::fs::write(&file, good.replace("steps = 7", "steps = 7\nseed = 5")).unwrap();
        let answer = succeed(PROGRAM, &[&dry[..], &["--json"], more].concat(), folder);
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()["train"]["seed"].as_u64()
    };
    assert_eq!([seed_of(&[]), seed_of(&["--seed", "6"])], [Some(5), Some(6)]);
    let proof = ["prove", "--dry-run", "--set", "student.model.preset=tiny"];
    refused(PROGRAM, &proof, folder, &["preset"]);
    let export = ["export", "run/student.safetensors", "--data", &stage.data, "--out", "s.onnx", "--dry-run"];
    refused(PROGRAM, &export, folder, &["--dry-run"]);
    std::fs::remove_file(&file).unwrap();
    refused(PROGRAM, &configured, folder, &["run.toml"]);
    // Values of the right type that cannot be.
    for (setting, word) in [
        ("train.steps=0", "steps"),
        ("train.batch=0", "batch"),
        ("train.open_road_share=1.5", "open_road_share"),
        ("train.optimiser.learning_rate=nan", "learning_rate"),
        ("model.preset=huge", "huge"),
        ("model.width=0", "width"),
        ("model.heads=5", "heads"),
        ("model.backbone.image_width=7", "image_width"),
        ("model.bev.cell_m=0.0", "cell_m"),
        ("labels=none", "none"),
        ("surprise=1", "surprise"),
    ] {
        refused(PROGRAM, &[&train[..], &["--set", setting]].concat(), folder, &[word]);
    }
    refused(PROGRAM, &["train", "planner", "--data", "worlds:nowhere", "--out", "run"], folder, &["nowhere"]);
    let harvest = ["harvest", "--teacher", "x", "--data", &stage.data, "--out", "g", "--set", "train.steps=1"];
    refused(PROGRAM, &harvest, folder, &["--set"]);
}

#[test]
fn run_folders() {
    let stage = Stage::worlds();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    student(&stage, folder);
    let train = short(&["train", "planner", "--data", &stage.data, "--out", "run"], STUDENT);
    let run = folder.join("run");
    damaged(&run.join("run.json"), &cut, &train, folder, &["line"]);
    damaged(&run.join("done.json"), &cut, &train, folder, &["line"]);
    let other = [&train[..], &["--set", "train.steps=9"]].concat();
    refused(PROGRAM, &other, folder, &["run", "train.steps"]);
    // A run that was under way, and whose checkpoint was damaged since, or is another file.
    std::fs::remove_file(run.join("done.json")).unwrap();
    let resume = run.join("resume.safetensors");
    std::fs::copy(run.join("student.safetensors"), &resume).unwrap();
    refused(PROGRAM, &train, folder, &["resume.safetensors", "step"]);
    damaged(&resume, &flip, &train, folder, &["checksum"]);
    damaged(&resume, &cut, &train, folder, &[]);
    std::fs::remove_file(&resume).unwrap();
    succeed(PROGRAM, &train, folder);
}
