//! Vector-map queries: what lies in a window around a pose, as polylines in that pose's frame.
//!
//! The polylines are made once per network, on first use, and cut into short runs in an R-tree.

use crate::lane::LaneKind;
use crate::network::RoadNetwork;
use crate::polyline::{clip, simplify, stitch};
use crate::ribbon::ribbons;
use apprentice_core::Pose2;
use apprentice_core::geometry::{DVec2, DVec3};
use rstar::{AABB, RTree, RTreeObject};

/// A rectangle ahead of and around a pose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapWindow {
    /// The frame answers come in (the ego's pose).
    pub pose: Pose2,
    /// Smallest and largest x in that frame, metres.
    pub x_m: (f64, f64),
    /// Smallest and largest y in that frame, metres.
    pub y_m: (f64, f64),
}

/// Polylines with an index.
#[derive(Clone, Debug)]
struct Layer {
    lines: Vec<Vec<DVec3>>,
    tree: RTree<Run>,
}

/// A few points of one polyline.
#[derive(Clone, Debug)]
struct Run {
    line: u32,
    first: u32,
    last: u32,
    min: [f64; 2],
    max: [f64; 2],
}

impl RTreeObject for Run {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        AABB::from_corners(self.min, self.max)
    }
}

impl Layer {
    fn new(lines: Vec<Vec<DVec3>>) -> Self {
        let mut runs = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            for first in (0..line.len() - 1).step_by(8) {
                let last = (first + 8).min(line.len() - 1);
                let (lo, hi) = line[first..=last]
                    .iter()
                    .fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(lo, hi), p| (lo.min(*p), hi.max(*p)));
                let (first, last) = (first as u32, last as u32);
                runs.push(Run { line: i as u32, first, last, min: [lo.x, lo.y], max: [hi.x, hi.y] });
            }
        }
        Self { lines, tree: RTree::bulk_load(runs) }
    }

    fn query(&self, window: &MapWindow) -> Vec<Vec<DVec2>> {
        let corner = |x, y| window.pose.to_parent(DVec2::new(x, y));
        let ((x0, x1), (y0, y1)) = (window.x_m, window.y_m);
        let corners = [corner(x0, y0), corner(x0, y1), corner(x1, y0), corner(x1, y1)];
        let lo = corners.iter().fold(DVec2::INFINITY, |m, c| m.min(*c));
        let hi = corners.iter().fold(DVec2::NEG_INFINITY, |m, c| m.max(*c));
        let reach = AABB::from_corners([lo.x, lo.y], [hi.x, hi.y]);
        let mut runs: Vec<(u32, u32, u32)> =
            self.tree.locate_in_envelope_intersecting(reach).map(|r| (r.line, r.first, r.last)).collect();
        runs.sort_unstable();
        let mut out = Vec::new();
        let mut i = 0;
        while i < runs.len() {
            let (line, first, mut last) = runs[i];
            i += 1;
            while i < runs.len() && runs[i].0 == line && runs[i].1 == last {
                last = runs[i].2;
                i += 1;
            }
            let points = self.lines[line as usize][first as usize..=last as usize].iter();
            let local = points.map(|p| window.pose.to_local(p.truncate()));
            clip(local, DVec2::new(x0, y0), DVec2::new(x1, y1), &mut out);
        }
        out
    }
}

/// All layers of a network.
#[derive(Clone, Debug)]
pub(crate) struct VectorMap {
    boundaries: Layer,
    dividers: Layer,
    centerlines: Layer,
    crosswalks: Layer,
    stop_lines: Layer,
}

/// An edge with a lane this close beyond it is inside the carriageway.
const BESIDE_M: f64 = 0.4;
/// Ends closer than this are one line.
const STITCH_M: f64 = 0.4;
/// Leftovers shorter than this are dropped.
const SHORTEST_M: f64 = 1.5;
/// Closed boundaries shorter than this are dropped.
const SMALLEST_RING_M: f64 = 40.0;

impl VectorMap {
    fn new(net: &RoadNetwork) -> Self {
        let thin = |lines: Vec<Vec<DVec3>>| -> Vec<Vec<DVec3>> {
            let stitched = stitch(lines.into_iter().filter(|l| l.len() >= 2).collect(), STITCH_M);
            let long = |l: &&Vec<DVec3>| {
                let length: f64 = l.windows(2).map(|w| (w[1] - w[0]).length()).sum();
                // Small rings are gaps between the lanes of a junction, not edges.
                let ring = (l[l.len() - 1] - l[0]).length() < 1.0 && length < SMALLEST_RING_M;
                length >= SHORTEST_M && !ring
            };
            stitched.iter().filter(long).map(|l| simplify(l, 0.03, 12.0)).collect()
        };
        let dividers = net.paint.iter().filter(|p| p.divider).map(|p| p.points.clone()).collect();
        let closed = |c: &crate::network::Crosswalk| {
            let mut outline = c.outline.clone();
            outline.push(outline[0]);
            outline
        };
        let mut stop_lines: Vec<Vec<DVec3>> = Vec::new();
        for line in net.signals.iter().flat_map(|s| &s.stop_lines) {
            let at = net.lanes[line.lane].at(line.s_m);
            let ends = vec![at.left_edge(), at.right_edge()];
            if !stop_lines.contains(&ends) {
                stop_lines.push(ends);
            }
        }
        Self {
            boundaries: Layer::new(thin(boundaries(net))),
            dividers: Layer::new(thin(dividers)),
            centerlines: Layer::new(centerlines(net)),
            crosswalks: Layer::new(net.crosswalks.iter().map(closed).collect()),
            stop_lines: Layer::new(stop_lines),
        }
    }
}

