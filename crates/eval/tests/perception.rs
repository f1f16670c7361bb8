//! Detection, tracking, prediction and motion on scenes small enough to score by hand. Agreement with nuscenes-devkit on
//! real boxes is in `crates/data/tests/nuscenes.rs`.
#![allow(clippy::unwrap_used)]

use apprentice_core::AgentClass;
use apprentice_eval::detection;
use apprentice_eval::perception::Named;
use apprentice_eval::perception::{TruthBox, TruthSample, WorldBox};
use apprentice_eval::prediction::{self, Forecast, PredictedAgent};
use apprentice_eval::{motion, tracking};
use serde_json::{Value, json};

fn boxed(class: AgentClass, track: u32, x: f64, y: f64) -> TruthBox {
    TruthBox {
        bounds: WorldBox { center: [x, y, 0.0], size_wlh_m: [2.0, 4.0, 1.5], rotation: [1.0, 0.0, 0.0, 0.0] },
        class,
        velocity_mps: Some([2.0, 0.0]),
        attribute: Some(5),
        points: 3,
        track,
        future: (1..=6).map(|i| [x + f64::from(i), y]).collect(),
    }
}

fn samples(frames: &[Vec<TruthBox>]) -> Vec<TruthSample> {
    let sample = |(i, boxes): (usize, &Vec<TruthBox>)| TruthSample {
        token: format!("s{i}"),
        scene: 0,
        timestamp_us: 500_000 * i as u64,
        ego: [0.0; 3],
        ego_yaw_rad: 0.0,
        boxes: boxes.clone(),
        bicycle_racks: vec![],
    };
    frames.iter().enumerate().map(sample).collect()
}

/// A predicted box: detection and tracking names both, so that it serves either file.
fn row(sample: usize, b: &TruthBox, dx: f64, score: f64, id: &str) -> Value {
    let [x, y, z] = b.bounds.center;
    json!({
        "sample_token": format!("s{sample}"), "translation": [x + dx, y, z], "size": b.bounds.size_wlh_m,
        "rotation": b.bounds.rotation, "velocity": [2.0, 0.0], "attribute_name": "vehicle.moving",
        "detection_name": b.class.name(), "detection_score": score, "tracking_id": id,
    })
}

fn file(rows: Vec<Vec<Value>>) -> Vec<u8> {
    let results: serde_json::Map<String, Value> =
        rows.into_iter().enumerate().map(|(i, rows)| (format!("s{i}"), Value::Array(rows))).collect();
    serde_json::to_vec(&json!({"meta": {}, "results": results})).unwrap()
}

fn named() -> Named {
    Named { data: "by hand".into(), split: "val".into(), results: "r.json".into() }
}

#[test]
fn protocols_are_frozen() {
    // A protocol is never edited: write a new file with a new name instead.
    let found = [
        detection::protocol().unwrap().reference,
        tracking::protocol().unwrap().reference,
        prediction::protocol().unwrap().reference,
        motion::protocol().unwrap().reference,
    ];
    let frozen = [
        ("detection-cvpr-2019", "ea0df85a460d9cd5"),
        ("tracking-nips-2019", "93240f9e08869e91"),
        ("prediction-icra-2020", "1c74568c331343e5"),
        ("motion-vad", "605118ed03952526"),
    ];
    let found: Vec<(&str, &str)> = found.iter().map(|r| (r.name.as_str(), r.hash.as_str())).collect();
    assert_eq!(found, frozen);
}

