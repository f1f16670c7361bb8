//! The static geometry of a town, for the renderer.

use crate::lane::{LaneId, LaneKind, MarkKind};
use crate::network::RoadNetwork;
use apprentice_core::geometry::{DVec2, DVec3};

/// One painted line as imported.
#[derive(Clone, Debug)]
pub(crate) struct Paint {
    pub points: Vec<DVec3>,
    pub width_m: f32,
    pub kind: MarkKind,
    pub yellow: bool,
    pub dash_m: Option<(f32, f32)>,
    pub lane: LaneId,
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

impl RoadNetwork {
    /// The town's static geometry; a pure function of the map.
    pub fn meshes(&self) -> TownMesh {
        TownMesh {
            surfaces: Vec::new(),
            paint: Vec::new(),
            stop_lines: Vec::new(),
            crosswalks: self.crosswalks.iter().map(|c| c.outline.clone()).collect(),
            buildings: Vec::new(),
            trees: Vec::new(),
            poles: Vec::new(),
        }
    }
}
