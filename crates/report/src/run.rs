//! A run folder as a report: reads the files that are there, and nothing else.
//!
//! Two kinds of folder are known. A comparison (`prove`) holds [`INDEX_FILE`], which names every driver with its files
//! by path relative to the folder. A training run holds `metrics.jsonl`.

use crate::ReportError;
use crate::arms::Arm;
use crate::report::{Curve, Panel, Report, WorstEpisode};
use crate::table::{Align, Table};
use apprentice_eval::bench2drive::ResultFile;
use apprentice_eval::{DrivingSummary, Gate, PlanningResult};
use apprentice_store::{StoreError, read_json, read_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The list of a comparison's files, in its folder.
pub const INDEX_FILE: &str = "index.json";
/// Schema of that list.
pub const INDEX_SCHEMA: &str = "apprentice.index/1";
/// The curves of a training run, in its folder.
const METRICS_FILE: &str = "metrics.jsonl";
/// The replays of a closed-loop run, in its folder.
const REPLAY_FOLDER: &str = "replay";
/// Episodes shown among the worst.
const WORST: usize = 10;

/// What a comparison holds. Paths are relative to the folder of the index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// [`INDEX_SCHEMA`].
    pub schema: String,
    /// The document of the comparison, `apprentice.prove/1`.
    pub proof: PathBuf,
    /// In the order of the closing table.
    pub drivers: Vec<DriverFiles>,
}

/// The files of one driver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverFiles {
    /// Name for the tables.
    pub name: String,
    /// Folder of its training run; none when nothing was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PathBuf>,
    /// Title of the plot that shows its curve, such as `Students`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plot: String,
    /// Open-loop results, one per protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_loop: Vec<PathBuf>,
    /// Milliseconds from pictures to a plan, where it plans (volatile).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms_per_frame: Option<f64>,
    /// Folder that `drive` wrote; none when it was not driven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driving: Option<PathBuf>,
}

impl Index {
    /// The list of `drivers`.
    pub fn new(proof: PathBuf, drivers: Vec<DriverFiles>) -> Self {
        Self { schema: INDEX_SCHEMA.into(), proof, drivers }
    }

    fn read(path: &Path) -> Result<Self, ReportError> {
        let index: Self = read_json(path)?;
        if index.schema != INDEX_SCHEMA {
            return Err(StoreError::mismatch(path, "schema", INDEX_SCHEMA, &index.schema).into());
        }
        Ok(index)
    }
}

/// What the report shows of the comparison's document.
#[derive(Deserialize)]
struct Proof {
    data_hash: String,
    seeds: Vec<u64>,
    student_steps: u64,
    teacher_steps: u64,
    primary_endpoint: String,
    gates: Vec<Gate>,
    quiz: Option<Quiz>,
}

#[derive(Deserialize)]
struct Quiz {
    kinds: Vec<KindScore>,
}

#[derive(Deserialize)]
struct KindScore {
    kind: String,
    questions: usize,
    accuracy: f64,
    majority: f64,
}

/// A line of a training run's metrics. What was not a number is null there.
#[derive(Deserialize)]
struct Metrics {
    step: u64,
    loss: Option<f64>,
    terms: BTreeMap<String, Option<f64>>,
}

impl Report {
    /// The report of a run folder, for a page that will lie at `page`: links are relative to it.
    ///
    /// # Errors
    /// When the folder holds no run, or one of its files is damaged: the file and the field are named.
    pub fn of_run(folder: &Path, page: &Path) -> Result<Self, ReportError> {
        let index = folder.join(INDEX_FILE);
        if index.is_file() {
            return comparison(folder, &Index::read(&index)?, page);
        }
        if folder.join(METRICS_FILE).is_file() {
            return training(folder);
        }
        Err(ReportError::NoRun { folder: folder.into() })
    }
}

fn comparison(folder: &Path, index: &Index, page: &Path) -> Result<Report, ReportError> {
    let proof: Proof = read_json(&folder.join(&index.proof))?;
    let mut report = Report {
        title: "Apprentice: what the student learned".into(),
        summary: "Distilled from a language-model teacher on generated worlds, judged on worlds nobody trained on."
            .into(),
        facts: vec![
            ("data".into(), proof.data_hash.chars().take(16).collect()),
            ("seeds".into(), format!("{:?}", proof.seeds)),
            ("student steps".into(), proof.student_steps.to_string()),
            ("teacher steps".into(), proof.teacher_steps.to_string()),
            ("primary endpoint".into(), proof.primary_endpoint),
        ],
        gates: proof.gates,
        tables: proof.quiz.iter().map(answers).collect(),
        notes: vec![
            "Closed loop on generated worlds is no Bench2Drive score: other routes, other traffic, other cameras."
                .into(),
            "A difference smaller than its interval is not a difference.".into(),
        ],
        ..Report::default()
    };
    if proof.seeds.len() > 1 {
        let tables = index.proof.with_extension("md");
        report.notes.push(format!(
            "Rows, plots and closed loop are those of one seed; the gates are over all. Every arm over all seeds: {}.",
            tables.display()
        ));
    }
    for driver in &index.drivers {
        report.arms.push(arm(folder, driver)?);
        if let Some(run) = &driver.training {
            let metrics = read_metrics(&folder.join(run))?;
            let curve = Curve { name: driver.name.clone(), points: points(&metrics, |m| m.loss) };
            match report.panels.iter_mut().find(|panel| panel.title == driver.plot) {
                Some(panel) => panel.curves.push(curve),
                None => report.panels.push(loss_panel(&driver.plot, vec![curve])),
            }
        }
        let replays = match &driver.driving {
            Some(driving) => replays(&folder.join(driving).join(REPLAY_FOLDER), page)?,
            None => vec![],
        };
        if let (false, Some(driving)) = (replays.is_empty(), report.arms.last().and_then(|a| a.driving.as_ref())) {
            report.worst.extend(worst(driving, &replays));
        }
        report.replays.extend(replays);
    }
    Ok(report)
}

