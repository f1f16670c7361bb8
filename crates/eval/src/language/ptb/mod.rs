//! Penn Treebank tokens as the captioning metrics expect them: pycocoevalcap's `PTBTokenizer`, which runs Stanford
//! CoreNLP 3.4.1 with `-preserveLines -lowerCase` and then drops punctuation.
//!
//! The rules are those that the program is seen to follow: at each place the longest of all rules wins, what a rule
//! must see after a token counts towards its length, and the earlier rule wins a draw. All captions are one stream of
//! lines, as there: a line that ends in `Inc.` is read differently when the next begins with a capital. Where a
//! caption holds a line break of its own (form feed, U+2028, …), which there shifts every later caption by one line, it
//! is a space here.
//!
//! The modules hold the shapes of tokens, this file the order of the rules.

mod abbreviations;
mod joined;
mod marks;
mod numbers;
mod text;
mod words;

use text::{Text, is_letter, is_space};

/// Tokens that are dropped after tokenising. (The original's list has brackets, too, but in capitals, and it is read in
/// lower case: brackets stay.)
const PUNCTUATION: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

/// What becomes of a stretch of text.
#[derive(Clone, Copy)]
pub(super) enum Token {
    /// Itself.
    Same,
    /// Something else.
    As(&'static str),
    /// Spaces are joined with U+00A0, parentheses are spelled out.
    Joined,
    /// `&amp;` is `&`.
    Ampersand,
    /// Quotation marks, opening or closing where the sign itself does not say.
    Quotes { opening: bool },
    /// No token.
    Nothing,
}

/// The best rule so far at one place.
struct Best {
    /// Characters that the rule looked at.
    seen: usize,
    /// Where the token ends and the next begins. (Where a sentence ends in an abbreviation the original reads the full
    /// stop twice; the second reading is punctuation, so it is left out here.)
    end: usize,
    token: Token,
}

impl Best {
    /// A rule that saw the text up to `seen` and takes it up to `end`.
    fn offer(&mut self, seen: Option<usize>, end: usize, token: Token) {
        if let Some(seen) = seen.filter(|seen| *seen > self.seen) {
            *self = Self { seen, end, token };
        }
    }

