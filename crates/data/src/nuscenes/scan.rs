//! Rows of a nuScenes table, streamed: a table is one JSON array of flat objects, too large to hold as a document.
//!
//! The file is read in blocks. A row is cut into the raw values of the fields that are wanted; they are converted when
//! asked for, and every fault is an error with the row and the field.

use super::token::{Token, quoted};
use crate::DataError;
use rayon::prelude::*;
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at once. A row that is longer makes the buffer grow.
const BLOCK: usize = 1 << 18;
/// Files are not cut into parts smaller than this.
const SMALLEST_PART: u64 = 4 << 20;
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
    /// Which row of the table it is, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

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
        quoted(self.value(field)?).ok_or_else(|| self.wrong(field, "expected a string"))
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
        let text = self.value(field)?;
        if text.len() < 20 && text.iter().all(u8::is_ascii_digit) {
            return Ok(text.iter().fold(0, |whole, digit| 10 * whole + u64::from(digit - b'0')));
        }
        // Timestamps may be written as 1.5e15 by other tools.
        match number(text) {
            Some(v) if v >= 0.0 && v.fract() == 0.0 && v < 1e18 => Ok(v as u64),
            _ => {
                let found = clip(&String::from_utf8_lossy(text));
                Err(self.wrong(field, format!("expected a whole number, found `{found}`")))
            }
        }
    }

    /// `K` finite numbers.
    pub fn vector<const K: usize>(&self, field: usize) -> Result<[f64; K], DataError> {
        let raw = self.value(field)?;
        if let Some(values) = numbers(raw) {
            return Ok(values);
        }
        // Something is wrong: say what.
        let mut found = 0;
        for item in self.items(field)? {
            if number(item).is_none() {
                let item = clip(&String::from_utf8_lossy(item));
                return Err(self.wrong(field, format!("expected finite numbers, found `{item}`")));
            }
            found += 1;
        }
        Err(self.wrong(field, format!("expected {K} numbers, found {found}")))
    }

    /// The token of a list that has one at most.
    pub fn token_at_most(&self, field: usize, problem: &str) -> Result<Option<Token>, DataError> {
        let mut items = self.items(field)?;
        let first =
            items.next().map(|item| quoted(item).ok_or_else(|| self.wrong(field, "expected a list of strings")));
        match items.next() {
            None => Ok(first.transpose()?.map(Token::new)),
            Some(_) => Err(self.wrong(field, problem)),
        }
    }

    /// The tokens of a list.
    pub fn tokens(&self, field: usize) -> Result<Vec<Token>, DataError> {
        self.items(field)?
            .map(|item| quoted(item).map(Token::new).ok_or_else(|| self.wrong(field, "expected a list of strings")))
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

/// A list of `K` finite numbers and nothing else.
fn numbers<const K: usize>(raw: &[u8]) -> Option<[f64; K]> {
    let mut out = [0.0; K];
    let mut at = space(raw, raw.starts_with(b"[").then_some(1)?);
    for (k, value) in out.iter_mut().enumerate() {
        if k > 0 {
            at = space(raw, (raw.get(at) == Some(&b',')).then_some(at + 1)?);
        }
        (*value, at) = number_at(raw, at)?;
        at = space(raw, at);
    }
    (raw.get(at) == Some(&b']') && at + 1 == raw.len()).then_some(out)
}

/// A finite JSON number.
fn number(text: &[u8]) -> Option<f64> {
    number_at(text, 0).filter(|(_, end)| *end == text.len()).map(|(value, _)| value)
}

/// The finite number that begins at a place, and where it ends.
fn number_at(text: &[u8], begin: usize) -> Option<(f64, usize)> {
    const POWERS: [f64; 20] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];
    let negative = text.get(begin) == Some(&b'-');
    let first = begin + usize::from(negative);
    let (mut mantissa, mut at, mut point) = (0_u64, first, None);
    loop {
        match text.get(at) {
            Some(digit @ b'0'..=b'9') => mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')),
            Some(b'.') if point.is_none() && at > first => point = Some(at),
            Some(b'e' | b'E') => {
                at += 1;
                while text.get(at).is_some_and(|c| matches!(c, b'0'..=b'9' | b'+' | b'-')) {
                    at += 1;
                }
                point = None;
                mantissa = u64::MAX;
                break;
            }
            _ => break,
        }
        at += 1;
    }
    let fraction = point.map_or(0, |p| at - p - 1);
    // A point and 19 digits at most: the mantissa is below 10^19.
    if at > first && at - first <= 19 + usize::from(point.is_some()) && mantissa != u64::MAX {
        // Up to 2^53, divided by an exact power of ten, is correctly rounded.
        let value = match POWERS.get(fraction) {
            Some(power) if mantissa < 1 << 53 => mantissa as f64 / power,
            _ => quotient(mantissa, 10_u64.pow(fraction as u32)),
        };
        return Some((if negative { -value } else { value }, at));
    }
    let value: f64 = std::str::from_utf8(text.get(begin..at)?).ok()?.parse().ok()?;
    (value.is_finite() && at > first && text[first].is_ascii_digit()).then_some((value, at))
}

