//! Drive a route file with the expert and print what happened.
//! `cargo run --release -p apprentice-sim --example expert_routes -- MAPS ROUTES [ID] [privileged]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use apprentice_road::{RoadNetwork, Route};
use apprentice_sim::{Expert, ExpertMode, World, WorldConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let routes = apprentice_sim::routes::parse_routes(&std::fs::read_to_string(&args[1]).unwrap()).unwrap();
    let only = args.get(2).filter(|a| a.parse::<u32>().is_ok());
    let mode = if args.iter().any(|a| a == "privileged") { ExpertMode::Privileged } else { ExpertMode::VisibleOnly };
    let mut nets: BTreeMap<String, Option<Arc<RoadNetwork>>> = BTreeMap::new();
    let (mut total, mut count) = (0.0, 0);
    for spec in &routes {
        let net = nets
            .entry(spec.town.clone())
            .or_insert_with(|| RoadNetwork::load(format!("{}/{}.xodr", args[0], spec.town)).ok().map(Arc::new));
        let Some(net) = net.clone() else { continue };
        if only.is_some_and(|id| *id != spec.id) {
            continue;
        }
        let kind = spec.scenarios.first().map_or("-", |s| s.kind.as_str());
        if !net.has_signals && apprentice_sim::scenario::needs_signals(kind) {
            println!("{} {kind}: map has no signals", spec.id);
            continue;
        }
        let route = Arc::new(Route::plan(&net, &spec.waypoints).unwrap());
        let config =
            WorldConfig { vehicles: 14, pedestrians: 6, weather: spec.weather_at(0.0), ..WorldConfig::default() };
        let began = std::time::Instant::now();
        let mut world = World::new(net, route, config, spec.scenarios.clone()).unwrap();
        let mut expert = Expert::new(mode);
        let mut events = 0;
        while world.finished().is_none() {
            let control = expert.control(&world);
            if only.is_some() && world.tick().is_multiple_of(10) {
                let ego = world.ego();
                println!(
                    "{:5.1}s s {:6.1} lat {:5.2} v {:5.2} thr {:.2} br {:.2} st {:5.2} {:?} {}",
                    world.time_s(),
                    world.route_progress_m(),
                    world.route_lateral_m(),
                    ego.speed_mps,
                    control.throttle,
                    control.brake,
                    control.steer,
                    expert.reason(),
                    expert.describe()
                );
            }
            if only.is_some() && world.tick().is_multiple_of(100) && args.iter().any(|a| a == "near") {
                let ego = world.ego().footprint().center;
                let mut near: Vec<_> = world.actors().iter().map(|a| (ego.to_local(a.pose().position()), a)).collect();
                near.sort_by(|a, b| a.0.length().total_cmp(&b.0.length()));
                for (p, a) in near.iter().take(8) {
                    println!(
                        "      {} {:?} {:?} at {:.1},{:.1} v {:.2} lane {:?} next {:?} {}",
                        a.state.id,
                        a.state.kind,
                        a.role,
                        p.x,
                        p.y,
                        a.speed_mps(),
                        a.lane(),
                        a.next_lanes().first(),
                        match &a.behaviour {
                            apprentice_sim::Behaviour::Lane(_) => "lane",
                            apprentice_sim::Behaviour::Parked => "parked",
                            apprentice_sim::Behaviour::Scripted(_) => "script",
                            _ => "walk",
                        }
                    );
                }
            }
            world.step(control);
            while events < world.criteria().events().len() {
                if only.is_some() {
                    println!("EVENT {:?}", world.criteria().events()[events]);
                }
                events += 1;
            }
        }
        let score = world.criteria().scores();
        let infractions: Vec<String> = world
            .criteria()
            .infractions()
            .by_kind()
            .iter()
            .filter(|(name, _)| *name != "min_speed_infractions")
            .flat_map(|(name, list)| list.iter().map(move |t| format!("{name}: {t}")))
            .collect();
        total += score.score_composed;
        count += 1;
        println!(
            "{} {} {kind}: {:.1} route {:.1} x {:.2} {:?} {:.0}s ({:.2}s) {:?}",
            spec.id,
            spec.town,
            score.score_composed,
            score.score_route,
            score.score_penalty,
            world.finished(),
            world.time_s(),
            began.elapsed().as_secs_f64(),
            infractions
        );
    }
    println!("driving score {:.2} over {count}", total / f64::from(count.max(1)));
}
