//! Entities, tags, smileys, dots, quotation marks, symbols.

use super::text::Text;
use super::words::apostrophe;

/// `&mdash;` and its like.
pub(super) fn entity_dash(text: Text, i: usize) -> Option<usize> {
    ["&md;", "&mdash;", "&ndash;"].iter().find_map(|name| text.literal(i, name))
}

/// Entities of punctuation that stay as they are.
pub(super) fn entity(text: Text, i: usize) -> Option<usize> {
    let named = ["&ht;", "&tl;", "&ur;", "&lr;", "&qc;", "&ql;", "&qr;", "&odq;", "&cdq;"];
    if let Some(end) = named.iter().find_map(|name| text.literal(i, name)) {
        return Some(end);
    }
    let start = text.literal(i, "&#")?;
    let end = text.run(start, |c| c.is_ascii_digit());
    (end > start && text.is(end, ';')).then_some(end + 1)
}

/// A tag of SGML.
pub(super) fn tag(text: Text, i: usize) -> Option<usize> {
    text.literal(i, "<")?;
    let name_start = |at: usize| text.get(at).is_some_and(|c| c.is_ascii_alphabetic());
    let name = |at: usize| text.run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-'));
    let blanks = |at: usize| text.run(at, |c| c == ' ');
    let close = |at: usize| text.literal(blanks(at), ">");
    if text.get(i + 1).is_some_and(|c| "!?".contains(c)) {
        let begun = text.get(i + 2).is_some_and(|c| c.is_ascii_alphabetic() || c == '-');
        let end = text.run(i + 3, |c| !matches!(c, '>' | '\n' | '\r'));
        return begun.then(|| text.literal(end, ">")).flatten();
    }
    if text.is(i + 1, '/') {
        return name_start(i + 2).then(|| close(name(i + 3))).flatten();
    }
    if !name_start(i + 1) {
        return None;
    }
    let mut at = name(i + 2);
    loop {
        let next = blanks(at);
        if next == at || !name_start(next) {
            break;
        }
        at = name(next + 1);
        let equals = blanks(at);
        let value = if text.is(equals, '=') { blanks(equals + 1) } else { continue };
        if let Some(quote) = text.get(value).filter(|c| "'\"".contains(*c)) {
            let end = text.run(value + 1, |c| c != quote && c != '\n' && c != '\r');
            at = text.get(end).filter(|c| *c == quote).map(|_| end + 1)?;
        } else {
            return None;
        }
    }
    let slash = blanks(at);
    close(if text.is(slash, '/') { slash + 1 } else { at })
}

pub(super) fn smiley(text: Text, i: usize) -> Option<usize> {
    let eyes = if text.get(i).is_some_and(|c| "<>".contains(c)) { i + 1 } else { i };
    text.get(eyes).filter(|c| ":;=".contains(*c))?;
    let mouth = |at: usize| text.get(at).filter(|c| "()DPdpO\\{@|[]".contains(*c)).map(|_| at + 1);
    let nose = text.get(eyes + 1).is_some_and(|c| "-o*'".contains(c));
    nose.then(|| mouth(eyes + 2)).flatten().or_else(|| mouth(eyes + 1))
}

pub(super) fn asian_smiley(text: Text, i: usize) -> Option<usize> {
    let eye = |at: usize| text.get(at).is_some_and(|c| "-^x=~<>'".contains(c));
    if eye(i) && text.is(i + 1, '_') && eye(i + 2) {
        return Some(i + 3);
    }
    if !(text.is(i, '(') && eye(i + 1)) {
        return None;
    }
    let mouth = text.get(i + 2).is_some_and(|c| "_.".contains(c));
    let end = |at: usize| (eye(at) && text.is(at + 1, ')')).then_some(at + 2);
    let dashed = || {
        let eyes = text.get(i + 1) != Some('-') && text.is(i + 2, '-');
        (eyes && text.get(i + 3).is_some_and(|c| "^x=~<>'`".contains(c)) && text.is(i + 4, ')')).then_some(i + 5)
    };
    mouth.then(|| end(i + 3)).flatten().or_else(|| end(i + 2)).or_else(dashed)
}

