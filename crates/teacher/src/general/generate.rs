//! From logits to words: greedy or sampled, one token at a time.

use apprentice_core::Rng;
use tch::{Kind, Tensor};

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// 0 takes the most likely token; else probabilities are softmax(logits / temperature).
    pub temperature: f64,
    /// Keep the fewest tokens whose probabilities reach this sum.
    pub top_p: f64,
    /// Keep this many tokens at most; 0 keeps all.
    pub top_k: usize,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for Choice {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0 }
    }
}

impl Choice {
    /// The token after `logits`, the `step`-th of its answer. A function of its arguments and the seed alone.
    ///
    /// # Shapes
    /// logits `[V]`.
    pub fn pick(&self, logits: &Tensor, step: usize) -> i64 {
        if self.temperature <= 0.0 {
            return logits.argmax(-1, false).int64_value(&[]);
        }
        let scaled = logits.to_kind(Kind::Float) / self.temperature;
        let (probabilities, order) = scaled.softmax(-1, Kind::Float).sort(-1, true);
        let probabilities = Vec::<f32>::try_from(&probabilities).expect("probabilities are a vector of f32");
        let mut kept = if self.top_k == 0 { probabilities.len() } else { self.top_k.min(probabilities.len()) };
        let mut sum = 0.0;
        for (index, p) in probabilities[..kept].iter().enumerate() {
            sum += f64::from(*p);
            if sum >= self.top_p {
                kept = index + 1;
                break;
            }
        }
        let total: f64 = probabilities[..kept].iter().map(|&p| f64::from(p)).sum();
        let mut left = Rng::new(&[self.seed, step as u64]).range(0.0, total);
        let chosen = probabilities[..kept].iter().position(|&p| {
            left -= f64::from(p);
            left < 0.0
        });
        order.int64_value(&[chosen.unwrap_or(kept - 1) as i64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_probabilities_and_stay_within_the_nucleus() {
        let logits = Tensor::from_slice(&[0.5f32, 0.3, 0.15, 0.05]).log();
        assert_eq!(Choice::default().pick(&logits, 0), 0);
        let count = |choice: &Choice| {
            let mut counts = [0; 4];
            (0..4000).for_each(|step| counts[choice.pick(&logits, step) as usize] += 1);
            counts
        };
        let free = count(&Choice { temperature: 1.0, seed: 1, ..Choice::default() });
        assert!((free[0] - 2000i32).abs() < 150 && (free[3] - 200i32).abs() < 70, "{free:?}");
        let nucleus = count(&Choice { temperature: 1.0, top_p: 0.75, ..Choice::default() });
        assert!(nucleus[2] == 0 && (nucleus[0] - 2500i32).abs() < 150, "{nucleus:?}");
        let two = count(&Choice { temperature: 2.0, top_k: 2, ..Choice::default() });
        assert!(two[2] == 0 && two[1] > 1500, "{two:?}");
    }
}
