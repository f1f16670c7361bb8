//! Checksums inside weights: a flipped bit in a file of weights is an error, not another driver.
//!
//! Neither safetensors nor ONNX has a checksum of its own, and both leave room for metadata. The seal covers every
//! byte but the few that hold it, and lies at a fixed place: damage to it leaves a file that says nothing about
//! itself, around content that is whole. Files of other programs carry no seal and are not refused for it.

use crate::hash::{ContentHasher, content_hash};

/// Name of the metadata field that holds the checksum.
pub const KEY: &str = "apprentice.checksum";
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 64;

/// Metadata property of an ONNX file in protobuf's encoding, up to the digits.
fn onnx_head() -> Vec<u8> {
    let text = |field: u8, length: usize| [field << 3 | 2, length as u8];
    let mut head = text(14, 2 + KEY.len() + 2 + DIGITS).to_vec();
    head.extend(text(1, KEY.len()));
    head.extend(KEY.as_bytes());
    head.extend(text(2, DIGITS));
    head
}

/// Close an ONNX file: a metadata property with the checksum of all bytes before it.
pub fn onnx(file: &mut Vec<u8>) {
    let digits = content_hash(file);
    file.extend(onnx_head());
    file.extend(digits.as_bytes());
}

/// Whether an ONNX file is as it was sealed; `None` when it has no seal.
pub fn onnx_holds(file: &[u8]) -> Option<bool> {
    let (rest, digits) = file.split_at_checked(file.len().checked_sub(DIGITS)?)?;
    let content = rest.strip_suffix(onnx_head().as_slice())?;
    Some(content_hash(content).as_bytes() == digits)
}

/// Beginning of the header of a sealed safetensors file, after its length.
fn safetensors_head() -> String {
    format!("{{\"__metadata__\":{{\"{KEY}\":\"")
}

/// Where the digits of a safetensors file begin: the header's length comes first.
fn safetensors_digits() -> usize {
    8 + safetensors_head().len()
}

/// What the header of a safetensors file must begin with, before [`safetensors`] fills in the digits.
pub fn safetensors_blank() -> String {
    format!("{}{}\"", safetensors_head(), "0".repeat(DIGITS))
}

/// Seal a safetensors file whose header begins with [`safetensors_blank`], or renew its seal.
///
/// # Panics
/// If it does not.
pub fn safetensors(file: &mut [u8]) {
    SafetensorsSeal::new(file).fill(file);
}

/// The seal of a safetensors file that is not in memory as a whole.
#[derive(Debug)]
pub struct SafetensorsSeal(ContentHasher);

impl SafetensorsSeal {
    /// Begin with the header, its length before it.
    ///
    /// # Panics
    /// If it does not begin with [`safetensors_blank`].
    pub fn new(header: &[u8]) -> Self {
        assert!(header[8..].starts_with(safetensors_head().as_bytes()), "the header has no room for a checksum");
        let mut hasher = ContentHasher::default();
        hasher.update(&header[safetensors_digits() + DIGITS..]);
        Self(hasher)
    }

    /// What follows in the file.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Write the seal into the header.
    pub fn fill(self, header: &mut [u8]) {
        let at = safetensors_digits();
        header[at..at + DIGITS].copy_from_slice(self.0.finish().as_bytes());
    }
}

/// Whether a safetensors file is as it was sealed; `None` when it has no seal.
pub fn safetensors_holds(file: &[u8]) -> Option<bool> {
    let at = safetensors_digits();
    if !file.get(8..)?.starts_with(safetensors_head().as_bytes()) {
        return None;
    }
    let digits = file.get(at..at + DIGITS)?;
    Some(content_hash(&file[at + DIGITS..]).as_bytes() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_anywhere_is_noticed_or_leaves_the_content_whole() {
        let content = b"\x08\x08\x12\x0aapprentice".to_vec();
        let mut onnx_file = content.clone();
        onnx(&mut onnx_file);
        assert_eq!((onnx_holds(&onnx_file), onnx_holds(&content)), (Some(true), None));
        let mut tensors = 200u64.to_le_bytes().to_vec();
        tensors.extend(safetensors_blank().as_bytes());
        let begin = tensors.len();
        tensors.extend(b",\"kind\":\"student\"}} and the numbers");
        safetensors(&mut tensors);
        assert_eq!((safetensors_holds(&tensors), safetensors_holds(&content)), (Some(true), None));
        for at in 0..onnx_file.len() {
            let mut bad = onnx_file.clone();
            bad[at] ^= 4;
            assert!(onnx_holds(&bad) == Some(false) || (onnx_holds(&bad).is_none() && at >= content.len()), "{at}");
        }
        // The eight bytes of the length are the parser's to check: they decide where the numbers begin.
        for at in 8..tensors.len() {
            let mut bad = tensors.clone();
            bad[at] ^= 4;
            let held = safetensors_holds(&bad);
            assert!(held == Some(false) || (held.is_none() && at < begin), "{at}");
        }
    }
}
