//! Harvesting an encoder (CLIP, SigLIP, a sentence encoder): one vector a text, or one a picture.
//!
//! Texts are what a language model said ([`TextSource::Said`]), the same corrected by labels (VLM-E2E), or what the world says
//! of itself (ALN-P3's captions). The latter two know the truth, and the cache says so.

use super::published::rig;
use super::{Giver, planner};
use crate::cache::Row;
use crate::general::Encoder;
use crate::words::{Observed, OpenText, TruthText};
use crate::{CacheSpec, GuidanceCache, Precision, TeacherError};
use apprentice_core::hash::content_hash;
use apprentice_core::sample::SampleId;
use apprentice_core::{Image, Progress, Rig};
use apprentice_data::{CameraWork, View, WorldSet};
use std::sync::Arc;
use tch::no_grad;

/// Pictures or texts that go through the encoder together.
const BATCH: usize = 32;
const SHARD_SAMPLES: usize = 256;
/// Pixels from which on a thing counts as seen, as in the worlds' own language.
const VISIBLE_PIXELS: u32 = 12;

/// Where texts come from.
#[derive(Debug)]
pub enum TextSource {
    /// A harvest of answers, cleaned; with the route's command behind it if so wanted.
    Said(Box<GuidanceCache>, bool),
    /// The same, corrected by labels and with the true manoeuvre: for training alone.
    Corrected(Box<GuidanceCache>),
    /// The world's own answer to a type of question: for training alone.
    World(String),
}

impl TextSource {
    fn name(&self) -> String {
        match self {
            Self::Said(..) => "said".into(),
            Self::Corrected(_) => "corrected".into(),
            Self::World(kind) => format!("world.{kind}"),
        }
    }

    fn identity(&self) -> String {
        match self {
            Self::Said(cache, command) => format!("said {} command {command}", cache.hash()),
            Self::Corrected(cache) => format!("corrected {}", cache.hash()),
            Self::World(kind) => format!("world {kind}"),
        }
    }

    fn knows_truth(&self) -> bool {
        match self {
            Self::Said(cache, _) => cache.spec().knows_truth,
            Self::Corrected(_) | Self::World(_) => true,
        }
    }

    /// The text about a sample, where there is one.
    fn text(&self, set: &WorldSet, id: &SampleId) -> Result<Option<String>, TeacherError> {
        let said = |cache: &GuidanceCache| -> Result<Option<OpenText>, TeacherError> {
            Ok(cache.text(id)?.map(|words| OpenText::said(&OpenText::new(""), words).cleaned(&OpenText::new(""))))
        };
        let text = match self {
            Self::Said(cache, command) => said(cache)?
                .map(|text| -> Result<String, TeacherError> {
                    let text = if *command { text.with_command(&Observed::of(&*set.sample(id)?)) } else { text };
                    Ok(text.as_str().to_string())
                })
                .transpose()?,
            Self::Corrected(cache) => {
                let sample = set.sample(id)?;
                said(cache)?.map(|text| TruthText::corrected(&text, &sample, VISIBLE_PIXELS).as_str().to_string())
            }
            Self::World(kind) => {
                let sample = set.sample(id)?;
                let found = sample.language.iter().find(|qa| qa.kind == *kind);
                found.map(|qa| TruthText::answer(qa).as_str().to_string())
            }
        };
        Ok(text.filter(|text| !text.is_empty()))
    }
}

/// An encoder and what it embeds.
pub struct Embedding<'a> {
    encoder: &'a Encoder,
    teacher: String,
    set: &'a Arc<WorldSet>,
    texts: Vec<TextSource>,
    rig: Rig,
    view: View,
    store: Precision,
    width: usize,
}

