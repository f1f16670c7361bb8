//! EVA-02 (Fang et al. 2023): a pre-norm vision transformer with rotary positions on two axes, gated perceptrons (SwiGLU) and
//! norms inside the halves (sub-LN), under timm's names or those of ORION's code (the detection layout of EVA-02, with windows).
//!
//! B pictures, D width, h × w patches.

use super::{Features, Shapes};
use crate::{Conv2d, ConvConfig, Init, LayerNorm, Linear, NnError, Path};
use tch::{Kind, Tensor};

/// Width of one head in every published size.
const HEAD: i64 = 64;
/// Side of the grid that rotary positions were made for; other grids are stretched onto it.
const REFERENCE: f64 = 16.0;
const EPS: f64 = 1e-6;

/// Shape of a network, and which of the variants its tensors are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    width: i64,
    patch: i64,
    hidden: i64,
    blocks: usize,
    /// Rows of the table of positions, the class's included.
    places: i64,
    /// Patches along a side of the picture.
    grid: i64,
    /// Side of the windows that two of three blocks attend within; 0 where all attend to everything.
    window: i64,
    class: bool,
}

impl Plan {
    pub(crate) fn of(shapes: &Shapes<'_>) -> Result<Self, NnError> {
        let width = shapes.dim("patch_embed.proj.weight", 0);
        let places = shapes.dim("pos_embed", 1);
        let side = |n: i64| (n as f64).sqrt().round() as i64;
        let square = |n: i64| side(n) * side(n) == n && n > 0;
        if width < HEAD || width % HEAD != 0 {
            return Err(shapes.wrong("patch_embed.proj.weight", "a multiple of 64 rows"));
        }
        if !square(places - 1) {
            return Err(shapes.wrong("pos_embed", "[1, 1 + the square of a whole number, width]"));
        }
        let gates = ["w1", "fc1_g", "fc1"].map(|name| shapes.dim(&format!("blocks.0.mlp.{name}.weight"), 0));
        let window = side(shapes.dim("rope_win.freqs_cos", 0));
        let global = shapes.dim("rope_glb.freqs_cos", 0);
        if window > 0 && !square(global) {
            return Err(shapes.wrong("rope_glb.freqs_cos", "the square of a whole number of rows"));
        }
        Ok(Self {
            width,
            places,
            window,
            patch: shapes.dim("patch_embed.proj.weight", 2).max(1),
            hidden: if gates[2] > 0 { gates[2] / 2 } else { gates[0].max(gates[1]) },
            blocks: shapes.count("blocks", "attn.proj.weight"),
            grid: if window > 0 { side(global) } else { side(places - 1) },
            class: shapes.has("cls_token"),
        })
    }
}

/// Cosines and sines of a grid's positions, `[h·w, head]`: rows turn the first half of a head, columns the second, in
/// neighbouring pairs.
fn turns(grid: [i64; 2], like: &Tensor) -> [Tensor; 2] {
    let device = like.device();
    let count = HEAD / 4;
    let places = |n: i64| Tensor::arange(n, (Kind::Float, device)) / n as f64 * REFERENCE;
    let exponents = Tensor::arange(count, (Kind::Float, device)) / count as f64;
    let frequencies = (exponents * -(10_000f64.ln())).exp();
    let angles = |n: i64| (places(n).unsqueeze(1) * &frequencies).repeat_interleave_self_int(2, 1, None);
    let [rows, columns] = grid;
    let down = angles(rows).unsqueeze(1).expand([rows, columns, HEAD / 2], false);
    let across = angles(columns).unsqueeze(0).expand([rows, columns, HEAD / 2], false);
    let angles = Tensor::cat(&[down, across], -1).flatten(0, 1);
    [angles.cos(), angles.sin()].map(|t| t.to_kind(like.kind()))
}

/// Turn `[B, heads, L, head]` in neighbouring pairs; the first `skip` places stay.
fn turn(x: &Tensor, [cos, sin]: &[Tensor; 2], skip: i64) -> Tensor {
    let kept = x.narrow(2, 0, skip);
    let moved = x.narrow(2, skip, x.size()[2] - skip);
    let pairs = moved.unflatten(-1, [HEAD / 2, 2]);
    let across = Tensor::stack(&[pairs.select(-1, 1).neg(), pairs.select(-1, 0)], -1).flatten(-2, -1);
    Tensor::cat(&[kept, moved * cos + across * sin], 2)
}

#[derive(Debug)]
enum Projections {
    Apart([Linear; 3]),
    Fused(Linear),
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    projections: Projections,
    inner: Option<LayerNorm>,
    out: Linear,
    norm2: LayerNorm,
    /// Gate and value, or both in one.
    inputs: Vec<Linear>,
    sub: Option<LayerNorm>,
    last: Linear,
}

/// A norm where the checkpoint has one.
fn norm_if_offered(path: &Path, names: &[&str], width: i64) -> Option<LayerNorm> {
    let name = names.iter().find(|name| (path / name).offers("weight"))?;
    Some(LayerNorm::with_eps(&(path / name), width, EPS))
}

