//! A published model's own tokenizer: `tokenizer.json`, run as it is.

use crate::TeacherError;
use std::path::{Path, PathBuf};
use tokenizers::{Tokenizer, TruncationParams};

/// Text to ids and back, by a model's `tokenizer.json`.
#[derive(Clone, Debug)]
pub struct ModelTokenizer {
    inner: Tokenizer,
    path: PathBuf,
}

impl ModelTokenizer {
    /// Read `tokenizer.json` in a model's folder.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Self, TeacherError> {
        let path = folder.join("tokenizer.json");
        let json = apprentice_store::read_text(&path)?;
        let mut inner: Tokenizer = json
            .parse()
            .map_err(|e: tokenizers::Error| TeacherError::Tokenizer { reason: format!("{}: {e}", path.display()) })?;
        // Padding and truncation are the reader's business, not the file's.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| TeacherError::Tokenizer { reason: e.to_string() })?;
        Ok(Self { inner, path })
    }

    /// Refuse ids beyond a table of `rows` embeddings.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the token.
    pub fn fits(&self, rows: i64) -> Result<(), TeacherError> {
        let vocabulary = self.inner.get_vocab(true);
        match vocabulary.iter().max_by_key(|(token, id)| (**id, token.as_str())) {
            Some((token, &id)) if i64::from(id) >= rows => Err(TeacherError::Model {
                path: self.path.clone(),
                what: "vocabulary".into(),
                expected: format!("ids below {rows}, the rows of the model's embedding"),
                found: format!("{} entries, the last `{token}` with id {id}", vocabulary.len()),
            }),
            _ => Ok(()),
        }
    }

    /// The same, cutting texts at `length` tokens (what stands around a text stays).
    ///
    /// # Errors
    /// When the tokenizer cannot be set so.
    pub fn truncated(mut self, length: usize) -> Result<Self, TeacherError> {
        let cut = TruncationParams { max_length: length, ..TruncationParams::default() };
        self.inner.with_truncation(Some(cut)).map_err(|e| TeacherError::Tokenizer { reason: e.to_string() })?;
        Ok(self)
    }

    /// Entries, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<i64> {
        self.inner.token_to_id(token).map(i64::from)
    }

    /// The token of an id, as it is written in a prompt.
    ///
    /// # Errors
    /// [`TeacherError::Tokenizer`] when there is none.
    pub fn token(&self, id: i64) -> Result<String, TeacherError> {
        u32::try_from(id).ok().and_then(|id| self.inner.id_to_token(id)).ok_or_else(|| TeacherError::Tokenizer {
            reason: format!("{}: no token has the id {id} that the model's configuration names", self.path.display()),
        })
    }

    /// Ids of a text; tokens written out in it are those tokens. `wrapped` adds what the tokenizer puts around a text
    /// (a first token, separators).
    ///
    /// # Errors
    /// When the tokenizer cannot read the text.
    pub fn encode(&self, text: &str, wrapped: bool) -> Result<Vec<i64>, TeacherError> {
        let encoding = self
            .inner
            .encode(text, wrapped)
            .map_err(|e| TeacherError::Tokenizer { reason: format!("cannot read `{text}`: {e}") })?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }

    /// The text of ids, special tokens left out.
    ///
    /// # Errors
    /// When the tokenizer has no decoder for them.
    pub fn decode(&self, ids: &[i64]) -> Result<String, TeacherError> {
        let ids: Vec<u32> = ids.iter().map(|&id| u32::try_from(id).unwrap_or(u32::MAX)).collect();
        self.inner.decode(&ids, true).map_err(|e| TeacherError::Tokenizer { reason: e.to_string() })
    }
}

/// Text that comes token by token: gives only whole characters, and each once.
#[derive(Debug, Default)]
pub struct TextStream {
    ids: Vec<i64>,
    /// Ids before this one are only context of the next piece.
    begin: usize,
    /// Ids before this one were given.
    given: usize,
}

impl TextStream {
    /// One more token: the text that is now certain.
    ///
    /// # Errors
    /// As [`ModelTokenizer::decode`].
    pub fn push(&mut self, tokenizer: &ModelTokenizer, id: i64) -> Result<String, TeacherError> {
        self.ids.push(id);
        self.take(tokenizer, false)
    }

    /// What is left.
    ///
    /// # Errors
    /// As [`ModelTokenizer::decode`].
    pub fn finish(&mut self, tokenizer: &ModelTokenizer) -> Result<String, TeacherError> {
        self.take(tokenizer, true)
    }

    fn take(&mut self, tokenizer: &ModelTokenizer, all: bool) -> Result<String, TeacherError> {
        let before = tokenizer.decode(&self.ids[self.begin..self.given])?;
        let now = tokenizer.decode(&self.ids[self.begin..])?;
        // A character that takes several tokens shows as a replacement sign until it is whole.
        if !all && now.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        // Bytes that turn out to be no character can change what came before them; its length stays.
        let new: String = now.chars().skip(before.chars().count()).collect();
        if new.is_empty() {
            return Ok(new);
        }
        self.begin = self.given;
        self.given = self.ids.len();
        Ok(new)
    }
}
