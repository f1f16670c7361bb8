//! The top-down picture of reports and replays: the ego in the lower middle looking up, the ground as the cameras see it,
//! everybody as a box with a nose, lights as dots at their stop lines, and plans as dotted lines.

use crate::actors::PALETTE;
use crate::scene::TownScene;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Image, OrientedBox, Pose2, Trajectory};
use apprentice_sim::state::{ActorKind, ActorState, Lamps, LightAspect, Snapshot};

/// A line to draw on the picture.
#[derive(Clone, Debug)]
pub struct BevPath {
    /// Points in the ego frame, metres.
    pub points_in_ego: Vec<DVec2>,
    /// Colour.
    pub color: [u8; 3],
    /// Width, metres.
    pub width_m: f64,
    /// Whether the points are marked with dots.
    pub dots: bool,
}

impl BevPath {
    /// A plan, from the ego's rear axle on, with its waypoints as dots.
    pub fn plan(plan: &Trajectory, color: [u8; 3]) -> Self {
        let mut points_in_ego = vec![DVec2::ZERO];
        points_in_ego.extend(plan.0.iter().map(|p| DVec2::new(f64::from(p[0]), f64::from(p[1]))));
        Self { points_in_ego, color, width_m: 0.35, dots: true }
    }
}

/// What part of the world is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BevOptions {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Metres per pixel.
    pub m_per_pixel: f64,
    /// How far the ego sits above the lower edge, as a share of the height.
    pub ego_row: f64,
}

impl Default for BevOptions {
    fn default() -> Self {
        Self { width: 300, height: 300, m_per_pixel: 0.25, ego_row: 0.3 }
    }
}

/// A picture and the way from the ego frame to its pixels.
struct Canvas {
    image: Image,
    options: BevOptions,
}

impl Canvas {
    fn to_pixel(&self, p: DVec2) -> DVec2 {
        let o = &self.options;
        DVec2::new(
            o.width as f64 / 2.0 - p.y / o.m_per_pixel,
            o.height as f64 * (1.0 - o.ego_row) - p.x / o.m_per_pixel,
        )
    }

    fn to_ego(&self, column: f64, row: f64) -> DVec2 {
        let o = &self.options;
        DVec2::new(
            (o.height as f64 * (1.0 - o.ego_row) - row) * o.m_per_pixel,
            (o.width as f64 / 2.0 - column) * o.m_per_pixel,
        )
    }

    fn put(&mut self, x: usize, y: usize, color: [u8; 3]) {
        let at = (y * self.image.width + x) * 3;
        self.image.rgb[at..at + 3].copy_from_slice(&color);
    }

    /// Colour the pixels within `reach_m` of a point for which `inside` holds.
    fn stamp(&mut self, center: DVec2, reach_m: f64, color: [u8; 3], inside: impl Fn(DVec2) -> bool) {
        let c = self.to_pixel(center);
        let reach = reach_m / self.options.m_per_pixel + 1.0;
        let clamp = |v: f64, n: usize| v.clamp(0.0, n as f64) as usize;
        for y in clamp(c.y - reach, self.image.height)..clamp(c.y + reach + 1.0, self.image.height) {
            for x in clamp(c.x - reach, self.image.width)..clamp(c.x + reach + 1.0, self.image.width) {
                if inside(self.to_ego(x as f64 + 0.5, y as f64 + 0.5)) {
                    self.put(x, y, color);
                }
            }
        }
    }

    fn dot(&mut self, center: DVec2, radius_m: f64, color: [u8; 3]) {
        self.stamp(center, radius_m, color, |p| (p - center).length() <= radius_m);
    }

    fn rectangle(&mut self, shape: &OrientedBox, color: [u8; 3]) {
        let reach = shape.length_m.hypot(shape.width_m) / 2.0;
        self.stamp(shape.center.position(), reach, color, |p| shape.contains(p));
    }

    fn segment(&mut self, a: DVec2, b: DVec2, width_m: f64, color: [u8; 3]) {
        let d = b - a;
        let center = Pose2::new((a.x + b.x) / 2.0, (a.y + b.y) / 2.0, d.y.atan2(d.x));
        self.rectangle(&OrientedBox { center, length_m: d.length() + width_m, width_m }, color);
    }
}

