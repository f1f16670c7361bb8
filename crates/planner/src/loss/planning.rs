//! Planning losses (VAD §3, ORION): imitation, boundary, collision, direction, and the VAE's KL term.
//!
//! The constraint losses look at the commanded trajectory and at the labelled surroundings; which boundary point, divider or agent is
//! nearest is decided on the host (it carries no gradient), the hinges are tensors. VAD takes them from the student's own
//! detections above a threshold; labels teach from the first step. VAD's lateral axis is our y, its forward axis our x.

use crate::batch::Targets;
use crate::targets::SceneTargets;
use crate::vae::PlanOutput;
use apprentice_core::HORIZON_STEPS;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Weights of the terms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PlanWeights {
    pub l1: f64,
    pub boundary: f64,
    pub collision: f64,
    pub direction: f64,
    pub kl: f64,
    /// How much a sample in which the expert moves off from rest counts in L1, against 1 for any other.
    pub start: f64,
}

impl Default for PlanWeights {
    /// Orion-Lite's 3, 3, 1 and 3 on L1, boundary, collision and KL, with its L1 taken over the commanded mode alone; VAD's 0.5 on
    /// direction. KL is per latent dimension here, so that its weight does not depend on the width of z. Starts are one sample in
    /// twenty, and a mean error hardly notices a driver that never starts; in closed loop it stands for ever.
    fn default() -> Self {
        Self { l1: 3.0, boundary: 3.0, collision: 1.0, direction: 0.5, kl: 3.0, start: 1.5 }
    }
}

/// The terms, scalars.
#[derive(Debug)]
pub struct PlanLosses {
    /// Mean absolute error of known waypoints, metres per coordinate.
    pub l1: Tensor,
    /// Mean over known steps of own plans of `max(0, 1 m − distance to the nearest boundary)`.
    pub boundary: Tensor,
    /// Mean over the same of the two hinges, 1.5 m to the side and 3 m ahead.
    pub collision: Tensor,
    /// Mean over the same of the angle to the nearest divider, radians.
    pub direction: Tensor,
    /// KL(q ‖ p) per latent dimension; zero without a posterior.
    pub kl: Tensor,
}

impl PlanLosses {
    /// Weighted sum.
    pub fn total(&self, w: &PlanWeights) -> Tensor {
        &self.l1 * w.l1
            + &self.boundary * w.boundary
            + &self.collision * w.collision
            + &self.direction * w.direction
            + &self.kl * w.kl
    }

    /// Names and values, for logs.
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        [
            ("plan_l1", &self.l1),
            ("plan_boundary", &self.boundary),
            ("plan_collision", &self.collision),
            ("plan_direction", &self.direction),
            ("plan_kl", &self.kl),
        ]
        .map(|(name, t)| (name, t.double_value(&[])))
        .into()
    }
}

/// Closer than this to a boundary costs, metres.
const BOUNDARY_M: f32 = 1.0;
/// Agents farther than this at a step are ignored, metres.
const COLLISION_RANGE_M: f32 = 3.0;
/// Closer than this to the side costs, metres.
const COLLISION_SIDE_M: f64 = 1.5;
/// Closer than this ahead costs, metres.
const COLLISION_AHEAD_M: f64 = 3.0;
/// Dividers farther than this are ignored, metres.
const DIRECTION_RANGE_M: f32 = 2.0;
/// A trajectory shorter than this has no direction, metres.
const STATIC_M: f32 = 1.0;

type Point = [f32; 2];

fn distance(a: Point, b: Point) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Line and point index of the nearest vertex, and its distance.
fn nearest(lines: &[Vec<Point>], p: Point) -> Option<(usize, usize, f32)> {
    let mut best: Option<(usize, usize, f32)> = None;
    for (i, line) in lines.iter().enumerate() {
        for (j, &q) in line.iter().enumerate() {
            let d = distance(p, q);
            if best.is_none_or(|(.., least)| d < least) {
                best = Some((i, j, d));
            }
        }
    }
    best
}

fn crosses(line: &[Point], a: Point, b: Point) -> bool {
    let side = |o: Point, p: Point, q: Point| (p[0] - o[0]) * (q[1] - o[1]) - (p[1] - o[1]) * (q[0] - o[0]);
    line.windows(2)
        .any(|w| side(w[0], w[1], a) * side(w[0], w[1], b) < 0.0 && side(a, b, w[0]) * side(a, b, w[1]) < 0.0)
}

/// Where each step is pushed from. A mask of 0 switches a term off.
#[derive(Clone, Copy, Debug, Default)]
struct Nearest {
    boundary: Point,
    boundary_mask: f32,
    agent: Point,
    agent_mask: f32,
    yaw: f32,
    yaw_mask: f32,
}

