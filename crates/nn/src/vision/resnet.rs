//! Residual networks (He et al. 2016) under torchvision's names, which timm and mmdetection share: 18 and 34 layers with two
//! 3×3 convolutions a block, 50 and more with a bottleneck whose 3×3 convolution takes the stride.

use super::Shapes;
use crate::onnx::{Graph, Value};
use crate::{BatchNorm2d, Conv2d, ConvConfig, NnError, Path};
use tch::Tensor;

/// Shape of a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Channels after the first convolution.
    pub stem: i64,
    /// Channels out and blocks of each of the four stages.
    pub stages: Vec<(i64, usize)>,
    /// Inner channels of each stage.
    pub inner: Vec<i64>,
    /// 1×1, 3×3, 1×1 in place of two 3×3.
    pub bottleneck: bool,
}

impl ResNetConfig {
    /// The published network of so many layers: 18, 34 or 50.
    pub fn of_depth(depth: i64) -> Option<Self> {
        let (bottleneck, blocks) = match depth {
            18 => (false, [2, 2, 2, 2]),
            34 => (false, [3, 4, 6, 3]),
            50 => (true, [3, 4, 6, 3]),
            _ => return None,
        };
        let inner = vec![64, 128, 256, 512];
        let stages = inner.iter().map(|c| if bottleneck { 4 * c } else { *c }).zip(blocks).collect();
        Some(Self { stem: 64, stages, inner, bottleneck })
    }

    /// As the tensors of a file say.
    pub(crate) fn of(shapes: &Shapes<'_>) -> Result<Self, NnError> {
        let bottleneck = shapes.has("layer1.0.conv3.weight");
        let last = if bottleneck { "conv3" } else { "conv2" };
        let stage = |i: usize| {
            let layer = format!("layer{}", i + 1);
            let channels = shapes.dim(&format!("{layer}.0.{last}.weight"), 0);
            (channels, shapes.count(&layer, "conv1.weight"))
        };
        if let Some(i) = (0..4).find(|&i| stage(i).1 == 0) {
            return Err(shapes.wrong(&format!("layer{}.0.conv1.weight", i + 1), "a convolution"));
        }
        let inner = (1..=4).map(|i| shapes.dim(&format!("layer{i}.0.conv1.weight"), 0)).collect();
        let stem = shapes.dim("conv1.weight", 0);
        Ok(Self { stem, stages: (0..4).map(stage).collect(), inner, bottleneck })
    }

    pub(super) fn architecture(&self) -> String {
        let blocks: usize = self.stages.iter().map(|(_, blocks)| blocks).sum();
        format!("ResNet-{}", blocks * if self.bottleneck { 3 } else { 2 } + 2)
    }
}

/// A convolution with its norm: keys `convI` and `bnI`.
#[derive(Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNorm {
    fn new(conv: &Path, norm: &Path, config: ConvConfig) -> Self {
        Self { conv: Conv2d::new(conv, config), norm: BatchNorm2d::new(norm, config.outputs, 1.0) }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        self.norm.forward(&self.conv.forward(x), train)
    }

    fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        self.conv.emit_with_norm(graph, &self.norm, x)
    }
}

#[derive(Debug)]
struct Block {
    branch: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(path: &Path, inputs: i64, inner: i64, outputs: i64, stride: i64, bottleneck: bool) -> Self {
        let plan = if bottleneck {
            vec![(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
        } else {
            vec![(inputs, inner, 3, stride), (inner, outputs, 3, 1)]
        };
        let branch = plan.into_iter().enumerate().map(|(i, (from, to, kernel, stride))| {
            let (conv, norm) = (path / format!("conv{}", i + 1), path / format!("bn{}", i + 1));
            ConvNorm::new(&conv, &norm, ConvConfig::new(from, to, kernel, stride))
        });
        let down = path / "downsample";
        Self {
            branch: branch.collect(),
            downsample: (stride != 1 || inputs != outputs).then(|| {
                let config = ConvConfig { padding: 0, ..ConvConfig::new(inputs, outputs, 1, stride) };
                ConvNorm::new(&(&down / 0), &(&down / 1), config)
            }),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let last = self.branch.len() - 1;
        let mut y = x.shallow_clone();
        for (i, part) in self.branch.iter().enumerate() {
            y = part.forward(&y, train);
            if i < last {
                y = y.relu_();
            }
        }
        let kept = self.downsample.as_ref().map_or_else(|| x.shallow_clone(), |d| d.forward(x, train));
        (y + kept).relu_()
    }

    fn emit(&self, graph: &mut Graph, x: &Value) -> Value {
        let last = self.branch.len() - 1;
        let mut y = x.clone();
        for (i, part) in self.branch.iter().enumerate() {
            y = part.emit(graph, &y);
            if i < last {
                y = graph.relu(&y);
            }
        }
        let kept = match &self.downsample {
            Some(down) => down.emit(graph, x),
            None => x.clone(),
        };
        let sum = graph.add(&y, &kept);
        graph.relu(&sum)
    }
}

/// The network, without its classifier.
#[derive(Debug)]
pub struct ResNet {
    config: ResNetConfig,
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
}

impl ResNet {
    /// Build under `path`: keys `conv1`, `bn1`, `layer1.0.conv1`, ….
    pub fn new(path: &Path, config: &ResNetConfig) -> Self {
        let mut inputs = config.stem;
        let mut stages = vec![];
        for (i, (&(outputs, blocks), &inner)) in config.stages.iter().zip(&config.inner).enumerate() {
            let layer = path / format!("layer{}", i + 1);
            let block = |j: usize| {
                let (inputs, stride) = if j == 0 { (inputs, if i == 0 { 1 } else { 2 }) } else { (outputs, 1) };
                Block::new(&(&layer / j), inputs, inner, outputs, stride, config.bottleneck)
            };
            stages.push((0..blocks).map(block).collect());
            inputs = outputs;
        }
        let stem = ConvConfig::new(3, config.stem, 7, 2);
        Self { stem: ConvNorm::new(&(path / "conv1"), &(path / "bn1"), stem), stages, config: config.clone() }
    }

    /// Its shape.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// # Shapes
    /// Normalised pictures `[B, 3, H, W]` → what each stage gives, at strides 4, 8, 16 and 32.
    pub fn forward(&self, pixels: &Tensor, train: bool) -> Vec<Tensor> {
        let x = self.stem.forward(pixels, train).relu_();
        let mut x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        let mut levels = vec![];
        for stage in &self.stages {
            for block in stage {
                x = block.forward(&x, train);
            }
            levels.push(x.shallow_clone());
        }
        levels
    }

    /// `forward` with running statistics, as a graph.
    pub fn emit(&self, graph: &mut Graph, pixels: &Value) -> Vec<Value> {
        let x = self.stem.emit(graph, pixels);
        let x = graph.relu(&x);
        let mut x = graph.max_pool2d(&x, 3, 2, 1);
        let mut levels = vec![];
        for stage in &self.stages {
            for block in stage {
                x = block.emit(graph, &x);
            }
            levels.push(x.clone());
        }
        levels
    }
}
