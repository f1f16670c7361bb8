//! nuScenes in: the figures of nuscenes-devkit 1.2.0 on the real mini_val boxes, and what damaged data sets and result files
//! are told.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code)] // the example uses the rest
mod support;

use apprentice_core::Hint;
use apprentice_data::DataError;
use apprentice_data::nuscenes::{CanBus, MapExpansion, NuScenes, faults};
use apprentice_eval::detection;
use apprentice_eval::perception::Named;
use apprentice_eval::prediction::{self, Forecast};
use apprentice_eval::{EvalError, tracking};
use serde_json::Value;
use std::path::{Path, PathBuf};
use support::small;
use support::truth::{futures_of, truth_of};

fn shared() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("APPRENTICE_SHARED_DATA").map_or(beside, PathBuf::from);
    if root.join(support::INFOS).is_file() {
        return Some(root);
    }
    eprintln!("SKIPPED: no real data at {}", root.join(support::INFOS).display());
    None
}

fn named(results: &str) -> Named {
    Named { data: "nuscenes:mini".into(), split: "mini_val".into(), results: results.into() }
}

/// Every figure of the fixture against ours: the largest difference and how many there were.
fn compare(ours: &Value, theirs: &Value, at: &str) -> (f64, usize) {
    match theirs {
        Value::Object(fields) => fields.iter().fold((0.0, 0), |(worst, count), (key, value)| {
            let (d, n) = compare(&ours[key], value, &format!("{at}.{key}"));
            (d.max(worst), n + count)
        }),
        Value::Array(items) => items.iter().enumerate().fold((0.0, 0), |(worst, count), (i, item)| {
            // Rows with a name are found by it: the order of classes is each program's own.
            let named = |row: &&Value| row["name"] == item["name"];
            let mine =
                if item["name"].is_string() { ours.as_array().unwrap().iter().find(named).unwrap() } else { &ours[i] };
            let (d, n) = compare(mine, item, &format!("{at}[{i}]"));
            (d.max(worst), n + count)
        }),
        Value::Number(number) => {
            let found = ours.as_f64().unwrap_or_else(|| panic!("{at}: {ours} against {number}"));
            let difference = (found - number.as_f64().unwrap()).abs();
            assert!(difference <= 1e-6, "{at}: {found} against {number}");
            (difference, 1)
        }
        other => {
            assert_eq!(ours, other, "{at}");
            (0.0, 1)
        }
    }
}

#[test]
fn the_real_boxes_of_mini_val_score_as_in_the_devkit() {
    let Some(shared) = shared() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nuscenes_devkit.json");
    let fixture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    support::mini_val(&shared, folder.path());
    let set = NuScenes::open(folder.path(), None).unwrap();
    assert_eq!(set.tables.samples.len(), 81);
    let truth = truth_of(&set, "mini_val").unwrap();
    // Of 4,514 recorded boxes, those of the ten classes.
    assert_eq!(truth.iter().map(|s| s.boxes.len()).sum::<usize>(), 4441);
    let made = support::perturbed(&set, "mini_val");
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let found = detection::evaluate(named("d.json"), &bytes(&made.detection), &truth).unwrap();
    let (worst, count) = compare(&serde_json::to_value(found).unwrap(), &fixture["detection"], "detection");
    println!("detection: {count} figures, largest difference {worst:e}");
    assert!(count > 90);
    let found = tracking::evaluate(named("t.json"), &bytes(&made.tracking), &truth).unwrap();
    let (worst, count) = compare(&serde_json::to_value(found).unwrap(), &fixture["tracking"], "tracking");
    println!("tracking: {count} figures, largest difference {worst:e}");
    assert!(count > 100);
    let entries = prediction::read_predictions("p.json", &bytes(&made.prediction)).unwrap();
    let futures = futures_of(&set, &named("p.json"), &entries).unwrap();
    let forecasts: Vec<Forecast<'_>> =
        entries.iter().zip(futures).map(|(entry, (truth, off_road))| Forecast { entry, truth, off_road }).collect();
    let found = prediction::evaluate(named("p.json"), &forecasts).unwrap();
    let (worst, count) = compare(&serde_json::to_value(found).unwrap(), &fixture["prediction"], "prediction");
    println!("prediction: {count} figures, largest difference {worst:e}");
    assert!(count > 9 && entries.len() > 50);
}

