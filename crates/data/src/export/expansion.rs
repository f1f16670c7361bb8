//! Towns as nuScenes maps: the mask of where one may drive and walk, and the map expansion of version 1.3.
//!
//! nuscenes-devkit knows four locations by name and size; towns are laid side by side into them, the first into the one
//! with right-hand traffic like ours, and every coordinate of a town is shifted with it.

use super::tables::token;
use crate::DataError;
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::wrap_angle;
use apprentice_road::{Lane, LaneKind, MapWindow, RoadNetwork, SignalKind, Strip, TownMesh};
use serde_json::{Value, json};
use std::path::Path;

/// Location, width and height, metres.
pub(super) const LOCATIONS: [(&str, f64, f64); 4] = [
    ("boston-seaport", 2979.5, 2118.1),
    ("singapore-onenorth", 1585.6, 2025.0),
    ("singapore-hollandvillage", 2808.3, 2922.9),
    ("singapore-queenstown", 3228.6, 3687.1),
];
/// Free ground around a town, metres.
pub(super) const MARGIN_M: f64 = 30.0;
/// Pixels of the mask per metre.
const PIXELS_PER_M: f64 = 10.0;

/// A location's map while towns are put into it.
pub(super) struct LocationMap {
    pub name: &'static str,
    limit: DVec2,
    /// Right end of what is taken, top of it.
    taken: DVec2,
    layers: Vec<(&'static str, Vec<Value>)>,
    arclines: serde_json::Map<String, Value>,
    connectivity: serde_json::Map<String, Value>,
    /// Surfaces for the mask, in the location's frame.
    surfaces: Vec<Vec<DVec2>>,
    drivable: Vec<String>,
}

const LAYERS: [&str; 15] = [
    "node",
    "line",
    "polygon",
    "drivable_area",
    "road_segment",
    "road_block",
    "lane",
    "lane_connector",
    "ped_crossing",
    "walkway",
    "stop_line",
    "carpark_area",
    "road_divider",
    "lane_divider",
    "traffic_light",
];

impl LocationMap {
    pub fn new(at: usize) -> Self {
        let (name, width, height) = LOCATIONS[at];
        Self {
            name,
            limit: DVec2::new(width, height),
            taken: DVec2::ZERO,
            layers: LAYERS.iter().map(|layer| (*layer, Vec::new())).collect(),
            arclines: serde_json::Map::new(),
            connectivity: serde_json::Map::new(),
            surfaces: Vec::new(),
            drivable: Vec::new(),
        }
    }

    /// Where a town of a size would lie: how far its lower left corner is shifted from the origin. `None` if it does not fit.
    pub fn room(&mut self, size: DVec2) -> Option<DVec2> {
        let end = DVec2::new(self.taken.x + size.x, size.y);
        if end.x > self.limit.x || end.y > self.limit.y {
            return None;
        }
        let corner = DVec2::new(self.taken.x, 0.0);
        self.taken = DVec2::new(end.x, self.taken.y.max(end.y));
        Some(corner)
    }

    fn add(&mut self, layer: &str, row: Value) {
        if let Some((_, rows)) = self.layers.iter_mut().find(|(name, _)| *name == layer) {
            rows.push(row);
        }
    }

    fn nodes(&mut self, name: &str, points: &[DVec2]) -> Vec<String> {
        let tokens: Vec<String> = (0..points.len()).map(|i| token(&format!("node {name} {i}"))).collect();
        for (token, p) in tokens.iter().zip(points) {
            self.add("node", json!({"token": token, "x": p.x, "y": p.y}));
        }
        tokens
    }

    fn polygon(&mut self, name: &str, points: &[DVec2]) -> String {
        let nodes = self.nodes(name, points);
        let token = token(&format!("polygon {name}"));
        self.add("polygon", json!({"token": token, "exterior_node_tokens": nodes, "holes": []}));
        token
    }

    fn line(&mut self, name: &str, points: &[DVec2]) -> String {
        let nodes = self.nodes(name, points);
        let token = token(&format!("line {name}"));
        self.add("line", json!({"token": token, "node_tokens": nodes}));
        token
    }

