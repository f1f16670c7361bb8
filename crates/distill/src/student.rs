//! Training a student that ships alone: the base, every arm of the proving ground, and Orion-Lite's `own-encoder`.

use crate::recipes::answer_labels::{ANSWERS_PREFIX, AnswerHeads};
use crate::recipes::orion_lite::{self, Cell, MimicConfig};
use crate::run::Task;
use crate::source::{Source, observation_only};
use crate::{DistillError, TrainConfig};
use apprentice_core::sample::SampleId;
use apprentice_core::{GuidanceSource, HORIZON_STEPS, Sample, Trajectory};
use apprentice_data::{Part, WorldSet};
use apprentice_nn::{AdamW, Schedule, StepReport, TensorFile, VarStore, noise};
use apprentice_planner::backbone::load_published;
use apprentice_planner::loss::{self, PerceptionWeights, PlanWeights};
use apprentice_planner::{Draw, InputMode, Item, Student, StudentConfig, collate};
use apprentice_teacher::Teacher;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Name of the file a finished run leaves.
pub const STUDENT_FILE: &str = "student.safetensors";

/// A student to go on from, and what its file is identified by.
///
/// # Errors
/// When the file is no student.
pub fn load_student(path: &Path, device: Device) -> Result<(Student, String), DistillError> {
    let (student, _) = Student::load(path, device)?;
    let hash = apprentice_store::hash_file(path)?[..16].to_string();
    Ok((student, hash))
}

/// Settings of a student's training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentRun {
    /// Name of the recipe or arm, for tables and the contract.
    pub recipe: String,
    /// Network.
    pub model: StudentConfig,
    /// Training.
    pub train: TrainConfig,
    /// The part whose labels are used.
    pub labels: Part,
    /// On the sum of the perception terms.
    pub perception: f64,
    /// Terms of perception.
    pub perception_terms: PerceptionWeights,
    /// Terms of planning.
    pub planning_terms: PlanWeights,
    /// Which of mimic and ground truth act on the plan.
    pub cell: Cell,
    /// The mimic term.
    pub mimic: MimicConfig,
    /// Whether the planner starts as the guide's.
    pub planner_from_teacher: bool,
    /// Whether the teacher's trajectories are labels on the open road.
    pub pseudo_labels: bool,
    /// λ_a, on the teacher's answers as class labels; 0 without them.
    pub answer_labels: f64,
}

impl StudentRun {
    /// The base: labels of the driving set and nothing else.
    pub fn base(model: StudentConfig) -> Self {
        Self {
            recipe: "base".into(),
            model,
            train: TrainConfig { open_road_share: 0.25, ..TrainConfig::default() },
            labels: Part::Driving,
            perception: 1.0,
            perception_terms: PerceptionWeights::default(),
            planning_terms: orion_lite::plan_weights(),
            cell: Cell::GtOnly,
            mimic: MimicConfig::default(),
            planner_from_teacher: false,
            pseudo_labels: false,
            answer_labels: 0.0,
        }
    }

    /// Orion-Lite, `own-encoder`, in one of its cells.
    pub fn orion_lite(model: StudentConfig, cell: Cell) -> Self {
        Self {
            recipe: format!("orion-lite/own-encoder/{}", cell.name()),
            cell,
            mimic: cell.deciding(MimicConfig::for_small_latents()),
            planner_from_teacher: true,
            ..Self::base(model)
        }
    }
}

/// What a teacher contributes to a run.
#[derive(Default)]
pub struct Guides<'a> {
    /// Weights to start from (a student of the same shape) and the hash of their file; fresh ones otherwise.
    pub start: Option<(Student, String)>,
    /// The teacher, for students on its eyes.
    pub teacher: Option<&'a Teacher>,
    /// The guide's weights, for the planner's start: the teacher's, or the base's where the base is the guide.
    pub planner: Option<&'a VarStore>,
    /// Hash of the guide's checkpoint.
    pub teacher_hash: Option<String>,
    /// Planning tokens.
    pub tokens: Option<Box<dyn GuidanceSource + 'a>>,
    /// Trajectories per command.
    pub trajectories: Option<Box<dyn GuidanceSource + 'a>>,
    /// Classes of the teacher's answers, and how many there are of each type of question.
    pub answers: Option<(Box<dyn GuidanceSource + 'a>, Vec<usize>)>,
    /// Identifies the guidance (hashes of caches, shuffling).
    pub identity: String,
}

