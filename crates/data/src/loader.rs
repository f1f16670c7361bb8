//! Batches in a fixed order, rendered ahead by threads of their own.
//!
//! Which samples a step gets is a pure function of (seed, step): each epoch is a permutation of the list, epochs follow
//! each other without a gap, every batch is full. Pictures of a step are a pure function of (seed, step, place in the
//! batch). How many threads render, and whether pictures are remembered, changes no byte.

use crate::camera_work::{CameraWork, Frame, View};
use crate::{DataError, WorldSet};
use apprentice_core::sample::SampleId;
use apprentice_core::{Image, Rig, Rng, Sample};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How batches are made.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Samples per batch.
    pub batch: usize,
    /// Decides order and augmentation.
    pub seed: u64,
    /// Cameras.
    pub rig: Rig,
    /// Randomised appearance in every step; otherwise plain views.
    pub augment: bool,
    /// Samples in the given order instead of shuffled epochs (for evaluation).
    pub in_order: bool,
    /// Rendering threads.
    pub threads: usize,
    /// Batches rendered ahead.
    pub ahead: usize,
    /// Plain views are remembered up to this many bytes.
    pub cache_bytes: usize,
}

impl LoaderConfig {
    /// Shuffled, augmented batches for training: one thread, two batches ahead, nothing remembered.
    pub fn training(rig: Rig, batch: usize, seed: u64) -> Self {
        Self { batch, seed, rig, augment: true, in_order: false, threads: 1, ahead: 2, cache_bytes: 0 }
    }

    /// Plain views in the given order.
    pub fn evaluation(rig: Rig, batch: usize) -> Self {
        Self { batch, seed: 0, rig, augment: false, in_order: true, threads: 2, ahead: 2, cache_bytes: 0 }
    }
}

/// Makes batches.
pub struct Loader {
    set: Arc<WorldSet>,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Which samples come when.
struct Plan {
    ids: Vec<SampleId>,
    config: LoaderConfig,
    epochs: Mutex<BTreeMap<u64, Arc<Vec<u32>>>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts seeks; results of an earlier count are dropped.
    generation: u64,
    /// Step the consumer asks for.
    step: u64,
    /// Next job to hand out: step × batch + place.
    next_job: u64,
    done: BTreeMap<u64, Result<Frame, DataError>>,
    remembered: BTreeMap<SampleId, (Arc<Sample>, Vec<Image>)>,
    remembered_bytes: usize,
    stop: bool,
    /// A worker ended before it was told to.
    dead: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        while epochs.len() > 4 {
            epochs.pop_first();
        }
        let make = || {
            let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
            if !self.config.in_order {
                Rng::new(&[self.config.seed, 0x000e_90c4, epoch]).shuffle(&mut order);
            }
            Arc::new(order)
        };
        epochs.entry(epoch).or_insert_with(make).clone()
    }

    /// The sample of a job.
    fn id(&self, job: u64) -> &SampleId {
        let n = self.ids.len() as u64;
        &self.ids[self.order(job / n)[(job % n) as usize] as usize]
    }

    fn view(&self, job: u64) -> View {
        let batch = self.config.batch as u64;
        if self.config.augment { View::of_step(self.config.seed, job / batch, job % batch) } else { View::Plain }
    }

    /// Jobs that have a sample; in order, the list is walked once.
    fn jobs(&self) -> u64 {
        if self.config.in_order { self.ids.len() as u64 } else { u64::MAX }
    }
}

