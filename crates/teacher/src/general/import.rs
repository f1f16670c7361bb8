//! Foreign checkpoints by a name map: what a published state dict holds, tensor by tensor, and what we call it.
//!
//! ```toml
//! schema = "apprentice.name-map/1"
//! about = "which checkpoint this is, and where its layout was read"
//! ignore = ["*.num_batches_tracked"]     # may be there, is left out
//!
//! [layout]                                # key → shape, or key → block
//! "img_backbone.conv1.weight" = [64, 3, 7, 7]
//! "head.layers.{0..5}" = "layer"          # six keys, the last included; {a,b} for words
//!
//! [block.layer]                           # a block is a layout below its key
//! "norms.{0..2}" = "norm"
//! "ffn.weight" = [512, 256]
//!
//! [block.norm]
//! "{weight,bias}" = [256]
//!
//! [rename]                                # beginnings of keys; the longest that fits is exchanged
//! "img_backbone." = "backbone."
//! ```
//!
//! The file must hold the layout exactly: every key, no other, in its shape.

use crate::TeacherError;
use apprentice_nn::{NnError, Weights};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

const SCHEMA: &str = "apprentice.name-map/1";

/// Maps that come with the program: a name for `--map`, and its text.
pub const MAPS: [(&str, &str); 3] = [
    ("vad-tiny", include_str!("../../maps/vad-tiny.toml")),
    ("vad-base", include_str!("../../maps/vad-base.toml")),
    ("orion", include_str!("../../maps/orion.toml")),
];

/// Lines of one kind that a difference shows.
const SHOWN: usize = 12;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Shape(Vec<i64>),
    Block(String),
}

type Layout = BTreeMap<String, Entry>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    about: String,
    #[serde(default)]
    ignore: Vec<String>,
    layout: Layout,
    #[serde(default)]
    block: BTreeMap<String, Layout>,
    #[serde(default)]
    rename: BTreeMap<String, String>,
}

/// A name map, written out.
#[derive(Debug)]
pub struct NameMap {
    path: PathBuf,
    /// Which checkpoint it is for.
    pub about: String,
    ignore: Vec<String>,
    /// Foreign key → its shape and our key.
    tensors: BTreeMap<String, (Vec<i64>, String)>,
}

/// A foreign checkpoint under our names.
#[derive(Debug)]
pub struct Imported {
    /// Our key → tensor.
    pub tensors: Vec<(String, Tensor)>,
    /// Keys that the map leaves out.
    pub ignored: Vec<String>,
}

