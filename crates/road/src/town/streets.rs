//! From a street map (nodes, edges, profiles) to roads and junctions with lights, signs and crosswalks.

use super::path::{Path, biarc, rounded};
use super::plan::*;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Pose2, wrap_angle};
use std::f64::consts::{FRAC_PI_2, PI};

/// Gutter between carriageway and sidewalk, metres.
const GUTTER_M: f64 = 0.3;
const SIDEWALK_M: f64 = 2.2;
const PARKING_M: f64 = 2.2;
/// Parking begins this far from a road's ends.
const NO_PARKING_M: f64 = 16.0;
/// Radius of the sidewalk's inner edge at a corner, metres.
const CORNER_M: f64 = 3.5;
/// Lanes may not be changed this close before a junction.
const SOLID_M: f64 = 20.0;

/// The cross-section of a street, the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Profile {
    /// Driving lanes each way.
    pub lanes: usize,
    pub lane_m: f64,
    pub parking: bool,
    /// Half the median's width.
    pub median_m: f64,
    pub sidewalk: bool,
    pub speed_kmh: f64,
    /// Radius of bends.
    pub bend_m: f64,
    pub center: Mark,
}

impl Profile {
    /// Half the width between the outer edges of the outermost driving lanes.
    fn half_m(&self) -> f64 {
        self.median_m + self.lanes as f64 * self.lane_m
    }
    /// Half the width of everything.
    fn outer_m(&self) -> f64 {
        self.half_m() + if self.sidewalk { GUTTER_M + SIDEWALK_M } else { 1.0 }
    }
    /// How many lanes lie between the centre line and the first driving lane.
    fn medians(&self) -> usize {
        usize::from(self.median_m > 0.0)
    }

    /// Lanes of one side, from the centre outward; `approach_at_end` says where this side's traffic meets a
    /// junction (of a road `length` long).
    fn side(&self, length: f64, approach_at_end: bool) -> Vec<LaneDef> {
        let mut out = Vec::new();
        if self.median_m > 0.0 {
            out.push(LaneDef::new("median", self.median_m, CENTER_SOLID));
        }
        for i in 0..self.lanes {
            let mut lane = LaneDef::new("driving", self.lane_m, EDGE);
            if i + 1 < self.lanes {
                lane.marks = if length < 2.5 * SOLID_M {
                    vec![(0.0, LANE_LINE)]
                } else if approach_at_end {
                    vec![(0.0, LANE_LINE), (length - SOLID_M, EDGE)]
                } else {
                    vec![(0.0, EDGE), (SOLID_M, LANE_LINE)]
                };
            } else if self.parking {
                lane.marks = vec![(0.0, PARKING_LINE)];
            }
            out.push(lane);
        }
        if self.parking && length > 2.0 * NO_PARKING_M + 20.0 {
            let mut parking = LaneDef::new("parking", 0.0, NONE);
            let (from, to) = (NO_PARKING_M, length - NO_PARKING_M);
            parking.widths = vec![
                [0.0; 5],
                ease(from, 0.0, PARKING_M, 6.0),
                [from + 6.0, PARKING_M, 0.0, 0.0, 0.0],
                ease(to - 6.0, PARKING_M, 0.0, 6.0),
                [to, 0.0, 0.0, 0.0, 0.0],
            ];
            out.push(parking);
        }
        if self.sidewalk {
            out.push(LaneDef::new("shoulder", GUTTER_M, KERB));
            out.push(LaneDef::new("sidewalk", SIDEWALK_M, NONE));
        } else {
            out.push(LaneDef::new("shoulder", 1.0, NONE));
        }
        out
    }

    /// The sections of a road of this profile.
    pub fn sections(&self, length: f64) -> Vec<Section> {
        let (left, right) = (self.side(length, false), self.side(length, true));
        vec![Section { s: 0.0, center: if self.median_m > 0.0 { NONE } else { self.center }, left, right }]
    }
}

/// Who goes first at a junction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Lights,
    Stop,
    Yield,
    Nothing,
}

/// One way into and out of a junction.
#[derive(Clone, Debug)]
pub(super) struct Arm {
    pub road: usize,
    /// Whether the junction is at the road's end.
    pub at_end: bool,
    /// Where the road meets the junction, heading in.
    pub port: Pose2,
    /// Distances of the incoming lanes' inner edges from the reference line (to the right, heading in), and the
    /// lanes' numbers; innermost first.
    pub incoming: Vec<(f64, i32)>,
    /// The same for outgoing lanes (to the left, heading in).
    pub outgoing: Vec<(f64, i32)>,
    pub lane_m: f64,
    pub sidewalk: bool,
    pub half_m: f64,
    pub speed_kmh: f64,
}

