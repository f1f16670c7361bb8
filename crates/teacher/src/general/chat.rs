//! Chat templates: the Jinja document that a model ships says how a conversation becomes a prompt.

use super::folder::ModelFolder;
use crate::TeacherError;
use minijinja::{Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said: a text, or the list of `{"type": "image"}` and `{"type": "text", "text": …}` that multimodal templates
    /// read.
    pub content: Value,
}

impl Message {
    /// A question with this many pictures before it, as one text or, for templates that ask for it, as parts.
    pub fn user(text: &str, images: usize, parts: bool) -> Self {
        let content = if parts {
            let mut list = vec![serde_json::json!({ "type": "image" }); images];
            list.push(serde_json::json!({ "type": "text", "text": text }));
            list.into()
        } else {
            text.into()
        };
        Self { role: "user".into(), content }
    }
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    tokens: Vec<(&'static str, String)>,
    path: PathBuf,
}

impl ChatTemplate {
    /// Find the template of a model: `chat_template.jinja`, `chat_template.json`, or the field of `tokenizer_config.json`.
    /// `None` for a model that has none.
    ///
    /// # Errors
    /// When a document cannot be read or the template is not Jinja.
    pub fn open(folder: &ModelFolder) -> Result<Option<Self>, TeacherError> {
        let tokenizer = folder.document("tokenizer_config.json")?;
        let own = folder.path().join("chat_template.jinja");
        let field = |fields: &super::folder::Fields| match &fields.value()["chat_template"] {
            Value::String(text) => Some(text.clone()),
            // Several, by name: the one for plain conversations.
            Value::Array(list) => {
                let plain = list.iter().find(|t| t["name"] == "default").or(list.first())?;
                plain["template"].as_str().map(str::to_string)
            }
            _ => None,
        };
        let processor = folder.document("chat_template.json")?;
        let (path, text) = if own.is_file() {
            let text = apprentice_store::read_text(&own)?;
            (own, text)
        } else if let Some((fields, text)) =
            processor.iter().chain(&tokenizer).find_map(|fields| field(fields).map(|text| (fields, text)))
        {
            (fields.file().into(), text)
        } else {
            return Ok(None);
        };
        let token = |name: &'static str| {
            let value = &tokenizer.as_ref()?.value()[name];
            let text = value.as_str().or_else(|| value["content"].as_str())?;
            Some((name, text.to_string()))
        };
        let tokens = ["bos_token", "eos_token", "unk_token", "pad_token"].into_iter().filter_map(token).collect();
        Self::new(path, text, tokens).map(Some)
    }

    fn new(path: PathBuf, source: String, tokens: Vec<(&'static str, String)>) -> Result<Self, TeacherError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", python_json);
        environment.add_template_owned("chat", source.clone()).map_err(|e| wrong(&path, &e))?;
        Ok(Self { environment, source, tokens, path })
    }

    /// Whether it reads content as a list of parts (multimodal templates do).
    pub fn wants_parts(&self) -> bool {
        self.source.contains("'image'") || self.source.contains("\"image\"")
    }

    /// A conversation as a prompt; with `prompt`, up to where the assistant begins to speak.
    ///
    /// # Errors
    /// What the template complains about.
    pub fn apply(&self, messages: &[Message], prompt: bool) -> Result<String, TeacherError> {
        let template = self.environment.get_template("chat").map_err(|e| wrong(&self.path, &e))?;
        let mut values = std::collections::BTreeMap::new();
        for (name, text) in &self.tokens {
            values.insert(*name, minijinja::Value::from(text.as_str()));
        }
        values.insert("messages", minijinja::Value::from_serialize(messages));
        values.insert("add_generation_prompt", prompt.into());
        template.render(context! { ..minijinja::Value::from_serialize(values) }).map_err(|e| wrong(&self.path, &e))
    }
}

fn wrong(path: &std::path::Path, error: &Error) -> TeacherError {
    let reason = error.detail().map_or_else(|| error.to_string(), str::to_string);
    TeacherError::Chat { path: path.into(), reason }
}

/// JSON as Python writes it: a space behind `,` and `:`, characters as they are.
fn python_json(value: minijinja::Value) -> Result<minijinja::Value, Error> {
    struct Spaced;
    impl serde_json::ser::Formatter for Spaced {
        fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }
        fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
            if first { Ok(()) } else { out.write_all(b", ") }
        }
        fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
            out.write_all(b": ")
        }
    }
    let mut bytes = vec![];
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    value.serialize(&mut serializer).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    Ok(minijinja::Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}
