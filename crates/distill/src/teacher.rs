//! Training a teacher on the general corpus, and asking it questions about scenes nobody trained on.

use crate::evaluate::{Judging, open_loop};
use crate::run::Task;
use crate::source::{Source, ids_of};
use crate::student::restore;
use crate::{DistillError, TrainConfig};
use apprentice_core::Silent;
use apprentice_core::sample::SampleId;
use apprentice_data::{Loader, LoaderConfig, Part, WorldSet};
use apprentice_eval::PlanningResult;
use apprentice_eval::language::captions::{self, Pair, Splitting};
use apprentice_nn::{AdamW, Schedule, StepReport, TensorFile, noise};
use apprentice_planner::backbone::load_published;
use apprentice_planner::batch::observe;
use apprentice_planner::{Item, collate};
use apprentice_store::write_json;
use apprentice_teacher::{
    Marked, Quiz, QuizReport, Teacher, TeacherConfig, TeacherWeights, TextBatch, TextTokenizer, draw_lessons,
    teacher_loss,
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Tensor, no_grad};

/// Name of the file a finished run leaves.
pub const TEACHER_FILE: &str = "teacher.safetensors";
/// Name of the file with its answers' score.
pub const QUIZ_FILE: &str = "quiz.json";
/// Samples whose words the tokenizer learns from, at most.
const TOKENIZER_SAMPLES: usize = 3000;
/// Name of the file with all its scores: answers, captions, plans.
pub const SCORES_FILE: &str = "scores.json";
/// The type of question whose answers are captions.
const CAPTION: &str = "describe";
const QUIZ_BATCH: usize = 16;

/// A teacher to go on from, and what its file is identified by.
///
/// # Errors
/// When the file is no teacher.
pub fn load_teacher(path: &Path, device: Device) -> Result<(Teacher, String), DistillError> {
    let (teacher, _, hash) = Teacher::load(path, device)?;
    Ok((teacher, hash))
}

/// How good a teacher is on held-out samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherScores {
    /// Which part of the worlds.
    pub part: String,
    /// Answers word for word, by type of question.
    pub quiz: QuizReport,
    /// Captions judged.
    pub captions: usize,
    /// Their figures, by name.
    pub caption_scores: Vec<(String, f64)>,
    /// Plans, under each of the house's protocols.
    pub planning: Vec<PlanningResult>,
}

/// Settings of a teacher's training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRun {
    /// Name, for tables and the contract.
    pub recipe: String,
    /// Network.
    pub model: TeacherConfig,
    /// Training.
    pub train: TrainConfig,
    /// Weights of the parts of its loss; `answers = 0` is the teacher without language.
    pub weights: TeacherWeights,
    /// Questions per sample and step.
    pub questions: usize,
    /// Held-out samples whose questions are asked at the end.
    pub quiz_samples: usize,
}

impl TeacherRun {
    /// ORION-style, on the corpus.
    pub fn new(model: TeacherConfig) -> Self {
        Self {
            recipe: "teacher".into(),
            model,
            train: TrainConfig::default(),
            weights: TeacherWeights::default(),
            questions: 8,
            quiz_samples: 256,
        }
    }
}

/// The task.
pub struct TeacherTask {
    run: TeacherRun,
    set: Arc<WorldSet>,
    source: Source,
    teacher: Teacher,
    optimiser: AdamW,
    schedule: Schedule,
    /// Hash of the weights it started from.
    start: Option<String>,
    /// Hash of the published weights of its backbone.
    backbone: Option<String>,
}

/// Every n-th sample, about `count` of them.
pub fn spread(ids: Vec<SampleId>, count: usize) -> Vec<SampleId> {
    let step = ids.len().div_ceil(count.max(1)).max(1);
    ids.into_iter().step_by(step).collect()
}

fn learn_tokenizer(set: &WorldSet, vocabulary: usize) -> Result<TextTokenizer, DistillError> {
    let mut words = std::collections::BTreeSet::new();
    for id in spread(ids_of(set, Part::Corpus)?, TOKENIZER_SAMPLES) {
        for qa in &set.sample(&id)?.language {
            words.insert(qa.question.clone());
            words.insert(qa.answer.clone());
        }
    }
    Ok(TextTokenizer::train(words.iter().map(String::as_str), vocabulary)?)
}

impl TeacherTask {
    /// Prepare a run, from a teacher of the same network and the hash of its file, or from chance: then the tokenizer is learnt
    /// from the corpus first.
    ///
    /// # Errors
    /// When the corpus is empty or cannot be read, a setting makes no model, or the start has another network.
    pub fn new(
        set: &Arc<WorldSet>,
        run: TeacherRun,
        start: Option<(Teacher, String)>,
        device: Device,
    ) -> Result<Self, DistillError> {
        run.train.check()?;
        let tokenizer = match &start {
            Some((start, _)) => start.tokenizer.clone(),
            None => learn_tokenizer(set, run.model.vocabulary)?,
        };
        let teacher = Teacher::new(&run.model, tokenizer, run.train.seed, device)?;
        run.train.check_start(start.is_some())?;
        if let Some((start, _)) = &start {
            if start.config != teacher.config {
                return Err(DistillError::config(
                    "the teacher to start from has another network than the one to train",
                ));
            }
            teacher.vs.copy_subtree("", &start.vs, "")?;
        }
        if let Some(file) = &run.train.backbone {
            load_published(&teacher.vs, file)?;
        }
        let optimiser = AdamW::new(&teacher.vs, run.train.optimiser, |key| Some(run.train.rate(key)));
        let source = Source::new(set, Part::Corpus, run.model.vision.preprocessing().rig, &run.train)?;
        let schedule = Schedule::cosine(run.train.warmup_steps, run.train.steps);
        let start = start.map(|(_, hash)| hash);
        let backbone = run.train.backbone_hash()?;
        Ok(Self { set: set.clone(), source, teacher, optimiser, schedule, start, backbone, run })
    }
}

