//! What can be wrong with a stored file.

use apprentice_core::Hint;
use std::path::{Path, PathBuf};

/// A file that cannot be written, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file does not hold what it says or should.
    #[error("{}: {field}: expected {expected}, found {found}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Which part of it.
        field: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The file is of another kind, or of a version this program does not read.
    #[error("{}: {field}: this program needs {expected}, the file says {found}", path.display())]
    Mismatch {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: String,
        /// What is needed.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// Another process holds the folder.
    #[error("{} is in use by another run", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A value cannot be encoded; the program's fault.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// What was to be written.
        what: String,
        /// Why it cannot.
        reason: String,
    },
}

impl StoreError {
    /// An operating-system error on a file.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// A part of a file that is not what it should be.
    pub fn corrupt(path: &Path, field: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            field: field.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// A file made for something else.
    pub fn mismatch(path: &Path, field: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self::Mismatch {
            path: path.to_path_buf(),
            field: field.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Whether the file is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

impl Hint for StoreError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => {
                    Some(format!("check the path, or run the command that makes {}", path.display()))
                }
                std::io::ErrorKind::PermissionDenied => Some("check the permissions of the file and its folder".into()),
                std::io::ErrorKind::StorageFull => Some("free some disk space and run the same command again".into()),
                std::io::ErrorKind::IsADirectory => Some("name the file in the folder, not the folder".into()),
                _ => Some("check that the path names a file of the right kind, on a disk that works".into()),
            },
            Self::Corrupt { path, .. } => Some(format!(
                "the file was cut short or changed after it was written; delete {} and run the command that made it again",
                path.display()
            )),
            Self::Mismatch { .. } => {
                Some("give the file this command expects, or make it again with this version".into())
            }
            Self::Locked { .. } => Some("wait for the other run to end, or use another --out folder".into()),
            Self::Encode { .. } => None,
        }
    }
}
