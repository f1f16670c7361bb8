//! Every real route whose town is there: its scenario is staged, and what must happen to an ego that drives along the
//! route happens.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic

use apprentice_core::Control;
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_road::{RoadNetwork, Route};
use apprentice_sim::routes::parse_routes;
use apprentice_sim::scenario::{self, Family, kinds};
use apprentice_sim::state::ActorKind;
use apprentice_sim::{Role, World, WorldConfig};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

fn shared() -> Option<PathBuf> {
    let root = std::env::var("APPRENTICE_SHARED_DATA")
        .map_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    root.join("carla_xodr").is_dir().then_some(root)
}

/// What an ego at constant speed on the route's centre line meets.
#[derive(Default, Debug)]
struct Met {
    /// Scenario actors that stand in the way of the ego's width, ever.
    standing: usize,
    /// Ticks in which somebody on foot or on a bicycle was in the way within 20 m ahead.
    crossing: usize,
    /// Cars in the way ahead that came to rest.
    stopped_ahead: usize,
    /// Nearest that a moving scenario vehicle came to the ego's box centre, metres.
    nearest_moving_m: f64,
    /// Scenario vehicles that moved.
    moved: usize,
    /// Nearest emergency vehicle behind, metres.
    ambulance_behind_m: f64,
}

fn ride(world: &mut World, speed_mps: f64, to_m: f64) -> Met {
    let mut met = Met { nearest_moving_m: f64::INFINITY, ambulance_behind_m: f64::INFINITY, ..Met::default() };
    let mut standing = std::collections::BTreeSet::new();
    let mut moved = std::collections::BTreeSet::new();
    let mut stopped = std::collections::BTreeSet::new();
    let mut s = world.route_progress_m();
    while s < to_m && world.tick() < 2400 {
        s += speed_mps * 0.05;
        let point = world.route.at(s);
        let pose = point.pose().offset(-REAR_AXLE_TO_CENTER_M, 0.0);
        world.step(Control::default());
        world.set_ego(pose, speed_mps);
        let ego = world.ego().footprint().center;
        for actor in world.actors().iter().filter(|a| a.role == Role::Scenario) {
            let p = ego.to_local(actor.pose().position());
            let half = f64::from(actor.state.size_m[1]) / 2.0 + 0.9;
            let in_way = p.y.abs() < half && (0.0..20.0).contains(&p.x);
            let soft = actor.state.kind.is_pedestrian() || actor.state.kind == ActorKind::Bicycle;
            if in_way && actor.speed_mps() < 0.1 && actor.state.kind != ActorKind::Debris {
                standing.insert(actor.state.id);
                if moved.contains(&actor.state.id) && !soft {
                    stopped.insert(actor.state.id);
                }
            }
            if in_way && soft {
                met.crossing += 1;
            }
            if actor.speed_mps() > 1.0 {
                moved.insert(actor.state.id);
                if actor.state.kind.is_vehicle() && actor.state.kind != ActorKind::Bicycle {
                    met.nearest_moving_m = met.nearest_moving_m.min(p.length());
                }
            }
            if actor.state.kind == ActorKind::Ambulance && p.x < 0.0 {
                met.ambulance_behind_m = met.ambulance_behind_m.min(-p.x);
            }
        }
    }
    met.standing = standing.len();
    met.moved = moved.len();
    met.stopped_ahead = stopped.len();
    met
}

#[test]
fn real_routes_stage_what_their_type_says() {
    let Some(root) = shared() else {
        eprintln!("SKIPPED: no shared data");
        return;
    };
    let xml = std::fs::read_to_string(root.join("b2d_routes/bench2drive220.xml")).unwrap();
    let mut nets: BTreeMap<String, Arc<RoadNetwork>> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut staged = 0;
    for spec in parse_routes(&xml).unwrap() {
        let path = root.join(format!("carla_xodr/{}.xodr", spec.town));
        if !path.is_file() {
            continue;
        }
        let net = nets.entry(spec.town.clone()).or_insert_with(|| Arc::new(RoadNetwork::load(&path).unwrap())).clone();
        let kind = kinds::find(&spec.scenarios[0].kind).unwrap();
        if scenario::needs_signals(kind.name) && !net.has_signals {
            continue;
        }
        let route = Arc::new(Route::plan(&net, &spec.waypoints).unwrap());
        let direct: f64 = spec.waypoints.windows(2).map(|w| w[0].distance(w[1])).sum();
        if route.length_m > 1.5 * direct + 30.0 {
            continue; // This map does not connect the route's points.
        }
        let config = WorldConfig { seed: 7, vehicles: 0, pedestrians: 0, parked_share: 0.0, ..WorldConfig::default() };
        let mut world = World::new(net, route, config, spec.scenarios.clone()).unwrap();
        let length = world.route.length_m;
        // Fast enough to catch up with cyclists.
        let speed_mps = spec.scenarios[0].number("bicycle_speed").map_or(7.0, |v| v + 5.0);
        let met = ride(&mut world, speed_mps, length - 5.0);
        staged += 1;
        let good = match kind.family {
            Family::Blocker => met.standing >= 1,
            Family::SlowSide => met.crossing > 20 && met.moved >= 3,
            Family::Crossing | Family::TurnCrossing => met.crossing > 5,
            Family::HardBrake => met.stopped_ahead >= 1,
            Family::Flow => met.moved >= 3 && met.nearest_moving_m < 15.0,
            Family::Runner => met.nearest_moving_m < 7.0,
            Family::Emergency => met.ambulance_behind_m < 15.0,
            Family::BlockedJunction => met.standing == 1,
            _ => true,
        };
        if !good {
            failures.push(format!("{} {} {met:?}", spec.id, kind.name));
        }
    }
    assert!(staged >= 38, "{staged}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