/// Streets between nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct StreetMap {
    pub nodes: Vec<DVec2>,
    pub controls: Vec<Control>,
    pub crosswalks: bool,
    /// (from, to, points between, profile).
    pub edges: Vec<(usize, usize, Vec<DVec2>, Profile)>,
}

impl StreetMap {
    pub fn node(&mut self, x: f64, y: f64, control: Control) -> usize {
        self.nodes.push(DVec2::new(x, y));
        self.controls.push(control);
        self.nodes.len() - 1
    }

    pub fn street(&mut self, from: usize, to: usize, via: Vec<DVec2>, profile: Profile) {
        self.edges.push((from, to, via, profile));
    }

    /// Nodes where only two streets meet become bends of one street.
    fn join_through_nodes(&mut self) {
        while let Some(node) = (0..self.nodes.len()).find(|&n| {
            let here: Vec<_> = self.edges.iter().filter(|e| e.0 == n || e.1 == n).collect();
            here.len() == 2 && here.iter().all(|e| e.0 != e.1)
        }) {
            let mut take = || {
                let at = self.edges.iter().position(|e| e.0 == node || e.1 == node).expect("two edges meet here");
                self.edges.remove(at)
            };
            let (mut first, mut second) = (take(), take());
            if first.0 == node {
                (first.0, first.1) = (first.1, first.0);
                first.2.reverse();
            }
            if second.1 == node {
                (second.0, second.1) = (second.1, second.0);
                second.2.reverse();
            }
            let mut via = first.2;
            via.push(self.nodes[node]);
            via.extend(second.2);
            self.edges.push((first.0, second.1, via, first.3));
        }
    }

    /// Build everything; `extra` arms (ramps) join the junction of their node.
    pub fn build(mut self, plan: &mut Plan, extra: impl FnOnce(&mut Plan) -> Vec<(usize, Arm)>) {
        self.join_through_nodes();
        let extra = extra(plan);
        // (outward direction, edge, at its end) by node.
        let mut around: Vec<Vec<(f64, Profile)>> = vec![Vec::new(); self.nodes.len()];
        for (from, to, via, profile) in &self.edges {
            let ends =
                [(*from, via.first().unwrap_or(&self.nodes[*to])), (*to, via.last().unwrap_or(&self.nodes[*from]))];
            for (node, toward) in ends {
                around[node].push(((*toward - self.nodes[node]).to_angle(), *profile));
            }
        }
        let setback: Vec<f64> = (0..self.nodes.len())
            .map(|n| {
                let mut angles: Vec<f64> = around[n].iter().map(|a| a.0).collect();
                angles.extend(extra.iter().filter(|e| e.0 == n).map(|e| wrap_angle(e.1.port.yaw_rad + PI)));
                setback(&angles, around[n].iter().map(|a| a.1.outer_m()).fold(0.0, f64::max))
            })
            .collect();
        let mut arms: Vec<Vec<Arm>> = vec![Vec::new(); self.nodes.len()];
        for (from, to, via, profile) in &self.edges {
            let mut points = vec![self.nodes[*from]];
            points.extend(via);
            points.push(self.nodes[*to]);
            let last = points.len() - 1;
            let (first, before_last) = (points[1], points[last - 1]);
            points[0] = points[0] + (first - points[0]).normalize() * setback[*from];
            points[last] = points[last] + (before_last - points[last]).normalize() * setback[*to];
            let path = rounded(&points, profile.bend_m);
            let length = path.length();
            let road = plan.fresh();
            let (start, end) = (path.pose(0.0), path.pose(length));
            plan.roads.push(RoadDef::new(road, path, profile.speed_kmh, profile.sections(length)));
            arms[*to].push(arm(road, true, end, profile));
            let start = Pose2::new(start.x, start.y, wrap_angle(start.yaw_rad + PI));
            arms[*from].push(arm(road, false, start, profile));
        }
        for (node, arm) in extra {
            arms[node].push(arm);
        }
        for (node, arms) in arms.into_iter().enumerate() {
            if arms.len() >= 2 {
                junction(plan, arms, self.nodes[node], self.controls[node], self.crosswalks);
            }
        }
    }
}

fn arm(road: usize, at_end: bool, port: Pose2, profile: &Profile) -> Arm {
    let lane = |k: usize, side: i32| {
        let number = (k + 1 + profile.medians()) as i32 * side;
        (profile.median_m + k as f64 * profile.lane_m, number)
    };
    let (into, out) = if at_end { (-1, 1) } else { (1, -1) };
    Arm {
        road,
        at_end,
        port,
        incoming: (0..profile.lanes).map(|k| lane(k, into)).collect(),
        outgoing: (0..profile.lanes).map(|k| lane(k, out)).collect(),
        lane_m: profile.lane_m,
        sidewalk: profile.sidewalk,
        half_m: profile.half_m(),
        speed_kmh: profile.speed_kmh,
    }
}

