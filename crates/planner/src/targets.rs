//! What the heads are trained towards, made on the host from labels. Only what a camera shows is a target.

use crate::config::{BevConfig, StudentConfig};
use crate::heads::{BEV_CLASSES, BOX_VALUES, IMAGE_CHANNELS};
use crate::lift::LIFT_STRIDE;
use apprentice_core::geometry::DVec3;
use apprentice_core::{AgentClass, AgentLabel, Camera, HORIZON_STEPS, MapClass, MapLabel, Rig, Sample, Trajectory};

/// An agent of which fewer pixels are visible (at the labelling resolution) is no target.
pub const MIN_VISIBLE_PIXELS: u32 = 6;

type Point = [f32; 2];

/// One box to find.
#[derive(Clone, Debug)]
pub struct AgentTarget {
    /// Index of its class.
    pub class: usize,
    /// See [`BOX_VALUES`].
    pub values: [f32; BOX_VALUES],
    /// Future relative to the box centre, metres.
    pub motion: [Point; HORIZON_STEPS],
    /// Leading entries of the future that are known.
    pub steps: usize,
}

/// One map element to find, as equidistant points.
#[derive(Clone, Debug)]
pub struct MapTarget {
    /// Index of its class.
    pub class: usize,
    /// Metres.
    pub points: Vec<Point>,
    /// All point orders that describe the same element (the first is `points` itself).
    pub orders: Vec<Vec<usize>>,
}

/// Host side of one sample's targets.
#[derive(Clone, Debug)]
pub struct SceneTargets {
    /// Visible agents in range, nearest first.
    pub agents: Vec<AgentTarget>,
    /// Map elements in range, nearest first.
    pub map: Vec<MapTarget>,
    /// Dense boundary polylines, metres.
    pub boundaries: Vec<Vec<Point>>,
    /// Dense divider polylines, metres.
    pub dividers: Vec<Vec<Point>>,
    /// Futures of what must not be hit, with the number of known steps.
    pub obstacles: Vec<([Point; HORIZON_STEPS], usize)>,
    /// Whether perception labels may be used.
    pub perception: bool,
    /// Whether the plan may be used.
    pub planning: bool,
    /// Whether it is the sample's own: the scene of a plan that was given as a label shows neither edges nor agents.
    pub own_plan: bool,
    /// The plan, metres.
    pub future: Trajectory,
    /// Leading waypoints that are known.
    pub future_steps: usize,
}

/// Points every `step_m` along a polyline, ends included.
pub fn densify(points: &[Point], step_m: f32) -> Vec<Point> {
    let mut out = vec![];
    for pair in points.windows(2) {
        let d = [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]];
        let pieces = (d[0].hypot(d[1]) / step_m).ceil().clamp(1.0, 10_000.0) as usize;
        for i in 0..pieces {
            let t = i as f32 / pieces as f32;
            out.push([pair[0][0] + t * d[0], pair[0][1] + t * d[1]]);
        }
    }
    out.extend(points.last());
    out
}

