//! Rows of a nuScenes table, streamed: a table is one JSON array of flat objects, too large to hold as a document.
//!
//! The file is read in blocks. A row is cut into the raw values of the fields that are wanted; they are converted when
//! asked for, and every fault is an error with the row and the field.

use super::token::Token;
use crate::DataError;
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at once. A row that is longer makes the buffer grow.
const BLOCK: usize = 1 << 20;
/// No row is longer than this.
const LONGEST_ROW: usize = 64 << 20;

/// One row: the raw values of `N` fields.
pub(super) struct Row<'a, const N: usize> {
    path: &'a Path,
    /// From 0.
    number: usize,
    fields: &'a [&'static str; N],
    raw: [&'a [u8]; N],
}

impl<'a, const N: usize> Row<'a, N> {
    /// An error about a field of this row.
    pub fn wrong(&self, field: usize, problem: impl Into<String>) -> DataError {
        let field = self.fields[field];
        DataError::Table { path: self.path.into(), row: self.number, field: field.into(), problem: problem.into() }
    }

    fn value(&self, field: usize) -> Result<&'a [u8], DataError> {
        if self.raw[field].is_empty() {
            return Err(self.wrong(field, "the field is missing"));
        }
        Ok(self.raw[field])
    }

    /// What stands between the quotes, escapes and all.
    fn quoted(&self, field: usize) -> Result<&'a [u8], DataError> {
        match self.value(field)? {
            [b'"', inner @ .., b'"'] => Ok(inner),
            _ => Err(self.wrong(field, "expected a string")),
        }
    }

    /// A token.
    pub fn token(&self, field: usize) -> Result<Token, DataError> {
        Ok(Token::new(self.quoted(field)?))
    }

    /// A token that may be the empty string.
    pub fn optional_token(&self, field: usize) -> Result<Option<Token>, DataError> {
        let text = self.quoted(field)?;
        Ok((!text.is_empty()).then(|| Token::new(text)))
    }

    /// The text of a token, if it is not of the usual kind.
    pub fn odd_token(&self, field: usize) -> Result<Option<String>, DataError> {
        let text = self.quoted(field)?;
        Ok((!Token::is_hex(text)).then(|| String::from_utf8_lossy(text).into_owned()))
    }

    /// Text.
    pub fn text(&self, field: usize) -> Result<Cow<'a, str>, DataError> {
        let inner = self.quoted(field)?;
        if !inner.contains(&b'\\') {
            return std::str::from_utf8(inner).map(Cow::Borrowed).map_err(|_| self.wrong(field, "not UTF-8"));
        }
        let text: Result<String, _> = serde_json::from_slice(self.value(field)?);
        text.map(Cow::Owned).map_err(|e| self.wrong(field, e.to_string()))
    }

    /// Yes or no.
    pub fn flag(&self, field: usize) -> Result<bool, DataError> {
        match self.value(field)? {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(self.wrong(field, "expected true or false")),
        }
    }

    /// A whole number that is not negative.
    pub fn count(&self, field: usize) -> Result<u64, DataError> {
        let text = std::str::from_utf8(self.value(field)?).unwrap_or("");
        if let Ok(whole) = text.parse() {
            return Ok(whole);
        }
        // Timestamps may be written as 1.5e15 by other tools.
        match number(text.as_bytes()) {
            Some(v) if v >= 0.0 && v.fract() == 0.0 && v < 1e18 => Ok(v as u64),
            _ => Err(self.wrong(field, format!("expected a whole number, found `{}`", clip(text)))),
        }
    }

    /// `K` finite numbers.
    pub fn vector<const K: usize>(&self, field: usize) -> Result<[f64; K], DataError> {
        let mut out = [0.0; K];
        let mut found = 0;
        for item in self.items(field)? {
            let value = number(item).ok_or_else(|| {
                self.wrong(field, format!("expected finite numbers, found `{}`", clip(&String::from_utf8_lossy(item))))
            })?;
            if found < K {
                out[found] = value;
            }
            found += 1;
        }
        if found != K {
            return Err(self.wrong(field, format!("expected {K} numbers, found {found}")));
        }
        Ok(out)
    }

    /// The tokens of a list.
    pub fn tokens(&self, field: usize) -> Result<Vec<Token>, DataError> {
        self.items(field)?
            .map(|item| match item {
                [b'"', inner @ .., b'"'] => Ok(Token::new(inner)),
                _ => Err(self.wrong(field, "expected a list of strings")),
            })
            .collect()
    }

    /// A 3×3 matrix, or an empty list.
    pub fn matrix(&self, field: usize) -> Result<Option<[[f64; 3]; 3]>, DataError> {
        let rows: Vec<[f64; 3]> = serde_json::from_slice(self.value(field)?)
            .map_err(|_| self.wrong(field, "expected a 3×3 matrix or an empty list"))?;
        match rows[..] {
            [] => Ok(None),
            [a, b, c] if rows.iter().flatten().all(|v| v.is_finite()) => Ok(Some([a, b, c])),
            _ => Err(self.wrong(field, "expected a 3×3 matrix or an empty list")),
        }
    }

    /// The items of a list without lists in it.
    fn items(&self, field: usize) -> Result<impl Iterator<Item = &'a [u8]>, DataError> {
        let [b'[', inner @ .., b']'] = self.value(field)? else {
            return Err(self.wrong(field, "expected a list"));
        };
        let inner = inner.trim_ascii();
        let items = inner.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        Ok(items.take(if inner.is_empty() { 0 } else { usize::MAX }))
    }
}

