//! The whole student on made-up samples.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // a test may panic

mod common;

use apprentice_core::{Driver, EgoState, Observation};
use apprentice_nn::{AdamW, AdamWConfig, Schedule, noise};
use apprentice_planner::loss::{PerceptionWeights, PlanWeights, perception, planning};
use apprentice_planner::*;
use common::{images, sample};
use tch::{Device, Tensor, no_grad};

fn batch(config: &StudentConfig, seeds: std::ops::Range<u64>) -> Batch {
    apprentice_nn::set_threads(1);
    let data: Vec<_> = seeds.map(|s| (sample(s), images(config, s))).collect();
    let items: Vec<_> = data.iter().map(|(s, i)| Item::labelled(s, i)).collect();
    collate(config, &items, Device::Cpu).unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

fn train(student: &Student, batch: &Batch, steps: u64) -> (Vec<f64>, Vec<(&'static str, f64)>) {
    let config = AdamWConfig { learning_rate: 2e-3, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(&student.vs, config, |_| Some(1.0));
    let schedule = Schedule::cosine(10, steps);
    let mut losses = vec![];
    let mut last = vec![];
    for step in 0..steps {
        let scene = student.encode(&batch.inputs, true);
        let noise = noise(&[5, step], &[batch.targets.scenes.len() as i64, student.config.planner.z]);
        let plan = student.decode(&scene, Draw::Posterior { future: &batch.targets.future, noise: &noise });
        let plan_loss = planning(&plan, &batch.targets, &batch.inputs.command, 4.0);
        let seen = perception(&student.heads(&scene), &batch.targets);
        let loss = plan_loss.total(&PlanWeights::default()) + seen.total(&PerceptionWeights::default());
        let report = optimizer.step(&loss, schedule.factor(step));
        assert!(report.applied, "step {step}");
        losses.push(report.loss);
        last = plan_loss.values();
        last.extend(seen.values());
    }
    (losses, last)
}

#[test]
fn learns_eight_samples_by_heart() {
    let config = StudentConfig::nano();
    let student = Student::new(&config, 1, Device::Cpu).unwrap();
    let batch = batch(&config, 0..8);
    let (losses, last) = train(&student, &batch, 120);
    assert!(losses[119] < 0.3 * losses[0], "{} → {}\n{last:?}", losses[0], losses[119]);
    let value = |name: &str| last.iter().find(|(n, _)| *n == name).unwrap().1;
    assert!(value("plan_l1") < 0.15, "{last:?}");
    assert!(value("light") < 0.1 && value("agent_class") < 0.2, "{last:?}");
    // Test-time planning (mean of p, running statistics) knows them too.
    let output = no_grad(|| student.decode(&student.encode(&batch.inputs, false), Draw::Mean));
    let error = (output.selected(&batch.inputs.command) - &batch.targets.future).abs().mean(tch::Kind::Float);
    assert!(error.double_value(&[]) < 0.6, "{error:?}");
}

#[test]
fn every_parameter_gets_a_gradient() {
    let config = StudentConfig::nano();
    let student = Student::new(&config, 1, Device::Cpu).unwrap();
    let batch = batch(&config, 0..4);
    let before: Vec<_> = student.vs.variables().into_iter().map(|v| (v.name, v.tensor.copy(), v.trainable)).collect();
    train(&student, &batch, 2);
    let after = student.vs.variables();
    // Unused commands' offsets and unmatched modes may rest, but whole tensors may not.
    for ((name, old, trainable), new) in before.iter().zip(&after) {
        assert!(!trainable || *old != new.tensor, "{name} never moved");
    }
}

#[test]
fn a_sample_does_not_depend_on_its_neighbours() {
    let config = StudentConfig::nano();
    let student = Student::new(&config, 3, Device::Cpu).unwrap();
    let together = batch(&config, 0..5);
    let plans = no_grad(|| student.decode(&student.encode(&together.inputs, false), Draw::Mean).trajectories);
    for i in 0..5 {
        let alone = batch(&config, i..i + 1);
        let plan = no_grad(|| student.decode(&student.encode(&alone.inputs, false), Draw::Mean).trajectories);
        let d = difference(&plan.get(0), &plans.get(i as i64));
        assert!(d < 1e-4, "sample {i} differs by {d}");
    }
    assert!(difference(&plans.get(0), &plans.get(1)) > 1e-3, "all plans are equal: the test says nothing");
}

#[test]
fn same_seed_same_bytes() {
    let config = StudentConfig::nano();
    let run = || {
        let student = Student::new(&config, 4, Device::Cpu).unwrap();
        train(&student, &batch(&config, 0..4), 4);
        apprentice_nn::checkpoint::tensor_bytes(&student.vs.tensors(), &Default::default())
    };
    assert!(run() == run());
}

#[test]
fn arms_differ_in_what_they_see() {
    for mode in [InputMode::EgoOnly, InputMode::VisibleLabels] {
        let config = StudentConfig::nano().with_inputs(mode);
        let student = Student::new(&config, 1, Device::Cpu).unwrap();
        let (losses, _) = train(&student, &batch(&config, 0..4), 30);
        assert!(losses[29] < losses[0], "{mode:?}");
    }
    let config = StudentConfig::nano().with_inputs(InputMode::EgoOnly);
    let student = Student::new(&config, 1, Device::Cpu).unwrap();
    let (s, i) = (sample(1), images(&config, 1));
    let mut other = sample(2);
    (other.ego, other.command) = (s.ego, s.command);
    let plan = |s: &apprentice_core::Sample| {
        let b = collate(&config, &[Item::labelled(s, &i)], Device::Cpu).unwrap();
        no_grad(|| student.decode(&student.encode(&b.inputs, false), Draw::Mean).trajectories)
    };
    assert_eq!(plan(&s), plan(&other), "the no-image student sees more than speed and command");
}

#[test]
fn unusable_labels_change_nothing() {
    let config = StudentConfig::nano();
    let student = Student::new(&config, 1, Device::Cpu).unwrap();
    let (a, b) = (sample(1), sample(2));
    let mut wrong = sample(3);
    (wrong.ego, wrong.command) = (b.ego, b.command);
    let (ia, ib) = (images(&config, 1), images(&config, 2));
    let losses = |second: &apprentice_core::Sample| {
        let items = [Item::labelled(&a, &ia), Item::unlabelled(second, &ib)];
        let batch = collate(&config, &items, Device::Cpu).unwrap();
        no_grad(|| {
            let scene = student.encode(&batch.inputs, false);
            let plan = student.decode(&scene, Draw::Mean);
            let mut values = planning(&plan, &batch.targets, &batch.inputs.command, 4.0).values();
            values.extend(perception(&student.heads(&scene), &batch.targets).values());
            values
        })
    };
    assert_eq!(losses(&b), losses(&wrong));
}

#[test]
fn checkpoint_roundtrip_and_strictness() {
    let folder = std::env::temp_dir().join(format!("apprentice-planner-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("student.safetensors");
    let config = StudentConfig::nano();
    let student = Student::new(&config, 5, Device::Cpu).unwrap();
    let contract = student.contract("base", serde_json::json!({"steps": 0}), "none");
    student.save(&path, &contract).unwrap();
    let (again, read) = Student::load(&path, Device::Cpu).unwrap();
    assert_eq!(read, contract);
    let b = batch(&config, 0..2);
    let plan = |s: &Student| no_grad(|| s.decode(&s.encode(&b.inputs, false), Draw::Mean).trajectories);
    assert_eq!(plan(&student), plan(&again));

    // Driving from the file gives the same plan.
    let mut driver = StudentDriver::open(&path).unwrap();
    let (s, i) = (sample(0), images(&config, 0));
    let ego = EgoState { speed_mps: s.ego.speed_mps, ..EgoState::default() };
    let observation = Observation { time_s: 0.0, images: &i, ego, command: s.command };
    let driven = driver.plan(&observation).unwrap_or_else(|e| panic!("{e}"));
    let expected = driver::plan_of(&plan(&student).get(0), s.command);
    assert!(driven.selected().l2(expected.selected()).iter().all(|d| *d < 1e-4));
    let few = Observation { images: &i[..5], ..observation };
    assert!(driver.plan(&few).err().unwrap().to_string().contains("6 images"));

    let mut other = contract.clone();
    other.preprocessing.mean = [0.0; 3];
    student.save(&path, &other).unwrap();
    let text = Student::load(&path, Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("preprocessing") && text.contains("student.safetensors"), "{text}");
    let mut other = contract.clone();
    other.model["width"] = 32.into();
    student.save(&path, &other).unwrap();
    assert!(Student::load(&path, Device::Cpu).unwrap_err().to_string().contains("shape"));
    other.model["surprise"] = 1.into();
    student.save(&path, &other).unwrap();
    assert!(Student::load(&path, Device::Cpu).unwrap_err().to_string().contains("surprise"));
    let mut other = contract.clone();
    other.kind = "teacher".into();
    student.save(&path, &other).unwrap();
    assert!(Student::load(&path, Device::Cpu).unwrap_err().to_string().contains("kind"));
    std::fs::write(&path, b"not a checkpoint").unwrap();
    assert!(Student::load(&path, Device::Cpu).is_err());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let cases: [(&str, fn(&mut StudentConfig)); 4] = [
        ("heads", |c| c.heads = 7),
        ("planner.latent", |c| c.planner.latent = 129),
        ("bev.cell_m", |c| c.bev.cell_m = 0.0),
        ("backbone.image_width", |c| c.backbone.image_width = 100),
    ];
    for (field, change) in cases {
        let mut config = StudentConfig::nano();
        change(&mut config);
        let error = Student::new(&config, 0, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    for name in ["nano", "tiny", "base"] {
        StudentConfig::preset(name).unwrap().check().unwrap();
    }
    assert!(StudentConfig::preset("huge").is_err());
}

#[test]
fn the_shipped_student_is_the_one_on_its_card() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let card = std::fs::read_to_string(models.join("nano-student.md")).unwrap();
    for name in ["nano-student.safetensors", "nano-student.onnx"] {
        let hash = apprentice_core::hash::content_hash(&std::fs::read(models.join(name)).unwrap());
        assert!(card.contains(&hash), "the card names another {name} than {hash}");
    }
    let (student, contract) = Student::load(&models.join("nano-student.safetensors"), Device::Cpu).unwrap();
    assert_eq!(student.config.preprocessing(), contract.preprocessing);
}
