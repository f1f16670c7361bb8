//! Decoder language models of the Llama layout, read from the `config.json` of Llama-2/3, Vicuna, Qwen2/2.5 and Qwen3, and of
//! the multimodal models built around one.

use super::folder::{Family, Fields};
use crate::TeacherError;
use apprentice_nn::llama::{KvCache, Llama, LlamaConfig, LlamaVariant, Reading, Sight};
use apprentice_nn::opt::Opt;
use apprentice_nn::rotary::RopeScaling;
use apprentice_nn::t5::T5;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// The network's shape from `config.json` (or its `text_config`); absent fields have the defaults of `transformers`.
///
/// # Errors
/// [`TeacherError::Model`] names the field.
pub fn llama_config(fields: &Fields, family: Family) -> Result<LlamaConfig, TeacherError> {
    let qwen2 = matches!(family, Family::Qwen2 | Family::QwenVl);
    let heads = fields.int("num_attention_heads", 32)?;
    let bias = fields.flag("attention_bias", false)?;
    let rope = if fields.has("rope_parameters") { fields.part("rope_parameters") } else { fields.part("rope_scaling") };
    let theta_at = if rope.has("rope_theta") { &rope } else { fields };
    if fields.flag("use_sliding_window", false)? {
        return Err(fields.wrong("use_sliding_window", "false: attention here spans the whole context"));
    }
    if fields.flag("mlp_bias", false)? {
        return Err(fields.wrong("mlp_bias", "false"));
    }
    if fields.text("hidden_act", Some("silu"))? != "silu" {
        return Err(fields.wrong("hidden_act", "`silu`"));
    }
    let mrope_section = match family {
        Family::QwenVl => {
            let sections = rope.ints("mrope_section", Some(&[16, 24, 24]))?;
            Some(sections.try_into().map_err(|_| rope.wrong("mrope_section", "three whole numbers"))?)
        }
        _ => None,
    };
    let config = LlamaConfig {
        vocab_size: fields.int("vocab_size", if qwen2 { 151_936 } else { 32_000 })?,
        hidden_size: fields.int("hidden_size", 4096)?,
        intermediate_size: fields.int("intermediate_size", if family == Family::Llama { 11_008 } else { 22_016 })?,
        num_hidden_layers: usize::try_from(fields.int("num_hidden_layers", 32)?).unwrap_or(0),
        num_attention_heads: heads,
        num_key_value_heads: fields.int("num_key_value_heads", heads)?,
        rope_theta: theta_at.float("rope_theta", 10_000.0)?,
        rms_norm_eps: fields.float("rms_norm_eps", 1e-6)?,
        tie_word_embeddings: fields.flag("tie_word_embeddings", false)?,
        variant: LlamaVariant {
            head_dim: match family {
                Family::Qwen3 => Some(fields.int("head_dim", 128)?),
                _ if fields.has("head_dim") => Some(fields.int("head_dim", None)?),
                _ => None,
            },
            qkv_bias: bias || qwen2,
            o_bias: bias,
            qk_norm: family == Family::Qwen3,
            rope_scaling: rope_scaling(&rope, fields)?,
            mrope_section,
            ..LlamaVariant::default()
        },
    };
    match config.problem() {
        Some(problem) => Err(fields.wrong("", problem)),
        None => Ok(config),
    }
}

fn rope_scaling(rope: &Fields, fields: &Fields) -> Result<Option<RopeScaling>, TeacherError> {
    let key = if rope.has("rope_type") { "rope_type" } else { "type" };
    Ok(match rope.text(key, Some("default"))?.as_str() {
        "default" | "mrope" => None,
        "linear" => Some(RopeScaling::Linear { factor: rope.float("factor", None)? }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: rope.float("factor", None)?,
            low_freq_factor: rope.float("low_freq_factor", None)?,
            high_freq_factor: rope.float("high_freq_factor", None)?,
            original_max_position_embeddings: rope
                .float("original_max_position_embeddings", fields.float("max_position_embeddings", None).ok())?,
        }),
        _ => return Err(rope.wrong(key, "`default`, `linear`, `llama3` or `mrope`")),
    })
}

/// The side of a model that reads and speaks, in either layout.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Language {
    Llama(Llama),
    Opt(Opt),
    /// An encoder reads, a decoder that begins with the token `start` speaks.
    T5 {
        network: Box<T5>,
        start: i64,
    },
}

