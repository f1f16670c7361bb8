//! Files that outlive a run: written beside and renamed, versioned, checksummed, resumable.
//!
//! * [`write_atomic`]: a file is there whole or not at all.
//! * [`Container`]: named sections behind one JSON header, every part hashed with BLAKE3.
//! * [`Journal`]: an append-only list of records that survives `kill -9` with everything but its torn tail.
//! * [`RunLock`]: one process at a time in a run's folder.
//!
//! What may not enter here: what the bytes mean. Rooms bring their own kinds, versions and encodings.

mod atomic;
mod container;
mod error;
mod journal;
mod lock;

pub use atomic::{hash_file, read_bytes, read_json, read_text, sweep, write_atomic, write_atomic_with, write_json};
pub use container::{Container, ContainerWriter, SectionInfo};
pub use error::StoreError;
pub use journal::Journal;
pub use lock::RunLock;
