//! Who is there: background traffic, walkers and parked vehicles around the ego.
//!
//! Traffic enters between 55 % and 100 % of the traffic radius and leaves 15 m beyond it. Which parking places are taken
//! is a property of the place (keyed by seed, lane and slot), so a street looks the same whenever the ego comes by.

use crate::actor::{AtEnd, Behaviour, LaneFollowing, Role, Walk};
use crate::state::ActorKind;
use crate::traffic::{LONG_VEHICLE_M, settle};
use crate::world::World;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Pose2, Rng};
use apprentice_road::{LaneId, LaneKind, LanePosition};

const PURPOSE_VEHICLE: u64 = 0x7665_6869;
const PURPOSE_WALKER: u64 = 0x7761_6c6b;
const PURPOSE_PARKING: u64 = 0x7061_726b;
/// Parked vehicles are there within this distance of the ego, metres.
const STREET_RADIUS_M: f64 = 75.0;
/// Length of a parking place, metres.
const SLOT_M: f64 = 6.5;
/// Traffic is looked after once in this many ticks.
const EVERY_TICKS: u32 = 20;

/// What the population remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Population {
    /// Where nobody may enter: centre and radius.
    pub quiet: Vec<(DVec2, f64)>,
    /// Parking places that are taken: lane, slot, actor.
    parked: Vec<(LaneId, u32, u32)>,
    entered: u64,
}

/// Fill the surroundings before the first tick.
pub(crate) fn fill(world: &mut World) {
    let near = lanes_around(world);
    park(world, &near);
    for _ in 0..world.config.vehicles * 12 {
        if count(world, false) >= world.config.vehicles {
            break;
        }
        enter_vehicle(world, &near, 14.0);
    }
    for _ in 0..world.config.pedestrians * 6 {
        if count(world, true) >= world.config.pedestrians {
            break;
        }
        enter_walker(world, &near, 6.0);
    }
}

/// Let far traffic leave and new traffic enter.
pub(crate) fn update(world: &mut World) {
    if !world.tick.is_multiple_of(EVERY_TICKS) {
        return;
    }
    let ego = world.ego.pose_in_world.position();
    let radius = world.config.traffic_radius_m + 15.0;
    world.actors.retain(|a| {
        let limit = match a.role {
            Role::Background => radius,
            Role::Street => STREET_RADIUS_M + 15.0,
            Role::Scenario => return true,
        };
        let stuck = a.role == Role::Background
            && matches!(a.behaviour, Behaviour::Lane(_))
            && a.on_lanes.next.is_empty()
            && a.state.speed_mps == 0.0;
        let d2 = (a.pose().position() - ego).length_squared();
        d2 < limit * limit && !(stuck && d2 > 900.0)
    });
    let (vehicles, walkers) = (count(world, false), count(world, true));
    let near = lanes_around(world);
    park(world, &near);
    let distance = (0.55 * world.config.traffic_radius_m).min(80.0);
    for _ in vehicles..world.config.vehicles.min(vehicles + 4) {
        for _ in 0..3 {
            if enter_vehicle(world, &near, distance) {
                break;
            }
        }
    }
    for _ in walkers..world.config.pedestrians.min(walkers + 2) {
        enter_walker(world, &near, 35.0);
    }
}

fn lanes_around(world: &World) -> Vec<LanePosition> {
    let radius = world.config.traffic_radius_m;
    let mut near = world.net.lanes_near(world.ego.pose_in_world.position(), radius);
    near.retain(|p| {
        let lane = &world.net.lanes[p.lane];
        matches!(lane.kind, LaneKind::Driving | LaneKind::Parking | LaneKind::Sidewalk) && lane.junction.is_none()
    });
    near.sort_unstable_by_key(|p| p.lane);
    near
}

fn count(world: &World, on_foot: bool) -> usize {
    world.actors.iter().filter(|a| a.role == Role::Background && a.state.kind.is_pedestrian() == on_foot).count()
}

fn is_quiet(world: &World, p: DVec2) -> bool {
    world.population.quiet.iter().any(|&(center, radius)| (p - center).length_squared() < radius * radius)
}

/// Pick a place on one of the lanes, by length.
fn pick(world: &World, near: &[LanePosition], kind: LaneKind, rng: &mut Rng) -> Option<(LaneId, f64)> {
    let lanes = || near.iter().map(|p| &world.net.lanes[p.lane]).filter(|l| l.kind == kind);
    let mut at = rng.uniform() * lanes().map(|l| l.length_m).sum::<f64>();
    for lane in lanes() {
        if at < lane.length_m {
            return Some((lane.id, at));
        }
        at -= lane.length_m;
    }
    None
}

