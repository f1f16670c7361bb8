//! A published model that answers: open a folder, ask, get words, hidden states and logits.

use super::blip2::{Blip2Eyes, opt_config, t5_config};
use super::chat::{ChatTemplate, Message};
use super::decoder::{Language, Part, Woven, llama_config, speak};
use super::folder::{Family, Fields, ModelFolder};
use super::generate::Choice;
use super::llava::LlavaEyes;
use super::qwen_vl::QwenEyes;
use super::tokens::{ModelTokenizer, TextStream};
use super::tower::is_index;
use crate::TeacherError;
use apprentice_core::Image;
use apprentice_nn::llama::Llama;
use apprentice_nn::opt::Opt;
use apprentice_nn::t5::T5;
use apprentice_nn::{Lora, Precision, VarStore};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// How a model is held.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Kind of its numbers.
    pub precision: Precision,
    /// Where it computes.
    pub device: Device,
}

impl Default for LoadOptions {
    /// In f32 on the CPU: what is stored in f32 is not even copied.
    fn default() -> Self {
        Self { precision: Precision::Cast(Kind::Float), device: Device::Cpu }
    }
}

/// What is asked of a model.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The prompt: as it is, or as the user's turn of a conversation.
    pub text: String,
    /// Put it through the model's chat template.
    pub chat: bool,
    /// Tokens to say at most.
    pub max_tokens: usize,
    /// How they are chosen.
    pub choice: Choice,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The model said its end token.
    End,
    /// The most tokens asked for.
    Length,
    /// The model's context is full.
    Context,
}

/// What a model answered.
#[derive(Debug)]
pub struct Answer {
    /// What it read.
    pub prompt: Woven,
    /// What it said, its end token included.
    pub said: Vec<i64>,
    /// The same as text, without special tokens.
    pub text: String,
    /// Why it ended.
    pub ending: Ending,
}

/// A sequence with what the model makes of every place. Where an encoder reads and a decoder speaks, it is the decoder's.
#[derive(Debug)]
pub struct Study {
    /// `[L]`.
    pub tokens: Tensor,
    /// `[L, V]`.
    pub logits: Tensor,
    /// Embeddings, then each block's, the last after the final norm; `[L, D]` each.
    pub hidden: Vec<Tensor>,
    /// What an encoder apart read `[S]`, and its hidden states in the same order, `[S, D]` each.
    pub encoder: Option<(Tensor, Vec<Tensor>)>,
}

impl Study {
    /// Under the names of a dump: `tokens`, `logits`, `hidden.0`, …; `encoder.tokens`, `encoder.hidden.0`, … where there is one.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let mut all = vec![
            ("tokens".to_string(), self.tokens.shallow_clone()),
            ("logits".to_string(), self.logits.to_kind(Kind::Float)),
        ];
        let mut layers = |prefix: &str, hidden: &[Tensor]| {
            let named = hidden.iter().enumerate().map(|(i, h)| (format!("{prefix}hidden.{i}"), h.to_kind(Kind::Float)));
            all.extend(named);
        };
        layers("", &self.hidden);
        if let Some((tokens, hidden)) = &self.encoder {
            layers("encoder.", hidden);
            all.push(("encoder.tokens".into(), tokens.shallow_clone()));
        }
        all
    }
}

/// The field that says how many places a model was trained to read, and its value where it is absent.
const CONTEXT: (&str, i64) = ("max_position_embeddings", 2048);
/// T5's positions are relative, so this is only what it was trained on.
const T5_CONTEXT: (&str, i64) = ("n_positions", 512);

/// A picture as a model's language side reads it.
#[derive(Debug)]
pub struct Seen {
    /// `[n, D]`.
    pub vectors: Tensor,
    /// Rows and columns, for a model with rotary axes (Qwen2.5-VL).
    pub grid: Option<[i64; 2]>,
}

/// How a model looks at pictures.
#[derive(Debug)]
enum Eyes {
    None,
    Llava(Box<LlavaEyes>),
    Qwen(Box<QwenEyes>),
    Blip2(Box<Blip2Eyes>),
}

