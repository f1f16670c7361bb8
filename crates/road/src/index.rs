//! Finding lanes by place: an R-tree over short runs of centre line.

use crate::lane::{Lane, LaneId, LanePosition, Projected};
use apprentice_core::geometry::DVec2;
use rstar::{AABB, PointDistance, RTree, RTreeObject};

/// Segments of centre line in one leaf.
const SEGMENTS_PER_RUN: usize = 8;

/// A run of centre-line segments of one lane.
#[derive(Clone, Debug)]
struct Run {
    lane: u32,
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

impl PointDistance for Run {
    fn distance_2(&self, p: &[f64; 2]) -> f64 {
        let d = |i: usize| (self.min[i] - p[i]).max(p[i] - self.max[i]).max(0.0);
        d(0) * d(0) + d(1) * d(1)
    }
}

/// The index. Queries answer the same whatever the order of building.
#[derive(Clone, Debug)]
pub(crate) struct SpatialIndex {
    tree: RTree<Run>,
}

impl SpatialIndex {
    /// Index all lanes.
    pub fn new(lanes: &[Lane]) -> Self {
        let mut runs = Vec::new();
        for (id, lane) in lanes.iter().enumerate() {
            let segments = lane.points.len() - 1;
            for first in (0..segments).step_by(SEGMENTS_PER_RUN) {
                let last = (first + SEGMENTS_PER_RUN).min(segments);
                let mut min = [f64::INFINITY; 2];
                let mut max = [f64::NEG_INFINITY; 2];
                for point in &lane.points[first..=last] {
                    for (axis, value) in [point.position.x, point.position.y].into_iter().enumerate() {
                        min[axis] = min[axis].min(value);
                        max[axis] = max[axis].max(value);
                    }
                }
                runs.push(Run { lane: id as u32, first: first as u32, last: last as u32, min, max });
            }
        }
        Self { tree: RTree::bulk_load(runs) }
    }

    /// The nearest lane that `accept`s its nearest place, within `limit_m`. Equal distances: smaller id.
    pub fn nearest(
        &self,
        lanes: &[Lane],
        p: DVec2,
        limit_m: f64,
        accept: impl Fn(&Lane, f64) -> bool,
    ) -> Option<LanePosition> {
        let mut best: Option<(f64, LaneId, Projected)> = None;
        let limit2 = limit_m * limit_m;
        for (run, box_distance2) in self.tree.nearest_neighbor_iter_with_distance_2([p.x, p.y]) {
            if box_distance2 > limit2 || best.as_ref().is_some_and(|(d, ..)| box_distance2 > *d) {
                break;
            }
            let id = run.lane as usize;
            let found = lanes[id].project_segments(p, run.first as usize, run.last as usize);
            let better = match &best {
                None => found.distance2 <= limit2,
                Some((d, lane, _)) => found.distance2 < *d || (found.distance2 == *d && id < *lane),
            };
            if better && accept(&lanes[id], found.s_m) {
                best = Some((found.distance2, id, found));
            }
        }
        best.map(|(_, lane, found)| LanePosition { lane, s_m: found.s_m, lateral_m: found.lateral_m })
    }

    /// All lanes within `radius_m`, nearest first.
    pub fn within(&self, lanes: &[Lane], p: DVec2, radius_m: f64) -> Vec<LanePosition> {
        let mut found: Vec<(LaneId, Projected)> = Vec::new();
        let reach = AABB::from_corners([p.x - radius_m, p.y - radius_m], [p.x + radius_m, p.y + radius_m]);
        for run in self.tree.locate_in_envelope_intersecting(reach) {
            let id = run.lane as usize;
            let place = lanes[id].project_segments(p, run.first as usize, run.last as usize);
            if place.distance2 <= radius_m * radius_m {
                found.push((id, place));
            }
        }
        let order = |a: &(LaneId, Projected), b: &(LaneId, Projected)| {
            a.1.distance2.total_cmp(&b.1.distance2).then(a.0.cmp(&b.0)).then(a.1.s_m.total_cmp(&b.1.s_m))
        };
        found.sort_by(|a, b| a.0.cmp(&b.0).then(order(a, b)));
        found.dedup_by_key(|(lane, _)| *lane);
        found.sort_by(order);
        found.iter().map(|(lane, p)| LanePosition { lane: *lane, s_m: p.s_m, lateral_m: p.lateral_m }).collect()
    }

    /// Whether any lane within `radius_m` satisfies `test` (run by run of its centre line).
    pub fn any_within(
        &self,
        lanes: &[Lane],
        p: DVec2,
        radius_m: f64,
        test: impl Fn(&Lane, &Projected) -> bool,
    ) -> bool {
        let reach = AABB::from_corners([p.x - radius_m, p.y - radius_m], [p.x + radius_m, p.y + radius_m]);
        self.tree.locate_in_envelope_intersecting(reach).any(|run| {
            let lane = &lanes[run.lane as usize];
            test(lane, &lane.project_segments(p, run.first as usize, run.last as usize))
        })
    }
}
