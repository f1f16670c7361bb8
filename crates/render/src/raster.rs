//! Scan conversion of convex polygons into a visibility buffer of (1/depth, surface index).
//!
//! A pixel belongs to a polygon when its centre lies inside, with half-open spans, so polygons that share an edge neither
//! overlap nor leave a gap. 1/depth is affine over the screen for a plane, so no per-vertex interpolation is needed.

use crate::lanes::{LANES, wide};
use glam::Vec3;

/// Depth and surface of every pixel of one camera.
#[derive(Clone, Debug, Default)]
pub struct Visibility {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// 1/metres; 0 where nothing was drawn. Row by row, and a few more elements than pixels.
    pub inverse_depth: Vec<f32>,
    /// Index into the camera's surfaces; 0 where nothing was drawn. Row by row, and a few more elements than pixels.
    pub surface: Vec<u32>,
    left: Vec<f32>,
    right: Vec<f32>,
    centers: Vec<f32>,
}

/// The smallest integer at or above `x`, without the library call that baseline x86-64 makes of `f32::ceil`.
#[inline(always)]
fn ceil_i32(x: f32) -> i32 {
    let i = x as i32;
    i + i32::from((i as f32) < x)
}

/// 1/depth as a function of the pixel: `x * gradient[0] + y * gradient[1] + gradient[2]`.
pub type DepthPlane = [f32; 3];

impl Visibility {
    /// Size the buffers and clear them.
    pub fn reset(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.inverse_depth.clear();
        self.inverse_depth.resize(width * height + LANES, 0.0);
        self.surface.clear();
        self.surface.resize(width * height + LANES, 0);
        self.left.resize(height, 0.0);
        self.right.resize(height, 0.0);
        self.centers.clear();
        self.centers.extend((0..width + LANES).map(|x| x as f32 + 0.5));
    }

    /// False where a projected polygon lies off the picture or between pixel centres, so that nothing of it can be drawn.
    #[inline(always)]
    pub fn may_cover(&self, points: &[[f32; 2]]) -> bool {
        // More than what rounding moves an edge by.
        const SLACK: f32 = 0.01;
        let [mut left, mut top] = points[0];
        let [mut right, mut bottom] = points[0];
        for &[x, y] in &points[1..] {
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
        }
        let centre = |low: f32, high: f32, size: usize| {
            let first = ceil_i32((low - 0.5 - SLACK).max(-1.0)).max(0);
            let end = ceil_i32((high - 0.5 + SLACK).min(size as f32)).min(size as i32);
            first < end
        };
        centre(left, right, self.width) && centre(top, bottom, self.height)
    }

    /// Walk the edges of a projected polygon (counter-clockwise as seen, y down) and return its rows.
    #[inline(always)]
    fn edges(&mut self, points: &[[f32; 2]]) -> Option<(usize, usize)> {
        let (mut top, mut bottom) = (f32::MAX, f32::MIN);
        for p in points {
            top = top.min(p[1]);
            bottom = bottom.max(p[1]);
        }
        let y0 = ceil_i32((top - 0.5).max(-1e6)).max(0);
        let y1 = ceil_i32((bottom - 0.5).min(1e6)).min(self.height as i32);
        if y0 >= y1 {
            return None;
        }
        let mut previous = points[points.len() - 1];
        for &p in points {
            // Always from the upper end to the lower, so that neighbours compute the same numbers.
            let down = p[1] > previous[1];
            let (a, b) = if down { (previous, p) } else { (p, previous) };
            previous = p;
            let e0 = ceil_i32((a[1] - 0.5).max(-1e6)).max(0);
            let e1 = ceil_i32((b[1] - 0.5).min(1e6)).min(self.height as i32);
            if e0 >= e1 {
                continue;
            }
            let slope = (b[0] - a[0]) / (b[1] - a[1]);
            let side = if down { &mut self.left } else { &mut self.right };
            for (y, x) in (e0..e1).zip(&mut side[e0 as usize..e1 as usize]) {
                *x = a[0] + slope * (y as f32 + 0.5 - a[1]);
            }
        }
        Some((y0 as usize, y1 as usize))
    }

