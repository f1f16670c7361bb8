//! BLEU, ROUGE-L and CIDEr-D, as pycocoevalcap 1.2 computes them, quirks and constants included.

use super::numbers::{FastMap, Numbers};

/// Longest n-gram.
const N: usize = 4;

/// The n-grams of one caption: by length, sorted (number, count).
#[derive(Clone, Debug, Default)]
struct Grams {
    words: usize,
    by_length: [Vec<(u32, u32)>; N],
}

/// Gives each n-gram a number: that of its first n − 1 words and the last one. Words have numbers of their own.
#[derive(Default)]
struct GramNumbers {
    words: Numbers,
    longer: FastMap<(u32, u32), u32>,
}

impl GramNumbers {
    fn grams(&mut self, caption: &str) -> Grams {
        let words: Vec<u32> = caption.split_whitespace().map(|w| self.words.of(w)).collect();
        let mut grams = Grams { words: words.len(), ..Grams::default() };
        let mut numbers = words.clone();
        let mut sorted = Vec::with_capacity(words.len());
        for n in 0..N.min(words.len()) {
            if n > 0 {
                numbers.pop();
                for (i, number) in numbers.iter_mut().enumerate() {
                    let next = self.longer.len() as u32;
                    *number = *self.longer.entry((*number | (n as u32) << 29, words[i + n])).or_insert(next);
                }
            }
            sorted.clone_from(&numbers);
            sorted.sort_unstable();
            let counted = &mut grams.by_length[n];
            counted.reserve_exact(sorted.len());
            for &number in &sorted {
                match counted.last_mut() {
                    Some((last, count)) if *last == number => *count += 1,
                    _ => counted.push((number, 1)),
                }
            }
        }
        grams
    }
}

/// The captions of a corpus as n-grams.
pub struct Corpus {
    candidates: Vec<Grams>,
    references: Vec<Vec<Grams>>,
    /// How many words and how many longer n-grams have a number.
    known: [usize; 2],
}

