//! A small hand-made town and snapshots in it, so that these tests need no map.
#![allow(dead_code, clippy::unwrap_used)]

use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{Pose2, Rng};
use apprentice_render::TownScene;
use apprentice_road::{Block, LaneKind, MarkKind, PaintLine, PaintQuad, Signal, SignalKind, Strip, TownMesh, Upright};
use apprentice_sim::state::{ActorKind, ActorState, EgoVehicle, Lamps, LightAspect, Snapshot, Weather};

/// Every kind of actor.
pub const KINDS: [ActorKind; 16] = [
    ActorKind::Car,
    ActorKind::Van,
    ActorKind::Truck,
    ActorKind::Bus,
    ActorKind::Police,
    ActorKind::Ambulance,
    ActorKind::Motorcycle,
    ActorKind::Bicycle,
    ActorKind::Pedestrian,
    ActorKind::Child,
    ActorKind::Cone,
    ActorKind::Barrier,
    ActorKind::WarningSign,
    ActorKind::Container,
    ActorKind::Advertisement,
    ActorKind::Debris,
];

fn strip(kind: LaneKind, y0: f64, y1: f64, z: impl Fn(f64) -> f64) -> Strip {
    let edge = |y: f64| (-40..=80).map(|i| DVec3::new(f64::from(i) * 5.0, y, z(f64::from(i) * 5.0))).collect();
    Strip { kind, junction: false, left: edge(y1), right: edge(y0) }
}

fn line(y: f64, kind: MarkKind, yellow: bool) -> PaintLine {
    let points = (-40..=80).map(|i| DVec3::new(f64::from(i) * 5.0, y, 0.0)).collect();
    PaintLine { points, width_m: 0.15, kind, yellow, dash_m: None }
}

fn sign(index: usize, kind: SignalKind, x: f64, y: f64) -> Signal {
    Signal {
        index,
        id: index.to_string(),
        kind,
        pose_in_world: Pose2::new(x, y, std::f64::consts::PI),
        ground_z_m: 0.0,
        height_m: 3.0,
        lanes: Vec::new(),
        stop_lines: Vec::new(),
        group: None,
        junction: None,
    }
}

/// Two lanes each way along x with parking, sidewalks, a crosswalk with its stop line and light, houses and trees.
pub fn street_parts() -> (TownMesh, Vec<Signal>) {
    let flat = |_| 0.0;
    let surfaces = vec![
        strip(LaneKind::Driving, -7.0, -3.5, flat),
        strip(LaneKind::Driving, -3.5, 0.0, flat),
        strip(LaneKind::Driving, 0.0, 3.5, flat),
        strip(LaneKind::Driving, 3.5, 7.0, flat),
        strip(LaneKind::Parking, -9.2, -7.0, flat),
        strip(LaneKind::Sidewalk, -12.2, -9.2, flat),
        strip(LaneKind::Sidewalk, 7.0, 10.0, flat),
    ];
    let paint = vec![
        line(0.1, MarkKind::Solid, true),
        line(-0.1, MarkKind::Solid, true),
        line(3.5, MarkKind::Broken, false),
        line(-3.5, MarkKind::Broken, false),
        line(-7.0, MarkKind::Solid, false),
    ];
    let corner = |x, y| DVec3::new(x, y, 0.0);
    let stop_lines =
        vec![PaintQuad { corners: [corner(28.0, -7.0), corner(28.5, -7.0), corner(28.5, 0.0), corner(28.0, 0.0)] }];
    let crosswalks = vec![vec![corner(30.0, -7.0), corner(33.5, -7.0), corner(33.5, 7.0), corner(30.0, 7.0)]];
    let house = |x: f64, y: f64, h: f64, seed| Block {
        footprint: [DVec2::new(x, y), DVec2::new(x + 18.0, y), DVec2::new(x + 18.0, y + 14.0), DVec2::new(x, y + 14.0)],
        base_z: 0.0,
        height_m: h,
        seed,
    };
    let mut buildings = Vec::new();
    let mut trees = Vec::new();
    for i in 0..12 {
        let x = f64::from(i) * 24.0 - 100.0;
        buildings.push(house(x, 15.0, 7.0 + f64::from(i % 4) * 5.0, i as u64));
        buildings.push(house(x + 7.0, -32.0, 9.0 + f64::from(i % 3) * 6.0, 50 + i as u64));
        trees.push(Upright { base: DVec3::new(x + 5.0, 8.8, 0.0), height_m: 6.0, radius_m: 1.8, seed: i as u64 });
    }
    let poles = (0..8).map(|i| Upright {
        base: DVec3::new(f64::from(i) * 30.0 - 60.0, -9.8, 0.0),
        height_m: 7.0,
        radius_m: 0.1,
        seed: i as u64,
    });
    let signals = vec![
        sign(0, SignalKind::TrafficLight, 29.0, -9.6),
        sign(1, SignalKind::Stop, 16.0, -9.8),
        sign(2, SignalKind::Yield, 12.0, -9.8),
        sign(3, SignalKind::SpeedLimit(13.9), 20.0, -9.8),
    ];
    let poles = poles.collect();
    (TownMesh { surfaces, paint, stop_lines, crosswalks, buildings, trees, poles }, signals)
}

