//! `apprentice prove`: worlds, teacher, guidance, every arm, judged in open and closed loop, and a report to look at.
//!
//! Everything is resumable: the same command goes on where it was stopped, and does nothing that is done.

use crate::driver;
use apprentice_cli::arguments::{Common, EngineName, Prove};
use apprentice_cli::commands::{size_named, world_jobs};
use apprentice_cli::{CliError, Console, shipped};
use apprentice_core::BoxedError;
use apprentice_core::driver::ConstantVelocity;
use apprentice_data::{MakeConfig, Part, Size, WorldSet, make};
use apprentice_distill::recipes::orion_lite::{Cell, MimicConfig};
use apprentice_distill::{
    Arm, BatchPlanner, ConstantVelocityPlanner, DistillError, Evidence, ProveConfig, STUDENT_FILE, SharedRun,
    StartFiles, StudentRun, TEACHER_FILE, TeacherRun, TrainConfig, ms_per_frame, open_planner, prove, report, resolve,
};
use apprentice_drive::{LoopConfig, MakePilot, Pilot, REPLAY_FOLDER, ReplayConfig, RunOptions, drive_all};
use apprentice_eval::replay::Replay;
use apprentice_planner::StudentConfig;
use apprentice_report::run::INDEX_FILE;
use apprentice_report::{DriverFiles, Index, Report, arms_table, write_replay};
use apprentice_sim::ExpertMode;
use apprentice_teacher::TeacherConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::Device;

/// How much of everything a size is.
struct Scale {
    arms: Vec<Arm>,
    seeds: Vec<u64>,
    teacher_steps: u64,
    /// What all students with cameras share.
    stem_steps: u64,
    /// What each arm adds.
    student_steps: u64,
    judge_samples: usize,
    /// Held-out worlds that are driven in closed loop.
    driven_worlds: usize,
    /// Whether stems and teacher go on from the shipped weights: what fits into minutes teaches nobody to drive from chance.
    from_shipped: bool,
    /// Factor on every learning rate; less than 1 for what goes on from trained weights.
    rate: f64,
}

impl Scale {
    fn of(size: Size) -> Self {
        let demo = vec![Arm::ConstantVelocity, Arm::NoImage, Arm::Base, Arm::PseudoLabels, Arm::OwnBoth, Arm::Teacher];
        match size {
            Size::Tiny => Self {
                arms: demo,
                seeds: vec![0],
                teacher_steps: 4,
                stem_steps: 4,
                student_steps: 4,
                judge_samples: 60,
                driven_worlds: 1,
                from_shipped: false,
                rate: 1.0,
            },
            Size::Minutes => Self {
                arms: demo,
                seeds: vec![0],
                teacher_steps: 60,
                stem_steps: 100,
                student_steps: 80,
                judge_samples: 300,
                driven_worlds: 8,
                from_shipped: true,
                rate: 0.3,
            },
            Size::Hours => Self {
                arms: Arm::ALL.to_vec(),
                seeds: vec![0, 1, 2],
                teacher_steps: 2000,
                stem_steps: 3000,
                student_steps: 400,
                judge_samples: 2500,
                driven_worlds: 60,
                from_shipped: false,
                rate: 1.0,
            },
            Size::Full => Self {
                arms: Arm::ALL.to_vec(),
                seeds: vec![0, 1, 2, 3, 4],
                teacher_steps: 30_000,
                stem_steps: 20_000,
                student_steps: 5000,
                judge_samples: 0,
                driven_worlds: 200,
                from_shipped: false,
                rate: 1.0,
            },
        }
    }

    fn config(&self) -> ProveConfig {
        let train = |steps: u64, open: f64| {
            let mut train = TrainConfig {
                steps,
                open_road_share: open,
                warmup_steps: (steps / 15).clamp(1, 300),
                checkpoint_every: (steps / 4).clamp(1, 250),
                ..TrainConfig::default()
            };
            train.optimiser.learning_rate *= self.rate;
            train
        };
        let shipped = |file| from_here(shipped::find(file).unwrap_or_else(|| file.into()));
        let start = self
            .from_shipped
            .then(|| StartFiles { student: shipped(shipped::STUDENT_WEIGHTS), teacher: shipped(shipped::TEACHER) });
        let mut teacher = TeacherRun::new(TeacherConfig::nano());
        teacher.train = train(self.teacher_steps, 0.0);
        let mut student = StudentRun::base(StudentConfig::nano());
        student.train = train(self.student_steps, 0.25);
        student.mimic = MimicConfig::for_small_latents();
        student.answer_labels = 1.0;
        let mut shared = SharedRun::new(Cell::Both);
        shared.train = train(self.student_steps, 0.25);
        ProveConfig {
            arms: self.arms.clone(),
            seeds: self.seeds.clone(),
            start,
            teacher,
            // The driving set knows three weathers; held-out worlds have them all.
            stem: Some(TrainConfig { augment: true, ..train(self.stem_steps, 0.0) }),
            student,
            shared,
            part: Part::Test,
            judge_samples: self.judge_samples,
            protocols: vec!["valid-starts".into(), "uniad-masked".into()],
            primary_endpoint: "own-both minus base: L2 averaged up to t, mean over 1, 2, 3 s, rare and open-road tiers"
                .into(),
        }
    }
}

