//! Decoder-only transformer in the Llama layout: RMSNorm, rotary positions, grouped-query attention, SwiGLU. With a bias on
//! queries, keys and values it is Qwen2, with normed queries and keys Qwen3, with three rotary axes Qwen2.5-VL's language side.
//!
//! Parameter paths are Hugging Face's (`model.layers.0.self_attn.q_proj.weight`, …), so real checkpoints load as they
//! are. B batch, L sequence, P past (cached) positions, D width, V vocabulary.
//!
//! What may not enter here: tokenizers, prompts, vision.

use crate::recompute::{Segment, checkpointed, cross_entropy};
use crate::rotary::{RopeScaling, Rotary, rotate};
use crate::{BlockPrompt, Init, Linear, Path, RmsNorm};
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
    /// In what blocks compute.
    #[serde(skip_serializing_if = "Compute::is_stored")]
    pub compute: Compute,
    /// In training, blocks whose activations are held together: the others are computed again when their gradients are wanted
    /// (0 holds everything). See [`Llama::learn`].
    #[serde(skip_serializing_if = "is_zero")]
    pub recompute_blocks: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// In what blocks compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// In the kind the weights are kept in.
    #[default]
    Stored,
    /// Mixed precision: products and attention in bfloat16, sums along the residual stream, norms and the weights themselves
    /// as they are kept (f32 masters), as PyTorch's autocast does it.
    Bf16,
}

impl Compute {
    fn is_stored(&self) -> bool {
        *self == Self::Stored
    }

    fn kind(self, stored: Kind) -> Kind {
        if self == Self::Bf16 { Kind::BFloat16 } else { stored }
    }
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
    /// Adapter prompts, block by block ([`crate::AdapterPrompts::read`]).
    pub prompts: Option<&'a [Option<BlockPrompt>]>,
}

impl<'a> Reading<'a> {
    /// A causal reading at these positions.
    pub fn causal(positions: &'a Tensor) -> Self {
        Self { positions, sight: Sight::Causal, cache: None, layers: None, stop_after: None, prompts: None }
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
        way: &Way<'_>,
        prompt: Option<&BlockPrompt>,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Tensor {
        let (batch, length, _) = x.size3().expect("embeddings are [B, L, D]");
        let split = |x: Tensor| x.view([batch, length, -1, way.head]);
        let normed = self.input_layernorm.forward(x).to_kind(way.kind);
        let (mut query, mut key) = (split(self.q_proj.forward(&normed)), split(self.k_proj.forward(&normed)));
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            (query, key) = (q_norm.forward(&query).to_kind(way.kind), k_norm.forward(&key).to_kind(way.kind));
        }
        let query = rotate(&query.transpose(1, 2), &way.turn);
        let mut key = rotate(&key.transpose(1, 2), &way.turn);
        let mut value = split(self.v_proj.forward(&normed)).transpose(1, 2);
        if let Some((index, cache)) = cache {
            (key, value) = cache.extend(index, &key, &value);
        }
        let mut attended = attend(&query, &key, &value, way.mask.as_ref(), way.by_rule);
        if let Some(prompt) = prompt {
            attended = attended + self.prompted(&query, prompt);
        }
        let x = x + self.o_proj.forward(&attended.transpose(1, 2).reshape([batch, length, -1]));
        let normed = self.post_attention_layernorm.forward(&x).to_kind(way.kind);
        let gated = self.gate_proj.forward(&normed).silu() * self.up_proj.forward(&normed);
        x + self.down_proj.forward(&gated)
    }

    /// What queries find in an adapter's prompt, through its gate.
    ///
    /// # Shapes
    /// query `[B, H, L, head]` → the same.
    fn prompted(&self, query: &Tensor, prompt: &BlockPrompt) -> Tensor {
        let [batch, _, _, head] = query.size()[..] else { unreachable!("queries are [B, H, L, head]") };
        let kind = query.kind();
        let split = |x: Tensor| {
            let [rows, count, _] = x.size()[..] else { unreachable!("prompts are [B, N, D]") };
            x.view([rows, count, -1, head]).expand([batch, -1, -1, -1], false)
        };
        let words = prompt.prompt.to_kind(kind);
        let mut key = split(self.k_proj.forward(&words));
        if let Some([_, k_norm]) = &self.qk_norm {
            key = k_norm.forward(&key).to_kind(kind);
        }
        let value = split(self.v_proj.forward(&words)).transpose(1, 2);
        let read = attend(query, &key.transpose(1, 2), &value, None, false);
        read * prompt.gate.tanh().view([1, -1, 1, 1]).to_kind(kind)
    }
}

