//! A smooth path through waypoints: the parametric cubic smoothing spline of Dierckx (FITPACK `parcur`), as the off-road
//! rate of nuScenes' prediction task draws it.
//!
//! The spline has as few knots as keep the sum of squared distances at the smoothing factor; with those knots, the least
//! jump of its third derivative at that sum. Source: P. Dierckx, *Curve and Surface Fitting with Splines*, 1993, ch. 5.

/// Order of the pieces.
const K: usize = 3;
/// Relative tolerance of the smoothing factor.
const TOLERANCE: f64 = 1e-3;
/// Steps of the search for the smoothing parameter.
const MOST_STEPS: usize = 20;

/// `count` points along the path. Doubled waypoints count once; up to three are given back as they are.
pub fn smooth_path(waypoints: &[[f64; 2]], smoothing: f64, count: usize) -> Vec<[f64; 2]> {
    let mut points: Vec<[f64; 2]> = Vec::with_capacity(waypoints.len());
    for p in waypoints {
        if !points.contains(p) {
            points.push(*p);
        }
    }
    if points.len() <= K {
        return points;
    }
    // Far from the origin squares lose digits; the spline moves with its points.
    let origin = points[0];
    points.iter_mut().for_each(|p| *p = [p[0] - origin[0], p[1] - origin[1]]);
    let mut u = vec![0.0];
    for pair in points.windows(2) {
        u.push(u[u.len() - 1] + (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]));
    }
    let length = u[u.len() - 1];
    u.iter_mut().for_each(|v| *v /= length);
    let spline = fit(&u, &points, smoothing);
    (0..count)
        .map(|i| {
            let [x, y] = spline.at(i as f64 / (count - 1) as f64);
            [x + origin[0], y + origin[1]]
        })
        .collect()
}

struct Spline {
    knots: Vec<f64>,
    coefficients: Vec<[f64; 2]>,
}

impl Spline {
    fn at(&self, u: f64) -> [f64; 2] {
        let (first, basis) = basis(&self.knots, u);
        basis.iter().enumerate().fold([0.0; 2], |sum, (i, b)| {
            let c = self.coefficients[first + i];
            [sum[0] + b * c[0], sum[1] + b * c[1]]
        })
    }
}

/// The four cubic B-splines that are not zero at `u`, and the number of the first.
fn basis(knots: &[f64], u: f64) -> (usize, [f64; K + 1]) {
    let last = knots.len() - K - 2;
    let mut span = K;
    while span < last && u >= knots[span + 1] {
        span += 1;
    }
    let mut out = [0.0; K + 1];
    out[0] = 1.0;
    for degree in 1..=K {
        let before = out;
        out[0] = 0.0;
        for i in 0..degree {
            let (right, left) = (knots[span + i + 1], knots[span + i + 1 - degree]);
            let share = if right > left { before[i] / (right - left) } else { 0.0 };
            out[i] += share * (right - u);
            out[i + 1] = share * (u - left);
        }
    }
    (span - K, out)
}

/// Least squares over data rows and extra rows with right side zero. Returns the coefficients and the diagonal of the
/// triangular factor.
fn solve(rows: &[(usize, Vec<f64>, [f64; 2])], unknowns: usize) -> (Vec<[f64; 2]>, Vec<f64>) {
    // Givens rotations row by row into an upper triangular matrix.
    let mut r = vec![vec![0.0_f64; unknowns]; unknowns];
    let mut z = vec![[0.0_f64; 2]; unknowns];
    for (first, values, right) in rows {
        let (mut row, mut right) = (vec![0.0; unknowns], *right);
        row[*first..first + values.len()].copy_from_slice(values);
        for i in *first..unknowns {
            if row[i] == 0.0 {
                continue;
            }
            let norm = r[i][i].hypot(row[i]);
            let (cos, sin) = (r[i][i] / norm, row[i] / norm);
            for j in i..unknowns {
                let (a, b) = (r[i][j], row[j]);
                (r[i][j], row[j]) = (cos * a + sin * b, cos * b - sin * a);
            }
            for (a, b) in z[i].iter_mut().zip(&mut right) {
                (*a, *b) = (cos * *a + sin * *b, cos * *b - sin * *a);
            }
        }
    }
    let mut c = vec![[0.0; 2]; unknowns];
    for i in (0..unknowns).rev() {
        for axis in 0..2 {
            let known: f64 = (i + 1..unknowns).map(|j| r[i][j] * c[j][axis]).sum();
            c[i][axis] = if r[i][i] == 0.0 { 0.0 } else { (z[i][axis] - known) / r[i][i] };
        }
    }
    (c, (0..unknowns).map(|i| r[i][i]).collect())
}

