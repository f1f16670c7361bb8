//! Models that embed: texts and pictures as vectors, whichever family.

use super::bert::Bert;
use super::clip::Clip;
use super::folder::{Family, ModelFolder};
use super::language::LoadOptions;
use super::siglip::Siglip;
use crate::TeacherError;
use apprentice_core::Image;
use std::path::Path;
use tch::Tensor;

/// A model that embeds.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Encoder {
    Bert(Box<Bert>),
    Clip(Box<Clip>),
    Siglip(Box<Siglip>),
}

impl Encoder {
    /// Open a model's folder.
    ///
    /// # Errors
    /// Names the file and the field, tensor or token that is not as expected.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self, TeacherError> {
        let folder = ModelFolder::open(path)?;
        Ok(match folder.family() {
            Family::Bert => Self::Bert(Box::new(Bert::open(&folder, options)?)),
            Family::Clip => Self::Clip(Box::new(Clip::open(&folder, options)?)),
            Family::Siglip => Self::Siglip(Box::new(Siglip::open(&folder, options)?)),
            _ => {
                let expected = "a model that embeds (this one answers: `teacher run`)";
                return Err(folder.fields().wrong("architectures", expected));
            }
        })
    }

    /// Embeddings of texts, not normalised: a mean over tokens (BERT) or the projected summary (CLIP, SigLIP).
    ///
    /// # Errors
    /// When the tokenizer cannot read a text.
    ///
    /// # Shapes
    /// → `[texts, width]` (f32, on the CPU).
    pub fn texts(&self, texts: &[String]) -> Result<Tensor, TeacherError> {
        match self {
            Self::Bert(bert) => bert.embed(texts),
            Self::Clip(clip) => clip.embed_texts(texts),
            Self::Siglip(siglip) => siglip.embed_texts(texts),
        }
    }

    /// Embeddings of pictures, not normalised.
    ///
    /// # Errors
    /// When the model has no eyes.
    ///
    /// # Shapes
    /// → `[pictures, width]` (f32, on the CPU).
    pub fn images(&self, images: &[Image]) -> Result<Tensor, TeacherError> {
        match self {
            Self::Bert(_) => Err(TeacherError::NoEyes { family: Family::Bert.architecture() }),
            Self::Clip(clip) => clip.embed_images(images),
            Self::Siglip(siglip) => siglip.embed_images(images),
        }
    }
}
