//! Whether a planned ego box meets another, step by step.
//!
//! Two kinds. *Oriented polygons*: the box turns with the plan and meets every labelled object as a rectangle (the
//! definition of SparseDrive's `planning_eval.py`). *Grid*: half-metre cells and a box that never turns (ST-P3, VAD,
//! UniAD), where a plan that moves by a centimetre may hit or miss a cell.

use crate::protocol::{Collision, CollisionKind, EgoBox, Heading, Occupancy};
use apprentice_core::geometry::DVec2;
use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_core::{AgentLabel, OrientedBox, Pose2, Trajectory};

/// Per step, whether the plan collides, and its gap to the nearest object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// c_t.
    pub collides: [bool; HORIZON_STEPS],
    /// Metres between oriented boxes, 0 when they meet, cut off at the protocol's cap.
    pub gap_m: [f64; HORIZON_STEPS],
}

/// The ego's box at each step of a plan, in the ego frame of the start.
///
/// Headings are central differences (one-sided at the end) over the points with the start before them; where the
/// difference is below `still_below_m`, the heading before is kept.
pub fn ego_boxes(plan: &Trajectory, ego: EgoBox, collision: &Collision) -> [OrientedBox; HORIZON_STEPS] {
    let point = |i: usize| {
        if i == 0 { DVec2::ZERO } else { DVec2::new(plan.0[i - 1][0].into(), plan.0[i - 1][1].into()) }
    };
    let mut yaw_rad = 0.0;
    std::array::from_fn(|step| {
        let i = step + 1;
        if collision.heading == Heading::FromPlan {
            let along = point((i + 1).min(HORIZON_STEPS)) - point(i - 1);
            if along.length() >= collision.still_below_m {
                yaw_rad = along.y.atan2(along.x);
            }
        }
        let at = Pose2::new(point(i).x, point(i).y, yaw_rad);
        OrientedBox { center: at.offset(ego.ahead_m, 0.0), length_m: ego.length_m, width_m: ego.width_m }
    })
}

/// The boxes of the objects that count, step by step.
pub fn agent_boxes(agents: &[AgentLabel], occupancy: &Occupancy) -> [Vec<OrientedBox>; HORIZON_STEPS] {
    let counts = |agent: &&AgentLabel| {
        let [x, y, _] = agent.center_in_ego.map(|v| f64::from(v).abs());
        occupancy.classes.contains(&agent.class)
            && occupancy.range_ahead_m.is_none_or(|range| x <= range)
            && occupancy.range_aside_m.is_none_or(|range| y <= range)
    };
    std::array::from_fn(|step| {
        let present = agents.iter().filter(counts).filter(|agent| step < usize::from(agent.future_steps));
        present
            .map(|agent| {
                let [x, y] = agent.future_in_ego[step].map(f64::from);
                OrientedBox {
                    center: Pose2::new(x, y, agent.future_yaw_rad[step].into()),
                    length_m: agent.size_m[0].into(),
                    width_m: agent.size_m[1].into(),
                }
            })
            .collect()
    })
}

/// Distance between two boxes, metres; 0 when they meet.
pub fn gap_m(a: &OrientedBox, b: &OrientedBox) -> f64 {
    if a.overlaps(b) {
        return 0.0;
    }
    // The nearest points of two disjoint convex outlines include a corner of one of them.
    let from =
        |x: &OrientedBox, y: &OrientedBox| x.corners().into_iter().map(|c| y.distance_to(c)).fold(f64::MAX, f64::min);
    from(a, b).min(from(b, a))
}

/// The smallest gap to any of the others, or `cap_m` if none is smaller.
fn nearest_m(b: &OrientedBox, others: &[OrientedBox], cap_m: f64) -> f64 {
    // Circles around both boxes say of most that they are too far away to matter.
    const ROUNDING_M: f64 = 1e-6;
    let reach_m = b.reach_m();
    others.iter().fold(cap_m, |nearest, other| {
        let matters = nearest + reach_m + other.reach_m() + ROUNDING_M;
        let apart = b.center.position().distance_squared(other.center.position());
        if apart > matters * matters { nearest } else { nearest.min(gap_m(b, other)) }
    })
}