fn rows_of(knots: &[f64], u: &[f64], points: &[[f64; 2]]) -> Vec<(usize, Vec<f64>, [f64; 2])> {
    let row = |(u, p): (&f64, &[f64; 2])| {
        let (first, values) = basis(knots, *u);
        (first, values.to_vec(), *p)
    };
    u.iter().zip(points).map(row).collect()
}

fn squares(spline: &Spline, u: &[f64], points: &[[f64; 2]]) -> Vec<f64> {
    let square = |(u, p): (&f64, &[f64; 2])| {
        let q = spline.at(*u);
        (q[0] - p[0]).powi(2) + (q[1] - p[1]).powi(2)
    };
    u.iter().zip(points).map(square).collect()
}

fn fit(u: &[f64], points: &[[f64; 2]], smoothing: f64) -> Spline {
    let m = u.len();
    let accuracy = TOLERANCE * smoothing;
    let most = m + K + 1;
    let mut knots: Vec<f64> = [[0.0; K + 1], [1.0; K + 1]].concat();
    // Data points strictly inside each interval between knots.
    let mut inside = vec![m - 2];
    let (mut first_sum, mut sum_before, mut added) = (0.0, 0.0, 0_usize);
    loop {
        let unknowns = knots.len() - K - 1;
        let (coefficients, diagonal) = solve(&rows_of(&knots, u, points), unknowns);
        let spline = Spline { knots: knots.clone(), coefficients };
        let square = squares(&spline, u, points);
        let sum: f64 = square.iter().sum();
        let plain = knots.len() == 2 * (K + 1);
        if plain {
            first_sum = sum;
        }
        let excess = sum - smoothing;
        let enough = excess < 0.0;
        if excess.abs() < accuracy || (enough && plain) || (!enough && knots.len() >= most) {
            return spline;
        }
        if enough {
            return smoothed(&spline, &diagonal, u, points, smoothing, first_sum);
        }
        added = if plain {
            1
        } else {
            let gain = sum_before - sum;
            let wanted = if gain > accuracy { (added as f64 * excess / gain) as usize } else { added * 2 };
            (added * 2).min(wanted.max(added / 2).max(1))
        };
        sum_before = sum;
        let mut shares = interval_sums(&knots, u, &square);
        for _ in 0..added {
            insert_knot(&mut knots, &mut shares, &mut inside, u);
            if knots.len() >= most {
                // As many knots as an interpolating spline has: those of one.
                knots = [vec![0.0; K + 1], u[2..m - 2].to_vec(), vec![1.0; K + 1]].concat();
                break;
            }
        }
    }
}

/// Sum of squares in each interval between knots; a point at a knot counts half on either side.
fn interval_sums(knots: &[f64], u: &[f64], square: &[f64]) -> Vec<f64> {
    let inner = &knots[K + 1..knots.len() - K - 1];
    let mut sums = vec![0.0; inner.len() + 1];
    let mut at = 0;
    for (u, square) in u.iter().zip(square) {
        if at < inner.len() && *u >= inner[at] {
            sums[at] += square / 2.0;
            at += 1;
            sums[at] += square / 2.0;
        } else {
            sums[at] += square;
        }
    }
    sums
}

/// A knot at the middle data point of the interval with the largest sum that has one.
fn insert_knot(knots: &mut Vec<f64>, shares: &mut Vec<f64>, inside: &mut Vec<usize>, u: &[f64]) {
    let (mut best, mut begin) = (None::<(f64, usize, usize)>, 0);
    for (i, count) in inside.iter().enumerate() {
        if *count > 0 && shares[i] > best.map_or(0.0, |b| b.0) {
            best = Some((shares[i], i, begin));
        }
        begin += count + 1;
    }
    let Some((share, at, begin)) = best else { return };
    let count = inside[at];
    let half = count / 2 + 1;
    knots.insert(K + 1 + at, u[begin + half]);
    inside[at] = half - 1;
    inside.insert(at + 1, count - half);
    shares[at] = share * inside[at] as f64 / count as f64;
    shares.insert(at + 1, share * inside[at + 1] as f64 / count as f64);
}

