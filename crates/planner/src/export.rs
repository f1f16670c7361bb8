//! A student as an ONNX file: images to trajectories, normalisation included, contract in the metadata.

use crate::error::PlannerError;
use crate::student::Student;
use apprentice_core::contract::ChannelOrder;
use apprentice_core::{Command, Contract};
use apprentice_nn::onnx::{CONTRACT_PROPERTY, Graph};

/// The file's bytes. Inputs `images` [1, N, 3, H, W] (RGB, 0..255), `speed` [1, 1] m/s, `command` [1, 6] one-hot;
/// output `trajectories` [1, 6, 6, 2] metres.
///
/// # Errors
/// For a student that reads labels, or whose contract asks for JPEG-compressed images, which no graph can make.
pub fn onnx(student: &Student, contract: &Contract) -> Result<Vec<u8>, PlannerError> {
    let refused = |field: &str, reason: &str| PlannerError::Config { field: field.into(), reason: reason.into() };
    let preprocessing = &contract.preprocessing;
    if preprocessing.jpeg_quality.is_some() {
        return Err(refused("preprocessing.jpeg_quality", "JPEG compression cannot be part of an exported graph"));
    }
    let cameras = &preprocessing.rig.cameras;
    let first = cameras.first().ok_or_else(|| refused("preprocessing.rig", "there is no camera"))?;
    let (n, h, w) = (cameras.len() as i64, first.height as i64, first.width as i64);
    let commands = Command::COUNT as i64;
    let _guard = tch::no_grad_guard();
    let mut graph = Graph::new("student");
    let images = graph.input("images", &[1, n, 3, h, w]);
    let speed = graph.input("speed", &[1, 1]);
    let command = graph.input("command", &[1, commands]);
    let mut pixels = graph.reshape(&images, &[n, 3, h, w]);
    if preprocessing.channel_order == ChannelOrder::Bgr {
        pixels = graph.gather(&pixels, 1, &[2, 1, 0]);
    }
    let mean = graph.floats(&preprocessing.mean, &[1, 3, 1, 1]);
    let scale = graph.floats(&preprocessing.std.map(f32::recip), &[1, 3, 1, 1]);
    let centred = graph.sub(&pixels, &mean);
    let normalised = graph.mul(&centred, &scale);
    let latent = student
        .encoder
        .emit(&mut graph, &normalised, &speed, &command)
        .ok_or_else(|| refused("inputs", "a student that reads the true labels has no graph"))?;
    let trajectories = student.planner.emit(&mut graph, &latent, &speed);
    graph.output("trajectories", &trajectories);
    Ok(graph.finish(&[(CONTRACT_PROPERTY, &contract.to_json())]))
}
