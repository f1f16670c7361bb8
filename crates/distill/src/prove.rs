//! The proving ground: a recipe, its controls and its floors and ceilings, on the same images and steps, over seeds.
//!
//! Everything lies in one folder and is resumable run by run: a finished run is found and not repeated. The outcome is
//! `evidence.bin` (what became of every judged start, to be kept and pooled), and made from it `prove.json` and `prove.md`:
//! per arm the error overall and per tier with intervals clustered by world, the paired difference to the base, and the two
//! gates. A failed gate stands where a claim would.

use crate::evaluate::{BatchPlanner, ConstantVelocityPlanner, Judging, open_loop, open_planner};
use crate::evidence::{EVIDENCE_FILE, Evidence, StartFacts};
use crate::recipes::orion_lite::Cell;
use crate::run::{Pace, Task, train};
use crate::shared_vision::{SharedRun, SharedTask};
use crate::source::Source;
use crate::student::{Guides, STUDENT_FILE, StudentRun, StudentTask, load_student};
use crate::table::{ProveReport, report};
use crate::teacher::{QUIZ_FILE, TEACHER_FILE, TeacherRun, TeacherTask, load_teacher};
use crate::{DistillError, TrainConfig};
use apprentice_core::sample::SampleId;
use apprentice_core::{AgentClass, Progress, Silent};
use apprentice_data::{Part, WorldSet};
use apprentice_eval::{Judged, PlanningResult};
use apprentice_planner::{InputMode, Student};
use apprentice_store::{read_json, write_atomic, write_json};
use apprentice_teacher::{Answering, GuidanceCache, Guide, Harvest, Shuffled, Tap, Teacher, answer_kinds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tch::Device;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// Floor: repeats its speed.
    ConstantVelocity,
    /// Floor: the student without pictures.
    NoImage,
    /// Ceiling: the student that is told what the cameras could show.
    ObservableCeiling,
    /// Labels of the driving set.
    Base,
    /// The base that goes through the stem's training and its own twice.
    BaseTwice,
    /// The teacher's trajectories as labels on the open road.
    PseudoLabels,
    /// The teacher's answers as class labels.
    AnswerLabels,
    /// Latents of the base itself.
    SelfDistillation,
    /// Latents of a teacher of the same size that saw no language.
    TeacherWithoutLanguage,
    /// The teacher's latents of other scenes.
    ShuffledGuidance,
    /// Orion-Lite, own encoder, ground truth alone.
    OwnGtOnly,
    /// Orion-Lite, own encoder, mimicry alone.
    OwnMimicOnly,
    /// Orion-Lite, own encoder, both: the claim.
    OwnBoth,
    /// Orion-Lite, shared vision, ground truth alone.
    SharedGtOnly,
    /// Orion-Lite, shared vision, mimicry alone.
    SharedMimicOnly,
    /// Orion-Lite, shared vision, both.
    SharedBoth,
    /// The student trained on the corpus itself.
    UpperBound,
    /// The teacher.
    Teacher,
}

impl Arm {
    /// All, in the order of the table.
    pub const ALL: [Arm; 18] = [
        Self::ConstantVelocity,
        Self::NoImage,
        Self::ObservableCeiling,
        Self::Base,
        Self::BaseTwice,
        Self::PseudoLabels,
        Self::AnswerLabels,
        Self::SelfDistillation,
        Self::TeacherWithoutLanguage,
        Self::ShuffledGuidance,
        Self::OwnGtOnly,
        Self::OwnMimicOnly,
        Self::OwnBoth,
        Self::SharedGtOnly,
        Self::SharedMimicOnly,
        Self::SharedBoth,
        Self::UpperBound,
        Self::Teacher,
    ];

