//! AdamW over one flat buffer, with state that goes into a training checkpoint and comes back exactly.
//!
//! Loshchilov and Hutter 2019, Alg. 2. Parameters are moved into one contiguous buffer (each tensor becomes a view of it),
//! so a step is a handful of vector operations however many tensors there are.

use crate::checkpoint::TensorFile;
use crate::error::NnError;
use crate::vars::VarStore;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

/// Settings of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Base learning rate; a schedule multiplies it.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, on matrices and kernels alone (not on biases, norms and single vectors).
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, clip_norm: 5.0 }
    }
}

#[derive(Debug)]
struct Group {
    start: i64,
    length: i64,
    decay: bool,
    rate_scale: f64,
}

/// The optimiser.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    parameters: Vec<Tensor>,
    flat: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    groups: Vec<Group>,
    layout: String,
    steps: u64,
}

/// What one step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The loss.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// False if the gradient was not finite: then nothing was changed.
    pub applied: bool,
}

impl AdamW {
    /// An optimiser of the parameters for which `rate_scale` gives a factor on the learning rate; the others are frozen
    /// (their gradients are switched off).
    pub fn new(store: &VarStore, config: AdamWConfig, rate_scale: impl Fn(&str) -> Option<f64>) -> Self {
        Self::over(&[store], config, rate_scale)
    }

    /// As [`AdamW::new`], over several stores.
    pub fn over(stores: &[&VarStore], config: AdamWConfig, rate_scale: impl Fn(&str) -> Option<f64>) -> Self {
        let mut chosen = vec![];
        for variable in stores.iter().flat_map(|s| s.variables()).filter(|v| v.trainable) {
            match rate_scale(&variable.name) {
                Some(scale) => {
                    let _ = variable.tensor.set_requires_grad(true);
                    let decay = variable.tensor.dim() > 1;
                    chosen.push((decay, scale, variable));
                }
                None => {
                    let _ = variable.tensor.set_requires_grad(false);
                }
            }
        }
        // Stable: within a group, order of creation.
        chosen.sort_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).expect("rate factors are finite"));
        let pieces: Vec<_> = chosen.iter().map(|(.., v)| v.tensor.detach().reshape([-1])).collect();
        let flat = if pieces.is_empty() { Tensor::zeros([0], tch::kind::FLOAT_CPU) } else { Tensor::cat(&pieces, 0) };
        let mut groups: Vec<Group> = vec![];
        let (mut start, mut layout) = (0, String::new());
        let mut parameters = vec![];
        for (decay, scale, variable) in chosen {
            let mut tensor = variable.tensor;
            let length = tensor.numel() as i64;
            tensor.set_data(&flat.narrow(0, start, length).view_(tensor.size()));
            match groups.last_mut() {
                Some(g) if g.decay == decay && g.rate_scale == scale => g.length += length,
                _ => groups.push(Group { start, length, decay, rate_scale: scale }),
            }
            layout.push_str(&format!("{} {length}\n", variable.name));
            start += length;
            parameters.push(tensor);
        }
        let layout = apprentice_core::hash::content_hash(layout.as_bytes());
        Self {
            config,
            parameters,
            exp_avg: flat.zeros_like(),
            exp_avg_sq: flat.zeros_like(),
            flat,
            groups,
            layout,
            steps: 0,
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Gradient of `loss`, flat and clipped, and its norm before clipping.
    fn gradient(&self, loss: &Tensor) -> (Tensor, f64) {
        let gradients = Tensor::run_backward(&[loss], &self.parameters, false, false);
        no_grad(|| {
            let pieces: Vec<_> = gradients
                .iter()
                .zip(&self.parameters)
                .map(|(g, p)| if g.defined() { g.reshape([-1]) } else { p.zeros_like().reshape([-1]) })
                .collect();
            let mut flat = Tensor::cat(&pieces, 0);
            let norm = flat.norm().double_value(&[]);
            if norm > self.config.clip_norm {
                let _ = flat.g_mul_scalar_(self.config.clip_norm / (norm + 1e-6));
            }
            (flat, norm)
        })
    }

    /// Differentiate `loss` and move the parameters; `rate_factor` comes from the [`crate::Schedule`].
    /// A gradient that is not finite moves nothing.
    pub fn step(&mut self, loss: &Tensor, rate_factor: f64) -> StepReport {
        let (gradient, gradient_norm) = self.gradient(loss);
        let loss = loss.double_value(&[]);
        if !gradient_norm.is_finite() {
            return StepReport { loss, gradient_norm, applied: false };
        }
        self.steps += 1;
        let c = self.config;
        let correction1 = 1.0 - c.beta1.powi(self.steps as i32);
        let correction2 = 1.0 - c.beta2.powi(self.steps as i32);
        no_grad(|| {
            let _ = self.exp_avg.lerp_(&gradient, 1.0 - c.beta1);
            let _ = self.exp_avg_sq.lerp_(&gradient.square(), 1.0 - c.beta2);
            for group in &self.groups {
                let part = |t: &Tensor| t.narrow(0, group.start, group.length);
                let rate = c.learning_rate * rate_factor * group.rate_scale;
                let mut weights = part(&self.flat);
                if group.decay {
                    let _ = weights.g_mul_scalar_(1.0 - rate * c.weight_decay);
                }
                let scale = part(&self.exp_avg_sq).sqrt().g_mul_scalar_(1.0 / correction2.sqrt()).g_add_scalar_(c.eps);
                let direction = part(&self.exp_avg).g_mul_scalar(-rate / correction1);
                let _ = weights.addcdiv_(&direction, &scale);
            }
        });
        StepReport { loss, gradient_norm, applied: true }
    }

    /// The state, to be written beside the weights in a training checkpoint. Keys begin with `optimizer.`.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        vec![
            ("optimizer.exp_avg".into(), self.exp_avg.shallow_clone()),
            ("optimizer.exp_avg_sq".into(), self.exp_avg_sq.shallow_clone()),
            ("optimizer.layout".into(), Tensor::from_slice(self.layout.as_bytes())),
            ("optimizer.steps".into(), Tensor::from_slice(&[self.steps as i64])),
        ]
    }

    /// Restore [`AdamW::state`] from a training checkpoint.
    ///
    /// # Errors
    /// [`NnError::Difference`] if a part is missing or belongs to other parameters.
    pub fn load_state(&mut self, file: &TensorFile) -> Result<(), NnError> {
        let wrong =
            |difference: &str| NnError::Difference { path: file.path.clone(), difference: format!("  {difference}") };
        let get = |key: &str, kind: Kind| {
            file.tensors
                .get(key)
                .filter(|t| t.kind() == kind)
                .ok_or_else(|| wrong(&format!("missing     {key} ({kind:?})")))
        };
        let layout = Vec::<u8>::try_from(get("optimizer.layout", Kind::Uint8)?).unwrap_or_default();
        if layout != self.layout.as_bytes() {
            return Err(wrong("optimizer.layout: the state belongs to other parameters"));
        }
        let (mean, square) = (get("optimizer.exp_avg", Kind::Float)?, get("optimizer.exp_avg_sq", Kind::Float)?);
        let steps = get("optimizer.steps", Kind::Int64)?;
        if mean.size() != self.flat.size() || square.size() != self.flat.size() || steps.size() != [1] {
            return Err(wrong("optimizer.exp_avg: the state has another length than the parameters"));
        }
        self.exp_avg.copy_(mean);
        self.exp_avg_sq.copy_(square);
        self.steps = steps.int64_value(&[0]).unsigned_abs();
        Ok(())
    }
}