fn constraints(scene: &SceneTargets, trajectory: &[Point; HORIZON_STEPS]) -> [Nearest; HORIZON_STEPS] {
    let mut out = [Nearest::default(); HORIZON_STEPS];
    if !scene.planning {
        return out;
    }
    let mut crossed = false;
    let mut from = [0.0; 2];
    let moving = distance([0.0; 2], trajectory[HORIZON_STEPS - 1]) >= STATIC_M;
    for (t, (n, &p)) in out.iter_mut().zip(trajectory).enumerate() {
        if let Some((line, point, d)) = nearest(&scene.boundaries, p) {
            crossed |= crosses(&scene.boundaries[line], from, p);
            n.boundary = scene.boundaries[line][point];
            n.boundary_mask = f32::from(u8::from(!crossed && d < BOUNDARY_M));
        }
        if let Some((line, point, d)) = nearest(&scene.dividers, p).filter(|_| moving) {
            let line = &scene.dividers[line];
            let (a, b) = (line[point.saturating_sub(1)], line[(point + 1).min(line.len() - 1)]);
            n.yaw = (b[1] - a[1]).atan2(b[0] - a[0]);
            n.yaw_mask = f32::from(u8::from(d < DIRECTION_RANGE_M));
        }
        // Least |Δx| and least |Δy|, perhaps of two different agents, as VAD has it.
        let mut least = [f32::INFINITY; 2];
        for (future, steps) in &scene.obstacles {
            if t < *steps && distance(future[t], p) < COLLISION_RANGE_M {
                n.agent_mask = 1.0;
                for (i, least) in least.iter_mut().enumerate() {
                    let d = (future[t][i] - p[i]).abs();
                    if d < *least {
                        (*least, n.agent[i]) = (d, future[t][i]);
                    }
                }
            }
        }
        from = p;
    }
    out
}

/// Less than this in the first half second is rest, metres.
const REST_M: f32 = 0.3;
/// More than this by the last known waypoint is a start, metres.
const START_M: f32 = 1.0;

/// Whether the expert moves off from rest.
fn starts(scene: &SceneTargets) -> bool {
    let known = &scene.future.0[..scene.future_steps];
    match (known.first(), known.last()) {
        (Some(&first), Some(&last)) => distance([0.0; 2], first) < REST_M && distance([0.0; 2], last) > START_M,
        _ => false,
    }
}

/// The terms of a batch. `start_weight`: see [`PlanWeights::start`].
///
/// # Shapes
/// `plan` of B samples, `command` `[B]` (i64).
pub fn planning(plan: &PlanOutput, targets: &Targets, command: &Tensor, start_weight: f64) -> PlanLosses {
    let device = command.device();
    let selected = plan.selected(command);
    let mask = &targets.future_mask;
    // The constraints act where edges and agents are known, and are averaged over that.
    let constrained = targets.scenes.iter().filter(|scene| scene.planning && scene.own_plan);
    let steps = constrained.map(|scene| scene.future_steps as f64).sum::<f64>().max(1.0);
    let weights: Vec<f32> =
        targets.scenes.iter().map(|scene| if starts(scene) { start_weight as f32 } else { 1.0 }).collect();
    let weighed = mask * Tensor::from_slice(&weights).unsqueeze(1).to_device(device);
    let errors = (&selected - &targets.future).abs().sum_dim_intlist(2, false, Kind::Float);
    let l1 = (errors * &weighed).sum(Kind::Float) / (weighed.sum(Kind::Float).clamp_min(1.0) * 2.0);

    let batch = targets.scenes.len();
    let mut host = vec![0f32; batch * HORIZON_STEPS * 2];
    let count = host.len();
    selected.detach().to_device(tch::Device::Cpu).contiguous().copy_data(&mut host, count);
    let mut columns: [Vec<f32>; 8] = std::array::from_fn(|_| Vec::with_capacity(batch * HORIZON_STEPS));
    for (scene, values) in targets.scenes.iter().zip(host.chunks_exact(HORIZON_STEPS * 2)) {
        let trajectory = std::array::from_fn(|t| [values[2 * t], values[2 * t + 1]]);
        for (t, n) in constraints(scene, &trajectory).iter().enumerate() {
            let on = f32::from(u8::from(t < scene.future_steps));
            let row = [
                n.boundary[0],
                n.boundary[1],
                n.boundary_mask * on,
                n.agent[0],
                n.agent[1],
                n.agent_mask * on,
                n.yaw,
                n.yaw_mask * on,
            ];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
    }
    let shape = [batch as i64, HORIZON_STEPS as i64];
    let [bx, by, b_on, ax, ay, a_on, yaw, yaw_on] =
        columns.map(|c| Tensor::from_slice(&c).reshape(shape).to_device(device));
    let (x, y) = (selected.select(2, 0), selected.select(2, 1));
    let mean = |terms: Tensor, on: &Tensor| (terms * on).sum(Kind::Float) / steps;
    let hinge = |limit: f64, d: Tensor| (d * -1.0 + limit).relu();

    let to_boundary = ((&x - bx).square() + (&y - by).square() + 1e-6).sqrt();
    let boundary = mean(hinge(f64::from(BOUNDARY_M), to_boundary), &b_on);
    let beside = hinge(COLLISION_SIDE_M, (&y - ay).abs());
    let ahead = hinge(COLLISION_AHEAD_M, (&x - ax).abs());
    let collision = mean(beside + ahead, &a_on);

    // Yaw of each segment against the divider's, as an undirected angle in 0..π/2: |asin(sin Δ)|.
    let segments = Tensor::cat(&[selected.narrow(1, 0, 1), selected.diff(1, 1, None::<Tensor>, None::<Tensor>)], 1);
    let (dx, dy) = (segments.select(2, 0), segments.select(2, 1));
    let length = (dx.square() + dy.square() + 1e-6).sqrt();
    let sine = (dy * yaw.cos() - dx * yaw.sin()) / &length;
    let direction =
        mean(sine.clamp(-0.999, 0.999).asin().abs(), &(yaw_on * length.detach().gt(0.2).to_kind(Kind::Float)));

    let kl = match &plan.posterior {
        Some(q) => {
            let valid = mask.amax([1], false);
            let width = q.mean.size()[1] as f64;
            (q.kl(&plan.present) * &valid).sum(Kind::Float) / (valid.sum(Kind::Float).clamp_min(1.0) * width)
        }
        None => super::zero_like(&selected),
    };
    PlanLosses { l1, boundary, collision, direction, kl }
}
