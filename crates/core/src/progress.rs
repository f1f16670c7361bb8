//! Progress of long work, reported without knowing who shows it. Only the command line draws bars.

/// Receives the progress of one long job made of named stages.
pub trait Progress: Sync {
    /// A stage begins; `total` is its number of units (worlds, samples, steps).
    fn start(&self, stage: &str, total: u64);
    /// `n` more units are done.
    fn advance(&self, n: u64);
    /// `n` units were done in an earlier sitting: they say nothing about the time that is left.
    fn skip(&self, n: u64) {
        self.advance(n);
    }
    /// A short note beside the bar, such as the current loss.
    fn note(&self, text: &str);
    /// The current stage ended.
    fn finish(&self);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn finish(&self) {}
}
