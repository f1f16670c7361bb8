//! The two engines behind one call.

use crate::RuntimeError;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable};

/// Which engine runs the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// ONNX Runtime, loaded at run time.
    OnnxRuntime,
    /// tract, pure Rust.
    Tract,
}

impl EngineKind {
    /// Name for messages and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::Tract => "tract",
        }
    }
}

/// A loaded graph, ready to run.
pub struct Engine {
    path: PathBuf,
    inner: Inner,
}

enum Inner {
    OnnxRuntime(Box<ort::session::Session>),
    Tract(std::sync::Arc<tract::TypedRunnableModel>),
}

/// One input of a graph.
pub struct Input<'a> {
    /// Its name in the file. Inputs are given in the graph's order.
    pub name: &'a str,
    /// Its static shape.
    pub shape: &'a [usize],
    /// Row-major values.
    pub values: &'a [f32],
}

impl Engine {
    /// Load the graph `bytes`; errors name `path`.
    ///
    /// # Errors
    /// When the engine is missing or refuses the graph.
    pub fn load(kind: EngineKind, path: &Path, bytes: &[u8], threads: usize) -> Result<Self, RuntimeError> {
        let refused = |reason: String| RuntimeError::Engine { engine: kind.name(), path: path.into(), reason };
        let inner = match kind {
            EngineKind::OnnxRuntime => {
                let environment = onnxruntime()?;
                // Several threads wait for each other awake within a run, and sleep between runs: there the world moves on.
                let load = || -> Result<_, ort::Error> {
                    ort::session::Session::builder(&environment)?
                        .with_intra_threads(threads)?
                        .with_intra_op_spinning(true)?
                        .with_config_entry("session.force_spinning_stop", "1")?
                        .commit_from_memory(bytes)
                };
                let session = load().map_err(|e| refused(e.to_string()))?;
                Inner::OnnxRuntime(Box::new(session))
            }
            EngineKind::Tract => {
                let load = || {
                    tract_onnx::onnx()
                        .model_for_read(&mut std::io::Cursor::new(bytes))?
                        .into_optimized()?
                        .into_runnable()
                };
                Inner::Tract(load().map_err(|e| refused(format!("{e:#}")))?)
            }
        };
        Ok(Self { path: path.into(), inner })
    }

    /// Run once; the outputs' values, row-major, in the graph's order.
    ///
    /// # Errors
    /// When the engine fails, for instance on a wrong shape.
    pub fn run(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Vec<f32>>, RuntimeError> {
        let (engine, result) = match &mut self.inner {
            Inner::OnnxRuntime(session) => ("onnxruntime", run_onnxruntime(session, inputs).map_err(|e| e.to_string())),
            Inner::Tract(model) => ("tract", run_tract(model, inputs).map_err(|e| format!("{e:#}"))),
        };
        result.map_err(|reason| RuntimeError::Engine { engine, path: self.path.clone(), reason })
    }
}

fn run_onnxruntime(session: &mut ort::session::Session, inputs: &[Input<'_>]) -> Result<Vec<Vec<f32>>, ort::Error> {
    let tensors = inputs
        .iter()
        .map(|i| Ok((i.name, ort::value::TensorRef::from_array_view((i.shape.to_vec(), i.values))?)))
        .collect::<Result<Vec<_>, ort::Error>>()?;
    let outputs = session.run(tensors)?;
    outputs.values().map(|value| Ok(value.try_extract_tensor::<f32>()?.1.to_vec())).collect()
}

fn run_tract(
    model: &std::sync::Arc<tract::TypedRunnableModel>,
    inputs: &[Input<'_>],
) -> tract::TractResult<Vec<Vec<f32>>> {
    let tensors = inputs
        .iter()
        .map(|i| Ok(tract::Tensor::from_shape(i.shape, i.values)?.into()))
        .collect::<tract::TractResult<tract::TVec<tract::TValue>>>()?;
    let outputs = model.run(tensors)?;
    outputs.iter().map(|value| Ok(value.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())).collect()
}

/// ONNX Runtime, loaded once per process: `ORT_DYLIB_PATH`, or the copy that `cargo xtask setup` linked above the program.
fn onnxruntime() -> Result<ort::environment::Environment, RuntimeError> {
    static ENVIRONMENT: OnceLock<Result<ort::environment::Environment, String>> = OnceLock::new();
    let load = || {
        let library = match std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => find_library().ok_or("libonnxruntime.so was not found near the program")?,
        };
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", library.display());
        let environment = ort::init_from(&library).map_err(|e| named(&e))?.build().map_err(|e| named(&e))?;
        environment.set_log_level(ort::logging::LogLevel::Error);
        Ok(environment)
    };
    ENVIRONMENT.get_or_init(load).clone().map_err(RuntimeError::NoEngine)
}

fn find_library() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program
        .ancestors()
        .skip(1)
        .flat_map(|folder| [folder.to_path_buf(), folder.join(".onnxruntime/onnxruntime/capi")])
        .filter_map(|folder| {
            let mut found: Vec<_> = std::fs::read_dir(folder)
                .ok()?
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| {
                    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("libonnxruntime.so"))
                })
                .collect();
            found.sort();
            found.pop()
        })
        .next()
}
