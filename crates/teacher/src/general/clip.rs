//! CLIP (Radford et al. 2021): a text tower and a picture tower whose embeddings meet. Any patch and picture size
//! (ViT-B/32, L/14, L/14 at 336). B batch, L tokens, D width, P projected width.

use super::folder::{Fields, ModelFolder};
use super::image::Preprocess;
use super::language::LoadOptions;
use super::tokens::ModelTokenizer;
use super::tower::{Patches, Tower, TowerConfig, is_index, rows, table};
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::{Init, LayerNorm, Linear, Path, VarStore};
use tch::{Device, Kind, Tensor};

/// CLIP's picture tower; LLaVA looks through one too.
#[derive(Debug)]
pub struct ClipVision {
    class: Tensor,
    patches: Patches,
    places: Tensor,
    before: LayerNorm,
    tower: Tower,
    after: LayerNorm,
}

impl ClipVision {
    /// Build under `path` (the checkpoint's `…vision_model`) from a `vision_config`.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the field.
    pub fn new(path: &Path, fields: &Fields) -> Result<Self, TeacherError> {
        let config = TowerConfig::read(fields, 1e-5, "quick_gelu")?;
        let (d, embeddings) = (config.width, path / "embeddings");
        let patches = Patches::new(&(&embeddings / "patch_embedding"), fields, d, false)?;
        Ok(Self {
            class: embeddings.param("class_embedding", &[d], Init::Normal(0.02)),
            places: table(&(&embeddings / "position_embedding"), patches.side * patches.side + 1, d),
            patches,
            // The name is misspelt in every published file.
            before: LayerNorm::with_eps(&(path / "pre_layrnorm"), d, config.eps),
            tower: Tower::new(&(path / "encoder"), &config),
            after: LayerNorm::with_eps(&(path / "post_layernorm"), d, config.eps),
        })
    }

    /// What enters the blocks, then what each gives; the first place is the class token.
    ///
    /// # Shapes
    /// pixels `[B, 3, H, W]` → `[B, 1 + patches, D]` each.
    pub fn states(&self, pixels: &Tensor) -> Vec<Tensor> {
        let patches = self.patches.forward(pixels);
        let (batch, _, width) = patches.size3().expect("patches are [B, n, D]");
        let class = self.class.expand([batch, 1, width], false);
        let x = Tensor::cat(&[&class, &patches], 1) + &self.places;
        self.tower.forward(self.before.forward(&x), false)
    }

    /// The class token's summary.
    ///
    /// # Shapes
    /// `[B, 3, H, W]` → `[B, D]`.
    pub fn pooled(&self, pixels: &Tensor) -> Tensor {
        let states = self.states(pixels);
        self.after.forward(&states[states.len() - 1].select(1, 0))
    }
}

#[derive(Debug)]
struct ClipText {
    words: Tensor,
    places: Tensor,
    tower: Tower,
    norm: LayerNorm,
}

/// Both towers.
#[derive(Debug)]
pub struct Clip {
    /// All variables, under the names of `transformers`.
    pub vs: VarStore,
    /// The picture tower.
    pub vision: ClipVision,
    /// How pictures enter.
    pub preprocess: Preprocess,
    text: ClipText,
    text_projection: Linear,
    visual_projection: Linear,
    /// Natural logarithm of the factor on cosines.
    pub logit_scale: Tensor,
    tokenizer: ModelTokenizer,
    end: i64,
    context: i64,
}

