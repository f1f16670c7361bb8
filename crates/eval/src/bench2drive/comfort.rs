//! Comfort ("driving smoothness") from the per-tick file of a route, `metric_info.json`
//! (`tools/efficiency_smoothness_benchmark.py`).
//!
//! Ticks are taken twenty at a time (a shorter rest is dropped, unless it is all there is); a stretch is comfortable when
//! six smoothed quantities stay within bounds, and a route's comfort is the share of such stretches. Kept as published:
//! the yaw acceleration that is checked is the yaw rate again, the rate is unwrapped as if it were an angle, and jerk
//! divides by 0.1 s though ticks are 0.05 s apart.

use crate::EvalError;
use serde_json::Value;

const STRETCH: usize = 20;
const WINDOW: usize = 7;
const STEP_S: f64 = 0.1;

/// What one tick of a route looked like, in CARLA's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// m/s².
    pub acceleration: [f64; 2],
    /// About z, in CARLA's unit.
    pub yaw_rate: f64,
    /// Unit vector ahead.
    pub forward: [f64; 2],
    /// Unit vector to the right.
    pub right: [f64; 2],
}

/// Read a `metric_info.json`: ticks in the file's order.
///
/// # Errors
/// Names the tick that lacks a vector, or the file with too few ticks to smooth.
pub fn read_ticks(file: &str, text: &str) -> Result<Vec<Tick>, EvalError> {
    let document: Value = crate::json::read(file, text)?;
    let ticks = document.as_object().ok_or_else(|| EvalError::field(file, "", "expected an object of ticks"))?;
    let ticks = ticks.iter().map(|(at, tick)| {
        let vector = |name: &str| -> Result<[f64; 3], EvalError> {
            let numbers = tick.get(name).and_then(Value::as_array).map(|list| list.iter().map(Value::as_f64).collect());
            let numbers: Option<Vec<f64>> = numbers.flatten();
            numbers
                .and_then(|n| <[f64; 3]>::try_from(n).ok())
                .ok_or_else(|| EvalError::field(file, format!("{at}.{name}"), "expected three numbers"))
        };
        let plane = |[x, y, _]: [f64; 3]| [x, y];
        Ok(Tick {
            acceleration: plane(vector("acceleration")?),
            yaw_rate: vector("angular_velocity")?[2],
            forward: plane(vector("forward_vector")?),
            right: plane(vector("right_vector")?),
        })
    });
    let ticks: Vec<Tick> = ticks.collect::<Result<_, _>>()?;
    if ticks.len() < WINDOW {
        let message = format!("expected at least {WINDOW} ticks, found {}", ticks.len());
        return Err(EvalError::field(file, "ticks", message));
    }
    Ok(ticks)
}

/// The share of comfortable stretches.
pub fn comfort(ticks: &[Tick]) -> f64 {
    if ticks.len() <= STRETCH {
        return f64::from(u8::from(is_comfortable(ticks)));
    }
    let stretches = ticks.chunks_exact(STRETCH);
    let all = stretches.len() as f64;
    stretches.filter(|stretch| is_comfortable(stretch)).count() as f64 / all
}

fn is_comfortable(ticks: &[Tick]) -> bool {
    let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
    let series = |of: &dyn Fn(&Tick) -> f64| ticks.iter().map(of).collect::<Vec<f64>>();
    let along = smooth(&series(&|t| dot(t.acceleration, t.forward)), false);
    let across = smooth(&series(&|t| dot(t.acceleration, t.right)), false);
    let size = smooth(&series(&|t| t.acceleration[0].hypot(t.acceleration[1])), false);
    let yaw_rate = smooth(&unwrapped(&series(&|t| t.yaw_rate)), false);
    let within = |values: &[f64], low: f64, high: f64| values.iter().all(|v| *v > low && *v < high);
    within(&along, -4.05, 2.40)
        && within(&across, -4.89, 4.89)
        && within(&smooth(&size, true), -8.37, 8.37)
        && within(&smooth(&along, true), -4.13, 4.13)
        && within(&yaw_rate, -1.93, 1.93)
        && within(&yaw_rate, -0.95, 0.95)
}

/// Steps of more than half a turn are taken for jumps.
fn unwrapped(angles: &[f64]) -> Vec<f64> {
    let mut turns = 0.0;
    let mut out = Vec::with_capacity(angles.len());
    for (i, angle) in angles.iter().enumerate() {
        if i > 0 {
            turns += ((angle - angles[i - 1]) / std::f64::consts::TAU).round_ties_even();
        }
        out.push(angle - std::f64::consts::TAU * turns);
    }
    out
}

/// Savitzky–Golay filter: a parabola fitted to seven values around each, at the ends to the first and last seven; its
/// value, or its slope per second.
fn smooth(values: &[f64], slope: bool) -> Vec<f64> {
    let half = WINDOW / 2;
    let last = values.len() - WINDOW;
    (0..values.len())
        .map(|i| {
            let start = i.saturating_sub(half).min(last);
            let window = &values[start..start + WINDOW];
            let at = i as f64 - (start + half) as f64;
            let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
            for (k, value) in window.iter().enumerate() {
                let k = k as f64 - half as f64;
                sum += value;
                first += k * value;
                second += k * k * value;
            }
            // Sums of k² and k⁴ over −3..=3.
            let (n, s2, s4) = (WINDOW as f64, 28.0, 196.0);
            let determinant = n * s4 - s2 * s2;
            let curve = (n * second - s2 * sum) / determinant;
            let level = (s4 * sum - s2 * second) / determinant;
            let rise = first / s2;
            if slope { (rise + 2.0 * curve * at) / STEP_S } else { level + rise * at + curve * at * at }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_passes_unchanged_and_its_slope_is_exact() {
        let values: Vec<f64> = (0..12).map(|i| 0.5 * f64::from(i * i) - 3.0 * f64::from(i) + 1.0).collect();
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-9);
        assert!(close(&smooth(&values, false), &values));
        let slopes: Vec<f64> = (0..12).map(|i| (f64::from(i) - 3.0) / STEP_S).collect();
        assert!(close(&smooth(&values, true), &slopes));
    }

    #[test]
    fn stretches_pass_or_fail_whole() {
        let calm = Tick { acceleration: [1.0, 0.0], yaw_rate: 0.0, forward: [1.0, 0.0], right: [0.0, 1.0] };
        let hard = Tick { acceleration: [6.0, 0.0], ..calm };
        assert_eq!(comfort(&[calm; 50]), 1.0);
        let mixed: Vec<Tick> = [[calm; 20], [hard; 20]].concat();
        assert_eq!(comfort(&mixed), 0.5);
        // A rest of less than twenty is dropped.
        assert_eq!(comfort(&[vec![calm; 20], vec![hard; 19]].concat()), 1.0);
    }

    #[test]
    fn files_are_read_in_order_and_bad_ones_named() {
        let tick = "{\"acceleration\": [1, 0, 0], \"angular_velocity\": [0, 0, 2], \"forward_vector\": [1, 0, 0], \
                    \"right_vector\": [0, 1, 0], \"location\": [0, 0, 0], \"rotation\": [0, 0, 0]}";
        let file =
            |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"{i}\": {tick}")).collect::<Vec<_>>().join(", "));
        assert_eq!(read_ticks("f", &file(9)).unwrap().len(), 9);
        assert!(read_ticks("f", &file(6)).unwrap_err().to_string().contains("at least 7"));
        let error = read_ticks("f", &file(9).replacen("[1, 0, 0]", "[1, 0]", 1)).unwrap_err().to_string();
        assert!(error.contains("0.acceleration"), "{error}");
    }
}
