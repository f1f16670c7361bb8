//! The teacher: the planner's encoder, a language model that reads its scene tokens, ORION's planning token and planner.
//!
//! ```text
//! images ─ encoder ─ scene tokens ─ adapters ─ <bos> <scene> vision… <plan> ─┬─ LM ─ hidden(<plan>) ─ s ─ VAE planner
//!                                             <user> question <assistant> ───┴─ LM ─ answer
//! ```
//!
//! ORION (arXiv 2503.19755) differs: Vicuna-7B with LoRA in place of a small model trained whole; vision tokens are 512
//! learned queries; the planning token stands behind the conversation, here before it, so that one reading of the scene
//! serves planning and all questions (language still shapes it: answers read its keys and values).
//!
//! B batch, V vision tokens, D language width, C scene width, L latent.

use crate::text::{TextBatch, joint_mask, prefix_mask};
use crate::{Prompt, TeacherConfig, TeacherError, TextTokenizer};
use apprentice_core::Contract;
use apprentice_core::hash::content_hash;
use apprentice_nn::llama::{KvCache, Llama};
use apprentice_nn::{Init, LayerNorm, Linear, Path, VarStore, read_tensors, write_tensors};
use apprentice_planner::heads::PositionCode;
use apprentice_planner::student::CONTRACT_FIELD;
use apprentice_planner::{Draw, Encoder, Inputs, PlanOutput, SceneTokens, VaePlanner};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Metadata field that holds the tokenizer's JSON document.
pub const TOKENIZER_FIELD: &str = "apprentice.tokenizer";

/// Scene tokens to vision tokens.
#[derive(Debug)]
pub struct Adapter {
    /// Key `norm`.
    pub norm: LayerNorm,
    /// C → D; key `project`.
    pub project: Linear,
    /// Key `position`.
    pub position: PositionCode,
    /// One per kind of token (BEV, agent, map, front, light, ego), `[6, C]`; key `kind`.
    pub kind: Tensor,
    /// One per front cell, `[1, h·w, C]`; key `front_place`.
    pub front_place: Tensor,
    /// Key `latent`: the encoder's own summary, read in the ego token's place. L → D.
    pub latent: Linear,
    config: TeacherConfig,
}

impl Adapter {
    /// Build under `path`.
    pub fn new(path: &Path, config: &TeacherConfig) -> Self {
        let (c, d) = (config.vision.width, config.lm.hidden_size);
        let cells = config.tokens.front_grid[0] * config.tokens.front_grid[1];
        Self {
            norm: LayerNorm::new(&(path / "norm"), c),
            project: Linear::new(&(path / "project"), c, d),
            position: PositionCode::new(&(path / "position"), c),
            kind: path.param("kind", &[6, c], Init::Normal(0.1)),
            front_place: path.param("front_place", &[1, cells, c], Init::Normal(0.1)),
            latent: Linear::new(&(path / "latent"), config.vision.planner.latent, d),
            config: config.clone(),
        }
    }

    /// # Shapes
    /// → `[B, V, D]`.
    pub fn forward(&self, scene: &SceneTokens, agent_scores: &Tensor, map_positions: &Tensor) -> Tensor {
        let vision = &self.config.vision;
        let tokens = &self.config.tokens;
        let [rows, columns] = vision.bev.cells().map(|n| n / 2);
        let pool = |x: &Tensor, [h, w]: [i64; 2], grid: [i64; 2]| {
            let image = x.transpose(1, 2).unflatten(2, [h, w]);
            image
                .avg_pool2d([h / grid[0], w / grid[1]], [h / grid[0], w / grid[1]], [0, 0], false, true, None)
                .flatten(2, 3)
                .transpose(1, 2)
        };
        let with = |x: Tensor, kind: i64| x + self.kind.get(kind);
        let bev_positions = pool(&scene.bev_positions.unsqueeze(0), [rows, columns], tokens.bev_grid);
        let bev = pool(&scene.bev, [rows, columns], tokens.bev_grid) + self.position.forward(&bev_positions);
        let (_, order) = agent_scores.topk(tokens.agents, 1, true, true);
        let width = vision.width;
        let batch = scene.agents.size()[0];
        let pick = order.unsqueeze(2).expand([batch, tokens.agents, width], false);
        let agent_places =
            scene.agent_positions.index_select(0, &order.flatten(0, 1)).unflatten(0, [batch, tokens.agents]);
        let agents = scene.agents.gather(1, &pick, false) + self.position.forward(&agent_places);
        let map = &scene.map + self.position.forward(map_positions);
        let image = [vision.backbone.image_height as i64 / 8, vision.backbone.image_width as i64 / 8];
        let front = pool(&scene.front, image, tokens.front_grid) + &self.front_place;
        let parts = [
            with(bev, 0),
            with(agents, 1),
            with(map, 2),
            with(front, 3),
            with(scene.light.shallow_clone(), 4),
            with(scene.ego.shallow_clone(), 5),
        ];
        let projected = self.project.forward(&self.norm.forward(&Tensor::cat(&parts, 1)));
        let count = projected.size()[1];
        let summary = projected.narrow(1, count - 1, 1) + self.latent.forward(&scene.latent).unsqueeze(1);
        Tensor::cat(&[&projected.narrow(1, 0, count - 1), &summary], 1)
    }
}

