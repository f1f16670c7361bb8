//! Guidance on disk: made once by a frozen teacher, read by every student. One format for every teacher and every tap.
//!
//! One folder per tap. It holds `guidance.json` (the [`CacheSpec`]: everything that identifies the entries, and the addresses
//! of its shards) and the shards: hashed containers, memory-mapped. A shard's name is its address: the hash of the spec and of
//! the samples in it, so what was asked decides where the answer lies. A shard is written whole or not at all: a killed
//! harvest goes on with the shards that are missing and ends with the same bytes, and a harvest of more samples keeps those
//! it shares with an earlier one.
//!
//! | section | holds |
//! |---|---|
//! | `samples` | their ids (JSON) |
//! | `valid` | a byte each: whether there is guidance |
//! | `counts` | positions each (u32): rows are as long as they are, not as long as the longest |
//! | `ages` | seconds between the observation and the sample (f32) |
//! | `values` | row-major, in the spec's precision |
//! | `scales` | with int8: what a step is worth, one f32 a vector (last axis) |
//! | `texts` | where the teacher spoke: a string or null each (JSON) |
//!
//! Version 1 (read, not written) had shards named by number and whole rows: no `counts`, `ages`, `scales`, `texts`.

use crate::TeacherError;
use apprentice_core::guidance::{Guidance, GuidanceKey, GuidanceSource};
use apprentice_core::hash::content_hash;
use apprentice_core::sample::SampleId;
use apprentice_core::{BoxedError, Rng};
use apprentice_store::{Container, ContainerWriter, StoreError, read_json, write_json};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KIND: &str = "guidance";
const KIND_VERSION: u32 = 2;
/// Augmentation of the plain view.
const PLAIN: &str = "none";

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Precision {
    F16,
    F32,
    /// Rounded to 255 steps of each vector's largest magnitude.
    Int8,
}

impl Precision {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// Bytes of one vector's scale.
    fn scale_bytes(self) -> usize {
        if self == Self::Int8 { 4 } else { 0 }
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
    /// Hash of what the teacher was asked; empty where nothing is asked.
    #[serde(default)]
    pub prompt: String,
    /// Hash of the preprocessing contract.
    pub preprocessing: String,
    /// Augmentation of the view, `none` for the plain one.
    pub augmentation: String,
    /// Hash of the data set: samples of two sets have the same names. Empty in caches of before it was kept.
    #[serde(default)]
    pub data: String,
    /// Whether the teacher was told something true that no driver can know: such guidance is for training alone.
    #[serde(default)]
    pub knows_truth: bool,
    /// How values are stored.
    pub precision: Precision,
    /// Shape of one sample's values: `[width]`, or `[positions at most, …, width]`.
    pub shape: Vec<usize>,
    /// Samples in a shard (the last may hold fewer).
    pub shard_samples: usize,
}

impl CacheSpec {
    /// Values of one sample with all its positions.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Positions of a sample at most.
    pub fn positions(&self) -> usize {
        if self.shape.len() > 1 { self.shape[0] } else { 1 }
    }

    /// Values of one position.
    fn stride(&self) -> usize {
        self.shape[usize::from(self.shape.len() > 1)..].iter().product()
    }

