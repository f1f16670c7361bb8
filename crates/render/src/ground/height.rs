//! The shape of the ground: flat where the town is flat, otherwise a grid of heights taken from the lane surfaces and
//! smoothly continued between them, cut into as few triangles as it needs.

use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_road::{LaneKind, TownMesh};

/// Metres between nodes.
const STEP_M: f64 = 4.0;
/// Towns whose carriageways differ less than this in height are drawn as one plane.
const FLAT_M: f64 = 0.3;
/// Triangles may be off by this much.
const TOLERANCE_M: f64 = 0.06;
/// Cells along a side of the blocks that triangles are grouped in.
const BLOCK: usize = 8;

/// Height of the ground over the plane.
#[derive(Clone, Debug)]
pub struct HeightField {
    origin: DVec2,
    nodes_x: usize,
    nodes_y: usize,
    /// Node heights row by row; empty when flat.
    heights: Vec<f64>,
    flat_z: f64,
}

impl HeightField {
    /// The ground of a town within a rectangle.
    pub fn new(mesh: &TownMesh, low: DVec2, high: DVec2) -> Self {
        let traffic: Vec<DVec3> = mesh
            .surfaces
            .iter()
            .filter(|s| s.kind == LaneKind::Driving)
            .flat_map(|s| s.left.iter().chain(&s.right).copied())
            .collect();
        let (mut bottom, mut top) = (f64::MAX, f64::MIN);
        for p in &traffic {
            bottom = bottom.min(p.z);
            top = top.max(p.z);
        }
        if traffic.is_empty() || top - bottom < FLAT_M {
            let flat_z = if traffic.is_empty() { 0.0 } else { (bottom + top) / 2.0 };
            return Self { origin: low, nodes_x: 0, nodes_y: 0, heights: Vec::new(), flat_z };
        }
        let count = |extent: f64| ((extent / STEP_M).ceil() as usize).next_multiple_of(BLOCK) + 1;
        let (nodes_x, nodes_y) = (count(high.x - low.x), count(high.y - low.y));
        let mut field = Self { origin: low, nodes_x, nodes_y, heights: Vec::new(), flat_z: 0.0 };
        let samples = samples(mesh);
        let known = field.known_heights(&samples);
        field.heights = fill_gaps(known, nodes_x, nodes_y);
        field
    }

    /// The lowest carriageway about each node, averaged; `None` where there is none near.
    fn known_heights(&self, samples: &[DVec3]) -> Vec<Option<f64>> {
        let mut lowest = vec![f64::MAX; self.nodes_x * self.nodes_y];
        self.splat(samples, |node, _, z| lowest[node] = lowest[node].min(z));
        let mut sums = vec![(0.0, 0.0); lowest.len()];
        self.splat(samples, |node, distance2, z| {
            if z < lowest[node] + 1.5 {
                let weight = 1.0 / (0.05 + distance2);
                sums[node].0 += z * weight;
                sums[node].1 += weight;
            }
        });
        sums.into_iter().map(|(sum, weight)| (weight > 0.0).then(|| sum / weight)).collect()
    }

    /// Visit the nodes within a step of each sample.
    fn splat(&self, samples: &[DVec3], mut visit: impl FnMut(usize, f64, f64)) {
        for p in samples {
            let g = (p.truncate() - self.origin) / STEP_M;
            for y in (g.y.floor() as i64)..=(g.y.floor() as i64 + 1) {
                for x in (g.x.floor() as i64)..=(g.x.floor() as i64 + 1) {
                    if x >= 0 && y >= 0 && (x as usize) < self.nodes_x && (y as usize) < self.nodes_y {
                        let d = (g - DVec2::new(x as f64, y as f64)) * STEP_M;
                        visit(y as usize * self.nodes_x + x as usize, d.length_squared(), p.z);
                    }
                }
            }
        }
    }

    /// Whether the town is one plane.
    pub fn is_flat(&self) -> bool {
        self.heights.is_empty()
    }

