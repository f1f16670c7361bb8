//! Perception heads: dense BEV classes, image boxes, agents with motion, map elements, the traffic light.
//!
//! B batch, A agent queries, M motion modes, T = 6 steps, I map instances, P points, C channels.

use crate::backbone::ConvNorm;
use crate::config::StudentConfig;
use apprentice_core::sample::LightState;
use apprentice_core::{AgentClass, HORIZON_STEPS, MapClass};
use apprentice_nn::onnx::{Graph, Value};
use apprentice_nn::{Activation, Conv2d, ConvConfig, DecoderLayer, Init, Linear, Mlp, Path, TransformerConfig};
use tch::{Kind, Tensor};

/// Classes of the dense BEV head, in channel order.
pub const BEV_CLASSES: [&str; 8] =
    ["vehicle", "vulnerable", "obstacle", "divider", "ped_crossing", "boundary", "centerline", "stop_line"];

/// Channels of the image head: vehicle, vulnerable, obstacle, and log distance.
pub const IMAGE_CHANNELS: i64 = 4;

/// Numbers per box: centre x, y, z; log length, width, height; sin and cos of yaw; velocity x, y.
pub const BOX_VALUES: usize = 10;

/// Everything the heads say.
#[derive(Debug)]
pub struct Perception {
    /// Logits of [`BEV_CLASSES`], `[B, 8, X, Y]`.
    pub bev: Tensor,
    /// Logits of three classes and log distance / 3, `[B, N, 4, H/8, W/8]`; `None` without cameras.
    pub image: Option<Tensor>,
    /// Logits, `[B, A, 10]`.
    pub agent_logits: Tensor,
    /// [`BOX_VALUES`] per query in metres, log metres and m/s, `[B, A, 10]`.
    pub boxes: Tensor,
    /// Positions relative to the box centre, metres, `[B, A, M, 6, 2]`.
    pub motion: Tensor,
    /// Logits, `[B, A, M]`.
    pub motion_logits: Tensor,
    /// Logits, `[B, I, 5]`.
    pub map_logits: Tensor,
    /// Metres, `[B, I, P, 2]`.
    pub map_points: Tensor,
    /// Logits of none, green, yellow, red, `[B, 4]`.
    pub light_logits: Tensor,
}

/// Sine-free position code: a perceptron of scaled coordinates.
#[derive(Debug)]
pub struct PositionCode {
    /// Key `mlp`.
    pub mlp: Mlp,
}

impl PositionCode {
    /// To `width` channels.
    pub fn new(path: &Path, width: i64) -> Self {
        Self { mlp: Mlp::new(&(path / "mlp"), &[2, width, width], Activation::Relu) }
    }

    /// # Shapes
    /// metres `[…, 2]` → `[…, width]`.
    pub fn forward(&self, points_m: &Tensor) -> Tensor {
        self.mlp.forward(&(points_m / 20.0))
    }

    /// `forward`, as a graph.
    pub fn emit(&self, graph: &mut Graph, points_m: &Value) -> Value {
        let scaled = graph.scale(points_m, 1.0 / 20.0);
        self.mlp.emit(graph, &scaled)
    }
}

/// Agent queries and their heads.
#[derive(Debug)]
pub struct AgentDecoder {
    /// From the BEV cell under the reference point; key `start`.
    pub start: Linear,
    /// One per query, `[1, A, C]`; key `query`.
    pub query: Tensor,
    /// Keys `layers.I`.
    pub layers: Vec<DecoderLayer>,
    /// Key `class`.
    pub class: Mlp,
    /// Key `box`.
    pub boxes: Mlp,
    /// Key `motion`.
    pub motion: Mlp,
    /// Reference points, metres, `[A, 2]`; a constant.
    pub references: Tensor,
    grid: [i64; 2],
    modes: i64,
}

fn grid_points(bev: &crate::config::BevConfig, [rows, columns]: [i64; 2], device: tch::Device) -> Tensor {
    let at = |[low, high]: [f64; 2], i: i64, n: i64| (low + (i as f64 + 0.5) * (high - low) / n as f64) as f32;
    let points: Vec<f32> = (0..rows)
        .flat_map(|r| (0..columns).flat_map(move |c| [at(bev.x_range_m, r, rows), at(bev.y_range_m, c, columns)]))
        .collect();
    Tensor::from_slice(&points).reshape([rows * columns, 2]).to_device(device)
}

