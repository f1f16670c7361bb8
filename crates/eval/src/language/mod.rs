//! Judging sentences: BLEU, ROUGE-L, CIDEr-D and METEOR on Penn Treebank tokens, as pycocoevalcap 1.2 computes them, and
//! the benchmarks that ask for sentences.
//!
//! METEOR needs word lists that we may not carry. They are read where `cargo xtask setup --captions` puts them; when they
//! are absent METEOR is an error with that hint, never another number under its name.

pub mod captions;
pub mod drivelm;
mod meteor;
mod ngrams;
pub mod nu_x;
mod numbers;
mod ptb;
pub mod qa;
pub mod tod3cap;

pub use captions::{CaptionScore, CaptionScores, Pair, Splitting};
pub use meteor::{MeteorFiles, MeteorScores, meteor};
pub use ngrams::{Corpus, rouge_l};
pub use ptb::tokenize;