    /// Values of one vector (the last axis).
    fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1).max(1)
    }

    /// Bytes that `samples` entries with all their positions take on disk, without the small headers.
    pub fn price_bytes(&self, samples: usize) -> u64 {
        let row = self.values() * self.precision.bytes() + self.values() / self.width() * self.precision.scale_bytes();
        (samples as u64) * (row as u64 + 9)
    }

    /// The key of a sample's entry.
    pub fn key(&self, sample: &SampleId) -> GuidanceKey {
        GuidanceKey {
            teacher: self.teacher.clone(),
            tap: self.tap.clone(),
            prompt: self.prompt.clone(),
            preprocessing: self.preprocessing.clone(),
            augmentation: self.augmentation.clone(),
            data: self.data.clone(),
            sample: sample.clone(),
        }
    }

    /// The first field in which another spec differs: its name, what is wanted here, what stands there.
    pub fn difference(&self, found: &Self) -> Option<(&'static str, String, String)> {
        let fields = |s: &Self| {
            [
                ("teacher", s.teacher.clone()),
                ("tap", s.tap.clone()),
                ("prompt", s.prompt.clone()),
                ("preprocessing", s.preprocessing.clone()),
                ("augmentation", s.augmentation.clone()),
                ("data", s.data.clone()),
                ("knows_truth", s.knows_truth.to_string()),
                ("precision", format!("{:?}", s.precision).to_lowercase()),
                ("shape", format!("{:?}", s.shape)),
                ("shard_samples", s.shard_samples.to_string()),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(found));
        pairs.into_iter().find(|((_, a), (_, b))| a != b).map(|((field, a), (_, b))| (field, a, b))
    }

    /// Identifies what is taken from whom and of which data, whatever samples there are of it.
    pub fn identity(&self) -> String {
        self.address(&[])
    }

    fn address(&self, ids: &[SampleId]) -> String {
        let spec = serde_json::to_string(self).unwrap_or_default();
        content_hash(format!("{spec}\n{}", listed(ids)).as_bytes())[..16].to_string()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    spec: CacheSpec,
    samples: usize,
    samples_hash: String,
    /// Addresses, in the order of the samples. Version 1 counts its shards instead.
    #[serde(default)]
    shards: Vec<String>,
}

fn listed(ids: &[SampleId]) -> String {
    ids.iter().map(|id| format!("{id}\n")).collect()
}

fn hash_of(ids: &[SampleId]) -> String {
    content_hash(listed(ids).as_bytes())
}

/// One sample's guidance, as a teacher gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Row-major values of as many positions as there are, at most the spec's.
    pub values: Vec<f32>,
    /// Seconds between the observation it is about and the sample.
    pub age_s: f32,
    /// What the teacher said, where it spoke.
    pub text: Option<String>,
}

impl From<Vec<f32>> for Row {
    fn from(values: Vec<f32>) -> Self {
        Self { values, ..Self::default() }
    }
}

/// What a writer finds in the place of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// It is there and whole.
    Whole,
    /// It is not there.
    Absent,
    /// It is there and cannot be used, for this reason; it will be written again.
    Damaged(String),
}

/// Writes a cache shard by shard.
#[derive(Debug)]
pub struct CacheWriter {
    folder: PathBuf,
    spec: CacheSpec,
    ids: Vec<SampleId>,
}

impl CacheWriter {
    /// Begin or continue the cache of `ids` in `folder`. Samples may differ from those of an earlier harvest: shards that both
    /// share are kept.
    ///
    /// # Errors
    /// [`TeacherError::OtherGuidance`] when the folder holds guidance made for something else.
    pub fn open(folder: &Path, spec: CacheSpec, ids: Vec<SampleId>) -> Result<Self, TeacherError> {
        let path = folder.join("guidance.json");
        let writer = Self { folder: folder.into(), spec, ids };
        let manifest = writer.manifest();
        match read_json::<Manifest>(&path) {
            Ok(found) => {
                if let Some((field, expected, found)) = writer.spec.difference(&found.spec) {
                    return Err(TeacherError::OtherGuidance { path, field, expected, found });
                }
                if found.version != KIND_VERSION || found.shards != manifest.shards {
                    write_json(&path, &manifest)?;
                }
            }
            Err(e) if e.is_not_found() => write_json(&path, &manifest)?,
            Err(e) => return Err(e.into()),
        }
        Ok(writer)
    }

