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
pub(super) struct Level {
    pub(super) tiles_x: i32,
    pub(super) last_x: i32,
    pub(super) last_y: i32,
    texels_per_m: f32,
    /// Tile slot → offset of its first texel in `texels`. The first tile is grass, the last element belongs to none.
    pub(super) index: Vec<u32>,
    pub(super) texels: Vec<u16>,
}

/// The ground's colours. Texels are RGB 5-6-5; [`GroundTexture::texel`] spreads the channels so that up to 32 taps can be
/// added as one integer.
#[derive(Clone, Debug)]
pub struct GroundTexture {
    origin: [f32; 2],
    pub(super) levels: Vec<Level>,
}

/// Bits that hold a channel after spreading: green above red above blue.
pub(super) const SPREAD: u32 = 0x07e0_f81f;

/// Bits of a texel's place along a side of its tile.
pub(super) const TILE_BITS: u32 = TILE.trailing_zeros();
pub(super) const TILE_MASK: i32 = TILE as i32 - 1;

#[inline(always)]
pub(super) fn spread(texel: u16) -> u32 {
    let texel = u32::from(texel);
    (texel | texel << 16) & SPREAD
}

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
            let tile = *l.index.get_unchecked(((v >> TILE_BITS) * l.tiles_x + (u >> TILE_BITS)) as usize);
            *l.texels.get_unchecked((tile | ((v & TILE_MASK) << TILE_BITS | (u & TILE_MASK)) as u32) as usize)
        };
        spread(texel)
    }

    /// A tile by its column and row, `None` beyond the texture.
    #[inline(always)]
    fn tile(&self, level: usize, column: i32, row: i32) -> Option<&[u16; TILE * TILE]> {
        let l = &self.levels[level];
        let slot = (row * l.tiles_x + column) as usize;
        let inside = (column as u32) < l.tiles_x as u32 && row >= 0 && slot < l.index.len();
        let first = if inside { l.index[slot] as usize } else { return None };
        l.texels.get(first..first + TILE * TILE)?.try_into().ok()
    }

    /// The sum of `N` texels along a line from fixed-point `at` by `step`.
    #[inline(always)]
    pub fn sum<const N: usize>(&self, level: usize, at: [i32; 2], step: [i32; 2]) -> u32 {
        let [mut u, mut v] = at;
        let mut sum = 0;
        // Most lines stay within one tile, which is then looked up once.
        let [column, row] = at.map(|x| x >> (FRACTION + TILE_BITS));
        let ends = |k: usize| (at[k] + step[k] * (N as i32 - 1)) >> (FRACTION + TILE_BITS);
        let tile = if ends(0) == column && ends(1) == row { self.tile(level, column, row) } else { None };
        if let Some(tile) = tile {
            for _ in 0..N {
                let texel = (v >> FRACTION & TILE_MASK) << TILE_BITS | u >> FRACTION & TILE_MASK;
                sum += spread(tile[texel as usize]);
                u += step[0];
                v += step[1];
            }
            return sum;
        }
        for _ in 0..N {
            sum += self.texel(level, u >> FRACTION, v >> FRACTION);
            u += step[0];
            v += step[1];
        }
        sum
    }

    /// 32 times the bilinear mean of the four finest texels about a fixed-point place.
    #[inline(always)]
    pub fn smooth(&self, at: [i32; 2]) -> u32 {
        // Texel centres lie at halves.
        let [u, v] = at.map(|x| x - (1 << (FRACTION - 1)));
        let fu = (u >> (FRACTION - 2)) as u32 & 3;
        let fv = (v >> (FRACTION - 3)) as u32 & 7;
        let (u, v) = (u >> FRACTION, v >> FRACTION);
        let apart = u & TILE_MASK == TILE_MASK || v & TILE_MASK == TILE_MASK;
        let tile = if apart { None } else { self.tile(0, u >> TILE_BITS, v >> TILE_BITS) };
        let four = match tile {
            Some(tile) => {
                let first = ((v & TILE_MASK) << TILE_BITS | u & TILE_MASK) as usize;
                [0, 1, TILE, TILE + 1].map(|k| spread(tile[(first + k) & (TILE * TILE - 1)]))
            }
            None => [[u, v], [u + 1, v], [u, v + 1], [u + 1, v + 1]].map(|[u, v]| self.texel(0, u, v)),
        };
        let below = four[0] * (4 - fu) + four[1] * fu;
        let above = four[2] * (4 - fu) + four[3] * fu;
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
        // A gather reads two bytes more than a texel has.
        texels.push(0);
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

    #[test]
    fn a_line_is_the_sum_of_its_texels_within_a_tile_across_tiles_and_beyond() {
        let color = |tile: usize, i: usize| [(tile * 60) as f32, (i % TILE * 8) as f32, (i / TILE * 8) as f32];
        let tile = |t: usize| Some(Box::new(std::array::from_fn(|i| color(t, i))));
        let level = Level::new(2, 2, 0, &[tile(0), None, tile(2), tile(3)], [1.0, 200.0, 3.0]);
        let texture = GroundTexture { origin: [0.0; 2], levels: vec![level] };
        let scale = 1 << FRACTION;
        for (u, v) in (-3..70).flat_map(|u| (-3..70).map(move |v| (u * scale + 77, v * scale + 200))) {
            for step in [[0, 0], [scale / 3, scale], [-scale, scale / 2]] {
                let places = (0..8).map(|k| [u + k * step[0], v + k * step[1]]);
                let sum: u32 = places.map(|[u, v]| texture.texel(0, u >> FRACTION, v >> FRACTION)).sum();
                assert_eq!(texture.sum::<8>(0, [u, v], step), sum, "{u} {v} {step:?}");
            }
            let (fu, fv) = (u - scale / 2, v - scale / 2);
            let (share_u, share_v) = ((fu & 0xff) as u32 >> 6, (fv & 0xff) as u32 >> 5);
            let texel = |du: i32, dv: i32| texture.texel(0, (fu >> FRACTION) + du, (fv >> FRACTION) + dv);
            let row = |dv: i32| texel(0, dv) * (4 - share_u) + texel(1, dv) * share_u;
            assert_eq!(texture.smooth([u, v]), row(0) * (8 - share_v) + row(1) * share_v, "{u} {v}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn eight_places_at_once_are_the_same_as_one_by_one() {
        if !std::arch::is_x86_feature_detected!("avx2") {
            return;
        }
        let color = |tile: usize, i: usize| [(tile * 20) as f32, (i % TILE * 8) as f32, (i / TILE * 8) as f32];
        let tile = |t: usize| (t != 4).then(|| Box::new(std::array::from_fn(|i| color(t, i))));
        let tiles: Vec<_> = (0..9).map(tile).collect();
        let texture = GroundTexture { origin: [0.0; 2], levels: vec![Level::new(3, 3, 0, &tiles, [1.0, 200.0, 3.0])] };
        let scale = 1 << FRACTION;
        let (mut at_once, mut smooth_at_once) = (0, 0);
        for (u, v) in (-9..105).flat_map(|u| (-9..105).map(move |v| (u * scale + 77, v * scale + 200))) {
            for step in [[0, 0], [scale / 3, scale], [-scale, scale / 2], [3 * scale, -2 * scale]] {
                let at = [0, 1].map(|axis| std::array::from_fn(|k| [u, v][axis] + k as i32 * step[1 - axis] / 2));
                let steps = [0, 1].map(|axis| std::array::from_fn(|k| step[axis] + k as i32));
                let place = |k: usize| [at[0][k], at[1][k]];
                // SAFETY: the feature was just detected.
                let (sums, smooths) = unsafe { (texture.sums::<8>(0, &at, &steps), texture.smooths(&at)) };
                if let Some(sums) = sums {
                    let expected = std::array::from_fn(|k| texture.sum::<8>(0, place(k), [steps[0][k], steps[1][k]]));
                    assert_eq!(sums, expected, "{at:?} {steps:?}");
                    at_once += 1;
                }
                if let Some(smooths) = smooths {
                    assert_eq!(smooths, std::array::from_fn(|k| texture.smooth(place(k))), "{at:?}");
                    smooth_at_once += 1;
                }
            }
        }
        assert!(at_once > 10_000 && smooth_at_once > 10_000, "{at_once} {smooth_at_once}");
    }
}