/// Edges of the union of all carriageway lanes.
fn boundaries(net: &RoadNetwork) -> Vec<Vec<DVec3>> {
    let gaps: Vec<_> = net.junctions.iter().map(|j| crate::holes::fill(net, j)).collect();
    let in_gap = |junction: Option<usize>, p: DVec3| {
        // The filling's strips are rectangles along the axes.
        let strips = junction.map_or(&[][..], |j| &gaps[j]);
        strips.iter().any(|g| {
            let (lo, hi) = (g.right[0].min(g.left[1]), g.right[0].max(g.left[1]));
            p.x > lo.x && p.x < hi.x && p.y > lo.y && p.y < hi.y
        })
    };
    let mut out = Vec::new();
    for ribbon in ribbons(net, |kind| kind.is_carriageway().then_some(LaneKind::Driving)) {
        for (side, other) in [(&ribbon.left, &ribbon.right), (&ribbon.right, &ribbon.left)] {
            let mut current = Vec::new();
            for (&p, &across) in side.iter().zip(other) {
                // Just outside the edge: is there another lane?
                let outside = p + (p - across).normalize_or_zero() * BESIDE_M;
                if covered(net, outside, &ribbon.lanes) || in_gap(ribbon.junction, outside) {
                    out.push(std::mem::take(&mut current));
                } else {
                    current.push(p);
                }
            }
            out.push(current);
        }
    }
    out.retain(|line| line.len() >= 2);
    out
}

/// Whether `p` lies inside a carriageway lane other than `own`.
fn covered(net: &RoadNetwork, p: DVec3, own: &[usize]) -> bool {
    net.index.any_within(&net.lanes, p.truncate(), 6.0, |lane, found| {
        if !lane.kind.is_carriageway() || own.contains(&lane.id) {
            return false;
        }
        let at = lane.at(found.s_m);
        let inside = found.lateral_m.abs() < at.width_m / 2.0 && (at.position.z - p.z).abs() < 2.0;
        // Beyond a lane's end the projection is the end itself: that is not inside.
        inside && (at.position - p).truncate().dot(DVec2::from_angle(at.yaw_rad)).abs() < 0.05
    })
}

/// Driving lanes, those that simply follow each other joined.
fn centerlines(net: &RoadNetwork) -> Vec<Vec<DVec3>> {
    let follows = |id: usize| match net.lanes[id].successors[..] {
        [next] if net.lanes[next].predecessors.len() == 1 => Some(next),
        _ => None,
    };
    let mut has_before = vec![false; net.lanes.len()];
    for id in 0..net.lanes.len() {
        if let Some(next) = follows(id) {
            has_before[next] = true;
        }
    }
    let mut used = vec![false; net.lanes.len()];
    let mut out = Vec::new();
    // Chains from their beginnings; then what is left, which are rings.
    for id in (0..net.lanes.len()).filter(|&i| !has_before[i]).chain(0..net.lanes.len()) {
        if used[id] || net.lanes[id].kind != LaneKind::Driving {
            continue;
        }
        let mut line: Vec<DVec3> = Vec::new();
        let mut at = Some(id);
        while let Some(lane) = at.filter(|&l| !used[l]) {
            used[lane] = true;
            line.extend(net.lanes[lane].points.iter().map(|p| p.position).skip(usize::from(!line.is_empty())));
            at = follows(lane);
        }
        out.push(simplify(&line, 0.03, 12.0));
    }
    out
}

impl RoadNetwork {
    fn vector_map(&self) -> &VectorMap {
        self.vector_map.get_or_init(|| VectorMap::new(self))
    }

    /// Edges of the drivable surface.
    pub fn boundaries_near(&self, window: &MapWindow) -> Vec<Vec<DVec2>> {
        self.vector_map().boundaries.query(window)
    }

    /// Paint between lanes of traffic (a double line counts once).
    pub fn dividers_near(&self, window: &MapWindow) -> Vec<Vec<DVec2>> {
        self.vector_map().dividers.query(window)
    }

    /// Centre lines of driving lanes, in driving direction.
    pub fn centerlines_near(&self, window: &MapWindow) -> Vec<Vec<DVec2>> {
        self.vector_map().centerlines.query(window)
    }

    /// Outlines of pedestrian crossings, as far as they lie in the window.
    pub fn crosswalks_near(&self, window: &MapWindow) -> Vec<Vec<DVec2>> {
        self.vector_map().crosswalks.query(window)
    }

    /// Stop lines of lights and signs.
    pub fn stop_lines_near(&self, window: &MapWindow) -> Vec<Vec<DVec2>> {
        self.vector_map().stop_lines.query(window)
    }
}
