//! Looking: one self-contained HTML report, replays with a scrubber, tables for the terminal and model cards.
//!
//! Every page is one file without a link to the network: styles, scripts, curves and pictures are inside.
//!
//! What may not enter here: models and worlds. This room shows what the judge and the closed loop recorded.

pub mod arms;
pub mod card;
pub mod error;
mod html;
mod picture;
pub mod replay;
pub mod report;
pub mod results;
pub mod run;
mod svg;
pub mod table;

pub use arms::{Arm, arms_table};
pub use card::ModelCard;
pub use error::ReportError;
pub use replay::{replay_html, write_replay};
pub use report::{Curve, Panel, Report, WorstEpisode};
pub use run::{DriverFiles, Index};
pub use table::{Align, Table};
