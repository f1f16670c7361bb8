//! Harvesting a published language or vision-language model: it reads a question about a moment with the cameras' pictures, and
//! gives hidden states of any layers and places, and what it says.
//!
//! NetRoller takes every layer of the place that predicts the first word and stops there (`layers all`, `places said`,
//! `stop_after 1`); DiMA and Orion-Lite take the last but one layer of the last place (a planning latent); VLM-E2E takes the
//! answer. Sequences of like length are read together; a shorter one's padding is never seen.

use super::Giver;
use crate::cache::Row;
use crate::general::decoder::speak;
use crate::general::{Abreast, Ask, Choice, Language, LanguageModel, Part, Seen, Woven};
use crate::questions::Asking;
use crate::words::{Observed, OpenText};
use crate::{CacheSpec, Precision, TeacherError};
use apprentice_core::hash::content_hash;
use apprentice_core::sample::SampleId;
use apprentice_core::{Image, Progress, Rig};
use apprentice_data::{CameraWork, View, WorldSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tch::{Device, Kind, Tensor, no_grad};

/// Moments whose sequences are sorted by length together.
const MOMENTS: usize = 32;
/// Sequences that are read together at most, and the places they may have together.
const ROWS: usize = 16;
const PLACES: usize = 4096;
/// A shard holds no more than this much in f32, and no more samples than that: it is what a kill may cost.
const SHARD_BYTES: usize = 256 << 20;
const SHARD_SAMPLES: usize = 64;

/// Hidden layers, from 0 (the embeddings) to the number of blocks (after the final norm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Every one.
    All,
    /// These; negative ones are counted from behind, -1 is the last.
    These(Vec<i64>),
}

impl Layers {
    fn of(&self, blocks: usize) -> Result<Vec<usize>, TeacherError> {
        let count = blocks as i64 + 1;
        let place = |&layer: &i64| {
            let at = if layer < 0 { count + layer } else { layer };
            usize::try_from(at).ok().filter(|&at| at <= blocks).ok_or_else(|| TeacherError::Config {
                reason: format!("layers: {layer} is none of 0 to {blocks} (or -1 to -{count})"),
            })
        };
        match self {
            Self::All => Ok((0..=blocks).collect()),
            Self::These(list) => list.iter().map(place).collect(),
        }
    }
}

/// Places of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// The last of the prompt: it predicts the first word.
    Last,
    /// Every one of the prompt.
    Prompt,
    /// Those of the pictures.
    Pictures,
    /// Those that predict the words said: the last of the prompt, then every word said but the last.
    Said,
}

/// What is taken, and how the model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedConfig {
    /// Hidden layers; none for answers alone.
    pub layers: Option<Layers>,
    /// Where they are taken.
    pub places: Places,
    /// Keep their mean over the places alone.
    pub pool: bool,
    /// Words said at most: generation stops early.
    pub stop_after: usize,
    /// Keep what is said.
    pub answers: bool,
    /// How hidden states are stored.
    pub store: Precision,
    /// Cameras that are shown, by name; none for a model that reads text alone.
    pub cameras: Vec<String>,
    /// Their width and height, pixels.
    pub size: [usize; 2],
    /// How a question is put, with `{images}` and `{question}`; by default the model's chat template, or the family's own way.
    pub frame: Option<String>,
    /// Which view of the world.
    pub view: View,
    /// Only every n-th sample of a world is looked at; those between have its guidance, with an age (NetRoller's key frames).
    pub every: u32,
}

impl Default for PublishedConfig {
    fn default() -> Self {
        Self {
            layers: Some(Layers::These(vec![-2])),
            places: Places::Last,
            pool: false,
            stop_after: 1,
            answers: false,
            store: Precision::F16,
            cameras: vec![],
            size: [448, 252],
            frame: None,
            view: View::Plain,
            every: 1,
        }
    }
}

/// The cameras of these names out of Bench2Drive's rig.
///
/// # Errors
/// [`TeacherError::Config`] lists the cameras there are.
pub fn rig(names: &[String], [width, height]: [usize; 2]) -> Result<Rig, TeacherError> {
    let mut rig = Rig::bench2drive(width, height);
    let plain = |name: &str| name.to_lowercase().replace('_', "-").trim_start_matches("cam-").to_string();
    let known: Vec<String> = rig.cameras.iter().map(|c| plain(&c.name)).collect();
    let all = names.iter().any(|name| name == "all");
    if let Some(name) = names.iter().find(|name| *name != "all" && !known.contains(&plain(name))) {
        let reason = format!("cameras: there is no `{name}`, only {} and all", known.join(", "));
        return Err(TeacherError::Config { reason });
    }
    rig.cameras.retain(|c| all || names.iter().any(|name| plain(name) == plain(&c.name)));
    Ok(rig)
}

