//! The closed loop: a world, its cameras, a driver, the waypoint controller and the criteria make episodes; episodes
//! make result files, reports and the raw data of replays.
//!
//! * [`run`] drives a route file; [`drive_all`] drives any list of [`Job`]s, such as generated worlds.
//! * Who drives is a [`Pilot`]: the expert, or any [`apprentice_core::Driver`].
//! * Physics and control run at 20 Hz, plans (and the pictures they are made from) at [`LoopConfig::plan_hz`].
//! * Routes run in parallel and results keep the file's order; every finished episode is journalled, so that a killed run
//!   resumes. Outcomes do not depend on the number of threads. Wall-clock figures (`duration_system`,
//!   `ms_per_plan`) are the only volatile ones.
//!
//! What may not enter here: tensors, models, HTML.

mod config;
mod episode;
mod error;
mod recorder;
mod report;
mod run;

pub use config::{DriveConfig, Job, LoopConfig, MakePilot, Pilot, ReplayConfig};
pub use error::DriveError;
pub use report::{DriveReport, Entry, SCHEMA};
pub use run::{OnReplay, Planned, REPLAY_FOLDER, REPORT_FILE, RESULTS_FILE, RunOptions, drive_all, plan, run};
