//! LLaVA-1.5's eyes (Liu et al. 2024): the patches of a CLIP tower's last block but one, through two linear layers, stand in the
//! prompt as tokens.

use super::clip::ClipVision;
use super::folder::{Fields, ModelFolder};
use super::image::Preprocess;
use super::tower::TowerConfig;
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::{Activation, Init, Linear, Path};
use tch::Tensor;

/// Tower and projector.
#[derive(Debug)]
pub struct LlavaEyes {
    tower: ClipVision,
    layers: Vec<i64>,
    class_token: bool,
    linear_1: Linear,
    linear_2: Linear,
    activation: Activation,
    preprocess: Preprocess,
}

impl LlavaEyes {
    /// Build under `model` for a language side of width `width`.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the field.
    pub fn new(model: &Path, folder: &ModelFolder, config: &Fields, width: i64) -> Result<Self, TeacherError> {
        let vision = config.part("vision_config");
        let layers = config.ints("vision_feature_layer", Some(&[-2]))?;
        let depth = vision.int("num_hidden_layers", 12)? + 1;
        if layers.iter().any(|&l| l >= depth || l < -depth) {
            return Err(config.wrong("vision_feature_layer", format!("layers of a tower of {depth}")));
        }
        let strategy = config.text("vision_feature_select_strategy", Some("default"))?;
        if !["default", "full"].contains(&strategy.as_str()) {
            return Err(config.wrong("vision_feature_select_strategy", "`default` or `full`"));
        }
        let bias = config.flag("multimodal_projector_bias", true)?.then_some(0.0);
        let inputs = TowerConfig::read(&vision, 1e-5, "quick_gelu")?.width * layers.len() as i64;
        let (tower, projector) = (model / "vision_tower", model / "multi_modal_projector");
        Ok(Self {
            tower: ClipVision::new(&tower, &vision)?,
            layers,
            class_token: strategy == "full",
            linear_1: Linear::with_init(&(&projector / "linear_1"), inputs, width, Init::Xavier, bias),
            linear_2: Linear::with_init(&(&projector / "linear_2"), width, width, Init::Xavier, bias),
            activation: config.activation("projector_hidden_act", "gelu")?,
            preprocess: Preprocess::open(folder)?,
        })
    }

    /// A picture as the language side reads it.
    ///
    /// # Shapes
    /// `[patches, D]`.
    pub fn see(&self, image: &Image, device: tch::Device) -> Tensor {
        let states = self.tower.states(&self.preprocess.pixels(image).unsqueeze(0).to_device(device));
        let pick = |&layer: &i64| {
            let state = &states[layer.rem_euclid(states.len() as i64) as usize];
            if self.class_token { state.shallow_clone() } else { state.narrow(1, 1, state.size()[1] - 1) }
        };
        let chosen = Tensor::cat(&self.layers.iter().map(pick).collect::<Vec<_>>(), -1);
        let bent = self.activation.forward(&self.linear_1.forward(&chosen));
        self.linear_2.forward(&bent).squeeze_dim(0)
    }

    /// Names of older files in the order of newer ones: trunk, tower and projector under `model`.
    pub fn rename(name: &str) -> String {
        let name = if let Some(rest) = name.strip_prefix("language_model.model.") {
            format!("model.language_model.{rest}")
        } else if let Some(rest) = name.strip_prefix("language_model.lm_head.") {
            format!("lm_head.{rest}")
        } else if name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.") {
            format!("model.{name}")
        } else {
            name.to_string()
        };
        name.replace("vision_tower.vision_model.", "vision_tower.")
    }
}
