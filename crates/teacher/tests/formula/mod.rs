//! Weights that any program can make from a tensor's name and shape (`formula` in `bench/fixtures/general_models.py`), and where
//! the fixtures lie.
#![allow(dead_code, clippy::unwrap_used)] // each test uses its part

use apprentice_core::Image;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Names and shapes of a network.
pub type Layout = BTreeMap<String, Vec<i64>>;

/// A file or folder of the fixtures of published models.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../teacher/tests/fixtures/general").join(name)
}

/// Every how many channels of a backbone's levels the reference keeps one.
pub fn sampled(name: &str) -> i64 {
    if name == "narrow" { 1 } else { 16 }
}

/// The layouts of the image backbones.
pub fn layouts() -> BTreeMap<String, Layout> {
    serde_json::from_slice(&std::fs::read(fixture("backbones/layouts.json")).unwrap()).unwrap()
}

fn tensor(name: &str, shape: &[i64]) -> Tensor {
    if name.ends_with("num_batches_tracked") {
        return Tensor::zeros([], (Kind::Int64, Device::Cpu));
    }
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let count: i64 = shape.iter().product();
    let spread = (4.0 / (count as f64 / shape[0] as f64)).sqrt();
    let value = |index: i64| {
        let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let u = ((z ^ (z >> 31)) >> 40) as f64 / (1u64 << 24) as f64;
        let centred = 2.0 * u - 1.0;
        let value = if name.ends_with("running_var") {
            0.5 + u
        } else if name.ends_with("pos_embed") || name.ends_with("cls_token") {
            centred
        } else if shape.len() >= 2 {
            centred * spread
        } else {
            0.1 * centred + if name.ends_with("weight") { 1.0 } else { 0.0 }
        };
        value as f32
    };
    Tensor::from_slice(&(0..count).map(value).collect::<Vec<_>>()).reshape(shape)
}

/// A network's weights by the formula.
pub fn weights(layout: &Layout) -> Vec<(String, Tensor)> {
    layout.iter().map(|(name, shape)| (name.clone(), tensor(name, shape))).collect()
}

/// A picture of the fixtures by its side.
pub fn picture(side: usize) -> Image {
    let file = std::fs::File::open(fixture(&format!("backbones/{side}.png"))).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut rgb = vec![0; side * side * 3];
    let frame = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((frame.width as usize, frame.color_type), (side, png::ColorType::Rgb));
    Image { width: side, height: side, rgb }
}