fn vehicle_kind(rng: &mut Rng) -> ActorKind {
    match rng.uniform() {
        u if u < 0.68 => ActorKind::Car,
        u if u < 0.80 => ActorKind::Van,
        u if u < 0.86 => ActorKind::Truck,
        u if u < 0.89 => ActorKind::Bus,
        u if u < 0.95 => ActorKind::Motorcycle,
        u if u < 0.98 => ActorKind::Bicycle,
        _ => ActorKind::Police,
    }
}

fn enter_vehicle(world: &mut World, near: &[LanePosition], min_distance_m: f64) -> bool {
    world.population.entered += 1;
    let mut rng = Rng::new(&[world.config.seed, PURPOSE_VEHICLE, world.population.entered, u64::from(world.tick)]);
    let Some((id, s)) = pick(world, near, LaneKind::Driving, &mut rng) else { return false };
    let mut kind = vehicle_kind(&mut rng);
    if f64::from(kind.size_m()[0]) > LONG_VEHICLE_M && !world.rules.lane(id).for_long_vehicles {
        kind = ActorKind::Van;
    }
    let half = f64::from(kind.size_m()[0]) / 2.0;
    let lane = &world.net.lanes[id];
    if s < half + 1.0 || lane.length_m - s < half + 2.0 || world.rules.lane(id).dead_end {
        return false;
    }
    let point = lane.at(s);
    let pose = point.pose();
    let p = pose.position();
    let ego = world.ego.footprint().center.position();
    let distance = (p - ego).length();
    if distance < min_distance_m || distance > world.config.traffic_radius_m || is_quiet(world, p) {
        return false;
    }
    let mut ahead_m = lane.length_m - s + 20.0;
    let leads_into_junction = lane.successors.iter().any(|&l| world.net.lanes[l].junction.is_some());
    if leads_into_junction {
        ahead_m = lane.length_m - s - half - 2.0;
    }
    let others = world.actors.iter().map(|a| (a.pose().position(), f64::from(a.state.size_m[0]) / 2.0, a.speed_mps()));
    for (q, other_half, speed) in others.chain([(ego, 2.5, world.ego.speed_mps)]) {
        let local = pose.to_local(q);
        let room = half + other_half + 6.0 + if local.x < 0.0 { 1.5 * speed } else { 0.0 };
        if local.y.abs() < 6.0 && local.x.abs() < room {
            return false;
        }
        if local.y.abs() < 2.5 && local.x > 0.0 {
            ahead_m = ahead_m.min(local.x - half - other_half - 4.0);
        }
    }
    let driver = LaneFollowing {
        target_speed_mps: (kind == ActorKind::Bicycle).then(|| rng.range(3.5, 5.0)),
        speed_factor: rng.range(0.75, 0.95),
        time_gap_s: rng.range(1.0, 1.5),
        min_gap_m: rng.range(2.0, 3.0),
        max_acceleration_mps2: if half > 3.5 { rng.range(1.0, 1.4) } else { rng.range(1.6, 2.4) },
        lane_changes: half < 4.0,
        ..LaneFollowing::default()
    };
    let wanted = driver.target_speed_mps.unwrap_or(lane.speed_limit_mps * driver.speed_factor);
    let cap = world.rules.cap_mps(&world.net, id, s);
    let speed = wanted.min(cap).min((4.0 * ahead_m.max(0.0)).sqrt()) * 0.9;
    let actor = world.spawn_as(Role::Background, kind, pose, Behaviour::Lane(driver));
    let (net, rules, seed) = (world.net.clone(), world.rules.clone(), world.config.seed);
    if let Some(actor) = world.actor_mut(actor) {
        actor.state.speed_mps = speed as f32;
        actor.state.ground_z_m = point.position.z as f32;
        settle(&net, &rules, seed, actor, &[]);
    }
    true
}

fn enter_walker(world: &mut World, near: &[LanePosition], min_distance_m: f64) -> bool {
    world.population.entered += 1;
    let mut rng = Rng::new(&[world.config.seed, PURPOSE_WALKER, world.population.entered, u64::from(world.tick)]);
    let ego = world.ego.footprint().center.position();
    let radius = world.config.traffic_radius_m.min(80.0);
    let fits = |p: DVec2| {
        let d2 = (p - ego).length_squared();
        d2 > min_distance_m * min_distance_m && d2 < radius * radius
    };
    let walk = if rng.chance(0.3) { crossing(world, &fits, &mut rng) } else { None };
    let walk = match walk.or_else(|| pavement(world, near, &fits, &mut rng)) {
        Some(walk) => walk,
        None => return false,
    };
    let pose = walk.path.at(walk.s_m);
    if is_quiet(world, pose.position()) {
        return false;
    }
    let kind = if rng.chance(0.12) { ActorKind::Child } else { ActorKind::Pedestrian };
    world.spawn_as(Role::Background, kind, pose, Behaviour::Walk(walk));
    true
}

