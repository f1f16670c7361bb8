//! What can go wrong while training.

use apprentice_core::Hint;
use apprentice_data::DataError;
use apprentice_eval::EvalError;
use apprentice_nn::NnError;
use apprentice_planner::PlannerError;
use apprentice_store::StoreError;
use apprentice_teacher::TeacherError;
use std::path::PathBuf;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum DistillError {
    /// A stored file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Weights.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// The student.
    #[error(transparent)]
    Planner(#[from] PlannerError),
    /// The teacher or its guidance.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The judge.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A configuration that cannot be run.
    #[error("configuration{}: {problem}", file.as_ref().map_or_else(String::new, |f| format!(" {}", f.display())))]
    Config {
        /// Where it was written, when in a file.
        file: Option<PathBuf>,
        /// Which field and why.
        problem: String,
    },
    /// The run's folder belongs to another run.
    #[error("{} holds a run with other settings: {difference}", path.display())]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// The first field that differs.
        difference: String,
    },
    /// Training blew up.
    #[error("step {step}: the gradient is not a finite number {times} times in a row")]
    Diverged {
        /// When.
        step: u64,
        /// How often.
        times: u64,
    },
    /// A part of the data set that training needs is empty.
    #[error("{}: the {part} part has no samples that may be used", path.display())]
    NoSamples {
        /// The data set.
        path: PathBuf,
        /// Which part.
        part: &'static str,
    },
    /// A checkpoint of a kind that is not known here.
    #[error("{}: no checkpoint of a student or a teacher: its contract says `{kind}`", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// What it says.
        kind: String,
    },
}

impl DistillError {
    /// A configuration problem without a file.
    pub fn config(problem: impl Into<String>) -> Self {
        Self::Config { file: None, problem: problem.into() }
    }
}

impl Hint for DistillError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(e) => e.hint(),
            Self::Nn(e) => e.hint(),
            Self::Planner(e) => e.hint(),
            Self::Teacher(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Eval(e) => e.hint(),
            Self::Config { .. } => Some("correct the field; the resolved settings of a run are in its run.json".into()),
            Self::OtherRun { .. } => Some("use another --out folder, or the settings in its run.json".into()),
            Self::Diverged { .. } => Some("lower train.optimiser.learning_rate".into()),
            Self::NoSamples { .. } => Some("make a larger data set with `apprentice worlds make`".into()),
            Self::UnknownKind { .. } => {
                Some("give a file that `train planner`, `train teacher` or `distill` wrote".into())
            }
        }
    }
}