/// What stems and teacher go on from must be there.
fn check_start(start: &StartFiles) -> Result<(), CliError> {
    match [&start.student, &start.teacher].into_iter().find(|path| !path.is_file()) {
        None => Ok(()),
        Some(path) => Err(CliError::new(
            format!("{}, which training would go on from, is not there", path.display()),
            "run the program where it was built (`models/` of the repository lies above it there), or name files with \
             --set start.student=FILE and --set start.teacher=FILE",
        )),
    }
}

/// A path as it is written from the current folder, so that what is noted does not depend on where that folder lies.
fn from_here(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf)).unwrap_or(path)
}

/// How an arm is called in the closing table.
fn title(arm: Arm) -> &'static str {
    match arm {
        Arm::OwnBoth => "student with guidance",
        Arm::Base => "student without guidance",
        Arm::PseudoLabels => "pseudo-label student",
        Arm::NoImage => "no-image student",
        Arm::ConstantVelocity => "constant velocity",
        other => other.name(),
    }
}

/// Run everything that is missing, then report.
pub fn run(arguments: &Prove, common: &Common, console: &Console) -> Result<(), BoxedError> {
    if !arguments.pool.is_empty() {
        if common.dry_run || common.seed.is_some() || common.config.is_some() || !common.set.is_empty() {
            let hint = "leave out --seed, --config, --set and --dry-run";
            return Err(CliError::new("what --pool reads is done: nothing can be set any more", hint).into());
        }
        return pool(&arguments.pool, console);
    }
    let size = size_named(&arguments.size)?;
    let scale = Scale::of(size);
    let seed = common.seed();
    let mut settings = vec![];
    if common.seed.is_some() {
        settings.push(format!("seeds={:?}", scale.seeds.iter().map(|s| s + seed).collect::<Vec<_>>()));
        settings.push(format!("teacher.train.seed={seed}"));
    }
    settings.extend(common.set.iter().cloned());
    let defaults = scale.config();
    let config: ProveConfig = resolve("none", |_| Ok(defaults.clone()), common.config.as_deref(), &settings)?;
    let presets = |c: &ProveConfig| [c.student.model.preset.clone(), c.teacher.model.preset.clone()];
    if presets(&config) != presets(&defaults) {
        let hint = "set the sizes themselves, such as student.model.width; `apprentice train planner --dry-run` lists those of a preset";
        return Err(CliError::new("a proof has no presets: the name alone would change", hint).into());
    }
    if common.dry_run {
        console.answer(&config, || toml::to_string_pretty(&config).unwrap_or_else(|e| format!("# {e}")));
        return Ok(());
    }
    config.start.as_ref().map_or(Ok(()), check_start)?;
    let out = &arguments.out;
    let threads = common.threads.unwrap_or_default();
    make(&MakeConfig { out: out.join("worlds"), size, seed, threads }, console)?;
    let set = Arc::new(WorldSet::open(out.join("worlds"))?);
    let proof = out.join("proof");
    let device = crate::device::choose(arguments.device, console)?;
    let report = prove(&set, &config, &proof, workers(threads), device, console)?;

    let mut drivers = vec![expert(&set, out, scale.driven_worlds, threads, console)?];
    for arm in table_order(&config.arms) {
        drivers.push(drive(arm, &set, &config, out, scale.driven_worlds, threads, device, console)?);
    }
    apprentice_store::write_json(&out.join(INDEX_FILE), &Index::new("proof/prove.json".into(), drivers))?;
    let path = out.join("report.html");
    let page = Report::of_run(out, &path)?;
    page.write(&path)?;
    console.answer(&report, || {
        let gates: String = report.gates.iter().map(|gate| format!("{}\n", gate.line())).collect();
        let replay =
            page.replays.first().map_or_else(String::new, |(_, r)| format!("replay: {}\n", out.join(r).display()));
        format!("{}\n{gates}\nreport: {}\n{replay}", arms_table(&page.arms).render(), path.display())
    });
    Ok(())
}

/// One table of what several runs found.
fn pool(files: &[PathBuf], console: &Console) -> Result<(), BoxedError> {
    let read = |path: &PathBuf| Ok((path.clone(), Evidence::read(path)?));
    let files = files.iter().map(read).collect::<Result<_, DistillError>>()?;
    let report = report(&Evidence::pool(files)?)?;
    console.answer(&report, || report.markdown());
    Ok(())
}

/// So many threads; 0 means all cores.
fn workers(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        threads => threads,
    }
}

/// The expert first, then teacher, students, floors.
fn table_order(arms: &[Arm]) -> Vec<Arm> {
    let first = [Arm::Teacher, Arm::OwnBoth, Arm::Base, Arm::PseudoLabels];
    let last = [Arm::NoImage, Arm::ConstantVelocity];
    let mut order: Vec<Arm> = first.into_iter().filter(|arm| arms.contains(arm)).collect();
    order.extend(arms.iter().copied().filter(|arm| !first.contains(arm) && !last.contains(arm)));
    order.extend(last.into_iter().filter(|arm| arms.contains(arm)));
    order
}

