//! A motorway ring with an off-ramp and an on-ramp that meet a street.
//!
//! Right-hand lanes run round the ring counter-clockwise; the ramps leave and join at its outer side, at the
//! bottom straight. Seen along the traffic: a lane opens, becomes the off-ramp; the on-ramp becomes a fourth
//! lane that ends after a taper.

use super::path::{Path, Segment, biarc};
use super::plan::*;
use super::streets::{Arm, Control, Profile, StreetMap, junction};
use apprentice_core::geometry::DVec2;
use apprentice_core::{Pose2, Rng, wrap_angle};
use std::f64::consts::{FRAC_PI_2, PI};

const LANE_M: f64 = 3.6;
const MEDIAN_M: f64 = 1.2;
const SHOULDER_M: f64 = 2.0;
/// Length of a full auxiliary lane, and of its taper.
const AUXILIARY_M: f64 = 120.0;
const TAPER_M: f64 = 45.0;
/// Length of the splitting and joining places.
const GORE_M: f64 = 16.0;

/// Lanes of one direction: the median, three lanes, perhaps a fourth (its width records), the shoulder.
fn side(fourth: Option<Vec<[f64; 5]>>) -> Vec<LaneDef> {
    let mut out = vec![LaneDef::new("median", MEDIAN_M, CENTER_SOLID)];
    for k in 0..3 {
        let mark = if k < 2 || fourth.is_some() { LANE_LINE } else { EDGE };
        out.push(LaneDef::new("driving", LANE_M, mark));
    }
    if let Some(widths) = fourth {
        let mut lane = LaneDef::new("driving", 0.0, EDGE);
        lane.widths = widths;
        out.push(lane);
    }
    out.push(LaneDef::new("shoulder", SHOULDER_M, NONE));
    out
}

/// Number of lanes per direction outside the auxiliary stretches, with median and shoulder.
const LANES: i32 = 5;

/// Give a section's lanes links to the lanes of the section or road before and after. Lane numbers map to
/// themselves, except that the shoulder is wherever it is.
fn link(sections: &mut [Section]) {
    for k in 0..sections.len() {
        let right = sections[k].right.len() as i32;
        let neighbour = |other: Option<i32>, number: i32| -> Option<i32> {
            let other = other?;
            if number == -right {
                Some(-other)
            } else if -number < other {
                Some(number)
            } else {
                // The fourth lane ends or begins beside the third.
                Some(number + 1)
            }
        };
        let before = (k > 0).then(|| sections[k - 1].right.len() as i32);
        let after = sections.get(k + 1).map(|s| s.right.len() as i32);
        for (i, lane) in sections[k].right.iter_mut().enumerate() {
            let number = -(i as i32) - 1;
            lane.predecessor = neighbour(before, number);
            lane.successor = neighbour(after, number);
        }
        let (first, last) = (k == 0, k + 1 == sections.len());
        for (i, lane) in sections[k].left.iter_mut().enumerate() {
            let number = i as i32 + 1;
            lane.predecessor = (!first).then_some(number);
            lane.successor = (!last).then_some(number);
        }
    }
}

/// A short road inside a junction that carries all through lanes, both ways.
fn through(plan: &mut Plan, junction: usize, path: Path, from: usize, to: usize, kmh: f64) -> (usize, Vec<Connection>) {
    let id = plan.fresh();
    let mut left = side(None);
    let mut right = side(None);
    // The shoulder's number differs where there is a fourth lane: it is left without links.
    for (lanes, sign) in [(&mut left, 1), (&mut right, -1)] {
        for (i, lane) in lanes.iter_mut().enumerate().filter(|(_, l)| l.kind == "driving") {
            let number = sign * (i as i32 + 1);
            (lane.predecessor, lane.successor) = (Some(number), Some(number));
        }
    }
    let mut road = RoadDef::new(id, path, kmh, vec![Section { s: 0.0, center: NONE, left, right }]);
    road.junction = Some(junction);
    road.predecessor = Some(Link::Road { id: from, at_end: true });
    road.successor = Some(Link::Road { id: to, at_end: false });
    plan.roads.push(road);
    let numbers = 2..LANES;
    let forward = Connection {
        incoming: from,
        connecting: id,
        at_start: true,
        links: numbers.clone().map(|n| (-n, -n)).collect(),
    };
    let back = Connection { incoming: to, connecting: id, at_start: false, links: numbers.map(|n| (n, n)).collect() };
    (id, vec![forward, back])
}

