//! The finished ground texture: sparse tiles of 16-bit colours, mip-mapped, sampled with a few taps along the footprint.

use super::classes::{ClassRaster, Surface, TEXEL_M, TILE};
use super::paint::ColorTiles;
use apprentice_core::geometry::DVec2;

/// Mip levels: 12.5 cm to 8 m.
pub const LEVELS: usize = 7;

/// Fractional bits of texel coordinates.
pub const FRACTION: u32 = 8;

/// One mip level.
#[derive(Clone, Debug)]
struct Level {
    tiles_x: i32,
    last_x: i32,
    last_y: i32,
    texels_per_m: f32,
    /// Tile slot → offset of its first texel in `texels`.
    index: Vec<u32>,
    texels: Vec<u16>,
}

/// The ground's colours. Texels are RGB 5-6-5; [`GroundTexture::texel`] spreads the channels so that up to 32 taps can be
/// added as one integer.
#[derive(Clone, Debug)]
pub struct GroundTexture {
    origin: [f32; 2],
    levels: Vec<Level>,
}

/// Bits that hold a channel after spreading: green above red above blue.
const SPREAD: u32 = 0x07e0_f81f;

fn pack(color: [f32; 3]) -> u16 {
    let q = |c: f32, max: f32| (c / 255.0 * max + 0.5).clamp(0.0, max) as u16;
    q(color[0], 31.0) << 11 | q(color[1], 63.0) << 5 | q(color[2], 31.0)
}

/// Round to an integer within ±2^22 (two kilometres in the finest texels): adding 1.5 · 2^23 leaves it in the lowest bits.
#[inline(always)]
fn fixed(x: f32) -> i32 {
    const LIMIT: f32 = 4_194_303.0;
    (x.clamp(-LIMIT, LIMIT) + 12_582_912.0).to_bits() as i32 - 0x4b40_0000
}

/// The mean of `1 << shift` spread taps added up, as 0..255 colour.
#[inline(always)]
pub fn unspread(sum: u32, scale: f32) -> [f32; 3] {
    [
        ((sum >> 11) & 0x3ff) as f32 * (scale * (255.0 / 31.0)),
        (sum >> 21) as f32 * (scale * (255.0 / 63.0)),
        (sum & 0x7ff) as f32 * (scale * (255.0 / 31.0)),
    ]
}

impl GroundTexture {
    /// Texture of painted tiles.
    pub fn new(classes: &ClassRaster, colors: &ColorTiles) -> Self {
        let grass = Surface::Grass.color();
        let mut levels = Vec::with_capacity(LEVELS);
        let (mut tiles_x, mut tiles_y) = (colors.tiles_x, colors.tiles_y);
        let mut storage: Vec<Option<Box<[[f32; 3]; TILE * TILE]>>>;
        let mut tiles = &colors.tiles;
        for level in 0..LEVELS {
            levels.push(Level::new(tiles_x, tiles_y, level, tiles, grass));
            let (half_x, half_y) = (tiles_x.div_ceil(2), tiles_y.div_ceil(2));
            let mut half = Vec::with_capacity(half_x * half_y);
            for ty in 0..half_y {
                for tx in 0..half_x {
                    half.push(shrink(tiles, tiles_x, tiles_y, tx, ty, grass));
                }
            }
            storage = half;
            tiles = &storage;
            (tiles_x, tiles_y) = (half_x, half_y);
        }
        Self { origin: [classes.origin.x as f32, classes.origin.y as f32], levels }
    }

