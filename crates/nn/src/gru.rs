//! Gated recurrent units (Cho et al. 2014, in PyTorch's arrangement of the gates).

use crate::linear::Linear;
use crate::vars::{Init, Path};
use tch::Tensor;

/// A stack of GRU layers over a short sequence, one step at a time.
#[derive(Debug)]
pub struct Gru {
    /// Per layer: input weights `[3H, in]` and hidden weights `[3H, H]`, gates in the order reset, update, new.
    pub layers: Vec<(Linear, Linear)>,
    /// Hidden width of each layer.
    pub hidden: i64,
}

impl Gru {
    /// Keys `0.input`, `0.hidden`, `1.input`, ….
    pub fn new(path: &Path, inputs: i64, hidden: i64, layers: i64) -> Self {
        let init = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let layer = |i: i64| {
            let width = if i == 0 { inputs } else { hidden };
            let path = path / i;
            (
                Linear::with_init(&(&path / "input"), width, 3 * hidden, init, Some(0.0)),
                Linear::with_init(&(&path / "hidden"), hidden, 3 * hidden, init, Some(0.0)),
            )
        };
        Self { layers: (0..layers).map(layer).collect(), hidden }
    }

    /// One layer's step. `gates` is the input's part, already multiplied.
    fn cell(&self, hidden_part: &Linear, gates: &Tensor, h: &Tensor) -> Tensor {
        let n = self.hidden;
        let from_hidden = hidden_part.forward(h);
        let both = (gates.narrow(-1, 0, 2 * n) + from_hidden.narrow(-1, 0, 2 * n)).sigmoid();
        let (reset, update) = (both.narrow(-1, 0, n), both.narrow(-1, n, n));
        let new = (gates.narrow(-1, 2 * n, n) + reset * from_hidden.narrow(-1, 2 * n, n)).tanh();
        &new + update * (h - &new)
    }

    /// Feed the same input at every step.
    ///
    /// # Shapes
    /// `input` `[B, in]`, `state` `[layers, B, H]`, → `[B, steps, H]`, the last layer's states.
    pub fn unroll(&self, input: &Tensor, state: &Tensor, steps: usize) -> Tensor {
        let mut states: Vec<_> = (0..self.layers.len()).map(|i| state.get(i as i64)).collect();
        let first = self.layers[0].0.forward(input);
        let outputs: Vec<_> = (0..steps)
            .map(|_| {
                for (i, (input_part, hidden_part)) in self.layers.iter().enumerate() {
                    let gates = if i == 0 { first.shallow_clone() } else { input_part.forward(&states[i - 1]) };
                    states[i] = self.cell(hidden_part, &gates, &states[i]);
                }
                states[self.layers.len() - 1].shallow_clone()
            })
            .collect();
        Tensor::stack(&outputs, 1)
    }
}