    /// Put recorded ground into the map where it is: what is paved, and the paint between lanes (white) and directions (yellow).
    pub fn add_ground(&mut self, scene: &str, ground: &TownMesh) {
        self.add_surfaces(scene, &ground.surfaces, DVec2::ZERO);
        let corners = ground.surfaces.iter().flat_map(|strip| strip.left.iter().chain(&strip.right));
        let far = corners.fold(DVec2::ZERO, |far, p| far.max(p.truncate()));
        self.taken = self.taken.max(far + MARGIN_M);
        for (i, paint) in ground.paint.iter().enumerate() {
            let points: Vec<DVec2> = paint.points.iter().map(|p| p.truncate()).collect();
            let line = self.line(&format!("{scene} paint {i}"), &points);
            let token = token(&format!("divider {scene} {i}"));
            if paint.yellow {
                self.add("road_divider", json!({"token": token, "line_token": line, "road_segment_token": null}));
            } else {
                self.add("lane_divider", json!({"token": token, "line_token": line, "lane_divider_segments": []}));
            }
        }
    }

    /// Put surfaces into the map, shifted.
    fn add_surfaces(&mut self, town: &str, strips: &[Strip], shift: DVec2) {
        let flat = |p: &DVec3| p.truncate() + shift;
        let first_polygon = self.drivable.len();
        for (i, strip) in strips.iter().enumerate() {
            let paved = strip.kind.is_carriageway();
            if !paved && strip.kind != LaneKind::Sidewalk {
                continue;
            }
            let (left, right): (Vec<DVec2>, Vec<DVec2>) =
                (strip.left.iter().map(flat).collect(), strip.right.iter().map(flat).collect());
            for (k, outline) in outlines(&left, &right).into_iter().enumerate() {
                let name = format!("{town} surface {i} {k}");
                let polygon = self.polygon(&name, &outline);
                if paved {
                    let row = json!({
                        "token": token(&format!("segment {name}")), "polygon_token": polygon,
                        "is_intersection": strip.junction, "drivable_area_token": token(&format!("drivable {town}")),
                    });
                    self.add("road_segment", row);
                    self.drivable.push(polygon);
                } else {
                    self.add("walkway", json!({"token": token(&format!("walkway {name}")), "polygon_token": polygon}));
                }
                self.surfaces.push(outline);
            }
        }
        let polygons = self.drivable[first_polygon..].to_vec();
        self.add("drivable_area", json!({"token": token(&format!("drivable {town}")), "polygon_tokens": polygons}));
    }

    /// Put a town into the map, shifted.
    pub fn add_town(&mut self, town: &str, net: &RoadNetwork, shift: DVec2) {
        let flat = |p: &DVec3| p.truncate() + shift;
        self.add_surfaces(town, &net.meshes().surfaces, shift);
        for lane in net.lanes.iter().filter(|l| l.kind == LaneKind::Driving) {
            self.add_lane(town, net, lane, shift);
        }
        let everywhere = MapWindow { pose: Default::default(), x_m: (-1e5, 1e5), y_m: (-1e5, 1e5) };
        for (i, line) in net.dividers_near(&everywhere).iter().enumerate() {
            let points: Vec<DVec2> = line.iter().map(|p| *p + shift).collect();
            let line = self.line(&format!("{town} divider {i}"), &points);
            let row = json!({"token": token(&format!("lane divider {town} {i}")), "line_token": line, "lane_divider_segments": []});
            self.add("lane_divider", row);
        }
        for (i, crossing) in net.crosswalks.iter().enumerate() {
            let points: Vec<DVec2> = crossing.outline.iter().map(flat).collect();
            let polygon = self.polygon(&format!("{town} crossing {i}"), &points);
            let row = json!({"token": token(&format!("crossing {town} {i}")), "polygon_token": polygon, "road_segment_token": ""});
            self.add("ped_crossing", row);
        }
        self.add_signals(town, net, shift);
    }

