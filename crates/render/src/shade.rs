//! Colouring the visibility buffer, one row at a time: depth and fog for the whole row, then runs of equal surface.

use crate::ground::classes::TEXEL_M;
use crate::ground::texture::{LEVELS, unspread};
use crate::ground::{GroundTexture, Surface};
use crate::lanes::{LANES, each, lanes, lanes_mut, put, same, wide};
use crate::raster::Visibility;
use crate::renderer::{FrameContext, SHADOW};
use crate::street::Facade;
use crate::view::View;
use glam::Vec3;

/// How the pixels of a surface get their colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing was drawn.
    Sky,
    /// Ground texture.
    Ground,
    /// One colour.
    Flat,
    /// One colour with windows.
    Facade,
    /// One colour that shines through fog and darkness.
    Lamp,
}

/// A surface as one camera sees it.
#[derive(Clone, Copy, Debug)]
pub struct SurfaceColor {
    /// How it is coloured.
    pub kind: Kind,
    /// Lit colour, 0..255.
    pub color: Vec3,
    /// Identity of its pixels.
    pub id: u32,
    /// Ground layer or façade.
    pub detail: u32,
}

/// Scratch of a row. Runs are coloured [`LANES`] pixels at once from left to right: what the last ones put down past the
/// run's end the next run covers, and past the row's end there is room for it.
#[derive(Debug, Default)]
pub struct Rows {
    depth: Vec<f32>,
    fog: Vec<f32>,
    color: [Vec<f32>; 3],
    packed: Vec<u32>,
    columns: Vec<f32>,
}

impl Rows {
    fn resize(&mut self, width: usize) {
        let room = width.next_multiple_of(LANES) + LANES;
        self.depth.resize(room, 0.0);
        self.fog.resize(room, 0.0);
        self.packed.resize(room, 0);
        self.columns.clear();
        self.columns.extend((0..room).map(|x| x as f32));
        for channel in &mut self.color {
            channel.resize(room, 0.0);
        }
    }
}

/// A row of one camera: what the runs need to know.
struct Row<'a> {
    view: &'a View,
    context: &'a FrameContext<'a>,
    /// Ray of the first pixel's centre, and its change per pixel.
    ray: Vec3,
    step: Vec3,
    depth: &'a [f32],
    fog: &'a [f32],
    /// 0, 1, 2, …
    columns: &'a [f32],
}

/// Most taps along a ground pixel's footprint.
const TAPS: usize = 16;
/// Beyond this distance half of them must do, metres.
const FAR_M: f32 = 45.0;
/// Stands for bilinear filtering instead of a number of taps.
const SMOOTH: usize = 0;
/// Pixels that share mip level and tap count.
const BLOCK: usize = LANES;

/// Shade a camera.
#[allow(clippy::too_many_arguments)]
pub(crate) fn shade(
    buffer: &Visibility,
    surfaces: &[SurfaceColor],
    context: &FrameContext,
    view: &View,
    camera: u64,
    rows: &mut Rows,
    rgb: &mut [u8],
    depth: &mut [f32],
    ids: &mut [u32],
) {
    let width = buffer.width;
    rows.resize(width);
    let fog_per_m = context.air.fog_per_m;
    let step = view.axes[0] / view.focal[0];
    for y in 0..buffer.height {
        let range = y * width..(y + 1) * width;
        haze(&buffer.inverse_depth[range.start..], fog_per_m, &mut rows.depth, &mut rows.fog);
        depth[range.clone()].copy_from_slice(&rows.depth[..width]);
        let row = Row {
            view,
            context,
            ray: view.ray(0.5, y as f32 + 0.5),
            step,
            depth: &rows.depth,
            fog: &rows.fog,
            columns: &rows.columns,
        };
        let row_surfaces = &buffer.surface[range.clone()];
        let mut first = 0;
        while first < width {
            let surface = row_surfaces[first];
            let last = first + run_length(&row_surfaces[first..], surface);
            let s = &surfaces[(surface & !SHADOW) as usize];
            for x in (first..last).step_by(LANES) {
                put(ids, range.start + x, [s.id; LANES]);
            }
            let color = &mut rows.color;
            match s.kind {
                Kind::Sky => sky(&row, first, last, color),
                Kind::Ground => ground(&row, first, last, s.detail as usize, surface & SHADOW != 0, color),
                Kind::Flat => flat(&row, first, last, s.color, 1.0, color),
                Kind::Lamp => flat(&row, first, last, s.color, 0.35, color),
                Kind::Facade => facade(&row, first, last, s.color, &context.town.facades[s.detail as usize], color),
            }
            first = last;
        }
        if context.options.noise > 0.0 {
            crate::weather::noise(&mut rows.color, context.options, context.tick, camera, y);
        }
        let row_rgb = &mut rgb[range.start * 3..range.end * 3];
        finish(&rows.color, &mut rows.packed[..width], context.air.curve.as_deref(), row_rgb);
    }
    if context.air.rain > 0.0 {
        crate::weather::streaks(rgb, context, view, camera);
    }
}

