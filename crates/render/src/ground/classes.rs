//! Which texel of the ground is made of what: lane surfaces are filled into a sparse raster of classes, then the kerb
//! between sidewalk and carriageway is found in it.

use apprentice_core::geometry::DVec2;
use apprentice_road::{LaneKind, Strip};

/// What a piece of ground is made of. Later kinds cover earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Surface {
    /// Everything that is not built.
    Grass,
    /// Verges and borders.
    Verge,
    /// Sidewalks.
    Sidewalk,
    /// Paved shoulders.
    Shoulder,
    /// Parking lanes.
    Parking,
    /// Cycle lanes.
    Cycle,
    /// Driving lanes inside a junction.
    Junction,
    /// Driving lanes.
    Road,
    /// The stone between carriageway and sidewalk.
    Kerb,
}

impl Surface {
    /// The surface of a strip.
    pub fn of(strip: &Strip) -> Self {
        match strip.kind {
            LaneKind::Driving if strip.junction => Self::Junction,
            LaneKind::Driving | LaneKind::Bidirectional => Self::Road,
            LaneKind::Parking => Self::Parking,
            LaneKind::Shoulder => Self::Shoulder,
            LaneKind::Sidewalk => Self::Sidewalk,
            LaneKind::Biking => Self::Cycle,
            LaneKind::Border | LaneKind::Other => Self::Verge,
        }
    }

    /// Whether wheels belong on it.
    pub fn carries_traffic(self) -> bool {
        matches!(self, Self::Shoulder | Self::Parking | Self::Cycle | Self::Road | Self::Junction)
    }

    /// Diffuse colour.
    pub fn color(self) -> [f32; 3] {
        match self {
            Self::Grass => [98.0, 118.0, 70.0],
            Self::Verge => [124.0, 120.0, 100.0],
            Self::Sidewalk => [164.0, 158.0, 148.0],
            Self::Shoulder => [116.0, 114.0, 112.0],
            Self::Parking => [106.0, 103.0, 104.0],
            Self::Cycle => [128.0, 92.0, 84.0],
            Self::Road => [92.0, 93.0, 97.0],
            Self::Junction => [94.0, 95.0, 98.0],
            Self::Kerb => [188.0, 184.0, 176.0],
        }
    }

    pub(crate) const ALL: [Surface; 9] = [
        Self::Grass,
        Self::Verge,
        Self::Sidewalk,
        Self::Shoulder,
        Self::Parking,
        Self::Cycle,
        Self::Junction,
        Self::Road,
        Self::Kerb,
    ];
}

/// Texels along a side of a tile.
pub const TILE: usize = 32;
/// Metres per texel of the finest level.
pub const TEXEL_M: f64 = 0.125;
const NONE: u32 = u32::MAX;

/// A sparse raster of [`Surface`] classes; where there is no tile there is grass.
#[derive(Clone, Debug)]
pub struct ClassRaster {
    /// World position of texel (0, 0)'s corner.
    pub origin: DVec2,
    /// Tiles across.
    pub tiles_x: usize,
    /// Tiles up.
    pub tiles_y: usize,
    index: Vec<u32>,
    tiles: Vec<[u8; TILE * TILE]>,
}

impl ClassRaster {
    /// An empty raster over a rectangle, its size in tiles rounded up to a multiple of `multiple`.
    pub fn new(low: DVec2, high: DVec2, multiple: usize) -> Self {
        let tile_m = TEXEL_M * TILE as f64;
        let count = |extent: f64| ((extent / tile_m).ceil().max(1.0) as usize).next_multiple_of(multiple);
        let (tiles_x, tiles_y) = (count(high.x - low.x), count(high.y - low.y));
        Self { origin: low, tiles_x, tiles_y, index: vec![NONE; tiles_x * tiles_y], tiles: Vec::new() }
    }

    /// The tile at tile coordinates, if anything was built there.
    pub fn tile(&self, tx: usize, ty: usize) -> Option<&[u8; TILE * TILE]> {
        let i = self.index[ty * self.tiles_x + tx];
        (i != NONE).then(|| &self.tiles[i as usize])
    }

    /// How many tiles hold something.
    pub fn tile_count(&self) -> usize {
        self.tiles.len()
    }

    fn class_at(&self, x: i64, y: i64) -> u8 {
        let side = TILE as i64;
        if x < 0 || y < 0 || x >= self.tiles_x as i64 * side || y >= self.tiles_y as i64 * side {
            return Surface::Grass as u8;
        }
        let tile = self.tile((x / side) as usize, (y / side) as usize);
        tile.map_or(Surface::Grass as u8, |t| t[(y % side * side + x % side) as usize])
    }

