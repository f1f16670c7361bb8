//! Moving: along lanes, scripted paths and pavements; lamps.

use super::follow::place;
use super::{Decision, Traffic, touch};
use crate::actor::{Actor, AtEnd, Behaviour, LaneFollowing, Scripted, Walk};
use crate::rules::Turn;
use crate::state::{Lamps, TICK_S};
use crate::world::World;
use apprentice_core::{Rng, wrap_angle};
use apprentice_road::{LaneId, LaneKind, RoadNetwork};

const PURPOSE_LANES: u64 = 0x006c_616e_6573;
/// Vehicles longer than this avoid tight bends, metres.
pub(crate) const LONG_VEHICLE_M: f64 = 7.0;
/// Lanes to come are known this far, metres.
const LOOK_AHEAD_M: f64 = 90.0;
/// Sideways speed of a lane change, m/s.
const CHANGE_MPS: f64 = 1.1;
/// Ticks a blinking lamp is on, then off.
const BLINK_TICKS: u32 = 8;

/// Move everybody by one tick; those who are done leave.
pub(super) fn apply(traffic: &mut Traffic, world: &mut World) {
    let net = world.net.clone();
    let rules = world.rules.clone();
    let tick = world.tick;
    let ego = world.ego.footprint();
    let seed = world.config.seed;
    let dark = world.weather().sun_altitude_deg < 5.0 || world.weather().fog_density > 40.0;
    let mut gone = false;
    let mut kerbs = std::mem::take(&mut traffic.kerbs);
    kerbs.clear();
    for (index, actor) in world.actors.iter().enumerate() {
        if let Behaviour::Walk(walk) = &actor.behaviour {
            kerbs.push((index, waits_at_kerb(world, walk)));
        }
    }
    let mut kerb = kerbs.iter();
    for (index, actor) in world.actors.iter_mut().enumerate() {
        // The behaviour moves out while its actor changes.
        let mut behaviour = std::mem::replace(&mut actor.behaviour, Behaviour::Parked);
        let leaves = match &mut behaviour {
            Behaviour::Parked => {
                stand(&net, actor);
                false
            }
            Behaviour::Lane(driver) => {
                let decision = traffic.decisions[index];
                move_on_lanes(&net, &rules, seed, actor, driver, &decision);
                signal(&rules, actor, &decision);
                driver.despawn_after_m.is_some_and(|m| actor.on_lanes.driven_m > m)
            }
            Behaviour::Scripted(script) => {
                let blocked = script.careful && is_ahead(actor, script, &ego);
                let leaves = move_scripted(actor, script, blocked);
                refresh_touch(&net, actor, index);
                leaves
            }
            Behaviour::Walk(walk) => {
                let waits = kerb.next().is_some_and(|&(i, waits)| i == index && waits);
                move_on_foot(actor, walk, waits)
            }
        };
        actor.behaviour = behaviour;
        lamps(actor, tick, dark);
        if leaves {
            actor.state.id = 0;
            gone = true;
        } else if !matches!(actor.behaviour, Behaviour::Lane(_) | Behaviour::Parked) && tick.is_multiple_of(8) {
            let hint = f64::from(actor.state.ground_z_m);
            actor.state.ground_z_m = net.surface_z_near(actor.pose().position(), hint) as f32;
        }
    }
    traffic.kerbs = kerbs;
    if gone {
        world.actors.retain(|a| a.state.id != 0);
    }
}

/// Whether the place right in front of a scripted actor is taken by the ego.
fn is_ahead(actor: &Actor, script: &Scripted, ego: &apprentice_core::OrientedBox) -> bool {
    let speed = actor.speed_mps();
    let steps = [1.0, 0.3 + speed * 0.5, 1.0 + speed + speed * speed / 12.0];
    steps.iter().any(|ahead| {
        let mut at = actor.footprint();
        at.center = script.path.at(script.s_m + ahead);
        at.length_m += 1.0;
        at.overlaps(ego)
    })
}

