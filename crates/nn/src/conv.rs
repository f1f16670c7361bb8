//! Two-dimensional convolution.

use crate::norm::BatchNorm2d;
use crate::onnx::{Graph, Value};
use crate::vars::{Init, Path};
use tch::Tensor;

/// Settings of a [`Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvConfig {
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the square kernel.
    pub kernel: i64,
    /// Step.
    pub stride: i64,
    /// Zero padding on each side.
    pub padding: i64,
    /// Whether it has a bias (leave it out before batch normalisation).
    pub bias: bool,
    /// Channels are split into so many groups that do not see each other.
    pub groups: i64,
}

impl ConvConfig {
    /// Odd kernel, padded so that stride 1 keeps the size; no bias.
    pub fn new(inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel, stride, padding: kernel / 2, bias: false, groups: 1 }
    }

    /// The same with a bias.
    pub fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// Each channel for itself.
    pub fn depthwise(self) -> Self {
        Self { groups: self.inputs, ..self }
    }
}

/// Convolution.
#[derive(Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kernel, kernel]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
    /// Settings.
    pub config: ConvConfig,
}

impl Conv2d {
    /// He-initialised weights, zero bias.
    pub fn new(path: &Path, config: ConvConfig) -> Self {
        Self::with_init(path, config, Init::KaimingFanOut, 0.0)
    }

    /// Chosen weights and bias.
    pub fn with_init(path: &Path, config: ConvConfig, init: Init, bias: f64) -> Self {
        let shape = [config.outputs, config.inputs / config.groups, config.kernel, config.kernel];
        Self {
            weight: path.param("weight", &shape, init),
            bias: config.bias.then(|| path.param("bias", &[config.outputs], Init::Constant(bias))),
            config,
        }
    }

    /// # Shapes
    /// `[B, in, H, W]` → `[B, out, ⌊(H + 2·padding − kernel) / stride⌋ + 1, …]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let c = &self.config;
        x.conv2d(&self.weight, self.bias.as_ref(), [c.stride; 2], [c.padding; 2], [1, 1], c.groups)
    }

    /// `forward`, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        graph.conv2d(x, &self.weight, self.bias.as_ref(), self.config.stride, self.config.padding, self.config.groups)
    }

    /// `norm.forward(forward(x), false)` as one convolution: the running statistics are folded into the weights.
    pub fn emit_with_norm(&self, graph: &mut Graph, norm: &BatchNorm2d, x: &Value) -> Value {
        let (scale, shift) = norm.affine();
        let weight = &self.weight * scale.reshape([-1, 1, 1, 1]);
        let bias = self.bias.as_ref().map_or_else(|| shift.shallow_clone(), |bias| bias * &scale + &shift);
        graph.conv2d(x, &weight, Some(&bias), self.config.stride, self.config.padding, self.config.groups)
    }
}