fn clip(text: &str) -> String {
    text.chars().take(24).collect()
}

/// A finite JSON number.
fn number(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    // Up to 2^53, divided by an exact power of ten, is correctly rounded.
    let (mut mantissa, mut fraction, mut point) = (0_u64, 0_usize, false);
    let simple = digits.len() <= 17
        && digits.iter().all(|byte| match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                fraction += usize::from(point);
                true
            }
            b'.' if !point => {
                point = true;
                true
            }
            _ => false,
        });
    if simple && mantissa < 1 << 53 {
        const POWERS: [f64; 18] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];
        let value = mantissa as f64 / POWERS[fraction];
        return Some(if digits.len() < text.len() { -value } else { value });
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|v: &f64| v.is_finite())
}

/// What a look at the buffer found.
enum Step<const N: usize> {
    /// A row, and where to go on.
    Row([(usize, usize); N], usize),
    /// The array ended here.
    End(usize),
    /// More bytes are needed.
    Short,
    /// No table.
    Bad(usize, &'static str),
}

/// Part of a table's file: from the start of a row (or of the file) to the end of one (or of the file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    begin: u64,
    end: Option<u64>,
}

/// The whole file.
pub(super) const WHOLE: Part = Part { begin: 0, end: None };

/// Cut a large table where rows seem to end, into at most `most` parts. A text may look like the end of a row, so a part
/// that cannot be read says nothing yet: read the whole.
pub(super) fn parts(path: &Path, most: u64) -> Vec<Part> {
    let cut = || -> std::io::Result<Vec<Part>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let count = most.min(length / (4 * BLOCK as u64)).max(1);
        let mut found = vec![WHOLE];
        for part in 1..count {
            let from = length / count * part;
            let mut window = vec![0; 1 << 14];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut window)?;
            let ends = window.iter().enumerate().filter(|(_, byte)| **byte == b'}').map(|(at, _)| at + 1);
            let next = |end: usize| {
                let comma = space(&window, end);
                let row = space(&window, comma + 1);
                (window.get(comma) == Some(&b',') && window.get(row) == Some(&b'{')).then_some((end, row))
            };
            if let Some((end, row)) = ends.into_iter().find_map(next) {
                if let Some(last) = found.last_mut() {
                    last.end = Some(from + end as u64);
                }
                found.push(Part { begin: from + row as u64, end: None });
            }
        }
        Ok(found)
    };
    cut().unwrap_or_else(|_| vec![WHOLE])
}