/// `count` points at equal distances along a polyline.
pub fn resample(points: &[Point], count: usize) -> Vec<Point> {
    let lengths: Vec<f32> = points.windows(2).map(|p| (p[1][0] - p[0][0]).hypot(p[1][1] - p[0][1])).collect();
    let total: f32 = lengths.iter().sum();
    let (mut segment, mut before) = (0, 0.0);
    (0..count)
        .map(|i| {
            let at = total * i as f32 / (count - 1) as f32;
            while segment + 1 < lengths.len() && before + lengths[segment] < at {
                before += lengths[segment];
                segment += 1;
            }
            let t = ((at - before) / lengths[segment].max(1e-6)).clamp(0.0, 1.0);
            let (a, b) = (points[segment], points[segment + 1]);
            [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
        })
        .collect()
}

/// Row and column of the fine cell that holds a point.
pub fn cell_of(bev: &BevConfig, p: Point) -> Option<(usize, usize)> {
    let [rows, columns] = bev.cells();
    let row = ((f64::from(p[0]) - bev.x_range_m[0]) / bev.cell_m).floor();
    let column = ((f64::from(p[1]) - bev.y_range_m[0]) / bev.cell_m).floor();
    let inside = row >= 0.0 && column >= 0.0 && row < rows as f64 && column < columns as f64;
    inside.then_some((row as usize, column as usize))
}

/// The parts of a polyline inside the grid, as dense polylines of at least two metres.
fn inside(bev: &BevConfig, points: &[Point]) -> Vec<Vec<Point>> {
    let mut parts = vec![vec![]];
    for p in densify(points, 0.5) {
        match (cell_of(bev, p).is_some(), parts.last_mut()) {
            (true, Some(part)) => part.push(p),
            (false, Some(part)) if !part.is_empty() => parts.push(vec![]),
            _ => {}
        }
    }
    parts.retain(|part| part.len() >= 4);
    parts
}

fn orders(class: MapClass, count: usize, closed: bool) -> Vec<Vec<usize>> {
    let forward: Vec<usize> = (0..count).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    if closed {
        // The last point repeats the first: rotate the others.
        let ring = count - 1;
        let turned = |start: usize, sign: usize| {
            (0..count).map(|i| (start + if sign == 0 { i } else { ring - i % ring }) % ring).collect()
        };
        return (0..ring).flat_map(|s| [turned(s, 0), turned(s, 1)]).collect();
    }
    if class == MapClass::Centerline { vec![forward] } else { vec![forward, backward] }
}

fn map_targets(config: &StudentConfig, labels: &[MapLabel]) -> Vec<MapTarget> {
    let mut found = vec![];
    for label in labels {
        let count = config.map_points;
        let closed = label.class == MapClass::PedCrossing;
        let mut ring = label.points_in_ego.clone();
        if closed && ring.first() != ring.last() {
            ring.extend(label.points_in_ego.first());
        }
        let parts = if closed {
            let inside = ring.iter().all(|&p| cell_of(&config.bev, p).is_some());
            if inside && ring.len() > 3 { vec![densify(&ring, 0.5)] } else { vec![] }
        } else {
            inside(&config.bev, &ring)
        };
        for part in parts {
            let nearest = part.iter().map(|p| (p[0] - 8.0).hypot(p[1])).fold(f32::INFINITY, f32::min);
            let target = MapTarget {
                class: label.class as usize,
                points: resample(&part, count),
                orders: orders(label.class, count, closed),
            };
            found.push((nearest, target));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(config.map_instances as usize);
    found.into_iter().map(|(_, t)| t).collect()
}

/// Whether an agent is a perception target.
pub fn is_target(config: &StudentConfig, agent: &AgentLabel) -> bool {
    let [x, y, _] = agent.center_in_ego;
    agent.visible_pixels >= MIN_VISIBLE_PIXELS && cell_of(&config.bev, [x, y]).is_some()
}

fn agent_target(agent: &AgentLabel) -> AgentTarget {
    let [x, y, z] = agent.center_in_ego;
    let [l, w, h] = agent.size_m.map(|s| s.max(0.05).ln());
    let (sin, cos) = agent.yaw_rad.sin_cos();
    let [vx, vy] = agent.velocity_in_ego_mps;
    AgentTarget {
        class: agent.class as usize,
        values: [x, y, z, l, w, h, sin, cos, vx, vy],
        motion: agent.future_in_ego.map(|[fx, fy]| [fx - x, fy - y]),
        steps: usize::from(agent.future_steps).min(HORIZON_STEPS),
    }
}

impl SceneTargets {
    /// Targets of a sample. `plan` replaces the sample's own future (pseudo-labels).
    pub fn new(
        config: &StudentConfig,
        sample: &Sample,
        perception: bool,
        plan: Option<Trajectory>,
        planning: bool,
    ) -> Self {
        let mut agents: Vec<_> = sample.agents.iter().filter(|a| is_target(config, a)).map(agent_target).collect();
        agents.sort_by(|a, b| a.values[0].hypot(a.values[1]).total_cmp(&b.values[0].hypot(b.values[1])));
        agents.truncate((config.agent_grid[0] * config.agent_grid[1]) as usize);
        let lines = |class: MapClass| {
            sample.map.iter().filter(|m| m.class == class).flat_map(|m| inside(&config.bev, &m.points_in_ego)).collect()
        };
        let obstacles = sample
            .agents
            .iter()
            .filter(|a| a.visible_pixels >= MIN_VISIBLE_PIXELS)
            .filter(|a| a.class.is_vehicle() || a.class == AgentClass::Pedestrian)
            .map(|a| (a.future_in_ego, usize::from(a.future_steps).min(HORIZON_STEPS)))
            .collect();
        Self {
            agents,
            map: map_targets(config, &sample.map),
            boundaries: lines(MapClass::Boundary),
            dividers: lines(MapClass::Divider),
            obstacles,
            perception,
            planning,
            own_plan: plan.is_none(),
            future: plan.unwrap_or(sample.future),
            future_steps: if plan.is_some() {
                HORIZON_STEPS
            } else {
                usize::from(sample.future_steps).min(HORIZON_STEPS)
            },
        }
    }
}

/// 0 vehicle, 1 vulnerable road user, 2 obstacle: the first three of [`BEV_CLASSES`].
pub fn coarse_class(class: AgentClass) -> usize {
    match class {
        AgentClass::Pedestrian | AgentClass::Bicycle | AgentClass::Motorcycle => 1,
        AgentClass::Barrier | AgentClass::TrafficCone => 2,
        _ => 0,
    }
}

/// Channel of [`BEV_CLASSES`] of a map class.
pub fn map_channel(class: MapClass) -> usize {
    match class {
        MapClass::Divider => 3,
        MapClass::PedCrossing => 4,
        MapClass::Boundary => 5,
        MapClass::Centerline => 6,
        MapClass::StopLine => 7,
    }
}

/// Fine cells under an agent's box.
pub fn covered_cells(bev: &BevConfig, agent: &AgentLabel) -> Vec<(usize, usize)> {
    let (sin, cos) = agent.yaw_rad.sin_cos();
    let [x, y, _] = agent.center_in_ego;
    let [length, width, _] = agent.size_m;
    let steps = |extent: f32| (extent / 0.5).ceil().clamp(1.0, 100.0) as usize;
    let mut cells = vec![];
    for i in 0..=steps(length) {
        for j in 0..=steps(width) {
            let u = (i as f32 / steps(length) as f32 - 0.5) * length;
            let v = (j as f32 / steps(width) as f32 - 0.5) * width;
            cells.extend(cell_of(bev, [x + u * cos - v * sin, y + u * sin + v * cos]));
        }
    }
    cells.sort_unstable();
    cells.dedup();
    cells
}

/// Fill one sample's dense BEV target.
///
/// # Shapes
/// `out` is `[8, X, Y]`, zeros before.
pub fn fill_bev(config: &StudentConfig, sample: &Sample, out: &mut [f32]) {
    let [rows, columns] = config.bev.cells().map(|n| n as usize);
    debug_assert_eq!(out.len(), BEV_CLASSES.len() * rows * columns);
    let mut set = |channel: usize, (row, column): (usize, usize)| out[(channel * rows + row) * columns + column] = 1.0;
    for agent in sample.agents.iter().filter(|a| is_target(config, a)) {
        for cell in covered_cells(&config.bev, agent) {
            set(coarse_class(agent.class), cell);
        }
    }
    for label in &sample.map {
        let mut line = label.points_in_ego.clone();
        if label.class == MapClass::PedCrossing {
            line.extend(label.points_in_ego.first());
        }
        for cell in densify(&line, 0.5).into_iter().filter_map(|p| cell_of(&config.bev, p)) {
            set(map_channel(label.class), cell);
        }
    }
}

/// Pixel rectangle (left, top, right, bottom) and distance of an agent's box in a camera, if it is in view.
pub fn image_box(camera: &Camera, agent: &AgentLabel) -> Option<([f64; 4], f64)> {
    let (sin, cos) = f64::from(agent.yaw_rad).sin_cos();
    let [x, y, z] = agent.center_in_ego.map(f64::from);
    let [l, w, h] = agent.size_m.map(|s| f64::from(s) / 2.0);
    let mut rectangle = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for (su, sv, sh) in
        (0..8).map(|i| (f64::from(i & 1) * 2.0 - 1.0, f64::from(i >> 1 & 1) * 2.0 - 1.0, f64::from(i >> 2) * 2.0 - 1.0))
    {
        let (u, v) = (su * l, sv * w);
        let corner = DVec3::new(x + u * cos - v * sin, y + u * sin + v * cos, z + sh * h);
        let [column, row, depth] = camera.project(corner)?;
        if depth < 0.3 {
            return None;
        }
        rectangle[0] = rectangle[0].min(column);
        rectangle[1] = rectangle[1].min(row);
        rectangle[2] = rectangle[2].max(column);
        rectangle[3] = rectangle[3].max(row);
    }
    let (width, height) = (camera.width as f64, camera.height as f64);
    let in_view = rectangle[2] > 0.0 && rectangle[0] < width && rectangle[3] > 0.0 && rectangle[1] < height;
    let distance = DVec3::new(x, y, z).distance(DVec3::from_array(camera.position_in_ego));
    in_view.then_some((rectangle, distance))
}

/// Fill one sample's image targets: three class masks, then log distance / 3 where a mask is set.
///
/// # Shapes
/// `out` is `[N, 4, H/8, W/8]`, zeros before.
pub fn fill_image(config: &StudentConfig, rig: &Rig, sample: &Sample, out: &mut [f32]) {
    let (w, h) = (config.backbone.image_width / 8, config.backbone.image_height / 8);
    let plane = w * h;
    let mut agents: Vec<_> = sample.agents.iter().filter(|a| a.visible_pixels >= MIN_VISIBLE_PIXELS).collect();
    // Far ones first, so that the nearest one's distance stays.
    let distance = |a: &AgentLabel| a.center_in_ego[0].hypot(a.center_in_ego[1]);
    agents.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
    for (camera, out) in rig.cameras.iter().zip(out.chunks_exact_mut(IMAGE_CHANNELS as usize * plane)) {
        for agent in &agents {
            let Some(([left, top, right, bottom], distance)) = image_box(camera, agent) else { continue };
            // Cells whose centre lies inside, and always the one in the middle.
            let range = |low: f64, high: f64, count: usize| {
                let middle = ((low + high) / 2.0 / LIFT_STRIDE).floor().clamp(0.0, count as f64 - 1.0) as usize;
                let first = (low / LIFT_STRIDE - 0.5).ceil().clamp(0.0, count as f64) as usize;
                let end = (high / LIFT_STRIDE + 0.5).floor().clamp(0.0, count as f64) as usize;
                if first < end { first..end } else { middle..middle + 1 }
            };
            for row in range(top, bottom, h) {
                for column in range(left, right, w) {
                    let cell = row * w + column;
                    out[coarse_class(agent.class) * plane + cell] = 1.0;
                    out[3 * plane + cell] = (distance.max(1.0).ln() / 3.0) as f32;
                }
            }
        }
    }
}
