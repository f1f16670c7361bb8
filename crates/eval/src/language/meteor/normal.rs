//! How METEOR 1.5 reads a line of English with `-norm`: quotes, dashes, commas, dots and apostrophes become tokens.
//!
//! Its rules are replacements that run over the line one after the other and never look at a character twice, so that of
//! `a-b-c` only the first hyphen goes; [`between`] does that.

use std::collections::HashMap;

/// When an abbreviation keeps its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Always.
    Any,
    /// Before a number.
    BeforeNumber,
}

/// Stands for a dot of an ellipsis while the others are looked at.
const HELD_DOT: char = '\u{f8ff}';

fn is_alpha(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | 'Š' | 'š' | 'Ž' | 'ž' | 'Ÿ' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ž'
        | 'Ѐ'..='ӿ' | 'Ԁ'..='ԧ' | 'Ꙁ'..='ꙮ' | '꙾'..='ꚗ' | 'ᴀ'..='ᵿ')
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_digit() || is_alpha(c)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// Hand the words of a line, in lower case, to `take`.
pub(super) fn words(line: &str, prefixes: &HashMap<String, Prefix>, mut take: impl FnMut(&str)) {
    if line.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b' ') {
        // No rule below has anything to replace.
        return line.split(' ').filter(|w| !w.is_empty()).for_each(take);
    }
    let mut text: Vec<char> = Vec::with_capacity(line.len() + 16);
    text.push(' ');
    for c in line.chars() {
        if is_alphanumeric(c) || is_blank(c) || ".'`,-‘’".contains(c) {
            text.push(c);
        } else {
            text.extend([' ', c, ' ']);
        }
    }
    text.push(' ');
    text = hold_ellipses(text);
    let digit = |c: char| c.is_ascii_digit();
    let other = |c: char| !c.is_ascii_digit();
    text = between(text, ',', other, other, " , ");
    text = between(text, ',', digit, other, " , ");
    text = between(text, ',', other, digit, " , ");
    if text.iter().any(|c| "`‘’“”–'-".contains(*c)) {
        let quoted: String = text.iter().map(|c| if "`‘’".contains(*c) { '\'' } else { *c }).collect();
        let quoted = quoted.replace(['“', '”'], " \" ").replace("''", " \" ").replace('–', "-").replace("--", "-");
        text = quoted.chars().collect();
        text = between(text, '-', |c| is_alphanumeric(c) || c == '.', is_alphanumeric, " ");
        let outside = |c: char| !is_alpha(c);
        text = between(text, '\'', outside, outside, " ' ");
        text = between(text, '\'', |c| !is_alpha(c) && !c.is_ascii_digit(), is_alpha, " ' ");
        text = between(text, '\'', is_alpha, outside, " ' ");
        text = between(text, '\'', is_alpha, is_alpha, " '");
        text = between(text, '\'', digit, |c| c == 's', " '");
    }
    let line: String = text.into_iter().collect();
    let spaces = |c: char| matches!(c, ' ' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{a0}');
    let mut give = |word: &str| {
        for w in word.split(spaces).filter(|w| !w.is_empty()) {
            if w.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
                take(w);
            } else {
                take(&w.replace(HELD_DOT, ".").to_lowercase());
            }
        }
    };
    let mut pieces = line.split([' ', '\t', '\n', '\r', '\u{c}']).filter(|w| !w.is_empty()).peekable();
    while let Some(piece) = pieces.next() {
        let next = pieces.peek().and_then(|w| w.chars().next());
        full_stop(piece, next, prefixes, &mut give);
    }
}

/// Two and more dots are a word of their own.
fn hold_ellipses(text: Vec<char>) -> Vec<char> {
    if !text.windows(2).any(|pair| pair == ['.', '.']) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        let run = text[i..].iter().take_while(|c| **c == '.').count();
        if run >= 2 {
            out.push(' ');
            out.extend(std::iter::repeat_n(HELD_DOT, run));
            out.push(' ');
            i += run;
        } else {
            out.push(text[i]);
            i += 1;
        }
    }
    out
}

/// Replace a mark between two characters of certain kinds, from left to right, without looking at any twice.
fn between(
    text: Vec<char>,
    mark: char,
    left: impl Fn(char) -> bool,
    right: impl Fn(char) -> bool,
    by: &str,
) -> Vec<char> {
    if !text.contains(&mark) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut i = 0;
    while i < text.len() {
        match text[i..] {
            [a, m, b, ..] if m == mark && left(a) && right(b) => {
                out.push(a);
                out.extend(by.chars());
                out.push(b);
                i += 3;
            }
            _ => {
                out.push(text[i]);
                i += 1;
            }
        }
    }
    out
}

fn full_stop(piece: &str, next: Option<char>, prefixes: &HashMap<String, Prefix>, give: &mut impl FnMut(&str)) {
    let Some(stem) = piece.strip_suffix('.').filter(|stem| !stem.is_empty()) else {
        return give(piece);
    };
    let kind = prefixes.get(stem);
    if stem.contains('.') && stem.chars().any(is_alpha) {
        give(&piece.replace('.', ""));
    } else if kind == Some(&Prefix::Any)
        || next.is_some_and(|c| c.is_ascii_lowercase())
        || kind == Some(&Prefix::BeforeNumber) && next.is_some_and(|c| c.is_ascii_digit())
    {
        give(piece);
    } else {
        give(stem);
        give(".");
    }
}
