//! The proving ground: a recipe, its controls and its floors and ceilings, on the same images and steps, over seeds.
//!
//! Everything lies in one folder and is resumable run by run: a finished run is found and not repeated. The outcome is
//! `prove.json` and `prove.md`: per arm the error overall and per tier with intervals clustered by world, the paired difference to the
//! base, and the two gates. A failed gate stands where a claim would.

use crate::evaluate::{BatchPlanner, ConstantVelocityPlanner, Judging, open_loop, open_planner};
use crate::recipes::orion_lite::Cell;
use crate::run::{Pace, Task, train};
use crate::shared_vision::{SharedRun, SharedTask};
use crate::source::ids_of;
use crate::student::{Guides, STUDENT_FILE, StudentRun, StudentTask};
use crate::table::{ArmRow, ProveReport, report};
use crate::teacher::{QUIZ_FILE, TEACHER_FILE, TeacherRun, TeacherTask};
use crate::{DistillError, TrainConfig};
use apprentice_core::sample::SampleId;
use apprentice_core::{GuidanceSource, Progress};
use apprentice_data::{Part, WorldSet};
use apprentice_eval::PlanningResult;
use apprentice_planner::{InputMode, Student};
use apprentice_store::{read_json, write_atomic, write_json};
use apprentice_teacher::{GuidanceCache, Guide, Harvest, QuizReport, Shuffled, Tap, Teacher};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// The base with twice the steps.
    BaseTwice,
    /// The teacher's trajectories as labels on the open road.
    PseudoLabels,
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
    pub const ALL: [Arm; 17] = [
        Self::ConstantVelocity,
        Self::NoImage,
        Self::ObservableCeiling,
        Self::Base,
        Self::BaseTwice,
        Self::PseudoLabels,
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

    fn trains(self) -> bool {
        !matches!(self, Self::ConstantVelocity | Self::Teacher)
    }
}

/// Settings of a proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveConfig {
    /// Rows of the table. The base is always run.
    pub arms: Vec<Arm>,
    /// Seeds of training; every arm uses the same ones.
    pub seeds: Vec<u64>,
    /// The teacher.
    pub teacher: TeacherRun,
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

struct Proof<'a> {
    set: &'a Arc<WorldSet>,
    config: &'a ProveConfig,
    folder: PathBuf,
    progress: &'a dyn Progress,
    /// Samples where guidance may be harvested: what students train on.
    ids: Vec<SampleId>,
}

struct Guided {
    teacher: Teacher,
    hash: String,
    tokens: GuidanceCache,
    trajectories: GuidanceCache,
    vision: Option<GuidanceCache>,
}

fn pace(train: &TrainConfig) -> Pace {
    Pace { steps: train.steps, checkpoint_every: train.checkpoint_every, log_every: train.log_every }
}

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
    train(task, folder, pace(config), progress)?;
    Ok(folder.join(file))
}

