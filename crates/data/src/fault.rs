//! What can be wrong with a data set that can be read all the same.

use serde::{Deserialize, Serialize};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Something that is wrong with a data set whose tables or annotations can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which kind: `image`, `file`, `sample`, `map`.
    pub kind: String,
    /// What about.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
}

/// Whether a file is a whole JPEG, of a size if it is known: its markers up to the picture, and the end marker.
pub(crate) fn whole_jpeg(path: &Path, size: Option<[u32; 2]>) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let mut file = std::fs::File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut head = Vec::new();
    file.by_ref().take(1 << 16).read_to_end(&mut head).map_err(io)?;
    if !head.starts_with(&[0xff, 0xd8]) {
        return Err("not a JPEG".into());
    }
    let mut tail = [0; 2];
    if length >= 4 {
        file.seek(SeekFrom::Start(length - 2)).map_err(io)?;
        file.read_exact(&mut tail).map_err(io)?;
    }
    if tail != [0xff, 0xd9] {
        return Err("the image is cut short".into());
    }
    let mut at = 2;
    loop {
        let Some(&[0xff, marker, high, low]) = head.get(at..at + 4) else {
            return Err("its header is damaged".into());
        };
        // Start of frame, in one of its kinds: precision, height, width.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let Some(&[_, h1, h0, w1, w0]) = head.get(at + 4..at + 9) else {
                return Err("its header is damaged".into());
            };
            let found = [u32::from(w1) << 8 | u32::from(w0), u32::from(h1) << 8 | u32::from(h0)];
            return match size.filter(|size| *size != found) {
                None => Ok(()),
                Some([width, height]) => {
                    Err(format!("it is {}×{}, the table says {width}×{height}", found[0], found[1]))
                }
            };
        }
        at += 2 + (usize::from(high) << 8 | usize::from(low));
    }
}
