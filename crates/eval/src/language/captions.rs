//! Captions with their references: reading pairs, and all scores of a corpus.

use super::{Corpus, MeteorFiles, meteor, rouge_l, tokenize};
use crate::EvalError;
use crate::sheet::{Coverage, Metric, Row, Rules, Sheet};
use serde::{Deserialize, Serialize};

/// A caption and what it might have said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// What is judged.
    pub candidate: String,
    /// What people wrote; at least one.
    pub references: Vec<String>,
}

/// The scores of a corpus of captions, as fractions (CIDEr-D: up to 10).
#[derive(Clone, Debug, PartialEq)]
pub struct CaptionScores {
    /// BLEU-1 to BLEU-4.
    pub bleu: [f64; 4],
    /// METEOR; `None` when it was left out.
    pub meteor: Option<f64>,
    /// ROUGE-L.
    pub rouge_l: f64,
    /// CIDEr-D. Its rarities are those of this corpus: with one caption it is about zero.
    pub cider: f64,
    /// How long it took to read METEOR's word lists, seconds (varies between runs).
    pub reading_s: f64,
    /// Of each caption by itself.
    pub each: Vec<CaptionScore>,
}

/// The scores of one caption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaptionScore {
    /// BLEU-4.
    pub bleu_4: f64,
    /// METEOR; `None` when it was left out.
    pub meteor: Option<f64>,
    /// ROUGE-L.
    pub rouge_l: f64,
    /// CIDEr-D.
    pub cider: f64,
}

/// How captions are taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splitting {
    /// Penn Treebank tokens without punctuation.
    PennTreebank,
    /// At blanks; lone commas and full stops are dropped.
    Blanks,
}

/// Read JSON lines of [`Pair`]s; blank lines are skipped.
///
/// # Errors
/// Names the line that is not a pair, or has no reference.
pub fn read_pairs(file: &str, text: &str) -> Result<Vec<Pair>, EvalError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pairs = lines
        .map(|(i, line)| {
            let at = format!("line {}", i + 1);
            let pair: Pair = crate::json::read_line(file, i + 1, line)?;
            if pair.references.is_empty() {
                return Err(EvalError::field(file, format!("{at}: references"), "expected at least one, found none"));
            }
            Ok(pair)
        })
        .collect::<Result<Vec<_>, _>>()?;
    if pairs.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(pairs) }
}

/// Score captions; METEOR where its files are given.
///
/// # Errors
/// When there are none, one has no reference, or METEOR's files cannot be read.
pub fn score(pairs: &[Pair], splitting: Splitting, files: Option<&MeteorFiles>) -> Result<CaptionScores, EvalError> {
    if pairs.is_empty() || pairs.iter().any(|pair| pair.references.is_empty()) {
        return Err(EvalError::Empty { what: "captions with references".into() });
    }
    let split = |lines: &[&str]| match splitting {
        Splitting::PennTreebank => tokenize(lines),
        Splitting::Blanks => lines.iter().map(|line| at_blanks(line)).collect(),
    };
    let candidates = split(&pairs.iter().map(|pair| pair.candidate.as_str()).collect::<Vec<_>>());
    let lines: Vec<&str> = pairs.iter().flat_map(|pair| pair.references.iter().map(String::as_str)).collect();
    let mut tokens = split(&lines).into_iter();
    let references: Vec<Vec<String>> =
        pairs.iter().map(|pair| tokens.by_ref().take(pair.references.len()).collect()).collect();
    let corpus = Corpus::new(&candidates, &references);
    let meteors = files.map(|files| meteor(files, &candidates, &references)).transpose()?;
    let (bleus, ciders) = (corpus.sentence_bleu(), corpus.cider());
    let each: Vec<CaptionScore> = (0..pairs.len())
        .map(|i| CaptionScore {
            bleu_4: bleus[i][3],
            meteor: meteors.as_ref().map(|m| m.each[i]),
            rouge_l: rouge_l(&candidates[i], &references[i]),
            cider: ciders[i],
        })
        .collect();
    let mean = |of: fn(&CaptionScore) -> f64| each.iter().map(of).sum::<f64>() / each.len() as f64;
    Ok(CaptionScores {
        bleu: corpus.bleu(),
        meteor: meteors.as_ref().map(|m| m.corpus),
        rouge_l: mean(|s| s.rouge_l),
        cider: mean(|s| s.cider),
        reading_s: meteors.map_or(0.0, |m| m.reading_s),
        each,
    })
}

fn at_blanks(line: &str) -> String {
    line.split_whitespace().filter(|word| *word != "," && *word != ".").collect::<Vec<_>>().join(" ")
}

impl CaptionScores {
    /// The figures in the order of the field's tables, their names behind a prefix.
    pub fn metrics(&self, prefix: &str) -> Vec<Metric> {
        let mut metrics: Vec<Metric> =
            self.bleu.iter().enumerate().map(|(n, b)| Metric::new(format!("{prefix}BLEU-{}", n + 1), *b)).collect();
        metrics.extend(self.meteor.map(|m| Metric::new(format!("{prefix}METEOR"), m)));
        metrics.push(Metric::new(format!("{prefix}ROUGE-L"), self.rouge_l));
        metrics.push(Metric::new(format!("{prefix}CIDEr-D"), self.cider));
        metrics
    }
}

impl CaptionScore {
    /// Names of the values, behind a prefix.
    pub fn columns(prefix: &str, with_meteor: bool) -> Vec<String> {
        let names = ["BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D"];
        names.iter().filter(|name| with_meteor || **name != "METEOR").map(|name| format!("{prefix}{name}")).collect()
    }

    /// The values in the order of the columns.
    pub fn values(&self) -> Vec<f64> {
        let all = [Some(self.bleu_4), self.meteor, Some(self.rouge_l), Some(self.cider)];
        all.into_iter().flatten().map(crate::interval::written).collect()
    }
}

/// The sheet of a file of pairs.
///
/// # Errors
/// As [`read_pairs`] and [`score`].
pub fn sheet(file: &str, text: &str, files: Option<&MeteorFiles>) -> Result<Sheet, EvalError> {
    let pairs = read_pairs(file, text)?;
    let scores = score(&pairs, Splitting::PennTreebank, files)?;
    // Two files of captions are of the same data when their references are.
    let references: String = pairs.iter().map(|pair| pair.references.join("\n") + "\n\n").collect();
    let mut sheet = Sheet::new(&Rules::named("captions-coco")?, file, "references", references.as_bytes());
    sheet.coverage = Coverage::whole(pairs.len());
    sheet.metrics = scores.metrics("");
    sheet.columns = CaptionScore::columns("", files.is_some());
    sheet.rows = scores
        .each
        .iter()
        .enumerate()
        .map(|(i, s)| Row { id: i.to_string(), cluster: i.to_string(), values: s.values() })
        .collect();
    Ok(sheet)
}
