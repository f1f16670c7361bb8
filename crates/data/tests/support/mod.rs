//! Data sets and result files that both this program and nuscenes-devkit judge: the real boxes of nuScenes' mini_val
//! keyframes as tables, and perturbed copies of any data set's truth as predictions. Everything is a pure function of its
//! input, so the figures that the devkit gave once hold for ever (`bench/nuscenes_devkit.py` makes them).

use apprentice_core::geometry::{DQuat, DVec3};
use apprentice_core::{AgentClass, Rng};
use apprentice_data::export::tables::{Annotated, CATEGORIES, Keyframe, Recording, SceneRows, write_tables};
use apprentice_data::nuscenes::tables::{NONE, Place};
use apprentice_data::nuscenes::{NuScenes, class_of_category};
use apprentice_eval::perception::{ATTRIBUTES, TruthBox, TruthSample};
use apprentice_eval::tracking::CLASSES;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use truth::{truth_for_uniad, truth_of};

// Where data and judge meet is the command line; what it does is what is tested here.
#[path = "../../../cli/src/truth.rs"]
pub mod truth;

/// Keyframes of mini_val as mmdetection3d keeps them.
pub const INFOS: &str = "nuscenes_mini_scenarionet/mini_val_infos_mmdet3d.json.gz";

#[derive(Deserialize)]
struct Infos {
    infos: Vec<Info>,
}

#[derive(Deserialize)]
struct Info {
    timestamp: u64,
    lidar2ego_translation: [f64; 3],
    lidar2ego_rotation: [f64; 4],
    ego2global_translation: [f64; 3],
    ego2global_rotation: [f64; 4],
    gt_boxes: Vec<[f64; 7]>,
    gt_names: Vec<String>,
    gt_velocity: Vec<[Option<f64>; 2]>,
    num_lidar_pts: Vec<u32>,
    num_radar_pts: Vec<u32>,
    cams: BTreeMap<String, Cam>,
}

#[derive(Deserialize)]
struct Cam {
    sensor2ego_translation: [f64; 3],
    sensor2ego_rotation: [f64; 4],
    cam_intrinsic: [[f64; 3]; 3],
}

fn quaternion([w, x, y, z]: [f64; 4]) -> DQuat {
    DQuat::from_xyzw(x, y, z, w).normalize()
}

fn place(translation: DVec3, rotation: DQuat) -> Place {
    Place { translation: translation.to_array(), rotation: [rotation.w, rotation.x, rotation.y, rotation.z] }
}

fn category(name: &str) -> Option<&'static str> {
    let of_class = CATEGORIES.into_iter().find(|c| class_of_category(c).is_some_and(|class| class.name() == name));
    of_class.or_else(|| CATEGORIES.into_iter().find(|c| *c == name))
}

fn attribute(category: &str, moving: bool) -> Option<&'static str> {
    Some(match class_of_category(category)? {
        AgentClass::Pedestrian if moving => "pedestrian.moving",
        AgentClass::Pedestrian => "pedestrian.standing",
        AgentClass::Bicycle | AgentClass::Motorcycle if moving => "cycle.with_rider",
        AgentClass::Bicycle | AgentClass::Motorcycle => "cycle.without_rider",
        AgentClass::Barrier | AgentClass::TrafficCone => return None,
        _ if moving => "vehicle.moving",
        _ => "vehicle.parked",
    })
}

