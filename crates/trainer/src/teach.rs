//! `train planner|teacher`, `harvest`, `distill`.

use crate::device::choose;
use apprentice_cli::arguments::{CellName, Common, Distill, Harvest as HarvestArguments, Train, VariantName};
use apprentice_cli::source::Source;
use apprentice_cli::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_core::hash::content_hash;
use apprentice_data::{Part, WorldSet};
use apprentice_distill::recipes::orion_lite::Cell;
use apprentice_distill::{
    Done, Guides, Pace, STUDENT_FILE, SharedRun, SharedTask, StudentRun, StudentTask, TEACHER_FILE, Task, TeacherRun,
    TeacherTask, TrainConfig, resolve, train,
};
use apprentice_planner::{Student, StudentConfig};
use apprentice_teacher::{GuidanceCache, Harvest, Tap, Teacher, TeacherConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::Device;

/// Worlds, the only source that can be learned from so far.
pub fn worlds(source: &Source) -> Result<Arc<WorldSet>, BoxedError> {
    match source {
        Source::Worlds(dir) => Ok(Arc::new(WorldSet::open(dir)?)),
        other => Err(CliError::new(
            format!("{other} has no images to learn from"),
            "learn from `worlds:DIR`, made by `apprentice worlds make`",
        )
        .into()),
    }
}

fn configured<T: Serialize + DeserializeOwned>(
    common: &Common,
    preset_key: &str,
    defaults: impl Fn(Option<&str>) -> Result<T, apprentice_distill::DistillError>,
) -> Result<T, BoxedError> {
    let mut settings = vec![format!("train.seed={}", common.seed)];
    settings.extend(common.set.iter().cloned());
    Ok(resolve(preset_key, defaults, common.config.as_deref(), &settings)?)
}

fn pace(config: &TrainConfig) -> Pace {
    Pace { steps: config.steps, checkpoint_every: config.checkpoint_every, log_every: config.log_every }
}

#[derive(Serialize)]
struct Trained {
    schema: &'static str,
    file: PathBuf,
    #[serde(flatten)]
    done: Done,
}

fn finish(task: &mut dyn Task, out: &Path, file: &str, pace: Pace, console: &Console) -> Result<(), BoxedError> {
    let done = train(task, out, pace, console)?;
    let trained = Trained { schema: "apprentice.trained/1", file: out.join(file), done };
    console.answer(&trained, || {
        let d = &trained.done;
        format!("{}: {} steps in {:.0} s, loss {:.4}", trained.file.display(), d.steps, d.seconds, d.final_loss)
    });
    Ok(())
}

/// With `--dry-run`, print the resolved configuration instead of training.
fn dry(common: &Common, run: &impl Serialize, console: &Console) -> bool {
    if common.dry_run {
        let text = || toml::to_string_pretty(run).unwrap_or_else(|e| format!("# cannot be written as TOML: {e}"));
        console.answer(run, text);
    }
    common.dry_run
}

/// `train planner`
pub fn planner(arguments: &Train, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let device = choose(arguments.device, console)?;
    let set = worlds(&arguments.data)?;
    let defaults = |preset: Option<&str>| Ok(StudentRun::base(StudentConfig::preset(preset.unwrap_or("nano"))?));
    let run = configured(common, "model.preset", defaults)?;
    if dry(common, &run, console) {
        return Ok(());
    }
    let pace = pace(&run.train);
    let guides = Guides { start: start(arguments.from.as_deref(), device)?, ..Guides::default() };
    let mut task = StudentTask::new(&set, run, guides, device)?;
    finish(&mut task, &arguments.out, STUDENT_FILE, pace, console)
}

/// `train teacher`
pub fn teacher(arguments: &Train, common: &Common, console: &Console) -> Result<(), BoxedError> {
    if arguments.from.is_some() {
        let hint = "start a teacher fresh, or give `--from` to `train planner`";
        return Err(CliError::new("`train teacher` cannot start from a student", hint).into());
    }
    let device = choose(arguments.device, console)?;
    let set = worlds(&arguments.data)?;
    let defaults = |preset: Option<&str>| Ok(TeacherRun::new(TeacherConfig::preset(preset.unwrap_or("nano"))?));
    let run = configured(common, "model.preset", defaults)?;
    if dry(common, &run, console) {
        return Ok(());
    }
    let pace = pace(&run.train);
    let mut task = TeacherTask::new(&set, run, device)?;
    finish(&mut task, &arguments.out, TEACHER_FILE, pace, console)
}

fn file_hash(path: &Path) -> Result<String, BoxedError> {
    Ok(content_hash(&apprentice_store::read_bytes(path)?))
}

/// The student to start from, and the hash of its file.
fn start(from: Option<&Path>, device: Device) -> Result<Option<(Student, String)>, BoxedError> {
    let Some(path) = from else { return Ok(None) };
    let (student, _) = Student::load(path, device)?;
    Ok(Some((student, file_hash(path)?)))
}

/// `harvest`
pub fn harvest(arguments: &HarvestArguments, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let device = choose(arguments.device, console)?;
    let set = worlds(&arguments.data)?;
    let (teacher, ..) = Teacher::load(&arguments.teacher, device)?;
    let teacher_hash = file_hash(&arguments.teacher)?;
    let mut ids = set.ids(Part::Driving);
    ids.extend(set.ids(Part::OpenRoad));
    let harvest = Harvest { guide: &teacher, teacher_hash: &teacher_hash, set: &set, ids: &ids, taps: &Tap::ALL };
    if common.dry_run {
        let price = harvest.price()?;
        console.answer(&price, || {
            let bytes: u64 = price.bytes.iter().map(|(_, b)| b).sum();
            let taps: Vec<String> = price.bytes.iter().map(|(t, b)| format!("{t} {:.1} MB", *b as f64 / 1e6)).collect();
            format!(
                "{} samples: {:.1} MB ({}), about {:.0} s",
                price.samples,
                bytes as f64 / 1e6,
                taps.join(", "),
                price.seconds
            )
        });
        return Ok(());
    }
    let caches = harvest.run(&arguments.out, console)?;
    let listed: Vec<_> = Tap::ALL
        .iter()
        .zip(&caches)
        .map(|(tap, cache)| serde_json::json!({ "tap": tap.name(), "samples": cache.len(), "hash": cache.hash() }))
        .collect();
    console.answer(&serde_json::json!({ "schema": "apprentice.harvest/1", "taps": listed }), || {
        format!("{}: {} samples, taps {}", arguments.out.display(), ids.len(), Tap::ALL.map(Tap::name).join(", "))
    });
    Ok(())
}

/// `distill`
pub fn distill(arguments: &Distill, common: &Common, console: &Console) -> Result<(), BoxedError> {
    if arguments.recipe != "orion-lite" {
        return Err(
            CliError::new(format!("there is no recipe `{}`", arguments.recipe), "recipes are: orion-lite").into()
        );
    }
    let device = choose(arguments.device, console)?;
    let set = worlds(&arguments.data)?;
    let (teacher, ..) = Teacher::load(&arguments.teacher, device)?;
    let teacher_hash = file_hash(&arguments.teacher)?;
    let preprocessing = teacher.config.vision.preprocessing().hash();
    let open = |tap: Tap| -> Result<GuidanceCache, BoxedError> {
        let folder = arguments.guidance.join(tap.name());
        let cache = GuidanceCache::open(&folder)?;
        cache.expect(&folder, &teacher_hash, tap.name(), &preprocessing)?;
        Ok(cache)
    };
    let (tokens, trajectories) = (open(Tap::PlanningToken)?, open(Tap::Trajectories)?);
    let guides = Guides {
        start: start(arguments.from.as_deref(), device)?,
        teacher: Some(&teacher),
        teacher_hash: Some(teacher_hash.clone()),
        identity: format!("{} {}", tokens.hash(), trajectories.hash()),
        tokens: Some(Box::new(tokens)),
        trajectories: Some(Box::new(trajectories)),
        answers: None,
    };
    let cell = match arguments.cell {
        CellName::GtOnly => Cell::GtOnly,
        CellName::MimicOnly => Cell::MimicOnly,
        CellName::Both => Cell::Both,
    };
    match arguments.variant {
        VariantName::OwnEncoder => {
            let defaults = |preset: Option<&str>| {
                let model = StudentConfig::preset(preset.unwrap_or("nano"))?;
                Ok(if arguments.pseudo_labels {
                    StudentRun { recipe: "pseudo-labels".into(), pseudo_labels: true, ..StudentRun::base(model) }
                } else {
                    StudentRun::orion_lite(model, cell)
                })
            };
            let run = configured(common, "model.preset", defaults)?;
            if dry(common, &run, console) {
                return Ok(());
            }
            let pace = pace(&run.train);
            let mut task = StudentTask::new(&set, run, guides, device)?;
            finish(&mut task, &arguments.out, STUDENT_FILE, pace, console)
        }
        VariantName::SharedVision => {
            let run = configured(common, "none", |_| Ok(SharedRun::new(cell)))?;
            if dry(common, &run, console) {
                return Ok(());
            }
            let pace = pace(&run.train);
            let vision_tokens = Box::new(open(Tap::VisionTokens)?);
            let mut task = SharedTask::new(&set, run, guides, vision_tokens)?;
            finish(&mut task, &arguments.out, STUDENT_FILE, pace, console)
        }
    }
}