impl Block {
    fn new(path: &Path, plan: &Plan) -> Self {
        let (d, h, attn, mlp) = (plan.width, plan.hidden, path / "attn", path / "mlp");
        let bare = |name: &str, outputs: i64| Linear::with_init(&(&attn / name), d, outputs, Init::Xavier, None);
        let bias = |name: &str| attn.param(name, &[d], Init::Constant(0.0));
        let apart = attn.offers("q_bias") && !(&attn / "qkv").offers("weight");
        let projections = if (&attn / "qkv").offers("weight") {
            let mut all = bare("qkv", 3 * d);
            // Keys have no bias.
            all.bias = attn.offers("q_bias").then(|| {
                let (query, value) = (bias("q_bias"), bias("v_bias"));
                Tensor::cat(&[&query, &query.zeros_like(), &value], 0)
            });
            Projections::Fused(all)
        } else if apart {
            let mut three = ["q_proj", "k_proj", "v_proj"].map(|name| bare(name, d));
            three[0].bias = Some(bias("q_bias"));
            three[2].bias = Some(bias("v_bias"));
            Projections::Apart(three)
        } else {
            let whole = |name: &str| Linear::new(&(&attn / name), d, d);
            Projections::Apart([whole("q_proj"), bare("k_proj", d), whole("v_proj")])
        };
        let linear = |name: &str, from: i64, to: i64| Linear::new(&(&mlp / name), from, to);
        let (inputs, last) = if (&mlp / "w1").offers("weight") {
            (vec![linear("w1", d, h), linear("w2", d, h)], linear("w3", h, d))
        } else if (&mlp / "fc1").offers("weight") {
            (vec![linear("fc1", d, 2 * h)], linear("fc2", h, d))
        } else {
            (vec![linear("fc1_g", d, h), linear("fc1_x", d, h)], linear("fc2", h, d))
        };
        Self {
            norm1: LayerNorm::with_eps(&(path / "norm1"), d, EPS),
            projections,
            inner: norm_if_offered(&attn, &["norm", "inner_attn_ln"], d),
            out: Linear::new(&(&attn / "proj"), d, d),
            norm2: LayerNorm::with_eps(&(path / "norm2"), d, EPS),
            inputs,
            sub: norm_if_offered(&mlp, &["norm", "ffn_ln"], h),
            last,
        }
    }

    /// Attention over `[B, L, D]`; the first `skip` places have no position.
    fn attend(&self, x: &Tensor, turns: &[Tensor; 2], skip: i64) -> Tensor {
        let split = |x: &Tensor| x.unflatten(-1, [-1, HEAD]).transpose(1, 2);
        let [query, key, value] = match &self.projections {
            Projections::Apart(three) => three.each_ref().map(|p| p.forward(x)),
            Projections::Fused(one) => {
                let all = one.forward(x);
                let width = all.size()[2] / 3;
                [0, 1, 2].map(|i| all.narrow(-1, i * width, width))
            }
        };
        let (query, key) = (turn(&split(&query), turns, skip), turn(&split(&key), turns, skip));
        let mask: Option<&Tensor> = None;
        let read = Tensor::scaled_dot_product_attention(&query, &key, &split(&value), mask, 0.0, false, None, false)
            .transpose(1, 2)
            .flatten(2, 3);
        self.out.forward(&self.inner.as_ref().map_or_else(|| read.shallow_clone(), |norm| norm.forward(&read)))
    }

    fn perceive(&self, x: &Tensor) -> Tensor {
        let normed = self.norm2.forward(x);
        let hidden = match self.inputs.as_slice() {
            [gate, value] => gate.forward(&normed).silu() * value.forward(&normed),
            both => {
                let halves = both[0].forward(&normed).chunk(2, -1);
                halves[0].silu() * &halves[1]
            }
        };
        x + self.last.forward(&self.sub.as_ref().map_or_else(|| hidden.shallow_clone(), |norm| norm.forward(&hidden)))
    }
}

/// The network, without its classifier.
#[derive(Debug)]
pub struct Eva {
    plan: Plan,
    patches: Conv2d,
    class: Option<Tensor>,
    places: Tensor,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
    pooled_norm: Option<LayerNorm>,
}

impl Eva {
    pub(crate) fn new(path: &Path, plan: Plan) -> Self {
        let d = plan.width;
        let config = ConvConfig { padding: 0, ..ConvConfig::new(3, d, plan.patch, plan.patch).with_bias() };
        Self {
            patches: Conv2d::new(&(path / "patch_embed" / "proj"), config),
            class: plan.class.then(|| path.param("cls_token", &[1, 1, d], Init::Normal(0.02))),
            places: path.param("pos_embed", &[1, plan.places, d], Init::Normal(0.02)),
            blocks: (0..plan.blocks).map(|i| Block::new(&(path / "blocks" / i), &plan)).collect(),
            norm: norm_if_offered(path, &["norm"], d),
            pooled_norm: norm_if_offered(path, &["fc_norm"], d),
            plan,
        }
    }

