//! Addresses, names of files, words joined by hyphens, slashes and ampersands.

use super::abbreviations::acronym;
use super::text::{Text, is_alphanumeric, is_letter, is_space};
use super::words::apostrophe_like;

fn url_character(c: char) -> bool {
    !matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r' | '"' | '<' | '>' | '|' | '(' | ')')
}

/// The end of a stretch of URL that does not end in a mark.
fn url_tail(text: Text, i: usize, inside: impl Fn(char) -> bool) -> Option<usize> {
    let mut end = text.run(i, inside);
    while end > i && ".!?{},-".contains(text.0[end - 1]) {
        end -= 1;
    }
    (end >= i + 2).then_some(end)
}

pub(super) fn full_url(text: Text, i: usize) -> Option<usize> {
    let start = text.literal(i, "https://").or_else(|| text.literal(i, "http://"))?;
    url_tail(text, start, |c| url_character(c) && !"{}".contains(c))
}

/// `www.….xx` and `….com`, `.net`, `.org`, `.edu`, with a path perhaps.
pub(super) fn likely_url(text: Text, i: usize) -> Option<usize> {
    // A host needs a dot before the next space: nearly all words have none.
    let reach = text.run(i, url_character);
    if !text.0[i..reach].contains(&'.') {
        return None;
    }
    let with_path = |end: usize| {
        let path = text.is(end, '/').then(|| url_tail(text, end + 1, url_character)).flatten();
        path.unwrap_or(end)
    };
    let mut longest = None;
    if let Some(start) = text.literal(i, "www.") {
        let label = |c: char| url_character(c) && !".!?{},".contains(c);
        let mut at = start;
        loop {
            let end = text.run(at, label);
            if end == at || !text.is(end, '.') {
                break;
            }
            at = end + 1;
            let top = text.run(at, |c| c.is_ascii_alphabetic());
            longest = longest.max((top >= at + 2).then(|| with_path(top.min(at + 4))));
        }
    }
    let label = |c: char| url_character(c) && !matches!(c, '`' | '\'' | '!' | '?' | '{' | '}' | '$' | ','..='_');
    let mut at = i;
    loop {
        let end = text.run(at, label);
        if end == at || !text.is(end, '.') {
            return longest;
        }
        at = end + 1;
        for top in ["com", "net", "org", "edu"] {
            longest = longest.max(text.literal(at, top).map(with_path));
        }
    }
}

pub(super) fn email(text: Text, i: usize) -> Option<usize> {
    let open = text.literal(i, "<").or_else(|| text.literal(i, "&lt;")).unwrap_or(i);
    if !text.get(open).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let inside = |c: char| url_character(c) && !matches!(c, '\u{a0}' | '{' | '}');
    let reach = text.run(open, inside);
    let mut longest = None;
    for at in (open + 1..reach).filter(|k| text.0[*k] == '@') {
        let mut end = at;
        loop {
            let label = text.run(end + 1, |c| inside(c) && c != '.');
            if label == end + 1 {
                break;
            }
            end = label;
            longest = longest.max(Some(end));
            if !text.is(end, '.') {
                break;
            }
        }
    }
    longest.map(|end| text.literal(end, ">").or_else(|| text.literal(end, "&gt;")).unwrap_or(end))
}

/// `@name` and `#tag`.
pub(super) fn handle(text: Text, i: usize) -> Option<usize> {
    if text.is(i, '@') {
        let named = text.get(i + 1).is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        return named.then(|| text.run(i + 1, |c| c.is_ascii_alphanumeric() || c == '_'));
    }
    let end = text.run(i + 1, is_letter);
    (text.is(i, '#') && end > i + 1).then_some(end)
}