impl Language {
    /// D.
    pub fn width(&self) -> i64 {
        match self {
            Self::Llama(llama) => llama.config().hidden_size,
            Self::Opt(opt) => opt.config().hidden_size,
            Self::T5 { network, .. } => network.config().d_model,
        }
    }

    /// Blocks that read.
    pub fn layers(&self) -> usize {
        match self {
            Self::Llama(llama) => llama.config().num_hidden_layers,
            Self::Opt(opt) => opt.config().num_hidden_layers,
            Self::T5 { network, .. } => network.config().num_layers,
        }
    }

    /// Whether a checkpoint may hold this tensor once more under another name, or not use it.
    pub fn repeats(&self, name: &str) -> bool {
        let tied = match self {
            Self::Llama(llama) => llama.config().tie_word_embeddings,
            Self::Opt(opt) => opt.config().tie_word_embeddings,
            Self::T5 { .. } => return name.ends_with("coder.embed_tokens.weight"),
        };
        tied && name.ends_with("lm_head.weight")
    }

    fn axes(&self) -> bool {
        matches!(self, Self::Llama(llama) if llama.config().variant.mrope_section.is_some())
    }

    /// # Shapes
    /// ids `[…]` (int64) → `[…, D]`.
    pub fn embed(&self, ids: &Tensor) -> Tensor {
        match self {
            Self::Llama(llama) => llama.embed(ids),
            Self::Opt(opt) => opt.embed(ids),
            Self::T5 { network, .. } => network.embed(ids),
        }
    }

    /// Hidden states after the final norm: see [`Llama::read`]. An encoder sees everything and keeps nothing.
    pub fn read(&self, embeddings: &Tensor, reading: Reading<'_>) -> Tensor {
        match self {
            Self::Llama(llama) => llama.read(embeddings, reading),
            Self::Opt(opt) => opt.read(embeddings, reading),
            Self::T5 { network, .. } => network.encode(embeddings, reading.layers, reading.stop_after),
        }
    }

    /// # Shapes
    /// hidden `[…, D]` → `[…, V]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        match self {
            Self::Llama(llama) => llama.logits(hidden),
            Self::Opt(opt) => opt.logits(hidden),
            Self::T5 { network, .. } => network.logits(hidden),
        }
    }
}

/// A piece of what a language model reads.
#[derive(Debug)]
pub enum Part {
    /// Tokens.
    Tokens(Vec<i64>),
    /// Vectors that stand in the place of tokens: pictures, or tokens of a driving scene.
    Vectors {
        /// What they are, to find them again in [`Woven::spans`].
        name: String,
        /// The token each of them is written as.
        token: i64,
        /// `[n, D]`.
        vectors: Tensor,
        /// Rows and columns, when they are a picture for a model with rotary axes (Qwen2.5-VL).
        grid: Option<[i64; 2]>,
    },
}

/// Positions of time, height and width. A picture stands in one moment, its rows and columns counted from there; what comes
/// after goes on behind the larger of both.
#[derive(Default)]
struct Places {
    axes: [Vec<i64>; 3],
    next: i64,
}

impl Places {
    fn line(&mut self, count: i64) {
        self.axes.iter_mut().for_each(|axis| axis.extend(self.next..self.next + count));
        self.next += count;
    }

    fn grid(&mut self, [rows, columns]: [i64; 2]) {
        let now = self.next;
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            [now, now + row, now + column].into_iter().zip(&mut self.axes).for_each(|(at, axis)| axis.push(at));
        }
        self.next += rows.max(columns);
    }

    /// `[1, L]`, or `[3, 1, L]`, and the position after the last.
    fn tensor(&self, all: bool, device: Device) -> (Tensor, i64) {
        let axis = |axis: &Vec<i64>| Tensor::from_slice(axis).unsqueeze(0).to_device(device);
        let positions = if all { Tensor::stack(&self.axes.each_ref().map(axis), 0) } else { axis(&self.axes[0]) };
        (positions, self.next)
    }
}

/// Tokens and vectors in one sequence.
#[derive(Debug)]
pub struct Woven {
    /// One id per place.
    pub ids: Vec<i64>,
    /// `[1, L, D]`.
    pub embeddings: Tensor,
    /// Rotary positions, `[1, L]` or `[3, 1, L]`.
    pub positions: Tensor,
    /// Position of the next token.
    pub next: i64,
    /// Where each group of vectors stands, in order.
    pub spans: Vec<(String, Range<usize>)>,
    /// What a decoder apart from the encoder has said about it; the other layouts say on in the same sequence.
    pub said: Vec<i64>,
}

