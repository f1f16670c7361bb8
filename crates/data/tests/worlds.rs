//! `worlds make` end to end at size `tiny`: determinism, resume, labels, loader, hostile files.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::geometry::DVec2;
use apprentice_core::sample::Tier;
use apprentice_core::{HORIZON_STEPS, Hint, Rig, Silent};
use apprentice_data::{Loader, LoaderConfig, MakeConfig, Part, Size, Split, View, WorldSet, make, world_path};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

fn config(out: &Path, threads: usize) -> MakeConfig {
    MakeConfig { out: out.to_path_buf(), size: Size::Tiny, seed: 7, threads }
}

/// One data set for all tests of this file.
fn shared() -> &'static Path {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("worlds");
        make(&config(&out, 2), &Silent).unwrap();
        (folder, out)
    });
    path
}

fn copy_of_shared(to: &Path) {
    std::fs::create_dir_all(to.join("worlds")).unwrap();
    for (name, bytes) in files(shared()) {
        std::fs::write(to.join(name), bytes).unwrap();
    }
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for folder in [root.to_path_buf(), root.join("worlds")] {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() && entry.file_name() != ".lock" {
                let name = entry.path().strip_prefix(root).unwrap().display().to_string();
                out.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    out
}

#[test]
fn one_thread_gives_the_same_bytes_and_a_killed_run_is_finished_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let whole = files(shared());
    let single = folder.path().join("single");
    make(&config(&single, 1), &Silent).unwrap();
    assert!(files(&single) == whole, "one thread and two threads differ");
    // What a kill may leave: no index, worlds missing, one half-written beside, one damaged.
    std::fs::remove_file(single.join("worlds.json")).unwrap();
    let names: Vec<_> = whole.keys().filter(|n| n.ends_with(".world")).collect();
    names[..5].iter().for_each(|n| std::fs::remove_file(single.join(n)).unwrap());
    std::fs::write(single.join(names[6]), &whole[names[6]][..1000]).unwrap();
    std::fs::write(single.join("worlds/.writing-a1b2c3.tmp"), b"half").unwrap();
    make(&config(&single, 2), &Silent).unwrap();
    assert!(files(&single) == whole, "the resumed run differs");
}

#[test]
fn another_split_in_the_folder_is_refused() {
    let other = MakeConfig { seed: 8, ..config(shared(), 1) };
    let error = make(&other, &Silent).unwrap_err();
    assert!(error.to_string().contains("seed 7") && error.hint().is_some(), "{error}");
}

#[test]
fn the_split_keeps_its_promises() {
    let split = Split::load(&shared().join("split.json")).unwrap();
    assert_eq!(split.hash(), apprentice_core::hash::content_hash(&std::fs::read(shared().join("split.json")).unwrap()));
    for world in &split.worlds {
        let knows = match world.part {
            Part::Corpus => world.tier != Tier::Novel,
            Part::Driving => matches!(world.tier, Tier::Common | Tier::Rare),
            Part::OpenRoad => !matches!(world.tier, Tier::TeacherOnly | Tier::Novel),
            Part::Design | Part::Test => true,
        };
        assert!(knows, "{} is {:?}", world.id, world.tier);
        let others = split.worlds.iter().filter(|w| w.part.is_held_out() != world.part.is_held_out());
        assert!(others.into_iter().all(|w| w.town != world.town), "{} shares its town", world.id);
    }
    for part in Part::ALL {
        assert_eq!(split.worlds.iter().filter(|w| w.part == part).count(), Size::Tiny.worlds(part), "{part:?}");
    }
}

#[test]
fn futures_are_the_replayed_track_and_boxes_are_the_snapshots() {
    let set = WorldSet::open(shared()).unwrap();
    let ids = set.ids_where(|_, _| true);
    assert!(ids.len() > 50, "{} samples", ids.len());
    let (mut steps, mut boxes) = (0, 0);
    for pair in ids.windows(2).filter(|p| p[0].world == p[1].world) {
        let (now, next) = (set.record(&pair[0]).unwrap(), set.record(&pair[1]).unwrap());
        assert_eq!(next.snapshot.tick - now.snapshot.tick, 10);
        let ego = now.snapshot.ego.pose_in_world;
        if now.sample.future_steps > 0 {
            let p = ego.to_local(next.snapshot.ego.pose_in_world.position());
            let [x, y] = now.sample.future.0[0].map(f64::from);
            assert!(p.distance(DVec2::new(x, y)) < 1e-4, "{}", pair[0]);
            steps += 1;
        }
        for agent in &now.sample.agents {
            let state = now.snapshot.actors.iter().find(|a| a.id == agent.id).unwrap();
            let center = DVec2::new(agent.center_in_ego[0].into(), agent.center_in_ego[1].into());
            assert!(ego.to_parent(center).distance(state.pose_in_world.position()) < 1e-3);
            if agent.future_steps > 0
                && let Some(later) = next.snapshot.actors.iter().find(|a| a.id == agent.id)
            {
                let [x, y] = agent.future_in_ego[0].map(f64::from);
                assert!(ego.to_parent(DVec2::new(x, y)).distance(later.pose_in_world.position()) < 1e-3);
                boxes += 1;
            }
        }
    }
    assert!(steps > 50 && boxes > 100, "{steps} steps and {boxes} boxes were compared");
    let visible = ids.iter().map(|id| set.sample(id).unwrap()).flat_map(|s| s.agents.clone());
    assert!(visible.filter(|a| a.visible_pixels > 0).count() > 50);
}

#[test]
fn unknown_futures_repeat_the_last_known_place() {
    let set = WorldSet::open(shared()).unwrap();
    for id in set.ids_where(|_, _| true) {
        let sample = set.sample(&id).unwrap();
        let known = usize::from(sample.future_steps);
        let last = known.checked_sub(1).map_or([0.0; 2], |i| sample.future.0[i]);
        assert!(sample.future.0[known..HORIZON_STEPS].iter().all(|p| *p == last));
    }
}

#[test]
fn batches_depend_on_seed_and_step_alone() {
    let set = Arc::new(WorldSet::open(shared()).unwrap());
    let ids = set.ids(Part::Driving);
    let rig = Rig::bench2drive(32, 16);
    let config = LoaderConfig { threads: 3, ..LoaderConfig::training(rig.clone(), 5, 11) };
    let mut many = Loader::new(set.clone(), ids.clone(), config.clone()).unwrap();
    let mut single = Loader::new(set.clone(), ids.clone(), LoaderConfig { threads: 1, ahead: 0, ..config }).unwrap();
    // The second loader jumps about; the first goes straight.
    let straight: Vec<_> = (0..6).map(|step| many.batch(step).unwrap()).collect();
    for step in [4, 0, 5, 5, 2, 1, 3] {
        let batch = single.batch(step).unwrap();
        let want = &straight[step as usize];
        assert_eq!(batch.len(), 5);
        let got: Vec<_> = batch.iter().map(|f| f.sample.id.clone()).collect();
        assert_eq!(got, single.batch_ids(step));
        for (a, b) in batch.iter().zip(want) {
            assert_eq!(a.sample.id, b.sample.id);
            assert_eq!(a.view, b.view);
            assert!(a.images == b.images && a.view != View::Plain);
        }
    }
    // An epoch sees every sample once.
    let mut epoch: Vec<_> = (0..).flat_map(|step| single.batch_ids(step)).take(ids.len()).collect();
    epoch.sort();
    assert_eq!(epoch, ids);
}

#[test]
fn in_order_batches_walk_the_list_once_and_remembering_changes_nothing() {
    let set = Arc::new(WorldSet::open(shared()).unwrap());
    let ids: Vec<_> = set.ids(Part::Driving).into_iter().take(13).collect();
    let rig = Rig::bench2drive(32, 16);
    let plain = LoaderConfig::evaluation(rig, 4);
    let mut fresh = Loader::new(set.clone(), ids.clone(), plain.clone()).unwrap();
    let remembering = LoaderConfig { cache_bytes: 6 * 32 * 16 * 3 * 7, ..plain };
    let mut remembering = Loader::new(set, ids.clone(), remembering).unwrap();
    assert_eq!(fresh.batches(), 4);
    for _ in 0..2 {
        let mut seen = Vec::new();
        for step in 0..fresh.batches() {
            let (a, b) = (fresh.batch(step).unwrap(), remembering.batch(step).unwrap());
            assert!(a.iter().zip(&b).all(|(a, b)| a.images == b.images && a.sample == b.sample));
            seen.extend(a.iter().map(|f| f.sample.id.clone()));
        }
        assert_eq!(seen, ids);
    }
    assert!(fresh.batch(4).unwrap().is_empty());
}

#[test]
fn lying_files_are_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    copy_of_shared(folder.path());
    let id = WorldSet::open(folder.path()).unwrap().ids(Part::Driving)[0].clone();
    let path = world_path(folder.path(), &id.world);
    let good = std::fs::read(&path).unwrap();
    // Cut anywhere, a byte changed anywhere, another world's file in its place.
    for at in (0..good.len()).step_by(good.len() / 40) {
        std::fs::write(&path, &good[..at]).unwrap();
        expect_error(folder.path(), &id, ".world");
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        expect_error(folder.path(), &id, ".world");
    }
    let other = files(folder.path()).into_iter().find(|(n, _)| n.contains("corpus")).unwrap().1;
    std::fs::write(&path, other).unwrap();
    expect_error(folder.path(), &id, "worlds.json");
    std::fs::write(&path, &good).unwrap();
    // A split that says something else, an index that knows other worlds.
    let split = folder.path().join("split.json");
    let text = std::fs::read_to_string(&split).unwrap();
    std::fs::write(&split, text.replacen("\"vehicles\": ", "\"vehicles\": 1", 1)).unwrap();
    assert!(WorldSet::open(folder.path()).err().unwrap().to_string().contains("split.json"));
    std::fs::write(&split, text.replacen("\"vehicles\"", "\"cars\"", 1)).unwrap();
    let error = Split::load(&split).unwrap_err();
    assert!(error.to_string().contains("cars") && error.hint().is_some(), "{error}");
    std::fs::write(&split, &text).unwrap();
    std::fs::write(folder.path().join("worlds.json"), "{").unwrap();
    assert!(WorldSet::open(folder.path()).err().unwrap().to_string().contains("worlds.json"));
}

fn expect_error(root: &Path, id: &apprentice_core::sample::SampleId, word: &str) {
    let error = WorldSet::open(root).and_then(|set| set.sample(id)).unwrap_err().to_string();
    assert!(error.contains(word), "{error}");
}