/// `and/or`, `a-b/c/d`.
pub(super) fn slashed(text: Text, i: usize) -> Option<usize> {
    let side = |from: usize| {
        let mut end = text.run(from, |c| c.is_ascii_alphanumeric());
        if end == from {
            return None;
        }
        for _ in 0..2 {
            let part = text.run(end + 1, |c| c.is_ascii_alphabetic());
            if text.is(end, '-') && part > end + 1 {
                end = part;
            }
        }
        Some(end)
    };
    let mut end = side(i)?;
    let mut found = None;
    for _ in 0..2 {
        let slash = if text.is(end, '\\') { end + 1 } else { end };
        if !text.is(slash, '/') {
            break;
        }
        match side(slash + 1) {
            Some(next) => end = next,
            None => break,
        }
        found = Some(end);
    }
    found
}

/// ASCII words, the first with dots and commas in it, joined by hyphens.
pub(super) fn hyphenated_ascii(text: Text, i: usize) -> Option<usize> {
    text.get(i).filter(|c| c.is_ascii_alphanumeric())?;
    let mut end = text.run(i, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '\u{ad}'));
    let mut found = None;
    while text.is(end, '-') {
        let part = text.run(end + 1, |c| c.is_ascii_alphanumeric() || c == '\u{ad}');
        let initials = acronym(text, end + 1).filter(|stop| *stop > end + 3);
        let next = initials.unwrap_or(part).max(part);
        if next == end + 1 {
            break;
        }
        end = next;
        found = Some(end);
    }
    found
}

/// A file's name before a blank or a mark.
pub(super) fn file_name(text: Text, i: usize) -> Option<usize> {
    const KINDS: [&str; 34] = [
        "bat", "bmp", "c", "class", "cgi", "cpp", "dll", "doc", "docx", "exe", "gif", "gz", "h", "htm", "html", "jar",
        "java", "jpeg", "jpg", "mov", "mp3", "pdf", "php", "pl", "png", "ppt", "ps", "py", "sql", "tar", "txt", "wav",
        "x", "xml",
    ];
    text.get(i).filter(|c| c.is_ascii_alphanumeric())?;
    let mut end = text.run(i, |c| c.is_ascii_alphanumeric());
    let mut found = None;
    while text.is(end, '.') {
        let part = text.run(end + 1, |c| c.is_ascii_alphanumeric());
        if part == end + 1 {
            break;
        }
        let followed = text.get(part).is_some_and(|c| is_space(c) || "\n.?!,\"'<".contains(c));
        if followed && KINDS.iter().any(|kind| text.literal(end + 1, kind) == Some(part)) {
            found = Some(part);
        }
        end = part;
    }
    found
}

/// Letters and digits of any script joined by hyphens, with `O'` or `d'` before a part.
pub(super) fn hyphenated(text: Text, i: usize) -> Option<usize> {
    let part = |from: usize| {
        let prefixed = text.get(from).filter(|c| "dDoOlL".contains(*c)).and_then(|_| apostrophe_like(text, from + 1));
        let plain = |at: usize, least: usize| Some(text.run(at, is_alphanumeric)).filter(|end| *end >= at + least);
        prefixed.and_then(|at| plain(at, 2)).or_else(|| plain(from, 1))
    };
    let mut end = part(i)?;
    while text.get(end).is_some_and(|c| matches!(c, '-' | '_' | '\u{58a}' | '\u{2010}' | '\u{2011}')) {
        match part(end + 1) {
            Some(next) => end = next,
            None => break,
        }
    }
    Some(end)
}

/// `AT&T`, `A+B`: capitals.
pub(super) fn ampersand_joined(text: Text, i: usize) -> Option<usize> {
    let capitals = |from: usize| Some(text.run(from, |c| c.is_ascii_uppercase())).filter(|end| *end > from);
    let mut end = capitals(i)?;
    let mut found = None;
    loop {
        let sign = text.literal(end, "&amp;").or_else(|| text.get(end).filter(|c| "+&".contains(*c)).map(|_| end + 1));
        match sign.and_then(capitals) {
            Some(next) => end = next,
            None => return found,
        }
        found = Some(end);
    }
}
