//! A model as it was downloaded: a folder in Hugging Face's layout, and the fields of its `config.json`.

use crate::TeacherError;
use crate::words::OpenText;
use apprentice_core::hash::content_hash;
use apprentice_nn::Weights;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The families that are known, each with the name its `config.json` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Llava,
    QwenVl,
    Blip2,
    T5,
    Bert,
    Clip,
    Siglip,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::Llava,
        Self::QwenVl,
        Self::Blip2,
        Self::T5,
        Self::Bert,
        Self::Clip,
        Self::Siglip,
    ];

    /// By its `model_type`.
    pub fn of_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.model_type() == name)
    }

    /// Whether it gives embeddings; the others answer.
    pub fn embeds(self) -> bool {
        matches!(self, Self::Bert | Self::Clip | Self::Siglip)
    }

    /// How a question is put to it without a chat template.
    pub fn frame(self) -> OpenText {
        OpenText::new(match self {
            Self::Llava => "USER: {images}\n{question} ASSISTANT:",
            Self::Blip2 => "Question: {question} Answer:",
            _ => "{images}{question}",
        })
    }

    /// As in the `architectures` of a `config.json`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Llava => "LlavaForConditionalGeneration",
            Self::QwenVl => "Qwen2_5_VLForConditionalGeneration",
            Self::Blip2 => "Blip2ForConditionalGeneration",
            Self::T5 => "T5ForConditionalGeneration",
            Self::Bert => "BertModel",
            Self::Clip => "CLIPModel",
            Self::Siglip => "SiglipModel",
        }
    }

    /// As in the `model_type` of a `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llava => "llava",
            Self::QwenVl => "qwen2_5_vl",
            Self::Blip2 => "blip-2",
            Self::T5 => "t5",
            Self::Bert => "bert",
            Self::Clip => "clip",
            Self::Siglip => "siglip",
        }
    }
}

/// A model's folder, its `config.json` read.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    config: Value,
    family: Family,
}

impl ModelFolder {
    /// Read `config.json` and recognise the family.
    ///
    /// # Errors
    /// [`TeacherError::Store`] when it cannot be read, [`TeacherError::Model`] for a family that is not known.
    pub fn open(path: &Path) -> Result<Self, TeacherError> {
        let file = path.join("config.json");
        let config: Value = apprentice_store::read_json(&file)?;
        let architecture = config["architectures"][0].as_str().unwrap_or_default();
        let model_type = config["model_type"].as_str().unwrap_or_default();
        let by_architecture = Family::ALL.into_iter().find(|f| f.architecture() == architecture);
        // Towers saved alone carry other architecture names; a file without any is known by its type.
        let by_type = || Family::of_type(model_type).filter(|_| architecture.is_empty());
        let Some(family) = by_architecture.or_else(by_type) else {
            let known: Vec<_> = Family::ALL.iter().map(|f| f.architecture()).collect();
            return Err(TeacherError::Model {
                path: file,
                what: "architectures".into(),
                expected: format!("one of {}", known.join(", ")),
                found: format!("`{architecture}` (model_type `{model_type}`)"),
            });
        };
        if !config["quantization_config"].is_null() {
            return Err(TeacherError::Model {
                path: file,
                what: "quantization_config".into(),
                expected: "weights in float32, float16 or bfloat16 (`--dtype int8` packs them on load)".into(),
                found: config["quantization_config"]["quant_method"].as_str().unwrap_or("packed weights").into(),
            });
        }
        Ok(Self { path: path.into(), config, family })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Content hash of every file that a model is read from: configuration, tokenizer, templates and weights.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn identity(&self) -> Result<String, TeacherError> {
        identity(&self.path)
    }

    /// The fields of `config.json`.
    pub fn fields(&self) -> Fields {
        Fields { file: self.path.join("config.json"), place: String::new(), value: self.config.clone() }
    }

    /// The fields of another JSON document of the folder, when it is there.
    ///
    /// # Errors
    /// When it is there and is not JSON.
    pub fn document(&self, name: &str) -> Result<Option<Fields>, TeacherError> {
        let file = self.path.join(name);
        if !file.is_file() {
            return Ok(None);
        }
        let value = apprentice_store::read_json(&file)?;
        Ok(Some(Fields { file, place: String::new(), value }))
    }

    /// The weights, memory-mapped.
    ///
    /// # Errors
    /// Names the file that is missing or not whole.
    pub fn weights(&self) -> Result<Weights, TeacherError> {
        Ok(Weights::open(&self.path)?)
    }
}

/// Fields of a JSON object that remember which file they stand in.
#[derive(Clone, Debug)]
pub struct Fields {
    file: PathBuf,
    place: String,
    value: Value,
}

impl Fields {
    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The whole value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// A part of it; an absent part has no fields.
    pub fn part(&self, name: &str) -> Self {
        let place = format!("{}{name}.", self.place);
        Self { file: self.file.clone(), place, value: self.value[name].clone() }
    }