    fn add_lane(&mut self, town: &str, net: &RoadNetwork, lane: &Lane, shift: DVec2) {
        let name = |id: usize| token(&format!("lane {town} {id}"));
        let flat = |p: DVec3| p.truncate() + shift;
        let (left, right): (Vec<DVec2>, Vec<DVec2>) =
            lane.points.iter().map(|p| (flat(p.left_edge()), flat(p.right_edge()))).unzip();
        // Lanes are one polygon each; where edges cross in a tight bend, its hull.
        let outline = outlines(&left, &right);
        let outline = if outline.len() == 1 { outline[0].clone() } else { hull(left.iter().chain(&right).copied()) };
        let label = format!("{town} lane {}", lane.id);
        let polygon = self.polygon(&label, &outline);
        let last = left.len() - 1;
        let from = self.line(&format!("{label} from"), &[left[0], right[0]]);
        let to = self.line(&format!("{label} to"), &[left[last], right[last]]);
        if lane.junction.is_some() {
            self.add("lane_connector", json!({"token": name(lane.id), "polygon_token": polygon}));
        } else {
            let row = json!({
                "token": name(lane.id), "polygon_token": polygon, "lane_type": "CAR", "from_edge_line_token": from,
                "to_edge_line_token": to, "left_lane_divider_segments": [], "right_lane_divider_segments": [],
            });
            self.add("lane", row);
        }
        let arcs: Vec<Value> = lane
            .points
            .windows(2)
            .filter_map(|pair| {
                let (a, b) = (pair[0].pose(), pair[1].pose());
                let chord_m = (b.position() - a.position()).length();
                let turn = wrap_angle(b.yaw_rad - a.yaw_rad);
                let half = turn / 2.0;
                let length = if half.abs() > 1e-6 { chord_m * half / half.sin() } else { chord_m };
                let curved = turn.abs() > 1e-6;
                let (radius, segments) =
                    if curved { (length / turn.abs(), [length, 0.0, 0.0]) } else { (1000.0, [0.0, length, 0.0]) };
                let at = |p: apprentice_core::Pose2| [p.x + shift.x, p.y + shift.y, p.yaw_rad];
                (length > 1e-6).then(|| {
                    json!({
                        "start_pose": at(a), "end_pose": at(b), "shape": if turn < 0.0 { "RSR" } else { "LSL" },
                        "radius": radius, "segment_length": segments,
                    })
                })
            })
            .collect();
        self.arclines.insert(name(lane.id), Value::Array(arcs));
        let driving = |ids: &[usize]| -> Vec<String> {
            ids.iter().filter(|id| net.lanes[**id].kind == LaneKind::Driving).map(|id| name(*id)).collect()
        };
        let links = json!({"incoming": driving(&lane.predecessors), "outgoing": driving(&lane.successors)});
        self.connectivity.insert(name(lane.id), links);
    }

    fn add_signals(&mut self, town: &str, net: &RoadNetwork, shift: DVec2) {
        for signal in &net.signals {
            let kind = match signal.kind {
                SignalKind::TrafficLight => "TRAFFIC_LIGHT",
                SignalKind::Stop => "STOP_SIGN",
                SignalKind::Yield => "YIELD",
                _ => continue,
            };
            let label = format!("{town} signal {}", signal.index);
            let light = token(&format!("light {label}"));
            let mut lights = Vec::new();
            if signal.kind == SignalKind::TrafficLight {
                let p = signal.pose_in_world.position() + shift;
                let across = signal.pose_in_world.left() * 0.3;
                let line = self.line(&label, &[p - across, p + across]);
                let z = signal.ground_z_m + signal.height_m;
                let pose =
                    json!({"tx": p.x, "ty": p.y, "tz": z, "rx": 0.0, "ry": 0.0, "rz": signal.pose_in_world.yaw_rad});
                let item = |color: &str, up: f64| json!({"color": color, "shape": "CIRCLE", "rel_pos": {"tx": 0.0, "ty": 0.0, "tz": up, "rx": 0.0, "ry": 0.0, "rz": 0.0}, "to_road_block_tokens": []});
                let items = [item("RED", 0.3), item("YELLOW", 0.0), item("GREEN", -0.3)];
                let row = json!({
                    "token": light, "line_token": line, "traffic_light_type": "VERTICAL", "from_road_block_token": "",
                    "items": items, "pose": pose,
                });
                self.add("traffic_light", row);
                lights.push(light);
            }
            for (i, stop) in signal.stop_lines.iter().enumerate() {
                let (along, across) = (
                    DVec2::from_angle(stop.yaw_rad) * 0.2,
                    DVec2::from_angle(stop.yaw_rad).perp() * stop.width_m / 2.0,
                );
                let c = stop.center + shift;
                let outline = [c + along + across, c - along + across, c - along - across, c + along - across];
                let polygon = self.polygon(&format!("{label} stop {i}"), &outline);
                let row = json!({
                    "token": token(&format!("stop {label} {i}")), "polygon_token": polygon, "stop_line_type": kind,
                    "ped_crossing_tokens": [], "traffic_light_tokens": lights, "road_block_token": "",
                });
                self.add("stop_line", row);
            }
        }
    }

