//! One module per method, each reading top to bottom beside its paper.

pub mod answer_labels;
pub mod orion_lite;
