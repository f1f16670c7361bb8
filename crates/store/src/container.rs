//! One file of named, hashed sections behind a JSON header.
//!
//! Layout (integers little-endian):
//!
//! ```text
//! magic "APPRENT1" · u32 layout version · u64 header length · header JSON · BLAKE3 of all bytes so far (32)
//! section bytes, back to back, in header order
//! ```
//!
//! The header holds the kind and its version (the room's business), free metadata, and name, offset (from the end
//! of the header hash), length and BLAKE3 of every section. Opening checks the header and the file's length;
//! a section is checked when it is taken. No length in a file is believed before it is compared with the file.

use crate::{StoreError, write_atomic_with};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"APPRENT1";
const LAYOUT_VERSION: u32 = 1;
const PREFIX_BYTES: usize = 8 + 4 + 8;
const HASH_BYTES: usize = 32;
/// Headers beyond this are lies.
const MAX_HEADER_BYTES: u64 = 1 << 28;

/// Where a section lies and what it must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionInfo {
    /// Name, unique in the file.
    pub name: String,
    /// Bytes from the end of the header hash.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Hex BLAKE3 of its bytes.
    pub blake3: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: String,
    kind_version: u32,
    meta: serde_json::Value,
    sections: Vec<SectionInfo>,
}

/// Collects sections and writes the file.
pub struct ContainerWriter {
    header: Header,
    bytes: Vec<Vec<u8>>,
}

impl ContainerWriter {
    /// A container of `kind` at `kind_version` with free metadata.
    pub fn new(kind: &str, kind_version: u32, meta: serde_json::Value) -> Self {
        Self { header: Header { kind: kind.into(), kind_version, meta, sections: Vec::new() }, bytes: Vec::new() }
    }

    /// Add a section. Names are the caller's to keep distinct.
    pub fn section(&mut self, name: &str, bytes: Vec<u8>) -> &mut Self {
        let offset = self.header.sections.last().map_or(0, |s| s.offset + s.length);
        self.header.sections.push(SectionInfo {
            name: name.into(),
            offset,
            length: bytes.len() as u64,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
        });
        self.bytes.push(bytes);
        self
    }

    /// Write the file atomically; returns the hex BLAKE3 of its header, which binds every byte of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<String, StoreError> {
        let json = serde_json::to_vec(&self.header)
            .map_err(|e| StoreError::Encode { what: path.display().to_string(), reason: e.to_string() })?;
        let mut front = Vec::with_capacity(PREFIX_BYTES + json.len() + HASH_BYTES);
        front.extend_from_slice(MAGIC);
        front.extend_from_slice(&LAYOUT_VERSION.to_le_bytes());
        front.extend_from_slice(&(json.len() as u64).to_le_bytes());
        front.extend_from_slice(&json);
        let hash = blake3::hash(&front);
        front.extend_from_slice(hash.as_bytes());
        write_atomic_with(path, |w| {
            w.write_all(&front)?;
            self.bytes.iter().try_for_each(|section| w.write_all(section))
        })?;
        Ok(hash.to_hex().to_string())
    }
}

/// An opened container: header checked, sections mapped.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    map: Mmap,
    header: Header,
    hash: String,
    body: usize,
}