impl NameMap {
    /// Read a map: a file, or the name of one of [`MAPS`].
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn open(path: &Path) -> Result<Self, TeacherError> {
        match MAPS.iter().find(|(name, _)| path.as_os_str() == *name) {
            Some((_, text)) => Self::parse(path, text),
            None => Self::parse(path, &apprentice_store::read_text(path)?),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, TeacherError> {
        let wrong = |reason: String| TeacherError::NameMap { path: path.into(), reason };
        let document: Document = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if document.schema != SCHEMA {
            return Err(wrong(format!("schema: expected `{SCHEMA}`, found `{}`", document.schema)));
        }
        let mut shapes = BTreeMap::new();
        write_out(&document.layout, "", &document.block, &mut vec![], &mut shapes).map_err(wrong)?;
        let mut takers: BTreeMap<String, &String> = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        for (key, shape) in &shapes {
            let ours = renamed(key, &document.rename);
            if let Some(other) = takers.insert(ours.clone(), key) {
                return Err(wrong(format!("rename: `{other}` and `{key}` both become `{ours}`")));
            }
            tensors.insert(key.clone(), (shape.clone(), ours));
        }
        Ok(Self { path: path.into(), about: document.about, ignore: document.ignore, tensors })
    }

    /// The file, or the name of a map that comes with the program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Foreign keys with their shapes, in order.
    pub fn layout(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.tensors.iter().map(|(key, (shape, _))| (key.as_str(), shape.as_slice()))
    }

    /// Take a checkpoint over. Tensors are views of its file.
    ///
    /// # Errors
    /// [`NnError::Difference`] lists what is missing, mis-shaped and unexpected.
    pub fn import(&self, weights: &Weights) -> Result<Imported, TeacherError> {
        let (mut missing, mut shaped, mut unexpected, mut ignored) = (vec![], vec![], vec![], vec![]);
        let mut tensors = vec![];
        for (key, (shape, ours)) in &self.tensors {
            match weights.get(key) {
                None => missing.push(format!("  missing     {key} {shape:?}")),
                Some(found) if found.size() != *shape => {
                    shaped.push(format!("  shape       {key}: needs {shape:?}, has {:?}", found.size()));
                }
                Some(found) => tensors.push((ours.clone(), found.shallow_clone())),
            }
        }
        for name in weights.names().filter(|name| !self.tensors.contains_key(*name)) {
            if self.ignore.iter().any(|pattern| fits(pattern, name)) {
                ignored.push(name.to_string());
            } else {
                let size = weights.get(name).map(Tensor::size).unwrap_or_default();
                unexpected.push(format!("  unexpected  {name} {size:?}"));
            }
        }
        let counts = [missing.len(), shaped.len(), unexpected.len()];
        if counts.iter().sum::<usize>() > 0 {
            let mut lines = vec![format!(
                "  {} of {} tensors of {} are missing, {} are of another shape, {} are not expected",
                counts[0],
                self.tensors.len(),
                self.path.display(),
                counts[1],
                counts[2]
            )];
            for mut kind in [missing, shaped, unexpected] {
                let more = kind.len().saturating_sub(SHOWN);
                kind.truncate(SHOWN);
                lines.append(&mut kind);
                if more > 0 {
                    lines.push(format!("              … and {more} more"));
                }
            }
            return Err(NnError::Difference { path: weights.path().into(), difference: lines.join("\n") }.into());
        }
        Ok(Imported { tensors, ignored })
    }
}

/// Every key of a layout below `prefix` with its shape.
fn write_out(
    layout: &Layout,
    prefix: &str,
    blocks: &BTreeMap<String, Layout>,
    within: &mut Vec<String>,
    out: &mut BTreeMap<String, Vec<i64>>,
) -> Result<(), String> {
    for (pattern, entry) in layout {
        for key in spelled(pattern)? {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match entry {
                Entry::Shape(shape) => {
                    if out.insert(key.clone(), shape.clone()).is_some() {
                        return Err(format!("layout: `{key}` is there twice"));
                    }
                }
                Entry::Block(name) => {
                    let block = blocks
                        .get(name)
                        .ok_or_else(|| format!("layout: `{key}` is of block `{name}`, which is not defined"))?;
                    if within.contains(name) {
                        return Err(format!("block.{name}: it holds itself"));
                    }
                    within.push(name.clone());
                    write_out(block, &key, blocks, within, out)?;
                    within.pop();
                }
            }
        }
    }
    Ok(())
}

/// A pattern's keys: `{0..5}` counts with both ends, `{a,b}` chooses.
fn spelled(pattern: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.to_string()]) };
    let (inside, after) = rest.split_once('}').ok_or_else(|| format!("layout: `{pattern}` lacks a `}}`"))?;
    let choices: Vec<String> = match inside.split_once("..") {
        Some((first, last)) => {
            let number =
                |text: &str| text.parse::<u32>().map_err(|_| format!("layout: `{pattern}`: `{text}` is no number"));
            let (first, last) = (number(first)?, number(last)?);
            if last > 10_000 {
                return Err(format!("layout: `{pattern}` counts beyond 10000"));
            }
            (first..=last).map(|n| n.to_string()).collect()
        }
        None => inside.split(',').map(str::to_string).collect(),
    };
    let tails = spelled(after)?;
    Ok(choices.iter().flat_map(|c| tails.iter().map(move |tail| format!("{before}{c}{tail}"))).collect())
}

fn renamed(key: &str, rename: &BTreeMap<String, String>) -> String {
    let best = rename.iter().filter(|(from, _)| key.starts_with(from.as_str())).max_by_key(|(from, _)| from.len());
    best.map_or_else(|| key.to_string(), |(from, to)| format!("{to}{}", &key[from.len()..]))
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| fits(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_written_out() {
        assert_eq!(spelled("a.{0..2}.{weight,bias}").unwrap().len(), 6);
        assert_eq!(spelled("x{3..3}").unwrap(), ["x3"]);
        assert!(spelled("a.{0..b}").unwrap_err().contains("`b`"));
        assert!(fits("*.inv_freq", "model.0.inv_freq") && !fits("*.inv_freq", "inv_freq") && fits("a*c*", "abcd"));
        let rename = BTreeMap::from([("a.".to_string(), "x.".to_string()), ("a.b.".to_string(), String::new())]);
        assert_eq!(["a.c", "a.b.c", "d"].map(|key| renamed(key, &rename)), ["x.c", "c", "d"]);
    }

    #[test]
    fn what_is_wrong_in_a_map_is_said() {
        let refused = |text: &str, word: &str| {
            let error = NameMap::parse(Path::new("m.toml"), text).unwrap_err().to_string();
            assert!(error.contains("m.toml") && error.contains(word), "{error}");
        };
        let head = "schema = \"apprentice.name-map/1\"\nabout = \"\"\n";
        refused("schema = \"other\"\nabout = \"\"\n[layout]\n", "apprentice.name-map/1");
        refused(&format!("{head}colour = 3\n[layout]\n"), "colour");
        refused(&format!("{head}[layout]\na = \"b\"\n"), "`b`");
        refused(&format!("{head}[layout]\na = \"b\"\n[block.b]\nc = \"b\"\n"), "holds itself");
        refused(&format!("{head}[layout]\n\"{{a,a}}\" = [1]\n"), "twice");
        refused(&format!("{head}[layout]\n\"{{a,b}}.x\" = [1]\n[rename]\n\"a.\" = \"b.\"\n"), "both become `b.x`");
        assert!(NameMap::open(Path::new("orion")).is_ok());
    }
}
