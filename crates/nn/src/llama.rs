//! Decoder-only transformer in the Llama layout: RMSNorm, rotary positions, grouped-query attention, SwiGLU. With a bias on
//! queries, keys and values it is Qwen2, with normed queries and keys Qwen3, with three rotary axes Qwen2.5-VL's language side.
//!
//! Parameter paths are Hugging Face's (`model.layers.0.self_attn.q_proj.weight`, …), so real checkpoints load as they
//! are. B batch, L sequence, P past (cached) positions, D width, V vocabulary.
//!
//! What may not enter here: tokenizers, prompts, vision.

use crate::rotary::{RopeScaling, Rotary, rotate};
use crate::{Init, Linear, Path, RmsNorm};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Shape of the network. Field names are those of Hugging Face's `config.json` where it has them.
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
    /// What the published variants of the layout differ in.
    #[serde(default, skip_serializing_if = "LlamaVariant::is_plain")]
    pub variant: LlamaVariant,
}

/// What the published variants of the layout differ in; the default is Llama-2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlamaVariant {
    /// Width of one head, where it is not `hidden_size / num_attention_heads`.
    pub head_dim: Option<i64>,
    /// Biases on queries, keys and values (Qwen2).
    pub qkv_bias: bool,
    /// A bias on the attention's output.
    pub o_bias: bool,
    /// RMS norms over each head's query and key (Qwen3).
    pub qk_norm: bool,
    /// How rotary frequencies are stretched (Llama-3).
    pub rope_scaling: Option<RopeScaling>,
    /// Frequencies that turn with time, height and width, in this order (Qwen2.5-VL's mRoPE).
    pub mrope_section: Option<[i64; 3]>,
}

impl LlamaVariant {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
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
            variant: LlamaVariant::default(),
        }
    }

    /// Width of one head.
    pub fn head_dim(&self) -> i64 {
        self.variant.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// The first field that cannot make a network, in words.
    pub fn problem(&self) -> Option<String> {
        if self.vocab_size < 1 || self.hidden_size < 1 || self.intermediate_size < 1 || self.num_attention_heads < 1 {
            Some("vocab_size, hidden_size, intermediate_size and num_attention_heads must be positive".into())
        } else if self.num_key_value_heads < 1 || self.num_attention_heads % self.num_key_value_heads != 0 {
            Some("num_attention_heads must be a multiple of num_key_value_heads".into())
        } else if self.variant.head_dim.is_none() && self.hidden_size % self.num_attention_heads != 0 {
            Some("hidden_size must be a multiple of num_attention_heads".into())
        } else if self.head_dim() < 2 || self.head_dim() % 2 != 0 {
            Some("the width of a head must be even".into())
        } else if self.variant.mrope_section.is_some_and(|s| 2 * s.iter().sum::<i64>() != self.head_dim()) {
            Some("mrope_section must add up to half the width of a head".into())
        } else {
            None
        }
    }
}

fn linear(path: &Path, input: i64, output: i64, bias: bool) -> Linear {
    let deviation = 0.02_f64.max((1.0 / input as f64).sqrt() * 0.5);
    Linear::with_init(path, input, output, Init::Normal(deviation), bias.then_some(0.0))
}

#[derive(Debug)]
struct Block {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    qk_norm: Option<[RmsNorm; 2]>,
    post_attention_layernorm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// Positions that a cache grows by at a time.
const CACHE_STEP: i64 = 128;

/// Keys or values of one block, `[B, heads, room, head dim]`, of which the first `length` are there.
#[derive(Debug)]
struct Grown {
    room: Tensor,
    length: i64,
}

impl Grown {
    /// Append, and give all of it. Where gradients flow nothing is written in place.
    fn extend(slot: &mut Option<Self>, new: &Tensor) -> Tensor {
        let [batch, heads, count, head] = new.size()[..] else { unreachable!("keys are [B, heads, L, head dim]") };
        let (old, length) = slot.take().map_or((None, 0), |s| (Some(s.room), s.length));
        let needed = length + count;
        let present = |room: &Tensor| room.narrow(2, 0, length);
        let room = match old {
            None if new.requires_grad() => new.shallow_clone(),
            Some(room) if new.requires_grad() || room.requires_grad() => Tensor::cat(&[&present(&room), new], 2),
            old => {
                let room = match old {
                    Some(room) if room.size()[2] >= needed => room,
                    old => {
                        let size = [batch, heads, (needed / CACHE_STEP + 1) * CACHE_STEP, head];
                        let room = Tensor::empty(size, (new.kind(), new.device()));
                        if let Some(old) = old {
                            room.narrow(2, 0, length).copy_(&present(&old));
                        }
                        room
                    }
                };
                room.narrow(2, length, count).copy_(new);
                room
            }
        };
        let all = room.narrow(2, 0, needed);
        *slot = Some(Self { room, length: needed });
        all
    }
}

/// Keys and values of what was already read, block by block.
#[derive(Debug, Default)]
pub struct KvCache {
    blocks: Vec<[Option<Grown>; 2]>,
}

impl KvCache {
    /// P.
    pub fn len(&self) -> i64 {
        self.blocks.first().and_then(|[keys, _]| keys.as_ref()).map_or(0, |keys| keys.length)
    }

