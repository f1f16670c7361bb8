//! Shapes of words: each function says where a word of one shape that begins at a place ends, or `None`.

use super::text::{Text, is_letter};

/// A letter, or the entity of one (`&eacute;`).
fn letter(text: Text, i: usize) -> Option<usize> {
    match text.get(i)? {
        '&' => {
            let vowel = text.get(i + 1).is_some_and(|c| "aeiouAEIOU".contains(c));
            let accents = ["acute;", "grave;", "uml;"];
            accents.iter().find_map(|accent| text.literal(i + 2, accent)).filter(|_| vowel)
        }
        c => is_letter(c).then_some(i + 1),
    }
}

fn plain_word(text: Text, i: usize) -> Option<usize> {
    let mut end = letter(text, i)?;
    loop {
        match letter(text, end) {
            Some(next) => end = next,
            None if text.digit(end) => end += 1,
            None => return Some(end),
        }
    }
}

/// Letters and digits, a letter first; such words joined by `.`, `!` or `?`.
pub(super) fn word(text: Text, i: usize) -> Option<usize> {
    word_ends(text, i).last().copied()
}

/// The places where a [`word`] may end before an apostrophe.
pub(super) fn word_ends(text: Text, i: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = plain_word(text, i);
    while let Some(end) = at {
        ends.push(end);
        at = text.get(end).filter(|c| ".!?".contains(*c)).and_then(|_| plain_word(text, end + 1));
    }
    ends
}

/// `'`, `’` or its entity.
pub(super) fn apostrophe(text: Text, i: usize) -> Option<usize> {
    match text.get(i)? {
        '\'' | '\u{92}' | '’' => Some(i + 1),
        '&' => text.literal(i, "&apos;"),
        _ => None,
    }
}

/// An apostrophe, or what is found in its place.
pub(super) fn apostrophe_like(text: Text, i: usize) -> Option<usize> {
    match text.get(i)? {
        '`' | '\u{91}' | '‘' | '‛' => Some(i + 1),
        _ => apostrophe(text, i),
    }
}

/// `'s`, `'m`, `'d`, `'re`, `'ve`, `'ll`.
pub(super) fn clitic(text: Text, i: usize) -> Option<usize> {
    let after = apostrophe(text, i)?;
    ["re", "ve", "ll", "s", "m", "d"].iter().find_map(|end| text.literal(after, end))
}

/// `n't`.
pub(super) fn not(text: Text, i: usize) -> Option<usize> {
    let after = text.literal(i, "n")?;
    apostrophe_like(text, after).and_then(|end| text.literal(end, "t"))
}

/// The end of the letters before `n't`; they do not end in n.
pub(super) fn before_not(text: Text, i: usize) -> Option<usize> {
    let end = text.run(i, |c| c.is_ascii_alphabetic() || c == '\u{ad}');
    let stem = end.checked_sub(1).filter(|stem| *stem > i && text.is(*stem, 'n'))?;
    let last = (i..stem).rev().map(|k| text.0[k]).find(|c| *c != '\u{ad}')?;
    (!last.eq_ignore_ascii_case(&'n') && not(text, stem).is_some()).then_some(stem)
}

/// Words that are taken apart, and how many of their letters go to the second part.
pub(super) fn assimilation(text: Text, i: usize) -> Option<(usize, usize)> {
    let apart = [("cannot", 3), ("gonna", 2), ("gotta", 2), ("lemme", 2), ("gimme", 2), ("wanna", 2)];
    let found = apart.iter().find_map(|(word, back)| text.literal(i, word).map(|end| (end, *back)));
    let old = || [("'twas", 3), ("'tis", 2)].iter().find_map(|(word, back)| Some((text.literal(i, word)?, *back)));
    found.or_else(old)
}

pub(super) fn programming_language(text: Text, i: usize) -> Option<usize> {
    ["c++", "c#", "f#"].iter().find_map(|name| text.literal(i, name))
}

/// Words with an apostrophe inside that stay whole.
pub(super) fn apostrophe_word(text: Text, i: usize) -> Option<usize> {
    let mut longest = None;
    let mut take = |end: Option<usize>| longest = longest.max(end);
    let letters = |from: usize| text.run(from, is_letter);
    if let Some(after) = apostrophe(text, i) {
        if let Some(end) = text.literal(after, "n") {
            take(Some(apostrophe(text, end).unwrap_or(end)));
        }
        for rest in ["em", "til", "till", "cause"] {
            take(text.literal(after, rest));
        }
        if text.get(after).is_some_and(|c| ('2'..='9').contains(&c)) {
            take(text.literal(after + 1, "0s"));
        }
        return longest;
    }
    let first = text.get(i)?;
    if "lLdDjJ".contains(first) {
        take(apostrophe(text, i + 1));
    }
    for start in ["dunkin", "somethin", "ol"] {
        take(text.literal(i, start).and_then(|end| apostrophe(text, end)));
    }
    if matches!(first, 'A'..='H' | 'J'..='X' | 'Z' | 'n')
        && let Some(after) = apostrophe_like(text, i + 1)
    {
        let end = letters(after);
        take((end >= after + 2).then_some(end));
    }
    let run = letters(i);
    if run >= i + 2
        && "aeiouyAEIOUY".contains(text.0[run - 1])
        && let Some(after) = apostrophe_like(text, run)
        && text.get(after).is_some_and(|c| "aeiou".contains(c) || c.is_ascii_uppercase())
    {
        take(Some(letters(after)));
    }
    for whole in ["cont'd.", "cont'd", "nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l"] {
        take(text.literal(i, whole));
    }
    longest
}

/// Spellings of their own: `S&P-500`, `C.D.s`, `pro-`, `Cap'n`.
pub(super) fn fixed(text: Text, i: usize) -> Option<usize> {
    let whole = ["c.d.s", "pro-", "anti-", "s&p-500", "s&amp;p-500", "s&ls", "s&amp;ls"];
    let french = |start: &str, rest: &str| {
        text.literal(i, start).and_then(|end| apostrophe(text, end)).and_then(|end| text.literal(end, rest))
    };
    whole.iter().filter_map(|w| text.literal(i, w)).max().or_else(|| french("cap", "n")).or_else(|| french("c", "est"))
}