/// What the teacher thinks of a batch of scenes.
#[derive(Debug)]
pub struct Thought {
    /// Vision tokens, `[B, V, D]`.
    pub vision_tokens: Tensor,
    /// The planning latent s, `[B, L]`.
    pub latent: Tensor,
    /// Logits of the next token at the text's answer places, `[R, vocabulary]`, when there was text.
    pub answer_logits: Option<Tensor>,
}

/// The teacher with its weights.
#[derive(Debug)]
pub struct Teacher {
    /// All variables: keys `encoder.…`, `adapter.…`, `lm.…`, `plan.…`, `planner.…`.
    pub vs: VarStore,
    /// Key `encoder`.
    pub encoder: Encoder,
    /// Key `adapter`.
    pub adapter: Adapter,
    /// Key `lm`.
    pub lm: Llama,
    /// Hidden state of the planning token to s, D → L; key `plan`.
    pub plan: Linear,
    /// Key `planner`.
    pub planner: VaePlanner,
    /// Settings.
    pub config: TeacherConfig,
    /// Text to ids.
    pub tokenizer: TextTokenizer,
}

impl Teacher {
    /// A fresh teacher whose weights depend on configuration, tokenizer size and seed alone.
    ///
    /// # Errors
    /// [`TeacherError::Config`].
    pub fn new(
        config: &TeacherConfig,
        tokenizer: TextTokenizer,
        seed: u64,
        device: Device,
    ) -> Result<Self, TeacherError> {
        let mut config = config.clone();
        config.lm.vocab_size = tokenizer.vocab_size();
        config.check()?;
        let vs = VarStore::new(device, seed);
        let root = vs.root();
        let (d, l) = (config.lm.hidden_size, config.vision.planner.latent);
        Ok(Self {
            encoder: Encoder::new(&(&root / "encoder"), &config.vision)?,
            adapter: Adapter::new(&(&root / "adapter"), &config),
            lm: Llama::new(&(&root / "lm"), &config.lm),
            plan: match config.latent_skip {
                true => Linear::with_init(&(&root / "plan"), d, l, Init::Normal(0.02), Some(0.0)),
                false => Linear::new(&(&root / "plan"), d, l),
            },
            planner: VaePlanner::new(&(&root / "planner"), &config.vision.planner),
            vs,
            config,
            tokenizer,
        })
    }

    /// Encode a batch into scene tokens and vision tokens.
    pub fn see(&self, inputs: &Inputs, train: bool) -> (SceneTokens, Tensor) {
        let scene = self.encoder.encode(inputs, train);
        let perception = self.encoder.heads(&scene);
        // Which agents are read, and where map elements lie, is decided by the heads; no gradient goes that way.
        let scores = perception.agent_logits.detach().amax(-1, false);
        let places = perception.map_points.detach().mean_dim(2, false, Kind::Float);
        let tokens = self.adapter.forward(&scene, &scores, &places);
        (scene, tokens)
    }

    fn prefix(&self, vision_tokens: &Tensor) -> Tensor {
        let special = self.tokenizer.special();
        let (batch, _, width) = vision_tokens.size3().expect("vision tokens are [B, V, D]");
        let word = |id: i64| {
            let id = Tensor::from_slice(&[id]).to_device(vision_tokens.device());
            self.lm.embed(&id).unsqueeze(0).expand([batch, 1, width], false)
        };
        Tensor::cat(&[&word(special.bos), &word(special.scene), vision_tokens, &word(special.plan)], 1)
    }

