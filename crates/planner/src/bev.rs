//! The bird's-eye-view network: a fine grid for the dense head, a coarse grid whose cells are the BEV tokens.
//!
//! B batch, C channels, (X, Y) the fine grid, (X/2, Y/2) the coarse one.

use crate::backbone::{ConvNorm, ResidualBlock};
use crate::config::BevConfig;
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::{BatchNorm2d, ConvConfig, Init, Path};
use tch::Tensor;

/// The network after the lift.
#[derive(Debug)]
pub struct BevNet {
    /// Before everything; key `entry`.
    pub entry: BatchNorm2d,
    /// One learned vector per fine cell, `[1, width, X, Y]`; key `place`.
    pub place: Tensor,
    /// Keys `fine.I`.
    pub fine: Vec<ResidualBlock>,
    /// To the coarse grid; key `down`.
    pub down: ConvNorm,
    /// Keys `coarse.I`.
    pub coarse: Vec<ResidualBlock>,
    /// Back to the fine grid; key `up`.
    pub up: ConvNorm,
}

/// Both grids.
#[derive(Debug)]
pub struct BevFeatures {
    /// `[B, bev.width, X, Y]`.
    pub fine: Tensor,
    /// `[B, width, X/2, Y/2]`.
    pub coarse: Tensor,
}

impl BevNet {
    /// Tokens get `width` channels.
    pub fn new(path: &Path, config: &BevConfig, width: i64) -> Self {
        let fine = config.width;
        let [rows, columns] = config.cells();
        let blocks = |name: &str, count: usize, width: i64| {
            (0..count).map(|i| ResidualBlock::new(&(path / name / i), width, width, 1)).collect()
        };
        Self {
            entry: BatchNorm2d::new(&(path / "entry"), fine, 1.0),
            place: path.param("place", &[1, fine, rows, columns], Init::Normal(0.02)),
            fine: blocks("fine", config.blocks, fine),
            down: ConvNorm::new(&(path / "down"), ConvConfig::new(fine, width, 3, 2), 1.0),
            coarse: blocks("coarse", config.coarse_blocks, width),
            up: ConvNorm::new(&(path / "up"), ConvConfig::new(width, fine, 1, 1), 0.5),
        }
    }

    /// # Shapes
    /// `[B, bev.width, X, Y]`, from the lift or a raster.
    pub fn forward(&self, lifted: &Tensor, train: bool) -> BevFeatures {
        let mut fine = (self.entry.forward(lifted, train) + &self.place).relu_();
        for block in &self.fine {
            fine = block.forward(&fine, train);
        }
        let mut coarse = self.down.forward(&fine, train);
        for block in &self.coarse {
            coarse = block.forward(&coarse, train);
        }
        let size = fine.size();
        let up = self.up.linear(&coarse, train).upsample_nearest2d([size[2], size[3]], None, None);
        BevFeatures { fine: (fine + up).relu_(), coarse }
    }

    /// The coarse grid of `forward`, all that planning needs, as a graph.
    pub fn emit_coarse(&self, graph: &mut Graph, lifted: &Value) -> Value {
        let entered = self.entry.emit(graph, lifted);
        let place = graph.tensor(&self.place);
        let placed = graph.add(&entered, &place);
        let mut fine = graph.relu(&placed);
        for block in &self.fine {
            fine = block.emit(graph, &fine);
        }
        let mut coarse = self.down.emit(graph, &fine);
        for block in &self.coarse {
            coarse = block.emit(graph, &coarse);
        }
        coarse
    }
}
