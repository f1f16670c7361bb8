//! What can be wrong with data.

use apprentice_core::Hint;
use apprentice_store::StoreError;
use std::path::{Path, PathBuf};

/// Data that cannot be made, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A stored file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A town that cannot be built.
    #[error("town {town}: {source}")]
    Road {
        /// Which town.
        town: String,
        /// Why not.
        source: Box<apprentice_road::RoadError>,
    },
    /// A world that cannot be simulated.
    #[error("world {world}: {source}")]
    Sim {
        /// Which world.
        world: String,
        /// Why not.
        source: Box<apprentice_sim::SimError>,
    },
    /// Something a file says that cannot be so.
    #[error("{}: {field}: {problem}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Which part of it.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The folder holds another data set than the one asked for.
    #[error("{} holds worlds of another split ({found}), not of this one ({expected})", path.display())]
    OtherSplit {
        /// The folder.
        path: PathBuf,
        /// Hash of the split asked for.
        expected: String,
        /// Hash of the split found.
        found: String,
    },
    /// A sample that is not in this set.
    #[error("there is no sample {id} in {}", path.display())]
    NoSample {
        /// The data set.
        path: PathBuf,
        /// What was asked for.
        id: String,
    },
    /// A file or folder that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A part of somebody else's data set that is not there.
    #[error("{} is missing: {what}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A row of a table that cannot be so.
    #[error("{}: row {row}: {field}: {problem}", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// From 0.
        row: usize,
        /// Which field, or where in the file.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A request without an answer, such as batches of no samples.
    #[error("{0}")]
    Request(String),
}

impl DataError {
    /// A statement of a file that cannot be so.
    pub fn invalid(path: &Path, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_path_buf(), field: field.into(), problem: problem.into() }
    }
}

/// Read a JSON document of somebody else's data set.
pub(crate) fn read_json<'a, T: serde::Deserialize<'a>>(path: &Path, bytes: &'a [u8]) -> Result<T, DataError> {
    apprentice_core::json::read(bytes).map_err(|fault| {
        let field = if fault.field.is_empty() { "document".into() } else { fault.field };
        DataError::invalid(path, field, fault.message)
    })
}

impl Hint for DataError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(e) => e.hint(),
            Self::Road { source, .. } => source.hint(),
            Self::Sim { source, .. } => source.hint(),
            Self::Invalid { path, .. } => {
                Some(format!("make {} again with the command that wrote it, or unpack it again", path.display()))
            }
            Self::OtherSplit { .. } => {
                Some("use another --out folder, or the --size and --seed that made this one".into())
            }
            Self::NoSample { .. } => Some("the sample list was made from another data set".into()),
            Self::Io { .. } => Some("check the path and that it may be read and written".into()),
            Self::Missing { .. } => Some("unpack the whole data set into one folder, and name that folder".into()),
            Self::Table { path, .. } => Some(format!(
                "{} is damaged or was edited: unpack it again; a number that is NaN is no JSON",
                path.display()
            )),
            Self::Request(_) => {
                Some("`apprentice data info SOURCE` lists what a source holds: versions, splits, scenes".into())
            }
        }
    }
}
