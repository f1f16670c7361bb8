//! Published result files of other people's drivers, and files that lie.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use apprentice_eval::EvalError;
use apprentice_eval::bench2drive::{Ability, score_file, score_text};
use std::path::PathBuf;

fn shared_data() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("APPRENTICE_SHARED_DATA").map_or(beside, PathBuf::from);
    let found = root.join("b2d_results").is_dir();
    if !found {
        eprintln!("SKIPPED: no real data at {}", root.display());
    }
    found.then_some(root)
}

#[test]
fn published_files_give_their_published_figures() {
    let Some(root) = shared_data() else { return };
    // Source: MANIFEST of the data folder; driving score, successes, efficiency.
    for (name, driving_score, successes, efficiency) in [
        ("UniAD-Base", 45.8132, 36, 129.2084),
        ("UniAD-Tiny", 40.7285, 29, 123.9241),
        ("VAD", 42.3507, 33, 157.9496),
        ("tfpp", 84.2059, 148, 245.1038),
    ] {
        let score = score_file(&root.join(format!("b2d_results/{name}.json"))).unwrap();
        assert!((score.driving_score - driving_score).abs() < 1e-3, "{name} {}", score.driving_score);
        assert_eq!((score.successes, score.routes), (successes, 220), "{name}");
        assert!((score.success_rate - successes as f64 / 220.0).abs() < 1e-12);
        assert!((score.efficiency.unwrap() - efficiency).abs() < 1e-3, "{name} {:?}", score.efficiency);
    }
}

#[test]
fn abilities_are_the_published_ones_and_null_without_the_map() {
    let Some(root) = shared_data() else { return };
    let score = score_file(&root.join("b2d_results/tfpp.json")).unwrap();
    let published: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("b2d_results/tfpp_ability.json")).unwrap()).unwrap();
    for (name, value) in score.abilities.named() {
        if name == Ability::TrafficSigns.name() {
            assert_eq!(value, None);
        } else {
            assert!((value.unwrap() - published[name].as_f64().unwrap()).abs() < 1e-12, "{name}");
        }
    }
    let json = serde_json::to_value(&score).unwrap();
    assert!(json["abilities"]["Traffic_Signs"].is_null() && json["abilities"]["mean"].is_null());
    assert!(score.warnings.is_empty(), "{:?}", score.warnings);
}

#[test]
fn every_ability_names_types_that_the_route_file_has() {
    let Some(root) = shared_data() else { return };
    let routes = std::fs::read_to_string(root.join("b2d_routes/bench2drive220.xml")).unwrap();
    let mut pairs = 0;
    for ability in Ability::ALL {
        for kind in ability.scenario_types() {
            assert!(routes.contains(&format!("type=\"{kind}\"")), "{kind}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 9 + 16 + 12 + 2 + 19);
}

/// A route file's record with one part replaced.
fn record(route: u32, edit: &[(&str, &str)]) -> String {
    let mut text = format!(
        r#"{{"route_id":"RouteScenario_{route}_rep0","scenario_name":"ParkingCutIn_1","status":"Completed","num_infractions":1,
        "infractions":{{"collisions_layout":[],"collisions_pedestrian":[],"collisions_vehicle":["hit"],"red_light":[],"stop_infraction":[],
        "outside_route_lanes":[],"min_speed_infractions":[],"yield_emergency_vehicle_infractions":[],"scenario_timeouts":[],"route_dev":[],
        "vehicle_blocked":[],"route_timeout":[]}},"scores":{{"score_route":100.0,"score_penalty":0.6,"score_composed":60.0}},
        "meta":{{"route_length":50.0,"duration_game":10.0,"duration_system":20.0}}}}"#
    );
    for (from, to) in edit {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

fn file(records: &[String]) -> String {
    format!(r#"{{"_checkpoint":{{"records":[{}]}}}}"#, records.join(","))
}

#[test]
fn a_sound_small_file_scores_over_all_routes() {
    let score = score_text("small.json", &file(&[record(1, &[]), record(2, &[])])).unwrap();
    assert!((score.driving_score - 120.0 / 220.0).abs() < 1e-12);
    assert_eq!((score.successes, score.records, score.efficiency), (0, 2, None));
    assert_eq!(score.abilities.emergency_brake, Some(0.0));
    assert_eq!(score.abilities.merging, None);
}

#[test]
fn lying_files_are_refused_by_field() {
    let cases: [(Vec<String>, &str); 8] = [
        (vec![record(1, &[]), record(1, &[])], "records[1].route_id"),
        (vec![record(1, &[("\"score_route\":100.0", "\"score_route\":180.0")])], "scores.score_route"),
        (vec![record(1, &[("60.0", "99.0")])], "scores.score_composed"),
        (vec![record(1, &[("\"status\":\"Completed\",", "")])], "status"),
        (vec![record(1, &[("Completed", "Splendid")])], "status"),
        (vec![record(1, &[("\"red_light\":[],", "")])], "red_light"),
        (vec![record(1, &[("\"num_infractions\":1", "\"num_infractions\":0")])], "num_infractions"),
        ((0..221).map(|i| record(i, &[])).collect(), "records"),
    ];
    for (records, field) in cases {
        let error = score_text("lie.json", &file(&records)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("lie.json") && text.contains(field), "{field}: {text}");
    }
    let cut = &file(&[record(1, &[])])[..300];
    assert!(matches!(score_text("cut.json", cut), Err(EvalError::Json { .. })));
    let nan = file(&[record(1, &[("60.0", "NaN")])]);
    assert!(matches!(score_text("nan.json", &nan), Err(EvalError::Json { .. })));
}
