//! The weights in the repository's `models/`, found from where the program lies.

use crate::CliError;
use std::path::{Path, PathBuf};

/// The student that drives when no driver is named.
pub const STUDENT: &str = "models/nano-student.onnx";
/// The same student as a checkpoint that training can go on from.
pub const STUDENT_WEIGHTS: &str = "models/nano-student.safetensors";
/// The teacher that is asked when no teacher is named.
pub const TEACHER: &str = "models/nano-teacher.safetensors";

/// What was named, or a shipped file.
///
/// # Errors
/// When nothing was named and the file is not there; `hint` says what to name.
pub fn or_shipped(named: Option<&Path>, file: &str, hint: &str) -> Result<PathBuf, CliError> {
    if let Some(named) = named {
        return Ok(named.into());
    }
    find(file).ok_or_else(|| CliError::new(format!("{file}, which ships with it, is not beside this program"), hint))
}

/// A shipped file: beside the program, or in a folder above it.
pub fn find(file: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().skip(1).map(|dir| dir.join(file)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_taken_and_what_is_missing_is_told() {
        let named = Path::new("a/teacher.safetensors");
        assert_eq!(or_shipped(Some(named), TEACHER, "").unwrap(), named);
        // Tests lie below the repository, whose `models` has both.
        assert!(or_shipped(None, STUDENT, "").unwrap().ends_with(STUDENT));
        let error = or_shipped(None, "models/none.onnx", "name one").unwrap_err().to_string();
        assert!(error.contains("models/none.onnx"), "{error}");
    }
}
