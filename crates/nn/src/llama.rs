//! Decoder-only transformer in the Llama layout: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
//!
//! Parameter paths are Hugging Face's (`model.layers.0.self_attn.q_proj.weight`, …), so real checkpoints load as they
//! are. B batch, L sequence, P past (cached) positions, D width, V vocabulary.
//!
//! What may not enter here: tokenizers, prompts, vision.

use crate::{Init, Path, RmsNorm};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Shape of the network. Field names are those of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaConfig {
    /// V.
    pub vocab_size: i64,
    /// D.
    pub hidden_size: i64,
    /// Width of the SwiGLU's hidden layer.
    pub intermediate_size: i64,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: i64,
    /// Key and value heads; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: i64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// ε of the norms.
    pub rms_norm_eps: f64,
    /// Whether the output matrix is the embedding matrix.
    pub tie_word_embeddings: bool,
}

impl LlamaConfig {
    /// A network that trains on a CPU in minutes; the vocabulary is the tokenizer's.
    pub fn nano(vocab_size: i64) -> Self {
        Self {
            vocab_size,
            hidden_size: 128,
            intermediate_size: 320,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 4,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
        }
    }

    /// Width of one head.
    pub fn head_dim(&self) -> i64 {
        self.hidden_size / self.num_attention_heads
    }

    /// The first field that cannot make a network, in words.
    pub fn problem(&self) -> Option<String> {
        if self.vocab_size < 1 || self.hidden_size < 1 || self.intermediate_size < 1 || self.num_attention_heads < 1 {
            Some("vocab_size, hidden_size, intermediate_size and num_attention_heads must be positive".into())
        } else if self.num_key_value_heads < 1 || self.num_attention_heads % self.num_key_value_heads != 0 {
            Some("num_attention_heads must be a multiple of num_key_value_heads".into())
        } else if self.hidden_size % (2 * self.num_attention_heads) != 0 {
            Some("hidden_size must be a multiple of twice num_attention_heads".into())
        } else {
            None
        }
    }
}

/// Bias-free linear layer, `x Wᵀ`.
fn linear(path: &Path, name: &str, input: i64, output: i64) -> Tensor {
    let deviation = 0.02_f64.max((1.0 / input as f64).sqrt() * 0.5);
    (path / name).param("weight", &[output, input], Init::Normal(deviation))
}

fn apply(x: &Tensor, weight: &Tensor) -> Tensor {
    x.linear::<&Tensor>(weight, None)
}

#[derive(Debug)]
struct Block {
    input_layernorm: RmsNorm,
    q_proj: Tensor,
    k_proj: Tensor,
    v_proj: Tensor,
    o_proj: Tensor,
    post_attention_layernorm: RmsNorm,
    gate_proj: Tensor,
    up_proj: Tensor,
    down_proj: Tensor,
}

/// Keys and values of what was already read, one pair a block, each `[B, KV heads, P, head dim]`.
#[derive(Debug, Default)]
pub struct KvCache {
    blocks: Vec<(Tensor, Tensor)>,
}

impl KvCache {
    /// P.
    pub fn len(&self) -> i64 {
        self.blocks.first().map_or(0, |(keys, _)| keys.size()[2])
    }

    /// Whether nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The memory of the given rows, in that order; a row may come more than once.
    ///
    /// # Shapes
    /// rows `[R]` (int64).
    pub fn select(&self, rows: &Tensor) -> Self {
        let pick = |t: &Tensor| t.index_select(0, rows);
        Self { blocks: self.blocks.iter().map(|(k, v)| (pick(k), pick(v))).collect() }
    }
}

/// The network.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    embed_tokens: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
    lm_head: Option<Tensor>,
}

/// Cosines and sines of rotary positions, each `[B or 1, 1, L, head dim]`.
fn rotary(config: &LlamaConfig, positions: &Tensor) -> (Tensor, Tensor) {
    let half = config.head_dim() / 2;
    let exponents = Tensor::arange(half, (Kind::Float, positions.device())) * (-config.rope_theta.ln() / half as f64);
    let angles = positions.to_kind(Kind::Float).unsqueeze(-1) * exponents.exp();
    let angles = Tensor::cat(&[&angles, &angles], -1).unsqueeze(1);
    (angles.cos(), angles.sin())
}

/// Rotate `[B, heads, L, head dim]` (Hugging Face's halves convention).
fn rotate(x: &Tensor, (cos, sin): &(Tensor, Tensor)) -> Tensor {
    let halves = x.chunk(2, -1);
    let turned = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
    x * cos + turned * sin
}