    #[inline(always)]
    fn span(&self, y: usize) -> (usize, usize) {
        let clamp = |x: f32| {
            let x = x.max(-1.0).min(self.width as f32 + 1.0) - 0.5;
            // SAFETY: the larger and the smaller of two are numbers when one is, and these are in range.
            let i = unsafe { x.to_int_unchecked::<i32>() };
            (i + i32::from((i as f32) < x)).clamp(0, self.width as i32) as usize
        };
        (clamp(self.left[y]), clamp(self.right[y]))
    }

    /// Draw a polygon, nearest wins, first wins ties. False when it covers no pixel centre.
    pub fn fill(&mut self, points: &[[f32; 2]], plane: DepthPlane, surface: u32) -> bool {
        let Some((y0, y1)) = self.edges(points) else { return false };
        fill_rows(self, y0, y1, plane, surface)
    }

    /// Fill single pixels left open between ground polygons of different size: where nothing was drawn but both
    /// neighbours across or along are surfaces `first..=last`, the pixel becomes its neighbour's.
    pub fn close_cracks(&mut self, first: u32, last: u32) {
        let ground = |surface: u32| (first..=last).contains(&surface);
        let (width, height) = (self.width, self.height);
        for y in 1..height.saturating_sub(1) {
            for i in y * width + 1..(y + 1) * width - 1 {
                if self.surface[i] != 0 {
                    continue;
                }
                let pairs = [(i + width, i - width), (i - 1, i + 1)];
                if let Some(&(from, _)) =
                    pairs.iter().find(|&&(a, b)| ground(self.surface[a]) && ground(self.surface[b]))
                {
                    self.surface[i] = self.surface[from];
                    self.inverse_depth[i] = self.inverse_depth[from];
                }
            }
        }
    }

    /// Set `flag` on every pixel of a polygon whose surface index is at most `last`.
    #[inline(always)]
    pub fn flag(&mut self, points: &[[f32; 2]], first: u32, last: u32, flag: u32) {
        let Some((y0, y1)) = self.edges(points) else { return };
        for y in y0..y1 {
            let (x0, x1) = self.span(y);
            if x0 >= x1 {
                continue;
            }
            let row = y * self.width;
            for id in &mut self.surface[row + x0..row + x1] {
                *id = if (first..=last).contains(id) { *id | flag } else { *id };
            }
        }
    }
}

/// Draw the lanes of a span that are nearer than what is there. The compiler would make stores under a mask of it, which
/// are many times slower.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn draw_lanes_avx2(
    depths: &mut [f32; LANES],
    surfaces: &mut [u32; LANES],
    centers: &[f32; LANES],
    [slope, base]: [f32; 2],
    end: f32,
    surface: u32,
) {
    use std::arch::x86_64::*;
    // SAFETY: all pointers are to eight elements.
    unsafe {
        let x = _mm256_loadu_ps(centers.as_ptr());
        let new = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(slope), x), _mm256_set1_ps(base));
        let old = _mm256_loadu_ps(depths.as_ptr());
        let nearer = _mm256_cmp_ps::<_CMP_GT_OQ>(new, old);
        let wins = _mm256_and_ps(nearer, _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_set1_ps(end)));
        let under = _mm256_loadu_ps(surfaces.as_ptr().cast());
        let surface = _mm256_castsi256_ps(_mm256_set1_epi32(surface as i32));
        // What is nearer is larger, so that the larger of both does for a choice.
        _mm256_storeu_ps(depths.as_mut_ptr(), _mm256_max_ps(old, _mm256_and_ps(new, wins)));
        _mm256_storeu_ps(surfaces.as_mut_ptr().cast(), _mm256_blendv_ps(under, surface, wins));
    }
}