/// Draw the surroundings of the ego.
pub fn bev_image(town: &TownScene, snapshot: &Snapshot, paths: &[BevPath], options: &BevOptions) -> Image {
    let mut canvas = Canvas { image: Image::black(options.width, options.height), options: *options };
    let ego = snapshot.ego.pose_in_world;
    for y in 0..options.height {
        for x in 0..options.width {
            let p = ego.to_parent(canvas.to_ego(x as f64 + 0.5, y as f64 + 0.5));
            canvas.put(x, y, town.ground_color(p, options.m_per_pixel).map(|c| c as u8));
        }
    }
    for building in &town.footprints {
        let ring = building.map(|p| ego.to_local(p));
        let center = ring.iter().sum::<DVec2>() / 4.0;
        let reach = ring.iter().map(|p| (*p - center).length()).fold(0.0, f64::max);
        if center.length() < reach + options.m_per_pixel * (options.width + options.height) as f64 {
            canvas.stamp(center, reach, [122, 112, 104], |p| crate::ground::paint::contains(&ring, p));
        }
    }
    for (signal, &aspect) in town.signals.iter().zip(&snapshot.lights) {
        let color = match aspect {
            LightAspect::Red => [255, 40, 30],
            LightAspect::Yellow => [255, 200, 30],
            LightAspect::Green => [40, 230, 110],
            LightAspect::Off => continue,
        };
        canvas.dot(ego.to_local(signal.pose_in_world.position()), 0.8, color);
        for stop in &signal.stop_lines {
            let middle = ego.to_local(stop.center);
            let across = Pose2::new(0.0, 0.0, stop.yaw_rad - ego.yaw_rad).left() * (stop.width_m / 2.0);
            canvas.segment(middle - across, middle + across, 0.5, color);
        }
    }
    for actor in &snapshot.actors {
        draw_actor(&mut canvas, ego, actor);
    }
    let mut body = snapshot.ego.footprint();
    body.center = ego.pose_to_local(body.center);
    canvas.rectangle(&body, [255, 255, 255]);
    body.center = body.center.offset(body.length_m * 0.3, 0.0);
    body.length_m *= 0.2;
    canvas.rectangle(&body, [40, 90, 220]);
    for path in paths {
        for pair in path.points_in_ego.windows(2) {
            canvas.segment(pair[0], pair[1], path.width_m, path.color);
        }
        if path.dots {
            for &point in path.points_in_ego.iter().skip(1) {
                canvas.dot(point, path.width_m * 1.3, path.color);
            }
        }
    }
    canvas.image
}

fn draw_actor(canvas: &mut Canvas, ego: Pose2, actor: &ActorState) {
    let mut shape = actor.footprint();
    shape.center = ego.pose_to_local(shape.center);
    let color = match actor.kind {
        kind if kind.is_pedestrian() => [250, 90, 200],
        ActorKind::Bicycle | ActorKind::Motorcycle => [120, 230, 240],
        ActorKind::Cone | ActorKind::Barrier | ActorKind::WarningSign => [255, 120, 20],
        _ => PALETTE[actor.paint as usize % PALETTE.len()],
    };
    // A rim, so that a dark car shows on dark asphalt, and at least two pixels of everything.
    let least = 2.0 * canvas.options.m_per_pixel;
    let mut rim = shape;
    rim.length_m = rim.length_m.max(least) + 2.0 * canvas.options.m_per_pixel;
    rim.width_m = rim.width_m.max(least) + 2.0 * canvas.options.m_per_pixel;
    canvas.rectangle(&rim, [235, 235, 235]);
    canvas.rectangle(&shape, color);
    if actor.kind.is_vehicle() {
        let end = |along: f64, across: f64| {
            shape.center.to_parent(DVec2::new(along * shape.length_m, across * shape.width_m))
        };
        canvas.segment(end(0.2, 0.3), end(0.2, -0.3), 0.4, [30, 34, 42]);
        let lamps = [
            (Lamps::BRAKE, -0.48, 0.35, [255, 30, 20]),
            (Lamps::BRAKE, -0.48, -0.35, [255, 30, 20]),
            (Lamps::LEFT, 0.4, 0.5, [255, 170, 20]),
            (Lamps::LEFT, -0.4, 0.5, [255, 170, 20]),
            (Lamps::RIGHT, 0.4, -0.5, [255, 170, 20]),
            (Lamps::RIGHT, -0.4, -0.5, [255, 170, 20]),
            (Lamps::EMERGENCY, -0.1, 0.0, [40, 96, 255]),
        ];
        for (lamp, along, across, color) in lamps {
            if actor.lamps.has(lamp) {
                canvas.dot(end(along, across), 0.35, color);
            }
        }
    }
}