/// Set a plan against the objects.
pub fn contact(
    plan: &Trajectory,
    ego: EgoBox,
    boxes: &[Vec<OrientedBox>; HORIZON_STEPS],
    collision: &Collision,
) -> Contact {
    let planned = ego_boxes(plan, ego, collision);
    let gap_m = std::array::from_fn(|t| nearest_m(&planned[t], &boxes[t], collision.gap_cap_m));
    let collides = std::array::from_fn(|t| match collision.kind {
        CollisionKind::OrientedPolygon => boxes[t].iter().any(|b| planned[t].overlaps(b)),
        // Boxes too far apart for any cell of theirs to be shared.
        CollisionKind::Grid if collision.heading == Heading::FromPlan && !near(&planned[t], &boxes[t], collision) => {
            false
        }
        CollisionKind::Grid => {
            let grid = Grid::of(collision);
            let cells = match collision.heading {
                Heading::None => grid.ego_cells(ego, plan.0[t].map(f64::from)),
                Heading::FromPlan => grid.cells_in(&planned[t]),
            };
            boxes[t].iter().any(|b| grid.box_covers_any(b, &cells))
        }
    });
    Contact { collides, gap_m }
}

fn near(b: &OrientedBox, others: &[OrientedBox], collision: &Collision) -> bool {
    let slack = 2.0 * collision.cell_m.unwrap_or(0.5);
    let distance = |other: &OrientedBox| b.center.position().distance(other.center.position());
    others.iter().any(|other| distance(other) <= b.reach_m() + other.reach_m() + slack)
}

/// Per step, whether the planned box touches a line, such as the edge of the road.
pub fn touches(
    plan: &Trajectory,
    ego: EgoBox,
    collision: &Collision,
    lines: &[Vec<[f32; 2]>],
) -> [bool; HORIZON_STEPS] {
    let planned = ego_boxes(plan, ego, collision);
    let point = |p: [f32; 2]| DVec2::new(p[0].into(), p[1].into());
    planned.map(|b| lines.iter().any(|line| line.windows(2).any(|w| crosses(&b, point(w[0]), point(w[1])))))
}

/// Whether a segment shares a point with a box (clipping against its four sides).
fn crosses(b: &OrientedBox, from: DVec2, to: DVec2) -> bool {
    let (from, to) = (b.center.to_local(from), b.center.to_local(to));
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (start, along, half) in [(from.x, to.x - from.x, b.length_m / 2.0), (from.y, to.y - from.y, b.width_m / 2.0)] {
        if along == 0.0 {
            if start.abs() > half {
                return false;
            }
            continue;
        }
        let (a, z) = ((-half - start) / along, (half - start) / along);
        enter = enter.max(a.min(z));
        leave = leave.min(a.max(z));
    }
    enter <= leave
}

/// A square of cells around the start; row and column count from its rear right corner.
struct Grid {
    cell_m: f64,
    half_m: f64,
}

impl Grid {
    fn of(collision: &Collision) -> Self {
        Self { cell_m: collision.cell_m.unwrap_or(0.5), half_m: collision.half_extent_m.unwrap_or(50.0) }
    }

    fn cells(&self) -> i64 {
        (2.0 * self.half_m / self.cell_m).round() as i64
    }

    /// A coordinate in units of cells, cell centres at whole numbers (`(p − bx) / dx`).
    fn index(&self, metres: f64) -> f64 {
        (metres + self.half_m - self.cell_m / 2.0) / self.cell_m
    }

