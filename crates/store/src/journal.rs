//! An append-only list of records: what a killed run had finished.
//!
//! Layout: magic "APPRJNL1" · u32 length of identity · identity · 8 bytes of its BLAKE3, then records: u32 length ·
//! bytes · 8 bytes of BLAKE3 over the length and bytes. The identity says what the journal is about (a hash of the
//! configuration): a journal of another run is an error, never silently reused. A torn or damaged tail, which a
//! kill can leave, is cut off when the journal is opened.

use crate::StoreError;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"APPRJNL1";
const CHECK_BYTES: usize = 8;

/// An open journal; the file is locked for this process.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + bytes.len() + CHECK_BYTES);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
    let hash = blake3::hash(&out);
    out.extend_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    out
}

/// The record at the front of `bytes` and how many bytes it takes, or `None` when it is cut or damaged.
fn unframed(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let end = length.checked_add(4)?;
    let check = bytes.get(end..end.checked_add(CHECK_BYTES)?)?;
    (blake3::hash(&bytes[..end]).as_bytes()[..CHECK_BYTES] == *check).then(|| (&bytes[4..end], end + CHECK_BYTES))
}

impl Journal {
    /// Open or begin the journal of the run called `identity`; returns it with the records that are whole.
    ///
    /// # Errors
    /// When the file belongs to another run, is not a journal, is held by another process or cannot be written.
    pub fn open(path: &Path, identity: &str) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        let fail = |e| StoreError::io("write", path, e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| StoreError::io("make the folder", folder, e))?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(fail)?;
        if file.try_lock().is_err() {
            return Err(StoreError::Locked { path: path.to_path_buf() });
        }
        let bytes = crate::read_bytes(path)?;
        let mut front = MAGIC.to_vec();
        front.extend(framed(identity.as_bytes()));
        // A kill can only have cut the front short: start over. Anything else is another file.
        if bytes.len() < front.len() && front.starts_with(&bytes) {
            file.set_len(0).map_err(fail)?;
            file.rewind().map_err(fail)?;
            file.write_all(&front).map_err(fail)?;
            file.sync_data().map_err(fail)?;
            return Ok((Self { path: path.to_path_buf(), file }, Vec::new()));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(StoreError::mismatch(path, "magic", "an apprentice journal", "another kind of file"));
        }
        let Some((found, used)) = unframed(&bytes[MAGIC.len()..]) else {
            return Err(StoreError::corrupt(path, "identity", "bytes that match their checksum", "other bytes"));
        };
        if found != identity.as_bytes() {
            return Err(StoreError::mismatch(path, "identity", identity, String::from_utf8_lossy(found)));
        }
        let mut end = MAGIC.len() + used;
        let mut records = Vec::new();
        while let Some((record, used)) = unframed(&bytes[end..]) {
            records.push(record.to_vec());
            end += used;
        }
        file.set_len(end as u64).map_err(fail)?;
        file.seek(SeekFrom::Start(end as u64)).map_err(fail)?;
        Ok((Self { path: path.to_path_buf(), file }, records))
    }

    /// Append one record; it is on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let fail = |e| StoreError::io("write", &self.path, e);
        if u32::try_from(record.len()).is_err() {
            return Err(StoreError::Encode {
                what: format!("a record of {}", self.path.display()),
                reason: "more than 4 GiB".into(),
            });
        }
        self.file.write_all(&framed(record)).map_err(fail)?;
        self.file.sync_data().map_err(fail)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_cut_at_every_byte_with_all_whole_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (mut journal, records) = Journal::open(&path, "run 1").unwrap();
        assert!(records.is_empty());
        let written: [&[u8]; 3] = [b"one", b"", b"three"];
        written.iter().for_each(|r| journal.append(r).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open(&path, "run 1").unwrap();
            assert!(records.iter().zip(written).all(|(a, b)| a == b));
            // Finishing the rest gives the bytes of an undisturbed run.
            written[records.len()..].iter().for_each(|r| journal.append(r).unwrap());
            drop(journal);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn refuses_another_run_and_a_second_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (journal, _) = Journal::open(&path, "run 1").unwrap();
        assert!(matches!(Journal::open(&path, "run 1"), Err(StoreError::Locked { .. })));
        drop(journal);
        assert!(Journal::open(&path, "run 2").unwrap_err().to_string().contains("run 2"));
    }
}
