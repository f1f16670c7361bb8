//! The map expansion, version 1.3: `maps/expansion/<location>.json`, as polygons and polylines.

use super::NuScenes;
use crate::error::{DataError, read_json};
use apprentice_core::geometry::DVec2;
use apprentice_core::sample::{MapClass, MapLabel};
use apprentice_core::{Pose2, wrap_angle};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Map elements are kept this far ahead and behind, and aside, metres.
const MAP_RANGE_M: [f64; 2] = [48.0, 32.0];
/// An edge of the drivable area with more of it this far beyond is inside.
const BEYOND_M: f64 = 0.4;
/// Centre lines are cut into steps of this length, metres.
const STEP_M: f64 = 1.0;

#[derive(Deserialize)]
struct Node {
    token: String,
    x: f64,
    y: f64,
}

#[derive(Deserialize)]
struct RawPolygon {
    token: String,
    exterior_node_tokens: Vec<String>,
    #[serde(default)]
    holes: Vec<Nodes>,
}

#[derive(Deserialize)]
struct Nodes {
    node_tokens: Vec<String>,
}

#[derive(Deserialize)]
struct RawLine {
    token: String,
    node_tokens: Vec<String>,
}

#[derive(Deserialize)]
struct Drivable {
    polygon_tokens: Vec<String>,
}

#[derive(Deserialize)]
struct OfPolygon {
    polygon_token: String,
}

#[derive(Deserialize)]
struct OfLine {
    line_token: String,
}

#[derive(Deserialize)]
struct Arcline {
    start_pose: [f64; 3],
    shape: String,
    radius: f64,
    segment_length: [f64; 3],
}

#[derive(Deserialize)]
struct RawMap {
    #[serde(default)]
    version: Option<String>,
    canvas_edge: [f64; 2],
    node: Vec<Node>,
    line: Vec<RawLine>,
    polygon: Vec<RawPolygon>,
    drivable_area: Vec<Drivable>,
    ped_crossing: Vec<OfPolygon>,
    stop_line: Vec<OfPolygon>,
    road_divider: Vec<OfLine>,
    lane_divider: Vec<OfLine>,
    arcline_path_3: BTreeMap<String, Vec<Arcline>>,
}

/// A polygon with holes.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    /// Outer ring, the first point not repeated.
    pub exterior: Vec<DVec2>,
    /// Inner rings.
    pub holes: Vec<Vec<DVec2>>,
    min: DVec2,
    max: DVec2,
}

impl Polygon {
    /// Whether a point lies inside (even–odd rule).
    pub fn contains(&self, p: DVec2) -> bool {
        let boxed = p.cmpge(self.min).all() && p.cmple(self.max).all();
        boxed && inside(&self.exterior, p) && !self.holes.iter().any(|hole| inside(hole, p))
    }
}

fn inside(ring: &[DVec2], p: DVec2) -> bool {
    let mut odd = false;
    let mut before = ring.len().wrapping_sub(1);
    for (at, a) in ring.iter().enumerate() {
        let b = ring[before];
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            odd = !odd;
        }
        before = at;
    }
    odd
}

/// Where cars may drive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrivableArea(Vec<Polygon>);

/// Pixels per metre of nuScenes' masks.
const PIXELS_PER_M: f64 = 10.0;

impl DrivableArea {
    /// Whether nuScenes' mask of the area (10 pixels a metre, corners rounded to pixels, outlines drawn) covers the pixel
    /// that a point lies in. Of two polygons that say otherwise about a pixel the later one counts.
    pub fn covers(&self, [x, y]: [f64; 2]) -> bool {
        if x < 0.0 || y < 0.0 {
            return false;
        }
        let pixel = DVec2::new((x * PIXELS_PER_M).trunc(), (y * PIXELS_PER_M).trunc());
        let reach = DVec2::splat(1.0 / PIXELS_PER_M);
        let p = pixel / PIXELS_PER_M;
        let near = |polygon: &&Polygon| p.cmpge(polygon.min - reach).all() && p.cmple(polygon.max + reach).all();
        self.0.iter().filter(near).fold(false, |covered, polygon| {
            (covered || drawn(&polygon.exterior, pixel)) && !polygon.holes.iter().any(|hole| drawn(hole, pixel))
        })
    }

    /// Whether a point lies in it.
    pub fn contains(&self, p: DVec2) -> bool {
        self.0.iter().any(|polygon| polygon.contains(p))
    }
}

