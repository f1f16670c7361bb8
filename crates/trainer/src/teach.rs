//! `train planner|teacher`, `distill`.

use crate::device::choose;
use apprentice_cli::arguments::{CellName, Common, Distill, Train, VariantName};
use apprentice_cli::source::Source;
use apprentice_cli::{CliError, Console, shipped};
use apprentice_core::BoxedError;
use apprentice_data::WorldSet;
use apprentice_distill::recipes::orion_lite::Cell;
use apprentice_distill::{
    Done, Guides, Pace, SCORES_FILE, STUDENT_FILE, SharedRun, SharedTask, StudentRun, StudentTask, TEACHER_FILE, Task,
    TeacherRun, TeacherScores, TeacherTask, load_student, load_teacher, resolve, train,
};
use apprentice_planner::StudentConfig;
use apprentice_report::ModelCard;
use apprentice_teacher::{GuidanceCache, Tap, Teacher, TeacherConfig};
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
    let mut settings: Vec<_> = common.seed.iter().map(|seed| format!("train.seed={seed}")).collect();
    settings.extend(common.set.iter().cloned());
    Ok(resolve(preset_key, defaults, common.config.as_deref(), &settings)?)
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
    report(done, out, file, console);
    Ok(())
}

fn report(done: Done, out: &Path, file: &str, console: &Console) {
    let trained = Trained { schema: "apprentice.trained/1", file: out.join(file), done };
    console.answer(&trained, || {
        let d = &trained.done;
        format!("{}: {} steps in {:.0} s, loss {:.4}", trained.file.display(), d.steps, d.seconds, d.final_loss)
    });
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
    let pace = Pace::of(&run.train);
    let guides = Guides {
        start: arguments.from.as_deref().map(|path| load_student(path, device)).transpose()?,
        ..Guides::default()
    };
    let mut task = StudentTask::new(&set, run, guides, device)?;
    finish(&mut task, &arguments.out, STUDENT_FILE, pace, console)
}

/// `train teacher`
pub fn teacher(arguments: &Train, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let device = choose(arguments.device, console)?;
    let set = worlds(&arguments.data)?;
    let defaults = |preset: Option<&str>| Ok(TeacherRun::new(TeacherConfig::preset(preset.unwrap_or("nano"))?));
    let run = configured(common, "model.preset", defaults)?;
    if dry(common, &run, console) {
        return Ok(());
    }
    let pace = Pace::of(&run.train);
    let seed = run.train.seed;
    let start = arguments.from.as_deref().map(|path| load_teacher(path, device)).transpose()?;
    let mut task = TeacherTask::new(&set, run, start, device)?;
    let done = train(&mut task, &arguments.out, pace, console)?;
    card(&arguments.out, seed)?;
    report(done, &arguments.out, TEACHER_FILE, console);
    Ok(())
}

/// Name of the file beside a teacher that says how good it is.
const CARD_FILE: &str = "teacher.md";

