//! Guidance on disk: made once by a frozen teacher, read by every student.
//!
//! One folder per tap. It holds `guidance.json` (the [`CacheSpec`]: everything that identifies the entries) and numbered
//! shards, each a hashed container with the sample ids, a validity flag each and the values, row-major. A shard is written
//! whole or not at all, so a killed harvest goes on with the first shard that is missing and ends with the same bytes.

use crate::TeacherError;
use apprentice_core::guidance::{Guidance, GuidanceKey, GuidanceSource};
use apprentice_core::hash::content_hash;
use apprentice_core::sample::SampleId;
use apprentice_core::{BoxedError, Rng};
use apprentice_store::{Container, ContainerWriter, StoreError, read_json, write_json};
use half::f16;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KIND: &str = "guidance";
const KIND_VERSION: u32 = 1;

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Precision {
    F16,
    F32,
}

impl Precision {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// What a cache holds: every part of a [`GuidanceKey`] but the sample, and the layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSpec {
    /// Content hash of the teacher's checkpoint.
    pub teacher: String,
    /// Where in the teacher it is taken.
    pub tap: String,
    /// Hash of the preprocessing contract.
    pub preprocessing: String,
    /// Augmentation of the view, `none` for the plain one.
    pub augmentation: String,
    /// How values are stored.
    pub precision: Precision,
    /// Shape of one sample's values.
    pub shape: Vec<usize>,
    /// Samples in a shard (the last may hold fewer).
    pub shard_samples: usize,
}

impl CacheSpec {
    /// Values of one sample.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes that `samples` entries take on disk, without the small headers.
    pub fn price_bytes(&self, samples: usize) -> u64 {
        (samples as u64) * (self.values() as u64 * self.precision.bytes() as u64 + 1)
    }

