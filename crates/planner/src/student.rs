//! The student: encoder (cameras → scene tokens → s), heads, planner; saved with its contract.
//!
//! B batch, N cameras, K tokens, C channels, L latent.

use crate::backbone::Backbone;
use crate::batch::{Inputs, RASTER_CHANNELS};
use crate::bev::BevNet;
use crate::config::{InputMode, StudentConfig};
use crate::ego::EgoDecoder;
use crate::error::PlannerError;
use crate::heads::{
    AgentDecoder, BEV_CLASSES, IMAGE_CHANNELS, LightHead, MapDecoder, Perception, PositionCode, token_positions,
};
use crate::lift::Lift;
use crate::vae::{Draw, PlanOutput, VaePlanner};
use apprentice_core::contract::ContractError;
use apprentice_core::{Contract, Rig};
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::{Conv2d, ConvConfig, Init, Linear, Path, VarStore, read_tensors, write_tensors};
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Metadata field that holds the contract.
pub const CONTRACT_FIELD: &str = "apprentice.contract";

/// The structured view of one batch.
#[derive(Debug)]
pub struct SceneTokens {
    /// `[B, X/2·Y/2, C]`.
    pub bev: Tensor,
    /// `[B, A, C]`.
    pub agents: Tensor,
    /// `[B, I, C]`.
    pub map: Tensor,
    /// `[B, 1, C]`.
    pub ego: Tensor,
    /// Front-camera tokens at stride 8, row by row, `[B, h·w, C]`.
    pub front: Tensor,
    /// `[B, 1, C]`.
    pub light: Tensor,
    /// The planning latent s, `[B, L]`.
    pub latent: Tensor,
    /// m/s, `[B]`.
    pub speed: Tensor,
    /// Metres, `[X/2·Y/2, 2]`.
    pub bev_positions: Tensor,
    /// Metres, `[A, 2]`.
    pub agent_positions: Tensor,
    /// Fine BEV grid, `[B, bev.width, X, Y]`.
    pub bev_grid: Tensor,
    /// Stride-8 features of all cameras, `[B·N, C8, h, w]`; `None` without cameras.
    pub image_features: Option<Tensor>,
    /// What the query heads said while the tokens were made.
    queries: [Tensor; 6],
}

/// Cameras, speed and command to scene tokens and s. Student and teacher are built on it.
#[derive(Debug)]
pub struct Encoder {
    /// Key `backbone`; absent where no camera is looked at.
    pub backbone: Option<Backbone>,
    /// Key `lift`; with cameras.
    pub lift: Option<Lift>,
    /// From the raster to the fine grid's width; key `raster`; with visible labels.
    pub raster: Option<Conv2d>,
    /// Key `bev`.
    pub bev: BevNet,
    /// Key `position`.
    pub position: PositionCode,
    /// Key `bev_head`.
    pub bev_head: Conv2d,
    /// Key `image_head`.
    pub image_head: Option<Conv2d>,
    /// Key `agents`.
    pub agents: AgentDecoder,
    /// Key `map`.
    pub map: MapDecoder,
    /// Key `light`.
    pub light: LightHead,
    /// From stride-8 features to tokens; key `front`.
    pub front: Linear,
    /// One per front-camera cell, `[1, h·w, C]`; key `front_place`.
    pub front_place: Tensor,
    /// One per kind of token (bev, agent, map, front, light), `[5, C]`; key `kind`.
    pub kind: Tensor,
    /// Key `ego`.
    pub ego: EgoDecoder,
    /// Settings.
    pub config: StudentConfig,
    /// The cameras.
    pub rig: Rig,
    bev_positions: Tensor,
}

