//! Encoder-decoder transformer in the T5 layout (Raffel et al. 2020; version 1.1 and Flan-T5): relative positions in buckets,
//! RMSNorm before each half, no scaling of the scores. The encoder reads embeddings, the decoder speaks about them.
//!
//! Parameter paths are Hugging Face's (`encoder.block.0.layer.0.SelfAttention.q.weight`, …). B batch, L sequence, S sequence of
//! the encoder, P past (cached) positions, D width, H heads, V vocabulary.
//!
//! What may not enter here: tokenizers, prompts, vision.

use crate::llama::KvCache;
use crate::{Activation, Init, Linear, Path, RmsNorm};
use tch::{Device, Kind, Tensor};

/// Shape of the network. Field names are those of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct T5Config {
    /// V.
    pub vocab_size: i64,
    /// D.
    pub d_model: i64,
    /// Width of one head.
    pub d_kv: i64,
    /// Width of the perceptron's hidden layer.
    pub d_ff: i64,
    /// Blocks of the encoder.
    pub num_layers: usize,
    /// Blocks of the decoder.
    pub num_decoder_layers: usize,
    /// H.
    pub num_heads: i64,
    /// Rows of the table of relative positions.
    pub relative_attention_num_buckets: i64,
    /// Distances from here on share the last bucket.
    pub relative_attention_max_distance: i64,
    /// ε of the norms.
    pub layer_norm_epsilon: f64,
    /// Of the perceptron.
    pub activation: Activation,
    /// Whether the perceptron's hidden layer is gated (version 1.1 and later).
    pub gated: bool,
    /// Hidden states count for 1 / √D before the output matrix (the first version).
    pub scale_decoder_outputs: bool,
}

#[derive(Debug)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm: RmsNorm,
}

impl Attention {
    fn new(layer: &Path, name: &str, config: &T5Config) -> Self {
        let (path, d, inner) = (layer / name, config.d_model, config.d_kv * config.num_heads);
        Self {
            q: linear(&(&path / "q"), d, inner),
            k: linear(&(&path / "k"), d, inner),
            v: linear(&(&path / "v"), d, inner),
            o: linear(&(&path / "o"), inner, d),
            norm: RmsNorm::new(&(layer / "layer_norm"), d, config.layer_norm_epsilon),
        }
    }

    fn keys_and_values(&self, memory: &Tensor, heads: i64) -> [Tensor; 2] {
        [&self.k, &self.v].map(|p| split(&p.forward(memory), heads))
    }

    fn attend(&self, x: &Tensor, normed: &Tensor, keys_and_values: &[Tensor; 2], bias: Option<&Tensor>) -> Tensor {
        let [key, value] = keys_and_values;
        let query = split(&self.q.forward(normed), key.size()[1]);
        let read = Tensor::scaled_dot_product_attention(&query, key, value, bias, 0.0, false, 1.0, false);
        x + self.o.forward(&read.transpose(1, 2).flatten(2, 3))
    }
}

#[derive(Debug)]
struct Perceptron {
    inputs: Vec<Linear>,
    wo: Linear,
    norm: RmsNorm,
}

#[derive(Debug)]
struct Block {
    own: Attention,
    cross: Option<Attention>,
    perceptron: Perceptron,
}

impl Block {
    fn new(block: &Path, config: &T5Config, decoder: bool) -> Self {
        let layer = |index: i64| block / "layer" / index;
        let last = layer(if decoder { 2 } else { 1 });
        let dense = &last / "DenseReluDense";
        let names: &[&str] = if config.gated { &["wi_0", "wi_1"] } else { &["wi"] };
        Self {
            own: Attention::new(&layer(0), "SelfAttention", config),
            cross: decoder.then(|| Attention::new(&layer(1), "EncDecAttention", config)),
            perceptron: Perceptron {
                inputs: names.iter().map(|name| linear(&(&dense / name), config.d_model, config.d_ff)).collect(),
                wo: linear(&(&dense / "wo"), config.d_ff, config.d_model),
                norm: RmsNorm::new(&(&last / "layer_norm"), config.d_model, config.layer_norm_epsilon),
            },
        }
    }

    fn perceive(&self, x: &Tensor, activation: Activation) -> Tensor {
        let Perceptron { inputs, wo, norm } = &self.perceptron;
        let normed = norm.forward(x);
        let mut hidden = activation.forward(&inputs[0].forward(&normed));
        if let Some(gate) = inputs.get(1) {
            hidden = hidden * gate.forward(&normed);
        }
        x + wo.forward(&hidden)
    }
}

