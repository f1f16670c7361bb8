//! The expert drives ordinary traffic in procedural towns without hitting anybody, and worlds repeat bit for bit.

#![allow(clippy::print_stdout)] // skips are said aloud

use apprentice_core::Rng;
use apprentice_core::geometry::DVec3;
use apprentice_road::town::{TownSpec, layouts};
use apprentice_road::{LaneKind, RoadNetwork, Route};
use apprentice_sim::{Expert, ExpertMode, World, WorldConfig};
use std::sync::Arc;

/// A random drive of about 250 m: along lanes, choosing at junctions.
fn random_route(net: &RoadNetwork, seed: u64) -> Option<Route> {
    let mut rng = Rng::new(&[seed, 0x0072_6f75_7465]);
    let starts: Vec<usize> = net
        .lanes
        .iter()
        .filter(|l| l.kind == LaneKind::Driving && l.junction.is_none() && l.length_m > 25.0)
        .map(|l| l.id)
        .collect();
    let mut lane = starts[rng.below(starts.len())];
    let mut points: Vec<DVec3> = vec![net.lanes[lane].at(net.lanes[lane].length_m * 0.4).position];
    let mut length = net.lanes[lane].length_m * 0.6;
    while length < 250.0 {
        let next: Vec<usize> =
            net.lanes[lane].successors.iter().copied().filter(|&l| net.lanes[l].kind == LaneKind::Driving).collect();
        if next.is_empty() {
            break;
        }
        lane = next[rng.below(next.len())];
        points.push(net.lanes[lane].at(net.lanes[lane].length_m * 0.5).position);
        length += net.lanes[lane].length_m;
    }
    Route::plan(net, &points).ok().filter(|r| r.length_m > 60.0)
}

fn config(seed: u64) -> WorldConfig {
    WorldConfig { seed, vehicles: 24, pedestrians: 10, ..WorldConfig::default() }
}

/// Drive to the end; returns the state hash of every tick and what went wrong.
fn drive(net: &Arc<RoadNetwork>, route: &Arc<Route>, seed: u64, mode: ExpertMode) -> (Vec<u64>, Vec<String>, f64, f64) {
    let mut world = World::new(net.clone(), route.clone(), config(seed), Vec::new()).expect("a world");
    let mut expert = Expert::new(mode);
    let mut hashes = Vec::new();
    while world.finished().is_none() {
        let control = expert.control(&world);
        world.step(control);
        hashes.push(world.state_hash());
    }
    let wrong = world
        .criteria()
        .infractions()
        .by_kind()
        .iter()
        .filter(|(name, _)| *name != "min_speed_infractions")
        .flat_map(|(name, texts)| texts.iter().map(move |t| format!("{name}: {t}")))
        .collect();
    (hashes, wrong, world.criteria().scores().score_composed, world.time_s())
}

#[test]
fn thirty_six_routes_through_ordinary_traffic_without_a_collision() {
    let mut driven = 0;
    let mut collisions = Vec::new();
    let mut score = 0.0;
    for &layout in layouts() {
        for town_seed in 0..2 {
            let net = Arc::new(TownSpec { layout, seed: town_seed }.network().expect("a town"));
            let mut here = 0;
            for seed in 0..20 {
                let Some(route) = random_route(&net, seed) else { continue };
                let (_, wrong, points, time_s) = drive(&net, &Arc::new(route), seed, ExpertMode::VisibleOnly);
                driven += 1;
                here += 1;
                score += points;
                if !wrong.is_empty() || points < 100.0 {
                    println!("{}-{town_seed} route {seed}: {points:.1} in {time_s:.0} s {wrong:?}", layout.name());
                }
                collisions.extend(wrong.into_iter().filter(|w| w.contains("collision")));
                if here == 3 {
                    break;
                }
            }
        }
    }
    println!("{driven} routes, score {:.2}, {} collisions", score / f64::from(driven), collisions.len());
    assert!(driven >= 36, "{driven}");
    assert!(collisions.is_empty(), "{collisions:#?}");
    assert!(score / f64::from(driven) > 90.0, "{}", score / f64::from(driven));
}

#[test]
fn worlds_repeat_bit_for_bit_on_any_number_of_threads() {
    let net = Arc::new(TownSpec { layout: layouts()[0], seed: 3 }.network().expect("a town"));
    let routes: Vec<Arc<Route>> = (0..8).filter_map(|s| random_route(&net, s)).take(4).map(Arc::new).collect();
    let run = |threads: usize| -> Vec<Vec<u64>> {
        let mut out: Vec<Vec<u64>> = vec![Vec::new(); routes.len()];
        std::thread::scope(|scope| {
            let per = routes.len().div_ceil(threads);
            for (chunk, slots) in routes.chunks(per).zip(out.chunks_mut(per)) {
                let net = &net;
                scope.spawn(move || {
                    for (route, slot) in chunk.iter().zip(slots) {
                        *slot = drive(net, route, 5, ExpertMode::VisibleOnly).0;
                    }
                });
            }
        });
        out
    };
    let one = run(1);
    assert_eq!(one.len(), 4);
    assert!(one.iter().all(|hashes| hashes.len() > 100));
    assert_eq!(one, run(4));
    assert_eq!(one, run(2));
}