impl Proof<'_> {
    fn teacher(&self, name: &str, run: &TeacherRun, vision: bool) -> Result<Guided, DistillError> {
        let folder = self.folder.join(name);
        let path = folder.join(TEACHER_FILE);
        let mut task = TeacherTask::new(self.set, run.clone(), Device::Cpu)?;
        train_to(&mut task, &run.train, &folder, TEACHER_FILE, self.progress)?;
        let (teacher, _, hash) = Teacher::load(&path, Device::Cpu)?;
        let mut taps = vec![Tap::PlanningToken, Tap::Trajectories];
        if vision {
            taps.push(Tap::VisionTokens);
        }
        let mut caches = self.harvest(&teacher, &hash, &taps, &folder.join("guidance"))?.into_iter();
        let mut next = || caches.next().ok_or_else(|| DistillError::config("a tap gave no cache"));
        let (tokens, trajectories) = (next()?, next()?);
        let vision = if vision { Some(next()?) } else { None };
        Ok(Guided { teacher, hash, tokens, trajectories, vision })
    }

    fn harvest(
        &self,
        guide: &dyn Guide,
        hash: &str,
        taps: &[Tap],
        folder: &Path,
    ) -> Result<Vec<GuidanceCache>, DistillError> {
        let harvest = Harvest { guide, teacher_hash: hash, set: self.set, ids: &self.ids, taps };
        Ok(harvest.run(folder, self.progress)?)
    }

    fn run_folder(&self, arm: Arm, seed: u64) -> PathBuf {
        self.folder.join("runs").join(arm.name()).join(format!("seed-{seed}"))
    }

    fn student_run(&self, arm: Arm, seed: u64) -> StudentRun {
        let mut run = self.config.student.clone();
        run.recipe = arm.name().into();
        run.train.seed = seed;
        run.cell = arm.cell();
        match arm {
            Arm::NoImage => run.model.inputs = InputMode::EgoOnly,
            Arm::ObservableCeiling => run.model.inputs = InputMode::VisibleLabels,
            Arm::BaseTwice => run.train.steps *= 2,
            Arm::UpperBound => run.labels = Part::Corpus,
            Arm::PseudoLabels => run.pseudo_labels = true,
            Arm::OwnGtOnly | Arm::OwnMimicOnly | Arm::OwnBoth | Arm::ShuffledGuidance | Arm::TeacherWithoutLanguage => {
                run.planner_from_teacher = true;
            }
            _ => {}
        }
        run
    }

    /// The guidance of an arm.
    fn guides<'b>(&self, arm: Arm, seed: u64, guided: &'b Guided, own: Option<&'b GuidanceCache>) -> Guides<'b> {
        let cached = |cache: &'b GuidanceCache| Box::new(cache) as Box<dyn GuidanceSource + 'b>;
        let mut guides =
            Guides { teacher: Some(&guided.teacher), teacher_hash: Some(guided.hash.clone()), ..Guides::default() };
        match arm {
            Arm::PseudoLabels => {
                guides.trajectories = Some(cached(&guided.trajectories));
                guides.identity = guided.trajectories.hash().into();
            }
            Arm::SelfDistillation => {
                guides.tokens = own.map(cached);
                guides.identity = own.map_or_else(String::new, |c| c.hash().into());
            }
            Arm::ShuffledGuidance => {
                guides.tokens = Some(Box::new(Shuffled::new(&guided.tokens, &self.ids, seed)));
                guides.identity = format!("{} shuffled by {seed}", guided.tokens.hash());
            }
            _ if arm.cell().mimics() => {
                guides.tokens = Some(cached(&guided.tokens));
                guides.identity = guided.tokens.hash().into();
            }
            _ => {}
        }
        guides
    }

    /// Train an arm with a seed; gives the checkpoint's path.
    fn train_arm(&self, arm: Arm, seed: u64, guided: Option<&Guided>) -> Result<PathBuf, DistillError> {
        let folder = self.run_folder(arm, seed);
        let missing = || DistillError::config(format!("arm {} needs a teacher", arm.name()));
        if arm.shares_vision() {
            let guided = guided.ok_or_else(missing)?;
            let vision = guided.vision.as_ref().ok_or_else(missing)?;
            let mut run = self.config.shared.clone();
            run.recipe = arm.name().into();
            run.cell = arm.cell();
            run.train.seed = seed;
            let guides = self.guides(arm, seed, guided, None);
            let mut task = SharedTask::new(self.set, run.clone(), guides, Box::new(vision))?;
            return train_to(&mut task, &run.train, &folder, STUDENT_FILE, self.progress);
        }
        let run = self.student_run(arm, seed);
        let own = match arm {
            Arm::SelfDistillation => {
                let path = self.train_arm(Arm::Base, seed, None)?;
                let (base, _) = Student::load(&path, Device::Cpu)?;
                let hash = apprentice_core::hash::content_hash(&apprentice_store::read_bytes(&path)?);
                let guidance = self.run_folder(Arm::Base, seed).join("guidance");
                Some(self.harvest(&base, &hash[..16], &[Tap::PlanningToken], &guidance)?.remove(0))
            }
            _ => None,
        };
        let guides = match guided {
            Some(guided) if arm != Arm::Base => self.guides(arm, seed, guided, own.as_ref()),
            _ => Guides::default(),
        };
        let mut task = StudentTask::new(self.set, run.clone(), guides, Device::Cpu)?;
        train_to(&mut task, &run.train, &folder, STUDENT_FILE, self.progress)
    }

    /// Judge a planner, unless that is done.
    fn judge(
        &self,
        name: &str,
        seed: Option<u64>,
        planner: &dyn BatchPlanner,
        folder: &Path,
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
        let results = open_loop(name, planner, seed, &on, self.progress)?;
        for (path, result) in paths.iter().zip(&results) {
            write_json(path, result)?;
        }
        Ok(results)
    }
}

