//! METEOR's word lists, read on demand from where they were set up: `meteor-1.5.jar` (WordNet synonyms, function words,
//! abbreviations) and `data/paraphrase-en.gz`. Their terms do not let us carry them, so nothing of them is in here.

use super::normal::Prefix;
use crate::EvalError;
use flate2::read::{DeflateDecoder, GzDecoder};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A phrase, as words of the texts being judged.
pub(super) type Phrase = Vec<u32>;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct MeteorFiles {
    jar: PathBuf,
    paraphrases: PathBuf,
}

/// The small lists.
pub(super) struct Lists {
    pub prefixes: HashMap<String, Prefix>,
    pub function_words: HashSet<String>,
    /// Irregular forms and what they come from.
    bases: HashMap<String, Vec<String>>,
    /// Numbers of the sets of synonyms that a word is in.
    synsets: HashMap<String, Vec<u32>>,
}

impl MeteorFiles {
    /// The files in a folder laid out as pycocoevalcap's `meteor`.
    ///
    /// # Errors
    /// When one of the two is not there.
    pub fn find(folder: &Path) -> Result<Self, EvalError> {
        let (jar, paraphrases) = (folder.join("meteor-1.5.jar"), folder.join("data/paraphrase-en.gz"));
        for file in [&jar, &paraphrases] {
            if !file.is_file() {
                return Err(EvalError::NoMeteor { path: file.clone() });
            }
        }
        Ok(Self { jar, paraphrases })
    }

    pub(super) fn lists(&self) -> Result<Lists, EvalError> {
        let jar = std::fs::read(&self.jar).map_err(|source| EvalError::Io { path: self.jar.clone(), source })?;
        let entry = |name: &str| {
            let bytes = unzip(&jar, name).ok_or_else(|| self.bad(&format!("no sound entry `{name}`")))?;
            String::from_utf8(bytes).map_err(|_| self.bad(&format!("`{name}` is not UTF-8")))
        };
        let mut prefixes = HashMap::new();
        for line in entry("nonbreaking/english.prefixes")?.lines() {
            let mut words = line.split_whitespace();
            let Some(prefix) = words.next().filter(|w| !w.starts_with('#')) else { continue };
            let numeric = words.next() == Some("#NUMERIC_ONLY#");
            prefixes.insert(prefix.into(), if numeric { Prefix::BeforeNumber } else { Prefix::Any });
        }
        let function_words = entry("function/english.words")?.lines().map(String::from).collect();
        let mut bases: HashMap<String, Vec<String>> = HashMap::new();
        for (base, forms) in pairs(&entry("synonym/english.exceptions")?) {
            for form in forms.split_whitespace() {
                bases.entry(form.into()).or_default().push(base.into());
            }
        }
        let synsets = pairs(&entry("synonym/english.synsets")?)
            .map(|(word, sets)| (word.into(), sets.split_whitespace().filter_map(|n| n.parse().ok()).collect()))
            .collect();
        Ok(Lists { prefixes, function_words, bases, synsets })
    }

    /// Of five million paraphrases, those whose words all occur in the texts; by phrase, in the file's order.
    pub(super) fn paraphrases(&self, number: &HashMap<&str, u32>) -> Result<HashMap<Phrase, Vec<Phrase>>, EvalError> {
        let io = |source| EvalError::Io { path: self.paraphrases.clone(), source };
        let file = std::fs::File::open(&self.paraphrases).map_err(io)?;
        let mut lines = BufReader::with_capacity(1 << 18, GzDecoder::new(file));
        let mut found: HashMap<Phrase, Vec<Phrase>> = HashMap::new();
        let mut line = Vec::new();
        let mut phrases: [Phrase; 2] = Default::default();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(io)? == 0 {
                return Ok(found);
            }
            let mut known = true;
            for phrase in &mut phrases {
                line.clear();
                lines.read_until(b'\n', &mut line).map_err(io)?;
                if known {
                    phrase.clear();
                    known = read_phrase(&line, number, phrase);
                }
            }
            if known && phrases.iter().all(|p| !p.is_empty()) {
                found.entry(phrases[0].clone()).or_default().push(phrases[1].clone());
            }
        }
    }

    fn bad(&self, message: &str) -> EvalError {
        EvalError::field(&self.jar.display().to_string(), "archive", message)
    }
}

/// Whether all words of a line are known; they are pushed.
fn read_phrase(line: &[u8], number: &HashMap<&str, u32>, phrase: &mut Phrase) -> bool {
    line.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty()).all(|word| {
        let known = std::str::from_utf8(word).ok().and_then(|w| number.get(w));
        known.map(|n| phrase.push(*n)).is_some()
    })
}

/// Lines two by two.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut lines = text.lines();
    std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
}

impl Lists {
    /// Sets of synonyms of a word and of what it comes from, sorted.
    pub fn synsets(&self, word: &str) -> Vec<u32> {
        let of = |word: &str| self.synsets.get(word).map_or(&[][..], Vec::as_slice);
        let mut sets = of(word).to_vec();
        match self.bases.get(word) {
            Some(bases) => bases.iter().for_each(|base| sets.extend(of(base))),
            None => {
                if let Some(base) = self.base_form(word) {
                    sets.extend(of(&base));
                }
            }
        }
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// WordNet's rules of detachment: the first ending whose replacement gives a known word.
    fn base_form(&self, word: &str) -> Option<String> {
        const ENDINGS: [(&str, &str); 20] = [
            ("s", ""),
            ("ses", "s"),
            ("xes", "x"),
            ("zes", "z"),
            ("ches", "ch"),
            ("shes", "sh"),
            ("men", "man"),
            ("ies", "y"),
            ("s", ""),
            ("ies", "y"),
            ("es", "e"),
            ("es", ""),
            ("ed", "e"),
            ("ed", ""),
            ("ing", "e"),
            ("ing", ""),
            ("er", ""),
            ("est", ""),
            ("er", "e"),
            ("est", "e"),
        ];
        // Java counts UTF-16 units here.
        if word.ends_with("ss") || word.encode_utf16().count() <= 2 {
            return Some(word.into());
        }
        ENDINGS.iter().find_map(|(ending, by)| {
            let base = format!("{}{by}", word.strip_suffix(ending)?);
            self.synsets.contains_key(&base).then_some(base)
        })
    }
}

/// One entry of a zip archive.
fn unzip(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let u16_at = |at: usize| archive.get(at..at + 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let u32_at = |at: usize| Some(u16_at(at)? | u16_at(at + 2)? << 16);
    // The end record carries a comment of up to 64 kB after it.
    let last = archive.len().checked_sub(22)?;
    let end = (last.saturating_sub(0xffff)..=last).rev().find(|at| archive[*at..].starts_with(b"PK\x05\x06"))?;
    let (count, mut at) = (u16_at(end + 10)?, u32_at(end + 16)?);
    for _ in 0..count {
        let (method, packed) = (u16_at(at + 10)?, u32_at(at + 20)?);
        let (name_length, extra, comment) = (u16_at(at + 28)?, u16_at(at + 30)?, u16_at(at + 32)?);
        if archive.get(at + 46..at + 46 + name_length)? == name.as_bytes() {
            let local = u32_at(at + 42)?;
            let start = local + 30 + u16_at(local + 26)? + u16_at(local + 28)?;
            let data = archive.get(start..start.checked_add(packed)?)?;
            let mut out = Vec::new();
            return match method {
                0 => Some(data.to_vec()),
                8 => DeflateDecoder::new(data).read_to_end(&mut out).ok().map(|_| out),
                _ => None,
            };
        }
        at += 46 + name_length + extra + comment;
    }
    None
}
