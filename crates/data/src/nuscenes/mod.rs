//! nuScenes v1.0: the 13 tables, the map expansion, the CAN bus, the splits; and its keyframes as our samples.
//!
//! [`NuScenes::open`] reads the tables of one version, streaming, and links them; a table that is missing, a token that
//! leads nowhere, a doubled row or a number that is none is an error with the table, the row and the field. The layout is
//! that of nuscenes-devkit's `docs/schema_nuscenes.md`.

mod can;
mod check;
mod map;
mod samples;
mod scan;
pub mod splits;
pub mod tables;
pub mod token;

pub use can::CanBus;
pub use check::{Check, faults};
pub use map::{DrivableArea, MapExpansion};
pub use samples::{CameraFrame, class_of_category, pose_in_plane, yaw_rad};
pub use splits::Split;

use crate::DataError;
use std::path::{Path, PathBuf};
use tables::{Annotation, KeyData, NONE, Tables};
use token::Token;

/// The six cameras, in the order of our rigs.
pub const CAMERAS: [&str; 6] =
    ["CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"];
/// The recording whose pose is the ego's pose at a keyframe.
pub const EGO_CHANNEL: &str = "LIDAR_TOP";

/// A version of the data set, read and linked.
#[derive(Clone, Debug)]
pub struct NuScenes {
    root: PathBuf,
    version: String,
    /// The tables.
    pub tables: Tables,
    /// Annotations of sample s: `boxes[first_box[s]..first_box[s + 1]]`, in the order of the table.
    first_box: Vec<u32>,
    boxes: Vec<u32>,
    /// The same for recordings.
    first_data: Vec<u32>,
    data: Vec<u32>,
}