/// How far from the node the roads end.
fn setback(angles: &[f64], outer_m: f64) -> f64 {
    let mut sorted = angles.to_vec();
    sorted.sort_by(f64::total_cmp);
    let gap = |i: usize| (sorted[(i + 1) % sorted.len()] - sorted[i]).rem_euclid(2.0 * PI);
    let narrowest = (0..sorted.len()).map(gap).filter(|g| *g > 0.1).fold(FRAC_PI_2, f64::min);
    (outer_m + CORNER_M) / (narrowest / 2.0).tan()
}

/// Connect the arms of a junction.
pub(super) fn junction(plan: &mut Plan, mut arms: Vec<Arm>, center: DVec2, control: Control, crosswalks: bool) {
    let outward = |arm: &Arm| wrap_angle(arm.port.yaw_rad + PI);
    arms.sort_by(|a, b| outward(a).total_cmp(&outward(b)));
    let id = plan.fresh();
    let mut connections = Vec::new();
    // Connecting roads by arm.
    let mut inside: Vec<Vec<usize>> = vec![Vec::new(); arms.len()];
    for a in 0..arms.len() {
        let turn = |b: usize| wrap_angle(arms[b].port.yaw_rad + PI - arms[a].port.yaw_rad);
        let exits: Vec<usize> =
            (1..arms.len()).map(|k| (a + k) % arms.len()).filter(|&b| !arms[b].outgoing.is_empty()).collect();
        let straight_on = exits.iter().any(|&b| turn(b).abs() < 0.9);
        for (k, &(inner, from_lane)) in arms[a].incoming.iter().enumerate() {
            let last = arms[a].incoming.len() - 1;
            for &b in &exits {
                let top = arms[b].outgoing.len() - 1;
                let target = if turn(b) > 0.9 {
                    (k == 0 || (!straight_on && k < last)).then_some(k.min(top))
                } else if turn(b) < -0.9 {
                    (k == last).then_some(top)
                } else {
                    // The right edge leads on: surplus lanes open or merge on the left.
                    Some((k + top).saturating_sub(last).min(top))
                };
                let Some(target) = target else { continue };
                let (exit_inner, to_lane) = arms[b].outgoing[target];
                let from = arms[a].port.offset(0.0, -inner);
                let out = Pose2::new(arms[b].port.x, arms[b].port.y, outward(&arms[b])).offset(0.0, -exit_inner);
                let path = biarc(from, out);
                let road = plan.fresh();
                let corner = b == (a + 1) % arms.len() && k == last && target == top;
                let lanes = inside_lanes(&path, &arms[a], &arms[b], corner);
                let speed = arms[a].speed_kmh.min(arms[b].speed_kmh).min(40.0);
                let mut def = RoadDef::new(
                    road,
                    path,
                    speed,
                    vec![Section { s: 0.0, center: NONE, left: Vec::new(), right: lanes }],
                );
                def.junction = Some(id);
                def.predecessor = Some(Link::Road { id: arms[a].road, at_end: arms[a].at_end });
                def.successor = Some(Link::Road { id: arms[b].road, at_end: arms[b].at_end });
                def.sections[0].right[0].predecessor = Some(from_lane);
                def.sections[0].right[0].successor = Some(to_lane);
                plan.roads.push(def);
                inside[a].push(road);
                connections.push(Connection {
                    incoming: arms[a].road,
                    connecting: road,
                    at_start: true,
                    links: vec![(from_lane, -1)],
                });
            }
        }
    }
    for arm in &arms {
        let road = plan.road(arm.road);
        *(if arm.at_end { &mut road.successor } else { &mut road.predecessor }) = Some(Link::Junction(id));
    }
    let minor = minor_arms(&arms);
    let mut controllers = Vec::new();
    match control {
        Control::Lights => controllers = lights(plan, &arms, &inside, center, &minor),
        Control::Stop | Control::Yield => {
            let (name, kind) = if control == Control::Stop { ("Sign_Stop", "206") } else { ("Sign_Yield", "205") };
            for (arm, _) in arms.iter().zip(&minor).filter(|(arm, minor)| **minor && !arm.incoming.is_empty()) {
                sign(plan, arm, name, kind);
            }
        }
        Control::Nothing => {}
    }
    if crosswalks && control != Control::Nothing {
        for arm in arms.iter().filter(|a| a.sidewalk) {
            let id = plan.fresh();
            let road = plan.road(arm.road);
            let s = if arm.at_end { road.path.length() - 3.0 } else { 3.0 };
            road.crosswalks.push(CrosswalkDef { id, s, left: arm.half_m, right: arm.half_m, depth: 3.0 });
        }
    }
    plan.junctions.push(JunctionDef { id, connections, controllers });
}

