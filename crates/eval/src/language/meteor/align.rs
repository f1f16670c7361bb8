//! METEOR's alignment of two sentences: all matches of four kinds, then a beam search for the set of matches that covers
//! most words in the fewest chunks. Equals METEOR 1.5 step by step, its rounding and its tie breaks included.

use super::data::Phrase;
use std::collections::HashMap;

/// Exact, stem, synonym, paraphrase.
pub(super) const KINDS: usize = 4;
/// Weights in the search; half points are cut off whenever they are added to the whole ones.
const SEARCH_WEIGHT: [f64; KINDS] = [1.0, 0.5, 0.5, 0.5];
const BEAM: usize = 40;

/// What is known of the words being judged; a word is its number.
pub(super) struct Words {
    pub stem: Vec<u32>,
    pub synsets: Vec<Vec<u32>>,
    pub is_function: Vec<bool>,
    pub paraphrases: HashMap<Phrase, Vec<Phrase>>,
    /// The most words of a phrase that begins with a word and has paraphrases.
    pub longest_phrase: Vec<usize>,
}

/// A stretch of the reference that matches a stretch of the candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub kind: usize,
    /// In the reference.
    pub start: usize,
    pub length: usize,
    /// In the candidate.
    pub candidate_start: usize,
    pub candidate_length: usize,
}

#[derive(Clone)]
struct Path {
    /// By start in the reference.
    matches: Vec<Option<u16>>,
    used_candidate: Vec<bool>,
    used_reference: Vec<bool>,
    weighted: i32,
    weighted_candidate: i32,
    chunks: i32,
    index: usize,
    last_end: Option<usize>,
    distance: i32,
}

impl Path {
    fn is_free(&self, m: &Match) -> bool {
        !self.used_reference[m.start..m.start + m.length].contains(&true)
            && !self.used_candidate[m.candidate_start..m.candidate_start + m.candidate_length].contains(&true)
    }

    fn take(&mut self, m: &Match) {
        self.used_reference[m.start..m.start + m.length].fill(true);
        self.used_candidate[m.candidate_start..m.candidate_start + m.candidate_length].fill(true);
    }

    /// Count a match that begins here. Whether it goes on where the last one ended decides about a new chunk.
    fn count(&mut self, m: &Match) {
        let weight = SEARCH_WEIGHT[m.kind];
        self.weighted_candidate = (f64::from(self.weighted_candidate) + m.candidate_length as f64 * weight) as i32;
        self.weighted = (f64::from(self.weighted) + m.length as f64 * weight) as i32;
        if self.last_end.is_some_and(|end| end != m.candidate_start) {
            self.chunks += 1;
        }
        self.index = m.start + m.length;
        self.last_end = Some(m.candidate_start + m.candidate_length);
    }

    fn rank(&self) -> (i32, i32, i32) {
        (-(self.weighted + self.weighted_candidate), self.chunks, self.distance)
    }
}

fn distance(m: &Match) -> i32 {
    (m.start as i32 - m.candidate_start as i32).abs()
}

/// The best matches, by start in the reference, and how many chunks they form.
pub(super) fn align(words: &Words, candidate: &[u32], reference: &[u32]) -> (Vec<Match>, usize) {
    let all = matches(words, candidate, reference);
    let mut at: Vec<Vec<u16>> = vec![Vec::new(); reference.len()];
    let (mut covers_candidate, mut covers_reference) = (vec![0; candidate.len()], vec![0; reference.len()]);
    for (i, m) in all.iter().enumerate().take(usize::from(u16::MAX)) {
        at[m.start].push(i as u16);
        covers_reference[m.start..m.start + m.length].iter_mut().for_each(|n| *n += 1);
        covers_candidate[m.candidate_start..m.candidate_start + m.candidate_length].iter_mut().for_each(|n| *n += 1);
    }
    let mut path = Path {
        matches: vec![None; reference.len()],
        used_candidate: vec![false; candidate.len()],
        used_reference: vec![false; reference.len()],
        weighted: 0,
        weighted_candidate: 0,
        chunks: 0,
        index: 0,
        last_end: None,
        distance: 0,
    };
    // Matches that compete with no other are certain.
    for (start, found) in at.iter().enumerate() {
        if let [only] = found[..] {
            let m = &all[usize::from(only)];
            let alone = covers_reference[start..start + m.length].iter().all(|n| *n == 1)
                && covers_candidate[m.candidate_start..m.candidate_start + m.candidate_length].iter().all(|n| *n == 1);
            if alone {
                path.matches[start] = Some(only);
                path.take(m);
            }
        }
    }
    let best = search(&all, &at, path);
    let chosen: Vec<Match> = best.matches.iter().flatten().map(|i| all[usize::from(*i)]).collect();
    let chunks = count_chunks(&chosen);
    (chosen, chunks)
}