impl NuScenes {
    /// Open a data set. Without a version, the folder must hold one alone.
    ///
    /// # Errors
    /// Names what is missing, or the table, row and field that is wrong.
    pub fn open(root: &Path, version: Option<&str>) -> Result<Self, DataError> {
        let version = match version {
            Some(version) => version.to_string(),
            None => only_version(root)?,
        };
        let folder = root.join(&version);
        if !folder.is_dir() {
            return Err(DataError::Missing { path: folder, what: format!("version `{version}` of nuScenes") });
        }
        let tables = tables::read(&folder)?;
        let (first_box, boxes) = by_sample(tables.samples.len(), tables.annotations.iter().map(|a| a.sample));
        let (first_data, data) = by_sample(tables.samples.len(), tables.data.iter().map(|d| d.sample));
        Ok(Self { root: root.to_path_buf(), version, tables, first_box, boxes, first_data, data })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Such as `v1.0-mini`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Boxes of a sample with their rows, in the order of the table.
    pub fn boxes(&self, sample: u32) -> impl Iterator<Item = (u32, &Annotation)> {
        let at = sample as usize;
        let rows = &self.boxes[self.first_box[at] as usize..self.first_box[at + 1] as usize];
        rows.iter().map(|&row| (row, &self.tables.annotations[row as usize]))
    }

    /// What a channel recorded at a sample. Of two recordings the later row counts.
    pub fn recording(&self, sample: u32, channel: &str) -> Option<&KeyData> {
        let at = sample as usize;
        let rows = &self.data[self.first_data[at] as usize..self.first_data[at + 1] as usize];
        rows.iter().rev().map(|&row| &self.tables.data[row as usize]).find(|data| self.channel(data) == channel)
    }

    /// Which sensor made a recording.
    pub fn channel(&self, data: &KeyData) -> &str {
        let sensor = self.tables.calibrated[data.calibrated as usize].sensor;
        &self.tables.sensors[sensor as usize].channel
    }

    /// Samples of a scene in order of time.
    pub fn samples_of(&self, scene: u32) -> impl Iterator<Item = u32> {
        let row = &self.tables.scenes[scene as usize];
        let last = row.last;
        std::iter::successors(Some(row.first), move |&sample| {
            Some(self.tables.samples[sample as usize].next).filter(|&next| next != NONE && sample != last)
        })
    }

    /// Scenes of a split that are in this data set, in the order of the table.
    ///
    /// # Errors
    /// When the split is of another version, unknown, or none of its scenes is here.
    pub fn scenes_of(&self, split: &str) -> Result<Vec<u32>, DataError> {
        let known = Split::named(split).ok_or_else(|| {
            let names: Vec<&str> = Split::ALL.iter().map(|s| s.name).collect();
            DataError::Request(format!("nuScenes has no split `{split}`; there are {}", names.join(", ")))
        })?;
        if !self.version.ends_with(known.version) {
            let found = format!("split `{split}` belongs to v1.0-{}, and this is {}", known.version, self.version);
            return Err(DataError::Request(found));
        }
        let scenes = self.tables.scenes.iter().zip(0_u32..);
        let found: Vec<u32> = scenes.filter(|(scene, _)| known.holds(&scene.name)).map(|(_, at)| at).collect();
        if found.is_empty() {
            return Err(DataError::Request(format!("no scene of split `{split}` is in {}", self.root.display())));
        }
        Ok(found)
    }

    /// The text of a sample's or instance's token.
    pub fn token_text(&self, token: Token) -> String {
        self.tables.odd_tokens.get(&token.0).cloned().unwrap_or_else(|| token.hex())
    }

    /// Velocity of a box in the world, m/s: the difference of its neighbours, or of itself and the one neighbour there
    /// is. `None` without a neighbour, or when they lie more than 1.5 s (two neighbours: 3 s) apart.
    pub fn velocity_mps(&self, annotation: &Annotation) -> Option<[f64; 2]> {
        let at = |row: u32| (row != NONE).then(|| &self.tables.annotations[row as usize]);
        let (before, after) = (at(annotation.prev), at(annotation.next));
        let limit_s = match (before, after) {
            (None, None) => return None,
            (Some(_), Some(_)) => 3.0,
            _ => 1.5,
        };
        let (first, last) = (before.unwrap_or(annotation), after.unwrap_or(annotation));
        let time = |a: &Annotation| 1e-6 * self.tables.samples[a.sample as usize].timestamp_us as f64;
        let span_s = time(last) - time(first);
        if span_s > limit_s || span_s == 0.0 {
            return None;
        }
        let (a, b) = (first.place.translation, last.place.translation);
        Some([(b[0] - a[0]) / span_s, (b[1] - a[1]) / span_s])
    }

    /// A box's instance at the next keyframes, as far as they follow without a gap, at most `count`.
    pub fn ahead(&self, annotation: &Annotation, count: usize) -> impl Iterator<Item = &Annotation> {
        let follow = |now: &Annotation| {
            let next = self.tables.annotations.get(now.next as usize)?;
            (next.sample == self.tables.samples[now.sample as usize].next).then_some(next)
        };
        std::iter::successors(follow(annotation), move |now| follow(now)).take(count)
    }

    /// Recorded centres of a box's instance after it: at most `count`, none later than `limit_s` after it.
    pub fn future(&self, annotation: &Annotation, count: usize, limit_s: f64) -> Vec<[f64; 2]> {
        let time = |a: &Annotation| self.tables.samples[a.sample as usize].timestamp_us;
        let begin = time(annotation);
        let mut out = Vec::with_capacity(count);
        let mut row = annotation.next;
        while row != NONE && out.len() < count {
            let next = &self.tables.annotations[row as usize];
            if time(next).abs_diff(begin) as f64 / 1e6 >= limit_s {
                break;
            }
            out.push([next.place.translation[0], next.place.translation[1]]);
            row = next.next;
        }
        out
    }
}

/// Rows grouped by sample: offsets and rows, each group in the order of the table.
fn by_sample(samples: usize, rows: impl Iterator<Item = u32> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut first = vec![0_u32; samples + 1];
    rows.clone().for_each(|sample| first[sample as usize + 1] += 1);
    for at in 0..samples {
        first[at + 1] += first[at];
    }
    let mut next = first.clone();
    let mut out = vec![0; first[samples] as usize];
    for (row, sample) in (0_u32..).zip(rows) {
        out[next[sample as usize] as usize] = row;
        next[sample as usize] += 1;
    }
    (first, out)
}

/// The one `v1.0-…` folder.
fn only_version(root: &Path) -> Result<String, DataError> {
    let io = |source| DataError::Io { path: root.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("v1.0-") && entry.path().is_dir() {
            found.push(name);
        }
    }
    found.sort();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(DataError::Missing { path: root.join("v1.0-*"), what: "any version of nuScenes".into() }),
        _ => Err(DataError::Request(format!("{} holds {}; name one with --version", root.display(), found.join(", ")))),
    }
}
