//! The Rust side of `bench/peer_student.py`: writes a student with a batch and its outputs, then obeys one-word commands on
//! standard input (`train`, `infer`) and answers with milliseconds, so that the two sides can take turns.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use apprentice_nn::{AdamW, AdamWConfig, noise, write_tensors};
use apprentice_planner::*;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;
use tch::{Device, Kind, Tensor, no_grad};

/// Every output of network and planner, by name.
fn outputs(student: &Student, inputs: &Inputs, draw: Draw<'_>, train: bool) -> Vec<(String, Tensor)> {
    let scene = student.encode(inputs, train);
    let said = student.heads(&scene);
    let plan = student.decode(&scene, draw);
    let mut all = vec![
        ("bev".to_string(), said.bev),
        ("image".into(), said.image.unwrap()),
        ("agent_logits".into(), said.agent_logits),
        ("boxes".into(), said.boxes),
        ("motion".into(), said.motion),
        ("motion_logits".into(), said.motion_logits),
        ("map_logits".into(), said.map_logits),
        ("map_points".into(), said.map_points),
        ("light_logits".into(), said.light_logits),
        ("latent".into(), plan.latent),
        ("trajectories".into(), plan.trajectories),
        ("present_mean".into(), plan.present.mean),
    ];
    if let Some(q) = plan.posterior {
        all.push(("posterior_mean".into(), q.mean));
    }
    all
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("usage: peer FOLDER [BATCH] [THREADS]"));
    let size: u64 = arguments.next().map_or(16, |s| s.parse().unwrap());
    let threads: usize = arguments.next().map_or(2, |s| s.parse().unwrap());
    apprentice_nn::set_threads(threads);
    let config = StudentConfig::nano();
    let student = Student::new(&config, 1, Device::Cpu).unwrap();
    let data: Vec<_> = (0..size).map(|s| (common::sample(s), common::images(&config, s))).collect();
    let items: Vec<_> = data.iter().map(|(s, i)| Item::labelled(s, i)).collect();
    let batch = collate(&config, &items, Device::Cpu).unwrap();
    let one = collate(&config, &items[..1], Device::Cpu).unwrap();
    let noise = noise(&[1], &[size as i64, config.planner.z]);
    let posterior = Draw::Posterior { future: &batch.targets.future, noise: &noise };

    // Eight steps move the running statistics and the small-output layers away from their start.
    let mut optimizer = AdamW::new(&student.vs, AdamWConfig::default(), |_| Some(1.0));
    let mut step = || {
        let all = outputs(&student, &batch.inputs, posterior, true);
        let terms: Vec<_> = all.iter().map(|(_, t)| t.square().mean(Kind::Float)).collect();
        optimizer.step(&Tensor::stack(&terms, 0).sum(Kind::Float), 1.0).loss
    };
    for _ in 0..8 {
        step();
    }
    let contract = student.contract("bench", serde_json::Value::Null, "made-up");
    student.save(&folder.join("student.safetensors"), &contract).unwrap();
    let mut fixture = no_grad(|| outputs(&student, &batch.inputs, Draw::Mean, false));
    for (name, tensor) in &mut fixture {
        name.insert_str(0, "output.");
        *tensor = tensor.detach();
    }
    let inputs = [
        ("input.images", &batch.inputs.images),
        ("input.speed", &batch.inputs.speed),
        ("input.command", &batch.inputs.command),
        ("input.future", &batch.targets.future),
        ("input.noise", &noise),
    ];
    fixture.extend(inputs.map(|(name, t)| (name.to_string(), t.shallow_clone())));
    let lift = student.encoder.lift.as_ref().unwrap();
    let taps: Vec<_> = lift.taps.iter().enumerate().flat_map(|(c, t)| t.iter().map(move |t| (c as i64, *t))).collect();
    fixture.push(("lift.cell".into(), Tensor::from_slice(&taps.iter().map(|t| t.0).collect::<Vec<_>>())));
    fixture.push(("lift.index".into(), Tensor::from_slice(&taps.iter().map(|t| t.1.index).collect::<Vec<_>>())));
    fixture.push(("lift.weight".into(), Tensor::from_slice(&taps.iter().map(|t| t.1.weight).collect::<Vec<_>>())));
    write_tensors(&folder.join("fixture.safetensors"), &fixture, &BTreeMap::new()).unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    for line in std::io::stdin().lock().lines() {
        let start = Instant::now();
        match line.unwrap().as_str() {
            "train" => drop(step()),
            "infer" => {
                let plan = no_grad(|| student.decode(&student.encode(&one.inputs, false), Draw::Mean).trajectories);
                let _ = plan.double_value(&[0, 0, 0, 0]);
            }
            _ => return,
        }
        println!("{}", start.elapsed().as_secs_f64() * 1e3);
        std::io::stdout().flush().unwrap();
    }
}
