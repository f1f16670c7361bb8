//! Runs end to end on a handful of worlds: resuming, cells, what ships, and the proof's table.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::Silent;
use apprentice_data::{MakeConfig, Part, Size, WorldSet, make};
use apprentice_distill::prove::train_to;
use apprentice_distill::recipes::orion_lite::Cell;
use apprentice_distill::run::Task;
use apprentice_distill::{
    Arm, DistillError, Evidence, Guides, ProveConfig, SharedRun, SharedTask, StartFiles, StudentRun, StudentTask,
    TEACHER_FILE, TeacherRun, TeacherTask, TrainConfig, prove,
};
use apprentice_nn::{StepReport, TensorFile, read_tensors};
use apprentice_planner::{Student, StudentConfig};
use apprentice_teacher::{GuidanceCache, Harvest, Tap, Teacher, TeacherConfig};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tch::{Device, Tensor};

#[path = "../../eval/tests/schema/mod.rs"]
mod schema;

fn small_student() -> StudentConfig {
    let mut config = StudentConfig::nano();
    config.backbone.image_width = 64;
    config.backbone.image_height = 32;
    config
}

fn train_config() -> TrainConfig {
    TrainConfig {
        steps: 4,
        batch: 4,
        open_road_share: 0.25,
        checkpoint_every: 2,
        log_every: 1,
        ..TrainConfig::default()
    }
}

fn small_teacher() -> TeacherRun {
    let mut model = TeacherConfig::nano();
    model.vision = small_student();
    model.tokens.front_grid = [2, 4];
    model.lm.hidden_size = 32;
    model.lm.intermediate_size = 48;
    model.lm.num_hidden_layers = 1;
    model.answer_tokens = 4;
    let train = TrainConfig { open_road_share: 0.0, ..train_config() };
    TeacherRun { train, quiz_samples: 4, ..TeacherRun::new(model) }
}

struct Bench {
    _folder: tempfile::TempDir,
    set: Arc<WorldSet>,
    teacher: Teacher,
    hash: String,
    caches: Vec<GuidanceCache>,
}

/// Tests take turns with this: libtorch's variables are not shared between threads.
struct Shared(std::sync::Mutex<Bench>);
// SAFETY: every use is behind the mutex.
unsafe impl Sync for Shared {}
unsafe impl Send for Shared {}

/// Worlds, a teacher and its guidance, made once.
fn bench() -> std::sync::MutexGuard<'static, Bench> {
    static BENCH: OnceLock<Shared> = OnceLock::new();
    let make_it = || {
        apprentice_nn::set_threads(1);
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("worlds");
        make(&MakeConfig { out: out.clone(), size: Size::Tiny, seed: 3, threads: 1 }, &Silent).unwrap();
        let set = Arc::new(WorldSet::open(&out).unwrap());
        let run = small_teacher();
        let mut task = TeacherTask::new(&set, run.clone(), None, Device::Cpu).unwrap();
        let path = train_to(&mut task, &run.train, &folder.path().join("teacher"), TEACHER_FILE, &Silent).unwrap();
        assert!(folder.path().join("teacher/quiz.json").exists());
        let (teacher, _, hash) = Teacher::load(&path, Device::Cpu).unwrap();
        let mut ids = set.ids(Part::Driving);
        ids.extend(set.ids(Part::OpenRoad));
        let harvest = Harvest { guide: &teacher, teacher_hash: &hash, set: &set, ids: &ids, taps: &Tap::ALL };
        assert_eq!(harvest.price(None).unwrap().samples, ids.len());
        let caches = harvest.run(&folder.path().join("guidance"), &Silent).unwrap();
        Shared(std::sync::Mutex::new(Bench { _folder: folder, set, teacher, hash, caches }))
    };
    BENCH.get_or_init(make_it).0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Bench {
    fn guides(&self) -> Guides<'_> {
        Guides {
            teacher: Some(&self.teacher),
            planner: Some(&self.teacher.vs),
            teacher_hash: Some(self.hash.clone()),
            tokens: Some(Box::new(&self.caches[0])),
            trajectories: Some(Box::new(&self.caches[2])),
            identity: "test".into(),
            ..Guides::default()
        }
    }

    fn student(&self, run: &StudentRun) -> StudentTask<'_> {
        StudentTask::new(&self.set, run.clone(), self.guides(), Device::Cpu).unwrap()
    }
}

