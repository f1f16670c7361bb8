//! A harvest that is killed at any moment goes on, and ends with every sample once: the harvester is a fork of this test.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic

use apprentice_core::Rng;
use apprentice_core::sample::SampleId;
use apprentice_teacher::{CacheSpec, CacheWriter, GuidanceCache, Precision};
use std::path::Path;
use std::time::Duration;

const SAMPLES: usize = 800;
const SHARD: usize = 16;
const KILLS: usize = 60;

fn spec() -> CacheSpec {
    CacheSpec {
        teacher: "t".into(),
        tap: "planning-token".into(),
        preprocessing: "p".into(),
        augmentation: "none".into(),
        precision: Precision::F32,
        shape: vec![64],
        shard_samples: SHARD,
    }
}

fn ids() -> Vec<SampleId> {
    (0..SAMPLES).map(|i| SampleId { world: format!("w{}", i / 50), index: (i % 50) as u32 }).collect()
}

fn row(i: usize) -> Option<Vec<f32>> {
    (i % 13 != 5).then(|| (0..64).map(|j| (i * 64 + j) as f32).collect())
}

/// As a harvest does it: what is missing, shard by shard, each after the time a model takes.
fn harvest(folder: &Path) {
    let writer = CacheWriter::open(folder, spec(), ids()).unwrap();
    for shard in (0..writer.shards()).filter(|&shard| !writer.has(shard)) {
        std::thread::sleep(Duration::from_millis(1));
        let first = shard * SHARD;
        let rows: Vec<_> = (first..(first + SHARD).min(SAMPLES)).map(row).collect();
        writer.write(shard, &rows).unwrap();
    }
}

/// Harvest in a process of its own and kill it after a while; whether the blow came in time.
fn killed(folder: &Path, after: Duration) -> bool {
    // SAFETY: the child only writes files, and leaves without running anything of the parent's.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let done = std::panic::catch_unwind(|| harvest(folder)).is_ok();
        unsafe { libc::_exit(i32::from(!done)) };
    }
    std::thread::sleep(after);
    let mut status = 0;
    // SAFETY: the child is ours and was not waited for yet.
    let waited = unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, &mut status, 0)
    };
    assert_eq!(waited, child);
    assert!(libc::WIFSIGNALED(status) || libc::WEXITSTATUS(status) == 0);
    libc::WIFSIGNALED(status)
}

#[test]
fn sixty_kills_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    harvest(folder.path());
    let whole = GuidanceCache::open(folder.path()).unwrap().hash().to_string();
    let mut rng = Rng::new(&[3]);
    let (mut kills, mut harvests) = (0, 0);
    while kills < KILLS {
        harvests += 1;
        assert!(harvests <= KILLS, "a harvest that is never caught at work");
        let folder = tempfile::tempdir().unwrap();
        // Ever longer lives, so that the slowest disk is done in the end.
        let mut longest_us = 20_000.0;
        while killed(folder.path(), Duration::from_micros(rng.range(0.0, longest_us) as u64)) {
            kills += 1;
            longest_us += 4_000.0;
        }
        let cache = GuidanceCache::open(folder.path()).unwrap();
        assert_eq!((cache.len(), cache.hash()), (SAMPLES, whole.as_str()));
        for (i, id) in ids().iter().enumerate() {
            assert_eq!(cache.values(id).unwrap(), row(i), "{id}");
        }
    }
    println!("{kills} kills in {harvests} harvests");
}