/// The card of a finished teacher, from what its run folder holds.
fn card(folder: &Path, seed: u64) -> Result<(), BoxedError> {
    let path = folder.join(TEACHER_FILE);
    let (teacher, contract, _) = Teacher::load(&path, Device::Cpu)?;
    let mut card = ModelCard {
        name: "Teacher".into(),
        summary: format!(
            "A `{}` teacher: it answers questions about a scene and plans from it. It is for distillation and for looking into, \
             not for driving on a road.",
            teacher.config.preset
        ),
        file: TEACHER_FILE.into(),
        file_hash: apprentice_store::hash_file(&path)?,
        parameters: teacher.vs.parameters() as u64,
        command: "apprentice train teacher".into(),
        seed,
        limits: vec!["Trained and judged on generated worlds alone; nothing is known about real pictures.".into()],
        ..ModelCard::default()
    };
    match apprentice_store::read_json::<TeacherScores>(&folder.join(SCORES_FILE)) {
        Ok(scores) => {
            let part = &scores.part;
            let mut quiz = String::from("| question | asked | right | most frequent answer |\n|---|---|---|---|\n");
            for k in &scores.quiz.kinds {
                let (right, most) = (k.accuracy * 100.0, k.majority * 100.0);
                quiz += &format!(
                    "| {} | {} | {right:.1} % | {most:.1} % (`{}`) |\n",
                    k.kind, k.questions, k.majority_answer
                );
            }
            let (beaten, kinds) = (scores.quiz.beaten(), scores.quiz.kinds.len());
            quiz += &format!("\nBetter than the most frequent answer in {beaten} of {kinds} types.");
            card.sections.push((format!("Answers, word for word ({part} part)"), quiz));
            let mut captions = format!("{} captions, one reference each.\n\n| | |\n|---|---|\n", scores.captions);
            for (name, value) in &scores.caption_scores {
                captions += &format!("| {name} | {value:.4} |\n");
            }
            card.sections.push((format!("Captions ({part} part)"), captions));
            let mut plans = String::from(
                "| protocol | starts | L2 at 1, 2, 3 s (m) | collisions at 1, 2, 3 s (%) |\n|---|---|---|---|\n",
            );
            for r in &scores.planning {
                let metres = r.l2_at_t.map(|v| format!("{v:.3}")).join(" / ");
                let share = r.collision_at_t.map(|v| format!("{:.2}", v * 100.0)).join(" / ");
                plans += &format!("| {} | {} | {metres} | {share} |\n", r.protocol.name, r.starts);
            }
            card.sections.push((format!("Plans, open loop ({part} part)"), plans));
        }
        Err(e) if e.is_not_found() => {
            card.limits.push("Its answers were not judged (`quiz_samples` or `weights.answers` is 0).".into())
        }
        Err(e) => return Err(e.into()),
    }
    Ok(apprentice_store::write_atomic(&folder.join(CARD_FILE), card.markdown(&contract).as_bytes())?)
}

/// The teacher that was named, or the one that ships.
pub fn teacher_file(named: Option<&Path>) -> Result<PathBuf, CliError> {
    let hint = "name a teacher with --teacher: a checkpoint of `train teacher`";
    shipped::or_shipped(named, shipped::TEACHER, hint)
}

/// `distill`
pub fn distill(arguments: &Distill, common: &Common, console: &Console) -> Result<(), BoxedError> {
    if arguments.recipe != "orion-lite" {
        return Err(
            CliError::new(format!("there is no recipe `{}`", arguments.recipe), "recipes are: orion-lite").into()
        );
    }
    if arguments.variant == VariantName::SharedVision && (arguments.pseudo_labels || arguments.from.is_some()) {
        let problem = "--variant shared-vision takes neither --pseudo-labels nor --from";
        return Err(CliError::new(problem, "leave them out, or take --variant own-encoder").into());
    }
    let device = choose(arguments.device, console)?;
    let set = worlds(&arguments.data)?;
    let path = teacher_file(arguments.teacher.as_deref())?;
    let (teacher, teacher_hash) = load_teacher(&path, device)?;
    let preprocessing = teacher.config.vision.preprocessing().hash();
    let open = |tap: Tap| -> Result<GuidanceCache, BoxedError> {
        let folder = arguments.guidance.join(tap.name());
        let cache = GuidanceCache::open(&folder)?;
        cache.expect(&folder, &teacher_hash, tap.name(), &preprocessing, set.hash())?;
        Ok(cache)
    };
    let (tokens, trajectories) = (open(Tap::PlanningToken)?, open(Tap::Trajectories)?);
    let guides = Guides {
        start: arguments.from.as_deref().map(|path| load_student(path, device)).transpose()?,
        teacher: Some(&teacher),
        planner: Some(&teacher.vs),
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
            let pace = Pace::of(&run.train);
            let mut task = StudentTask::new(&set, run, guides, device)?;
            finish(&mut task, &arguments.out, STUDENT_FILE, pace, console)
        }
        VariantName::SharedVision => {
            let run = configured(common, "none", |_| Ok(SharedRun::new(cell)))?;
            if dry(common, &run, console) {
                return Ok(());
            }
            let pace = Pace::of(&run.train);
            let vision_tokens = Box::new(open(Tap::VisionTokens)?);
            let mut task = SharedTask::new(&set, run, guides, vision_tokens)?;
            finish(&mut task, &arguments.out, STUDENT_FILE, pace, console)
        }
    }
}