fn stand(net: &RoadNetwork, actor: &mut Actor) {
    actor.state.speed_mps = 0.0;
    actor.acceleration_mps2 = 0.0;
    actor.yaw_rate_radps = 0.0;
    if actor.state.kind.is_pedestrian() || actor.state.kind == crate::state::ActorKind::Debris {
        return;
    }
    refresh_touch(net, actor, 0);
}

/// Keep the list of lanes an actor stands on, as long as it moves.
fn refresh_touch(net: &RoadNetwork, actor: &mut Actor, index: usize) {
    let pose = actor.pose();
    let moved = actor.on_lanes.touched_at.is_none_or(|at| {
        (at.position() - pose.position()).length_squared() > 0.09 || wrap_angle(at.yaw_rad - pose.yaw_rad).abs() > 0.05
    });
    if moved {
        let mut touching = std::mem::take(&mut actor.on_lanes.touching);
        touching.clear();
        touch(net, &actor.footprint(), actor.state.ground_z_m, actor.speed_mps(), index, &mut touching);
        actor.on_lanes.touching = touching;
        actor.on_lanes.touched_at = Some(pose);
    }
    let speed = actor.speed_mps();
    for entry in &mut actor.on_lanes.touching {
        entry.speed_mps = if speed == 0.0 { 0.0 } else { entry.speed_mps.signum() * speed };
    }
}

fn move_scripted(actor: &mut Actor, script: &mut Scripted, blocked: bool) -> bool {
    while let Some(&(s, speed)) = script.profile.first().filter(|(s, _)| *s <= script.s_m) {
        let _ = s;
        script.target_speed_mps = speed;
        script.profile.remove(0);
    }
    let speed = actor.speed_mps();
    let wanted = if blocked || script.finished() { 0.0 } else { script.target_speed_mps };
    let change = (wanted - speed)
        .clamp(-script.braking_mps2.max(if blocked { 7.0 } else { 0.0 }) * TICK_S, script.acceleration_mps2 * TICK_S);
    let next = (speed + change).max(0.0);
    script.s_m = (script.s_m + (speed + next) / 2.0 * TICK_S).min(script.path.length_m());
    let old = actor.pose();
    if script.path.points().len() > 1 {
        let half = 0.3 * f64::from(actor.state.size_m[0]);
        let ahead = script.path.at((script.s_m + half).min(script.path.length_m()));
        let behind = script.path.at((script.s_m - half).max(0.0));
        let chord = ahead.position() - behind.position();
        let mut pose = script.path.at(script.s_m);
        pose.yaw_rad = chord.y.atan2(chord.x);
        actor.state.pose_in_world = pose;
    }
    let done = script.finished();
    actor.state.speed_mps = if done { 0.0 } else { next as f32 };
    actor.acceleration_mps2 = (next - speed) / TICK_S;
    actor.yaw_rate_radps = wrap_angle(actor.pose().yaw_rad - old.yaw_rad) / TICK_S;
    match script.at_end {
        AtEnd::Despawn => done,
        AtEnd::Stay => false,
        AtEnd::Return => {
            if done {
                script.path = crate::actor::Polyline::new(script.path.points().iter().rev().copied());
                script.s_m = 0.0;
            }
            false
        }
    }
}

/// Whether a walker stands at a kerb and traffic leaves no gap.
fn waits_at_kerb(world: &World, walk: &Walk) -> bool {
    let Some(&(from, to)) = walk.roads_m.iter().find(|(from, _)| (-0.05..0.3).contains(&(from - walk.s_m))) else {
        return false;
    };
    let begin = walk.path.at(from).position();
    let end = walk.path.at(to).position();
    let needs_s = (end - begin).length() / walk.speed_mps.max(0.3) + 1.5;
    let comes = |position: apprentice_core::geometry::DVec2, velocity: apprentice_core::geometry::DVec2| {
        if (position - begin).length_squared() > 3600.0 {
            return false;
        }
        // Closest approach of a vehicle that keeps its velocity to the middle of the crossing line.
        let mut t = 0.0;
        while t <= needs_s {
            let p = position + velocity * t;
            let d = end - begin;
            let along = ((p - begin).dot(d) / d.length_squared().max(1e-6)).clamp(0.0, 1.0);
            if (p - begin - d * along).length_squared() < 9.0 {
                return true;
            }
            t += 0.25;
        }
        false
    };
    let ego = &world.ego;
    comes(ego.footprint().center.position(), ego.pose_in_world.forward() * ego.speed_mps)
        || world.actors.iter().any(|a| {
            a.state.kind.is_vehicle()
                && !matches!(a.behaviour, Behaviour::Parked)
                && comes(a.pose().position(), a.velocity())
        })
}

