//! What can go wrong when writing a report.

use apprentice_core::Hint;

/// An error of the report room.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// An image cannot be packed.
    #[error("an image of the replay cannot be packed: {message}")]
    Image {
        /// Why.
        message: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Store(#[from] apprentice_store::StoreError),
}

impl Hint for ReportError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Image { .. } => {
                Some("every image must hold width × height × 3 bytes and be at most 65535 pixels wide".into())
            }
            Self::Store(error) => error.hint(),
        }
    }
}