impl Woven {
    /// Weave parts into the sequence `language` reads; gradients flow back to the vectors.
    ///
    /// # Errors
    /// [`TeacherError::Vectors`] when vectors are not as wide as the model.
    pub fn new(language: &Language, parts: &[Part], device: Device) -> Result<Self, TeacherError> {
        let width = language.width();
        let (mut ids, mut pieces, mut spans) = (vec![], vec![], vec![]);
        let mut places = Places::default();
        for part in parts {
            match part {
                Part::Tokens(tokens) if tokens.is_empty() => {}
                Part::Tokens(tokens) => {
                    pieces.push(language.embed(&Tensor::from_slice(tokens).to_device(device)));
                    ids.extend_from_slice(tokens);
                    places.line(tokens.len() as i64);
                }
                Part::Vectors { name, token, vectors, grid } => {
                    let size = vectors.size();
                    if size.len() != 2 || size[1] != width {
                        return Err(TeacherError::Vectors { name: name.clone(), width, found: size });
                    }
                    spans.push((name.clone(), ids.len()..ids.len() + size[0] as usize));
                    ids.extend(std::iter::repeat_n(*token, size[0] as usize));
                    pieces.push(vectors.shallow_clone());
                    match grid {
                        Some(grid) => places.grid(*grid),
                        None => places.line(size[0]),
                    }
                }
            }
        }
        let kind = pieces.first().map_or(Kind::Float, Tensor::kind);
        let pieces: Vec<_> = pieces.iter().map(|p| p.to_kind(kind)).collect();
        let embeddings = Tensor::cat(&pieces, 0).unsqueeze(0);
        let (positions, next) = places.tensor(language.axes(), device);
        Ok(Self { ids, embeddings, positions, next, spans, said: vec![] })
    }

    /// The same with more tokens behind it, as a model has said them.
    pub fn extended(&self, language: &Language, said: &[i64]) -> Self {
        let spans = self.spans.clone();
        let apart = matches!(language, Language::T5 { .. });
        if said.is_empty() || apart {
            let [embeddings, positions] = [&self.embeddings, &self.positions].map(Tensor::shallow_clone);
            let said = if apart { [&self.said, said].concat() } else { vec![] };
            return Self { ids: self.ids.clone(), embeddings, positions, next: self.next, spans, said };
        }
        let device = self.embeddings.device();
        let count = said.len() as i64;
        let more = Tensor::arange(count, (Kind::Int64, device)) + self.next;
        let mut shape = self.positions.size();
        *shape.last_mut().expect("positions have dimensions") = count;
        let words = language.embed(&Tensor::from_slice(said).to_device(device).unsqueeze(0));
        Self {
            ids: [&self.ids, said].concat(),
            embeddings: Tensor::cat(&[&self.embeddings, &words], 1),
            positions: Tensor::cat(&[&self.positions, &more.expand(&shape, false)], -1),
            next: self.next + count,
            spans,
            said: vec![],
        }
    }

    /// The tokens of the places that have logits: the whole sequence, or what a decoder apart has begun with and said.
    pub fn spoken(&self, language: &Language) -> Vec<i64> {
        match language {
            Language::T5 { start, .. } => [&[*start], &self.said[..]].concat(),
            _ => self.ids.clone(),
        }
    }

    /// Hidden states `[L, D]` of what is read: embeddings, then each block's, the last after the norm.
    pub fn layers(&self, language: &Language) -> Vec<Tensor> {
        let mut layers = vec![];
        let reading = Reading { layers: Some(&mut layers), ..Reading::causal(&self.positions) };
        let _ = language.read(&self.embeddings, reading);
        layers.into_iter().map(|h| h.squeeze_dim(0)).collect()
    }

    /// Logits `[L, V]` and hidden states `[L, D]` (as in [`Woven::layers`]) of the places of [`Woven::spoken`].
    pub fn study(&self, language: &Language) -> (Tensor, Vec<Tensor>) {
        let mut layers = vec![];
        let hidden = match language {
            Language::T5 { network, .. } => {
                let memory = network.remember(&network.encode(&self.embeddings, None, None));
                let ids = Tensor::from_slice(&self.spoken(language)).to_device(self.embeddings.device());
                network.decode(&network.embed(&ids.unsqueeze(0)), &memory, None, Some(&mut layers))
            }
            _ => language
                .read(&self.embeddings, Reading { layers: Some(&mut layers), ..Reading::causal(&self.positions) }),
        };
        (language.logits(&hidden).squeeze_dim(0), layers.into_iter().map(|h| h.squeeze_dim(0)).collect())
    }

