//! What the map says about who may go: the control at the end of each approach lane, the places where lanes of a
//! junction meet and who gives way there, and how fast a bend may be taken.

use apprentice_core::wrap_angle;
use apprentice_road::network::{Conflict, ConflictKind};
use apprentice_road::{LaneId, LaneKind, RoadNetwork, SignalKind};
use std::f64::consts::{FRAC_PI_4, PI};

/// What stands at the end of an approach lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryControl {
    /// Nothing.
    Free,
    /// A yield sign.
    Yield,
    /// A stop sign.
    Stop,
    /// A traffic light: index into the network's signals.
    Light(usize),
}

/// Which way a lane inside a junction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Turn {
    Straight,
    Left,
    Right,
}

/// A place where a lane of a junction meets another, seen from one of the two.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// The other lane.
    pub other: LaneId,
    /// Where on this lane, metres.
    pub span_m: (f64, f64),
    /// Where on the other.
    pub other_span_m: (f64, f64),
    /// How they meet.
    pub kind: ConflictKind,
    /// This lane's traffic gives way to the other's.
    pub gives_way: bool,
    /// The other's traffic gives way to this one's.
    pub has_priority: bool,
}

/// Rules of one lane.
#[derive(Clone, Debug)]
pub struct LaneRules {
    /// Control at the lane's end.
    pub control: EntryControl,
    /// Where the front bumper stops for it, metres along the lane.
    pub stop_s_m: f64,
    /// Inside a junction: which way it goes.
    pub turn: Turn,
    /// Inside a junction: the approach lane its traffic comes from.
    pub approach: Option<LaneId>,
    /// Inside a junction: whom it meets.
    pub meetings: Vec<Meeting>,
    /// Every way on from its start ends soon.
    pub dead_end: bool,
    /// Buses and lorries get far from here without a bend too tight for them.
    pub for_long_vehicles: bool,
    /// Highest comfortable speed at each point of the centre line, already falling ahead of bends, m/s.
    caps_mps: Vec<f32>,
}

/// Sideways acceleration in bends, m/s².
const LATERAL_MPS2: f64 = 2.2;
/// Deceleration ahead of bends, m/s².
const AHEAD_OF_BENDS_MPS2: f64 = 1.8;

/// A lane from which every way ends within this distance is a dead end, metres.
const DEAD_END_M: f64 = 200.0;
/// Bends tighter than this are left to short vehicles, metres.
const LONG_VEHICLE_RADIUS_M: f64 = 14.0;
/// How far long vehicles must be able to drive on, metres.
const LONG_WAY_M: f64 = 1500.0;

/// Rules of all lanes of a town.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    lanes: Vec<LaneRules>,
}

impl Rules {
    /// Read them off the map.
    pub fn new(net: &RoadNetwork) -> Self {
        let mut lanes: Vec<LaneRules> = net
            .lanes
            .iter()
            .map(|lane| LaneRules {
                control: EntryControl::Free,
                stop_s_m: lane.length_m - 0.5,
                turn: Turn::Straight,
                approach: None,
                meetings: Vec::new(),
                dead_end: false,
                for_long_vehicles: false,
                caps_mps: Vec::new(),
            })
            .collect();
        for signal in &net.signals {
            let control = match signal.kind {
                SignalKind::TrafficLight => EntryControl::Light(signal.index),
                SignalKind::Stop => EntryControl::Stop,
                SignalKind::Yield => EntryControl::Yield,
                SignalKind::SpeedLimit(_) | SignalKind::Other => continue,
            };
            for line in &signal.stop_lines {
                let rules = &mut lanes[line.lane];
                // A light outranks a stop sign outranks a yield sign; the first of each kind counts.
                let rank = |c: EntryControl| match c {
                    EntryControl::Free => 0,
                    EntryControl::Yield => 1,
                    EntryControl::Stop => 2,
                    EntryControl::Light(_) => 3,
                };
                if rank(control) > rank(rules.control) {
                    rules.control = control;
                    rules.stop_s_m = line.s_m - 0.5;
                }
            }
        }
        for (id, lane) in net.lanes.iter().enumerate() {
            if lane.kind == LaneKind::Driving {
                lanes[id].caps_mps = caps(net, id);
            }
            if lane.junction.is_some() {
                let turn = total_turn(lane);
                lanes[id].turn = match turn {
                    t if t > 0.5 => Turn::Left,
                    t if t < -0.5 => Turn::Right,
                    _ => Turn::Straight,
                };
                lanes[id].approach = approach_of(net, id);
            }
        }
        let mut rules = Self { lanes };
        for junction in &net.junctions {
            for conflict in &junction.conflicts {
                rules.add_conflict(net, conflict);
            }
        }
        rules.mark_dead_ends(net);
        rules
    }