/// Run the proof, or what is missing of it, and write its tables into `folder`.
///
/// # Errors
/// When a run cannot be made or judged.
pub fn prove(
    set: &Arc<WorldSet>,
    config: &ProveConfig,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<ProveReport, DistillError> {
    if config.seeds.is_empty() || config.protocols.is_empty() {
        return Err(DistillError::config("seeds and protocols must not be empty"));
    }
    let mut arms = config.arms.clone();
    arms.push(Arm::Base);
    arms.sort();
    arms.dedup();
    let mut ids = ids_of(set, Part::Driving)?;
    ids.extend(ids_of(set, Part::OpenRoad)?);
    let proof = Proof { set, config, folder: folder.into(), progress, ids };

    let alone =
        [Arm::ConstantVelocity, Arm::NoImage, Arm::ObservableCeiling, Arm::Base, Arm::BaseTwice, Arm::UpperBound];
    let guided = match arms.iter().any(|arm| !alone.contains(arm)) {
        true => Some(proof.teacher("teacher", &config.teacher, arms.iter().any(|a| a.shares_vision()))?),
        false => None,
    };
    let mute = match arms.contains(&Arm::TeacherWithoutLanguage) {
        true => {
            let mut run = config.teacher.clone();
            run.recipe = "teacher-without-language".into();
            run.weights.answers = 0.0;
            Some(proof.teacher("teacher-without-language", &run, false)?)
        }
        false => None,
    };

    let mut rows = vec![];
    for &arm in &arms {
        let seeds = if arm.trains() { config.seeds.as_slice() } else { &config.seeds[..1] };
        let mut results = vec![];
        for &seed in seeds {
            let (planner, place): (Box<dyn BatchPlanner>, _) = match arm {
                Arm::ConstantVelocity => (Box::new(ConstantVelocityPlanner), folder.join("runs").join(arm.name())),
                Arm::Teacher => {
                    (open_planner(&folder.join("teacher").join(TEACHER_FILE), Device::Cpu)?.0, folder.join("teacher"))
                }
                _ => {
                    let from = if arm == Arm::TeacherWithoutLanguage { mute.as_ref() } else { guided.as_ref() };
                    let path = proof.train_arm(arm, seed, from)?;
                    (open_planner(&path, Device::Cpu)?.0, proof.run_folder(arm, seed))
                }
            };
            let seed = arm.trains().then_some(seed);
            results.push(proof.judge(arm.name(), seed, planner.as_ref(), &place)?);
        }
        rows.push(ArmRow::new(arm, results));
    }
    let quiz: Option<QuizReport> = match guided.is_some() {
        true => read_json(&folder.join("teacher").join(QUIZ_FILE)).ok(),
        false => None,
    };
    let report = report(set, config, &rows, quiz)?;
    write_json(&folder.join("prove.json"), &report)?;
    write_atomic(&folder.join("prove.md"), report.markdown().as_bytes())?;
    Ok(report)
}