/// Write the real boxes and cameras of mini_val's 81 keyframes as tables of v1.0-mini; there are no pictures. The source has no identities: boxes of a class
/// are linked to the nearest one where they would be half a second later. Every ninth bicycle stands in a rack.
pub fn mini_val(shared: &Path, out: &Path) {
    let packed = std::fs::read(shared.join(INFOS)).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    // Unknown velocities are written as NaN, which is no JSON.
    let mut infos: Vec<Info> = serde_json::from_str::<Infos>(&text.replace("NaN", "null")).unwrap().infos;
    infos.sort_by_key(|i| i.timestamp);
    let mut scenes: Vec<SceneRows> = Vec::new();
    let mut before: Vec<(u32, usize, DVec3)> = Vec::new();
    let (mut last_us, mut next_object) = (0, 1);
    for info in &infos {
        if info.timestamp > last_us + 5_000_000 {
            // The older drive is scene-0103, in Boston.
            let (name, location) =
                [("scene-0103", "boston-seaport"), ("scene-0916", "singapore-queenstown")][scenes.len()];
            scenes.push(SceneRows {
                name: name.into(),
                description: String::new(),
                location: location.into(),
                logfile: name.into(),
                keyframes: Vec::new(),
            });
            before.clear();
        }
        last_us = info.timestamp;
        let (lidar, ego) = (quaternion(info.lidar2ego_rotation), quaternion(info.ego2global_rotation));
        let world = |p: DVec3| {
            ego * (lidar * p + DVec3::from_array(info.lidar2ego_translation))
                + DVec3::from_array(info.ego2global_translation)
        };
        let (mut boxes, mut now): (Vec<Annotated>, Vec<(u32, usize, DVec3)>) = (Vec::new(), Vec::new());
        for (i, [x, y, z, w, l, h, turned]) in info.gt_boxes.iter().copied().enumerate() {
            let Some(category) = category(&info.gt_names[i]) else { continue };
            let kind = CATEGORIES.iter().position(|c| *c == category).unwrap();
            let center = world(DVec3::new(x, y, z));
            let [vx, vy] = info.gt_velocity[i].map(|v| v.unwrap_or(0.0));
            let velocity = ego * (lidar * DVec3::new(vx, vy, 0.0));
            let free = |o: u32| now.iter().all(|(taken, ..)| *taken != o);
            let candidates = before.iter().filter(|(o, k, _)| *k == kind && free(*o));
            let nearest = candidates.map(|(o, _, p)| (p.distance(center), *o)).min_by(|a, b| a.0.total_cmp(&b.0));
            let object = nearest.filter(|(d, _)| *d < 1.5).map_or(next_object, |(_, o)| o);
            next_object = next_object.max(object + 1);
            now.push((object, kind, center + velocity * 0.5));
            let yaw = -(turned + std::f64::consts::FRAC_PI_2);
            let place = place(center, ego * lidar * DQuat::from_rotation_z(yaw));
            let moving = vx.hypot(vy) > 0.5;
            boxes.push(Annotated {
                object,
                category,
                // A few boxes have none although they should, as in the original.
                attribute: attribute(category, moving).filter(|_| object % 40 != 0),
                visibility: 4,
                place,
                size_wlh_m: [w, l, h],
                lidar_points: info.num_lidar_pts[i],
                radar_points: info.num_radar_pts[i],
            });
            if category == "vehicle.bicycle" && object % 9 == 0 {
                boxes.push(Annotated {
                    object: 1_000_000 + object,
                    category: "static_object.bicycle_rack",
                    attribute: None,
                    size_wlh_m: [2.0, 3.0, 2.0],
                    lidar_points: 9,
                    ..boxes[boxes.len() - 1].clone()
                });
            }
        }
        before = now;
        let recording = Recording {
            channel: "LIDAR_TOP".into(),
            modality: "lidar",
            in_ego: Place { translation: info.lidar2ego_translation, rotation: info.lidar2ego_rotation },
            intrinsic: None,
            filename: format!("samples/LIDAR_TOP/{}.pcd.bin", info.timestamp),
            width: 0,
            height: 0,
        };
        let cameras = info.cams.iter().map(|(channel, cam)| Recording {
            channel: channel.clone(),
            modality: "camera",
            in_ego: Place { translation: cam.sensor2ego_translation, rotation: cam.sensor2ego_rotation },
            intrinsic: Some(cam.cam_intrinsic),
            filename: format!("samples/{channel}/{}.jpg", info.timestamp),
            width: 1600,
            height: 900,
        });
        let keyframe = Keyframe {
            timestamp_us: info.timestamp,
            ego: place(DVec3::from_array(info.ego2global_translation), ego),
            recordings: std::iter::once(recording).chain(cameras).collect(),
            boxes,
        };
        scenes.last_mut().unwrap().keyframes.push(keyframe);
    }
    let maps = ["boston-seaport", "singapore-queenstown"].map(|l| (l.to_string(), format!("maps/{l}.png")));
    std::fs::create_dir_all(out.join("maps")).unwrap();
    for (_, mask) in &maps {
        let file = std::fs::File::create(out.join(mask)).unwrap();
        let mut encoder = png::Encoder::new(file, 8, 8);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[0; 64]).unwrap();
    }
    write_tables(out, "v1.0-mini", &scenes, &maps).unwrap();
}

fn rotation(yaw: f64) -> [f64; 4] {
    [(yaw / 2.0).cos(), 0.0, 0.0, (yaw / 2.0).sin()]
}

/// Result files for a split, made from its truth: moved, resized, turned, missed, invented, mistaken.
pub struct Perturbed {
    pub detection: Value,
    pub tracking: Value,
    pub prediction: Value,
}