    /// The key of a sample's entry.
    pub fn key(&self, sample: &SampleId) -> GuidanceKey {
        GuidanceKey {
            teacher: self.teacher.clone(),
            tap: self.tap.clone(),
            preprocessing: self.preprocessing.clone(),
            augmentation: self.augmentation.clone(),
            sample: sample.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    spec: CacheSpec,
    samples: usize,
    samples_hash: String,
}

fn hash_of(ids: &[SampleId]) -> String {
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    content_hash(text.as_bytes())
}

/// Writes a cache shard by shard.
#[derive(Debug)]
pub struct CacheWriter {
    folder: PathBuf,
    spec: CacheSpec,
    ids: Vec<SampleId>,
}

impl CacheWriter {
    /// Begin or continue the cache of `ids` in `folder`.
    ///
    /// # Errors
    /// [`TeacherError::OtherGuidance`] when the folder holds guidance made for something else.
    pub fn open(folder: &Path, spec: CacheSpec, ids: Vec<SampleId>) -> Result<Self, TeacherError> {
        let path = folder.join("guidance.json");
        match read_json::<Manifest>(&path) {
            Ok(found) => {
                let other = |field, expected: String, found: String| {
                    Err(TeacherError::OtherGuidance { path: path.clone(), field, expected, found })
                };
                if found.spec != spec {
                    let text = |s: &CacheSpec| serde_json::to_string(s).unwrap_or_default();
                    return other("spec", text(&spec), text(&found.spec));
                }
                if found.samples_hash != hash_of(&ids) {
                    return other("samples", hash_of(&ids), found.samples_hash);
                }
            }
            Err(e) if e.is_not_found() => {
                let manifest = Manifest {
                    version: KIND_VERSION,
                    spec: spec.clone(),
                    samples: ids.len(),
                    samples_hash: hash_of(&ids),
                };
                write_json(&path, &manifest)?;
            }
            Err(e) => return Err(e.into()),
        }
        Ok(Self { folder: folder.into(), spec, ids })
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.ids.len().div_ceil(self.spec.shard_samples.max(1))
    }

    /// The samples of a shard.
    pub fn shard_ids(&self, shard: usize) -> &[SampleId] {
        let size = self.spec.shard_samples.max(1);
        &self.ids[shard * size..((shard + 1) * size).min(self.ids.len())]
    }

    /// Whether a shard is there and whole. A damaged one counts as missing: it will be written again.
    pub fn has(&self, shard: usize) -> bool {
        Shard::open(&shard_path(&self.folder, shard), &self.spec).is_ok_and(|s| s.ids == self.shard_ids(shard))
    }

    /// Write a shard: one row per sample in [`Self::shard_ids`] order, `None` where there is no guidance.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, shard: usize, rows: &[Option<Vec<f32>>]) -> Result<(), TeacherError> {
        let ids = self.shard_ids(shard);
        let n = self.spec.values();
        let mut values = Vec::with_capacity(rows.len() * n * self.spec.precision.bytes());
        let mut valid = Vec::with_capacity(rows.len());
        if rows.len() != ids.len() {
            let reason = format!("{} rows for {} samples", rows.len(), ids.len());
            return Err(StoreError::Encode { what: "a shard of guidance".into(), reason }.into());
        }
        for (id, row) in ids.iter().zip(rows) {
            valid.push(u8::from(row.is_some()));
            let zeros;
            let row = match row {
                Some(row) => row,
                None => {
                    zeros = vec![0.0; n];
                    &zeros
                }
            };
            if row.len() != n {
                let reason = format!("{} values where the shape {:?} asks for {n}", row.len(), self.spec.shape);
                return Err(StoreError::Encode { what: format!("guidance of {id}"), reason }.into());
            }
            let finite = |v: f32| v.is_finite() && (self.spec.precision == Precision::F32 || v.abs() <= 65504.0);
            if !row.iter().all(|&v| finite(v)) {
                return Err(TeacherError::NotFinite { tap: self.spec.tap.clone(), sample: id.to_string() });
            }
            match self.spec.precision {
                Precision::F16 => row.iter().for_each(|&v| values.extend(f16::from_f32(v).to_le_bytes())),
                Precision::F32 => row.iter().for_each(|v| values.extend(v.to_le_bytes())),
            }
        }
        let encode =
            |what: &str, e: &dyn std::fmt::Display| StoreError::Encode { what: what.into(), reason: e.to_string() };
        let meta = serde_json::to_value(&self.spec).map_err(|e| encode("guidance spec", &e))?;
        let names = serde_json::to_vec(ids).map_err(|e| encode("sample ids", &e))?;
        let mut writer = ContainerWriter::new(KIND, KIND_VERSION, meta);
        writer.section("samples", names).section("valid", valid).section("values", values);
        writer.write(&shard_path(&self.folder, shard))?;
        Ok(())
    }
}

fn shard_path(folder: &Path, shard: usize) -> PathBuf {
    folder.join(format!("{shard:05}.guidance"))
}

#[derive(Debug)]
struct Shard {
    container: Container,
    ids: Vec<SampleId>,
}

impl Shard {
    fn open(path: &Path, spec: &CacheSpec) -> Result<Self, TeacherError> {
        let container = Container::open(path, KIND, KIND_VERSION)?;
        let found: CacheSpec = container.meta_as()?;
        if found != *spec {
            let text = |s: &CacheSpec| serde_json::to_string(s).unwrap_or_default();
            return Err(StoreError::mismatch(path, "spec", text(spec), text(&found)).into());
        }
        container.verify()?;
        let ids: Vec<SampleId> = serde_json::from_slice(container.section("samples")?)
            .map_err(|e| StoreError::corrupt(path, "section `samples`", "sample ids", e))?;
        let wanted = |name: &str, bytes: usize| -> Result<(), StoreError> {
            let found = container.section_as_verified(name)?.len();
            if found == bytes {
                Ok(())
            } else {
                Err(StoreError::corrupt(path, format!("section `{name}`"), bytes, found))
            }
        };
        wanted("valid", ids.len())?;
        wanted("values", ids.len() * spec.values() * spec.precision.bytes())?;
        Ok(Self { container, ids })
    }
}

/// A finished cache, open for reading.
#[derive(Debug)]
pub struct GuidanceCache {
    spec: CacheSpec,
    shards: Vec<Shard>,
    places: BTreeMap<SampleId, (usize, usize)>,
    hash: String,
}

impl GuidanceCache {
    /// Open a folder and check every byte of it.
    ///
    /// # Errors
    /// Names the file and the field that is missing, cut or wrong.
    pub fn open(folder: &Path) -> Result<Self, TeacherError> {
        let path = folder.join("guidance.json");
        let manifest: Manifest = read_json(&path)?;
        if manifest.version != KIND_VERSION {
            return Err(StoreError::mismatch(&path, "version", KIND_VERSION, manifest.version).into());
        }
        let spec = manifest.spec;
        if spec.shard_samples == 0 {
            return Err(StoreError::corrupt(&path, "spec.shard_samples", "at least 1", 0).into());
        }
        let mut shards = vec![];
        let mut places = BTreeMap::new();
        let mut ids = vec![];
        for index in 0..manifest.samples.div_ceil(spec.shard_samples) {
            let shard = Shard::open(&shard_path(folder, index), &spec)?;
            for (row, id) in shard.ids.iter().enumerate() {
                places.insert(id.clone(), (index, row));
                ids.push(id.clone());
            }
            shards.push(shard);
        }
        if ids.len() != manifest.samples || hash_of(&ids) != manifest.samples_hash {
            return Err(StoreError::corrupt(&path, "samples", manifest.samples, ids.len()).into());
        }
        let bound: String = shards.iter().map(|s| s.container.hash()).collect();
        Ok(Self { spec, shards, places, hash: content_hash(bound.as_bytes())[..16].to_string() })
    }

