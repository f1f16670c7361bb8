//! Linear maps, embeddings and small multi-layer perceptrons.

use crate::onnx::{Graph, Value};
use crate::vars::{Init, Path};
use tch::Tensor;

/// y = x Wᵀ + b.
#[derive(Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Xavier weights, zero bias.
    pub fn new(path: &Path, inputs: i64, outputs: i64) -> Self {
        Self::with_init(path, inputs, outputs, Init::Xavier, Some(0.0))
    }

    /// Chosen weights; `bias` is its initial value, or `None` for no bias.
    pub fn with_init(path: &Path, inputs: i64, outputs: i64, init: Init, bias: Option<f64>) -> Self {
        Self {
            weight: path.param("weight", &[outputs, inputs], init),
            bias: bias.map(|value| path.param("bias", &[outputs], Init::Constant(value))),
        }
    }

    /// # Shapes
    /// `[…, in]` → `[…, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }

    /// `forward`, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        graph.linear(x, &self.weight, self.bias.as_ref())
    }
}

/// Elementwise nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Activation {
    Relu,
    Gelu,
    Sigmoid,
    Tanh,
    Silu,
}

impl Activation {
    /// Same shape out as in. GELU is the exact one (error function).
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu("none"),
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
            Self::Silu => x.silu(),
        }
    }

    /// `forward`, as a graph.
    pub fn emit(self, graph: &mut Graph, x: &Value) -> Value {
        match self {
            Self::Relu => graph.relu(x),
            Self::Gelu => graph.gelu(x),
            Self::Sigmoid => graph.sigmoid(x),
            Self::Tanh => graph.tanh(x),
            Self::Silu => graph.silu(x),
        }
    }
}

/// Linear layers with an activation between them (none after the last). Keys `0`, `1`, ….
#[derive(Debug)]
pub struct Mlp {
    /// The layers.
    pub layers: Vec<Linear>,
    /// Between the layers.
    pub activation: Activation,
}

impl Mlp {
    /// `widths` from input to output.
    pub fn new(path: &Path, widths: &[i64], activation: Activation) -> Self {
        let layers = widths.windows(2).enumerate().map(|(i, w)| Linear::new(&(path / i), w[0], w[1])).collect();
        Self { layers, activation }
    }

    /// Last layer starts small: the output begins near `bias`.
    pub fn with_small_output(path: &Path, widths: &[i64], activation: Activation, bias: f64) -> Self {
        let last = widths.len() - 2;
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(i, w)| {
                let init = if i == last { Init::Normal(0.01) } else { Init::Xavier };
                Linear::with_init(&(path / i), w[0], w[1], init, Some(if i == last { bias } else { 0.0 }))
            })
            .collect();
        Self { layers, activation }
    }

    /// # Shapes
    /// `[…, first width]` → `[…, last width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = self.layers[0].forward(x);
        for layer in &self.layers[1..] {
            y = layer.forward(&self.activation.forward(&y));
        }
        y
    }

    /// `forward`, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        let mut y = self.layers[0].emit(graph, x);
        for layer in &self.layers[1..] {
            y = self.activation.emit(graph, &y);
            y = layer.emit(graph, &y);
        }
        y
    }
}

/// A table of vectors.
#[derive(Debug)]
pub struct Embedding {
    /// `[count, width]`.
    pub weight: Tensor,
}

impl Embedding {
    /// Normal with standard deviation `std`.
    pub fn new(path: &Path, count: i64, width: i64, std: f64) -> Self {
        Self { weight: path.param("weight", &[count, width], Init::Normal(std)) }
    }

    /// # Shapes
    /// Indices `[…]` (i64) → `[…, width]`.
    pub fn forward(&self, indices: &Tensor) -> Tensor {
        Tensor::embedding(&self.weight, indices, -1, false, false)
    }
}
