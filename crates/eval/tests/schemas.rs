//! What is written is what `docs/schemas` promises: real documents against the committed schemas.
#![allow(clippy::unwrap_used)]

mod schema;

use apprentice_core::sample::SampleId;
use apprentice_core::{Command, EgoState, Trajectory};
use apprentice_eval::bench2drive::{Infractions, Meta, Record, Scores, score};
use apprentice_eval::compare::compare;
use apprentice_eval::{PlanningResult, Protocol, Start, Subject, evaluate};
use schema::check;
use serde_json::Value;

fn planning(seed: Option<u64>) -> PlanningResult {
    let starts: Vec<Start> = (0..12_u32)
        .map(|i| Start {
            id: SampleId { world: format!("w{}", i / 4), index: i % 4 },
            tier: "common".into(),
            family: "Accident".into(),
            command: Command::LaneFollow,
            ego: EgoState::default(),
            previous_in_ego: None,
            past_keyframes: 1,
            future: Trajectory::constant_speed(5.0),
            future_steps: 6,
            agents: vec![],
            boundaries_in_ego: None,
        })
        .collect();
    let plans = vec![Trajectory::constant_speed(5.5); starts.len()];
    let subject = Subject { driver: "d".into(), seed, ..Default::default() };
    evaluate(&Protocol::named("valid-starts").unwrap(), "worlds", subject, &starts, &plans).unwrap()
}

#[test]
fn planning_results_keep_their_promise() {
    check("planning-1", &serde_json::to_value(planning(Some(3))).unwrap());
    check("planning-1", &serde_json::to_value(planning(None).brief()).unwrap());
}

#[test]
fn comparisons_keep_their_promise() {
    let both = compare(&planning(Some(1)), &planning(Some(2))).unwrap();
    check("comparison-1", &serde_json::to_value(both).unwrap());
}

#[test]
fn scores_keep_their_promise() {
    let record = Record {
        index: Some(0),
        route_id: "RouteScenario_7_rep0".into(),
        scenario_name: "ParkingCutIn_1".into(),
        weather_id: "0".into(),
        save_name: String::new(),
        town_name: "Town01".into(),
        status: "Perfect".into(),
        num_infractions: 0,
        infractions: Infractions::default(),
        scores: Scores::compose(100.0, 1.0),
        meta: Meta::default(),
    };
    let scored = score("f.json", &[record], 220, &|_| None).unwrap();
    check("bench2drive-score-1", &serde_json::to_value(scored).unwrap());
    let none = score("f.json", &[], 220, &|_| None).unwrap();
    check("bench2drive-score-1", &serde_json::to_value(none).unwrap());
}

#[test]
fn perception_results_keep_their_promise() {
    use apprentice_eval::perception::{TruthBox, TruthSample, WorldBox};
    use apprentice_eval::prediction::{Forecast, PredictedAgent};
    let bounds = WorldBox { center: [5.0, 0.0, 0.0], size_wlh_m: [2.0, 4.0, 1.5], rotation: [1.0, 0.0, 0.0, 0.0] };
    let truth = [TruthSample {
        token: "s".into(),
        scene: 0,
        timestamp_us: 0,
        ego: [0.0; 3],
        ego_yaw_rad: 0.0,
        boxes: vec![TruthBox {
            bounds,
            class: apprentice_core::AgentClass::Car,
            velocity_mps: None,
            attribute: None,
            points: 1,
            track: 1,
            future: vec![[5.0, 0.0]; 6],
        }],
        bicycle_racks: vec![],
    }];
    let file = |row: Value| {
        let mut all = serde_json::json!({
            "sample_token": "s", "translation": [5.1, 0.0, 0.0], "size": [2.0, 4.0, 1.5], "rotation": [1.0, 0.0, 0.0, 0.0],
            "velocity": [0.0, 0.0],
        });
        all.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
        serde_json::to_vec(&serde_json::json!({"meta": {}, "results": {"s": [all]}})).unwrap()
    };
    let named = || apprentice_eval::perception::Named { data: "d".into(), split: "s".into(), results: "r".into() };
    let found = serde_json::json!({
        "detection_name": "car", "detection_score": 0.9, "attribute_name": "", "futures": [vec![[5.0, 0.5]; 6]],
    });
    let detection = apprentice_eval::detection::evaluate(named(), &file(found.clone()), &truth).unwrap();
    check("detection-1", &serde_json::to_value(detection).unwrap());
    let motion = apprentice_eval::motion::evaluate(named(), &file(found), &truth).unwrap();
    check("motion-1", &serde_json::to_value(motion).unwrap());
    let found = serde_json::json!({"tracking_name": "car", "tracking_score": 0.9, "tracking_id": "1"});
    let tracking = apprentice_eval::tracking::evaluate(named(), &file(found), &truth).unwrap();
    check("tracking-1", &serde_json::to_value(tracking).unwrap());
    let entry = PredictedAgent {
        instance: "i".into(),
        sample: "s".into(),
        prediction: vec![vec![[0.0, 1.0]]],
        probabilities: vec![1.0],
    };
    let forecasts = [Forecast { entry: &entry, truth: vec![[0.0, 0.0]], off_road: None }];
    let prediction = apprentice_eval::prediction::evaluate(named(), &forecasts).unwrap();
    check("prediction-1", &serde_json::to_value(prediction).unwrap());
}

#[test]
fn sheets_and_their_comparisons_keep_their_promise() {
    let lines = "{\"candidate\": \"a car stops\", \"references\": [\"the car stops\"]}\n".repeat(3);
    let sheet = apprentice_eval::language::captions::sheet("f.jsonl", &lines, None).unwrap();
    check("sheet-1", &serde_json::to_value(&sheet).unwrap());
    check("sheet-1", &serde_json::to_value(sheet.brief()).unwrap());
    let both = apprentice_eval::sheet::compare(&sheet, &sheet).unwrap();
    check("sheet-comparison-1", &serde_json::to_value(both).unwrap());
}