/// Adaptive average pooling of a grid as a matrix, `[to, from]` (PyTorch's windows).
fn pooling_matrix([rows, columns]: [i64; 2], [to_rows, to_columns]: [i64; 2]) -> Tensor {
    let window = |i: i64, n: i64, to: i64| (i * n / to)..((i + 1) * n + to - 1) / to;
    let mut matrix = vec![0f32; (to_rows * to_columns * rows * columns) as usize];
    for to_row in 0..to_rows {
        for to_column in 0..to_columns {
            let (down, across) = (window(to_row, rows, to_rows), window(to_column, columns, to_columns));
            let share = 1.0 / ((down.end - down.start) * (across.end - across.start)) as f32;
            let first = (to_row * to_columns + to_column) * rows * columns;
            for row in down {
                for column in across.clone() {
                    matrix[(first + row * columns + column) as usize] = share;
                }
            }
        }
    }
    Tensor::from_slice(&matrix).reshape([to_rows * to_columns, rows * columns])
}

/// Positions of the BEV tokens, metres.
///
/// # Shapes
/// `[X/2 · Y/2, 2]`.
pub fn token_positions(config: &StudentConfig, device: tch::Device) -> Tensor {
    let [rows, columns] = config.bev.cells();
    grid_points(&config.bev, [rows / 2, columns / 2], device)
}

fn decoder_layers(path: &Path, config: &StudentConfig, count: usize) -> Vec<DecoderLayer> {
    let layer = TransformerConfig::new(config.width, config.heads);
    (0..count).map(|i| DecoderLayer::new(&(path / "layers" / i), layer)).collect()
}

/// Logit of the share of queries that hold something at the start of training (Lin et al. 2017, focal loss §3.3).
const PRIOR_LOGIT: f64 = -4.0;

impl AgentDecoder {
    /// Build under `path`.
    pub fn new(path: &Path, config: &StudentConfig) -> Self {
        let c = config.width;
        let [rows, columns] = config.agent_grid;
        let outputs = config.motion_modes * (2 * HORIZON_STEPS as i64 + 1);
        let small = |name: &str, last: i64, bias: f64| {
            Mlp::with_small_output(&(path / name), &[c, c, last], Activation::Relu, bias)
        };
        Self {
            start: Linear::new(&(path / "start"), c, c),
            query: path.param("query", &[1, rows * columns, c], Init::Normal(0.1)),
            layers: decoder_layers(path, config, config.agent_layers),
            class: small("class", AgentClass::COUNT as i64, PRIOR_LOGIT),
            boxes: small("box", BOX_VALUES as i64, 0.0),
            motion: small("motion", outputs, 0.0),
            references: grid_points(&config.bev, config.agent_grid, path.device()),
            grid: config.agent_grid,
            modes: config.motion_modes,
        }
    }

    /// # Shapes
    /// coarse BEV `[B, C, X/2, Y/2]`, memory keys and memory `[B, K, C]`, reference codes `[A, C]` → tokens `[B, A, C]`.
    pub fn tokens(&self, coarse: &Tensor, memory_keys: &Tensor, memory: &Tensor, codes: &Tensor) -> Tensor {
        let pooled = coarse.adaptive_avg_pool2d(self.grid).flatten(2, 3).transpose(1, 2);
        let mut x = self.start.forward(&pooled) + &self.query;
        for layer in &self.layers {
            x = layer.forward(&x, Some(codes), memory_keys, memory);
        }
        x
    }

    /// `tokens`, as a graph.
    pub fn emit_tokens(
        &self,
        graph: &mut Graph,
        coarse: &Value,
        memory_keys: &Value,
        memory: &Value,
        codes: &Value,
    ) -> Value {
        let [batch, channels, rows, columns] = coarse.shape()[..] else { panic!("the coarse grid is [B, C, X, Y]") };
        let pooled = graph.reshape(coarse, &[batch, channels, rows * columns]);
        let pooled = graph.transpose(&pooled, &[0, 2, 1]);
        let pool = graph.tensor(&pooling_matrix([rows, columns], self.grid));
        let pooled = graph.matmul(&pool, &pooled);
        let start = self.start.emit(graph, &pooled);
        let query = graph.tensor(&self.query);
        let mut x = graph.add(&start, &query);
        for layer in &self.layers {
            x = layer.emit(graph, &x, Some(codes), memory_keys, memory);
        }
        x
    }