impl Encoder {
    /// Build under `path`.
    ///
    /// # Errors
    /// [`PlannerError::Config`].
    pub fn new(path: &Path, config: &StudentConfig) -> Result<Self, PlannerError> {
        config.check()?;
        let rig = config.preprocessing().rig;
        let c = config.width;
        let widths = config.backbone.widths();
        let [w4, w8] = [widths[0], widths[1]];
        let cameras = config.inputs == InputMode::Cameras;
        let cells = (config.backbone.image_width / 8 * (config.backbone.image_height / 8)) as i64;
        let head = |name: &str, inputs: i64, outputs: i64, bias: f64| {
            let conv = ConvConfig::new(inputs, outputs, 1, 1).with_bias();
            Conv2d::with_init(&(path / name), conv, Init::Normal(0.01), bias)
        };
        Ok(Self {
            backbone: cameras.then(|| Backbone::new(&(path / "backbone"), &config.backbone)),
            lift: cameras.then(|| Lift::new(&(path / "lift"), &config.bev, &rig, w8)),
            raster: (config.inputs == InputMode::VisibleLabels).then(|| {
                let conv = ConvConfig::new(RASTER_CHANNELS, config.bev.width, 1, 1);
                Conv2d::new(&(path / "raster"), conv)
            }),
            bev: BevNet::new(&(path / "bev"), &config.bev, c),
            position: PositionCode::new(&(path / "position"), c),
            bev_head: head("bev_head", config.bev.width, BEV_CLASSES.len() as i64, -2.0),
            image_head: cameras.then(|| head("image_head", w8, IMAGE_CHANNELS, -1.0)),
            agents: AgentDecoder::new(&(path / "agents"), config),
            map: MapDecoder::new(&(path / "map"), config),
            light: LightHead::new(&(path / "light"), w4, c),
            front: Linear::new(&(path / "front"), w8, c),
            front_place: path.param("front_place", &[1, cells, c], Init::Normal(0.1)),
            kind: path.param("kind", &[5, c], Init::Normal(0.1)),
            ego: EgoDecoder::new(&(path / "ego"), config),
            bev_positions: token_positions(config, path.device()),
            config: config.clone(),
            rig,
        })
    }

    /// All tokens and s. `train` switches batch normalisation.
    pub fn encode(&self, inputs: &Inputs, train: bool) -> SceneTokens {
        let batch = inputs.speed.size()[0];
        let cameras = self.rig.cameras.len() as i64;
        let c = self.config.width;
        let options = (inputs.speed.kind(), inputs.speed.device());
        let features = self.backbone.as_ref().map(|b| b.forward(&inputs.images.flatten(0, 1), train));
        let [rows, columns] = self.config.bev.cells();
        // Without pictures and labels all scenes look the same: one is computed and stands for all.
        let blank = || Tensor::zeros([1, self.config.bev.width, rows, columns], options);
        let lifted = match (&features, &self.lift) {
            (Some(f), Some(lift)) => lift.forward(&f.stride8, cameras),
            _ => self.raster.as_ref().zip(inputs.raster.as_ref()).map_or_else(blank, |(conv, raster)| {
                let channels_last = raster.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
                conv.forward(&channels_last)
            }),
        };
        let grids = self.bev.forward(&lifted, train);
        let place = |x: &Tensor, codes: &Tensor| x + codes;
        let bev = grids.coarse.flatten(2, 3).transpose(1, 2).contiguous();
        let bev_keys = place(&bev, &self.position.forward(&self.bev_positions));

        let agent_codes = self.position.forward(&self.agents.references);
        let agents = self.agents.tokens(&grids.coarse, &bev_keys, &bev, &agent_codes);
        let [agent_logits, boxes, motion, motion_logits] = self.agents.heads(&agents);
        let map_codes = self.position.forward(&self.map.reference_m());
        let [map_logits, map_points, map] = self.map.heads(&self.map.tokens(&bev_keys, &bev, &map_codes));
        let each = |x: Tensor| {
            let mut shape = x.size();
            shape[0] = batch;
            x.expand(shape, false)
        };
        let [bev, bev_keys, agents, map] = [bev, bev_keys, agents, map].map(each);
        let [agent_logits, boxes, motion] = [agent_logits, boxes, motion].map(each);
        let [motion_logits, map_logits, map_points] = [motion_logits, map_logits, map_points].map(each);
        let [bev_grid, coarse] = [grids.fine, grids.coarse].map(each);

        let (front, light) = match &features {
            Some(f) => {
                let first = |t: &Tensor| t.unflatten(0, [batch, cameras]).select(1, 0);
                let front = self.front.forward(&first(&f.stride8).flatten(2, 3).transpose(1, 2));
                (front, self.light.token(&first(&f.stride4), train))
            }
            None => {
                let cells = self.front_place.size()[1];
                let light = match &inputs.light {
                    Some(light) if self.config.inputs == InputMode::VisibleLabels => {
                        light.constant_pad_nd([0, c - light.size()[1]])
                    }
                    _ => Tensor::zeros([batch, c], options),
                };
                (Tensor::zeros([batch, cells, c], options), light)
            }
        };
        let light = light.unsqueeze(1);

        // The query positions that attention and the teacher see are where the heads put them, without gradient.
        let agent_places = boxes.detach().narrow(2, 0, 2);
        let map_places = map_points.detach().mean_dim(2, false, options.0);
        let kinds: Vec<_> = (0..5).map(|i| self.kind.get(i)).collect();
        let keys = Tensor::cat(
            &[
                &bev_keys + &kinds[0],
                &agents + self.position.forward(&agent_places) + &kinds[1],
                &map + self.position.forward(&map_places) + &kinds[2],
                &front + &self.front_place + &kinds[3],
                &light + &kinds[4],
            ],
            1,
        );
        let memory = Tensor::cat(&[&bev, &agents, &map, &front, &light], 1);
        let state = self.ego.state(&inputs.speed, &inputs.command);
        let (ego, latent) = self.ego.forward(&state, &light.squeeze_dim(1), (&keys, &memory), &coarse, train);
        SceneTokens {
            bev,
            agents,
            map,
            ego,
            front,
            light,
            latent,
            speed: inputs.speed.shallow_clone(),
            bev_positions: self.bev_positions.shallow_clone(),
            agent_positions: self.agents.references.shallow_clone(),
            bev_grid,
            image_features: features.map(|f| f.stride8),
            queries: [agent_logits, boxes, motion, motion_logits, map_logits, map_points],
        }
    }