/// A model, what it is asked, and about what.
pub struct Published<'a> {
    model: &'a LanguageModel,
    teacher: String,
    set: &'a Arc<WorldSet>,
    asking: Asking,
    config: PublishedConfig,
    rig: Rig,
    layers: Vec<usize>,
    chat: bool,
    frame: OpenText,
    images: String,
    /// Places of the longest prompt, and of the pictures.
    longest: usize,
    pictures: usize,
}

impl<'a> Published<'a> {
    /// Prepare a harvest of `ids`: every prompt is counted, so that one that is too long is told before work begins. `teacher`
    /// identifies the model with its adapter and the precision it computes in.
    ///
    /// # Errors
    /// [`TeacherError::Config`] names the field that cannot be had from this model.
    pub fn new(
        model: &'a LanguageModel,
        teacher: &str,
        set: &'a Arc<WorldSet>,
        ids: &[SampleId],
        asking: Asking,
        config: PublishedConfig,
    ) -> Result<Self, TeacherError> {
        let wrong = |reason: String| Err(TeacherError::Config { reason });
        if config.layers.is_none() && !config.answers {
            return wrong("layers: nothing is taken; name layers, or ask for answers".into());
        }
        if config.stop_after == 0 && (config.answers || config.places == Places::Said) {
            return wrong("stop_after: at least one word must be said".into());
        }
        if config.every == 0 {
            return wrong("every: must be positive".into());
        }
        let rig = rig(&config.cameras, config.size)?;
        if config.places == Places::Pictures && rig.cameras.is_empty() {
            return wrong("places: no pictures are shown; name cameras".into());
        }
        let apart = matches!(model.language, Language::T5 { .. });
        if apart && config.places == Places::Said && config.layers.is_some() {
            return wrong("places: `said` is for models that read and speak in one sequence; take the prompt's".into());
        }
        let layers = match &config.layers {
            Some(layers) => layers.of(model.language.layers())?,
            None => vec![],
        };
        let image = model.image_text()?;
        let chat = config.frame.is_none() && model.chat.is_some();
        let frame = match &config.frame {
            Some(frame) if !frame.contains("{question}") => {
                return wrong(format!("frame: `{frame}` has no {{question}}"));
            }
            Some(frame) => OpenText::typed(frame),
            None if chat => OpenText::new("{question}"),
            None => model.family().frame(),
        };
        let images = image.unwrap_or_default().repeat(rig.cameras.len());
        let mut harvest = Self {
            model,
            teacher: teacher.into(),
            set,
            asking,
            config,
            layers,
            chat,
            frame,
            images,
            longest: 0,
            pictures: 0,
            rig,
        };
        let black: Vec<_> = harvest.rig.cameras.iter().map(|c| Image::black(c.width, c.height)).collect();
        let seen = no_grad(|| model.look(&black))?;
        harvest.pictures = seen.iter().map(|s| s.vectors.size()[0] as usize).sum();
        let mut texts = BTreeSet::new();
        for id in ids {
            let observed = Observed::of(&*set.sample(&harvest.key_frame(id))?);
            let ask = |index| harvest.asking.ask(index, &harvest.key_frame(id), &observed);
            texts.extend((0..harvest.asking.names().len()).map(ask));
        }
        for text in &texts {
            let length = length(&harvest.parts(text, &seen)?);
            harvest.longest = harvest.longest.max(length);
        }
        let room = usize::try_from(model.context()).unwrap_or(0);
        if harvest.longest > room {
            let reason = format!(
                "questions: the longest prompt has {} places with {} of pictures, this model reads at most {room} \
                 (max_position_embeddings)",
                harvest.longest, harvest.pictures
            );
            return wrong(reason);
        }
        Ok(harvest)
    }

    /// The moment that a sample's guidance is about.
    fn key_frame(&self, id: &SampleId) -> SampleId {
        SampleId { world: id.world.clone(), index: id.index / self.config.every * self.config.every }
    }

    fn parts(&self, question: &OpenText, seen: &[Seen]) -> Result<Vec<Part>, TeacherError> {
        let text = question.framed(&self.frame, &self.images).as_str().to_string();
        let ask = Ask { text, chat: self.chat, max_tokens: 0, choice: Choice::default() };
        self.model.parts_of(&ask, seen)
    }

    fn positions(&self) -> usize {
        match self.config.places {
            _ if self.config.pool => 1,
            Places::Last => 1,
            Places::Prompt => self.longest,
            Places::Pictures => self.pictures,
            Places::Said => self.config.stop_after,
        }
    }

    fn speaks(&self) -> bool {
        self.config.answers || (self.config.places == Places::Said && self.config.stop_after > 1)
    }

