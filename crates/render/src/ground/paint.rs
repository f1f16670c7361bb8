//! Colouring the ground: material colours with a little grain, then paint blended over them by coverage.

use super::classes::{ClassRaster, Surface, TEXEL_M, TILE};
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_road::{MarkKind, TownMesh};

/// White paint.
pub const WHITE: [f32; 3] = [236.0, 236.0, 230.0];
/// Yellow paint.
pub const YELLOW: [f32; 3] = [232.0, 178.0, 44.0];
/// Dash and gap of a broken line that does not say.
const DASH_M: (f64, f64) = (3.0, 4.5);

/// Colours of the finest level while they are made: one tile per tile of the class raster.
#[derive(Debug)]
pub struct ColorTiles {
    origin: DVec2,
    /// Tiles across.
    pub tiles_x: usize,
    /// Tiles up.
    pub tiles_y: usize,
    /// Per tile slot its colours, or nothing where it is all grass.
    pub tiles: Vec<Option<Box<[[f32; 3]; TILE * TILE]>>>,
}

/// Grain in -1..1 of a texel; repeats every 16 m so that it needs no memory of its own.
fn grain(x: usize, y: usize) -> f32 {
    let mut h = (x as u32 & 127).wrapping_mul(0x9e37_79b1) ^ (y as u32 & 127).wrapping_mul(0x85eb_ca77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h ^= h >> 12;
    (h & 0xffff) as f32 / 32768.0 - 1.0
}

impl ColorTiles {
    /// The materials of a class raster.
    pub fn new(classes: &ClassRaster) -> Self {
        let mut tiles = Vec::with_capacity(classes.tiles_x * classes.tiles_y);
        for ty in 0..classes.tiles_y {
            for tx in 0..classes.tiles_x {
                tiles.push(classes.tile(tx, ty).map(|tile| {
                    let mut colors = Box::new([[0.0; 3]; TILE * TILE]);
                    for (i, color) in colors.iter_mut().enumerate() {
                        let surface = Surface::ALL[tile[i] as usize];
                        let amount = if surface == Surface::Grass { 0.10 } else { 0.045 };
                        let shade = 1.0 + amount * grain(tx * TILE + i % TILE, ty * TILE + i / TILE);
                        *color = surface.color().map(|c| c * shade);
                    }
                    colors
                }));
            }
        }
        Self { origin: classes.origin, tiles_x: classes.tiles_x, tiles_y: classes.tiles_y, tiles }
    }

    fn blend(&mut self, x: i64, y: i64, color: [f32; 3], coverage: f32) {
        let side = TILE as i64;
        if x < 0 || y < 0 || x >= self.tiles_x as i64 * side || y >= self.tiles_y as i64 * side {
            return;
        }
        if let Some(tile) = &mut self.tiles[(y / side) as usize * self.tiles_x + (x / side) as usize] {
            let texel = &mut tile[(y % side * side + x % side) as usize];
            for (old, new) in texel.iter_mut().zip(color) {
                *old += (new - *old) * coverage;
            }
        }
    }

    /// Paint a straight piece of line with its exact coverage across and along, to within a texel.
    fn segment(&mut self, a: DVec2, b: DVec2, width_m: f64, color: [f32; 3]) {
        let (a, b) = ((a - self.origin) / TEXEL_M, (b - self.origin) / TEXEL_M);
        let length = (b - a).length();
        if length < 1e-6 {
            return;
        }
        let along = (b - a) / length;
        let half = width_m / TEXEL_M / 2.0;
        let reach = half + 1.0;
        let (low, high) = (a.min(b) - reach, a.max(b) + reach);
        for y in low.y.floor() as i64..=high.y.ceil() as i64 {
            for x in low.x.floor() as i64..=high.x.ceil() as i64 {
                let d = DVec2::new(x as f64 + 0.5, y as f64 + 0.5) - a;
                let (t, across) = (d.dot(along), d.perp_dot(along).abs());
                let cover = (half + 0.5 - across).clamp(0.0, 1.0).min(2.0 * half)
                    * (t + 0.5).clamp(0.0, 1.0)
                    * (length + 0.5 - t).clamp(0.0, 1.0);
                if cover > 0.0 {
                    self.blend(x, y, color, cover as f32 * 0.94);
                }
            }
        }
    }

    /// Paint a line, dashed or not. `keep` says which segments lie on this layer.
    fn line(
        &mut self,
        points: &[DVec3],
        width_m: f64,
        dash_m: Option<(f64, f64)>,
        color: [f32; 3],
        keep: &dyn Fn(DVec3) -> bool,
    ) {
        let mut s = 0.0;
        for pair in points.windows(2) {
            let (a, b) = (pair[0].truncate(), pair[1].truncate());
            let length = (b - a).length();
            if length > 0.0 && keep((pair[0] + pair[1]) / 2.0) {
                let at = |t: f64| a + (b - a) * (t / length).clamp(0.0, 1.0);
                match dash_m {
                    None => self.segment(a, b, width_m, color),
                    Some((dash, gap)) => {
                        let period = dash + gap;
                        let mut start = (s / period).floor() * period;
                        while start < s + length {
                            let (from, to) = (start.max(s), (start + dash).min(s + length));
                            if from < to {
                                self.segment(at(from - s), at(to - s), width_m, color);
                            }
                            start += period;
                        }
                    }
                }
            }
            s += length;
        }
    }

    /// Fill a polygon where `inside(point)` gives the paint's strength.
    fn polygon(&mut self, outline: &[DVec2], color: [f32; 3], strength: impl Fn(DVec2) -> f64) {
        let Some(&first) = outline.first() else { return };
        let (low, high) = outline.iter().fold((first, first), |(l, h), p| (l.min(*p), h.max(*p)));
        let (low, high) = ((low - self.origin) / TEXEL_M, (high - self.origin) / TEXEL_M);
        for y in low.y.floor() as i64..=high.y.ceil() as i64 {
            for x in low.x.floor() as i64..=high.x.ceil() as i64 {
                let p = self.origin + DVec2::new(x as f64 + 0.5, y as f64 + 0.5) * TEXEL_M;
                if contains(outline, p) {
                    let s = strength(p);
                    if s > 0.0 {
                        self.blend(x, y, color, s as f32 * 0.92);
                    }
                }
            }
        }
    }

    /// Lane lines, stop lines and crosswalks of a town. `keep` says which points lie on this layer.
    pub fn paint(&mut self, mesh: &TownMesh, keep: &dyn Fn(DVec3) -> bool) {
        for outline in &mesh.crosswalks {
            if outline.len() >= 3 && keep(outline.iter().sum::<DVec3>() / outline.len() as f64) {
                self.crosswalk(&outline.iter().map(|p| p.truncate()).collect::<Vec<_>>());
            }
        }
        for line in &mesh.paint {
            let dash = (line.kind == MarkKind::Broken)
                .then(|| line.dash_m.map_or(DASH_M, |(dash, gap)| (dash.into(), gap.into())));
            let color = if line.yellow { YELLOW } else { WHITE };
            self.line(&line.points, line.width_m.into(), dash, color, keep);
        }
        for stop in &mesh.stop_lines {
            if keep(stop.corners.iter().sum::<DVec3>() / 4.0) {
                self.polygon(&stop.corners.map(|p| p.truncate()), WHITE, |_| 1.0);
            }
        }
    }

    /// Zebra stripes across the walking direction, which is the longer side of the outline.
    fn crosswalk(&mut self, outline: &[DVec2]) {
        const STRIPE_M: f64 = 0.55;
        const PERIOD_M: f64 = 1.15;
        let n = outline.len();
        let longest = (0..n)
            .map(|i| (outline[i], outline[(i + 1) % n]))
            .max_by(|a, b| (a.1 - a.0).length_squared().total_cmp(&(b.1 - b.0).length_squared()));
        let Some((a, b)) = longest else { return };
        let Some(along) = (b - a).try_normalize() else { return };
        self.polygon(outline, WHITE, |p| {
            let t = ((p - a).dot(along) - 0.3).rem_euclid(PERIOD_M);
            let edge = TEXEL_M / 2.0;
            ((t + edge) / TEXEL_M).min((STRIPE_M + edge - t) / TEXEL_M).clamp(0.0, 1.0)
        });
    }
}

/// Even-odd point in polygon.
pub fn contains(outline: &[DVec2], p: DVec2) -> bool {
    let n = outline.len();
    (0..n).fold(false, |inside, i| {
        let (a, b) = (outline[i], outline[(i + 1) % n]);
        let crosses = (a.y > p.y) != (b.y > p.y) && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y);
        inside != crosses
    })
}