/// The task.
pub struct StudentTask<'a> {
    run: StudentRun,
    set: Arc<WorldSet>,
    source: Source,
    student: Student,
    answer_heads: Option<AnswerHeads>,
    optimiser: AdamW,
    schedule: Schedule,
    guides: Guides<'a>,
    /// Hash of the published weights of its backbone.
    backbone: Option<String>,
}

fn needs(what: &str) -> DistillError {
    DistillError::config(format!("this recipe needs {what}"))
}

impl<'a> StudentTask<'a> {
    /// Prepare a run.
    ///
    /// # Errors
    /// When settings contradict each other, guidance that the recipe needs is missing, or the planner of the teacher has another
    /// shape.
    pub fn new(set: &Arc<WorldSet>, run: StudentRun, guides: Guides<'a>, device: Device) -> Result<Self, DistillError> {
        run.train.check()?;
        if run.cell.mimics() && guides.tokens.is_none() {
            return Err(needs("the teacher's planning tokens"));
        }
        if run.pseudo_labels && guides.trajectories.is_none() {
            return Err(needs("the teacher's trajectories"));
        }
        let answer_heads = match (run.answer_labels > 0.0, &guides.answers) {
            (false, _) => None,
            (true, None) => return Err(needs("the teacher's answers")),
            (true, Some((_, classes))) => {
                Some(AnswerHeads::new(run.model.planner.latent, classes, run.train.seed, device))
            }
        };
        let student = Student::new(&run.model, run.train.seed, device)?;
        run.train.check_start(guides.start.is_some())?;
        if let Some(file) = &run.train.backbone {
            load_published(&student.vs, file)?;
        }
        if let Some((start, _)) = &guides.start {
            if start.config != run.model {
                return Err(DistillError::config(
                    "the student to start from has another network than the one to train",
                ));
            }
            student.vs.copy_subtree("", &start.vs, "")?;
        }
        if run.planner_from_teacher {
            let guide = guides.planner.ok_or_else(|| needs("a guide whose planner it starts from"))?;
            student.vs.copy_subtree("planner.", guide, "planner.")?;
        }
        let frozen_planner = run.cell == Cell::MimicOnly;
        let rate = |key: &str| (!(frozen_planner && key.starts_with("planner."))).then(|| run.train.rate(key));
        let stores: Vec<_> = std::iter::once(&student.vs).chain(answer_heads.iter().map(|h| &h.vs)).collect();
        let optimiser = AdamW::over(&stores, run.train.optimiser, rate);
        let source = Source::new(set, run.labels, run.model.preprocessing().rig, &run.train)?;
        if let Some(tokens) = guides.tokens.as_ref().filter(|_| run.cell.mimics()) {
            check_reach("planning tokens", tokens.as_ref(), &source, run.train.steps, false)?;
        }
        if let Some(plans) = guides.trajectories.as_ref().filter(|_| run.pseudo_labels) {
            check_reach("trajectories", plans.as_ref(), &source, run.train.steps, true)?;
        }
        let schedule = Schedule::cosine(run.train.warmup_steps, run.train.steps);
        let backbone = run.train.backbone_hash()?;
        Ok(Self { set: set.clone(), source, student, answer_heads, optimiser, schedule, guides, backbone, run })
    }

    /// The student as it is now.
    pub fn student(&self) -> &Student {
        &self.student
    }

    fn plan_of(&self, sample: &Sample) -> Result<Option<Trajectory>, DistillError> {
        let Some(source) = self.guides.trajectories.as_ref().filter(|_| self.run.pseudo_labels) else {
            return Ok(None);
        };
        let guidance = source.guidance(&sample.id).map_err(|e| DistillError::config(e.to_string()))?;
        Ok(guidance.filter(|g| g.valid).map(|g| {
            let at = sample.command.index() * HORIZON_STEPS * 2;
            Trajectory(std::array::from_fn(|t| [g.values[at + 2 * t], g.values[at + 2 * t + 1]]))
        }))
    }
}

