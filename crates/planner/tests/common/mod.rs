//! Made-up samples: a straight road with some agents; images hold the plan only as noise to be learned by heart.
#![allow(dead_code)] // each test file uses its own part

use apprentice_core::sample::{LightState, SampleId, Tier};
use apprentice_core::*;
use apprentice_planner::StudentConfig;

pub fn sample(seed: u64) -> Sample {
    let mut rng = Rng::new(&[seed, 77]);
    let speed = rng.range(0.0, 10.0);
    let command = Command::ALL[rng.below(6)];
    let bend = rng.range(-0.3, 0.3);
    let future = Trajectory(std::array::from_fn(|i| {
        let x = speed * 0.5 * (i + 1) as f64 * 0.8;
        [x as f32, (bend * x) as f32]
    }));
    let agents = (0..rng.below(6))
        .map(|i| {
            let (x, y) = (rng.range(-10.0, 40.0) as f32, rng.range(-20.0, 20.0) as f32);
            let v = rng.range(0.0, 8.0) as f32;
            AgentLabel {
                id: i as u32 + 1,
                class: AgentClass::ALL[rng.below(10)],
                center_in_ego: [x, y, 0.8],
                size_m: [4.5, 1.9, 1.6],
                yaw_rad: rng.range(-3.0, 3.0) as f32,
                velocity_in_ego_mps: [v, 0.0],
                visible_pixels: if i == 4 { 0 } else { 100 },
                future_in_ego: std::array::from_fn(|t| [x + v * 0.5 * (t + 1) as f32, y]),
                future_yaw_rad: [0.0; 6],
                future_steps: 6,
            }
        })
        .collect();
    let line = |class, y: f32| MapLabel { class, points_in_ego: vec![[-20.0, y], [60.0, y + 4.0 * bend as f32]] };
    let map = vec![
        line(MapClass::Boundary, 5.5),
        line(MapClass::Boundary, -2.0),
        line(MapClass::Divider, 1.75),
        line(MapClass::Centerline, 0.0),
        MapLabel {
            class: MapClass::PedCrossing,
            points_in_ego: vec![[20.0, -5.0], [24.0, -5.0], [24.0, 5.0], [20.0, 5.0]],
        },
    ];
    Sample {
        id: SampleId { world: "made-up".into(), index: seed as u32 },
        tier: Tier::Common,
        family: "none".into(),
        time_s: 0.0,
        ego: EgoState { speed_mps: speed as f32, ..EgoState::default() },
        command,
        future,
        future_steps: 6,
        agents,
        map,
        light: [LightState::None, LightState::Green, LightState::Yellow, LightState::Red][rng.below(4)],
        language: vec![],
    }
}

pub fn images(config: &StudentConfig, seed: u64) -> Vec<Image> {
    let mut rng = Rng::new(&[seed, 78]);
    let rig = config.preprocessing().rig;
    let fill = |c: &Camera, rng: &mut Rng| Image {
        width: c.width,
        height: c.height,
        rgb: (0..c.width * c.height * 3).map(|_| rng.next_u64() as u8).collect(),
    };
    rig.cameras.iter().map(|c| fill(c, &mut rng)).collect()
}
