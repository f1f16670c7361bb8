//! The criteria see what they must, and nothing else: an ego put along routes of generated towns tick by tick.
#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::geometry::DVec3;
use apprentice_core::{Control, Pose2};
use apprentice_road::town::{Layout, TownSpec};
use apprentice_road::{LaneKind, RoadNetwork, Route, SignalKind};
use apprentice_sim::criteria::{Infractions, Outcome};
use apprentice_sim::state::{ActorKind, LightAspect};
use apprentice_sim::{Behaviour, World, WorldConfig};
use std::sync::Arc;

fn empty(net: &Arc<RoadNetwork>, waypoints: &[DVec3]) -> World {
    let route = Arc::new(Route::plan(net, waypoints).unwrap());
    let config = WorldConfig { seed: 1, vehicles: 0, pedestrians: 0, parked_share: 0.0, ..WorldConfig::default() };
    World::new(net.clone(), route, config, Vec::new()).unwrap()
}

/// Put the ego's centre along the route, `left(s)` beside it.
fn ride(world: &mut World, speed_mps: f64, left: impl Fn(f64) -> f64, pause_at: Option<(f64, u32)>) {
    let mut s = 0.0;
    let mut paused = 0;
    while world.finished().is_none() && s < world.route.length_m + 5.0 {
        let stands = pause_at.is_some_and(|(at, ticks)| s >= at && paused < ticks);
        if stands {
            paused += 1;
        } else {
            s += speed_mps * 0.05;
        }
        let pose = world.route.at(s).pose().offset(-REAR_AXLE_TO_CENTER_M, left(s));
        world.set_ego(pose, if stands { 0.0 } else { speed_mps });
        world.step(Control { brake: if stands { 1.0 } else { 0.0 }, ..Control::default() });
    }
}

fn counts(found: &Infractions) -> Vec<(&'static str, usize)> {
    found.by_kind().into_iter().filter(|(_, l)| !l.is_empty()).map(|(name, l)| (name, l.len())).collect()
}

/// A way through a junction whose approach has a signal of the kind: waypoints, signal, its stop line's
/// distance along the way.
fn through(net: &RoadNetwork, kind: SignalKind) -> (Vec<DVec3>, usize) {
    for signal in net.signals.iter().filter(|s| s.kind == kind) {
        for line in &signal.stop_lines {
            let lane = &net.lanes[line.lane];
            let inside = lane.successors.iter().map(|&id| &net.lanes[id]).find(|l| l.junction.is_some());
            if let Some(out) = inside.and_then(|l| l.successors.first()).map(|&id| &net.lanes[id])
                && line.s_m > 30.0
                && out.length_m > 25.0
            {
                return (vec![lane.at(line.s_m - 29.0).position, out.at(23.0).position], signal.index);
            }
        }
    }
    panic!("no way through a junction with {kind:?}");
}

#[test]
fn red_lights_count_once_and_green_ones_never() {
    let net = Arc::new(TownSpec { layout: Layout::Grid, seed: 1 }.network().unwrap());
    let (way, signal) = through(&net, SignalKind::TrafficLight);
    for (aspect, expected) in
        [(LightAspect::Green, vec![]), (LightAspect::Yellow, vec![]), (LightAspect::Red, vec![("red_light", 1)])]
    {
        let mut world = empty(&net, &way);
        for light in net.signals.iter().filter(|s| s.lanes.iter().any(|l| net.signals[signal].lanes.contains(l))) {
            world.set_light(light.index, Some(aspect));
        }
        ride(&mut world, 8.0, |_| 0.0, None);
        assert_eq!(world.finished(), Some(Outcome::Completed), "{aspect:?}");
        assert_eq!(counts(world.criteria().infractions()), expected, "{aspect:?}");
        let penalty = if expected.is_empty() { 1.0 } else { 0.7 };
        assert_eq!(world.criteria().scores().score_penalty, penalty);
        assert_eq!(world.criteria().scores().score_route, 100.0);
    }
}

#[test]
fn a_stop_sign_wants_a_stop() {
    let net = Arc::new(TownSpec { layout: Layout::Suburb, seed: 1 }.network().unwrap());
    let (way, signal) = through(&net, SignalKind::Stop);
    let mut rolls = empty(&net, &way);
    ride(&mut rolls, 5.0, |_| 0.0, None);
    assert_eq!(counts(rolls.criteria().infractions()), [("stop_infraction", 1)]);
    let text = &rolls.criteria().infractions().stop_infraction[0];
    assert!(text.starts_with("Agent ran a stop with id=") && text.contains(" at (x="), "{text}");

    let mut stops = empty(&net, &way);
    let line = net.signals[signal].stop_lines.iter().find(|l| stops.route.points.iter().any(|p| p.lane == l.lane));
    let (line_s, _) = stops.route.project(line.unwrap().center, f64::NAN);
    // The front bumper at the line.
    ride(&mut stops, 5.0, |_| 0.0, Some((line_s - 2.6, 20)));
    assert_eq!(counts(stops.criteria().infractions()), []);
}