impl Llama {
    /// Make the network's parameters under `path`.
    pub fn new(path: &Path, config: &LlamaConfig) -> Self {
        let model = path / "model";
        let (d, ff, head) = (config.hidden_size, config.intermediate_size, config.head_dim());
        let (q_width, kv_width) = (head * config.num_attention_heads, head * config.num_key_value_heads);
        let normal = Init::Normal(0.02);
        let blocks = (0..config.num_hidden_layers)
            .map(|index| {
                let block = &model / "layers" / index;
                let (attention, mlp) = (&block / "self_attn", &block / "mlp");
                Block {
                    input_layernorm: RmsNorm::new(&(&block / "input_layernorm"), d, config.rms_norm_eps),
                    q_proj: linear(&attention, "q_proj", d, q_width),
                    k_proj: linear(&attention, "k_proj", d, kv_width),
                    v_proj: linear(&attention, "v_proj", d, kv_width),
                    o_proj: linear(&attention, "o_proj", q_width, d),
                    post_attention_layernorm: RmsNorm::new(
                        &(&block / "post_attention_layernorm"),
                        d,
                        config.rms_norm_eps,
                    ),
                    gate_proj: linear(&mlp, "gate_proj", d, ff),
                    up_proj: linear(&mlp, "up_proj", d, ff),
                    down_proj: linear(&mlp, "down_proj", ff, d),
                }
            })
            .collect();
        Self {
            embed_tokens: (&model / "embed_tokens").param("weight", &[config.vocab_size, d], normal),
            blocks,
            norm: RmsNorm::new(&(&model / "norm"), d, config.rms_norm_eps),
            lm_head: (!config.tie_word_embeddings)
                .then(|| (path / "lm_head").param("weight", &[config.vocab_size, d], normal)),
            config: config.clone(),
        }
    }

    /// Its shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// # Shapes
    /// ids `[B, L]` (int64) → `[B, L, D]`.
    pub fn embed(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.embed_tokens, ids, -1, false, false)
    }

    /// Hidden states after the final norm.
    ///
    /// `positions` are rotary positions; `allowed[b, i, j]` says whether element i may look at element j of
    /// past + present. Every element must be allowed to look at one element at least. Pass a cache to read on from it;
    /// it then holds the present too.
    ///
    /// # Shapes
    /// embeddings `[B, L, D]`, positions `[B or 1, L]`, allowed `[B or 1, L, P + L]` (bool) → `[B, L, D]`.
    pub fn hidden(
        &self,
        embeddings: &Tensor,
        positions: &Tensor,
        allowed: &Tensor,
        mut cache: Option<&mut KvCache>,
    ) -> Tensor {
        let (batch, length, _) = embeddings.size3().expect("embeddings are [B, L, D]");
        let (heads, kv_heads, head) =
            (self.config.num_attention_heads, self.config.num_key_value_heads, self.config.head_dim());
        let split = |x: Tensor, n: i64| x.view([batch, length, n, head]).transpose(1, 2);
        let turn = rotary(&self.config, positions);
        let mask = allowed.unsqueeze(1);
        let mut x = embeddings.shallow_clone();
        for (index, block) in self.blocks.iter().enumerate() {
            let normed = block.input_layernorm.forward(&x);
            let query = rotate(&split(apply(&normed, &block.q_proj), heads), &turn);
            let mut key = rotate(&split(apply(&normed, &block.k_proj), kv_heads), &turn);
            let mut value = split(apply(&normed, &block.v_proj), kv_heads);
            if let Some(cache) = cache.as_deref_mut() {
                if let Some((past_key, past_value)) = cache.blocks.get(index) {
                    key = Tensor::cat(&[past_key, &key], 2);
                    value = Tensor::cat(&[past_value, &value], 2);
                }
                let entry = (key.shallow_clone(), value.shallow_clone());
                match cache.blocks.get_mut(index) {
                    Some(slot) => *slot = entry,
                    None => cache.blocks.push(entry),
                }
            }
            let (key, value) = match heads / kv_heads {
                1 => (key, value),
                group => {
                    (key.repeat_interleave_self_int(group, 1, None), value.repeat_interleave_self_int(group, 1, None))
                }
            };
            let attended =
                Tensor::scaled_dot_product_attention(&query, &key, &value, Some(&mask), 0.0, false, None, false);
            x = x + apply(&attended.transpose(1, 2).reshape([batch, length, heads * head]), &block.o_proj);
            let normed = block.post_attention_layernorm.forward(&x);
            let gated = apply(&normed, &block.gate_proj).silu() * apply(&normed, &block.up_proj);
            x = x + apply(&gated, &block.down_proj);
        }
        self.norm.forward(&x)
    }

    /// # Shapes
    /// hidden `[.., D] → [.., V]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        apply(hidden, self.lm_head.as_ref().unwrap_or(&self.embed_tokens))
    }
}

