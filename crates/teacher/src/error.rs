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
    /// A published model's file that does not hold what is expected.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// Which field, tensor or input.
        what: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A name map that cannot be read.
    #[error("{}: {reason}", path.display())]
    NameMap {
        /// The map.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// A picture that a backbone cannot take.
    #[error("pictures of {width}×{height}: {family} takes sides that are multiples of {multiple}")]
    ImageSize {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// Which backbone.
        family: String,
        /// Of what.
        multiple: usize,
    },
    /// A chat template that refuses.
    #[error("{}: {reason}", path.display())]
    Chat {
        /// The template.
        path: PathBuf,
        /// Its complaint.
        reason: String,
    },
    /// Vectors of another width than the model's.
    #[error("`{name}`: vectors for this model are [n, {width}], found {found:?}")]
    Vectors {
        /// Which vectors.
        name: String,
        /// The model's width.
        width: i64,
        /// Their shape.
        found: Vec<i64>,
    },
    /// Pictures for a model that reads text alone.
    #[error("{family} reads no pictures")]
    NoEyes {
        /// The architecture.
        family: &'static str,
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
    /// Guidance from a teacher that was told the truth, where a driver is judged.
    #[error("the guidance `{tap}` was made from ground truth: it cannot be read at test time")]
    KnowsTruth {
        /// Where it was taken.
        tap: String,
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
            Self::Model { .. } => {
                Some("docs/teachers.md says which models are read and what their folders hold".into())
            }
            Self::NameMap { .. } => Some(
                "docs/teachers.md says how a name map is written; those that come with it are in crates/teacher/maps"
                    .into(),
            ),
            Self::ImageSize { .. } => Some("choose another `--image-size`".into()),
            Self::Chat { .. } => Some("leave out --chat to give the prompt as it is".into()),
            Self::Vectors { .. } => Some("put an adapter of the model's width between".into()),
            Self::NoEyes { .. } => Some("leave out the pictures, or name a model with a vision tower".into()),
            Self::OtherGuidance { path, .. } => {
                Some(format!("harvest again with this teacher into another folder, or delete {}", path.display()))
            }
            Self::KnowsTruth { .. } => {
                Some("harvest it from the model's own words (`--texts said:DIR`), or read it in training alone".into())
            }
            Self::NotFinite { .. } => Some("train the teacher again with a lower learning rate".into()),
        }
    }
}
