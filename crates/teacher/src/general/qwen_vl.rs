//! Qwen2.5-VL's eyes (Bai et al. 2025): pictures at their own resolution, patches in windows with a few blocks that see all,
//! four patches merged into one token, which carries its row and column into the language side's rotary positions.
//!
//! P patches, ordered so that the four of a merged token stand together; D width.

use super::folder::{Fields, ModelFolder};
use super::image::{Filter, filter, normalised, processor, resize};
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::rotary::{Rotary, rotate};
use apprentice_nn::{Activation, Init, Linear, Path, RmsNorm};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

#[derive(Debug)]
struct Block {
    norm1: RmsNorm,
    qkv: Linear,
    proj: Linear,
    norm2: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The vision tower.
#[derive(Debug)]
pub struct QwenEyes {
    patch_embed: Tensor,
    blocks: Vec<Block>,
    merger_norm: RmsNorm,
    merger: [Linear; 2],
    activation: Activation,
    heads: i64,
    head: i64,
    /// Blocks that see the whole picture.
    whole: Vec<i64>,
    /// Side of a window in merged tokens.
    window: usize,
    patch: usize,
    merge: usize,
    /// Frames of a patch; a still picture is repeated.
    frames: i64,
    pixels: Range<f64>,
    filter: Filter,
    factor: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
}

const EPS: f64 = 1e-6;
const THETA: f64 = 10_000.0;

impl QwenEyes {
    /// Build under `path` (the checkpoint's `visual`).
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the field.
    pub fn new(path: &Path, folder: &ModelFolder, vision: &Fields, width: i64) -> Result<Self, TeacherError> {
        let (d, heads) = (vision.int("hidden_size", 3584)?, vision.int("num_heads", 16)?);
        let hidden = vision.int("intermediate_size", 3420)?;
        let (patch, merge) = (vision.int("patch_size", 14)?, vision.int("spatial_merge_size", 2)?);
        let frames = vision.int("temporal_patch_size", 2)?;
        let window = vision.int("window_size", 112)? / (patch * merge).max(1);
        if heads < 1 || d % (4 * heads) != 0 || window < 1 {
            return Err(vision.wrong("num_heads", format!("hidden_size {d} in heads of a multiple of 4, and a window")));
        }
        let inputs = vision.int("in_channels", vision.int("in_chans", 3).ok())?;
        let shape = [d, inputs, frames, patch, patch];
        let linear = |path: Path, inputs: i64, outputs: i64| Linear::new(&path, inputs, outputs);
        let block = |i: i64| {
            let block = path / "blocks" / i;
            Block {
                norm1: RmsNorm::new(&(&block / "norm1"), d, EPS),
                qkv: linear(&block / "attn" / "qkv", d, 3 * d),
                proj: linear(&block / "attn" / "proj", d, d),
                norm2: RmsNorm::new(&(&block / "norm2"), d, EPS),
                gate: linear(&block / "mlp" / "gate_proj", d, hidden),
                up: linear(&block / "mlp" / "up_proj", d, hidden),
                down: linear(&block / "mlp" / "down_proj", hidden, d),
            }
        };
        let merged = d * merge * merge;
        let fields = processor(folder)?;
        let size = fields.part("size");
        let limit = |old: &str, new: &str, absent: f64| fields.float(old, size.float(new, absent)?);
        Ok(Self {
            patch_embed: (path / "patch_embed" / "proj").param("weight", &shape, Init::Xavier).flatten(1, -1),
            blocks: (0..vision.int("depth", 32)?).map(block).collect(),
            merger_norm: RmsNorm::new(&(path / "merger" / "ln_q"), d, EPS),
            merger: [
                linear(path / "merger" / "mlp" / 0, merged, merged),
                linear(path / "merger" / "mlp" / 2, merged, vision.int("out_hidden_size", width)?),
            ],
            activation: vision.activation("hidden_act", "silu")?,
            heads,
            head: d / heads,
            whole: vision.ints("fullatt_block_indexes", Some(&[7, 15, 23, 31]))?,
            window: window as usize,
            patch: patch as usize,
            merge: merge as usize,
            frames,
            pixels: limit("min_pixels", "shortest_edge", 3136.0)?..limit("max_pixels", "longest_edge", 1_003_520.0)?,
            filter: filter(&fields)?,
            factor: fields.float("rescale_factor", 1.0 / 255.0)?,
            mean: fields.floats("image_mean", Some(&super::image::CLIP_MEAN))?,
            std: fields.floats("image_std", Some(&super::image::CLIP_STD))?,
        })
    }

    /// Width and height a picture is resized to: multiples of a merged token's side, within the model's count of pixels.
    fn size(&self, image: &Image) -> (usize, usize) {
        let side = (self.patch * self.merge) as f64;
        let (w, h) = (image.width as f64, image.height as f64);
        let nearest = |x: f64| (x / side).round_ties_even() * side;
        let (mut width, mut height) = (nearest(w), nearest(h));
        if width * height > self.pixels.end {
            let shrink = (w * h / self.pixels.end).sqrt();
            let down = |x: f64| ((x / shrink / side).floor() * side).max(side);
            (width, height) = (down(w), down(h));
        } else if width * height < self.pixels.start {
            let grow = (self.pixels.start / (w * h)).sqrt();
            let up = |x: f64| (x * grow / side).ceil() * side;
            (width, height) = (up(w), up(h));
        }
        (width as usize, height as usize)
    }

