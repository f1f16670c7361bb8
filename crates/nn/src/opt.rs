//! Decoder-only transformer in the OPT layout (Zhang et al. 2022): learned positions, layer norms before each half, ReLU. It is
//! read exactly as [`crate::llama::Llama`] is. B batch, L sequence, D width, V vocabulary.

use crate::llama::{Reading, Sight, causal};
use crate::{Init, LayerNorm, Linear, Path};
use tch::Tensor;

/// Shape of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptConfig {
    /// V.
    pub vocab_size: i64,
    /// D.
    pub hidden_size: i64,
    /// Width of the perceptron's hidden layer.
    pub ffn_dim: i64,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: i64,
    /// Positions that are learned.
    pub max_position_embeddings: i64,
    /// Whether the output matrix is the embedding matrix.
    pub tie_word_embeddings: bool,
}

/// The table of positions begins with two rows that nothing uses.
const OFFSET: i64 = 2;

#[derive(Debug)]
struct Block {
    attention_norm: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

/// The network.
#[derive(Debug)]
pub struct Opt {
    config: OptConfig,
    embed_tokens: Tensor,
    embed_positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    lm_head: Option<Linear>,
}

impl Opt {
    /// Make the network's parameters: `model.decoder.…` and `lm_head` under `path`.
    pub fn new(path: &Path, config: &OptConfig) -> Self {
        let (decoder, d) = (path / "model" / "decoder", config.hidden_size);
        let table = |name: &str, rows: i64| (&decoder / name).param("weight", &[rows, d], Init::Normal(0.02));
        let blocks = (0..config.num_hidden_layers).map(|index| {
            let block = &decoder / "layers" / index;
            let projection = |name: &str| Linear::new(&(&block / "self_attn" / name), d, d);
            Block {
                attention_norm: LayerNorm::new(&(&block / "self_attn_layer_norm"), d),
                q_proj: projection("q_proj"),
                k_proj: projection("k_proj"),
                v_proj: projection("v_proj"),
                out_proj: projection("out_proj"),
                norm: LayerNorm::new(&(&block / "final_layer_norm"), d),
                fc1: Linear::new(&(&block / "fc1"), d, config.ffn_dim),
                fc2: Linear::new(&(&block / "fc2"), config.ffn_dim, d),
            }
        });
        Self {
            embed_tokens: table("embed_tokens", config.vocab_size),
            embed_positions: table("embed_positions", config.max_position_embeddings + OFFSET),
            blocks: blocks.collect(),
            norm: LayerNorm::new(&(&decoder / "final_layer_norm"), d),
            lm_head: (!config.tie_word_embeddings)
                .then(|| Linear::with_init(&(path / "lm_head"), d, config.vocab_size, Init::Normal(0.02), None)),
            config: config.clone(),
        }
    }

    /// Its shape.
    pub fn config(&self) -> &OptConfig {
        &self.config
    }

    /// # Shapes
    /// ids `[…]` (int64) → `[…, D]`.
    pub fn embed(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.embed_tokens, ids, -1, false, false)
    }

    /// Hidden states after the final norm. The first of the layers kept holds embeddings with their positions.
    ///
    /// # Shapes
    /// embeddings `[B, L, D]` → `[B, L, D]`.
    pub fn read(&self, embeddings: &Tensor, mut reading: Reading<'_>) -> Tensor {
        let (batch, length, _) = embeddings.size3().expect("embeddings are [B, L, D]");
        let past = reading.cache.as_ref().map_or(0, |cache| cache.len());
        let mask = match reading.sight {
            Sight::Allowed(allowed) => Some(allowed.unsqueeze(1)),
            Sight::Causal if past > 0 && length > 1 => Some(causal(length, past, embeddings.device()).unsqueeze(1)),
            Sight::Causal => None,
        };
        let by_rule = mask.is_none() && length > 1;
        let split = |x: Tensor| x.view([batch, length, self.config.num_attention_heads, -1]).transpose(1, 2);
        let places = reading.positions + OFFSET;
        let mut x = embeddings + Tensor::embedding(&self.embed_positions, &places, -1, false, false);
        let last = reading.stop_after.unwrap_or(self.blocks.len()).min(self.blocks.len());
        let mut keep = |x: &Tensor| {
            if let Some(layers) = reading.layers.as_deref_mut() {
                layers.push(x.shallow_clone());
            }
        };
        for (index, block) in self.blocks[..last].iter().enumerate() {
            keep(&x);
            let normed = block.attention_norm.forward(&x);
            let query = split(block.q_proj.forward(&normed));
            let mut key = split(block.k_proj.forward(&normed));
            let mut value = split(block.v_proj.forward(&normed));
            if let Some(cache) = reading.cache.as_deref_mut() {
                (key, value) = cache.extend(index, &key, &value);
            }
            let read =
                Tensor::scaled_dot_product_attention(&query, &key, &value, mask.as_ref(), 0.0, by_rule, None, false);
            x = x + block.out_proj.forward(&read.transpose(1, 2).flatten(2, 3));
            x = &x + block.fc2.forward(&block.fc1.forward(&block.norm.forward(&x)).relu());
        }
        if reading.stop_after.is_none() {
            x = self.norm.forward(&x);
        }
        keep(&x);
        x
    }

    /// # Shapes
    /// hidden `[…, D] → […, V]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => hidden.linear::<&Tensor>(&self.embed_tokens, None),
        }
    }
}
