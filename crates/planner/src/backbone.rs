//! Image backbone: a narrow residual network (He et al. 2016) of our own, or a published one, whose deep stages are added back to
//! stride 8 (Lin et al. 2017).
//!
//! B batch, N cameras, C channels.

use crate::config::BackboneConfig;
use crate::error::PlannerError;
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::vision::{ResNet, ResNetConfig, VisionBackbone};
use apprentice_nn::{BatchNorm2d, Conv2d, ConvConfig, Path, Precision, TensorFile, VarStore, Weights};
use std::path::Path as FilePath;
use tch::{Kind, Tensor};

/// Convolution, batch normalisation and, usually, a rectifier.
#[derive(Debug)]
pub struct ConvNorm {
    /// Key `conv`.
    pub conv: Conv2d,
    /// Key `bn`.
    pub norm: BatchNorm2d,
}

impl ConvNorm {
    /// `scale`: see [`BatchNorm2d::new`].
    pub fn new(path: &Path, config: ConvConfig, scale: f64) -> Self {
        Self {
            conv: Conv2d::new(&(path / "conv"), config),
            norm: BatchNorm2d::new(&(path / "bn"), config.outputs, scale),
        }
    }

    /// Without the rectifier.
    pub fn linear(&self, x: &Tensor, train: bool) -> Tensor {
        self.norm.forward(&self.conv.forward(x), train)
    }

    /// With the rectifier.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        self.linear(x, train).relu_()
    }

    /// [`ConvNorm::linear`] with running statistics, as a graph.
    pub fn emit_linear(&self, graph: &mut Graph, x: &Value) -> Value {
        self.conv.emit_with_norm(graph, &self.norm, x)
    }

    /// [`ConvNorm::forward`] with running statistics, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        let y = self.emit_linear(graph, x);
        graph.relu(&y)
    }
}

/// Two 3×3 convolutions and a shortcut.
#[derive(Debug)]
pub struct ResidualBlock {
    /// Key `conv1`.
    pub first: ConvNorm,
    /// Key `conv2`.
    pub second: ConvNorm,
    /// Key `shortcut`, where shape changes: 2×2 averaging if the stride is 2, then a 1×1 convolution (He et al. 2019,
    /// ResNet-D).
    pub shortcut: Option<ConvNorm>,
    stride: i64,
}

impl ResidualBlock {
    /// A block that changes channels and stride if asked to.
    pub fn new(path: &Path, inputs: i64, outputs: i64, stride: i64) -> Self {
        let shortcut = (inputs != outputs || stride != 1)
            .then(|| ConvNorm::new(&(path / "shortcut"), ConvConfig::new(inputs, outputs, 1, 1), 1.0));
        Self {
            first: ConvNorm::new(&(path / "conv1"), ConvConfig::new(inputs, outputs, 3, stride), 1.0),
            second: ConvNorm::new(&(path / "conv2"), ConvConfig::new(outputs, outputs, 3, 1), 0.5),
            shortcut,
            stride,
        }
    }

    /// # Shapes
    /// `[B, in, H, W]` → `[B, out, H/stride, W/stride]`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let mut branch = self.second.linear(&self.first.forward(x, train), train);
        let kept = match &self.shortcut {
            None => x.shallow_clone(),
            Some(s) if self.stride == 1 => s.linear(x, train),
            Some(s) => s.linear(&x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None), train),
        };
        branch += kept;
        branch.relu_()
    }

    /// `forward` with running statistics, as a graph.
    pub fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        let branch = self.first.emit(graph, x);
        let branch = self.second.emit_linear(graph, &branch);
        let kept = match &self.shortcut {
            None => x.clone(),
            Some(s) if self.stride == 1 => s.emit_linear(graph, x),
            Some(s) => {
                let pooled = graph.avg_pool2d(x, 2, 2);
                s.emit_linear(graph, &pooled)
            }
        };
        let sum = graph.add(&branch, &kept);
        graph.relu(&sum)
    }
}

/// What makes the levels.
#[derive(Debug)]
enum Trunk {
    /// Keys `stem`, `stages.I.J`.
    Own { stem: ConvNorm, stages: Vec<Vec<ResidualBlock>> },
    /// A published network; key `resnet`, below it torchvision's.
    Published(ResNet),
}

/// The backbone.
#[derive(Debug)]
pub struct Backbone {
    trunk: Trunk,
    /// From each level deeper than stride 8 to the channels of the one above it; keys `lateral.I`.
    laterals: Vec<ConvNorm>,
}

/// What the backbone sees.
#[derive(Debug)]
pub struct ImageFeatures {
    /// `[B·N, C4, H/4, W/4]`.
    pub stride4: Tensor,
    /// `[B·N, C8, H/8, W/8]`.
    pub stride8: Tensor,
}

