//! Those who do not keep to lanes: the ego where it crosses, scripted actors, people on foot, whoever ignores priority.

use super::EGO;
use super::follow::{along, beyond_m, lane_along};
use crate::actor::{Behaviour, LaneFollowing};
use crate::state::same_level;
use crate::world::World;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Pose2, wrap_angle};
use apprentice_road::LaneId;

/// Somebody to be watched by where they are going.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hazard {
    actor: usize,
    pose: Pose2,
    velocity: DVec2,
    half_length_m: f64,
    half_width_m: f64,
    on_foot: bool,
    ground_z_m: f32,
}

/// List them.
pub(crate) fn list(world: &World, hazards: &mut Vec<Hazard>) {
    hazards.clear();
    let ego = world.ego.footprint();
    hazards.push(Hazard {
        actor: EGO,
        pose: ego.center,
        velocity: ego.center.forward() * world.ego.speed_mps,
        half_length_m: ego.length_m / 2.0,
        half_width_m: ego.width_m / 2.0,
        on_foot: false,
        ground_z_m: world.ego.ground_z_m,
    });
    for (index, actor) in world.actors.iter().enumerate() {
        let watched = match &actor.behaviour {
            Behaviour::Scripted(_) => true,
            Behaviour::Walk(_) => actor.state.speed_mps > 0.0,
            Behaviour::Lane(driver) => driver.ignore_priority || driver.ignore_others,
            Behaviour::Parked => false,
        };
        if watched {
            hazards.push(Hazard {
                actor: index,
                pose: actor.pose(),
                velocity: actor.velocity(),
                half_length_m: f64::from(actor.state.size_m[0]) / 2.0,
                half_width_m: f64::from(actor.state.size_m[1]) / 2.0,
                on_foot: actor.state.kind.is_pedestrian(),
                ground_z_m: actor.state.ground_z_m,
            });
        }
    }
}

/// Distance from the front bumper to where the path of actor `index` meets a hazard, if it does within its stopping
/// distance. Those who drive the same way are the leader search's business.
pub(crate) fn gap_m(
    world: &World,
    index: usize,
    driver: &LaneFollowing,
    lane: LaneId,
    hazards: &[Hazard],
) -> Option<f64> {
    let actor = &world.actors[index];
    let speed = actor.speed_mps();
    let reach = 8.0 + speed + speed * speed / 6.0;
    let here = actor.pose();
    let forward = here.forward();
    let half_length = f64::from(actor.state.size_m[0]) / 2.0;
    let half_width = f64::from(actor.state.size_m[1]) / 2.0;
    let mut best: Option<f64> = None;
    for hazard in hazards {
        if hazard.actor == index || (driver.ignore_ego && hazard.actor == EGO) {
            continue;
        }
        let d = hazard.pose.position() - here.position();
        let far = reach + 12.0;
        if d.length_squared() > far * far
            || d.dot(forward) < -3.0
            || !same_level(actor.state.ground_z_m, hazard.ground_z_m)
        {
            continue;
        }
        let same_way = wrap_angle(hazard.pose.yaw_rad - here.yaw_rad).abs();
        if !hazard.on_foot && !(0.6..2.6).contains(&same_way) {
            continue;
        }
        let margin = match () {
            () if hazard.on_foot => 0.6,
            () if hazard.velocity.length_squared() < 0.1 => 0.1,
            () => 0.35,
        };
        // However both are turned, they cannot touch from further than this.
        let half = hazard.half_length_m + hazard.half_width_m;
        let touch = DVec2::new(half_length + half + 1.0, half_width + half + margin).length() + 0.01;
        let mut ahead = 1.0;
        while ahead < reach && best.is_none_or(|b| ahead - 1.0 < b) {
            let after_s = (ahead / speed.max(1.5)).min(4.0);
            let (now, then) = (hazard.pose.position(), hazard.pose.position() + hazard.velocity * after_s);
            let (there, s_m) = lane_along(&world.net, &actor.on_lanes, lane, ahead);
            let road = &world.net.lanes[there];
            let center = road.position_at(s_m).truncate();
            let far = touch + actor.on_lanes.lateral_m.abs() + beyond_m(road, s_m).abs();
            if center.distance_squared(now).min(center.distance_squared(then)) > far * far {
                ahead += 1.5;
                continue;
            }
            let (point, yaw) = along(&world.net, &actor.on_lanes, lane, ahead);
            let frame = Pose2::new(point.x, point.y, yaw).frame().beside(actor.on_lanes.lateral_m);
            let (p, now) = (frame.to_local(then), frame.to_local(now));
            let (sin, cos) = (hazard.pose.yaw_rad - yaw).sin_cos();
            let along_m = cos.abs() * hazard.half_length_m + sin.abs() * hazard.half_width_m;
            let across_m = sin.abs() * hazard.half_length_m + cos.abs() * hazard.half_width_m;
            let hits = |q: DVec2, slack: f64| {
                q.x.abs() < half_length + along_m + slack && q.y.abs() < half_width + across_m + margin
            };
            if hits(p, 1.0) || hits(now, 0.2) {
                best = Some((ahead - 1.0).max(0.0));
                break;
            }
            ahead += 1.5;
        }
    }
    best
}
