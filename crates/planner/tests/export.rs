//! The exported graph, in both engines, against the student it was written from.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::driver::{Driver, Observation};
use apprentice_core::{Command, EgoState, Image, Rng};
use apprentice_planner::config::{InputMode, StudentConfig};
use apprentice_planner::driver::StudentDriver;
use apprentice_planner::{export, student::Student};
use apprentice_runtime::{EngineKind, OnnxDriver};

fn pictures(seed: u64, width: usize, height: usize) -> Vec<Image> {
    (0..6)
        .map(|camera| {
            let mut rng = Rng::new(&[seed, camera]);
            Image { width, height, rgb: (0..width * height * 3).map(|_| rng.below(256) as u8).collect() }
        })
        .collect()
}

fn agrees(config: &StudentConfig) {
    let student = Student::new(config, 5, tch::Device::Cpu).unwrap();
    let contract = student.contract("base", serde_json::Value::Null, "none");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.onnx");
    std::fs::write(&path, export::onnx(&student, &contract).unwrap()).unwrap();
    let camera = contract.preprocessing.rig.cameras[0].clone();
    let mut reference = StudentDriver::new("reference", student, contract).unwrap();
    for kind in [EngineKind::OnnxRuntime, EngineKind::Tract] {
        let mut exported = OnnxDriver::open(&path, kind, 1).unwrap();
        for (seed, &command) in Command::ALL.iter().enumerate() {
            let images = pictures(seed as u64, camera.width, camera.height);
            let ego = EgoState { speed_mps: 1.5 * seed as f32, ..EgoState::default() };
            let observation = Observation { time_s: 0.0, images: &images, ego, command };
            let want = reference.plan(&observation).unwrap();
            let got = exported.plan(&observation).unwrap();
            for (g, w) in got.per_command.iter().zip(&want.per_command) {
                for (g, w) in g.0.iter().flatten().zip(w.0.iter().flatten()) {
                    assert!((g - w).abs() <= 1e-4 * (1.0 + w.abs()), "{}: {g} for {w}", kind.name());
                }
            }
        }
    }
}

#[test]
fn both_engines_agree_with_the_student() {
    agrees(&StudentConfig::nano());
}

#[test]
fn a_published_backbone_exports_too() {
    let mut config = StudentConfig::nano();
    config.backbone.resnet = Some(18);
    agrees(&config);
}

#[test]
fn a_student_without_cameras_exports_too() {
    agrees(&StudentConfig { inputs: InputMode::EgoOnly, ..StudentConfig::nano() });
}
