//! What a general model gives back, as host data.

use crate::error::BoxedError;
use crate::sample::SampleId;
use serde::{Deserialize, Serialize};

/// Everything that identifies one piece of guidance. Two keys that differ in any field never share an entry:
/// guidance for an augmented view is not guidance for the plain one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GuidanceKey {
    /// Content hash of the teacher's checkpoint.
    pub teacher: String,
    /// Where in the teacher it is taken, such as `planning-token` or `vision-tokens`.
    pub tap: String,
    /// Hash of what the teacher was asked; empty where nothing is asked.
    pub prompt: String,
    /// Hash of the preprocessing contract.
    pub preprocessing: String,
    /// Augmentation of the view; `none` for the plain one.
    pub augmentation: String,
    /// Hash of the data set that the sample is of.
    pub data: String,
    /// Sample.
    pub sample: SampleId,
}

/// One answer of a general model. Missing guidance is `None` or `valid == false`, never zeros by accident.
#[derive(Clone, Debug, PartialEq)]
pub struct Guidance {
    /// Row-major values.
    pub values: Vec<f32>,
    /// Their shape.
    pub shape: Vec<usize>,
    /// Which positions (the first axis; one for a single vector) hold something: an answer may be shorter than the longest.
    pub mask: Vec<bool>,
    /// Whether the values mean anything.
    pub valid: bool,
    /// Seconds since the observation the guidance is about.
    pub age_s: f32,
    /// What it is and where it came from.
    pub key: GuidanceKey,
}

/// Anything that yields guidance: a cache, a live model, a delayed or shuffled one.
pub trait GuidanceSource {
    /// The guidance of a sample, or `None` when this source has none for it.
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError>;
}
