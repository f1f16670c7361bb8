//! Readers of other people's data sets and damaged files: an error or a result, never a panic. `cargo xtask mutations` runs them
//! at full length and counts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code)] // other tests use the rest
mod support;

use apprentice_core::Rng;
use apprentice_data::nuscenes::{CanBus, MapExpansion, NuScenes, faults};
use apprentice_data::{bench2drive, scenarionet, staged};
use apprentice_eval::detection;
use apprentice_eval::perception::Named;
use apprentice_eval::prediction::{self, Forecast};
use apprentice_eval::{motion, motion_uniad, tracking};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use support::small;
use support::truth::{futures_of, truth_for_uniad, truth_of};

fn named(results: &str) -> Named {
    Named { data: "nuscenes:mini".into(), split: "mini_val".into(), results: results.into() }
}

/// Change bytes of a text: flip, drop, double, exchange for what breaks parsers.
fn mutate(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(out.len().max(1)).min(out.len().saturating_sub(1));
        let end = (at + rng.below(40)).min(out.len());
        match rng.below(6) {
            0 => out[at] ^= 1 << rng.below(8),
            1 => drop(out.drain(at..end)),
            2 => out.truncate(at),
            3 => {
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            4 => {
                const WORDS: [&[u8]; 10] =
                    [b"NaN", b"-1", b"1e308", b"\"\"", b"[", b"}", b"\\", b"null", b"99999999999999999999", b"0.5"];
                out.splice(at..end, WORDS[rng.below(WORDS.len())].iter().copied());
            }
            _ => {
                let other = rng.below(out.len());
                out.swap(at, other);
            }
        }
        if out.is_empty() {
            out.push(b'[');
        }
    }
    out
}

/// A thousand or so inputs; over 100,000 under --full.
fn rounds(usual: usize, full: usize) -> usize {
    if std::env::var("APPRENTICE_TEST_FULL").is_ok_and(|v| v == "1") { full } else { usual }
}

#[test]
fn no_mutation_of_a_table_makes_the_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let tables = folder.path().join("v1.0-mini");
    let mut rng = Rng::new(&[0xbad]);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..rounds(700, 60_000) {
        let name = apprentice_data::nuscenes::tables::NAMES[rng.below(13)];
        let path = tables.join(name).with_extension("json");
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, mutate(&mut rng, &good)).unwrap();
        match NuScenes::open(folder.path(), None) {
            Ok(set) => {
                read += 1;
                let scenes = (0..set.tables.scenes.len() as u32).map(|at| set.scene(at).is_ok());
                let _ = (scenes.filter(|ok| *ok).count(), faults(&set).len(), truth_of(&set, "mini_val").is_ok());
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(".json"), "{error}");
            }
        }
        std::fs::write(&path, good).unwrap();
    }
    println!("MUTATIONS nuScenes tables: {} inputs, {refused} refused", read + refused);
    assert!(read > 0 && refused > 0);
}

