//! Gated recurrent units (Cho et al. 2014, in PyTorch's arrangement of the gates).

use crate::linear::Linear;
use crate::onnx::{Graph, Value};
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

    /// `unroll`, as a graph. `states` holds each layer's `[B, H]`.
    pub fn emit_unroll(&self, graph: &mut Graph, input: &Value, states: &[Value], steps: usize) -> Value {
        let mut states = states.to_vec();
        let (batch, n) = (input.shape()[0], self.hidden);
        let first = self.layers[0].0.emit(graph, input);
        let mut outputs = Vec::with_capacity(steps);
        for _ in 0..steps {
            for (i, (input_part, hidden_part)) in self.layers.iter().enumerate() {
                let gates = if i == 0 { first.clone() } else { input_part.emit(graph, &states[i - 1]) };
                states[i] = self.emit_cell(graph, hidden_part, &gates, &states[i]);
            }
            outputs.push(graph.reshape(&states[self.layers.len() - 1], &[batch, 1, n]));
        }
        graph.concat(&outputs.iter().collect::<Vec<_>>(), 1)
    }

    fn emit_cell(&self, graph: &mut Graph, hidden_part: &Linear, gates: &Value, h: &Value) -> Value {
        let n = self.hidden;
        let from_hidden = hidden_part.emit(graph, h);
        let (a, b) = (graph.slice(gates, -1, 0, 2 * n), graph.slice(&from_hidden, -1, 0, 2 * n));
        let both = graph.add(&a, &b);
        let both = graph.sigmoid(&both);
        let (reset, update) = (graph.slice(&both, -1, 0, n), graph.slice(&both, -1, n, 2 * n));
        let (a, b) = (graph.slice(gates, -1, 2 * n, 3 * n), graph.slice(&from_hidden, -1, 2 * n, 3 * n));
        let gated = graph.mul(&reset, &b);
        let new = graph.add(&a, &gated);
        let new = graph.tanh(&new);
        let change = graph.sub(h, &new);
        let change = graph.mul(&update, &change);
        graph.add(&new, &change)
    }
}