    /// A picture as patches, and its grid `[rows, columns]` in patches.
    ///
    /// # Shapes
    /// `[P, 3 · frames · patch²]`, f32.
    pub fn patches(&self, image: &Image) -> (Tensor, [usize; 2]) {
        let (width, height) = self.size(image);
        let pixels = normalised(&resize(image, width, height, self.filter), self.factor, &self.mean, &self.std);
        let (patch, merge) = (self.patch as i64, self.merge as i64);
        let [rows, columns] = [height / self.patch, width / self.patch];
        let split = [3, rows as i64 / merge, merge, patch, columns as i64 / merge, merge, patch];
        let ordered = pixels.reshape(split).permute([1, 4, 2, 5, 0, 3, 6]).unsqueeze(5);
        let size = ordered.size();
        let repeated = ordered.expand([size[0], size[1], size[2], size[3], size[4], self.frames, patch, patch], false);
        (repeated.reshape([(rows * columns) as i64, -1]), [rows, columns])
    }

    /// Merged tokens, row by row within windows, and where each window ends.
    fn windows(&self, rows: usize, columns: usize) -> (Vec<i64>, Vec<usize>) {
        let (mut order, mut ends) = (vec![], vec![]);
        for top in (0..rows).step_by(self.window) {
            for left in (0..columns).step_by(self.window) {
                for row in top..(top + self.window).min(rows) {
                    order.extend(
                        (left..(left + self.window).min(columns)).map(|column| (row * columns + column) as i64),
                    );
                }
                ends.push(order.len());
            }
        }
        (order, ends)
    }

    /// What the language side reads of a picture, and its grid `[rows, columns]` in tokens.
    ///
    /// # Shapes
    /// `[rows · columns, D of the language side]`.
    pub fn see(&self, image: &Image, device: Device) -> (Tensor, [i64; 2]) {
        let (patches, [rows, columns]) = self.patches(image);
        let unit = (self.merge * self.merge) as i64;
        let grid = [rows / self.merge, columns / self.merge];
        let (order, ends) = self.windows(grid[0], grid[1]);
        let order = Tensor::from_slice(&order).to_device(device);
        let windowed = |x: &Tensor| {
            let size = x.size();
            x.reshape([size[0] / unit, unit, -1]).index_select(0, &order).reshape(&size)
        };
        // Row and column of every patch, in the order in which patches come.
        let places: Vec<i64> = (0..grid[0] * grid[1])
            .flat_map(|token| {
                let (top, left) = (token / grid[1] * self.merge, token % grid[1] * self.merge);
                (0..self.merge * self.merge)
                    .flat_map(move |i| [(top + i / self.merge) as i64, (left + i % self.merge) as i64])
            })
            .collect();
        let places = Tensor::from_slice(&places).view([-1, 2]).to_kind(Kind::Float).to_device(device);
        let quarter = self.head / 4;
        let exponents = Tensor::arange(quarter, (Kind::Float, device)) * (-THETA.ln() / quarter as f64);
        let angles = (places.unsqueeze(-1) * exponents.exp()).flatten(1, 2);
        let angles = windowed(&Tensor::cat(&[&angles, &angles], -1));
        let kind = self.patch_embed.kind();
        let turn = Rotary::of_angles(&angles.unsqueeze(0), Kind::Float);
        let mut x = windowed(&patches.to_device(device).to_kind(kind).linear::<&Tensor>(&self.patch_embed, None));
        let ends: Vec<i64> = ends.into_iter().map(|end| end as i64 * unit).collect();
        let all = [x.size()[0]];
        for (index, block) in self.blocks.iter().enumerate() {
            let ends = if self.whole.contains(&(index as i64)) { &all[..] } else { &ends };
            x = self.block(block, &x, &turn, ends);
        }
        let merged = self.merger_norm.forward(&x).reshape([all[0] / unit, -1]);
        let tokens = self.merger[1].forward(&self.merger[0].forward(&merged).gelu("none"));
        (tokens.index_select(0, &order.argsort(0, false)), grid.map(|n| n as i64))
    }

    fn block(&self, block: &Block, x: &Tensor, turn: &Rotary, ends: &[i64]) -> Tensor {
        // [heads, P, head] each.
        let qkv =
            block.qkv.forward(&block.norm1.forward(x)).unflatten(1, [3, self.heads, self.head]).permute([1, 2, 0, 3]);
        let turned = |i: i64| rotate(&qkv.get(i).to_kind(Kind::Float), turn).to_kind(x.kind());
        let (query, key, value) = (turned(0), turned(1), qkv.get(2));
        let mut start = 0;
        let attend = |&end: &i64| {
            let part = |t: &Tensor| t.narrow(1, start, end - start).unsqueeze(0);
            let (query, key, value) = (part(&query), part(&key), part(&value));
            start = end;
            Tensor::scaled_dot_product_attention::<&Tensor>(&query, &key, &value, None, 0.0, false, None, false)
        };
        let read = Tensor::cat(&ends.iter().map(attend).collect::<Vec<_>>(), 2);
        let x = x + block.proj.forward(&read.squeeze_dim(0).transpose(0, 1).flatten(1, 2));
        let normed = block.norm2.forward(&x);
        let gated = self.activation.forward(&block.gate.forward(&normed)) * block.up.forward(&normed);
        &x + block.down.forward(&gated)
    }

    /// Names of older files in the order of newer ones: language side and tower under `model`.
    pub fn rename(name: &str) -> String {
        if name.starts_with("visual.") {
            return format!("model.{name}");
        }
        match name.strip_prefix("model.") {
            Some(rest) if !rest.starts_with("visual.") && !rest.starts_with("language_model.") => {
                format!("model.language_model.{rest}")
            }
            _ => name.to_string(),
        }
    }
}
