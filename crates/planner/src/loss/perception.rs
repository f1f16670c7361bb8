//! Perception losses: dense BEV and image maps, matched agents with motion, matched map elements, the light.
//!
//! Queries and labels are matched on the host by the least cost, where the cost of a pair mirrors the loss (VAD, DETR).
//!
//! B batch, A agent queries, M modes, I map instances, P points.

use super::{sigmoid_focal, zero_like};
use crate::batch::Targets;
use crate::heads::{BOX_VALUES, Perception};
use crate::matcher::assign;
use crate::targets::{AgentTarget, MapTarget};
use apprentice_core::{AgentClass, HORIZON_STEPS, MapClass};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// Weights of the terms. Defaults: VAD's first stage for the query heads; the dense terms are ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PerceptionWeights {
    pub bev: f64,
    pub image: f64,
    pub agent_class: f64,
    pub agent_box: f64,
    pub motion: f64,
    pub motion_mode: f64,
    pub map_class: f64,
    pub map_points: f64,
    pub map_direction: f64,
    pub light: f64,
}

impl Default for PerceptionWeights {
    fn default() -> Self {
        Self {
            bev: 2.0,
            image: 1.0,
            agent_class: 2.0,
            agent_box: 0.25,
            motion: 0.2,
            motion_mode: 0.2,
            map_class: 2.0,
            map_points: 1.0,
            map_direction: 0.005,
            light: 0.5,
        }
    }
}

/// The terms, scalars.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct PerceptionLosses {
    pub bev: Tensor,
    pub image: Tensor,
    pub agent_class: Tensor,
    pub agent_box: Tensor,
    pub motion: Tensor,
    pub motion_mode: Tensor,
    pub map_class: Tensor,
    pub map_points: Tensor,
    pub map_direction: Tensor,
    pub light: Tensor,
}

impl PerceptionLosses {
    fn named(&self) -> [(&'static str, &Tensor); 10] {
        [
            ("bev", &self.bev),
            ("image", &self.image),
            ("agent_class", &self.agent_class),
            ("agent_box", &self.agent_box),
            ("motion", &self.motion),
            ("motion_mode", &self.motion_mode),
            ("map_class", &self.map_class),
            ("map_points", &self.map_points),
            ("map_direction", &self.map_direction),
            ("light", &self.light),
        ]
    }

    /// Weighted sum.
    pub fn total(&self, w: &PerceptionWeights) -> Tensor {
        let weights = [
            w.bev,
            w.image,
            w.agent_class,
            w.agent_box,
            w.motion,
            w.motion_mode,
            w.map_class,
            w.map_points,
            w.map_direction,
            w.light,
        ];
        let terms: Vec<_> = self.named().iter().zip(weights).map(|((_, t), w)| *t * w).collect();
        Tensor::stack(&terms, 0).sum(Kind::Float)
    }

    /// Names and values, for logs.
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        self.named().iter().map(|(name, t)| (*name, t.double_value(&[]))).collect()
    }
}

/// A tensor on the host.
struct Host {
    values: Vec<f32>,
    row: usize,
}

impl Host {
    fn new(t: &Tensor, row: usize) -> Self {
        let t = t.detach().to_device(tch::Device::Cpu).contiguous();
        let mut values = vec![0.0; t.numel()];
        t.copy_data(&mut values, t.numel());
        Self { values, row }
    }

    fn at(&self, i: usize) -> &[f32] {
        &self.values[i * self.row..(i + 1) * self.row]
    }
}

/// Focal cost of calling a query this class: the loss with the label minus the loss without (Deformable DETR's form).
fn class_cost(logit: f32) -> f32 {
    let p = 1.0 / (1.0 + (-logit).exp());
    let positive = 0.25 * (1.0 - p).powi(2) * -(p + 1e-8).ln();
    let negative = 0.75 * p.powi(2) * -(1.0 - p + 1e-8).ln();
    positive - negative
}

