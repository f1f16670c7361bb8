//! ORION's generative planner (`s` → trajectories), shared by student and teacher.
//!
//! present p(z|s), future q(z|s,y): two perceptrons to (μ, log σ), log σ clamped to ±5. A GRU unrolls z over the six
//! steps from h₀ = s split over its layers; the offset decoder sees [s, state_t] and gives one offset per command;
//! waypoints are cumulative sums.
//!
//! Differs from the published code: h₀ is split per sample (`s.view(B, layers, hidden)`; the published reshape mixes
//! samples of a batch); z is the mean of p at test time (published: a draw); widths are configuration; optionally
//! waypoints are relative to constant speed ([`PlannerConfig::relative_to_speed`]).
//!
//! B batch, L latent, Z latent of the VAE, T = 6 steps, K = 6 commands.

use crate::config::PlannerConfig;
use apprentice_core::{Command, HORIZON_STEPS, WAYPOINT_DT_S};
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::{Activation, Gru, LayerNorm, Mlp, Path};
use tch::{Kind, Tensor};

/// A diagonal normal distribution.
#[derive(Debug)]
pub struct Gaussian {
    /// `[B, Z]`.
    pub mean: Tensor,
    /// `[B, Z]`.
    pub log_std: Tensor,
}

/// Both distributions begin this narrow. At a width of one, ORION's, the draws drown s until both have learned to shrink:
/// thousands of steps at this scale.
const START_LOG_STD: f64 = -3.0;

impl Gaussian {
    fn from_raw(raw: &Tensor) -> Self {
        let halves = raw.chunk(2, -1);
        let log_std = (&halves[1] + START_LOG_STD).clamp(-5.0, 5.0);
        Self { mean: halves[0].shallow_clone(), log_std }
    }

    /// KL(self ‖ other), summed over Z.
    ///
    /// # Shapes
    /// → `[B]`.
    pub fn kl(&self, other: &Gaussian) -> Tensor {
        let variance_ratio = ((&self.log_std - &other.log_std) * 2.0).exp();
        let shift = ((&self.mean - &other.mean) / other.log_std.exp()).square();
        let terms = (variance_ratio + shift - 1.0) * 0.5 + &other.log_std - &self.log_std;
        terms.sum_dim_intlist(-1, false, Kind::Float)
    }
}

/// Which z drives the plan.
#[derive(Clone, Copy, Debug)]
pub enum Draw<'a> {
    /// The mean of p(z|s): test time.
    Mean,
    /// z = μ_q + σ_q·noise from q(z|s, y): training.
    Posterior {
        /// True waypoints, metres, `[B, 6, 2]`.
        future: &'a Tensor,
        /// Standard normal, `[B, Z]`.
        noise: &'a Tensor,
    },
    /// z = μ_p + σ_p·noise from p(z|s): ORION's test time.
    Prior {
        /// Standard normal, `[B, Z]`.
        noise: &'a Tensor,
    },
}

/// A plan per command.
#[derive(Debug)]
pub struct PlanOutput {
    /// The planning latent s, `[B, L]`.
    pub latent: Tensor,
    /// Metres in the ego frame, `[B, 6 commands, 6 steps, 2]`.
    pub trajectories: Tensor,
    /// p(z|s).
    pub present: Gaussian,
    /// q(z|s, y), when the future was given.
    pub posterior: Option<Gaussian>,
}

impl PlanOutput {
    /// The commanded trajectory.
    ///
    /// # Shapes
    /// command `[B]` (i64) → `[B, 6, 2]`.
    pub fn selected(&self, command: &Tensor) -> Tensor {
        let batch = command.size()[0];
        let steps = HORIZON_STEPS as i64;
        let index = command.reshape([batch, 1, 1, 1]).expand([batch, 1, steps, 2], false);
        self.trajectories.gather(1, &index, false).squeeze_dim(1)
    }
}

/// The planner.
#[derive(Debug)]
pub struct VaePlanner {
    /// Key `latent_norm`: puts every producer of s on one scale.
    pub latent_norm: LayerNorm,
    /// Key `present`.
    pub present: Mlp,
    /// Key `future`; not used at test time.
    pub future: Mlp,
    /// Key `gru`.
    pub gru: Gru,
    /// Key `state`: from the GRU's hidden width back to L.
    pub state: Mlp,
    /// Key `offsets`.
    pub offsets: Mlp,
    /// Settings.
    pub config: PlannerConfig,
}

/// Waypoints are divided by this before the posterior sees them, metres.
const FUTURE_SCALE_M: f64 = 10.0;
/// One unit of the decoder's output, metres.
const OFFSET_SCALE_M: f64 = 2.0;

