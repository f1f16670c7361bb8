//! Optimiser, checkpoints and layers on small networks.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::Hint;
use apprentice_nn::*;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

fn network(seed: u64) -> (VarStore, Mlp) {
    let store = VarStore::new(Device::Cpu, seed);
    let mlp = Mlp::new(&(store.root() / "mlp"), &[3, 16, 2], Activation::Tanh);
    (store, mlp)
}

fn data() -> (Tensor, Tensor) {
    let x = noise(&[1], &[32, 3]);
    let y = Tensor::stack(&[x.select(1, 0).sin(), x.select(1, 1) * x.select(1, 2)], 1);
    (x, y)
}

fn train(optimizer: &mut AdamW, mlp: &Mlp, steps: std::ops::Range<u64>) -> f64 {
    let (x, y) = data();
    let mut last = f64::NAN;
    for step in steps {
        let loss = (mlp.forward(&x) - &y).square().mean(Kind::Float);
        last = optimizer.step(&loss, Schedule::cosine(5, 300).factor(step)).loss;
    }
    last
}

fn config() -> AdamWConfig {
    AdamWConfig { learning_rate: 0.02, ..AdamWConfig::default() }
}

#[test]
fn adamw_learns_and_freezes() {
    let (store, mlp) = network(1);
    let before = mlp.layers[0].weight.copy();
    let mut optimizer = AdamW::new(&store, config(), |name| (!name.starts_with("mlp.0")).then_some(1.0));
    let first = train(&mut optimizer, &mlp, 0..1);
    let last = train(&mut optimizer, &mlp, 1..200);
    assert!(last < 0.5 * first, "{first} → {last}");
    assert_eq!(before, mlp.layers[0].weight, "a frozen layer moved");
    let mut optimizer = AdamW::new(&store, config(), |_| Some(1.0));
    let last = train(&mut optimizer, &mlp, 0..300);
    assert!(last < 0.02, "{last}");
}