#[test]
fn no_mutation_of_a_result_file_makes_the_judge_panic() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let set = NuScenes::open(folder.path(), None).unwrap();
    let truth = truth_of(&set, "mini_val").unwrap();
    let made = support::perturbed(&set, "mini_val");
    let texts = [&made.detection, &made.tracking].map(|v| serde_json::to_vec(v).unwrap());
    let ahead =
        [6, 12].map(|steps| serde_json::to_vec(&support::motion(&set, "mini_val", &made.detection, steps)).unwrap());
    let long_truth = truth_for_uniad(&set, "mini_val").unwrap();
    let future = |steps: usize| json!(vec![[1.0, 2.0]; steps]);
    let agent = set.token_text(set.tables.instances[0].token);
    let forecast = json!([{"instance": agent, "sample": truth[0].token, "prediction": [future(3), future(3)], "probabilities": [0.5, 0.5]}]);
    let forecast = serde_json::to_vec(&forecast).unwrap();
    let mut rng = Rng::new(&[0xbad, 2]);
    let (mut judged, mut refused) = (0, 0);
    for _ in 0..rounds(300, 20_000) {
        let sound = [
            detection::evaluate(named("d"), &mutate(&mut rng, &texts[0]), &truth).is_ok(),
            tracking::evaluate(named("t"), &mutate(&mut rng, &texts[1]), &truth).is_ok(),
            motion::evaluate(named("m"), &mutate(&mut rng, &ahead[0]), &truth).is_ok(),
            motion_uniad::evaluate(named("m"), &mutate(&mut rng, &ahead[1]), &long_truth).is_ok(),
            prediction::read_predictions("p", &mutate(&mut rng, &forecast)).is_ok_and(|entries| {
                futures_of(&set, &named("p"), &entries).is_ok_and(|futures| {
                    let forecasts: Vec<Forecast<'_>> = entries
                        .iter()
                        .zip(futures)
                        .map(|(entry, (truth, off_road))| Forecast { entry, truth, off_road })
                        .collect();
                    prediction::evaluate(named("p"), &forecasts).is_ok()
                })
            }),
        ];
        judged += sound.iter().filter(|ok| **ok).count();
        refused += sound.iter().filter(|ok| !**ok).count();
    }
    println!("MUTATIONS nuScenes result files: {} inputs, {refused} refused", judged + refused);
    assert!(judged > 0 && refused > 0);
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Mutate a file again and again, packed or not, and give each to a reader that says whether it read it.
fn survives(name: &str, path: &Path, good: &[u8], packed: bool, rounds: usize, read: impl Fn() -> bool) {
    let write = |bytes: &[u8]| std::fs::write(path, bytes).unwrap();
    let pack = |bytes: &[u8]| if packed { gzipped(bytes) } else { bytes.to_vec() };
    write(&pack(good));
    assert!(read(), "{name}: the sound file");
    let mut rng = Rng::new(&[0xbad, name.len() as u64]);
    let mut refused = 0;
    for round in 0..rounds {
        // Every tenth time the packed bytes themselves are damaged.
        let bytes = match packed && round % 10 == 0 {
            true => mutate(&mut rng, &gzipped(good)),
            false => pack(&mutate(&mut rng, good)),
        };
        write(&bytes);
        refused += usize::from(!read());
    }
    write(&pack(good));
    println!("MUTATIONS {name}: {rounds} inputs, {refused} refused");
    assert!(refused > 0 && refused < rounds, "{name}: {refused} of {rounds}");
}

#[test]
fn no_mutation_of_a_clip_makes_the_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("Accident_Town03_Route1_Weather0");
    std::fs::create_dir_all(clip.join("anno")).unwrap();
    let frame = |i: usize| {
        let x = 10.0 + 2.0 * i as f64;
        let at = |class: &str, id: &str, x: f64, y: f64| {
            json!({"class": class, "id": id, "base_type": "car", "location": [x, y, 0.0], "rotation": [0.0, 0.0, 10.0],
                   "center": [x, y, 0.8], "extent": [2.4, 0.9, 0.75], "speed": 4.0})
        };
        let boxes = [at("ego_vehicle", "1", x, 5.0), at("vehicle", "2", x + 12.0, 5.0), at("walker", "3", x, 9.0)];
        json!({"x": x, "y": 5.0, "speed": 4.0, "command_near": 4, "acceleration": [0.1, 0.0, 9.8], "bounding_boxes": boxes})
    };
    let path = |i: usize| clip.join(format!("anno/{i:05}.json.gz"));
    (0..4).for_each(|i| std::fs::write(path(i), gzipped(frame(i).to_string().as_bytes())).unwrap());
    let good = frame(1).to_string();
    survives("Bench2Drive clips", &path(1), good.as_bytes(), true, rounds(300, 15_000), || {
        let _ = bench2drive::faults(&clip, 1);
        bench2drive::read_clip(&clip, 1).is_ok()
    });
}

