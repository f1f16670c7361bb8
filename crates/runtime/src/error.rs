//! What can go wrong between a file and a plan.

use apprentice_core::{Hint, contract::ContractError};
use std::path::PathBuf;

/// Errors of the deployed driver.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file is no ONNX model, or was cut short.
    #[error("{path} is not a whole ONNX file: {reason}")]
    Format {
        /// File.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// The file has no contract.
    #[error("{path}: the metadata property `apprentice.contract` is missing")]
    NoContract {
        /// File.
        path: PathBuf,
    },
    /// The contract cannot be honoured.
    #[error("{path}: {source}")]
    Contract {
        /// File.
        path: PathBuf,
        /// Cause.
        source: ContractError,
    },
    /// The engine cannot be loaded.
    #[error("ONNX Runtime cannot be loaded: {0}")]
    NoEngine(String),
    /// The engine refused the graph or failed to run it.
    #[error("{engine} cannot run {path}: {reason}")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// File.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// An observation does not fit the contract.
    #[error("camera {index}: the driver needs {expected}, the observation has {found}")]
    Image {
        /// Which camera.
        index: usize,
        /// What the contract says.
        expected: String,
        /// What came.
        found: String,
    },
    /// The network answered something that is no trajectory.
    #[error("the network's `trajectories` has {found} values where {expected} finite ones were promised")]
    Output {
        /// Number promised.
        expected: usize,
        /// What came.
        found: String,
    },
}

impl Hint for RuntimeError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check the path and its permissions".into(),
            Self::Format { .. } | Self::NoContract { .. } => {
                "copy it again, or write it again with `apprentice export`".into()
            }
            Self::Contract { source, .. } => return source.hint(),
            Self::NoEngine(_) => {
                "run `cargo xtask setup`, set ORT_DYLIB_PATH to libonnxruntime.so, or use `--engine tract`".into()
            }
            Self::Engine { .. } => {
                "export the file again with this version; if that does not help try the other engine".into()
            }
            Self::Image { .. } => "render or resize the images to the rig in the file's contract".into(),
            Self::Output { .. } => "the file's weights are damaged or diverged; export a sound checkpoint".into(),
        })
    }
}
