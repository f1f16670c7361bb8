//! Emitted operators, run by ONNX Runtime and tract, against libtorch.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_nn::onnx::{Graph, Value};
use apprentice_runtime::{Engine, EngineKind, Input};
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

fn values(t: &Tensor) -> Vec<f32> {
    Vec::<f32>::try_from(t.contiguous().flatten(0, -1)).unwrap()
}

/// Emit `build`'s graph over one input and compare both engines with `expected`.
fn agrees(x: &Tensor, build: impl Fn(&mut Graph, &Value) -> Value, expected: &Tensor) {
    let mut graph = Graph::new("test");
    let input = graph.input("x", &x.size());
    let y = build(&mut graph, &input);
    assert_eq!(y.shape(), expected.size(), "static shape");
    graph.output("y", &y);
    let bytes = graph.finish(&[("key", "value")]);
    let shape: Vec<usize> = x.size().iter().map(|&n| n as usize).collect();
    for kind in [EngineKind::Tract, EngineKind::OnnxRuntime] {
        let mut engine = Engine::load(kind, Path::new("test.onnx"), &bytes, 1).unwrap();
        let got = engine.run(&[Input { name: "x", shape: &shape, values: &values(x) }]).unwrap().remove(0);
        let want = values(expected);
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() <= 1e-5 * (1.0 + w.abs()), "{}: {g} for {w}", kind.name());
        }
    }
}

#[test]
fn operators_agree_with_libtorch() {
    tch::manual_seed(3);
    let x = random(&[2, 5, 8]);
    let (w, b) = (random(&[6, 8]), random(&[6]));
    agrees(&x, |g, x| g.linear(x, &w, Some(&b)), &x.linear(&w, Some(&b)));
    agrees(&x, |g, x| g.gelu(x), &x.gelu("none"));
    agrees(&x, |g, x| g.silu(x), &x.silu());
    agrees(&x, |g, x| g.softmax(x, -1), &x.softmax(-1, Kind::Float));
    agrees(&x, |g, x| g.mean(x, &[1], false), &x.mean_dim(1i64, false, Kind::Float));
    agrees(&x, |g, x| g.clamp(x, -0.5, 0.5), &x.clamp(-0.5, 0.5));
    agrees(&x, |g, x| g.gather(x, 1, &[4, 0, 0]), &x.index_select(1, &Tensor::from_slice(&[4i64, 0, 0])));
    agrees(&x, |g, x| g.slice(x, 2, 3, 7), &x.slice(2, 3, 7, 1));
    let (gain, shift) = (random(&[8]), random(&[8]));
    agrees(&x, |g, x| g.layer_norm(x, &gain, &shift, 1e-5), &x.layer_norm([8], Some(&gain), Some(&shift), 1e-5, false));
    agrees(
        &x,
        |g, x| {
            let t = g.transpose(x, &[0, 2, 1]);
            let m = g.matmul(x, &t);
            let r = g.reshape(&m, &[2, -1]);
            g.concat(&[&r, &r], 1)
        },
        &{
            let m = x.matmul(&x.transpose(1, 2)).reshape([2, -1]);
            Tensor::cat(&[&m, &m], 1)
        },
    );
}

#[test]
fn convolutions_and_pools_agree_with_libtorch() {
    tch::manual_seed(4);
    let x = random(&[2, 4, 9, 11]);
    let (w, b) = (random(&[6, 4, 3, 3]), random(&[6]));
    agrees(&x, |g, x| g.conv2d(x, &w, Some(&b), 2, 1, 1), &x.conv2d(&w, Some(&b), [2, 2], [1, 1], [1, 1], 1));
    let grouped = random(&[4, 1, 3, 3]);
    agrees(
        &x,
        |g, x| g.conv2d(x, &grouped, None, 1, 1, 4),
        &x.conv2d(&grouped, None::<Tensor>, [1, 1], [1, 1], [1, 1], 4),
    );
    agrees(&x, |g, x| g.max_pool2d(x, 3, 2, 1), &x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false));
    agrees(&x, |g, x| g.avg_pool2d(x, 2, 2), &x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None));
}

#[test]
fn layers_emit_what_they_compute() {
    use apprentice_nn::{
        BatchNorm2d, Conv2d, ConvConfig, DecoderLayer, EncoderLayer, Gru, TransformerConfig, VarStore,
    };
    tch::manual_seed(5);
    let store = VarStore::new(Device::Cpu, 7);
    let root = store.root();
    let x = random(&[1, 5, 8]);
    let memory = random(&[1, 3, 8]);
    let position = random(&[1, 5, 8]);

    let encoder = EncoderLayer::new(&(&root / "encoder"), TransformerConfig::new(8, 2));
    agrees(
        &x,
        |g, x| {
            let p = g.tensor(&position);
            encoder.emit(g, x, Some(&p))
        },
        &encoder.forward(&x, Some(&position)),
    );
    let decoder = DecoderLayer::new(&(&root / "decoder"), TransformerConfig::new(8, 2));
    agrees(
        &x,
        |g, x| {
            let m = g.tensor(&memory);
            decoder.emit(g, x, None, &m, &m)
        },
        &decoder.forward(&x, None, &memory, &memory),
    );
    let gru = Gru::new(&(&root / "gru"), 8, 6, 2);
    let (input, state) = (random(&[1, 8]), random(&[2, 1, 6]));
    agrees(
        &input,
        |g, x| {
            let states = [g.tensor(&state.get(0)), g.tensor(&state.get(1))];
            gru.emit_unroll(g, x, &states, 3)
        },
        &gru.unroll(&input, &state, 3),
    );
    let image = random(&[2, 3, 8, 10]);
    let conv = Conv2d::new(&(&root / "conv"), ConvConfig::new(3, 4, 3, 2));
    let norm = BatchNorm2d::new(&(&root / "norm"), 4, 1.5);
    for _ in 0..3 {
        let _ = norm.forward(&conv.forward(&image), true); // moves the running statistics off their start
    }
    agrees(&image, |g, x| conv.emit_with_norm(g, &norm, x), &norm.forward(&conv.forward(&image), false));
}
