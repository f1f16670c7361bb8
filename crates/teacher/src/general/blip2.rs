//! BLIP-2's eyes (Li et al. 2023): a vision tower, and a Q-Former whose learned queries read it and stand in the prompt of a
//! language model. B pictures, Q queries, D width.

use super::bert::heads;
use super::folder::{Fields, ModelFolder};
use super::image::Preprocess;
use super::tower::{Patches, Tower, TowerConfig, attention, linear};
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::opt::OptConfig;
use apprentice_nn::t5::T5Config;
use apprentice_nn::{Activation, Init, LayerNorm, Linear, Path};
use tch::{Device, Tensor};

/// Attention with what follows it in BERT: keys `attention.{query,key,value}` and `output.{dense,LayerNorm}`.
#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    dense: Linear,
    norm: LayerNorm,
}

impl Attention {
    fn new(path: &Path, width: i64, memory: i64, eps: f64) -> Self {
        let (inner, output) = (path / "attention", path / "output");
        Self {
            query: linear(&(&inner / "query"), width, width),
            key: linear(&(&inner / "key"), memory, width),
            value: linear(&(&inner / "value"), memory, width),
            dense: linear(&(&output / "dense"), width, width),
            norm: LayerNorm::with_eps(&(&output / "LayerNorm"), width, eps),
        }
    }

    fn forward(&self, x: &Tensor, memory: &Tensor, heads: i64) -> Tensor {
        let (query, key, value) = (self.query.forward(x), self.key.forward(memory), self.value.forward(memory));
        let read = attention([&query, &key, &value], heads, None, false, None);
        self.norm.forward(&(x + self.dense.forward(&read)))
    }
}

#[derive(Debug)]
struct Block {
    own: Attention,
    cross: Option<Attention>,
    intermediate: Linear,
    output: Linear,
    norm: LayerNorm,
}

/// Tower, Q-Former and projection.
#[derive(Debug)]
pub struct Blip2Eyes {
    class: Tensor,
    places: Tensor,
    patches: Patches,
    tower: Tower,
    after: LayerNorm,
    queries: Tensor,
    before: LayerNorm,
    blocks: Vec<Block>,
    heads: i64,
    activation: Activation,
    projection: Linear,
    preprocess: Preprocess,
}

impl Blip2Eyes {
    /// Build under `root` for a language side of width `width`.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the field.
    pub fn new(root: &Path, folder: &ModelFolder, config: &Fields, width: i64) -> Result<Self, TeacherError> {
        let (vision, former) = (config.part("vision_config"), config.part("qformer_config"));
        let sight = vision.int("hidden_size", 1408)?;
        let tower = TowerConfig {
            width: sight,
            hidden: vision.int("intermediate_size", 6144)?,
            layers: vision.int("num_hidden_layers", 39)?,
            heads: vision.int("num_attention_heads", 16)?,
            eps: vision.float("layer_norm_eps", 1e-6)?,
            activation: vision.activation("hidden_act", "gelu")?,
            fused: true,
        };
        if tower.heads < 1 || sight % tower.heads != 0 {
            return Err(vision.wrong("num_attention_heads", format!("a divisor of hidden_size {sight}")));
        }
        let (d, eps) = (former.int("hidden_size", 768)?, former.float("layer_norm_eps", 1e-12)?);
        let (hidden, every) =
            (former.int("intermediate_size", 3072)?, former.int("cross_attention_frequency", 2)?.max(1));
        let memory = former.int("encoder_hidden_size", 1408)?;
        let eyes = root / "vision_model";
        let patches = Patches::with(&(&eyes / "embeddings" / "patch_embedding"), &vision, sight, true, [14, 224])?;
        let places = patches.side * patches.side + 1;
        let block = |i: i64| {
            let block = root / "qformer" / "encoder" / "layer" / i;
            Block {
                own: Attention::new(&(&block / "attention"), d, d, eps),
                cross: (i % every == 0).then(|| Attention::new(&(&block / "crossattention"), d, memory, eps)),
                intermediate: linear(&(&block / "intermediate_query" / "dense"), d, hidden),
                output: linear(&(&block / "output_query" / "dense"), hidden, d),
                norm: LayerNorm::with_eps(&(&block / "output_query" / "LayerNorm"), d, eps),
            }
        };
        Ok(Self {
            class: (&eyes / "embeddings").param("class_embedding", &[1, 1, sight], Init::Normal(0.02)),
            places: (&eyes / "embeddings").param("position_embedding", &[1, places, sight], Init::Normal(0.02)),
            patches,
            tower: Tower::new(&(&eyes / "encoder"), &tower),
            after: LayerNorm::with_eps(&(&eyes / "post_layernorm"), sight, tower.eps),
            queries: root.param("query_tokens", &[1, config.int("num_query_tokens", 32)?, d], Init::Normal(0.02)),
            before: LayerNorm::with_eps(&(root / "qformer" / "layernorm"), d, eps),
            blocks: (0..former.int("num_hidden_layers", 12)?).map(block).collect(),
            heads: heads(&former, d)?,
            activation: former.activation("hidden_act", "gelu")?,
            projection: linear(&(root / "language_projection"), d, width),
            preprocess: Preprocess::open(folder)?,
        })
    }

