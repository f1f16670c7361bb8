//! The English Snowball stemmer ("Porter2", snowballstem.org/algorithms/english), in the version of METEOR 1.5.

/// The stem of a lower-case word.
pub(super) fn stem(word: &str) -> String {
    if let Some(stem) = irregular(word) {
        return stem.into();
    }
    let mut letters: Vec<char> = word.chars().collect();
    if letters.len() < 3 {
        return word.into();
    }
    if letters[0] == '\'' {
        letters.remove(0);
    }
    // A `y` that is a consonant is written `Y` while the word is taken apart.
    for i in 0..letters.len() {
        if letters[i] == 'y' && (i == 0 || is_vowel(letters[i - 1])) {
            letters[i] = 'Y';
        }
    }
    let mut word = Word { r1: 0, r2: 0, letters };
    word.mark_regions();
    word.plural();
    let kept = ["inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"];
    let whole: String = word.letters.iter().collect();
    if !kept.contains(&whole.as_str()) {
        word.past_and_participle();
        word.final_y();
        word.derived_long();
        word.derived_short();
        word.bare();
        word.final_e_and_l();
    }
    word.letters.iter().map(|c| if *c == 'Y' { 'y' } else { *c }).collect()
}

fn irregular(word: &str) -> Option<&str> {
    Some(match word {
        "skis" => "ski",
        "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "idly" => "idl",
        "gently" => "gentl",
        "ugly" => "ugli",
        "early" => "earli",
        "only" => "onli",
        "singly" => "singl",
        "sky" | "news" | "howe" | "atlas" | "cosmos" | "bias" | "andes" => word,
        _ => return None,
    })
}

fn is_vowel(c: char) -> bool {
    "aeiouy".contains(c)
}

struct Word {
    letters: Vec<char>,
    r1: usize,
    r2: usize,
}

impl Word {
    fn mark_regions(&mut self) {
        let after_syllable = |from: usize| {
            let vowel = (from..self.letters.len()).find(|i| is_vowel(self.letters[*i]));
            let consonant = vowel.and_then(|v| (v + 1..self.letters.len()).find(|i| !is_vowel(self.letters[*i])));
            consonant.map_or(self.letters.len(), |i| i + 1)
        };
        let starts = |prefix: &str| prefix.chars().eq(self.letters.iter().copied().take(prefix.len()));
        let r1 = ["gener", "commun", "arsen"].iter().find(|p| starts(p)).map(|p| p.len());
        let r1 = r1.unwrap_or_else(|| after_syllable(0));
        (self.r1, self.r2) = (r1, after_syllable(r1));
    }

    fn ends(&self, suffix: &str) -> bool {
        let n = suffix.len();
        self.letters.len() >= n && suffix.chars().eq(self.letters[self.letters.len() - n..].iter().copied())
    }