impl Clip {
    /// Open a model's folder.
    ///
    /// # Errors
    /// Names the file and the field, tensor or token that is not as expected.
    pub fn open(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, TeacherError> {
        let config = folder.fields();
        let (text, vision) = (config.part("text_config"), config.part("vision_config"));
        let vs = VarStore::over(folder.weights()?, options.precision, options.device);
        let root = vs.root();
        let shape = TowerConfig::read(&text, 1e-5, "quick_gelu")?;
        let (d, path) = (shape.width, &root / "text_model");
        let (vocabulary, context) = (text.int("vocab_size", 49_408)?, text.int("max_position_embeddings", 77)?);
        let projected = config.int("projection_dim", 512)?;
        let tokenizer = ModelTokenizer::open(folder.path())?;
        tokenizer.fits(vocabulary)?;
        let clip = Self {
            vision: ClipVision::new(&(&root / "vision_model"), &vision)?,
            preprocess: Preprocess::open(folder)?,
            text: ClipText {
                words: table(&(&path / "embeddings" / "token_embedding"), vocabulary, d),
                places: table(&(&path / "embeddings" / "position_embedding"), context, d),
                tower: Tower::new(&(&path / "encoder"), &shape),
                norm: LayerNorm::with_eps(&(&path / "final_layer_norm"), d, shape.eps),
            },
            text_projection: projection(&(&root / "text_projection"), d, projected),
            visual_projection: projection(
                &(&root / "visual_projection"),
                TowerConfig::read(&vision, 1e-5, "quick_gelu")?.width,
                projected,
            ),
            logit_scale: root.param("logit_scale", &[], Init::Constant(2.6592)),
            // Files of old name 2 as the end token, but the tokenizer's own is the largest id.
            end: text.int("eos_token_id", 49_407)?,
            tokenizer: tokenizer.truncated(context as usize)?,
            context,
            vs,
        };
        clip.vs.finish(is_index)?;
        Ok(clip)
    }

    /// # Shapes
    /// ids `[B, L]` (int64) → `[B, P]`.
    pub fn embed_ids(&self, ids: &Tensor) -> Tensor {
        let x = rows(&self.text.words, ids) + self.text.places.narrow(0, 0, ids.size()[1]);
        let states = self.text.tower.forward(x, true);
        let hidden = self.text.norm.forward(&states[states.len() - 1]);
        let end =
            if self.end == 2 { ids.argmax(-1, false) } else { ids.eq(self.end).to_kind(Kind::Int).argmax(-1, false) };
        let place = end.view([-1, 1, 1]).expand([ids.size()[0], 1, hidden.size()[2]], false);
        self.text_projection.forward(&hidden.gather(1, &place, false).squeeze_dim(1))
    }

    /// # Shapes
    /// pixels `[B, 3, H, W]` → `[B, P]`.
    pub fn embed_pixels(&self, pixels: &Tensor) -> Tensor {
        self.visual_projection.forward(&self.vision.pooled(pixels))
    }

    /// Embeddings of texts, not normalised; longer texts are cut at the context.
    ///
    /// # Errors
    /// When the tokenizer cannot read a text.
    ///
    /// # Shapes
    /// → `[texts, P]` (f32, on the CPU).
    pub fn embed_texts(&self, texts: &[String]) -> Result<Tensor, TeacherError> {
        let _guard = tch::no_grad_guard();
        let one = |text: &String| -> Result<Tensor, TeacherError> {
            let ids = self.tokenizer.encode(text, true)?;
            debug_assert!(ids.len() as i64 <= self.context);
            Ok(self.embed_ids(&Tensor::from_slice(&ids).unsqueeze(0).to_device(self.vs.device())))
        };
        gathered(texts.iter().map(one))
    }

    /// Embeddings of pictures, not normalised.
    ///
    /// # Shapes
    /// → `[pictures, P]` (f32, on the CPU).
    ///
    /// # Errors
    /// None that a whole picture can cause.
    pub fn embed_images(&self, images: &[Image]) -> Result<Tensor, TeacherError> {
        let _guard = tch::no_grad_guard();
        let one = |image: &Image| {
            Ok(self.embed_pixels(&self.preprocess.pixels(image).unsqueeze(0).to_device(self.vs.device())))
        };
        gathered(images.iter().map(one))
    }
}

/// A projection without a bias.
fn projection(path: &Path, inputs: i64, outputs: i64) -> Linear {
    Linear::with_init(path, inputs, outputs, Init::Xavier, None)
}

/// Rows `[1, P]` one below the other, in f32 on the CPU.
pub(crate) fn gathered(rows: impl Iterator<Item = Result<Tensor, TeacherError>>) -> Result<Tensor, TeacherError> {
    let rows = rows
        .map(|row| Ok(row?.to_kind(Kind::Float).to_device(Device::Cpu)))
        .collect::<Result<Vec<_>, TeacherError>>()?;
    Ok(if rows.is_empty() { Tensor::zeros([0, 0], (Kind::Float, Device::Cpu)) } else { Tensor::cat(&rows, 0) })
}