wide! {
    /// Draw the rows of a polygon whose edges were walked.
    fn fill_rows(buffer: &mut Visibility, y0: usize, y1: usize, plane: DepthPlane, surface: u32) -> bool {
        let mut any = false;
        for y in y0..y1 {
            let (x0, x1) = buffer.span(y);
            if x0 >= x1 {
                continue;
            }
            any = true;
            let base = plane[1] * (y as f32 + 0.5) + plane[2];
            let end = x1 as f32;
            // The last lanes may be none of the span's own and are left as they were.
            let columns = x0..x0 + (x1 - x0).next_multiple_of(LANES);
            let pixels = y * buffer.width + columns.start..y * buffer.width + columns.end;
            let depths = buffer.inverse_depth[pixels.clone()].as_chunks_mut::<LANES>().0;
            let surfaces = buffer.surface[pixels].as_chunks_mut::<LANES>().0;
            let centers = buffer.centers[columns].as_chunks::<LANES>().0;
            for ((depths, surfaces), centers) in depths.iter_mut().zip(surfaces).zip(centers) {
                #[cfg(target_arch = "x86_64")]
                if AVX2 {
                    // SAFETY: this is the function compiled for AVX2.
                    unsafe { draw_lanes_avx2(depths, surfaces, centers, [plane[0], base], end, surface) };
                    continue;
                }
                for k in 0..LANES {
                    let new = plane[0] * centers[k] + base;
                    if new > depths[k] && centers[k] < end {
                        (depths[k], surfaces[k]) = (new, surface);
                    }
                }
            }
        }
        any
    }
}

/// The depth plane of a polygon in camera axes with this (unit) normal through this point; `None` when seen edge-on.
#[inline(always)]
pub fn depth_plane(normal: Vec3, point: Vec3, focal: [f32; 2], principal: [f32; 2]) -> Option<DepthPlane> {
    let distance = normal.dot(point);
    if distance.abs() < 1e-5 {
        return None;
    }
    let scale = 1.0 / distance;
    let a = normal.x * scale / focal[0];
    let b = normal.y * scale / focal[1];
    Some([a, b, normal.z * scale - a * principal[0] - b * principal[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceil_agrees_with_the_library() {
        for x in [-2.0f32, -1.5, -0.1, 0.0, 0.2, 1.0, 7.999] {
            assert_eq!(ceil_i32(x), x.ceil() as i32);
        }
    }

    #[test]
    fn a_fan_covers_every_pixel_once() {
        // A square cut into four triangles about an odd middle: every pixel is drawn by exactly one.
        let corners = [[0.0f32, 0.0], [32.0, 0.0], [32.0, 32.0], [0.0, 32.0]];
        let middle = [13.37f32, 17.21];
        let mut counts = vec![0; 32 * 32];
        for i in 0..4 {
            let mut buffer = Visibility::default();
            buffer.reset(32, 32);
            buffer.fill(&[corners[(i + 1) % 4], corners[i], middle], [0.0, 0.0, 1.0], 1);
            for (count, &surface) in counts.iter_mut().zip(&buffer.surface) {
                *count += surface;
            }
        }
        assert!(counts.iter().all(|&c| c == 1));
    }

    #[test]
    fn nearer_wins_whatever_the_order() {
        let square = [[2.0f32, 2.0], [2.0, 10.0], [10.0, 10.0], [10.0, 2.0]];
        for order in [[1u32, 2], [2, 1]] {
            let mut buffer = Visibility::default();
            buffer.reset(16, 16);
            for surface in order {
                buffer.fill(&square, [0.0, 0.0, surface as f32], surface);
            }
            assert_eq!(buffer.surface[5 * 16 + 5], 2);
            assert_eq!(buffer.surface[0], 0);
        }
    }

    #[test]
    fn a_polygon_is_drawn_where_it_is_nearer_and_nowhere_else() {
        // Widths with and without a rest of lanes; a sloping polygon through an upright one.
        for width in [5usize, 16, 37] {
            let w = width as f32;
            let plane: DepthPlane = [0.02, 0.01, 0.1];
            let mut buffer = Visibility::default();
            buffer.reset(width, 9);
            buffer.fill(&[[0.0, 0.0], [0.0, 9.0], [w, 9.0], [w, 0.0]], [0.0, 0.0, 0.3], 1);
            buffer.fill(&[[1.0, 2.0], [1.0, 7.0], [w - 2.0, 7.0], [w - 2.0, 2.0]], plane, 2);
            for (i, (&depth, &surface)) in buffer.inverse_depth.iter().zip(&buffer.surface).take(width * 9).enumerate()
            {
                let (x, y) = (i % width, i / width);
                let sloping = plane[0] * (x as f32 + 0.5) + (plane[1] * (y as f32 + 0.5) + plane[2]);
                let within = (1..width - 2).contains(&x) && (2..7).contains(&y);
                let expected = if within && sloping > 0.3 { (sloping, 2) } else { (0.3, 1) };
                assert_eq!((depth, surface), expected, "{width} {x} {y}");
            }
        }
    }
}
