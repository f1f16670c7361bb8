//! Lane changes after MOBIL: change when it is safe for the one behind and gains more than it costs others. A lane
//! that ends must be left.

use super::Traffic;
use super::follow::Idm;
use crate::actor::LaneFollowing;
use crate::world::World;
use apprentice_road::{Lane, LaneId};

/// Share of the others' loss that counts.
const POLITENESS: f64 = 0.3;
/// Gain below which nobody bothers, m/s².
const THRESHOLD_MPS2: f64 = 0.25;
/// Hardest braking imposed on the one behind, m/s².
const SAFE_MPS2: f64 = 2.0;
/// A lane that ends within this distance is left as soon as possible, metres.
const MUST_LEAVE_M: f64 = 180.0;

/// Nobody changes on links shorter than this, metres.
const SHORTEST_M: f64 = 25.0;

fn within(spans: &[(f64, f64)], s_m: f64) -> bool {
    spans.iter().any(|&(from, to)| (from..=to).contains(&s_m))
}

/// The lane to change to now, if any, and the side (1: left).
pub(super) fn wanted(
    traffic: &Traffic,
    world: &World,
    index: usize,
    driver: &LaneFollowing,
    lane: LaneId,
    idm: &Idm,
) -> Option<(LaneId, i8)> {
    let net = &world.net;
    let actor = &world.actors[index];
    let on = &actor.on_lanes;
    let here = &net.lanes[lane];
    // One thinks about it once a second, and not near junctions or in the middle of another change.
    if !(world.tick + actor.state.id * 7).is_multiple_of(20)
        || on.changing != 0
        || on.leaving.is_some()
        || on.tickets != [None; 2]
    {
        return None;
    }
    let speed = actor.speed_mps();
    if here.junction.is_some() || speed < 1.5 || here.length_m < SHORTEST_M {
        return None;
    }
    let ends = world.rules.lane(lane).dead_end && here.length_m - on.s_m < MUST_LEAVE_M;
    let quiet_m = if ends { 4.0 } else { 25.0 + speed };
    if here.length_m - on.s_m < quiet_m && (ends || here.successors.iter().any(|&l| net.lanes[l].junction.is_some())) {
        return None;
    }
    let own = traffic.leader(world, index, driver, lane);
    let now = own.map_or(idm.free(speed), |(gap, other)| idm.behind(speed, gap, other));
    let mut best: Option<(f64, LaneId, i8)> = None;
    let sides = [(here.left, &here.change_left_spans, 1), (here.right, &here.change_right_spans, -1)];
    for (target, spans, side) in sides {
        let Some(target) = target else { continue };
        if !within(spans, on.s_m) || net.lanes[target].junction.is_some() || net.lanes[target].length_m < SHORTEST_M {
            continue;
        }
        if world.rules.lane(target).dead_end {
            continue;
        }
        let Some(gain) = gain(traffic, world, index, &net.lanes[target], idm, now) else { continue };
        let gain = gain + if ends { 5.0 } else { 0.0 };
        if gain > THRESHOLD_MPS2 && best.is_none_or(|(g, ..)| gain > g) {
            best = Some((gain, target, side));
        }
    }
    let (_, target, side) = best?;
    // Nobody near may have decided for a change in this same tick.
    let free = traffic.decisions.iter().enumerate().all(|(other, decision)| {
        decision.change.is_none()
            || (world.actors[other].pose().position() - actor.pose().position()).length_squared() > 900.0
    });
    free.then_some((target, side))
}

/// MOBIL's incentive for a change, or `None` where it would not be safe.
fn gain(traffic: &Traffic, world: &World, index: usize, target: &Lane, idm: &Idm, now: f64) -> Option<f64> {
    let actor = &world.actors[index];
    let speed = actor.speed_mps();
    let half = f64::from(actor.state.size_m[0]) / 2.0;
    let (s, lateral) = target.project(actor.pose().position());
    if lateral.abs() > 1.6 * target.at(s).width_m || s < 3.0 || s > target.length_m - 1.0 {
        return None;
    }
    let mut ahead: Option<(f64, f64)> = None;
    let mut behind: Option<(f64, f64)> = None;
    let mut note = |entry_s: f64, half_length: f64, other_speed: f64| {
        if entry_s >= s {
            let gap = entry_s - s - half - half_length;
            if ahead.is_none_or(|(g, _)| gap < g) {
                ahead = Some((gap, other_speed));
            }
        } else {
            let gap = s - entry_s - half - half_length;
            if behind.is_none_or(|(g, _)| gap < g) {
                behind = Some((gap, other_speed));
            }
        }
    };
    for entry in traffic.on_lane(target.id).filter(|e| e.actor != index) {
        note(entry.s_m, entry.half_length_m, entry.speed_mps);
    }
    for &next in &target.successors {
        for entry in traffic.on_lane(next).filter(|e| e.actor != index) {
            note(target.length_m + entry.s_m, entry.half_length_m, entry.speed_mps);
        }
    }
    for &back in &target.predecessors {
        let length = world.net.lanes[back].length_m;
        for entry in traffic.on_lane(back).filter(|e| e.actor != index) {
            note(entry.s_m - length, entry.half_length_m, entry.speed_mps);
        }
    }
    let after = match ahead {
        Some((gap, _)) if gap < 3.0 + 0.4 * speed => return None,
        Some((gap, other)) => idm.behind(speed, gap, other),
        None => idm.free(speed),
    };
    let mut loss = 0.0;
    if let Some((gap, other)) = behind {
        if gap < 3.0 + 0.5 * other {
            return None;
        }
        let follower = Idm { wanted_mps: other.max(5.0), ..*idm };
        let braking = follower.behind(other, gap, speed);
        if braking < -SAFE_MPS2 {
            return None;
        }
        loss = (follower.free(other) - braking).max(0.0);
    }
    (after > -SAFE_MPS2).then_some(after - now - POLITENESS * loss)
}
