//! How an episode ended, in Bench2Drive's words.

use apprentice_core::infractions::Infractions;
use serde::{Deserialize, Serialize};

/// Round to a number of decimals.
pub(crate) fn round_to(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The route was driven to its end.
    Completed,
    /// More than 30 m off the route, or off it for too long.
    Deviated,
    /// Stood still for a minute.
    Blocked,
    /// The route's own time ran out.
    TimedOut,
    /// 4000 ticks.
    TickLimit,
}

impl Outcome {
    /// The record's status.
    pub fn status(self, infractions: &Infractions) -> &'static str {
        match self {
            Self::Completed if infractions.total() == 0 => "Perfect",
            Self::Completed => "Completed",
            Self::Deviated => "Failed - Agent deviated from the route",
            Self::Blocked => "Failed - Agent got blocked",
            Self::TimedOut => "Failed - Agent timed out",
            Self::TickLimit => "Failed - TickRuntime",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_record_is_perfect() {
        let slow = Infractions { min_speed_infractions: vec!["x".into()], ..Default::default() };
        assert_eq!(Outcome::Completed.status(&slow), "Completed");
        assert_eq!(Outcome::Completed.status(&Infractions::default()), "Perfect");
    }
}
