//! Junctions: who may enter, and who waits for whom inside.
//!
//! Whoever comes near a junction asks for a ticket. It is granted when the light or sign allows, when those with
//! priority leave a gap (their arrival is later than one's own departure, or the other way round), when those with
//! a ticket will have passed, and when there is room behind the junction. Inside, an older ticket always goes first:
//! a total order, so nobody waits in a circle.

use super::follow::{position_on, time_to_cover_s};
use super::{EGO, Traffic};
use crate::actor::{Actor, Behaviour, LaneFollowing, OnLanes};
use crate::rules::{EntryControl, Meeting};
use crate::state::{EGO_SIZE_M, LightAspect};
use crate::world::World;
use apprentice_road::{ConflictKind, LaneId, RoadNetwork};

/// Somebody on the way to a junction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Approach {
    pub actor: usize,
    /// First lane inside.
    pub entry: LaneId,
    /// Lane that leads in.
    pub from: LaneId,
    /// Front bumper to stop line, metres.
    pub line_gap_m: f64,
    /// Front bumper to the beginning of `entry`, metres.
    pub entry_gap_m: f64,
    pub speed_mps: f64,
}

/// Somebody with the right to be inside.
#[derive(Clone, Copy, Debug)]
struct Holder {
    actor: usize,
    sequence: u64,
    entry: LaneId,
    half_length_m: f64,
    speed_mps: f64,
}

/// Everybody near junctions at this tick.
#[derive(Default)]
pub(crate) struct Junctions {
    approaches: Vec<Approach>,
    holders: Vec<Holder>,
    candidates: Vec<usize>,
    /// Index into `approaches`, by actor.
    of_actor: Vec<Option<usize>>,
    /// The ego's lane inside a junction and its centre's place on it.
    ego_inside: Option<(LaneId, f64)>,
}

/// Lanes ahead are searched this far, metres.
const SIGHT_M: f64 = 80.0;

/// List everybody near junctions.
pub(super) fn list(world: &World, junctions: &mut Junctions) {
    junctions.approaches.clear();
    junctions.holders.clear();
    junctions.of_actor.clear();
    junctions.of_actor.resize(world.actors.len(), None);
    let net = &world.net;
    for (index, actor) in world.actors.iter().enumerate() {
        let (Behaviour::Lane(_), Some(lane)) = (&actor.behaviour, actor.on_lanes.lane) else { continue };
        let half_length_m = f64::from(actor.state.size_m[0]) / 2.0;
        let speed_mps = actor.speed_mps();
        let on = &actor.on_lanes;
        let inside = net.lanes[lane].junction.is_some();
        for (sequence, entry) in on.tickets.into_iter().flatten() {
            junctions.holders.push(Holder { actor: index, sequence, entry, half_length_m, speed_mps });
        }
        if inside && on.tickets == [None; 2] {
            junctions.holders.push(Holder { actor: index, sequence: 0, entry: lane, half_length_m, speed_mps });
        }
        if let Some(approach) = approach(world, index, on, lane, half_length_m, speed_mps) {
            junctions.of_actor[index] = Some(junctions.approaches.len());
            junctions.approaches.push(approach);
        }
    }
    list_ego(world, junctions);
}

fn approach(
    world: &World,
    actor: usize,
    on: &OnLanes,
    lane: LaneId,
    half_length_m: f64,
    speed_mps: f64,
) -> Option<Approach> {
    let net = &world.net;
    let mut to_end = net.lanes[lane].length_m - on.s_m - half_length_m;
    let mut from = lane;
    for &next in &on.next {
        if to_end > SIGHT_M {
            return None;
        }
        if net.lanes[next].junction.is_some() && net.lanes[from].junction.is_none() {
            let line_gap_m = to_end - (net.lanes[from].length_m - world.rules.lane(from).stop_s_m);
            return Some(Approach { actor, entry: next, from, line_gap_m, entry_gap_m: to_end, speed_mps });
        }
        to_end += net.lanes[next].length_m;
        from = next;
    }
    None
}