/// Importance of each box value in loss and cost: a metre of height or of speed says less than one of place.
const BOX_WEIGHTS: [f32; BOX_VALUES] = [1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2];
const CLASS_COST: f32 = 2.0;
const BOX_COST: f32 = 0.25;
/// Map points are compared in these units, metres.
const MAP_SCALE_M: f32 = 10.0;
const MAP_COST: f32 = 2.0;

fn box_cost(predicted: &[f32], target: &[f32; BOX_VALUES]) -> f32 {
    (0..BOX_VALUES).map(|i| BOX_WEIGHTS[i] * (predicted[i] - target[i]).abs()).sum()
}

fn match_agents(logits: &Host, boxes: &Host, scene: usize, queries: usize, targets: &[AgentTarget]) -> Vec<usize> {
    let mut cost = Vec::with_capacity(targets.len() * queries);
    for target in targets {
        for q in scene * queries..(scene + 1) * queries {
            cost.push(
                CLASS_COST * class_cost(logits.at(q)[target.class]) + BOX_COST * box_cost(boxes.at(q), &target.values),
            );
        }
    }
    assign(&cost, targets.len(), queries)
}

/// Mean distance (L1, scaled) of a predicted line to a target in one order of its points.
fn line_cost(predicted: &[f32], target: &MapTarget, order: &[usize]) -> f32 {
    let total: f32 = order
        .iter()
        .enumerate()
        .map(|(i, &j)| {
            let p = target.points[j];
            (predicted[2 * i] - p[0]).abs() + (predicted[2 * i + 1] - p[1]).abs()
        })
        .sum();
    total / (order.len() as f32 * MAP_SCALE_M)
}

/// Query and point order of each target.
fn match_map(logits: &Host, points: &Host, scene: usize, queries: usize, targets: &[MapTarget]) -> Vec<(usize, usize)> {
    let mut cost = Vec::with_capacity(targets.len() * queries);
    let mut chosen = Vec::with_capacity(targets.len() * queries);
    for target in targets {
        for q in scene * queries..(scene + 1) * queries {
            let mut best = (f32::INFINITY, 0);
            for (k, order) in target.orders.iter().enumerate() {
                let c = line_cost(points.at(q), target, order);
                if c < best.0 {
                    best = (c, k);
                }
            }
            cost.push(CLASS_COST * class_cost(logits.at(q)[target.class]) + MAP_COST * best.0);
            chosen.push(best.1);
        }
    }
    let columns = assign(&cost, targets.len(), queries);
    columns.into_iter().enumerate().map(|(t, q)| (q, chosen[t * queries + q])).collect()
}

fn rows(indices: &[i64], device: tch::Device) -> Tensor {
    Tensor::from_slice(indices).to_device(device)
}

fn values(v: &[f32], shape: &[i64], device: tch::Device) -> Tensor {
    Tensor::from_slice(v).reshape(shape).to_device(device)
}

/// Class targets of `[B, Q, classes]` logits, one-hot at (query, class), and the focal loss per matched target.
fn class_loss(logits: &Tensor, hits: &[(i64, usize)], usable: &Tensor) -> Tensor {
    let (batch, queries, classes) = logits.size3().expect("class logits are [B, Q, classes]");
    let mut one_hot = vec![0f32; (batch * queries * classes) as usize];
    for &(query, class) in hits {
        one_hot[query as usize * classes as usize + class] = 1.0;
    }
    let target = values(&one_hot, &[batch, queries, classes], logits.device());
    let loss = sigmoid_focal(logits, &target) * usable.reshape([batch, 1, 1]);
    loss.sum(Kind::Float) / hits.len().max(1) as f64
}

