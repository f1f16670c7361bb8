//! One world on disk: who it is, how it went, and its moments, each decodable alone.
//!
//! A container of kind `world`: metadata is [`WorldMeta`]; section `index` holds the end offset of each record
//! (u64, little-endian), section `records` the postcard records back to back.

use crate::split::WorldSpec;
use crate::{DataError, Part};
use apprentice_core::Sample;
use apprentice_sim::state::Snapshot;
use apprentice_store::{Container, ContainerWriter};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Kind of the container.
pub const WORLD_KIND: &str = "world";
/// Newest version of the records that this program reads and writes.
pub const WORLD_VERSION: u32 = 1;

/// One 2 Hz moment: what a camera would see and what is true of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The world's public state.
    pub snapshot: Snapshot,
    /// Labels. All labels are stored; the split says who may use them.
    pub sample: Sample,
}

/// How a world went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldMeta {
    /// Its line of the split.
    pub spec: WorldSpec,
    /// Hash of the split it belongs to.
    pub split_hash: String,
    /// Hash of the world's state at its last tick, hex.
    pub state_hash: String,
    /// Ticks simulated.
    pub ticks: u32,
    /// Records in the file.
    pub records: u32,
    /// Visible pedestrians and cyclists over all records.
    pub visible_walkers: u32,
    /// Metres of the route that were driven.
    pub driven_m: f64,
    /// Why the expert's drive may not be learned from, such as `collision with a vehicle`; none when it may.
    pub flaw: Option<String>,
}

impl WorldMeta {
    /// Which part it belongs to.
    pub fn part(&self) -> Part {
        self.spec.part
    }
}

/// Write a world; returns the hash that binds every byte of the file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_world(path: &Path, meta: &WorldMeta, records: &[Record]) -> Result<String, DataError> {
    let encode = |what: &str, e: &dyn std::fmt::Display| {
        DataError::Store(apprentice_store::StoreError::Encode {
            what: format!("{what} of {}", path.display()),
            reason: e.to_string(),
        })
    };
    let mut bytes = Vec::new();
    let mut index = Vec::with_capacity(records.len() * 8);
    for record in records {
        bytes = postcard::to_extend(record, bytes).map_err(|e| encode("a record", &e))?;
        index.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    }
    let meta = serde_json::to_value(meta).map_err(|e| encode("the header", &e))?;
    let mut writer = ContainerWriter::new(WORLD_KIND, WORLD_VERSION, meta);
    writer.section("index", index).section("records", bytes);
    Ok(writer.write(path)?)
}

/// An opened world.
#[derive(Debug)]
pub struct WorldFile {
    container: Container,
    meta: WorldMeta,
    ends: Vec<usize>,
}

impl WorldFile {
    /// Open and check a world file, all of it.
    ///
    /// # Errors
    /// Names the file and the field that is cut, wrong or of another kind.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let container = Container::open(path, WORLD_KIND, WORLD_VERSION)?;
        container.verify()?;
        let meta: WorldMeta = container.meta_as()?;
        let index = container.section("index")?;
        let length = container.section("records")?.len();
        let ends: Vec<usize> = index
            .chunks(8)
            .map(|b| <[u8; 8]>::try_from(b).map_or(usize::MAX, |b| u64::from_le_bytes(b) as usize))
            .collect();
        if ends.len() != meta.records as usize {
            return Err(DataError::invalid(
                path,
                "meta.records",
                format!("the header says {}, the index holds {}", meta.records, ends.len()),
            ));
        }
        if ends.last().copied().unwrap_or(0) != length || ends.windows(2).any(|w| w[1] < w[0]) {
            return Err(DataError::invalid(path, "section `index`", "offsets do not fit the records"));
        }
        Ok(Self { container, meta, ends })
    }

    /// Who it is and how it went.
    pub fn meta(&self) -> &WorldMeta {
        &self.meta
    }

    /// The hash that binds every byte.
    pub fn hash(&self) -> &str {
        self.container.hash()
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One moment. The bytes were checked when the file was opened.
    ///
    /// # Errors
    /// When there is no such record or it is not one.
    pub fn record(&self, index: u32) -> Result<Record, DataError> {
        let at = index as usize;
        let path = self.container.path();
        let Some(&end) = self.ends.get(at) else {
            return Err(DataError::invalid(path, format!("record {index}"), format!("there are {}", self.len())));
        };
        let start = at.checked_sub(1).map_or(0, |i| self.ends[i]);
        let bytes = self
            .container
            .section_as_verified("records")?
            .get(start..end)
            .ok_or_else(|| DataError::invalid(path, format!("record {index}"), "it lies outside the section"))?;
        postcard::from_bytes(bytes).map_err(|e| DataError::invalid(path, format!("record {index}"), e.to_string()))
    }
}
