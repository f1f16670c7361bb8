//! Times one training step of the `nano` student by phase, and one inference, on made-up samples.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use apprentice_nn::{AdamW, AdamWConfig, noise};
use apprentice_planner::loss::{PerceptionWeights, PlanWeights, perception, planning};
use apprentice_planner::*;
use tch::{Device, no_grad};

/// Seconds: wall clock, or with `--cpu` the main thread's time on a processor (what counts on a busy machine; run it
/// with one thread).
fn now_s() -> f64 {
    if std::env::args().any(|a| a == "--cpu") {
        let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
        stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1e-9
    } else {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
    }
}

fn main() {
    let size: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(16);
    let threads: usize = std::env::args().nth(2).and_then(|s| s.parse().ok()).unwrap_or(2);
    apprentice_nn::set_threads(threads);
    let config = StudentConfig::nano();
    let student = Student::new(&config, 1, Device::Cpu).unwrap();
    println!("parameters {}", student.vs.parameters());
    let data: Vec<_> = (0..size).map(|s| (common::sample(s), common::images(&config, s))).collect();
    let items: Vec<_> = data.iter().map(|(s, i)| Item::labelled(s, i)).collect();
    let mut optimizer = AdamW::new(&student.vs, AdamWConfig::default(), |_| Some(1.0));
    let names = ["collate", "encode", "decode+heads", "losses", "backward+adamw", "total"];
    let mut times = vec![vec![]; names.len()];
    for step in 0..12 {
        let start = now_s();
        let mut marks = vec![start];
        let batch = collate(&config, &items, Device::Cpu).unwrap();
        marks.push(now_s());
        let scene = student.encode(&batch.inputs, true);
        marks.push(now_s());
        let noise = noise(&[step], &[size as i64, config.planner.z]);
        let plan = student.decode(&scene, Draw::Posterior { future: &batch.targets.future, noise: &noise });
        let said = student.heads(&scene);
        marks.push(now_s());
        let loss = planning(&plan, &batch.targets, &batch.inputs.command, 1.0).total(&PlanWeights::default())
            + perception(&said, &batch.targets).total(&PerceptionWeights::default());
        marks.push(now_s());
        optimizer.step(&loss, 1.0);
        marks.push(now_s());
        for (i, pair) in marks.windows(2).enumerate() {
            times[i].push((pair[1] - pair[0]) * 1e3);
        }
        times[5].push((now_s() - start) * 1e3);
    }
    for (name, mut t) in names.iter().zip(times) {
        t.sort_by(f64::total_cmp);
        println!(
            "{name:>16} {:8.2} ms a batch of {size}, {:6.2} ms a sample",
            t[t.len() / 2],
            t[t.len() / 2] / size as f64
        );
    }
    let one = collate(&config, &items[..1], Device::Cpu).unwrap();
    let mut t: Vec<f64> = (0..30)
        .map(|_| {
            let start = now_s();
            no_grad(|| {
                student.decode(&student.encode(&one.inputs, false), Draw::Mean).trajectories.double_value(&[0, 0, 0, 0])
            });
            (now_s() - start) * 1e3
        })
        .collect();
    t.sort_by(f64::total_cmp);
    println!("{:>16} {:8.2} ms", "inference", t[t.len() / 2]);
}