/// The scene of [`street_parts`].
pub fn street() -> TownScene {
    let (mesh, signals) = street_parts();
    TownScene::from_parts(&mesh, &signals)
}

/// An actor of a kind at a pose.
pub fn actor(id: u32, kind: ActorKind, x: f64, y: f64, yaw_rad: f64) -> ActorState {
    ActorState {
        id,
        kind,
        pose_in_world: Pose2::new(x, y, yaw_rad),
        ground_z_m: 0.0,
        size_m: kind.size_m(),
        speed_mps: 0.0,
        lamps: Lamps(0),
        paint: (id * 5 % 16) as u8,
        gait_rad: id as f32,
    }
}

/// The ego in the right-hand lane at x = 0.
pub fn snapshot(actors: Vec<ActorState>) -> Snapshot {
    Snapshot {
        tick: 7,
        ego: EgoVehicle {
            pose_in_world: Pose2::new(0.0, -1.75, 0.0),
            ground_z_m: 0.0,
            pitch_rad: 0.0,
            speed_mps: 5.0,
            acceleration_mps2: 0.0,
            yaw_rate_radps: 0.0,
        },
        actors,
        lights: vec![LightAspect::Red, LightAspect::Off, LightAspect::Off, LightAspect::Off],
        weather: Weather::default(),
    }
}

/// A busy street with every kind of actor.
pub fn busy() -> Snapshot {
    let mut actors = vec![
        actor(1, ActorKind::Car, 14.0, -1.75, 0.0),
        actor(2, ActorKind::Van, 22.0, -5.2, 0.0),
        actor(3, ActorKind::Truck, 24.0, 1.75, std::f64::consts::PI),
        actor(4, ActorKind::Bus, 40.0, 5.2, std::f64::consts::PI),
        actor(5, ActorKind::Police, -12.0, -1.75, 0.0),
        actor(6, ActorKind::Ambulance, -16.0, -5.2, 0.0),
        actor(7, ActorKind::Motorcycle, 10.0, 1.75, std::f64::consts::PI),
        actor(8, ActorKind::Bicycle, 9.0, -6.2, 0.1),
        actor(9, ActorKind::Pedestrian, 31.5, -3.0, 1.57),
        actor(10, ActorKind::Child, 12.0, 8.0, 0.0),
        actor(11, ActorKind::Cone, 8.0, -4.2, 0.0),
        actor(12, ActorKind::Barrier, 26.0, -8.2, 0.3),
        actor(13, ActorKind::WarningSign, 18.0, -8.1, 0.0),
        actor(14, ActorKind::Container, 4.0, -8.2, 0.0),
        actor(15, ActorKind::Advertisement, 6.0, 8.5, 0.0),
        actor(16, ActorKind::Debris, 7.0, -0.4, 0.5),
        actor(17, ActorKind::Car, 3.0, 5.2, std::f64::consts::PI),
        actor(18, ActorKind::Pedestrian, 9.0, 8.2, 0.0),
    ];
    actors[0].lamps = Lamps(Lamps::BRAKE);
    actors[1].lamps = Lamps(Lamps::LEFT);
    actors[2].lamps = Lamps(Lamps::HEADLIGHTS);
    actors[4].lamps = Lamps(Lamps::EMERGENCY | Lamps::HEADLIGHTS);
    actors[5].lamps = Lamps(Lamps::EMERGENCY);
    actors[16].lamps = Lamps(Lamps::DOOR_LEFT | Lamps::DOOR_RIGHT);
    snapshot(actors)
}

/// A random snapshot: actors of all kinds about the ego, not overlapping it.
pub fn random(seed: u64) -> Snapshot {
    let mut rng = Rng::new(&[seed, 0x5ce]);
    let mut actors = Vec::new();
    let mut id = 1;
    while actors.len() < 24 {
        let (x, y) = (rng.range(-40.0, 60.0), rng.range(-12.0, 10.0));
        let candidate = actor(id, KINDS[rng.below(16)], x, y, rng.range(-std::f64::consts::PI, std::f64::consts::PI));
        let ego = snapshot(Vec::new()).ego.footprint();
        if candidate.footprint().distance_to(ego.center.position()) > 4.5 {
            actors.push(candidate);
        }
        id += 1;
    }
    snapshot(actors)
}