fn orion(cell: Cell) -> StudentRun {
    StudentRun { train: train_config(), ..StudentRun::orion_lite(small_student(), cell) }
}

/// A task that dies at a step.
struct Dying<T>(T, u64);

impl<T: Task> Task for Dying<T> {
    fn name(&self) -> String {
        self.0.name()
    }
    fn identity(&self) -> serde_json::Value {
        self.0.identity()
    }
    fn step(&mut self, step: u64) -> Result<(StepReport, Vec<(&'static str, f64)>), DistillError> {
        if step == self.1 { Err(DistillError::config("the power is gone")) } else { self.0.step(step) }
    }
    fn state(&self) -> Vec<(String, Tensor)> {
        self.0.state()
    }
    fn restore(&mut self, file: TensorFile) -> Result<(), DistillError> {
        self.0.restore(file)
    }
    fn finish(&mut self, folder: &Path) -> Result<(), DistillError> {
        self.0.finish(folder)
    }
}

#[test]
fn a_killed_run_ends_with_the_bytes_of_an_undisturbed_one() {
    let bench = bench();
    let folder = tempfile::tempdir().unwrap();
    let run = orion(Cell::Both);
    let undisturbed = folder.path().join("a");
    train_to(&mut bench.student(&run), &run.train, &undisturbed, "student.safetensors", &Silent).unwrap();
    let killed = folder.path().join("b");
    for at in [1, 3] {
        let mut task = Dying(bench.student(&run), at);
        assert!(train_to(&mut task, &run.train, &killed, "student.safetensors", &Silent).is_err());
    }
    train_to(&mut bench.student(&run), &run.train, &killed, "student.safetensors", &Silent).unwrap();
    for file in ["student.safetensors", "metrics.jsonl", "run.json"] {
        let read = |at: &Path| std::fs::read(at.join(file)).unwrap();
        assert_eq!(read(&undisturbed), read(&killed), "{file}");
    }
    assert!(!killed.join("resume.safetensors").exists());
    // The same folder with other settings is another run.
    let other = StudentRun { perception: 0.5, ..run };
    let error = train_to(&mut bench.student(&other), &other.train, &killed, "student.safetensors", &Silent);
    assert!(error.unwrap_err().to_string().contains("run.perception"));
}

#[test]
fn mimicry_alone_leaves_the_teachers_planner_untouched() {
    let bench = bench();
    let changed = |cell: Cell, key: &str| {
        let mut task = bench.student(&orion(cell));
        let of = |vs: &apprentice_nn::VarStore| {
            vs.tensors().into_iter().filter(|(k, _)| k.starts_with(key)).map(|(_, t)| t.copy()).collect::<Vec<_>>()
        };
        let before = of(&task.student().vs);
        let (_, terms) = task.step(0).unwrap();
        let after = of(&task.student().vs);
        let moved = before.iter().zip(&after).any(|(a, b)| (a - b).abs().max().double_value(&[]) > 0.0);
        (moved, terms.iter().map(|t| t.0).collect::<Vec<_>>(), before)
    };
    let (moved, terms, planner) = changed(Cell::MimicOnly, "planner.");
    assert!(!moved && terms.contains(&"mimic") && !terms.contains(&"plan_l1"));
    let teachers = bench.teacher.vs.tensors().into_iter().filter(|(k, _)| k.starts_with("planner."));
    assert!(teachers.zip(&planner).all(|((_, t), s)| t.equal(s)));
    assert!(changed(Cell::MimicOnly, "encoder.").0);
    let (moved, terms, _) = changed(Cell::Both, "planner.");
    assert!(moved && terms.contains(&"mimic") && terms.contains(&"plan_l1"));
    let (moved, terms, _) = changed(Cell::GtOnly, "planner.");
    assert!(moved && !terms.contains(&"mimic"));
}

#[test]
fn guidance_of_other_samples_alone_is_refused() {
    let bench = bench();
    let folder = tempfile::tempdir().unwrap();
    let ids = bench.set.ids(Part::Design);
    let harvest =
        Harvest { guide: &bench.teacher, teacher_hash: &bench.hash, set: &bench.set, ids: &ids, taps: &Tap::ALL };
    let caches = harvest.run(folder.path(), &Silent).unwrap();
    let pseudo = StudentRun { pseudo_labels: true, train: train_config(), ..StudentRun::base(small_student()) };
    for (run, word) in [(orion(Cell::Both), "planning tokens"), (pseudo, "trajectories")] {
        let guides =
            Guides { tokens: Some(Box::new(&caches[0])), trajectories: Some(Box::new(&caches[2])), ..bench.guides() };
        let error = StudentTask::new(&bench.set, run, guides, Device::Cpu).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn nothing_of_the_teacher_is_in_what_ships() {
    let bench = bench();
    let folder = tempfile::tempdir().unwrap();
    let run = orion(Cell::Both);
    let path = train_to(&mut bench.student(&run), &run.train, folder.path(), "student.safetensors", &Silent).unwrap();
    let file = read_tensors(&path).unwrap();
    let plain = Student::new(&run.model, 0, Device::Cpu).unwrap();
    let keys: Vec<_> = file.tensors.keys().cloned().collect();
    let mut expected: Vec<_> = plain.vs.tensors().into_iter().map(|t| t.0).collect();
    expected.sort();
    assert_eq!(keys, expected);
    assert!(keys.iter().all(|k| !k.starts_with("lm.") && !k.starts_with("adapter.") && !k.starts_with("plan.")));
    // The planner room, which knows no teacher, opens it.
    let (_, contract) = Student::load(&path, Device::Cpu).unwrap();
    assert_eq!(contract.recipe, "orion-lite/own-encoder/both");
    assert_eq!(contract.teacher_hash.as_deref(), Some(bench.hash.as_str()));
}

#[test]
fn shared_vision_trains_from_the_cache_and_keeps_the_teachers_eyes() {
    let bench = bench();
    let folder = tempfile::tempdir().unwrap();
    let run = SharedRun { train: train_config(), ..SharedRun::new(Cell::Both) };
    let mut task = SharedTask::new(&bench.set, run.clone(), bench.guides(), Box::new(&bench.caches[1])).unwrap();
    let path = train_to(&mut task, &run.train, folder.path(), "student.safetensors", &Silent).unwrap();
    let file = read_tensors(&path).unwrap();
    assert!(file.tensors.keys().all(|k| !k.starts_with("lm.")));
    for (key, tensor) in bench.teacher.vs.tensors().iter().filter(|(k, _)| k.starts_with("encoder.")) {
        assert!(file.tensors[key].equal(tensor), "{key}");
    }
    let (planner, _) = apprentice_distill::open_planner(&path, Device::Cpu).unwrap();
    let ids = bench.set.ids(Part::Design);
    let mut work = apprentice_data::CameraWork::new(bench.set.clone(), planner.preprocessing().unwrap().rig);
    let frame = work.frame(&ids[0], apprentice_data::View::Plain).unwrap();
    assert!(planner.plans(&[frame]).unwrap()[0].0.iter().flatten().all(|v| v.is_finite()));
}

#[test]
fn a_proof_fills_its_table_and_is_found_again() {
    let bench = bench();
    let folder = tempfile::tempdir().unwrap();
    let train = TrainConfig { steps: 2, ..train_config() };
    let config = ProveConfig {
        arms: Arm::ALL.to_vec(),
        seeds: vec![0, 1],
        teacher: TeacherRun { train: TrainConfig { open_road_share: 0.0, ..train.clone() }, ..small_teacher() },
        start: None,
        stem: Some(train.clone()),
        student: StudentRun { train: train.clone(), ..StudentRun::base(small_student()) },
        shared: SharedRun { train, ..SharedRun::new(Cell::Both) },
        part: Part::Design,
        judge_samples: 12,
        protocols: vec!["valid-starts".into(), "vad-grid".into()],
        primary_endpoint: "own-both against base, l2_mean, rare tier".into(),
    };
    let report = prove(&bench.set, &config, folder.path(), 2, Device::Cpu, &Silent).unwrap();
    assert_eq!(report.arms.len(), Arm::ALL.len());
    assert!(report.gates.len() >= 2, "{:?}", report.gates);
    let base = report.arms.iter().find(|a| a.arm == Arm::Base).unwrap();
    assert_eq!((base.seeds, base.l2_by_seed.len()), (2, 2));
    let text = std::fs::read(folder.path().join("prove.md")).unwrap();
    schema::check("prove-1", &serde_json::to_value(&report).unwrap());
    // The table can be made again from the evidence alone.
    let evidence = Evidence::read(&folder.path().join("evidence.bin")).unwrap();
    assert_eq!(evidence.runs.len(), 2 + 2 * (Arm::ALL.len() - 2));
    assert_eq!(apprentice_distill::report(&evidence).unwrap(), report);
    let again = prove(&bench.set, &config, folder.path(), 2, Device::Cpu, &Silent).unwrap();
    assert_eq!(report, again);
    assert_eq!(text, std::fs::read(folder.path().join("prove.md")).unwrap());
    // One more seed leaves what is done as it is.
    let run = |arm: &str, seed: u64| folder.path().join(format!("runs/{arm}/seed-{seed}"));
    let weights = |arm: &str| std::fs::read(run(arm, 0).join("student.safetensors")).unwrap();
    let guided =
        ["own-both", "shuffled-guidance", "self-distillation", "shared-both", "pseudo-labels", "answer-labels"];
    let before = guided.map(weights);
    let more = ProveConfig { seeds: vec![0, 1, 2], ..config.clone() };
    assert_eq!(prove(&bench.set, &more, folder.path(), 2, Device::Cpu, &Silent).unwrap().seeds, [0, 1, 2]);
    assert!(before == guided.map(weights));
    // The base is its own teacher's student; the base with twice the compute goes through the stem's training twice.
    let hash = |path: &Path| apprentice_distill::load_student(path, Device::Cpu).unwrap().1;
    let base = hash(&run("base", 0).join("student.safetensors"));
    let (_, contract) = Student::load(&run("self-distillation", 0).join("student.safetensors"), Device::Cpu).unwrap();
    assert_eq!(contract.teacher_hash, Some(base));
    let identity = |arm: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(run(arm, 0).join("run.json")).unwrap()).unwrap()
    };
    let [stem, again, twice] = ["stem", "stem-twice", "base-twice"].map(|arm| identity(arm)["identity"].clone());
    assert_eq!(again["run"]["train"]["steps"], stem["run"]["train"]["steps"]);
    assert_eq!(again["start"].as_str(), Some(hash(&run("stem", 0).join("student.safetensors")).as_str()));
    assert_eq!(twice["start"].as_str(), Some(hash(&run("stem-twice", 0).join("student.safetensors")).as_str()));
    assert_eq!(twice["run"]["train"]["steps"], 2 * config.student.train.steps);

    // Another proof goes on from what this one made: at a rate of nearly nothing, nearly nothing changes.
    let files = StartFiles {
        student: folder.path().join("runs/stem/seed-0/student.safetensors"),
        teacher: folder.path().join("teacher/teacher.safetensors"),
    };
    let mut next =
        ProveConfig { arms: vec![Arm::Base, Arm::Teacher], seeds: vec![0], start: Some(files.clone()), ..config };
    for train in [&mut next.stem.as_mut().unwrap(), &mut next.student.train, &mut next.teacher.train] {
        train.optimiser.learning_rate = 1e-9;
    }
    let second = tempfile::tempdir().unwrap();
    next.arms.extend([Arm::NoImage, Arm::ObservableCeiling]);
    let report = prove(&bench.set, &next, second.path(), 2, Device::Cpu, &Silent).unwrap();
    // Floor and ceiling begin from chance there, so that the way between them says nothing.
    assert!(report.gates.iter().all(|gate| !gate.name.contains("perception")), "{:?}", report.gates);
    for (start, end) in
        [(files.student, "runs/base/seed-0/student.safetensors"), (files.teacher, "teacher/teacher.safetensors")]
    {
        let (start, end) = (read_tensors(&start).unwrap(), read_tensors(&second.path().join(end)).unwrap());
        let moved = |key: &String| (&start.tensors[key] - &end.tensors[key]).abs().max().double_value(&[]);
        let weights: Vec<_> = start.tensors.keys().filter(|key| key.ends_with(".weight")).collect();
        assert!(!weights.is_empty());
        weights.iter().for_each(|key| assert!(moved(key) < 1e-6, "{key}"));
    }
    next.arms.push(Arm::TeacherWithoutLanguage);
    let error = prove(&bench.set, &next, second.path(), 2, Device::Cpu, &Silent).unwrap_err().to_string();
    assert!(error.contains("language"), "{error}");
}