    fn raise(&mut self, y: i64, x0: i64, x1: i64, class: u8) {
        let side = TILE as i64;
        if y < 0 || y >= self.tiles_y as i64 * side {
            return;
        }
        let (mut x, end) = (x0.max(0), x1.min(self.tiles_x as i64 * side));
        while x < end {
            let stop = end.min((x / side + 1) * side);
            let slot = (y / side) as usize * self.tiles_x + (x / side) as usize;
            if self.index[slot] == NONE {
                self.index[slot] = self.tiles.len() as u32;
                self.tiles.push([Surface::Grass as u8; TILE * TILE]);
            }
            let tile = &mut self.tiles[self.index[slot] as usize];
            let row = (y % side * side) as usize;
            for texel in &mut tile[row + (x % side) as usize..row + ((stop - 1) % side) as usize + 1] {
                *texel = (*texel).max(class);
            }
            x = stop;
        }
    }

    /// Fill a convex or nearly convex quadrilateral (two triangles) with a class.
    pub fn fill_quad(&mut self, corners: [DVec2; 4], class: Surface) {
        self.fill_triangle([corners[0], corners[1], corners[2]], class);
        self.fill_triangle([corners[0], corners[2], corners[3]], class);
    }

    fn fill_triangle(&mut self, corners: [DVec2; 3], class: Surface) {
        let p = corners.map(|c| (c - self.origin) / TEXEL_M);
        let low = p.iter().fold(f64::MAX, |a, v| a.min(v.y));
        let high = p.iter().fold(f64::MIN, |a, v| a.max(v.y));
        let (y0, y1) = ((low - 0.5).ceil() as i64, (high - 0.5).ceil() as i64);
        for y in y0..y1 {
            let line = y as f64 + 0.5;
            let (mut left, mut right) = (f64::MAX, f64::MIN);
            for i in 0..3 {
                let (a, b) = (p[i], p[(i + 1) % 3]);
                if (a.y <= line) != (b.y <= line) {
                    let x = a.x + (b.x - a.x) * (line - a.y) / (b.y - a.y);
                    left = left.min(x);
                    right = right.max(x);
                }
            }
            if left <= right {
                // Half a texel more on each side closes the hairlines between strips.
                self.raise(y, (left - 1.0).ceil() as i64, right.ceil() as i64, class as u8);
            }
        }
    }

    /// Fill a strip of lane surface between cross sections `from..=to`.
    pub fn fill_strip(&mut self, strip: &Strip, keep: impl Fn(usize) -> bool) {
        let class = Surface::of(strip);
        let count = strip.left.len().min(strip.right.len());
        for i in (1..count).filter(|&i| keep(i)) {
            let quad = [strip.left[i - 1], strip.right[i - 1], strip.right[i], strip.left[i]];
            self.fill_quad(quad.map(|p| p.truncate()), class);
        }
    }

    /// Turn the outermost 25 cm of sidewalk along a carriageway into kerb.
    pub fn find_kerbs(&mut self) {
        const REACH: i64 = 2;
        let side = TILE as i64;
        let mut found = Vec::new();
        for ty in 0..self.tiles_y {
            for tx in 0..self.tiles_x {
                let slot = self.index[ty * self.tiles_x + tx];
                let Some(tile) = self.tile(tx, ty) else { continue };
                if !tile.contains(&(Surface::Sidewalk as u8)) {
                    continue;
                }
                for (i, _) in tile.iter().enumerate().filter(|&(_, &c)| c == Surface::Sidewalk as u8) {
                    let (x, y) = (tx as i64 * side + i as i64 % side, ty as i64 * side + i as i64 / side);
                    let beside_traffic = [(REACH, 0), (-REACH, 0), (0, REACH), (0, -REACH)]
                        .iter()
                        .any(|&(dx, dy)| Surface::ALL[self.class_at(x + dx, y + dy) as usize].carries_traffic());
                    if beside_traffic {
                        found.push((slot, i));
                    }
                }
            }
        }
        for (slot, i) in found {
            self.tiles[slot as usize][i] = Surface::Kerb as u8;
        }
    }

    /// The class at a point of the world.
    pub fn at(&self, point: DVec2) -> Surface {
        let p = (point - self.origin) / TEXEL_M;
        Surface::ALL[self.class_at(p.x.floor() as i64, p.y.floor() as i64) as usize]
    }
}