/// What is the same for every block of one reading.
struct Way<'a> {
    head: i64,
    kind: Kind,
    turn: Rotary,
    mask: Option<Tensor>,
    by_rule: bool,
    prompts: Option<&'a [Option<BlockPrompt>]>,
}

impl Way<'_> {
    fn prompt(&self, block: usize) -> Option<&BlockPrompt> {
        self.prompts.and_then(|prompts| prompts.get(block)?.as_ref())
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

    /// Hold the activations of this many blocks at a time in [`Llama::learn`] (0 holds all).
    pub fn recompute(&mut self, blocks: usize) {
        self.config.variant.recompute_blocks = blocks;
    }

    /// Compute in this precision from now on.
    pub fn compute_in(&mut self, compute: Compute) {
        self.config.variant.compute = compute;
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
        let past = reading.cache.as_ref().map_or(0, |cache| cache.len());
        let way = self.way(embeddings, &reading, past);
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
            x = block.forward(&x, &way, way.prompt(index), cache);
        }
        if reading.stop_after.is_none() {
            x = self.norm.forward(&x);
        }
        keep(&x);
        x
    }

    fn way<'a>(&self, embeddings: &Tensor, reading: &Reading<'a>, past: i64) -> Way<'a> {
        let length = embeddings.size3().expect("embeddings are [B, L, D]").1;
        let (variant, head) = (&self.config.variant, self.config.head_dim());
        let kind = variant.compute.kind(embeddings.kind());
        let mask = match reading.sight {
            Sight::Allowed(allowed) => Some(allowed.unsqueeze(1)),
            Sight::Causal if past > 0 && length > 1 => Some(causal(length, past, embeddings.device()).unsqueeze(1)),
            Sight::Causal => None,
        };
        let turn = Rotary::new(
            head,
            self.config.rope_theta,
            variant.rope_scaling.as_ref(),
            variant.mrope_section,
            reading.positions,
            kind,
        );
        let by_rule = mask.is_none() && length > 1;
        Way { head, kind, turn, mask, by_rule, prompts: reading.prompts }
    }

    /// A loss of the hidden states after the final norm, to be differentiated: like `loss(&self.read(…))`, but with
    /// `recompute_blocks` of the configuration the activations of that many blocks are held at a time and the rest is computed
    /// again. Gradients reach the embeddings and `reached`, which must name everything that is trained in the blocks and read by
    /// the loss. Cache, kept layers and early stop of the reading are not for training.
    ///
    /// # Shapes
    /// embeddings `[B, L, D]`; the loss is given `[B, L, D]` → scalar.
    pub fn learn(
        &self,
        embeddings: &Tensor,
        reading: &Reading<'_>,
        reached: &[Tensor],
        loss: impl FnOnce(&Tensor) -> Tensor,
    ) -> Tensor {
        let way = &self.way(embeddings, reading, 0);
        let run = |from: usize, blocks: &[Block], x: &Tensor| {
            let mut x = x.shallow_clone();
            for (index, block) in blocks.iter().enumerate() {
                x = block.forward(&x, way, way.prompt(from + index), None);
            }
            x
        };
        let finish = |x: &Tensor| loss(&self.norm.forward(x));
        let held = self.config.variant.recompute_blocks;
        if held == 0 {
            return finish(&run(0, &self.blocks, embeddings));
        }
        let segment = |(index, blocks)| -> Segment<'_> { Box::new(move |x: &Tensor| run(index * held, blocks, x)) };
        let segments: Vec<_> = self.blocks.chunks(held).enumerate().map(segment).collect();
        checkpointed(&segments, embeddings, reached, finish)
    }

    /// Mean cross-entropy of the tokens that follow `hidden`; all logits are never held at once where the output matrix is plain.
    ///
    /// # Shapes
    /// hidden `[N, D]`, targets `[N]` (int64) → scalar.
    pub fn entropy(&self, hidden: &Tensor, targets: &Tensor) -> Tensor {
        let weight = match &self.lm_head {
            Some(head) => head.plain_weight(),
            None => Some(&self.embed_tokens),
        };
        match weight.filter(|weight| weight.kind() == hidden.kind()) {
            Some(weight) => cross_entropy(hidden, weight, targets),
            None => self.logits(hidden).to_kind(Kind::Float).cross_entropy_for_logits(targets),
        }
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

    /// Loss and gradients of a network's parameters and its embeddings on a fixed sequence.
    fn gradients(store: &VarStore, llama: &Llama, prompts: Option<&[Option<BlockPrompt>]>) -> (f64, Vec<Tensor>) {
        let ids = Tensor::from_slice(&[1i64, 5, 2, 5, 3, 5, 4, 9]).view([1, 8]);
        let positions = Tensor::arange(7, (Kind::Int64, Device::Cpu)).unsqueeze(0);
        let reached: Vec<Tensor> = store.variables().into_iter().map(|v| v.tensor).collect();
        let reading = Reading { prompts, ..Reading::causal(&positions) };
        let loss = llama.learn(&llama.embed(&ids.narrow(1, 0, 7)), &reading, &reached, |hidden| {
            llama.entropy(&hidden.view([7, -1]), &ids.narrow(1, 1, 7).view([7]))
        });
        let found = Tensor::run_backward(&[&loss], &reached, false, false);
        let whole = |(g, p): (Tensor, &Tensor)| if g.defined() { g } else { p.zeros_like() };
        (loss.double_value(&[]), found.into_iter().zip(&reached).map(whole).collect())
    }

    #[test]
    fn recomputed_gradients_are_the_plain_ones() {
        let make = |blocks| {
            let store = VarStore::new(Device::Cpu, 3);
            let variant = LlamaVariant { recompute_blocks: blocks, ..LlamaVariant::default() };
            let config = LlamaConfig { variant, num_hidden_layers: 5, num_key_value_heads: 2, ..LlamaConfig::nano(50) };
            let llama = Llama::new(&store.root(), &config);
            (store, llama)
        };
        let (store, llama) = make(0);
        let (plain, theirs) = gradients(&store, &llama, None);
        for blocks in [1, 2, 5] {
            let (store, llama) = make(blocks);
            let (loss, ours) = gradients(&store, &llama, None);
            assert!((loss - plain).abs() < 1e-5, "{loss} {plain}");
            for (a, b) in ours.iter().zip(&theirs) {
                assert!(far(a, b) < 1e-5, "{}", far(a, b));
            }
        }
    }

    #[test]
    fn mixed_precision_stays_near_and_keeps_its_masters() {
        // Half-width products go through a library that would wait for threads that other tests keep busy.
        crate::set_threads(1);
        let variant = LlamaVariant { compute: Compute::Bf16, ..LlamaVariant::default() };
        let make = |variant: LlamaVariant| {
            let store = VarStore::new(Device::Cpu, 3);
            let (hidden_size, intermediate_size) = (32, 48);
            let small = LlamaConfig { hidden_size, intermediate_size, num_hidden_layers: 2, ..LlamaConfig::nano(50) };
            let llama = Llama::new(&store.root(), &LlamaConfig { variant, ..small });
            (store, llama)
        };
        let (store, llama) = make(LlamaVariant::default());
        let (plain, theirs) = gradients(&store, &llama, None);
        let (store, llama) = make(variant);
        let (mixed, ours) = gradients(&store, &llama, None);
        assert!((plain - mixed).abs() < 0.02 * plain && plain != mixed, "{plain} {mixed}");
        for (a, b) in ours.iter().zip(&theirs) {
            assert_eq!(a.kind(), Kind::Float);
            assert!(((a - b).norm() / b.norm().clamp_min(1e-9)).double_value(&[]) < 0.05);
        }
        let mut optimiser =
            AdamW::new(&store, AdamWConfig { learning_rate: 3e-3, ..AdamWConfig::default() }, |_| Some(1.0));
        let ids = Tensor::from_slice(&[1i64, 5, 2, 5, 3, 5, 4, 9]).view([1, 8]);
        let positions = Tensor::arange(7, (Kind::Int64, Device::Cpu)).unsqueeze(0);
        let mut last = f64::INFINITY;
        for _ in 0..30 {
            let loss = llama.learn(&llama.embed(&ids.narrow(1, 0, 7)), &Reading::causal(&positions), &[], |hidden| {
                llama.entropy(&hidden.view([7, -1]), &ids.narrow(1, 1, 7).view([7]))
            });
            last = optimiser.step(&loss, 1.0).loss;
        }
        assert!(last < 0.7 * mixed, "{last} {mixed}");
        let text = serde_json::to_string(llama.config()).unwrap();
        assert!(text.contains("\"compute\":\"bf16\""), "{text}");
        assert_eq!(&serde_json::from_str::<LlamaConfig>(&text).unwrap(), llama.config());
    }

    #[test]
    fn adapter_prompts_begin_closed_and_are_attention_of_their_own() {
        use crate::{AdapterPrompts, PromptsConfig};
        let (store, llama) = network(2);
        let ids = Tensor::from_slice(&[4i64, 9, 1, 33]).view([1, 4]);
        let positions = Tensor::arange(4, (Kind::Int64, Device::Cpu)).unsqueeze(0);
        let read = |prompts: Option<&[Option<BlockPrompt>]>| {
            llama.read(&llama.embed(&ids), Reading { prompts, ..Reading::causal(&positions) })
        };
        let plain = read(None);
        let config = PromptsConfig { length: 3, blocks: 1, tuned: vec!["o_proj".into()] };
        let adapter = AdapterPrompts::attach(&store, llama.config(), &config).unwrap();
        assert_eq!(adapter.parameters().len(), 2 + 2 * 2);
        assert!(far(&read(Some(&adapter.read(None))), &plain) < 1e-6);
        let set = |name: &str, value: &Tensor| {
            let (_, tensor) = adapter.parameters().iter().find(|(n, _)| n.ends_with(name)).unwrap();
            tch::no_grad(|| tensor.shallow_clone().copy_(value));
        };
        set("gate", &Tensor::from_slice(&[0.3f32, -0.7, 1.1, 0.2]));
        let open = read(Some(&adapter.read(None)));
        assert!(far(&open, &plain) > 1e-3);
        // By hand: the second block's attention with a softmax of its own over the prompt.
        let block = &llama.blocks[1];
        let mut layers = vec![];
        let _ = llama.read(&llama.embed(&ids), Reading { layers: Some(&mut layers), ..Reading::causal(&positions) });
        let way = llama.way(&layers[1], &Reading::causal(&positions), 0);
        let normed = block.input_layernorm.forward(&layers[1]);
        let query =
            rotate(&block.q_proj.forward(&normed).view([4, 4, 8]).transpose(0, 1).unsqueeze(0), &way.turn).get(0);
        let prompt = adapter.read(None).remove(1).unwrap();
        let heads = |x: Tensor| x.view([3, 2, 8]).transpose(0, 1).repeat_interleave_self_int(2, 0, None);
        let (key, value) = (heads(block.k_proj.forward(&prompt.prompt)), heads(block.v_proj.forward(&prompt.prompt)));
        let weights = (query.matmul(&key.transpose(1, 2)) / 8f64.sqrt()).softmax(-1, Kind::Float);
        let extra = weights.matmul(&value) * prompt.gate.tanh().view([4, 1, 1]);
        let extra = block.o_proj.forward(&extra.transpose(0, 1).reshape([1, 4, 32]));
        let attended = {
            let split = |x: Tensor, n: i64| x.view([1, 4, n, 8]).transpose(1, 2);
            let q = rotate(&split(block.q_proj.forward(&normed), 4), &way.turn);
            let k = rotate(&split(block.k_proj.forward(&normed), 2), &way.turn);
            let v = split(block.v_proj.forward(&normed), 2);
            block.o_proj.forward(&attend(&q, &k, &v, None, true).transpose(1, 2).reshape([1, 4, 32]))
        };
        let x = &layers[1] + attended + extra;
        let normed = block.post_attention_layernorm.forward(&x);
        let gated = block.gate_proj.forward(&normed).silu() * block.up_proj.forward(&normed);
        let by_hand = llama.norm.forward(&(&x + block.down_proj.forward(&gated)));
        assert!(far(&open, &by_hand) < 1e-5, "{}", far(&open, &by_hand));
        // A picture's vectors are added to the prompt; bias and scale act on the layers they are on.
        let visual = crate::noise(&[8], &[1, 3, 32]);
        assert!(far(&read(Some(&adapter.read(Some(&visual)))), &open) > 1e-4);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.safetensors");
        set("model.layers.0.self_attn.o_proj.adapter_scale", &Tensor::full([32], 1.5, tch::kind::FLOAT_CPU));
        set("model.layers.0.self_attn.o_proj.adapter_bias", &Tensor::full([32], 0.25, tch::kind::FLOAT_CPU));
        let tuned = read(Some(&adapter.read(None)));
        assert!(far(&tuned, &open) > 1e-3);
        adapter.save(&path).unwrap();
        let (again_store, again) = network(2);
        let loaded = AdapterPrompts::load(&again_store, again.config(), &path).unwrap();
        let prompts = loaded.read(None);
        let same = again.read(&again.embed(&ids), Reading { prompts: Some(&prompts), ..Reading::causal(&positions) });
        assert_eq!(far(&same, &tuned), 0.0);
        // Gradients reach prompts and gates.
        let (loss, found) = gradients(&again_store, &again, Some(&prompts));
        assert!(loss.is_finite());
        let names: Vec<String> = again_store.variables().into_iter().map(|v| v.name).collect();
        for (name, gradient) in names.iter().zip(&found).filter(|(name, _)| name.contains("adapter_")) {
            assert!(gradient.abs().max().double_value(&[]) > 0.0, "{name}");
        }
        let (other_store, other) = network(2);
        let wrong = PromptsConfig { blocks: 3, ..config };
        assert!(AdapterPrompts::attach(&other_store, other.config(), &wrong).is_err());
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
