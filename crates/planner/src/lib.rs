//! Students: cameras, speed and command in, a trajectory per command out.
//!
//! ```text
//! images ─ backbone ─ lift ─ bev ─┬─ agent queries ─┐
//!                                 ├─ map queries  ──┼─ ego query ─ s ─ VAE planner ─ trajectory per command
//! speed, command ─────────────────┴─ front tokens ──┘
//! ```
//!
//! The structure is VAD's (Jiang et al. 2023): scene tokens are queries with positions, each trained by its own head,
//! and the ego query reads them all. The planning head is ORION's. [`config::StudentConfig`] scales it from a CPU demo to
//! VAD's size.
//!
//! What may not enter here: teachers, recipes, worlds. What ships cannot contain the teacher.

pub mod backbone;
pub mod batch;
pub mod bev;
pub mod config;
pub mod driver;
pub mod ego;
pub mod error;
pub mod export;
pub mod heads;
pub mod lift;
pub mod loss;
pub mod matcher;
pub mod student;
pub mod targets;
pub mod vae;

pub use batch::{Batch, Inputs, Item, collate};
pub use config::{InputMode, StudentConfig};
pub use driver::StudentDriver;
pub use error::PlannerError;
pub use heads::Perception;
pub use student::{Encoder, SceneTokens, Student};
pub use vae::{Draw, PlanOutput, VaePlanner};