/// Along a pavement and back.
fn pavement(world: &World, near: &[LanePosition], fits: &dyn Fn(DVec2) -> bool, rng: &mut Rng) -> Option<Walk> {
    let (id, s) = pick(world, near, LaneKind::Sidewalk, rng)?;
    let lane = &world.net.lanes[id];
    if lane.length_m < 12.0 || !fits(lane.at(s).position.truncate()) {
        return None;
    }
    let width = lane.at(s).width_m;
    let left = rng.range(-0.3, 0.3) * (width - 0.8).max(0.0);
    let mut points: Vec<DVec2> = lane.points.iter().step_by(2).map(|p| p.beside(left).truncate()).collect();
    let mut s_m = s;
    if rng.chance(0.5) {
        points.reverse();
        s_m = lane.length_m - s;
    }
    let mut walk = Walk::new(points, rng.range(1.0, 1.6));
    walk.s_m = s_m.min(walk.path.length_m());
    walk.at_end = AtEnd::Return;
    Some(walk)
}

/// Over a pedestrian crossing and back.
fn crossing(world: &World, fits: &dyn Fn(DVec2) -> bool, rng: &mut Rng) -> Option<Walk> {
    let middle = |c: &apprentice_road::Crosswalk| {
        c.outline.iter().map(|p| p.truncate()).sum::<DVec2>() / c.outline.len().max(1) as f64
    };
    let near: Vec<usize> = (0..world.net.crosswalks.len())
        .filter(|&i| world.net.crosswalks[i].outline.len() >= 4 && fits(middle(&world.net.crosswalks[i])))
        .collect();
    let crosswalk = &world.net.crosswalks[*near.get(rng.below(near.len()))?];
    let corner: Vec<DVec2> = crosswalk.outline.iter().take(4).map(|p| p.truncate()).collect();
    // Walk along the longer pair of sides.
    let (mut a, mut b) = ((corner[0] + corner[3]) / 2.0, (corner[1] + corner[2]) / 2.0);
    let (c, d) = ((corner[0] + corner[1]) / 2.0, (corner[2] + corner[3]) / 2.0);
    if (c - d).length_squared() > (a - b).length_squared() {
        (a, b) = (c, d);
    }
    let length = (b - a).length();
    if !(3.0..40.0).contains(&length) {
        return None;
    }
    let along = (b - a) / length;
    let aside = along.perp() * rng.range(-0.8, 0.8);
    let (from, to) = (a - along * 1.8 + aside, b + along * 1.8 + aside);
    let mut walk = Walk::new(if rng.chance(0.5) { [from, to] } else { [to, from] }, rng.range(1.1, 1.6));
    walk.roads_m = vec![(1.0, walk.path.length_m() - 1.0)];
    walk.wait_s = rng.range(0.0, 12.0);
    walk.at_end = AtEnd::Return;
    Some(walk)
}

/// Fill and empty parking places.
fn park(world: &mut World, near: &[LanePosition]) {
    if world.config.parked_share <= 0.0 {
        return;
    }
    let ego = world.ego.footprint().center.position();
    let mut parked = std::mem::take(&mut world.population.parked);
    parked.retain(|&(.., id)| world.actor(id).is_some());
    let net = world.net.clone();
    for place in near {
        let lane = &net.lanes[place.lane];
        if lane.kind != LaneKind::Parking || lane.length_m < 20.0 {
            continue;
        }
        for slot in 0..((lane.length_m - 16.0) / SLOT_M) as u32 {
            let point = lane.at(8.0 + (f64::from(slot) + 0.5) * SLOT_M);
            let p = point.position.truncate();
            if (p - ego).length_squared() > STREET_RADIUS_M * STREET_RADIUS_M || point.width_m < 1.9 {
                continue;
            }
            let mut rng = Rng::new(&[world.config.seed, PURPOSE_PARKING, place.lane as u64, u64::from(slot)]);
            if !rng.chance(world.config.parked_share)
                || is_quiet(world, p)
                || parked.iter().any(|&(l, s, _)| (l, s) == (place.lane, slot))
            {
                continue;
            }
            let kind = if rng.chance(0.15) { ActorKind::Van } else { ActorKind::Car };
            let pose = point.pose().offset(0.0, rng.range(-0.15, 0.15));
            let pose = Pose2 { yaw_rad: pose.yaw_rad + rng.range(-0.03, 0.03), ..pose };
            let footprint = apprentice_core::OrientedBox {
                center: pose,
                length_m: f64::from(kind.size_m()[0]) + 0.6,
                width_m: f64::from(kind.size_m()[1]),
            };
            if footprint.overlaps(&world.ego.footprint())
                || world.actors.iter().any(|a| footprint.overlaps(&a.footprint()))
            {
                continue;
            }
            let id = world.spawn_as(Role::Street, kind, pose, Behaviour::Parked);
            parked.push((place.lane, slot, id));
        }
    }
    world.population.parked = parked;
}
