//! `apprentice bench student|onnx|guidance`: our student and the exported file against the same network in PyTorch eager.
//!
//! The peer is `bench/peer_student.py` in another process, with our weights. Its outputs must agree with ours before anything
//! is timed; then both sides take turns, so that whatever else the machine does falls on both. The peer's allocator keeps large
//! blocks as ours does, and its waiting threads spin as long as ours do before they sleep. A training step here is
//! forward, the mean square of every output as the loss, backward and AdamW with clipping: the same on both sides, and
//! free of the host-side matching.

mod guidance;

use apprentice_cli::arguments::{Bench, Common};
use apprentice_cli::commands::bench::Measured;
use apprentice_cli::{CliError, Console};
use apprentice_core::{BoxedError, Command as Navigation, Image, Progress, Rng};
use apprentice_nn::{AdamW, AdamWConfig, noise, write_tensors};
use apprentice_planner::batch::observe;
use apprentice_planner::{Draw, Inputs, Student, StudentConfig, export};
use apprentice_runtime::{Engine, EngineKind, Input};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor, no_grad};

/// Samples of a training step.
const BATCH: usize = 16;
/// Timed pairs.
const PAIRS: usize = 20;
/// Each side's turn begins with the same work untimed, for at least this long: until threads that the other side left spinning
/// have gone to sleep and the cores are awake. The peer script has the same figure.
const RUN_UP: Duration = Duration::from_millis(50);
/// Largest difference of any output, relative to the largest value in it (at least 1).
const TOLERANCE: f64 = 1e-4;
const SCRIPT: &str = "bench/peer_student.py";

/// Measure what was named of `student`, `onnx` and `guidance`.
///
/// # Errors
/// When the peer cannot be started, or does not compute what we compute.
pub fn run(bench: &Bench, common: &Common, console: &Console) -> Result<Vec<Measured>, BoxedError> {
    let threads = common.threads.unwrap_or(2);
    let mut measured = vec![];
    if bench.what.iter().any(|what| what == "guidance") {
        measured.extend(guidance::read(bench.cache.as_deref())?);
    }
    if !bench.what.iter().any(|what| what == "student" || what == "onnx") {
        return Ok(measured);
    }
    apprentice_nn::set_threads(threads);
    let folder = std::env::temp_dir().join(format!("apprentice-bench-{}", std::process::id()));
    let compared = measure(bench, &folder, threads, console);
    std::fs::remove_dir_all(&folder).ok();
    measured.extend(compared?);
    Ok(measured)
}

fn measure(bench: &Bench, folder: &Path, threads: usize, console: &Console) -> Result<Vec<Measured>, BoxedError> {
    let wanted = |name: &str| bench.what.iter().any(|what| what == name);
    let mut ours = Ours::new()?;
    // A few steps move the running statistics and the small-output layers away from their start.
    for _ in 0..8 {
        ours.train();
    }
    ours.write(folder)?;
    let (mut peer, difference) = Peer::start(&bench.python, folder, threads)?;
    agree("PyTorch", difference)?;
    let mut measured = vec![];
    let mut compare = |what: &str, difference: f64, word: &str, work: &mut dyn FnMut() -> Result<(), BoxedError>| {
        measured.push(turns(what, difference, threads, &mut peer, word, work, console)?);
        Ok::<(), BoxedError>(())
    };
    if wanted("onnx") {
        let mut exported = Exported::new(&ours, folder, threads)?;
        let difference = exported.difference(&ours)?;
        agree("ONNX Runtime", difference)?;
        compare("ONNX inference / PyTorch eager", difference, "infer", &mut || exported.infer().map(drop))?;
    }
    if wanted("student") {
        compare("inference / PyTorch eager", difference, "infer", &mut || {
            drop(ours.infer());
            Ok(())
        })?;
        compare("training step / PyTorch eager", difference, "train", &mut || {
            ours.train();
            Ok(())
        })?;
    }
    Ok(measured)
}

fn agree(who: &str, difference: f64) -> Result<(), BoxedError> {
    if difference <= TOLERANCE {
        return Ok(());
    }
    Err(CliError::new(
        format!("{who} computes something else: outputs differ by {difference:.1e}, more than {TOLERANCE:.0e}"),
        format!("nothing was timed; bring {SCRIPT} in line with the student"),
    )
    .into())
}