#[test]
fn perfect_detections_have_no_error_and_far_ones_do_not_count() {
    let mut unseen = boxed(AgentClass::Car, 3, 10.0, 10.0);
    unseen.points = 0;
    let truth =
        samples(&[vec![boxed(AgentClass::Car, 1, 5.0, 0.0), boxed(AgentClass::Car, 2, 50.0, 0.0), unseen.clone()]]);
    let rows = vec![row(0, &truth[0].boxes[0], 0.0, 0.9, "a"), row(0, &truth[0].boxes[1], 0.0, 0.8, "b")];
    let found = detection::evaluate(named(), &file(vec![rows]), &truth).unwrap();
    let car = found.classes.iter().find(|c| c.name == "car").unwrap();
    // 50 m is not within 50 m; a box without points is no truth.
    assert_eq!((car.truth_boxes, car.predicted_boxes), (1, 1));
    assert!((car.ap - 1.0).abs() < 1e-12 && car.errors.all().iter().all(|e| e.unwrap() < 1e-12));
    // One class of ten is there: mAP a tenth; errors of the others count 1.
    assert!((found.mean_ap - 0.1).abs() < 1e-12);
    assert!((found.errors.translation_m.unwrap() - 0.9).abs() < 1e-12);
    assert!(
        (found.nd_score - (0.5 + 0.1 + 0.1 + 1.0 / 9.0 + 0.125 + 0.125) / 10.0).abs() < 1e-12,
        "{}",
        found.nd_score
    );
}

#[test]
fn the_nearest_free_box_is_taken_by_falling_score() {
    let truth = samples(&[vec![boxed(AgentClass::Car, 1, 5.0, 0.0), boxed(AgentClass::Car, 2, 8.0, 0.0)]]);
    // Both lie nearest to the first box; the better one takes it, the other must take the second, 1.9 m away.
    let rows = vec![row(0, &truth[0].boxes[0], 1.1, 0.5, "a"), row(0, &truth[0].boxes[0], 0.6, 0.9, "b")];
    let found = detection::evaluate(named(), &file(vec![rows]), &truth).unwrap();
    let car = found.classes.iter().find(|c| c.name == "car").unwrap();
    assert_eq!(car.ap_by_distance[0], 0.0);
    assert!(car.ap_by_distance[1] > 0.4 && car.ap_by_distance[1] < 0.5, "{:?}", car.ap_by_distance);
    assert!((car.ap_by_distance[2] - 1.0).abs() < 1e-12);
    assert!(car.errors.translation_m.unwrap() > 0.6);
}