    /// Box centres in the plane (as `heads` gives them), as a graph.
    pub fn emit_centers(&self, graph: &mut Graph, tokens: &Value) -> Value {
        let raw = self.boxes.emit(graph, tokens);
        let offset = graph.slice(&raw, 2, 0, 2);
        let offset = graph.scale(&offset, 4.0);
        let references = graph.tensor(&self.references);
        graph.add(&offset, &references)
    }

    /// Logits, boxes, motion and mode logits of tokens `[B, A, C]`; see [`Perception`].
    pub fn heads(&self, tokens: &Tensor) -> [Tensor; 4] {
        let (batch, count, _) = tokens.size3().expect("agent tokens are [B, A, C]");
        let raw = self.boxes.forward(tokens);
        let center = raw.narrow(2, 0, 2) * 4.0 + &self.references;
        let boxes = Tensor::cat(&[&center, &raw.narrow(2, 2, 6), &(raw.narrow(2, 8, 2) * 4.0)], 2);
        let steps = HORIZON_STEPS as i64;
        let motion = self.motion.forward(tokens);
        let offsets = motion.narrow(2, 0, self.modes * steps * 2) * 2.0;
        let offsets = offsets.reshape([batch, count, self.modes, steps, 2]);
        let mode_logits = motion.narrow(2, self.modes * steps * 2, self.modes);
        [self.class.forward(tokens), boxes, offsets.cumsum(3, Kind::Float), mode_logits]
    }
}

/// Map queries (instance plus point embeddings) and their heads.
#[derive(Debug)]
pub struct MapDecoder {
    /// `[I, 1, C]`; key `instance`.
    pub instance: Tensor,
    /// `[1, P, C]`; key `point`.
    pub point: Tensor,
    /// Starting points in units of half the BEV range, `[I·P, 2]`; key `reference`.
    pub reference: Tensor,
    /// Keys `layers.I`.
    pub layers: Vec<DecoderLayer>,
    /// Key `class`.
    pub class: Mlp,
    /// Key `points`.
    pub points: Mlp,
    /// One vector per element from its points (VAD's LaneNet); key `pool`.
    pub pool: Mlp,
    center: Tensor,
    half_range: Tensor,
    counts: [i64; 2],
}

impl MapDecoder {
    /// Build under `path`.
    pub fn new(path: &Path, config: &StudentConfig) -> Self {
        let c = config.width;
        let counts = [config.map_instances, config.map_points as i64];
        let ranges = [config.bev.x_range_m, config.bev.y_range_m];
        let pair = |f: fn([f64; 2]) -> f64| Tensor::from_slice(&ranges.map(|r| f(r) as f32)).to_device(path.device());
        let small = |name: &str, last: i64, bias: f64| {
            Mlp::with_small_output(&(path / name), &[c, c, last], Activation::Relu, bias)
        };
        Self {
            instance: path.param("instance", &[counts[0], 1, c], Init::Normal(0.5)),
            point: path.param("point", &[1, counts[1], c], Init::Normal(0.5)),
            reference: path.param("reference", &[counts[0] * counts[1], 2], Init::Uniform(0.6)),
            layers: decoder_layers(path, config, config.map_layers),
            class: small("class", MapClass::COUNT as i64, -2.0),
            points: small("points", 2, 0.0),
            pool: Mlp::new(&(path / "pool"), &[c, c, c], Activation::Relu),
            center: pair(|[low, high]| (low + high) / 2.0),
            half_range: pair(|[low, high]| (high - low) / 2.0),
            counts,
        }
    }

    /// Reference points, metres.
    ///
    /// # Shapes
    /// `[I·P, 2]`.
    pub fn reference_m(&self) -> Tensor {
        &self.reference * &self.half_range + &self.center
    }

    /// # Shapes
    /// memory keys and memory `[B, K, C]`, reference codes `[I·P, C]` → point tokens `[B, I·P, C]`.
    pub fn tokens(&self, memory_keys: &Tensor, memory: &Tensor, codes: &Tensor) -> Tensor {
        let batch = memory.size()[0];
        let query = (&self.instance + &self.point).flatten(0, 1);
        let mut x = query.unsqueeze(0).expand([batch, -1, -1], false);
        for layer in &self.layers {
            x = layer.forward(&x, Some(codes), memory_keys, memory);
        }
        x
    }

