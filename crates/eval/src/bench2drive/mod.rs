//! Bench2Drive's closed-loop score, from its result files.
//!
//! Source: Thinklab-SJTU/Bench2Drive v0.0.3, `leaderboard/leaderboard/utils/statistics_manager.py` and
//! `tools/{merge_route_json,ability_benchmark,efficiency_smoothness_benchmark}.py`.
//!
//! * driving score = Σ `score_composed` / 220, a missing route counting 0 ([`score`]);
//! * success = status `Completed` or `Perfect` and no infraction but those of low speed ([`Record::succeeded`]);
//! * comfort = mean over routes of the share of comfortable stretches of their per-tick files ([`comfort()`]);
//! * efficiency = mean over routes with a speed message of the mean of their percentages, those above 1000 dropped;
//! * abilities = successes over routes present, by scenario type ([`abilities`]); traffic signs need the map.
//!
//! Files that contradict themselves are refused; figures that a file states about itself and that its records do
//! not bear out are reported as warnings, because published files have them.

mod abilities;
mod comfort;
mod record;
mod score;

pub use abilities::{Abilities, Ability};
pub use apprentice_core::infractions::{Infractions, Scores};
pub use comfort::{Tick, comfort, read_ticks};
pub use record::{Meta, Record, ResultFile, penalty_of};
pub use score::{Score, score, score_file, score_text};

/// Routes of version 0.0.3 of the benchmark, the denominator of its scores.
pub const ROUTES: usize = 220;
/// Versions of the benchmark. Version 0.0.4 has other routes (and a leaderboard of its own): figures of the two are never
/// set side by side.
pub const VERSIONS: [&str; 2] = ["0.0.3", "0.0.4"];