/// Whether a ring with corners rounded to pixels covers a pixel: between its crossings of the pixel's row, rounded, or on
/// one of its sides as a line is drawn.
fn drawn(ring: &[DVec2], pixel: DVec2) -> bool {
    let corner = |p: &DVec2| DVec2::new((p.x * PIXELS_PER_M).round_ties_even(), (p.y * PIXELS_PER_M).round_ties_even());
    let mut crossings: Vec<f64> = Vec::new();
    for (p, q) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let (a, b) = (corner(p), corner(q));
        let along = b - a;
        let steep = along.y.abs() > along.x.abs();
        let (from, to, at) = if steep { (a.y, b.y, pixel.y) } else { (a.x, b.x, pixel.x) };
        if at >= from.min(to) && at <= from.max(to) {
            let t = if to == from { 0.0 } else { (at - from) / (to - from) };
            if (a + along * t).round() == pixel {
                return true;
            }
        }
        if (a.y <= pixel.y) != (b.y <= pixel.y) {
            crossings.push((a.x + along.x * (pixel.y - a.y) / along.y).round());
        }
    }
    crossings.sort_by(f64::total_cmp);
    crossings.chunks_exact(2).any(|pair| pair[0] <= pixel.x && pixel.x <= pair[1])
}

/// A location's map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapExpansion {
    /// Width and height, metres.
    pub canvas_m: [f64; 2],
    /// Where cars may drive.
    pub drivable: DrivableArea,
    /// Outlines of pedestrian crossings.
    pub crossings: Vec<Vec<DVec2>>,
    /// Outlines of stop lines.
    pub stop_lines: Vec<Vec<DVec2>>,
    /// Paint between lanes and between directions.
    pub dividers: Vec<Vec<DVec2>>,
    /// Centre lines of lanes and lane connectors, in driving direction.
    pub centerlines: Vec<Vec<DVec2>>,
}

