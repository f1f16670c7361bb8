//! Whom the expert knows of: everybody, or those the cameras could show.

use super::ExpertMode;
use super::track::{AHEAD_M, Track};
use crate::actor::{Actor, Behaviour};
use crate::state::{ActorKind, Lamps, same_level};
use crate::traffic::follow::along;
use crate::world::World;
use apprentice_core::geometry::DVec2;
use apprentice_core::{OrientedBox, Pose2, wrap_angle};

/// The cameras tell people and cars within this distance, metres.
const SIGHT_M: f64 = 90.0;
/// The privileged expert looks this far, metres.
const KNOWN_M: f64 = 140.0;
/// Somebody out of sight is remembered this long, ticks.
const MEMORY_TICKS: u32 = 20;

/// Somebody or something the expert reacts to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Index into the world's actors.
    pub index: usize,
    pub kind: ActorKind,
    pub pose: Pose2,
    pub speed_mps: f64,
    pub half_length_m: f64,
    pub half_width_m: f64,
    /// Box centre along the line, metres.
    pub s_m: f64,
    /// Left of the line, metres.
    pub lateral_m: f64,
    /// Heading relative to the line there.
    pub yaw_to_line_rad: f64,
    /// Half extents along and across the line.
    pub half_along_m: f64,
    pub half_across_m: f64,
    /// Stands and will go on standing: a thing, or a vehicle nobody drives.
    pub parked: bool,
    /// With blue lights on.
    pub emergency: bool,
}

impl Seen {
    /// Speed along the line, m/s.
    pub fn along_mps(&self) -> f64 {
        self.speed_mps * self.yaw_to_line_rad.cos()
    }
    /// Speed across the line to the left, m/s.
    pub fn across_mps(&self) -> f64 {
        self.speed_mps * self.yaw_to_line_rad.sin()
    }
    /// Its box some time from now: along its lanes where it follows lanes (indicators and lanes tell), straight on
    /// otherwise.
    pub fn forecast(&self, world: &World, after_s: f64) -> OrientedBox {
        let actor = &world.actors[self.index];
        let center = match (&actor.behaviour, actor.on_lanes.lane) {
            (Behaviour::Lane(_), Some(lane)) if self.speed_mps > 0.3 => {
                let (p, yaw) = along(&world.net, &actor.on_lanes, lane, self.speed_mps * after_s);
                Pose2::new(p.x, p.y, yaw).offset(0.0, actor.on_lanes.lateral_m * (1.0 - after_s / 3.0).max(0.0))
            }
            _ => actor.forecast(after_s),
        };
        OrientedBox { center, length_m: 2.0 * self.half_length_m, width_m: 2.0 * self.half_width_m }
    }
}

/// What the expert remembers of whom it saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// (id, tick of the last sight), by id.
    last: Vec<(u32, u32)>,
    /// Buildings near the ego that hide what is behind them, and when they were listed.
    walls: Vec<OrientedBox>,
    walls_tick: Option<u32>,
}

impl Memory {
    /// List the buildings around, once a second.
    fn look_for_walls(&mut self, world: &World) {
        if self.walls_tick.is_some_and(|listed| world.tick - listed < 20) {
            return;
        }
        self.walls_tick = Some(world.tick);
        let here = world.ego.pose_in_world.position();
        let ground = f64::from(world.ego.ground_z_m);
        let near = |(wall, base_z): &&(OrientedBox, f64)| {
            let reach = SIGHT_M + 30.0;
            (wall.center.position() - here).length_squared() < reach * reach && (base_z - ground).abs() < 6.0
        };
        self.walls.clear();
        self.walls.extend(world.net.buildings().iter().filter(near).map(|(wall, _)| *wall));
    }
    fn remembers(&self, id: u32, tick: u32) -> bool {
        self.last.binary_search_by_key(&id, |&(i, _)| i).is_ok_and(|i| tick - self.last[i].1 <= MEMORY_TICKS)
    }
    fn note(&mut self, id: u32, tick: u32) {
        match self.last.binary_search_by_key(&id, |&(i, _)| i) {
            Ok(i) => self.last[i].1 = tick,
            Err(i) => self.last.insert(i, (id, tick)),
        }
    }
}

