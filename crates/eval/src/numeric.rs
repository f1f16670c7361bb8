//! Numbers as the reference implementations add and interpolate them, so that their ties fall the same way.

/// Piecewise linear interpolation at ascending `xs` (doubled values allowed: the last one counts), as numpy's `interp`:
/// left of all points the first value, right of them `right`.
pub fn interpolate(x: f64, xs: &[f64], ys: &[f64], right: f64) -> f64 {
    let above = xs.partition_point(|known| *known <= x);
    if above == 0 {
        return ys[0];
    }
    let at = above - 1;
    if above == xs.len() {
        return if x > xs[at] { right } else { ys[at] };
    }
    if xs[at] == x {
        return ys[at];
    }
    let slope = (ys[above] - ys[at]) / (xs[above] - xs[at]);
    slope * (x - xs[at]) + ys[at]
}

/// `count` evenly spaced values from `first` to `last`.
pub fn linspace(first: f64, last: f64, count: usize) -> Vec<f64> {
    let step = (last - first) / (count - 1) as f64;
    (0..count).map(|i| if i + 1 == count { last } else { first + i as f64 * step }).collect()
}

/// The mean, added up in numpy's pairwise order (blocks of eight accumulators; exact for up to 128 values).
pub fn mean(values: &[f64]) -> f64 {
    pairwise(values) / values.len() as f64
}

fn pairwise(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().sum();
    }
    if n > 128 {
        let half = n / 2 - (n / 2) % 8;
        return pairwise(&values[..half]) + pairwise(&values[half..]);
    }
    let mut r: [f64; 8] = std::array::from_fn(|i| values[i]);
    let whole = n - n % 8;
    for block in values[8..whole].chunks_exact(8) {
        r.iter_mut().zip(block).for_each(|(sum, v)| *sum += v);
    }
    let blocks = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    values[whole..].iter().fold(blocks, |sum, v| sum + v)
}

/// The mean of what is known; `None` of nothing.
pub fn known_mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    (!known.is_empty()).then(|| mean(&known))
}

/// Assign rows to columns so that most pairs are made, and among those the sum of costs is least. A cost that is not
/// finite forbids a pair. Returns the column of each row. (Kuhn–Munkres with potentials, O(n² m).)
pub fn assign(costs: &[Vec<f64>], columns: usize) -> Vec<Option<usize>> {
    let rows = costs.len();
    if rows > columns {
        let turned: Vec<Vec<f64>> = (0..columns).map(|j| costs.iter().map(|row| row[j]).collect()).collect();
        let mut out = vec![None; rows];
        for (column, row) in assign(&turned, rows).into_iter().enumerate() {
            if let Some(row) = row {
                out[row] = Some(column);
            }
        }
        return out;
    }
    let largest = costs.iter().flatten().filter(|c| c.is_finite()).fold(0.0_f64, |m, c| m.max(c.abs())) + 1.0;
    // Making one pair less must cost more than any sum of allowed pairs.
    let forbidden = 2.0 * rows.max(1) as f64 * largest + 1.0;
    let cost = |i: usize, j: usize| if costs[i][j].is_finite() { costs[i][j] } else { forbidden };
    // Column 0 and row 0 are the outside; everything is counted from 1.
    let (mut u, mut v) = (vec![0.0; rows + 1], vec![0.0; columns + 1]);
    let (mut row_of, mut way) = (vec![0; columns + 1], vec![0; columns + 1]);
    for row in 1..=rows {
        row_of[0] = row;
        let mut j0 = 0;
        let (mut least, mut used) = (vec![f64::INFINITY; columns + 1], vec![false; columns + 1]);
        while row_of[j0] != 0 {
            used[j0] = true;
            let (i0, mut delta, mut j1) = (row_of[j0], f64::INFINITY, 0);
            for j in 1..=columns {
                if used[j] {
                    continue;
                }
                let reduced = cost(i0 - 1, j - 1) - u[i0] - v[j];
                if reduced < least[j] {
                    (least[j], way[j]) = (reduced, j0);
                }
                if least[j] < delta {
                    (delta, j1) = (least[j], j);
                }
            }
            for j in 0..=columns {
                if used[j] {
                    u[row_of[j]] += delta;
                    v[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            }
            j0 = j1;
        }
        while j0 != 0 {
            row_of[j0] = row_of[way[j0]];
            j0 = way[j0];
        }
    }
    let mut out = vec![None; rows];
    for column in 1..=columns {
        if row_of[column] != 0 && costs[row_of[column] - 1][column - 1].is_finite() {
            out[row_of[column] - 1] = Some(column - 1);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::Rng;

    #[test]
    fn interpolation_takes_the_last_of_doubled_points() {
        let (xs, ys) = ([0.1, 0.2, 0.2, 0.4], [1.0, 2.0, 3.0, 5.0]);
        let at = |x| interpolate(x, &xs, &ys, -1.0);
        assert_eq!((at(0.0), at(0.1), at(0.2), at(0.4), at(0.5)), (1.0, 1.0, 3.0, 5.0, -1.0));
        assert!((at(0.3) - 4.0).abs() < 1e-12 && (at(0.15) - 1.5).abs() < 1e-12);
    }

    #[test]
    fn sums_by_hand() {
        let values: Vec<f64> = (1..=21).map(f64::from).collect();
        assert_eq!(mean(&values), 11.0);
        assert_eq!(mean(&vec![0.5; 1000]), 0.5);
        assert_eq!(linspace(0.0, 1.0, 101)[100], 1.0);
    }

    /// Every assignment of rows to different columns or to none.
    fn best(costs: &[Vec<f64>], columns: usize, row: usize, taken: &mut Vec<bool>) -> (usize, f64) {
        if row == costs.len() {
            return (0, 0.0);
        }
        let mut found = best(costs, columns, row + 1, taken);
        for j in 0..columns {
            if !taken[j] && costs[row][j].is_finite() {
                taken[j] = true;
                let (pairs, sum) = best(costs, columns, row + 1, taken);
                taken[j] = false;
                let here = (pairs + 1, sum + costs[row][j]);
                if here.0 > found.0 || (here.0 == found.0 && here.1 < found.1) {
                    found = here;
                }
            }
        }
        found
    }

    #[test]
    fn assignments_are_the_best_of_all() {
        let mut rng = Rng::new(&[3]);
        for _ in 0..400 {
            let (rows, columns) = (rng.below(5), 1 + rng.below(5));
            let mut cost = || if rng.chance(0.4) { f64::NAN } else { rng.range(0.0, 2.0) };
            let costs: Vec<Vec<f64>> = (0..rows).map(|_| (0..columns).map(|_| cost()).collect()).collect();
            let made = assign(&costs, columns);
            let pairs: Vec<(usize, usize)> = made.iter().enumerate().filter_map(|(i, j)| Some((i, (*j)?))).collect();
            let sum: f64 = pairs.iter().map(|&(i, j)| costs[i][j]).sum();
            let (count, least) = best(&costs, columns, 0, &mut vec![false; columns]);
            assert_eq!(pairs.len(), count);
            assert!((sum - least).abs() < 1e-9);
        }
    }
}