    /// `tokens` for a batch of one, as a graph.
    pub fn emit_tokens(&self, graph: &mut Graph, memory_keys: &Value, memory: &Value, codes: &Value) -> Value {
        let query = (&self.instance + &self.point).flatten(0, 1).unsqueeze(0);
        let mut x = graph.tensor(&query);
        for layer in &self.layers {
            x = layer.emit(graph, &x, Some(codes), memory_keys, memory);
        }
        x
    }

    /// Element tokens and the mean places of their points (as `heads` gives them), as a graph.
    pub fn emit_elements(&self, graph: &mut Graph, tokens: &Value) -> [Value; 2] {
        let (batch, width) = (tokens.shape()[0], tokens.shape()[2]);
        let [instances, points] = self.counts;
        let place = self.points.emit(graph, tokens);
        let [reference, half_range, center] =
            [&self.reference, &self.half_range, &self.center].map(|t| graph.tensor(t));
        let place = graph.add(&place, &reference);
        let place = graph.mul(&place, &half_range);
        let place = graph.add(&place, &center);
        let place = graph.reshape(&place, &[batch, instances, points, 2]);
        let place = graph.mean(&place, &[2], false);
        let pooled = graph.reshape(tokens, &[batch, instances, points, width]);
        let pooled = graph.mean(&pooled, &[2], false);
        [self.pool.emit(graph, &pooled), place]
    }

    /// Logits `[B, I, 5]`, points `[B, I, P, 2]` and element tokens `[B, I, C]` of point tokens `[B, I·P, C]`.
    pub fn heads(&self, tokens: &Tensor) -> [Tensor; 3] {
        let (batch, _, width) = tokens.size3().expect("map tokens are [B, I·P, C]");
        let [instances, points] = self.counts;
        let place = (self.points.forward(tokens) + &self.reference) * &self.half_range + &self.center;
        let pooled = tokens.reshape([batch, instances, points, width]).mean_dim(2, false, Kind::Float);
        [self.class.forward(&pooled), place.reshape([batch, instances, points, 2]), self.pool.forward(&pooled)]
    }
}

/// Looks for the light that governs the ego in the front camera: a few learned attention maps over stride-4 features.
#[derive(Debug)]
pub struct LightHead {
    /// Key `conv`.
    pub conv: ConvNorm,
    /// One attention map per channel; key `score`.
    pub score: Conv2d,
    /// To a token; key `token`.
    pub token: Mlp,
    /// Key `class`.
    pub class: Mlp,
}

/// Attention maps of the light head.
const LIGHT_MAPS: i64 = 4;

impl LightHead {
    /// From `inputs` channels to tokens of `width`.
    pub fn new(path: &Path, inputs: i64, width: i64) -> Self {
        let score = ConvConfig::new(inputs, LIGHT_MAPS, 1, 1).with_bias();
        Self {
            conv: ConvNorm::new(&(path / "conv"), ConvConfig::new(inputs, inputs, 3, 1), 1.0),
            score: Conv2d::with_init(&(path / "score"), score, Init::Normal(0.1), 0.0),
            token: Mlp::new(&(path / "token"), &[LIGHT_MAPS * inputs, width, width], Activation::Relu),
            class: Mlp::new(&(path / "class"), &[width, width, LightState::COUNT as i64], Activation::Relu),
        }
    }

    /// # Shapes
    /// `[B, C4, H/4, W/4]` → `[B, width]`.
    pub fn token(&self, front: &Tensor, train: bool) -> Tensor {
        let x = self.conv.forward(front, train);
        let attention = self.score.forward(&x).flatten(2, 3).softmax(-1, Kind::Float);
        let pooled = attention.matmul(&x.flatten(2, 3).transpose(1, 2));
        self.token.forward(&pooled.flatten(1, 2))
    }

    /// `token` with running statistics, as a graph.
    pub fn emit_token(&self, graph: &mut Graph, front: &Value) -> Value {
        let x = self.conv.emit(graph, front);
        let [batch, channels, h, w] = x.shape()[..] else { panic!("features are [B, C, h, w]") };
        let score = self.score.emit(graph, &x);
        let score = graph.reshape(&score, &[batch, LIGHT_MAPS, h * w]);
        let attention = graph.softmax(&score, -1);
        let values = graph.reshape(&x, &[batch, channels, h * w]);
        let values = graph.transpose(&values, &[0, 2, 1]);
        let pooled = graph.matmul(&attention, &values);
        let pooled = graph.reshape(&pooled, &[batch, LIGHT_MAPS * channels]);
        self.token.emit(graph, &pooled)
    }
}