#[test]
fn keyframes_become_samples() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let set = NuScenes::open(folder.path(), None).unwrap();
    assert_eq!((set.version(), set.tables.scenes[0].description.as_str()), ("v1.0-mini", "by \"hand\""));
    let scene = set.scene(0).unwrap();
    assert_eq!((scene.name.as_str(), scene.place.as_str(), scene.moments.len()), ("scene-0103", "boston-seaport", 4));
    let sample = &scene.moments[1].sample;
    assert_eq!((sample.future_steps, sample.future.0[1]), (2, [4.0, 0.0]));
    assert!((sample.ego.speed_mps - 4.0).abs() < 1e-6 && sample.ego.acceleration_mps2 == 0.0);
    assert_eq!(scene.moments[1].previous_in_ego, Some([-2.0, 0.0]));
    // The police car is no detection class.
    assert_eq!(sample.agents.len(), 2);
    let car = sample.agents.iter().find(|a| a.class == apprentice_core::AgentClass::Car).unwrap();
    assert_eq!((car.center_in_ego, car.size_m), ([12.0, 2.0, 1.0], [4.0, 2.0, 1.5]));
    assert_eq!((car.velocity_in_ego_mps, car.future_steps, car.future_in_ego[0]), ([8.0, 0.0], 2, [16.0, 2.0]));
    assert!(CanBus::read(&set, "scene-0103").unwrap().is_none());
    assert!(MapExpansion::read(&set, "boston-seaport").unwrap().is_none());
    // Nothing but tables was written: every recording and the map are reported.
    let found = faults(&set);
    assert_eq!(found.iter().filter(|f| f.kind == "file").count(), 4);
    assert!(found.iter().any(|f| f.kind == "map") && found.iter().any(|f| f.problem.contains("CAM_FRONT")));
}

fn edited(table: &str, from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let path = folder.path().join("v1.0-mini").join(table).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{table} has no {from}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let error = NuScenes::open(folder.path(), None).unwrap_err();
    assert!(error.hint().is_some());
    let text = error.to_string();
    assert!(text.contains(table), "{text}");
    text
}

#[test]
fn a_damaged_table_is_named_with_its_row_and_field() {
    let says = |table: &str, from: &str, to: &str, words: &[&str]| {
        let error = edited(table, from, to);
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    };
    says("sample_annotation", "[110.0,52.0,1.0]", "[NaN,52.0,1.0]", &["row 0", "translation", "NaN"]);
    says("sample_annotation", "[110.0,52.0,1.0]", "[110.0,52.0]", &["row 0", "translation", "found 2"]);
    says("sample_annotation", "[110.0,52.0,1.0]", "[1e999,52.0,1.0]", &["row 0", "translation"]);
    says("sample_annotation", "\"size\":[2.0,", "\"size\":[-2.0,", &["row 0", "size", "positive"]);
    says("sample_annotation", "\"rotation\":[1.0,", "\"rotation\":[0.0,", &["rotation", "length 0.000"]);
    says("sample_annotation", "\"num_lidar_pts\":5", "\"num_lidar_pts\":-5", &["num_lidar_pts", "whole number"]);
    says("sample_annotation", "\"sample_token\":\"", "\"sample_token\":\"f", &["sample_token", "no row of `sample`"]);
    says("sample", "\"scene_token\":\"", "\"scene_token\":\"x", &["scene_token", "no row of `scene`"]);
    says("sample", "\"timestamp\":1000000", "\"timestamp\":\"soon\"", &["timestamp", "whole number"]);
    says("sample", "\"next\":\"", "\"next\":\"0", &["next", "no row of `sample`"]);
    says("sample_data", "\"ego_pose_token\":\"", "\"ego_pose_token\":\"0", &["ego_pose_token", "no row of `ego_pose`"]);
    says("instance", "\"category_token\":\"", "\"category\":\"", &["category_token", "missing"]);
    says("log", "\"location\":\"boston-seaport\"", "\"location\":7", &["location", "expected a string"]);
    says("ego_pose", "]\n", "", &["byte", "ends here"]);
    says("sensor", "[", "{", &["byte 0", "list of rows"]);
    says("map", "]\n", "] {}", &["something follows"]);
}