    /// s of `encode` for one moment, as a graph: normalised images `[N, 3, H, W]` (unused without cameras), speed
    /// `[1, 1]`, command one-hot `[1, 6]`. Students that read labels have no graph: `None`.
    pub fn emit(&self, graph: &mut Graph, images: &Value, speed_mps: &Value, command: &Value) -> Option<Value> {
        let c = self.config.width;
        let [rows, columns] = self.config.bev.cells();
        let features = match self.config.inputs {
            InputMode::VisibleLabels => return None,
            InputMode::Cameras => self.backbone.as_ref().map(|b| b.emit(graph, images)),
            InputMode::EgoOnly => None,
        };
        let lifted = match (&features, &self.lift) {
            (Some([_, stride8]), Some(lift)) => lift.emit(graph, stride8),
            _ => {
                let channels = self.config.bev.width;
                graph.floats(&vec![0.0; (channels * rows * columns) as usize], &[1, channels, rows, columns])
            }
        };
        let coarse = self.bev.emit_coarse(graph, &lifted);
        let cells = coarse.shape()[2] * coarse.shape()[3];
        let bev = graph.reshape(&coarse, &[1, c, cells]);
        let bev = graph.transpose(&bev, &[0, 2, 1]);
        let code = |graph: &mut Graph, places: &Tensor| graph.tensor(&self.position.forward(places));
        let bev_codes = code(graph, &self.bev_positions);
        let bev_keys = graph.add(&bev, &bev_codes);
        let agent_codes = code(graph, &self.agents.references);
        let agents = self.agents.emit_tokens(graph, &coarse, &bev_keys, &bev, &agent_codes);
        let agent_places = self.agents.emit_centers(graph, &agents);
        let map_codes = code(graph, &self.map.reference_m());
        let map_tokens = self.map.emit_tokens(graph, &bev_keys, &bev, &map_codes);
        let [map, map_places] = self.map.emit_elements(graph, &map_tokens);
        let front_cells = self.front_place.size()[1];
        let (front, light) = match &features {
            Some([stride4, stride8]) => {
                let first = graph.slice(stride8, 0, 0, 1);
                let first = graph.reshape(&first, &[1, stride8.shape()[1], front_cells]);
                let first = graph.transpose(&first, &[0, 2, 1]);
                let near = graph.slice(stride4, 0, 0, 1);
                (self.front.emit(graph, &first), self.light.emit_token(graph, &near))
            }
            None => (
                graph.floats(&vec![0.0; (front_cells * c) as usize], &[1, front_cells, c]),
                graph.floats(&vec![0.0; c as usize], &[1, c]),
            ),
        };
        let light_token = graph.reshape(&light, &[1, 1, c]);
        let agent_codes = self.position.emit(graph, &agent_places);
        let map_codes = self.position.emit(graph, &map_places);
        let front_codes = graph.tensor(&self.front_place);
        let key = |graph: &mut Graph, base: &Value, codes: Option<&Value>, kind: i64| {
            let kind = graph.tensor(&self.kind.get(kind));
            let placed = codes.map_or_else(|| base.clone(), |codes| graph.add(base, codes));
            graph.add(&placed, &kind)
        };
        let keys = [
            key(graph, &bev_keys, None, 0),
            key(graph, &agents, Some(&agent_codes), 1),
            key(graph, &map, Some(&map_codes), 2),
            key(graph, &front, Some(&front_codes), 3),
            key(graph, &light_token, None, 4),
        ];
        let keys = graph.concat(&keys.iter().collect::<Vec<_>>(), 1);
        let memory = graph.concat(&[&bev, &agents, &map, &front, &light_token], 1);
        let state = self.ego.emit_state(graph, speed_mps, command);
        Some(self.ego.emit(graph, &state, &light, (&keys, &memory), &coarse))
    }