    /// What it holds.
    pub fn spec(&self) -> &CacheSpec {
        &self.spec
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Binds every byte of the cache.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The values of a sample, or `None` when there is no (valid) guidance for it.
    ///
    /// # Errors
    /// When a shard lost a section since it was opened.
    pub fn values(&self, sample: &SampleId) -> Result<Option<Vec<f32>>, TeacherError> {
        let Some(&(shard, row)) = self.places.get(sample) else { return Ok(None) };
        let container = &self.shards[shard].container;
        if container.section_as_verified("valid")?[row] == 0 {
            return Ok(None);
        }
        let width = self.spec.values() * self.spec.precision.bytes();
        let bytes = &container.section_as_verified("values")?[row * width..(row + 1) * width];
        Ok(Some(match self.spec.precision {
            Precision::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Precision::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        }))
    }

    /// Refuse guidance of another teacher, tap or preprocessing.
    ///
    /// # Errors
    /// [`TeacherError::OtherGuidance`] names the part that differs.
    pub fn expect(&self, folder: &Path, teacher: &str, tap: &str, preprocessing: &str) -> Result<(), TeacherError> {
        let same = |field, expected: &str, found: &str| {
            if expected == found {
                return Ok(());
            }
            let (expected, found) = (expected.to_string(), found.to_string());
            Err(TeacherError::OtherGuidance { path: folder.into(), field, expected, found })
        };
        same("teacher", teacher, &self.spec.teacher)?;
        same("tap", tap, &self.spec.tap)?;
        same("preprocessing", preprocessing, &self.spec.preprocessing)?;
        same("augmentation", "none", &self.spec.augmentation)
    }

    /// The samples it knows, in order.
    pub fn samples(&self) -> impl Iterator<Item = &SampleId> {
        self.places.keys()
    }
}

impl GuidanceSource for GuidanceCache {
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError> {
        Ok(self.values(sample)?.map(|values| Guidance {
            values,
            shape: self.spec.shape.clone(),
            valid: true,
            age_s: 0.0,
            key: self.spec.key(sample),
        }))
    }
}

impl GuidanceSource for &GuidanceCache {
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError> {
        (**self).guidance(sample)
    }
}

/// Control: gives each sample the guidance of another one, the same for the whole run.
pub struct Shuffled<S> {
    source: S,
    swap: BTreeMap<SampleId, SampleId>,
}

impl<S> Shuffled<S> {
    /// Swap guidance among `samples`: a random cycle, so no sample keeps its own (if there are two or more).
    pub fn new(source: S, samples: &[SampleId], seed: u64) -> Self {
        let mut order: Vec<_> = samples.to_vec();
        Rng::new(&[seed, 0x5b0f_f1e0]).shuffle(&mut order);
        let next = order.iter().cycle().skip(1).take(order.len()).cloned().collect::<Vec<_>>();
        Self { source, swap: order.into_iter().zip(next).collect() }
    }
}

impl<S: GuidanceSource> GuidanceSource for Shuffled<S> {
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError> {
        match self.swap.get(sample) {
            Some(other) => self.source.guidance(other),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(precision: Precision) -> CacheSpec {
        CacheSpec {
            teacher: "t".into(),
            tap: "planning-token".into(),
            preprocessing: "p".into(),
            augmentation: "none".into(),
            precision,
            shape: vec![2, 3],
            shard_samples: 4,
        }
    }

    fn ids(n: u32) -> Vec<SampleId> {
        (0..n).map(|i| SampleId { world: format!("w{}", i / 3), index: i % 3 }).collect()
    }

    fn row(i: usize) -> Option<Vec<f32>> {
        (i != 5).then(|| (0..6).map(|k| i as f32 + k as f32 * 0.25).collect())
    }

    fn fill(folder: &Path, precision: Precision, shards: &[usize]) -> CacheWriter {
        let writer = CacheWriter::open(folder, spec(precision), ids(10)).unwrap();
        for &shard in shards {
            let rows: Vec<_> = (0..writer.shard_ids(shard).len()).map(|r| row(shard * 4 + r)).collect();
            writer.write(shard, &rows).unwrap();
        }
        writer
    }

    #[test]
    fn gives_back_what_was_harvested_and_marks_what_is_missing() {
        for precision in [Precision::F16, Precision::F32] {
            let folder = tempfile::tempdir().unwrap();
            fill(folder.path(), precision, &[0, 1, 2]);
            let cache = GuidanceCache::open(folder.path()).unwrap();
            for (i, id) in ids(10).iter().enumerate() {
                assert_eq!(cache.values(id).unwrap(), row(i));
            }
            let guidance = cache.guidance(&ids(10)[1]).unwrap().unwrap();
            assert_eq!((guidance.shape, guidance.key.tap.as_str()), (vec![2, 3], "planning-token"));
            assert!(cache.guidance(&SampleId { world: "none".into(), index: 0 }).unwrap().is_none());
        }
    }

    #[test]
    fn a_killed_harvest_goes_on_and_ends_with_the_same_bytes() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(a.path(), Precision::F16, &[0, 1, 2]);
        fill(b.path(), Precision::F16, &[0, 1]);
        // The second shard was cut short by a power failure: it counts as missing.
        let cut = b.path().join("00001.guidance");
        let bytes = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() - 3]).unwrap();
        let writer = fill(b.path(), Precision::F16, &[]);
        let missing: Vec<_> = (0..writer.shards()).filter(|&s| !writer.has(s)).collect();
        assert_eq!(missing, [1, 2]);
        assert!(GuidanceCache::open(b.path()).unwrap_err().to_string().contains("00001.guidance"));
        fill(b.path(), Precision::F16, &missing);
        let read = |f: &Path| std::fs::read(f.join("00001.guidance")).unwrap();
        assert_eq!(read(a.path()), read(b.path()));
        assert_eq!(GuidanceCache::open(a.path()).unwrap().hash(), GuidanceCache::open(b.path()).unwrap().hash());
    }

