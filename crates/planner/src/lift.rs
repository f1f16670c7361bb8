//! From camera features to the bird's-eye view.
//!
//! Each BEV cell has reference points at fixed heights, as in BEVFormer's spatial cross-attention (Li et al. 2022, Eq. 3)
//! but without learned offsets: a point takes the bilinear feature at its projection into each camera that sees it,
//! averaged over those cameras (Simple-BEV, Harley et al. 2023). The rig is fixed by the contract, so the indices and weights are
//! constants and the whole lift is one sparse linear map.
//!
//! B batch, N cameras, C channels, P reference points, (h, w) feature map.

use crate::config::BevConfig;
use apprentice_core::Rig;
use apprentice_core::geometry::DVec3;
use tch::{Device, Tensor};

/// Stride of the features that are lifted, pixels.
pub const LIFT_STRIDE: f64 = 8.0;

/// One bilinear contribution: which feature cell (camera-major, then row, then column) with which weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// camera·h·w + row·w + column.
    pub index: i64,
    /// The taps of a point that some camera sees sum to 1.
    pub weight: f32,
}

/// The constant map.
#[derive(Debug)]
pub struct Lift {
    /// Taps of each point; points ordered by height, then row, then column.
    pub taps: Vec<Vec<Tap>>,
    indices: Tensor,
    weights: Tensor,
    offsets: Tensor,
    heights: i64,
    cells: [i64; 2],
}

/// Reference points of the grid, ordered by height, then row (x), then column (y).
pub fn reference_points(bev: &BevConfig) -> Vec<DVec3> {
    let [rows, columns] = bev.cells();
    let mut points = vec![];
    for &z in &bev.heights_m {
        for row in 0..rows {
            for column in 0..columns {
                let x = bev.x_range_m[0] + (row as f64 + 0.5) * bev.cell_m;
                let y = bev.y_range_m[0] + (column as f64 + 0.5) * bev.cell_m;
                points.push(DVec3::new(x, y, z));
            }
        }
    }
    points
}

fn taps_of(point: DVec3, rig: &Rig) -> Vec<Tap> {
    let mut taps = vec![];
    let mut seen = 0;
    let mut first_index = 0;
    for camera in &rig.cameras {
        let (w, h) = ((camera.width as f64 / LIFT_STRIDE) as i64, (camera.height as f64 / LIFT_STRIDE) as i64);
        let inside = camera.project(point).filter(|[column, row, depth]| {
            *depth > 0.5 && (0.0..camera.width as f64).contains(column) && (0.0..camera.height as f64).contains(row)
        });
        if let Some([column, row, _]) = inside {
            seen += 1;
            let (u, v) = (column / LIFT_STRIDE - 0.5, row / LIFT_STRIDE - 0.5);
            let (u0, v0) = (u.floor(), v.floor());
            for (dv, du) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let share = |f: f64, d: i64| if d == 0 { 1.0 - f } else { f };
                let weight = share(u - u0, du) * share(v - v0, dv);
                let column = (u0 as i64 + du).clamp(0, w - 1);
                let row = (v0 as i64 + dv).clamp(0, h - 1);
                if weight > 0.0 {
                    taps.push(Tap { index: first_index + row * w + column, weight: weight as f32 });
                }
            }
        }
        first_index += w * h;
    }
    for tap in &mut taps {
        tap.weight /= seen as f32;
    }
    taps
}

impl Lift {
    /// The map of a rig onto a grid.
    pub fn new(bev: &BevConfig, rig: &Rig, device: Device) -> Self {
        let taps: Vec<_> = reference_points(bev).into_iter().map(|p| taps_of(p, rig)).collect();
        let flat: Vec<_> = taps.iter().flatten().copied().collect();
        let mut offsets = vec![0i64];
        for point in &taps {
            offsets.push(offsets[offsets.len() - 1] + point.len() as i64);
        }
        let indices: Vec<_> = flat.iter().map(|t| t.index).collect();
        let weights: Vec<_> = flat.iter().map(|t| t.weight).collect();
        Self {
            taps,
            indices: Tensor::from_slice(&indices).to_device(device),
            weights: Tensor::from_slice(&weights).to_device(device),
            offsets: Tensor::from_slice(&offsets).to_device(device),
            heights: bev.heights_m.len() as i64,
            cells: bev.cells(),
        }
    }

    /// # Shapes
    /// features `[B·N, C, h, w]` → `[B, heights·C, rows, columns]`; a point that no camera sees is zero.
    pub fn forward(&self, features: &Tensor, cameras: i64) -> Tensor {
        let (images, channels, h, w) = features.size4().expect("features are [B·N, C, h, w]");
        let batch = images / cameras;
        let table = features
            .reshape([batch, cameras, channels, h * w])
            .permute([1, 3, 0, 2])
            .reshape([cameras * h * w, batch * channels]);
        let (lifted, ..) =
            Tensor::embedding_bag(&table, &self.indices, &self.offsets, false, 0, false, Some(&self.weights), true);
        let [rows, columns] = self.cells;
        lifted.reshape([self.heights, rows * columns, batch, channels]).permute([2, 0, 3, 1]).reshape([
            batch,
            self.heights * channels,
            rows,
            columns,
        ])
    }
}