/// Refuse guidance that is about none of the samples a run will look at (`open`: of those without labels).
fn check_reach(
    what: &str,
    guidance: &dyn GuidanceSource,
    source: &Source,
    steps: u64,
    open: bool,
) -> Result<(), DistillError> {
    for step in 0..steps {
        let (ids, labelled) = source.ids(step);
        for id in &ids[if open { labelled } else { 0 }..] {
            if guidance.guidance(id).map_err(|e| DistillError::config(e.to_string()))?.is_some_and(|g| g.valid) {
                return Ok(());
            }
        }
    }
    Err(DistillError::config(format!(
        "the guidance holds {what} of none of the samples this run looks at; harvest the parts that it trains on \
         (`driving` and `open-road`)"
    )))
}

/// The teacher's planning tokens of some samples: `[B, L]` and which of them are there, `[B]`.
pub(crate) fn token_tensor(
    source: &dyn GuidanceSource,
    ids: &[&SampleId],
    width: i64,
    device: Device,
) -> Result<(Tensor, Tensor), DistillError> {
    let mut values = vec![0f32; ids.len() * width as usize];
    let mut valid = vec![0f32; ids.len()];
    for (i, id) in ids.iter().enumerate() {
        let guidance = source.guidance(id).map_err(|e| DistillError::config(e.to_string()))?;
        let Some(guidance) = guidance.filter(|g| g.valid) else { continue };
        if guidance.values.len() != width as usize {
            let problem = format!("the teacher's latent has {} values, the student's {width}", guidance.values.len());
            return Err(DistillError::config(problem));
        }
        values[i * width as usize..(i + 1) * width as usize].copy_from_slice(&guidance.values);
        valid[i] = 1.0;
    }
    let tensor = |v: &[f32], shape: &[i64]| Tensor::from_slice(v).reshape(shape).to_device(device);
    Ok((tensor(&values, &[-1, width]), tensor(&valid, &[-1])))
}