    #[test]
    fn guidance_of_another_teacher_or_view_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), Precision::F16, &[0, 1, 2]);
        let other = CacheSpec { teacher: "u".into(), ..spec(Precision::F16) };
        assert!(matches!(CacheWriter::open(folder.path(), other, ids(10)), Err(TeacherError::OtherGuidance { .. })));
        assert!(CacheWriter::open(folder.path(), spec(Precision::F16), ids(9)).is_err());
        let cache = GuidanceCache::open(folder.path()).unwrap();
        assert!(cache.expect(folder.path(), "t", "planning-token", "p").is_ok());
        let error = cache.expect(folder.path(), "t", "planning-token", "q").unwrap_err().to_string();
        assert!(error.contains("preprocessing"), "{error}");
    }

    #[test]
    fn a_shuffle_leaves_nobody_its_own() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), Precision::F32, &[0, 1, 2]);
        let cache = GuidanceCache::open(folder.path()).unwrap();
        let shuffled = Shuffled::new(cache, &ids(10), 4);
        let mut seen = std::collections::BTreeSet::new();
        for id in ids(10) {
            if let Some(guidance) = shuffled.guidance(&id).unwrap() {
                assert_ne!(guidance.key.sample, id);
                seen.insert(guidance.key.sample);
            }
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn the_price_is_the_size() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), Precision::F16, &[0, 1, 2]);
        let price = spec(Precision::F16).price_bytes(10);
        let size: u64 = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(size >= price && size < price + 8_000, "{price} {size}");
        let error = CacheWriter::open(folder.path(), spec(Precision::F16), ids(10)).unwrap();
        assert!(matches!(error.write(2, &[Some(vec![f32::NAN; 6]), None]), Err(TeacherError::NotFinite { .. })));
    }
}
