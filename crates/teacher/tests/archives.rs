//! PyTorch's own files are read as data; the fixtures are made by `bench/fixtures/general_models.py archives`.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_nn::{Weights, read_tensors};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/general/archives").join(name)
}

#[test]
fn every_layout_gives_the_same_tensors_and_runs_nothing() {
    let theirs = read_tensors(&fixture("reference.safetensors")).unwrap().tensors;
    for name in ["new.pth", "old.pth", "wrapped.ckpt"] {
        let weights = Weights::open(&fixture(name)).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        for (key, tensor) in &theirs {
            let ours = weights.get(key).unwrap();
            assert_eq!((ours.size(), ours.kind()), (tensor.size(), tensor.kind()), "{name} {key}");
            assert!(ours.equal(tensor), "{name} {key}");
        }
    }
    // The trap in the training checkpoint would have opened this file.
    assert!(!Path::new("/tmp/a-pickle-ran").exists());
}

#[test]
fn damage_is_an_error_at_every_length_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["new.pth", "old.pth"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        for length in (0..bytes.len()).step_by(bytes.len() / 97 + 1) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Weights::open(&path).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        // Bytes that lie: whatever comes of it, it is a value.
        for at in (0..bytes.len().min(1600)).step_by(3) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x55;
            std::fs::write(&path, &wrong).unwrap();
            let _ = Weights::open(&path);
        }
    }
}
