//! An invented drive and its figures. Every number here is made up to fill the pages.

use apprentice_core::geometry::DVec2;
use apprentice_core::sample::SampleId;
use apprentice_core::{AgentClass, Command, Control, EgoState, Image, Pose2, Rig, Rng, Trajectory};
use apprentice_eval::bench2drive::{Infractions, Meta, Record, Scores};
use apprentice_eval::replay::*;
use apprentice_eval::{DrivingSummary, Gate, PlanningResult, Protocol, Start, Subject, evaluate, gates};
use apprentice_report::{Arm, Curve, Panel, Report, WorstEpisode};

/// A road that bends left, as (position, heading) at a distance along it.
fn road(s: f64) -> Pose2 {
    const STRAIGHT: f64 = 60.0;
    const RADIUS: f64 = 40.0;
    if s < STRAIGHT {
        return Pose2::new(s, 0.0, 0.0);
    }
    let angle = ((s - STRAIGHT) / RADIUS).min(std::f64::consts::FRAC_PI_2);
    let rest = s - STRAIGHT - angle * RADIUS;
    let bend = Pose2::new(STRAIGHT + RADIUS * angle.sin(), RADIUS - RADIUS * angle.cos(), angle);
    bend.offset(rest.max(0.0), 0.0)
}

fn line(kind: StrokeKind, aside_m: f64) -> MapStroke {
    MapStroke {
        kind,
        points: (0..90).map(|i| road(f64::from(i) * 2.0).offset(0.0, aside_m).position().to_array()).collect(),
    }
}

fn band(kind: StrokeKind, right_m: f64, left_m: f64) -> MapStroke {
    let mut points = line(kind, right_m).points;
    points.extend(line(kind, left_m).points.into_iter().rev());
    MapStroke { kind, points }
}

fn map() -> Vec<MapStroke> {
    let house = |x: f64, y: f64| MapStroke {
        kind: StrokeKind::Building,
        points: vec![[x, y], [x + 14.0, y], [x + 14.0, y + 10.0], [x, y + 10.0]],
    };
    let across = |s: f64, kind| {
        let at = |ahead: f64, aside: f64| road(s).to_parent(DVec2::new(ahead, aside)).to_array();
        match kind {
            StrokeKind::Crossing => {
                MapStroke { kind, points: vec![at(0.0, -1.75), at(3.0, -1.75), at(3.0, 5.25), at(0.0, 5.25)] }
            }
            _ => MapStroke { kind, points: vec![at(0.0, -1.75), at(0.0, 1.75)] },
        }
    };
    vec![
        band(StrokeKind::Sidewalk, -4.5, 8.0),
        band(StrokeKind::Surface, -1.75, 5.25),
        line(StrokeKind::Boundary, -1.75),
        line(StrokeKind::Boundary, 5.25),
        line(StrokeKind::Broken, 1.75),
        across(50.0, StrokeKind::Crossing),
        across(47.0, StrokeKind::StopLine),
        house(5.0, 12.0),
        house(28.0, 12.0),
        house(20.0, -18.0),
        house(46.0, -18.0),
    ]
}

/// A toy picture: sky, ground and a bar that moves with time.
fn picture(camera: usize, t: f64) -> Image {
    let (width, height) = (160, 64);
    let mut image = Image::black(width, height);
    for y in 0..height {
        for x in 0..width {
            let shade = (y * 2) as u8;
            let mut rgb = if y < 32 { [120 + shade / 2, 160 + shade / 2, 220] } else { [70, 74, 80] };
            let across = x as f64 + 25.0 * camera as f64 - t * 30.0;
            if y > 18 && y < 44 && across.rem_euclid(90.0) < 22.0 {
                rgb = [170, 90 + 20 * camera as u8, 60];
            }
            image.rgb[(y * width + x) * 3..][..3].copy_from_slice(&rgb);
        }
    }
    image
}

