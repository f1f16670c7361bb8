//! Whole files: written beside, synced, renamed.

use crate::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// How temporary files are named.
const PREFIX: &str = ".writing-";
const SUFFIX: &str = ".tmp";

/// Write a file so that it is there whole or not at all: a temporary file in the same folder is filled, synced
/// and renamed over `path`. Missing folders are made.
///
/// # Errors
/// Names the file when the operating system refuses; then `path` is as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_atomic_with(path, |writer| writer.write_all(bytes))
}

/// [`write_atomic`] for content that is produced while writing.
///
/// # Errors
/// As [`write_atomic`], and whatever `fill` returns.
pub fn write_atomic_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| StoreError::io("make the folder", folder, e))?;
    let fail = |e| StoreError::io("write", path, e);
    let mut beside = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder).map_err(fail)?;
    let mut writer = BufWriter::new(beside.as_file_mut());
    fill(&mut writer).map_err(fail)?;
    writer.flush().map_err(fail)?;
    drop(writer);
    allow_reading(beside.as_file()).map_err(fail)?;
    beside.as_file().sync_all().map_err(fail)?;
    beside.persist(path).map_err(|e| fail(e.error))?;
    // The rename itself must survive a power cut: sync the folder where the system lets us.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Remove what killed writers left in a folder: temporary files that were never renamed. Call it only while holding the
/// folder's lock. A folder that is not there has nothing left in it.
///
/// # Errors
/// When the folder cannot be read or a leftover cannot be removed.
pub fn sweep(folder: &Path) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(StoreError::io("read", folder, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("read", folder, e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// Temporary files are made for their owner alone; ours become ordinary files.
fn allow_reading(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// A value as an indented JSON file with a final newline, atomically.
///
/// # Errors
/// When the value has no JSON form or the file cannot be written.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), StoreError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| StoreError::Encode { what: path.display().to_string(), reason: e.to_string() })?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Hex BLAKE3 of a file's bytes, read piece by piece.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> Result<String, StoreError> {
    let fail = |e| StoreError::io("read", path, e);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).map_err(fail)?).map_err(fail)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// All bytes of a file.
///
/// # Errors
/// Names the file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|e| StoreError::io("read", path, e))
}

/// A text file.
///
/// # Errors
/// Names the file; says where it stops being UTF-8.
pub fn read_text(path: &Path) -> Result<String, StoreError> {
    String::from_utf8(read_bytes(path)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        StoreError::corrupt(path, format!("byte {at}"), "UTF-8 text", "other bytes")
    })
}

/// A JSON file. What type rejects is reported with the path of the offending line and column.
///
/// # Errors
/// Names the file and the place.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|e| {
        StoreError::corrupt(path, format!("line {} column {}", e.line(), e.column()), "valid JSON of this kind", e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_rubbish() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file.txt");
        write_atomic(&path, b"old").unwrap();
        let error = write_atomic_with(&path, |w| {
            w.write_all(b"half")?;
            Err(std::io::Error::other("stop"))
        });
        assert!(error.unwrap_err().to_string().contains("file.txt"));
        assert_eq!(read_bytes(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn sweeping_removes_leftovers_alone() {
        let folder = tempfile::tempdir().unwrap();
        write_atomic(&folder.path().join("kept.tmp"), b"x").unwrap();
        std::fs::write(folder.path().join(".writing-Ab3.tmp"), b"half").unwrap();
        sweep(folder.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["kept.tmp"]);
        sweep(&folder.path().join("nowhere")).unwrap();
    }

    #[test]
    fn json_errors_name_file_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_atomic(&path, b"{\n \"a\": }").unwrap();
        let error = read_json::<serde_json::Value>(&path).unwrap_err().to_string();
        assert!(error.contains("x.json") && error.contains("line 2"), "{error}");
        assert!(read_json::<serde_json::Value>(&folder.path().join("no.json")).unwrap_err().is_not_found());
    }
}