    /// What a harvest of `ids` into `folder` would find there, without writing anything: samples that are missing, by reason.
    pub fn misses(folder: &Path, spec: &CacheSpec, ids: &[SampleId]) -> BTreeMap<String, usize> {
        let why = match read_json::<Manifest>(&folder.join("guidance.json")) {
            Err(e) if e.is_not_found() => Some("not harvested yet".to_string()),
            Err(e) => Some(e.to_string()),
            Ok(found) => spec.difference(&found.spec).map(|(field, wanted, found)| {
                format!("the folder holds guidance with another {field}: {found}, wanted {wanted}")
            }),
        };
        let mut misses = BTreeMap::new();
        if let Some(why) = why {
            misses.insert(why, ids.len());
            return misses;
        }
        let writer = Self { folder: folder.into(), spec: spec.clone(), ids: ids.to_vec() };
        for shard in 0..writer.shards() {
            let why = match writer.state(shard) {
                ShardState::Whole => continue,
                ShardState::Absent => "not harvested yet".to_string(),
                ShardState::Damaged(reason) => reason,
            };
            *misses.entry(why).or_default() += writer.shard_ids(shard).len();
        }
        misses
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            version: KIND_VERSION,
            spec: self.spec.clone(),
            samples: self.ids.len(),
            samples_hash: hash_of(&self.ids),
            shards: (0..self.shards()).map(|shard| self.spec.address(self.shard_ids(shard))).collect(),
        }
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

    fn path(&self, shard: usize) -> PathBuf {
        shard_path(&self.folder, &self.spec.address(self.shard_ids(shard)))
    }

    /// What lies in the place of a shard.
    pub fn state(&self, shard: usize) -> ShardState {
        match Shard::open(&self.path(shard), &self.spec) {
            Ok(found) if found.ids == self.shard_ids(shard) => ShardState::Whole,
            Ok(_) => ShardState::Damaged(format!("{}: it holds other samples", self.path(shard).display())),
            Err(TeacherError::Store(e)) if e.is_not_found() => ShardState::Absent,
            Err(e) => ShardState::Damaged(e.to_string()),
        }
    }

    /// Whether a shard is there and whole. A damaged one counts as missing: it will be written again.
    pub fn has(&self, shard: usize) -> bool {
        self.state(shard) == ShardState::Whole
    }

    /// Write a shard: one row per sample in [`Self::shard_ids`] order, `None` where there is no guidance.
    ///
    /// # Errors
    /// When a row does not have the spec's shape or the file cannot be written.
    pub fn write(&self, shard: usize, rows: &[Option<Row>]) -> Result<(), TeacherError> {
        let ids = self.shard_ids(shard);
        let encode = |what: String, reason: String| TeacherError::from(StoreError::Encode { what, reason });
        if rows.len() != ids.len() {
            let reason = format!("{} rows for {} samples", rows.len(), ids.len());
            return Err(encode("a shard of guidance".into(), reason));
        }
        let (stride, most) = (self.spec.stride(), self.spec.positions());
        let mut body = Body::default();
        for (id, row) in ids.iter().zip(rows) {
            let values = row.as_ref().map_or(&[][..], |row| &row.values);
            let count = values.len() / stride.max(1);
            let whole = count * stride == values.len() && count <= most && (count > 0 || row.is_none());
            if !whole {
                let reason = format!("{} values where the shape is {:?}", values.len(), self.spec.shape);
                return Err(encode(format!("guidance of {id}"), reason));
            }
            let finite = |v: f32| v.is_finite() && (self.spec.precision != Precision::F16 || v.abs() <= 65504.0);
            if !values.iter().all(|&v| finite(v)) {
                return Err(TeacherError::NotFinite { tap: self.spec.tap.clone(), sample: id.to_string() });
            }
            body.push(row.as_ref(), count, &self.spec);
        }
        let json = |what: &str, e: serde_json::Error| encode(what.into(), e.to_string());
        let meta = serde_json::to_value(&self.spec).map_err(|e| json("guidance spec", e))?;
        let names = serde_json::to_vec(ids).map_err(|e| json("sample ids", e))?;
        let mut writer = ContainerWriter::new(KIND, KIND_VERSION, meta);
        writer.section("samples", names).section("valid", body.valid).section("counts", body.counts);
        writer.section("ages", body.ages).section("values", body.values);
        if self.spec.precision == Precision::Int8 {
            writer.section("scales", body.scales);
        }
        if body.texts.iter().any(Option::is_some) {
            writer.section("texts", serde_json::to_vec(&body.texts).map_err(|e| json("texts", e))?);
        }
        writer.write(&self.path(shard))?;
        Ok(())
    }
}