/// Time both sides in turns: the median of the pairs' ratios with its bootstrap interval.
fn turns(
    what: &str,
    difference: f64,
    threads: usize,
    peer: &mut Peer,
    word: &str,
    work: &mut dyn FnMut() -> Result<(), BoxedError>,
    console: &Console,
) -> Result<Measured, BoxedError> {
    console.start(what, PAIRS as u64);
    let mut pairs = Vec::with_capacity(PAIRS);
    for _ in 0..PAIRS {
        let turn_begun = Instant::now();
        while turn_begun.elapsed() < RUN_UP {
            work()?;
        }
        let begun = Instant::now();
        work()?;
        let here_ms = begun.elapsed().as_secs_f64() * 1e3;
        let there_ms = peer.ask(word)?;
        pairs.push((here_ms, there_ms));
        console.advance(1);
    }
    console.finish();
    let ratios: Vec<f64> = pairs.iter().map(|(here, there)| here / there).collect();
    let [low, high] = median_interval(&ratios);
    let side = |pick: fn(&(f64, f64)) -> f64| median(pairs.iter().map(pick).collect());
    Ok(Measured {
        what: what.into(),
        value: median(ratios),
        interval_95: Some([low, high]),
        unit: "ratio",
        note: format!(
            "{PAIRS} pairs, {threads} threads, ours {:.1} ms, PyTorch {:.1} ms, outputs differ by {difference:.0e}",
            side(|p| p.0),
            side(|p| p.1)
        ),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

/// 95 % interval of the median by 2000 bootstrap draws.
fn median_interval(values: &[f64]) -> [f64; 2] {
    const DRAWS: usize = 2000;
    let mut rng = Rng::new(&[0xb007]);
    let mut medians: Vec<f64> =
        (0..DRAWS).map(|_| median(values.iter().map(|_| values[rng.below(values.len())]).collect())).collect();
    medians.sort_by(f64::total_cmp);
    [medians[DRAWS / 40], medians[DRAWS - 1 - DRAWS / 40]]
}

/// Our side: a student, a batch and what its training step needs.
struct Ours {
    student: Student,
    optimiser: AdamW,
    batch: Inputs,
    one: Inputs,
    future: Tensor,
    noise: Tensor,
}

impl Ours {
    fn new() -> Result<Self, BoxedError> {
        let config = StudentConfig::nano();
        let student = Student::new(&config, 1, Device::Cpu)?;
        let batch = made_up(&config, BATCH)?;
        let size = BATCH as i64;
        Ok(Self {
            optimiser: AdamW::new(&student.vs, AdamWConfig::default(), |_| Some(1.0)),
            one: first(&batch),
            future: noise(&[2], &[size, 6, 2]).cumsum(1, Kind::Float),
            noise: noise(&[1], &[size, config.planner.z]),
            student,
            batch,
        })
    }

    fn train(&mut self) {
        let draw = Draw::Posterior { future: &self.future, noise: &self.noise };
        let all = outputs(&self.student, &self.batch, draw, true);
        let terms: Vec<_> = all.iter().map(|(_, t)| t.square().mean(Kind::Float)).collect();
        self.optimiser.step(&Tensor::stack(&terms, 0).sum(Kind::Float), 1.0);
    }

    /// The trajectories of one sample.
    fn infer(&self) -> Tensor {
        let plan = no_grad(|| self.student.decode(&self.student.encode(&self.one, false), Draw::Mean).trajectories);
        // A value on the host: the plan is there, not on its way.
        let _ = plan.double_value(&[0, 0, 0, 0]);
        plan
    }

    /// The student and a fixture with its inputs and outputs, for the peer.
    fn write(&self, folder: &Path) -> Result<(), BoxedError> {
        let contract = self.student.contract("bench", serde_json::Value::Null, "made-up");
        self.student.save(&folder.join("student.safetensors"), &contract)?;
        let said = no_grad(|| outputs(&self.student, &self.batch, Draw::Mean, false));
        let mut fixture: Vec<(String, Tensor)> =
            said.iter().map(|(name, tensor)| (format!("output.{name}"), tensor.detach())).collect();
        let given = [
            ("images", &self.batch.images),
            ("speed", &self.batch.speed),
            ("command", &self.batch.command),
            ("future", &self.future),
            ("noise", &self.noise),
        ];
        fixture.extend(given.map(|(name, tensor)| (format!("input.{name}"), tensor.shallow_clone())));
        let lift = self.student.encoder.lift.iter().flat_map(|lift| lift.taps.iter().enumerate());
        let taps: Vec<_> = lift.flat_map(|(cell, taps)| taps.iter().map(move |tap| (cell as i64, tap))).collect();
        let cells: Vec<i64> = taps.iter().map(|(cell, _)| *cell).collect();
        let places: Vec<i64> = taps.iter().map(|(_, tap)| tap.index).collect();
        let weights: Vec<f32> = taps.iter().map(|(_, tap)| tap.weight).collect();
        fixture.push(("lift.cell".into(), Tensor::from_slice(&cells)));
        fixture.push(("lift.index".into(), Tensor::from_slice(&places)));
        fixture.push(("lift.weight".into(), Tensor::from_slice(&weights)));
        Ok(write_tensors(&folder.join("fixture.safetensors"), &fixture, &BTreeMap::new())?)
    }
}

/// Every output of network and planner, by name.
fn outputs(student: &Student, inputs: &Inputs, draw: Draw<'_>, train: bool) -> Vec<(&'static str, Tensor)> {
    let scene = student.encode(inputs, train);
    let said = student.heads(&scene);
    let plan = student.decode(&scene, draw);
    let mut all = vec![
        ("bev", said.bev),
        ("agent_logits", said.agent_logits),
        ("boxes", said.boxes),
        ("motion", said.motion),
        ("motion_logits", said.motion_logits),
        ("map_logits", said.map_logits),
        ("map_points", said.map_points),
        ("light_logits", said.light_logits),
        ("latent", plan.latent),
        ("trajectories", plan.trajectories),
        ("present_mean", plan.present.mean),
    ];
    all.extend(said.image.map(|image| ("image", image)));
    all.extend(plan.posterior.map(|posterior| ("posterior_mean", posterior.mean)));
    all
}

/// Pictures of noise with speeds and commands; what is drawn does not change the time that it takes.
fn made_up(config: &StudentConfig, count: usize) -> Result<Inputs, BoxedError> {
    let preprocessing = config.preprocessing();
    let mut rng = Rng::new(&[0xbe_7c4]);
    let picture = |width: usize, height: usize, rng: &mut Rng| Image {
        width,
        height,
        rgb: (0..width * height * 3).map(|_| rng.next_u64() as u8).collect(),
    };
    let cameras = &preprocessing.rig.cameras;
    let images: Vec<Vec<Image>> =
        (0..count).map(|_| cameras.iter().map(|c| picture(c.width, c.height, &mut rng)).collect()).collect();
    let images: Vec<&[Image]> = images.iter().map(Vec::as_slice).collect();
    let speed: Vec<f32> = (0..count).map(|_| rng.range(0.0, 10.0) as f32).collect();
    let command: Vec<i64> = (0..count).map(|_| rng.below(Navigation::COUNT) as i64).collect();
    Ok(observe(config, &preprocessing, &images, &speed, &command, Device::Cpu)?)
}

/// The first sample alone.
fn first(inputs: &Inputs) -> Inputs {
    let take = |t: &Tensor| t.narrow(0, 0, 1);
    Inputs {
        images: take(&inputs.images),
        speed: take(&inputs.speed),
        command: take(&inputs.command),
        raster: None,
        light: None,
    }
}

/// The exported file in ONNX Runtime, with one sample's inputs as it takes them.
struct Exported {
    engine: Engine,
    images: (Vec<usize>, Vec<f32>),
    speed: [f32; 1],
    command: [f32; Navigation::COUNT],
}

impl Exported {
    fn new(ours: &Ours, folder: &Path, threads: usize) -> Result<Self, BoxedError> {
        let contract = ours.student.contract("bench", serde_json::Value::Null, "made-up");
        let bytes = export::onnx(&ours.student, &contract)?;
        let engine = Engine::load(EngineKind::OnnxRuntime, &folder.join("student.onnx"), &bytes, threads)?;
        // The graph normalises pixels itself, the network's input is normalised already: undo it.
        let pixels = &contract.preprocessing;
        let by_channel = |values: [f32; 3]| Tensor::from_slice(&values).reshape([1, 1, 3, 1, 1]);
        let images = &ours.one.images * by_channel(pixels.std) + by_channel(pixels.mean);
        let shape = images.size().iter().map(|&n| n as usize).collect();
        let mut values = vec![0f32; images.numel()];
        let count = values.len();
        images.contiguous().copy_data(&mut values, count);
        let mut command = [0.0; Navigation::COUNT];
        command[ours.one.command.int64_value(&[0]) as usize] = 1.0;
        Ok(Self { engine, images: (shape, values), speed: [ours.one.speed.double_value(&[0]) as f32], command })
    }

    fn infer(&mut self) -> Result<Vec<f32>, BoxedError> {
        let outputs = self.engine.run(&[
            Input { name: "images", shape: &self.images.0, values: &self.images.1 },
            Input { name: "speed", shape: &[1, 1], values: &self.speed },
            Input { name: "command", shape: &[1, Navigation::COUNT], values: &self.command },
        ])?;
        Ok(outputs.into_iter().next().unwrap_or_default())
    }

    /// Largest difference to our trajectories, relative to the largest value (at least 1).
    fn difference(&mut self, ours: &Ours) -> Result<f64, BoxedError> {
        let got = self.infer()?;
        let want = ours.infer().flatten(0, -1);
        if got.len() != want.numel() {
            return Ok(f64::INFINITY);
        }
        let largest = want.abs().max().double_value(&[]).max(1.0);
        Ok((Tensor::from_slice(&got) - want).abs().max().double_value(&[]) / largest)
    }
}

/// PyTorch in a process of its own, which obeys one word a line and answers with milliseconds.
struct Peer {
    process: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Start it on the folder's student; the largest difference of its outputs to those in the folder.
    fn start(python: &str, folder: &Path, threads: usize) -> Result<(Self, f64), BoxedError> {
        let here = std::env::current_exe().ok();
        let mut above = here.iter().flat_map(|p| p.ancestors().skip(1)).map(|folder| folder.join(SCRIPT));
        let script = above.find(|path| path.is_file()).ok_or_else(|| {
            CliError::new(format!("{SCRIPT} is not beside this program"), "run the program where it was built")
        })?;
        let mut command = std::process::Command::new(python);
        command.arg(&script).arg(folder).arg(threads.to_string());
        // As `apprentice_nn::set_threads` does for this process.
        command.envs([("MALLOC_MMAP_THRESHOLD_", "1073741824"), ("MALLOC_TRIM_THRESHOLD_", "2147483647")]);
        let problem = |what: String| {
            CliError::new(
                format!("the peer does not answer: {what}"),
                "name a Python that has PyTorch: `python3 -m venv V && V/bin/pip install torch==2.11.0 numpy`, then \
                 `--python V/bin/python` (after `cargo xtask setup --cuda`, PYTHONPATH=.libtorch serves as well)",
            )
        };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| problem(format!("cannot start `{python}`: {e}")))?;
        let (Some(words), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(problem("it has no pipes".into()).into());
        };
        let mut peer = Self { process, words, answers: BufReader::new(answers) };
        let difference = peer.read().map_err(problem)?;
        Ok((peer, difference))
    }

    fn read(&mut self) -> Result<f64, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|e| e.to_string())?;
        line.trim().parse().map_err(|_| format!("it said `{}`", line.trim()))
    }

    /// Milliseconds of what `word` names.
    fn ask(&mut self, word: &str) -> Result<f64, BoxedError> {
        let said = writeln!(self.words, "{word}").map_err(|e| e.to_string()).and_then(|()| self.read());
        Ok(said.map_err(|e| CliError::new(format!("the peer broke off: {e}"), "its own message stands above"))?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_its_interval() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let [low, high] = median_interval(&values);
        assert_eq!(median(values), 10.5);
        assert!((4.0..10.5).contains(&low) && (10.5..17.0).contains(&high), "{low} {high}");
        assert_eq!(median_interval(&[2.0; 5]), [2.0, 2.0]);
    }
}