    /// Whether a field is there and not null.
    pub fn has(&self, name: &str) -> bool {
        !self.value[name].is_null()
    }

    /// An error about a field.
    pub fn wrong(&self, name: &str, expected: impl Into<String>) -> TeacherError {
        TeacherError::Model {
            path: self.file.clone(),
            what: format!("{}{name}", self.place),
            expected: expected.into(),
            found: if self.has(name) { self.value[name].to_string() } else { "nothing".into() },
        }
    }

    fn get<T>(
        &self,
        name: &str,
        absent: Option<T>,
        kind: &str,
        read: fn(&Value) -> Option<T>,
    ) -> Result<T, TeacherError> {
        match (&self.value[name], absent) {
            (Value::Null, Some(value)) => Ok(value),
            (value, _) => read(value).ok_or_else(|| self.wrong(name, kind)),
        }
    }

    /// A whole number; `absent` where the format has a default.
    ///
    /// # Errors
    /// [`TeacherError::Model`], as every reader here.
    pub fn int(&self, name: &str, absent: impl Into<Option<i64>>) -> Result<i64, TeacherError> {
        self.get(name, absent.into(), "a whole number", Value::as_i64)
    }

    /// A number.
    ///
    /// # Errors
    /// As [`Fields::int`].
    pub fn float(&self, name: &str, absent: impl Into<Option<f64>>) -> Result<f64, TeacherError> {
        self.get(name, absent.into(), "a number", Value::as_f64)
    }

    /// Yes or no.
    ///
    /// # Errors
    /// As [`Fields::int`].
    pub fn flag(&self, name: &str, absent: bool) -> Result<bool, TeacherError> {
        self.get(name, Some(absent), "true or false", Value::as_bool)
    }

    /// Text.
    ///
    /// # Errors
    /// As [`Fields::int`].
    pub fn text(&self, name: &str, absent: Option<&str>) -> Result<String, TeacherError> {
        self.get(name, absent.map(str::to_string), "a text", |v| v.as_str().map(str::to_string))
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// As [`Fields::int`].
    pub fn floats(&self, name: &str, absent: Option<&[f64]>) -> Result<Vec<f64>, TeacherError> {
        self.get(name, absent.map(<[f64]>::to_vec), "a list of numbers", |v| {
            v.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    /// A list of whole numbers, or one alone.
    ///
    /// # Errors
    /// As [`Fields::int`].
    pub fn ints(&self, name: &str, absent: Option<&[i64]>) -> Result<Vec<i64>, TeacherError> {
        self.get(name, absent.map(<[i64]>::to_vec), "whole numbers", |v| match v {
            Value::Array(items) => items.iter().map(Value::as_i64).collect(),
            one => one.as_i64().map(|n| vec![n]),
        })
    }

    /// An activation by its name.
    ///
    /// # Errors
    /// As [`Fields::int`].
    pub fn activation(&self, name: &str, absent: &str) -> Result<apprentice_nn::Activation, TeacherError> {
        let word = self.text(name, Some(absent))?;
        apprentice_nn::Activation::from_name(&word).ok_or_else(|| self.wrong(name, "a known activation"))
    }
}

/// Content hash of the documents and weights in a folder (of a model, or of an adapter).
///
/// # Errors
/// When a file cannot be read.
pub fn identity(folder: &Path) -> Result<String, TeacherError> {
    let fail = |source| TeacherError::from(apprentice_store::StoreError::io("read", folder, source));
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let known = ["json", "jinja", "model", "safetensors", "bin", "pth", "pt"];
        if path.is_file() && path.extension().is_some_and(|e| known.iter().any(|k| e == *k)) {
            files.push(path);
        }
    }
    files.sort();
    let mut list = String::new();
    for path in files {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        list.push_str(&format!("{name} {}\n", apprentice_store::hash_file(&path)?));
    }
    Ok(content_hash(list.as_bytes())[..16].to_string())
}
