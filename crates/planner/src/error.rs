//! What can go wrong with a student.

use apprentice_core::Hint;
use apprentice_core::contract::ContractError;
use apprentice_nn::NnError;
use std::path::PathBuf;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum PlannerError {
    /// The weights cannot be read, written or matched to the model.
    #[error(transparent)]
    Weights(#[from] NnError),
    /// The checkpoint's contract cannot be honoured.
    #[error("{path}: {source}", path = path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ContractError,
    },
    /// A configuration value makes no sense.
    #[error("configuration field `{field}`: {reason}")]
    Config {
        /// Dotted name.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// The observation does not fit the rig.
    #[error("the student needs {expected}, the observation has {found}")]
    Observation {
        /// What the contract says.
        expected: String,
        /// What came.
        found: String,
    },
}

impl Hint for PlannerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Weights(e) => e.hint(),
            Self::Contract { source, .. } => source.hint(),
            Self::Config { .. } => Some("start from a preset (`nano`, `tiny`, `base`) and change one value".into()),
            Self::Observation { .. } => Some("render or resize the images with the rig in the file's contract".into()),
        }
    }
}