    fn latent(&self, scene: &SceneTokens, hidden: &Tensor, prefix: i64) -> Tensor {
        let added = self.plan.forward(&hidden.select(1, prefix - 1));
        if self.config.latent_skip { &scene.latent + added } else { added }
    }

    /// Read the scene and, in training, the lessons.
    pub fn think(&self, scene: &SceneTokens, vision_tokens: &Tensor, text: Option<&TextBatch>) -> Thought {
        let prefix = self.prefix(vision_tokens);
        let length = prefix.size()[1];
        let device = prefix.device();
        let positions = Tensor::arange(length, (Kind::Int64, device)).unsqueeze(0);
        let (hidden, answer_logits) = match text {
            None => {
                let hidden = self.lm.hidden(&prefix, &positions, &prefix_mask(length, device).unsqueeze(0), None);
                (hidden, None)
            }
            Some(text) => {
                let (batch, width) = text.ids.size2().expect("ids are [B, T]");
                let all = Tensor::cat(&[&prefix, &self.lm.embed(&text.ids)], 1);
                let positions =
                    Tensor::cat(&[&positions.expand([batch, length], false), &(&text.positions + length)], 1);
                let hidden = self.lm.hidden(&all, &positions, &joint_mask(length, text), None);
                let spoken = hidden.narrow(1, length, width).flatten(0, 1).index_select(0, &text.places);
                let logits = self.lm.logits(&spoken);
                (hidden, Some(logits))
            }
        };
        let latent = self.latent(scene, &hidden, length);
        Thought { vision_tokens: vision_tokens.shallow_clone(), latent, answer_logits }
    }

    /// The plan of a thought.
    pub fn decode(&self, scene: &SceneTokens, thought: &Thought, draw: Draw<'_>) -> PlanOutput {
        self.planner.forward(&thought.latent, &scene.speed, draw)
    }

    /// Answer questions by greedy decoding; `questions` are pairs of (row of the batch, prompt). No truth can enter.
    ///
    /// # Errors
    /// When the tokenizer cannot write what the model says.
    pub fn answer(&self, vision_tokens: &Tensor, questions: &[(usize, &Prompt)]) -> Result<Vec<String>, TeacherError> {
        if questions.is_empty() {
            return Ok(vec![]);
        }
        let _guard = tch::no_grad_guard();
        let device = vision_tokens.device();
        let special = self.tokenizer.special();
        let prefix = self.prefix(vision_tokens);
        let length = prefix.size()[1];
        let mut memory = KvCache::default();
        let positions = Tensor::arange(length, (Kind::Int64, device)).unsqueeze(0);
        let _ = self.lm.hidden(&prefix, &positions, &prefix_mask(length, device).unsqueeze(0), Some(&mut memory));
        let rows: Vec<i64> = questions.iter().map(|(row, _)| *row as i64).collect();
        let mut memory = memory.select(&Tensor::from_slice(&rows).to_device(device));

        let count = questions.len();
        let width = questions.iter().map(|(_, p)| p.ids().len()).max().unwrap_or(1);
        let mut ids = vec![special.pad; count * width];
        let mut valid = vec![false; count * width];
        let mut lengths = Vec::with_capacity(count);
        for (row, (_, prompt)) in questions.iter().enumerate() {
            let n = prompt.ids().len();
            ids[row * width..row * width + n].copy_from_slice(prompt.ids());
            valid[row * width..row * width + n].fill(true);
            lengths.push(n as i64);
        }
        let shape = [count as i64, width as i64];
        let ids = Tensor::from_slice(&ids).reshape(shape).to_device(device);
        let bools = (Kind::Bool, device);
        let seen = Tensor::ones([shape[0], shape[1], length], bools);
        let order = Tensor::ones([shape[1], shape[1]], bools)
            .tril(0)
            .unsqueeze(0)
            .expand([shape[0], shape[1], shape[1]], false);
        let positions = (Tensor::arange(shape[1], (Kind::Int64, device)) + length).unsqueeze(0);
        let hidden =
            self.lm.hidden(&self.lm.embed(&ids), &positions, &Tensor::cat(&[&seen, &order], 2), Some(&mut memory));
        let last = Tensor::from_slice(&lengths).to_device(device) - 1;
        let at = last.reshape([-1, 1, 1]).expand([shape[0], 1, hidden.size()[2]], false);
        let mut next = self.lm.logits(&hidden.gather(1, &at, false).squeeze_dim(1)).argmax(-1, false);
        let mut keys = Tensor::cat(
            &[&Tensor::ones([shape[0], length], bools), &Tensor::from_slice(&valid).reshape(shape).to_device(device)],
            1,
        );
        let mut said: Vec<Vec<i64>> = vec![vec![]; count];
        let mut done = vec![false; count];
        let mut position = (last + 1 + length).unsqueeze(1);
        #[allow(clippy::explicit_counter_loop)] // a tensor of positions, not a counter
        for _ in 0..self.config.answer_tokens {
            let words = Vec::<i64>::try_from(&next.to_device(Device::Cpu)).expect("arg max is a vector of int64");
            for (row, &word) in words.iter().enumerate() {
                done[row] |= word == special.eos;
                if !done[row] {
                    said[row].push(word);
                }
            }
            if done.iter().all(|&d| d) {
                break;
            }
            keys = Tensor::cat(&[&keys, &Tensor::ones([shape[0], 1], bools)], 1);
            let hidden =
                self.lm.hidden(&self.lm.embed(&next.unsqueeze(1)), &position, &keys.unsqueeze(1), Some(&mut memory));
            next = self.lm.logits(&hidden.squeeze_dim(1)).argmax(-1, false);
            position += 1;
        }
        said.iter().map(|ids| self.tokenizer.decode(ids)).collect()
    }