fn list_ego(world: &World, junctions: &mut Junctions) {
    junctions.ego_inside = None;
    if world.route_lateral_m().abs() > 4.0 {
        return;
    }
    let points = &world.route.points;
    let center = world.ego.footprint().center.position();
    let begin = (world.route_progress_m() as usize).min(points.len().saturating_sub(1));
    let speed_mps = world.ego.speed_mps;
    let half_length_m = EGO_SIZE_M[0] / 2.0;
    if points[begin].in_junction {
        let lane = points[begin].lane;
        let (s_m, _) = world.net.lanes[lane].project(center);
        junctions.ego_inside = Some((lane, s_m));
        junctions.holders.push(Holder { actor: EGO, sequence: 0, entry: lane, half_length_m, speed_mps });
        return;
    }
    let far = (begin + SIGHT_M as usize).min(points.len());
    if let Some(i) = (begin + 1..far).find(|&i| points[i].in_junction) {
        let entry_gap_m = points[i].s_m - world.route_progress_m() - half_length_m;
        let from = points[i - 1].lane;
        let entry = points[i].lane;
        junctions.approaches.push(Approach {
            actor: EGO,
            entry,
            from,
            line_gap_m: entry_gap_m - 1.0,
            entry_gap_m,
            speed_mps,
        });
    }
}

/// Lanes inside the junction that begin with `entry`, as an actor will drive them, each with the distance of its
/// beginning from the beginning of `entry`.
fn inside<'a>(net: &'a RoadNetwork, on: &'a OnLanes, entry: LaneId) -> impl Iterator<Item = (LaneId, f64)> + 'a {
    let ahead = on.next.iter().position(|&l| l == entry).map_or(0, |i| i + 1);
    let rest = on.next[ahead..].iter().copied().take_while(|&l| net.lanes[l].junction.is_some());
    std::iter::once(entry).chain(rest).scan(0.0, |start, lane| {
        let begins = *start;
        *start += net.lanes[lane].length_m;
        Some((lane, begins))
    })
}

/// The first lane behind the junction.
fn exit(net: &RoadNetwork, on: &OnLanes, entry: LaneId) -> Option<LaneId> {
    let ahead = on.next.iter().position(|&l| l == entry).map_or(0, |i| i + 1);
    on.next[ahead..].iter().copied().find(|&l| net.lanes[l].junction.is_none())
}

impl Junctions {
    /// Where a holder's centre is in the coordinates of a lane, if that lane is on its way.
    fn holder_on(&self, world: &World, holder: &Holder, lane: LaneId) -> Option<f64> {
        if holder.actor == EGO {
            self.ego_inside.filter(|(on, _)| *on == lane).map(|(_, s)| s)
        } else if world.net.lanes[holder.entry].junction == world.net.lanes[lane].junction {
            position_on(&world.net, &world.actors[holder.actor].on_lanes, lane)
        } else {
            None
        }
    }

    /// Somebody on the way to a junction, by actor.
    pub fn approach_of(&self, actor: usize) -> Option<&Approach> {
        self.of_actor.get(actor).copied().flatten().map(|i| &self.approaches[i])
    }
}

