//! What the user got wrong, and how to get it right.

use apprentice_core::Hint;

/// Errors of the command line itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
    hint: String,
}

impl CliError {
    /// An error and its remedy.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Hint for CliError {
    fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}
