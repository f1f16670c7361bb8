//! What can go wrong when making a report.

use apprentice_core::Hint;
use std::path::PathBuf;

/// An error of the report room.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// An image cannot be packed.
    #[error("an image of the replay cannot be packed: {message}")]
    Image {
        /// Why.
        message: String,
    },
    /// A folder without a run.
    #[error("{}: neither a comparison ({}) nor a training run (metrics.jsonl) lies here", folder.display(), crate::run::INDEX_FILE)]
    NoRun {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Store(#[from] apprentice_store::StoreError),
    /// A result cannot be read.
    #[error(transparent)]
    Eval(#[from] apprentice_eval::EvalError),
}

impl Hint for ReportError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Image { .. } => {
                Some("every image must hold width × height × 3 bytes and be at most 65535 pixels wide".into())
            }
            Self::NoRun { .. } => Some(
                "name the --out folder of `prove`, `train` or `distill`; the same command again completes it".into(),
            ),
            Self::Store(error) => error.hint(),
            Self::Eval(error) => error.hint(),
        }
    }
}