/// With the knots of `spline`, the smoothest one whose sum of squares is the smoothing factor.
fn smoothed(
    spline: &Spline,
    diagonal: &[f64],
    u: &[f64],
    points: &[[f64; 2]],
    smoothing: f64,
    first_sum: f64,
) -> Spline {
    let (knots, unknowns) = (&spline.knots, spline.coefficients.len());
    let accuracy = TOLERANCE * smoothing;
    let jumps = jump_rows(knots);
    let data = rows_of(knots, u, points);
    let at = |p: f64| {
        let mut rows = data.clone();
        rows.extend(jumps.iter().enumerate().map(|(i, jump)| (i, jump.iter().map(|v| v / p).collect(), [0.0; 2])));
        let fitted = Spline { knots: knots.clone(), coefficients: solve(&rows, unknowns).0 };
        let excess = squares(&fitted, u, points).iter().sum::<f64>() - smoothing;
        (fitted, excess)
    };
    let excess = squares(spline, u, points).iter().sum::<f64>() - smoothing;
    // (p, excess): the polynomial at 0, the least-squares spline at infinity (written as -1).
    let (mut low, mut high) = ((0.0, first_sum - smoothing), (-1.0, excess));
    let (mut low_found, mut high_found) = (false, false);
    let mut p = unknowns as f64 / diagonal.iter().sum::<f64>();
    let mut best = at(p);
    for _ in 1..MOST_STEPS {
        let here = best.1;
        if here.abs() < accuracy {
            break;
        }
        if !high_found && here - high.1 <= accuracy {
            high = (p, here);
            p *= 0.04;
            if p <= low.0 {
                p = low.0 * 0.9 + high.0 * 0.1;
            }
        } else if !low_found && low.1 - here <= accuracy {
            high_found |= here < 0.0;
            low = (p, here);
            p /= 0.04;
            if high.0 >= 0.0 && p >= high.0 {
                p = low.0 * 0.1 + high.0 * 0.9;
            }
        } else {
            high_found |= here < 0.0;
            low_found |= here > 0.0;
            if here >= low.1 || here <= high.1 {
                break;
            }
            let next = rational_zero(low, (p, here), high);
            if here < 0.0 {
                high = (p, here);
            } else {
                low = (p, here);
            }
            p = next;
        }
        best = at(p);
    }
    best.0
}

/// Zero of the rational function (a·p + b) / (p + c) through three places.
fn rational_zero((p1, f1): (f64, f64), (p2, f2): (f64, f64), (p3, f3): (f64, f64)) -> f64 {
    if p3 > 0.0 {
        let (h1, h2, h3) = (f1 * (f2 - f3), f2 * (f3 - f1), f3 * (f1 - f2));
        -(p1 * p2 * h3 + p2 * p3 * h1 + p3 * p1 * h2) / (p1 * h1 + p2 * h2 + p3 * h3)
    } else {
        (p1 * (f1 - f3) * f2 - p2 * (f2 - f3) * f1) / ((f1 - f2) * f3)
    }
}

/// Jumps of the third derivative at the inner knots, as rows over five coefficients each.
fn jump_rows(knots: &[f64]) -> Vec<[f64; K + 2]> {
    let inner = knots.len() - 2 * (K + 1);
    let scale = (inner + 1) as f64 / (knots[knots.len() - K - 1] - knots[K]);
    (0..inner)
        .map(|row| {
            let here = knots[row + K + 1];
            // Distances to the knots around, the knot itself left out.
            let away: Vec<f64> =
                (row..=row + 2 * (K + 1)).filter(|i| *i != row + K + 1).map(|i| here - knots[i]).collect();
            std::array::from_fn(|j| {
                let product = away[j..=j + K].iter().skip(1).fold(away[j], |p, d| p * d * scale);
                (knots[row + j + K + 1] - knots[row + j]) / product
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_goes_through_its_points_and_noise_is_smoothed_to_the_factor() {
        let line: Vec<[f64; 2]> = (0..12).map(|i| [1000.0 + 2.5 * f64::from(i), 700.0 - f64::from(i)]).collect();
        for (i, p) in smooth_path(&line, 0.1, 12).iter().enumerate() {
            assert!((p[0] - line[i][0]).abs() < 1e-9 && (p[1] - line[i][1]).abs() < 1e-9);
        }
        // A zigzag that no cubic follows: the sum of squares at its waypoints is the factor.
        let zigzag: Vec<[f64; 2]> = (0..12).map(|i| [3.0 * f64::from(i), f64::from(i % 3)]).collect();
        let mut u = vec![0.0];
        zigzag.windows(2).for_each(|w| u.push(u[u.len() - 1] + (w[1][0] - w[0][0]).hypot(w[1][1] - w[0][1])));
        let length = u[11];
        u.iter_mut().for_each(|v| *v /= length);
        let spline = fit(&u, &zigzag, 0.1);
        let sum: f64 = squares(&spline, &u, &zigzag).iter().sum();
        assert!((sum - 0.1).abs() < 2e-4 && spline.knots.len() > 8, "{sum} with {} knots", spline.knots.len());
    }

    #[test]
    fn few_points_are_given_back() {
        assert_eq!(smooth_path(&[[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]], 0.1, 200), [[1.0, 2.0], [3.0, 4.0]]);
    }
}