    /// A rule that takes what it saw.
    fn take(&mut self, end: Option<usize>, token: Token) {
        if let Some(end) = end {
            self.offer(Some(end), end, token);
        }
    }
}

/// The captions' tokens, lower case, joined by single spaces, without punctuation.
pub fn tokenize<S: AsRef<str>>(captions: &[S]) -> Vec<String> {
    tokens_of(captions, true)
}

/// The tokens; without short cuts every token goes through all rules.
fn tokens_of<S: AsRef<str>>(captions: &[S], short_cuts: bool) -> Vec<String> {
    let mut text = Vec::with_capacity(captions.iter().map(|caption| caption.as_ref().len() + 1).sum());
    for caption in captions {
        text.extend(caption.as_ref().chars().map(|c| if text::is_line_break(c) { ' ' } else { c }));
        text.push('\n');
    }
    text.pop(); // the last line has no end
    let text = Text(&text);
    let mut lines: Vec<String> = captions.iter().map(|caption| String::with_capacity(caption.as_ref().len())).collect();
    let (mut at, mut line) = (0, 0);
    while let Some(c) = text.get(at) {
        if c == '\n' {
            line += 1;
            at += 1;
        } else if is_space(c) && (c == ' ' || joined::likely_url(text, at).is_none()) {
            at += 1;
        } else if let Some(end) = plain_word(text, at).filter(|_| short_cuts) {
            let word = &mut lines[line];
            if !word.is_empty() {
                word.push(' ');
            }
            word.extend(text.0[at..end].iter().map(char::to_ascii_lowercase));
            at = end;
        } else if short_cuts && is_lone_mark(text, at) {
            at += 1;
        } else {
            let best = next(text, at);
            push(&mut lines[line], text, at, &best);
            at = best.end;
        }
    }
    // A token may end in U+00A0; the end of a line is trimmed.
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

fn is_end(text: Text, i: usize) -> bool {
    text.get(i).is_none_or(|c| c == ' ' || c == '\n')
}

/// The end of a word of ASCII letters before a blank or a mark and a blank, for which no rule but that of words holds: most
/// tokens.
fn plain_word(text: Text, i: usize) -> Option<usize> {
    let end = text.run(i, |c| c.is_ascii_alphabetic());
    let alone = end > i
        && match text.get(end) {
            None | Some(' ' | '\n') => true,
            Some(',' | ';' | ':' | '!' | '?') => is_end(text, end + 1),
            // Initials and abbreviations may keep their full stop.
            Some('.') => end > i + 1 && is_end(text, end + 1) && abbreviations::abbreviation(text, i).is_none(),
            _ => false,
        };
    (alone && words::assimilation(text, i).is_none()).then_some(end)
}

/// A mark before a blank, which no rule joins with anything: punctuation, which is dropped.
fn is_lone_mark(text: Text, i: usize) -> bool {
    is_end(text, i + 1)
        && match text.0[i] {
            ',' | ';' | ':' | '!' | '?' => true,
            // Spaced dots may be an ellipsis.
            '.' => text.get(i + 2) != Some('.'),
            _ => false,
        }
}

fn push(line: &mut String, text: Text, at: usize, best: &Best) {
    let taken = &text.0[at..best.end];
    let word: String = match best.token {
        Token::Nothing => return,
        Token::As(word) => word.into(),
        Token::Same => taken.iter().filter(|c| **c != '\u{AD}').collect(),
        Token::Quotes { opening } => marks::latex_quotes(taken, opening),
        Token::Ampersand => taken.iter().collect::<String>().to_lowercase().replace("&amp;", "&"),
        Token::Joined => taken.iter().map(|&c| marks::spelled(c)).collect(),
    };
    if word.is_empty() || PUNCTUATION.contains(&word.as_str()) {
        return;
    }
    if !line.is_empty() {
        line.push(' ');
    }
    // ASCII first: nearly every token is.
    if word.is_ascii() {
        line.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        *line += &word.to_lowercase();
    }
}

/// The token at a place that is no space.
fn next(text: Text, i: usize) -> Best {
    let c = text.0[i];
    let mut best = Best { seen: i, end: i + 1, token: Token::Nothing };
    if is_letter(c) || c == '&' {
        worded(text, i, &mut best);
    }
    best.take(joined::likely_url(text, i), Token::Same);
    if c.is_ascii_alphanumeric() || c == '<' || c == '&' {
        best.take(joined::email(text, i), Token::Same);
    }
    if c == '@' || c == '#' {
        best.take(joined::handle(text, i), Token::Same);
    }
    if words::apostrophe(text, i).is_some() {
        apostrophes(text, i, &mut best);
    }
    numbered(text, i, &mut best);
    if let Some(end) = joined::file_name(text, i) {
        best.offer(Some(end + 1), end, Token::Same);
    }
    compounds(text, i, &mut best);
    marked(text, i, &mut best);
    best
}

/// What begins with a letter.
fn worded(text: Text, i: usize, best: &mut Best) {
    let word = words::word(text, i);
    best.take(marks::entity_dash(text, i), Token::As("--"));
    best.take(text.literal(i, "&amp;"), Token::As("&"));
    best.take(marks::entity(text, i), Token::Same);
    let Some(word) = word else { return };
    if let Some((end, back)) = words::assimilation(text, i) {
        best.offer(Some(end), end - back, Token::Same);
    }
    best.take(words::programming_language(text, i), Token::Same);
    for end in words::word_ends(text, i) {
        best.offer(words::clitic(text, end), end, Token::Same);
    }
    if let Some(stem) = words::before_not(text, i) {
        best.offer(words::not(text, stem), stem, Token::Same);
    }
    best.take(Some(word), Token::Same);
    best.take(words::apostrophe_word(text, i), Token::Same);
    if text.is(i, 'y') && words::apostrophe(text, i + 1).is_some_and(|end| text.letter(end)) {
        let end = words::apostrophe(text, i + 1).unwrap_or(i + 1);
        best.offer(Some(end + 1), end, Token::Same);
    }
    best.take(joined::full_url(text, i), Token::Same);
    // `n't` and its like as what is left of a word.
    if let Some(end) = words::not(text, i) {
        let followed = text.get(end).is_some_and(|c| !c.is_ascii_alphabetic());
        best.offer(followed.then_some(end + 1), end, Token::Quotes { opening: false });
    }
    best.take(words::fixed(text, i), Token::Same);
    if let Some(end) = abbreviations::acronym(text, i) {
        let sentence = abbreviations::sentence_opener(text, end);
        if let Some(seen) = sentence.filter(|seen| *seen > best.seen) {
            let short = end - i == 2;
            best.offer(Some(seen), if short { end - 1 } else { end }, Token::Same);
        }
    }
    abbreviated(text, i, best);
    if text.is(word, '.') && text.get(word + 1).is_some_and(text::is_inner_mark) {
        best.offer(Some(word + 2), word + 1, Token::Same);
    }
    best.take(words::not(text, i), Token::Quotes { opening: false });
}

fn abbreviated(text: Text, i: usize, best: &mut Best) {
    let Some((before_number, plain, title)) = abbreviations::abbreviation(text, i) else {
        best.take(abbreviations::acronym(text, i), Token::Same);
        return;
    };
    if let Some(end) = before_number {
        let digit = text.get(end).filter(|c| is_space(*c) || *c == '\n').map_or(end, |_| end + 1);
        best.offer(text.digit(digit).then_some(digit + 1), end, Token::Same);
    }
    if let Some(end) = plain {
        if let Some(seen) = abbreviations::sentence_end(text, end).filter(|seen| *seen > best.seen) {
            best.offer(Some(seen), end, Token::Same);
        }
        best.offer((end + 2 <= text.0.len()).then_some(end + 2), end, Token::Same);
        best.take(Some(end), Token::Same);
    }
    best.take(title, Token::Same);
    best.take(abbreviations::acronym(text, i), Token::Same);
}

/// What begins with an apostrophe.
fn apostrophes(text: Text, i: usize, best: &mut Best) {
    if let Some((end, back)) = words::assimilation(text, i) {
        best.offer(Some(end), end - back, Token::Same);
    }
    best.take(words::apostrophe_word(text, i), Token::Same);
    if let Some(end) = words::clitic(text, i) {
        let followed = text.get(end).is_some_and(|c| !c.is_ascii_alphabetic());
        best.offer(followed.then_some(end + 1), end, Token::Quotes { opening: false });
    }
    if let Some(end) = words::apostrophe(text, i).map(|end| end + 2) {
        let year = (end - 2..end).all(|k| text.get(k).is_some_and(|c| c.is_ascii_digit()));
        let followed = year && text.get(end).is_some_and(|c| is_space(c) || c == '\n');
        best.offer(followed.then_some(end + 1), end, Token::Same);
    }
}

fn numbered(text: Text, i: usize, best: &mut Best) {
    best.take(numbers::number(text, i), Token::Same);
    best.take(numbers::date(text, i), Token::Same);
    best.take(numbers::raised_digits(text, i), Token::Same);
    best.take(numbers::fraction(text, i), Token::Joined);
    best.take(text.get(i).and_then(numbers::fraction_sign).map(|_| i + 1), numbers::fraction_token(text, i));
    best.take(numbers::dollars(text, i), Token::Same);
    if let Some(word) = text.get(i).and_then(numbers::currency) {
        best.take(Some(i + 1), if word.is_empty() { Token::Same } else { Token::As(word) });
    }
    best.take(numbers::phone(text, i), Token::Joined);
}

/// Words joined by hyphens, slashes, ampersands.
fn compounds(text: Text, i: usize, best: &mut Best) {
    best.take(joined::slashed(text, i), Token::Same);
    for (end, token) in [
        (joined::hyphenated_ascii(text, i), Token::Same),
        (joined::hyphenated(text, i), Token::Quotes { opening: false }),
        (joined::ampersand_joined(text, i), Token::Ampersand),
    ] {
        let Some(end) = end else { continue };
        if text.is(end, '.') && text.get(end + 1).is_some_and(text::is_inner_mark) {
            best.offer(Some(end + 2), end + 1, token);
        }
        best.take(Some(end), token);
    }
}

/// Brackets, quotation marks, dots, dashes, symbols.
fn marked(text: Text, i: usize, best: &mut Best) {
    let c = text.0[i];
    best.take(marks::tag(text, i), Token::Joined);
    best.take(matches!(c, '\u{96}' | '\u{97}' | '–' | '—' | '―').then_some(i + 1), Token::As("--"));
    if let Some(end) = (c == '"').then_some(i + 1).or_else(|| text.literal(i, "&quot;")) {
        let opening = text.get(end).is_some_and(|c| c.is_ascii_alphanumeric() || c == '$');
        best.offer(opening.then_some(end + 1), end, Token::As("``"));
        best.take(Some(end), Token::As("''"));
    }
    best.take((c == '<').then_some(i + 1).or_else(|| text.literal(i, "&lt;")), Token::As("<"));
    best.take((c == '>').then_some(i + 1).or_else(|| text.literal(i, "&gt;")), Token::As(">"));
    if let Some(end) = marks::smiley(text, i) {
        let open = text.get(end).is_some_and(|c| !c.is_ascii_alphanumeric());
        best.offer(open.then_some(end + 1), end, Token::Joined);
    }
    best.take(marks::asian_smiley(text, i), Token::Joined);
    if let Some(name) = marks::bracket(c) {
        best.take(Some(i + 1), Token::As(name));
    }
    if c == '-' {
        let end = text.run(i, |c| c == '-');
        best.take(Some(end), if (3..=4).contains(&(end - i)) { Token::As("--") } else { Token::Same });
    }
    best.take(marks::dots(text, i), Token::As("..."));
    if "@#_*".contains(c) {
        best.take(Some(text.run(i, |d| d == c)), Token::Same);
    }
    if c == '\\' && text.is(i + 1, '*') {
        best.take(Some(i + 2), Token::Same);
    }
    if c == '?' || c == '!' {
        best.take(Some(text.run(i, |c| c == '?' || c == '!')), Token::Same);
    }
    if let Some(end) = marks::quotes(text, i) {
        let after = text.get(end + 1);
        let blank = |c: char| is_space(c) || c == '\n';
        let opening = text.letter(end) && after.is_some_and(|c| !blank(c))
            || text.get(end).is_some_and(|c| "AaIiUu".contains(c)) && after.is_some_and(blank);
        // A curled apostrophe never opens.
        let opening = opening && !matches!(c, '’' | '\u{92}');
        best.offer(opening.then_some(end + 2), end, Token::Quotes { opening: true });
        best.take(Some(end), Token::Quotes { opening: false });
    }
    best.take(words::clitic(text, i), Token::Quotes { opening: false });
    best.take(text.literal(i, "&nbsp;"), Token::Nothing);
    best.take(text.literal(i, "<<").or_else(|| text.literal(i, ">>")), Token::Same);
    best.take(marks::is_symbol(c).then_some(i + 1), Token::Same);
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::Rng;

    /// Texts in which the short cuts meet what they must leave alone.
    #[test]
    fn short_cuts_change_no_token() {
        const PIECES: [&str; 56] = [
            " ", " ", " ", " ", " ", "\n", "\t", "\u{a0}", ".", ".", ",", ";", ":", "!", "?", "-", "'", "\"", "(", ")",
            "/", "$", "@", "_", "&amp;", "a", "U.S", "Inc", "etc", "Mr", "no", "cannot", "gonna", "don't", "'s",
            "www.a", "com", "x", "D", "p.m", "The", "A", "car", "stops", "Ph.D", "1", "25", "3/4", ". .", "...", "fig",
            "O'Brien", "tis", "pro-", "n't", "é",
        ];
        let rng = &mut Rng::new(&[7]);
        let mut differ_from_letters = 0;
        for _ in 0..20_000 {
            let lines: Vec<String> =
                (0..3).map(|_| (0..rng.below(9)).map(|_| PIECES[rng.below(PIECES.len())]).collect()).collect();
            let (short, long) = (tokens_of(&lines, true), tokens_of(&lines, false));
            assert_eq!(short, long, "{lines:?}");
            differ_from_letters += usize::from(long.iter().any(|line| line.contains(['.', '\''])));
        }
        assert!(differ_from_letters > 1000, "the texts hold too little that needs the long way");
    }
}
