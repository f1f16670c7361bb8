//! SigLIP (Zhai et al. 2023): CLIP's successor with a sigmoid loss; pictures are pooled by an attention head, texts by their
//! last place, and texts are padded to the full context. B batch, D width.

use super::clip::gathered;
use super::folder::ModelFolder;
use super::image::Preprocess;
use super::language::LoadOptions;
use super::tokens::ModelTokenizer;
use super::tower::{Patches, Tower, TowerConfig, attention, is_index, linear, rows, table};
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::{Activation, Init, LayerNorm, Linear, VarStore};
use tch::{Kind, Tensor};

#[derive(Debug)]
struct Head {
    probe: Tensor,
    in_weight: Tensor,
    in_bias: Tensor,
    out: Linear,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: i64,
    activation: Activation,
}

/// Both towers.
#[derive(Debug)]
pub struct Siglip {
    /// All variables, under the names of `transformers`.
    pub vs: VarStore,
    /// How pictures enter.
    pub preprocess: Preprocess,
    words: Tensor,
    text_places: Tensor,
    text_tower: Tower,
    text_norm: LayerNorm,
    text_head: Linear,
    patches: Patches,
    places: Tensor,
    tower: Tower,
    norm: LayerNorm,
    head: Head,
    tokenizer: ModelTokenizer,
    context: usize,
    pad: i64,
}

const ACTIVATION: &str = "gelu_pytorch_tanh";

impl Siglip {
    /// Open a model's folder.
    ///
    /// # Errors
    /// Names the file and the field, tensor or token that is not as expected.
    pub fn open(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, TeacherError> {
        let config = folder.fields();
        let (text, vision) = (config.part("text_config"), config.part("vision_config"));
        let (t, v) = (TowerConfig::read(&text, 1e-6, ACTIVATION)?, TowerConfig::read(&vision, 1e-6, ACTIVATION)?);
        let vs = VarStore::over(folder.weights()?, options.precision, options.device);
        let (texts, eyes) = (vs.root() / "text_model", vs.root() / "vision_model");
        let (vocabulary, context) = (text.int("vocab_size", 32_000)?, text.int("max_position_embeddings", 64)?);
        let tokenizer = ModelTokenizer::open(folder.path())?;
        tokenizer.fits(vocabulary)?;
        let patches = Patches::new(&(&eyes / "embeddings" / "patch_embedding"), &vision, v.width, true)?;
        let head = &eyes / "head";
        let siglip = Self {
            preprocess: Preprocess::open(folder)?,
            words: table(&(&texts / "embeddings" / "token_embedding"), vocabulary, t.width),
            text_places: table(&(&texts / "embeddings" / "position_embedding"), context, t.width),
            text_tower: Tower::new(&(&texts / "encoder"), &t),
            text_norm: LayerNorm::with_eps(&(&texts / "final_layer_norm"), t.width, t.eps),
            text_head: linear(&(&texts / "head"), t.width, text.int("projection_size", t.width)?),
            places: table(&(&eyes / "embeddings" / "position_embedding"), patches.side * patches.side, v.width),
            patches,
            tower: Tower::new(&(&eyes / "encoder"), &v),
            norm: LayerNorm::with_eps(&(&eyes / "post_layernorm"), v.width, v.eps),
            head: Head {
                probe: head.param("probe", &[1, 1, v.width], Init::Normal(0.02)),
                in_weight: (&head / "attention").param("in_proj_weight", &[3 * v.width, v.width], Init::Xavier),
                in_bias: (&head / "attention").param("in_proj_bias", &[3 * v.width], Init::Constant(0.0)),
                out: linear(&(&head / "attention" / "out_proj"), v.width, v.width),
                norm: LayerNorm::with_eps(&(&head / "layernorm"), v.width, v.eps),
                fc1: linear(&(&head / "mlp" / "fc1"), v.width, v.hidden),
                fc2: linear(&(&head / "mlp" / "fc2"), v.hidden, v.width),
                heads: v.heads,
                activation: v.activation,
            },
            pad: text.int("pad_token_id", 1)?,
            tokenizer: tokenizer.truncated(context as usize)?,
            context: context as usize,
            vs,
        };
        let finish = |name: &str| is_index(name) || name == "logit_scale" || name == "logit_bias";
        siglip.vs.finish(finish)?;
        Ok(siglip)
    }

    /// # Shapes
    /// ids `[B, context]` (int64) → `[B, D]`.
    pub fn embed_ids(&self, ids: &Tensor) -> Tensor {
        let x = rows(&self.words, ids) + self.text_places.narrow(0, 0, ids.size()[1]);
        let states = self.text_tower.forward(x, false);
        let hidden = self.text_norm.forward(&states[states.len() - 1]);
        self.text_head.forward(&hidden.select(1, ids.size()[1] - 1))
    }

    /// # Shapes
    /// pixels `[B, 3, H, W]` → `[B, D]`.
    pub fn embed_pixels(&self, pixels: &Tensor) -> Tensor {
        let states = self.tower.forward(self.patches.forward(pixels) + &self.places, false);
        self.head.forward(&self.norm.forward(&states[states.len() - 1]))
    }

    /// Embeddings of texts, not normalised.
    ///
    /// # Errors
    /// When the tokenizer cannot read a text.
    ///
    /// # Shapes
    /// → `[texts, D]` (f32, on the CPU).
    pub fn embed_texts(&self, texts: &[String]) -> Result<Tensor, TeacherError> {
        let _guard = tch::no_grad_guard();
        let one = |text: &String| -> Result<Tensor, TeacherError> {
            let mut ids = self.tokenizer.encode(text, true)?;
            ids.resize(self.context, self.pad);
            Ok(self.embed_ids(&Tensor::from_slice(&ids).unsqueeze(0).to_device(self.vs.device())))
        };
        gathered(texts.iter().map(one))
    }

    /// Embeddings of pictures, not normalised.
    ///
    /// # Errors
    /// None that a whole picture can cause.
    ///
    /// # Shapes
    /// → `[pictures, D]` (f32, on the CPU).
    pub fn embed_images(&self, images: &[Image]) -> Result<Tensor, TeacherError> {
        let _guard = tch::no_grad_guard();
        let one = |image: &Image| {
            Ok(self.embed_pixels(&self.preprocess.pixels(image).unsqueeze(0).to_device(self.vs.device())))
        };
        gathered(images.iter().map(one))
    }
}

impl Head {
    fn forward(&self, hidden: &Tensor) -> Tensor {
        let (batch, _, width) = hidden.size3().expect("hidden states are [B, n, D]");
        let part = |i: i64, x: &Tensor| {
            let bias = self.in_bias.narrow(0, i * width, width);
            x.linear(&self.in_weight.narrow(0, i * width, width), Some(&bias))
        };
        let probe = self.probe.expand([batch, 1, width], false).to_kind(hidden.kind());
        let read = attention([&part(0, &probe), &part(1, hidden), &part(2, hidden)], self.heads, None, false, None);
        let read = self.out.forward(&read);
        let bent = self.activation.forward(&self.fc1.forward(&self.norm.forward(&read)));
        (read + self.fc2.forward(&bent)).select(1, 0).to_kind(Kind::Float)
    }
}
