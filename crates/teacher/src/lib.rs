//! General models and what they give back: tokenizer, prompts, the teacher, guidance on disk.
//!
//! [`Teacher`] is ORION's shape at any size: the planner's encoder, a Llama-layout language model that answers questions
//! about the scene, a planning token whose hidden state becomes the planning latent, ORION's VAE planner. Published models are in
//! [`general`]. A [`harvest`] runs a frozen model once over samples and keeps what it gives in a [`GuidanceCache`], which any
//! student reads as a [`GuidanceSource`](apprentice_core::GuidanceSource).
//!
//! What may not enter here: how a student is trained on guidance (the distil room), and anything that ships in a student.

pub mod answers;
mod cache;
pub mod config;
pub mod driver;
mod error;
pub mod general;
pub mod harvest;
pub mod lessons;
pub mod model;
pub mod prompt;
pub mod questions;
pub mod quiz;
pub mod text;
pub mod tokenizer;
pub mod words;

pub use answers::{AnswerKind, Answering, answer_kinds};
pub use cache::{CacheSpec, CacheWriter, GuidanceCache, Precision, Row, ShardState, Shuffled, TestGuidance};
pub use config::{TeacherConfig, VisionTokensConfig};
pub use driver::TeacherDriver;
pub use error::TeacherError;
pub use harvest::{Giver, Guide, Harvest, Price, Tap};
pub use lessons::{TeacherWeights, draw_lessons, teacher_loss};
pub use model::{Adapter, Teacher, Thought};
pub use prompt::{Lesson, Prompt, Question};
pub use quiz::{KindScore, Marked, Quiz, QuizReport};
pub use text::TextBatch;
pub use tokenizer::{SPECIAL_TOKENS, SpecialIds, TextTokenizer};