    /// Bytes of texels held.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|l| l.texels.len() * 2 + l.index.len() * 4).sum()
    }

    /// A point of the world in the texel coordinates of a level, as fixed-point numbers of [`FRACTION`] bits.
    #[inline(always)]
    pub fn locate(&self, level: usize, x: f32, y: f32) -> [i32; 2] {
        let scale = self.levels[level].texels_per_m * (1 << FRACTION) as f32;
        [fixed((x - self.origin[0]) * scale), fixed((y - self.origin[1]) * scale)]
    }

    /// A step in metres as fixed-point texels of a level.
    #[inline(always)]
    pub fn step(&self, level: usize, dx: f32, dy: f32) -> [i32; 2] {
        let scale = self.levels[level].texels_per_m * (1 << FRACTION) as f32;
        [fixed(dx * scale), fixed(dy * scale)]
    }

    /// The spread texel of a level at whole texel coordinates. Beyond the texture its border, grass, goes on for ever.
    #[inline(always)]
    pub fn texel(&self, level: usize, u: i32, v: i32) -> u32 {
        let l = &self.levels[level];
        let u = u.clamp(0, l.last_x);
        let v = v.clamp(0, l.last_y);
        debug_assert_eq!(l.index.len(), ((l.last_x as usize + 1) * (l.last_y as usize + 1)) / (TILE * TILE));
        // SAFETY: u and v were just clamped to the level's texels, whose tiles `index` covers row by row, and every entry
        // of `index` is the first of TILE * TILE texels (`Level::new` builds both so; nothing changes them).
        let texel = unsafe {
            let tile = *l.index.get_unchecked(((v >> 5) * l.tiles_x + (u >> 5)) as usize);
            u32::from(*l.texels.get_unchecked((tile | ((v & 31) << 5 | (u & 31)) as u32) as usize))
        };
        (texel | texel << 16) & SPREAD
    }

    /// The sum of `N` texels along a line from fixed-point `at` by `step`.
    #[inline(always)]
    pub fn sum<const N: usize>(&self, level: usize, at: [i32; 2], step: [i32; 2]) -> u32 {
        let [mut u, mut v] = at;
        let mut sum = 0;
        for _ in 0..N {
            sum += self.texel(level, u >> FRACTION, v >> FRACTION);
            u = u.wrapping_add(step[0]);
            v = v.wrapping_add(step[1]);
        }
        sum
    }

    /// 32 times the bilinear mean of the four finest texels about a fixed-point place.
    #[inline(always)]
    pub fn smooth(&self, at: [i32; 2]) -> u32 {
        // Texel centres lie at halves.
        let (u, v) = (at[0].wrapping_sub(1 << (FRACTION - 1)), at[1].wrapping_sub(1 << (FRACTION - 1)));
        let fu = (u >> (FRACTION - 2)) as u32 & 3;
        let fv = (v >> (FRACTION - 3)) as u32 & 7;
        let (u, v) = (u >> FRACTION, v >> FRACTION);
        let below = self.texel(0, u, v) * (4 - fu) + self.texel(0, u + 1, v) * fu;
        let above = self.texel(0, u, v + 1) * (4 - fu) + self.texel(0, u + 1, v + 1) * fu;
        below * (8 - fv) + above * fv
    }

    /// Mean colour, 0..255, of a square about a point.
    pub fn color_at(&self, point: DVec2, side_m: f64) -> [f32; 3] {
        let level = (side_m / TEXEL_M).max(1.0).log2().floor() as usize;
        let level = level.min(LEVELS - 1);
        let at = self.locate(level, point.x as f32, point.y as f32);
        unspread(self.sum::<1>(level, at, [0, 0]), 1.0)
    }
}

impl Level {
    fn new(
        tiles_x: usize,
        tiles_y: usize,
        level: usize,
        tiles: &[Option<Box<[[f32; 3]; TILE * TILE]>>],
        grass: [f32; 3],
    ) -> Self {
        let mut texels = vec![pack(grass); TILE * TILE];
        let mut index = Vec::with_capacity(tiles.len());
        for tile in tiles {
            match tile {
                None => index.push(0),
                Some(colors) => {
                    index.push(texels.len() as u32);
                    texels.extend(colors.iter().map(|&c| pack(c)));
                }
            }
        }
        texels.shrink_to_fit();
        Self {
            tiles_x: tiles_x as i32,
            last_x: (tiles_x * TILE) as i32 - 1,
            last_y: (tiles_y * TILE) as i32 - 1,
            texels_per_m: (1.0 / (TEXEL_M * (1u64 << level) as f64)) as f32,
            index,
            texels,
        }
    }
}

/// A tile of the next level from up to four of this one.
fn shrink(
    tiles: &[Option<Box<[[f32; 3]; TILE * TILE]>>],
    tiles_x: usize,
    tiles_y: usize,
    tx: usize,
    ty: usize,
    grass: [f32; 3],
) -> Option<Box<[[f32; 3]; TILE * TILE]>> {
    let child = |dx: usize, dy: usize| {
        let (x, y) = (tx * 2 + dx, ty * 2 + dy);
        if x < tiles_x && y < tiles_y { tiles[y * tiles_x + x].as_deref() } else { None }
    };
    let children = [child(0, 0), child(1, 0), child(0, 1), child(1, 1)];
    if children.iter().all(Option::is_none) {
        return None;
    }
    let mut out = Box::new([grass; TILE * TILE]);
    let half = TILE / 2;
    for (i, color) in out.iter_mut().enumerate() {
        let (x, y) = (i % TILE, i / TILE);
        if let Some(from) = children[y / half * 2 + x / half] {
            let (fx, fy) = (x % half * 2, y % half * 2);
            for (c, channel) in color.iter_mut().enumerate() {
                let at = |dx: usize, dy: usize| from[(fy + dy) * TILE + fx + dx][c];
                *channel = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0;
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_sums_keep_channels_apart() {
        let texel = u32::from(u16::MAX);
        let spread = (texel | texel << 16) & SPREAD;
        let color = unspread(spread * 16, 1.0 / 16.0);
        assert!(color.iter().all(|c| (c - 255.0).abs() < 1e-3), "{color:?}");
        let red = u32::from(pack([255.0, 0.0, 0.0]));
        let color = unspread(((red | red << 16) & SPREAD) * 16, 1.0 / 16.0);
        for x in [-3.0f32, -0.4, 0.0, 1.0, 255.7, 100_000.0, -4_000_000.0] {
            assert_eq!(fixed(x), x.round_ties_even() as i32);
        }
        assert!((color[0] - 255.0).abs() < 1e-3 && color[1] == 0.0 && color[2] == 0.0, "{color:?}");
    }
}