    /// Cells of the unturned ego box at the start, then shifted by the plan's point in whole cells (towards zero)
    /// and held inside the grid, as the reference code does.
    fn ego_cells(&self, ego: EgoBox, point: [f64; 2]) -> Vec<[i64; 2]> {
        let span = |low: f64, high: f64| self.index(low).ceil() as i64..=self.index(high).floor() as i64;
        let forward = span(ego.ahead_m - ego.length_m / 2.0, ego.ahead_m + ego.length_m / 2.0);
        let aside = || span(-ego.width_m / 2.0, ego.width_m / 2.0);
        let shift = point.map(|p| p / self.cell_m);
        let held = |cell: i64, by: f64| ((cell as f64 + by) as i64).clamp(0, self.cells() - 1);
        forward
            .flat_map(|x| aside().map(move |y| [x, y]))
            .map(|[x, y]| [held(x, shift[0]), held(y, shift[1])])
            .collect()
    }

    /// Cells whose centre lies in a box; what lies outside the grid has none.
    fn cells_in(&self, b: &OrientedBox) -> Vec<[i64; 2]> {
        let corners = b.corners().map(|c| DVec2::new(self.index(c.x), self.index(c.y)));
        let low = corners.into_iter().reduce(DVec2::min).unwrap_or_default().floor().max(DVec2::ZERO);
        let high = corners.into_iter().reduce(DVec2::max).unwrap_or_default().ceil();
        let high = high.min(DVec2::splat((self.cells() - 1) as f64));
        let centre = |cell: i64| (cell as f64 + 0.5) * self.cell_m - self.half_m;
        (low.x as i64..=high.x as i64)
            .flat_map(|x| (low.y as i64..=high.y as i64).map(move |y| [x, y]))
            .filter(|[x, y]| b.contains(DVec2::new(centre(*x), centre(*y))))
            .collect()
    }