/// Thirty seconds: off, brake for a pedestrian at a crossing, round the bend.
pub fn replay() -> Replay {
    let mut frames = Vec::new();
    let (mut s, mut v) = (0.0_f64, 0.0_f64);
    for i in 0..300_u32 {
        let t = f64::from(i) * 0.1;
        let crossing = (4.0..13.0).contains(&t);
        let target = if crossing && s < 46.0 { ((44.0 - s) * 0.5).clamp(0.0, 9.0) } else { 9.0 };
        let push = (target - v).clamp(-4.0, 2.0);
        v = (v + push * 0.1).max(0.0);
        s += v * 0.1;
        let here = road(s);
        let mut control = Control { throttle: (push / 2.0).max(0.0), brake: (-push / 4.0).max(0.0), steer: 0.0 };
        if (60.0..123.0).contains(&s) {
            control.steer = -0.25 - 0.03 * (t * 3.0).sin();
        }
        let ahead = |k: usize| here.to_local(road(s + target.min(v + 2.0) * 0.5 * (k + 1) as f64).position());
        let plan = Trajectory(std::array::from_fn(|k| ahead(k).to_array().map(|x| x as f32)));
        let actor = |id: u32, class, pose: Pose2, size: [f64; 2], speed: f64, braking, scripted| ReplayActor {
            id,
            class,
            pose_in_world: pose,
            length_m: size[0],
            width_m: size[1],
            speed_mps: speed,
            braking,
            scripted,
        };
        let oncoming = road((170.0 - t * 8.0).max(0.0)).offset(0.0, 3.5);
        frames.push(ReplayFrame {
            time_s: t,
            ego_in_world: here,
            speed_mps: v,
            control,
            command: if (45.0..123.0).contains(&s) { Command::Left } else { Command::LaneFollow },
            plan: Some(ReplayPlan { ego_in_world: here, trajectory: plan }),
            actors: vec![
                actor(
                    1,
                    AgentClass::Car,
                    Pose2::new(oncoming.x, oncoming.y, oncoming.yaw_rad + std::f64::consts::PI),
                    [4.6, 1.9],
                    8.0,
                    false,
                    false,
                ),
                actor(
                    2,
                    AgentClass::Pedestrian,
                    Pose2::new(51.5, -4.0 + (t - 4.0).clamp(0.0, 9.0) * 1.1, 1.57),
                    [0.5, 0.6],
                    1.1,
                    false,
                    true,
                ),
                actor(3, AgentClass::Truck, Pose2::new(36.0, -3.2, 0.0), [8.2, 2.5], 0.0, true, true),
                actor(4, AgentClass::TrafficCone, Pose2::new(30.0, -2.4, 0.0), [0.4, 0.4], 0.0, false, true),
                actor(5, AgentClass::Car, road(s + 22.0), [4.6, 1.85], v, control.brake > 0.1, false),
            ],
            lights: vec![ReplayLight {
                position: [47.0, 2.5],
                color: if crossing { LightColor::Red } else { LightColor::Green },
            }],
            images: if i % 5 == 0 { (0..6).map(|c| picture(c, t)).collect() } else { vec![] },
            note: if crossing { "somebody is crossing from the right: wait".into() } else { String::new() },
        });
    }
    Replay {
        route: "RouteScenario_0000_rep0".into(),
        town: "invented".into(),
        scenario: "PedestrianCrossing".into(),
        driver: "nobody".into(),
        seed: 7,
        status: "Completed".into(),
        score_route: 100.0,
        score_penalty: 0.65,
        score_composed: 65.0,
        cameras: Rig::bench2drive(160, 64).cameras.into_iter().map(|c| c.name).collect(),
        map: map(),
        route_points: (0..180).map(|i| road(f64::from(i)).position().to_array()).collect(),
        ego: EgoShape::default(),
        frames,
        events: vec![
            ReplayEvent {
                time_s: 4.0,
                kind: EventKind::Scenario,
                text: "PedestrianCrossing triggered".into(),
                position: None,
            },
            ReplayEvent {
                time_s: 16.4,
                kind: EventKind::Infraction,
                text: "Agent collided against object with type=static.prop.trafficcone <b>".into(),
                position: Some([58.0, -1.0]),
            },
        ],
    }
}

fn starts() -> Vec<Start> {
    let tiers = ["common", "common", "rare", "open-road", "novel"];
    let families = ["HardBreakRoute", "ParkingCutIn", "PedestrianCrossing", "InvadingTurn", "Accident"];
    (0..400_u32)
        .map(|i| {
            let world = i / 8;
            let mut rng = Rng::new(&[world.into(), 1]);
            Start {
                id: SampleId { world: format!("w{world:03}"), index: i % 8 },
                tier: tiers[(world % 5) as usize].into(),
                family: families[(world % 5) as usize].into(),
                command: Command::LaneFollow,
                ego: EgoState { speed_mps: 7.0, ..Default::default() },
                previous_in_ego: None,
                past_keyframes: i % 8,
                future: Trajectory::constant_speed(7.0 + rng.normal()),
                future_steps: if i % 8 == 7 { 4 } else { 6 },
                agents: vec![],
                boundaries_in_ego: None,
            }
        })
        .collect()
}