    /// As written in folders and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConstantVelocity => "constant-velocity",
            Self::NoImage => "no-image",
            Self::ObservableCeiling => "observable-ceiling",
            Self::Base => "base",
            Self::BaseTwice => "base-twice",
            Self::PseudoLabels => "pseudo-labels",
            Self::AnswerLabels => "answer-labels",
            Self::SelfDistillation => "self-distillation",
            Self::TeacherWithoutLanguage => "teacher-without-language",
            Self::ShuffledGuidance => "shuffled-guidance",
            Self::OwnGtOnly => "own-gt-only",
            Self::OwnMimicOnly => "own-mimic-only",
            Self::OwnBoth => "own-both",
            Self::SharedGtOnly => "shared-gt-only",
            Self::SharedMimicOnly => "shared-mimic-only",
            Self::SharedBoth => "shared-both",
            Self::UpperBound => "upper-bound",
            Self::Teacher => "teacher",
        }
    }

    /// From a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arm| arm.name() == name)
    }

    fn cell(self) -> Cell {
        match self {
            Self::OwnMimicOnly | Self::SharedMimicOnly => Cell::MimicOnly,
            Self::OwnBoth
            | Self::SharedBoth
            | Self::SelfDistillation
            | Self::TeacherWithoutLanguage
            | Self::ShuffledGuidance => Cell::Both,
            _ => Cell::GtOnly,
        }
    }

    fn shares_vision(self) -> bool {
        matches!(self, Self::SharedGtOnly | Self::SharedMimicOnly | Self::SharedBoth)
    }

    /// Whether it learns from a teacher, or from the base as from one.
    fn is_guided(self) -> bool {
        self.cell().mimics()
            || self.shares_vision()
            || matches!(self, Self::PseudoLabels | Self::AnswerLabels | Self::OwnGtOnly)
    }

    /// Whether it has other inputs than the stem, so that it cannot start from it.
    fn starts_fresh(self) -> bool {
        matches!(self, Self::NoImage | Self::ObservableCeiling)
    }

    fn trains(self) -> bool {
        !matches!(self, Self::ConstantVelocity | Self::Teacher)
    }
}

/// Weights to go on from. The floor and the ceiling have other inputs and always begin from chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFiles {
    /// Every stem starts as this student.
    pub student: PathBuf,
    /// The teacher starts as this one.
    pub teacher: PathBuf,
}

/// Settings of a proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveConfig {
    /// Rows of the table. The base is always run.
    pub arms: Vec<Arm>,
    /// Seeds of training; every arm uses the same ones.
    pub seeds: Vec<u64>,
    /// Weights that the stems and the teacher go on from; from chance without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartFiles>,
    /// The teacher.
    pub teacher: TeacherRun,
    /// What every arm that has cameras and its own encoder starts from, one per seed: the base, trained so long. Seeing takes
    /// most of the steps and is the same for all arms; they part where guidance begins. Without it, every arm starts fresh.
    pub stem: Option<TrainConfig>,
    /// The base student; the arms are changes of it.
    pub student: StudentRun,
    /// The shared-vision student.
    pub shared: SharedRun,
    /// The held-out part that is judged: `design` for decisions, `test` for the table.
    pub part: Part,
    /// Samples that are judged, spread evenly; 0 for all.
    pub judge_samples: usize,
    /// Protocols; the first one makes the table.
    pub protocols: Vec<String>,
    /// The endpoint that was written down before the run.
    pub primary_endpoint: String,
}

/// Trainings side by side, one thread each: for networks of this size two runs on two threads are done long before one run
/// after the other on both.
struct Proof<'a> {
    set: &'a Arc<WorldSet>,
    config: &'a ProveConfig,
    folder: PathBuf,
    device: Device,
    progress: &'a dyn Progress,
    workers: usize,
}

/// A model that is done, and the folder of what is harvested from it.
struct Guided<M> {
    model: M,
    hash: String,
    folder: PathBuf,
}

impl<M> Guided<M> {
    fn cache(&self, tap: Tap) -> Result<GuidanceCache, DistillError> {
        Ok(GuidanceCache::open(&self.folder.join(tap.name()))?)
    }
}

/// Added to a seed where a stem is trained once more, so that it meets other samples.
const AGAIN: u64 = 1_000_000;
const TEACHER: &str = "teacher";
const MUTE_TEACHER: &str = "teacher-without-language";

/// Train in a folder, unless that is done, and give the path of the file it left.
///
/// # Errors
/// As [`train`].
pub fn train_to(
    task: &mut dyn Task,
    config: &TrainConfig,
    folder: &Path,
    file: &str,
    progress: &dyn Progress,
) -> Result<PathBuf, DistillError> {
    train(task, folder, Pace::of(config), progress)?;
    Ok(folder.join(file))
}

