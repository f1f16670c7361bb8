//! Multi-head attention (Vaswani et al. 2017, Eq. 1).

use crate::linear::Linear;
use crate::onnx::{Graph, Value};
use crate::vars::Path;
use tch::Tensor;

/// Settings of a [`MultiHeadAttention`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionConfig {
    /// Channels of queries and of the output.
    pub width: i64,
    /// Channels of keys and values.
    pub memory_width: i64,
    /// Heads; must divide `width`.
    pub heads: i64,
}

/// Attention of queries over a memory.
#[derive(Debug)]
pub struct MultiHeadAttention {
    /// Key `q_proj`.
    pub query: Linear,
    /// Key `k_proj`.
    pub key: Linear,
    /// Key `v_proj`.
    pub value: Linear,
    /// Key `o_proj`.
    pub output: Linear,
    /// Settings.
    pub config: AttentionConfig,
}

impl MultiHeadAttention {
    /// Xavier weights.
    pub fn new(path: &Path, config: AttentionConfig) -> Self {
        assert_eq!(config.width % config.heads, 0, "attention heads must divide the width");
        Self {
            query: Linear::new(&(path / "q_proj"), config.width, config.width),
            key: Linear::new(&(path / "k_proj"), config.memory_width, config.width),
            value: Linear::new(&(path / "v_proj"), config.memory_width, config.width),
            output: Linear::new(&(path / "o_proj"), config.width, config.width),
            config,
        }
    }

    fn split(&self, x: &Tensor) -> Tensor {
        let (batch, length, width) = x.size3().expect("tokens are [B, L, C]");
        x.reshape([batch, length, self.config.heads, width / self.config.heads]).transpose(1, 2)
    }

    /// `mask`, when given, is added to the attention scores.
    ///
    /// # Shapes
    /// queries `[B, Q, width]`, keys and values `[B, K, memory_width]`, mask broadcastable to `[B, heads, Q, K]`
    /// → `[B, Q, width]`.
    pub fn forward(&self, queries: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let q = self.split(&self.query.forward(queries));
        let k = self.split(&self.key.forward(keys));
        let v = self.split(&self.value.forward(values));
        let (batch, length, _) = queries.size3().expect("tokens are [B, L, C]");
        let mixed = Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None, false);
        self.output.forward(&mixed.transpose(1, 2).reshape([batch, length, self.config.width]))
    }

    /// `forward` without a mask, as a graph.
    pub fn emit(&self, graph: &mut Graph, queries: &Value, keys: &Value, values: &Value) -> Value {
        let (heads, width) = (self.config.heads, self.config.width);
        let split = |graph: &mut Graph, linear: &Linear, x: &Value, order: &[i64]| {
            let y = linear.emit(graph, x);
            let y = graph.reshape(&y, &[x.shape()[0], x.shape()[1], heads, width / heads]);
            graph.transpose(&y, order)
        };
        let q = split(graph, &self.query, queries, &[0, 2, 1, 3]);
        let k = split(graph, &self.key, keys, &[0, 2, 3, 1]);
        let v = split(graph, &self.value, values, &[0, 2, 1, 3]);
        let q = graph.scale(&q, ((width / heads) as f32).sqrt().recip());
        let scores = graph.matmul(&q, &k);
        let weights = graph.softmax(&scores, -1);
        let mixed = graph.matmul(&weights, &v);
        let mixed = graph.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = graph.reshape(&mixed, &[queries.shape()[0], queries.shape()[1], width]);
        self.output.emit(graph, &mixed)
    }
}
