//! One episode: world → cameras → driver → controller → world, until the criteria end it.

use crate::config::{Job, LoopConfig, Pilot, ReplayConfig};
use crate::error::DriveError;
use crate::recorder::Recorder;
use crate::report::{Entry, record};
use apprentice_core::geometry::DVec2;
use apprentice_core::hash::StateHasher;
use apprentice_core::{Control, EpisodeInfo, HORIZON_STEPS, Image, Observation, Pose2, Rig, Trajectory, WAYPOINT_DT_S};
use apprentice_eval::replay::{Replay, ReplayPlan};
use apprentice_render::{Frames, RenderOptions, Renderer, TownScene};
use apprentice_sim::routes::RouteSpec;
use apprentice_sim::state::TICK_S;
use apprentice_sim::{Expert, WaypointPid, World};
use std::sync::Arc;
use std::time::Instant;

/// A plan in force and the moment it was made.
struct PlanInForce {
    trajectory: Trajectory,
    ego_in_world: Pose2,
    tick: u32,
}

/// The cameras of an episode.
struct Eyes {
    scene: Arc<TownScene>,
    renderer: Renderer,
    frames: Frames,
    options: RenderOptions,
}

impl Eyes {
    fn look(&mut self, world: &World, rig: &Rig) -> &[Image] {
        self.renderer.render_into(&self.scene, &world.snapshot(), rig, &self.options, &mut self.frames);
        &self.frames.images
    }
}

/// Drive one job.
///
/// What goes wrong on the way (the world cannot be staged, the driver fails) is in the entry.
///
/// # Errors
/// On settings that make no sense.
pub(crate) fn drive(
    job: &Job,
    index: usize,
    run: &LoopConfig,
    pilot: &mut Pilot,
    scene: Option<Arc<TownScene>>,
    replay: Option<&ReplayConfig>,
) -> Result<(Entry, Option<Replay>), DriveError> {
    let ticks_per_plan = run.ticks_per_plan()?;
    let skipped = |reason: String| (Entry::skipped(&job.id, &job.town, &job.scenario, reason), None);
    let mut world = match World::new(job.net.clone(), job.route.clone(), job.world.clone(), job.scenarios.clone()) {
        Ok(world) => world,
        Err(error) => return Ok(skipped(format!("cannot be staged: {error}"))),
    };
    if let Some((pose_in_world, speed_mps)) = job.start {
        world.begin_at(pose_in_world, speed_mps);
    }
    let began = Instant::now();
    let driver_name = pilot.name();
    let own_rig = match pilot {
        Pilot::Driver(driver) => driver.rig().cloned(),
        Pilot::Expert(_) | Pilot::ExpertPlans(_) => None,
    };
    let replay_rig = replay.and_then(|r| r.image_size).map(|(width, height)| Rig::bench2drive(width, height));
    let mut eyes = scene.map(|scene| Eyes {
        scene,
        renderer: Renderer::new(),
        frames: Frames::default(),
        options: RenderOptions { seed: job.world.seed, ..RenderOptions::default() },
    });
    let mut recorder = replay.map(|_| {
        let rig = replay_rig.as_ref().or(own_rig.as_ref());
        let names = rig.map_or(Vec::new(), |r| r.cameras.iter().map(|c| c.name.clone()).collect());
        Recorder::new(job, &driver_name, names)
    });
    let mut expert = match pilot {
        Pilot::Expert(mode) | Pilot::ExpertPlans(mode) => Some(Expert::new(*mode)),
        Pilot::Driver(driver) => {
            let info = EpisodeInfo { name: job.id.clone(), seed: job.world.seed };
            if let Err(error) = driver.reset(&info) {
                return Ok(skipped(format!("the driver cannot begin: {error}")));
            }
            None
        }
    };
    let keyframes = RouteSpec {
        id: job.id.clone(),
        town: job.town.clone(),
        waypoints: Vec::new(),
        scenarios: Vec::new(),
        weather: job.weather.clone(),
    };

    let mut controller = WaypointPid::default();
    let mut plan: Option<PlanInForce> = None;
    let mut hasher = StateHasher::default();
    let (mut plans, mut plan_s) = (0u32, 0.0f64);
    let mut broke_off = None;
    while world.finished().is_none() {
        if world.tick() % 20 == 0 && !job.weather.is_empty() {
            world.set_weather(keyframes.weather_at(world.criteria().completion_percent() as f32));
        }
        let control = match (&mut expert, &mut *pilot) {
            (Some(expert), _) => {
                let own = expert.control(&world);
                let by_plan = matches!(pilot, Pilot::ExpertPlans(_));
                if (by_plan || recorder.is_some()) && world.tick() % ticks_per_plan == 0 {
                    plan = Some(PlanInForce {
                        trajectory: expert.plan(&world),
                        ego_in_world: world.ego().pose_in_world,
                        tick: world.tick(),
                    });
                    plans += u32::from(by_plan);
                }
                if by_plan { follow(&mut controller, plan.as_ref(), &world) } else { own }
            }
            (None, Pilot::Driver(driver)) => {
                if world.tick() % ticks_per_plan == 0 {
                    let started = Instant::now();
                    let images = match (&mut eyes, &own_rig) {
                        (Some(eyes), Some(rig)) => eyes.look(&world, rig),
                        _ => &[],
                    };
                    let observation = Observation {
                        time_s: world.time_s(),
                        images,
                        ego: world.ego_state(),
                        command: world.command(),
                    };
                    match driver.plan(&observation) {
                        Ok(answer) => {
                            plan = Some(PlanInForce {
                                trajectory: *answer.selected(),
                                ego_in_world: world.ego().pose_in_world,
                                tick: world.tick(),
                            });
                        }
                        Err(error) => {
                            broke_off = Some(error.to_string());
                            break;
                        }
                    }
                    plans += 1;
                    plan_s += started.elapsed().as_secs_f64();
                }
                follow(&mut controller, plan.as_ref(), &world)
            }
            (None, Pilot::Expert(_) | Pilot::ExpertPlans(_)) => Control::default(),
        };
        if let (Some(recorder), Some(replay)) = (&mut recorder, replay)
            && world.tick() % replay.ticks_per_frame.max(1) == 0
        {
            let images = match (&mut eyes, replay_rig.as_ref().or(own_rig.as_ref())) {
                (Some(eyes), Some(rig)) => eyes.look(&world, rig).to_vec(),
                _ => Vec::new(),
            };
            let shown = plan.as_ref().map(|p| ReplayPlan { ego_in_world: p.ego_in_world, trajectory: p.trajectory });
            recorder.frame(&world, shown, images);
        }
        world.step(control);
        hasher.word(world.state_hash());
        if let Some(recorder) = &mut recorder {
            recorder.events(&world);
        }
    }
    let criteria = world.criteria();
    let status = match (&broke_off, criteria.outcome()) {
        (None, Some(outcome)) => outcome.status(criteria.infractions()),
        _ => "Failed - Agent crashed",
    };
    let record = record(job, index, criteria, status, began.elapsed().as_secs_f64());
    let entry = Entry {
        id: job.id.clone(),
        town: job.town.clone(),
        scenario: job.scenario.clone(),
        status: status.into(),
        reason: broke_off,
        driving_score: Some(record.scores.score_composed),
        success: Some(record.succeeded()),
        ticks: world.tick(),
        state_hash: format!("{:016x}", hasher.finish()),
        plans,
        ms_per_plan: (plans > 0).then(|| (plan_s * 1e6 / f64::from(plans)).round() / 1e3),
        record: Some(record),
    };
    let replay = recorder.map(|r| r.finish(entry.record.as_ref().expect("it was driven")));
    Ok((entry, replay))
}