fn result(driver: &str, protocol: &str, spread: f64) -> PlanningResult {
    let starts = starts();
    let plans: Vec<Trajectory> = starts
        .iter()
        .zip(0_u64..)
        .map(|(s, i)| {
            let mut rng = Rng::new(&[i, 3]);
            let [x, _] = s.future.0[1];
            Trajectory::constant_speed(f64::from(x) + rng.normal() * spread)
        })
        .collect();
    let subject = Subject { driver: driver.into(), data: "worlds:sample".into(), ..Default::default() };
    let protocol = Protocol::named(protocol).expect("compiled in");
    evaluate(&protocol, "worlds", subject, &starts, &plans).expect("sound sample")
}

fn record(i: usize, hits: usize) -> Record {
    let infractions = Infractions {
        collisions_vehicle: vec![
            "Agent collided against object with type=vehicle.car and id=12 at (x=1, y=2, z=0)"
                .into();
            hits
        ],
        ..Default::default()
    };
    Record {
        index: None,
        route_id: format!("RouteScenario_{i}_rep0"),
        scenario_name: format!("{}_1", ["ParkingCutIn", "Accident", "HardBreakRoute"][i % 3]),
        weather_id: "0".into(),
        save_name: String::new(),
        town_name: "Town10HD".into(),
        status: "Completed".into(),
        num_infractions: hits,
        scores: Scores::compose(100.0 - i as f64, 0.6_f64.powi(hits as i32)),
        infractions,
        meta: Meta { route_length: 120.0, duration_game: 33.0, duration_system: 4.0 },
    }
}

/// A report with every part filled.
pub fn report() -> Report {
    let names = [
        ("expert", 0.1, 0),
        ("teacher", 0.5, 1),
        ("student + guidance", 0.7, 1),
        ("student", 0.8, 2),
        ("no-image student", 1.3, 2),
        ("constant velocity", 1.6, 3),
    ];
    let arm = |&(name, spread, hits): &(&str, f64, usize)| Arm {
        name: name.into(),
        open_loop: ["valid-starts", "uniad-masked"].map(|p| result(name, p, spread)).to_vec(),
        driving: DrivingSummary::of(name, (0..12).map(|i| record(i, i % (hits + 1))).collect()).ok(),
        parameters: (spread > 0.2).then_some(412_345),
        ms_per_frame: (spread > 0.2).then_some(6.3 * spread),
    };
    let arms: Vec<Arm> = names.iter().map(arm).collect();
    let first = |i: usize| arms[i].open_loop[0].clone();
    let curve = |name: &str, to: f64| {
        let mut rng = Rng::new(&[to.to_bits()]);
        let points = (0..900).map(|i| {
            let i = f64::from(i);
            (i * 4.0, to + 3.0 * (-i / 200.0).exp() + 0.15 * rng.normal().abs())
        });
        Curve { name: name.into(), points: points.collect() }
    };
    let panel = |title: &str, log_y| Panel {
        title: title.into(),
        x_label: "step".into(),
        y_label: "loss".into(),
        log_y,
        curves: vec![curve("student + guidance", 0.6), curve("student", 0.75), curve("no-image student", 1.2)],
    };
    let worlds: Vec<&str> = arms[0].open_loop[0].rows.iter().map(|row| row.id.world.as_str()).collect();
    let errors = |i: usize| first(i).rows.iter().map(|row| row.l2_mean()).collect::<Vec<_>>();
    let gates: Vec<Gate> = [
        gates::perception("all", &worlds, &errors(4), &errors(3), &errors(1)),
        gates::teacher("rare, open-road", &worlds, &errors(3), &errors(2)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let comparison = apprentice_eval::compare::compare(&first(3), &first(2)).expect("same starts");
    Report {
        title: "Sample report".into(),
        summary: "Every figure on this page is invented, to show what a report looks like.".into(),
        facts: [("size", "minutes"), ("seed", "0"), ("split", "9c1e…"), ("machine", "2 cores")]
            .map(|(a, b)| (a.into(), b.into()))
            .to_vec(),
        worst: (0..3)
            .map(|i| WorstEpisode {
                driver: "student".into(),
                record: record(i, 3 - i),
                replay: "replay/RouteScenario_0000_rep0.html".into(),
                picture: Some(picture(i, 1.0)),
            })
            .collect(),
        replays: vec![("RouteScenario_0000 · nobody".into(), "replay/RouteScenario_0000_rep0.html".into())],
        panels: vec![panel("Planning loss", false), panel("Total loss", true)],
        comparisons: vec![comparison],
        notes: vec!["4 of 40 routes were skipped: the map has no signals.".into()],
        arms,
        gates,
        ..Default::default()
    }
}