/// The steps of many trainings on one bar.
struct OneBar<'a>(&'a dyn Progress);

impl Progress for OneBar<'_> {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, n: u64) {
        self.0.advance(n);
    }
    fn skip(&self, n: u64) {
        self.0.skip(n);
    }
    fn note(&self, text: &str) {
        self.0.note(text);
    }
    fn finish(&self) {}
}

/// A job that panics ends all that have not begun, as one that fails does.
struct StopOnPanic<'a>(&'a AtomicUsize, usize);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(self.1, Relaxed);
        }
    }
}

/// Something to train, and how many steps that takes.
type Job<'a> = (u64, Box<dyn Fn(&dyn Progress) -> Result<(), DistillError> + Send + Sync + 'a>);

impl Proof<'_> {
    /// Do jobs side by side; the first error ends all that have not begun.
    fn side_by_side(&self, stage: &str, jobs: &[Job<'_>]) -> Result<(), DistillError> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.progress.start(stage, jobs.iter().map(|(steps, _)| steps).sum());
        let bar = OneBar(self.progress);
        let next = AtomicUsize::new(0);
        let work = || {
            let _stop = StopOnPanic(&next, jobs.len());
            apprentice_nn::set_threads(1);
            while let Some((_, job)) = jobs.get(next.fetch_add(1, Relaxed)) {
                if let Err(e) = job(&bar) {
                    next.store(jobs.len(), Relaxed);
                    return Err(e);
                }
            }
            Ok(())
        };
        let outcome = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers.min(jobs.len())).map(|_| scope.spawn(work)).collect();
            let join =
                |t: std::thread::ScopedJoinHandle<'_, _>| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            // All are waited for; the first error in order counts.
            threads.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
        });
        self.progress.finish();
        outcome
    }

    fn teacher_run(&self, name: &str) -> TeacherRun {
        let mut run = self.config.teacher.clone();
        if name == MUTE_TEACHER {
            run.recipe = name.into();
            run.weights.answers = 0.0;
        }
        run
    }

    fn train_teacher(&self, name: &str, progress: &dyn Progress) -> Result<(), DistillError> {
        let run = self.teacher_run(name);
        let start = self.config.start.as_ref().map(|files| load_teacher(&files.teacher, self.device)).transpose()?;
        let mut task = TeacherTask::new(self.set, run.clone(), start, self.device)?;
        train_to(&mut task, &run.train, &self.folder.join(name), TEACHER_FILE, progress).map(|_| ())
    }

    /// What the guided arms will look at: guidance is harvested for these samples and no others.
    fn looked_at(&self, arms: &[Arm]) -> Result<Vec<SampleId>, DistillError> {
        let mut ids = BTreeSet::new();
        for &arm in arms.iter().filter(|arm| arm.is_guided()) {
            for &seed in &self.config.seeds {
                ids.extend(self.looked_at_by(arm, seed)?);
            }
        }
        Ok(ids.into_iter().collect())
    }

    fn looked_at_by(&self, arm: Arm, seed: u64) -> Result<BTreeSet<SampleId>, DistillError> {
        let (rig, train) = match arm.shares_vision() {
            true => (self.config.teacher.model.vision.preprocessing().rig, self.shared_run(arm, seed).train),
            false => {
                let run = self.student_run(arm, seed);
                (run.model.preprocessing().rig, run.train)
            }
        };
        let source = Source::new(self.set, Part::Driving, rig, &train)?;
        Ok((0..train.steps).flat_map(|step| source.ids(step).0).collect())
    }

    fn harvest(
        &self,
        guide: &dyn Guide,
        hash: &str,
        ids: &[SampleId],
        taps: &[Tap],
        folder: &Path,
    ) -> Result<(), DistillError> {
        let harvest = Harvest { guide, teacher_hash: hash, set: self.set, ids, taps };
        harvest.run(folder, self.progress)?;
        Ok(())
    }

    fn run_folder(&self, arm: Arm, seed: u64) -> PathBuf {
        self.folder.join("runs").join(arm.name()).join(format!("seed-{seed}"))
    }

    fn student_run(&self, arm: Arm, seed: u64) -> StudentRun {
        let mut run = self.config.student.clone();
        run.recipe = arm.name().into();
        run.train.seed = seed;
        run.cell = arm.cell();
        run.mimic = run.cell.deciding(run.mimic);
        if arm != Arm::AnswerLabels {
            run.answer_labels = 0.0;
        }
        let stem_steps = self.config.stem.as_ref().map_or(0, |stem| stem.steps);
        match arm {
            Arm::NoImage | Arm::ObservableCeiling => {
                run.model.inputs = match arm {
                    Arm::NoImage => InputMode::EgoOnly,
                    _ => InputMode::VisibleLabels,
                };
                // Nothing to start from: all steps at once, as the stem is trained.
                if let Some(stem) = &self.config.stem {
                    let steps = stem_steps + run.train.steps;
                    run.train = TrainConfig { steps, seed, backbone: None, ..stem.clone() };
                }
            }
            Arm::BaseTwice => run.train.steps *= 2,
            Arm::UpperBound => run.labels = Part::Corpus,
            Arm::PseudoLabels => run.pseudo_labels = true,
            // The recipe and those of its controls that differ in the guide alone.
            Arm::OwnGtOnly
            | Arm::OwnMimicOnly
            | Arm::OwnBoth
            | Arm::SelfDistillation
            | Arm::TeacherWithoutLanguage
            | Arm::ShuffledGuidance => run.planner_from_teacher = true,
            _ => {}
        }
        run
    }

    fn shared_run(&self, arm: Arm, seed: u64) -> SharedRun {
        let mut run = self.config.shared.clone();
        run.recipe = arm.name().into();
        run.cell = arm.cell();
        run.mimic = run.cell.deciding(run.mimic);
        run.train.seed = seed;
        run
    }

    fn steps(&self, arm: Arm, seed: u64) -> u64 {
        let again = self.config.stem.as_ref().filter(|_| arm == Arm::BaseTwice).map_or(0, |stem| stem.steps);
        match arm.shares_vision() {
            true => self.shared_run(arm, seed).train.steps,
            false => again + self.student_run(arm, seed).train.steps,
        }
    }

    /// Where a stem lies, or the one that went through its training twice.
    fn stem_folder(&self, seed: u64, again: bool) -> PathBuf {
        let name = if again { "stem-twice" } else { "stem" };
        self.folder.join("runs").join(name).join(format!("seed-{seed}"))
    }

    /// Train a stem; `again` from the stem, with other samples.
    fn train_stem(
        &self,
        stem: &TrainConfig,
        seed: u64,
        again: bool,
        progress: &dyn Progress,
    ) -> Result<(), DistillError> {
        let mut run = self.config.student.clone();
        run.recipe = if again { "stem-twice" } else { "stem" }.into();
        run.mimic = run.cell.deciding(run.mimic);
        run.answer_labels = 0.0;
        run.train = TrainConfig { seed: if again { seed + AGAIN } else { seed }, ..stem.clone() };
        let start = if again {
            run.train.backbone = None;
            Some(self.stem_folder(seed, false).join(STUDENT_FILE))
        } else {
            self.config.start.as_ref().map(|files| files.student.clone())
        };
        let start = start.map(|path| load_student(&path, self.device)).transpose()?;
        let guides = Guides { start, ..Guides::default() };
        let mut task = StudentTask::new(self.set, run.clone(), guides, self.device)?;
        train_to(&mut task, &run.train, &self.stem_folder(seed, again), STUDENT_FILE, progress).map(|_| ())
    }

    fn start(&self, arm: Arm, seed: u64) -> Result<Option<(Student, String)>, DistillError> {
        if self.config.stem.is_none() || arm.starts_fresh() || arm.shares_vision() {
            return Ok(None);
        }
        let folder = self.stem_folder(seed, arm == Arm::BaseTwice);
        load_student(&folder.join(STUDENT_FILE), self.device).map(Some)
    }

    /// A teacher that is done.
    fn teacher(&self, name: &str) -> Result<Guided<Teacher>, DistillError> {
        let folder = self.folder.join(name);
        let (model, _, hash) = Teacher::load(&folder.join(TEACHER_FILE), self.device)?;
        Ok(Guided { model, hash, folder: folder.join("guidance") })
    }

    /// The base, as a guide.
    fn base(&self, seed: u64) -> Result<Guided<Student>, DistillError> {
        let folder = self.run_folder(Arm::Base, seed);
        let (model, hash) = load_student(&folder.join(STUDENT_FILE), self.device)?;
        Ok(Guided { model, hash, folder: folder.join("guidance") })
    }

    /// What an arm learns from the base as from a teacher.
    fn guides_of_base<'b>(&self, seed: u64, base: &'b Guided<Student>) -> Result<Guides<'b>, DistillError> {
        let tokens = base.cache(Tap::PlanningToken)?;
        Ok(Guides {
            start: self.start(Arm::SelfDistillation, seed)?,
            planner: Some(&base.model.vs),
            teacher_hash: Some(base.hash.clone()),
            identity: tokens.spec().identity(),
            tokens: Some(Box::new(tokens)),
            ..Guides::default()
        })
    }

    /// What an arm learns from a teacher. A run is identified by what its guidance is, not by how much of it was harvested: that
    /// depends on the other arms and seeds.
    fn guides<'b>(&self, arm: Arm, seed: u64, guided: &'b Guided<Teacher>) -> Result<Guides<'b>, DistillError> {
        let mut guides = Guides {
            start: self.start(arm, seed)?,
            teacher: Some(&guided.model),
            planner: Some(&guided.model.vs),
            teacher_hash: Some(guided.hash.clone()),
            ..Guides::default()
        };
        let mut cache = |tap: Tap| -> Result<GuidanceCache, DistillError> {
            let cache = guided.cache(tap)?;
            guides.identity = cache.spec().identity();
            Ok(cache)
        };
        match arm {
            Arm::PseudoLabels => guides.trajectories = Some(Box::new(cache(Tap::Trajectories)?)),
            Arm::AnswerLabels => {
                let classes = answer_kinds(self.set)?.iter().map(|kind| kind.answers.len()).collect();
                guides.answers = Some((Box::new(cache(Tap::Answers)?), classes));
            }
            Arm::ShuffledGuidance => {
                let ids: Vec<_> = self.looked_at_by(arm, seed)?.into_iter().collect();
                guides.tokens = Some(Box::new(Shuffled::new(cache(Tap::PlanningToken)?, &ids, seed)));
                guides.identity = format!("{} shuffled by {seed}", guides.identity);
            }
            _ if arm.cell().mimics() => guides.tokens = Some(Box::new(cache(Tap::PlanningToken)?)),
            _ => {}
        }
        Ok(guides)
    }

    /// Train an arm with a seed, and judge it.
    fn run_arm(&self, arm: Arm, seed: u64, progress: &dyn Progress) -> Result<(), DistillError> {
        let folder = self.run_folder(arm, seed);
        if let (Arm::BaseTwice, Some(stem)) = (arm, &self.config.stem) {
            self.train_stem(stem, seed, true, progress)?;
        }
        let (teacher, base) = match arm {
            _ if !arm.is_guided() => (None, None),
            Arm::SelfDistillation => (None, Some(self.base(seed)?)),
            Arm::TeacherWithoutLanguage => (Some(self.teacher(MUTE_TEACHER)?), None),
            _ => (Some(self.teacher(TEACHER)?), None),
        };
        let guides = match (&teacher, &base) {
            (Some(teacher), _) => self.guides(arm, seed, teacher)?,
            (_, Some(base)) => self.guides_of_base(seed, base)?,
            _ => Guides { start: self.start(arm, seed)?, ..Guides::default() },
        };
        let path = match &teacher {
            Some(guided) if arm.shares_vision() => {
                let run = self.shared_run(arm, seed);
                let vision = guided.cache(Tap::VisionTokens)?;
                let mut task = SharedTask::new(self.set, run.clone(), guides, Box::new(vision))?;
                train_to(&mut task, &run.train, &folder, STUDENT_FILE, progress)?
            }
            _ => {
                let run = self.student_run(arm, seed);
                let mut task = StudentTask::new(self.set, run.clone(), guides, self.device)?;
                train_to(&mut task, &run.train, &folder, STUDENT_FILE, progress)?
            }
        };
        let (planner, _) = open_planner(&path, self.device)?;
        self.judge(arm.name(), Some(seed), planner.as_ref(), &folder, &Silent).map(|_| ())
    }

    /// The trained arms of a list, every seed.
    fn arm_jobs(&self, arms: &[Arm]) -> Vec<Job<'_>> {
        let mut jobs: Vec<Job<'_>> = vec![];
        for &seed in &self.config.seeds {
            for &arm in arms {
                let job = move |progress: &dyn Progress| self.run_arm(arm, seed, progress);
                jobs.push((self.steps(arm, seed), Box::new(job)));
            }
        }
        jobs
    }

    /// Judge everything that is not judged yet, and put it together.
    fn evidence(&self, arms: &[Arm]) -> Result<Evidence, DistillError> {
        let c = self.config;
        let mut results = vec![];
        for &arm in arms {
            let mut judge = |seed: Option<u64>, planner: &dyn BatchPlanner, folder: &Path| {
                let judged = self.judge(arm.name(), seed, planner, folder, self.progress)?;
                results.extend(judged.into_iter().next().map(|result| (arm, seed, result)));
                Ok::<_, DistillError>(())
            };
            match arm {
                Arm::ConstantVelocity => {
                    judge(None, &ConstantVelocityPlanner, &self.folder.join("runs").join(arm.name()))?;
                }
                Arm::Teacher => {
                    let folder = self.folder.join(TEACHER);
                    let (planner, _) = open_planner(&folder.join(TEACHER_FILE), self.device)?;
                    judge(Some(c.teacher.train.seed), planner.as_ref(), &folder)?;
                }
                _ => {
                    for &seed in &c.seeds {
                        let folder = self.run_folder(arm, seed);
                        let (planner, _) = open_planner(&folder.join(STUDENT_FILE), self.device)?;
                        judge(Some(seed), planner.as_ref(), &folder)?;
                    }
                }
            }
        }
        let (_, _, first) = results.first().ok_or_else(|| DistillError::config("nothing was judged"))?;
        let quiz = self.folder.join(TEACHER).join(QUIZ_FILE);
        let mut evidence = Evidence {
            config: c.clone(),
            data_hash: self.set.hash().into(),
            protocol: first.protocol.clone(),
            quizzes: if quiz.is_file() { vec![read_json(&quiz)?] } else { vec![] },
            starts: first.rows.iter().map(|row| start_facts(self.set, row)).collect::<Result<_, DistillError>>()?,
            runs: vec![],
        };
        for (arm, seed, result) in &results {
            evidence.add(*arm, *seed, result)?;
        }
        Ok(evidence)
    }

    /// Judge a planner, unless that is done.
    fn judge(
        &self,
        name: &str,
        seed: Option<u64>,
        planner: &dyn BatchPlanner,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<PlanningResult>, DistillError> {
        let c = self.config;
        let protocols: Vec<&str> = c.protocols.iter().map(String::as_str).collect();
        let count = c.judge_samples;
        let paths: Vec<_> =
            protocols.iter().map(|p| folder.join(format!("{}-{count}-{p}.json", c.part.name()))).collect();
        if paths.iter().all(|p| p.exists()) {
            return paths.iter().map(|p| Ok(read_json(p)?)).collect();
        }
        let on = Judging { set: self.set, part: c.part, samples: (count > 0).then_some(count), protocols: &protocols };
        let results = open_loop(name, planner, seed, &on, progress)?;
        for (path, result) in paths.iter().zip(&results) {
            write_json(path, result)?;
        }
        Ok(results)
    }
}

