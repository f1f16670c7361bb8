//! Text as characters, and their kinds.

/// Text as characters.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub &'a [char]);

impl Text<'_> {
    pub fn get(&self, i: usize) -> Option<char> {
        self.0.get(i).copied()
    }

    /// Whether the character at a place is this one, whatever its case.
    pub fn is(&self, i: usize, c: char) -> bool {
        self.get(i).is_some_and(|found| found.to_ascii_lowercase() == c)
    }

    /// Where a word of lower-case ASCII ends, whatever the case in the text.
    pub fn literal(&self, i: usize, word: &str) -> Option<usize> {
        word.bytes().enumerate().all(|(k, b)| self.is(i + k, b.into())).then_some(i + word.len())
    }

    /// The end of the run of such characters.
    pub fn run(&self, mut i: usize, such: impl Fn(char) -> bool) -> usize {
        while self.get(i).is_some_and(&such) {
            i += 1;
        }
        i
    }

    pub fn letter(&self, i: usize) -> bool {
        self.get(i).is_some_and(is_letter)
    }

    pub fn digit(&self, i: usize) -> bool {
        self.get(i).is_some_and(is_digit)
    }

    /// The run of ASCII letters at a place, in lower case, if it is short.
    pub fn ascii_word(&self, i: usize) -> ([u8; 12], usize) {
        let mut word = [0; 12];
        let end = self.run(i, |c| c.is_ascii_alphabetic()).min(i + 12);
        for (byte, c) in word.iter_mut().zip(&self.0[i.min(end)..end]) {
            *byte = c.to_ascii_lowercase() as u8;
        }
        (word, end - i.min(end))
    }
}

pub(super) fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{3000}')
}

pub(super) fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || !c.is_ascii()
            && (c <= '\u{ffff}'
                && c.is_alphabetic()
                && !matches!(c, '\u{2160}'..='\u{2188}' | '\u{24b6}'..='\u{24e9}' | '\u{3007}' | '\u{3021}'..='\u{3029}')
                || matches!(c, '\u{ad}' | '\u{2c2}'..='\u{2c5}' | '\u{2d2}'..='\u{2df}' | '\u{2e5}'..='\u{36f}'))
}

pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && c <= '\u{ffff}' && c.is_numeric() && is_decimal(c)
}

/// Decimal digits of other scripts come in tens that start at these places (the common ones).
fn is_decimal(c: char) -> bool {
    const ZEROS: [u32; 10] = [0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xe50, 0x17e0, 0xff10];
    ZEROS.iter().any(|zero| (c as u32).wrapping_sub(*zero) < 10)
}

pub(super) fn is_alphanumeric(c: char) -> bool {
    is_letter(c) || is_digit(c)
}

/// Marks that end a clause, not a sentence.
pub(super) fn is_inner_mark(c: char) -> bool {
    matches!(c, ',' | ';' | ':')
}
