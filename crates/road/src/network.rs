//! The road network as the rest of the project sees it, and its spatial queries.

use crate::error::RoadError;
use crate::index::SpatialIndex;
use crate::lane::{Lane, LaneId, LaneKind, LanePosition};
use crate::mesh::Paint;
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{OrientedBox, Pose2, wrap_angle};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a signal tells traffic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SignalKind {
    /// A light.
    TrafficLight,
    /// A stop sign (or STOP painted on the road).
    Stop,
    /// A yield sign.
    Yield,
    /// A speed limit, metres per second.
    SpeedLimit(f64),
    /// Anything else.
    Other,
}

/// Where traffic of one lane waits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopLine {
    /// The approach lane.
    pub lane: LaneId,
    /// Metres along that lane.
    pub s_m: f64,
    /// Middle of the line.
    pub center: DVec2,
    /// Driving direction of the approaching traffic.
    pub yaw_rad: f64,
    /// Across the lane, metres.
    pub width_m: f64,
}

/// A traffic light or sign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Its index in [`RoadNetwork::signals`].
    pub index: usize,
    /// OpenDRIVE id.
    pub id: String,
    /// What it tells traffic.
    pub kind: SignalKind,
    /// Where it stands; its yaw points against the traffic it governs.
    pub pose_in_world: Pose2,
    /// Ground height under it, metres.
    pub ground_z_m: f64,
    /// Height of its middle above the ground, metres.
    pub height_m: f64,
    /// Approach lanes it governs, ascending.
    pub lanes: Vec<LaneId>,
    /// One per governed approach lane.
    pub stop_lines: Vec<StopLine>,
    /// Lights of one group always show the same.
    pub group: Option<usize>,
    /// The junction it guards.
    pub junction: Option<usize>,
}

/// How two lanes of a junction meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictKind {
    /// They come from the same place.
    Diverging,
    /// They lead to the same place.
    Merging,
    /// They cross.
    Crossing,
}

/// Two lanes inside a junction whose centre lines come closer than a car is wide.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// One lane (the smaller id).
    pub a: LaneId,
    /// The other.
    pub b: LaneId,
    /// Where on `a`: from, to, metres.
    pub a_span_m: (f64, f64),
    /// Where on `b`.
    pub b_span_m: (f64, f64),
    /// How they meet.
    pub kind: ConflictKind,
}

/// A junction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Junction {
    /// OpenDRIVE id.
    pub id: String,
    /// Driving lanes inside.
    pub lanes: Vec<LaneId>,
    /// Driving lanes that lead in.
    pub incoming: Vec<LaneId>,
    /// Middle of the lanes inside.
    pub center: DVec2,
    /// Which lanes inside get in each other's way.
    pub conflicts: Vec<Conflict>,
    /// Whether lights guard it.
    pub signalised: bool,
    /// Signals that guard it, as indices into [`RoadNetwork::signals`].
    pub signals: Vec<usize>,
}

/// A pedestrian crossing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crosswalk {
    /// Corners in order, first not repeated.
    pub outline: Vec<DVec3>,
}

/// The smallest axis-aligned rectangle that holds all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Lower left.
    pub min: DVec2,
    /// Upper right.
    pub max: DVec2,
}

/// A road network: lanes, junctions, signals, crosswalks, and an index to find them by place.
#[derive(Clone, Debug)]
pub struct RoadNetwork {
    /// Name of the map.
    pub name: String,
    /// All lanes that have a surface.
    pub lanes: Vec<Lane>,
    /// Lights and signs.
    pub signals: Vec<Signal>,
    /// Junctions.
    pub junctions: Vec<Junction>,
    /// Pedestrian crossings.
    pub crosswalks: Vec<Crosswalk>,
    /// Whether the map says where lights and stop signs are.
    pub has_signals: bool,
    /// Extent.
    pub bounds: Bounds,
    /// The map's `<geoReference>`, as written.
    pub geo_reference: Option<String>,
    pub(crate) paint: Vec<Paint>,
    /// Filled when first asked for; shared by all worlds on this map.
    pub(crate) buildings: std::sync::OnceLock<Vec<(OrientedBox, f64)>>,
    pub(crate) index: SpatialIndex,
    pub(crate) vector_map: std::sync::OnceLock<crate::vector_map::VectorMap>,
}

impl RoadNetwork {
    /// Read OpenDRIVE text; `name` is what errors call the file.
    pub fn from_xodr(name: &str, xml: &str) -> Result<Self, RoadError> {
        crate::import::import(name, xml)
    }

