//! A made data set, opened for reading.

use crate::file::{Record, WorldFile, WorldMeta};
use crate::split::{SPLIT_FILE, Split, WorldSpec};
use crate::towns::{Town, TownLibrary};
use crate::{DataError, Part};
use apprentice_core::Sample;
use apprentice_core::sample::SampleId;
use apprentice_sim::state::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Version of the index file.
pub const INDEX_VERSION: u32 = 1;
/// Name of the index file in a data set's folder.
pub const INDEX_FILE: &str = "worlds.json";
/// Folder of the world files in a data set's folder.
pub const WORLDS_FOLDER: &str = "worlds";

/// One world's line of the index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldEntry {
    /// World.
    pub id: String,
    /// Hash that binds every byte of its file.
    pub hash: String,
    /// Samples in it.
    pub samples: u32,
    /// Why nobody should learn from it, when so.
    pub flaw: Option<String>,
}

/// What the index counts per part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartCount {
    /// Worlds.
    pub worlds: usize,
    /// Worlds without flaw.
    pub sound_worlds: usize,
    /// Samples of worlds without flaw.
    pub samples: usize,
    /// Visible pedestrians and cyclists over these samples.
    pub visible_walkers: usize,
}

/// The index: written last, so a folder with it is whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldsIndex {
    /// [`INDEX_VERSION`].
    pub version: u32,
    /// Hash of the split file.
    pub split_hash: String,
    /// Counts by part name.
    pub parts: BTreeMap<String, PartCount>,
    /// Worlds per flaw.
    pub flaws: BTreeMap<String, usize>,
    /// Worlds that could not be made at all, with the reason.
    pub failed: BTreeMap<String, String>,
    /// Every world's file.
    pub worlds: Vec<WorldEntry>,
}

/// A data set.
pub struct WorldSet {
    root: PathBuf,
    hash: String,
    split: Split,
    index: WorldsIndex,
    /// World id → places in the index and in the split.
    places: BTreeMap<String, (usize, usize)>,
    files: Vec<OnceLock<WorldFile>>,
    towns: TownLibrary,
}