/// Whether an arm is judged in closed loop as well: the claim and what a reader holds it against. Driving every control takes
/// longer than training it, and a student that is told the labels cannot drive.
fn drives(arm: Arm) -> bool {
    use Arm::{Base, ConstantVelocity, NoImage, OwnBoth, PseudoLabels, SharedBoth, Teacher};
    matches!(arm, Teacher | OwnBoth | SharedBoth | Base | PseudoLabels | NoImage | ConstantVelocity)
}

/// Where an arm's files are, for the first seed, relative to the run's folder.
fn folder(arm: Arm, config: &ProveConfig) -> PathBuf {
    let runs = Path::new("proof/runs").join(arm.name());
    match arm {
        Arm::Teacher => "proof/teacher".into(),
        Arm::ConstantVelocity => runs,
        _ => runs.join(format!("seed-{}", config.seeds[0])),
    }
}

/// Moments that are planned one by one to see how long that takes.
const TIMED_MOMENTS: usize = 40;

/// Time an arm, drive it in closed loop unless that is done, and list its files.
#[allow(clippy::too_many_arguments)]
fn drive(
    arm: Arm,
    set: &Arc<WorldSet>,
    config: &ProveConfig,
    out: &Path,
    worlds: usize,
    threads: usize,
    device: Device,
    console: &Console,
) -> Result<DriverFiles, BoxedError> {
    let folder = folder(arm, config);
    let judged = |p: &String| folder.join(format!("{}-{}-{p}.json", config.part.name(), config.judge_samples));
    let file = match arm {
        Arm::Teacher => Some(out.join(&folder).join(TEACHER_FILE)),
        Arm::ConstantVelocity => None,
        _ => Some(out.join(&folder).join(STUDENT_FILE)),
    };
    let identity = match &file {
        Some(file) => apprentice_core::hash::content_hash(&apprentice_store::read_bytes(file)?),
        None => arm.name().into(),
    };
    let planner: Box<dyn BatchPlanner> = match &file {
        Some(file) => open_planner(file, device)?.0,
        None => Box::new(ConstantVelocityPlanner),
    };
    // A driver of the closed loop may have left another number behind.
    apprentice_nn::set_threads(workers(threads));
    let ms_per_frame = Some(ms_per_frame(planner.as_ref(), set, config.part, TIMED_MOMENTS)?);
    drop(planner);
    let driving = Path::new("drive").join(arm.name());
    if drives(arm) {
        let make = || -> Result<Pilot, BoxedError> {
            Ok(Pilot::Driver(match &file {
                Some(file) => driver(&file.display().to_string(), EngineName::Onnxruntime)?,
                None => Box::new(ConstantVelocity),
            }))
        };
        let replay = matches!(arm, Arm::OwnBoth);
        closed_loop(title(arm), &identity, set, &out.join(&driving), worlds, threads, replay, &make, console)?;
    }
    Ok(DriverFiles {
        name: title(arm).into(),
        open_loop: config.protocols.iter().map(judged).collect(),
        plot: if arm == Arm::Teacher { "Teacher" } else { "Students" }.into(),
        training: file.is_some().then_some(folder),
        ms_per_frame,
        driving: drives(arm).then_some(driving),
    })
}

fn expert(
    set: &Arc<WorldSet>,
    out: &Path,
    worlds: usize,
    threads: usize,
    console: &Console,
) -> Result<DriverFiles, BoxedError> {
    let make = || Ok(Pilot::Expert(ExpertMode::VisibleOnly));
    let driving = Path::new("drive/expert");
    closed_loop("expert", "expert", set, &out.join(driving), worlds, threads, false, &make, console)?;
    Ok(DriverFiles { name: "expert".into(), driving: Some(driving.into()), ..DriverFiles::default() })
}

/// Drive the first held-out worlds.
#[allow(clippy::too_many_arguments)]
fn closed_loop(
    name: &str,
    identity: &str,
    set: &Arc<WorldSet>,
    folder: &Path,
    worlds: usize,
    threads: usize,
    replay: bool,
    make: &MakePilot<'_>,
    console: &Console,
) -> Result<(), BoxedError> {
    console.say(&format!("closed loop: {name}"));
    let replays = folder.join(REPLAY_FOLDER);
    let on_replay = |replay: Replay| -> Result<(), BoxedError> {
        write_replay(&replay, &replays)?;
        Ok(())
    };
    let options = RunOptions {
        run: LoopConfig { plan_hz: 5, ..LoopConfig::default() },
        threads,
        out: Some(folder.into()),
        replay: replay.then(|| ReplayConfig { at_most: 3, ..ReplayConfig::default() }),
        on_replay: Some(&on_replay),
        identity: format!("{identity} {}", set.hash()),
    };
    drive_all(world_jobs(set, Part::Test, &[], Some(worlds))?, &options, make, console)?;
    Ok(())
}