    /// Height at a point.
    pub fn at(&self, p: DVec2) -> f64 {
        if self.is_flat() {
            return self.flat_z;
        }
        let g = (p - self.origin) / STEP_M;
        let x = g.x.clamp(0.0, (self.nodes_x - 1) as f64 - 1e-9);
        let y = g.y.clamp(0.0, (self.nodes_y - 1) as f64 - 1e-9);
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f64, y - iy as f64);
        let h = |dx: usize, dy: usize| self.heights[(iy + dy) * self.nodes_x + ix + dx];
        (h(0, 0) * (1.0 - fx) + h(1, 0) * fx) * (1.0 - fy) + (h(0, 1) * (1.0 - fx) + h(1, 1) * fx) * fy
    }

    fn node(&self, x: usize, y: usize) -> DVec3 {
        let p = self.origin + DVec2::new(x as f64, y as f64) * STEP_M;
        p.extend(self.heights[y * self.nodes_x + x])
    }

    /// Triangles of the ground in blocks, each counter-clockwise from above. A flat town is one quadrilateral as two
    /// triangles that reach `beyond_m` past the rectangle; hills end at the rectangle.
    pub fn blocks(&self, low: DVec2, high: DVec2, beyond_m: f64) -> Vec<Vec<[DVec3; 3]>> {
        if self.is_flat() {
            let (l, h) = (low - beyond_m, high + beyond_m);
            let z = self.flat_z;
            let c = [l.extend(z), DVec3::new(h.x, l.y, z), h.extend(z), DVec3::new(l.x, h.y, z)];
            return vec![vec![[c[0], c[1], c[2]], [c[0], c[2], c[3]]]];
        }
        let mut blocks = Vec::new();
        for y in (0..self.nodes_y - 1).step_by(BLOCK) {
            for x in (0..self.nodes_x - 1).step_by(BLOCK) {
                let mut triangles = Vec::new();
                self.split(x, y, BLOCK, &mut triangles);
                blocks.push(triangles);
            }
        }
        blocks
    }

    fn split(&self, x: usize, y: usize, size: usize, out: &mut Vec<[DVec3; 3]>) {
        let corners = [self.node(x, y), self.node(x + size, y), self.node(x + size, y + size), self.node(x, y + size)];
        let fits = size == 1
            || (0..=size).all(|j| {
                (0..=size).all(|i| {
                    let (u, v) = (i as f64 / size as f64, j as f64 / size as f64);
                    // The two triangles meet on the diagonal from corner 0 to corner 2.
                    let z = if u >= v {
                        corners[0].z + (corners[1].z - corners[0].z) * u + (corners[2].z - corners[1].z) * v
                    } else {
                        corners[0].z + (corners[2].z - corners[3].z) * u + (corners[3].z - corners[0].z) * v
                    };
                    (z - self.node(x + i, y + j).z).abs() < TOLERANCE_M
                })
            });
        if fits {
            out.push([corners[0], corners[1], corners[2]]);
            out.push([corners[0], corners[2], corners[3]]);
        } else {
            let half = size / 2;
            for (dx, dy) in [(0, 0), (half, 0), (0, half), (half, half)] {
                self.split(x + dx, y + dy, half, out);
            }
        }
    }
}

/// How many steps of at most one and a half metres make a length.
fn parts(length_m: f64) -> u32 {
    (length_m / 1.5).ceil().max(1.0) as u32
}

/// Points all over every carriageway, about a metre apart.
fn samples(mesh: &TownMesh) -> Vec<DVec3> {
    let mut points = Vec::new();
    for strip in &mesh.surfaces {
        // Sidewalks may be raised by a kerb: they only fill in where no carriageway is.
        if !matches!(strip.kind, LaneKind::Driving | LaneKind::Shoulder | LaneKind::Parking | LaneKind::Biking) {
            continue;
        }
        let sections: Vec<(DVec3, DVec3)> = strip.left.iter().copied().zip(strip.right.iter().copied()).collect();
        for pair in sections.windows(2) {
            let ((l0, r0), (l1, r1)) = (pair[0], pair[1]);
            let across = parts((l0 - r0).length().max((l1 - r1).length()));
            let along = parts((l0 - l1).length().max((r0 - r1).length()));
            for i in 0..=along {
                let t = f64::from(i) / f64::from(along);
                let (l, r) = (l0.lerp(l1, t), r0.lerp(r1, t));
                points.extend((0..=across).map(|k| l.lerp(r, f64::from(k) / f64::from(across))));
            }
        }
    }
    points
}

/// Fill unknown nodes from coarser averages of the known ones (push–pull), then smooth the filled ones.
fn fill_gaps(known: Vec<Option<f64>>, nodes_x: usize, nodes_y: usize) -> Vec<f64> {
    let coarse = coarser(&known, nodes_x, nodes_y);
    let mut heights: Vec<f64> = match coarse {
        None => known.iter().map(|h| h.unwrap_or(0.0)).collect(),
        Some((values, cx)) => known
            .iter()
            .enumerate()
            .map(|(i, h)| h.unwrap_or_else(|| values[(i / nodes_x / 2) * cx + i % nodes_x / 2]))
            .collect(),
    };
    for _ in 0..6 {
        let old = heights.clone();
        for y in 0..nodes_y {
            for x in 0..nodes_x {
                let i = y * nodes_x + x;
                if known[i].is_none() {
                    let left = old[y * nodes_x + x.saturating_sub(1)];
                    let right = old[y * nodes_x + (x + 1).min(nodes_x - 1)];
                    let below = old[y.saturating_sub(1) * nodes_x + x];
                    let above = old[(y + 1).min(nodes_y - 1) * nodes_x + x];
                    heights[i] = (left + right + below + above) / 4.0;
                }
            }
        }
    }
    heights
}

/// The next coarser level, itself filled.
fn coarser(known: &[Option<f64>], nodes_x: usize, nodes_y: usize) -> Option<(Vec<f64>, usize)> {
    if nodes_x <= 1 && nodes_y <= 1 {
        return None;
    }
    let (cx, cy) = (nodes_x.div_ceil(2), nodes_y.div_ceil(2));
    let mut means = Vec::with_capacity(cx * cy);
    for y in 0..cy {
        for x in 0..cx {
            let (mut sum, mut n) = (0.0, 0);
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let (fx, fy) = (x * 2 + dx, y * 2 + dy);
                if let Some(h) = (fx < nodes_x && fy < nodes_y).then(|| known[fy * nodes_x + fx]).flatten() {
                    sum += h;
                    n += 1;
                }
            }
            means.push((n > 0).then(|| sum / f64::from(n)));
        }
    }
    Some((fill_gaps(means, cx, cy), cx))
}