fn move_on_foot(actor: &mut Actor, walk: &mut Walk, waits: bool) -> bool {
    let old = actor.pose();
    if walk.wait_s > 0.0 {
        walk.wait_s -= TICK_S;
    }
    let walks = walk.wait_s <= 0.0 && !waits && !walk.finished();
    let speed = if walks { walk.speed_mps } else { 0.0 };
    if walks {
        walk.s_m = (walk.s_m + speed * TICK_S).min(walk.path.length_m());
        let pose = walk.path.at(walk.s_m);
        // People turn round within a second.
        let turn = wrap_angle(pose.yaw_rad - old.yaw_rad).clamp(-0.25, 0.25);
        actor.state.pose_in_world = apprentice_core::Pose2 { yaw_rad: wrap_angle(old.yaw_rad + turn), ..pose };
        let stride_m = if actor.state.kind.is_pedestrian() { 1.4 } else { 2.5 };
        let phase = f64::from(actor.state.gait_rad) + speed * TICK_S / stride_m * std::f64::consts::TAU;
        actor.state.gait_rad = phase.rem_euclid(std::f64::consts::TAU) as f32;
    }
    actor.acceleration_mps2 = 0.0;
    actor.yaw_rate_radps = 0.0;
    actor.state.speed_mps = speed as f32;
    if walk.finished() {
        match walk.at_end {
            AtEnd::Despawn => return true,
            AtEnd::Stay => actor.state.speed_mps = 0.0,
            AtEnd::Return => {
                let length = walk.path.length_m();
                walk.path = crate::actor::Polyline::new(walk.path.points().iter().rev().copied());
                walk.roads_m = walk.roads_m.iter().rev().map(|(from, to)| (length - to, length - from)).collect();
                walk.wait_s = 2.0 + f64::from(actor.state.id % 7);
                walk.s_m = 0.0;
            }
        }
    }
    false
}

/// Find an actor's place on the lanes, if it has none yet.
pub(crate) fn settle(net: &RoadNetwork, rules: &crate::rules::Rules, seed: u64, actor: &mut Actor, route: &[LaneId]) {
    if actor.on_lanes.lane.is_some() {
        return;
    }
    let Some(found) = net.nearest_lane_with_heading(actor.pose(), &[LaneKind::Driving], 1.2) else { return };
    let on = &mut actor.on_lanes;
    on.lane = Some(found.lane);
    on.s_m = found.s_m;
    on.lateral_m = found.lateral_m;
    on.next.clear();
    on.next.extend_from_slice(route.strip_prefix(&[found.lane]).unwrap_or(route));
    let mut at = found.lane;
    for place in &mut on.trail {
        *place = net.lanes[at].predecessors.first().copied();
        match *place {
            Some(back) => at = back,
            None => break,
        }
    }
    look_ahead(net, rules, seed, actor.state.id, f64::from(actor.state.size_m[0]), on);
}