/// The sections of a shard as they grow.
#[derive(Default)]
struct Body {
    valid: Vec<u8>,
    counts: Vec<u8>,
    ages: Vec<u8>,
    values: Vec<u8>,
    scales: Vec<u8>,
    texts: Vec<Option<String>>,
}

impl Body {
    fn push(&mut self, row: Option<&Row>, count: usize, spec: &CacheSpec) {
        self.valid.push(u8::from(row.is_some()));
        self.counts.extend((count as u32).to_le_bytes());
        self.ages.extend(row.map_or(0.0, |row| row.age_s).to_le_bytes());
        self.texts.push(row.and_then(|row| row.text.clone()));
        let values = row.map_or(&[][..], |row| &row.values);
        match spec.precision {
            Precision::F16 => values.iter().for_each(|&v| self.values.extend(f16::from_f32(v).to_le_bytes())),
            Precision::F32 => values.iter().for_each(|v| self.values.extend(v.to_le_bytes())),
            Precision::Int8 => {
                for vector in values.chunks_exact(spec.width()) {
                    let step = vector.iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
                    self.scales.extend(step.to_le_bytes());
                    let per = if step > 0.0 { 1.0 / step } else { 0.0 };
                    self.values.extend(vector.iter().map(|v| (v * per).round().clamp(-127.0, 127.0) as i8 as u8));
                }
            }
        }
    }
}

fn shard_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.guidance"))
}

#[derive(Debug)]
struct Shard {
    container: Container,
    ids: Vec<SampleId>,
    /// Positions before each row, and of all.
    starts: Vec<usize>,
    texts: Vec<Option<String>>,
}

impl Shard {
    fn open(path: &Path, spec: &CacheSpec) -> Result<Self, TeacherError> {
        let container = Container::open(path, KIND, KIND_VERSION)?;
        let found: CacheSpec = container.meta_as()?;
        if let Some((field, wanted, found)) = spec.difference(&found) {
            return Err(StoreError::mismatch(path, format!("spec.{field}"), wanted, found).into());
        }
        container.verify()?;
        let json = |section: &str, e: serde_json::Error| {
            StoreError::corrupt(path, format!("section `{section}`"), "this kind's JSON", e)
        };
        let ids: Vec<SampleId> =
            serde_json::from_slice(container.section("samples")?).map_err(|e| json("samples", e))?;
        let wanted = |name: &str, bytes: usize| -> Result<(), StoreError> {
            let found = container.section_as_verified(name)?.len();
            if found == bytes {
                Ok(())
            } else {
                Err(StoreError::corrupt(path, format!("section `{name}`"), bytes, found))
            }
        };
        wanted("valid", ids.len())?;
        let (most, old) = (spec.positions(), container.kind_version() == 1);
        let mut starts = vec![0];
        if old {
            starts.extend((1..=ids.len()).map(|row| row * most));
        } else {
            wanted("counts", 4 * ids.len())?;
            wanted("ages", 4 * ids.len())?;
            for (row, bytes) in container.section_as_verified("counts")?.chunks_exact(4).enumerate() {
                let count = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
                if count > most {
                    let what = format!("section `counts`, row {row}");
                    return Err(StoreError::corrupt(path, what, format!("at most {most}"), count).into());
                }
                starts.push(starts[row] + count);
            }
        }
        let all = starts[ids.len()] * spec.stride();
        wanted("values", all * spec.precision.bytes())?;
        if spec.precision == Precision::Int8 {
            wanted("scales", all / spec.width() * 4)?;
        }
        let texts = if container.sections().iter().any(|s| s.name == "texts") {
            let texts: Vec<Option<String>> =
                serde_json::from_slice(container.section("texts")?).map_err(|e| json("texts", e))?;
            if texts.len() != ids.len() {
                return Err(StoreError::corrupt(path, "section `texts`", ids.len(), texts.len()).into());
            }
            texts
        } else {
            vec![None; ids.len()]
        };
        Ok(Self { container, ids, starts, texts })
    }

