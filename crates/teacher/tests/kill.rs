//! A harvest that is killed at any moment goes on, and ends with every sample once: the harvester is a fork of this test.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic

use apprentice_core::sample::SampleId;
use apprentice_core::{Progress, Rng, Silent};
use apprentice_teacher::harvest::{self, Giver};
use apprentice_teacher::{CacheSpec, GuidanceCache, Precision, Row, TeacherError};
use std::path::Path;
use std::time::Duration;

const SAMPLES: usize = 800;
const SHARD: usize = 16;
const KILLS: usize = 60;

/// A model that thinks for a millisecond a shard: hidden states of as many places as it likes, and words.
struct Model;

impl Giver for Model {
    fn taps(&self) -> Result<Vec<(String, CacheSpec)>, TeacherError> {
        let spec = |tap: &str, shape: Vec<usize>, precision| CacheSpec {
            teacher: "t".into(),
            tap: tap.into(),
            prompt: "q".into(),
            preprocessing: "p".into(),
            augmentation: "none".into(),
            data: "d".into(),
            knows_truth: false,
            precision,
            shape,
            shard_samples: SHARD,
        };
        Ok(vec![
            ("hidden.q".into(), spec("hidden", vec![8, 1, 16], Precision::F32)),
            ("answer.q".into(), spec("answer", vec![4, 1], Precision::F32)),
        ])
    }

    fn give(&self, ids: &[SampleId], _: &dyn Progress) -> Result<Vec<Vec<Option<Row>>>, TeacherError> {
        std::thread::sleep(Duration::from_millis(1));
        Ok(vec![ids.iter().map(hidden).collect(), ids.iter().map(answer).collect()])
    }
}

fn ids() -> Vec<SampleId> {
    (0..SAMPLES).map(|i| SampleId { world: format!("w{}", i / 50), index: (i % 50) as u32 }).collect()
}

fn number(id: &SampleId) -> usize {
    id.world[1..].parse::<usize>().unwrap() * 50 + id.index as usize
}

fn hidden(id: &SampleId) -> Option<Row> {
    let i = number(id);
    (i % 13 != 5).then(|| (0..(i % 8 + 1) * 16).map(|j| (i * 128 + j) as f32).collect::<Vec<_>>().into())
}

fn answer(id: &SampleId) -> Option<Row> {
    let i = number(id);
    (i % 7 != 2).then(|| Row { values: vec![i as f32], age_s: 0.5, text: Some(format!("answer {i}")) })
}

fn harvest(folder: &Path) -> Vec<GuidanceCache> {
    harvest::run(&Model, &ids(), folder, &Silent).unwrap()
}

/// Harvest in a process of its own and kill it after a while; whether the blow came in time.
fn killed(folder: &Path, after: Duration) -> bool {
    // SAFETY: the child only writes files, and leaves without running anything of the parent's.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let done = std::panic::catch_unwind(|| drop(harvest(folder))).is_ok();
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
    let whole: Vec<String> = harvest(folder.path()).iter().map(|cache| cache.hash().to_string()).collect();
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
        let caches = ["hidden.q", "answer.q"].map(|tap| GuidanceCache::open(&folder.path().join(tap)).unwrap());
        assert_eq!(caches.each_ref().map(|cache| cache.hash().to_string()).to_vec(), whole);
        for id in &ids() {
            let mut values = hidden(id).map(|row| row.values);
            values.iter_mut().for_each(|values| values.resize(128, 0.0));
            assert_eq!(caches[0].values(id).unwrap(), values, "{id}");
            assert_eq!(caches[1].text(id).unwrap().map(str::to_string), answer(id).and_then(|row| row.text), "{id}");
        }
        assert!(caches.iter().all(|cache| cache.len() == SAMPLES));
    }
    println!("{kills} kills in {harvests} harvests");
}
