//! One process at a time in a folder.

use crate::StoreError;
use std::fs::{File, OpenOptions};
use std::path::Path;

/// Held while a run works in a folder. The operating system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Take the folder (made when missing).
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it.
    pub fn acquire(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|e| StoreError::io("make the folder", folder, e))?;
        let path = folder.join(".lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| StoreError::io("write", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(std::fs::TryLockError::Error(e)) => Err(StoreError::io("lock", &path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::acquire(folder.path()).unwrap();
        assert!(matches!(RunLock::acquire(folder.path()), Err(StoreError::Locked { .. })));
        drop(first);
        RunLock::acquire(folder.path()).unwrap();
    }
}