/// Two whole numbers divided and correctly rounded; the first is not 0.
fn quotient(top: u64, bottom: u64) -> f64 {
    // Both with their first bit set: the quotient has 63 or 64 bits, of which the rounding needs 54 and whether more follow.
    let (up, down) = (top.leading_zeros(), bottom.leading_zeros());
    let (top, bottom) = (u128::from(top << up) << 63, u128::from(bottom << down));
    let whole = (top / bottom) as u64 | u64::from(!top.is_multiple_of(bottom));
    // 2^(down − up − 63), with the exponent within ±127.
    whole as f64 * f64::from_bits(u64::from(1023 - 63 + down - up) << 52)
}

/// Where values lie in the buffer.
type Places<const N: usize> = [(usize, usize); N];

/// What a look at the buffer found.
enum Step<const N: usize> {
    /// A row, and where to go on.
    Row(Places<N>, usize),
    /// A row that is not wanted, and where to go on.
    Other(usize),
    /// The array ended here.
    End(usize),
    /// More bytes are needed.
    Short,
    /// No table.
    Bad(usize, &'static str),
}

/// Part of a table's file: from the start of a row (or of the file) to the end of one (or of the file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    begin: u64,
    end: Option<u64>,
}

/// The whole file.
const WHOLE: Part = Part { begin: 0, end: None };

/// Cut a large table where rows seem to end, into at most `most` parts. A text may look like the end of a row, so a part
/// that cannot be read says nothing yet: read the whole.
fn parts(path: &Path, most: u64) -> Vec<Part> {
    let cut = || -> std::io::Result<Vec<Part>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let count = most.min(length / SMALLEST_PART).max(1);
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
    rows_of(path, WHOLE, fields, |_| true, take)
}

/// What was made of a large table's rows.
pub(super) struct Table<T> {
    /// In the order of the file, part by part: the number of the part's first row and what was made of its rows.
    pub pieces: Vec<(u32, Vec<T>)>,
    /// Rows of the file.
    pub rows: u32,
}

