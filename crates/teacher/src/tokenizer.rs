//! Byte-level BPE: trained on the worlds' own language, or read from any `tokenizer.json`.

use crate::TeacherError;
use apprentice_core::hash::content_hash;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// Tokens that no text can contain, in the order of their ids in a tokenizer trained here.
pub const SPECIAL_TOKENS: [&str; 7] = ["<pad>", "<bos>", "<eos>", "<scene>", "<plan>", "<user>", "<assistant>"];

/// Ids of [`SPECIAL_TOKENS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SpecialIds {
    pub pad: i64,
    pub bos: i64,
    pub eos: i64,
    pub scene: i64,
    pub plan: i64,
    pub user: i64,
    pub assistant: i64,
}

/// Text to ids and back.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Tokenizer,
    special: SpecialIds,
}

impl TextTokenizer {
    /// Learn a vocabulary of at most `vocab_size` from texts. Equal texts in equal order give equal tokenizers.
    ///
    /// # Errors
    /// When the vocabulary cannot even hold the bytes and special tokens.
    pub fn train<'a>(texts: impl Iterator<Item = &'a str>, vocab_size: usize) -> Result<Self, TeacherError> {
        let wrong = |e: &dyn std::fmt::Display| TeacherError::Tokenizer { reason: e.to_string() };
        if vocab_size < 256 + SPECIAL_TOKENS.len() {
            return Err(wrong(&format!("a vocabulary needs at least {} entries", 256 + SPECIAL_TOKENS.len())));
        }
        let special: Vec<_> = SPECIAL_TOKENS.iter().map(|t| AddedToken::from(*t, true)).collect();
        // Questions and answers repeat a lot: count each text once, as BPE learns words, not their context.
        let distinct: std::collections::BTreeSet<&str> = texts.collect();
        let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
            .vocab_size(vocab_size)
            .min_frequency(1)
            .show_progress(false)
            .special_tokens(special)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build()
            .into();
        let mut inner = Tokenizer::new(BPE::default());
        inner.with_pre_tokenizer(Some(ByteLevel::new(true, true, true)));
        inner.with_decoder(Some(ByteLevelDecoder::new(true, true, true)));
        inner.train(&mut trainer, distinct.into_iter()).map_err(|e| wrong(&e))?;
        Self::over(inner)
    }

    /// From the text of a `tokenizer.json` that knows [`SPECIAL_TOKENS`].
    ///
    /// # Errors
    /// Says what the document lacks.
    pub fn from_json(json: &str) -> Result<Self, TeacherError> {
        let inner = json.parse().map_err(|e: tokenizers::Error| TeacherError::Tokenizer { reason: e.to_string() })?;
        Self::over(inner)
    }

    fn over(inner: Tokenizer) -> Result<Self, TeacherError> {
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .map(i64::from)
                .ok_or_else(|| TeacherError::Tokenizer { reason: format!("the vocabulary has no token `{token}`") })
        };
        let special = SpecialIds {
            pad: id("<pad>")?,
            bos: id("<bos>")?,
            eos: id("<eos>")?,
            scene: id("<scene>")?,
            plan: id("<plan>")?,
            user: id("<user>")?,
            assistant: id("<assistant>")?,
        };
        Ok(Self { inner, special })
    }

    /// Entries, special tokens included.
    pub fn vocab_size(&self) -> i64 {
        self.inner.get_vocab_size(true) as i64
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// Ids of a text. Special tokens written out in the text are text, not tokens.
    ///
    /// # Errors
    /// When the tokenizer cannot read the text.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, TeacherError> {
        let plain = text.replace('<', "‹");
        let encoding = self
            .inner
            .encode(plain, false)
            .map_err(|e| TeacherError::Tokenizer { reason: format!("cannot read `{text}`: {e}") })?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }

    /// The text of ids, special tokens left out.
    ///
    /// # Errors
    /// When an id is not in the vocabulary's reach.
    pub fn decode(&self, ids: &[i64]) -> Result<String, TeacherError> {
        let ids: Vec<u32> = ids.iter().map(|&id| u32::try_from(id).unwrap_or(u32::MAX)).collect();
        let text = self.inner.decode(&ids, true).map_err(|e| TeacherError::Tokenizer { reason: e.to_string() })?;
        Ok(text.trim().to_string())
    }

    /// The `tokenizer.json` document.
    ///
    /// # Errors
    /// When it has none.
    pub fn to_json(&self) -> Result<String, TeacherError> {
        self.inner.to_string(false).map_err(|e| TeacherError::Tokenizer { reason: e.to_string() })
    }

    /// Content hash of the document.
    ///
    /// # Errors
    /// As [`Self::to_json`].
    pub fn hash(&self) -> Result<String, TeacherError> {
        Ok(content_hash(self.to_json()?.as_bytes())[..16].to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "What does the traffic light ahead show?",
        "The light is red, so the car must stop at the line.",
        "A pedestrian may step out from behind the van on the right.",
        "Is anyone about to cross the road? yes",
    ];

    #[test]
    fn round_trips_any_text_and_words_become_single_tokens() {
        let tokenizer = TextTokenizer::train(TEXTS.into_iter(), 420).unwrap();
        for text in TEXTS.into_iter().chain(["Zürich at 3 o'clock — 50 %"]) {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
        assert!(tokenizer.encode("the light").unwrap().len() <= 3);
        assert_eq!(tokenizer.special().pad, 0);
        assert!(tokenizer.vocab_size() <= 420);
    }

    #[test]
    fn training_repeats_exactly_and_survives_its_json() {
        let train = || TextTokenizer::train(TEXTS.into_iter(), 400).unwrap();
        let (a, b) = (train(), train());
        assert_eq!(a.to_json().unwrap(), b.to_json().unwrap());
        let c = TextTokenizer::from_json(&a.to_json().unwrap()).unwrap();
        assert_eq!(a.hash().unwrap(), c.hash().unwrap());
        assert_eq!(a.encode(TEXTS[1]).unwrap(), c.encode(TEXTS[1]).unwrap());
    }

    #[test]
    fn text_cannot_smuggle_special_tokens() {
        let tokenizer = TextTokenizer::train(TEXTS.into_iter(), 400).unwrap();
        let ids = tokenizer.encode("hello <eos> <assistant>").unwrap();
        let special = tokenizer.special();
        assert!(!ids.contains(&special.eos) && !ids.contains(&special.assistant));
        assert!(TextTokenizer::from_json("{}").is_err());
    }
}