/// One lane inside a junction.
fn single(
    plan: &mut Plan,
    junction: usize,
    path: Path,
    from: (usize, i32),
    to: (usize, i32),
    width_m: f64,
    kmh: f64,
) -> Connection {
    let id = plan.fresh();
    let mut lane = LaneDef::new("driving", width_m, NONE);
    (lane.predecessor, lane.successor) = (Some(from.1), Some(to.1));
    let mut road =
        RoadDef::new(id, path, kmh, vec![Section { s: 0.0, center: NONE, left: Vec::new(), right: vec![lane] }]);
    road.junction = Some(junction);
    road.predecessor = Some(Link::Road { id: from.0, at_end: true });
    road.successor = Some(Link::Road { id: to.0, at_end: false });
    plan.roads.push(road);
    Connection { incoming: from.0, connecting: id, at_start: true, links: vec![(from.1, -1)] }
}

/// Build the town.
pub(super) fn build(plan: &mut Plan, rng: &mut Rng) {
    let kmh = if rng.chance(0.5) { 90.0 } else { 100.0 };
    let radius = rng.range(85.0, 110.0);
    let half = AUXILIARY_M + TAPER_M + rng.range(100.0, 120.0);
    let gap = rng.range(70.0, 90.0);
    // Bottom straight along +x at y = 0; the ring's inside is up.
    let line = |x: f64, length: f64| Path { start: Pose2::new(x, 0.0, 0.0), segments: vec![Segment::Line { length }] };
    let straight_rest = half - gap - GORE_M;
    let arc = Segment::Arc { curvature: 1.0 / radius, length: PI * radius };
    let ring = Path {
        start: Pose2::new(gap + GORE_M, 0.0, 0.0),
        segments: vec![
            Segment::Line { length: straight_rest },
            arc,
            Segment::Line { length: 2.0 * half },
            arc,
            Segment::Line { length: straight_rest },
        ],
    };
    let length = ring.length();
    let plain = |s: f64| Section { s, center: NONE, left: side(None), right: side(None) };
    let with_fourth =
        |s: f64, widths: Vec<[f64; 5]>| Section { s, center: NONE, left: side(None), right: side(Some(widths)) };
    let full = vec![[0.0, LANE_M, 0.0, 0.0, 0.0]];
    let mut sections = vec![
        with_fourth(0.0, full.clone()),
        with_fourth(AUXILIARY_M, vec![ease(0.0, LANE_M, 0.0, TAPER_M)]),
        plain(AUXILIARY_M + TAPER_M),
        with_fourth(length - AUXILIARY_M - TAPER_M, vec![ease(0.0, 0.0, LANE_M, TAPER_M)]),
        with_fourth(length - AUXILIARY_M, full),
    ];
    link(&mut sections);
    let main = plan.fresh();
    plan.roads.push(RoadDef::new(main, ring, kmh, sections));
    let between = plan.fresh();
    plan.roads.push(RoadDef::new(between, line(-gap, 2.0 * gap), kmh, vec![plain(0.0)]));
    // The street and the stub that leads up to the ramps.
    let street = Profile {
        lanes: 1,
        lane_m: 3.5,
        parking: false,
        median_m: 0.0,
        sidewalk: false,
        speed_kmh: 50.0,
        bend_m: 30.0,
        center: CENTER_SOLID,
    };
    let outer = MEDIAN_M + 3.0 * LANE_M;
    let (split_y, street_y) = (-outer - rng.range(38.0, 46.0), -outer - rng.range(95.0, 110.0));
    let ramp_kmh = 50.0;
    // Ramps: one lane right of the reference line, and a shoulder.
    let ramp_lanes = || {
        let right = vec![LaneDef::new("driving", LANE_M, EDGE), LaneDef::new("shoulder", 1.0, NONE)];
        vec![Section { s: 0.0, center: EDGE, left: Vec::new(), right }]
    };
    let slope = 0.6;
    let off_end = Pose2::new(-14.0, split_y + 9.0, -slope);
    let off_path = biarc(Pose2::new(-gap, -outer, 0.0), off_end);
    let off = plan.fresh();
    plan.roads.push(RoadDef::new(off, off_path, ramp_kmh, ramp_lanes()));
    let on_start = Pose2::new(14.0, split_y + 9.0, slope);
    let on_path = biarc(on_start, Pose2::new(gap, -outer, 0.0));
    let on = plan.fresh();
    plan.roads.push(RoadDef::new(on, on_path, ramp_kmh, ramp_lanes()));
    exits(plan, main, between, (off, on), (gap, outer), kmh);

    let mut map = StreetMap::default();
    let control = if rng.chance(0.5) { Control::Lights } else { Control::Stop };
    let top = map.node(0.0, street_y, control);
    let bottom = map.node(0.0, street_y - rng.range(90.0, 120.0), Control::Yield);
    let wide = rng.range(130.0, 170.0);
    let south = map.nodes[bottom].y;
    for x in [-wide, wide] {
        let via = vec![DVec2::new(x, street_y), DVec2::new(x, south)];
        map.street(top, bottom, via, street);
    }
    map.street(top, bottom, Vec::new(), street);
    map.build(plan, |plan| {
        let stub = plan.fresh();
        let from = street_y + 16.0;
        let path = Path {
            start: Pose2::new(0.0, from, FRAC_PI_2),
            segments: vec![Segment::Line { length: split_y - 4.0 - from }],
        };
        let length = path.length();
        let (start, end) = (path.pose(0.0), path.end());
        plan.roads.push(RoadDef::new(stub, path, 50.0, street.sections(length)));
        let arm = |road, at_end, port, incoming, outgoing| Arm {
            road,
            at_end,
            port,
            incoming,
            outgoing,
            lane_m: street.lane_m,
            sidewalk: false,
            half_m: street.lane_m,
            speed_kmh: 50.0,
        };
        let upper = vec![
            arm(stub, true, end, vec![(0.0, -1)], vec![(0.0, 1)]),
            Arm { lane_m: LANE_M, ..arm(off, true, off_end, vec![(0.0, -1)], Vec::new()) },
            Arm {
                lane_m: LANE_M,
                ..arm(
                    on,
                    false,
                    Pose2::new(on_start.x, on_start.y, wrap_angle(slope + PI)),
                    Vec::new(),
                    vec![(0.0, -1)],
                )
            },
        ];
        junction(plan, upper, DVec2::new(0.0, split_y), Control::Nothing, false);
        let down = Pose2::new(start.x, start.y, -FRAC_PI_2);
        vec![(top, arm(stub, false, down, vec![(0.0, 1)], vec![(0.0, -1)]))]
    });
}