impl Loader {
    /// Batches of these samples of a data set.
    ///
    /// # Errors
    /// When there are no samples, or batches of none are asked for.
    pub fn new(set: Arc<WorldSet>, ids: Vec<SampleId>, config: LoaderConfig) -> Result<Self, DataError> {
        if ids.is_empty() || config.batch == 0 || u32::try_from(ids.len()).is_err() {
            return Err(DataError::Request(format!(
                "cannot make batches of {} out of {} samples of {}",
                config.batch,
                ids.len(),
                set.root().display()
            )));
        }
        let plan = Arc::new(Plan { ids, config, epochs: Mutex::new(BTreeMap::new()) });
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), changed: Condvar::new() });
        Ok(Self { set, plan, shared, workers: vec![] })
    }

    /// Start rendering, unless that is done: who asks for the names of samples alone needs no pictures.
    fn start(&mut self) {
        while self.workers.len() < self.plan.config.threads.max(1) {
            let (set, plan, shared) = (self.set.clone(), self.plan.clone(), self.shared.clone());
            self.workers.push(std::thread::spawn(move || work(set, &plan, &shared)));
        }
    }

    /// Batches of one pass over the list (the last one may be short when the order is the given one).
    pub fn batches(&self) -> u64 {
        (self.plan.ids.len() as u64).div_ceil(self.plan.config.batch as u64)
    }

    /// The samples of a step, without rendering them. In the given order, steps beyond the list are empty.
    pub fn batch_ids(&self, step: u64) -> Vec<SampleId> {
        self.batch_jobs(step).map(|job| self.plan.id(job).clone()).collect()
    }

    fn batch_jobs(&self, step: u64) -> std::ops::Range<u64> {
        let batch = self.plan.config.batch as u64;
        (step * batch).min(self.plan.jobs())..((step + 1) * batch).min(self.plan.jobs())
    }

    /// The batch of a step. Asking for steps one after the other finds them rendered; any other step is a jump.
    ///
    /// # Errors
    /// When a sample's file is damaged or its town cannot be built.
    pub fn batch(&mut self, step: u64) -> Result<Vec<Frame>, DataError> {
        self.start();
        let jobs = self.batch_jobs(step);
        let mut state = self.shared.lock();
        let rendered_from = state.step * self.plan.config.batch as u64;
        if jobs.start < rendered_from || jobs.start > state.next_job {
            state.generation += 1;
            state.next_job = jobs.start;
            state.done.clear();
        }
        state.step = step;
        state.done = state.done.split_off(&jobs.start);
        self.shared.changed.notify_all();
        let mut frames = Vec::with_capacity(self.plan.config.batch);
        for job in jobs {
            loop {
                if let Some(frame) = state.done.remove(&job) {
                    frames.push(frame?);
                    break;
                }
                if state.dead {
                    return Err(DataError::Request("a rendering thread has died".into()));
                }
                state = self.shared.wait(state);
            }
        }
        state.step = step + 1;
        self.shared.changed.notify_all();
        Ok(frames)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has already been reported by `batch`.
            let _ = worker.join();
        }
    }
}

/// Wakes the consumer when a worker ends, however it ends.
struct Farewell<'a>(&'a Shared);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        // Under the lock, or the consumer could look before and sleep after.
        let mut state = self.0.lock();
        state.dead |= !state.stop;
        self.0.changed.notify_all();
    }
}

fn work(set: Arc<WorldSet>, plan: &Plan, shared: &Shared) {
    let _farewell = Farewell(shared);
    let mut cameras = CameraWork::new(set, plan.config.rig.clone());
    let window = (plan.config.ahead as u64 + 1) * plan.config.batch as u64;
    loop {
        let mut state = shared.lock();
        loop {
            if state.stop {
                return;
            }
            let limit = (state.step * plan.config.batch as u64).saturating_add(window).min(plan.jobs());
            if state.next_job < limit {
                break;
            }
            state = shared.wait(state);
        }
        let (job, generation) = (state.next_job, state.generation);
        state.next_job += 1;
        let (id, view) = (plan.id(job), plan.view(job));
        let known = if view == View::Plain { state.remembered.get(id).cloned() } else { None };
        drop(state);
        let fresh = known.is_none();
        let frame = match known {
            Some((sample, images)) => Ok(Frame { sample, images, view }),
            None => cameras.frame(id, view),
        };
        let mut state = shared.lock();
        if let (true, View::Plain, Ok(frame)) = (fresh, view, &frame) {
            let bytes: usize = frame.images.iter().map(|i| i.rgb.len()).sum();
            if state.remembered_bytes + bytes <= plan.config.cache_bytes {
                let old = state.remembered.insert(id.clone(), (frame.sample.clone(), frame.images.clone()));
                state.remembered_bytes += if old.is_none() { bytes } else { 0 };
            }
        }
        if state.generation == generation {
            state.done.insert(job, frame);
        }
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_is_seen() {
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), changed: Condvar::new() });
        let theirs = shared.clone();
        let worker = std::thread::spawn(move || {
            let _farewell = Farewell(&theirs);
            panic!("on purpose");
        });
        assert!(worker.join().is_err());
        assert!(shared.lock().dead);
    }
}