    pub(super) fn architecture(&self) -> String {
        let size = match (self.plan.width, self.plan.blocks) {
            (192, 12) => "Ti".into(),
            (384, 12) => "S".into(),
            (768, 12) => "B".into(),
            (1024, 24) => "L".into(),
            (width, blocks) => format!("{width}x{blocks}"),
        };
        let windows = if self.plan.window > 0 { " with windows" } else { "" };
        format!("EVA-02-{size}/{}{windows}", self.plan.patch)
    }

    pub(super) fn image_size(&self) -> [usize; 2] {
        [(self.plan.grid * self.plan.patch) as usize; 2]
    }

    /// Side of a patch.
    pub(super) fn patch(&self) -> i64 {
        self.plan.patch
    }

    /// Whether blocks attend within windows (the detection layout, ORION's).
    pub fn windows(&self) -> bool {
        self.plan.window > 0
    }

    /// Positions of a grid, resized from the table's own where it is another.
    fn places(&self, [rows, columns]: [i64; 2]) -> Tensor {
        let places = self.places.narrow(1, 1, self.plan.places - 1);
        let side = (places.size()[1] as f64).sqrt().round() as i64;
        if [rows, columns] == [side, side] {
            return places;
        }
        let grid = places.transpose(1, 2).unflatten(-1, [side, side]).to_kind(Kind::Float);
        let resized = grid.upsample_bicubic2d([rows, columns], false, None, None);
        resized.flatten(2, 3).transpose(1, 2).to_kind(self.places.kind())
    }

    /// One level at the stride of a patch; pooled as the checkpoint's classifier would have it.
    ///
    /// # Shapes
    /// Normalised pictures `[B, 3, H, W]`, sides multiples of the patch.
    pub fn forward(&self, pixels: &Tensor) -> Features {
        let grid = self.patches.forward(pixels);
        let [batch, d, rows, columns] = grid.size()[..] else { unreachable!("a convolution gives [B, D, h, w]") };
        let mut x = grid.flatten(2, 3).transpose(1, 2) + self.places([rows, columns]);
        let mut skip = 0;
        if let Some(class) = &self.class {
            let class = (class + self.places.narrow(1, 0, 1)).expand([batch, 1, d], false);
            x = Tensor::cat(&[class, x], 1);
            skip = 1;
        }
        let (window, whole) = (self.plan.window, turns([rows, columns], &x));
        let narrow = (window > 0).then(|| turns([window, window], &x));
        for (i, block) in self.blocks.iter().enumerate() {
            let normed = block.norm1.forward(&x);
            // Every third block attends to everything (EVA-02's detectors, and ORION's configuration).
            let read = match &narrow {
                Some(turns) if i % 3 != 2 => {
                    let windows = cut(&normed, [rows, columns], window);
                    joined(&block.attend(&windows, turns, 0), [rows, columns], window)
                }
                _ => block.attend(&normed, &whole, skip),
            };
            x = block.perceive(&(x + read));
        }
        if let Some(norm) = &self.norm {
            x = norm.forward(&x);
        }
        let patches = x.narrow(1, skip, rows * columns);
        let pooled = match (&self.pooled_norm, &self.norm) {
            (Some(norm), _) => norm.forward(&patches.mean_dim(1i64, false, None)),
            (None, Some(_)) if skip == 1 => x.select(1, 0),
            _ => patches.mean_dim(1i64, false, None),
        };
        let level = patches.transpose(1, 2).unflatten(-1, [rows, columns]);
        Features { levels: vec![(self.plan.patch, level)], pooled }
    }
}

/// `[B, h·w, D]` → `[B · windows, side², D]`, padded with zeros to whole windows.
fn cut(x: &Tensor, [rows, columns]: [i64; 2], side: i64) -> Tensor {
    let (down, across) = ((side - rows % side) % side, (side - columns % side) % side);
    let grid = x.unflatten(1, [rows, columns]).constant_pad_nd([0, 0, 0, across, 0, down]);
    grid.unflatten(2, [-1, side]).unflatten(1, [-1, side]).permute([0, 1, 3, 2, 4, 5]).flatten(0, 2).flatten(1, 2)
}

/// The reverse of [`cut`].
fn joined(windows: &Tensor, [rows, columns]: [i64; 2], side: i64) -> Tensor {
    let (high, wide) = ((rows + side - 1) / side, (columns + side - 1) / side);
    let grid = windows.unflatten(1, [side, side]).unflatten(0, [-1, high, wide]).permute([0, 1, 3, 2, 4, 5]);
    let grid = grid.flatten(3, 4).flatten(1, 2);
    grid.narrow(1, 0, rows).narrow(2, 0, columns).flatten(1, 2)
}