/// Hand every row of a table to `take`; the number of rows.
///
/// # Errors
/// When the file cannot be read, is cut short or is not a table, and whatever `take` says.
pub(super) fn rows<const N: usize>(
    path: &Path,
    fields: [&'static str; N],
    take: impl FnMut(&Row<'_, N>) -> Result<(), DataError>,
) -> Result<u32, DataError> {
    rows_of(path, WHOLE, fields, take)
}

/// [`rows`] of a part.
///
/// # Errors
/// As [`rows`]; rows are counted from the part's first.
pub(super) fn rows_of<const N: usize>(
    path: &Path,
    part: Part,
    fields: [&'static str; N],
    mut take: impl FnMut(&Row<'_, N>) -> Result<(), DataError>,
) -> Result<u32, DataError> {
    let io = |source| DataError::Io { path: path.into(), source };
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(part.begin)).map_err(io)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(2 * BLOCK);
    let (mut at, mut base, mut number, mut ended) = (0, part.begin, 0_usize, false);
    let mut opened = part.begin > 0;
    loop {
        let step = if opened { next_row(&buffer, at, &fields, number == 0) } else { open(&buffer, at) };
        match step {
            Step::Row(places, next) if opened => {
                let raw = places.map(|(from, to)| &buffer[from..to]);
                take(&Row { path, number, fields: &fields, raw })?;
                number += 1;
                at = next;
                if part.end.is_some_and(|end| base + at as u64 >= end) {
                    return Ok(number as u32);
                }
            }
            Step::Row(_, next) => (opened, at) = (true, next),
            Step::End(next) => {
                at = next;
                break;
            }
            Step::Bad(place, problem) => {
                let field = format!("byte {}", base + place as u64);
                return Err(DataError::Table { path: path.into(), row: number, field, problem: problem.into() });
            }
            Step::Short if ended => {
                let field = format!("byte {}", base + buffer.len() as u64);
                let problem = "the file ends here, in the middle of the table".into();
                return Err(DataError::Table { path: path.into(), row: number, field, problem });
            }
            Step::Short => {
                buffer.drain(..at);
                base += at as u64;
                at = 0;
                if buffer.len() > LONGEST_ROW {
                    let problem = "a row longer than 64 MiB".into();
                    let field = format!("byte {base}");
                    return Err(DataError::Table { path: path.into(), row: number, field, problem });
                }
                let more = BLOCK.max(buffer.len()) as u64;
                ended = file.by_ref().take(more).read_to_end(&mut buffer).map_err(io)? == 0;
            }
        }
    }
    let mut rest = buffer[at..].to_vec();
    file.read_to_end(&mut rest).map_err(io)?;
    if !rest.trim_ascii().is_empty() {
        let problem = "something follows the end of the table".into();
        let field = format!("byte {}", base + at as u64);
        return Err(DataError::Table { path: path.into(), row: number, field, problem });
    }
    u32::try_from(number).map_err(|_| DataError::invalid(path, "rows", "more than 2³² rows"))
}

fn space(buffer: &[u8], mut at: usize) -> usize {
    while buffer.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The opening bracket.
fn open<const N: usize>(buffer: &[u8], at: usize) -> Step<N> {
    let at = space(buffer, at);
    match buffer.get(at) {
        None => Step::Short,
        Some(b'[') => Step::Row([(0, 0); N], at + 1),
        Some(_) => Step::Bad(at, "expected a list of rows"),
    }
}

/// The next row or the closing bracket.
fn next_row<const N: usize>(buffer: &[u8], at: usize, fields: &[&'static str; N], first: bool) -> Step<N> {
    let mut at = space(buffer, at);
    match (buffer.get(at), first) {
        (None, _) => return Step::Short,
        (Some(b']'), _) => return Step::End(at + 1),
        (Some(b','), false) => at = space(buffer, at + 1),
        (Some(b'{'), true) => {}
        _ => return Step::Bad(at, "expected a row or the end of the list"),
    }
    match buffer.get(at) {
        None => return Step::Short,
        Some(b'{') => at += 1,
        Some(_) => return Step::Bad(at, "expected a row"),
    }
    let mut places = [(0, 0); N];
    // Tables keep one order of fields, so the next is usually the one after the last.
    let mut expected = 0;
    loop {
        at = space(buffer, at);
        match buffer.get(at) {
            None => return Step::Short,
            Some(b'}') => return Step::Row(places, at + 1),
            Some(b'"') => {}
            Some(_) => return Step::Bad(at, "expected a field"),
        }
        let Some(end) = string_end(buffer, at) else { return Step::Short };
        let key = &buffer[at + 1..end - 1];
        at = space(buffer, end);
        match buffer.get(at) {
            None => return Step::Short,
            Some(b':') => at = space(buffer, at + 1),
            Some(_) => return Step::Bad(at, "expected a colon"),
        }
        let end = match value_end(buffer, at) {
            Ok(Some(end)) => end,
            Ok(None) => return Step::Short,
            Err((place, problem)) => return Step::Bad(place, problem),
        };
        let named = |i: &usize| fields[*i].as_bytes() == key;
        if let Some(field) = (expected..N).chain(0..expected).find(named) {
            places[field] = (at, end);
            expected = (field + 1) % N;
        }
        at = space(buffer, end);
        match buffer.get(at) {
            None => return Step::Short,
            Some(b',') => at += 1,
            Some(b'}') => {}
            Some(_) => return Step::Bad(at, "expected a comma or the end of the row"),
        }
    }
}

/// Where the first byte that is one of `N` lies, from `from` on. Eight bytes are looked at together.
fn find<const N: usize>(buffer: &[u8], from: usize, wanted: [u8; N]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    while let Some(eight) = buffer.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().ok()?);
        // A byte that is wanted becomes zero, and only a zero byte borrows into its own top bit first.
        let hits = wanted.iter().fold(0, |hits, byte| {
            let zero = word ^ (ONES * u64::from(*byte));
            hits | (zero.wrapping_sub(ONES) & !zero & (0x80 * ONES))
        });
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    buffer.get(at..)?.iter().position(|byte| wanted.contains(byte)).map(|found| at + found)
}

/// Just after the closing quote of the string that opens at `at`.
fn string_end(buffer: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let found = find(buffer, from, [b'"', b'\\'])?;
        if buffer[found] == b'"' {
            return Some(found + 1);
        }
        from = found + 2;
    }
}

/// Just after the value that begins at `at`; `None` when the buffer ends first.
fn value_end(buffer: &[u8], at: usize) -> Result<Option<usize>, (usize, &'static str)> {
    match buffer.get(at) {
        None => Ok(None),
        Some(b'"') => Ok(string_end(buffer, at)),
        Some(b'[' | b'{') => {
            let (mut depth, mut place) = (0_usize, at);
            while let Some(found) = find(buffer, place, [b'[', b']', b'{', b'}', b'"']) {
                place = found + 1;
                match buffer[found] {
                    b'[' | b'{' => depth += 1,
                    b'"' => match string_end(buffer, found) {
                        Some(end) => place = end,
                        None => return Ok(None),
                    },
                    _ => {
                        depth -= 1;
                        if depth == 0 {
                            return Ok(Some(place));
                        }
                    }
                }
            }
            Ok(None)
        }
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'-' => {
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace();
            Ok(buffer[at..].iter().position(ends).map(|n| at + n))
        }
        Some(_) => Err((at, "expected a value")),
    }
}
