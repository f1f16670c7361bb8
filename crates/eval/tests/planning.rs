//! From starts and plans to a result file and a comparison.
#![allow(clippy::unwrap_used)]

use apprentice_core::sample::SampleId;
use apprentice_core::{Command, EgoState, Trajectory};
use apprentice_eval::compare::compare;
use apprentice_eval::{EvalError, PlanningResult, Protocol, Start, Subject, evaluate};

/// Worlds of five starts that drive at 8 m/s, in two tiers.
fn starts(worlds: u32) -> Vec<Start> {
    (0..worlds * 5)
        .map(|i| Start {
            id: SampleId { world: format!("w{:03}", i / 5), index: i % 5 },
            tier: if (i / 5) % 3 == 0 { "rare" } else { "common" }.into(),
            family: format!("family{}", (i / 5) % 2),
            command: Command::LaneFollow,
            ego: EgoState { speed_mps: 8.0, ..Default::default() },
            previous_in_ego: None,
            past_keyframes: i % 5,
            future: Trajectory::constant_speed(8.0 + f64::from((i / 5) % 4) * 0.5),
            future_steps: 6,
            agents: vec![],
            boundaries_in_ego: None,
        })
        .collect()
}

fn result(protocol: &str, driver: &str, faster_mps: f64) -> PlanningResult {
    let starts = starts(20);
    let plans: Vec<Trajectory> = starts.iter().map(|_| Trajectory::constant_speed(8.0 + faster_mps)).collect();
    let subject = Subject { driver: driver.into(), data: "worlds:test".into(), ..Default::default() };
    evaluate(&Protocol::named(protocol).unwrap(), "worlds", subject, &starts, &plans).unwrap()
}

#[test]
fn starts_without_a_past_are_left_out_and_groups_add_up() {
    let r = result("valid-starts", "steady", 0.0);
    assert_eq!((r.starts, r.left_out), (80, 20));
    assert_eq!(r.tiers.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["common", "rare"]);
    assert_eq!(r.tiers.iter().map(|g| g.starts).sum::<usize>(), 80);
    assert_eq!(r.families.iter().map(|g| g.worlds).sum::<usize>(), 20);
    // Errors of 0, 0.5, 1, 1.5 m/s over 3 s: mean 2.25 m.
    assert!((r.l2_at_t[2] - 2.25).abs() < 1e-5, "{:?}", r.l2_at_t);
    let e = r.all.l2_at_t[2];
    assert!(e.low.unwrap() < 2.25 && e.high.unwrap() > 2.25);
}

#[test]
fn a_result_survives_its_file_byte_for_byte() {
    let r = result("valid-starts", "steady", 0.3);
    let text = serde_json::to_string_pretty(&r).unwrap();
    let back = PlanningResult::parse("result.json", &text).unwrap();
    assert!(serde_json::to_string_pretty(&back).unwrap() == text);
    let other = text.replace("apprentice.planning/1", "apprentice.planning/9");
    let error = PlanningResult::parse("result.json", &other).unwrap_err().to_string();
    assert!(error.contains("schema") && error.contains("planning/9"), "{error}");
    assert!(PlanningResult::parse("cut.json", &text[..text.len() / 2]).is_err());
}

#[test]
fn a_pair_differs_by_less_than_its_parts_vary() {
    let (a, b) = (result("valid-starts", "steady", 0.0), result("valid-starts", "slower", -0.1));
    let c = compare(&a, &b).unwrap();
    // Every start is 0.1 m/s worse: the difference is sure although the errors spread over 4.5 m.
    assert!((c.all.l2_at_3s.mean - 0.3).abs() < 1e-5 && c.all.l2_at_3s.above(0.29), "{c:?}");
    assert!(!a.all.l2_at_t[2].apart(&b.all.l2_at_t[2]));
    assert_eq!(c.tiers.len(), 2);
}

#[test]
fn results_of_two_protocols_are_not_compared() {
    let (a, b) = (result("valid-starts", "steady", 0.0), result("uniad-masked", "steady", 0.0));
    assert!(matches!(compare(&a, &b), Err(EvalError::Incomparable { .. })));
    assert!(matches!(compare(&a.brief(), &a.brief()), Err(EvalError::Empty { .. })));
    let mut elsewhere = result("valid-starts", "steady", 0.0);
    elsewhere.subject.data_hash = "other".into();
    assert!(compare(&a, &elsewhere).unwrap_err().to_string().contains("hash of the data"));
}

#[test]
fn a_plan_that_is_no_number_is_refused_by_start() {
    let starts = starts(1);
    let mut plans = vec![Trajectory::constant_speed(8.0); starts.len()];
    plans[2].0[3][1] = f32::NAN;
    let subject = Subject { driver: "broken".into(), ..Default::default() };
    let protocol = Protocol::named("valid-starts").unwrap();
    let error = evaluate(&protocol, "worlds", subject, &starts, &plans).unwrap_err().to_string();
    assert!(error.contains("w000#2"), "{error}");
}