/// Grant tickets. Who has waited longest asks first.
pub(super) fn admit(traffic: &mut Traffic, world: &World) {
    let mut candidates = std::mem::take(&mut traffic.junctions.candidates);
    candidates.clear();
    candidates.extend((0..traffic.junctions.approaches.len()).filter(|&i| {
        let approach = &traffic.junctions.approaches[i];
        let speed = approach.speed_mps;
        approach.actor != EGO
            && world.actors[approach.actor].on_lanes.ticket_for(approach.entry).is_none()
            && world.actors[approach.actor].on_lanes.tickets.contains(&None)
            && approach.line_gap_m < 6.0 + 2.0 * speed + speed * speed / 5.0
    }));
    candidates.sort_unstable_by(|&a, &b| {
        let key = |i: usize| {
            let approach = &traffic.junctions.approaches[i];
            (u32::MAX - world.actors[approach.actor].on_lanes.waited, approach.actor)
        };
        key(a).cmp(&key(b))
    });
    for &candidate in &candidates {
        let approach = traffic.junctions.approaches[candidate];
        let actor = &world.actors[approach.actor];
        let Behaviour::Lane(driver) = &actor.behaviour else { continue };
        if follows(traffic, world, &approach) {
            continue;
        }
        if may_enter(traffic, world, actor, driver, &approach) {
            let sequence = traffic.tickets;
            traffic.tickets += 1;
            traffic.decisions[approach.actor].admitted = Some((sequence, approach.entry));
            traffic.junctions.holders.push(Holder {
                actor: approach.actor,
                sequence,
                entry: approach.entry,
                half_length_m: f64::from(actor.state.size_m[0]) / 2.0,
                speed_mps: approach.speed_mps,
            });
        }
    }
    traffic.junctions.candidates = candidates;
}

/// Whether somebody without a ticket is ahead on the same approach lane.
fn follows(traffic: &Traffic, world: &World, approach: &Approach) -> bool {
    traffic.junctions.approaches.iter().any(|other| {
        other.from == approach.from
            && other.actor != approach.actor
            && other.entry_gap_m < approach.entry_gap_m
            && (other.actor == EGO
                || (world.actors[other.actor].on_lanes.ticket_for(other.entry).is_none()
                    && traffic.decisions[other.actor].admitted.is_none()))
    })
}

/// Whether a light lets somebody pass who is `gap_m` from its line.
fn light_allows(aspect: LightAspect, gap_m: f64, speed_mps: f64) -> bool {
    match aspect {
        LightAspect::Green | LightAspect::Off => true,
        LightAspect::Yellow => gap_m < speed_mps * speed_mps / 8.0,
        LightAspect::Red => false,
    }
}

fn may_enter(traffic: &Traffic, world: &World, actor: &Actor, driver: &LaneFollowing, approach: &Approach) -> bool {
    match world.rules.lane(approach.from).control {
        EntryControl::Light(signal)
            if !driver.ignore_lights
                && !light_allows(world.lights()[signal], approach.line_gap_m, approach.speed_mps) =>
        {
            return false;
        }
        EntryControl::Stop if !driver.ignore_priority && !actor.on_lanes.stopped_at_sign => return false,
        _ => {}
    }
    if driver.ignore_priority || driver.ignore_others {
        return true;
    }
    let net = &world.net;
    let on = &actor.on_lanes;
    let length_m = f64::from(actor.state.size_m[0]);
    let top = 9.0_f64.min(world.rules.cap_mps(net, approach.entry, net.lanes[approach.entry].length_m / 2.0));
    let arrival = |ahead_m: f64| time_to_cover_s(approach.entry_gap_m + ahead_m, approach.speed_mps, 1.6, top);
    for (lane, begins) in inside(net, on, approach.entry) {
        for meeting in world.rules.lane(lane).meetings.iter().filter(|m| m.kind != ConflictKind::Diverging) {
            let in_s = arrival(begins + meeting.span_m.0);
            let out_s = arrival(begins + meeting.span_m.1 + length_m);
            if !holders_pass(traffic, world, approach.actor, meeting, in_s)
                || (meeting.gives_way && !gap_is_enough(traffic, world, actor, driver, meeting, in_s, out_s))
            {
                return false;
            }
        }
    }
    room_behind(traffic, world, on, approach.entry, length_m)
}

/// Whether everybody with a ticket will have passed a meeting place by `in_s`.
fn holders_pass(traffic: &Traffic, world: &World, me: usize, meeting: &Meeting, in_s: f64) -> bool {
    traffic.junctions.holders.iter().filter(|h| h.actor != me).all(|holder| {
        let Some(place) = traffic.junctions.holder_on(world, holder, meeting.other) else { return true };
        let clears_m = meeting.other_span_m.1 + holder.half_length_m - place;
        if clears_m < 0.0 {
            return true;
        }
        if ego_stands(holder) {
            return true;
        }
        time_to_cover_s(clears_m, holder.speed_mps, 1.0, holder.speed_mps.max(6.0)) < in_s + 0.3
    })
}

