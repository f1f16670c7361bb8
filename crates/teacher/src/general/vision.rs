//! Image backbones alone, from one file of weights: pictures to features.

use super::image::{CLIP_MEAN, CLIP_STD, Filter, normalised, resize};
use super::language::LoadOptions;
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::Weights;
use apprentice_nn::vision::{Features, Network, VisionBackbone};
use std::path::Path;
use tch::{Kind, Tensor};

/// Channel means of ImageNet, as torchvision and timm have them.
pub const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Channel deviations of ImageNet.
pub const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Pictures that are computed at once.
const BATCH: usize = 8;

/// A backbone and how pictures enter it.
#[derive(Debug)]
pub struct VisionEncoder {
    /// The network.
    pub backbone: VisionBackbone,
    /// Width and height that pictures are resized to.
    pub size: [usize; 2],
}

impl VisionEncoder {
    /// Open a file (`.safetensors`, `.pth`, …) that holds a backbone. Pictures are resized to `size`, or to what the backbone was
    /// made for.
    ///
    /// # Errors
    /// Names the file and the tensors that are not as expected.
    pub fn open(path: &Path, options: &LoadOptions, size: Option<[usize; 2]>) -> Result<Self, TeacherError> {
        let backbone = VisionBackbone::over(Weights::open(path)?, options.precision, options.device)?;
        let size = size.unwrap_or_else(|| backbone.image_size());
        let multiple = backbone.image_multiple();
        if size.iter().any(|&side| side == 0 || !side.is_multiple_of(multiple)) {
            let ([width, height], family) = (size, backbone.architecture());
            return Err(TeacherError::ImageSize { width, height, family, multiple });
        }
        Ok(Self { backbone, size })
    }

    /// A picture as the backbone reads it: resized (bicubic) and normalised with ImageNet's means, or CLIP's for timm's EVA-02.
    ///
    /// # Shapes
    /// `[3, H, W]`, f32.
    pub fn pixels(&self, image: &Image) -> Tensor {
        let resized = resize(image, self.size[0], self.size[1], Filter::Bicubic);
        let clip = matches!(&self.backbone.network, Network::Eva(eva) if !eva.windows());
        let (mean, std) = if clip { (CLIP_MEAN, CLIP_STD) } else { (IMAGENET_MEAN, IMAGENET_STD) };
        normalised(&resized, 1.0 / 255.0, &mean, &std)
    }

    /// Features of pictures, in f32 on the CPU.
    ///
    /// # Shapes
    /// Levels `[pictures, C, h, w]`, pooled `[pictures, C]`.
    pub fn images(&self, images: &[Image]) -> Features {
        let _guard = tch::no_grad_guard();
        let mut parts = vec![];
        for some in images.chunks(BATCH) {
            let pixels: Vec<_> = some.iter().map(|image| self.pixels(image)).collect();
            parts.push(self.backbone.forward(&Tensor::stack(&pixels, 0)));
        }
        let whole = |parts: Vec<&Tensor>| Tensor::cat(&parts, 0).to_kind(Kind::Float).to_device(tch::Device::Cpu);
        let level = |i: usize| {
            let grids = parts.iter().map(|part| &part.levels[i].1).collect();
            (parts[0].levels[i].0, whole(grids))
        };
        let levels = (0..parts.first().map_or(0, |part| part.levels.len())).map(level).collect();
        Features { levels, pooled: whole(parts.iter().map(|part| &part.pooled).collect()) }
    }
}
