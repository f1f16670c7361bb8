//! The deployed driver: an exported ONNX file, its contract, and an engine. No libtorch anywhere.
//!
//! Two engines run the same file: [`EngineKind::OnnxRuntime`] (fast; a native library found beside the program or
//! through `ORT_DYLIB_PATH`) and [`EngineKind::Tract`] (pure Rust, where no native library may be installed).
//!
//! The exported graph's inputs are `images` [1, N, 3, H, W] (RGB, 0..255, the rig's order), `speed` [1, 1] (m/s) and
//! `command` [1, 6] (one-hot); its output is `trajectories` [1, 6 commands, 6 steps, 2] in metres. Normalisation is
//! inside the graph, so a driver cannot get it wrong.
//!
//! What may not enter here: training, teachers, worlds.

mod driver;
mod engine;
mod error;
mod file;

pub use driver::OnnxDriver;
pub use engine::{Engine, EngineKind, Input};
pub use error::RuntimeError;
pub use file::read_contract;
