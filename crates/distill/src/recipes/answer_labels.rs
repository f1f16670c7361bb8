//! The control `answer-labels`: what the teacher says, without its language. Its answers to questions with few different
//! answers are class labels of heads on the student's latent; the heads are thrown away.
//!
//! L = base + λ_a · mean over question types of CE(head(s), class of the teacher's answer)
//!
//! B batch, K question types, L latent.

use crate::DistillError;
use apprentice_core::GuidanceSource;
use apprentice_core::sample::SampleId;
use apprentice_nn::{Linear, VarStore};
use tch::{Device, Kind, Tensor};

/// One linear head per type of question. Keys `answers.…`, in a store of their own: nothing of them ships.
#[derive(Debug)]
pub struct AnswerHeads {
    /// The weights.
    pub vs: VarStore,
    head: Linear,
    classes: Vec<i64>,
}

/// Prefix of the heads' keys.
pub const ANSWERS_PREFIX: &str = "answers.";

impl AnswerHeads {
    /// Fresh heads for question types with so many classes.
    pub fn new(latent: i64, classes: &[usize], seed: u64, device: Device) -> Self {
        let vs = VarStore::new(device, seed);
        let classes: Vec<i64> = classes.iter().map(|&n| n as i64).collect();
        let head = Linear::new(&(vs.root() / "answers"), latent, classes.iter().sum());
        Self { vs, head, classes }
    }

    /// Mean cross-entropy over the types, each over the samples with an answer; 0 where nobody has one.
    ///
    /// # Shapes
    /// s `[B, L]`, classes `[B, K]` (−1: no answer) → scalar.
    pub fn loss(&self, latent: &Tensor, classes: &Tensor) -> Tensor {
        let logits = self.head.forward(latent).split_with_sizes(&self.classes, 1);
        let terms: Vec<_> = logits
            .iter()
            .enumerate()
            .map(|(k, logits)| {
                let class = classes.select(1, k as i64);
                let valid = class.ge(0).to_kind(Kind::Float);
                let chosen = logits.log_softmax(1, Kind::Float).gather(1, &class.clamp_min(0).unsqueeze(1), false);
                (chosen.squeeze_dim(1) * &valid).sum(Kind::Float) / (valid.sum(Kind::Float).clamp_min(1.0) * -1.0)
            })
            .collect();
        Tensor::stack(&terms, 0).mean(Kind::Float)
    }

    /// The teacher's answers for some samples, `[B, K]`; −1 where there is none.
    ///
    /// # Errors
    /// When the guidance cannot be read or is of another number of types.
    pub fn classes(&self, source: &dyn GuidanceSource, ids: &[&SampleId]) -> Result<Tensor, DistillError> {
        let kinds = self.classes.len();
        let mut classes = vec![-1i64; ids.len() * kinds];
        for (row, id) in classes.chunks_exact_mut(kinds).zip(ids) {
            let guidance = source.guidance(id).map_err(|e| DistillError::config(e.to_string()))?;
            let Some(guidance) = guidance.filter(|g| g.valid) else { continue };
            if guidance.values.len() != kinds {
                let problem = format!("answers to {} types of question, the heads have {kinds}", guidance.values.len());
                return Err(DistillError::config(problem));
            }
            for ((class, &value), &count) in row.iter_mut().zip(&guidance.values).zip(&self.classes) {
                *class = (value as i64).clamp(-1, count - 1);
            }
        }
        Ok(Tensor::from_slice(&classes).reshape([ids.len() as i64, kinds as i64]).to_device(self.vs.device()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_nn::{AdamW, AdamWConfig, noise};

    #[test]
    fn heads_learn_what_is_answered_and_ignore_what_is_not() {
        let heads = AnswerHeads::new(4, &[2, 3], 1, Device::Cpu);
        let latent = noise(&[7], &[12, 4]);
        // The first type follows the sign of the first channel; the second is answered for nobody.
        let first = latent.select(1, 0).ge(0.0).to_kind(Kind::Int64);
        let classes = Tensor::stack(&[&first, &(first.zeros_like() - 1)], 1);
        let mut optimiser =
            AdamW::new(&heads.vs, AdamWConfig { learning_rate: 0.1, ..AdamWConfig::default() }, |_| Some(1.0));
        let before = heads.loss(&latent, &classes).double_value(&[]);
        for _ in 0..60 {
            optimiser.step(&heads.loss(&latent, &classes), 1.0);
        }
        let after = heads.loss(&latent, &classes).double_value(&[]);
        assert!(after < 0.25 * before, "{before} to {after}");
        assert_eq!(heads.loss(&latent, &(classes.zeros_like() - 1)).double_value(&[]), 0.0);
    }
}
