//! What can go wrong with weights on disk.

use apprentice_core::Hint;
use std::path::PathBuf;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a whole safetensors file.
    #[error("{path}: not a whole safetensors file: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file lacks a metadata field.
    #[error("{path}: metadata field `{field}` is missing", path = path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Name of the field.
        field: String,
    },
    /// The tensors differ from what the model needs.
    #[error("{path}: the tensors differ from what the model needs\n{difference}", path = path.display())]
    Difference {
        /// The file.
        path: PathBuf,
        /// One line per missing, unexpected or mis-shaped tensor.
        difference: String,
    },
}

impl Hint for NnError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => Some(match source.kind() {
                std::io::ErrorKind::NotFound => "check the path, or train the model first".into(),
                std::io::ErrorKind::StorageFull => "free some disk space and run the same command again".into(),
                _ => "check the path and its permissions".into(),
            }),
            Self::Format { .. } => {
                Some("the file was cut short or is something else; copy it again, or train again".into())
            }
            Self::Metadata { .. } => Some("the file was not written by apprentice; train or export again".into()),
            Self::Difference { .. } => {
                Some("load it with the configuration it was trained with (it is in the file's contract)".into())
            }
        }
    }
}