    /// Whether nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory of the given rows, in that order; a row may come more than once.
    ///
    /// # Shapes
    /// rows `[R]` (int64).
    pub fn select(&self, rows: &Tensor) -> Self {
        let pick = |slot: &Option<Grown>| {
            slot.as_ref().map(|s| Grown { room: s.room.index_select(0, rows), length: s.length })
        };
        Self { blocks: self.blocks.iter().map(|[keys, values]| [pick(keys), pick(values)]).collect() }
    }

    /// Append a block's keys and values, and give all of them. Blocks come in order.
    pub fn extend(&mut self, block: usize, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || [None, None]);
        }
        let [keys, values] = &mut self.blocks[block];
        (Grown::extend(keys, key), Grown::extend(values, value))
    }
}

/// Who may look at whom.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// Each element at the past, at itself and at what stands before it.
    Causal,
    /// As `[B or 1, L, P + L]` (bool) says; every element must be allowed to look at one at least.
    Allowed(&'a Tensor),
}

/// How a sequence is read.
#[derive(Debug)]
pub struct Reading<'a> {
    /// Rotary positions, `[B or 1, L]`, or `[3, B or 1, L]` with three rotary axes.
    pub positions: &'a Tensor,
    /// Who may look at whom.
    pub sight: Sight<'a>,
    /// Read on from it; it then holds the present too.
    pub cache: Option<&'a mut KvCache>,
    /// Filled with the hidden states `[B, L, D]`: the embeddings, then what each block gives, the last one after the final
    /// norm (the order of `transformers`).
    pub layers: Option<&'a mut Vec<Tensor>>,
    /// Read through this many blocks alone, without the final norm.
    pub stop_after: Option<usize>,
}

impl<'a> Reading<'a> {
    /// A causal reading at these positions.
    pub fn causal(positions: &'a Tensor) -> Self {
        Self { positions, sight: Sight::Causal, cache: None, layers: None, stop_after: None }
    }
}

/// The network.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    embed_tokens: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
    lm_head: Option<Linear>,
}

/// Scaled dot-product attention with grouped heads.
///
/// # Shapes
/// query `[B, H, L, head]`, key and value `[B, H / group, P + L, head]`, mask `[B or 1, 1, L, P + L]` → `[B, H, L, head]`.
fn attend(query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>, causal: bool) -> Tensor {
    let [batch, heads, length, head] = query.size()[..] else { unreachable!("queries are [B, H, L, head]") };
    let kv_heads = key.size()[1];
    let run = |query: &Tensor, key: &Tensor, value: &Tensor| {
        Tensor::scaled_dot_product_attention(query, key, value, mask, 0.0, causal, None, false)
    };
    match heads / kv_heads {
        1 => run(query, key, value),
        // One step: the queries that share a key stand where a sequence would.
        group if length == 1 => {
            run(&query.reshape([batch, kv_heads, group, head]), key, value).reshape([batch, heads, 1, head])
        }
        group => {
            let spread = |x: &Tensor| x.repeat_interleave_self_int(group, 1, None);
            run(query, &spread(key), &spread(value))
        }
    }
}

impl Block {
    fn new(block: &Path, config: &LlamaConfig) -> Self {
        let (d, ff, head, eps) = (config.hidden_size, config.intermediate_size, config.head_dim(), config.rms_norm_eps);
        let (q_width, kv_width) = (head * config.num_attention_heads, head * config.num_key_value_heads);
        let (attention, mlp, variant) = (block / "self_attn", block / "mlp", &config.variant);
        let head_norm = |name: &str| RmsNorm::new(&(&attention / name), head, eps);
        Self {
            input_layernorm: RmsNorm::new(&(block / "input_layernorm"), d, eps),
            q_proj: linear(&(&attention / "q_proj"), d, q_width, variant.qkv_bias),
            k_proj: linear(&(&attention / "k_proj"), d, kv_width, variant.qkv_bias),
            v_proj: linear(&(&attention / "v_proj"), d, kv_width, variant.qkv_bias),
            o_proj: linear(&(&attention / "o_proj"), q_width, d, variant.o_bias),
            qk_norm: variant.qk_norm.then(|| ["q_norm", "k_norm"].map(head_norm)),
            post_attention_layernorm: RmsNorm::new(&(block / "post_attention_layernorm"), d, eps),
            gate_proj: linear(&(&mlp / "gate_proj"), d, ff, false),
            up_proj: linear(&(&mlp / "up_proj"), d, ff, false),
            down_proj: linear(&(&mlp / "down_proj"), ff, d, false),
        }
    }