/// One step of the published algorithm, by hand: the first step moves each weight by lr·sign(g) after the decay.
#[test]
fn adamw_first_step_is_by_the_book() {
    let store = VarStore::new(Device::Cpu, 0);
    let w = store.root().param("w", &[2, 1], Init::Constant(1.0));
    let b = store.root().param("b", &[2], Init::Constant(1.0));
    let mut optimizer = AdamW::new(&store, AdamWConfig { weight_decay: 0.1, ..config() }, |_| Some(1.0));
    let loss = (&w * Tensor::from_slice(&[3.0f32, -0.5]).reshape([2, 1])).sum(Kind::Float) + b.sum(Kind::Float);
    let report = optimizer.step(&loss, 1.0);
    assert!((report.gradient_norm - (9.0f64 + 0.25 + 2.0).sqrt()).abs() < 1e-6);
    let decayed = 1.0 - 0.02 * 0.1;
    for (i, sign) in [(0, 1.0), (1, -1.0)] {
        assert!((w.double_value(&[i, 0]) - (decayed - 0.02 * sign)).abs() < 1e-6);
        assert!((b.double_value(&[i]) - (1.0 - 0.02)).abs() < 1e-6, "vectors do not decay");
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bytes() {
    let folder = std::env::temp_dir().join(format!("apprentice-nn-resume-{}", std::process::id()));
    let path = folder.join("half.safetensors");
    let (store, mlp) = network(2);
    let mut optimizer = AdamW::new(&store, config(), |_| Some(1.0));
    train(&mut optimizer, &mlp, 0..20);
    let mut half = store.tensors();
    half.extend(optimizer.state());
    write_tensors(&path, &half, &BTreeMap::new()).unwrap();
    train(&mut optimizer, &mlp, 20..40);

    let (again, mlp) = network(99);
    let mut file = read_tensors(&path).unwrap();
    let mut state = file.split_off("optimizer.");
    state.tensors = state.tensors.into_iter().map(|(k, t)| (format!("optimizer.{k}"), t)).collect();
    let mut optimizer = AdamW::new(&again, config(), |_| Some(1.0));
    again.load(&file).unwrap();
    optimizer.load_state(&state).unwrap();
    assert_eq!(optimizer.steps(), 20);
    train(&mut optimizer, &mlp, 20..40);
    let bytes = |s: &VarStore| checkpoint::tensor_bytes(&s.tensors(), &BTreeMap::new());
    assert_eq!(bytes(&store), bytes(&again));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn loading_is_strict_and_says_what_differs() {
    let (store, _) = network(1);
    let path = std::path::Path::new("memory.safetensors");
    let mut tensors = store.tensors();
    tensors[0].1 = Tensor::zeros([5, 3], tch::kind::FLOAT_CPU);
    tensors[1].0 = "mlp.9.bias".into();
    let file = checkpoint::parse_tensors(path, &checkpoint::tensor_bytes(&tensors, &BTreeMap::new())).unwrap();
    let (other, mlp) = network(1);
    let before = mlp.layers[1].weight.copy();
    let error = other.load(&file).unwrap_err();
    let text = error.to_string();
    for part in [
        "memory.safetensors",
        "shape       mlp.0.weight: needs [16, 3], has [5, 3]",
        "missing     mlp.0.bias",
        "unexpected  mlp.9.bias",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().is_some());
    assert_eq!(before, mlp.layers[1].weight, "a refused file changed the model");
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let (store, _) = network(1);
    let metadata = BTreeMap::from([("note".to_string(), "a \"quoted\" line\n".to_string())]);
    let bytes = checkpoint::tensor_bytes(&store.tensors(), &metadata);
    let path = std::path::Path::new("damaged.safetensors");
    let whole = checkpoint::parse_tensors(path, &bytes).unwrap();
    assert_eq!(whole.field("note").unwrap(), metadata["note"]);
    assert!(whole.field("contract").unwrap_err().to_string().contains("contract"));
    for length in (0..bytes.len()).step_by(7) {
        let error = checkpoint::parse_tensors(path, &bytes[..length]).unwrap_err();
        assert!(error.to_string().contains("damaged.safetensors"));
    }
    let mut lying = bytes.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(checkpoint::parse_tensors(path, &lying).is_err());
    let text = String::from_utf8_lossy(&bytes[8..]).replacen("[16,", "[17,", 1).replacen("[16, ", "[17, ", 1);
    let mut lying = bytes[..8].to_vec();
    lying.extend_from_slice(&text.as_bytes()[..text.len().min(bytes.len() - 8)]);
    assert!(checkpoint::parse_tensors(path, &lying).is_err());
}

#[test]
fn gru_agrees_with_libtorch() {
    let store = VarStore::new(Device::Cpu, 3);
    let gru = Gru::new(&store.root(), 4, 8, 2);
    let (input, state) = (noise(&[5], &[3, 4]), noise(&[6], &[2, 3, 8]));
    let mine = gru.unroll(&input, &state, 6);
    let weights: Vec<Tensor> = gru
        .layers
        .iter()
        .flat_map(|(i, h)| [&i.weight, &h.weight, i.bias.as_ref().unwrap(), h.bias.as_ref().unwrap()])
        .map(Tensor::shallow_clone)
        .collect();
    let sequence = input.unsqueeze(1).repeat([1, 6, 1]);
    let (theirs, _) = sequence.gru(&state, &weights, true, 2, 0.0, false, false, true);
    assert!((mine - theirs).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn attention_agrees_with_the_formula() {
    let store = VarStore::new(Device::Cpu, 4);
    let config = AttentionConfig { width: 8, memory_width: 6, heads: 2 };
    let attention = MultiHeadAttention::new(&store.root(), config);
    let (q, kv) = (noise(&[7], &[2, 3, 8]), noise(&[8], &[2, 5, 6]));
    let mine = attention.forward(&q, &kv, &kv, None);
    let (q, k, v) = (attention.query.forward(&q), attention.key.forward(&kv), attention.value.forward(&kv));
    let heads: Vec<_> = (0..2)
        .map(|h| {
            let part = |t: &Tensor| t.narrow(2, 4 * h, 4);
            let scores = part(&q).matmul(&part(&k).transpose(1, 2)) / 2.0;
            scores.softmax(-1, Kind::Float).matmul(&part(&v))
        })
        .collect();
    let theirs = attention.output.forward(&Tensor::cat(&heads, 2));
    assert!((mine - theirs).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn initial_values_depend_on_seed_and_key_alone() {
    let (a, _) = network(7);
    let other = VarStore::new(Device::Cpu, 7);
    let _ = Linear::new(&(other.root() / "first"), 4, 4);
    let _ = Mlp::new(&(other.root() / "mlp"), &[3, 16, 2], Activation::Tanh);
    let find = |s: &VarStore| s.tensors().into_iter().find(|(n, _)| n == "mlp.0.weight").unwrap().1;
    assert_eq!(find(&a), find(&other));
    assert_ne!(find(&a), find(&network(8).0));
}