/// Make something of every row whose first field, as it stands in the file, is `wanted`; of others little more is looked at
/// than where they end. Parts of a large file are read side by side, and rows know their number from the first of their part.
///
/// # Errors
/// As [`rows`].
pub(super) fn collect<T: Send, const N: usize>(
    path: &Path,
    fields: [&'static str; N],
    wanted: impl Fn(&[u8]) -> bool + Sync,
    make: impl Fn(&Row<'_, N>) -> Result<T, DataError> + Sync,
) -> Result<Table<T>, DataError> {
    let read = |part: &Part| -> Result<(u32, Vec<T>), DataError> {
        let mut made = Vec::new();
        let rows = rows_of(path, *part, fields, &wanted, |row| {
            made.push(make(row)?);
            Ok(())
        })?;
        Ok((rows, made))
    };
    let cut: Result<Vec<_>, DataError> =
        parts(path, 4 * rayon::current_num_threads() as u64).par_iter().map(read).collect();
    // If one cannot be read, the whole tells which row is wrong.
    let mut pieces = cut.or_else(|_| read(&WHOLE).map(|whole| vec![whole]))?;
    let mut rows = 0;
    for (count, _) in &mut pieces {
        let first = rows;
        rows += *count;
        *count = first;
    }
    Ok(Table { pieces, rows })
}

/// [`rows`] of a part, but only those whose first field, as it stands in the file, is `wanted`.
///
/// # Errors
/// As [`rows`]; rows are counted from the part's first.
fn rows_of<const N: usize>(
    path: &Path,
    part: Part,
    fields: [&'static str; N],
    wanted: impl Fn(&[u8]) -> bool,
    mut take: impl FnMut(&Row<'_, N>) -> Result<(), DataError>,
) -> Result<u32, DataError> {
    let io = |source| DataError::Io { path: path.into(), source };
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(part.begin)).map_err(io)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(2 * BLOCK);
    let (mut at, mut base, mut number, mut ended) = (0, part.begin, 0_usize, false);
    let mut opened = part.begin > 0;
    let mut layout = Layout::new(fields);
    loop {
        let step = if opened { layout.next_row(&buffer, at, number == 0, &wanted) } else { open(&buffer, at) };
        match step {
            Step::Row(places, next) if opened => {
                let raw = places.map(|(from, to)| &buffer[from..to]);
                // A row without the field is handed on: its absence is an error.
                if N == 0 || raw[0].is_empty() || wanted(raw[0]) {
                    take(&Row { path, number, fields: &fields, raw })?;
                }
                number += 1;
                at = next;
            }
            Step::Other(next) => {
                number += 1;
                at = next;
            }
            Step::Row(_, next) => {
                (opened, at) = (true, next);
                continue;
            }
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
                continue;
            }
        }
        if part.end.is_some_and(|end| base + at as u64 >= end) {
            return Ok(number as u32);
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

/// One field of a row as the last rows had it.
struct Expected {
    /// What stands before the value: all from the end of the value before.
    before: Vec<u8>,
    /// Which of the wanted fields it is.
    field: Option<usize>,
}

/// How the rows of a table look. All rows of a table are written the same way: what stands between two values is compared as
/// a whole, and only a row that looks otherwise is taken apart byte by byte.
struct Layout<const N: usize> {
    fields: [&'static str; N],
    expected: Vec<Expected>,
    /// What stands between the last value and just after the row's closing brace.
    after: Vec<u8>,
    /// Key of the first wanted field, with its quotes and what follows up to the value.
    key: Vec<u8>,
    /// Where that key was in the last row, from its opening brace.
    key_at: usize,
}

impl<const N: usize> Layout<N> {
    fn new(fields: [&'static str; N]) -> Self {
        Self { fields, expected: Vec::new(), after: Vec::new(), key: Vec::new(), key_at: 0 }
    }

    /// The next row or the closing bracket.
    fn next_row(&mut self, buffer: &[u8], at: usize, first: bool, wanted: &impl Fn(&[u8]) -> bool) -> Step<N> {
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
        if let Some(end) = self.unwanted(buffer, at, wanted) {
            return Step::Other(end);
        }
        if let Some((places, end)) = self.usual(buffer, at) {
            self.key_at = places[0].0.saturating_sub(self.key.len() + at);
            return Step::Row(places, end);
        }
        self.unusual(buffer, at)
    }

    /// The end of a row that looks as the last ones did and whose first wanted field has a value that is not wanted.
    fn unwanted(&self, buffer: &[u8], begin: usize, wanted: &impl Fn(&[u8]) -> bool) -> Option<usize> {
        let key = begin + self.key_at;
        if self.key.is_empty() || !buffer.get(key..)?.starts_with(&self.key) {
            return None;
        }
        let value = key + self.key.len();
        let end = usual_value_end(buffer, value)?;
        if wanted(&buffer[value..end]) {
            return None;
        }
        // Without escapes and other braces, and with all quotes in pairs, the brace is the row's own.
        let row = &buffer[begin..end + memchr::memchr(b'}', &buffer[end..])?];
        let even = memchr::memchr_iter(b'"', row).count().is_multiple_of(2);
        (even && memchr::memchr2(b'\\', b'{', row).is_none()).then_some(begin + row.len() + 1)
    }

    /// A row that looks as the last ones did.
    fn usual(&self, buffer: &[u8], mut at: usize) -> Option<(Places<N>, usize)> {
        let mut places = [(0, 0); N];
        for Expected { before, field } in &self.expected {
            at += buffer.get(at..)?.starts_with(before).then_some(before.len())?;
            let end = usual_value_end(buffer, at)?;
            if let Some(field) = *field {
                places[field] = (at, end);
            }
            at = end;
        }
        let ends = !self.after.is_empty() && buffer.get(at..)?.starts_with(&self.after);
        ends.then_some((places, at + self.after.len()))
    }

    /// Any row, whose looks are kept.
    fn unusual(&mut self, buffer: &[u8], begin: usize) -> Step<N> {
        let mut at = begin;
        let mut places = [(0, 0); N];
        let mut found = Vec::new();
        let mut last = begin;
        loop {
            at = space(buffer, at);
            match buffer.get(at) {
                None => return Step::Short,
                Some(b'}') => break,
                Some(b'"') => {}
                Some(_) => return Step::Bad(at, "expected a field"),
            }
            let quote = at;
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
            let field = self.fields.iter().position(|name| name.as_bytes() == key);
            if let Some(field) = field {
                places[field] = (at, end);
            }
            if field == Some(0) {
                self.key = buffer[quote..at].to_vec();
                self.key_at = quote - begin;
            }
            found.push(Expected { before: buffer[last..at].to_vec(), field });
            last = end;
            at = space(buffer, end);
            match buffer.get(at) {
                None => return Step::Short,
                Some(b',') => at += 1,
                Some(b'}') => {}
                Some(_) => return Step::Bad(at, "expected a comma or the end of the row"),
            }
        }
        self.expected = found;
        self.after = buffer[last..=at].to_vec();
        Step::Row(places, at + 1)
    }
}

/// Just after the closing quote of the string that opens at `at`.
fn string_end(buffer: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let found = from + memchr::memchr2(b'"', b'\\', buffer.get(from..)?)?;
        if buffer[found] == b'"' {
            return Some(found + 1);
        }
        from = found + 2;
    }
}

/// Just after a string, a list without lists and escapes in it, or a word; `None` of anything else, and when the buffer ends
/// first.
fn usual_value_end(buffer: &[u8], at: usize) -> Option<usize> {
    match buffer.get(at)? {
        b'"' => string_end(buffer, at),
        b'[' => {
            let inner = &buffer[at + 1..][..memchr::memchr(b']', &buffer[at + 1..])?];
            // With all quotes in pairs, the bracket is the list's own.
            let even = memchr::memchr_iter(b'"', inner).count().is_multiple_of(2);
            (even && memchr::memchr3(b'[', b'{', b'\\', inner).is_none()).then_some(at + inner.len() + 2)
        }
        b'{' => None,
        _ => value_end(buffer, at).ok().flatten(),
    }
}

/// Just after the value that begins at `at`; `None` when the buffer ends first.
fn value_end(buffer: &[u8], at: usize) -> Result<Option<usize>, (usize, &'static str)> {
    match buffer.get(at) {
        None => Ok(None),
        Some(b'"') => Ok(string_end(buffer, at)),
        Some(b'[' | b'{') => {
            let (mut depth, mut place) = (0_usize, at);
            while let Some(byte) = buffer.get(place) {
                place += 1;
                match byte {
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth -= 1,
                    b'"' => match string_end(buffer, place - 1) {
                        Some(end) => place = end,
                        None => return Ok(None),
                    },
                    _ => {}
                }
                if depth == 0 {
                    return Ok(Some(place));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        let mut rng = apprentice_core::Rng::new(&[1]);
        let digits = |rng: &mut apprentice_core::Rng, most: usize| -> String {
            (0..=rng.below(most)).map(|_| char::from(b'0' + rng.below(10) as u8)).collect()
        };
        for _ in 0..200_000 {
            let mut text = digits(&mut rng, 12);
            if rng.below(8) > 0 {
                text += &format!(".{}", digits(&mut rng, 20));
            }
            if rng.below(2) > 0 {
                text.insert(0, '-');
            }
            assert_eq!(number(text.as_bytes()).map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text}");
        }
        for text in [
            "9007199254740993",
            "0.9007199254740993",
            "1844674407370955161.5",
            "-0.0",
            "0.000000000000000000",
            "0.0000000000000000001",
        ] {
            assert_eq!(number(text.as_bytes()).map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text}");
        }
        assert!(["", "-", ".5", "1e999", "--1", "1.2.3"].iter().all(|text| number(text.as_bytes()).is_none()));
    }
}