    fn forward(
        &self,
        x: &Tensor,
        head: i64,
        turn: &Rotary,
        mask: Option<&Tensor>,
        causal: bool,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Tensor {
        let (batch, length, _) = x.size3().expect("embeddings are [B, L, D]");
        let split = |x: Tensor| x.view([batch, length, -1, head]);
        let normed = self.input_layernorm.forward(x);
        let (mut query, mut key) = (split(self.q_proj.forward(&normed)), split(self.k_proj.forward(&normed)));
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            (query, key) = (q_norm.forward(&query), k_norm.forward(&key));
        }
        let query = rotate(&query.transpose(1, 2), turn);
        let mut key = rotate(&key.transpose(1, 2), turn);
        let mut value = split(self.v_proj.forward(&normed)).transpose(1, 2);
        if let Some((index, cache)) = cache {
            (key, value) = cache.extend(index, &key, &value);
        }
        let attended = attend(&query, &key, &value, mask, causal);
        let x = x + self.o_proj.forward(&attended.transpose(1, 2).reshape([batch, length, -1]));
        let normed = self.post_attention_layernorm.forward(&x);
        let gated = self.gate_proj.forward(&normed).silu() * self.up_proj.forward(&normed);
        x + self.down_proj.forward(&gated)
    }
}

impl Llama {
    /// Make the network's parameters under `path`.
    pub fn new(path: &Path, config: &LlamaConfig) -> Self {
        Self::at(&(path / "model"), &(path / "lm_head"), config)
    }

    /// The same with the trunk and the output matrix at paths of their own.
    pub fn at(model: &Path, lm_head: &Path, config: &LlamaConfig) -> Self {
        let (d, normal) = (config.hidden_size, Init::Normal(0.02));
        let embed_tokens = (model / "embed_tokens").param("weight", &[config.vocab_size, d], normal);
        let blocks =
            (0..config.num_hidden_layers).map(|index| Block::new(&(model / "layers" / index), config)).collect();
        Self {
            embed_tokens,
            blocks,
            norm: RmsNorm::new(&(model / "norm"), d, config.rms_norm_eps),
            lm_head: (!config.tie_word_embeddings)
                .then(|| Linear::with_init(lm_head, d, config.vocab_size, normal, None)),
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

    /// Hidden states after the final norm, by a mask: see [`Llama::read`].
    ///
    /// # Shapes
    /// embeddings `[B, L, D]`, positions `[B or 1, L]`, allowed `[B or 1, L, P + L]` (bool) → `[B, L, D]`.
    pub fn hidden(
        &self,
        embeddings: &Tensor,
        positions: &Tensor,
        allowed: &Tensor,
        cache: Option<&mut KvCache>,
    ) -> Tensor {
        self.read(embeddings, Reading { sight: Sight::Allowed(allowed), cache, ..Reading::causal(positions) })
    }

    /// Hidden states after the final norm.
    ///
    /// # Shapes
    /// embeddings `[B, L, D]` → `[B, L, D]`.
    pub fn read(&self, embeddings: &Tensor, mut reading: Reading<'_>) -> Tensor {
        let length = embeddings.size3().expect("embeddings are [B, L, D]").1;
        let past = reading.cache.as_ref().map_or(0, |cache| cache.len());
        let (variant, head) = (&self.config.variant, self.config.head_dim());
        let turn = Rotary::new(
            head,
            self.config.rope_theta,
            variant.rope_scaling.as_ref(),
            variant.mrope_section,
            reading.positions,
            embeddings.kind(),
        );
        let mask = match reading.sight {
            Sight::Allowed(allowed) => Some(allowed.unsqueeze(1)),
            Sight::Causal if past > 0 && length > 1 => Some(causal(length, past, embeddings.device()).unsqueeze(1)),
            Sight::Causal => None,
        };
        let by_rule = mask.is_none() && length > 1;
        let mut x = embeddings.shallow_clone();
        let mut keep = |x: &Tensor| {
            if let Some(layers) = reading.layers.as_deref_mut() {
                layers.push(x.shallow_clone());
            }
        };
        let last = reading.stop_after.unwrap_or(self.blocks.len()).min(self.blocks.len());
        for (index, block) in self.blocks[..last].iter().enumerate() {
            keep(&x);
            let cache = reading.cache.as_deref_mut().map(|cache| (index, cache));
            x = block.forward(&x, head, &turn, mask.as_ref(), by_rule, cache);
        }
        if reading.stop_after.is_none() {
            x = self.norm.forward(&x);
        }
        keep(&x);
        x
    }

    /// # Shapes
    /// hidden `[.., D] → [.., V]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => hidden.linear::<&Tensor>(&self.embed_tokens, None),
        }
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
