//! The pre-norm transformer that CLIP, SigLIP and BLIP-2's vision tower share. B batch, L sequence, D width.

use super::folder::Fields;
use crate::TeacherError;
use apprentice_nn::{Activation, Conv2d, ConvConfig, Init, LayerNorm, Linear, Path};
use tch::Tensor;

/// Shape of a tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TowerConfig {
    /// D.
    pub width: i64,
    /// Width of the hidden layer of each block's perceptron.
    pub hidden: i64,
    /// Blocks.
    pub layers: i64,
    /// Attention heads.
    pub heads: i64,
    /// ε of the norms.
    pub eps: f64,
    /// Of the perceptrons.
    pub activation: Activation,
    /// One matrix for queries, keys and values (`qkv`, `projection`) in place of three and `out_proj`.
    pub fused: bool,
}

impl TowerConfig {
    /// From a `text_config` or `vision_config`; `eps` and `activation` are the family's defaults.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the field.
    pub fn read(fields: &Fields, eps: f64, activation: &str) -> Result<Self, TeacherError> {
        let (width, heads) = (fields.int("hidden_size", 768)?, fields.int("num_attention_heads", 12)?);
        if heads < 1 || width % heads != 0 {
            return Err(fields.wrong("num_attention_heads", format!("a divisor of hidden_size {width}")));
        }
        Ok(Self {
            width,
            heads,
            hidden: fields.int("intermediate_size", 3072)?,
            layers: fields.int("num_hidden_layers", 12)?,
            eps: fields.float("layer_norm_eps", eps)?,
            activation: fields.activation("hidden_act", activation)?,
            fused: false,
        })
    }
}

/// A linear layer with a bias.
pub(crate) fn linear(path: &Path, inputs: i64, outputs: i64) -> Linear {
    Linear::new(path, inputs, outputs)
}

/// Attention over heads: `[B, L, D]` queries, `[B, S, D]` keys and values.
pub(crate) fn attention(
    [query, key, value]: [&Tensor; 3],
    heads: i64,
    mask: Option<&Tensor>,
    causal: bool,
    scale: Option<f64>,
) -> Tensor {
    let split = |x: &Tensor| x.unflatten(-1, [heads, -1]).transpose(1, 2);
    let (query, key, value) = (split(query), split(key), split(value));
    Tensor::scaled_dot_product_attention(&query, &key, &value, mask, 0.0, causal, scale, false)
        .transpose(1, 2)
        .flatten(2, 3)
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
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    fn new(path: &Path, config: &TowerConfig) -> Self {
        let (d, attention, mlp) = (config.width, path / "self_attn", path / "mlp");
        let projections = if config.fused {
            Projections::Fused(linear(&(&attention / "qkv"), d, 3 * d))
        } else {
            Projections::Apart(["q_proj", "k_proj", "v_proj"].map(|name| linear(&(&attention / name), d, d)))
        };
        Self {
            norm1: LayerNorm::with_eps(&(path / "layer_norm1"), d, config.eps),
            projections,
            out: linear(&(&attention / if config.fused { "projection" } else { "out_proj" }), d, d),
            norm2: LayerNorm::with_eps(&(path / "layer_norm2"), d, config.eps),
            fc1: linear(&(&mlp / "fc1"), d, config.hidden),
            fc2: linear(&(&mlp / "fc2"), config.hidden, d),
        }
    }

    fn forward(&self, x: &Tensor, config: &TowerConfig, causal: bool) -> Tensor {
        let normed = self.norm1.forward(x);
        let [query, key, value] = match &self.projections {
            Projections::Apart(three) => three.each_ref().map(|p| p.forward(&normed)),
            Projections::Fused(one) => {
                let all = one.forward(&normed);
                [0, 1, 2].map(|i| all.narrow(-1, i * config.width, config.width))
            }
        };
        let x = x + self.out.forward(&attention([&query, &key, &value], config.heads, None, causal, None));
        let hidden = config.activation.forward(&self.fc1.forward(&self.norm2.forward(&x)));
        x + self.fc2.forward(&hidden)
    }
}

/// Blocks under `layers.N`.
#[derive(Debug)]
pub struct Tower {
    blocks: Vec<Block>,
    config: TowerConfig,
}

impl Tower {
    /// Build under `path` (the checkpoint's `…encoder`).
    pub fn new(path: &Path, config: &TowerConfig) -> Self {
        let blocks = (0..config.layers).map(|i| Block::new(&(path / "layers" / i), config)).collect();
        Self { blocks, config: *config }
    }

    /// The input, then what each block gives.
    ///
    /// # Shapes
    /// `[B, L, D]` each.
    pub fn forward(&self, x: Tensor, causal: bool) -> Vec<Tensor> {
        let mut states = vec![x];
        for block in &self.blocks {
            let next = block.forward(&states[states.len() - 1], &self.config, causal);
            states.push(next);
        }
        states
    }
}

/// Square patches of a picture as vectors.
#[derive(Debug)]
pub struct Patches {
    convolution: Conv2d,
    /// Patches along a side of the picture the model was made for.
    pub side: i64,
}

impl Patches {
    /// Build under `path`, from `patch_size`, `image_size` and `num_channels`.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the field.
    pub fn new(path: &Path, fields: &Fields, width: i64, bias: bool) -> Result<Self, TeacherError> {
        Self::with(path, fields, width, bias, [32, 224])
    }

    /// The same with a family's own defaults of `patch_size` and `image_size`.
    ///
    /// # Errors
    /// As [`Patches::new`].
    pub fn with(path: &Path, fields: &Fields, width: i64, bias: bool, absent: [i64; 2]) -> Result<Self, TeacherError> {
        let (patch, image) = (fields.int("patch_size", absent[0])?, fields.int("image_size", absent[1])?);
        if patch < 1 || image < patch {
            return Err(fields.wrong("patch_size", format!("1 to image_size {image}")));
        }
        let inputs = fields.int("num_channels", 3)?;
        let config = ConvConfig { inputs, outputs: width, kernel: patch, stride: patch, padding: 0, bias, groups: 1 };
        Ok(Self { convolution: Conv2d::new(path, config), side: image / patch })
    }

    /// # Shapes
    /// `[B, 3, H, W]` → `[B, patches, D]`, rows from the top.
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        let pixels = pixels.to_kind(self.convolution.weight.kind());
        self.convolution.forward(&pixels).flatten(2, 3).transpose(1, 2)
    }
}

/// A table of learned vectors: `weight` under `path`.
pub(crate) fn table(path: &Path, rows: i64, width: i64) -> Tensor {
    path.param("weight", &[rows, width], Init::Normal(0.02))
}

/// Whether a checkpoint's tensor is an index buffer that old files carry.
pub(crate) fn is_index(name: &str) -> bool {
    name.ends_with("position_ids") || name.ends_with("inv_freq")
}

/// Rows of a table.
///
/// # Shapes
/// ids `[…]` (int64) → `[…, D]`.
pub(crate) fn rows(table: &Tensor, ids: &Tensor) -> Tensor {
    Tensor::embedding(table, ids, -1, false, false)
}