/// The ego that stands leaves the place to the others; where it stands in somebody's way, they see it there.
fn ego_stands(holder: &Holder) -> bool {
    holder.actor == EGO && holder.speed_mps < 0.3
}

/// Whether those with priority at a meeting place leave a gap.
fn gap_is_enough(
    traffic: &Traffic,
    world: &World,
    actor: &Actor,
    driver: &LaneFollowing,
    meeting: &Meeting,
    in_s: f64,
    out_s: f64,
) -> bool {
    traffic.junctions.approaches.iter().all(|other| {
        if other.actor == EGO && driver.ignore_ego {
            return true;
        }
        let (begins, length_m) = if other.actor == EGO {
            (if other.entry == meeting.other { Some(0.0) } else { None }, EGO_SIZE_M[0])
        } else {
            let them = &world.actors[other.actor];
            if std::ptr::eq(them, actor) || them.on_lanes.ticket_for(other.entry).is_some() {
                return true;
            }
            let begins = inside(&world.net, &them.on_lanes, other.entry).find(|(l, _)| *l == meeting.other);
            (begins.map(|(_, b)| b), f64::from(them.state.size_m[0]))
        };
        let Some(begins) = begins else { return true };
        if let EntryControl::Light(signal) = world.rules.lane(other.from).control
            && world.lights()[signal] == LightAspect::Red
        {
            return true;
        }
        // Somebody who does not use their priority loses it after a while.
        if other.speed_mps < 0.5 && actor.on_lanes.waited > 120 {
            return true;
        }
        let top = world.net.lanes[other.from].speed_limit_mps.max(other.speed_mps);
        let reach = |m: f64| time_to_cover_s(other.entry_gap_m + begins + m, other.speed_mps, 0.8, top);
        let their_in_s = reach(meeting.other_span_m.0);
        let their_out_s = reach(meeting.other_span_m.1 + length_m);
        out_s + 1.0 < their_in_s || (other.speed_mps > 2.0 && their_out_s + 0.5 < in_s)
    })
}

/// Whether there is room behind the junction for one more.
fn room_behind(traffic: &Traffic, world: &World, on: &OnLanes, entry: LaneId, length_m: f64) -> bool {
    let net = &world.net;
    let Some(behind) = exit(net, on, entry) else { return true };
    let position = on.next.iter().position(|&l| l == behind).unwrap_or(0);
    let mut free = 0.0;
    for &lane in on.next[position..].iter().take(3) {
        let slow = traffic.on_lane(lane).find(|e| e.speed_mps < 2.5);
        match slow {
            Some(entry) => {
                free += entry.s_m - entry.half_length_m;
                break;
            }
            None => free += net.lanes[lane].length_m,
        }
        if free > 60.0 {
            return true;
        }
    }
    let reserved: f64 = traffic
        .junctions
        .holders
        .iter()
        .filter(|h| h.actor != EGO)
        .filter(|h| {
            let them = &world.actors[h.actor].on_lanes;
            them.lane != Some(behind) && them.next.contains(&behind) && exit(net, them, h.entry) == Some(behind)
        })
        .map(|h| 2.0 * h.half_length_m + 2.5)
        .sum();
    free - reserved > length_m + 2.5
}

