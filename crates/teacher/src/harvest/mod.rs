//! Harvest: run a frozen model once over samples and keep what it gives.
//!
//! A [`Giver`] is a frozen model with what it is asked: our own teacher on its scene tokens ([`Harvest`]), a published model
//! that reads prompts and pictures ([`Published`]), or an encoder of texts and pictures ([`Embedding`]). All of them write the
//! one cache format, shard by shard, through [`run`]; [`price`] says what that would cost.

mod embedding;
mod planner;
mod published;

pub use embedding::{Embedding, TextSource};
pub use planner::{Guide, Harvest, Tap};
pub use published::{Layers, Places, Published, PublishedConfig};

use crate::cache::Row;
use crate::{CacheSpec, CacheWriter, GuidanceCache, TeacherError};
use apprentice_core::sample::SampleId;
use apprentice_core::{Progress, Silent};
use apprentice_store::{RunLock, sweep};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A frozen model with what it is asked.
pub trait Giver {
    /// One cache per tap: the name of its folder, and what it holds. All have equally many samples in a shard.
    ///
    /// # Errors
    /// When a tap cannot be had from this model.
    fn taps(&self) -> Result<Vec<(String, CacheSpec)>, TeacherError>;

    /// Every tap's rows of some samples, in their order: a function of these samples alone, so that a harvest may be cut between
    /// any two shards.
    ///
    /// # Errors
    /// When a sample cannot be read.
    fn give(&self, ids: &[SampleId], progress: &dyn Progress) -> Result<Vec<Vec<Option<Row>>>, TeacherError>;
}

/// Why samples of a tap are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// Tap.
    pub tap: String,
    /// In words.
    pub why: String,
    /// How many.
    pub samples: usize,
}

/// What a harvest would cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Samples.
    pub samples: usize,
    /// Samples that some tap lacks: those the model must see.
    pub missing: usize,
    /// Bytes on disk with every position of every sample, by tap.
    pub bytes: Vec<(String, u64)>,
    /// What is missing, and why.
    pub misses: Vec<Miss>,
    /// Seconds on this machine for what is missing, from a few samples.
    pub seconds: f64,
}

/// What it would cost to harvest `ids` into `folder`, without writing anything.
///
/// # Errors
/// When a sample cannot be read.
pub fn price(giver: &dyn Giver, ids: &[SampleId], folder: Option<&Path>) -> Result<Price, TeacherError> {
    /// Samples that are tried out: a few, and where that took no time, more.
    const FEW: [usize; 2] = [4, 48];
    let taps = giver.taps()?;
    let bytes = taps.iter().map(|(name, spec)| (name.clone(), spec.price_bytes(ids.len()))).collect();
    let (mut misses, mut missing) = (vec![], if folder.is_some() { 0 } else { ids.len() });
    for (name, spec) in taps.iter().filter(|_| folder.is_some()) {
        let place = folder.map_or_else(PathBuf::new, |folder| folder.join(name));
        let found = CacheWriter::misses(&place, spec, ids);
        missing = missing.max(found.values().sum());
        let of = |(why, samples)| Miss { tap: name.clone(), why, samples };
        misses.extend(found.into_iter().map(of));
    }
    let mut seconds = 0.0;
    for few in FEW.map(|few| &ids[..ids.len().min(few).min(missing)]).into_iter().filter(|few| !few.is_empty()) {
        if seconds > missing as f64 {
            break;
        }
        let begun = Instant::now();
        giver.give(few, &Silent)?;
        seconds = begun.elapsed().as_secs_f64() / few.len() as f64 * missing as f64;
    }
    Ok(Price { samples: ids.len(), missing, bytes, misses, seconds })
}

/// Write what is missing in `folder`, one folder per tap, and open the caches.
///
/// # Errors
/// When a sample cannot be read, a file cannot be written, or the folder holds other guidance.
pub fn run(
    giver: &dyn Giver,
    ids: &[SampleId],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Vec<GuidanceCache>, TeacherError> {
    let _lock = RunLock::acquire(folder)?;
    let taps = giver.taps()?;
    for (name, _) in &taps {
        sweep(&folder.join(name))?;
    }
    let open = |(name, spec): &(String, CacheSpec)| CacheWriter::open(&folder.join(name), spec.clone(), ids.to_vec());
    let writers = taps.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    progress.start("harvest", ids.len() as u64);
    for shard in 0..writers.first().map_or(0, CacheWriter::shards) {
        let missing: Vec<_> = writers.iter().map(|w| !w.has(shard)).collect();
        let ids = writers[0].shard_ids(shard);
        if missing.contains(&true) {
            let rows = giver.give(ids, progress)?;
            for ((writer, rows), _) in writers.iter().zip(&rows).zip(&missing).filter(|(_, missing)| **missing) {
                writer.write(shard, rows)?;
            }
        } else {
            progress.skip(ids.len() as u64);
        }
    }
    progress.finish();
    taps.iter().map(|(name, _)| GuidanceCache::open(&folder.join(name))).collect()
}