#[test]
fn missing_doubled_and_foreign_parts_are_named() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let tables = folder.path().join("v1.0-mini");
    let sample = tables.join("sample.json");
    let text = std::fs::read_to_string(&sample).unwrap();
    // A keyframe twice.
    let first = text.split('\n').nth(1).unwrap();
    std::fs::write(&sample, text.replacen("[\n", &format!("[\n{first}\n"), 1)).unwrap();
    let error = NuScenes::open(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("twice"), "{error}");
    std::fs::write(&sample, &text).unwrap();
    let set = NuScenes::open(folder.path(), None).unwrap();
    for (split, words) in
        [("val", "belongs to v1.0-trainval"), ("mini_train", "no scene of split"), ("all", "mini_val")]
    {
        let error = set.scenes_of(split).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    std::fs::remove_file(tables.join("visibility.json")).unwrap();
    let error = NuScenes::open(folder.path(), None).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }) && error.hint().is_some());
    assert!(error.to_string().contains("visibility"), "{error}");
    assert!(NuScenes::open(folder.path(), Some("v1.0-test")).unwrap_err().to_string().contains("v1.0-test"));
    assert!(NuScenes::open(&tables, None).unwrap_err().to_string().contains("v1.0-*"));
}

#[test]
fn result_files_that_do_not_fit_are_told_why() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let set = NuScenes::open(folder.path(), None).unwrap();
    let truth = truth_of(&set, "mini_val").unwrap();
    let made = support::perturbed(&set, "mini_val");
    let good = made.detection.to_string();
    let error = |text: &str| detection::evaluate(named("d.json"), text.as_bytes(), &truth).unwrap_err();
    let says = |from: &str, to: &str, words: &str| {
        assert!(good.contains(from), "no {from}");
        let error = error(&good.replacen(from, to, 1));
        assert!(
            error.to_string().contains(words) && error.to_string().contains("d.json") && error.hint().is_some(),
            "{error}"
        );
    };
    let token = &truth[0].token;
    says(&format!("{{\"{token}\":"), &format!("{{\"0{token}\":"), "not in the split");
    says(&format!("{{\"{token}\":"), &format!("{{\"{}\":[],\"{token}\":", truth[1].token), "twice");
    says("\"results\"", "\"result\"", "results");
    says("\"detection_name\":\"", "\"detection_name\":\"the ", "there is no class");
    says("\"size\":[", "\"size\":[0.0,", "not a JSON document");
    says("\"translation\":[", "\"translation\":[NaN,", "not a JSON document");
    let mut short = made.detection.clone();
    short["results"].as_object_mut().unwrap().shift_remove(token);
    assert!(matches!(error(&short.to_string()), EvalError::OtherSamples { .. }));
    let mut empty = made.detection.clone();
    empty["results"].as_object_mut().unwrap().values_mut().for_each(|boxes| *boxes = Value::Array(vec![]));
    assert!(matches!(error(&empty.to_string()), EvalError::Empty { .. }));
    // A tracking file is no detection file.
    assert!(error(&made.tracking.to_string()).to_string().contains("attribute_name"));
}
