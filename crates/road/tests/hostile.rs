//! Damaged and lying files: an error that names the file and the element, never a panic.

use apprentice_core::Hint;
use apprentice_road::town::{Layout, TownSpec, xodr};
use apprentice_road::{LaneKind, RoadError, RoadNetwork, Route};
use proptest::prelude::*;

fn small() -> String {
    xodr(&TownSpec { layout: Layout::Curves, seed: 3 })
}

fn refused(text: &str) -> String {
    let error = RoadNetwork::from_xodr("town.xodr", text).expect_err("must be refused");
    assert!(error.hint().is_some_and(|h| !h.is_empty()));
    let message = error.to_string();
    assert!(message.starts_with("town.xodr: "), "{message}");
    message
}

#[test]
fn truncated_files_are_refused() {
    let text = small();
    for k in 1..60 {
        let cut = text.len() * k / 60;
        assert!(refused(&text[..cut]).contains("XML"), "cut at {cut}");
    }
    refused("");
    refused("not XML at all");
    assert!(refused("<svg/>").contains("<svg>"));
    assert!(refused("<OpenDRIVE/>").contains("OpenDRIVE") || refused("<OpenDRIVE/>").contains("lane"));
}

#[test]
fn lies_are_named() {
    let text = small();
    let swap = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refused(&text.replacen(from, to, 1))
    };
    assert!(swap("<road name=\"road1\" length=\"", "<road name=\"road1\" length=\"9").contains("<road id=\"1\">"));
    assert!(swap("curvature=\"", "curvature=\"x").contains("curvature"));
    assert!(swap("<lane id=\"-1\"", "<lane id=\"one\"").contains("<lane id=\"one\">"));
    assert!(
        swap("elementType=\"junction\" elementId=\"", "elementType=\"junction\" elementId=\"99")
            .contains("names nothing")
    );
    assert!(swap("incomingRoad=\"", "incomingRoad=\"77").contains("incomingRoad"));
    assert!(swap(" hdg=\"", " hdg=\"NaN").contains("hdg"));
    assert!(swap("<planView>", "<plan>").contains("XML"));
    let missing = RoadNetwork::load("no/such/town.xodr").expect_err("absent");
    assert!(matches!(missing, RoadError::Read { .. }) && missing.to_string().contains("no/such/town.xodr"));
}

#[test]
fn impossible_routes_are_refused() {
    let net = RoadNetwork::from_xodr("town", &small()).expect("reads");
    let lane = net.lanes.iter().find(|l| l.kind == LaneKind::Driving).expect("a lane");
    let on = lane.at(5.0).position;
    let far = on + apprentice_core::geometry::DVec3::new(5000.0, 0.0, 0.0);
    assert!(matches!(Route::plan(&net, &[on]), Err(RoadError::TooFewWaypoints { count: 1 })));
    assert!(matches!(Route::plan(&net, &[on, far]), Err(RoadError::OffRoad { index: 1, .. })));
    let nan = apprentice_core::geometry::DVec3::splat(f64::NAN);
    assert!(matches!(Route::plan(&net, &[nan, on]), Err(RoadError::OffRoad { index: 0, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to the bytes: an error or a network whose queries work, never a panic.
    #[test]
    fn mutations_never_panic(edits in proptest::collection::vec((0.0f64..1.0, 0usize..6, any::<u8>()), 1..6)) {
        let mut bytes = small().into_bytes();
        for (place, what, byte) in edits {
            let at = ((bytes.len() - 40) as f64 * place) as usize;
            match what {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, b"0123456789.-e"[byte as usize % 13]),
                3 => { bytes.drain(at..at + 20); }
                4 => { let part = bytes[at..at + 30].to_vec(); bytes.splice(at..at, part); }
                _ => if let Some(k) = bytes[at..].iter().position(u8::is_ascii_digit) { bytes[at + k] = b'0' + byte % 10; },
            }
        }
        if let Ok(text) = String::from_utf8(bytes) && let Ok(net) = RoadNetwork::from_xodr("mutant", &text) {
            let p = net.lanes[0].at(1.0).position;
            net.nearest_lane(p.truncate(), &[LaneKind::Driving]);
            net.surface_z(p.truncate());
            let from = net.lanes.iter().find(|l| l.kind == LaneKind::Driving).expect("a driving lane").at(0.0).position;
            let _ = Route::plan(&net, &[from, p]);
        }
    }
}