    /// Metres in use.
    fn canvas(&self) -> DVec2 {
        self.taken.max(DVec2::splat(100.0))
    }

    /// Write the expansion and the mask; the mask's name, relative to the root.
    pub fn write(self, root: &Path) -> Result<String, DataError> {
        let mask = format!("maps/{}.png", token(&format!("mask {}", self.name)));
        let canvas = self.canvas();
        write_mask(&root.join(&mask), canvas, &self.surfaces)?;
        let mut document = serde_json::Map::new();
        document.insert("version".into(), json!("1.3"));
        document.insert("canvas_edge".into(), json!([canvas.x, canvas.y]));
        for (layer, rows) in self.layers {
            document.insert(layer.into(), Value::Array(rows));
        }
        document.insert("arcline_path_3".into(), Value::Object(self.arclines));
        document.insert("connectivity".into(), Value::Object(self.connectivity));
        let path = root.join("maps/expansion").join(self.name).with_extension("json");
        apprentice_store::write_atomic_with(&path, |out| Ok(serde_json::to_writer(out, &Value::Object(document))?))?;
        Ok(mask)
    }
}

/// The band between two edges as simple polygons: one where its edges do not cross, else the hulls of its quads.
fn outlines(left: &[DVec2], right: &[DVec2]) -> Vec<Vec<DVec2>> {
    let mut ring: Vec<DVec2> = left.iter().chain(right.iter().rev()).copied().collect();
    ring.dedup_by(|a, b| a.distance(*b) < 1e-3);
    while ring.len() > 1 && ring[0].distance(ring[ring.len() - 1]) < 1e-3 {
        ring.pop();
    }
    if ring.len() >= 3 && is_simple(&ring) {
        return vec![ring];
    }
    let quads = left.windows(2).zip(right.windows(2));
    quads.map(|(l, r)| hull([l[0], l[1], r[0], r[1]].into_iter())).filter(|quad| quad.len() >= 3).collect()
}

/// Whether no two sides of a ring meet but neighbours at their corner.
fn is_simple(ring: &[DVec2]) -> bool {
    let n = ring.len();
    let side = |i: usize| (ring[i], ring[(i + 1) % n]);
    let turn = |a: DVec2, b: DVec2, c: DVec2| (b - a).perp_dot(c - a);
    (0..n).all(|i| {
        (i + 1..n).all(|j| {
            let ((a, b), (c, d)) = (side(i), side(j));
            if j == i + 1 || (i == 0 && j == n - 1) {
                // Neighbours may not fold back on each other.
                let (p, corner, q) = if j == i + 1 { (a, b, d) } else { (c, a, b) };
                return turn(p, corner, q).abs() > 1e-9 || (p - corner).dot(q - corner) < 0.0;
            }
            let apart = a.min(b).cmpgt(c.max(d)).any() || c.min(d).cmpgt(a.max(b)).any();
            let split = |p: DVec2, q: DVec2, r: DVec2, s: DVec2| turn(p, q, r) * turn(p, q, s) > 0.0;
            apart || split(a, b, c, d) || split(c, d, a, b)
        })
    })
}

/// Convex hull, counter-clockwise.
fn hull(points: impl Iterator<Item = DVec2>) -> Vec<DVec2> {
    let mut points: Vec<DVec2> = points.collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup_by(|a, b| a.distance(*b) < 1e-3);
    let half = |points: &mut dyn Iterator<Item = &DVec2>| {
        let mut out: Vec<DVec2> = Vec::new();
        for p in points {
            while out.len() >= 2 && (out[out.len() - 1] - out[out.len() - 2]).perp_dot(*p - out[out.len() - 2]) <= 1e-6
            {
                out.pop();
            }
            out.push(*p);
        }
        out.pop();
        out
    };
    let mut out = half(&mut points.iter());
    out.extend(half(&mut points.iter().rev()));
    out
}

/// Grey mask at 10 pixels a metre, rows from the top: 255 where one may drive or walk.
fn write_mask(path: &Path, canvas: DVec2, surfaces: &[Vec<DVec2>]) -> Result<(), DataError> {
    let (width, height) = ((canvas.x * PIXELS_PER_M).ceil() as usize, (canvas.y * PIXELS_PER_M).ceil() as usize);
    let mut mask = vec![0_u8; width * height];
    for outline in surfaces {
        fill(&mut mask, width, height, outline);
    }
    let wrong = |e: png::EncodingError| DataError::Request(format!("writing {}: {e}", path.display()));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&mask)).map_err(wrong)?;
    super::write(path, &bytes)
}