/// Choose lanes until the way is known far enough.
fn look_ahead(
    net: &RoadNetwork,
    rules: &crate::rules::Rules,
    seed: u64,
    id: u32,
    length_m: f64,
    on: &mut crate::actor::OnLanes,
) {
    let Some(lane) = on.lane else { return };
    let mut known = net.lanes[lane].length_m - on.s_m + on.next.iter().map(|&l| net.lanes[l].length_m).sum::<f64>();
    let mut last = on.next.last().copied().unwrap_or(lane);
    while known < LOOK_AHEAD_M && on.next.len() < 12 {
        let options = &net.lanes[last].successors;
        let fit = |l: LaneId| net.lanes[l].kind == LaneKind::Driving;
        // Dead ends, and bends too tight for long vehicles, are taken only where there is nothing else.
        let long = length_m > LONG_VEHICLE_M;
        let good = |l: LaneId| fit(l) && !rules.lane(l).dead_end && (!long || rules.lane(l).for_long_vehicles);
        let any_good = options.iter().any(|&l| good(l));
        let usable = |l: &&LaneId| if any_good { good(**l) } else { fit(**l) };
        let count = options.iter().filter(usable).count();
        if count == 0 {
            break;
        }
        let pick = if count == 1 {
            0
        } else {
            on.choices += 1;
            Rng::new(&[seed, u64::from(id), PURPOSE_LANES, on.choices]).below(count)
        };
        let Some(&next) = options.iter().filter(usable).nth(pick) else { break };
        on.next.push(next);
        known += net.lanes[next].length_m;
        last = next;
    }
}

fn move_on_lanes(
    net: &RoadNetwork,
    rules: &crate::rules::Rules,
    seed: u64,
    actor: &mut Actor,
    driver: &mut LaneFollowing,
    decision: &Decision,
) {
    settle(net, rules, seed, actor, &driver.route);
    let id = actor.state.id;
    let Some(mut lane) = actor.on_lanes.lane else { return };
    let speed = actor.speed_mps();
    let next_speed = (speed + decision.acceleration_mps2 * TICK_S).max(0.0);
    let next_speed = if next_speed < 0.02 && decision.acceleration_mps2 <= 0.0 { 0.0 } else { next_speed };
    let length_m = f64::from(actor.state.size_m[0]);
    let old = actor.pose();
    let on = &mut actor.on_lanes;
    if let Some((target, side)) = decision.change {
        let (s_m, lateral_m) = net.lanes[target].project(old.position());
        on.leaving = Some(lane);
        on.lane = Some(target);
        (on.s_m, on.lateral_m, on.changing) = (s_m, lateral_m, side);
        on.next.clear();
        on.trail = [None; 3];
        on.trail[0] = net.lanes[target].predecessors.first().copied();
        driver.route.clear();
        lane = target;
    }
    if let Some(entry) = decision.revoked {
        for ticket in &mut on.tickets {
            ticket.take_if(|(_, lane)| *lane == entry);
        }
    }
    if let Some(free) = on.tickets.iter_mut().find(|t| t.is_none()).filter(|_| decision.admitted.is_some()) {
        *free = decision.admitted;
    }
    on.change_rest = on.change_rest.saturating_sub(1);
    let step_m = (speed + next_speed) / 2.0 * TICK_S;
    on.s_m += step_m;
    on.driven_m += step_m;
    while on.s_m > net.lanes[lane].length_m {
        if on.next.is_empty() {
            look_ahead(net, rules, seed, id, length_m, on);
        }
        if on.next.is_empty() {
            on.s_m = net.lanes[lane].length_m;
            break;
        }
        on.s_m -= net.lanes[lane].length_m;
        on.trail = [Some(lane), on.trail[0], on.trail[1]];
        lane = on.next.remove(0);
        on.lane = Some(lane);
        if on.leaving.is_some() {
            let beside = &net.lanes[lane];
            on.leaving = if on.changing > 0 { beside.right } else { beside.left };
        }
        on.stopped_at_sign = false;
        on.waited = 0;
    }
    // A ticket is handed back when the tail has left its junction.
    for ticket in &mut on.tickets {
        let Some((_, entry)) = *ticket else { continue };
        let junction = net.lanes[entry].junction;
        let tail = on.s_m - length_m / 2.0 - 0.5;
        let mut at = Some(lane);
        let mut start = 0.0;
        let mut inside = on.next.contains(&entry);
        for back in on.trail {
            if let Some(l) = at {
                inside |= net.lanes[l].junction == junction;
            }
            at = back;
            if tail >= start {
                break;
            }
            start -= back.map_or(0.0, |l| net.lanes[l].length_m);
        }
        if !inside {
            *ticket = None;
        }
    }
    if decision.at_line && next_speed < 0.1 {
        on.waited += 1;
        on.stopped_at_sign |= on.waited > 10;
    }
    // Sideways, towards where it wants to be in the lane.
    let wanted = driver.lateral_offset_m + decision.dodge_m;
    let error = wanted - on.lateral_m;
    let fastest = CHANGE_MPS.min(0.25 * next_speed);
    let rate = (1.2 * error).clamp(-fastest, fastest);
    on.lateral_rate_mps += (rate - on.lateral_rate_mps).clamp(-0.1, 0.1);
    on.lateral_rate_mps = on.lateral_rate_mps.clamp(-fastest, fastest);
    on.lateral_m += on.lateral_rate_mps * TICK_S;
    if (wanted - on.lateral_m).abs() < 1e-4 {
        (on.lateral_m, on.lateral_rate_mps) = (wanted, 0.0);
    }
    if on.changing != 0 && error.abs() < 0.3 {
        on.changing = 0;
    }
    if on.leaving.is_some() && (on.lateral_m - wanted).abs() < 0.4 {
        on.leaving = None;
    }
    look_ahead(net, rules, seed, id, length_m, on);
    let slip = if next_speed > 0.5 { (on.lateral_rate_mps / next_speed).clamp(-0.3, 0.3) } else { 0.0 };
    let (pose, z) = place(net, on, lane, length_m, slip);
    actor.state.pose_in_world = pose;
    actor.state.ground_z_m = z as f32;
    actor.state.speed_mps = next_speed as f32;
    actor.acceleration_mps2 = (next_speed - speed) / TICK_S;
    actor.yaw_rate_radps = wrap_angle(pose.yaw_rad - old.yaw_rad) / TICK_S;
    if actor.state.kind == crate::state::ActorKind::Bicycle {
        let phase = f64::from(actor.state.gait_rad) + step_m * 1.2;
        actor.state.gait_rad = phase.rem_euclid(std::f64::consts::TAU) as f32;
    }
}

