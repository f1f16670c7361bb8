//! Orion-Lite's `shared-vision`: the teacher's eyes, frozen; a one-query decoder where its language model was.

use crate::evaluate::BatchPlanner;
use crate::recipes::orion_lite::{self, Cell, DecoderConfig, MimicConfig, SharedDecoder};
use crate::run::Task;
use crate::source::Source;
use crate::student::{Guides, STUDENT_FILE, restore, token_tensor};
use crate::{DistillError, TrainConfig};
use apprentice_core::contract::Preprocessing;
use apprentice_core::{BoxedError, Contract, Driver, EpisodeInfo, GuidanceSource, Observation, Plan, Rig, Trajectory};
use apprentice_data::{Frame, Part, WorldSet};
use apprentice_nn::{AdamW, Schedule, StepReport, TensorFile, VarStore, noise, read_tensors, write_tensors};
use apprentice_planner::batch::observe;
use apprentice_planner::driver::plan_of;
use apprentice_planner::loss::{self, PlanWeights};
use apprentice_planner::student::CONTRACT_FIELD;
use apprentice_planner::{Draw, Encoder, InputMode, Inputs, Item, PlanOutput, StudentConfig, VaePlanner, collate};
use apprentice_teacher::{Adapter, Teacher, TeacherConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor, no_grad};

/// Kind in its contract.
pub const SHARED_KIND: &str = "shared-vision-student";

/// Everything that fixes the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedConfig {
    /// The teacher whose vision side it has. Its language model is not built.
    pub teacher: TeacherConfig,
    /// What replaces the language model.
    pub decoder: DecoderConfig,
}

/// Settings of its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedRun {
    /// Name, for tables and the contract.
    pub recipe: String,
    /// What replaces the language model.
    pub decoder: DecoderConfig,
    /// Training.
    pub train: TrainConfig,
    /// Terms of planning.
    pub planning_terms: PlanWeights,
    /// Which of mimic and ground truth act.
    pub cell: Cell,
    /// The mimic term.
    pub mimic: MimicConfig,
}

impl SharedRun {
    /// Orion-Lite in one of its cells.
    pub fn new(cell: Cell) -> Self {
        Self {
            recipe: format!("orion-lite/shared-vision/{}", cell.name()),
            decoder: DecoderConfig::default(),
            train: TrainConfig { open_road_share: 0.25, ..TrainConfig::default() },
            planning_terms: orion_lite::plan_weights(),
            cell,
            mimic: cell.deciding(MimicConfig::for_small_latents()),
        }
    }
}

/// The network: frozen vision side, decoder, planner.
#[derive(Debug)]
pub struct SharedVision {
    /// Keys `encoder.…` and `adapter.…`: the teacher's, frozen.
    pub vision: VarStore,
    /// Keys `decoder.…` and `planner.…`: trained.
    pub vs: VarStore,
    encoder: Encoder,
    adapter: Adapter,
    decoder: SharedDecoder,
    planner: VaePlanner,
    /// Settings.
    pub config: SharedConfig,
}

impl SharedVision {
    /// A fresh one whose trained weights depend on configuration and seed alone.
    ///
    /// # Errors
    /// When a setting makes no network.
    pub fn new(config: &SharedConfig, seed: u64, device: Device) -> Result<Self, DistillError> {
        config.decoder.check()?;
        config.teacher.check()?;
        let teacher = &config.teacher;
        let (vision, vs) = (VarStore::new(device, seed), VarStore::new(device, seed));
        let (seen, root) = (vision.root(), vs.root());
        let latent = teacher.vision.planner.latent;
        Ok(Self {
            encoder: Encoder::new(&(&seen / "encoder"), &teacher.vision)?,
            adapter: Adapter::new(&(&seen / "adapter"), teacher),
            decoder: SharedDecoder::new(&(&root / "decoder"), &config.decoder, teacher.lm.hidden_size, latent),
            planner: VaePlanner::new(&(&root / "planner"), &teacher.vision.planner),
            vision,
            vs,
            config: config.clone(),
        })
    }

    /// A fresh one with the teacher's vision side and planner.
    ///
    /// # Errors
    /// When a setting makes no network.
    pub fn from_teacher(teacher: &Teacher, decoder: DecoderConfig, seed: u64) -> Result<Self, DistillError> {
        let config = SharedConfig { teacher: teacher.config.clone(), decoder };
        let student = Self::new(&config, seed, teacher.vs.device())?;
        for prefix in ["encoder.", "adapter."] {
            student.vision.copy_subtree(prefix, &teacher.vs, prefix)?;
        }
        student.vs.copy_subtree("planner.", &teacher.vs, "planner.")?;
        Ok(student)
    }

    /// The teacher's vision tokens, without gradient.
    ///
    /// # Shapes
    /// → `[B, V, D]`.
    pub fn vision_tokens(&self, inputs: &Inputs) -> Tensor {
        no_grad(|| {
            let scene = self.encoder.encode(inputs, false);
            let perception = self.encoder.heads(&scene);
            let scores = perception.agent_logits.amax(-1, false);
            let places = perception.map_points.mean_dim(2, false, Kind::Float);
            self.adapter.forward(&scene, &scores, &places)
        })
    }