    /// Read an OpenDRIVE file. The network is named after the file's stem.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RoadError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| RoadError::Read { file: file.clone(), source })?;
        let xml = String::from_utf8(bytes).map_err(|e| RoadError::Xml {
            file: file.clone(),
            problem: format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
        })?;
        let mut net = crate::import::import(&file, &xml)?;
        net.name = path.file_stem().map_or(file, |s| s.to_string_lossy().into_owned());
        Ok(net)
    }

    /// The lane of the given kinds whose centre line is nearest to `p` (plan view).
    pub fn nearest_lane(&self, p: DVec2, kinds: &[LaneKind]) -> Option<LanePosition> {
        self.index.nearest(&self.lanes, p, f64::INFINITY, |lane, _| kinds.contains(&lane.kind))
    }

    /// The driving lane whose centre line is nearest to `p` in space (so that bridges are told apart).
    pub fn nearest_lane_3d(&self, p: DVec3, kinds: &[LaneKind]) -> Option<LanePosition> {
        let p2 = p.truncate();
        self.index
            .nearest(&self.lanes, p2, f64::INFINITY, |lane, s_m| {
                kinds.contains(&lane.kind) && (lane.at(s_m).position.z - p.z).abs() < 3.0
            })
            .or_else(|| self.nearest_lane(p2, kinds))
    }

    /// All lanes whose centre line comes within `radius_m` of `p`, nearest first (ties by id).
    pub fn lanes_near(&self, p: DVec2, radius_m: f64) -> Vec<LanePosition> {
        self.index.within(&self.lanes, p, radius_m)
    }

    /// The nearest lane of the given kinds whose direction there differs from the pose's heading by at most
    /// `max_angle_rad`.
    pub fn nearest_lane_with_heading(
        &self,
        pose: Pose2,
        kinds: &[LaneKind],
        max_angle_rad: f64,
    ) -> Option<LanePosition> {
        self.index.nearest(&self.lanes, pose.position(), f64::INFINITY, |lane, s_m| {
            kinds.contains(&lane.kind) && wrap_angle(lane.at(s_m).yaw_rad - pose.yaw_rad).abs() <= max_angle_rad
        })
    }

    /// Height of the surface at `p`: of the lane that holds it, or of the nearest one. 0 on an empty map.
    pub fn surface_z(&self, p: DVec2) -> f64 {
        self.surface_z_near(p, f64::NAN)
    }

    /// The same where roads pass over each other: the surface nearest to the height `z_hint_m`.
    pub fn surface_z_near(&self, p: DVec2, z_hint_m: f64) -> f64 {
        let height = |place: &LanePosition| {
            let lane = &self.lanes[place.lane];
            let at = lane.at(place.s_m);
            let half = at.width_m / 2.0;
            at.beside(place.lateral_m.clamp(-half, half)).z
        };
        let mut best: Option<(f64, f64)> = None;
        for place in self.index.within(&self.lanes, p, 4.0) {
            let half = self.lanes[place.lane].at(place.s_m).width_m / 2.0;
            let outside = (place.lateral_m.abs() - half).max(0.0);
            let z = height(&place);
            let badness = outside + if z_hint_m.is_nan() { 0.0 } else { (z - z_hint_m).abs() };
            if best.is_none_or(|(b, _)| badness < b) {
                best = Some((badness, z));
            }
        }
        if let Some((_, z)) = best {
            return z;
        }
        self.index.nearest(&self.lanes, p, f64::INFINITY, |_, _| true).map_or(0.0, |place| height(&place))
    }

    /// Buildings: what they stand on, and the height of their base. The same that [`RoadNetwork::meshes`] shows;
    /// made once and kept.
    pub fn buildings(&self) -> &[(OrientedBox, f64)] {
        self.buildings.get_or_init(|| {
            let boxed = |block: &crate::mesh::Block| {
                let [a, b, c, d] = block.footprint;
                let (along, across) = (b - a, d - a);
                let middle = (a + b + c + d) / 4.0;
                let center = Pose2::new(middle.x, middle.y, along.y.atan2(along.x));
                (OrientedBox { center, length_m: along.length(), width_m: across.length() }, block.base_z)
            };
            crate::scenery::scenery(self).0.iter().map(boxed).collect()
        })
    }

    /// Signals that govern `lane` (as an approach lane).
    pub fn signals_of(&self, lane: LaneId) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(move |s| s.lanes.binary_search(&lane).is_ok())
    }
}
