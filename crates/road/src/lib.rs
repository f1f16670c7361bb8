//! Roads: OpenDRIVE maps and procedural towns behind one set of types — lanes with centre lines in driving
//! direction, junctions, signals, crosswalks — and what is derived from them: routes, vector-map queries and
//! the static geometry of a town.
//!
//! Everything is in the world frame of `apprentice_core` (OpenDRIVE's: x, y in the plane, z up, metres;
//! CARLA's y is minus ours). The reader is the crate `xodr`; nothing outside [`mod@network`]'s import knows it.

pub mod error;
mod holes;
mod import;
mod index;
pub mod lane;
pub mod mesh;
pub mod network;
mod polyline;
mod ribbon;
pub mod route;
mod scenery;
pub mod town;
pub mod vector_map;

pub use error::RoadError;
pub use lane::{Lane, LaneId, LaneKind, LanePoint, LanePosition, MarkKind};
pub use mesh::{Block, PaintLine, PaintQuad, Strip, TownMesh, Upright};
pub use network::{Bounds, Conflict, ConflictKind, Crosswalk, Junction, RoadNetwork, Signal, SignalKind, StopLine};
pub use route::{Route, RoutePoint};
pub use vector_map::MapWindow;
