//! Tokens: nuScenes names its rows by 32 hexadecimal digits, which are kept as one number. Any other text is hashed, and
//! remembered where it must be given back.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The name of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u128);

impl Token {
    /// From its text.
    pub fn new(text: &[u8]) -> Self {
        Self(from_hex(text).unwrap_or_else(|| hash(text)))
    }

    /// Its text, if it is 32 lower-case hexadecimal digits: whether it is, only the text itself can tell.
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Whether [`Token::hex`] gives a text back.
    pub fn is_hex(text: &[u8]) -> bool {
        from_hex(text).is_some()
    }
}

fn from_hex(text: &[u8]) -> Option<u128> {
    if text.len() != 32 {
        return None;
    }
    let mut value = 0_u128;
    for half in text.chunks_exact(16) {
        let mut word = 0_u64;
        for &byte in half {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            word = word << 4 | u64::from(digit);
        }
        value = value << 64 | u128::from(word);
    }
    Some(value)
}

/// 128 bits of FNV-1a.
fn hash(text: &[u8]) -> u128 {
    text.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |h, byte| {
        (h ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// Spreads tokens, which are random already, over a table.
#[derive(Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    fn write_u128(&mut self, value: u128) {
        let folded = value as u64 ^ (value >> 64) as u64;
        self.0 = (folded ^ folded >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// From tokens to row numbers. Never iterated over.
pub type Places = HashMap<Token, u32, BuildHasherDefault<Spread>>;
