//! Procedural towns, written as OpenDRIVE text that other tools read too.
//!
//! A town is a pure function of its layout and seed. Every road leads on: traffic never meets a dead end.

mod highway;
mod path;
mod plan;
mod streets;

use apprentice_core::Rng;
use apprentice_core::geometry::DVec2;
use plan::{CENTER_BROKEN, CENTER_DOUBLE, CENTER_SOLID, Plan};
use serde::{Deserialize, Serialize};
use streets::{Control, Profile, StreetMap};

/// Kinds of towns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// City blocks: mostly signalised junctions, parking, sidewalks, crosswalks, a street of two lanes each way.
    Grid,
    /// Winding residential streets with stop and yield signs.
    Suburb,
    /// Country roads with clothoid bends and yielding side roads.
    Curves,
    /// A motorway of three lanes each way with an off-ramp and an on-ramp to a street.
    Highway,
    /// Narrow streets close together.
    Village,
    /// Boulevards with medians, slanting streets and large signalised junctions. Held out: no training world
    /// uses it.
    Avenue,
}

/// A town to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TownSpec {
    /// Its kind.
    pub layout: Layout,
    /// Its variant.
    pub seed: u64,
}

impl Layout {
    /// As written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Suburb => "suburb",
            Self::Curves => "curves",
            Self::Highway => "highway",
            Self::Village => "village",
            Self::Avenue => "avenue",
        }
    }

    /// Whether it is kept for tests of what was never seen.
    pub fn is_held_out(self) -> bool {
        self == Self::Avenue
    }
}

impl TownSpec {
    /// Unique among towns.
    pub fn name(&self) -> String {
        format!("{}-{}", self.layout.name(), self.seed)
    }

    /// Write the town and read it back.
    pub fn network(&self) -> Result<crate::RoadNetwork, crate::RoadError> {
        crate::RoadNetwork::from_xodr(&self.name(), &xodr(self))
    }
}

/// All layouts, the held-out one last.
pub fn layouts() -> &'static [Layout] {
    &[Layout::Grid, Layout::Suburb, Layout::Curves, Layout::Highway, Layout::Village, Layout::Avenue]
}

/// The town as OpenDRIVE text.
pub fn xodr(spec: &TownSpec) -> String {
    let mut plan = Plan::default();
    let mut rng = Rng::new(&[0x70_77_6e, spec.layout as u64, spec.seed]);
    match spec.layout {
        Layout::Grid => grid(&mut rng).build(&mut plan, |_| Vec::new()),
        Layout::Suburb => suburb(&mut rng).build(&mut plan, |_| Vec::new()),
        Layout::Curves => curves(&mut rng).build(&mut plan, |_| Vec::new()),
        Layout::Highway => highway::build(&mut plan, &mut rng),
        Layout::Village => village(&mut rng).build(&mut plan, |_| Vec::new()),
        Layout::Avenue => avenue(&mut rng).build(&mut plan, |_| Vec::new()),
    }
    plan.xodr(&spec.name())
}

const STREET: Profile = Profile {
    lanes: 1,
    lane_m: 3.5,
    parking: false,
    median_m: 0.0,
    sidewalk: true,
    speed_kmh: 50.0,
    bend_m: 25.0,
    center: CENTER_BROKEN,
};

/// Places of a grid's columns or rows.
fn steps(rng: &mut Rng, count: usize, low: f64, high: f64) -> Vec<f64> {
    let mut at = 0.0;
    let mut out = vec![0.0];
    for _ in 1..count {
        at += rng.range(low, high);
        out.push(at);
    }
    out.iter().map(|x| x - at / 2.0).collect()
}

/// A grid of nodes with streets between neighbours, some left out; `via` bends a street.
struct Lattice {
    columns: usize,
    rows: usize,
    map: StreetMap,
}