/// The lane of a connecting road; at a corner with gutter and sidewalk.
fn inside_lanes(path: &Path, from: &Arm, to: &Arm, corner: bool) -> Vec<LaneDef> {
    let mut lane = LaneDef::new("driving", from.lane_m, NONE);
    if (from.lane_m - to.lane_m).abs() > 1e-9 {
        lane.widths = vec![ease(0.0, from.lane_m, to.lane_m, path.length())];
    }
    let mut out = vec![lane];
    if corner && from.sidewalk && to.sidewalk {
        out.push(LaneDef::new("shoulder", GUTTER_M, KERB));
        out.push(LaneDef::new("sidewalk", SIDEWALK_M, NONE));
    }
    out
}

/// Arms that are not part of the straightest way through.
fn minor_arms(arms: &[Arm]) -> Vec<bool> {
    let mut best = (f64::INFINITY, 0, 0);
    for a in 0..arms.len() {
        for b in a + 1..arms.len() {
            let bend = wrap_angle(arms[a].port.yaw_rad - arms[b].port.yaw_rad + PI).abs();
            // Wider streets go first.
            let value = bend - 0.3 * (arms[a].half_m + arms[b].half_m);
            if value < best.0 {
                best = (value, a, b);
            }
        }
    }
    (0..arms.len()).map(|i| i != best.1 && i != best.2).collect()
}

/// A stop or yield sign beside the end of an arm.
fn sign(plan: &mut Plan, arm: &Arm, name: &'static str, kind: &'static str) {
    let id = plan.fresh();
    let first = arm.incoming.iter().map(|l| l.1).min().unwrap_or(0);
    let last = arm.incoming.iter().map(|l| l.1).max().unwrap_or(0);
    let road = plan.road(arm.road);
    let length = road.path.length();
    let beside = arm.half_m + GUTTER_M + 0.7;
    let (s, t) = if arm.at_end { (length - 1.0, -beside) } else { (1.0, beside) };
    road.signals.push(SignalDef {
        id,
        name,
        kind,
        dynamic: false,
        s,
        t,
        z: 1.9,
        along: arm.at_end,
        h_offset: 0.0,
        lanes: (first, last),
        value: -1.0,
    });
}

/// A light for every arm, across the junction on the right; opposite arms share a phase.
fn lights(plan: &mut Plan, arms: &[Arm], inside: &[Vec<usize>], center: DVec2, minor: &[bool]) -> Vec<usize> {
    let mut phases: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
    let everywhere: Vec<usize> = inside.iter().flatten().copied().chain(arms.iter().map(|a| a.road)).collect();
    for (a, arm) in arms.iter().enumerate().filter(|(_, arm)| !arm.incoming.is_empty()) {
        let inward = Pose2::new(center.x, center.y, arm.port.yaw_rad);
        let across = arms.iter().find(|b| wrap_angle(b.port.yaw_rad - arm.port.yaw_rad + PI).abs() < 0.9);
        let (ahead, right) = match across {
            Some(b) => (inward.to_local(b.port.position()).x + 0.8, b.half_m + GUTTER_M + 0.8),
            None => (arms.iter().map(|b| b.half_m).fold(0.0, f64::max) + GUTTER_M + 0.8, 1.5),
        };
        let place = inward.to_parent(DVec2::new(ahead, -right));
        let Some((road, s, t)) = host(plan, &everywhere, place) else { continue };
        let id = plan.fresh();
        let h_offset = wrap_angle(arm.port.yaw_rad - plan.road(road).path.pose(s).yaw_rad);
        plan.road(road).signals.push(SignalDef {
            id,
            name: "Signal_3Light_Post01",
            kind: "1000001",
            dynamic: true,
            s,
            t,
            z: 3.6,
            along: true,
            h_offset,
            lanes: (0, 0),
            value: -1.0,
        });
        for &connecting in &inside[a] {
            plan.road(connecting).references.push(id);
        }
        phases[usize::from(minor[a])].push(id);
    }
    let mut controllers = Vec::new();
    for signals in phases.into_iter().filter(|p| !p.is_empty()) {
        let id = plan.fresh();
        plan.controllers.push(ControllerDef { id, signals });
        controllers.push(id);
    }
    controllers
}

/// The road in whose coordinates a place is best told: (road, s, t).
fn host(plan: &mut Plan, roads: &[usize], place: DVec2) -> Option<(usize, f64, f64)> {
    let mut best: Option<(f64, usize, f64, f64)> = None;
    for &road in roads {
        let path = &plan.road(road).path;
        let (s, t) = path.project(place);
        let told = path.pose(s).offset(0.0, t).position();
        let cost = (told - place).length() * 100.0 + t.abs();
        if best.is_none_or(|b| cost < b.0) {
            best = Some((cost, road, s, t));
        }
    }
    best.map(|(_, road, s, t)| (road, s, t))
}