impl Task for TeacherTask {
    fn name(&self) -> String {
        format!("train {}", self.run.recipe)
    }

    fn identity(&self) -> serde_json::Value {
        let identity = serde_json::json!({
            "kind": "teacher",
            "run": self.run,
            "start": self.start,
            "data": self.set.hash(),
            "threads": crate::run::processor(self.teacher.vs.device()),
        });
        crate::run::with_backbone(identity, self.backbone.as_deref())
    }

    fn step(&mut self, step: u64) -> Result<(StepReport, Vec<(&'static str, f64)>), DistillError> {
        let frames = self.source.frames(step)?;
        let labelled = &frames.frames[..frames.labelled];
        let items: Vec<_> = labelled.iter().map(|f| Item::labelled(&f.sample, &f.images)).collect();
        let device = self.teacher.vs.device();
        let batch = collate(&self.run.model.vision, &items, device)?;
        let seed = self.run.train.seed;
        let mut lessons = Vec::with_capacity(labelled.len());
        let count = if self.run.weights.answers > 0.0 { self.run.questions } else { 0 };
        for (i, frame) in labelled.iter().enumerate() {
            let key = [seed, 0x1e55_0000, step, i as u64];
            lessons.push(draw_lessons(&self.teacher, &frame.sample, count, &key)?);
        }
        let text = TextBatch::new(&lessons, self.teacher.tokenizer.special().pad, device);
        let z = self.run.model.vision.planner.z;
        let noise = noise(&[seed, 0x0007_015e, step], &[labelled.len() as i64, z]).to_device(device);
        let (loss, terms) = teacher_loss(&self.teacher, &batch, text.as_ref(), &noise, &self.run.weights);
        Ok((self.optimiser.step(&loss, self.schedule.factor(step)), terms))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.teacher.vs.tensors();
        state.extend(self.optimiser.state());
        state
    }

    fn restore(&mut self, file: TensorFile) -> Result<(), DistillError> {
        restore(file, &[(&self.teacher.vs, "")], &mut self.optimiser)
    }

    fn finish(&mut self, folder: &Path) -> Result<(), DistillError> {
        let training = serde_json::to_value(&self.run).map_err(|e| DistillError::config(e.to_string()))?;
        let contract = self.teacher.contract(&self.run.recipe, training, self.set.hash());
        if self.run.weights.answers > 0.0 && self.run.quiz_samples > 0 {
            let scores = scores(&self.teacher, &self.set, self.run.train.seed, self.run.quiz_samples)?;
            write_json(&folder.join(QUIZ_FILE), &scores.quiz)?;
            write_json(&folder.join(SCORES_FILE), &scores)?;
        }
        Ok(self.teacher.save(&folder.join(TEACHER_FILE), &contract)?)
    }
}

/// Ask a teacher all questions about `count` samples spread over a held-out part.
///
/// # Errors
/// When the part is empty or cannot be read.
pub fn quiz(teacher: &Teacher, set: &Arc<WorldSet>, part: Part, count: usize) -> Result<Quiz, DistillError> {
    let vision = &teacher.config.vision;
    let preprocessing = vision.preprocessing();
    let ids = spread(ids_of(set, part)?, count);
    let mut loader = Loader::new(set.clone(), ids, LoaderConfig::evaluation(preprocessing.rig.clone(), QUIZ_BATCH))?;
    let mut quiz = Quiz::default();
    for step in 0..loader.batches() {
        let frames = loader.batch(step)?;
        let images: Vec<_> = frames.iter().map(|f| f.images.as_slice()).collect();
        let speed: Vec<_> = frames.iter().map(|f| f.sample.ego.speed_mps).collect();
        let command: Vec<_> = frames.iter().map(|f| f.sample.command.index() as i64).collect();
        let inputs = observe(vision, &preprocessing, &images, &speed, &command, teacher.vs.device())?;
        let (_, tokens) = no_grad(|| teacher.see(&inputs, false));
        let samples: Vec<_> = frames.iter().map(|f| f.sample.as_ref()).collect();
        quiz.ask(teacher, &tokens, &samples)?;
    }
    Ok(quiz)
}

/// Everything that says how good a teacher is, on about `count` samples of the design part.
///
/// # Errors
/// When the part is empty or cannot be read.
pub fn scores(teacher: &Teacher, set: &Arc<WorldSet>, seed: u64, count: usize) -> Result<TeacherScores, DistillError> {
    let quiz = quiz(teacher, set, Part::Design, count)?;
    let pair = |mark: &Marked| Pair { candidate: mark.said.clone(), references: vec![mark.truth.clone()] };
    let pairs: Vec<Pair> = quiz.answers(CAPTION).iter().map(pair).collect();
    let caption_scores = if pairs.is_empty() {
        vec![]
    } else {
        // METEOR needs word lists that may not be at hand; a card must not depend on them.
        let scores = captions::score(&pairs, Splitting::PennTreebank, None)?;
        scores.metrics("").into_iter().filter_map(|m| Some((m.name, m.value?))).collect()
    };
    let on = Judging { set, part: Part::Design, samples: Some(count), protocols: &["valid-starts"] };
    let mut planning = open_loop("teacher", teacher, Some(seed), &on, &Silent)?;
    planning.iter_mut().for_each(|result| result.rows.clear());
    let part = Part::Design.name().into();
    Ok(TeacherScores { part, quiz: quiz.report(), captions: pairs.len(), caption_scores, planning })
}
