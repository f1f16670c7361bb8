//! JSON documents, whose faults are told by the field at which they are: a result file has hundreds of thousands of numbers
//! in one line, and "column 73021" helps nobody.

use serde::Deserialize;
use serde_json::error::Category;
use std::collections::HashSet;

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonFault {
    /// Where, such as `results.abc[3].translation[0]`; empty at the top.
    pub field: String,
    /// What.
    pub message: String,
    /// Whether the text is JSON at all; if so, it holds another kind of value than was expected, or a key twice.
    pub is_json: bool,
}

/// Read a document.
///
/// # Errors
/// Names the field at which the text is no JSON, is cut short, holds another kind of value, or has a key twice (of which
/// parsers silently drop one).
pub fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, JsonFault> {
    let mut walk = Walk::new(text);
    walk.run(text.len());
    if walk.doubled {
        return Err(JsonFault { field: walk.path(), message: "is in the file twice".into(), is_json: true });
    }
    serde_json::from_slice(text).map_err(|e| fault(text, &e))
}

/// What is wrong with a document that serde refused.
pub fn fault(text: &[u8], error: &serde_json::Error) -> JsonFault {
    // Lines and columns count from 1; the column is that of the last byte that was looked at.
    let line =
        text.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    let offset = match error.classify() {
        Category::Eof => text.len(),
        _ => (line + error.column().saturating_sub(1)).min(text.len()),
    };
    let mut walk = Walk::new(text);
    walk.run(offset);
    let field = walk.path();
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(message, _)| message);
    let rest = text.get(offset..).unwrap_or_default();
    let word = ["NaN", "-NaN", "Infinity", "-Infinity"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
    let message = match (error.classify(), word) {
        (Category::Syntax, Some(word)) => format!("`{word}` is no number in JSON"),
        (Category::Data, _) => said.into(),
        (Category::Eof, _) => "the file ends here, in the middle".into(),
        _ => format!("{said} (line {}, column {})", error.line(), error.column()),
    };
    JsonFault { field, message, is_json: error.classify() == Category::Data }
}

/// Where a walk through a document is.
enum Level<'a> {
    Object { keys: Keys<'a>, at_key: bool },
    List { index: usize },
}

/// Keys of an object in order; many are looked up in a table.
#[derive(Default)]
struct Keys<'a> {
    list: Vec<&'a [u8]>,
    table: HashSet<&'a [u8]>,
}

impl<'a> Keys<'a> {
    /// Add a key; whether it is new.
    fn add(&mut self, key: &'a [u8]) -> bool {
        const FEW: usize = 16;
        let new = if self.list.len() < FEW {
            !self.list.contains(&key)
        } else {
            if self.table.is_empty() {
                self.table.extend(&self.list);
            }
            self.table.insert(key)
        };
        self.list.push(key);
        new
    }
}

/// A walk from token to token that knows the field it is at, and stops at a doubled key. It takes nothing for granted: what is no
/// JSON it passes over.
struct Walk<'a> {
    text: &'a [u8],
    levels: Vec<Level<'a>>,
    doubled: bool,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, levels: Vec::new(), doubled: false }
    }

    /// Walk until a token begins at `stop` or behind it.
    fn run(&mut self, stop: usize) {
        let mut at = 0;
        while at < stop {
            match self.text[at] {
                b'{' => self.levels.push(Level::Object { keys: Keys::default(), at_key: true }),
                b'[' => self.levels.push(Level::List { index: 0 }),
                b'}' | b']' => drop(self.levels.pop()),
                b':' => {
                    if let Some(Level::Object { at_key, .. }) = self.levels.last_mut() {
                        *at_key = false;
                    }
                }
                b',' => match self.levels.last_mut() {
                    Some(Level::Object { at_key, .. }) => *at_key = true,
                    Some(Level::List { index }) => *index += 1,
                    None => {}
                },
                b'"' => {
                    let end = self.string_end(at + 1);
                    if let Some(Level::Object { keys, at_key: true }) = self.levels.last_mut()
                        && !keys.add(&self.text[at + 1..end])
                    {
                        self.doubled = true;
                        return;
                    }
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Where the closing quote is, or the text's end.
    fn string_end(&self, mut at: usize) -> usize {
        while let Some(byte) = self.text.get(at) {
            match byte {
                b'"' => return at,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.text.len()
    }

    /// Such as `results.abc[3].translation[0]`; empty at the top.
    fn path(&self) -> String {
        let mut path = String::new();
        for level in &self.levels {
            match level {
                Level::Object { keys, .. } => {
                    if let Some(key) = keys.list.last() {
                        path += if path.is_empty() { "" } else { "." };
                        path += &String::from_utf8_lossy(key);
                    }
                }
                Level::List { index } => path += &format!("[{index}]"),
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Boxes = BTreeMap<String, Vec<BTreeMap<String, Vec<f64>>>>;

    fn says(text: &str) -> JsonFault {
        read::<Boxes>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn faults_are_told_with_the_field() {
        let good = r#"{"a": [{"at": [1, 2]}], "b": [{"at": [3, 4]}, {"at": [5, 6.5]}]}"#;
        assert_eq!(read::<Boxes>(good.as_bytes()).unwrap().len(), 2);
        let is = |text: &str, field: &str, message: &str, is_json: bool| {
            let fault = says(text);
            assert!(fault.field == field && fault.message.contains(message) && fault.is_json == is_json, "{fault:?}");
        };
        is(&good.replace("6.5", "NaN"), "b[1].at[1]", "`NaN` is no number", false);
        is(&good.replace("6.5", "-Infinity"), "b[1].at[1]", "", false);
        is(&good.replace("[3, 4]", "[3, \"x\"]"), "b[0].at[1]", "expected f64", true);
        is(&good[..good.len() - 8], "b[1].at[1]", "ends here", false);
        is(&good.replace("\"b\"", "\"a\""), "a", "twice", true);
        is(&good.replace("\"at\": [5", "\"at\": [], \"at\": [5"), "b[1].at", "twice", true);
        is(&good.replace("}]}", "}]}}"), "", "trailing characters", false);
        is("", "", "ends here", false);
        is(&good.replace('4', "\n4,\n\n  {}"), "b[0].at[2]", "expected f64", true);
    }

    #[test]
    fn many_keys_are_looked_up_too() {
        let keys = |n: usize| (0..n).map(|i| format!("\"k{i}\": []")).collect::<Vec<_>>().join(",");
        assert_eq!(read::<Boxes>(format!("{{{}}}", keys(100)).as_bytes()).unwrap().len(), 100);
        for doubled in [3, 15, 16, 17, 99] {
            assert_eq!(says(&format!("{{{},\"k{doubled}\": []}}", keys(100))).field, format!("k{doubled}"));
        }
    }
}
