//! Polylines: thinning, stitching, clipping.

use apprentice_core::geometry::{DVec2, DVec3};
use std::collections::BTreeMap;

/// Leave out points that lie within `tolerance_m` of the line through those kept; no step longer than
/// `longest_m` (where the input has a point to keep).
pub(crate) fn simplify(points: &[DVec3], tolerance_m: f64, longest_m: f64) -> Vec<DVec3> {
    let Some(&first) = points.first() else { return Vec::new() };
    let mut out = vec![first];
    let mut from = 0;
    while from + 1 < points.len() {
        let mut to = from + 1;
        while to + 1 < points.len() {
            let chord = points[to + 1] - points[from];
            let length2 = chord.length_squared().max(1e-12);
            let off = points[from + 1..=to].iter().any(|p| {
                let t = ((*p - points[from]).dot(chord) / length2).clamp(0.0, 1.0);
                (points[from] + chord * t - *p).length_squared() > tolerance_m * tolerance_m
            });
            if off || length2 > longest_m * longest_m {
                break;
            }
            to += 1;
        }
        out.push(points[to]);
        from = to;
    }
    out
}

/// Join lines end to end where ends meet within `reach_m`, whichever way they run.
pub(crate) fn stitch(lines: Vec<Vec<DVec3>>, reach_m: f64) -> Vec<Vec<DVec3>> {
    let cell = |p: DVec3| ((p.x / reach_m).floor() as i64, (p.y / reach_m).floor() as i64);
    // End points by cell: (line, whether it is its last point).
    let mut ends: BTreeMap<(i64, i64), Vec<(usize, bool)>> = BTreeMap::new();
    for (i, line) in lines.iter().enumerate() {
        ends.entry(cell(line[0])).or_default().push((i, false));
        ends.entry(cell(line[line.len() - 1])).or_default().push((i, true));
    }
    let end_of = |i: usize, last: bool| if last { lines[i][lines[i].len() - 1] } else { lines[i][0] };
    let mut used = vec![false; lines.len()];
    let mut out = Vec::new();
    for start in 0..lines.len() {
        if used[start] {
            continue;
        }
        used[start] = true;
        let mut chain = lines[start].clone();
        for _ in 0..2 {
            // Grow at the back, turn round, grow at the other end.
            loop {
                let tip = chain[chain.len() - 1];
                let before = chain[chain.len().saturating_sub(2)];
                let (cx, cy) = cell(tip);
                let mut best: Option<(f64, usize, bool)> = None;
                for key in (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (cx + dx, cy + dy))) {
                    for &(i, last) in ends.get(&key).into_iter().flatten() {
                        let gap = (end_of(i, last) - tip).length();
                        let line = &lines[i];
                        let inward =
                            if last { line[line.len().saturating_sub(2)] } else { line[1.min(line.len() - 1)] };
                        let straight =
                            (inward - end_of(i, last)).normalize_or_zero().dot((tip - before).normalize_or_zero());
                        if !used[i]
                            && gap <= reach_m
                            && straight > 0.5
                            && best.is_none_or(|(g, b, _)| gap < g || (gap == g && i < b))
                        {
                            best = Some((gap, i, last));
                        }
                    }
                }
                let Some((_, i, last)) = best else { break };
                used[i] = true;
                let next: Box<dyn Iterator<Item = &DVec3>> =
                    if last { Box::new(lines[i].iter().rev()) } else { Box::new(lines[i].iter()) };
                chain.extend(next.skip(1));
            }
            chain.reverse();
        }
        out.push(chain);
    }
    out
}

/// Clip a polyline to the rectangle `min..max`; the pieces inside, each of at least two points.
pub(crate) fn clip(points: impl Iterator<Item = DVec2>, min: DVec2, max: DVec2, out: &mut Vec<Vec<DVec2>>) {
    let mut current: Vec<DVec2> = Vec::new();
    let mut before: Option<DVec2> = None;
    for p in points {
        if let Some(a) = before {
            match clip_segment(a, p, min, max) {
                Some((from, to)) => {
                    if current.last().is_none_or(|l| (*l - from).length_squared() > 1e-12) {
                        flush(&mut current, out);
                        current.push(from);
                    }
                    current.push(to);
                }
                None => flush(&mut current, out),
            }
        }
        before = Some(p);
    }
    flush(&mut current, out);
}

fn flush(current: &mut Vec<DVec2>, out: &mut Vec<Vec<DVec2>>) {
    if current.len() >= 2 {
        out.push(std::mem::take(current));
    }
    current.clear();
}

/// Liang–Barsky.
fn clip_segment(a: DVec2, b: DVec2, min: DVec2, max: DVec2) -> Option<(DVec2, DVec2)> {
    let d = b - a;
    let (mut from, mut to) = (0.0f64, 1.0f64);
    for (p, q) in [(-d.x, a.x - min.x), (d.x, max.x - a.x), (-d.y, a.y - min.y), (d.y, max.y - a.y)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            from = from.max(q / p);
        } else {
            to = to.min(q / p);
        }
    }
    (from < to).then(|| (a + d * from, a + d * to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_what_lies_inside_and_splits_what_leaves() {
        let line = [(-5.0, 0.0), (5.0, 0.0), (5.0, 9.0), (0.0, 9.0), (0.0, 2.0)].map(|(x, y)| DVec2::new(x, y));
        let mut out = Vec::new();
        clip(line.into_iter(), DVec2::new(-3.0, -3.0), DVec2::new(3.0, 3.0), &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(out[0], vec![DVec2::new(-3.0, 0.0), DVec2::new(3.0, 0.0)]);
        assert_eq!(out[1], vec![DVec2::new(0.0, 3.0), DVec2::new(0.0, 2.0)]);
    }

    #[test]
    fn stitching_joins_lines_that_run_opposite_ways() {
        let line = |a: f64, b: f64| vec![DVec3::new(a, 0.0, 0.0), DVec3::new(b, 0.0, 0.0)];
        let joined = stitch(vec![line(0.0, 1.0), line(2.0, 1.05), line(5.0, 6.0)], 0.3);
        assert_eq!(joined.len(), 2);
        assert_eq!(joined.iter().map(Vec::len).max(), Some(3));
    }

    #[test]
    fn simplifying_a_straight_line_leaves_its_ends() {
        let points: Vec<DVec3> = (0..20).map(|k| DVec3::new(f64::from(k), 0.0, 0.0)).collect();
        assert_eq!(simplify(&points, 0.01, 100.0).len(), 2);
        assert_eq!(simplify(&points, 0.01, 5.5).len(), 5);
    }
}
