//! Published image backbones, under the names that torchvision, timm or ORION's code give their tensors: residual networks,
//! EfficientNets and EVA-02 transformers. Their shape is read off the tensors; what no tensor shows (strides, windows) is the
//! published architecture's.
//!
//! B batch, C channels, D width.

mod efficientnet;
mod eva;
mod resnet;

pub use efficientnet::EfficientNet;
pub use eva::Eva;
pub use resnet::{ResNet, ResNetConfig};

use crate::{NnError, Path, Precision, VarStore, Weights};
use tch::{Device, Tensor};

/// What a backbone makes of pictures.
#[derive(Debug)]
pub struct Features {
    /// The stride in pixels, and the grid there `[B, C, H / stride, W / stride]`; finest first.
    pub levels: Vec<(i64, Tensor)>,
    /// One vector a picture, before any classifier: `[B, C]`.
    pub pooled: Tensor,
}

/// The network of a [`VisionBackbone`].
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Network {
    ResNet(Box<ResNet>),
    EfficientNet(Box<EfficientNet>),
    Eva(Box<Eva>),
}

/// A backbone built from a file of weights.
#[derive(Debug)]
pub struct VisionBackbone {
    /// All variables, under the names of the file.
    pub vs: VarStore,
    /// The network.
    pub network: Network,
    /// Where in the file it lies: empty, or a prefix such as `img_backbone.`.
    pub prefix: String,
}

/// The layouts that are known: a name that only this layout has, and what it is.
const LAYOUTS: [(&str, Layout); 4] = [
    ("layer1.0.conv1.weight", Layout::ResNet),
    ("features.1.0.block.0.0.weight", Layout::Torchvision),
    ("blocks.0.0.conv_dw.weight", Layout::Timm),
    ("blocks.0.attn.proj.weight", Layout::Eva),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    ResNet,
    Torchvision,
    Timm,
    Eva,
}

/// The tensors of a file that a backbone is in, seen from where it lies.
pub(crate) struct Shapes<'a> {
    weights: &'a Weights,
    prefix: &'a str,
}

impl Shapes<'_> {
    fn size(&self, name: &str) -> Option<Vec<i64>> {
        self.weights.get(&format!("{}{name}", self.prefix)).map(Tensor::size)
    }

    fn has(&self, name: &str) -> bool {
        self.size(name).is_some()
    }

    /// One dimension of a tensor; 0 where it is not there, so that what is built from it shows in the difference.
    fn dim(&self, name: &str, dim: usize) -> i64 {
        self.size(name).and_then(|size| size.get(dim).copied()).unwrap_or(0)
    }

    /// How many of `{list}.0.{probe}`, `{list}.1.{probe}`, … are there.
    fn count(&self, list: &str, probe: &str) -> usize {
        (0..).take_while(|i| self.has(&format!("{list}.{i}.{probe}"))).count()
    }

    fn wrong(&self, name: &str, needs: &str) -> NnError {
        let found = self.size(name).map_or("is missing".into(), |size| format!("has {size:?}"));
        let line = format!("  shape       {}{name}: needs {needs}, {found}", self.prefix);
        NnError::Difference { path: self.weights.path().into(), difference: line }
    }
}

/// Tensors of a file that belong to a classifier, to bookkeeping, or are computed here.
fn is_beside(name: &str) -> bool {
    let heads = ["fc.", "classifier.", "head.", "lm_head.", "rope_win.", "rope_glb.", "rope."];
    let computed = name.ends_with("num_batches_tracked") || name.contains(".rope.") || name == "mask_token";
    computed || heads.iter().any(|head| name.starts_with(head))
}

impl VisionBackbone {
    /// Build the backbone that lies in a file, strictly: no tensor of it may be missing, mis-shaped or unknown (classifiers are
    /// left out). Where it is part of a larger model, the rest of the file is not looked at.
    ///
    /// # Errors
    /// [`NnError::NoBackbone`] when no layout is recognised, [`NnError::Difference`] when tensors are not as it needs.
    pub fn over(weights: Weights, precision: Precision, device: Device) -> Result<Self, NnError> {
        let found = LAYOUTS.iter().find_map(|(probe, layout)| {
            let whole = |name: &&str| *name == *probe || name.ends_with(&format!(".{probe}"));
            weights.names().find(whole).map(|name| (name[..name.len() - probe.len()].to_string(), *layout))
        });
        let Some((prefix, layout)) = found else {
            let names = weights.names().take(3).map(str::to_string).collect::<Vec<_>>().join(", ");
            return Err(NnError::NoBackbone { path: weights.path().into(), names });
        };
        let shapes = Shapes { weights: &weights, prefix: &prefix };
        let build: Box<dyn FnOnce(&Path) -> Network> = match layout {
            Layout::ResNet => {
                let config = ResNetConfig::of(&shapes)?;
                Box::new(move |path| Network::ResNet(Box::new(ResNet::new(path, &config))))
            }
            Layout::Torchvision | Layout::Timm => {
                let plan = efficientnet::Plan::of(&shapes, layout == Layout::Torchvision)?;
                Box::new(move |path| Network::EfficientNet(Box::new(EfficientNet::new(path, &plan))))
            }
            Layout::Eva => {
                let plan = eva::Plan::of(&shapes)?;
                Box::new(move |path| Network::Eva(Box::new(Eva::new(path, plan))))
            }
        };
        let vs = VarStore::over(weights, precision, device);
        let path = prefix.trim_end_matches('.').split('.').filter(|part| !part.is_empty());
        let network = build(&path.fold(vs.root(), |path, part| &path / part));
        vs.finish(|name| name.strip_prefix(&prefix).is_none_or(is_beside))?;
        Ok(Self { vs, network, prefix })
    }

    /// Its published name, as far as the tensors tell.
    pub fn architecture(&self) -> String {
        match &self.network {
            Network::ResNet(net) => net.config().architecture(),
            Network::EfficientNet(net) => net.architecture(),
            Network::Eva(net) => net.architecture(),
        }
    }

    /// Width and height of the pictures it was made for.
    pub fn image_size(&self) -> [usize; 2] {
        match &self.network {
            Network::ResNet(_) => [224, 224],
            Network::EfficientNet(net) => net.image_size(),
            Network::Eva(net) => net.image_size(),
        }
    }

    /// What the sides of pictures must be multiples of.
    pub fn image_multiple(&self) -> usize {
        if let Network::Eva(net) = &self.network { net.patch() as usize } else { 1 }
    }

    /// What it makes of pictures, with frozen statistics, on the device and in the kind of its weights.
    ///
    /// # Shapes
    /// Normalised pictures `[B, 3, H, W]`.
    pub fn forward(&self, pixels: &Tensor) -> Features {
        let first = &self.vs.variables()[0].tensor;
        let pixels = pixels.to_device(first.device()).to_kind(first.kind());
        match &self.network {
            Network::ResNet(net) => {
                let levels: Vec<_> = [4, 8, 16, 32].into_iter().zip(net.forward(&pixels, false)).collect();
                Features { pooled: mean(&levels[3].1), levels }
            }
            Network::EfficientNet(net) => net.forward(&pixels),
            Network::Eva(net) => net.forward(&pixels),
        }
    }
}

/// The mean over a grid: `[B, C, H, W]` → `[B, C]`.
fn mean(grid: &Tensor) -> Tensor {
    grid.mean_dim([2i64, 3].as_slice(), false, None)
}