impl Task for StudentTask<'_> {
    fn name(&self) -> String {
        format!("train {}", self.run.recipe)
    }

    fn identity(&self) -> serde_json::Value {
        let identity = serde_json::json!({
            "kind": "student",
            "run": self.run,
            "data": self.set.hash(),
            "start": self.guides.start.as_ref().map(|(_, hash)| hash),
            "teacher": self.guides.teacher_hash,
            "guidance": self.guides.identity,
            "threads": crate::run::processor(self.student.vs.device()),
        });
        crate::run::with_backbone(identity, self.backbone.as_deref())
    }

    fn step(&mut self, step: u64) -> Result<(StepReport, Vec<(&'static str, f64)>), DistillError> {
        let step_frames = self.source.frames(step)?;
        let frames = &step_frames.frames;
        let reads_labels = self.run.model.inputs == InputMode::VisibleLabels;
        let samples: Vec<Cow<'_, Sample>> = frames
            .iter()
            .enumerate()
            .map(|(i, f)| match i < step_frames.labelled || reads_labels {
                true => Cow::Borrowed(f.sample.as_ref()),
                false => Cow::Owned(observation_only(&f.sample)),
            })
            .collect();
        let mut items = Vec::with_capacity(frames.len());
        let mut guided = 1.0;
        for (i, (sample, frame)) in samples.iter().zip(frames).enumerate() {
            let item = Item::unlabelled(sample.as_ref(), &frame.images);
            items.push(if i < step_frames.labelled {
                Item { perception: true, planning: self.run.cell.ground_truth(), ..item }
            } else {
                let plan = self.plan_of(sample)?;
                Item { planning: plan.is_some() && self.run.cell.ground_truth(), plan, ..item }
            });
        }
        let device = self.student.vs.device();
        if self.run.pseudo_labels && frames.len() > step_frames.labelled {
            let given = items.iter().filter(|item| item.plan.is_some()).count();
            guided = given as f64 / (frames.len() - step_frames.labelled) as f64;
        }
        let batch = collate(&self.run.model, &items, device)?;
        let scene = self.student.encode(&batch.inputs, true);
        let perception = loss::perception(&self.student.heads(&scene), &batch.targets);
        let mut terms = perception.values();
        let mut total = perception.total(&self.run.perception_terms) * self.run.perception;

        let planning = self.run.cell.ground_truth().then(|| {
            let z = self.run.model.planner.z;
            let noise = noise(&[self.run.train.seed, 0x0007_015e, step], &[frames.len() as i64, z]).to_device(device);
            let draw = Draw::Posterior { future: &batch.targets.future, noise: &noise };
            let start = self.run.planning_terms.start;
            loss::planning(&self.student.decode(&scene, draw), &batch.targets, &batch.inputs.command, start)
        });
        let mimic = match self.guides.tokens.as_ref().filter(|_| self.run.cell.mimics()) {
            Some(source) => {
                let ids: Vec<_> = frames.iter().map(|f| &f.sample.id).collect();
                let (tokens, valid) = token_tensor(source.as_ref(), &ids, self.run.model.planner.latent, device)?;
                guided = valid.mean(Kind::Float).double_value(&[]);
                Some(orion_lite::mimic(self.run.mimic.loss, &scene.latent, &tokens, &valid))
            }
            None => None,
        };
        if let (Some(heads), Some((source, _))) = (&self.answer_heads, &self.guides.answers) {
            let ids: Vec<_> = frames.iter().map(|f| &f.sample.id).collect();
            let loss = heads.loss(&scene.latent, &heads.classes(source.as_ref(), &ids)?);
            terms.push(("answer_labels", loss.double_value(&[])));
            total = total + loss * self.run.answer_labels;
        }
        terms.extend(planning.iter().flat_map(|p| p.values()));
        terms.extend(mimic.iter().map(|m| ("mimic", m.double_value(&[]))));
        let (cell, weights) = (self.run.cell, &self.run.planning_terms);
        if let Some(plan) = orion_lite::loss(cell, mimic.as_ref(), planning.as_ref(), &self.run.mimic, weights) {
            total = total + plan;
        }
        let report = self.optimiser.step(&total, self.schedule.factor(step));
        // Guidance that does not reach all samples is seen in the log.
        terms.extend((guided < 1.0).then_some(("guided", guided)));
        Ok((report, terms))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.student.vs.tensors();
        state.extend(self.answer_heads.iter().flat_map(|heads| heads.vs.tensors()));
        state.extend(self.optimiser.state());
        state
    }

    fn restore(&mut self, file: TensorFile) -> Result<(), DistillError> {
        let mut stores = vec![(&self.student.vs, "encoder."), (&self.student.vs, "planner.")];
        stores.extend(self.answer_heads.iter().map(|heads| (&heads.vs, ANSWERS_PREFIX)));
        restore(file, &stores, &mut self.optimiser)
    }

    fn finish(&mut self, folder: &Path) -> Result<(), DistillError> {
        let training = serde_json::to_value(&self.run).map_err(|e| DistillError::config(e.to_string()))?;
        let mut contract = self.student.contract(&self.run.recipe, training, self.set.hash());
        contract.teacher_hash = self.guides.teacher_hash.clone();
        Ok(self.student.save(&folder.join(STUDENT_FILE), &contract)?)
    }
}

/// Take weights (stores with the prefix of their keys in the file) and optimiser state from a training checkpoint.
pub(crate) fn restore(
    file: TensorFile,
    stores: &[(&VarStore, &str)],
    optimiser: &mut AdamW,
) -> Result<(), DistillError> {
    for (store, prefix) in stores {
        let mine = |key: &str| key.starts_with(prefix) && !key.starts_with("optimizer.");
        store.load_where(&file, mine)?;
    }
    optimiser.load_state(&file)?;
    Ok(())
}
