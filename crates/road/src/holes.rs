//! Small gaps between the connecting lanes of a junction are paved.
//!
//! The lanes inside a junction leave slivers of ground between them. On a raster of each junction, uncovered
//! patches that do not reach the outside and are small become strips of surface just below the lanes.

use crate::lane::LaneKind;
use crate::mesh::Strip;
use crate::network::{Junction, RoadNetwork};
use apprentice_core::geometry::{DVec2, DVec3};

/// Raster cell, metres.
const CELL_M: f64 = 0.5;
/// Patches larger than this are real islands, square metres.
const LARGEST_M2: f64 = 90.0;
/// Junctions wider than this are interchanges: their gaps are real.
const WIDEST_M: f64 = 90.0;
/// How far below the lanes the filling lies, metres.
const BELOW_M: f64 = 0.03;

/// Strips for a junction's gaps.
pub(crate) fn fill(net: &RoadNetwork, junction: &Junction) -> Vec<Strip> {
    let points = junction.lanes.iter().flat_map(|&l| &net.lanes[l].points);
    let (lo, hi) = points.fold((DVec2::INFINITY, DVec2::NEG_INFINITY), |(lo, hi), p| {
        (lo.min(p.position.truncate()), hi.max(p.position.truncate()))
    });
    let (lo, hi) = (lo - 6.0, hi + 6.0);
    let size = hi - lo;
    if !size.is_finite() || size.max_element() > WIDEST_M {
        return Vec::new();
    }
    let (columns, rows) = ((size.x / CELL_M).ceil() as usize, (size.y / CELL_M).ceil() as usize);
    let mut covered = vec![false; columns * rows];
    paint_lanes(net, lo, columns, rows, &mut covered);
    let mut seen = covered.clone();
    let mut out = Vec::new();
    for start in 0..covered.len() {
        if seen[start] {
            continue;
        }
        let (patch, open) = flood(start, columns, rows, &mut seen);
        if !open && (patch.len() as f64) * CELL_M * CELL_M <= LARGEST_M2 {
            out.extend(strips(net, &patch, lo, columns));
        }
    }
    out
}

/// Mark the cells that any lane near the junction covers.
fn paint_lanes(net: &RoadNetwork, lo: DVec2, columns: usize, rows: usize, covered: &mut [bool]) {
    let center = lo + DVec2::new(columns as f64, rows as f64) * (CELL_M / 2.0);
    let reach = DVec2::new(columns as f64, rows as f64).length() * CELL_M / 2.0 + 4.0;
    for place in net.lanes_near(center, reach) {
        let lane = &net.lanes[place.lane];
        let steps = (lane.length_m / (CELL_M * 0.7)).ceil() as usize;
        for k in 0..=steps {
            let at = lane.at(lane.length_m * k as f64 / steps as f64);
            if (at.position.truncate() - center).length() > reach + 4.0 {
                continue;
            }
            let across = (at.width_m / (CELL_M * 0.7)).ceil() as usize;
            for j in 0..=across {
                let p = at.beside(at.width_m * (j as f64 / across.max(1) as f64 - 0.5)).truncate() - lo;
                let (x, y) = ((p.x / CELL_M).floor(), (p.y / CELL_M).floor());
                if x >= 0.0 && y >= 0.0 && (x as usize) < columns && (y as usize) < rows {
                    covered[y as usize * columns + x as usize] = true;
                }
            }
        }
    }
}

/// The connected patch of unseen cells at `start`, and whether it touches the raster's edge.
fn flood(start: usize, columns: usize, rows: usize, seen: &mut [bool]) -> (Vec<usize>, bool) {
    let mut patch = vec![start];
    let mut open = false;
    seen[start] = true;
    let mut next = 0;
    while next < patch.len() {
        let cell = patch[next];
        next += 1;
        let (x, y) = (cell % columns, cell / columns);
        open |= x == 0 || y == 0 || x + 1 == columns || y + 1 == rows;
        let sides = [
            (x > 0, cell.wrapping_sub(1)),
            (x + 1 < columns, cell + 1),
            (y > 0, cell.wrapping_sub(columns)),
            (y + 1 < rows, cell + columns),
        ];
        for (inside, other) in sides {
            if inside && !seen[other] {
                seen[other] = true;
                patch.push(other);
            }
        }
    }
    (patch, open)
}

/// One strip per row of a patch, reaching a little under its neighbours.
fn strips(net: &RoadNetwork, patch: &[usize], lo: DVec2, columns: usize) -> Vec<Strip> {
    let mut cells = patch.to_vec();
    cells.sort_unstable();
    let z = net.surface_z(lo + cell_middle(cells[cells.len() / 2], columns)) - BELOW_M;
    let mut out = Vec::new();
    let mut i = 0;
    while i < cells.len() {
        let first = cells[i];
        let mut last = first;
        while i + 1 < cells.len() && cells[i + 1] == last + 1 && cells[i + 1] / columns == first / columns {
            i += 1;
            last = cells[i];
        }
        i += 1;
        let (from, to) = (lo + cell_middle(first, columns), lo + cell_middle(last, columns));
        let corner = |p: DVec2, dx: f64, dy: f64| DVec3::new(p.x + dx * 2.0 * CELL_M, p.y + dy * CELL_M, z);
        out.push(Strip {
            kind: LaneKind::Driving,
            junction: true,
            left: vec![corner(from, -1.0, 1.0), corner(to, 1.0, 1.0)],
            right: vec![corner(from, -1.0, -1.0), corner(to, 1.0, -1.0)],
        });
    }
    out
}

fn cell_middle(cell: usize, columns: usize) -> DVec2 {
    DVec2::new((cell % columns) as f64 + 0.5, (cell / columns) as f64 + 0.5) * CELL_M
}
