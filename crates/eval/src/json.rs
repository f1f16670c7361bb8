//! JSON documents as the judge reads them: [`apprentice_core::json`] with the file's name.

use crate::EvalError;
use apprentice_core::json::{self, JsonFault};
use serde::Deserialize;

/// Read a document.
///
/// # Errors
/// Names the file and the field that is wrong.
pub fn read<'a, T: Deserialize<'a>>(file: &str, text: &'a str) -> Result<T, EvalError> {
    json::read(text.as_bytes()).map_err(|fault| error(file, fault))
}

/// Read one line of a file of JSON lines; the first is line 1.
///
/// # Errors
/// As [`read`], with the line before the field.
pub fn read_line<'a, T: Deserialize<'a>>(file: &str, line: usize, text: &'a str) -> Result<T, EvalError> {
    json::read(text.as_bytes()).map_err(|fault| {
        let field = format!("line {line}{}{}", if fault.field.is_empty() { "" } else { ": " }, fault.field);
        error(file, JsonFault { field, ..fault })
    })
}

/// A fault with the file's name.
pub(crate) fn error(file: &str, JsonFault { field, message, is_json }: JsonFault) -> EvalError {
    let file = file.into();
    if is_json { EvalError::Field { file, field, message } } else { EvalError::Json { file, field, message } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_named_before_its_field() {
        let told = |text: &str| read_line::<Vec<f64>>("f.jsonl", 7, text).unwrap_err().to_string();
        assert!(told("[1, NaN]").contains("line 7: [1]"), "{}", told("[1, NaN]"));
        assert!(told("3").contains("field `line 7`"), "{}", told("3"));
    }
}
