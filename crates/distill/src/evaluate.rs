//! Open loop: a checkpoint's plans over a part of the data, judged by the house's protocols.

use crate::DistillError;
use crate::shared_vision::{SHARED_KIND, SharedVision};
use crate::source::ids_of;
use crate::teacher::spread;
use apprentice_core::contract::Preprocessing;
use apprentice_core::sample::SampleId;
use apprentice_core::{Contract, Progress, Trajectory};
use apprentice_data::{Frame, Loader, LoaderConfig, Part, WorldSet};
use apprentice_eval::planning::{PlanningResult, Subject, evaluate};
use apprentice_eval::{Protocol, Start};
use apprentice_nn::{VarStore, read_tensors};
use apprentice_planner::batch::observe;
use apprentice_planner::driver::plan_of;
use apprentice_planner::student::CONTRACT_FIELD;
use apprentice_planner::{Draw, InputMode, Inputs, Item, PlanOutput, Student, StudentConfig, VaePlanner, collate};
use apprentice_teacher::Teacher;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tch::{Device, Tensor, no_grad};

/// The kind of source in the protocols' tables of ego boxes.
const SOURCE: &str = "worlds";
const BATCH: usize = 16;

/// Plans for many frames at once.
pub trait BatchPlanner {
    /// The pictures it needs, or `None` when it looks at none.
    fn preprocessing(&self) -> Option<Preprocessing>;
    /// The commanded trajectory of each frame.
    ///
    /// # Errors
    /// When a frame does not fit.
    fn plans(&self, frames: &[Frame]) -> Result<Vec<Trajectory>, DistillError>;
    /// Parameters used at test time.
    fn parameters(&self) -> usize;
}

/// Frames as a network's input.
pub(crate) fn inputs(config: &StudentConfig, frames: &[Frame], device: Device) -> Result<Inputs, DistillError> {
    let images: Vec<_> = frames.iter().map(|f| f.images.as_slice()).collect();
    let speed: Vec<_> = frames.iter().map(|f| f.sample.ego.speed_mps).collect();
    let command: Vec<_> = frames.iter().map(|f| f.sample.command.index() as i64).collect();
    Ok(observe(config, &config.preprocessing(), &images, &speed, &command, device)?)
}

/// The commanded trajectories on the host.
pub(crate) fn selected(output: &PlanOutput, command: &Tensor) -> Vec<Trajectory> {
    let commands = Vec::<i64>::try_from(&command.to_device(Device::Cpu)).expect("commands are a vector of int64");
    let of = |(row, &c): (usize, &i64)| {
        let command = apprentice_core::Command::from_index(c as usize).unwrap_or(apprentice_core::Command::LaneFollow);
        *plan_of(&output.trajectories.get(row as i64), command).selected()
    };
    commands.iter().enumerate().map(of).collect()
}

impl BatchPlanner for Student {
    fn preprocessing(&self) -> Option<Preprocessing> {
        (self.config.inputs == InputMode::Cameras).then(|| self.config.preprocessing())
    }

    fn plans(&self, frames: &[Frame]) -> Result<Vec<Trajectory>, DistillError> {
        let inputs = match self.config.inputs {
            // The ceiling looks at the visible labels: the one planner that may.
            InputMode::VisibleLabels => {
                let items: Vec<_> = frames.iter().map(|f| Item::unlabelled(&f.sample, &[])).collect();
                collate(&self.config, &items, self.vs.device())?.inputs
            }
            _ => inputs(&self.config, frames, self.vs.device())?,
        };
        let output = no_grad(|| self.decode(&self.encode(&inputs, false), Draw::Mean));
        Ok(selected(&output, &inputs.command))
    }

    fn parameters(&self) -> usize {
        deployed(&self.vs)
    }
}

/// Trained parameters that are needed at test time: all but the planner's that read the future.
pub(crate) fn deployed(vs: &VarStore) -> usize {
    let needed = |name: &str| name.strip_prefix("planner.").is_none_or(VaePlanner::is_deployed);
    vs.variables().iter().filter(|v| v.trainable && needed(&v.name)).map(|v| v.tensor.numel()).sum()
}

impl BatchPlanner for Teacher {
    fn preprocessing(&self) -> Option<Preprocessing> {
        Some(self.config.vision.preprocessing())
    }

    fn plans(&self, frames: &[Frame]) -> Result<Vec<Trajectory>, DistillError> {
        let inputs = inputs(&self.config.vision, frames, self.vs.device())?;
        let output = no_grad(|| {
            let (scene, tokens) = self.see(&inputs, false);
            self.decode(&scene, &self.think(&scene, &tokens, None), Draw::Mean)
        });
        Ok(selected(&output, &inputs.command))
    }

    fn parameters(&self) -> usize {
        deployed(&self.vs)
    }
}

/// Repeats the present speed: the floor of every table.
pub struct ConstantVelocityPlanner;

impl BatchPlanner for ConstantVelocityPlanner {
    fn preprocessing(&self) -> Option<Preprocessing> {
        None
    }