    /// A picture as the language side reads it.
    ///
    /// # Shapes
    /// `[Q, D of the language side]`.
    pub fn see(&self, image: &Image, device: Device) -> Tensor {
        let patches = self.patches.forward(&self.preprocess.pixels(image).unsqueeze(0).to_device(device));
        let states = self.tower.forward(Tensor::cat(&[&self.class, &patches], 1) + &self.places, false);
        let memory = self.after.forward(&states[states.len() - 1]);
        let mut x = self.before.forward(&self.queries);
        for block in &self.blocks {
            x = block.own.forward(&x, &x, self.heads);
            if let Some(cross) = &block.cross {
                x = cross.forward(&x, &memory, self.heads);
            }
            let bent = self.activation.forward(&block.intermediate.forward(&x));
            x = block.norm.forward(&(&x + block.output.forward(&bent)));
        }
        self.projection.forward(&x).squeeze_dim(0)
    }
}

/// OPT's shape from a `text_config`.
///
/// # Errors
/// [`TeacherError::Model`] names the field.
pub fn opt_config(fields: &Fields) -> Result<OptConfig, TeacherError> {
    let width = fields.int("hidden_size", 768)?;
    for (name, wanted) in [("do_layer_norm_before", true), ("enable_bias", true), ("_remove_final_layer_norm", false)] {
        if fields.flag(name, wanted)? != wanted {
            return Err(fields.wrong(name, wanted.to_string()));
        }
    }
    if fields.int("word_embed_proj_dim", width)? != width {
        return Err(fields.wrong("word_embed_proj_dim", format!("hidden_size {width}")));
    }
    if fields.text("activation_function", Some("relu"))? != "relu" {
        return Err(fields.wrong("activation_function", "`relu`"));
    }
    Ok(OptConfig {
        vocab_size: fields.int("vocab_size", 50_272)?,
        hidden_size: width,
        ffn_dim: fields.int("ffn_dim", 3072)?,
        num_hidden_layers: usize::try_from(fields.int("num_hidden_layers", 12)?).unwrap_or(0),
        num_attention_heads: heads(fields, width)?,
        max_position_embeddings: fields.int("max_position_embeddings", 2048)?,
        tie_word_embeddings: true,
    })
}

/// T5's shape, and the token its decoder begins with, from a `config.json` or a `text_config`.
///
/// # Errors
/// [`TeacherError::Model`] names the field.
pub fn t5_config(fields: &Fields) -> Result<(T5Config, i64), TeacherError> {
    let layers = fields.int("num_layers", 6)?;
    let count = |value: i64| usize::try_from(value).unwrap_or(0);
    let name = fields.text("feed_forward_proj", Some("relu"))?;
    let (gated, word) = name.strip_prefix("gated-").map_or((false, name.as_str()), |word| (true, word));
    // `gated-gelu` has always meant the approximation.
    let word = if gated && word == "gelu" { "gelu_new" } else { word };
    let activation =
        Activation::from_name(word).ok_or_else(|| fields.wrong("feed_forward_proj", "a known activation"))?;
    let scaled = fields.flag("scale_decoder_outputs", fields.flag("tie_word_embeddings", true)?)?;
    let config = T5Config {
        vocab_size: fields.int("vocab_size", 32_128)?,
        d_model: fields.int("d_model", 512)?,
        d_kv: fields.int("d_kv", 64)?,
        d_ff: fields.int("d_ff", 2048)?,
        num_layers: count(layers),
        num_decoder_layers: count(fields.int("num_decoder_layers", layers)?),
        num_heads: fields.int("num_heads", 8)?,
        relative_attention_num_buckets: fields.int("relative_attention_num_buckets", 32)?,
        relative_attention_max_distance: fields.int("relative_attention_max_distance", 128)?,
        layer_norm_epsilon: fields.float("layer_norm_epsilon", 1e-6)?,
        activation,
        gated,
        scale_decoder_outputs: scaled,
    };
    let positive = [
        ("num_layers", config.num_layers as i64),
        ("num_decoder_layers", config.num_decoder_layers as i64),
        ("num_heads", config.num_heads),
        ("d_kv", config.d_kv),
        ("relative_attention_num_buckets", config.relative_attention_num_buckets / 4),
    ];
    if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value < 1) {
        return Err(fields.wrong(field, "a larger whole number"));
    }
    let start = fields.int("decoder_start_token_id", fields.int("pad_token_id", 0)?)?;
    Ok((config, start))
}
