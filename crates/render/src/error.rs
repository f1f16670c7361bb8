//! What can go wrong.

use apprentice_core::Hint;
use std::path::PathBuf;

/// Errors of the rendering room.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A picture could not be written as PNG.
    #[error("the picture could not be encoded as PNG: {0}")]
    Png(#[from] png::EncodingError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A camera path file does not parse.
    #[error("{path}, line {line}: {expected}, found `{found}`")]
    CameraPath {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The road network of a bench could not be loaded.
    #[error(transparent)]
    Road(#[from] apprentice_road::RoadError),
}

impl Hint for RenderError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Png(_) => None,
            Self::Io { .. } => Some("check that the path exists and may be read and written".into()),
            Self::CameraPath { .. } => {
                Some("write the camera path again: `cargo test --release -p apprentice-render -- --ignored write_camera_path`".into())
            }
            Self::Road(error) => error.hint(),
        }
    }
}
