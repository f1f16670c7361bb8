//! Lanes: centre lines in driving direction, what borders them and where they lead.

use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{Pose2, wrap_angle};
use serde::{Deserialize, Serialize};

/// Index into [`crate::RoadNetwork::lanes`].
pub type LaneId = usize;

/// What a lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LaneKind {
    /// For motor traffic.
    Driving,
    /// Shared by both directions (a centre turn lane); drivable surface that no route uses.
    Bidirectional,
    /// Kerbside parking.
    Parking,
    /// Paved edge.
    Shoulder,
    /// Raised, for pedestrians.
    Sidewalk,
    /// For bicycles.
    Biking,
    /// Edge strip or kerb.
    Border,
    /// Median and whatever else has a surface.
    Other,
}

impl LaneKind {
    /// Whether the lane belongs to the paved carriageway whose outer edge is the drivable boundary.
    pub fn is_carriageway(self) -> bool {
        matches!(self, Self::Driving | Self::Bidirectional | Self::Parking | Self::Shoulder | Self::Biking)
    }
}

/// What separates a lane from what lies beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MarkKind {
    /// Nothing painted.
    None,
    /// A dashed line.
    Broken,
    /// A solid line.
    Solid,
    /// A double line that may not be crossed.
    SolidSolid,
    /// Edge of the drivable surface.
    Kerb,
    /// A double line with one broken side, and other paint.
    Other,
}

/// A point of a lane's centre line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanePoint {
    /// World frame, metres, on the surface.
    pub position: DVec3,
    /// Driving direction, radians.
    pub yaw_rad: f64,
    /// Metres along the lane's centre line.
    pub s_m: f64,
    /// Lane width here, metres.
    pub width_m: f64,
    /// Cross-slope, radians; positive raises the left edge (in driving direction).
    pub bank_rad: f64,
}

impl LanePoint {
    /// Position and heading in the plane.
    pub fn pose(&self) -> Pose2 {
        Pose2::new(self.position.x, self.position.y, self.yaw_rad)
    }
    /// The surface point `left_m` to the left of the centre line.
    pub fn beside(&self, left_m: f64) -> DVec3 {
        let (sin, cos) = self.yaw_rad.sin_cos();
        let (rise, run) = self.bank_rad.sin_cos();
        self.position + DVec3::new(-sin * run, cos * run, rise) * left_m
    }
    /// Left edge of the lane.
    pub fn left_edge(&self) -> DVec3 {
        self.beside(self.width_m / 2.0)
    }
    /// Right edge of the lane.
    pub fn right_edge(&self) -> DVec3 {
        self.beside(-self.width_m / 2.0)
    }
}

/// A lane of one lane section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Its index in the network.
    pub id: LaneId,
    /// OpenDRIVE road id.
    pub road: String,
    /// Lane section of that road, from 0.
    pub section: usize,
    /// OpenDRIVE lane number (negative: right of the reference line).
    pub lane: i32,
    /// Whether it runs along its road's reference line (in right-hand traffic: whether `lane` is negative).
    pub along_road: bool,
    /// What it is for.
    pub kind: LaneKind,
    /// The junction it lies inside, as an index into [`crate::RoadNetwork::junctions`].
    pub junction: Option<usize>,
    /// Centre line in driving direction, evenly spaced at about 1 m, at least two points.
    pub points: Vec<LanePoint>,
    /// Length of the centre line, metres.
    pub length_m: f64,
    /// Lanes that a vehicle leaving this one's end drives into.
    pub successors: Vec<LaneId>,
    /// Lanes whose end leads here.
    pub predecessors: Vec<LaneId>,
    /// The driving lane of the same direction to the left. Whether one may change there is
    /// [`Lane::may_change_left`].
    pub left: Option<LaneId>,
    /// The driving lane of the same direction to the right.
    pub right: Option<LaneId>,
    /// Nearest oncoming driving lane over the centre line.
    pub opposite: Option<LaneId>,
    /// What lines the left edge over most of its length.
    pub left_mark: MarkKind,
    /// What lines the right edge over most of its length.
    pub right_mark: MarkKind,
    /// Whether traffic may change to [`Lane::left`] somewhere on this lane.
    pub may_change_left: bool,
    /// Whether traffic may change to [`Lane::right`] somewhere on this lane.
    pub may_change_right: bool,
    /// Where it may change left: (from, to) in metres along this lane, ascending.
    pub change_left_spans: Vec<(f64, f64)>,
    /// Where it may change right.
    pub change_right_spans: Vec<(f64, f64)>,
    /// Speed limit, metres per second.
    pub speed_limit_mps: f64,
}

