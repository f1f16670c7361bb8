//! `apprentice prove`: worlds, teacher, guidance, every arm, judged in open and closed loop, and a report to look at.
//!
//! Everything is resumable: the same command goes on where it was stopped, and does nothing that is done.

use crate::driver;
use apprentice_cli::Console;
use apprentice_cli::arguments::{Common, EngineName, Prove};
use apprentice_cli::commands::{size_named, world_jobs};
use apprentice_core::BoxedError;
use apprentice_core::driver::ConstantVelocity;
use apprentice_data::{MakeConfig, Part, Size, WorldSet, make};
use apprentice_distill::recipes::orion_lite::Cell;
use apprentice_distill::run::read_metrics;
use apprentice_distill::{
    Arm, ProveConfig, ProveReport, STUDENT_FILE, SharedRun, StudentRun, TEACHER_FILE, TeacherRun, TrainConfig, prove,
    resolve,
};
use apprentice_drive::{LoopConfig, MakePilot, Pilot, ReplayConfig, RunOptions, drive_all};
use apprentice_eval::bench2drive::Record;
use apprentice_eval::replay::Replay;
use apprentice_eval::{DrivingSummary, PlanningResult};
use apprentice_planner::StudentConfig;
use apprentice_report::{Arm as Row, Curve, Panel, Report, Table, WorstEpisode, arms_table, write_replay};
use apprentice_sim::ExpertMode;
use apprentice_teacher::TeacherConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of everything a size is.
struct Scale {
    arms: Vec<Arm>,
    seeds: Vec<u64>,
    teacher_steps: u64,
    student_steps: u64,
    judge_samples: usize,
    /// Held-out worlds that are driven in closed loop.
    driven_worlds: usize,
}

impl Scale {
    fn of(size: Size) -> Self {
        let demo = vec![Arm::ConstantVelocity, Arm::NoImage, Arm::Base, Arm::PseudoLabels, Arm::OwnBoth, Arm::Teacher];
        match size {
            Size::Tiny => Self {
                arms: demo,
                seeds: vec![0],
                teacher_steps: 4,
                student_steps: 4,
                judge_samples: 60,
                driven_worlds: 1,
            },
            Size::Minutes => Self {
                arms: demo,
                seeds: vec![0],
                teacher_steps: 260,
                student_steps: 200,
                judge_samples: 500,
                driven_worlds: 10,
            },
            Size::Hours => Self {
                arms: Arm::ALL.to_vec(),
                seeds: vec![0, 1, 2],
                teacher_steps: 4000,
                student_steps: 2500,
                judge_samples: 0,
                driven_worlds: 60,
            },
            Size::Full => Self {
                arms: Arm::ALL.to_vec(),
                seeds: vec![0, 1, 2, 3, 4],
                teacher_steps: 30_000,
                student_steps: 20_000,
                judge_samples: 0,
                driven_worlds: 200,
            },
        }
    }

