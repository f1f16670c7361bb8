//! Errors that tell the user what to do next.

/// An error that may know its remedy. Every crate's error enum implements it; the command line prints
/// the error, then `hint: …`.
pub trait Hint: std::error::Error {
    /// What the user can do about it, in one sentence, or `None` when there is nothing they can do.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any room's error, as the command line and the closed loop hold it.
pub type BoxedError = Box<dyn Hint + Send + Sync>;

impl<E: Hint + Send + Sync + 'static> From<E> for BoxedError {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}