    fn spec(&self, tap: String, question: usize, precision: Precision, shape: Vec<usize>) -> CacheSpec {
        let config = &self.config;
        let largest = self.positions() * self.layers.len() * self.model.language.width() as usize;
        let asked = format!(
            "{}\nframe {:?} chat {}\ncameras {:?}\nevery {}",
            self.asking.identity(question),
            self.frame.as_str(),
            self.chat,
            config.cameras,
            config.every
        );
        let rig = serde_json::to_string(&self.rig).unwrap_or_default();
        CacheSpec {
            teacher: self.teacher.clone(),
            tap,
            prompt: content_hash(asked.as_bytes())[..16].into(),
            preprocessing: content_hash(rig.as_bytes())[..16].into(),
            augmentation: config.view.name(),
            data: self.set.hash().into(),
            knows_truth: false,
            precision,
            shape,
            shard_samples: (SHARD_BYTES / 4 / largest.max(1)).clamp(1, SHARD_SAMPLES),
        }
    }

    /// What is taken of each of some moments, tap by tap in the order of [`Giver::taps`].
    fn think(&self, moments: &[SampleId]) -> Result<Vec<Vec<Option<Row>>>, TeacherError> {
        let questions = self.asking.names().len();
        let mut cameras = CameraWork::new(self.set.clone(), self.rig.clone());
        let mut sequences = vec![];
        for (moment, id) in moments.iter().enumerate() {
            let (observed, images) = if self.rig.cameras.is_empty() {
                (Observed::of(&*self.set.sample(id)?), vec![])
            } else {
                let frame = cameras.frame(id, self.config.view)?;
                (Observed::of(&frame.sample), frame.images)
            };
            let seen = self.model.look(&images)?;
            for question in 0..questions {
                let parts = self.parts(&self.asking.ask(question, id, &observed), &seen)?;
                sequences.push((length(&parts), moment, question, self.model.weave(&parts)?));
            }
        }
        sequences.sort_by_key(|(length, moment, question, _)| (*length, *moment, *question));
        let each = usize::from(!self.layers.is_empty()) + usize::from(self.config.answers);
        let mut rows: Vec<Vec<Option<Row>>> = vec![vec![None; moments.len()]; questions * each];
        let mut rest = &sequences[..];
        while let Some((shortest, ..)) = rest.first() {
            // As many as fit, and none that would be mostly padding.
            let fits = |(n, (length, ..)): &(usize, &(usize, usize, usize, Woven))| {
                *n < ROWS && (n + 1) * length <= PLACES.max(*length) && *length <= shortest + shortest / 4 + 8
            };
            let count = rest.iter().enumerate().take_while(fits).count();
            let (now, later) = rest.split_at(count);
            rest = later;
            let woven: Vec<&Woven> = now.iter().map(|(.., woven)| woven).collect();
            let taken = self.read(&woven)?;
            for ((_, moment, question, _), taken) in now.iter().zip(taken) {
                for (tap, row) in taken.into_iter().enumerate() {
                    rows[question * each + tap][*moment] = row;
                }
            }
        }
        Ok(rows)
    }

    /// The rows of each sequence, those of hidden states before those of answers.
    fn read(&self, woven: &[&Woven]) -> Result<Vec<Vec<Option<Row>>>, TeacherError> {
        let (model, config) = (self.model, &self.config);
        if matches!(model.language, Language::T5 { .. }) {
            return woven.iter().map(|woven| self.read_apart(woven)).collect();
        }
        let abreast = Abreast::new(woven);
        let (prompt, heard) = if self.speaks() {
            let room = |w: &&Woven| config.stop_after.min(usize::try_from(model.context() - w.next).unwrap_or(0));
            let limits: Vec<usize> = woven.iter().map(room).collect();
            let mut heard = abreast.speak(&model.language, &self.layers, &limits, model.ends());
            (std::mem::take(&mut heard.prompt), Some(heard))
        } else {
            (abreast.hidden(&model.language, &self.layers), None)
        };
        let mut out = vec![];
        for (row, sequence) in woven.iter().enumerate() {
            let mut taken = vec![];
            if !self.layers.is_empty() {
                taken.push(self.states(row, sequence, &prompt, heard.as_ref().map(|h| &h.states[row][..])));
            }
            if let Some(heard) = heard.as_ref().filter(|_| config.answers) {
                taken.push(self.answer(&heard.said[row])?);
            }
            out.push(taken);
        }
        Ok(out)
    }

    /// The same for a model whose encoder reads and whose decoder speaks: one sequence by itself, for an encoder sees padding;
    /// hidden states are the encoder's.
    fn read_apart(&self, woven: &Woven) -> Result<Vec<Option<Row>>, TeacherError> {
        let (model, config) = (self.model, &self.config);
        let mut taken = vec![];
        if !self.layers.is_empty() {
            let prompt = Abreast::new(&[woven]).hidden(&model.language, &self.layers);
            taken.push(self.states(0, woven, &prompt, None));
        }
        if config.answers {
            let mut said = vec![];
            speak(&model.language, woven, |logits, count| -> Result<Option<i64>, TeacherError> {
                let token = logits.argmax(-1, false).int64_value(&[]);
                said.push(token);
                Ok((count + 1 < config.stop_after && !model.ends().contains(&token)).then_some(token))
            })?;
            taken.push(self.answer(&said)?);
        }
        Ok(taken)
    }

