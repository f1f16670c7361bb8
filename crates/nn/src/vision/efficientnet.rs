//! EfficientNet b0 to b4 (Tan and Le 2019) under torchvision's or timm's names. Padding is symmetric, as in both; TensorFlow's
//! ports (timm's `tf_…`) share the names but pad otherwise, and are not these networks.

use super::{Features, Shapes, mean};
use crate::{BatchNorm2d, Conv2d, ConvConfig, NnError, Path};
use tch::Tensor;

/// Stride of each stage; no tensor shows it.
const STRIDES: [i64; 7] = [1, 2, 2, 2, 1, 2, 1];

/// One block: its place, and its widths.
#[derive(Debug)]
struct BlockPlan {
    stage: usize,
    index: usize,
    inputs: i64,
    inner: i64,
    squeezed: i64,
    outputs: i64,
    kernel: i64,
    expands: bool,
}

/// Shape of a network and whose names it has.
#[derive(Debug)]
pub(crate) struct Plan {
    torchvision: bool,
    stem: i64,
    head: i64,
    blocks: Vec<BlockPlan>,
}

/// Where the parts of a block are: expansion, depthwise, squeeze, excite, projection; each convolution with its norm.
struct Names {
    expand: [String; 2],
    depthwise: [String; 2],
    squeeze: [String; 2],
    project: [String; 2],
}

/// `torchvision`: the sequence `block` without its expansion begins one later.
fn names(torchvision: bool, stage: usize, index: usize, expands: bool) -> Names {
    if torchvision {
        let block = format!("features.{}.{index}.block", stage + 1);
        let first = usize::from(expands);
        let pair = |at: usize| [format!("{block}.{at}.0"), format!("{block}.{at}.1")];
        Names {
            expand: pair(0),
            depthwise: pair(first),
            squeeze: [format!("{block}.{}.fc1", first + 1), format!("{block}.{}.fc2", first + 1)],
            project: pair(first + 2),
        }
    } else {
        let block = format!("blocks.{stage}.{index}");
        let pair = |conv: &str, norm: &str| [format!("{block}.{conv}"), format!("{block}.{norm}")];
        Names {
            expand: pair("conv_pw", "bn1"),
            depthwise: pair("conv_dw", if expands { "bn2" } else { "bn1" }),
            squeeze: pair("se.conv_reduce", "se.conv_expand"),
            project: if expands { pair("conv_pwl", "bn3") } else { pair("conv_pw", "bn2") },
        }
    }
}

/// The names of the stem and the head, each with its norm.
fn ends(torchvision: bool) -> [[&'static str; 2]; 2] {
    if torchvision {
        [["features.0.0", "features.0.1"], ["features.8.0", "features.8.1"]]
    } else {
        [["conv_stem", "bn1"], ["conv_head", "bn2"]]
    }
}

impl Plan {
    pub(crate) fn of(shapes: &Shapes<'_>, torchvision: bool) -> Result<Self, NnError> {
        let [stem, head] = ends(torchvision).map(|[conv, _]| format!("{conv}.weight"));
        let mut inputs = shapes.dim(&stem, 0);
        let mut plan = Self { torchvision, stem: inputs, head: shapes.dim(&head, 0), blocks: vec![] };
        for stage in 0..STRIDES.len() {
            for index in 0.. {
                let weight = |name: &str| format!("{name}.weight");
                let Some(expands) = [true, false]
                    .into_iter()
                    .find(|&expands| shapes.has(&weight(&names(torchvision, stage, index, expands).project[0])))
                else {
                    break;
                };
                let names = names(torchvision, stage, index, expands);
                let depthwise = weight(&names.depthwise[0]);
                let block = BlockPlan {
                    stage,
                    index,
                    inputs,
                    inner: shapes.dim(&depthwise, 0),
                    squeezed: shapes.dim(&weight(&names.squeeze[0]), 0),
                    outputs: shapes.dim(&weight(&names.project[0]), 0),
                    kernel: shapes.dim(&depthwise, 2),
                    expands,
                };
                if block.kernel % 2 == 0 {
                    return Err(shapes.wrong(&depthwise, "an odd square kernel"));
                }
                inputs = block.outputs;
                plan.blocks.push(block);
            }
            if plan.blocks.last().is_none_or(|block| block.stage != stage) {
                return Err(
                    shapes.wrong(&format!("{}.weight", names(torchvision, stage, 0, true).project[0]), "seven stages")
                );
            }
        }
        Ok(plan)
    }
}

#[derive(Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNorm {
    fn new(path: &Path, names: &[impl AsRef<str>; 2], config: ConvConfig) -> Self {
        let [conv, norm] = names.each_ref().map(|name| path / name.as_ref());
        Self { conv: Conv2d::new(&conv, config), norm: BatchNorm2d::new(&norm, config.outputs, 1.0) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.conv.forward(x), false)
    }
}