    /// The longest of the suffixes that the word ends in.
    fn suffix<'a>(&self, suffixes: &[&'a str]) -> Option<&'a str> {
        suffixes.iter().copied().filter(|s| self.ends(s)).max_by_key(|s| s.len())
    }

    fn replace(&mut self, suffix: &str, by: &str) {
        self.letters.truncate(self.letters.len() - suffix.len());
        self.letters.extend(by.chars());
    }

    fn start_of(&self, suffix: &str) -> usize {
        self.letters.len() - suffix.len()
    }

    fn has_vowel_before(&self, end: usize) -> bool {
        self.letters[..end].iter().any(|c| is_vowel(*c))
    }

    /// Whether the letters up to `end` end in a short syllable.
    fn short_syllable(&self, end: usize) -> bool {
        let at = |back: usize| end.checked_sub(back).map(|i| self.letters[i]);
        let (Some(last), Some(middle)) = (at(1), at(2)) else { return false };
        match at(3) {
            Some(first) => !is_vowel(first) && is_vowel(middle) && !is_vowel(last) && !"wxY".contains(last),
            None => is_vowel(middle) && !is_vowel(last),
        }
    }

    fn plural(&mut self) {
        if let Some(suffix) = self.suffix(&["'", "'s", "'s'"]) {
            self.replace(suffix, "");
        }
        match self.suffix(&["sses", "ied", "ies", "us", "ss", "s"]) {
            Some("sses") => self.replace("sses", "ss"),
            Some(suffix @ ("ied" | "ies")) => {
                let by = if self.start_of(suffix) > 1 { "i" } else { "ie" };
                self.replace(suffix, by);
            }
            Some("s") => {
                let before = self.start_of("s").saturating_sub(1);
                if self.has_vowel_before(before) {
                    self.replace("s", "");
                }
            }
            _ => {}
        }
    }

    fn past_and_participle(&mut self) {
        match self.suffix(&["eed", "eedly", "ed", "edly", "ing", "ingly"]) {
            Some(suffix @ ("eed" | "eedly")) if self.start_of(suffix) >= self.r1 => self.replace(suffix, "ee"),
            Some("eed" | "eedly") => {}
            Some(suffix) if self.has_vowel_before(self.start_of(suffix)) => {
                self.replace(suffix, "");
                let doubled = ["bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt"];
                if self.suffix(&["at", "bl", "iz"]).is_some() {
                    self.letters.push('e');
                } else if self.suffix(&doubled).is_some() {
                    self.letters.pop();
                } else if self.letters.len() == self.r1 && self.short_syllable(self.letters.len()) {
                    self.letters.push('e');
                }
            }
            _ => {}
        }
    }

    fn final_y(&mut self) {
        let n = self.letters.len();
        if n > 2 && "yY".contains(self.letters[n - 1]) && !is_vowel(self.letters[n - 2]) {
            self.letters[n - 1] = 'i';
        }
    }

    /// Replace the longest suffix of the table, if it lies in R1.
    fn derived_long(&mut self) {
        const TABLE: [(&str, &str); 24] = [
            ("tional", "tion"),
            ("enci", "ence"),
            ("anci", "ance"),
            ("abli", "able"),
            ("entli", "ent"),
            ("izer", "ize"),
            ("ization", "ize"),
            ("ational", "ate"),
            ("ation", "ate"),
            ("ator", "ate"),
            ("alism", "al"),
            ("aliti", "al"),
            ("alli", "al"),
            ("fulness", "ful"),
            ("ousli", "ous"),
            ("ousness", "ous"),
            ("iveness", "ive"),
            ("iviti", "ive"),
            ("biliti", "ble"),
            ("bli", "ble"),
            ("ogi", "og"),
            ("fulli", "ful"),
            ("lessli", "less"),
            ("li", ""),
        ];
        let found = TABLE.iter().filter(|(s, _)| self.ends(s)).max_by_key(|(s, _)| s.len());
        let Some((suffix, by)) = found else { return };
        let start = self.start_of(suffix);
        let before = start.checked_sub(1).map(|i| self.letters[i]);
        let allowed = match *suffix {
            "ogi" => before == Some('l'),
            "li" => before.is_some_and(|c| "cdeghkmnrt".contains(c)),
            _ => true,
        };
        if start >= self.r1 && allowed {
            self.replace(suffix, by);
        }
    }

    fn derived_short(&mut self) {
        const TABLE: [(&str, &str); 9] = [
            ("tional", "tion"),
            ("ational", "ate"),
            ("alize", "al"),
            ("icate", "ic"),
            ("iciti", "ic"),
            ("ical", "ic"),
            ("ful", ""),
            ("ness", ""),
            ("ative", ""),
        ];
        let found = TABLE.iter().filter(|(s, _)| self.ends(s)).max_by_key(|(s, _)| s.len());
        let Some((suffix, by)) = found else { return };
        let region = if *suffix == "ative" { self.r2.max(self.r1) } else { self.r1 };
        if self.start_of(suffix) >= region {
            self.replace(suffix, by);
        }
    }

    fn bare(&mut self) {
        let suffixes = [
            "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ism", "ate", "iti",
            "ous", "ive", "ize", "ion",
        ];
        let Some(suffix) = self.suffix(&suffixes) else { return };
        let start = self.start_of(suffix);
        let before = start.checked_sub(1).map(|i| self.letters[i]);
        if start >= self.r2 && (suffix != "ion" || before.is_some_and(|c| "st".contains(c))) {
            self.replace(suffix, "");
        }
    }

    fn final_e_and_l(&mut self) {
        let Some(start) = self.letters.len().checked_sub(1) else { return };
        match self.letters[start] {
            'e' if start >= self.r2 || start >= self.r1 && !self.short_syllable(start) => {
                self.letters.pop();
            }
            'l' if start >= self.r2 && start >= 1 && self.letters[start - 1] == 'l' => {
                self.letters.pop();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn known_stems() {
        for (word, expected) in [
            ("vehicles", "vehicl"),
            ("turning", "turn"),
            ("stopped", "stop"),
            ("crossing", "cross"),
            ("generously", "generous"),
            ("hoping", "hope"),
            ("ponies", "poni"),
            ("ties", "tie"),
            ("relational", "relat"),
            ("national", "nation"),
            ("yielding", "yield"),
            ("sky", "sky"),
            ("by", "by"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
