//! METEOR's word lists, read on demand from where they were set up: `meteor-1.5.jar` (WordNet synonyms, function words,
//! abbreviations) and `data/paraphrase-en.gz`. Their terms do not let us carry them, so nothing of them is in here.

use super::normal::Prefix;
use crate::EvalError;
use crate::language::numbers::{FastMap, Numbers};
use flate2::read::{DeflateDecoder, GzDecoder};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A phrase, as words of the texts being judged.
type Phrase = Vec<u32>;
/// A phrase that has paraphrases.
pub(super) type PhraseNumber = u32;
/// No phrase ends here.
const NO_PHRASE: PhraseNumber = u32::MAX;

/// Phrases and their paraphrases, as far as their words occur in the texts.
pub(super) struct Phrases {
    /// A tree of words: from a node and a word to the next node. Node 0 is the root.
    nodes: FastMap<(u32, u32), u32>,
    /// The phrase that ends at each node.
    ends: Vec<PhraseNumber>,
    /// The children of the root by word, 0 where there is none.
    firsts: Vec<u32>,
    /// Paraphrases of phrase p: `spans[first[p]..first[p + 1]]`, in the file's order.
    first: Vec<u32>,
    /// Where the words of each paraphrase lie in `words`.
    spans: Vec<(u32, u32)>,
    words: Vec<u32>,
}

impl Phrases {
    fn new(found: &BTreeMap<Phrase, Vec<Phrase>>, vocabulary: usize) -> Self {
        let (nodes, ends, firsts) = (FastMap::default(), vec![NO_PHRASE], vec![0; vocabulary]);
        let mut all = Self { nodes, ends, firsts, first: vec![0], spans: Vec::new(), words: Vec::new() };
        for (number, (phrase, others)) in (0_u32..).zip(found) {
            let mut node = 0;
            for (depth, &word) in phrase.iter().enumerate() {
                let next = all.ends.len() as u32;
                let place = match depth {
                    0 if all.firsts[word as usize] == 0 => {
                        all.firsts[word as usize] = next;
                        next
                    }
                    0 => all.firsts[word as usize],
                    _ => *all.nodes.entry((node, word)).or_insert(next),
                };
                if place == next {
                    all.ends.push(NO_PHRASE);
                }
                node = place;
            }
            all.ends[node as usize] = number;
            for other in others {
                all.spans.push((all.words.len() as u32, other.len() as u32));
                all.words.extend(other);
            }
            all.first.push(all.spans.len() as u32);
        }
        all
    }

    /// The known phrases that a sentence's rest begins with, the shortest first: length and number.
    pub fn beginning(&self, rest: &[u32], mut take: impl FnMut(usize, PhraseNumber)) {
        let mut node = 0;
        for (depth, &word) in rest.iter().enumerate() {
            let next =
                if depth == 0 { Some(self.firsts[word as usize]) } else { self.nodes.get(&(node, word)).copied() };
            let Some(next) = next.filter(|n| *n != 0) else { return };
            node = next;
            let number = self.ends[node as usize];
            if number != NO_PHRASE {
                take(depth + 1, number);
            }
        }
    }

    /// The paraphrases of a phrase.
    pub fn paraphrases(&self, phrase: PhraseNumber) -> impl Iterator<Item = &[u32]> {
        let at = phrase as usize;
        let spans = &self.spans[self.first[at] as usize..self.first[at + 1] as usize];
        spans.iter().map(|&(start, length)| &self.words[start as usize..(start + length) as usize])
    }
}

/// Where the files are.
#[derive(Clone, Debug)]
pub struct MeteorFiles {
    jar: PathBuf,
    paraphrases: PathBuf,
    /// The small lists, once they are read.
    lists: Arc<OnceLock<Lists>>,
}

/// The small lists.
#[derive(Debug)]
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
        Ok(Self { jar, paraphrases, lists: Arc::default() })
    }

    /// The small lists, read when they are first asked for.
    pub(super) fn lists(&self) -> Result<&Lists, EvalError> {
        match self.lists.get() {
            Some(lists) => Ok(lists),
            None => {
                let lists = self.read_lists()?;
                Ok(self.lists.get_or_init(|| lists))
            }
        }
    }

    fn read_lists(&self) -> Result<Lists, EvalError> {
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

    /// Of five million paraphrases, those whose words all occur in the texts.
    pub(super) fn paraphrases(&self, vocabulary: &Numbers) -> Result<Phrases, EvalError> {
        let io = |source| EvalError::Io { path: self.paraphrases.clone(), source };
        let file = std::fs::File::open(&self.paraphrases).map_err(io)?;
        let mut lines = BufReader::with_capacity(1 << 18, GzDecoder::new(file));
        let mut found: BTreeMap<Phrase, Vec<Phrase>> = BTreeMap::new();
        let mut line = Vec::new();
        let mut phrases: [Phrase; 2] = Default::default();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(io)? == 0 {
                return Ok(Phrases::new(&found, vocabulary.len()));
            }
            let mut known = true;
            for phrase in &mut phrases {
                line.clear();
                lines.read_until(b'\n', &mut line).map_err(io)?;
                if known {
                    phrase.clear();
                    known = read_phrase(&line, vocabulary, phrase);
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
fn read_phrase(line: &[u8], vocabulary: &Numbers, phrase: &mut Phrase) -> bool {
    line.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty()).all(|word| {
        let known = std::str::from_utf8(word).ok().and_then(|w| vocabulary.find(w));
        known.map(|n| phrase.push(n)).is_some()
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
