//! What can go wrong with a general model and its guidance.

use apprentice_core::Hint;
use apprentice_core::contract::ContractError;
use apprentice_data::DataError;
use apprentice_nn::NnError;
use apprentice_planner::PlannerError;
use apprentice_store::StoreError;
use std::path::PathBuf;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// A file of guidance cannot be written, read or believed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Weights cannot be written, read or believed.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// The vision side refused.
    #[error(transparent)]
    Planner(#[from] PlannerError),
    /// The data refused.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The file's contract cannot be honoured.
    #[error("{}: {source}", path.display())]
    Contract {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: ContractError,
    },
    /// The tokenizer refused.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// Why.
        reason: String,
    },
    /// A configuration that makes no model.
    #[error("teacher configuration: {reason}")]
    Config {
        /// Which field and why.
        reason: String,
    },
    /// Guidance that was made for something else.
    #[error("guidance in {}: {field}: this run needs {expected}, the cache was made for {found}", path.display())]
    OtherGuidance {
        /// The cache.
        path: PathBuf,
        /// Which part of the key.
        field: &'static str,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A value that is not a number came out of the model.
    #[error("the teacher's {tap} of {sample} is not finite")]
    NotFinite {
        /// Where it was taken.
        tap: String,
        /// For which sample.
        sample: String,
    },
}

impl Hint for TeacherError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(e) => e.hint(),
            Self::Nn(e) => e.hint(),
            Self::Planner(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Contract { source, .. } => source.hint(),
            Self::Tokenizer { .. } => {
                Some("use the tokenizer.json that belongs to the model, or train the teacher again".into())
            }
            Self::Config { .. } => Some("correct the field, or start from `--config` of the nano teacher".into()),
            Self::OtherGuidance { path, .. } => {
                Some(format!("harvest again with this teacher into another folder, or delete {}", path.display()))
            }
            Self::NotFinite { .. } => Some("train the teacher again with a lower learning rate".into()),
        }
    }
}