/// Indicators and brake lamps of a driver (steady; blinking comes last).
fn signal(rules: &crate::rules::Rules, actor: &mut Actor, decision: &Decision) {
    let on = &actor.on_lanes;
    let mut lamps = 0;
    if decision.acceleration_mps2 < -0.6 || (actor.state.speed_mps < 0.2 && decision.acceleration_mps2 < 0.1) {
        lamps |= Lamps::BRAKE;
    }
    match on.changing {
        1 => lamps |= Lamps::LEFT,
        -1 => lamps |= Lamps::RIGHT,
        _ => {
            let turns = on.lane.into_iter().chain(on.next.iter().copied().take(2)).find_map(|lane| {
                match (rules.lane(lane).approach, rules.lane(lane).turn) {
                    (None, _) => None,
                    (_, turn) => Some(turn),
                }
            });
            lamps |= match turns {
                Some(Turn::Left) => Lamps::LEFT,
                Some(Turn::Right) => Lamps::RIGHT,
                _ => 0,
            };
        }
    }
    actor.state.lamps = Lamps(lamps);
}

/// Blink what blinks, add what is held.
fn lamps(actor: &mut Actor, tick: u32, dark: bool) {
    let steady = match actor.behaviour {
        Behaviour::Lane(_) => actor.state.lamps.0,
        Behaviour::Scripted(_) if actor.acceleration_mps2 < -0.6 => Lamps::BRAKE,
        _ => 0,
    };
    let mut lamps = steady | actor.held_lamps.0;
    let off = (tick + actor.state.id * 3) / BLINK_TICKS % 2 == 1;
    if off {
        lamps &= !(Lamps::LEFT | Lamps::RIGHT | Lamps::EMERGENCY);
    }
    let driven = !matches!(actor.behaviour, Behaviour::Parked | Behaviour::Walk(_));
    if dark && driven && actor.state.kind.is_vehicle() {
        lamps |= Lamps::HEADLIGHTS;
    }
    actor.state.lamps = Lamps(lamps);
}
