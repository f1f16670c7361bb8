//! Standing still (`ActorBlockedTest`) and speed against the traffic around (`MinimumSpeedRouteTest`).

use super::{Found, score::round_to};
use crate::state::TICK_HZ;
use apprentice_road::Route;

/// Slower is standing, m/s.
const BLOCKED_MPS: f64 = 0.1;
/// Longer is blocked, seconds.
const BLOCKED_S: f64 = 60.0;
/// Bench2Drive's number of checkpoints.
const CHECKPOINTS: usize = 20;
/// A last entry is written beyond this completion, percent.
const FINAL_PERCENT: f64 = 95.0;

#[derive(Clone, Debug)]
pub(super) struct Pace {
    moved_at: u32,
    along_m: Vec<f64>,
    checkpoint: usize,
    ego_sum: f64,
    traffic_sum: f64,
    ticks: u32,
}

impl Pace {
    pub(super) fn new(route: &Route) -> Self {
        Self {
            moved_at: 0,
            along_m: route.points.iter().map(|p| p.s_m).collect(),
            checkpoint: 0,
            ego_sum: 0.0,
            traffic_sum: 0.0,
            ticks: 0,
        }
    }

    /// Returns whether the ego is blocked.
    pub(super) fn observe(
        &mut self,
        found: &mut Found<'_>,
        tick: u32,
        passed: usize,
        speed_mps: f64,
        traffic_mps: Option<f64>,
    ) -> bool {
        if let Some(traffic) = traffic_mps {
            self.ego_sum += speed_mps;
            self.traffic_sum += traffic;
            self.ticks += 1;
        }
        let total = self.along_m.last().copied().unwrap_or(0.0);
        let here = self.along_m.get(passed).copied().unwrap_or(0.0);
        if here > (self.checkpoint + 1) as f64 * total / CHECKPOINTS as f64 {
            self.write(found);
            self.checkpoint += 1;
        }
        if speed_mps > BLOCKED_MPS {
            self.moved_at = tick;
        }
        let blocked = f64::from(tick.saturating_sub(self.moved_at)) > BLOCKED_S * TICK_HZ;
        if blocked {
            let place = found.place();
            found.push("vehicle_blocked", format!("Agent got blocked at {place}"));
        }
        blocked
    }

    pub(super) fn finish(&mut self, found: &mut Found<'_>, completion_percent: f64) {
        if completion_percent >= FINAL_PERCENT {
            self.write(found);
        }
    }

    /// Ego mean speed over the mean speed of the traffic, percent. Nothing is said where there was no traffic or
    /// it stood.
    fn write(&mut self, found: &mut Found<'_>) {
        if self.ticks > 0 && self.traffic_sum > 0.0 {
            let percent = round_to(self.ego_sum / self.traffic_sum * 100.0, 2);
            found
                .push("min_speed_infractions", format!("Average speed is {percent}% of the surrounding traffic's one"));
        }
        (self.ego_sum, self.traffic_sum, self.ticks) = (0.0, 0.0, 0);
    }
}