    /// ê of vision tokens.
    ///
    /// # Shapes
    /// `[B, V, D]` → `[B, L]`.
    pub fn latent(&self, vision_tokens: &Tensor) -> Tensor {
        self.decoder.forward(vision_tokens)
    }

    /// The plan of ê.
    pub fn decode(&self, latent: &Tensor, speed_mps: &Tensor, draw: Draw<'_>) -> PlanOutput {
        self.planner.forward(latent, speed_mps, draw)
    }

    /// Camera images to plans.
    pub fn plan(&self, inputs: &Inputs) -> PlanOutput {
        no_grad(|| self.decode(&self.latent(&self.vision_tokens(inputs)), &inputs.speed, Draw::Mean))
    }

    /// How pixels enter it.
    pub fn preprocessing(&self) -> Preprocessing {
        self.config.teacher.vision.preprocessing()
    }

    /// Write weights and contract.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path, contract: &Contract) -> Result<(), DistillError> {
        let mut tensors = self.vision.tensors();
        tensors.extend(self.vs.tensors());
        let metadata = BTreeMap::from([(CONTRACT_FIELD.to_string(), contract.to_json())]);
        Ok(write_tensors(path, &tensors, &metadata)?)
    }

    /// Read one. Strict.
    ///
    /// # Errors
    /// Each names the file and the field.
    pub fn load(path: &Path, device: Device) -> Result<(Self, Contract), DistillError> {
        let file = read_tensors(path)?;
        let wrong =
            |source| DistillError::Planner(apprentice_planner::PlannerError::Contract { path: path.into(), source });
        let contract = Contract::parse(file.field(CONTRACT_FIELD)?, SHARED_KIND).map_err(wrong)?;
        let config: SharedConfig = serde_json::from_value(contract.model.clone()).map_err(|e| wrong(e.into()))?;
        let student = Self::new(&config, 0, device)?;
        if contract.preprocessing.hash() != student.preprocessing().hash() {
            return Err(wrong(apprentice_core::contract::ContractError::Mismatch {
                field: "preprocessing",
                expected: student.preprocessing().hash(),
                found: contract.preprocessing.hash(),
            }));
        }
        let of_vision = |key: &str| key.starts_with("encoder.") || key.starts_with("adapter.");
        student.vision.load_where(&file, of_vision)?;
        student.vs.load_where(&file, |key| !of_vision(key))?;
        Ok((student, contract))
    }
}

/// The task: nothing is rendered, the teacher's cached vision tokens are all it reads.
pub struct SharedTask<'a> {
    run: SharedRun,
    set: Arc<WorldSet>,
    source: Source,
    student: SharedVision,
    optimiser: AdamW,
    schedule: Schedule,
    guides: Guides<'a>,
    vision_tokens: Box<dyn GuidanceSource + 'a>,
    /// Collation without pictures.
    blind: StudentConfig,
}

impl<'a> SharedTask<'a> {
    /// Prepare a run. `guides` needs the teacher, and its planning tokens where the cell mimics.
    ///
    /// # Errors
    /// When something the recipe needs is missing.
    pub fn new(
        set: &Arc<WorldSet>,
        run: SharedRun,
        guides: Guides<'a>,
        vision_tokens: Box<dyn GuidanceSource + 'a>,
    ) -> Result<Self, DistillError> {
        run.train.check()?;
        if run.train.backbone.is_some() {
            return Err(DistillError::config(
                "train.backbone is for an encoder that is trained; this recipe keeps the teacher's",
            ));
        }
        let teacher = guides.teacher.ok_or_else(|| DistillError::config("this recipe needs a teacher"))?;
        if run.cell.mimics() && guides.tokens.is_none() {
            return Err(DistillError::config("this recipe needs the teacher's planning tokens"));
        }
        let student = SharedVision::from_teacher(teacher, run.decoder, run.train.seed)?;
        let frozen_planner = run.cell == Cell::MimicOnly;
        let rate = |key: &str| (!(frozen_planner && key.starts_with("planner."))).then_some(1.0);
        let optimiser = AdamW::new(&student.vs, run.train.optimiser, rate);
        let blind = teacher.config.vision.clone().with_inputs(InputMode::EgoOnly);
        let source = Source::new(set, Part::Driving, student.preprocessing().rig, &run.train)?;
        let schedule = Schedule::cosine(run.train.warmup_steps, run.train.steps);
        Ok(Self { set: set.clone(), source, student, optimiser, schedule, guides, vision_tokens, blind, run })
    }
}