fn start_facts(set: &WorldSet, row: &Judged) -> Result<StartFacts, DistillError> {
    let near = |a: &apprentice_core::AgentLabel| {
        matches!(a.class, AgentClass::Pedestrian | AgentClass::Bicycle | AgentClass::Motorcycle)
            && a.visible_pixels > 0
            && a.center_in_ego[0].hypot(a.center_in_ego[1]) < 25.0
    };
    let people = set.sample(&row.id)?.agents.iter().any(near);
    Ok(StartFacts { id: row.id.clone(), tier: row.tier.clone(), family: row.family.clone(), people })
}

/// Run the proof, or what is missing of it, and write its tables into `folder`. So many trainings run side by side as there
/// are `workers`, on one thread each.
///
/// # Errors
/// When a run cannot be made or judged.
pub fn prove(
    set: &Arc<WorldSet>,
    config: &ProveConfig,
    folder: &Path,
    workers: usize,
    device: Device,
    progress: &dyn Progress,
) -> Result<ProveReport, DistillError> {
    if config.seeds.is_empty() || config.protocols.is_empty() {
        return Err(DistillError::config("seeds and protocols must not be empty"));
    }
    if config.start.is_some() && (config.stem.is_none() || config.arms.contains(&Arm::TeacherWithoutLanguage)) {
        return Err(DistillError::config(
            "start needs a stem, and is not for the arm teacher-without-language: its teacher would have seen language",
        ));
    }
    if config.stem.is_some() && config.student.train.backbone.is_some() {
        return Err(DistillError::config("student.train.backbone is lost under a stem; set stem.backbone"));
    }
    let mut arms = config.arms.clone();
    arms.push(Arm::Base);
    arms.sort();
    arms.dedup();
    let proof = Proof { set, config, folder: folder.into(), device, progress, workers: workers.max(1) };
    let trained: Vec<Arm> = arms.iter().copied().filter(|arm| arm.trains()).collect();
    let guided: Vec<Arm> = trained.iter().copied().filter(|arm| arm.is_guided()).collect();
    // The longest run waits for nobody and nobody for it: it fills up the last stage.
    let (last, first): (Vec<Arm>, Vec<Arm>) =
        trained.iter().partition(|arm| arm.is_guided() || **arm == Arm::BaseTwice);
    let (fresh, stemmed): (Vec<Arm>, Vec<Arm>) = first.iter().partition(|arm| arm.starts_fresh());

    // Teachers, stems, floor and ceiling wait for nobody, the long ones first.
    let mut teachers = vec![];
    if !guided.is_empty() || arms.contains(&Arm::Teacher) {
        teachers.push(TEACHER);
    }
    if guided.contains(&Arm::TeacherWithoutLanguage) {
        teachers.push(MUTE_TEACHER);
    }
    let proof = &proof;
    let mut jobs: Vec<Job<'_>> = vec![];
    for &name in &teachers {
        let job = move |progress: &dyn Progress| proof.train_teacher(name, progress);
        jobs.push((config.teacher.train.steps, Box::new(job)));
    }
    for (stem, &seed) in config.stem.iter().flat_map(|stem| config.seeds.iter().map(move |seed| (stem, seed))) {
        let job = move |progress: &dyn Progress| proof.train_stem(stem, seed, false, progress);
        jobs.push((stem.steps, Box::new(job)));
    }
    jobs.extend(proof.arm_jobs(&fresh));
    proof.side_by_side("train teacher, stems, floor", &jobs)?;
    proof.side_by_side("train base, bounds", &proof.arm_jobs(&stemmed))?;

    apprentice_nn::set_threads(proof.workers);
    if !guided.is_empty() {
        let ids = proof.looked_at(&guided)?;
        for &name in &teachers {
            let from = proof.teacher(name)?;
            let mut taps = vec![Tap::PlanningToken];
            if name == TEACHER {
                taps.extend(guided.contains(&Arm::PseudoLabels).then_some(Tap::Trajectories));
                taps.extend(guided.iter().any(|arm| arm.shares_vision()).then_some(Tap::VisionTokens));
            }
            proof.harvest(&from.model, &from.hash, &ids, &taps, &from.folder)?;
            if name == TEACHER && guided.contains(&Arm::AnswerLabels) {
                let kinds = answer_kinds(set)?;
                let asked = Answering::new(&from.model, &kinds)?;
                proof.harvest(&asked, &from.hash, &ids, &[Tap::Answers], &from.folder)?;
            }
        }
        if guided.contains(&Arm::SelfDistillation) {
            for &seed in &config.seeds {
                let base = proof.base(seed)?;
                proof.harvest(&base.model, &base.hash, &ids, &[Tap::PlanningToken], &base.folder)?;
            }
        }
    }
    proof.side_by_side("train with guidance", &proof.arm_jobs(&last))?;

    apprentice_nn::set_threads(proof.workers);
    let evidence = proof.evidence(&arms)?;
    evidence.write(&folder.join(EVIDENCE_FILE))?;
    let report = report(&evidence)?;
    write_json(&folder.join("prove.json"), &report)?;
    write_atomic(&folder.join("prove.md"), report.markdown().as_bytes())?;
    Ok(report)
}
