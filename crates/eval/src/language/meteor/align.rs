//! METEOR's alignment of two sentences: all matches of four kinds, then a beam search for the set of matches that covers
//! most words in the fewest chunks. Equals METEOR 1.5 step by step, its rounding and its tie breaks included.

use super::data::{PhraseNumber, Phrases};

/// Exact, stem, synonym, paraphrase.
pub(super) const KINDS: usize = 4;
/// Weights in the search; half points are cut off whenever they are added to the whole ones.
const SEARCH_WEIGHT: [f64; KINDS] = [1.0, 0.5, 0.5, 0.5];
const BEAM: usize = 40;
const NONE: u32 = u32::MAX;

/// What is known of the words being judged; a word is its number.
pub(super) struct Words {
    pub stem: Vec<u32>,
    pub synsets: Vec<Vec<u32>>,
    /// A bit for each set of synonyms, 64 sets to a bit: words that share no bit share no set.
    pub synset_bits: Vec<u64>,
    pub is_function: Vec<bool>,
    pub phrases: Phrases,
}

impl Words {
    fn share_synset(&self, a: usize, b: usize) -> bool {
        self.synset_bits[a] & self.synset_bits[b] != 0 && share(&self.synsets[a], &self.synsets[b])
    }
}

/// A sentence, and the phrases in it that have paraphrases: start, length, number.
pub(super) struct Sentence {
    pub words: Vec<u32>,
    phrases: Vec<(usize, usize, PhraseNumber)>,
}

impl Sentence {
    pub fn new(words: Vec<u32>, known: &Phrases) -> Self {
        let mut phrases = Vec::new();
        for start in 0..words.len() {
            known.beginning(&words[start..], |length, number| phrases.push((start, length, number)));
        }
        Self { words, phrases }
    }
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

/// A set of matches, being made from the start of the reference to its end.
#[derive(Clone, Copy)]
struct Path {
    /// The last match that was chosen, in the search's list; matches that are certain are in no path.
    chosen: u32,
    weighted: i32,
    weighted_candidate: i32,
    chunks: i32,
    index: usize,
    last_end: Option<usize>,
    distance: i32,
    /// Which words are taken, as a row of the search's bits.
    row: usize,
}

impl Path {
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

/// Rows of bits, one row to a set of words: first those of the reference, then those of the candidate.
#[derive(Default)]
struct Bits {
    words: usize,
    rows: Vec<u64>,
}

impl Bits {
    fn row(&self, at: usize) -> &[u64] {
        &self.rows[at * self.words..(at + 1) * self.words]
    }

    /// Add a copy of a row with more bits.
    fn push(&mut self, row: &[u64], more: &[u64]) -> usize {
        let at = self.rows.len() / self.words;
        self.rows.extend(row.iter().zip(more).map(|(a, b)| a | b));
        at
    }

    fn clear(&mut self) {
        self.rows.clear();
    }
}

/// What one alignment works with; kept from one to the next so that nothing is allocated again.
#[derive(Default)]
pub(super) struct Aligner {
    all: Vec<Match>,
    /// Matches by start in the reference: `by_start[first[s]..first[s + 1]]`.
    first: Vec<usize>,
    by_start: Vec<u32>,
    covers_candidate: Vec<u32>,
    covers_reference: Vec<u32>,
    /// The certain match at a place of the reference.
    certain: Vec<u32>,
    /// The words of each match.
    masks: Bits,
    taken: [Bits; 2],
    paths: [Vec<Path>; 2],
    /// Chosen matches as chains: the match, and the place of the one before.
    chosen: Vec<(u32, u32)>,
    /// The number of the last sentence that holds a word.
    seen: Vec<u32>,
    now: u32,
}

impl Aligner {
    /// The best matches, by start in the reference, and how many chunks they form.
    pub fn align(&mut self, words: &Words, candidate: &Sentence, reference: &Sentence) -> (Vec<Match>, usize) {
        self.find_matches(words, candidate, reference);
        let (candidate, reference) = (candidate.words.len(), reference.words.len());
        self.sort_by_start(reference);
        self.cover(candidate, reference);
        self.take_certain(reference);
        let mut at = self.search(reference);
        let mut numbers: Vec<u32> = self.certain.iter().copied().filter(|m| *m != NONE).collect();
        while at != NONE {
            let (number, before) = self.chosen[at as usize];
            numbers.push(number);
            at = before;
        }
        let mut chosen: Vec<Match> = numbers.into_iter().map(|m| self.all[m as usize]).collect();
        chosen.sort_unstable_by_key(|m| m.start);
        let chunks = count_chunks(&chosen);
        (chosen, chunks)
    }