impl Lattice {
    fn new(columns: &[f64], rows: &[f64], mut node: impl FnMut(usize, usize) -> (DVec2, Control)) -> Self {
        let mut map = StreetMap::default();
        for (j, &y) in rows.iter().enumerate() {
            for (i, &x) in columns.iter().enumerate() {
                let (shift, control) = node(i, j);
                map.node(x + shift.x, y + shift.y, control);
            }
        }
        Self { columns: columns.len(), rows: rows.len(), map }
    }

    /// Every pair of neighbours: (column, row, along the row).
    fn pairs(&self) -> Vec<(usize, usize, bool)> {
        let mut out = Vec::new();
        for j in 0..self.rows {
            for i in 0..self.columns {
                if i + 1 < self.columns {
                    out.push((i, j, true));
                }
                if j + 1 < self.rows {
                    out.push((i, j, false));
                }
            }
        }
        out
    }

    fn connect(&mut self, (i, j, along_row): (usize, usize, bool), bend_m: f64, profile: Profile) {
        let from = j * self.columns + i;
        let to = if along_row { from + 1 } else { from + self.columns };
        let (a, b) = (self.map.nodes[from], self.map.nodes[to]);
        let via = if bend_m == 0.0 { Vec::new() } else { vec![(a + b) / 2.0 + (b - a).normalize().perp() * bend_m] };
        self.map.street(from, to, via, profile);
    }
}

fn grid(rng: &mut Rng) -> StreetMap {
    let (columns, rows) = (steps(rng, 3, 80.0, 120.0), steps(rng, 3, 80.0, 120.0));
    let mut controls = rng.clone();
    let mut lattice = Lattice::new(&columns, &rows, |_, _| {
        (DVec2::ZERO, if controls.chance(0.75) { Control::Lights } else { Control::Stop })
    });
    rng.next_u64();
    lattice.map.crosswalks = true;
    let (wide, across) = (rng.below(3), rng.below(3));
    let double = rng.chance(0.5);
    for pair in lattice.pairs() {
        let (i, j, along_row) = pair;
        let lanes = if (!along_row && i == wide) || (along_row && j == across && double) { 2 } else { 1 };
        let parking = lanes == 1 && rng.chance(0.6);
        let center = if lanes == 2 { CENTER_DOUBLE } else { CENTER_SOLID };
        lattice.connect(pair, 0.0, Profile { lanes, parking, center, ..STREET });
    }
    lattice.map
}

fn suburb(rng: &mut Rng) -> StreetMap {
    let (columns, rows) = (steps(rng, 3, 85.0, 120.0), steps(rng, 3, 85.0, 120.0));
    let mut own = Rng::new(&[rng.next_u64()]);
    let mut lattice = Lattice::new(&columns, &rows, |_, _| {
        let control = if own.chance(0.55) { Control::Stop } else { Control::Yield };
        (DVec2::new(own.range(-8.0, 8.0), own.range(-8.0, 8.0)), control)
    });
    lattice.map.crosswalks = rng.chance(0.5);
    let dropped = rng.below(4);
    let mut inner = 0;
    for pair in lattice.pairs() {
        let (i, j, along_row) = pair;
        // Streets that end at the middle node: one of them is left out.
        if i <= 1 && j <= 1 && ((along_row && j == 1) || (!along_row && i == 1)) {
            inner += 1;
            if inner - 1 == dropped {
                continue;
            }
        }
        let bend_m =
            if rng.chance(0.6) { rng.range(6.0, 12.0) * if rng.chance(0.5) { 1.0 } else { -1.0 } } else { 0.0 };
        let parking = rng.chance(0.3);
        lattice.connect(pair, bend_m, Profile { speed_kmh: 40.0, parking, lane_m: 3.25, ..STREET });
    }
    lattice.map
}

