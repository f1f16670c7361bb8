//! Distillation: recipes, the training loop, open-loop judging of checkpoints, and the proving ground's arms.
//!
//! A run is a [`run::Task`] in a folder: settings come from a TOML file and `key=value` overlays ([`config`]), batches
//! from a seed and a step, checkpoints carry weights and optimiser, and a killed run goes on to the bytes of an undisturbed one.
//! Methods are modules of [`recipes`]; what ships never contains a teacher.
//!
//! What may not enter here: the closed loop (it comes in as a callback), rendering, file formats of data.

pub mod config;
mod error;
pub mod evaluate;
pub mod evidence;
pub mod prove;
pub mod recipes;
pub mod run;
pub mod shared_vision;
pub mod source;
pub mod student;
pub mod table;
pub mod teacher;

pub use config::{TrainConfig, resolve};
pub use error::DistillError;
pub use evaluate::{BatchPlanner, ConstantVelocityPlanner, Judging, ms_per_frame, open_loop, open_planner};
pub use evidence::Evidence;
pub use prove::{Arm, ProveConfig, StartFiles, prove};
pub use run::{Done, Pace, Task, train};
pub use shared_vision::{SharedDriver, SharedRun, SharedTask, SharedVision};
pub use student::{Guides, STUDENT_FILE, StudentRun, StudentTask, load_student};
pub use table::{ProveReport, report};
pub use teacher::{
    QUIZ_FILE, SCORES_FILE, TEACHER_FILE, TeacherRun, TeacherScores, TeacherTask, load_teacher, quiz, scores,
};
