//! Layers, optimiser, schedule and strict checkpoints over libtorch (`tch`).
//!
//! A layer is a small struct: typed configuration in, parameters under a [`Path`] whose text *is* the checkpoint key,
//! and a `forward` made of plain exportable operations. Parameters are initialised on the host from counter-based
//! random numbers keyed by (seed, key), so a model is a pure function of its configuration and seed.
//!
//! What may not enter here: what a tensor means for driving. That is the planner's and the teacher's business.

pub mod attention;
pub mod checkpoint;
pub mod conv;
pub mod error;
pub mod gru;
pub mod linear;
pub mod llama;
pub mod lora;
pub mod norm;
pub mod onnx;
pub mod opt;
pub mod optim;
pub mod prompts;
mod pth;
pub mod qformer;
pub mod recompute;
pub mod rotary;
pub mod schedule;
pub mod t5;
pub mod transformer;
pub mod vars;
pub mod vision;
pub mod weights;

pub use attention::{AttentionConfig, MultiHeadAttention};
pub use checkpoint::{TensorFile, read_tensors, write_tensors};
pub use conv::{Conv2d, ConvConfig};
pub use error::NnError;
pub use gru::Gru;
pub use linear::{Activation, Embedding, Linear, Mlp};
pub use lora::{Lora, LoraConfig};
pub use norm::{BatchNorm2d, LayerNorm, RmsNorm};
pub use optim::{AdamW, AdamWConfig, StepReport};
pub use prompts::{AdapterPrompts, BlockPrompt, PromptsConfig};
pub use schedule::Schedule;
pub use transformer::{DecoderLayer, EncoderLayer, TransformerConfig};
pub use vars::{Init, Path, Precision, VarStore};
pub use weights::Weights;

/// The threads libtorch computes with. Call once at start: results may differ in the last bits across counts.
///
/// It also tells the C allocator to keep large blocks instead of returning them to the system after every tensor: a training
/// step asks for the same ones again and would spend a tenth of its time on fresh pages.
pub fn set_threads(threads: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets two thresholds of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// Standard normal noise that depends on its key alone.
///
/// # Shapes
/// `shape`, f32, on the CPU.
pub fn noise(key: &[u64], shape: &[i64]) -> tch::Tensor {
    let mut rng = apprentice_core::Rng::new(key);
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.normal() as f32).collect();
    tch::Tensor::from_slice(&values).reshape(shape)
}