    fn age_s(&self, row: usize) -> Result<f32, TeacherError> {
        if self.container.kind_version() == 1 {
            return Ok(0.0);
        }
        let ages = self.container.section_as_verified("ages")?;
        Ok(f32::from_le_bytes([ages[4 * row], ages[4 * row + 1], ages[4 * row + 2], ages[4 * row + 3]]))
    }

    /// Values of a row, widened into the front of `out`; the count of its positions.
    fn read(&self, row: usize, spec: &CacheSpec, out: &mut [f32]) -> Result<usize, TeacherError> {
        let (start, end) = (self.starts[row] * spec.stride(), self.starts[row + 1] * spec.stride());
        let width = spec.precision.bytes();
        let bytes = &self.container.section_as_verified("values")?[start * width..end * width];
        let out = &mut out[..end - start];
        match spec.precision {
            Precision::F32 => {
                for (to, from) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                    *to = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
                }
            }
            Precision::F16 => {
                // The file's bytes may lie on odd addresses: a block at a time goes through aligned memory.
                let mut block = [f16::ZERO; 512];
                for (to, from) in out.chunks_mut(512).zip(bytes.chunks(1024)) {
                    let block = &mut block[..to.len()];
                    for (half, pair) in block.iter_mut().zip(from.chunks_exact(2)) {
                        *half = f16::from_le_bytes([pair[0], pair[1]]);
                    }
                    block.convert_to_f32_slice(to);
                }
            }
            Precision::Int8 => {
                let scales = &self.container.section_as_verified("scales")?[start / spec.width() * 4..];
                let vectors = out.chunks_exact_mut(spec.width()).zip(bytes.chunks_exact(spec.width()));
                for ((to, from), s) in vectors.zip(scales.chunks_exact(4)) {
                    let step = f32::from_le_bytes([s[0], s[1], s[2], s[3]]);
                    to.iter_mut().zip(from).for_each(|(to, &from)| *to = f32::from(from as i8) * step);
                }
            }
        }
        Ok(self.starts[row + 1] - self.starts[row])
    }
}