/// Distance from the front bumper to where actor `index` has to stop because of a junction.
pub(super) fn stop_gap_m(
    traffic: &mut Traffic,
    world: &World,
    index: usize,
    driver: &LaneFollowing,
    lane: LaneId,
) -> Option<f64> {
    let actor = &world.actors[index];
    let approach = traffic.junctions.approach_of(index).copied();
    let held = |entry: LaneId| {
        let fresh = traffic.decisions[index].admitted.filter(|(_, lane)| *lane == entry);
        fresh.or_else(|| actor.on_lanes.ticket_for(entry))
    };
    let ticket = approach.and_then(|a| held(a.entry));
    let inside_now = world.net.lanes[lane].junction;
    // The ticket of the junction it is in.
    let inside_ticket = inside_now.map(|junction| {
        let of = |entry: LaneId| world.net.lanes[entry].junction == Some(junction);
        actor.on_lanes.tickets.iter().flatten().find(|(_, entry)| of(*entry)).copied().unwrap_or((1, lane))
    });
    let mut gap: Option<f64> = None;
    if let Some(approach) = approach {
        let held = ticket.is_some();
        if !held && approach.entry_gap_m > 0.0 {
            gap = Some(if approach.line_gap_m > -1.5 { approach.line_gap_m } else { approach.entry_gap_m });
        } else if held
            && !driver.ignore_lights
            && let EntryControl::Light(signal) = world.rules.lane(approach.from).control
        {
            let speed = approach.speed_mps;
            let aspect = world.lights()[signal];
            let stoppable = approach.line_gap_m > 0.5 + speed * speed / 7.0;
            if matches!(aspect, LightAspect::Red | LightAspect::Yellow) && stoppable {
                traffic.decisions[index].revoked = Some(approach.entry);
                traffic.decisions[index].admitted = None;
                gap = Some(approach.line_gap_m);
            }
        }
    }
    if driver.ignore_priority || driver.ignore_others {
        return gap;
    }
    for (sequence, entry) in inside_ticket.into_iter().chain(ticket) {
        if let Some(wait) = wait_inside_m(traffic, world, index, sequence, entry) {
            gap = Some(gap.map_or(wait, |g: f64| g.min(wait)));
        }
    }
    gap
}

/// Distance to the first meeting place that somebody with an older ticket has not passed yet.
fn wait_inside_m(traffic: &Traffic, world: &World, index: usize, sequence: u64, entry: LaneId) -> Option<f64> {
    let net = &world.net;
    let on = &world.actors[index].on_lanes;
    let half = f64::from(world.actors[index].state.size_m[0]) / 2.0;
    let lane = on.lane?;
    let first = if net.lanes[lane].junction == net.lanes[entry].junction { lane } else { entry };
    let mut gap: Option<f64> = None;
    for (lane, _) in inside(net, on, first) {
        let Some(center) = position_on(net, on, lane) else { continue };
        let front = center + half;
        for meeting in &world.rules.lane(lane).meetings {
            if center - half > meeting.span_m.1 {
                continue;
            }
            for holder in &traffic.junctions.holders {
                if holder.actor == index || holder.sequence >= sequence {
                    continue;
                }
                let Some(place) = traffic.junctions.holder_on(world, holder, meeting.other) else { continue };
                if ego_stands(holder) && meeting.kind != ConflictKind::Diverging {
                    continue;
                }
                let tail = place - holder.half_length_m;
                let rolls_m = holder.speed_mps * holder.speed_mps / 7.0;
                let found = match meeting.kind {
                    ConflictKind::Diverging => {
                        (tail < meeting.other_span_m.1 && place > center).then_some(tail - front + rolls_m - 1.5)
                    }
                    ConflictKind::Merging => {
                        let length = net.lanes[meeting.other].length_m;
                        let behind = (net.lanes[lane].length_m - center) - (length - place);
                        if tail > length || front > net.lanes[lane].length_m {
                            // It is out, or one's own nose is already where both lead.
                            None
                        } else if behind > 0.0 {
                            Some(behind - holder.half_length_m - half + rolls_m - 1.5)
                        } else {
                            (front < meeting.span_m.0 + 0.5).then_some(meeting.span_m.0 - 0.8 - front)
                        }
                    }
                    ConflictKind::Crossing => (tail < meeting.other_span_m.1 + 0.3 && front < meeting.span_m.0 + 0.5)
                        .then_some(meeting.span_m.0 - 0.8 - front),
                };
                if let Some(found) = found {
                    gap = Some(gap.map_or(found, |g: f64| g.min(found)));
                }
            }
        }
    }
    gap
}