impl Backbone {
    /// Build under `path`.
    ///
    /// # Panics
    /// For a configuration that [`crate::StudentConfig::check`] refuses.
    pub fn new(path: &Path, config: &BackboneConfig) -> Self {
        let trunk = match config.resnet.and_then(ResNetConfig::of_depth) {
            Some(published) => Trunk::Published(ResNet::new(&(path / "resnet"), &published)),
            None => {
                let mut inputs = config.stem;
                let mut stages = vec![];
                for (i, stage) in config.stages.iter().enumerate() {
                    let block = |j: usize| {
                        let inputs = if j == 0 { inputs } else { stage.channels };
                        let kept = j > 0 || (i == 0 && config.stem_stride == 4);
                        let stride = if kept { 1 } else { 2 };
                        ResidualBlock::new(&(path / "stages" / i / j), inputs, stage.channels, stride)
                    };
                    stages.push((0..stage.blocks).map(block).collect());
                    inputs = stage.channels;
                }
                let kernel = if config.stem_stride == 4 { 7 } else { 3 };
                let stem = ConvConfig::new(3, config.stem, kernel, config.stem_stride);
                Trunk::Own { stem: ConvNorm::new(&(path / "stem"), stem, 1.0), stages }
            }
        };
        let widths = config.widths();
        let lateral = |i: usize| {
            let conv = ConvConfig::new(widths[i], widths[i - 1], 1, 1);
            ConvNorm::new(&(path / "lateral" / i), conv, 1.0)
        };
        Self { trunk, laterals: (2..widths.len()).map(lateral).collect() }
    }

    /// # Shapes
    /// Normalised images `[B·N, 3, H, W]`.
    pub fn forward(&self, images: &Tensor, train: bool) -> ImageFeatures {
        let mut levels = match &self.trunk {
            Trunk::Published(network) => network.forward(images, train),
            Trunk::Own { stem, stages } => {
                let mut x = stem.forward(images, train);
                let mut levels = vec![];
                for stage in stages {
                    for block in stage {
                        x = block.forward(&x, train);
                    }
                    levels.push(x.shallow_clone());
                }
                levels
            }
        };
        let mut top = levels[levels.len() - 1].shallow_clone();
        for (level, lateral) in levels[1..levels.len() - 1].iter().zip(&self.laterals).rev() {
            let size = level.size();
            let up = lateral.linear(&top, train).upsample_nearest2d([size[2], size[3]], None, None);
            top = (level + up).relu_();
        }
        ImageFeatures { stride4: levels.swap_remove(0), stride8: top }
    }

    /// `forward` with running statistics, as a graph: features at strides 4 and 8.
    pub fn emit(&self, graph: &mut Graph, images: &Value) -> [Value; 2] {
        let mut levels = match &self.trunk {
            Trunk::Published(network) => network.emit(graph, images),
            Trunk::Own { stem, stages } => {
                let mut x = stem.emit(graph, images);
                let mut levels = vec![];
                for stage in stages {
                    for block in stage {
                        x = block.emit(graph, &x);
                    }
                    levels.push(x.clone());
                }
                levels
            }
        };
        let mut top = levels[levels.len() - 1].clone();
        for (level, lateral) in levels[1..levels.len() - 1].iter().zip(&self.laterals).rev() {
            let up = lateral.emit_linear(graph, &top);
            let up = graph.upsample_nearest(&up, [level.shape()[2], level.shape()[3]]);
            let sum = graph.add(level, &up);
            top = graph.relu(&sum);
        }
        [levels.swap_remove(0), top]
    }
}

/// Put the weights of a published residual network (torchvision's, timm's, or one inside a larger checkpoint) into the backbone
/// of an encoder whose keys begin with `encoder.`.
///
/// # Errors
/// When the encoder has no such backbone, or the file's is another.
pub fn load_published(vs: &VarStore, file: &FilePath) -> Result<(), PlannerError> {
    const KEY: &str = "encoder.backbone.resnet.";
    if !vs.variables().iter().any(|v| v.name.starts_with(KEY)) {
        let reason =
            "weights of a published network need `model.backbone.resnet` (a teacher's: `model.vision.backbone.resnet`)";
        return Err(PlannerError::Config { field: "train.backbone".into(), reason: reason.into() });
    }
    let found = VisionBackbone::over(Weights::open(file)?, Precision::Cast(Kind::Float), vs.device())?;
    let tensors = found
        .vs
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (format!("{KEY}{}", name.strip_prefix(&found.prefix).unwrap_or(&name)), tensor));
    let file = TensorFile { path: file.into(), metadata: Default::default(), tensors: tensors.collect() };
    Ok(vs.load_where(&file, |name| name.starts_with(KEY))?)
}
