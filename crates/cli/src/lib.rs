//! The command line: one grammar, two programs. `apprentice` judges, drives and makes worlds without libtorch; the
//! commands that train start `apprentice-torch`, which stands beside it and reads the same arguments.
//!
//! Data goes to stdout (one JSON document with `--json`), everything else to stderr. These are the only rooms that print.

#![allow(clippy::print_stdout)]

pub mod arguments;
pub mod commands;
pub mod console;
pub mod error;
pub mod shipped;
pub mod source;
pub mod truth;

pub use arguments::{Arguments, Verb};
pub use console::Console;
pub use error::CliError;