wide! {
    /// Depth and fog of a row.
    fn haze(inverse_depth: &[f32], fog_per_m: f32, depth: &mut [f32], fog: &mut [f32]) {
        let (depth, fog) = (depth.as_chunks_mut::<LANES>().0, fog.as_chunks_mut::<LANES>().0);
        for ((inverse, depth), fog) in inverse_depth.as_chunks::<LANES>().0.iter().zip(depth).zip(fog) {
            if inverse.iter().fold(0, |any, inverse| any | inverse.to_bits()) == 0 {
                // The sky has no use for fog.
                *depth = [f32::INFINITY; LANES];
                continue;
            }
            *depth = each!(k => 1.0 / inverse[k]);
            // 1 - exp(-x) to second order: 1 - 1 / (1 + x + x²/2).
            *fog = each!(k => {
                let x = depth[k] * fog_per_m;
                1.0 - 1.0 / (1.0 + x + 0.5 * x * x)
            });
        }
    }
}

/// How many leading elements are `surface`.
#[inline(always)]
fn run_length(surfaces: &[u32], surface: u32) -> usize {
    let (eights, rest) = surfaces.as_chunks::<LANES>();
    let mut length = 0;
    for eight in eights {
        let same = same(eight, surface);
        if same != 0xff {
            return length + same.trailing_ones() as usize;
        }
        length += LANES;
    }
    length + rest.iter().take_while(|&&s| s == surface).count()
}