#[test]
fn leaving_the_lanes_costs_its_share_of_the_way() {
    let net = Arc::new(TownSpec { layout: Layout::Grid, seed: 1 }.network().unwrap());
    let lane = net
        .lanes
        .iter()
        .filter(|l| l.kind == LaneKind::Driving && l.junction.is_none() && l.opposite.is_some())
        .max_by(|a, b| a.length_m.total_cmp(&b.length_m))
        .unwrap();
    let way = [lane.at(3.0).position, lane.at(lane.length_m - 3.0).position];
    let mut inside = empty(&net, &way);
    ride(&mut inside, 8.0, |_| 0.3, None);
    assert_eq!(counts(inside.criteria().infractions()), []);
    assert_eq!(inside.criteria().scores().score_composed, 100.0);

    // A quarter of the way on the oncoming lane.
    let length = inside.route.length_m;
    let opposite = &net.lanes[lane.opposite.unwrap()];
    let across = opposite.project(lane.at(lane.length_m / 2.0).position.truncate()).1.abs();
    let out = |s: f64| if (0.4 * length..0.65 * length).contains(&s) { across } else { 0.0 };
    let mut strays = empty(&net, &way);
    ride(&mut strays, 8.0, out, None);
    let penalty = strays.criteria().scores().score_penalty;
    assert!((penalty - 0.75).abs() < 0.06, "{penalty} {:?}", counts(strays.criteria().infractions()));
    assert!(strays.criteria().infractions().outside_route_lanes[0].contains("% of the completed route)"));

    // The same where a scenario makes it necessary.
    let mut allowed = empty(&net, &way);
    allowed.allow_wrong_way(true);
    ride(&mut allowed, 8.0, out, None);
    assert_eq!(counts(allowed.criteria().infractions()), []);

    // Far off, the route is lost.
    let mut lost = empty(&net, &way);
    ride(&mut lost, 8.0, |s| if s > 15.0 { 33.0 } else { 0.0 }, None);
    assert_eq!(lost.finished(), Some(Outcome::Deviated));
    assert!(lost.criteria().scores().score_route < 30.0);
}

#[test]
fn standing_for_a_minute_ends_it_and_hits_are_told_apart() {
    let net = Arc::new(TownSpec { layout: Layout::Grid, seed: 1 }.network().unwrap());
    let lane = net.lanes.iter().find(|l| l.kind == LaneKind::Driving && l.length_m > 70.0).unwrap();
    let way = [lane.at(3.0).position, lane.at(66.0).position];
    let mut stands = empty(&net, &way);
    ride(&mut stands, 5.0, |_| 0.0, Some((20.0, 1300)));
    assert_eq!(stands.finished(), Some(Outcome::Blocked));
    assert_eq!(counts(stands.criteria().infractions()), [("vehicle_blocked", 1)]);
    assert!((1190..1320).contains(&stands.tick()), "{}", stands.tick());

    for (kind, list, factor) in [
        (ActorKind::Car, "collisions_vehicle", 0.6),
        (ActorKind::Pedestrian, "collisions_pedestrian", 0.5),
        (ActorKind::Cone, "collisions_layout", 0.65),
    ] {
        let mut world = empty(&net, &way);
        let at: Pose2 = world.route.at(30.0).pose();
        world.spawn(kind, at, Behaviour::Parked);
        ride(&mut world, 6.0, |_| 0.0, None);
        assert_eq!(counts(world.criteria().infractions()), [(list, 1)], "{kind:?}");
        assert_eq!(world.criteria().scores().score_penalty, factor);
    }
    let mut clean = empty(&net, &way);
    clean.spawn(ActorKind::Debris, clean.route.at(30.0).pose(), Behaviour::Parked);
    ride(&mut clean, 6.0, |_| 0.0, None);
    assert_eq!(counts(clean.criteria().infractions()), []);
}

#[test]
fn speed_is_compared_with_the_traffic_around() {
    let net = Arc::new(TownSpec { layout: Layout::Grid, seed: 1 }.network().unwrap());
    let (way, _) = through(&net, SignalKind::TrafficLight);
    let route = Arc::new(Route::plan(&net, &way).unwrap());
    let config = WorldConfig { seed: 1, vehicles: 16, pedestrians: 0, parked_share: 0.0, ..WorldConfig::default() };
    let mut world = World::new(net, route, config, Vec::new()).unwrap();
    ride(&mut world, 8.0, |_| 0.0, None);
    let texts = &world.criteria().infractions().min_speed_infractions;
    assert!((15..=21).contains(&texts.len()), "{}", texts.len());
    assert!(
        texts.iter().all(|t| t.starts_with("Average speed is ") && t.ends_with("% of the surrounding traffic's one"))
    );
    // They cost nothing.
    assert_eq!(world.criteria().infractions().total(), texts.len() + world.criteria().infractions().counted());
}