impl MapExpansion {
    /// A location's map; `None` where the expansion has none of it.
    ///
    /// # Errors
    /// When the file is no map expansion of version 1.3, or a token in it leads nowhere.
    pub fn read(set: &NuScenes, location: &str) -> Result<Option<Self>, DataError> {
        let path = set.root().join("maps/expansion").join(location).with_extension("json");
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&path, &bytes).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataError::Io { path, source }),
        }
    }

    /// Parse a map; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`MapExpansion::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let wrong = |field: &str, problem: String| DataError::invalid(path, field, problem);
        let raw: RawMap = read_json(path, bytes)?;
        let version = raw.version.as_deref().unwrap_or("1.0");
        if version < "1.3" {
            return Err(wrong("version", format!("expected at least 1.3, found {version}")));
        }
        let nodes: HashMap<&str, DVec2> = raw.node.iter().map(|n| (n.token.as_str(), DVec2::new(n.x, n.y))).collect();
        let points = |layer: &str, tokens: &[String], least: usize| -> Result<Vec<DVec2>, DataError> {
            let found: Result<Vec<DVec2>, &String> =
                tokens.iter().map(|token| nodes.get(token.as_str()).copied().ok_or(token)).collect();
            match found {
                Err(token) => Err(wrong(layer, format!("there is no node `{token}`"))),
                Ok(points) if points.len() < least => {
                    Err(wrong(layer, format!("{} points, expected {least}", points.len())))
                }
                Ok(points) => Ok(points),
            }
        };
        let mut polygons: HashMap<&str, Polygon> = HashMap::new();
        for polygon in &raw.polygon {
            let mut exterior = points("polygon", &polygon.exterior_node_tokens, 3)?;
            if exterior.first() == exterior.last() {
                exterior.pop();
            }
            let mut holes = Vec::new();
            for hole in polygon.holes.iter().filter(|h| !h.node_tokens.is_empty()) {
                holes.push(points("polygon.holes", &hole.node_tokens, 3)?);
            }
            let min = exterior.iter().fold(DVec2::INFINITY, |m, p| m.min(*p));
            let max = exterior.iter().fold(DVec2::NEG_INFINITY, |m, p| m.max(*p));
            polygons.insert(&polygon.token, Polygon { exterior, holes, min, max });
        }
        let mut lines: HashMap<&str, Vec<DVec2>> = HashMap::new();
        for line in &raw.line {
            lines.insert(&line.token, points("line", &line.node_tokens, 0)?);
        }
        let polygon = |layer: &str, token: &str| {
            polygons.get(token).cloned().ok_or_else(|| wrong(layer, format!("there is no polygon `{token}`")))
        };
        let outline = |layer: &str, rows: &[OfPolygon]| -> Result<Vec<Vec<DVec2>>, DataError> {
            rows.iter().map(|row| polygon(layer, &row.polygon_token).map(|p| p.exterior)).collect()
        };
        let drivable: Result<Vec<Polygon>, DataError> =
            raw.drivable_area.iter().flat_map(|a| &a.polygon_tokens).map(|t| polygon("drivable_area", t)).collect();
        let mut dividers = Vec::new();
        for (layer, row) in raw
            .road_divider
            .iter()
            .map(|r| ("road_divider", r))
            .chain(raw.lane_divider.iter().map(|r| ("lane_divider", r)))
        {
            let line = lines.get(row.line_token.as_str());
            dividers.push(line.cloned().ok_or_else(|| wrong(layer, format!("there is no line `{}`", row.line_token)))?);
        }
        let mut centerlines = Vec::new();
        for (lane, arcs) in &raw.arcline_path_3 {
            let sound = |arc: &&Arcline| {
                let numbers = arc.start_pose.iter().chain(&arc.segment_length).chain([&arc.radius]);
                let finite = numbers.into_iter().all(|v| v.is_finite());
                finite
                    && arc.shape.len() == 3
                    && arc.radius > 0.0
                    && arc.segment_length.iter().all(|l| (0.0..1e4).contains(l))
            };
            if !arcs.iter().all(|arc| sound(&arc)) {
                return Err(wrong(
                    "arcline_path_3",
                    format!("a path of lane `{lane}` has a length, radius or shape that cannot be"),
                ));
            }
            centerlines.push(arcs.iter().flat_map(discretize).collect());
        }
        Ok(Self {
            canvas_m: raw.canvas_edge,
            drivable: DrivableArea(drivable?),
            crossings: outline("ped_crossing", &raw.ped_crossing)?,
            stop_lines: outline("stop_line", &raw.stop_line)?,
            dividers,
            centerlines,
        })
    }

    /// What lies around a pose, in its frame.
    pub fn labels(&self, ego: Pose2) -> Vec<MapLabel> {
        let mut labels = Vec::new();
        let mut add = |class: MapClass, line: &mut dyn Iterator<Item = Option<DVec2>>| {
            let mut piece: Vec<[f32; 2]> = Vec::new();
            let mut close = |piece: &mut Vec<[f32; 2]>| {
                let points_in_ego = std::mem::take(piece);
                if points_in_ego.len() >= 2 {
                    labels.push(MapLabel { class, points_in_ego });
                }
            };
            for point in line {
                match point.map(|p| ego.to_local(p)) {
                    Some(p) if p.x.abs() <= MAP_RANGE_M[0] && p.y.abs() <= MAP_RANGE_M[1] => {
                        piece.push([p.x as f32, p.y as f32]);
                    }
                    _ => close(&mut piece),
                }
            }
            close(&mut piece);
        };
        let ring = |points: &[DVec2]| points.iter().chain(points.first()).copied().map(Some).collect::<Vec<_>>();
        for line in &self.dividers {
            add(MapClass::Divider, &mut line.iter().copied().map(Some));
        }
        for outline in &self.crossings {
            add(MapClass::PedCrossing, &mut ring(outline).into_iter());
        }
        for line in self.boundaries_near(ego.position()) {
            add(MapClass::Boundary, &mut line.into_iter());
        }
        for line in &self.centerlines {
            add(MapClass::Centerline, &mut line.iter().copied().map(Some));
        }
        for outline in &self.stop_lines {
            add(MapClass::StopLine, &mut ring(outline).into_iter());
        }
        labels
    }

    /// Rings of the drivable area near a place; `None` where more of the area lies beyond.
    fn boundaries_near(&self, p: DVec2) -> Vec<Vec<Option<DVec2>>> {
        let reach = DVec2::splat(MAP_RANGE_M[0].hypot(MAP_RANGE_M[1]));
        let near: Vec<&Polygon> = self
            .drivable
            .0
            .iter()
            .filter(|polygon| polygon.min.cmple(p + reach).all() && polygon.max.cmpge(p - reach).all())
            .collect();
        let rings = near.iter().flat_map(|polygon| std::iter::once(&polygon.exterior).chain(&polygon.holes));
        rings
            .map(|ring| {
                let n = ring.len();
                let kept = |at: usize| {
                    let across = (ring[(at + 1) % n] - ring[(at + n - 1) % n]).perp().normalize_or_zero() * BEYOND_M;
                    let covered = |q: DVec2| near.iter().any(|polygon| polygon.contains(q));
                    (!(covered(ring[at] + across) && covered(ring[at] - across))).then_some(ring[at])
                };
                (0..=n).map(|at| kept(at % n)).collect()
            })
            .collect()
    }
}

/// Points along one arc–line–arc path.
fn discretize(arc: &Arcline) -> Vec<DVec2> {
    let [x, y, yaw_rad] = arc.start_pose;
    let mut pose = Pose2::new(x, y, yaw_rad);
    let mut out = vec![pose.position()];
    for (length, turn) in arc.segment_length.iter().zip(arc.shape.chars()) {
        let curvature = match turn {
            'L' => 1.0 / arc.radius,
            'R' => -1.0 / arc.radius,
            _ => 0.0,
        };
        let steps = (length / STEP_M).ceil().max(1.0) as usize;
        for _ in 0..if *length > 0.0 { steps } else { 0 } {
            let (step, half) = (length / steps as f64, curvature * length / steps as f64 / 2.0);
            // The chord of an arc points along its middle.
            let chord = if half.abs() > 1e-9 { step * half.sin() / half } else { step };
            let middle = Pose2::new(pose.x, pose.y, pose.yaw_rad + half).offset(chord, 0.0);
            pose = Pose2::new(middle.x, middle.y, wrap_angle(pose.yaw_rad + 2.0 * half));
            out.push(pose.position());
        }
    }
    out
}
