//! What can go wrong in the closed loop as a whole. What goes wrong on one route is data: see [`crate::Entry`].

use apprentice_core::{BoxedError, Hint};
use std::path::PathBuf;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// A file or folder cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// Path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A route file does not say what it must.
    #[error("{path}: {source}")]
    Routes {
        /// The route file.
        path: PathBuf,
        /// What is wrong with it.
        source: apprentice_sim::SimError,
    },
    /// A map does not read.
    #[error(transparent)]
    Map(#[from] apprentice_road::RoadError),
    /// There is no map in the folder given.
    #[error("{path}: holds no .xodr file")]
    NoMaps {
        /// The folder.
        path: PathBuf,
    },
    /// A route that was asked for is not in the file.
    #[error("{path}: holds no route `{id}`")]
    NoSuchRoute {
        /// The route file.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// The output folder holds the results, finished or not, of something else.
    #[error("{} holds another drive: of another driver, other routes, another seed or other settings", path.display())]
    OtherDrive {
        /// The folder.
        path: PathBuf,
    },
    /// The driver cannot be made.
    #[error("the driver cannot start: {cause}")]
    Driver {
        /// Why.
        cause: BoxedError,
    },
    /// A file of the run cannot be written or read back.
    #[error(transparent)]
    Store(#[from] apprentice_store::StoreError),
    /// A replay cannot be written.
    #[error("a replay cannot be written: {cause}")]
    Replay {
        /// Why.
        cause: BoxedError,
    },
    /// A setting makes no sense.
    #[error("setting `{field}`: expected {expected}, found {found}")]
    Setting {
        /// Name.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The thread pool could not be made.
    #[error("no worker threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl Hint for DriveError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("check the path and its permissions".into()),
            Self::Routes { source, .. } => source.hint(),
            Self::Map(source) => source.hint(),
            Self::NoMaps { .. } => Some(
                "give the folder with the towns' OpenDRIVE files (of CARLA: the folder that holds OpenDrive/)".into(),
            ),
            Self::NoSuchRoute { .. } => Some("ids are the `id` attributes of the <route> elements".into()),
            Self::OtherDrive { .. } => Some("name another folder with --out, or delete this one".into()),
            Self::Driver { cause } | Self::Replay { cause } => cause.hint(),
            Self::Store(source) => source.hint(),
            Self::Setting { .. } => Some("correct it on the command line or in the configuration".into()),
            Self::Threads(_) => Some("ask for fewer threads".into()),
        }
    }
}