    /// Hidden states `[L, D]` after `layer` blocks (0 is the embeddings); what lies above is not computed.
    pub fn hidden_at(&self, language: &Language, layer: usize) -> Tensor {
        let whole = layer >= language.layers();
        let stop_after = (!whole).then_some(layer);
        language.read(&self.embeddings, Reading { stop_after, ..Reading::causal(&self.positions) }).squeeze_dim(0)
    }
}

/// Speak on after `woven`: `choose` is given the logits `[V]` of the next token and the count of those said, and gives the
/// token, or `None` to end.
///
/// # Errors
/// What `choose` gives.
pub fn speak<E>(
    language: &Language,
    woven: &Woven,
    mut choose: impl FnMut(&Tensor, usize) -> Result<Option<i64>, E>,
) -> Result<Vec<i64>, E> {
    let _guard = tch::no_grad_guard();
    let device = woven.embeddings.device();
    let mut cache = KvCache::default();
    let embed = |token: i64| language.embed(&Tensor::from_slice(&[token]).to_device(device).unsqueeze(0));
    let mut memory = None;
    let hidden = match language {
        Language::T5 { network, start } => {
            let memory = memory.insert(network.remember(&network.encode(&woven.embeddings, None, None)));
            network.decode(&embed(*start), memory, Some(&mut cache), None)
        }
        _ => language.read(&woven.embeddings, Reading { cache: Some(&mut cache), ..Reading::causal(&woven.positions) }),
    };
    let mut logits = language.logits(&hidden.select(1, -1));
    let mut shape = woven.positions.size();
    *shape.last_mut().expect("positions have dimensions") = 1;
    let mut said = vec![];
    while let Some(token) = choose(&logits.get(0), said.len())? {
        let position = Tensor::full(&shape, woven.next + said.len() as i64, (Kind::Int64, device));
        said.push(token);
        let word = embed(token);
        let hidden = match (language, &memory) {
            (Language::T5 { network, .. }, Some(memory)) => network.decode(&word, memory, Some(&mut cache), None),
            _ => language.read(&word, Reading { cache: Some(&mut cache), ..Reading::causal(&position) }),
        };
        logits = language.logits(&hidden.select(1, 0));
    }
    Ok(said)
}

/// Sequences side by side, shorter ones padded behind. What is padded stands after what is read, so a causal reading of the
/// prompt never sees it; steps after the prompt are kept from it by a mask. An encoder (T5) would see it: it reads one at a time.
///
/// B sequences, L places of the longest.
#[derive(Debug)]
pub struct Abreast {
    /// `[B, L, D]`.
    pub embeddings: Tensor,
    /// Rotary positions, `[B, L]` or `[3, B, L]`.
    pub positions: Tensor,
    /// Places of each.
    pub lengths: Vec<usize>,
    /// Position of each one's next token.
    pub next: Vec<i64>,
}

/// What [`Abreast::speak`] gives.
#[derive(Debug)]
pub struct Heard {
    /// Tokens said by each, its end token included.
    pub said: Vec<Vec<i64>>,
    /// Hidden states `[K, D]` of the K chosen layers (f32, on the CPU) from which each of these tokens was chosen: of the last
    /// place of the prompt, then of every token said but the last.
    pub states: Vec<Vec<Tensor>>,
    /// Hidden states of the prompts at the chosen layers, `[B, L, D]` each.
    pub prompt: Vec<Tensor>,
}

impl Abreast {
    /// Put sequences side by side.
    ///
    /// # Panics
    /// Without a sequence.
    pub fn new(woven: &[&Woven]) -> Self {
        let lengths: Vec<usize> = woven.iter().map(|w| w.ids.len()).collect();
        let longest = lengths.iter().copied().max().expect("at least one sequence") as i64;
        let padded = |w: &Woven| {
            let room = longest - w.ids.len() as i64;
            let embeddings = w.embeddings.constant_pad_nd([0, 0, 0, room]);
            (embeddings, w.positions.constant_pad_nd([0, room]))
        };
        let (embeddings, positions): (Vec<_>, Vec<_>) = woven.iter().map(|w| padded(w)).unzip();
        let row = positions[0].dim() as i64 - 2;
        Self {
            embeddings: Tensor::cat(&embeddings, 0),
            positions: Tensor::cat(&positions, row),
            lengths,
            next: woven.iter().map(|w| w.next).collect(),
        }
    }

