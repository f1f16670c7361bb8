//! Geometry and filters against other people's (`bench/fixtures/judging_fixtures.py`: shapely, scipy).
#![allow(clippy::unwrap_used)]

use apprentice_core::{OrientedBox, Pose2};
use apprentice_eval::bench2drive::{comfort, read_ticks};
use apprentice_eval::vector_map;
use serde_json::Value;

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../../bench/fixtures/judging/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The script's numbers: SplitMix64's finaliser, then the upper 53 bits.
fn uniform(number: u64) -> f64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn boxed(number: u64) -> OrientedBox {
    let u: Vec<f64> = (0..5).map(|k| uniform(5 * number + k)).collect();
    let center = Pose2::new(12.0 * u[0] - 6.0, 12.0 * u[1] - 6.0, (2.0 * u[2] - 1.0) * std::f64::consts::PI);
    OrientedBox { center, length_m: 1.0 + 7.0 * u[3], width_m: 0.5 + 2.5 * u[4] }
}

#[test]
fn a_hundred_thousand_boxes_meet_as_shapely_says() {
    let bits: Vec<bool> = fixture("box_pairs.txt")
        .chars()
        .filter_map(|c| c.to_digit(16))
        .flat_map(|digit| [8, 4, 2, 1].map(|bit| digit & bit != 0))
        .collect();
    assert!(bits.len() >= 100_000);
    let wrong: Vec<usize> =
        (0..bits.len()).filter(|i| boxed(2 * *i as u64).overlaps(&boxed(2 * *i as u64 + 1)) != bits[*i]).collect();
    assert!(wrong.is_empty(), "{} of {} differ, first {:?}", wrong.len(), bits.len(), wrong.first());
    let meeting = bits.iter().filter(|bit| **bit).count();
    assert!((20_000..100_000).contains(&meeting), "{meeting}");
}

#[test]
fn map_precision_is_that_of_an_independent_reading() {
    let document: Value = serde_json::from_str(&fixture("vector_map.json")).unwrap();
    let (truth, predicted) = (document["truth"].to_string(), document["predicted"].to_string());
    let lines = vector_map::read("truth", &truth, false).unwrap();
    let said = vector_map::read("predicted", &predicted, true).unwrap();
    let sheet = vector_map::score(("truth", &truth), &lines, ("predicted", &said)).unwrap();
    for part in &sheet.parts {
        for (k, metric) in part.metrics.iter().enumerate() {
            let expected = document["ap"][&part.name][k].as_f64().unwrap();
            let found = metric.value.unwrap();
            assert!((found - expected).abs() < 1e-6, "{} {}: {found} against {expected}", part.name, metric.name);
        }
    }
    assert_eq!(sheet.parts.len(), 3);
}

#[test]
fn comfort_is_that_of_scipy() {
    let routes: Vec<Value> = serde_json::from_str(&fixture("comfort.json")).unwrap();
    let mut shares = Vec::new();
    for route in &routes {
        let share = comfort(&read_ticks("metric_info.json", &route["ticks"].to_string()).unwrap());
        assert!((share - route["comfort"].as_f64().unwrap()).abs() < 1e-12, "{share} against {}", route["comfort"]);
        shares.push(share);
    }
    assert!(shares.iter().any(|s| *s > 0.0) && shares.iter().any(|s| *s < 1.0), "{shares:?}");
}