    /// What was said, as a row.
    fn answer(&self, said: &[i64]) -> Result<Option<Row>, TeacherError> {
        let text = self.model.tokenizer.decode(said)?.trim().to_string();
        let values = said.iter().map(|&id| id as f32).collect();
        Ok((!said.is_empty()).then_some(Row { values, age_s: 0.0, text: Some(text) }))
    }

    /// Hidden states of one sequence, `[positions, layers, D]`.
    fn states(&self, row: usize, woven: &Woven, prompt: &[Tensor], said: Option<&[Tensor]>) -> Option<Row> {
        let (row, length) = (row as i64, woven.ids.len() as i64);
        // [K, places, D]
        let of = |start: i64, count: i64| {
            let layers: Vec<_> = prompt.iter().map(|h| h.get(row).narrow(0, start, count)).collect();
            Tensor::stack(&layers, 0).to_device(Device::Cpu).to_kind(Kind::Float)
        };
        let states = match (self.config.places, said) {
            (Places::Last, _) | (Places::Said, None) => of(length - 1, 1),
            (Places::Prompt, _) => of(0, length),
            (Places::Pictures, _) => {
                let spans: Vec<_> =
                    woven.spans.iter().map(|(_, span)| of(span.start as i64, span.len() as i64)).collect();
                Tensor::cat(&spans, 1)
            }
            (Places::Said, Some([])) => return None,
            (Places::Said, Some(said)) => Tensor::stack(said, 1),
        };
        let states = if self.config.pool { states.mean_dim(1, true, Kind::Float) } else { states };
        let flat = states.transpose(0, 1).contiguous().flatten(0, -1);
        Some(Vec::<f32>::try_from(&flat).expect("hidden states are f32").into())
    }
}

fn length(parts: &[Part]) -> usize {
    let of = |part: &Part| match part {
        Part::Tokens(ids) => ids.len(),
        Part::Vectors { vectors, .. } => vectors.size()[0] as usize,
    };
    parts.iter().map(of).sum()
}

impl Giver for Published<'_> {
    fn taps(&self) -> Result<Vec<(String, CacheSpec)>, TeacherError> {
        let config = &self.config;
        let mut taps = vec![];
        for (index, question) in self.asking.names().iter().enumerate() {
            if !self.layers.is_empty() {
                let places = format!("{:?}", config.places).to_lowercase();
                let tap = format!("hidden, layers {:?}, places {places}, pooled {}", self.layers, config.pool);
                let shape = vec![self.positions(), self.layers.len(), self.model.language.width() as usize];
                taps.push((format!("hidden.{question}"), self.spec(tap, index, config.store, shape)));
            }
            if config.answers {
                let tap = format!("answer, {} tokens at most", config.stop_after);
                let spec = self.spec(tap, index, Precision::F32, vec![config.stop_after, 1]);
                taps.push((format!("answer.{question}"), spec));
            }
        }
        Ok(taps)
    }

    fn give(&self, ids: &[SampleId], progress: &dyn Progress) -> Result<Vec<Vec<Option<Row>>>, TeacherError> {
        let _guard = tch::no_grad_guard();
        let moments: Vec<SampleId> =
            ids.iter().map(|id| self.key_frame(id)).collect::<BTreeSet<_>>().into_iter().collect();
        let place: BTreeMap<&SampleId, usize> = moments.iter().enumerate().map(|(i, id)| (id, i)).collect();
        let mut seen: Vec<Vec<Option<Row>>> = vec![vec![]; self.taps()?.len()];
        for some in moments.chunks(MOMENTS) {
            for (seen, rows) in seen.iter_mut().zip(self.think(some)?) {
                seen.extend(rows);
            }
            let about = |id: &&SampleId| some.contains(&self.key_frame(id));
            progress.advance(ids.iter().filter(about).count() as u64);
        }
        let mut ages = vec![];
        for id in ids {
            let key_frame = self.key_frame(id);
            let age =
                if key_frame == *id { 0.0 } else { self.set.sample(id)?.time_s - self.set.sample(&key_frame)?.time_s };
            ages.push((place[&key_frame], age as f32));
        }
        let aged = |rows: &Vec<Option<Row>>| {
            ages.iter().map(|&(place, age_s)| rows[place].clone().map(|row| Row { age_s, ..row })).collect()
        };
        Ok(seen.iter().map(aged).collect())
    }
}
