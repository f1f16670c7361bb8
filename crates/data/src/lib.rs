//! Data: sources and formats behind one [`Sample`](apprentice_core::Sample) — our own generated worlds with their split
//! file, loaders that render on the fly, and readers of other people's recordings.
//!
//! A generated data set is made from a split file ([`split`]) that decides every world before the first is simulated.
//! [`make`](fn@make::make) lets the expert drive each world and stores state and labels at 2 Hz; pictures are not stored:
//! [`Loader`] renders them when they are needed, deterministically.
//!
//! What may not enter here: tensors, models, scores.

pub mod bench2drive;
mod camera_work;
mod error;
pub mod export;
pub mod families;
mod fault;
mod file;
pub mod labels;
mod loader;
mod make;
mod mapping;
pub mod nuscenes;
mod part;
pub mod record;
pub mod scenarionet;
pub mod sites;
pub mod split;
pub mod staged;
mod towns;
pub mod variants;
mod weather;
mod worldset;

pub use camera_work::{CameraWork, Frame, View};
pub use error::DataError;
pub use fault::Fault;
pub use file::{Record, WorldFile, WorldMeta};
pub use loader::{Loader, LoaderConfig};
pub use make::{MakeConfig, make};
pub use part::{Part, Size};
pub use split::{Split, WorldSpec};
pub use towns::{Town, TownChoice, TownLibrary, TownTier};
pub use worldset::{PartCount, WorldEntry, WorldSet, WorldsIndex, world_path};