impl<'a> Embedding<'a> {
    /// Prepare a harvest of texts, and of the pictures of some cameras.
    ///
    /// # Errors
    /// [`TeacherError::Config`] for a camera that does not exist, or when nothing is to be embedded.
    #[allow(clippy::too_many_arguments)] // each is one line of the harvest's description
    pub fn new(
        encoder: &'a Encoder,
        teacher: &str,
        set: &'a Arc<WorldSet>,
        texts: Vec<TextSource>,
        cameras: &[String],
        size: [usize; 2],
        view: View,
        store: Precision,
    ) -> Result<Self, TeacherError> {
        let rig = rig(cameras, size)?;
        if texts.is_empty() && rig.cameras.is_empty() {
            let reason = "texts: nothing is embedded; name texts or cameras".into();
            return Err(TeacherError::Config { reason });
        }
        let width = if rig.cameras.is_empty() {
            no_grad(|| encoder.texts(&["a".to_string()]))?
        } else {
            no_grad(|| encoder.images(&[Image::black(size[0], size[1])]))?
        };
        let width = width.size()[1] as usize;
        Ok(Self { encoder, teacher: teacher.into(), set, texts, rig, view, store, width })
    }

    fn spec(&self, tap: &str, source: &str, knows_truth: bool, shape: Vec<usize>) -> CacheSpec {
        let rig = serde_json::to_string(&self.rig).unwrap_or_default();
        CacheSpec {
            teacher: self.teacher.clone(),
            tap: tap.into(),
            prompt: if source.is_empty() { String::new() } else { content_hash(source.as_bytes())[..16].into() },
            preprocessing: content_hash(rig.as_bytes())[..16].into(),
            augmentation: self.view.name(),
            data: self.set.hash().into(),
            knows_truth,
            precision: self.store,
            shape,
            shard_samples: SHARD_SAMPLES,
        }
    }

    fn embed_texts(&self, source: &TextSource, ids: &[SampleId]) -> Result<Vec<Option<Row>>, TeacherError> {
        let mut rows = vec![None; ids.len()];
        let mut texts = vec![];
        for (at, id) in ids.iter().enumerate() {
            texts.extend(source.text(self.set, id)?.map(|text| (at, text)));
        }
        for some in texts.chunks(BATCH) {
            let words: Vec<String> = some.iter().map(|(_, text)| text.clone()).collect();
            let values = planner::rows(&self.encoder.texts(&words)?);
            for ((at, text), values) in some.iter().zip(values) {
                rows[*at] = Some(Row { values, age_s: 0.0, text: Some(text.clone()) });
            }
        }
        Ok(rows)
    }

    fn embed_images(&self, ids: &[SampleId]) -> Result<Vec<Option<Row>>, TeacherError> {
        let mut cameras = CameraWork::new(self.set.clone(), self.rig.clone());
        let mut rows = vec![];
        for some in ids.chunks((BATCH / self.rig.cameras.len()).max(1)) {
            let mut images = vec![];
            for id in some {
                images.extend(cameras.frame(id, self.view)?.images);
            }
            let values = planner::rows(&self.encoder.images(&images)?);
            rows.extend(values.chunks(self.rig.cameras.len()).map(|of_sample| Some(of_sample.concat().into())));
        }
        Ok(rows)
    }
}

impl Giver for Embedding<'_> {
    fn taps(&self) -> Result<Vec<(String, CacheSpec)>, TeacherError> {
        let text = |source: &TextSource| {
            let spec = self.spec("text-embedding", &source.identity(), source.knows_truth(), vec![self.width]);
            (format!("text-embedding.{}", source.name()), spec)
        };
        let mut taps: Vec<_> = self.texts.iter().map(text).collect();
        if !self.rig.cameras.is_empty() {
            let shape = vec![self.rig.cameras.len(), self.width];
            taps.push(("image-embedding".into(), self.spec("image-embedding", "", false, shape)));
        }
        Ok(taps)
    }

    fn give(&self, ids: &[SampleId], progress: &dyn Progress) -> Result<Vec<Vec<Option<Row>>>, TeacherError> {
        let _guard = tch::no_grad_guard();
        let mut out = self.texts.iter().map(|source| self.embed_texts(source, ids)).collect::<Result<Vec<_>, _>>()?;
        if !self.rig.cameras.is_empty() {
            out.push(self.embed_images(ids)?);
        }
        progress.advance(ids.len() as u64);
        Ok(out)
    }
}
