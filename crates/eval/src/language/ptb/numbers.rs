//! Numbers, dates, fractions, money, telephone numbers.

use super::Token;
use super::text::{Text, is_digit};

/// `12/5-2010`.
pub(super) fn date(text: Text, i: usize) -> Option<usize> {
    let part = |from: usize, least: usize, most: usize| {
        let end = text.run(from, is_digit);
        (end >= from + least).then_some(end.min(from + most))
    };
    let joined = |at: usize| text.get(at).is_some_and(|c| "-/".contains(c)).then_some(at + 1);
    let day = part(i, 1, 2).and_then(joined)?;
    part(part(day, 1, 2).and_then(joined)?, 2, 4)
}

/// A number with its sign; separators stand between digits or before the first.
pub(super) fn number(text: Text, i: usize) -> Option<usize> {
    let sign = text.get(i).filter(|c| "+-".contains(*c)).map_or(i, |_| i + 1);
    let mut end = text.run(sign, is_digit);
    while text.get(end).is_some_and(|c| matches!(c, '.' | ':' | ',' | '\u{ad}' | '\u{66b}' | '\u{66c}')) {
        let digits = text.run(end + 1, is_digit);
        if digits == end + 1 {
            break;
        }
        end = digits;
    }
    (end > sign).then_some(end)
}

pub(super) fn raised_digits(text: Text, i: usize) -> Option<usize> {
    let sign = text.get(i).filter(|c| "⁺⁻₊₋".contains(*c)).map_or(i, |_| i + 1);
    let raised = text.run(sign, |c| matches!(c, '\u{2070}' | '¹' | '²' | '³' | '\u{2074}'..='\u{2079}'));
    let lowered = text.run(sign, |c| ('\u{2080}'..='\u{2089}').contains(&c));
    let end = raised.max(lowered);
    (end > sign).then_some(end)
}

/// The ends of 1 to `most` digits at a place, fewest first.
fn digit_ends(text: Text, i: usize, least: usize, most: usize) -> impl Iterator<Item = usize> {
    let run = text.run(i, is_digit).min(i + most);
    (i + least)..(run + 1)
}

/// `1/2`, `3-1/2`, `1 1/2`.
pub(super) fn fraction(text: Text, i: usize) -> Option<usize> {
    let simple = |at: usize| {
        let over = text.run(at, is_digit);
        if over == at || over > at + 4 {
            return None;
        }
        let slash = if text.is(over, '\\') { over + 1 } else { over };
        let bar = text.is(slash, '/') || text.is(over, '⁄');
        let below = if text.is(slash, '/') { slash + 1 } else { over + 1 };
        if bar { digit_ends(text, below, 1, 4).last() } else { None }
    };
    let whole = text.run(i, is_digit);
    let mixed = (whole > i && whole <= i + 4 && text.get(whole).is_some_and(|c| matches!(c, '-' | ' ' | '\u{a0}')))
        .then(|| simple(whole + 1))
        .flatten();
    mixed.or_else(|| simple(i))
}

/// ¼ and its like.
pub(super) fn fraction_sign(c: char) -> Option<char> {
    matches!(c, '¼' | '½' | '¾' | '\u{2153}'..='\u{215e}').then_some(c)
}

pub(super) fn fraction_token(text: Text, i: usize) -> Token {
    match text.get(i) {
        Some('¼') => Token::As("1/4"),
        Some('½') => Token::As("1/2"),
        Some('¾') => Token::As("3/4"),
        Some('⅓') => Token::As("1/3"),
        Some('⅔') => Token::As("2/3"),
        _ => Token::Same,
    }
}

/// `US$`, `$`, `#`.
pub(super) fn dollars(text: Text, i: usize) -> Option<usize> {
    let capitals = text.run(i, |c| c.is_ascii_uppercase());
    if text.is(capitals, '$') { Some(capitals + 1) } else { text.is(i, '#').then_some(i + 1) }
}

/// How a currency sign is written; empty for as it is.
pub(super) fn currency(c: char) -> Option<&'static str> {
    match c {
        '¢' => Some("cents"),
        '£' => Some("#"),
        '\u{80}' | '¤' | '\u{20a0}' | '€' => Some("$"),
        '¥' | '\u{60b}' | '\u{e3f}' | '\u{20a4}' | '\u{20aa}' | '\u{ffe0}' | '\u{ffe1}' | '\u{ffe5}' | '\u{ffe6}' => {
            Some("")
        }
        _ => None,
    }
}

pub(super) fn phone(text: Text, i: usize) -> Option<usize> {
    if !text.get(i).is_some_and(|c| c == '(' || c == '+' || c.is_ascii_digit()) {
        return None;
    }
    let gap = |at: usize| text.get(at).is_some_and(|c| matches!(c, '-' | ' ' | '\u{a0}'));
    let mut starts: Vec<usize> = Vec::new();
    if text.is(i, '(') {
        for end in digit_ends(text, i + 1, 2, 3).filter(|end| text.is(*end, ')')) {
            starts.push(end + 1);
            if text.get(end + 1).is_some_and(|c| matches!(c, ' ' | '\u{a0}')) {
                starts.push(end + 2);
            }
        }
    }
    let plus = text.run(i, |c| c == '+').min(i + 2);
    for end in digit_ends(text, plus, 2, 4).filter(|end| gap(*end)) {
        starts.push(end + 1);
        starts.extend(digit_ends(text, end + 1, 2, 4).filter(|end| gap(*end)).map(|end| end + 1));
    }
    let mut longest = None;
    for start in starts {
        for middle in digit_ends(text, start, 3, 4) {
            longest = longest.max(digit_ends(text, middle, 3, 5).last());
            if gap(middle) {
                longest = longest.max(digit_ends(text, middle + 1, 3, 5).last());
            }
        }
    }
    longest
}