fn count_chunks(chosen: &[Match]) -> usize {
    let goes_on = |pair: &[Match]| {
        pair[0].start + pair[0].length == pair[1].start
            && pair[0].candidate_start + pair[0].candidate_length == pair[1].candidate_start
    };
    usize::from(!chosen.is_empty()) + chosen.windows(2).filter(|pair| !goes_on(pair)).count()
}

fn search(all: &[Match], at: &[Vec<u16>], start: Path) -> Path {
    let mut paths = vec![start];
    for (current, found) in at.iter().enumerate() {
        paths.sort_by_key(Path::rank);
        paths.truncate(BEAM);
        let mut next = Vec::with_capacity(paths.len() * 2);
        let first = paths[0].clone();
        for mut path in paths {
            if path.used_reference[current] {
                if current < path.index {
                    next.push(path);
                } else if let Some(m) = path.matches.get(path.index).copied().flatten() {
                    let m = all[usize::from(m)];
                    path.count(&m);
                    path.distance += distance(&m);
                    next.push(path);
                }
                continue;
            }
            for &i in found {
                let m = &all[usize::from(i)];
                if !path.is_free(m) {
                    continue;
                }
                let mut with = path.clone();
                with.take(m);
                with.matches[current] = Some(i);
                with.count(m);
                next.push(with);
                // As in the original, the distance goes to the path that does without the match.
                path.distance += distance(m);
            }
            if path.last_end.take().is_some() {
                path.chunks += 1;
            }
            path.index += 1;
            next.push(path);
        }
        paths = if next.is_empty() { vec![first] } else { next };
    }
    paths.sort_by_key(Path::rank);
    paths.truncate(BEAM);
    for path in &mut paths {
        path.chunks += i32::from(path.last_end.is_some());
    }
    // Of equal paths the first.
    paths.into_iter().min_by_key(Path::rank).expect("a round keeps at least one path")
}

/// All matches: exact, stems, synonyms, paraphrases of the reference, paraphrases of the candidate.
fn matches(words: &Words, candidate: &[u32], reference: &[u32]) -> Vec<Match> {
    let mut all = Vec::new();
    let single = |kind, start, candidate_start| Match { kind, start, length: 1, candidate_start, candidate_length: 1 };
    let number = |w: u32| w as usize;
    let kinds: [&dyn Fn(u32, u32) -> bool; 3] =
        [&|a, b| a == b, &|a, b| a != b && words.stem[number(a)] == words.stem[number(b)], &|a, b| {
            a != b && share(&words.synsets[number(a)], &words.synsets[number(b)])
        }];
    let identical = candidate == reference;
    for (kind, same) in kinds.iter().enumerate().take(if identical { 1 } else { 3 }) {
        for (j, r) in reference.iter().enumerate() {
            for (i, c) in candidate.iter().enumerate() {
                if same(*c, *r) {
                    all.push(single(kind, j, i));
                }
            }
        }
    }
    if identical {
        return all;
    }
    for (start, length, others) in phrases(words, reference) {
        for other in others {
            for candidate_start in places(candidate, other) {
                all.push(Match { kind: 3, start, length, candidate_start, candidate_length: other.len() });
            }
        }
    }
    for (candidate_start, candidate_length, others) in phrases(words, candidate) {
        for other in others {
            for start in places(reference, other) {
                all.push(Match { kind: 3, start, length: other.len(), candidate_start, candidate_length });
            }
        }
    }
    all
}

/// Phrases in a sentence that have paraphrases: start, length, paraphrases.
fn phrases<'a>(words: &'a Words, sentence: &[u32]) -> impl Iterator<Item = (usize, usize, &'a [Phrase])> {
    (0..sentence.len()).flat_map(move |start| {
        let longest = words.longest_phrase[sentence[start] as usize];
        (1..=longest.min(sentence.len() - start)).filter_map(move |length| {
            words.paraphrases.get(&sentence[start..start + length]).map(|others| (start, length, others.as_slice()))
        })
    })
}

fn places(sentence: &[u32], phrase: &[u32]) -> impl Iterator<Item = usize> {
    sentence.windows(phrase.len()).enumerate().filter(move |(_, w)| *w == phrase).map(|(i, _)| i)
}

/// Whether two sorted lists share a number.
fn share(a: &[u32], b: &[u32]) -> bool {
    if a.is_empty() || b.is_empty() {
        return false;
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
        }
    }
    false
}
