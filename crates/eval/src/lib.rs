//! The judge: named and frozen protocols, open-loop metrics, Bench2Drive's closed-loop score, intervals, result
//! files and their comparison, and the plain data of a replay.
//!
//! A figure without its protocol means nothing, so every result carries the name and the hash of the protocol that
//! made it, and [`compare`](crate::compare) refuses to set two results of different protocols side by side.
//!
//! What may not enter here: models and worlds. The judge sees plans, recorded futures and result files.

pub mod bench2drive;
pub mod boxes;
pub mod collision;
pub mod compare;
pub mod detection;
pub mod driving;
pub mod error;
pub mod gates;
pub mod instances;
pub mod interval;
pub mod json;
pub mod language;
pub mod motion;
pub mod motion_uniad;
mod numeric;
pub mod openloop;
pub mod perception;
pub mod planning;
pub mod plans;
pub mod prediction;
pub mod protocol;
pub mod replay;
pub mod sheet;
mod spline;
pub mod tracking;
pub mod vector_map;

pub use driving::DrivingSummary;
pub use error::EvalError;
pub use gates::Gate;
pub use interval::{Clusters, Estimate};
pub use openloop::{Judged, Start, judge};
pub use planning::{Group, PlanningResult, Subject, evaluate};
pub use protocol::Protocol;