impl VaePlanner {
    /// Build under `path`.
    pub fn new(path: &Path, config: &PlannerConfig) -> Self {
        let c = *config;
        let hidden = c.latent / c.gru_layers;
        let (inner, outer) = (c.distribution_hidden, c.decoder_hidden);
        let future_width = 2 * HORIZON_STEPS as i64;
        let outputs = 2 * Command::COUNT as i64;
        let small = |name: &str, widths: &[i64]| Mlp::with_small_output(&(path / name), widths, Activation::Relu, 0.0);
        Self {
            latent_norm: LayerNorm::new(&(path / "latent_norm"), c.latent),
            present: small("present", &[c.latent, inner, inner, 2 * c.z]),
            future: small("future", &[c.latent + future_width, inner, inner, 2 * c.z]),
            gru: Gru::new(&(path / "gru"), c.z, hidden, c.gru_layers),
            state: Mlp::new(&(path / "state"), &[hidden, 2 * hidden, c.latent], Activation::Relu),
            offsets: small("offsets", &[2 * c.latent, outer, outer, outputs]),
            config: c,
        }
    }

    /// Whether a key (below the planner's path) is needed at test time.
    pub fn is_deployed(key: &str) -> bool {
        !key.starts_with("future.")
    }

    /// # Shapes
    /// latent `[B, L]` (as the producer gives it), speed `[B]` m/s.
    pub fn forward(&self, latent: &Tensor, speed_mps: &Tensor, draw: Draw<'_>) -> PlanOutput {
        let (batch, width) = latent.size2().expect("the planning latent is [B, L]");
        let s = self.latent_norm.forward(latent);
        let present = Gaussian::from_raw(&self.present.forward(&s));
        let (z, posterior) = match draw {
            Draw::Mean => (present.mean.shallow_clone(), None),
            Draw::Prior { noise } => (&present.mean + present.log_std.exp() * noise, None),
            Draw::Posterior { future, noise } => {
                let y = future.reshape([batch, -1]) / FUTURE_SCALE_M;
                let q = Gaussian::from_raw(&self.future.forward(&Tensor::cat(&[&s, &y], 1)));
                (&q.mean + q.log_std.exp() * noise, Some(q))
            }
        };
        let layers = self.config.gru_layers;
        let h0 = s.reshape([batch, layers, width / layers]).transpose(0, 1);
        let states = self.state.forward(&self.gru.unroll(&z, &h0, HORIZON_STEPS));
        let steps = HORIZON_STEPS as i64;
        let context = s.unsqueeze(1).expand([batch, steps, width], false);
        let offsets = self.offsets.forward(&Tensor::cat(&[&context, &states], 2)) * OFFSET_SCALE_M;
        let commands = Command::COUNT as i64;
        let offsets = offsets.reshape([batch, steps, commands, 2]).transpose(1, 2);
        let offsets = if self.config.relative_to_speed {
            let ahead = (speed_mps * WAYPOINT_DT_S).reshape([batch, 1, 1, 1]);
            let ahead = Tensor::cat(&[&ahead, &ahead.zeros_like()], 3);
            offsets + ahead
        } else {
            offsets
        };
        PlanOutput { latent: latent.shallow_clone(), trajectories: offsets.cumsum(2, Kind::Float), present, posterior }
    }

    /// `forward` with the mean of p, as a graph: latent `[1, L]`, speed `[1, 1]` → trajectories `[1, 6, 6, 2]`.
    pub fn emit(&self, graph: &mut Graph, latent: &Value, speed_mps: &Value) -> Value {
        let (batch, width) = (latent.shape()[0], latent.shape()[1]);
        let (steps, commands) = (HORIZON_STEPS as i64, Command::COUNT as i64);
        let s = self.latent_norm.emit(graph, latent);
        let present = self.present.emit(graph, &s);
        let z = graph.slice(&present, -1, 0, present.shape()[1] / 2);
        let hidden = width / self.config.gru_layers;
        let h0: Vec<Value> =
            (0..self.config.gru_layers).map(|i| graph.slice(&s, -1, i * hidden, (i + 1) * hidden)).collect();
        let states = self.gru.emit_unroll(graph, &z, &h0, HORIZON_STEPS);
        let states = self.state.emit(graph, &states);
        let context = graph.reshape(&s, &[batch, 1, width]);
        // Copies, not a broadcast: tract 0.23 mistakes the shape of a broadcast that is joined and multiplied.
        let context = graph.concat(&[&context; HORIZON_STEPS], 1);
        let joined = graph.concat(&[&context, &states], 2);
        let offsets = self.offsets.emit(graph, &joined);
        let offsets = graph.scale(&offsets, OFFSET_SCALE_M as f32);
        let offsets = graph.reshape(&offsets, &[batch, steps, commands, 2]);
        let mut offsets = graph.transpose(&offsets, &[0, 2, 1, 3]);
        if self.config.relative_to_speed {
            let forward = graph.floats(&[WAYPOINT_DT_S as f32, 0.0], &[1, 1, 1, 2]);
            let speed = graph.reshape(speed_mps, &[batch, 1, 1, 1]);
            let ahead = graph.mul(&speed, &forward);
            offsets = graph.add(&offsets, &ahead);
        }
        // The cumulative sum over steps as a matrix.
        let lower = Tensor::ones([1, 1, steps, steps], (Kind::Float, tch::Device::Cpu)).tril(0);
        let lower = graph.tensor(&lower);
        graph.matmul(&lower, &offsets)
    }
}
