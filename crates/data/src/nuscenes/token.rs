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

/// What stands between the quotes of a string, escapes and all.
pub(super) fn quoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ => None,
    }
}

/// The token that a value is.
pub(super) fn quoted_token(value: &[u8]) -> Option<Token> {
    quoted(value).map(Token::new)
}

fn from_hex(text: &[u8]) -> Option<u128> {
    let digits: &[u8; 32] = text.try_into().ok()?;
    let mut value = 0_u128;
    for eight in digits.chunks_exact(8) {
        let eight: [u8; 8] = eight.try_into().ok()?;
        value = value << 32 | u128::from(eight_digits(u64::from_be_bytes(eight))?);
    }
    Some(value)
}

/// Eight hexadecimal digits at once, a byte each, the first on top.
fn eight_digits(x: u64) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Bit 6 tells letters from digits; their low halves are 1 to 6 and 0 to 9.
    let letter = (x >> 6) & ONES;
    let digit = (x & (0x0f * ONES)).wrapping_add(letter * 9);
    let back = digit.wrapping_add(0x30 * ONES).wrapping_add(letter * 0x27);
    let over_nine = (digit.wrapping_add(6 * ONES) >> 4) & ONES;
    if back != x || digit & (0xf0 * ONES) != 0 || over_nine != letter {
        return None;
    }
    let pairs = (digit | digit >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    Some((fours | fours >> 16) as u32)
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
        let mixed = (folded ^ folded >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// From tokens to row numbers. Never iterated over.
pub type Places = HashMap<Token, u32, BuildHasherDefault<Spread>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_texts_come_back_and_no_other_is_one() {
        let text = "0123456789abcdeffedcba9876543210";
        assert_eq!(Token::new(text.as_bytes()).hex(), text);
        assert_eq!(Token::new(text.as_bytes()).0, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        // Every byte in every place: exactly the sixteen digits are digits.
        for at in [0, 7, 8, 31] {
            for byte in 0..=255_u8 {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = byte;
                assert_eq!(Token::is_hex(&changed), matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{byte} at {at}");
            }
        }
        assert!(!Token::is_hex(b"0123") && Token::new(b"a") != Token::new(b"b"));
    }
}
