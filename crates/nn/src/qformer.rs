//! A Q-Former as an adapter (Li et al. 2023): learned queries read a memory of any length through a few transformer layers, so
//! that a group of tokens becomes a fixed number of vectors of another width. DiMA puts one between each group of a planner's
//! tokens and its language model.

use crate::transformer::{DecoderLayer, TransformerConfig};
use crate::{Init, LayerNorm, Linear, Path};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Shape of a [`QFormer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QFormerConfig {
    /// Vectors that come out.
    pub queries: i64,
    /// Channels inside.
    pub width: i64,
    /// Layers: self-attention, attention to the memory, perceptron.
    pub layers: i64,
    /// Heads.
    pub heads: i64,
}

/// The adapter.
#[derive(Debug)]
pub struct QFormer {
    queries: Tensor,
    before: LayerNorm,
    layers: Vec<DecoderLayer>,
    after: LayerNorm,
    output: Linear,
}

impl QFormer {
    /// Keys `queries`, `before`, `layers.<i>`, `after`, `output` under `path`; from `memory` channels to `output`.
    pub fn new(path: &Path, config: QFormerConfig, memory: i64, output: i64) -> Self {
        let layer = TransformerConfig {
            memory_width: memory,
            hidden: 4 * config.width,
            ..TransformerConfig::new(config.width, config.heads)
        };
        Self {
            queries: path.param("queries", &[1, config.queries, config.width], Init::Normal(0.02)),
            before: LayerNorm::new(&(path / "before"), memory),
            layers: (0..config.layers).map(|i| DecoderLayer::new(&(path / "layers" / i), layer)).collect(),
            after: LayerNorm::new(&(path / "after"), config.width),
            output: Linear::new(&(path / "output"), config.width, output),
        }
    }

    /// # Shapes
    /// memory `[B, n, memory]` → `[B, queries, output]`.
    pub fn forward(&self, memory: &Tensor) -> Tensor {
        let memory = self.before.forward(memory);
        let mut x = self.queries.expand([memory.size()[0], -1, -1], false);
        for layer in &self.layers {
            x = layer.forward(&x, None, &memory, &memory);
        }
        self.output.forward(&self.after.forward(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{VarStore, noise};
    use tch::{Device, Kind};

    #[test]
    fn any_number_of_tokens_becomes_the_queries_whatever_their_order() {
        let store = VarStore::new(Device::Cpu, 1);
        let config = QFormerConfig { queries: 4, width: 16, layers: 2, heads: 2 };
        let former = QFormer::new(&store.root(), config, 10, 24);
        let memory = noise(&[1], &[2, 7, 10]).set_requires_grad(true);
        let out = former.forward(&memory);
        assert_eq!(out.size(), [2, 4, 24]);
        let turned = former.forward(&memory.flip([1]));
        assert!((&out - turned).abs().max().double_value(&[]) < 1e-5);
        assert_eq!(former.forward(&memory.narrow(1, 0, 3)).size(), [2, 4, 24]);
        // Along one direction, the gradient is the slope.
        let (loss, direction) = (|m: &Tensor| former.forward(m).square().mean(Kind::Float), noise(&[2], &[2, 7, 10]));
        let gradient = Tensor::run_backward(&[&loss(&memory)], &[&memory], false, false).remove(0);
        let along = (gradient * &direction).sum(Kind::Float).double_value(&[]);
        let step = |h: f64| tch::no_grad(|| loss(&(&memory + &direction * h)).double_value(&[]));
        let slope = (step(1e-2) - step(-1e-2)) / 2e-2;
        assert!((along - slope).abs() < 1e-3 * along.abs().max(1e-2), "{along} {slope}");
    }
}