#[test]
fn a_change_of_name_is_one_switch_and_a_hole_is_filled() {
    let frames: Vec<Vec<TruthBox>> = (0..6).map(|i| vec![boxed(AgentClass::Car, 1, 2.0 * f64::from(i), 0.0)]).collect();
    let truth = samples(&frames);
    let rows = |skip: usize| -> Vec<Vec<Value>> {
        let name = |i: usize| if i < 3 { "a" } else { "b" };
        let shown = |i: usize| if i == skip { vec![] } else { vec![row(i, &frames[i][0], 0.3, 0.5, name(i))] };
        (0..6).map(shown).collect()
    };
    let judge = |rows| tracking::evaluate(named(), &file(rows), &truth).unwrap();
    let car = |r: &tracking::TrackingResult| r.classes.iter().find(|c| c.name == "car").unwrap().figures;
    let whole = car(&judge(rows(9)));
    assert_eq!(
        (whole.ids, whole.tp, whole.fp, whole.r#fn, whole.gt),
        (Some(1.0), Some(5.0), Some(0.0), Some(0.0), Some(6.0))
    );
    assert!((whole.motp.unwrap() - 0.3).abs() < 1e-7 && (whole.mota.unwrap() - 5.0 / 6.0).abs() < 1e-12);
    assert_eq!(
        (whole.mt, whole.ml, whole.frag, whole.tid, whole.lgd),
        (Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0))
    );
    // A hole inside a track is filled; one between two tracks is a miss.
    assert_eq!(car(&judge(rows(4))).r#fn, Some(0.0));
    let missed = car(&judge(rows(3)));
    assert_eq!((missed.r#fn, missed.frag, missed.lgd), (Some(1.0), Some(1.0), Some(0.5)));
    // A class that is not there has no figures and does not enter the mean.
    let bus = judge(rows(9)).classes.iter().find(|c| c.name == "bus").unwrap().figures;
    assert_eq!((bus.amota, bus.gt), (None, None));
}

#[test]
fn forecasts_are_ranked_by_probability() {
    let truth: Vec<[f64; 2]> = (1..=12).map(|i| [f64::from(i), 0.0]).collect();
    let aside = |y: f64| truth.iter().map(|p| [p[0], y]).collect::<Vec<_>>();
    let entry = PredictedAgent {
        instance: "i".into(),
        sample: "s".into(),
        prediction: vec![aside(0.5), aside(3.0), aside(1.0)],
        probabilities: vec![0.1, 0.6, 0.3],
    };
    let forecast = Forecast { entry: &entry, truth: truth.clone(), off_road: None };
    let found = prediction::evaluate(named(), std::slice::from_ref(&forecast)).unwrap();
    // The first is 3 m off and a miss; of all three the best is 0.5 m off.
    let rows: Vec<(usize, f64, f64)> = found.top_k.iter().map(|k| (k.k, k.min_ade_m, k.miss_rate)).collect();
    assert_eq!(rows, [(1, 3.0, 1.0), (5, 0.5, 0.0), (10, 0.5, 0.0)]);
    let short = Forecast { truth: truth[..7].to_vec(), ..forecast };
    let error = prediction::evaluate(named(), &[short]).unwrap_err().to_string();
    assert!(error.contains("expected 7 steps") && error.contains("[0].prediction"), "{error}");
}

#[test]
fn end_to_end_prediction_accuracy_by_hand() {
    let mut late = boxed(AgentClass::Pedestrian, 3, -5.0, 0.0);
    late.future.truncate(2);
    let truth = samples(&[vec![
        boxed(AgentClass::Car, 1, 5.0, 0.0),
        boxed(AgentClass::Truck, 2, 10.0, 5.0),
        late,
        // Outside the region of interest.
        boxed(AgentClass::Car, 4, 0.0, 20.0),
    ]]);
    let forecast = |at: usize, dx: f64, aside: f64, score: f64| {
        let mut row = row(0, &truth[0].boxes[at], dx, score, "");
        let [x, y, _] = truth[0].boxes[at].bounds.center;
        let mode = |aside: f64| (1..=6).map(|i| [x + f64::from(i), y + aside]).collect::<Vec<_>>();
        row["futures"] = json!([mode(aside), mode(aside + 4.0)]);
        row
    };
    // A hit, a miss by 3 m, a pedestrian half known, one below the score, one near nobody.
    let rows = vec![
        forecast(0, 0.5, 1.0, 0.9),
        forecast(1, 0.0, 3.0, 0.9),
        forecast(2, 0.0, 0.5, 0.9),
        forecast(0, 0.1, 0.0, 0.6),
        forecast(0, 9.0, 0.0, 0.7),
    ];
    let found = motion::evaluate(named(), &file(vec![rows]), &truth).unwrap();
    let [vehicle, pedestrian] = &found.groups[..] else { panic!("two groups") };
    assert_eq!((vehicle.agents, vehicle.matched, vehicle.hits, vehicle.false_positives), (2, 2, 1, 1));
    assert_eq!((vehicle.min_ade_m, vehicle.min_fde_m), (Some(2.0), Some(2.0)));
    assert_eq!((vehicle.miss_rate, vehicle.epa), (Some(0.5), Some(0.25)));
    assert_eq!((pedestrian.agents, pedestrian.matched, pedestrian.min_ade_m), (0, 1, Some(0.5)));
    assert_eq!((pedestrian.min_fde_m, pedestrian.epa), (None, None));
    // A box without futures is told so.
    let error = motion::evaluate(named(), &file(vec![vec![row(0, &truth[0].boxes[0], 0.0, 0.9, "")]]), &truth);
    assert!(error.unwrap_err().to_string().contains("futures"));
}
