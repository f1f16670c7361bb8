//! Rotary positions (Su et al. 2021) in Hugging Face's halves convention, with Llama-3's stretched frequencies and Qwen2-VL's
//! three axes.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How rotary frequencies are stretched for contexts longer than those of pretraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "rope_type")]
pub enum RopeScaling {
    /// Every position counts for 1 / factor.
    Linear {
        /// How much longer.
        factor: f64,
    },
    /// Long wavelengths by 1 / factor, short ones not at all, a ramp between (Llama 3.1).
    Llama3 {
        /// How much longer.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are stretched whole.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are left alone.
        high_freq_factor: f64,
        /// Context of pretraining.
        original_max_position_embeddings: f64,
    },
}

impl RopeScaling {
    fn stretch(&self, frequency: f64) -> f64 {
        match *self {
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let turns = original_max_position_embeddings * frequency / std::f64::consts::TAU;
                let share = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                frequency * (share + (1.0 - share) / factor)
            }
        }
    }
}

/// Cosines and sines of rotary positions, each `[B or 1, 1, L, head dim]`; sines of the first half with a minus.
#[derive(Debug)]
pub struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

/// The frequencies of a head, `[head dim / 2]`, in f32 as `transformers` keeps them.
fn frequencies(head_dim: i64, theta: f64, scaling: Option<&RopeScaling>) -> Vec<f32> {
    let plain = |i: i64| 1.0 / theta.powf(2.0 * i as f64 / head_dim as f64);
    (0..head_dim / 2).map(|i| scaling.map_or(plain(i), |s| s.stretch(plain(i))) as f32).collect()
}

impl Rotary {
    /// # Shapes
    /// positions `[B or 1, L]`; with `axes` (frequencies of time, height and width) `[3, B or 1, L]`.
    pub fn new(
        head_dim: i64,
        theta: f64,
        scaling: Option<&RopeScaling>,
        axes: Option<[i64; 3]>,
        positions: &Tensor,
        kind: Kind,
    ) -> Self {
        let frequencies = Tensor::from_slice(&frequencies(head_dim, theta, scaling)).to_device(positions.device());
        let angles = positions.to_kind(Kind::Float).unsqueeze(-1) * frequencies;
        let angles = match axes {
            Some(sections) if positions.dim() == 3 => {
                let mut start = 0;
                let part = |(axis, &width): (usize, &i64)| {
                    start += width;
                    angles.get(axis as i64).narrow(-1, start - width, width)
                };
                Tensor::cat(&sections.iter().enumerate().map(part).collect::<Vec<_>>(), -1)
            }
            _ => angles,
        };
        Self::of_angles(&Tensor::cat(&[&angles, &angles], -1).unsqueeze(1), kind)
    }

    /// # Shapes
    /// Angles that broadcast to `[B, heads, L, head dim]`.
    pub fn of_angles(angles: &Tensor, kind: Kind) -> Self {
        let sin = angles.sin();
        let half = sin.size()[sin.dim() - 1] / 2;
        let signed = Tensor::cat(&[sin.narrow(-1, 0, half).neg(), sin.narrow(-1, half, half)], -1);
        Self { cos: angles.cos().to_kind(kind), sin: signed.to_kind(kind) }
    }
}

/// Rotate `[B, heads, L, head dim]`.
pub fn rotate(x: &Tensor, by: &Rotary) -> Tensor {
    let half = x.size()[x.dim() - 1] / 2;
    (x * &by.cos).addcmul(&x.roll([half], [-1]), &by.sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waves_are_stretched_and_short_ones_are_not() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        let (plain, stretched) = (frequencies(128, 5e5, None), frequencies(128, 5e5, Some(&scaling)));
        assert_eq!(plain[0], stretched[0]);
        assert!((plain[63] / stretched[63] - 8.0).abs() < 1e-4);
        assert!(plain.iter().zip(&stretched).all(|(a, b)| a >= b));
    }
}
