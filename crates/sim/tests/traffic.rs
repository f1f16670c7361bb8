//! Background traffic keeps to itself: no collisions, no gridlock, the same bits every time.

#![allow(clippy::print_stdout)] // skips are said aloud

use apprentice_core::geometry::DVec3;
use apprentice_core::{Control, Pose2};
use apprentice_road::town::{TownSpec, layouts};
use apprentice_road::{LaneKind, RoadNetwork, Route};
use apprentice_sim::{Behaviour, World, WorldConfig};
use std::path::PathBuf;
use std::sync::Arc;

fn carla_town(name: &str) -> Option<RoadNetwork> {
    let root = std::env::var_os("APPRENTICE_SHARED_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = root.join(format!("carla_xodr/{name}.xodr"));
    if !path.exists() {
        println!("SKIPPED: no {}", path.display());
        return None;
    }
    Some(RoadNetwork::load(path).expect("a CARLA map"))
}

fn any_route(net: &RoadNetwork) -> Route {
    let lane = net
        .lanes
        .iter()
        .filter(|l| l.kind == LaneKind::Driving && l.junction.is_none())
        .max_by(|a, b| a.length_m.total_cmp(&b.length_m))
        .expect("a driving lane");
    let points: Vec<DVec3> = [2.0, lane.length_m - 2.0].map(|s| lane.at(s).position).into();
    Route::plan(net, &points).expect("a route along one lane")
}

/// Put the ego far away and let traffic alone.
fn traffic_alone(net: RoadNetwork, vehicles: usize, minutes: u32, seed: u64) -> (usize, usize, usize) {
    let route = any_route(&net);
    let config = WorldConfig {
        seed,
        vehicles,
        pedestrians: 0,
        parked_share: 0.0,
        traffic_radius_m: 1e4,
        ..WorldConfig::default()
    };
    let mut world = World::new(Arc::new(net), Arc::new(route), config, Vec::new()).expect("a world");
    world.set_ego(Pose2::new(-5000.0, -5000.0, 0.0), 0.0);
    let mut collisions = Vec::new();
    let mut slow = std::collections::BTreeMap::<u32, u32>::new();
    let mut longest = (0, 0);
    let mut moved = 0.0;
    for tick in 0..minutes * 60 * 20 {
        world.step(Control::default());
        let actors = world.actors();
        for (i, a) in actors.iter().enumerate() {
            moved += a.speed_mps() * 0.05;
            for b in &actors[i + 1..] {
                let pair = (a.state.id, b.state.id);
                let level = (a.state.ground_z_m - b.state.ground_z_m).abs() < 3.0;
                if level && a.footprint().overlaps(&b.footprint()) && !collisions.contains(&pair) {
                    collisions.push(pair);
                    if collisions.len() < 6 {
                        println!("tick {tick}: {:?} {:?}\n  {:?}\n  {:?}", a.state, b.state, a.lane(), b.lane());
                    }
                }
            }
            let still = slow.entry(a.state.id).or_default();
            *still = if a.state.speed_mps < 0.1 { *still + 1 } else { 0 };
            if *still > longest.0 {
                longest = (*still, a.state.id);
            }
        }
    }
    println!(
        "{} vehicles, {} collisions, longest stand {:.1} s (actor {}), mean speed {:.2} m/s",
        world.actors().len(),
        collisions.len(),
        f64::from(longest.0) / 20.0,
        longest.1,
        moved / (f64::from(minutes) * 60.0 * world.actors().len().max(1) as f64)
    );
    if let Some(a) = world.actor(longest.1) {
        println!("  {:?} lane {:?} next {:?}", a.state, a.lane(), a.next_lanes());
    }
    assert!(world.actors().iter().all(|a| matches!(a.behaviour, Behaviour::Lane(_))));
    (world.actors().len(), collisions.len(), longest.0 as usize / 20)
}

#[test]
fn procedural_towns_flow_without_a_collision() {
    for &layout in layouts() {
        let spec = TownSpec { layout, seed: 1 };
        println!("{}", spec.name());
        let (vehicles, collisions, longest_s) = traffic_alone(spec.network().expect("a town"), 48, 5, 3);
        assert!(vehicles > 30, "{vehicles}");
        assert_eq!(collisions, 0);
        assert!(longest_s < 180, "{longest_s} s");
    }
}

#[test]
fn real_towns_flow_for_ten_minutes_without_a_collision() {
    for name in ["Town01", "Town02", "Town03", "Town04", "Town07", "Town10HD"] {
        let Some(net) = carla_town(name) else { return };
        println!("{name}");
        let (vehicles, collisions, longest_s) = traffic_alone(net, 64, 10, 7);
        assert!(vehicles > 40, "{vehicles}");
        assert_eq!(collisions, 0);
        // Queues at long light cycles are no gridlock; nobody stands for ever.
        assert!(longest_s < 240, "{longest_s} s");
    }
}