    fn config(&self) -> ProveConfig {
        let train = |steps: u64, open: f64| TrainConfig {
            steps,
            open_road_share: open,
            warmup_steps: (steps / 15).clamp(1, 300),
            checkpoint_every: (steps / 4).clamp(1, 250),
            ..TrainConfig::default()
        };
        let mut teacher = TeacherRun::new(TeacherConfig::nano());
        teacher.train = train(self.teacher_steps, 0.0);
        let mut student = StudentRun::base(StudentConfig::nano());
        student.train = train(self.student_steps, 0.25);
        let mut shared = SharedRun::new(Cell::Both);
        shared.train = train(self.student_steps, 0.25);
        ProveConfig {
            arms: self.arms.clone(),
            seeds: self.seeds.clone(),
            teacher,
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
    let size = size_named(&arguments.size)?;
    let scale = Scale::of(size);
    let mut settings = common.set.clone();
    settings.extend(
        (common.seed != 0)
            .then(|| format!("seeds={:?}", scale.seeds.iter().map(|s| s + common.seed).collect::<Vec<_>>())),
    );
    let config: ProveConfig = resolve("none", |_| Ok(scale.config()), common.config.as_deref(), &settings)?;
    if common.dry_run {
        console.answer(&config, || toml::to_string_pretty(&config).unwrap_or_else(|e| format!("# {e}")));
        return Ok(());
    }
    let out = &arguments.out;
    let threads = common.threads.unwrap_or_default();
    make(&MakeConfig { out: out.join("worlds"), size, seed: common.seed, threads }, console)?;
    let set = Arc::new(WorldSet::open(out.join("worlds"))?);
    let proof = out.join("proof");
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    apprentice_nn::set_threads(if threads == 0 { cores } else { threads });
    let report = prove(&set, &config, &proof, console)?;

    let mut rows = vec![expert(&set, out, scale.driven_worlds, threads, console)?];
    for arm in table_order(&config.arms) {
        rows.push(row(arm, &set, &config, out, scale.driven_worlds, threads, console)?);
    }
    let page = page(&rows, &report, &config, out)?;
    let path = out.join("report.html");
    page.write(&path)?;
    let replay = first_replay(out);
    console.answer(&report, || {
        let gates: String = report.gates.iter().map(|gate| format!("{}\n", gate.line())).collect();
        let replay = replay.map_or_else(String::new, |r| format!("replay: {}\n", r.display()));
        format!("{}\n{gates}\nreport: {}\n{replay}", arms_table(&rows).render(), path.display())
    });
    Ok(())
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

/// Where an arm's files are, for the first seed.
fn folder(arm: Arm, config: &ProveConfig, out: &Path) -> PathBuf {
    let runs = out.join("proof/runs").join(arm.name());
    match arm {
        Arm::Teacher => out.join("proof/teacher"),
        Arm::ConstantVelocity => runs,
        _ => runs.join(format!("seed-{}", config.seeds[0])),
    }
}

fn row(
    arm: Arm,
    set: &Arc<WorldSet>,
    config: &ProveConfig,
    out: &Path,
    worlds: usize,
    threads: usize,
    console: &Console,
) -> Result<Row, BoxedError> {
    let folder = folder(arm, config, out);
    let open_loop: Vec<PlanningResult> = config
        .protocols
        .iter()
        .map(|p| folder.join(format!("{}-{}-{p}.json", config.part.name(), config.judge_samples)))
        .map(|path| Ok(apprentice_store::read_json(&path)?))
        .collect::<Result<_, BoxedError>>()?;
    let file = match arm {
        Arm::Teacher => Some(folder.join(TEACHER_FILE)),
        Arm::ConstantVelocity => None,
        _ => Some(folder.join(STUDENT_FILE)),
    };
    let identity = match &file {
        Some(file) => apprentice_core::hash::content_hash(&apprentice_store::read_bytes(file)?),
        None => arm.name().into(),
    };
    let parameters = open_loop.first().and_then(|r| r.subject.parameters);
    let ms_per_frame = open_loop.first().and_then(|r| r.subject.ms_per_frame);
    // A student that is told the labels cannot drive.
    let driving = if arm == Arm::ObservableCeiling {
        None
    } else {
        let make = || -> Result<Pilot, BoxedError> {
            Ok(Pilot::Driver(match &file {
                Some(file) => driver(&file.display().to_string(), EngineName::Onnxruntime)?,
                None => Box::new(ConstantVelocity),
            }))
        };
        let replay = matches!(arm, Arm::OwnBoth);
        Some(closed_loop(
            title(arm),
            &identity,
            set,
            &out.join("drive").join(arm.name()),
            worlds,
            threads,
            replay,
            &make,
            console,
        )?)
    };
    Ok(Row { name: title(arm).into(), open_loop, driving, parameters, ms_per_frame })
}

fn expert(
    set: &Arc<WorldSet>,
    out: &Path,
    worlds: usize,
    threads: usize,
    console: &Console,
) -> Result<Row, BoxedError> {
    let make = || Ok(Pilot::Expert(ExpertMode::VisibleOnly));
    let folder = out.join("drive/expert");
    let driving = closed_loop("expert", "expert", set, &folder, worlds, threads, false, &make, console)?;
    Ok(Row { name: "expert".into(), driving: Some(driving), ..Row::default() })
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
) -> Result<DrivingSummary, BoxedError> {
    console.say(&format!("closed loop: {name}"));
    let replays = folder.join("replay");
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
    let report = drive_all(world_jobs(set, Part::Test, &[], Some(worlds))?, &options, make, console)?;
    Ok(DrivingSummary::of(name, report.records())?)
}

fn first_replay(out: &Path) -> Option<PathBuf> {
    let folder = out.join("drive").join(Arm::OwnBoth.name()).join("replay");
    let mut files: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).collect();
    files.sort();
    files.into_iter().next()
}

fn curves(title: &str, runs: &[(String, PathBuf)]) -> Option<Panel> {
    let curves: Vec<Curve> = runs
        .iter()
        .filter_map(|(name, folder)| {
            let metrics = read_metrics(folder).ok()?;
            Some(Curve { name: name.clone(), points: metrics.iter().map(|m| (m.step as f64, m.loss)).collect() })
        })
        .collect();
    (!curves.is_empty()).then(|| Panel {
        title: title.into(),
        x_label: "step".into(),
        y_label: "loss".into(),
        log_y: true,
        curves,
    })
}

fn page(rows: &[Row], report: &ProveReport, config: &ProveConfig, out: &Path) -> Result<Report, BoxedError> {
    let students: Vec<_> = config
        .arms
        .iter()
        .filter(|arm| !matches!(arm, Arm::Teacher | Arm::ConstantVelocity))
        .map(|&arm| (title(arm).to_string(), folder(arm, config, out)))
        .collect();
    let teacher = [("teacher".to_string(), out.join("proof/teacher"))];
    let mut tables = vec![];
    if let Some(quiz) = &report.quiz {
        tables.push(answers(quiz));
    }
    let replays: Vec<PathBuf> = first_replay(out)
        .and_then(|first| first.parent().map(Path::to_path_buf))
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    let link = |path: &Path| path.strip_prefix(out).unwrap_or(path).display().to_string();
    let mut replay_links: Vec<(String, String)> = replays
        .iter()
        .map(|path| (path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(), link(path)))
        .collect();
    replay_links.sort();
    let guided = rows.iter().find(|r| r.name == title(Arm::OwnBoth)).and_then(|r| r.driving.as_ref());
    let worst = guided.map(|driving| worst(driving, &replay_links)).unwrap_or_default();
    Ok(Report {
        title: "Apprentice: what the student learned".into(),
        summary: "Distilled from a language-model teacher on generated worlds, judged on worlds nobody trained on."
            .into(),
        facts: vec![
            ("data".into(), report.data_hash.chars().take(16).collect()),
            ("seeds".into(), format!("{:?}", report.seeds)),
            ("student steps".into(), report.student_steps.to_string()),
            ("teacher steps".into(), report.teacher_steps.to_string()),
            ("primary endpoint".into(), report.primary_endpoint.clone()),
        ],
        arms: rows.to_vec(),
        gates: report.gates.clone(),
        panels: [curves("Teacher", &teacher), curves("Students", &students)].into_iter().flatten().collect(),
        tables,
        worst,
        replays: replay_links,
        notes: vec![
            "Closed loop on generated worlds is no Bench2Drive score: other routes, other traffic, other cameras."
                .into(),
            "A difference smaller than its interval is not a difference.".into(),
        ],
        ..Report::default()
    })
}

fn worst(driving: &DrivingSummary, replays: &[(String, String)]) -> Vec<WorstEpisode> {
    let replay = |record: &Record| {
        replays
            .iter()
            .find(|(name, _)| record.route_id.contains(name.as_str()))
            .map(|(_, link)| link.clone())
            .unwrap_or_default()
    };
    driving
        .worst_first()
        .into_iter()
        .take(10)
        .map(|record| WorstEpisode {
            driver: driving.driver.clone(),
            record: record.clone(),
            replay: replay(record),
            picture: None,
        })
        .collect()
}

fn answers(quiz: &apprentice_teacher::QuizReport) -> Table {
    use apprentice_report::Align;
    let mut table = Table { title: "The teacher's answers on held-out scenes".into(), ..Table::default() };
    table.columns = vec![
        ("question".into(), Align::Left),
        ("asked".into(), Align::Right),
        ("right, %".into(), Align::Right),
        ("majority answer, %".into(), Align::Right),
    ];
    table.rows = quiz
        .kinds
        .iter()
        .map(|k| {
            vec![
                k.kind.clone(),
                k.questions.to_string(),
                format!("{:.1}", k.accuracy * 100.0),
                format!("{:.1}", k.majority * 100.0),
            ]
        })
        .collect();
    table
}
