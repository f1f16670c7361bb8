//! Pre-norm transformer layers (Xiong et al. 2020).

use crate::attention::{AttentionConfig, MultiHeadAttention};
use crate::linear::{Activation, Mlp};
use crate::norm::LayerNorm;
use crate::onnx::{Graph, Value};
use crate::vars::Path;
use tch::Tensor;

/// Settings of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransformerConfig {
    /// Channels.
    pub width: i64,
    /// Channels of the memory (decoder layers).
    pub memory_width: i64,
    /// Heads.
    pub heads: i64,
    /// Hidden channels of the feed-forward part.
    pub hidden: i64,
    /// Whether a decoder layer's queries also attend to each other.
    pub self_attention: bool,
}

impl TransformerConfig {
    /// Memory as wide as the queries, hidden part twice as wide, self-attention on.
    pub fn new(width: i64, heads: i64) -> Self {
        Self { width, memory_width: width, heads, hidden: 2 * width, self_attention: true }
    }
}

/// Self-attention and feed-forward.
#[derive(Debug)]
pub struct EncoderLayer {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Among the tokens.
    pub attention: MultiHeadAttention,
    /// Before the feed-forward part.
    pub norm2: LayerNorm,
    /// Feed-forward.
    pub mlp: Mlp,
}

impl EncoderLayer {
    /// Keys `norm1`, `self_attn`, `norm2`, `mlp`.
    pub fn new(path: &Path, config: TransformerConfig) -> Self {
        let c = config;
        let attention = AttentionConfig { width: c.width, memory_width: c.width, heads: c.heads };
        Self {
            norm1: LayerNorm::new(&(path / "norm1"), c.width),
            attention: MultiHeadAttention::new(&(path / "self_attn"), attention),
            norm2: LayerNorm::new(&(path / "norm2"), c.width),
            mlp: Mlp::new(&(path / "mlp"), &[c.width, c.hidden, c.width], Activation::Gelu),
        }
    }

    /// `position`, when given, is added to queries and keys.
    ///
    /// # Shapes
    /// `[B, L, C]` → `[B, L, C]`.
    pub fn forward(&self, x: &Tensor, position: Option<&Tensor>) -> Tensor {
        let normed = self.norm1.forward(x);
        let placed = position.map_or_else(|| normed.shallow_clone(), |p| &normed + p);
        let x = x + self.attention.forward(&placed, &placed, &normed, None);
        &x + self.mlp.forward(&self.norm2.forward(&x))
    }

    /// `forward`, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value, position: Option<&Value>) -> Value {
        let normed = self.norm1.emit(graph, x);
        let placed = place(graph, &normed, position);
        let mixed = self.attention.emit(graph, &placed, &placed, &normed);
        let x = graph.add(x, &mixed);
        feed_forward(graph, &self.norm2, &self.mlp, &x)
    }
}

/// Self-attention (optional), cross-attention to a memory, feed-forward.
#[derive(Debug)]
pub struct DecoderLayer {
    /// Self-attention with the norm before it.
    pub self_attention: Option<(LayerNorm, MultiHeadAttention)>,
    /// Before the cross-attention.
    pub norm2: LayerNorm,
    /// To the memory.
    pub cross_attention: MultiHeadAttention,
    /// Before the feed-forward part.
    pub norm3: LayerNorm,
    /// Feed-forward.
    pub mlp: Mlp,
}

impl DecoderLayer {
    /// Keys `norm1`, `self_attn`, `norm2`, `cross_attn`, `norm3`, `mlp`.
    pub fn new(path: &Path, config: TransformerConfig) -> Self {
        let c = config;
        let among = AttentionConfig { width: c.width, memory_width: c.width, heads: c.heads };
        let across = AttentionConfig { memory_width: c.memory_width, ..among };
        let self_attention = c.self_attention.then(|| {
            (LayerNorm::new(&(path / "norm1"), c.width), MultiHeadAttention::new(&(path / "self_attn"), among))
        });
        Self {
            self_attention,
            norm2: LayerNorm::new(&(path / "norm2"), c.width),
            cross_attention: MultiHeadAttention::new(&(path / "cross_attn"), across),
            norm3: LayerNorm::new(&(path / "norm3"), c.width),
            mlp: Mlp::new(&(path / "mlp"), &[c.width, c.hidden, c.width], Activation::Gelu),
        }
    }

    /// The memory's position is added to its keys before the call (`memory_keys`), the queries' inside.
    ///
    /// # Shapes
    /// `x` `[B, Q, width]`, `position` the same or broadcastable, `memory_keys` and `memory` `[B, K, memory_width]`
    /// → `[B, Q, width]`.
    pub fn forward(&self, x: &Tensor, position: Option<&Tensor>, memory_keys: &Tensor, memory: &Tensor) -> Tensor {
        let place = |t: &Tensor| position.map_or_else(|| t.shallow_clone(), |p| t + p);
        let mut x = x.shallow_clone();
        if let Some((norm, attention)) = &self.self_attention {
            let normed = norm.forward(&x);
            let placed = place(&normed);
            x = &x + attention.forward(&placed, &placed, &normed, None);
        }
        let placed = place(&self.norm2.forward(&x));
        let x = &x + self.cross_attention.forward(&placed, memory_keys, memory, None);
        &x + self.mlp.forward(&self.norm3.forward(&x))
    }

    /// `forward`, as a graph.
    pub fn emit(
        &self,
        graph: &mut Graph,
        x: &Value,
        position: Option<&Value>,
        memory_keys: &Value,
        memory: &Value,
    ) -> Value {
        let mut x = x.clone();
        if let Some((norm, attention)) = &self.self_attention {
            let normed = norm.emit(graph, &x);
            let placed = place(graph, &normed, position);
            let mixed = attention.emit(graph, &placed, &placed, &normed);
            x = graph.add(&x, &mixed);
        }
        let normed = self.norm2.emit(graph, &x);
        let placed = place(graph, &normed, position);
        let mixed = self.cross_attention.emit(graph, &placed, memory_keys, memory);
        let x = graph.add(&x, &mixed);
        feed_forward(graph, &self.norm3, &self.mlp, &x)
    }
}

fn place(graph: &mut Graph, x: &Value, position: Option<&Value>) -> Value {
    position.map_or_else(|| x.clone(), |p| graph.add(x, p))
}

fn feed_forward(graph: &mut Graph, norm: &LayerNorm, mlp: &Mlp, x: &Value) -> Value {
    let normed = norm.emit(graph, x);
    let y = mlp.emit(graph, &normed);
    graph.add(x, &y)
}