/// Fill the pixels whose middle lies in a polygon.
fn fill(mask: &mut [u8], width: usize, height: usize, outline: &[DVec2]) {
    let low = outline.iter().map(|p| p.y).fold(f64::INFINITY, f64::min) * PIXELS_PER_M;
    let high = outline.iter().map(|p| p.y).fold(f64::NEG_INFINITY, f64::max) * PIXELS_PER_M;
    let mut crossings: Vec<f64> = Vec::new();
    for line in low.floor().max(0.0) as usize..(high.ceil().max(0.0) as usize).min(height) {
        let y = (line as f64 + 0.5) / PIXELS_PER_M;
        crossings.clear();
        for (a, b) in outline.iter().zip(outline.iter().cycle().skip(1)) {
            if (a.y > y) != (b.y > y) {
                crossings.push((a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x)) * PIXELS_PER_M);
            }
        }
        crossings.sort_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let from = (pair[0] - 0.5).ceil().max(0.0) as usize;
            let to = ((pair[1] - 0.5).floor() + 1.0).clamp(0.0, width as f64) as usize;
            if from < to {
                let row = (height - 1 - line) * width;
                mask[row + from..row + to].fill(255);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_that_cross_themselves_become_simple_pieces() {
        let at = |x: f64, y: f64| DVec2::new(x, y);
        let straight = outlines(&[at(0.0, 1.0), at(5.0, 1.0)], &[at(0.0, 0.0), at(5.0, 0.0)]);
        assert_eq!(straight.len(), 1);
        // Left and right swap sides halfway.
        let twisted =
            outlines(&[at(0.0, 1.0), at(2.0, 1.0), at(4.0, 0.0)], &[at(0.0, 0.0), at(2.0, 0.0), at(4.0, 1.0)]);
        assert_eq!(twisted.len(), 2);
        assert!(twisted.iter().all(|piece| is_simple(piece)));
        assert_eq!(hull([at(0.0, 0.0), at(1.0, 0.0), at(0.5, 0.0), at(1.0, 1.0), at(0.0, 1.0)].into_iter()).len(), 4);
    }

    #[test]
    fn a_filled_square_has_its_pixels() {
        let mut mask = vec![0; 40 * 30];
        let at = |x: f64, y: f64| DVec2::new(x, y);
        fill(&mut mask, 40, 30, &[at(1.0, 0.5), at(3.0, 0.5), at(3.0, 1.5), at(1.0, 1.5)]);
        assert_eq!(mask.iter().filter(|p| **p == 255).count(), 20 * 10);
        assert_eq!((mask[24 * 40 + 10], mask[25 * 40 + 10], mask[14 * 40 + 10]), (255, 0, 0));
    }
}