    /// Whether the box, its corners rounded to the grid, covers the centre of any of the cells.
    fn box_covers_any(&self, b: &OrientedBox, cells: &[[i64; 2]]) -> bool {
        let corners = b.corners().map(|c| DVec2::new(self.index(c.x).round(), self.index(c.y).round()));
        let low = corners.into_iter().reduce(DVec2::min).unwrap_or_default();
        let high = corners.into_iter().reduce(DVec2::max).unwrap_or_default();
        cells.iter().any(|&[x, y]| {
            let p = DVec2::new(x as f64, y as f64);
            // The bounds matter for thin boxes, whose rounded corners fall on a line or a point.
            let bounded = p.cmpge(low).all() && p.cmple(high).all();
            bounded && (0..4).all(|i| (corners[(i + 1) % 4] - corners[i]).perp_dot(p - corners[i]) >= 0.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    fn protocol(name: &str) -> Protocol {
        Protocol::named(name).unwrap()
    }

    #[test]
    fn the_unturned_box_covers_the_published_32_cells() {
        // protocols.md A1, verified against skimage: forward 97..=104, lateral 98..=101.
        let p = protocol("vad-grid");
        let cells = Grid::of(&p.collision).ego_cells(p.ego_box("nuscenes").unwrap(), [0.0, 0.0]);
        assert_eq!(cells.len(), 32);
        assert!(cells.iter().all(|[x, y]| (97..=104).contains(x) && (98..=101).contains(y)), "{cells:?}");
    }

    #[test]
    fn the_fine_grid_has_the_published_720_cells_and_turns() {
        // protocols.md A1: BEV-Planner's 0.1 m grid, before rotation.
        let p = protocol("para-drive-unverified");
        let grid = Grid::of(&p.collision);
        let ego = p.ego_box("nuscenes").unwrap();
        let straight = Trajectory::constant_speed(2.0);
        assert_eq!(grid.cells_in(&ego_boxes(&straight, ego, &p.collision)[2]).len(), 720);
        let aside = Trajectory(std::array::from_fn(|i| [0.0, (i + 1) as f32]));
        let cells = grid.cells_in(&ego_boxes(&aside, ego, &p.collision)[2]);
        assert!(cells.len().abs_diff(756) < 60, "{}", cells.len());
        let span = |k: usize| {
            let values = cells.iter().map(|c| c[k]);
            values.clone().max().unwrap() - values.min().unwrap()
        };
        assert!(span(0) < 20 && span(1) > 38);
    }

    #[test]
    fn a_line_is_touched_or_not() {
        let b = OrientedBox { center: Pose2::new(0.0, 0.0, 0.0), length_m: 4.0, width_m: 2.0 };
        let v = DVec2::new;
        assert!(crosses(&b, v(-9.0, 0.9), v(9.0, 0.9)) && crosses(&b, v(0.0, 0.0), v(0.1, 0.0)));
        assert!(!crosses(&b, v(-9.0, 1.1), v(9.0, 1.1)) && !crosses(&b, v(2.5, -9.0), v(2.5, 9.0)));
        assert!(!crosses(&b, v(1.5, 2.0), v(3.0, 0.6)) && crosses(&b, v(1.5, 1.4), v(2.3, 0.6)));
    }

    #[test]
    fn cells_far_away_stick_to_the_border() {
        let p = protocol("vad-grid");
        let cells = Grid::of(&p.collision).ego_cells(p.ego_box("nuscenes").unwrap(), [500.0, -500.0]);
        assert!(cells.iter().all(|&c| c == [199, 0]));
    }

    #[test]
    fn the_box_turns_with_the_plan_and_stays_turned_when_it_stops() {
        let p = protocol("valid-starts");
        let plan = Trajectory([[0.0, 2.0], [0.0, 4.0], [0.0, 4.1], [0.0, 4.1], [0.0, 4.1], [0.0, 4.1]]);
        let boxes = ego_boxes(&plan, p.ego_box("nuscenes").unwrap(), &p.collision);
        for b in &boxes {
            assert!((b.center.yaw_rad - std::f64::consts::FRAC_PI_2).abs() < 1e-9);
        }
        let last = boxes[5].center;
        assert!(last.x.abs() < 1e-9 && (last.y - 4.6).abs() < 1e-6);
    }

    #[test]
    fn what_is_passed_over_as_too_far_away_was_not_the_nearest() {
        let mut rng = apprentice_core::Rng::new(&[7]);
        for _ in 0..200 {
            let mut boxed = || OrientedBox {
                center: Pose2::new(rng.range(-20.0, 20.0), rng.range(-20.0, 20.0), rng.range(-3.1, 3.1)),
                length_m: rng.range(0.5, 9.0),
                width_m: rng.range(0.5, 3.0),
            };
            let (mine, others): (_, Vec<_>) = (boxed(), (0..8).map(|_| boxed()).collect());
            let all = others.iter().map(|other| gap_m(&mine, other)).fold(10.0, f64::min);
            assert_eq!(nearest_m(&mine, &others, 10.0), all);
        }
    }

    #[test]
    fn gaps_are_between_outlines() {
        let boxed = |x, y, yaw_rad| OrientedBox { center: Pose2::new(x, y, yaw_rad), length_m: 4.0, width_m: 2.0 };
        let straight = gap_m(&boxed(0.0, 0.0, 0.0), &boxed(7.0, 0.0, 0.0));
        let turned = gap_m(&boxed(0.0, 0.0, 0.0), &boxed(7.0, 0.0, std::f64::consts::FRAC_PI_2));
        let diagonal = gap_m(&boxed(0.0, 0.0, 0.0), &boxed(7.0, 6.0, 0.0));
        assert!((straight - 3.0).abs() < 1e-12 && (turned - 4.0).abs() < 1e-12 && (diagonal - 5.0).abs() < 1e-12);
        assert_eq!(gap_m(&boxed(0.0, 0.0, 0.0), &boxed(1.0, 1.0, 0.3)), 0.0);
    }
}
