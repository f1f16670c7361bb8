//! Optimal one-to-one assignment (Kuhn 1955; the shortest-augmenting-path form of Jonker and Volgenant 1987).

/// Assign every row to a different column so that the summed cost is least.
///
/// `cost` is row-major, `rows` × `columns`, `rows <= columns`; what is no finite number counts as dearer than all else. Returns the
/// column of each row. Ties go to the column that is reached first, so equal inputs give equal answers.
///
/// # Panics
/// If there are more rows than columns, or `cost` has another length.
pub fn assign(cost: &[f32], rows: usize, columns: usize) -> Vec<usize> {
    assert!(rows <= columns, "{rows} targets do not fit {columns} queries");
    assert_eq!(cost.len(), rows * columns);
    const FREE: usize = usize::MAX;
    // A network that diverges must end in the training's own error, not here.
    const DEAREST: f32 = 1e30;
    let cost = |i: usize| if cost[i].is_finite() { cost[i].clamp(-DEAREST, DEAREST) } else { DEAREST };
    // Potentials of rows and columns; `row_of[c]` is the row matched to column c (index `columns` is a virtual start).
    let (mut u, mut v) = (vec![0f64; rows], vec![0f64; columns + 1]);
    let mut row_of = vec![FREE; columns + 1];
    let mut previous = vec![0usize; columns];
    for row in 0..rows {
        row_of[columns] = row;
        let mut current = columns;
        let mut least = vec![f64::INFINITY; columns];
        let mut visited = vec![false; columns + 1];
        loop {
            visited[current] = true;
            let i = row_of[current];
            let (mut step, mut next) = (f64::INFINITY, FREE);
            for c in (0..columns).filter(|&c| !visited[c]) {
                let reduced = f64::from(cost(i * columns + c)) - u[i] - v[c];
                if reduced < least[c] {
                    (least[c], previous[c]) = (reduced, current);
                }
                if least[c] < step {
                    (step, next) = (least[c], c);
                }
            }
            for c in 0..=columns {
                if visited[c] {
                    u[row_of[c]] += step;
                    v[c] -= step;
                } else if c < columns {
                    least[c] -= step;
                }
            }
            current = next;
            if row_of[current] == FREE {
                break;
            }
        }
        while current != columns {
            row_of[current] = row_of[previous[current]];
            current = previous[current];
        }
    }
    let mut answer = vec![FREE; rows];
    for (column, &row) in row_of[..columns].iter().enumerate() {
        if row != FREE {
            answer[row] = column;
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::Rng;

    fn best(cost: &[f32], columns: usize, row: usize, rows: usize, used: &mut Vec<bool>) -> f64 {
        if row == rows {
            return 0.0;
        }
        let mut least = f64::INFINITY;
        for c in 0..columns {
            if !used[c] {
                used[c] = true;
                least = least.min(f64::from(cost[row * columns + c]) + best(cost, columns, row + 1, rows, used));
                used[c] = false;
            }
        }
        least
    }

    #[test]
    fn what_is_no_number_is_taken_last() {
        assert_eq!(assign(&[f32::NAN, 2.0, 1.0, f32::INFINITY], 2, 2), [1, 0]);
        assert_eq!(assign(&[f32::NAN; 4], 2, 2).len(), 2);
    }

    #[test]
    fn is_as_good_as_trying_everything() {
        let mut rng = Rng::new(&[11]);
        for trial in 0..300 {
            let rows = 1 + rng.below(5);
            let columns = rows + rng.below(3);
            // Half of the trials have many ties.
            let draw = |rng: &mut Rng| if trial % 2 == 0 { rng.range(-5.0, 5.0) } else { rng.below(4) as f64 };
            let cost: Vec<f32> = (0..rows * columns).map(|_| draw(&mut rng) as f32).collect();
            let chosen = assign(&cost, rows, columns);
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), rows);
            let total: f64 = chosen.iter().enumerate().map(|(r, &c)| f64::from(cost[r * columns + c])).sum();
            let least = best(&cost, columns, 0, rows, &mut vec![false; columns]);
            assert!((total - least).abs() < 1e-5, "{total} against {least}");
        }
    }

    #[test]
    fn nothing_to_assign() {
        assert!(assign(&[], 0, 7).is_empty());
    }
}