/// A finished cache, open for reading. Shards are memory-mapped.
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
        if manifest.version == 0 || manifest.version > KIND_VERSION {
            return Err(StoreError::mismatch(&path, "version", format!("1..={KIND_VERSION}"), manifest.version).into());
        }
        let spec = manifest.spec;
        if spec.shard_samples == 0 {
            return Err(StoreError::corrupt(&path, "spec.shard_samples", "at least 1", 0).into());
        }
        let count = manifest.samples.div_ceil(spec.shard_samples);
        let names = match manifest.version {
            1 => (0..count).map(|shard| format!("{shard:05}")).collect(),
            _ => manifest.shards,
        };
        if names.len() != count {
            return Err(StoreError::corrupt(&path, "shards", count, names.len()).into());
        }
        let mut shards = vec![];
        let mut places = BTreeMap::new();
        let mut ids = vec![];
        for (index, name) in names.iter().enumerate() {
            if !name.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(
                    StoreError::corrupt(&path, format!("shards[{index}]"), "a hexadecimal address", name).into()
                );
            }
            let shard = Shard::open(&shard_path(folder, name), &spec)?;
            for (row, id) in shard.ids.iter().enumerate() {
                if places.insert(id.clone(), (index, row)).is_some() {
                    return Err(StoreError::corrupt(&path, "samples", "each sample once", format!("{id} twice")).into());
                }
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

    /// Bytes of values on disk.
    pub fn bytes(&self) -> u64 {
        let of = |s: &Shard| s.starts.last().map_or(0, |&n| n * self.spec.stride() * self.spec.precision.bytes());
        self.shards.iter().map(|s| of(s) as u64).sum()
    }

    fn row(&self, sample: &SampleId) -> Result<Option<(&Shard, usize)>, TeacherError> {
        let Some(&(shard, row)) = self.places.get(sample) else { return Ok(None) };
        let shard = &self.shards[shard];
        Ok((shard.container.section_as_verified("valid")?[row] != 0).then_some((shard, row)))
    }

    /// Read a sample's values into `out` (the spec's shape; positions that are not there become zero). The count of positions
    /// that are there, or `None` when there is no (valid) guidance for it.
    ///
    /// # Errors
    /// When a shard lost a section since it was opened.
    ///
    /// # Panics
    /// When `out` is shorter than the spec's shape.
    pub fn read(&self, sample: &SampleId, out: &mut [f32]) -> Result<Option<usize>, TeacherError> {
        let Some((shard, row)) = self.row(sample)? else { return Ok(None) };
        let out = &mut out[..self.spec.values()];
        let count = shard.read(row, &self.spec, out)?;
        out[count * self.spec.stride()..].fill(0.0);
        Ok(Some(count))
    }

    /// The values of a sample, or `None` when there is no (valid) guidance for it.
    ///
    /// # Errors
    /// When a shard lost a section since it was opened.
    pub fn values(&self, sample: &SampleId) -> Result<Option<Vec<f32>>, TeacherError> {
        let mut values = vec![0.0; self.spec.values()];
        Ok(self.read(sample, &mut values)?.map(|_| values))
    }

    /// What the teacher said about a sample, where it spoke.
    ///
    /// # Errors
    /// When a shard lost a section since it was opened.
    pub fn text(&self, sample: &SampleId) -> Result<Option<&str>, TeacherError> {
        Ok(self.row(sample)?.and_then(|(shard, row)| shard.texts[row].as_deref()))
    }

    /// Refuse guidance of another teacher, tap, preprocessing or data set, and of any view but the plain one.
    ///
    /// # Errors
    /// [`TeacherError::OtherGuidance`] names the part that differs.
    pub fn expect(
        &self,
        folder: &Path,
        teacher: &str,
        tap: &str,
        preprocessing: &str,
        data: &str,
    ) -> Result<(), TeacherError> {
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
        same("augmentation", PLAIN, &self.spec.augmentation)?;
        same("data", data, &self.spec.data)
    }

    /// The cache as a source that may be read when a student is judged or drives.
    ///
    /// # Errors
    /// [`TeacherError::KnowsTruth`] for guidance whose teacher was told the truth.
    pub fn at_test(self) -> Result<TestGuidance, TeacherError> {
        if self.spec.knows_truth {
            return Err(TeacherError::KnowsTruth { tap: self.spec.tap });
        }
        Ok(TestGuidance(self))
    }

    /// The samples it knows, in order.
    pub fn samples(&self) -> impl Iterator<Item = &SampleId> {
        self.places.keys()
    }
}

impl GuidanceSource for GuidanceCache {
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError> {
        let Some((shard, row)) = self.row(sample)? else { return Ok(None) };
        let mut values = vec![0.0; self.spec.values()];
        let count = self.read(sample, &mut values)?.unwrap_or(0);
        Ok(Some(Guidance {
            values,
            shape: self.spec.shape.clone(),
            mask: (0..self.spec.positions()).map(|position| position < count).collect(),
            valid: true,
            age_s: shard.age_s(row)?,
            key: self.spec.key(sample),
        }))
    }
}

impl GuidanceSource for &GuidanceCache {
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError> {
        (**self).guidance(sample)
    }
}

/// Guidance that may be read at test time: its teacher knew nothing that a driver cannot know.
#[derive(Debug)]
pub struct TestGuidance(GuidanceCache);