/// List them, relative to a line.
pub(super) fn look(world: &World, mode: ExpertMode, memory: &mut Memory, track: &Track, ego_s_m: f64) -> Vec<Seen> {
    let eye = world.ego.footprint().center.position();
    let tick = world.tick;
    let mut seen = Vec::new();
    if mode == ExpertMode::VisibleOnly {
        memory.look_for_walls(world);
    }
    for (index, actor) in world.actors.iter().enumerate() {
        let distance2 = (actor.pose().position() - eye).length_squared();
        let range = if mode == ExpertMode::Privileged { KNOWN_M } else { SIGHT_M };
        // Flat rubbish is driven over.
        if actor.state.kind == ActorKind::Debris {
            continue;
        }
        if distance2 > range * range || !same_level(actor.state.ground_z_m, world.ego.ground_z_m) {
            continue;
        }
        if actor.state.kind == ActorKind::Debris {
            continue; // Flat rubbish is driven over.
        }
        if mode == ExpertMode::VisibleOnly {
            if is_in_sight(world, &memory.walls, index, eye) {
                memory.note(actor.state.id, tick);
            } else if !memory.remembers(actor.state.id, tick) {
                continue;
            }
        }
        seen.push(relative(actor, index, track, ego_s_m));
    }
    seen
}

fn relative(actor: &Actor, index: usize, track: &Track, ego_s_m: f64) -> Seen {
    let pose = actor.pose();
    let (s_m, lateral_m) = track.project(pose.position(), ego_s_m - 6.0, ego_s_m + AHEAD_M);
    // Behind the laid-out line the ego's own axes tell.
    let first = track.at(ego_s_m - 6.0);
    let back = first.to_local(pose.position());
    let (s_m, lateral_m) =
        if s_m <= ego_s_m - 5.99 && back.x < 0.0 { (ego_s_m - 6.0 + back.x, back.y) } else { (s_m, lateral_m) };
    let yaw_to_line_rad = wrap_angle(pose.yaw_rad - track.at(s_m).yaw_rad);
    let (half_length_m, half_width_m) =
        (f64::from(actor.state.size_m[0]) / 2.0, f64::from(actor.state.size_m[1]) / 2.0);
    let (sin, cos) = yaw_to_line_rad.sin_cos();
    let thing = !actor.is_road_user();
    let undriven = matches!(actor.behaviour, Behaviour::Parked) && actor.state.kind.is_vehicle();
    Seen {
        index,
        kind: actor.state.kind,
        pose,
        speed_mps: actor.speed_mps(),
        half_length_m,
        half_width_m,
        s_m,
        lateral_m,
        yaw_to_line_rad,
        half_along_m: cos.abs() * half_length_m + sin.abs() * half_width_m,
        half_across_m: sin.abs() * half_length_m + cos.abs() * half_width_m,
        parked: thing || undriven,
        emergency: actor.held_lamps.has(Lamps::EMERGENCY) && !undriven,
    }
}

/// Whether a straight line from the eye to the actor's middle or to one of its corners meets nothing tall.
fn is_in_sight(world: &World, walls: &[OrientedBox], index: usize, eye: DVec2) -> bool {
    let actor = &world.actors[index];
    let footprint = actor.footprint();
    let shrunk = OrientedBox { length_m: footprint.length_m * 0.8, width_m: footprint.width_m * 0.8, ..footprint };
    let targets = shrunk.corners();
    let center = footprint.center.position();
    std::iter::once(center).chain(targets).any(|target| {
        let reach2 = (target - eye).length_squared();
        !walls.iter().any(|wall| crosses(wall, eye, target))
            && !world.actors.iter().enumerate().any(|(other, blocker)| {
                other != index
                    && blocker.state.size_m[2] > 1.3
                    && blocker.state.size_m[1] > 1.0
                    && (blocker.pose().position() - eye).length_squared() < reach2 + 4.0
                    && crosses(&blocker.footprint(), eye, target)
            })
    })
}