/// What two sorted lists say of the numbers that both hold.
fn shared<A: Copy, B: Copy>(a: &[(u32, A)], b: &[(u32, B)], mut take: impl FnMut(A, B)) {
    let (mut i, mut j) = (0, 0);
    while let (Some(&(x, of_a)), Some(&(y, of_b))) = (a.get(i), b.get(j)) {
        if x == y {
            take(of_a, of_b);
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
}

/// The count of a number in a sorted list.
fn count_of(grams: &[(u32, u32)], number: u32) -> u32 {
    grams.binary_search_by_key(&number, |(n, _)| *n).map_or(0, |i| grams[i].1)
}

impl Corpus {
    /// From tokenised captions.
    pub fn new(candidates: &[String], references: &[Vec<String>]) -> Self {
        let mut numbers = GramNumbers::default();
        let references = references.iter().map(|lines| lines.iter().map(|l| numbers.grams(l)).collect()).collect();
        let candidates = candidates.iter().map(|line| numbers.grams(line)).collect();
        Self { candidates, references, known: [numbers.words.len(), numbers.longer.len()] }
    }

    /// BLEU-1 to BLEU-4 of the corpus (Papineni et al. 2002), with the length of the closest reference.
    pub fn bleu(&self) -> [f64; N] {
        bleu_of(self.candidates.iter().zip(&self.references))
    }

    /// BLEU-1 to BLEU-4 of each caption by itself.
    pub fn sentence_bleu(&self) -> Vec<[f64; N]> {
        self.candidates.iter().zip(&self.references).map(|pair| bleu_of(std::iter::once(pair))).collect()
    }

    /// CIDEr-D of each caption (Vedantam et al. 2015): tf-idf over the references of this very corpus, clipped, with a
    /// Gaussian penalty on the length (σ = 6, counted in bigrams), times ten.
    pub fn cider(&self) -> Vec<f64> {
        const SIGMA: f64 = 6.0;
        // In how many captions' references each n-gram is; then how rare that is.
        let mut rarities = self.known.map(|known| vec![0.0_f64; known]);
        for references in &self.references {
            for n in 0..N {
                let documents = &mut rarities[n.min(1)];
                if let [only] = &references[..] {
                    only.by_length[n].iter().for_each(|(number, _)| documents[*number as usize] += 1.0);
                    continue;
                }
                let mut seen: Vec<u32> =
                    references.iter().flat_map(|r| &r.by_length[n]).map(|(number, _)| *number).collect();
                seen.sort_unstable();
                seen.dedup();
                seen.into_iter().for_each(|number| documents[number as usize] += 1.0);
            }
        }
        let log_corpus = (self.references.len() as f64).ln();
        rarities.iter_mut().flatten().for_each(|documents| *documents = log_corpus - documents.max(1.0).ln());
        type Weights = [Vec<(u32, f64)>; N];
        let weigh = |grams: &Grams| -> (Weights, [f64; N]) {
            let weights: Weights = std::array::from_fn(|n| {
                let rarities = &rarities[n.min(1)];
                let weight = |(number, count): &(u32, u32)| (*number, f64::from(*count) * rarities[*number as usize]);
                grams.by_length[n].iter().map(weight).collect()
            });
            let norms = std::array::from_fn(|n| weights[n].iter().map(|(_, w)| w * w).sum::<f64>().sqrt());
            (weights, norms)
        };
        let bigrams = |grams: &Grams| grams.words.saturating_sub(1) as f64;
        let pairs = self.candidates.iter().zip(&self.references);
        pairs
            .map(|(candidate, references)| {
                let (weights, norms) = weigh(candidate);
                let mut sum = 0.0;
                for reference in references {
                    let (others, other_norms) = weigh(reference);
                    let off = bigrams(candidate) - bigrams(reference);
                    let penalty = (-off * off / (2.0 * SIGMA * SIGMA)).exp();
                    for n in 0..N {
                        let mut similarity = 0.0;
                        shared(&weights[n], &others[n], |a, b| similarity += a.min(b) * b);
                        if norms[n] != 0.0 && other_norms[n] != 0.0 {
                            similarity /= norms[n] * other_norms[n];
                        }
                        sum += similarity * penalty;
                    }
                }
                10.0 * sum / (N * references.len().max(1)) as f64
            })
            .collect()
    }
}

fn bleu_of<'a>(pairs: impl Iterator<Item = (&'a Grams, &'a Vec<Grams>)>) -> [f64; N] {
    const SMALL: f64 = 1e-9;
    const TINY: f64 = 1e-15;
    let (mut correct, mut guessed) = ([0.0; N], [0.0; N]);
    let (mut length, mut reference_length) = (0, 0);
    for (candidate, references) in pairs {
        length += candidate.words;
        let closest = references.iter().map(|r| (r.words.abs_diff(candidate.words), r.words)).min();
        reference_length += closest.map_or(0, |(_, words)| words);
        for n in 0..N {
            guessed[n] += (candidate.words as f64 - n as f64).max(0.0);
            if let [reference] = &references[..] {
                shared(&candidate.by_length[n], &reference.by_length[n], |a, b| correct[n] += f64::from(a.min(b)));
                continue;
            }
            for (number, count) in &candidate.by_length[n] {
                let most = references.iter().map(|r| count_of(&r.by_length[n], *number)).max().unwrap_or(0);
                correct[n] += f64::from(most.min(*count));
            }
        }
    }
    let ratio = (length as f64 + TINY) / (reference_length as f64 + SMALL);
    let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
    let mut product = 1.0;
    std::array::from_fn(|n| {
        product *= (correct[n] + TINY) / (guessed[n] + SMALL);
        product.powf(1.0 / (n + 1) as f64) * brevity
    })
}

/// ROUGE-L of one caption (Lin 2004): the F-measure with β = 1.2 of the best precision and the best recall of the longest
/// common subsequence over the references.
pub fn rouge_l(candidate: &str, references: &[String]) -> f64 {
    const BETA: f64 = 1.2;
    let words: Vec<&str> = candidate.split(' ').collect();
    let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
    for reference in references {
        let other: Vec<&str> = reference.split(' ').collect();
        let common = longest_common(&words, &other) as f64;
        precision = precision.max(common / words.len() as f64);
        recall = recall.max(common / other.len() as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

fn longest_common(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