impl Lane {
    /// Metres between two points of the centre line.
    pub fn spacing_m(&self) -> f64 {
        self.length_m / (self.points.len() - 1) as f64
    }

    /// The centre line at `s_m`, interpolated, clamped to the lane.
    pub fn at(&self, s_m: f64) -> LanePoint {
        let last = self.points.len() - 1;
        let place = (s_m / self.spacing_m()).clamp(0.0, last as f64);
        let i = (place as usize).min(last - 1);
        let t = place - i as f64;
        let (a, b) = (&self.points[i], &self.points[i + 1]);
        LanePoint {
            position: a.position.lerp(b.position, t),
            yaw_rad: wrap_angle(a.yaw_rad + wrap_angle(b.yaw_rad - a.yaw_rad) * t),
            s_m: place * self.spacing_m(),
            width_m: a.width_m + (b.width_m - a.width_m) * t,
            bank_rad: a.bank_rad + (b.bank_rad - a.bank_rad) * t,
        }
    }

    /// The position of [`Lane::at`] alone.
    pub fn position_at(&self, s_m: f64) -> DVec3 {
        let last = self.points.len() - 1;
        let place = (s_m / self.spacing_m()).clamp(0.0, last as f64);
        let i = (place as usize).min(last - 1);
        self.points[i].position.lerp(self.points[i + 1].position, place - i as f64)
    }

    /// The nearest place of the centre line: metres along it, and metres to the left of it.
    pub fn project(&self, p: DVec2) -> (f64, f64) {
        let found = self.project_segments(p, 0, self.points.len() - 1);
        (found.s_m, found.lateral_m)
    }

    /// The last point.
    pub fn end(&self) -> &LanePoint {
        &self.points[self.points.len() - 1]
    }

    /// The first point.
    pub fn start(&self) -> &LanePoint {
        &self.points[0]
    }

    /// Nearest place among segments `first..last`.
    pub(crate) fn project_segments(&self, p: DVec2, first: usize, last: usize) -> Projected {
        let mut best = Projected { s_m: 0.0, lateral_m: 0.0, distance2: f64::INFINITY };
        for i in first..last {
            let a = self.points[i].position.truncate();
            let d = self.points[i + 1].position.truncate() - a;
            let length2 = d.length_squared();
            let t = if length2 > 0.0 { ((p - a).dot(d) / length2).clamp(0.0, 1.0) } else { 0.0 };
            let offset = p - a - d * t;
            let distance2 = offset.length_squared();
            if distance2 < best.distance2 {
                let side = d.perp_dot(p - a);
                let lateral_m = distance2.sqrt().copysign(side);
                best = Projected { s_m: (i as f64 + t) * self.spacing_m(), lateral_m, distance2 };
            }
        }
        best
    }
}

/// Result of a projection onto a centre line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projected {
    pub s_m: f64,
    pub lateral_m: f64,
    pub distance2: f64,
}

/// A place on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanePosition {
    /// Which lane.
    pub lane: LaneId,
    /// Metres along its centre line.
    pub s_m: f64,
    /// Metres to the left of its centre line.
    pub lateral_m: f64,
}