impl GuidanceSource for TestGuidance {
    fn guidance(&self, sample: &SampleId) -> Result<Option<Guidance>, BoxedError> {
        self.0.guidance(sample)
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
            prompt: String::new(),
            preprocessing: "p".into(),
            augmentation: PLAIN.into(),
            data: "d".into(),
            knows_truth: false,
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
            let rows: Vec<_> = (0..writer.shard_ids(shard).len()).map(|r| row(shard * 4 + r).map(Row::from)).collect();
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
        let cut = writer_of(b.path()).path(1);
        let bytes = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() - 3]).unwrap();
        let writer = fill(b.path(), Precision::F16, &[]);
        let missing: Vec<_> = (0..writer.shards()).filter(|&s| !writer.has(s)).collect();
        assert_eq!(missing, [1, 2]);
        let name = cut.file_name().unwrap().to_str().unwrap();
        assert!(GuidanceCache::open(b.path()).unwrap_err().to_string().contains(name));
        let misses = CacheWriter::misses(b.path(), &spec(Precision::F16), &ids(10));
        assert_eq!(misses.get("not harvested yet"), Some(&2));
        assert!(misses.iter().any(|(why, n)| why.contains(name) && *n == 4), "{misses:?}");
        fill(b.path(), Precision::F16, &missing);
        let read = |f: &Path| std::fs::read(f.join(name)).unwrap();
        assert_eq!(read(a.path()), read(b.path()));
        assert_eq!(GuidanceCache::open(a.path()).unwrap().hash(), GuidanceCache::open(b.path()).unwrap().hash());
    }

    #[test]
    fn guidance_of_another_teacher_view_or_data_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), Precision::F16, &[0, 1, 2]);
        let other = CacheSpec { teacher: "u".into(), ..spec(Precision::F16) };
        assert!(matches!(CacheWriter::open(folder.path(), other, ids(10)), Err(TeacherError::OtherGuidance { .. })));
        let cache = GuidanceCache::open(folder.path()).unwrap();
        assert!(cache.expect(folder.path(), "t", "planning-token", "p", "d").is_ok());
        for (preprocessing, data, word) in [("q", "d", "preprocessing"), ("p", "e", "data")] {
            let error =
                cache.expect(folder.path(), "t", "planning-token", preprocessing, data).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let elsewhere = CacheSpec { data: "e".into(), ..spec(Precision::F16) };
        assert!(matches!(
            CacheWriter::open(folder.path(), elsewhere, ids(10)),
            Err(TeacherError::OtherGuidance { .. })
        ));
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
        let bad = [Some(Row::from(vec![f32::NAN; 6])), None];
        assert!(matches!(error.write(2, &bad), Err(TeacherError::NotFinite { .. })));
    }

    fn writer_of(folder: &Path) -> CacheWriter {
        CacheWriter::open(folder, spec(Precision::F16), ids(10)).unwrap()
    }

    #[test]
    fn short_rows_are_masked_and_eight_bits_stay_near() {
        for precision in [Precision::Int8, Precision::F16] {
            let folder = tempfile::tempdir().unwrap();
            let wide = CacheSpec { shape: vec![5, 2, 33], ..spec(precision) };
            let writer = CacheWriter::open(folder.path(), wide.clone(), ids(7)).unwrap();
            let full = |i: usize| -> Vec<f32> { (0..(i % 5 + 1) * 66).map(|k| ((k * 7 + i) as f32).sin()).collect() };
            for shard in 0..writer.shards() {
                let row = |r: usize| Row { values: full(shard * 4 + r), age_s: 0.5 * r as f32, text: None };
                let rows: Vec<_> = (0..writer.shard_ids(shard).len()).map(|r| Some(row(r))).collect();
                writer.write(shard, &rows).unwrap();
            }
            let cache = GuidanceCache::open(folder.path()).unwrap();
            for (i, id) in ids(7).iter().enumerate() {
                let guidance = cache.guidance(id).unwrap().unwrap();
                assert_eq!(guidance.shape, [5, 2, 33]);
                assert_eq!(guidance.mask, (0..5).map(|p| p <= i % 5).collect::<Vec<_>>());
                assert_eq!(guidance.age_s, 0.5 * (i % 4) as f32);
                let truth = full(i);
                let worst = guidance.values.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= 0.5 / 127.0 + 1e-6, "{precision:?} {worst}");
                assert!(guidance.values[truth.len()..].iter().all(|&v| v == 0.0));
            }
            assert_eq!(cache.bytes(), (1 + 2 + 3 + 4 + 5 + 1 + 2) * 66 * precision.bytes() as u64);
        }
    }

    #[test]
    fn guidance_of_an_augmented_view_is_never_taken_for_the_plain_one() {
        let folder = tempfile::tempdir().unwrap();
        let view = CacheSpec { augmentation: "appearance-0000000000000007".into(), ..spec(Precision::F16) };
        let writer = CacheWriter::open(folder.path(), view.clone(), ids(4)).unwrap();
        writer.write(0, &[row(0), row(1), row(2), row(3)].map(|r| r.map(Row::from))).unwrap();
        let cache = GuidanceCache::open(folder.path()).unwrap();
        let error = cache.expect(folder.path(), "t", "planning-token", "p", "d").unwrap_err().to_string();
        assert!(error.contains("augmentation") && error.contains("appearance-0000000000000007"), "{error}");
        // Nor does the plain harvest go on from it, count it, or find its shards.
        assert!(CacheWriter::open(folder.path(), spec(Precision::F16), ids(4)).is_err());
        let misses = CacheWriter::misses(folder.path(), &spec(Precision::F16), &ids(4));
        assert!(misses.keys().all(|why| why.contains("another augmentation")) && misses.values().sum::<usize>() == 4);
        assert_ne!(view.address(&ids(4)), spec(Precision::F16).address(&ids(4)));
        assert_ne!(cache.guidance(&ids(4)[0]).unwrap().unwrap().key, spec(Precision::F16).key(&ids(4)[0]));
    }

    #[test]
    fn what_was_told_the_truth_is_no_source_at_test_time() {
        let folder = tempfile::tempdir().unwrap();
        for (name, knows_truth) in [("a", false), ("b", true)] {
            let place = folder.path().join(name);
            let spec = CacheSpec { knows_truth, ..spec(Precision::F32) };
            let writer = CacheWriter::open(&place, spec, ids(4)).unwrap();
            writer.write(0, &[row(0), row(1), row(2), row(3)].map(|r| r.map(Row::from))).unwrap();
            let at_test = GuidanceCache::open(&place).unwrap().at_test();
            assert_eq!(matches!(at_test, Err(TeacherError::KnowsTruth { .. })), knows_truth);
        }
    }

    #[test]
    fn more_samples_keep_the_shards_they_share() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), Precision::F16, &[0, 1, 2]);
        let writer = CacheWriter::open(folder.path(), spec(Precision::F16), ids(14)).unwrap();
        let states: Vec<_> = (0..writer.shards()).map(|s| writer.has(s)).collect();
        assert_eq!(states, [true, true, false, false]);
        assert!(GuidanceCache::open(folder.path()).is_err());
    }

    #[test]
    fn caches_of_version_one_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let old = spec(Precision::F32);
        let mut meta = serde_json::to_value(&old).unwrap();
        for new in ["prompt", "knows_truth"] {
            meta.as_object_mut().unwrap().remove(new);
        }
        let manifest =
            serde_json::json!({ "version": 1, "spec": meta, "samples": 3, "samples_hash": hash_of(&ids(3)) });
        write_json(&folder.path().join("guidance.json"), &manifest).unwrap();
        let values = (0..18).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let mut writer = ContainerWriter::new(KIND, 1, meta);
        writer.section("samples", serde_json::to_vec(&ids(3)).unwrap()).section("valid", vec![1, 0, 1]);
        writer.section("values", values).write(&folder.path().join("00000.guidance")).unwrap();
        let cache = GuidanceCache::open(folder.path()).unwrap();
        assert_eq!(cache.values(&ids(3)[1]).unwrap(), None);
        let guidance = cache.guidance(&ids(3)[2]).unwrap().unwrap();
        assert_eq!(guidance.values, [12.0, 13.0, 14.0, 15.0, 16.0, 17.0]);
        assert_eq!((guidance.mask, guidance.age_s), (vec![true, true], 0.0));
    }
}