/// A driver's row.
fn arm(folder: &Path, files: &DriverFiles) -> Result<Arm, ReportError> {
    let mut open_loop = Vec::with_capacity(files.open_loop.len());
    for path in &files.open_loop {
        let path = folder.join(path);
        open_loop.push(PlanningResult::parse(&path.display().to_string(), &read_text(&path)?)?);
    }
    let driving = match &files.driving {
        Some(driving) => {
            let results = ResultFile::read(&folder.join(driving).join("results.json"))?;
            Some(DrivingSummary::of(&files.name, results.records)?)
        }
        None => None,
    };
    let first = open_loop.first();
    Ok(Arm {
        parameters: first.and_then(|r| r.subject.parameters),
        ms_per_frame: files.ms_per_frame.or(first.and_then(|r| r.subject.ms_per_frame)),
        name: files.name.clone(),
        open_loop,
        driving,
    })
}

/// (name, link) of the replays in a folder, by name.
fn replays(folder: &Path, page: &Path) -> Result<Vec<(String, String)>, ReportError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(StoreError::io("read", folder, e).into()),
    };
    let mut found = vec![];
    for entry in entries {
        let path = entry.map_err(|e| StoreError::io("read", folder, e))?.path();
        if let (Some("html"), Some(name)) = (path.extension().and_then(|e| e.to_str()), path.file_stem()) {
            found.push((name.to_string_lossy().into_owned(), link(&path, page)));
        }
    }
    found.sort();
    Ok(found)
}

/// The way from the folder of `page` to `file`.
fn link(file: &Path, page: &Path) -> String {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
    let (file, page) = (whole(file), whole(page));
    let here: Vec<Component<'_>> = page.parent().map(|p| p.components().collect()).unwrap_or_default();
    let there: Vec<Component<'_>> = file.components().collect();
    let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
    let up = here[common..].iter().map(|_| "..".to_string());
    let down = there[common..].iter().map(|c| c.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

fn worst(driving: &DrivingSummary, replays: &[(String, String)]) -> Vec<WorstEpisode> {
    let link = |route: &str| replays.iter().find(|(name, _)| name == route).map(|(_, link)| link.clone());
    let episode = |record: &apprentice_eval::bench2drive::Record| WorstEpisode {
        driver: driving.driver.clone(),
        replay: link(record.route()).unwrap_or_default(),
        record: record.clone(),
        picture: None,
    };
    driving.worst_first().into_iter().take(WORST).map(episode).collect()
}

fn answers(quiz: &Quiz) -> Table {
    let columns = [
        ("question", Align::Left),
        ("asked", Align::Right),
        ("right, %", Align::Right),
        ("majority answer, %", Align::Right),
    ];
    let row = |k: &KindScore| {
        vec![
            k.kind.clone(),
            k.questions.to_string(),
            format!("{:.1}", k.accuracy * 100.0),
            format!("{:.1}", k.majority * 100.0),
        ]
    };
    Table {
        title: "The teacher's answers on held-out scenes".into(),
        columns: columns.map(|(name, align)| (name.into(), align)).into(),
        rows: quiz.kinds.iter().map(row).collect(),
        ..Table::default()
    }
}

/// A training run by itself: its loss, and every term of it.
fn training(folder: &Path) -> Result<Report, ReportError> {
    let metrics = read_metrics(folder)?;
    let mut terms: Vec<&String> = metrics.iter().flat_map(|m| m.terms.keys()).collect();
    terms.sort();
    terms.dedup();
    let whole = Curve { name: "loss".into(), points: points(&metrics, |m| m.loss) };
    let mut panels = vec![loss_panel("Loss", vec![whole])];
    panels.extend(terms.into_iter().map(|term| Panel {
        title: term.clone(),
        x_label: "step".into(),
        y_label: "unweighted".into(),
        log_y: false,
        curves: vec![Curve { name: term.clone(), points: points(&metrics, |m| *m.terms.get(term)?) }],
    }));
    let last = metrics.last();
    Ok(Report {
        title: "Apprentice: a training run".into(),
        summary: "Its loss over the steps, and every term of the loss.".into(),
        facts: vec![
            ("run".into(), folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())),
            ("last logged step".into(), last.map_or_else(|| "none".into(), |m| m.step.to_string())),
            ("its loss".into(), last.and_then(|m| m.loss).map_or_else(|| "none".into(), |loss| format!("{loss:.4}"))),
            ("finished".into(), if folder.join("done.json").is_file() { "yes" } else { "no" }.into()),
        ],
        panels,
        ..Report::default()
    })
}

fn read_metrics(folder: &Path) -> Result<Vec<Metrics>, ReportError> {
    let path = folder.join(METRICS_FILE);
    let text = read_text(&path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| StoreError::corrupt(&path, format!("line {}", number + 1), "a line of metrics", e).into())
    };
    text.lines().enumerate().map(parse).collect()
}

fn points(metrics: &[Metrics], value: impl Fn(&Metrics) -> Option<f64>) -> Vec<(f64, f64)> {
    metrics.iter().filter_map(|m| Some((m.step as f64, value(m)?))).collect()
}

fn loss_panel(title: &str, curves: Vec<Curve>) -> Panel {
    Panel { title: title.into(), x_label: "step".into(), y_label: "loss".into(), log_y: true, curves }
}