fn village(rng: &mut Rng) -> StreetMap {
    let (columns, rows) = (steps(rng, 4, 58.0, 80.0), steps(rng, 3, 58.0, 80.0));
    let mut own = Rng::new(&[rng.next_u64()]);
    let mut lattice = Lattice::new(&columns, &rows, |_, _| {
        let control = match own.below(3) {
            0 => Control::Stop,
            1 => Control::Yield,
            _ => Control::Nothing,
        };
        (DVec2::new(own.range(-6.0, 6.0), own.range(-6.0, 6.0)), control)
    });
    lattice.map.crosswalks = true;
    let (first, second) = (rng.below(4), 4 + rng.below(3));
    let mut inner = 0;
    for pair in lattice.pairs() {
        let (i, j, along_row) = pair;
        let is_inner = (along_row && j == 1) || (!along_row && i > 0 && i < 3);
        if is_inner {
            inner += 1;
            if inner - 1 == first || inner - 1 == second {
                continue;
            }
        }
        let bend_m = if rng.chance(0.4) { rng.range(-6.0, 6.0) } else { 0.0 };
        lattice.connect(pair, bend_m, Profile { speed_kmh: 30.0, lane_m: 3.0, bend_m: 18.0, ..STREET });
    }
    lattice.map
}

fn curves(rng: &mut Rng) -> StreetMap {
    let country = Profile {
        sidewalk: false,
        speed_kmh: rng.range(60.0, 80.0).round(),
        bend_m: 50.0,
        center: CENTER_SOLID,
        ..STREET
    };
    let mut map = StreetMap::default();
    let count = 10;
    let (radius_x, radius_y) = (rng.range(170.0, 210.0), rng.range(140.0, 180.0));
    let mut ring = Vec::new();
    for k in 0..count {
        let angle = std::f64::consts::TAU * k as f64 / count as f64;
        // The junctions lie on the plain ellipse, so that roads meet there nearly at right angles.
        let scale = if k % 5 == 0 { 1.0 } else { rng.range(0.86, 1.16) };
        let (sin, cos) = angle.sin_cos();
        ring.push(map.node(radius_x * cos * scale, radius_y * sin * scale, Control::Yield));
    }
    for k in 0..count {
        map.street(ring[k], ring[(k + 1) % count], Vec::new(), country);
    }
    let wiggle =
        |rng: &mut Rng, x: f64| DVec2::new(x, rng.range(20.0, 45.0) * if rng.chance(0.5) { 1.0 } else { -1.0 });
    let via = vec![
        DVec2::new(radius_x - 45.0, 0.0),
        wiggle(rng, radius_x / 3.0),
        wiggle(rng, -radius_x / 3.0),
        DVec2::new(45.0 - radius_x, 0.0),
    ];
    map.street(ring[0], ring[count / 2], via, Profile { speed_kmh: 50.0, bend_m: 30.0, ..country });
    map
}

fn avenue(rng: &mut Rng) -> StreetMap {
    let columns = steps(rng, 3, 115.0, 150.0);
    let rows = steps(rng, 3, 105.0, 135.0);
    let slant = rng.range(0.2, 0.4) * if rng.chance(0.5) { 1.0 } else { -1.0 };
    let mut lattice = Lattice::new(&columns, &rows, |_, j| {
        // Columns lean over.
        (DVec2::new(slant * rows[j], 0.0), Control::Lights)
    });
    lattice.map.crosswalks = true;
    let boulevard = Profile { lanes: 2, median_m: 1.5, speed_kmh: 60.0, lane_m: 3.4, ..STREET };
    for pair in lattice.pairs() {
        let (i, _, along_row) = pair;
        let profile = if along_row && rng.chance(0.85) {
            boulevard
        } else if !along_row && i == 1 {
            Profile { lanes: 2, center: CENTER_DOUBLE, ..STREET }
        } else {
            Profile { parking: rng.chance(0.7), ..STREET }
        };
        let bend_m = if rng.chance(0.25) { rng.range(-9.0, 9.0) } else { 0.0 };
        lattice.connect(pair, bend_m, profile);
    }
    lattice.map
}
