//! `worlds make`: from a split file to a folder of worlds.
//!
//! The folder is `split.json`, `worlds/<id>.world`, and `worlds.json`, which is written last. Worlds are made in parallel,
//! each from its line of the split alone, so the bytes are the same whatever the number of threads, and a run that was
//! killed goes on where it stopped: whole files of the same split are kept.

use crate::file::{WorldFile, WorldMeta, write_world};
use crate::record::{LabelCamera, drive};
use crate::split::{SPLIT_FILE, Split, WorldSpec};
use crate::towns::TownLibrary;
use crate::worldset::{INDEX_FILE, INDEX_VERSION, PartCount, WORLDS_FOLDER, WorldEntry, WorldsIndex, world_path};
use crate::{DataError, Size};
use apprentice_core::{AgentClass, Progress};
use apprentice_store::{RunLock, sweep, write_atomic, write_json};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeConfig {
    /// Folder to make or finish.
    pub out: PathBuf,
    /// Preset.
    pub size: Size,
    /// Seed of the split.
    pub seed: u64,
    /// Threads; 0 takes all.
    pub threads: usize,
}

/// One made world, as the index needs it.
struct Made {
    entry: WorldEntry,
    visible_walkers: usize,
}

/// Plan the split (or take the one that is there), make every missing world, write the index.
///
/// # Errors
/// When the folder holds another data set, is in use, or cannot be written. Worlds that cannot be simulated are no error:
/// they are listed in the index with their reason.
pub fn make(config: &MakeConfig, progress: &dyn Progress) -> Result<WorldsIndex, DataError> {
    let _lock = RunLock::acquire(&config.out)?;
    sweep(&config.out)?;
    sweep(&config.out.join(WORLDS_FOLDER))?;
    let towns = TownLibrary::new();
    progress.start("plan the split", 1);
    let (split, split_hash) = settle_split(config, &towns)?;
    progress.advance(1);
    progress.finish();
    progress.start("make worlds", split.worlds.len() as u64);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads)
        .build()
        .map_err(|e| DataError::Request(format!("cannot start {} threads: {e}", config.threads)))?;
    let results: Vec<Result<Made, DataError>> = pool.install(|| {
        split
            .worlds
            .par_iter()
            .map_init(LabelCamera::new, |camera, spec| {
                if let Some(made) = already_made(&world_path(&config.out, &spec.id), spec, &split_hash) {
                    progress.skip(1);
                    return Ok(made);
                }
                let made = make_world(&config.out, spec, &split_hash, &towns, camera);
                progress.advance(1);
                made
            })
            .collect()
    });
    progress.finish();
    let index = index(&split, &split_hash, results)?;
    write_json(&config.out.join(INDEX_FILE), &index)?;
    Ok(index)
}

/// The split in the folder if it is the one asked for, else a new one in an empty folder.
fn settle_split(config: &MakeConfig, towns: &TownLibrary) -> Result<(Split, String), DataError> {
    let path = config.out.join(SPLIT_FILE);
    let other = |expected: String, found: String| DataError::OtherSplit { path: config.out.clone(), expected, found };
    match Split::load(&path) {
        Ok(split) => {
            if (split.size, split.seed) != (config.size, config.seed) {
                let name = |size: Size, seed: u64| format!("size {}, seed {seed}", size.name());
                return Err(other(name(config.size, config.seed), name(split.size, split.seed)));
            }
        }
        Err(DataError::Store(e)) if e.is_not_found() => {
            let split = Split::plan(config.size, config.seed, towns)?;
            write_atomic(&path, split.to_json().as_bytes())?;
        }
        Err(e) => return Err(e),
    }
    // What is on disk counts: a split is what its file says.
    let split = Split::load(&path)?;
    let hash = apprentice_core::hash::content_hash(&apprentice_store::read_bytes(&path)?);
    Ok((split, hash))
}

fn make_world(
    out: &Path,
    spec: &WorldSpec,
    split_hash: &str,
    towns: &TownLibrary,
    camera: &mut LabelCamera,
) -> Result<Made, DataError> {
    let path = world_path(out, &spec.id);
    let drive = drive(towns, spec, camera)?;
    let meta = WorldMeta {
        spec: spec.clone(),
        split_hash: split_hash.into(),
        state_hash: format!("{:016x}", drive.state_hash),
        ticks: drive.ticks,
        records: drive.records.len() as u32,
        visible_walkers: drive.records.iter().map(|r| visible_walkers(&r.sample)).sum::<usize>() as u32,
        driven_m: (drive.driven_m * 100.0).round() / 100.0,
        flaw: drive.flaw,
    };
    let hash = write_world(&path, &meta, &drive.records)?;
    Ok(made(&meta, hash))
}

/// A whole file of the same world and split from an earlier run; anything else there is made again.
fn already_made(path: &Path, spec: &WorldSpec, split_hash: &str) -> Option<Made> {
    let file = WorldFile::open(path).ok()?;
    let meta = file.meta();
    (meta.spec == *spec && meta.split_hash == split_hash).then(|| made(meta, file.hash().into()))
}

fn made(meta: &WorldMeta, hash: String) -> Made {
    let entry = WorldEntry { id: meta.spec.id.clone(), hash, samples: meta.records, flaw: meta.flaw.clone() };
    Made { entry, visible_walkers: meta.visible_walkers as usize }
}

fn visible_walkers(sample: &apprentice_core::Sample) -> usize {
    sample
        .agents
        .iter()
        .filter(|a| matches!(a.class, AgentClass::Pedestrian | AgentClass::Bicycle))
        .filter(|a| a.visible_pixels >= apprentice_sim::language::VISIBLE_PIXELS)
        .count()
}

fn index(split: &Split, split_hash: &str, results: Vec<Result<Made, DataError>>) -> Result<WorldsIndex, DataError> {
    let mut index = WorldsIndex {
        version: INDEX_VERSION,
        split_hash: split_hash.into(),
        parts: crate::Part::ALL.into_iter().map(|p| (p.name().to_string(), PartCount::default())).collect(),
        flaws: BTreeMap::new(),
        failed: BTreeMap::new(),
        worlds: Vec::new(),
    };
    for (spec, result) in split.worlds.iter().zip(results) {
        match result {
            Ok(made) => {
                let part = index.parts.entry(spec.part.name().into()).or_default();
                part.worlds += 1;
                match &made.entry.flaw {
                    Some(flaw) => *index.flaws.entry(flaw.clone()).or_default() += 1,
                    None => {
                        part.sound_worlds += 1;
                        part.samples += made.entry.samples as usize;
                        part.visible_walkers += made.visible_walkers;
                    }
                }
                index.worlds.push(made.entry);
            }
            Err(e @ (DataError::Sim { .. } | DataError::Road { .. })) => {
                index.failed.insert(spec.id.clone(), e.to_string());
            }
            Err(e) => return Err(e),
        }
    }
    Ok(index)
}