wide! {
    /// Round to bytes, through the exposure curve if there is one.
    fn finish(color: &[Vec<f32>; 3], packed: &mut [u32], curve: Option<&[[u8; 256]; 3]>, rgb: &mut [u8]) {
        let [red, green, blue] = color;
        // Adding 2^23 leaves the rounded integer in the lowest bits.
        let byte = |x: f32| (x.clamp(0.0, 255.0) + 8_388_608.0).to_bits() & 0xff;
        for (((out, &r), &g), &b) in packed.iter_mut().zip(red).zip(green).zip(blue) {
            *out = byte(r) | byte(g) << 8 | byte(b) << 16;
        }
        if let Some(curve) = curve {
            for out in packed.iter_mut() {
                let [r, g, b, _] = out.to_le_bytes();
                *out = u32::from_le_bytes([curve[0][r as usize], curve[1][g as usize], curve[2][b as usize], 0]);
            }
        }
        // Four pixels of three bytes are three words.
        let (fours, rest) = packed.as_chunks::<4>();
        let (words, bytes) = rgb.as_chunks_mut::<12>();
        for (out, [a, b, c, d]) in words.iter_mut().zip(fours) {
            let three = [a | b << 24, b >> 8 | c << 16, c >> 16 | d << 8];
            for (out, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(three) {
                *out = word.to_le_bytes();
            }
        }
        for (out, pixel) in bytes.chunks_exact_mut(3).zip(rest) {
            out.copy_from_slice(&pixel.to_le_bytes()[..3]);
        }
    }
}

wide! {
    fn flat(row: &Row<'_>, first: usize, last: usize, lit: Vec3, fogged: f32, color: &mut [Vec<f32>; 3]) {
        let more = (row.context.air.horizon - lit) * fogged;
        let range = first..first + (last - first).next_multiple_of(LANES);
        let fog = row.fog[range.clone()].as_chunks::<LANES>().0;
        for (c, channel) in color.iter_mut().enumerate() {
            let (lit, more) = (lit[c], more[c]);
            let out = channel[range.clone()].as_chunks_mut::<LANES>().0;
            for (out, fog) in out.iter_mut().zip(fog) {
                *out = each!(k => lit + more * fog[k]);
            }
        }
    }
}

wide! {
    fn sky(row: &Row<'_>, first: usize, last: usize, color: &mut [Vec<f32>; 3]) {
        let air = &row.context.air;
        let (sun, step, ray) = (air.to_sun, row.step, row.ray);
        let (horizon, rise, glow) = (air.horizon, air.zenith - air.horizon, air.glow);
        let haze = if row.context.options.features.fog { 0.45 } else { 0.0 };
        let field = (Vec3::from_array(Surface::Grass.color()) * air.light(Vec3::Z)).lerp(horizon, haze);
        let [red, green, blue] = color;
        let pixels = red[first..last].iter_mut().zip(&mut green[first..last]).zip(&mut blue[first..last]);
        for (((red, green), blue), &x) in pixels.zip(&row.columns[first..last]) {
            let (rx, ry, rz) = (ray.x + step.x * x, ray.y + step.y * x, ray.z + step.z * x);
            let inverse = 1.0 / (rx * rx + ry * ry + rz * rz).sqrt();
            let up = (rz * inverse).max(0.0);
            let toward = ((rx * sun.x + ry * sun.y + rz * sun.z) * inverse).max(0.0);
            let t2 = toward * toward;
            let t8 = t2 * t2 * t2 * t2;
            let shine = 0.35 * t8 + 0.9 * t8 * t8 * t8 * t8;
            let height = ((1.0 - 1.0 / (1.0 + 4.0 * up)) * 1.1).min(1.0);
            // Below the horizon, where a hilly town's ground ends, distant fields.
            let under = (-14.0 * rz * inverse).clamp(0.0, 1.0);
            let (r, g, b) = (
                horizon.x + rise.x * height + glow.x * shine,
                horizon.y + rise.y * height + glow.y * shine,
                horizon.z + rise.z * height + glow.z * shine,
            );
            *red = r + (field.x - r) * under;
            *green = g + (field.y - g) * under;
            *blue = b + (field.z - b) * under;
        }
    }
}

wide! {
    fn ground(row: &Row<'_>, first: usize, last: usize, layer: usize, shadow: bool, color: &mut [Vec<f32>; 3]) {
        let (air, view) = (&row.context.air, row.view);
        let texture = &row.context.town.textures[layer.min(row.context.town.textures.len() - 1)];
        let textured = row.context.options.features.ground_texture;
        let light = if shadow { air.ambient * 0.62 } else { air.light(Vec3::Z) };
        let gain = air.ground_gain * light;
        let offset = air.ground_offset * light;
        for first in (first..last).step_by(BLOCK * LANES) {
            // What the pixels of a block share is found for several blocks at once, at the middle of each.
            let start: [usize; LANES] = each!(k => (first + k * BLOCK).min(last));
            let end: [usize; LANES] = each!(k => (start[k] + BLOCK).min(last));
            let middle: [usize; LANES] = each!(k => (start[k] + end[k]) / 2);
            let z: [f32; LANES] = each!(k => row.depth[middle[k]]);
            let x: [f32; LANES] = each!(k => middle[k] as f32);
            let ray_x: [f32; LANES] = each!(k => row.ray.x + row.step.x * x[k]);
            let ray_y: [f32; LANES] = each!(k => row.ray.y + row.step.y * x[k]);
            let ray_z: [f32; LANES] = each!(k => row.ray.z + row.step.z * x[k]);
            let drop: [f32; LANES] = each!(k => (-ray_z[k] * z[k]).max(0.25));
            // One pixel down the image moves the point this much depth; across, this many metres.
            let along_m: [f32; LANES] = each!(k => (z[k] * z[k] / (drop[k] * view.focal[1])).min(z[k] * 0.5));
            let across_m: [f32; LANES] = each!(k => z[k] / view.focal[0]);
            let level2: [f32; LANES] = each!(k => ray_x[k] * ray_x[k] + ray_y[k] * ray_y[k]);
            let footprint_m: [f32; LANES] = each!(k => along_m[k] * level2[k].sqrt());
            let wanted: [f32; LANES] = each!(k => {
                let texels = (across_m[k] * 0.75).max(footprint_m[k] / TAPS as f32) * (1.0 / TEXEL_M as f32);
                texels.max(1.0)
            });
            // Wet ground mirrors the sky at a flat angle (Schlick's fifth power, softened to the third).
            let mirror: [f32; LANES] = each!(k => {
                let steep = 1.0 - drop[k] / (z[k] * (level2[k] + ray_z[k] * ray_z[k]).sqrt());
                air.wet * 0.75 * steep * steep * steep
            });
            for k in 0..(last - first).div_ceil(BLOCK).min(LANES) {
                let level = ((wanted[k].to_bits() >> 23) as usize - 127).min(LEVELS - 1);
                let texel_m = TEXEL_M as f32 * (1u32 << level) as f32;
                let taps = (footprint_m[k] / texel_m) as usize;
                let taps = if z[k] > FAR_M { taps.min(8) } else { taps };
                let mut gain = gain;
                if row.context.headlights.on() {
                    let ray = row.ray + row.step * middle[k] as f32;
                    gain += Vec3::splat(row.context.headlights.light(view.position + ray * z[k]));
                }
                let block = Block {
                    first: start[k],
                    last: end[k],
                    gain: gain * (1.0 - mirror[k]),
                    offset: offset * (1.0 - mirror[k]) + air.horizon * mirror[k],
                };
                if !textured {
                    let plain = Vec3::new(92.0, 93.0, 97.0);
                    flat(row, block.first, block.last, plain * block.gain + block.offset, 1.0, color);
                    continue;
                }
                let near = level == 0 && across_m[k] < 0.5 * TEXEL_M as f32;
                match taps {
                    0 if near => block.run::<SMOOTH>(row, texture, level, along_m[k], color),
                    0..=1 => block.run::<1>(row, texture, level, along_m[k], color),
                    2 => block.run::<2>(row, texture, level, along_m[k], color),
                    3..=4 => block.run::<4>(row, texture, level, along_m[k], color),
                    5..=8 => block.run::<8>(row, texture, level, along_m[k], color),
                    _ => block.run::<16>(row, texture, level, along_m[k], color),
                }
            }
        }
    }
}

/// Light on a few neighbouring ground pixels.
struct Block {
    /// Columns.
    first: usize,
    last: usize,
    gain: Vec3,
    offset: Vec3,
}

impl Block {
    /// Colour a block with `N` taps a pixel, or bilinearly.
    #[inline(always)]
    fn run<const N: usize>(
        &self,
        row: &Row<'_>,
        texture: &GroundTexture,
        level: usize,
        along_m: f32,
        color: &mut [Vec<f32>; 3],
    ) {
        let origin = row.view.position;
        let (fog, depth, columns) =
            (lanes(row.fog, self.first), lanes(row.depth, self.first), lanes(row.columns, self.first));
        let weight = if N == SMOOTH { 1.0 / 32.0 } else { 1.0 / N as f32 };
        let apart = along_m / N as f32;
        let before = if N == SMOOTH { 0.0 } else { apart * (N as f32 - 1.0) * 0.5 };
        // Where the taps of each pixel begin and how far they are apart, all at once.
        let (mut at, mut step) = ([[0; BLOCK]; 2], [[0; BLOCK]; 2]);
        for k in 0..BLOCK {
            let (ray_x, ray_y) = (row.ray.x + row.step.x * columns[k], row.ray.y + row.step.y * columns[k]);
            let nearest = depth[k] - before;
            [at[0][k], at[1][k]] = texture.locate(level, origin.x + ray_x * nearest, origin.y + ray_y * nearest);
            if N != SMOOTH {
                [step[0][k], step[1][k]] = texture.step(level, ray_x * apart, ray_y * apart);
            }
        }
        let mut sums = None;
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just detected.
            sums = unsafe { if N == SMOOTH { texture.smooths(&at) } else { texture.sums::<N>(level, &at, &step) } };
        }
        let sums = match sums {
            Some(sums) => sums,
            None => {
                let mut sums = [0u32; BLOCK];
                for k in 0..self.last - self.first {
                    let (at, step) = ([at[0][k], at[1][k]], [step[0][k], step[1][k]]);
                    sums[k] = if N == SMOOTH { texture.smooth(at) } else { texture.sum::<N>(level, at, step) };
                }
                sums
            }
        };
        let haze = row.context.air.horizon;
        for (c, channel) in color.iter_mut().enumerate() {
            let (gain, offset, haze) = (self.gain[c], self.offset[c], haze[c]);
            *lanes_mut(channel, self.first) = each!(k => {
                let lit = unspread(sums[k], weight)[c] * gain + offset;
                lit + (haze - lit) * fog[k]
            });
        }
    }
}

