//! Where the real data is.
#![allow(dead_code, clippy::print_stdout)]

use std::path::PathBuf;

pub const TOWNS: [&str; 6] = ["Town01", "Town02", "Town03", "Town04", "Town07", "Town10HD"];

/// The folder of real data, or `None` (said loudly) where it is absent.
pub fn shared_data() -> Option<PathBuf> {
    let root = std::env::var_os("APPRENTICE_SHARED_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    if root.is_dir() {
        return Some(root);
    }
    println!("SKIPPED: no real data (set APPRENTICE_SHARED_DATA)");
    None
}