/// Three to five dots, spaced or not, or the sign for them.
pub(super) fn dots(text: Text, i: usize) -> Option<usize> {
    if matches!(text.get(i)?, '…') {
        return Some(i + 1);
    }
    let run = text.run(i, |c| c == '.').min(i + 5);
    let mut longest = (run >= i + 3).then_some(run);
    let mut at = i;
    for pairs in 1..=4 {
        if !(text.is(at, '.') && text.get(at + 1).is_some_and(|c| matches!(c, ' ' | '\u{a0}'))) {
            break;
        }
        at += 2;
        if pairs >= 2 && text.is(at, '.') {
            longest = longest.max(Some(at + 1));
        }
    }
    longest
}

fn is_quote(c: char) -> bool {
    matches!(c, '`' | '\u{91}'..='\u{94}' | '‘'..='‟' | '‹' | '›' | '«' | '»')
}

/// An apostrophe, or one or two quotation marks.
pub(super) fn quotes(text: Text, i: usize) -> Option<usize> {
    let run = text.run(i, is_quote).min(i + 2);
    let double = || text.literal(i, "''");
    (run > i).then_some(run).or_else(double).or_else(|| apostrophe(text, i))
}

/// Quotation marks as LaTeX writes them.
pub(super) fn latex_quotes(taken: &[char], opening: bool) -> String {
    let text: String = taken.iter().filter(|c| **c != '\u{ad}').collect();
    let text = text.replace("&apos;", "'");
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\'' if opening => out.push('`'),
            '\u{91}' | '‘' | '‛' | '‹' => out.push('`'),
            '\u{92}' | '’' | '›' => out.push('\''),
            '\u{93}' | '“' | '«' => out += "``",
            '\u{94}' | '”' | '»' => out += "''",
            c => out.push(c),
        }
    }
    // Two apostrophes are a closing mark wherever they stand.
    if text == "''" { text } else { out }
}

/// A character of a token that holds spaces or parentheses.
pub(super) fn spelled(c: char) -> String {
    match c {
        ' ' => "\u{a0}".into(),
        '(' | ')' => bracket(c).unwrap_or_default().into(),
        c => c.into(),
    }
}

/// The name of a bracket.
pub(super) fn bracket(c: char) -> Option<&'static str> {
    match c {
        '(' => Some("-LRB-"),
        ')' => Some("-RRB-"),
        '{' => Some("-LCB-"),
        '}' => Some("-RCB-"),
        '[' => Some("-LSB-"),
        ']' => Some("-RSB-"),
        _ => None,
    }
}

/// Marks and signs that are tokens by themselves.
pub(super) fn is_symbol(c: char) -> bool {
    if c.is_ascii() {
        return ",;:./=+%&~^|\\".contains(c);
    }
    matches!(c,
        '¡' | '¿' | '\u{37e}' | '\u{589}' | '\u{61f}' | '\u{6d4}' | '\u{700}'..='\u{702}' | '\u{7fa}' | '。' | '、'
        | '¦' | '§' | '¨' | '©' | '¬' | '®' | '¯' | '°'..='³' | '´'..='º' | '×' | '÷' | '\u{387}' | '\u{5be}'
        | '\u{5c0}' | '\u{5c3}' | '\u{5c6}' | '\u{5f3}' | '\u{5f4}' | '\u{600}'..='\u{603}' | '\u{606}'..='\u{60a}'
        | '\u{60c}' | '\u{614}' | '\u{61b}' | '\u{61e}' | '\u{66a}' | '\u{66d}' | '\u{703}'..='\u{70d}'
        | '\u{7f6}'..='\u{7f8}' | '\u{964}' | '\u{965}' | '\u{e4f}' | '\u{1fbd}' | '\u{2016}' | '\u{2017}'
        | '†'..='․' | '‥' | '\u{2030}'..='\u{2038}' | '※' | '‼' | '\u{203e}'..='\u{2042}' | '\u{2043}' | '⁄'
        | '\u{207a}'..='\u{207f}' | '\u{208a}'..='\u{208e}' | '\u{2100}'..='\u{214f}' | '\u{2190}'..='\u{2bff}'
        | '\u{3001}'..='\u{3006}' | '\u{3008}'..='\u{3020}' | '・' | '\u{ff01}'..='\u{ff0f}'
        | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}')
}