wide! {
    fn facade(row: &Row<'_>, first: usize, last: usize, wall: Vec3, facade: &Facade, color: &mut [Vec<f32>; 3]) {
        let air = &row.context.air;
        let origin = row.view.position - facade.origin;
        // u along the wall and v up are affine in depth times the ray.
        let (u0, v0) = (origin.dot(facade.along) / facade.spacing_m[0], origin.z / facade.spacing_m[1]);
        let (u_ray, v_ray) = (row.ray.dot(facade.along) / facade.spacing_m[0], row.ray.z / facade.spacing_m[1]);
        let (u_step, v_step) = (row.step.dot(facade.along) / facade.spacing_m[0], row.step.z / facade.spacing_m[1]);
        let pane_light = air.ambient.y + 0.5 * air.sun.y;
        let pane = Vec3::from_array(facade.pane) * pane_light + air.zenith * 0.15;
        // Where windows get smaller than two pixels they fade into the wall's mean colour.
        let fade_per_m = 2.2 / (row.view.focal[0] * facade.spacing_m[0]);
        let [red, green, blue] = color;
        let pixels = red[first..last].iter_mut().zip(&mut green[first..last]).zip(&mut blue[first..last]);
        let places = row.depth[first..last].iter().zip(&row.fog[first..last]).zip(&row.columns[first..last]);
        let haze = air.horizon;
        if air.night <= 0.5 {
            let glass = pane - wall;
            for (((red, green), blue), ((&z, &fog), &x)) in pixels.zip(places) {
                let (u, v) = (u0 + (u_ray + u_step * x) * z, v0 + (v_ray + v_step * x) * z);
                let share = window_share(u - u.floor(), v - v.floor(), v, z * fade_per_m);
                for (c, out) in [red, green, blue].into_iter().enumerate() {
                    let mixed = wall[c] + glass[c] * share;
                    *out = mixed + (haze[c] - mixed) * fog;
                }
            }
            return;
        }
        let lit = Vec3::new(238.0, 206.0, 140.0);
        for (((red, green), blue), ((&z, &fog), &x)) in pixels.zip(places) {
            let (u, v) = (u0 + (u_ray + u_step * x) * z, v0 + (v_ray + v_step * x) * z);
            let (cell_u, cell_v) = (u.floor(), v.floor());
            let share = window_share(u - cell_u, v - cell_v, v, z * fade_per_m);
            let hash = (cell_u as i32 as u32).wrapping_mul(0x9e37_79b1) ^ (cell_v as i32 as u32).wrapping_mul(0x85eb_ca77);
            let hash = (hash ^ facade.seed).wrapping_mul(0xc2b2_ae35);
            let glass = if hash >> 30 == 0 { lit } else { pane };
            let mixed = wall + (glass - wall) * share;
            [*red, *green, *blue] = (mixed + (haze - mixed) * fog).to_array();
        }
    }
}

/// How much of a pixel is window, at a place within the cell of one.
#[inline(always)]
fn window_share(across: f32, up: f32, v: f32, fade: f32) -> f32 {
    let inside = (across > 0.24) & (across < 0.76) & (up > 0.28) & (up < 0.80) & (v > 0.0);
    let blend = (1.3 - fade).clamp(0.0, 1.0);
    if inside { 0.27 + 0.73 * blend } else { 0.27 - 0.27 * blend }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_the_surface_changes() {
        for length in 0..40usize {
            let mut surfaces = vec![7u32; length];
            assert_eq!(run_length(&surfaces, 7), length);
            surfaces.extend([8, 7, 7]);
            assert_eq!(run_length(&surfaces, 7), length);
        }
    }

    #[test]
    fn every_pixel_keeps_its_three_bytes() {
        for width in 1..20 {
            let color = [0, 1, 2].map(|c| (0..width).map(|x| (x * 3 + c) as f32).collect::<Vec<_>>());
            let (mut packed, mut rgb) = (vec![0; width], vec![0; width * 3]);
            finish(&color, &mut packed, None, &mut rgb);
            assert_eq!(rgb, (0..width as u8 * 3).collect::<Vec<_>>());
        }
    }
}
