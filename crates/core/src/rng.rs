//! Counter-based random numbers: a value is a pure function of its key, so no order of evaluation and no
//! number of threads can change it.

/// A stream of random numbers keyed by (seed, entity, purpose, tick) or any other list of words.
///
/// The generator is SplitMix64 over a mixed key: 2^64 period per key, equal on every platform.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream of `key`. Keys that differ in any word or in length give unrelated streams.
    pub fn new(key: &[u64]) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ (key.len() as u64);
        for &word in key {
            state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(word));
        }
        Self { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in 0..n. Returns 0 for `n == 0`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal (Box–Muller; the second value is not kept, so one call is one draw).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Fisher–Yates shuffle in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_separate_streams_and_repeat_exactly() {
        let draw = |key: &[u64]| Rng::new(key).next_u64();
        assert_eq!(draw(&[1, 2, 3]), draw(&[1, 2, 3]));
        assert_ne!(draw(&[1, 2, 3]), draw(&[1, 3, 2]));
        assert_ne!(draw(&[0]), draw(&[0, 0]));
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut rng = Rng::new(&[7]);
        let n = 20_000;
        let mean = (0..n).map(|_| rng.uniform()).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let variance = (0..n).map(|_| rng.normal().powi(2)).sum::<f64>() / n as f64;
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
