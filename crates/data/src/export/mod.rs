//! Simulated worlds as other people's data sets: nuScenes v1.0 ([`nuscenes()`]) and Bench2Drive clips ([`bench2drive()`]); and
//! recorded scenes without pictures as nuScenes ([`recorded()`]).
//!
//! Everything written follows from the worlds: pictures and a sparse point cloud are rendered from the stored states,
//! boxes, poses and maps are the world's own. Worlds are stored at 2 Hz, so there are keyframes and no sweeps.

mod bench2drive;
mod clouds;
mod expansion;
mod nuscenes;
mod recorded;
pub mod tables;

pub use bench2drive::{Bench2DriveOptions, bench2drive};
pub use nuscenes::{NuScenesOptions, nuscenes};
pub use recorded::{RecordedOptions, recorded};

use crate::{DataError, Part, WorldSet};
use apprentice_core::Image;
use apprentice_core::sample::SampleId;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Scenes or clips: the world and the name it got.
    pub scenes: Vec<(String, String)>,
    /// Keyframes.
    pub samples: usize,
    /// Boxes.
    pub boxes: usize,
    /// Pictures.
    pub images: usize,
    /// Worlds that were left out, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Worlds of a part that may be scored, each with its samples, in order.
fn worlds_of(set: &WorldSet, part: Part) -> Vec<(String, Vec<SampleId>)> {
    let mut out: Vec<(String, Vec<SampleId>)> = Vec::new();
    for id in set.ids(part) {
        match out.last_mut() {
            Some((world, ids)) if *world == id.world => ids.push(id),
            _ => out.push((id.world.clone(), vec![id])),
        }
    }
    out
}

/// Write a file of many: these are made whole by the tables that are written last.
fn write(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let io = |source| DataError::Io { path: path.into(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    std::fs::write(path, bytes).map_err(io)
}

/// JPEG bytes of a picture.
fn jpeg(image: &Image, quality: u8) -> Result<Vec<u8>, DataError> {
    let side = |n: usize| u16::try_from(n).map_err(|_| DataError::Request(format!("a JPEG of {n} pixels")));
    let (width, height) = (side(image.width)?, side(image.height)?);
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, quality)
        .encode(&image.rgb, width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|e| DataError::Request(format!("encoding a picture: {e}")))?;
    Ok(bytes)
}