    /// The contract of this teacher under today's conventions.
    pub fn contract(&self, recipe: &str, training: serde_json::Value, data_hash: &str) -> Contract {
        let model = serde_json::to_value(&self.config).expect("a configuration is plain data");
        Contract::new("teacher", self.config.vision.preprocessing(), recipe, model, training, data_hash)
    }

    /// Metadata of this teacher's checkpoint.
    ///
    /// # Errors
    /// When the tokenizer has no document.
    pub fn metadata(&self, contract: &Contract) -> Result<BTreeMap<String, String>, TeacherError> {
        Ok(BTreeMap::from([
            (CONTRACT_FIELD.to_string(), contract.to_json()),
            (TOKENIZER_FIELD.to_string(), self.tokenizer.to_json()?),
        ]))
    }

    /// Write weights, tokenizer and contract.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &std::path::Path, contract: &Contract) -> Result<(), TeacherError> {
        Ok(write_tensors(path, &self.vs.tensors(), &self.metadata(contract)?)?)
    }

    /// Read a teacher; also gives its contract and the hash of the file. Strict.
    ///
    /// # Errors
    /// Any of this room's errors, each naming the file and the field.
    pub fn load(path: &std::path::Path, device: Device) -> Result<(Self, Contract, String), TeacherError> {
        let hash = content_hash(&apprentice_store::read_bytes(path)?)[..16].to_string();
        let file = read_tensors(path)?;
        let wrong = |source| TeacherError::Contract { path: path.into(), source };
        let contract = Contract::parse(file.field(CONTRACT_FIELD)?, "teacher").map_err(wrong)?;
        let config: TeacherConfig = serde_json::from_value(contract.model.clone()).map_err(|e| wrong(e.into()))?;
        if config.vision.preprocessing() != contract.preprocessing {
            return Err(wrong(apprentice_core::contract::ContractError::Mismatch {
                field: "preprocessing",
                expected: config.vision.preprocessing().hash(),
                found: contract.preprocessing.hash(),
            }));
        }
        let damaged = |e: TeacherError| TeacherError::Tokenizer { reason: format!("{}: {e}", path.display()) };
        let tokenizer = TextTokenizer::from_json(file.field(TOKENIZER_FIELD)?).map_err(damaged)?;
        let unsound = |e| wrong(apprentice_core::contract::ContractError::unsound_model(e));
        let teacher = Self::new(&config, tokenizer, 0, device).map_err(unsound)?;
        if teacher.config.lm.vocab_size != config.lm.vocab_size {
            let reason = format!(
                "{}: the tokenizer has {} entries, the model {}",
                path.display(),
                teacher.config.lm.vocab_size,
                config.lm.vocab_size
            );
            return Err(TeacherError::Tokenizer { reason });
        }
        teacher.vs.load(&file)?;
        Ok((teacher, contract, hash))
    }
}