/// Whether a segment meets a box (slab test in the box's frame).
pub(super) fn crosses(boxed: &OrientedBox, from: DVec2, to: DVec2) -> bool {
    let a = boxed.center.to_local(from);
    let d = boxed.center.to_local(to) - a;
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (origin, step, half) in [(a.x, d.x, boxed.length_m / 2.0), (a.y, d.y, boxed.width_m / 2.0)] {
        if step.abs() < 1e-9 {
            if origin.abs() > half {
                return false;
            }
            continue;
        }
        let (t0, t1) = ((-half - origin) / step, (half - origin) / step);
        enter = enter.max(t0.min(t1));
        leave = leave.min(t0.max(t1));
    }
    enter <= leave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_in_between_hides() {
        let van = OrientedBox { center: Pose2::new(10.0, 0.0, 0.3), length_m: 5.0, width_m: 2.0 };
        let p = DVec2::new;
        assert!(crosses(&van, p(0.0, 0.0), p(20.0, 0.0)));
        assert!(!crosses(&van, p(0.0, 0.0), p(20.0, 8.0)));
        assert!(!crosses(&van, p(0.0, 0.0), p(5.0, 0.0)), "the segment ends before it");
    }

    #[test]
    fn a_house_hides_who_stands_behind_it_from_the_visible_only_expert_alone() {
        use crate::actor::Behaviour;
        use crate::world::WorldConfig;
        use apprentice_road::town::{TownSpec, layouts};
        use apprentice_road::{LaneKind, Route};
        use std::sync::Arc;
        let net = Arc::new(TownSpec { layout: layouts()[0], seed: 0 }.network().expect("a town"));
        let lane = net.lanes.iter().find(|l| l.kind == LaneKind::Driving && l.length_m > 60.0).expect("a street");
        let ends = [lane.at(5.0).position, lane.at(55.0).position];
        let route = Arc::new(Route::plan(&net, &ends).expect("a route"));
        let config = WorldConfig { vehicles: 0, pedestrians: 0, parked_share: 0.0, ..WorldConfig::default() };
        let mut world = crate::world::World::new(net.clone(), route, config, Vec::new()).expect("a world");
        let eye = world.ego.footprint().center.position();
        let (house, _) = net
            .buildings()
            .iter()
            .filter(|(b, _)| (10.0..50.0).contains(&(b.center.position() - eye).length()))
            .min_by(|a, b| (a.0.center.position() - eye).length().total_cmp(&(b.0.center.position() - eye).length()))
            .expect("a house at the street");
        let out = (house.center.position() - eye).normalize();
        let behind = house.center.position() + out * (house.length_m.hypot(house.width_m) / 2.0 + 3.0);
        let hidden = world.spawn(ActorKind::Car, Pose2::new(behind.x, behind.y, 0.0), Behaviour::Parked);
        let before = eye + (house.center.position() - eye) * 0.2;
        let plain = world.spawn(ActorKind::Cone, Pose2::new(before.x, before.y, 0.0), Behaviour::Parked);
        for id in [hidden, plain] {
            world.actor_mut(id).expect("just spawned").state.ground_z_m = world.ego.ground_z_m;
        }
        let track = Track::new(&world.route, 0.0, None);
        let ids = |mode| -> Vec<u32> {
            let seen = look(&world, mode, &mut Memory::default(), &track, 0.0);
            seen.iter().map(|s| world.actors[s.index].state.id).collect()
        };
        assert_eq!(ids(ExpertMode::Privileged), [hidden, plain]);
        assert_eq!(ids(ExpertMode::VisibleOnly), [plain]);
    }
}
