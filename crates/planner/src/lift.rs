//! From camera features to the bird's-eye view.
//!
//! Each BEV cell has reference points at fixed heights, as in BEVFormer's spatial cross-attention (Li et al. 2022, Eq. 3)
//! but without learned offsets: a point takes the bilinear feature at its projection into each camera that sees it,
//! averaged over those cameras (Simple-BEV, Harley et al. 2023). The heights of a cell are joined by a linear map each and summed;
//! that map is applied to the small feature map first, so that one weighted gather does the rest. The rig is fixed by the
//! contract, so indices and weights are constants.
//!
//! B batch, N cameras, C channels in, F channels out, Z heights, (h, w) feature map, (X, Y) fine BEV grid.

use crate::config::BevConfig;
use apprentice_core::Rig;
use apprentice_core::geometry::DVec3;
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::{Conv2d, ConvConfig, Init, Path};
use tch::Tensor;

/// Stride of the features that are lifted, pixels.
pub const LIFT_STRIDE: f64 = 8.0;

/// One bilinear contribution: which row of the table of projected features, with which weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// ((camera·h + row)·w + column)·Z + height.
    pub index: i64,
    /// The taps of a reference point that some camera sees sum to 1.
    pub weight: f32,
}

/// Projection per height and the constant gather.
#[derive(Debug)]
pub struct Lift {
    /// `[Z·F, C, 1, 1]`, height-major; key `project`.
    pub project: Conv2d,
    /// Taps of each cell, row by row.
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

/// Camera-major feature index and weight of a point's taps.
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
    /// From `inputs` channels at stride 8 of a rig's cameras to the fine grid's width.
    pub fn new(path: &Path, bev: &BevConfig, rig: &Rig, inputs: i64) -> Self {
        let [rows, columns] = bev.cells();
        let heights = bev.heights_m.len() as i64;
        let mut taps = vec![vec![]; (rows * columns) as usize];
        for (i, point) in reference_points(bev).into_iter().enumerate() {
            let (height, cell) = (i / taps.len(), i % taps.len());
            let placed = |t: Tap| Tap { index: t.index * heights + height as i64, weight: t.weight };
            taps[cell].extend(taps_of(point, rig).into_iter().map(placed));
        }
        let flat: Vec<_> = taps.iter().flatten().copied().collect();
        let mut offsets = vec![0i64];
        for cell in &taps {
            offsets.push(offsets[offsets.len() - 1] + cell.len() as i64);
        }
        let indices: Vec<_> = flat.iter().map(|t| t.index).collect();
        let weights: Vec<_> = flat.iter().map(|t| t.weight).collect();
        let project = ConvConfig::new(inputs, heights * bev.width, 1, 1);
        let init = Init::Normal((2.0 / (inputs * heights) as f64).sqrt());
        Self {
            project: Conv2d::with_init(&(path / "project"), project, init, 0.0),
            taps,
            indices: Tensor::from_slice(&indices).to_device(path.device()),
            weights: Tensor::from_slice(&weights).to_device(path.device()),
            offsets: Tensor::from_slice(&offsets).to_device(path.device()),
            heights,
            cells: [rows, columns],
        }
    }

    /// # Shapes
    /// features `[B·N, C, h, w]` → `[B, F, X, Y]`, channels last in memory; a cell that no camera sees is zero.
    pub fn forward(&self, features: &Tensor, cameras: i64) -> Tensor {
        let projected = self.project.forward(features);
        let (images, channels, h, w) = projected.size4().expect("features are [B·N, C, h, w]");
        let (batch, width) = (images / cameras, channels / self.heights);
        let table = projected
            .permute([0, 2, 3, 1])
            .reshape([batch, cameras * h * w * self.heights, width])
            .transpose(0, 1)
            .reshape([-1, batch * width]);
        let (lifted, ..) =
            Tensor::embedding_bag(&table, &self.indices, &self.offsets, false, 0, false, Some(&self.weights), true);
        let [rows, columns] = self.cells;
        let cells = lifted.reshape([rows * columns, batch, width]).transpose(0, 1).contiguous();
        cells.reshape([batch, rows, columns, width]).permute([0, 3, 1, 2])
    }

    /// `forward` for a batch of one, as a graph: gather, weigh, sum.
    pub fn emit(&self, graph: &mut Graph, features: &Value) -> Value {
        let projected = self.project.emit(graph, features);
        let [images, channels, h, w] = projected.shape()[..] else { panic!("features are [N, C, h, w]") };
        let width = channels / self.heights;
        let cells = self.taps.len() as i64;
        let most = self.taps.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let padded =
            self.taps.iter().flat_map(|taps| (0..most).map(|i| taps.get(i).map_or((0, 0.0), |t| (t.index, t.weight))));
        let (indices, weights): (Vec<i64>, Vec<f32>) = padded.unzip();
        let table = graph.transpose(&projected, &[0, 2, 3, 1]);
        let table = graph.reshape(&table, &[images * h * w * self.heights, width]);
        let gathered = graph.gather(&table, 0, &indices);
        let gathered = graph.reshape(&gathered, &[cells, most as i64, width]);
        let weights = graph.floats(&weights, &[cells, 1, most as i64]);
        let lifted = graph.matmul(&weights, &gathered);
        let [rows, columns] = self.cells;
        let lifted = graph.reshape(&lifted, &[1, rows, columns, width]);
        graph.transpose(&lifted, &[0, 3, 1, 2])
    }
}
