//! What lies between the scene and the pixels: rain streaks and sensor noise. Both are pure functions of (seed, tick,
//! camera, row, column).

use crate::options::RenderOptions;
use crate::renderer::FrameContext;
use crate::view::View;
use glam::Vec3;

#[inline(always)]
fn hash(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
    h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
    h ^ (h >> 16)
}

/// Brighten the stretches of columns that falling drops cross.
#[inline(always)]
pub(crate) fn streaks(rgb: &mut [u8], context: &FrameContext, view: &View, camera: u64) {
    let rain = context.air.rain;
    let bright = (context.air.horizon * 0.9 + 20.0).clamp(Vec3::ZERO, Vec3::splat(255.0));
    let bright = [bright.x as u32, bright.y as u32, bright.z as u32];
    let length = (view.height / 9).max(3);
    let key = (context.options.seed as u32) ^ (camera as u32) << 24 ^ context.tick.wrapping_mul(0x9e37_79b1);
    let chance = (rain * 0.055 * 65536.0) as u32;
    let strength = ((0.12 + 0.22 * rain) * 256.0) as u32;
    for x in 0..view.width {
        // A streak is a stretch of one column; columns are shifted against each other.
        let shift = hash(x as u32 ^ key) as usize % length;
        for stretch in 0..=(view.height + shift) / length {
            if hash((x as u32) << 12 ^ stretch as u32 ^ key) & 0xffff >= chance {
                continue;
            }
            let first = (stretch * length).saturating_sub(shift);
            let last = ((stretch + 1) * length - shift).min(view.height);
            for y in first..last {
                let at = (y * view.width + x) * 3;
                for (old, bright) in rgb[at..at + 3].iter_mut().zip(bright) {
                    *old = ((u32::from(*old) * (256 - strength) + bright * strength) >> 8) as u8;
                }
            }
        }
    }
}

/// Add sensor noise: the sum of four bytes of a hash is close enough to a normal distribution.
#[inline(always)]
pub(crate) fn noise(color: &mut [Vec<f32>; 3], options: &RenderOptions, tick: u32, camera: u64, y: usize) {
    // Four uniform bytes have standard deviation 2 * sqrt((256² - 1) / 12) = 147.8.
    let scale = options.noise / 147.8;
    let key = hash(
        (options.seed as u32) ^ (options.seed >> 32) as u32 ^ hash(tick ^ (camera as u32) << 24 ^ (y as u32) << 8),
    );
    for (c, channel) in color.iter_mut().enumerate() {
        for (x, out) in channel.iter_mut().enumerate() {
            let h = hash(key.wrapping_add((x as u32 * 3 + c as u32).wrapping_mul(0x9e37_79b1)));
            let sum = (h & 255) + (h >> 8 & 255) + (h >> 16 & 255) + (h >> 24);
            *out += (sum as f32 - 510.0) * scale;
        }
    }
}