    fn plans(&self, frames: &[Frame]) -> Result<Vec<Trajectory>, DistillError> {
        Ok(frames.iter().map(|f| Trajectory::constant_speed(f.sample.ego.speed_mps.into())).collect())
    }

    fn parameters(&self) -> usize {
        0
    }
}

/// What a checkpoint's contract says it is: `student`, `teacher`, ….
///
/// # Errors
/// When the file is no checkpoint.
pub fn kind_of(path: &Path) -> Result<String, DistillError> {
    let file = read_tensors(path)?;
    let json: serde_json::Value = serde_json::from_str(file.field(CONTRACT_FIELD)?)
        .map_err(|source| apprentice_planner::PlannerError::Contract { path: path.into(), source: source.into() })?;
    Ok(json.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_string())
}

/// A checkpoint of any kind, by its contract.
///
/// # Errors
/// When the file is none, or cannot be honoured.
pub fn open_planner(path: &Path, device: Device) -> Result<(Box<dyn BatchPlanner>, Contract), DistillError> {
    let kind = kind_of(path)?;
    Ok(match kind.as_str() {
        "student" => {
            let (student, contract) = Student::load(path, device)?;
            (Box::new(student), contract)
        }
        "teacher" => {
            let (teacher, contract, _) = Teacher::load(path, device)?;
            (Box::new(teacher), contract)
        }
        SHARED_KIND => {
            let (student, contract) = SharedVision::load(path, device)?;
            (Box::new(student), contract)
        }
        _ => return Err(DistillError::UnknownKind { path: path.into(), kind }),
    })
}

/// Milliseconds from pictures to a plan, one moment at a time on all threads: the median of `count` moments spread over a part.
///
/// # Errors
/// When a sample cannot be read.
pub fn ms_per_frame(
    planner: &dyn BatchPlanner,
    set: &Arc<WorldSet>,
    part: Part,
    count: usize,
) -> Result<f64, DistillError> {
    let ids = spread(ids_of(set, part)?, count);
    let frames = match planner.preprocessing() {
        Some(preprocessing) => {
            let mut loader =
                Loader::new(set.clone(), ids.clone(), LoaderConfig::evaluation(preprocessing.rig, ids.len()))?;
            loader.batch(0)?
        }
        None => ids.iter().map(|id| unseen(set, id)).collect::<Result<_, _>>()?,
    };
    let think = |frame: &Frame| -> Result<f64, DistillError> {
        let begun = Instant::now();
        planner.plans(std::slice::from_ref(frame))?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    // The first ones find nothing warm.
    frames.iter().take(3).try_for_each(|frame| think(frame).map(|_| ()))?;
    let mut times = frames.iter().map(think).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// A moment for a planner without eyes.
fn unseen(set: &WorldSet, id: &SampleId) -> Result<Frame, DistillError> {
    Ok(Frame { sample: set.sample(id)?, images: vec![], view: apprentice_data::View::Plain })
}

/// What to judge on.
#[derive(Clone)]
pub struct Judging<'a> {
    /// Worlds.
    pub set: &'a Arc<WorldSet>,
    /// Which part of them.
    pub part: Part,
    /// At most so many samples, spread evenly; `None` for all.
    pub samples: Option<usize>,
    /// Names of the protocols.
    pub protocols: &'a [&'a str],
}

/// Judge a planner; one result per protocol, with rows.
///
/// # Errors
/// When a sample cannot be read or a protocol does not exist.
pub fn open_loop(
    name: &str,
    planner: &dyn BatchPlanner,
    seed: Option<u64>,
    on: &Judging<'_>,
    progress: &dyn Progress,
) -> Result<Vec<PlanningResult>, DistillError> {
    let all = ids_of(on.set, on.part)?;
    let ids = match on.samples {
        Some(count) => spread(all, count),
        None => all,
    };
    progress.start(&format!("judge {name}"), ids.len() as u64);
    let (mut starts, mut plans) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
    let mut think = |frames: &[Frame]| -> Result<(), DistillError> {
        plans.extend(planner.plans(frames)?);
        starts.extend(frames.iter().map(|f| Start::from_sample(&f.sample)));
        progress.advance(frames.len() as u64);
        Ok(())
    };
    match planner.preprocessing() {
        Some(preprocessing) => {
            let mut loader =
                Loader::new(on.set.clone(), ids.clone(), LoaderConfig::evaluation(preprocessing.rig, BATCH))?;
            for step in 0..loader.batches() {
                think(&loader.batch(step)?)?;
            }
        }
        None => {
            for few in ids.chunks(BATCH) {
                think(&few.iter().map(|id| unseen(on.set, id)).collect::<Result<Vec<_>, _>>()?)?;
            }
        }
    }
    progress.finish();
    let subject = Subject {
        driver: name.into(),
        data: format!("worlds, {} part", on.part.name()),
        data_hash: on.set.hash().into(),
        seed,
        parameters: Some(planner.parameters() as u64),
        ms_per_frame: None,
        pixels: None,
    };
    on.protocols
        .iter()
        .map(|name| Ok(evaluate(&Protocol::named(name)?, SOURCE, subject.clone(), &starts, &plans)?))
        .collect()
}