    /// Rules of a lane.
    pub fn lane(&self, lane: LaneId) -> &LaneRules {
        &self.lanes[lane]
    }

    /// Highest comfortable speed at a place of a driving lane, m/s.
    pub fn cap_mps(&self, net: &RoadNetwork, lane: LaneId, s_m: f64) -> f64 {
        let caps = &self.lanes[lane].caps_mps;
        match caps.len() {
            0 => f64::INFINITY,
            n => {
                let i = (s_m.max(0.0) / net.lanes[lane].spacing_m()) as usize;
                f64::from(caps[i.min(n - 1)])
            }
        }
    }

    fn add_conflict(&mut self, net: &RoadNetwork, conflict: &Conflict) {
        let a_gives_way = self.gives_way(net, conflict.a, conflict.b, conflict.kind);
        let b_gives_way = self.gives_way(net, conflict.b, conflict.a, conflict.kind);
        let (a_yields, b_yields) = (a_gives_way && !b_gives_way, b_gives_way && !a_gives_way);
        self.lanes[conflict.a].meetings.push(Meeting {
            other: conflict.b,
            span_m: conflict.a_span_m,
            other_span_m: conflict.b_span_m,
            kind: conflict.kind,
            gives_way: a_yields,
            has_priority: b_yields,
        });
        self.lanes[conflict.b].meetings.push(Meeting {
            other: conflict.a,
            span_m: conflict.b_span_m,
            other_span_m: conflict.a_span_m,
            kind: conflict.kind,
            gives_way: b_yields,
            has_priority: a_yields,
        });
    }

    /// Whether traffic on `mine` gives way to traffic on `other`: signs first, then a left turn to oncoming traffic,
    /// then whoever comes from the right (where no light decides).
    fn gives_way(&self, net: &RoadNetwork, mine: LaneId, other: LaneId, kind: ConflictKind) -> bool {
        if kind == ConflictKind::Diverging {
            return false;
        }
        let control = |lane: LaneId| self.lanes[lane].approach.map_or(EntryControl::Free, |a| self.lanes[a].control);
        let signed = |c: EntryControl| matches!(c, EntryControl::Stop | EntryControl::Yield);
        let (my_control, other_control) = (control(mine), control(other));
        if signed(my_control) != signed(other_control) {
            return signed(my_control);
        }
        let start_yaw = |lane: LaneId| {
            let lane = self.lanes[lane].approach.map_or(&net.lanes[lane], |a| &net.lanes[a]);
            lane.end().yaw_rad
        };
        let turned = wrap_angle(start_yaw(other) - start_yaw(mine));
        if turned.abs() > PI - FRAC_PI_4 {
            // Oncoming: a left turn waits for straight on and right turns.
            return self.lanes[mine].turn == Turn::Left && self.lanes[other].turn != Turn::Left;
        }
        if matches!(my_control, EntryControl::Light(_)) || matches!(other_control, EntryControl::Light(_)) {
            return false;
        }
        // Its heading is turned to the left of mine: it comes from my right.
        turned > FRAC_PI_4
    }

