//! Eight places of a ground texture at once, with AVX2: where they and all taps from them lie within two by two tiles, as
//! those of neighbouring pixels nearly always do, the tiles are looked up once and the texels are gathered.
//!
//! Sums are of integers, so they are the same numbers as [`GroundTexture::sum`]'s and [`GroundTexture::smooth`]'s.

use super::texture::{FRACTION, GroundTexture, Level, SPREAD, TILE_BITS, TILE_MASK, spread};
use crate::lanes::LANES;
use std::arch::x86_64::*;

/// Bits of a texel coordinate below its tile's number.
const BELOW: i32 = (FRACTION + TILE_BITS) as i32;
const ONE: i32 = 1 << FRACTION;

/// Two by two tiles.
#[derive(Clone, Copy)]
struct Patch<'a> {
    /// Where their texels begin, in the order of [`Patch::texels`]'s `which`.
    tiles: __m256i,
    level: &'a Level,
    /// Its first place.
    corner: [__m256i; 2],
}

#[target_feature(enable = "avx2")]
fn lowest(x: __m256i) -> i32 {
    let x = _mm_min_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let x = _mm_min_epi32(x, _mm_shuffle_epi32::<0b01_00_11_10>(x));
    _mm_cvtsi128_si32(_mm_min_epi32(x, _mm_shuffle_epi32::<0b10_11_00_01>(x)))
}

#[target_feature(enable = "avx2")]
fn load(lanes: &[i32; LANES]) -> __m256i {
    // SAFETY: eight numbers are 32 bytes.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(lanes: __m256i) -> [u32; LANES] {
    let mut out = [0; LANES];
    // SAFETY: eight numbers are 32 bytes.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), lanes) };
    out
}

impl<'a> Patch<'a> {
    /// The tiles that hold lines from `[u, v]` to `ends`; `None` where they are more, or some of the texture's border.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn about(level: &'a Level, [u, v]: [__m256i; 2], [end_u, end_v]: [__m256i; 2]) -> Option<Self> {
        let column = lowest(_mm256_min_epi32(u, end_u)) >> BELOW;
        let row = lowest(_mm256_min_epi32(v, end_v)) >> BELOW;
        let corner = [_mm256_set1_epi32(column << BELOW), _mm256_set1_epi32(row << BELOW)];
        let across = _mm256_sub_epi32(_mm256_max_epi32(u, end_u), corner[0]);
        let along = _mm256_sub_epi32(_mm256_max_epi32(v, end_v), corner[1]);
        let beyond = _mm256_cmpgt_epi32(_mm256_max_epi32(across, along), _mm256_set1_epi32((2 << BELOW) - 1));
        let [columns, rows] = [level.last_x, level.last_y].map(|last| last >> TILE_BITS);
        if _mm256_movemask_epi8(beyond) != 0 || column < 0 || row < 0 || column >= columns || row >= rows {
            return None;
        }
        let first = (row * level.tiles_x + column) as usize;
        let [a, b] = level.index[first..].first_chunk()?.map(|tile| tile as i32);
        let [c, d] = level.index[first + level.tiles_x as usize..].first_chunk()?.map(|tile| tile as i32);
        Some(Self { tiles: _mm256_setr_epi32(a, b, c, d, a, b, c, d), level, corner })
    }

    /// Whether all of it is grass.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn is_grass(&self) -> bool {
        _mm256_testz_si256(self.tiles, self.tiles) != 0
    }

    /// The spread texels at places counted from the patch's corner.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn texels(&self, u: __m256i, v: __m256i) -> __m256i {
        const FRACTION_BITS: i32 = FRACTION as i32;
        const ROW: i32 = (FRACTION - TILE_BITS) as i32;
        const HALF: i32 = BELOW - 1;
        let right = _mm256_and_si256(_mm256_srli_epi32::<BELOW>(u), _mm256_set1_epi32(1));
        let below = _mm256_and_si256(_mm256_srli_epi32::<HALF>(v), _mm256_set1_epi32(2));
        let tile = _mm256_permutevar8x32_epi32(self.tiles, _mm256_or_si256(right, below));
        let column = _mm256_and_si256(_mm256_srli_epi32::<FRACTION_BITS>(u), _mm256_set1_epi32(TILE_MASK));
        let row = _mm256_and_si256(_mm256_srli_epi32::<ROW>(v), _mm256_set1_epi32(TILE_MASK << TILE_BITS));
        let place = _mm256_or_si256(tile, _mm256_or_si256(row, column));
        // SAFETY: a place is within a tile of the level whatever `u` and `v` are, and after the last texel there is room for
        // the two bytes that are read too much (`Level::new`).
        let two = unsafe { _mm256_i32gather_epi32::<2>(self.level.texels.as_ptr().cast(), place) };
        let low = _mm256_and_si256(two, _mm256_set1_epi32((SPREAD & 0xffff) as i32));
        let high = _mm256_and_si256(_mm256_slli_epi32::<16>(two), _mm256_set1_epi32((SPREAD & 0xffff_0000) as i32));
        _mm256_or_si256(low, high)
    }
}