impl Task for SharedTask<'_> {
    fn name(&self) -> String {
        format!("train {}", self.run.recipe)
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": SHARED_KIND,
            "run": self.run,
            "data": self.set.hash(),
            "teacher": self.guides.teacher_hash,
            "guidance": self.guides.identity,
            "threads": crate::run::processor(self.student.vs.device()),
        })
    }

    fn step(&mut self, step: u64) -> Result<(StepReport, Vec<(&'static str, f64)>), DistillError> {
        let (ids, labelled) = self.source.ids(step);
        let samples = ids.iter().map(|id| self.set.sample(id)).collect::<Result<Vec<_>, _>>()?;
        let device = self.student.vs.device();
        let [count, width] = [self.student.config.teacher.vision_tokens(), self.student.config.teacher.lm.hidden_size];
        let wanted: Vec<_> = ids.iter().collect();
        let (tokens, seen) = token_tensor(self.vision_tokens.as_ref(), &wanted, count * width, device)?;
        let missing = ids.len() as f64 - seen.sum(Kind::Float).double_value(&[]);
        if missing > 0.0 {
            let problem = format!("the vision tokens of {missing} of {} samples are not in the cache", ids.len());
            return Err(DistillError::config(problem));
        }
        let latent = self.student.latent(&tokens.reshape([-1, count, width]));
        let items: Vec<_> = samples
            .iter()
            .enumerate()
            .map(|(i, s)| Item { planning: i < labelled, ..Item::unlabelled(s, &[]) })
            .collect();
        let batch = collate(&self.blind, &items, device)?;
        let planning = self.run.cell.ground_truth().then(|| {
            let key = [self.run.train.seed, 0x0007_015e, step];
            let noise = noise(&key, &[ids.len() as i64, self.blind.planner.z]).to_device(device);
            let draw = Draw::Posterior { future: &batch.targets.future, noise: &noise };
            let plan = self.student.decode(&latent, &batch.inputs.speed, draw);
            loss::planning(&plan, &batch.targets, &batch.inputs.command, self.run.planning_terms.start)
        });
        let mimic = match self.guides.tokens.as_ref().filter(|_| self.run.cell.mimics()) {
            Some(source) => {
                let (target, valid) = token_tensor(source.as_ref(), &wanted, self.blind.planner.latent, device)?;
                Some(orion_lite::mimic(self.run.mimic.loss, &latent, &target, &valid))
            }
            None => None,
        };
        let mut terms: Vec<_> = planning.iter().flat_map(|p| p.values()).collect();
        terms.extend(mimic.iter().map(|m| ("mimic", m.double_value(&[]))));
        let (cell, weights) = (self.run.cell, &self.run.planning_terms);
        let total = orion_lite::loss(cell, mimic.as_ref(), planning.as_ref(), &self.run.mimic, weights)
            .ok_or_else(|| DistillError::config("no loss acts in this cell"))?;
        Ok((self.optimiser.step(&total, self.schedule.factor(step)), terms))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.student.vs.tensors();
        state.extend(self.optimiser.state());
        state
    }

    fn restore(&mut self, file: TensorFile) -> Result<(), DistillError> {
        restore(file, &[(&self.student.vs, "")], &mut self.optimiser)
    }

    fn finish(&mut self, folder: &Path) -> Result<(), DistillError> {
        let json = |e: serde_json::Error| DistillError::config(e.to_string());
        let model = serde_json::to_value(&self.student.config).map_err(json)?;
        let training = serde_json::to_value(&self.run).map_err(json)?;
        let preprocessing = self.student.preprocessing();
        let mut contract =
            Contract::new(SHARED_KIND, preprocessing, &self.run.recipe, model, training, self.set.hash());
        contract.teacher_hash = self.guides.teacher_hash.clone();
        self.student.save(&folder.join(STUDENT_FILE), &contract)
    }
}

/// [`SharedVision`] as a [`Driver`].
#[derive(Debug)]
pub struct SharedDriver {
    name: String,
    rig: Rig,
    student: SharedVision,
}

impl SharedDriver {
    /// A driver called `name`.
    pub fn new(name: &str, student: SharedVision) -> Self {
        Self { name: name.into(), rig: student.preprocessing().rig, student }
    }
}

impl Driver for SharedDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn rig(&self) -> Option<&Rig> {
        Some(&self.rig)
    }

    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }

    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        let inputs = observe(
            &self.student.config.teacher.vision,
            &self.student.preprocessing(),
            &[observation.images],
            &[observation.ego.speed_mps],
            &[observation.command.index() as i64],
            self.student.vs.device(),
        )?;
        Ok(plan_of(&self.student.plan(&inputs).trajectories.get(0), observation.command))
    }
}

impl BatchPlanner for SharedVision {
    fn preprocessing(&self) -> Option<Preprocessing> {
        Some(self.preprocessing())
    }

    fn plans(&self, frames: &[Frame]) -> Result<Vec<Trajectory>, DistillError> {
        let inputs = crate::evaluate::inputs(&self.config.teacher.vision, frames, self.vs.device())?;
        Ok(crate::evaluate::selected(&self.plan(&inputs), &inputs.command))
    }

    fn parameters(&self) -> usize {
        crate::evaluate::deployed(&self.vs) + self.vision.parameters()
    }
}
