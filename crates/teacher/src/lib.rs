//! General models and what they give back: tokenizer, prompts, the teacher, guidance on disk.
//!
//! What may not enter here: how a student is trained on guidance (the distil room), and anything that ships in a student.

mod cache;
mod error;
pub mod prompt;
pub mod tokenizer;

pub use cache::{CacheSpec, CacheWriter, GuidanceCache, Precision, Shuffled};
pub use error::TeacherError;
pub use prompt::{Lesson, Prompt, Question};
pub use tokenizer::{SPECIAL_TOKENS, SpecialIds, TextTokenizer};