#[test]
fn no_mutation_of_a_scene_makes_the_reader_or_the_stage_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene-0001.json.gz");
    let steps = 16;
    let track = |kind: &str, category: &str, x: f64, y: f64, speed: f64| {
        let of = |value: serde_json::Value| vec![value; steps];
        let positions: Vec<_> = (0..steps).map(|i| [x + 0.1 * speed * i as f64, y, 0.0]).collect();
        json!({"type": kind, "metadata": {"type": category}, "state": {
            "position": positions, "heading": of(json!(0.0)), "velocity": of(json!([speed, 0.0])), "valid": of(json!(1.0)),
            "length": of(json!([4.5])), "width": of(json!([1.9])), "height": of(json!([1.6]))}})
    };
    let times: Vec<f64> = (0..steps).map(|i| 0.1 * i as f64).collect();
    let good = json!({
        "id": "scene-0001", "length": steps, "metadata": {"map": "m", "sdc_id": "ego", "ts": times},
        "tracks": {
            "ego": track("VEHICLE", "vehicle.car", 0.0, 0.0, 8.0),
            "a": track("PEDESTRIAN", "human.pedestrian.child", 10.0, 4.0, 1.0),
            "b": track("VEHICLE", "vehicle.truck", 20.0, 0.0, 6.0),
        },
        "map_features": {
            "lane": {"type": "LANE_SURFACE_STREET", "polyline": [[-20, 0], [60, 0]],
                     "polygon": [[-20, -2], [60, -2], [60, 2], [20, 2.5], [-20, 2], [-20, -2]]},
            "bare": {"type": "LANE_SURFACE_STREET", "polyline": [[-20, 4], [20, 4], [60, 6]]},
            "line": {"type": "ROAD_LINE_BROKEN_SINGLE_WHITE", "polyline": [[-20, 2], [60, 2]]},
            "walk": {"type": "CROSSWALK", "polyline": [[30, -2], [33, -2], [33, 4], [30, 4]]},
        },
    });
    survives("ScenarioNet scenes", &path, good.to_string().as_bytes(), true, rounds(100, 6_000), || {
        let staged = staged::stage(&path);
        assert_eq!(staged.is_ok(), scenarionet::read_scene(&path).is_ok());
        staged.is_ok()
    });
}

#[test]
fn no_mutation_of_a_map_or_can_message_makes_the_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let set = NuScenes::open(folder.path(), None).unwrap();
    let path = folder.path().join("maps/expansion/boston-seaport.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let node = |token: &str, x: f64, y: f64| json!({"token": token, "x": x, "y": y});
    let good = json!({
        "version": "1.3", "canvas_edge": [200.0, 100.0],
        "node": [node("a", 90.0, 45.0), node("b", 130.0, 45.0), node("c", 130.0, 56.0), node("d", 90.0, 56.0)],
        "line": [{"token": "l", "node_tokens": ["a", "b"]}],
        "polygon": [{"token": "p", "exterior_node_tokens": ["a", "b", "c", "d"], "holes": [{"node_tokens": ["a", "b", "c"]}]}],
        "drivable_area": [{"polygon_tokens": ["p"]}], "ped_crossing": [{"polygon_token": "p"}],
        "stop_line": [{"polygon_token": "p"}], "road_divider": [{"line_token": "l"}], "lane_divider": [{"line_token": "l"}],
        "arcline_path_3": {"k": [{"start_pose": [90.0, 50.0, 0.1], "shape": "LSR", "radius": 40.0, "segment_length": [2.0, 30.0, 3.0]}]},
    });
    let truth = || set.scene(0).is_ok();
    survives("nuScenes maps", &path, good.to_string().as_bytes(), false, rounds(300, 15_000), || {
        let _ = truth();
        MapExpansion::read(&set, "boston-seaport").is_ok_and(|map| {
            map.is_none_or(|map| (0..50).filter(|i| map.drivable.covers([80.0 + f64::from(*i), 50.0])).count() <= 50)
        })
    });
    let path = folder.path().join("can_bus/scene-0103_pose.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let message = |i: u64| {
        json!({"utime": 1_000_000 + 20_000 * i, "accel": [0.1, 0.0, 9.8], "orientation": [1.0, 0.0, 0.0, 0.0],
               "pos": [1.0, 2.0, 0.0], "rotation_rate": [0.0, 0.0, 0.1], "vel": [4.0, 0.0, 0.0]})
    };
    let good = json!((0..8).map(message).collect::<Vec<_>>()).to_string();
    survives("CAN bus messages", &path, good.as_bytes(), false, rounds(300, 15_000), || {
        let _ = truth();
        CanBus::read(&set, "scene-0103").is_ok()
    });
}
