//! Drivers by name or file.

use crate::CliError;
use crate::arguments::EngineName;
use apprentice_core::driver::{ConstantVelocity, Stop};
use apprentice_core::{BoxedError, Driver};
use apprentice_runtime::{EngineKind, OnnxDriver};
use std::path::Path;

/// Makes a fresh driver; called once per worker.
pub type Factory = dyn Fn(&str, EngineName) -> Result<Box<dyn Driver>, BoxedError> + Sync;

/// A driver that needs no libtorch.
///
/// # Errors
/// When there is no such name or the file is not sound.
pub fn light_driver(name: &str, engine: EngineName) -> Result<Box<dyn Driver>, BoxedError> {
    let kind = match engine {
        EngineName::Onnxruntime => EngineKind::OnnxRuntime,
        EngineName::Tract => EngineKind::Tract,
    };
    match name {
        "constant-velocity" => Ok(Box::new(ConstantVelocity)),
        "stop" => Ok(Box::new(Stop)),
        file if file.ends_with(".onnx") => Ok(Box::new(OnnxDriver::open(Path::new(file), kind, 1)?)),
        other => Err(CliError::new(
            format!("there is no driver `{other}`"),
            "drivers are `expert` (closed loop only), `constant-velocity`, `stop`, or a file ending in .onnx or .safetensors",
        )
        .into()),
    }
}