impl Container {
    /// Open a file of `kind` whose version is at most `newest_version` (readers know every past version).
    ///
    /// # Errors
    /// Names the file and the field that is cut, wrong or of another kind.
    pub fn open(path: &Path, kind: &str, newest_version: u32) -> Result<Self, StoreError> {
        let fail = |e| StoreError::io("read", path, e);
        let file = std::fs::File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if length < (PREFIX_BYTES + HASH_BYTES) as u64 {
            return Err(StoreError::corrupt(
                path,
                "file length",
                format!("at least {} bytes", PREFIX_BYTES + HASH_BYTES),
                format!("{length} bytes"),
            ));
        }
        // SAFETY: our files are never changed in place: they are written beside and renamed, so the mapped
        // bytes stay as they are for as long as the map lives.
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        if &map[..8] != MAGIC {
            return Err(StoreError::mismatch(path, "magic", "an apprentice container", "another kind of file"));
        }
        let layout = u32::from_le_bytes(map[8..12].try_into().expect("four bytes"));
        if layout != LAYOUT_VERSION {
            return Err(StoreError::mismatch(path, "layout version", LAYOUT_VERSION, layout));
        }
        let header_length = u64::from_le_bytes(map[12..20].try_into().expect("eight bytes"));
        let room = map.len() - PREFIX_BYTES - HASH_BYTES;
        if header_length > MAX_HEADER_BYTES || header_length > room as u64 {
            return Err(StoreError::corrupt(
                path,
                "header length",
                format!("at most {room} bytes"),
                format!("{header_length} bytes"),
            ));
        }
        let header_end = PREFIX_BYTES + header_length as usize;
        let body = header_end + HASH_BYTES;
        let hash = blake3::hash(&map[..header_end]);
        if hash.as_bytes() != &map[header_end..body] {
            return Err(StoreError::corrupt(path, "header", "bytes that match their checksum", "other bytes"));
        }
        let header: Header = serde_json::from_slice(&map[PREFIX_BYTES..header_end])
            .map_err(|e| StoreError::corrupt(path, "header", "a container header", e))?;
        if header.kind != kind {
            return Err(StoreError::mismatch(path, "kind", kind, &header.kind));
        }
        if header.kind_version > newest_version || header.kind_version == 0 {
            return Err(StoreError::mismatch(
                path,
                "kind version",
                format!("1..={newest_version}"),
                header.kind_version,
            ));
        }
        let mut expected = 0u64;
        for section in &header.sections {
            let end = section.offset.checked_add(section.length);
            match end {
                Some(end) if section.offset == expected => expected = end,
                _ => {
                    return Err(StoreError::corrupt(
                        path,
                        format!("offset of section `{}`", section.name),
                        expected,
                        section.offset,
                    ));
                }
            }
        }
        let found = (map.len() - body) as u64;
        if expected != found {
            return Err(StoreError::corrupt(
                path,
                "section bytes",
                format!("{expected} bytes"),
                format!("{found} bytes"),
            ));
        }
        Ok(Self { path: path.to_path_buf(), map, header, hash: hash.to_hex().to_string(), body })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of its kind.
    pub fn kind_version(&self) -> u32 {
        self.header.kind_version
    }

    /// Its free metadata.
    pub fn meta(&self) -> &serde_json::Value {
        &self.header.meta
    }

    /// Its metadata as a type.
    ///
    /// # Errors
    /// Names the file and what the type rejects.
    pub fn meta_as<T: serde::de::DeserializeOwned>(&self) -> Result<T, StoreError> {
        T::deserialize(&self.header.meta).map_err(|e| StoreError::corrupt(&self.path, "meta", "this kind's fields", e))
    }

    /// Hex BLAKE3 of the header; it binds every byte of the file, as the header holds every section's hash.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The sections in order.
    pub fn sections(&self) -> &[SectionInfo] {
        &self.header.sections
    }

    /// Bytes of a section, checked against their hash.
    ///
    /// # Errors
    /// When there is no such section or its bytes changed.
    pub fn section(&self, name: &str) -> Result<&[u8], StoreError> {
        let info = self.find(name)?;
        let bytes = self.section_as_verified(name)?;
        if blake3::hash(bytes).to_hex().as_str() != info.blake3 {
            return Err(StoreError::corrupt(
                &self.path,
                format!("section `{name}`"),
                "bytes that match their checksum",
                "other bytes",
            ));
        }
        Ok(bytes)
    }

    /// Bytes of a section without checking their hash again: for readers that take small parts of large sections many
    /// times, after [`Self::verify`].
    ///
    /// # Errors
    /// When there is no such section.
    pub fn section_as_verified(&self, name: &str) -> Result<&[u8], StoreError> {
        let info = self.find(name)?;
        let start = self.body + info.offset as usize;
        Ok(&self.map[start..start + info.length as usize])
    }

    fn find(&self, name: &str) -> Result<&SectionInfo, StoreError> {
        self.header.sections.iter().find(|s| s.name == name).ok_or_else(|| {
            StoreError::corrupt(&self.path, "sections", format!("a section `{name}`"), "none of that name")
        })
    }

    /// A section decoded from postcard.
    ///
    /// # Errors
    /// As [`Self::section`], and when the bytes are not of this type.
    pub fn decode<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        postcard::from_bytes(self.section(name)?)
            .map_err(|e| StoreError::corrupt(&self.path, format!("section `{name}`"), "this kind's records", e))
    }

    /// Check every section.
    ///
    /// # Errors
    /// The first section that does not match.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.header.sections.iter().try_for_each(|s| self.section(&s.name).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("x.bin");
        let mut writer = ContainerWriter::new("test", 2, serde_json::json!({"n": 3}));
        writer.section("a", vec![1, 2, 3]).section("empty", vec![]).section("b", vec![7; 100]);
        writer.write(&path).unwrap();
        path
    }

    #[test]
    fn reads_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let c = Container::open(&written(folder.path()), "test", 2).unwrap();
        assert_eq!(c.section("a").unwrap(), [1, 2, 3]);
        assert_eq!(c.section("empty").unwrap(), [0u8; 0]);
        assert_eq!(c.section("b").unwrap(), [7; 100]);
        assert_eq!(c.meta()["n"], 3);
        c.verify().unwrap();
        assert!(c.section("z").unwrap_err().to_string().contains("`z`"));
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let good = std::fs::read(written(folder.path())).unwrap();
        let bad = folder.path().join("bad.bin");
        let check = |bytes: &[u8]| {
            std::fs::write(&bad, bytes).unwrap();
            let error = Container::open(&bad, "test", 2).and_then(|c| c.verify()).unwrap_err().to_string();
            assert!(error.contains("bad.bin"), "{error}");
        };
        (0..good.len()).for_each(|n| check(&good[..n]));
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            check(&bytes);
        }
        check(&[good.as_slice(), &[0]].concat());
    }

    #[test]
    fn other_kinds_and_versions_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let error = Container::open(&path, "world", 2).unwrap_err().to_string();
        assert!(error.contains("world") && error.contains("test"), "{error}");
        let error = Container::open(&path, "test", 1).unwrap_err().to_string();
        assert!(error.contains("version"), "{error}");
    }
}