    /// Hidden states after each of `layers` blocks (0 is the embeddings), `[B, L, D]` each; what lies above the highest is not
    /// computed.
    pub fn hidden(&self, language: &Language, layers: &[usize]) -> Vec<Tensor> {
        let highest = layers.iter().copied().max().unwrap_or(0);
        let mut all = vec![];
        let reading = Reading {
            layers: Some(&mut all),
            stop_after: (highest < language.layers()).then_some(highest),
            ..Reading::causal(&self.positions)
        };
        let _ = language.read(&self.embeddings, reading);
        layers.iter().map(|&layer| all[layer].shallow_clone()).collect()
    }

    /// Answer greedily, each sequence until it says one of `ends` or as many tokens as `limits` allows it; the hidden states of
    /// `layers` that led to each token are kept.
    pub fn speak(&self, language: &Language, layers: &[usize], limits: &[usize], ends: &[i64]) -> Heard {
        let _guard = tch::no_grad_guard();
        let (device, count) = (self.embeddings.device(), self.lengths.len());
        let mut cache = KvCache::default();
        let mut all = vec![];
        let reading = Reading { cache: Some(&mut cache), layers: Some(&mut all), ..Reading::causal(&self.positions) };
        let hidden = language.read(&self.embeddings, reading);
        let [_, longest, width] = hidden.size()[..] else { unreachable!("hidden states are [B, L, D]") };
        let last: Vec<i64> = self.lengths.iter().map(|&n| n as i64 - 1).collect();
        let at = Tensor::from_slice(&last).to_device(device).reshape([-1, 1, 1]).expand([-1, 1, width], false);
        let end_of = |x: &Tensor| x.gather(1, &at, false).squeeze_dim(1);
        let prompt: Vec<_> = layers.iter().map(|&layer| all[layer].shallow_clone()).collect();
        let host = |x: Tensor| x.to_device(Device::Cpu).to_kind(Kind::Float);
        // [K, B, D]
        let stacked = |states: &[Tensor]| (!states.is_empty()).then(|| host(Tensor::stack(states, 0)));
        let mut now = stacked(&prompt.iter().map(end_of).collect::<Vec<_>>());
        let mut logits = language.logits(&end_of(&hidden));
        let even = self.lengths.iter().all(|&n| n as i64 == longest);
        let seen: Vec<bool> = self.lengths.iter().flat_map(|&n| (0..longest).map(move |i| i < n as i64)).collect();
        let mut allowed = Tensor::from_slice(&seen).reshape([count as i64, 1, longest]).to_device(device);
        let mut said: Vec<Vec<i64>> = vec![vec![]; count];
        let mut states: Vec<Vec<Tensor>> = (0..count).map(|_| vec![]).collect();
        let mut done: Vec<bool> = limits.iter().map(|&limit| limit == 0).collect();
        for step in 0.. {
            if done.iter().all(|&d| d) {
                break;
            }
            let words = Vec::<i64>::try_from(logits.argmax(-1, false).to_device(Device::Cpu)).expect("a vector of ids");
            for (row, &word) in words.iter().enumerate() {
                if done[row] {
                    continue;
                }
                said[row].push(word);
                if let Some(now) = &now {
                    states[row].push(now.select(1, row as i64));
                }
                done[row] = ends.contains(&word) || said[row].len() >= limits[row];
            }
            if done.iter().all(|&d| d) {
                break;
            }
            let next: Vec<i64> = self.next.iter().map(|next| next + step).collect();
            let mut shape = self.positions.size();
            *shape.last_mut().expect("positions have dimensions") = 1;
            let positions = Tensor::from_slice(&next).to_device(device).unsqueeze(1).expand(&shape, false);
            allowed = Tensor::cat(&[&allowed, &Tensor::ones([count as i64, 1, 1], (Kind::Bool, device))], 2);
            let mut all = vec![];
            let reading = Reading {
                cache: Some(&mut cache),
                layers: Some(&mut all),
                sight: if even { Sight::Causal } else { Sight::Allowed(&allowed) },
                ..Reading::causal(&positions)
            };
            let embedded = language.embed(&Tensor::from_slice(&words).to_device(device).unsqueeze(1));
            let hidden = language.read(&embedded, reading).squeeze_dim(1);
            let chosen: Vec<_> = layers.iter().map(|&layer| all[layer].squeeze_dim(1)).collect();
            now = stacked(&chosen);
            logits = language.logits(&hidden);
        }
        Heard { said, states, prompt }
    }
}
