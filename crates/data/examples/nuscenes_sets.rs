//! The data sets and result files of the nuScenes comparisons, for `bench/nuscenes_devkit.py`:
//! `mini-val SHARED OUT` writes the real mini_val boxes as tables; `results ROOT SPLIT OUT` writes perturbed result files.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // the tests use the rest
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mini-val", shared, out] => support::mini_val(Path::new(shared), Path::new(out)),
        ["results", root, split, out] => {
            let set = apprentice_data::nuscenes::NuScenes::open(Path::new(root), None).unwrap();
            std::fs::create_dir_all(out).unwrap();
            support::write_results(&set, split, Path::new(out));
        }
        _ => panic!("expected `mini-val SHARED OUT` or `results ROOT SPLIT OUT`"),
    }
}