/// `[1, L, P + L]`: each element may look at the past and, in the present, at itself and what stands before it.
pub fn causal(length: i64, past: i64, device: Device) -> Tensor {
    Tensor::ones([length, past + length], (Kind::Bool, device)).tril(past).unsqueeze(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdamW, AdamWConfig, VarStore};

    fn network(kv_heads: i64) -> (VarStore, Llama) {
        let store = VarStore::new(Device::Cpu, 3);
        let config = LlamaConfig {
            num_key_value_heads: kv_heads,
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 2,
            ..LlamaConfig::nano(50)
        };
        assert!(config.problem().is_none());
        let llama = Llama::new(&store.root(), &config);
        (store, llama)
    }

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn cached_reading_equals_reading_at_once() {
        let (_store, llama) = network(2);
        let ids = Tensor::from_slice(&[4i64, 9, 1, 33, 7, 8]).view([1, 6]);
        let positions = Tensor::arange(6, (Kind::Int64, Device::Cpu)).unsqueeze(0);
        let whole = llama.hidden(&llama.embed(&ids), &positions, &causal(6, 0, Device::Cpu), None);
        let mut cache = KvCache::default();
        for (start, length) in [(0, 3), (3, 1), (4, 2)] {
            let part = llama.hidden(
                &llama.embed(&ids.narrow(1, start, length)),
                &positions.narrow(1, start, length),
                &causal(length, start, Device::Cpu),
                Some(&mut cache),
            );
            assert!(far(&part, &whole.narrow(1, start, length)) < 1e-5);
        }
        assert_eq!(cache.len(), 6);
    }

    #[test]
    fn the_future_is_not_seen_and_positions_are_relative() {
        let (_store, llama) = network(4);
        let read = |ids: &[i64], shift: i64| {
            let length = ids.len() as i64;
            let positions = (Tensor::arange(length, (Kind::Int64, Device::Cpu)) + shift).unsqueeze(0);
            let ids = Tensor::from_slice(ids).view([1, length]);
            llama.hidden(&llama.embed(&ids), &positions, &causal(length, 0, Device::Cpu), None)
        };
        let a = read(&[1, 2, 3, 4], 0);
        let b = read(&[1, 2, 3, 40], 0);
        assert!(far(&a.narrow(1, 0, 3), &b.narrow(1, 0, 3)) < 1e-6);
        assert!(far(&a.narrow(1, 3, 1), &b.narrow(1, 3, 1)) > 1e-3);
        assert!(far(&a, &read(&[1, 2, 3, 4], 11)) < 1e-4);
    }

    #[test]
    fn keys_are_those_of_published_checkpoints() {
        let (store, _llama) = network(2);
        let keys = store.tensors();
        let shape = |key: &str| keys.iter().find(|(k, _)| k == key).map(|(_, t)| t.size());
        assert_eq!(shape("model.embed_tokens.weight"), Some(vec![50, 32]));
        assert_eq!(shape("model.layers.1.self_attn.k_proj.weight"), Some(vec![16, 32]));
        assert_eq!(shape("model.layers.0.mlp.down_proj.weight"), Some(vec![32, 48]));
        assert_eq!(shape("model.layers.0.post_attention_layernorm.weight"), Some(vec![32]));
        assert_eq!(keys.len(), 2 + 2 * 9);
    }

    #[test]
    fn it_learns_a_sequence_by_heart() {
        let (store, llama) = network(2);
        let ids = Tensor::from_slice(&[1i64, 5, 2, 5, 3, 5, 4, 9]).view([1, 8]);
        let positions = Tensor::arange(7, (Kind::Int64, Device::Cpu)).unsqueeze(0);
        let loss = || {
            let hidden = llama.hidden(&llama.embed(&ids.narrow(1, 0, 7)), &positions, &causal(7, 0, Device::Cpu), None);
            llama.logits(&hidden).view([7, 50]).cross_entropy_for_logits(&ids.narrow(1, 1, 7).view([7]))
        };
        let config = AdamWConfig { learning_rate: 3e-3, ..AdamWConfig::default() };
        let mut optimiser = AdamW::new(&store, config, |_| Some(1.0));
        let before = loss().double_value(&[]);
        for _ in 0..120 {
            optimiser.step(&loss(), 1.0);
        }
        let after = loss().double_value(&[]);
        assert!(before > 2.0 && after < 0.1, "{before} → {after}");
    }
}