impl WorldSet {
    /// Open the folder that `worlds make` wrote (or the `worlds.json` in it).
    ///
    /// # Errors
    /// Names the file and field when the split or the index is missing, damaged or of another version. World files
    /// are opened, and checked, when they are first used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let root = if path.is_file() { path.parent().unwrap_or(Path::new(".")) } else { path }.to_path_buf();
        let index_path = root.join(INDEX_FILE);
        let index: WorldsIndex = apprentice_store::read_json(&index_path)?;
        if index.version != INDEX_VERSION {
            return Err(DataError::invalid(
                &index_path,
                "version",
                format!("this program reads {INDEX_VERSION}, the file says {}", index.version),
            ));
        }
        let split_path = root.join(SPLIT_FILE);
        let bytes = apprentice_store::read_bytes(&split_path)?;
        let split_hash = apprentice_core::hash::content_hash(&bytes);
        if split_hash != index.split_hash {
            return Err(DataError::invalid(
                &split_path,
                "hash",
                format!("{INDEX_FILE} was made from the split {}, this is {split_hash}", index.split_hash),
            ));
        }
        let split = Split::load(&split_path)?;
        let index_text = apprentice_store::read_bytes(&index_path)?;
        let hash = apprentice_core::hash::content_hash(&index_text);
        let in_split: BTreeMap<&str, usize> =
            split.worlds.iter().enumerate().map(|(i, w)| (w.id.as_str(), i)).collect();
        let mut places = BTreeMap::new();
        for (place, entry) in index.worlds.iter().enumerate() {
            let known = in_split.get(entry.id.as_str());
            if known.is_none_or(|&spec| places.insert(entry.id.clone(), (place, spec)).is_some()) {
                return Err(DataError::invalid(&index_path, format!("world {}", entry.id), "it is unknown or doubled"));
            }
        }
        let files = index.worlds.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { root, hash, split, index, places, files, towns: TownLibrary::new() })
    }

    /// Hash of the index, which binds every byte of every world.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The split it was made from.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The index with its counts.
    pub fn index(&self) -> &WorldsIndex {
        &self.index
    }

    /// A world's line of the split.
    ///
    /// # Errors
    /// When there is no such world.
    pub fn world(&self, id: &str) -> Result<&WorldSpec, DataError> {
        self.places.get(id).map(|&(_, spec)| &self.split.worlds[spec]).ok_or_else(|| self.unknown(id))
    }

    /// How a world went.
    ///
    /// # Errors
    /// When there is no such world or its file is damaged.
    pub fn meta(&self, world: &str) -> Result<&WorldMeta, DataError> {
        Ok(self.file(world)?.meta())
    }

    /// All samples of a part that may be learned from or scored (worlds with a flaw are left out), in order.
    pub fn ids(&self, part: Part) -> Vec<SampleId> {
        self.ids_where(|spec, entry| spec.part == part && entry.flaw.is_none())
    }

    /// All samples of the worlds that `keep` keeps, in order.
    pub fn ids_where(&self, keep: impl Fn(&WorldSpec, &WorldEntry) -> bool) -> Vec<SampleId> {
        let mut ids = Vec::new();
        for entry in &self.index.worlds {
            if self.world(&entry.id).is_ok_and(|spec| keep(spec, entry)) {
                ids.extend((0..entry.samples).map(|index| SampleId { world: entry.id.clone(), index }));
            }
        }
        ids
    }

    /// Labels of a sample.
    ///
    /// # Errors
    /// When there is no such sample or its file is damaged.
    pub fn sample(&self, id: &SampleId) -> Result<Arc<Sample>, DataError> {
        Ok(Arc::new(self.record(id)?.sample))
    }

    /// World state of a sample, for cameras and pictures.
    ///
    /// # Errors
    /// When there is no such sample or its file is damaged.
    pub fn snapshot(&self, id: &SampleId) -> Result<Arc<Snapshot>, DataError> {
        Ok(Arc::new(self.record(id)?.snapshot))
    }

    /// Labels and state of a sample.
    ///
    /// # Errors
    /// When there is no such sample or its file is damaged.
    pub fn record(&self, id: &SampleId) -> Result<Record, DataError> {
        let file = self.file(&id.world)?;
        if id.index as usize >= file.len() {
            return Err(self.unknown(&id.to_string()));
        }
        file.record(id.index)
    }

    /// The town of a world, built when first used and then shared.
    ///
    /// # Errors
    /// When there is no such world or its town cannot be built.
    pub fn town(&self, world: &str) -> Result<Arc<Town>, DataError> {
        self.towns.town(&self.world(world)?.town)
    }

    /// The towns built so far, and a place to get others.
    pub fn towns(&self) -> &TownLibrary {
        &self.towns
    }

    fn unknown(&self, id: &str) -> DataError {
        DataError::NoSample { path: self.root.clone(), id: id.into() }
    }

    fn file(&self, world: &str) -> Result<&WorldFile, DataError> {
        let place = self.places.get(world).ok_or_else(|| self.unknown(world))?.0;
        if let Some(file) = self.files[place].get() {
            return Ok(file);
        }
        let entry = &self.index.worlds[place];
        let path = world_path(&self.root, world);
        let file = WorldFile::open(&path)?;
        if file.hash() != entry.hash || file.meta().spec.id != entry.id || file.len() != entry.samples as usize {
            return Err(DataError::invalid(&path, "hash", format!("it is not the file that {INDEX_FILE} lists")));
        }
        Ok(self.files[place].get_or_init(|| file))
    }
}

/// Where a world's file lies in a data set's folder.
pub fn world_path(root: &Path, id: &str) -> PathBuf {
    root.join(WORLDS_FOLDER).join(format!("{id}.world"))
}