    /// Mark lanes from which every way ends within [`DEAD_END_M`], and those from which long vehicles get far.
    fn mark_dead_ends(&mut self, net: &RoadNetwork) {
        let ways = longest_ways(net, DEAD_END_M, |_| true);
        let roomy: Vec<bool> = net.lanes.iter().map(|lane| tightest_radius_m(lane) > LONG_VEHICLE_RADIUS_M).collect();
        let long_ways = longest_ways(net, LONG_WAY_M, |lane| roomy[lane]);
        for ((rules, way), long_way) in self.lanes.iter_mut().zip(ways).zip(long_ways) {
            rules.dead_end = way < DEAD_END_M - 0.02;
            rules.for_long_vehicles = long_way > LONG_WAY_M - 0.02;
        }
    }
}

/// The longest way on from each lane's start over open lanes, capped.
fn longest_ways(net: &RoadNetwork, cap_m: f64, open: impl Fn(LaneId) -> bool) -> Vec<f64> {
    // It only grows, so a few sweeps settle it.
    let mut way_m = vec![0.0_f64; net.lanes.len()];
    loop {
        let mut changed = false;
        for lane in net.lanes.iter().filter(|l| open(l.id)) {
            let on = lane.successors.iter().map(|&next| way_m[next]).fold(0.0, f64::max);
            let length = (lane.length_m + on).min(cap_m);
            if length > way_m[lane.id] + 0.01 {
                way_m[lane.id] = length;
                changed = true;
            }
        }
        if !changed {
            return way_m;
        }
    }
}

/// The tightest bend of a lane, over about five metres.
fn tightest_radius_m(lane: &apprentice_road::Lane) -> f64 {
    let reach = ((5.0 / lane.spacing_m()).round() as usize).clamp(1, lane.points.len() - 1);
    let turn =
        lane.points.windows(reach + 1).map(|w| wrap_angle(w[reach].yaw_rad - w[0].yaw_rad).abs()).fold(1e-6, f64::max);
    reach as f64 * lane.spacing_m() / turn
}

fn total_turn(lane: &apprentice_road::Lane) -> f64 {
    lane.points.windows(2).map(|w| wrap_angle(w[1].yaw_rad - w[0].yaw_rad)).sum()
}

fn approach_of(net: &RoadNetwork, lane: LaneId) -> Option<LaneId> {
    let mut at = lane;
    for _ in 0..4 {
        at = *net.lanes[at].predecessors.first()?;
        if net.lanes[at].junction.is_none() {
            return Some(at);
        }
    }
    None
}

fn caps(net: &RoadNetwork, id: LaneId) -> Vec<f32> {
    let lane = &net.lanes[id];
    let spacing = lane.spacing_m();
    // Curvature over about four metres, so that single kinks of the map do not count.
    let reach = ((2.0 / spacing).round() as usize).max(1);
    let last = lane.points.len() - 1;
    let mut caps: Vec<f64> = (0..=last)
        .map(|i| {
            let (a, b) = (i.saturating_sub(reach), (i + reach).min(last));
            let turn = wrap_angle(lane.points[b].yaw_rad - lane.points[a].yaw_rad).abs();
            let curvature = turn / ((b - a) as f64 * spacing);
            (LATERAL_MPS2 / curvature.max(1e-4)).sqrt().max(2.5).min(lane.speed_limit_mps.max(2.5))
        })
        .collect();
    // The lane leads into bends, too.
    let into = lane
        .successors
        .iter()
        .filter(|&&next| net.lanes[next].junction.is_none())
        .map(|&next| net.lanes[next].speed_limit_mps)
        .fold(f64::INFINITY, f64::min);
    caps[last] = caps[last].min(into.max(2.5));
    for i in (0..last).rev() {
        caps[i] = caps[i].min((caps[i + 1].powi(2) + 2.0 * AHEAD_OF_BENDS_MPS2 * spacing).sqrt());
    }
    caps.into_iter().map(|c| c as f32).collect()
}
