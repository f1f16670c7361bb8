//! The smallest things that can be trained, and what they are trained on, made once for a test program.
#![allow(dead_code)] // each test uses its part

use crate::common::succeed;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_apprentice-torch");

/// A few steps, each with its checkpoint.
const SHORT: [&str; 4] = ["train.steps=6", "train.batch=4", "train.checkpoint_every=1", "train.log_every=1"];

/// A student on tiny pictures.
pub const STUDENT: &[&str] = &["model.backbone.image_width=64", "model.backbone.image_height=32"];

/// A teacher on tiny pictures with a tiny language model.
pub const TEACHER: &[&str] = &[
    "model.vision.backbone.image_width=64",
    "model.vision.backbone.image_height=32",
    "model.tokens.front_grid=[2,4]",
    "model.lm.hidden_size=32",
    "model.lm.intermediate_size=48",
    "model.lm.num_hidden_layers=1",
    "model.answer_tokens=4",
    "quiz_samples=4",
];

/// A small published model's folder.
pub fn published(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../teacher/tests/fixtures/general").join(name);
    folder.display().to_string()
}

/// A command line with the settings of a short run and more.
pub fn short<'a>(words: &[&'a str], settings: &[&'a str]) -> Vec<&'a str> {
    let settings = SHORT.iter().chain(settings).flat_map(|setting| ["--set", setting]);
    words.iter().copied().chain(settings).collect()
}

/// Where things lie, as arguments.
pub struct Stage {
    /// Worlds, as a source.
    pub data: String,
    /// The teacher's file.
    pub teacher: String,
    /// The guidance's folder.
    pub guidance: String,
}

/// A folder of this test program's own, emptied when it begins.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program.file_stem().unwrap());
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        succeed(PROGRAM, &["worlds", "make", "--out", "worlds", "--size", "tiny"], &folder);
        folder
    })
}

impl Stage {
    fn new() -> Self {
        let at = |name: &str| folder().join(name).display().to_string();
        let data = format!("worlds:{}", at("worlds"));
        Self { data, teacher: at("teacher/teacher.safetensors"), guidance: at("guidance") }
    }

    /// Worlds alone.
    pub fn worlds() -> Self {
        Self::new()
    }

    /// Worlds, a teacher and its guidance.
    pub fn guided() -> Self {
        static MADE: OnceLock<()> = OnceLock::new();
        let stage = Self::new();
        MADE.get_or_init(|| {
            let words = short(&["train", "teacher", "--data", &stage.data, "--out", "teacher"], TEACHER);
            succeed(PROGRAM, &words, folder());
            let words = ["harvest", "--teacher", &stage.teacher, "--data", &stage.data, "--out", "guidance"];
            succeed(PROGRAM, &words, folder());
        });
        stage
    }
}
