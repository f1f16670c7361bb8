//! Normalisation layers.

use crate::onnx::{Graph, Value};
use crate::vars::{Init, Path};
use tch::{Kind, Tensor};

/// Batch normalisation over [B, C, H, W] (Ioffe and Szegedy 2015): batch statistics in training, running ones else.
#[derive(Debug)]
pub struct BatchNorm2d {
    /// `[C]`.
    pub weight: Tensor,
    /// `[C]`.
    pub bias: Tensor,
    /// `[C]`, a buffer.
    pub running_mean: Tensor,
    /// `[C]`, a buffer.
    pub running_var: Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// Share of the new batch in the running statistics.
    pub momentum: f64,
}

impl BatchNorm2d {
    /// `scale` is the initial weight: 0 for the last normalisation of a residual branch makes the block start as the identity.
    pub fn new(path: &Path, channels: i64, scale: f64) -> Self {
        Self {
            weight: path.param("weight", &[channels], Init::Constant(scale)),
            bias: path.param("bias", &[channels], Init::Constant(0.0)),
            running_mean: path.buffer("running_mean", &[channels], 0.0),
            running_var: path.buffer("running_var", &[channels], 1.0),
            eps: 1e-5,
            momentum: 0.05,
        }
    }

    /// Same shape out as in. In training it also moves the running statistics.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        Tensor::batch_norm(
            x,
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            self.momentum,
            self.eps,
            false,
        )
    }

    /// Per-channel scale and shift that equal the normalisation with running statistics.
    pub fn affine(&self) -> (Tensor, Tensor) {
        let scale = &self.weight / (&self.running_var + self.eps).sqrt();
        let shift = &self.bias - &self.running_mean * &scale;
        (scale, shift)
    }

    /// `forward` with running statistics, as a graph. Beside a convolution, fold it with [`crate::Conv2d::emit_with_norm`].
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        let (scale, shift) = self.affine();
        let [scale, shift] = [scale, shift].map(|t| graph.tensor(&t.reshape([1, -1, 1, 1])));
        let y = graph.mul(x, &scale);
        graph.add(&y, &shift)
    }
}

/// Layer normalisation over the last dimension (Ba et al. 2016).
#[derive(Debug)]
pub struct LayerNorm {
    /// `[C]`.
    pub weight: Tensor,
    /// `[C]`.
    pub bias: Tensor,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Weight 1, bias 0, ε 10⁻⁵.
    pub fn new(path: &Path, channels: i64) -> Self {
        Self::with_eps(path, channels, 1e-5)
    }

    /// Chosen ε.
    pub fn with_eps(path: &Path, channels: i64, eps: f64) -> Self {
        Self {
            weight: path.param("weight", &[channels], Init::Constant(1.0)),
            bias: path.param("bias", &[channels], Init::Constant(0.0)),
            eps,
        }
    }

    /// Same shape out as in.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, false)
    }

    /// `forward`, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        graph.layer_norm(x, &self.weight, &self.bias, self.eps as f32)
    }
}

/// Root-mean-square normalisation over the last dimension (Zhang and Sennrich 2019).
#[derive(Debug)]
pub struct RmsNorm {
    /// `[C]`.
    pub weight: Tensor,
    /// Added to the mean square.
    pub eps: f64,
}

impl RmsNorm {
    /// Weight 1.
    pub fn new(path: &Path, channels: i64, eps: f64) -> Self {
        Self { weight: path.param("weight", &[channels], Init::Constant(1.0)), eps }
    }

    /// Same shape and kind out as in; the mean square is taken in f32.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let wide = x.to_kind(Kind::Float);
        // One pass forth and one back, where a square and a mean take two.
        let norm = wide.norm_scalaropt_dim(2, [-1i64].as_slice(), true);
        let mean_square = norm.square() / wide.size()[wide.dim() - 1] as f64;
        (wide * (mean_square + self.eps).rsqrt()).to_kind(x.kind()) * &self.weight
    }
}