    fn sort_by_start(&mut self, reference: usize) {
        self.first.clear();
        self.first.resize(reference + 1, 0);
        for m in &self.all {
            self.first[m.start + 1] += 1;
        }
        for start in 0..reference {
            self.first[start + 1] += self.first[start];
        }
        self.by_start.clear();
        self.by_start.resize(self.all.len(), 0);
        // `first[s]` runs to the end of its group and is put back.
        for (i, m) in self.all.iter().enumerate() {
            self.by_start[self.first[m.start]] = i as u32;
            self.first[m.start] += 1;
        }
        self.first.rotate_right(1);
        self.first[0] = 0;
    }

    fn cover(&mut self, candidate: usize, reference: usize) {
        for (covers, words) in [(&mut self.covers_candidate, candidate), (&mut self.covers_reference, reference)] {
            covers.clear();
            covers.resize(words, 0);
        }
        self.masks.words = (candidate + reference).div_ceil(64).max(1);
        self.masks.clear();
        self.masks.rows.resize(self.masks.words * self.all.len(), 0);
        for (i, m) in self.all.iter().enumerate() {
            let in_candidate = m.candidate_start..m.candidate_start + m.candidate_length;
            let in_reference = m.start..m.start + m.length;
            self.covers_reference[in_reference.clone()].iter_mut().for_each(|n| *n += 1);
            self.covers_candidate[in_candidate.clone()].iter_mut().for_each(|n| *n += 1);
            let row = i * self.masks.words;
            for bit in in_reference.chain(in_candidate.map(|w| reference + w)) {
                self.masks.rows[row + bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// Matches that compete with no other are certain.
    fn take_certain(&mut self, reference: usize) {
        self.certain.clear();
        self.certain.resize(reference, NONE);
        let [taken, _] = &mut self.taken;
        taken.words = self.masks.words;
        taken.clear();
        taken.rows.resize(taken.words, 0);
        for start in 0..reference {
            let [only] = self.by_start[self.first[start]..self.first[start + 1]] else { continue };
            let m = &self.all[only as usize];
            let alone = self.covers_reference[start..start + m.length].iter().all(|n| *n == 1)
                && self.covers_candidate[m.candidate_start..m.candidate_start + m.candidate_length]
                    .iter()
                    .all(|n| *n == 1);
            if alone {
                self.certain[start] = only;
                taken.rows.iter_mut().zip(self.masks.row(only as usize)).for_each(|(a, b)| *a |= b);
            }
        }
    }

    /// The end of the chain of matches that were chosen beside the certain ones.
    fn search(&mut self, reference: usize) -> u32 {
        let Self { all, first, by_start, certain, masks, taken, paths, chosen, .. } = self;
        let [taken, next_taken] = taken;
        let [paths, next] = paths;
        next_taken.words = masks.words;
        chosen.clear();
        paths.clear();
        let start = Path {
            chosen: NONE,
            weighted: 0,
            weighted_candidate: 0,
            chunks: 0,
            index: 0,
            last_end: None,
            distance: 0,
            row: 0,
        };
        paths.push(start);
        let none = vec![0; masks.words];
        for current in 0..reference {
            paths.sort_by_key(Path::rank);
            paths.truncate(BEAM);
            next.clear();
            next_taken.clear();
            for &path in paths.iter() {
                let mut path = path;
                let row = taken.row(path.row);
                if row[current / 64] >> (current % 64) & 1 == 1 {
                    if current >= path.index {
                        // Only a certain match can begin at a word that is taken.
                        let Some(&number) = certain.get(path.index).filter(|m| **m != NONE) else { continue };
                        let m = &all[number as usize];
                        path.count(m);
                        path.distance += distance(m);
                    }
                    path.row = next_taken.push(row, &none);
                    next.push(path);
                    continue;
                }
                for &i in &by_start[first[current]..first[current + 1]] {
                    let (m, mask) = (&all[i as usize], masks.row(i as usize));
                    if row.iter().zip(mask).any(|(a, b)| a & b != 0) {
                        continue;
                    }
                    let mut with = path;
                    with.row = next_taken.push(row, mask);
                    with.chosen = chosen.len() as u32;
                    chosen.push((i, path.chosen));
                    with.count(m);
                    next.push(with);
                    // As in the original, the distance goes to the path that does without the match.
                    path.distance += distance(m);
                }
                if path.last_end.take().is_some() {
                    path.chunks += 1;
                }
                path.index += 1;
                path.row = next_taken.push(row, &none);
                next.push(path);
            }
            if next.is_empty() {
                // No path can go on: the best so far stays.
                paths.truncate(1);
            } else {
                std::mem::swap(paths, next);
                std::mem::swap(taken, next_taken);
            }
        }
        paths.sort_by_key(Path::rank);
        paths.truncate(BEAM);
        for path in paths.iter_mut() {
            path.chunks += i32::from(path.last_end.is_some());
        }
        // Of equal paths the first.
        paths.iter().min_by_key(|path| path.rank()).map_or(NONE, |path| path.chosen)
    }

    /// All matches: exact, stems, synonyms, paraphrases of the reference, paraphrases of the candidate. Of those that begin
    /// at one word of the reference the order matters.
    fn find_matches(&mut self, words: &Words, candidate: &Sentence, reference: &Sentence) {
        self.all.clear();
        let all = &mut self.all;
        let single =
            |kind, start, candidate_start| Match { kind, start, length: 1, candidate_start, candidate_length: 1 };
        let identical = candidate.words == reference.words;
        for (j, &r) in reference.words.iter().enumerate() {
            let same = candidate.words.iter().enumerate().filter(|(_, c)| **c == r);
            all.extend(same.map(|(i, _)| single(0, j, i)));
            if identical {
                continue;
            }
            let others = || candidate.words.iter().map(|c| *c as usize).enumerate();
            let r = r as usize;
            let stems = others().filter(|(_, c)| *c != r && words.stem[*c] == words.stem[r]);
            all.extend(stems.map(|(i, _)| single(1, j, i)));
            if words.synset_bits[r] != 0 {
                let synonyms = others().filter(|(_, c)| *c != r && words.share_synset(*c, r));
                all.extend(synonyms.map(|(i, _)| single(2, j, i)));
            }
        }
        if identical {
            return;
        }
        self.see(words, &candidate.words);
        for &(start, length, phrase) in &reference.phrases {
            for other in words.phrases.paraphrases(phrase).filter(|p| self.seen[p[0] as usize] == self.now) {
                for candidate_start in places(&candidate.words, other) {
                    let m = Match { kind: 3, start, length, candidate_start, candidate_length: other.len() };
                    self.all.push(m);
                }
            }
        }
        self.see(words, &reference.words);
        for &(candidate_start, candidate_length, phrase) in &candidate.phrases {
            for other in words.phrases.paraphrases(phrase).filter(|p| self.seen[p[0] as usize] == self.now) {
                for start in places(&reference.words, other) {
                    let m = Match { kind: 3, start, length: other.len(), candidate_start, candidate_length };
                    self.all.push(m);
                }
            }
        }
    }

    /// Mark the words of a sentence.
    fn see(&mut self, words: &Words, sentence: &[u32]) {
        self.seen.resize(words.stem.len(), 0);
        self.now += 1;
        sentence.iter().for_each(|word| self.seen[*word as usize] = self.now);
    }
}

fn count_chunks(chosen: &[Match]) -> usize {
    let goes_on = |pair: &[Match]| {
        pair[0].start + pair[0].length == pair[1].start
            && pair[0].candidate_start + pair[0].candidate_length == pair[1].candidate_start
    };
    usize::from(!chosen.is_empty()) + chosen.windows(2).filter(|pair| !goes_on(pair)).count()
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