#[derive(Debug)]
struct Stack {
    blocks: Vec<Block>,
    /// `[buckets, H]`: what a relative position adds to the scores.
    relative: Tensor,
    norm: RmsNorm,
}

impl Stack {
    fn new(path: &Path, config: &T5Config, decoder: bool) -> Self {
        let count = if decoder { config.num_decoder_layers } else { config.num_layers };
        let blocks = (0..count).map(|index| Block::new(&(path / "block" / index), config, decoder)).collect();
        let table = path / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias";
        let size = [config.relative_attention_num_buckets, config.num_heads];
        Self {
            blocks,
            relative: table.param("weight", &size, Init::Normal(0.02)),
            norm: RmsNorm::new(&(path / "final_layer_norm"), config.d_model, config.layer_norm_epsilon),
        }
    }
}

/// The network.
#[derive(Debug)]
pub struct T5 {
    config: T5Config,
    shared: Tensor,
    encoder: Stack,
    decoder: Stack,
    lm_head: Option<Linear>,
}

/// What the encoder read, as the decoder's blocks look at it: keys and values, `[B, H, S, head]` each.
#[derive(Debug)]
pub struct Memory(Vec<[Tensor; 2]>);

fn linear(path: &Path, inputs: i64, outputs: i64) -> Linear {
    Linear::with_init(path, inputs, outputs, Init::Xavier, None)
}

/// `[B, L, H · head]` → `[B, H, L, head]`.
fn split(x: &Tensor, heads: i64) -> Tensor {
    x.unflatten(-1, [heads, -1]).transpose(1, 2)
}

/// The bucket of each distance: exact up to a half, then logarithmic (Raffel et al. 2020, section 2.1).
///
/// # Shapes
/// distances from query to key `[…]` (int64) → `[…]` (int64).
fn buckets(distance: &Tensor, both_ways: bool, count: i64, furthest: i64) -> Tensor {
    let count = if both_ways { count / 2 } else { count };
    let (ahead, distance) = if both_ways {
        (distance.gt(0).to_kind(Kind::Int64) * count, distance.abs())
    } else {
        (distance.zeros_like(), (-distance).clamp_min(0))
    };
    let exact = count / 2;
    let spread = (count - exact) as f64;
    let log = (distance.to_kind(Kind::Float) / exact as f64).log() / (furthest as f64 / exact as f64).ln();
    let far = ((log * spread).to_kind(Kind::Int64) + exact).clamp_max(count - 1);
    ahead + distance.where_self(&distance.lt(exact), &far)
}