#[derive(Debug)]
struct Block {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    squeeze: [Conv2d; 2],
    project: ConvNorm,
    residual: bool,
    /// Whether the next stage halves the grid, or there is none.
    ends_level: bool,
}

impl Block {
    fn new(path: &Path, torchvision: bool, plan: &BlockPlan, ends_level: bool) -> Self {
        let names = names(torchvision, plan.stage, plan.index, plan.expands);
        let stride = if plan.index == 0 { STRIDES[plan.stage] } else { 1 };
        let one = |from: i64, to: i64| ConvConfig::new(from, to, 1, 1);
        let gate = |i: usize, from: i64, to: i64| Conv2d::new(&(path / &names.squeeze[i]), one(from, to).with_bias());
        Self {
            expand: plan.expands.then(|| ConvNorm::new(path, &names.expand, one(plan.inputs, plan.inner))),
            depthwise: ConvNorm::new(
                path,
                &names.depthwise,
                ConvConfig::new(plan.inner, plan.inner, plan.kernel, stride).depthwise(),
            ),
            squeeze: [gate(0, plan.inner, plan.squeezed), gate(1, plan.squeezed, plan.inner)],
            project: ConvNorm::new(path, &names.project, one(plan.inner, plan.outputs)),
            residual: stride == 1 && plan.inputs == plan.outputs,
            ends_level,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let expanded = self.expand.as_ref().map_or_else(|| x.shallow_clone(), |e| e.forward(x).silu());
        let y = self.depthwise.forward(&expanded).silu();
        let seen = y.mean_dim([2i64, 3].as_slice(), true, None);
        let gate = self.squeeze[1].forward(&self.squeeze[0].forward(&seen).silu()).sigmoid();
        let y = self.project.forward(&(y * gate));
        if self.residual { y + x } else { y }
    }
}

/// The network, without its classifier.
#[derive(Debug)]
pub struct EfficientNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    head: ConvNorm,
}

impl EfficientNet {
    pub(crate) fn new(path: &Path, plan: &Plan) -> Self {
        let [stem, head] = ends(plan.torchvision);
        let blocks = plan.blocks.iter().enumerate().map(|(i, block)| {
            let next = plan.blocks.get(i + 1);
            let ends = next.is_none_or(|next| next.index == 0 && STRIDES[next.stage] == 2);
            Block::new(path, plan.torchvision, block, ends)
        });
        let blocks: Vec<_> = blocks.collect();
        let last = plan.blocks.last().map_or(plan.stem, |block| block.outputs);
        Self {
            stem: ConvNorm::new(path, &stem, ConvConfig::new(3, plan.stem, 3, 2)),
            blocks,
            head: ConvNorm::new(path, &head, ConvConfig::new(last, plan.head, 1, 1)),
        }
    }

    /// b0 to b4 by the width of the stem and the count of blocks.
    pub(super) fn architecture(&self) -> String {
        match (self.stem.conv.config.outputs, self.blocks.len()) {
            (32, 16) => "EfficientNet-b0".into(),
            (32, 23) => {
                let wider = self.head.conv.config.outputs > 1280;
                if wider { "EfficientNet-b2".into() } else { "EfficientNet-b1".into() }
            }
            (40, 26) => "EfficientNet-b3".into(),
            (48, 32) => "EfficientNet-b4".into(),
            (_, blocks) => format!("EfficientNet of {blocks} blocks"),
        }
    }

    pub(super) fn image_size(&self) -> [usize; 2] {
        match self.architecture().as_str() {
            "EfficientNet-b4" => [380, 380],
            "EfficientNet-b3" => [300, 300],
            _ => [224, 224],
        }
    }

    /// Levels at strides 2, 4, 8, 16 and 32, and the head's output pooled.
    ///
    /// # Shapes
    /// Normalised pictures `[B, 3, H, W]`.
    pub fn forward(&self, pixels: &Tensor) -> Features {
        let mut x = self.stem.forward(pixels).silu();
        let mut levels = vec![];
        for block in &self.blocks {
            x = block.forward(&x);
            if block.ends_level {
                levels.push((2 << levels.len(), x.shallow_clone()));
            }
        }
        Features { levels, pooled: mean(&self.head.forward(&x).silu()) }
    }
}
