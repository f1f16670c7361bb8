//! METEOR 1.5 for English with `-norm` and the parameters of its ranking task, as pycocoevalcap runs it.
//!
//! Words match exactly, by stem, by WordNet synonym or by paraphrase. With precision P and recall R of weighted matches
//! (function words weigh 1 − δ, others δ), `F = 1 / ((1 − α)/P + α/R)`, and with `c` chunks of `m` matched words the
//! score is `F · (1 − γ (c/m)^β)`. The figure of a corpus comes from the sums over its captions, each against its best
//! reference. Denkowski and Lavie, "Meteor Universal", 2014.

mod align;
mod data;
mod normal;
mod stem;

pub use data::MeteorFiles;

use crate::EvalError;
use crate::language::numbers::Numbers;
use align::{Aligner, KINDS, Sentence, Words};
use data::{Lists, Phrases};
use std::borrow::Cow;
use std::time::Instant;

const ALPHA: f64 = 0.85;
const BETA: f64 = 0.2;
const GAMMA: f64 = 0.6;
const DELTA: f64 = 0.75;
/// Of exact, stem, synonym and paraphrase matches in the score.
const WEIGHT: [f64; KINDS] = [1.0, 0.6, 0.8, 0.6];

/// What is added up over captions. Pairs are of the candidate and the reference.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    words: [f64; 2],
    function_words: [f64; 2],
    content_matches: [[f64; KINDS]; 2],
    function_matches: [[f64; KINDS]; 2],
    chunks: f64,
}

impl Counts {
    fn matched(&self, side: usize) -> f64 {
        self.content_matches[side].iter().chain(&self.function_matches[side]).sum()
    }

    /// Everything matches in one piece: no chunk is counted.
    fn is_perfect(&self) -> bool {
        self.matched(0) == self.words[0] && self.matched(1) == self.words[1] && self.chunks == 1.0
    }

    fn add(&mut self, other: &Self) {
        for side in 0..2 {
            self.words[side] += other.words[side];
            self.function_words[side] += other.function_words[side];
            for kind in 0..KINDS {
                self.content_matches[side][kind] += other.content_matches[side][kind];
                self.function_matches[side][kind] += other.function_matches[side][kind];
            }
        }
        self.chunks += if other.is_perfect() { 0.0 } else { other.chunks };
    }

    fn score(&self) -> f64 {
        let share = |side: usize| {
            let length =
                DELTA * (self.words[side] - self.function_words[side]) + (1.0 - DELTA) * self.function_words[side];
            let weighted = |matches: &[f64; KINDS]| matches.iter().zip(WEIGHT).map(|(n, w)| n * w).sum::<f64>();
            let matched =
                DELTA * weighted(&self.content_matches[side]) + (1.0 - DELTA) * weighted(&self.function_matches[side]);
            matched / length
        };
        let (precision, recall) = (share(0), share(1));
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let matched = (self.matched(0) + self.matched(1)) / 2.0;
        let fragmentation = if self.is_perfect() { 0.0 } else { self.chunks / matched };
        let score = mean * (1.0 - GAMMA * fragmentation.powf(BETA));
        if score.is_nan() { 0.0 } else { score.max(0.0) }
    }
}

/// What METEOR says of a corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct MeteorScores {
    /// Of the corpus: from the sums over its captions.
    pub corpus: f64,
    /// Of each caption.
    pub each: Vec<f64>,
    /// How long it took to read the word lists, seconds (varies between runs).
    pub reading_s: f64,
}

/// The score of a corpus and of each caption. Texts are tokenised already.
///
/// # Errors
/// When METEOR's files cannot be read.
pub fn meteor(
    files: &MeteorFiles,
    candidates: &[String],
    references: &[Vec<String>],
) -> Result<MeteorScores, EvalError> {
    let begin = Instant::now();
    let lists = files.lists()?;
    let mut reading = begin.elapsed();
    let mut numbers = Numbers::default();
    let mut read = |line: &str| -> Vec<u32> {
        let mut words = Vec::new();
        normal::words(line, &lists.prefixes, |word| words.push(numbers.of(word)));
        words
    };
    let candidates: Vec<Vec<u32>> = candidates.iter().map(|line| read(&without_bars(line))).collect();
    let references: Vec<Vec<Vec<u32>>> =
        references.iter().map(|lines| lines.iter().map(|line| read(line)).collect()).collect();
    let begin = Instant::now();
    let phrases = files.paraphrases(&numbers)?;
    reading += begin.elapsed();
    let words = known_words(lists, &numbers, phrases);
    let sentence = |read: Vec<u32>| Sentence::new(read, &words.phrases);
    let mut aligner = Aligner::default();
    let mut total = Counts::default();
    let mut scores = Vec::with_capacity(candidates.len());
    for (candidate, references) in candidates.into_iter().zip(references) {
        let candidate = sentence(candidate);
        let mut best: Option<(f64, Counts)> = None;
        for reference in references {
            let counts = count(&words, &mut aligner, &candidate, &sentence(reference));
            let score = counts.score();
            if best.is_none_or(|(so_far, _)| score > so_far) {
                best = Some((score, counts));
            }
        }
        let (score, counts) = best.unwrap_or_default();
        total.add(&counts);
        scores.push(score);
    }
    Ok(MeteorScores { corpus: total.score(), each: scores, reading_s: reading.as_secs_f64() })
}

/// pycocoevalcap takes these out of the candidates alone.
fn without_bars(line: &str) -> Cow<'_, str> {
    if line.contains("|||") || line.contains("  ") {
        Cow::Owned(line.replace("|||", "").replace("  ", " "))
    } else {
        Cow::Borrowed(line)
    }
}

fn known_words(lists: &Lists, numbers: &Numbers, phrases: Phrases) -> Words {
    let vocabulary = numbers.words();
    let mut stems = Numbers::default();
    let synsets: Vec<Vec<u32>> = vocabulary.iter().map(|word| lists.synsets(word)).collect();
    let bits = |sets: &Vec<u32>| sets.iter().fold(0, |bits, set| bits | 1 << (set % 64));
    Words {
        stem: vocabulary.iter().map(|word| stems.of(&stem::stem(word))).collect(),
        synset_bits: synsets.iter().map(bits).collect(),
        synsets,
        is_function: vocabulary.iter().map(|word| lists.function_words.contains(*word)).collect(),
        phrases,
    }
}

fn count(words: &Words, aligner: &mut Aligner, candidate: &Sentence, reference: &Sentence) -> Counts {
    let (matches, chunks) = aligner.align(words, candidate, reference);
    let (candidate, reference) = (&candidate.words, &reference.words);
    let function = |w: &u32| words.is_function[*w as usize];
    let mut counts = Counts { chunks: chunks as f64, ..Counts::default() };
    for (side, sentence) in [candidate, reference].into_iter().enumerate() {
        counts.words[side] = sentence.len() as f64;
        counts.function_words[side] = sentence.iter().filter(|w| function(w)).count() as f64;
    }
    for m in matches {
        let parts = [
            &candidate[m.candidate_start..m.candidate_start + m.candidate_length],
            &reference[m.start..m.start + m.length],
        ];
        for (side, part) in parts.into_iter().enumerate() {
            let functions = part.iter().filter(|w| function(w)).count();
            counts.function_matches[side][m.kind] += functions as f64;
            counts.content_matches[side][m.kind] += (part.len() - functions) as f64;
        }
    }
    counts
}
