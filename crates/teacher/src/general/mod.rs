//! General models: published language and vision-language models, from a folder in Hugging Face's layout.
//!
//! ```text
//! folder ─┬─ config.json ── Family, shapes
//!         ├─ *.safetensors ─ memory-mapped, strict ─ LanguageModel ─ answers, hidden states, logits
//!         ├─ tokenizer.json                          Encoder ─────── embeddings of texts and pictures
//!         └─ chat_template
//! ```
//!
//! Each family is one file that reads beside its paper; what they share lies in the `nn` room. A model agrees with
//! `transformers` to 10⁻⁴ on every layer (`tests/general.rs`).
//!
//! What may not enter here: scenes and ground truth. Scene tokens come in as plain vectors ([`decoder::Part`]).

pub mod bert;
pub mod blip2;
pub mod chat;
pub mod clip;
pub mod decoder;
pub mod embed;
pub mod folder;
pub mod generate;
pub mod image;
pub mod import;
pub mod language;
pub mod llava;
pub mod qwen_vl;
pub mod scene;
pub mod siglip;
pub mod tokens;
pub mod tower;
pub mod vision;

pub use chat::{ChatTemplate, Message};
pub use decoder::{Abreast, Language, Part, Woven};
pub use embed::Encoder;
pub use folder::{Family, Fields, ModelFolder};
pub use generate::Choice;
pub use import::NameMap;
pub use language::{Answer, Ask, Ending, LanguageModel, LoadOptions, Seen, Study};
pub use scene::{GroupConfig, GroupKind, SceneAdapters};
pub use tokens::{ModelTokenizer, TextStream};
pub use vision::VisionEncoder;