impl GroundTexture {
    /// [`GroundTexture::sum`] for each lane, or `None` where that has to be called.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn sums<const N: usize>(
        &self,
        level: usize,
        [u, v]: &[[i32; LANES]; 2],
        [du, dv]: &[[i32; LANES]; 2],
    ) -> Option<[u32; LANES]> {
        let (u, v, du, dv) = (load(u), load(v), load(du), load(dv));
        let steps = _mm256_set1_epi32(N as i32 - 1);
        let end = |from, step| _mm256_add_epi32(from, _mm256_mullo_epi32(step, steps));
        let patch = Patch::about(&self.levels[level], [u, v], [end(u, du), end(v, dv)])?;
        if patch.is_grass() {
            return Some([N as u32 * spread(patch.level.texels[0]); LANES]);
        }
        let (mut u, mut v) = (_mm256_sub_epi32(u, patch.corner[0]), _mm256_sub_epi32(v, patch.corner[1]));
        let mut sum = _mm256_setzero_si256();
        for _ in 0..N {
            sum = _mm256_add_epi32(sum, patch.texels(u, v));
            (u, v) = (_mm256_add_epi32(u, du), _mm256_add_epi32(v, dv));
        }
        Some(store(sum))
    }

    /// [`GroundTexture::smooth`] for each lane, or `None` where that has to be called.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn smooths(&self, [u, v]: &[[i32; LANES]; 2]) -> Option<[u32; LANES]> {
        let (one, half) = (_mm256_set1_epi32(ONE), _mm256_set1_epi32(ONE / 2));
        let (u, v) = (_mm256_sub_epi32(load(u), half), _mm256_sub_epi32(load(v), half));
        let patch = Patch::about(&self.levels[0], [u, v], [_mm256_add_epi32(u, one), _mm256_add_epi32(v, one)])?;
        if patch.is_grass() {
            return Some([32 * spread(patch.level.texels[0]); LANES]);
        }
        let (u, v) = (_mm256_sub_epi32(u, patch.corner[0]), _mm256_sub_epi32(v, patch.corner[1]));
        let (right, below) = (_mm256_add_epi32(u, one), _mm256_add_epi32(v, one));
        let share_u = _mm256_and_si256(_mm256_srli_epi32::<{ FRACTION as i32 - 2 }>(u), _mm256_set1_epi32(3));
        let share_v = _mm256_and_si256(_mm256_srli_epi32::<{ FRACTION as i32 - 3 }>(v), _mm256_set1_epi32(7));
        let row = |v| {
            let rest = _mm256_sub_epi32(_mm256_set1_epi32(4), share_u);
            _mm256_add_epi32(
                _mm256_mullo_epi32(patch.texels(u, v), rest),
                _mm256_mullo_epi32(patch.texels(right, v), share_u),
            )
        };
        let rest = _mm256_sub_epi32(_mm256_set1_epi32(8), share_v);
        Some(store(_mm256_add_epi32(_mm256_mullo_epi32(row(v), rest), _mm256_mullo_epi32(row(below), share_v))))
    }
}
