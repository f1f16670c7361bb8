//! Colouring the visibility buffer, one row at a time: depth and fog for the whole row, then runs of equal surface.

use crate::ground::classes::TEXEL_M;
use crate::ground::texture::{LEVELS, unspread};
use crate::ground::{GroundTexture, Surface};
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

/// Scratch of a row.
#[derive(Debug, Default)]
pub struct Rows {
    fog: Vec<f32>,
    color: [Vec<f32>; 3],
    packed: Vec<u32>,
    columns: Vec<f32>,
}

impl Rows {
    fn resize(&mut self, width: usize) {
        self.fog.resize(width, 0.0);
        self.packed.resize(width, 0);
        self.columns.clear();
        self.columns.extend((0..width).map(|x| x as f32));
        for channel in &mut self.color {
            channel.resize(width, 0.0);
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
const BLOCK: usize = 8;

/// Shade a camera.
#[inline(always)]
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
        let row_depth = &mut depth[range.clone()];
        for ((d, fog), inverse) in row_depth.iter_mut().zip(&mut rows.fog).zip(&buffer.inverse_depth[range.clone()]) {
            *d = 1.0 / inverse;
            // 1 - exp(-x) to second order: 1 - 1 / (1 + x + x²/2).
            let x = *d * fog_per_m;
            *fog = 1.0 - 1.0 / (1.0 + x + 0.5 * x * x);
        }
        let row = Row {
            view,
            context,
            ray: view.ray(0.5, y as f32 + 0.5),
            step,
            depth: row_depth,
            fog: &rows.fog,
            columns: &rows.columns,
        };
        let row_surfaces = &buffer.surface[range.clone()];
        let row_ids = &mut ids[range.clone()];
        let mut first = 0;
        while first < width {
            let surface = row_surfaces[first];
            let last = first + run_length(&row_surfaces[first..], surface);
            let s = &surfaces[(surface & !SHADOW) as usize];
            row_ids[first..last].fill(s.id);
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
        finish(&rows.color, &mut rows.packed, context.air.curve.as_deref(), &mut rgb[range.start * 3..range.end * 3]);
    }
    if context.air.rain > 0.0 {
        crate::weather::streaks(rgb, context, view, camera);
    }
}

/// How many leading elements are `surface`.
#[inline(always)]
fn run_length(surfaces: &[u32], surface: u32) -> usize {
    let (eights, rest) = surfaces.as_chunks::<8>();
    let mut length = 0;
    for eight in eights {
        let same = eight.iter().enumerate().fold(0u32, |same, (k, &s)| same | u32::from(s == surface) << k);
        if same != 0xff {
            return length + same.trailing_ones() as usize;
        }
        length += 8;
    }
    length + rest.iter().take_while(|&&s| s == surface).count()
}

/// Round to bytes, through the exposure curve if there is one.
#[inline(always)]
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

#[inline(always)]
fn flat(row: &Row, first: usize, last: usize, lit: Vec3, fogged: f32, color: &mut [Vec<f32>; 3]) {
    let haze = row.context.air.horizon;
    for (c, channel) in color.iter_mut().enumerate() {
        let (lit, more) = (lit[c], (haze[c] - lit[c]) * fogged);
        for (out, fog) in channel[first..last].iter_mut().zip(&row.fog[first..last]) {
            *out = lit + more * fog;
        }
    }
}

#[inline(always)]
fn sky(row: &Row, first: usize, last: usize, color: &mut [Vec<f32>; 3]) {
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

#[inline(always)]
fn ground(row: &Row, first: usize, last: usize, layer: usize, shadow: bool, color: &mut [Vec<f32>; 3]) {
    let (air, view) = (&row.context.air, row.view);
    let texture = &row.context.town.textures[layer.min(row.context.town.textures.len() - 1)];
    let textured = row.context.options.features.ground_texture;
    let light = if shadow { air.ambient * 0.62 } else { air.light(Vec3::Z) };
    let mut start = first;
    while start < last {
        let end = (start + BLOCK).min(last);
        let middle = (start + end) / 2;
        let z = row.depth[middle];
        let ray = row.ray + row.step * middle as f32;
        let drop = (-ray.z * z).max(0.25);
        // One pixel down the image moves the point this much depth; across, this many metres.
        let along_m = (z * z / (drop * view.focal[1])).min(z * 0.5);
        let across_m = z / view.focal[0];
        let ray_length = (ray.x * ray.x + ray.y * ray.y).sqrt();
        let footprint_m = along_m * ray_length;
        let wanted = (across_m * 0.75).max(footprint_m / TAPS as f32) * (1.0 / TEXEL_M as f32);
        let level = ((wanted.max(1.0).to_bits() >> 23) as usize - 127).min(LEVELS - 1);
        let texel_m = TEXEL_M as f32 * (1u32 << level) as f32;
        let taps = (footprint_m / texel_m) as usize;
        let taps = if z > FAR_M { taps.min(8) } else { taps };

        let mut gain = air.ground_gain * light;
        if row.context.headlights.on() {
            gain += Vec3::splat(row.context.headlights.light(view.position + ray * z));
        }
        // Wet ground mirrors the sky at a flat angle (Schlick's fifth power, softened to the third).
        let steep = 1.0 - drop / (z * ray.length());
        let mirror = air.wet * 0.75 * steep * steep * steep;
        let out = Block {
            gain: gain * (1.0 - mirror),
            offset: air.ground_offset * light * (1.0 - mirror) + air.horizon * mirror,
        };
        if !textured {
            let plain = Vec3::new(92.0, 93.0, 97.0);
            flat(row, start, end, plain * out.gain + out.offset, 1.0, color);
        } else {
            let near = level == 0 && across_m < 0.5 * TEXEL_M as f32;
            match taps {
                0 if near => out.run::<SMOOTH>(row, texture, level, along_m, start, end, color),
                0..=1 => out.run::<1>(row, texture, level, along_m, start, end, color),
                2 => out.run::<2>(row, texture, level, along_m, start, end, color),
                3..=4 => out.run::<4>(row, texture, level, along_m, start, end, color),
                5..=8 => out.run::<8>(row, texture, level, along_m, start, end, color),
                _ => out.run::<16>(row, texture, level, along_m, start, end, color),
            }
        }
        start = end;
    }
}

/// Light on a few neighbouring ground pixels.
struct Block {
    gain: Vec3,
    offset: Vec3,
}

impl Block {
    /// Colour a block with `N` taps a pixel, or bilinearly.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn run<const N: usize>(
        &self,
        row: &Row,
        texture: &GroundTexture,
        level: usize,
        along_m: f32,
        start: usize,
        end: usize,
        color: &mut [Vec<f32>; 3],
    ) {
        let n = end - start;
        let origin = row.view.position;
        let mut sums = [0u32; BLOCK];
        let (mut fog, mut depth) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
        fog[..n].copy_from_slice(&row.fog[start..end]);
        depth[..n].copy_from_slice(&row.depth[start..end]);
        let weight = if N == SMOOTH { 1.0 / 32.0 } else { 1.0 / N as f32 };
        let apart = along_m / N as f32;
        let before = if N == SMOOTH { 0.0 } else { apart * (N as f32 - 1.0) * 0.5 };
        // Where the taps of each pixel begin and how far they are apart, all at once.
        let (mut at, mut step) = ([[0; 2]; BLOCK], [[0; 2]; BLOCK]);
        for k in 0..BLOCK {
            let x = (start + k) as f32;
            let (ray_x, ray_y) = (row.ray.x + row.step.x * x, row.ray.y + row.step.y * x);
            let nearest = depth[k] - before;
            at[k] = texture.locate(level, origin.x + ray_x * nearest, origin.y + ray_y * nearest);
            if N != SMOOTH {
                step[k] = texture.step(level, ray_x * apart, ray_y * apart);
            }
        }
        for k in 0..n {
            sums[k] = if N == SMOOTH { texture.smooth(at[k]) } else { texture.sum::<N>(level, at[k], step[k]) };
        }
        let haze = row.context.air.horizon;
        for (c, channel) in color.iter_mut().enumerate() {
            let (gain, offset, haze) = (self.gain[c], self.offset[c], haze[c]);
            let mut out = [0.0f32; BLOCK];
            for k in 0..BLOCK {
                let lit = unspread(sums[k], weight)[c] * gain + offset;
                out[k] = lit + (haze - lit) * fog[k];
            }
            channel[start..end].copy_from_slice(&out[..n]);
        }
    }
}

#[inline(always)]
fn facade(row: &Row, first: usize, last: usize, wall: Vec3, facade: &Facade, color: &mut [Vec<f32>; 3]) {
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
