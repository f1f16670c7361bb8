//! A harvest that is killed at any moment goes on, and ends with every sample once: this test starts itself as the harvester.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic

use apprentice_core::Rng;
use apprentice_core::sample::SampleId;
use apprentice_teacher::{CacheSpec, CacheWriter, GuidanceCache, Precision};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "APPRENTICE_TEST_HARVEST_INTO";
/// What the harvester says when it begins.
const READY: &str = "harvest begins";
const SAMPLES: usize = 800;
const SHARD: usize = 16;
const KILLS: usize = 50;

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
        std::thread::sleep(Duration::from_millis(4));
        let first = shard * SHARD;
        let rows: Vec<_> = (first..(first + SHARD).min(SAMPLES)).map(row).collect();
        writer.write(shard, &rows).unwrap();
    }
}

#[test]
fn fifty_kills_lose_and_double_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        println!("{READY}");
        harvest(Path::new(&folder));
        return;
    }
    let start = |folder: &Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "fifty_kills_lose_and_double_nothing"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let begins = |child: &mut Child| {
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains(READY)));
    };
    let folder = tempfile::tempdir().unwrap();
    harvest(folder.path());
    let whole = GuidanceCache::open(folder.path()).unwrap().hash().to_string();
    let mut rng = Rng::new(&[3]);
    let (mut kills, mut runs) = (0, 0);
    while kills < KILLS {
        runs += 1;
        assert!(runs <= KILLS, "a harvest that is never caught at work");
        let folder = tempfile::tempdir().unwrap();
        loop {
            let mut child = start(folder.path());
            begins(&mut child);
            std::thread::sleep(Duration::from_micros(rng.range(0.0, 60_000.0) as u64));
            if child.try_wait().unwrap().is_some() {
                break; // it was done before the blow fell
            }
            child.kill().unwrap();
            assert!(!child.wait().unwrap().success());
            kills += 1;
        }
        assert!(start(folder.path()).wait().unwrap().success());
        let cache = GuidanceCache::open(folder.path()).unwrap();
        assert_eq!(cache.len(), SAMPLES);
        for (i, id) in ids().iter().enumerate() {
            assert_eq!(cache.values(id).unwrap(), row(i), "{id}");
        }
        assert_eq!(cache.hash(), whole);
    }
    println!("{kills} kills in {runs} harvests");
}
