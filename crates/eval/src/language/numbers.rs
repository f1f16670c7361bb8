//! Numbers for words, and tables that are fast for such numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Spreads words and numbers over a table. Texts are a user's own: nobody gains from colliding words.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Mix {
    fn add(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // The table looks at the top bits and at the bottom ones.
        self.0 ^ self.0 >> 32
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut eights = bytes.chunks_exact(8);
        for eight in &mut eights {
            self.add(eight.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        }
        let rest = eights.remainder();
        if !rest.is_empty() {
            self.add(rest.iter().fold(rest.len() as u64, |value, byte| value << 8 | u64::from(*byte)));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }
    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }
    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }
}

/// A table that is never iterated over, so that no order of its own reaches a result.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Gives each word a number, from 0 on.
#[derive(Default)]
pub(super) struct Numbers(FastMap<Box<str>, u32>);

impl Numbers {
    /// The number of a word, a new one if it was never seen.
    pub fn of(&mut self, word: &str) -> u32 {
        if let Some(number) = self.find(word) {
            return number;
        }
        let number = self.len() as u32;
        self.0.insert(word.into(), number);
        number
    }

    /// The number of a word that was seen.
    pub fn find(&self, word: &str) -> Option<u32> {
        self.0.get(word).copied()
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The words by number.
    pub fn words(&self) -> Vec<&str> {
        let mut words = vec![""; self.len()];
        self.0.iter().for_each(|(word, number)| words[*number as usize] = word);
        words
    }
}
