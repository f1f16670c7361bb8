//! Published checkpoints: a safetensors file, or shards with an index, memory-mapped; or PyTorch's own archive.
//!
//! Tensors are views of the mapped file, so opening costs nothing and memory is shared with the page cache. The mapping is
//! private (a write stays in this process) and is kept until the process ends, because tensors may outlive everything else.

use crate::checkpoint::kind_of;
use crate::error::NnError;
use crate::pth;
use memmap2::MmapOptions;
use safetensors::SafeTensors;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// One name in a checkpoint.
#[derive(Debug)]
struct Entry {
    tensor: Tensor,
    file: usize,
}

/// The tensors of a published checkpoint, by name.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

impl Weights {
    /// Open a folder in Hugging Face's layout (`model.safetensors`, `model.safetensors.index.json` with its shards, or
    /// `pytorch_model.bin`), or one file (`.safetensors`, `.pth`, `.pt`, `.bin`, `.ckpt`).
    ///
    /// # Errors
    /// Names the file that is missing, cut short or of another kind, and what was expected.
    pub fn open(path: &Path) -> Result<Self, NnError> {
        let mut weights = Self { path: path.into(), files: vec![], entries: BTreeMap::new() };
        if path.is_file() {
            weights.add(path)?;
            return Ok(weights);
        }
        let [single, index, archive] =
            ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"].map(|name| path.join(name));
        if single.is_file() {
            weights.add(&single)?;
        } else if index.is_file() {
            weights.add_shards(path, &index)?;
        } else if archive.is_file() {
            weights.add(&archive)?;
        } else {
            return Err(NnError::NoWeights { path: path.into() });
        }
        Ok(weights)
    }

    /// Tensors that are in memory already.
    pub fn in_memory(name: &str, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let path = PathBuf::from(name);
        let entries = tensors.into_iter().map(|(key, tensor)| (key, Entry { tensor, file: 0 })).collect();
        Self { files: vec![path.clone()], path, entries }
    }

    fn add_shards(&mut self, folder: &Path, index: &Path) -> Result<(), NnError> {
        let wrong = |reason: String| NnError::Format { path: index.into(), reason };
        let text = std::fs::read_to_string(index).map_err(|source| NnError::Io { path: index.into(), source })?;
        let document: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let map = document["weight_map"].as_object().ok_or_else(|| wrong("it has no `weight_map`".into()))?;
        let shards: BTreeSet<&str> = map.values().filter_map(|v| v.as_str()).collect();
        for shard in &shards {
            let path = folder.join(shard);
            if !path.is_file() {
                let tensors = map.values().filter(|v| v.as_str() == Some(shard)).count();
                return Err(NnError::MissingShard { path, index: index.into(), shards: shards.len(), tensors });
            }
            self.add(&path)?;
        }
        let lost: Vec<_> = map.keys().filter(|key| !self.entries.contains_key(*key)).collect();
        match lost.first() {
            None => Ok(()),
            Some(key) => {
                let shard = map[key.as_str()].as_str().unwrap_or_default();
                Err(NnError::Difference {
                    path: folder.join(shard),
                    difference: format!("  missing     {key}, which {} expects here", index.display()),
                })
            }
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), NnError> {
        let file = self.files.len();
        self.files.push(path.into());
        let safetensors = path.extension().is_some_and(|e| e == "safetensors");
        let bytes = map(path)?;
        let tensors = if safetensors { views(path, bytes)? } else { pth::read(path, bytes)? };
        self.entries.extend(tensors.into_iter().map(|(name, tensor)| (name, Entry { tensor, file })));
        Ok(())
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The one file that was opened, or the folder of several.
    pub fn place(&self) -> &Path {
        if let [file] = self.files.as_slice() { file } else { &self.path }
    }

    /// Which of several files a name is in, as the end of a sentence; nothing for one file alone.
    pub(crate) fn whence(&self, name: &str) -> String {
        let file = self.file_of(name).file_name().filter(|_| self.files.len() > 1 && self.has(name));
        file.map_or_else(String::new, |file| format!(" (in {})", file.to_string_lossy()))
    }

    /// The files that were opened.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether a name is there.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// A tensor: a view of the file. Writing to it does not change the file.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.get(name).map(|entry| &entry.tensor)
    }

    /// The file a name is in.
    pub fn file_of(&self, name: &str) -> &Path {
        self.entries.get(name).map_or(&self.path, |entry| &self.files[entry.file])
    }

    /// The same tensors under other names; `None` leaves one out.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let entries = self.entries.into_iter().filter_map(|(name, entry)| Some((rename(&name)?, entry))).collect();
        Self { entries, ..self }
    }

    /// Put a tensor in under a name (for tensors that are computed from others on load).
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.entries.insert(name.into(), Entry { tensor, file: 0 });
    }

    /// Take a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.entries.remove(name).map(|entry| entry.tensor)
    }

    /// Values in all tensors.
    pub fn parameters(&self) -> u64 {
        self.entries.values().map(|e| e.tensor.numel() as u64).sum()
    }

    /// The kinds of number, each with its count of values, most frequent first.
    pub fn kinds(&self) -> Vec<(Kind, u64)> {
        let mut counts: Vec<(Kind, u64)> = vec![];
        for entry in self.entries.values() {
            let (kind, count) = (entry.tensor.kind(), entry.tensor.numel() as u64);
            match counts.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, n)) => *n += count,
                None => counts.push((kind, count)),
            }
        }
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        counts
    }
}

/// The bytes of a file, for the rest of the process's life.
fn map(path: &Path) -> Result<&'static mut [u8], NnError> {
    let io = |source| NnError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    // SAFETY: a private mapping. A file that another process cuts short while it is mapped ends this process, as it would
    // for any reader of published weights.
    let mapping = unsafe { MmapOptions::new().map_copy(&file) }.map_err(io)?;
    let kept: &'static mut memmap2::MmapMut = Box::leak(Box::new(mapping));
    Ok(&mut kept[..])
}

fn views(path: &Path, bytes: &'static mut [u8]) -> Result<Vec<(String, Tensor)>, NnError> {
    let wrong = |reason: String| NnError::Format { path: path.into(), reason };
    let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(e.to_string()))?;
    let mut tensors = vec![];
    for (name, view) in file.iter() {
        let kind = kind_of(view.dtype()).ok_or_else(|| NnError::Dtype {
            path: path.into(),
            name: name.into(),
            found: format!("{:?}", view.dtype()),
        })?;
        let size: Vec<i64> = view.shape().iter().map(|&d| d as i64).collect();
        tensors.push((name.to_string(), view_of(view.data(), &size, kind)));
    }
    Ok(tensors)
}

/// A tensor over mapped bytes (a copy where they do not lie on a boundary of their kind).
///
/// # Panics
/// If the bytes are fewer than the shape needs.
pub(crate) fn view_of(bytes: &'static [u8], size: &[i64], kind: Kind) -> Tensor {
    let width = kind.elt_size_in_bytes();
    let count: i64 = size.iter().product();
    assert!(bytes.len() >= count as usize * width, "a tensor reaches beyond its file");
    if count == 0 || !(bytes.as_ptr() as usize).is_multiple_of(width) {
        return Tensor::from_data_size(&bytes[..count as usize * width], size, kind);
    }
    // SAFETY: the bytes live as long as the process, in a private writable mapping.
    unsafe { Tensor::from_blob(bytes.as_ptr(), size, &[], kind, Device::Cpu) }
}