/// A predicted box near a recorded one.
fn near(rng: &mut Rng, sample: &TruthSample, b: &TruthBox, spread: f64) -> Value {
    let [x, y, z] = b.bounds.center;
    let moved = [x + spread * rng.normal(), y + spread * rng.normal(), z + 0.1 * rng.normal()];
    let size = b.bounds.size_wlh_m.map(|s| s * (1.0 + 0.1 * rng.normal()).max(0.3));
    let flip = if rng.chance(0.05) { std::f64::consts::PI } else { 0.0 };
    let yaw = b.bounds.yaw_rad() + 0.2 * rng.normal() + flip;
    let velocity = b.velocity_mps.unwrap_or([0.0; 2]).map(|v| v + 0.4 * rng.normal());
    json!({"sample_token": sample.token, "translation": moved, "size": size, "rotation": rotation(yaw), "velocity": velocity})
}

fn with(mut row: Value, more: Value) -> Value {
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

pub fn perturbed(set: &NuScenes, split: &str) -> Perturbed {
    let truth = truth_of(set, split).unwrap();
    let meta =
        json!({"use_camera": true, "use_lidar": false, "use_radar": false, "use_map": false, "use_external": false});
    let mut rng = Rng::new(&[0x9a2d]);
    let (mut detection, mut tracking) = (Map::new(), Map::new());
    for sample in &truth {
        let (mut found, mut tracked) = (Vec::new(), Vec::new());
        for b in &sample.boxes {
            if rng.chance(0.85) {
                let class = if rng.chance(0.05) { AgentClass::ALL[rng.below(10)] } else { b.class };
                let attribute = match b.attribute {
                    Some(known) if rng.chance(0.8) => ATTRIBUTES[usize::from(known)],
                    Some(_) => ATTRIBUTES[rng.below(8)],
                    None => "",
                };
                // Two decimals: many scores are equal.
                let score = (rng.uniform() * 100.0).round() / 100.0;
                let row = near(&mut rng, sample, b, 0.5);
                let name =
                    json!({"detection_name": class.name(), "detection_score": score, "attribute_name": attribute});
                found.push(with(row, name));
            }
            if rng.chance(0.3) {
                let row = near(&mut rng, sample, b, 6.0);
                let score = rng.uniform() * 0.6;
                let name = json!({"detection_name": b.class.name(), "detection_score": score, "attribute_name": ""});
                found.push(with(row, name));
            }
            if CLASSES.contains(&b.class) {
                // A track's name changes now and then; its score stays around its own level.
                let level = Rng::new(&[u64::from(b.track), 5]).uniform();
                let part = Rng::new(&[u64::from(b.track), 9]).below(30) as u64 + sample.timestamp_us / 7_000_000 % 3;
                if rng.chance(0.9) {
                    let row = near(&mut rng, sample, b, 0.4);
                    let score = 0.7 * level + 0.3 * rng.uniform();
                    let name = json!({"tracking_id": format!("{}-{}", b.track, part % 4 / 3), "tracking_name": b.class.name(), "tracking_score": score});
                    tracked.push(with(row, name));
                }
                if rng.chance(0.1) {
                    let row = near(&mut rng, sample, b, 5.0);
                    let name = json!({"tracking_id": format!("{}-x", b.track), "tracking_name": b.class.name(), "tracking_score": 0.5 * rng.uniform()});
                    tracked.push(with(row, name));
                }
            }
        }
        detection.insert(sample.token.clone(), Value::Array(found));
        tracking.insert(sample.token.clone(), Value::Array(tracked));
    }
    Perturbed {
        detection: json!({"meta": meta, "results": detection}),
        tracking: json!({"meta": meta, "results": tracking}),
        prediction: forecasts(set, split, &mut rng),
    }
}

/// One to ten modes for every fifth agent whose next six seconds are recorded.
fn forecasts(set: &NuScenes, split: &str, rng: &mut Rng) -> Value {
    let mut rows = Vec::new();
    let mut number = 0;
    for sample in set.scenes_of(split).unwrap().into_iter().flat_map(|s| set.samples_of(s).collect::<Vec<_>>()) {
        for (_, annotation) in set.boxes(sample) {
            let future = set.future(annotation, 12, 6.15);
            number += 1;
            if future.len() < 12 || annotation.next == NONE || number % 5 != 0 {
                continue;
            }
            let modes = 1 + rng.below(10);
            let mode = |rng: &mut Rng| -> Vec<[f64; 2]> {
                let (drift, side) = (1.0 + 0.2 * rng.normal(), 0.3 * rng.normal());
                let [x0, y0, _] = annotation.place.translation;
                let moved = |(i, p): (usize, &[f64; 2])| {
                    let (dx, dy) = (p[0] - x0, p[1] - y0);
                    let bend = side * i as f64 * 0.3;
                    [x0 + drift * dx - bend * 0.5 + 0.05 * (i as f64).sin(), y0 + drift * dy + bend]
                };
                future.iter().enumerate().map(moved).collect()
            };
            let prediction: Vec<Vec<[f64; 2]>> = (0..modes).map(|_| mode(rng)).collect();
            let probabilities: Vec<f64> = (0..modes).map(|_| rng.uniform()).collect();
            let instance = set.token_text(set.tables.instances[annotation.instance as usize].token);
            let sample = set.token_text(set.tables.samples[sample as usize].token);
            rows.push(json!({"instance": instance, "sample": sample, "prediction": prediction, "probabilities": probabilities}));
        }
    }
    Value::Array(rows)
}

/// A data set by hand: one scene of four keyframes, two boxes that move, all 13 tables.
pub fn small(root: &Path) {
    let level = [1.0, 0.0, 0.0, 0.0];
    let keyframes = (0..4).map(|i| {
        let t = f64::from(i);
        let boxed = |object, category, x: f64, y: f64| Annotated {
            object,
            category,
            attribute: None,
            visibility: 4,
            place: Place { translation: [x, y, 1.0], rotation: level },
            size_wlh_m: [2.0, 4.0, 1.5],
            lidar_points: 5,
            radar_points: 0,
        };
        Keyframe {
            timestamp_us: 1_000_000 + 500_000 * i as u64,
            ego: Place { translation: [100.0 + 2.0 * t, 50.0, 0.0], rotation: level },
            recordings: vec![Recording {
                channel: "LIDAR_TOP".into(),
                modality: "lidar",
                in_ego: Place { translation: [0.9, 0.0, 1.8], rotation: level },
                intrinsic: None,
                filename: format!("samples/LIDAR_TOP/{i}.bin"),
                width: 0,
                height: 0,
            }],
            boxes: vec![
                boxed(1, "vehicle.car", 110.0 + 4.0 * t, 52.0),
                boxed(2, "human.pedestrian.adult", 105.0, 47.0 + t),
                boxed(3, "vehicle.emergency.police", 90.0, 50.0),
            ],
        }
    });
    let scene = SceneRows {
        name: "scene-0103".into(),
        description: "by \"hand\"".into(),
        location: "boston-seaport".into(),
        logfile: "none".into(),
        keyframes: keyframes.collect(),
    };
    write_tables(root, "v1.0-mini", &[scene], &[("boston-seaport".into(), "maps/m.png".into())]).unwrap();
}

/// Detections whose boxes also forecast `steps` positions in up to six modes.
pub fn motion(set: &NuScenes, split: &str, detection: &Value, steps: usize) -> Value {
    let mut rng = Rng::new(&[0x6d07, steps as u64]);
    let mut found = detection.clone();
    for sample in truth_for_uniad(set, split).unwrap() {
        for row in found["results"][&sample.token].as_array_mut().unwrap() {
            let [x, y] = [0, 1].map(|i| row["translation"][i].as_f64().unwrap());
            let distance = |b: &&TruthBox| (b.bounds.center[0] - x).hypot(b.bounds.center[1] - y);
            let nearest = sample.boxes.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            let velocity = nearest.velocity_mps.unwrap_or([0.0; 2]);
            let mode = |rng: &mut Rng| -> Vec<[f64; 2]> {
                let (drift, side) = (1.0 + 0.15 * rng.normal(), 0.1 * rng.normal());
                let position = |i: usize| {
                    let t = 0.5 * (i + 1) as f64;
                    let [cx, cy, _] = nearest.bounds.center;
                    // Where no future is recorded it goes straight on.
                    let [px, py] =
                        nearest.future.get(i).copied().unwrap_or([cx + velocity[0] * t, cy + velocity[1] * t]);
                    [x + drift * (px - cx) - side * t, y + drift * (py - cy) + side * t]
                };
                (0..steps).map(position).collect()
            };
            let modes = 1 + rng.below(6);
            row["futures"] = json!((0..modes).map(|_| mode(&mut rng)).collect::<Vec<_>>());
        }
    }
    found
}

/// Write the result files of a data set beside it.
pub fn write_results(set: &NuScenes, split: &str, out: &Path) {
    let made = perturbed(set, split);
    let [short, long] = [6, 12].map(|steps| motion(set, split, &made.detection, steps));
    for (name, value) in [
        ("detection", &made.detection),
        ("tracking", &made.tracking),
        ("prediction", &made.prediction),
        ("motion-vad", &short),
        ("motion-uniad", &long),
    ] {
        std::fs::write(out.join(name).with_extension("json"), value.to_string()).unwrap();
    }
}