impl T5 {
    /// Make the network's parameters: `shared`, `encoder.…`, `decoder.…` and, where the checkpoint has one, `lm_head` under
    /// `path`.
    pub fn new(path: &Path, config: &T5Config) -> Self {
        let size = [config.vocab_size, config.d_model];
        // Some files keep the one table under the name of a user of it.
        let names = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];
        let name = names.iter().find(|name| (path / name).offers("weight")).unwrap_or(&names[0]);
        Self {
            shared: (path / name).param("weight", &size, Init::Normal(1.0)),
            encoder: Stack::new(&(path / "encoder"), config, false),
            decoder: Stack::new(&(path / "decoder"), config, true),
            lm_head: (path / "lm_head")
                .offers("weight")
                .then(|| linear(&(path / "lm_head"), config.d_model, config.vocab_size)),
            config: config.clone(),
        }
    }

    /// Its shape.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// # Shapes
    /// ids `[…]` (int64) → `[…, D]`.
    pub fn embed(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.shared, ids, -1, false, false)
    }

    /// What a stack adds to scores by relative position; the decoder's hides the future.
    ///
    /// # Shapes
    /// → `[1, H, L, P + L]`.
    fn bias(&self, decoder: bool, length: i64, past: i64, kind: Kind, device: Device) -> Tensor {
        let stack = if decoder { &self.decoder } else { &self.encoder };
        let places = |count: i64| Tensor::arange(count, (Kind::Int64, device));
        let distance = places(past + length).unsqueeze(0) - (places(length) + past).unsqueeze(1);
        let (count, furthest) =
            (self.config.relative_attention_num_buckets, self.config.relative_attention_max_distance);
        let rows = buckets(&distance, !decoder, count, furthest);
        let bias = Tensor::embedding(&stack.relative, &rows, -1, false, false).permute([2, 0, 1]).unsqueeze(0);
        let bias = if decoder { bias.masked_fill(&distance.gt(0), f64::NEG_INFINITY) } else { bias };
        bias.to_kind(kind)
    }

    /// The encoder's hidden states after its norm; `layers` is filled with the embeddings, then what each block gives, the last
    /// one after the norm. With `stop_after`, of so many blocks alone, without the norm.
    ///
    /// # Shapes
    /// embeddings `[B, S, D]` → `[B, S, D]`.
    pub fn encode(
        &self,
        embeddings: &Tensor,
        mut layers: Option<&mut Vec<Tensor>>,
        stop_after: Option<usize>,
    ) -> Tensor {
        let bias = self.bias(false, embeddings.size()[1], 0, embeddings.kind(), embeddings.device());
        let mut x = embeddings.shallow_clone();
        let mut keep = |x: &Tensor| {
            if let Some(layers) = layers.as_deref_mut() {
                layers.push(x.shallow_clone());
            }
        };
        let last = stop_after.unwrap_or(self.encoder.blocks.len()).min(self.encoder.blocks.len());
        for block in &self.encoder.blocks[..last] {
            keep(&x);
            let normed = block.own.norm.forward(&x);
            let read = block.own.keys_and_values(&normed, self.config.num_heads);
            x = block.perceive(&block.own.attend(&x, &normed, &read, Some(&bias)), self.config.activation);
        }
        if stop_after.is_none() {
            x = self.encoder.norm.forward(&x);
        }
        keep(&x);
        x
    }

    /// What the decoder needs of the encoder's hidden states `[B, S, D]`.
    pub fn remember(&self, encoded: &Tensor) -> Memory {
        let crosses = self.decoder.blocks.iter().filter_map(|block| block.cross.as_ref());
        Memory(crosses.map(|cross| cross.keys_and_values(encoded, self.config.num_heads)).collect())
    }

    /// The decoder's hidden states after its norm; `layers` as in [`T5::encode`].
    ///
    /// # Shapes
    /// embeddings `[B, L, D]` → `[B, L, D]`.
    pub fn decode(
        &self,
        embeddings: &Tensor,
        memory: &Memory,
        mut cache: Option<&mut KvCache>,
        mut layers: Option<&mut Vec<Tensor>>,
    ) -> Tensor {
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        let bias = self.bias(true, embeddings.size()[1], past, embeddings.kind(), embeddings.device());
        let mut x = embeddings.shallow_clone();
        let mut keep = |x: &Tensor| {
            if let Some(layers) = layers.as_deref_mut() {
                layers.push(x.shallow_clone());
            }
        };
        for (index, (block, remembered)) in self.decoder.blocks.iter().zip(&memory.0).enumerate() {
            keep(&x);
            let normed = block.own.norm.forward(&x);
            let mut own = block.own.keys_and_values(&normed, self.config.num_heads);
            if let Some(cache) = cache.as_deref_mut() {
                own = cache.extend(index, &own[0], &own[1]).into();
            }
            x = block.own.attend(&x, &normed, &own, Some(&bias));
            if let Some(cross) = &block.cross {
                x = cross.attend(&x, &cross.norm.forward(&x), remembered, None);
            }
            x = block.perceive(&x, self.config.activation);
        }
        x = self.decoder.norm.forward(&x);
        keep(&x);
        x
    }

    /// # Shapes
    /// the decoder's hidden states `[…, D]` → `[…, V]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let scale = if self.config.scale_decoder_outputs { (self.config.d_model as f64).powf(-0.5) } else { 1.0 };
        let hidden = hidden * scale;
        match &self.lm_head {
            Some(head) => head.forward(&hidden),
            None => hidden.linear::<&Tensor>(&self.shared, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_places_have_a_bucket_each_and_far_ones_share_the_last() {
        let distance = Tensor::from_slice(&[0i64, 1, -1, 7, -7, 8, -8, 127, -127, 500, -500]);
        let both = Vec::<i64>::try_from(buckets(&distance, true, 32, 128)).unwrap();
        assert_eq!(both, [0, 17, 1, 23, 7, 24, 8, 31, 15, 31, 15]);
        let back = Vec::<i64>::try_from(buckets(&distance, false, 32, 128)).unwrap();
        assert_eq!(back, [0, 0, 1, 0, 7, 0, 8, 0, 31, 0, 31]);
    }
}