/// The junctions where the ramps leave and join.
fn exits(plan: &mut Plan, main: usize, between: usize, (off, on): (usize, usize), (gap, outer): (f64, f64), kmh: f64) {
    let line = |x: f64, y: f64| Path { start: Pose2::new(x, y, 0.0), segments: vec![Segment::Line { length: GORE_M }] };
    for (x, from, to) in [(-gap - GORE_M, main, between), (gap, between, main)] {
        let id = plan.fresh();
        let (_, mut connections) = through(plan, id, line(x, 0.0), from, to, kmh);
        // The fourth lane's number on the motorway is -5.
        let ramp = if from == main {
            single(plan, id, line(x, -outer), (main, -LANES), (off, -1), LANE_M, kmh)
        } else {
            single(plan, id, line(x, -outer), (on, -1), (main, -LANES), LANE_M, kmh)
        };
        connections.push(ramp);
        plan.road(from).successor = Some(Link::Junction(id));
        plan.road(to).predecessor = Some(Link::Junction(id));
        let at_ramp = Some(Link::Junction(id));
        if from == main {
            plan.road(off).predecessor = at_ramp;
        } else {
            plan.road(on).successor = at_ramp;
        }
        plan.junctions.push(JunctionDef { id, connections, controllers: Vec::new() });
    }
}
