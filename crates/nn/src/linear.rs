//! Linear maps, embeddings and small multi-layer perceptrons.

use crate::onnx::{Graph, Value};
use crate::vars::{Init, Path};
use std::sync::{Arc, Mutex};
use tch::{Device, Tensor};

/// The low-rank update of one linear layer: y += scale · (x Aᵀ) Bᵀ.
#[derive(Debug)]
pub(crate) struct Update {
    /// `[rank, in]`.
    pub a: Tensor,
    /// `[out, rank]`.
    pub b: Tensor,
    /// Its factor.
    pub scale: f64,
    /// Whether it is added to the weight already.
    pub merged: bool,
}

impl Update {
    /// What it adds to the weight, `[out, in]`.
    pub fn delta(&self) -> Tensor {
        self.b.matmul(&self.a) * self.scale
    }
}

/// A bias and a scale of an adapter: y ← scale · (y + bias).
#[derive(Debug)]
pub(crate) struct Tuned {
    /// `[out]`.
    pub bias: Tensor,
    /// `[out]`.
    pub scale: Tensor,
}

/// What an adapter sees of a linear layer: its weight, and the place of its update.
#[derive(Debug)]
pub(crate) struct Adaptable {
    /// A shallow clone of the layer's weight.
    pub weight: Tensor,
    /// Whether that weight is held in 8 bits.
    pub quantised: bool,
    /// The update, once there is one.
    pub update: Option<Update>,
    /// Bias and scale, where there are some.
    pub tuned: Option<Tuned>,
}

/// The handle of an [`Adaptable`]: the layer holds one, the store of variables another.
pub(crate) type Slot = Arc<Mutex<Adaptable>>;

/// y = x Wᵀ + b, in floating point or with 8-bit weights, with or without a low-rank update ([`crate::Lora`]).
#[derive(Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
    /// `[out]`: what a step of the 8-bit weight is worth.
    scale: Option<Tensor>,
    slot: Slot,
}

/// Rows up to which the 8-bit kernel is quicker than widening the weight for a plain product.
const INT8_ROWS: i64 = 8;

impl Linear {
    /// Xavier weights, zero bias.
    pub fn new(path: &Path, inputs: i64, outputs: i64) -> Self {
        Self::with_init(path, inputs, outputs, Init::Xavier, Some(0.0))
    }

    /// Chosen weights; `bias` is its initial value, or `None` for no bias.
    pub fn with_init(path: &Path, inputs: i64, outputs: i64, init: Init, bias: Option<f64>) -> Self {
        let shape = [outputs, inputs];
        let quantised = if path.wants_int8() { path.quantised("weight", &shape) } else { None };
        let (weight, scale) = match quantised {
            Some((weight, scale)) => (weight, Some(scale)),
            None => (path.param("weight", &shape, init), None),
        };
        let adaptable =
            Adaptable { weight: weight.shallow_clone(), quantised: scale.is_some(), update: None, tuned: None };
        let slot = Arc::new(Mutex::new(adaptable));
        path.register(&slot);
        let bias = bias.map(|value| path.param("bias", &[outputs], Init::Constant(value)));
        Self { weight, bias, scale, slot }
    }

    /// # Shapes
    /// `[…, in]` → `[…, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let y = match &self.scale {
            None if self.weight.kind() == x.kind() => x.linear(&self.weight, self.bias.as_ref()),
            // Mixed precision: the product in the input's kind, the weights as they are kept.
            None => x.linear(&self.weight.to_kind(x.kind()), self.bias.as_ref().map(|b| b.to_kind(x.kind()))),
            Some(scale) => self.forward_int8(x, scale),
        };
        let slot = self.slot.lock().expect("no thread panics while it holds an update");
        let y = match &slot.update {
            Some(u) if !u.merged => {
                let low = x.to_kind(u.a.kind()).linear::<&Tensor>(&u.a, None) * u.scale;
                y + low.linear::<&Tensor>(&u.b, None).to_kind(x.kind())
            }
            _ => y,
        };
        match &slot.tuned {
            Some(tuned) => ((y + &tuned.bias) * &tuned.scale).to_kind(x.kind()),
            None => y,
        }
    }

    /// The weight itself, when the layer is nothing but a product with it in floating point.
    pub(crate) fn plain_weight(&self) -> Option<&Tensor> {
        let slot = self.slot.lock().expect("no thread panics while it holds an update");
        let bare = slot.update.as_ref().is_none_or(|u| u.merged) && slot.tuned.is_none();
        (bare && self.scale.is_none() && self.bias.is_none()).then_some(&self.weight)
    }

    fn forward_int8(&self, x: &Tensor, scale: &Tensor) -> Tensor {
        let size = x.size();
        let inputs = size[size.len() - 1];
        let rows = x.reshape([-1, inputs]);
        let few = rows.size()[0] <= INT8_ROWS && x.device() == Device::Cpu;
        let y = match (few, &self.bias) {
            (true, None) => rows.internal_weight_int8pack_mm(&self.weight, scale),
            (true, Some(bias)) => rows.internal_weight_int8pack_mm(&self.weight, scale) + bias,
            (false, bias) => rows.linear(&(self.weight.to_kind(x.kind()) * scale.unsqueeze(1)), bias.as_ref()),
        };
        y.reshape([&size[..size.len() - 1], &[y.size()[1]]].concat())
    }

    /// `forward`, as a graph; an update, a bias and a scale of an adapter are in the graph's weight and bias.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        let slot = self.slot.lock().expect("no thread panics while it holds an update");
        let mut weight = match &slot.update {
            Some(u) if !u.merged => &self.weight + u.delta(),
            _ => self.weight.shallow_clone(),
        };
        let mut bias = self.bias.as_ref().map(Tensor::shallow_clone);
        if let Some(Tuned { bias: more, scale }) = &slot.tuned {
            weight = weight * scale.unsqueeze(1);
            bias = Some(bias.map_or_else(|| more.shallow_clone(), |b| b + more) * scale);
        }
        graph.linear(x, &weight, bias.as_ref())
    }
}

/// Elementwise nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Activation {
    Relu,
    Gelu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// x · σ(1.702 x), CLIP's.
    QuickGelu,
    Sigmoid,
    Tanh,
    Silu,
}

impl Activation {
    /// From the word in a Hugging Face `config.json`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "relu" => Self::Relu,
            "gelu" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "silu" | "swish" => Self::Silu,
            _ => return None,
        })
    }

    /// Same shape out as in. GELU is the exact one (error function).
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::QuickGelu => x * (x * 1.702).sigmoid(),
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
            Self::GeluTanh => {
                let square = graph.mul(x, x);
                let cube = graph.mul(&square, x);
                let cubic = graph.scale(&cube, 0.044_715);
                let inner = graph.add(x, &cubic);
                let scaled = graph.scale(&inner, (2.0 / std::f32::consts::PI).sqrt());
                let half = graph.scale(x, 0.5);
                let bent = graph.tanh(&scaled);
                let product = graph.mul(&half, &bent);
                graph.add(&half, &product)
            }
            Self::QuickGelu => {
                let steep = graph.scale(x, 1.702);
                let gate = graph.sigmoid(&steep);
                graph.mul(x, &gate)
            }
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