/// Cross-entropy plus Dice over the dense BEV classes: the first gives a gradient everywhere, the second does not drown thin classes.
fn bev_loss(logits: &Tensor, target: &Tensor, usable: &Tensor) -> Tensor {
    let mask = usable.reshape([-1, 1, 1, 1]);
    let none: Option<&Tensor> = None;
    let boost = Tensor::from(4.0f32).to_device(logits.device());
    let entropy = logits.binary_cross_entropy_with_logits(target, none, Some(&boost), Reduction::None) * &mask;
    let [_, classes, height, width] =
        logits.size4().map(|(b, c, h, w)| [b, c, h, w]).expect("BEV logits are [B, 8, X, Y]");
    let cells = usable.sum(Kind::Float).clamp_min(1.0) * (classes * height * width) as f64;
    let p = logits.sigmoid() * &mask;
    let sum = |t: &Tensor| t.sum_dim_intlist([0i64, 2, 3].as_slice(), false, Kind::Float);
    let target = target * &mask;
    let overlap = sum(&(&p * &target)) * 2.0 + 1.0;
    let dice = overlap / (sum(&p) + sum(&target) + 1.0);
    entropy.sum(Kind::Float) / cells * 4.0 + (dice * -1.0 + 1.0).mean(Kind::Float)
}

/// Class cross-entropy at every cell, distance where an agent is.
fn image_loss(predicted: &Tensor, target: &Tensor, usable: &Tensor) -> Tensor {
    let none: Option<&Tensor> = None;
    let mask = usable.reshape([-1, 1, 1, 1, 1]);
    let boost = Tensor::from(4.0f32).to_device(predicted.device());
    let (logits, classes) = (predicted.narrow(2, 0, 3), target.narrow(2, 0, 3));
    let entropy = logits.binary_cross_entropy_with_logits(&classes, none, Some(&boost), Reduction::None) * &mask;
    let samples = usable.sum(Kind::Float).clamp_min(1.0);
    let cells = classes.numel() as f64 / classes.size()[0] as f64;
    let there = classes.amax([2], true) * &mask;
    let distance = (predicted.narrow(2, 3, 1) - target.narrow(2, 3, 1)).abs() * &there;
    entropy.sum(Kind::Float) / (samples * cells) * 4.0
        + distance.sum(Kind::Float) / there.sum(Kind::Float).clamp_min(1.0)
}

struct AgentTerms {
    class: Tensor,
    boxes: Tensor,
    motion: Tensor,
    mode: Tensor,
}

fn agent_loss(said: &Perception, targets: &Targets) -> AgentTerms {
    let device = said.boxes.device();
    let (_, queries, _) = said.boxes.size3().expect("boxes are [B, A, 10]");
    let queries = queries as usize;
    let logits = Host::new(&said.agent_logits, AgentClass::COUNT);
    let boxes = Host::new(&said.boxes, BOX_VALUES);
    let (mut hits, mut wanted, mut futures, mut known) = (vec![], vec![], vec![], vec![]);
    for (b, scene) in targets.scenes.iter().enumerate().filter(|(_, s)| s.perception) {
        for (target, q) in scene.agents.iter().zip(match_agents(&logits, &boxes, b, queries, &scene.agents)) {
            hits.push(((b * queries + q) as i64, target.class));
            wanted.extend(target.values);
            futures.extend(target.motion.iter().flatten());
            known.extend((0..HORIZON_STEPS).map(|t| f32::from(u8::from(t < target.steps))));
        }
    }
    let class = class_loss(&said.agent_logits, &hits, &targets.perception);
    if hits.is_empty() {
        let zero = || zero_like(&said.boxes);
        return AgentTerms { class, boxes: zero(), motion: zero(), mode: zero() };
    }
    let count = hits.len() as i64;
    let steps = HORIZON_STEPS as i64;
    let index = rows(&hits.iter().map(|h| h.0).collect::<Vec<_>>(), device);
    let pick = |t: &Tensor| t.flatten(0, 1).index_select(0, &index);
    let wanted = values(&wanted, &[count, BOX_VALUES as i64], device);
    let weights = values(&BOX_WEIGHTS, &[1, BOX_VALUES as i64], device);
    let box_terms = (pick(&said.boxes) - wanted).abs() * weights;
    let futures = values(&futures, &[count, 1, steps, 2], device);
    let known = values(&known, &[count, steps], device);
    let any = known.amax([1], false);
    let errors = (pick(&said.motion) - futures).abs().sum_dim_intlist(3, false, Kind::Float) * known.unsqueeze(1);
    // The best mode is the one whose known part is nearest.
    let per_mode = errors.sum_dim_intlist(2, false, Kind::Float);
    let best = per_mode.detach().argmin(1, true);
    let known_steps = known.sum(Kind::Float).clamp_min(1.0);
    let motion = per_mode.gather(1, &best, false).sum(Kind::Float) / known_steps;
    let log_probability = pick(&said.motion_logits).log_softmax(1, Kind::Float).gather(1, &best, false).squeeze_dim(1);
    let mode = (log_probability * &any).sum(Kind::Float) / (any.sum(Kind::Float).clamp_min(1.0) * -1.0);
    AgentTerms { class, boxes: box_terms.sum(Kind::Float) / count as f64, motion, mode }
}