/// A published language model with its tokenizer and, where it has some, its eyes.
#[derive(Debug)]
pub struct LanguageModel {
    /// All variables, under the names of `transformers`.
    pub vs: VarStore,
    /// The language side.
    pub language: Language,
    /// Its tokenizer.
    pub tokenizer: ModelTokenizer,
    /// Its chat template, when it ships one.
    pub chat: Option<ChatTemplate>,
    eyes: Eyes,
    /// The token that stands for a picture in a prompt.
    image_token: Option<i64>,
    family: Family,
    context: i64,
    context_field: &'static str,
    ends: Vec<i64>,
    config: Fields,
}

impl LanguageModel {
    /// Open a model's folder.
    ///
    /// # Errors
    /// Names the file and the field, tensor or token that is not as expected.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self, TeacherError> {
        let folder = ModelFolder::open(path)?;
        let (family, config) = (folder.family(), folder.fields());
        let nested =
            |absent: &Fields| if config.has("text_config") { config.part("text_config") } else { absent.clone() };
        let text = match family {
            Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::T5 => config.clone(),
            Family::Llava | Family::QwenVl | Family::Blip2 => nested(&config),
            _ => return Err(config.wrong("architectures", "a model that answers (this one embeds: `teacher embed`)")),
        };
        let inner = match family {
            // Which language model LLaVA is built around.
            Family::Llava => Family::of_type(&text.text("model_type", Some("llama"))?)
                .filter(|inner| matches!(inner, Family::Llama | Family::Qwen2 | Family::Qwen3))
                .ok_or_else(|| text.wrong("model_type", "llama, qwen2 or qwen3"))?,
            _ => family,
        };
        let tokenizer = ModelTokenizer::open(path)?;
        let weights = folder.weights()?;
        let weights = match family {
            Family::Llava => weights.renamed(|name| Some(LlavaEyes::rename(name))),
            Family::QwenVl => weights.renamed(|name| Some(QwenEyes::rename(name))),
            _ => weights,
        };
        let vs = VarStore::over(weights, options.precision, options.device);
        let root = vs.root();
        let model = &root / "model";
        let inner_type = text.text("model_type", Some("opt"))?;
        let language = if family == Family::T5 || (family == Family::Blip2 && inner_type == "t5") {
            let (shape, start) = t5_config(&text)?;
            tokenizer.fits(shape.vocab_size)?;
            let place = if family == Family::T5 { root.clone() } else { &root / "language_model" };
            Language::T5 { network: Box::new(T5::new(&place, &shape)), start }
        } else if family == Family::Blip2 {
            if inner_type != "opt" {
                return Err(text.wrong("model_type", "opt or t5"));
            }
            let mut shape = opt_config(&text)?;
            shape.tie_word_embeddings = text.flag("tie_word_embeddings", true)?;
            tokenizer.fits(shape.vocab_size)?;
            Language::Opt(Opt::new(&(&root / "language_model"), &shape))
        } else {
            let mut shape = llama_config(&text, inner)?;
            shape.tie_word_embeddings = config.flag("tie_word_embeddings", shape.tie_word_embeddings)?;
            tokenizer.fits(shape.vocab_size)?;
            let trunk =
                if family == inner && family != Family::QwenVl { model.clone() } else { &model / "language_model" };
            Language::Llama(Llama::at(&trunk, &(&root / "lm_head"), &shape))
        };
        let width = language.width();
        let eyes = match family {
            Family::Llava => Eyes::Llava(Box::new(LlavaEyes::new(&model, &folder, &config, width)?)),
            Family::QwenVl => {
                let vision = config.part("vision_config");
                Eyes::Qwen(Box::new(QwenEyes::new(&(&model / "visual"), &folder, &vision, width)?))
            }
            Family::Blip2 => Eyes::Blip2(Box::new(Blip2Eyes::new(&root, &folder, &config, width)?)),
            _ => Eyes::None,
        };
        let image_token = if !matches!(eyes, Eyes::None) {
            let key = if config.has("image_token_id") { "image_token_id" } else { "image_token_index" };
            Some(config.int(key, None)?)
        } else {
            None
        };
        vs.finish(|name| is_index(name) || language.repeats(name))?;
        let context = if matches!(language, Language::T5 { .. }) { T5_CONTEXT } else { CONTEXT };
        Ok(Self {
            vs,
            language,
            tokenizer,
            chat: ChatTemplate::open(&folder)?,
            eyes,
            image_token,
            family,
            context: text.int(context.0, context.1)?,
            context_field: context.0,
            ends: ends(&folder, &text)?,
            config,
        })
    }

    /// Put a saved LoRA adapter (PEFT's folder) on it and merge it into the weights.
    ///
    /// # Errors
    /// When it does not fit this model.
    pub fn adapt(&self, folder: &Path) -> Result<Lora, TeacherError> {
        let lora = Lora::load(&self.vs, folder)?;
        lora.merge()?;
        Ok(lora)
    }

    /// What it is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Places it was trained to read at most.
    pub fn context(&self) -> i64 {
        self.context
    }

    /// Tokens that end an answer.
    pub fn ends(&self) -> &[i64] {
        &self.ends
    }

    /// The parts of a prompt.
    ///
    /// # Errors
    /// When a chat is asked for and the model has no template, or the tokenizer refuses.
    pub fn parts(&self, ask: &Ask, images: &[Image]) -> Result<Vec<Part>, TeacherError> {
        self.parts_of(ask, &self.look(images)?)
    }

    /// Pictures as the language side reads them, to ask several questions about.
    ///
    /// # Errors
    /// [`TeacherError::NoEyes`] when the model reads no pictures.
    pub fn look(&self, images: &[Image]) -> Result<Vec<Seen>, TeacherError> {
        if !images.is_empty() && self.image_token.is_none() {
            return Err(TeacherError::NoEyes { family: self.family.architecture() });
        }
        let see = |image| {
            let (vectors, grid) = self.see(image);
            Seen { vectors, grid }
        };
        Ok(images.iter().map(see).collect())
    }

    /// The text that stands for a picture in a prompt, or `None` for a model that reads none.
    ///
    /// # Errors
    /// When the tokenizer does not know the model's image token.
    pub fn image_text(&self) -> Result<Option<String>, TeacherError> {
        let Some(token) = self.image_token else { return Ok(None) };
        let text = self.tokenizer.token(token)?;
        // Qwen's pictures stand between two marks.
        let marks = ["vision_start_token_id", "vision_end_token_id"].map(|key| self.config.int(key, None));
        Ok(Some(match marks {
            [Ok(start), Ok(end)] => format!("{}{text}{}", self.tokenizer.token(start)?, self.tokenizer.token(end)?),
            _ => text,
        }))
    }

    /// As [`LanguageModel::parts`], with pictures that were looked at already.
    ///
    /// # Errors
    /// As [`LanguageModel::parts`].
    pub fn parts_of(&self, ask: &Ask, images: &[Seen]) -> Result<Vec<Part>, TeacherError> {
        let ids = if ask.chat {
            let Some(chat) = &self.chat else {
                let path = self.config.file().with_file_name("chat_template.jinja");
                return Err(TeacherError::Chat { path, reason: "this model ships no chat template".into() });
            };
            let text = chat.apply(&[Message::user(&ask.text, images.len(), chat.wants_parts())], true)?;
            self.tokenizer.encode(&text, false)?
        } else {
            self.tokenizer.encode(&ask.text, true)?
        };
        let Some(token) = self.image_token else { return Ok(vec![Part::Tokens(ids)]) };
        // BLIP-2 reads its picture before the prompt.
        let bare = self.family == Family::Blip2 && !ids.contains(&token);
        let ids = if bare { [vec![token; images.len()], ids].concat() } else { ids };
        let pieces: Vec<&[i64]> = ids.split(|&id| id == token).collect();
        if pieces.len() != images.len() + 1 {
            return Err(TeacherError::Model {
                path: self.config.file().into(),
                what: "prompt".into(),
                expected: format!("token {token} of the image once for each of {} pictures", images.len()),
                found: format!("{} times", pieces.len() - 1),
            });
        }
        let mut parts = vec![];
        for (index, piece) in pieces.into_iter().enumerate() {
            if let Some(Seen { vectors, grid }) = index.checked_sub(1).map(|i| &images[i]) {
                let (name, vectors) = (format!("image.{}", index - 1), vectors.shallow_clone());
                parts.push(Part::Vectors { name, token, vectors, grid: *grid });
            }
            parts.push(Part::Tokens(piece.to_vec()));
        }
        Ok(parts)
    }

    /// A picture as the language side reads it, and its grid where positions need one.
    fn see(&self, image: &Image) -> (Tensor, Option<[i64; 2]>) {
        match &self.eyes {
            Eyes::Llava(eyes) => (eyes.see(image, self.vs.device()), None),
            Eyes::Qwen(eyes) => {
                let (tokens, grid) = eyes.see(image, self.vs.device());
                (tokens, Some(grid))
            }
            Eyes::Blip2(eyes) => (eyes.see(image, self.vs.device()), None),
            Eyes::None => unreachable!("only models with an image token are shown pictures"),
        }
    }

    /// Weave parts into what the model reads.
    ///
    /// # Errors
    /// [`TeacherError::Model`] when they are longer than the model's context, or empty.
    pub fn weave(&self, parts: &[Part]) -> Result<Woven, TeacherError> {
        let long = |found: String| TeacherError::Model {
            path: self.config.file().into(),
            what: "prompt".into(),
            expected: format!("1 to {} tokens ({})", self.context, self.context_field),
            found,
        };
        if parts.iter().all(|part| matches!(part, Part::Tokens(ids) if ids.is_empty())) {
            return Err(long("no tokens".into()));
        }
        let woven = Woven::new(&self.language, parts, self.vs.device())?;
        if woven.next > self.context {
            return Err(long(format!("{} tokens", woven.ids.len())));
        }
        Ok(woven)
    }

    /// Answer; `heard` is given the text piece by piece as it is said.
    ///
    /// # Errors
    /// As [`LanguageModel::weave`], or what `heard` gives.
    pub fn answer(
        &self,
        prompt: Woven,
        ask: &Ask,
        mut heard: impl FnMut(&str) -> Result<(), TeacherError>,
    ) -> Result<Answer, TeacherError> {
        let mut stream = TextStream::default();
        let mut ending = Ending::Length;
        let read = if matches!(self.language, Language::T5 { .. }) { 1 } else { prompt.next };
        let room = (self.context - read).max(0) as usize;
        let mut said = vec![];
        // The last token needs no further step of the network, so it is decided before one is taken.
        speak(&self.language, &prompt, |logits, count| -> Result<Option<i64>, TeacherError> {
            if count >= ask.max_tokens.min(room) {
                ending = if count >= ask.max_tokens { Ending::Length } else { Ending::Context };
                return Ok(None);
            }
            let token = ask.choice.pick(logits, count);
            said.push(token);
            if self.ends.contains(&token) {
                ending = Ending::End;
                return Ok(None);
            }
            heard(&stream.push(&self.tokenizer, token)?)?;
            let full = said.len() >= ask.max_tokens.min(room);
            if full {
                ending = if said.len() >= ask.max_tokens { Ending::Length } else { Ending::Context };
            }
            Ok((!full).then_some(token))
        })?;
        heard(&stream.finish(&self.tokenizer)?)?;
        let text = self.tokenizer.decode(&said)?;
        Ok(Answer { prompt, said, text, ending })
    }

    /// What the model makes of every place of a sequence.
    pub fn study(&self, woven: &Woven) -> Study {
        let _guard = tch::no_grad_guard();
        let (logits, hidden) = woven.study(&self.language);
        let apart = matches!(self.language, Language::T5 { .. });
        let encoder = apart.then(|| (Tensor::from_slice(&woven.ids), woven.layers(&self.language)));
        Study { tokens: Tensor::from_slice(&woven.spoken(&self.language)), logits, hidden, encoder }
    }
}

/// End tokens: `generation_config.json` before `config.json`, one or several.
fn ends(folder: &ModelFolder, config: &Fields) -> Result<Vec<i64>, TeacherError> {
    match folder.document("generation_config.json")? {
        Some(fields) if fields.has("eos_token_id") => fields.ints("eos_token_id", None),
        _ => config.ints("eos_token_id", Some(&[])),
    }
}
