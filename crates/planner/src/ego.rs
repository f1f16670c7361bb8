//! The ego query: reads BEV, agent, map and front-camera tokens and becomes the planning latent s.
//!
//! Beside attention, s sees a flattened, narrow view of the coarse BEV grid: a linear map per place learns within
//! minutes what a query takes far longer to find. VAD has no such path; at `base` size it is a small share of the network.
//!
//! B batch, K memory tokens, C channels, L latent.

use crate::backbone::ConvNorm;
use crate::config::StudentConfig;
use apprentice_core::Command;
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::{Activation, ConvConfig, DecoderLayer, Init, LayerNorm, Linear, Mlp, Path, TransformerConfig};
use tch::{Kind, Tensor};

/// Channels of the flattened view.
const FLAT_CHANNELS: i64 = 16;
/// Speeds are divided by this before the network, m/s.
pub const SPEED_SCALE_MPS: f64 = 10.0;

/// From tokens to s.
#[derive(Debug)]
pub struct EgoDecoder {
    /// `[1, 1, C]`; key `query`.
    pub query: Tensor,
    /// Speed and command; key `state`.
    pub state: Mlp,
    /// Key `state_norm`: beside normalised tokens, small numbers would hardly be heard.
    pub state_norm: LayerNorm,
    /// Keys `layers.I`.
    pub layers: Vec<DecoderLayer>,
    /// Key `squeeze`.
    pub squeeze: ConvNorm,
    /// Key `flat`.
    pub flat: Linear,
    /// Key `norm`.
    pub norm: LayerNorm,
    /// Key `latent`.
    pub latent: Mlp,
}

impl EgoDecoder {
    /// Build under `path`.
    pub fn new(path: &Path, config: &StudentConfig) -> Self {
        let (c, l) = (config.width, config.planner.latent);
        let [rows, columns] = config.bev.cells();
        let layer = TransformerConfig { self_attention: false, ..TransformerConfig::new(c, config.heads) };
        let cells = FLAT_CHANNELS * (rows / 2) * (columns / 2);
        let joined = 3 * c + l;
        Self {
            query: path.param("query", &[1, 1, c], Init::Normal(0.1)),
            state: Mlp::new(&(path / "state"), &[1 + Command::COUNT as i64, c, c], Activation::Relu),
            state_norm: LayerNorm::new(&(path / "state_norm"), c),
            layers: (0..config.ego_layers).map(|i| DecoderLayer::new(&(path / "layers" / i), layer)).collect(),
            squeeze: ConvNorm::new(&(path / "squeeze"), ConvConfig::new(c, FLAT_CHANNELS, 1, 1), 1.0),
            flat: Linear::new(&(path / "flat"), cells, l),
            norm: LayerNorm::new(&(path / "norm"), c),
            latent: Mlp::new(&(path / "latent"), &[joined, 2 * l, l], Activation::Relu),
        }
    }

    /// Speed and command as a vector.
    ///
    /// # Shapes
    /// speed `[B]` m/s, command `[B]` (i64) → `[B, C]`.
    pub fn state(&self, speed_mps: &Tensor, command: &Tensor) -> Tensor {
        let speed = (speed_mps / SPEED_SCALE_MPS).unsqueeze(1);
        let command = command.one_hot(Command::COUNT as i64).to_kind(Kind::Float);
        self.state_norm.forward(&self.state.forward(&Tensor::cat(&[&speed, &command], 1)))
    }

    /// # Shapes
    /// state and light `[B, C]`, memory keys and memory `[B, K, C]`, coarse BEV `[B, C, X/2, Y/2]` → ego token
    /// `[B, 1, C]` and s `[B, L]`.
    pub fn forward(
        &self,
        state: &Tensor,
        light: &Tensor,
        (memory_keys, memory): (&Tensor, &Tensor),
        coarse: &Tensor,
        train: bool,
    ) -> (Tensor, Tensor) {
        let mut x = state.unsqueeze(1) + &self.query;
        for layer in &self.layers {
            x = layer.forward(&x, None, memory_keys, memory);
        }
        let token = self.norm.forward(&x);
        let flat = self.flat.forward(&self.squeeze.forward(coarse, train).flatten(1, 3)).relu();
        let joined = Tensor::cat(&[&token.squeeze_dim(1), state, light, &flat], 1);
        (token, self.latent.forward(&joined))
    }

    /// `state`, as a graph: speed `[B, 1]` m/s, command one-hot `[B, 6]`.
    pub fn emit_state(&self, graph: &mut Graph, speed_mps: &Value, command: &Value) -> Value {
        let speed = graph.scale(speed_mps, (1.0 / SPEED_SCALE_MPS) as f32);
        let joined = graph.concat(&[&speed, command], 1);
        let state = self.state.emit(graph, &joined);
        self.state_norm.emit(graph, &state)
    }

    /// s of `forward` with running statistics, as a graph.
    pub fn emit(
        &self,
        graph: &mut Graph,
        state: &Value,
        light: &Value,
        (memory_keys, memory): (&Value, &Value),
        coarse: &Value,
    ) -> Value {
        let (batch, width) = (state.shape()[0], state.shape()[1]);
        let query = graph.tensor(&self.query);
        let start = graph.reshape(state, &[batch, 1, width]);
        let mut x = graph.add(&start, &query);
        for layer in &self.layers {
            x = layer.emit(graph, &x, None, memory_keys, memory);
        }
        let token = self.norm.emit(graph, &x);
        let token = graph.reshape(&token, &[batch, width]);
        let flat = self.squeeze.emit(graph, coarse);
        let flat = graph.reshape(&flat, &[batch, -1]);
        let flat = self.flat.emit(graph, &flat);
        let flat = graph.relu(&flat);
        let joined = graph.concat(&[&token, state, light, &flat], 1);
        self.latent.emit(graph, &joined)
    }
}