/// The waypoint controller's control for the plan in force.
fn follow(controller: &mut WaypointPid, plan: Option<&PlanInForce>, world: &World) -> Control {
    let Some(plan) = plan else { return Control::default() };
    let age_s = f64::from(world.tick() - plan.tick) * TICK_S;
    let now = aged(&plan.trajectory, age_s, plan.ego_in_world, world.ego().pose_in_world);
    controller.control(&now, world.ego().speed_mps, None)
}

/// A plan made `age_s` ago, as a plan made now: its points from now on, in the frame of now. The last stretch goes on
/// straight where the old plan ends.
fn aged(trajectory: &Trajectory, age_s: f64, made_at: Pose2, now: Pose2) -> Trajectory {
    if age_s <= 0.0 {
        return *trajectory;
    }
    let point = |k: usize| match k {
        0 => DVec2::ZERO,
        k => DVec2::new(f64::from(trajectory.0[k - 1][0]), f64::from(trajectory.0[k - 1][1])),
    };
    let along = |t_s: f64| {
        let place = t_s / WAYPOINT_DT_S;
        let k = (place.floor() as usize).min(HORIZON_STEPS - 1);
        point(k) + (point(k + 1) - point(k)) * (place - k as f64)
    };
    // The old plan may start beside where the car now is: it is followed from here with the old shape.
    let start = now.to_local(made_at.to_parent(along(age_s)));
    Trajectory(std::array::from_fn(|i| {
        let then = along(age_s + WAYPOINT_DT_S * (i + 1) as f64);
        let local = now.to_local(made_at.to_parent(then));
        [(local.x - start.x) as f32, local.y as f32]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_plan_followed_exactly_stays_the_same_straight_line() {
        let plan = Trajectory::constant_speed(8.0);
        let now = Pose2::new(8.0 * 0.25, 0.0, 0.0);
        let aged = aged(&plan, 0.25, Pose2::default(), now);
        for (a, b) in aged.0.iter().zip(plan.0) {
            assert!((a[0] - b[0]).abs() < 1e-5 && a[1].abs() < 1e-6, "{aged:?}");
        }
    }
}
