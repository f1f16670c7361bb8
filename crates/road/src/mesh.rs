//! The static geometry of a town, for the renderer.

use crate::lane::{LaneKind, MarkKind};
use crate::network::RoadNetwork;
use crate::polyline::simplify;
use crate::ribbon::{Ribbon, ribbons};
use apprentice_core::geometry::{DVec2, DVec3};

/// One painted line as imported.
#[derive(Clone, Debug)]
pub(crate) struct Paint {
    pub points: Vec<DVec3>,
    pub width_m: f32,
    pub kind: MarkKind,
    pub yellow: bool,
    pub dash_m: Option<(f32, f32)>,
    /// Whether it is the first line of a mark between two lanes of traffic.
    pub divider: bool,
}

/// A stretch of lane surface: quads between two polylines of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// What the lane is for.
    pub kind: LaneKind,
    /// Whether it lies inside a junction.
    pub junction: bool,
    /// Left edge in driving direction.
    pub left: Vec<DVec3>,
    /// Right edge; `right[i]` lies across from `left[i]`.
    pub right: Vec<DVec3>,
}

/// A painted line.
#[derive(Clone, Debug, PartialEq)]
pub struct PaintLine {
    /// Middle of the line.
    pub points: Vec<DVec3>,
    /// Across, metres.
    pub width_m: f32,
    /// [`MarkKind::Broken`] or [`MarkKind::Solid`] (double lines are two lines).
    pub kind: MarkKind,
    /// Yellow rather than white.
    pub yellow: bool,
    /// Of a broken line: metres painted, metres left bare, from the first point on.
    pub dash_m: Option<(f32, f32)>,
}

/// A stop line or another painted quadrilateral.
#[derive(Clone, Debug, PartialEq)]
pub struct PaintQuad {
    /// Corners in order.
    pub corners: [DVec3; 4],
}

/// A building.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Corners of its footprint, counter-clockwise.
    pub footprint: [DVec2; 4],
    /// Ground height, metres.
    pub base_z: f64,
    /// Metres.
    pub height_m: f64,
    /// For its look.
    pub seed: u64,
}

/// A tree or a lamp post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upright {
    /// Foot, on the ground.
    pub base: DVec3,
    /// Metres.
    pub height_m: f64,
    /// Of the crown or the post, metres.
    pub radius_m: f64,
    /// For its look.
    pub seed: u64,
}

/// Everything that does not move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TownMesh {
    /// Lane surfaces.
    pub surfaces: Vec<Strip>,
    /// Painted lines.
    pub paint: Vec<PaintLine>,
    /// Stop lines.
    pub stop_lines: Vec<PaintQuad>,
    /// Crosswalk outlines.
    pub crosswalks: Vec<Vec<DVec3>>,
    /// Procedural buildings, clear of every lane.
    pub buildings: Vec<Block>,
    /// Procedural trees.
    pub trees: Vec<Upright>,
    /// Lamp posts.
    pub poles: Vec<Upright>,
}

/// Surfaces may leave their true edges by this much, metres.
const SURFACE_TOLERANCE_M: f64 = 0.03;
/// No quad of a surface is longer than this, so that far ones can be left out.
const LONGEST_QUAD_M: f64 = 30.0;
/// Width of a stop line along the road, metres.
const STOP_LINE_M: f64 = 0.4;

impl RoadNetwork {
    /// The town's static geometry; a pure function of the map.
    pub fn meshes(&self) -> TownMesh {
        let merged = |kind: LaneKind| match kind {
            LaneKind::Bidirectional | LaneKind::Parking | LaneKind::Biking => LaneKind::Driving,
            other => other,
        };
        let mut surfaces: Vec<Strip> = ribbons(self, |kind| Some(merged(kind))).into_iter().map(decimate).collect();
        surfaces.extend(self.junctions.iter().flat_map(|j| crate::holes::fill(self, j)));
        let paint = self
            .paint
            .iter()
            .map(|line| PaintLine {
                points: simplify(&line.points, 0.02, LONGEST_QUAD_M),
                width_m: line.width_m,
                kind: line.kind,
                yellow: line.yellow,
                dash_m: line.dash_m,
            })
            .collect();
        let (buildings, trees, poles) = crate::scenery::scenery(self);
        TownMesh {
            surfaces,
            paint,
            stop_lines: self.stop_line_quads(),
            crosswalks: self.crosswalks.iter().map(|c| c.outline.clone()).collect(),
            buildings,
            trees,
            poles,
        }
    }

    /// One quad per lane and place, however many signals share it.
    fn stop_line_quads(&self) -> Vec<PaintQuad> {
        let mut lines: Vec<_> = self.signals.iter().flat_map(|s| &s.stop_lines).collect();
        lines.sort_by(|a, b| a.lane.cmp(&b.lane).then(a.s_m.total_cmp(&b.s_m)));
        lines.dedup_by(|a, b| a.lane == b.lane && (a.s_m - b.s_m).abs() < 1.0);
        let quad = |line: &&crate::network::StopLine| {
            let lane = &self.lanes[line.lane];
            let (back, front) = (lane.at(line.s_m - STOP_LINE_M), lane.at(line.s_m));
            let half = line.width_m * 0.46;
            PaintQuad { corners: [front.beside(half), back.beside(half), back.beside(-half), front.beside(-half)] }
        };
        lines.iter().map(quad).collect()
    }
}

/// Keep only the cross-sections that the shape needs.
fn decimate(ribbon: Ribbon) -> Strip {
    let (l, r) = (&ribbon.left, &ribbon.right);
    let mut keep = vec![0];
    let mut from = 0;
    while from + 1 < l.len() {
        let mut to = from + 1;
        while to + 1 < l.len() {
            let next = to + 1;
            let long = (l[next] - l[from]).length().max((r[next] - r[from]).length()) > LONGEST_QUAD_M;
            let off = |side: &[DVec3]| {
                let chord = side[next] - side[from];
                (from + 1..next).any(|k| {
                    let t = (k - from) as f64 / (next - from) as f64;
                    let along = if chord.length_squared() > 1e-9 {
                        ((side[k] - side[from]).dot(chord) / chord.length_squared()).clamp(0.0, 1.0)
                    } else {
                        t
                    };
                    (side[from] + chord * along - side[k]).length() > SURFACE_TOLERANCE_M
                })
            };
            if long || off(l) || off(r) {
                break;
            }
            to = next;
        }
        keep.push(to);
        from = to;
    }
    Strip {
        kind: ribbon.kind,
        junction: ribbon.junction.is_some(),
        left: keep.iter().map(|&k| l[k]).collect(),
        right: keep.iter().map(|&k| r[k]).collect(),
    }
}