    /// What the perception heads say about encoded tokens.
    pub fn heads(&self, scene: &SceneTokens) -> Perception {
        let cameras = self.rig.cameras.len() as i64;
        let image = self.image_head.as_ref().zip(scene.image_features.as_ref()).map(|(head, features)| {
            let batch = features.size()[0] / cameras;
            head.forward(features).unflatten(0, [batch, cameras])
        });
        let [agent_logits, boxes, motion, motion_logits, map_logits, map_points] =
            std::array::from_fn(|i| scene.queries[i].shallow_clone());
        Perception {
            bev: self.bev_head.forward(&scene.bev_grid),
            image,
            agent_logits,
            boxes,
            motion,
            motion_logits,
            map_logits,
            map_points,
            light_logits: self.light.class.forward(&scene.light.squeeze_dim(1)),
        }
    }
}

/// Encoder and planner with their weights.
#[derive(Debug)]
pub struct Student {
    /// All variables: keys `encoder.…` and `planner.…`.
    pub vs: VarStore,
    /// Key `encoder`.
    pub encoder: Encoder,
    /// Key `planner`.
    pub planner: VaePlanner,
    /// Settings.
    pub config: StudentConfig,
}

impl Student {
    /// A fresh student whose weights depend on `config` and `seed` alone.
    ///
    /// # Errors
    /// [`PlannerError::Config`].
    pub fn new(config: &StudentConfig, seed: u64, device: Device) -> Result<Self, PlannerError> {
        let vs = VarStore::new(device, seed);
        let encoder = Encoder::new(&(vs.root() / "encoder"), config)?;
        let planner = VaePlanner::new(&(vs.root() / "planner"), &config.planner);
        Ok(Self { vs, encoder, planner, config: config.clone() })
    }

    /// See [`Encoder::encode`].
    pub fn encode(&self, inputs: &Inputs, train: bool) -> SceneTokens {
        self.encoder.encode(inputs, train)
    }

    /// See [`Encoder::heads`].
    pub fn heads(&self, scene: &SceneTokens) -> Perception {
        self.encoder.heads(scene)
    }

    /// The plan of encoded tokens.
    pub fn decode(&self, scene: &SceneTokens, draw: Draw<'_>) -> PlanOutput {
        self.planner.forward(&scene.latent, &scene.speed, draw)
    }

    /// The contract of this student under today's conventions.
    pub fn contract(&self, recipe: &str, training: serde_json::Value, data_hash: &str) -> Contract {
        let model = serde_json::to_value(&self.config).expect("a configuration is plain data");
        Contract::new("student", self.config.preprocessing(), recipe, model, training, data_hash)
    }

    /// Write weights and contract.
    ///
    /// # Errors
    /// [`PlannerError::Weights`].
    pub fn save(&self, path: &std::path::Path, contract: &Contract) -> Result<(), PlannerError> {
        let metadata = BTreeMap::from([(CONTRACT_FIELD.to_string(), contract.to_json())]);
        Ok(write_tensors(path, &self.vs.tensors(), &metadata)?)
    }

    /// Read a student. Strict: contract, configuration, keys and shapes must all be honoured.
    ///
    /// # Errors
    /// Any of this room's errors, each naming the file and the field.
    pub fn load(path: &std::path::Path, device: Device) -> Result<(Self, Contract), PlannerError> {
        let file = read_tensors(path)?;
        let wrong = |source| PlannerError::Contract { path: path.into(), source };
        let contract = Contract::parse(file.field(CONTRACT_FIELD)?, "student").map_err(wrong)?;
        let config = read_config(&contract).map_err(wrong)?;
        let student = Self::new(&config, 0, device).map_err(|e| wrong(ContractError::unsound_model(e)))?;
        student.vs.load(&file)?;
        Ok((student, contract))
    }
}

/// The configuration inside a contract, checked against the contract's preprocessing.
///
/// # Errors
/// [`apprentice_core::contract::ContractError`] names the field.
pub fn read_config(contract: &Contract) -> Result<StudentConfig, ContractError> {
    let config: StudentConfig = serde_json::from_value(contract.model.clone())?;
    let mine = config.preprocessing();
    if mine != contract.preprocessing {
        return Err(ContractError::Mismatch {
            field: "preprocessing",
            expected: serde_json::to_string(&mine).expect("plain data"),
            found: serde_json::to_string(&contract.preprocessing).expect("plain data"),
        });
    }
    Ok(config)
}