fn map_loss(said: &Perception, targets: &Targets) -> [Tensor; 3] {
    let device = said.map_points.device();
    let (_, instances, points, _) = said.map_points.size4().expect("map points are [B, I, P, 2]");
    let queries = instances as usize;
    let logits = Host::new(&said.map_logits, MapClass::COUNT);
    let lines = Host::new(&said.map_points, 2 * points as usize);
    let (mut hits, mut wanted) = (vec![], vec![]);
    for (b, scene) in targets.scenes.iter().enumerate().filter(|(_, s)| s.perception) {
        for (target, (q, order)) in scene.map.iter().zip(match_map(&logits, &lines, b, queries, &scene.map)) {
            hits.push(((b * queries + q) as i64, target.class));
            wanted.extend(target.orders[order].iter().flat_map(|&j| target.points[j]));
        }
    }
    let class = class_loss(&said.map_logits, &hits, &targets.perception);
    if hits.is_empty() {
        return [class, zero_like(&said.map_points), zero_like(&said.map_points)];
    }
    let count = hits.len() as i64;
    let index = rows(&hits.iter().map(|h| h.0).collect::<Vec<_>>(), device);
    let predicted = said.map_points.flatten(0, 1).index_select(0, &index);
    let wanted = values(&wanted, &[count, points, 2], device);
    let distance = (&predicted - &wanted).abs().mean(Kind::Float) * 2.0 / f64::from(MAP_SCALE_M);
    let direction = |t: &Tensor| {
        let d = t.diff(1, 1, None::<Tensor>, None::<Tensor>);
        let length = (d.square().sum_dim_intlist(2, true, Kind::Float) + 1e-4).sqrt();
        d / length
    };
    let cosine = (direction(&predicted) * direction(&wanted)).sum_dim_intlist(2, false, Kind::Float);
    [class, distance, (cosine * -1.0 + 1.0).mean(Kind::Float)]
}

/// The terms of a batch. Samples whose perception labels may not be used take no part.
pub fn perception(said: &Perception, targets: &Targets) -> PerceptionLosses {
    let usable = &targets.perception;
    let agents = agent_loss(said, targets);
    let [map_class, map_points, map_direction] = map_loss(said, targets);
    let image = match (&said.image, &targets.image) {
        (Some(predicted), Some(target)) => image_loss(predicted, target, usable),
        _ => zero_like(&said.bev),
    };
    let none: Option<&Tensor> = None;
    let light = said.light_logits.cross_entropy_loss(&targets.light, none, Reduction::None, -100, 0.0) * usable;
    PerceptionLosses {
        bev: bev_loss(&said.bev, &targets.bev, usable),
        image,
        agent_class: agents.class,
        agent_box: agents.boxes,
        motion: agents.motion,
        motion_mode: agents.mode,
        map_class,
        map_points,
        map_direction,
        light: light.sum(Kind::Float) / usable.sum(Kind::Float).clamp_min(1.0),
    }
}
