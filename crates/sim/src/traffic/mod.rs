//! Background traffic: everybody looks at the old state, decides, then moves.
//!
//! * [`follow`]: who is ahead, and the Intelligent Driver Model.
//! * [`junction`]: who may enter a junction. Admission is by ticket; an older ticket always goes first, so two
//!   admitted vehicles can neither meet nor wait for each other.
//! * [`change`]: lane changes after MOBIL.
//! * [`hazard`]: those who do not follow lanes — the ego where it crosses, scripted actors, people on foot.
//! * [`motion`]: moving along lanes, paths and pavements; lamps.

mod change;
pub(crate) mod follow;
mod hazard;
mod junction;
mod motion;

pub(crate) use motion::{LONG_VEHICLE_M, settle};

use crate::actor::{Actor, Behaviour, LaneFollowing};
use crate::state::{TICK_S, same_level};
use crate::world::World;
use apprentice_core::wrap_angle;
use apprentice_road::{LaneId, LaneKind, RoadNetwork};
use follow::{Idm, MAX_BRAKING_MPS2};

/// Stands for the ego where an actor's index is expected.
pub(crate) const EGO: usize = usize::MAX;

/// Somebody's place on a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub lane: LaneId,
    /// Box centre along the lane, metres (may lie beyond its ends).
    pub s_m: f64,
    pub half_length_m: f64,
    pub half_width_m: f64,
    pub lateral_m: f64,
    /// Along the lane.
    pub speed_mps: f64,
    /// Index into the world's actors, or [`EGO`].
    pub actor: usize,
}

/// What one actor will do this tick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decision {
    pub acceleration_mps2: f64,
    pub change: Option<(LaneId, i8)>,
    pub admitted: Option<(u64, LaneId)>,
    /// The ticket for this lane is taken back.
    pub revoked: Option<LaneId>,
    /// Keep this much more to the left, around something at the lane's edge.
    pub dodge_m: f64,
    /// Stands at (or creeps towards) a line it waits at.
    pub at_line: bool,
}

/// Scratch memory of the traffic step, and the ticket counter.
#[derive(Default)]
pub(crate) struct Traffic {
    entries: Vec<Entry>,
    spans: Vec<(u32, u32, u32)>,
    epoch: u32,
    decisions: Vec<Decision>,
    junctions: junction::Junctions,
    hazards: Vec<hazard::Hazard>,
    tickets: u64,
    kerbs: Vec<(usize, bool)>,
}

impl Traffic {
    /// For a map.
    pub fn new(net: &RoadNetwork) -> Self {
        Self { spans: vec![(0, 0, 0); net.lanes.len()], tickets: 1, ..Self::default() }
    }

    /// Everybody decides from the old state.
    pub fn decide(&mut self, world: &World) {
        self.list_entries(world);
        hazard::list(world, &mut self.hazards);
        self.decisions.clear();
        self.decisions.resize(world.actors.len(), Decision::default());
        junction::list(world, &mut self.junctions);
        junction::admit(self, world);
        for index in 0..world.actors.len() {
            if let Behaviour::Lane(driver) = &world.actors[index].behaviour {
                self.decide_one(world, index, driver);
            }
        }
    }

    /// Everybody moves.
    pub fn apply(&mut self, world: &mut World) {
        motion::apply(self, world);
    }

    fn decide_one(&mut self, world: &World, index: usize, driver: &LaneFollowing) {
        let actor = &world.actors[index];
        let Some(lane) = actor.on_lanes.lane else { return };
        let speed = actor.speed_mps();
        let idm = idm_of(world, actor, driver, lane);
        let mut acceleration = idm.free(speed).min(bend_ahead(world, actor, lane, &idm));
        if !driver.ignore_others {
            self.decisions[index].dodge_m = self.dodge_m(world, index, lane);
            if let Some((gap, other)) = self.leader(world, index, driver, lane) {
                acceleration = acceleration.min(idm.behind(speed, gap, other));
            }
            if let Some(gap) = hazard::gap_m(world, index, driver, lane, &self.hazards) {
                let careful = Idm { min_gap_m: 1.5, time_gap_s: 0.2, ..idm };
                acceleration = acceleration.min(careful.behind(speed, gap, 0.0));
            }
        }
        if let Some(gap) = junction::stop_gap_m(self, world, index, driver, lane) {
            let stop = idm.stop_at(speed, gap);
            self.decisions[index].at_line = gap < 3.0;
            acceleration = acceleration.min(stop);
        }
        if actor.on_lanes.next.is_empty() {
            let end = world.net.lanes[lane].length_m - actor.on_lanes.s_m - f64::from(actor.state.size_m[0]) / 2.0;
            acceleration = acceleration.min(idm.stop_at(speed, end));
        }
        if let Some(braking) = driver.brake_mps2 {
            acceleration = acceleration.min(-braking);
        }
        self.decisions[index].acceleration_mps2 = acceleration.clamp(-MAX_BRAKING_MPS2, idm.max_acceleration_mps2);
        if driver.lane_changes && !driver.ignore_others {
            self.decisions[index].change = change::wanted(self, world, index, driver, lane, &idm);
        }
    }

    /// How far to move over for what stands or creeps at the edge of the lane ahead, metres to the left; 0 where that
    /// would not be enough.
    fn dodge_m(&self, world: &World, index: usize, lane: LaneId) -> f64 {
        const MOST_M: f64 = 0.9;
        let actor = &world.actors[index];
        let on = &actor.on_lanes;
        let half_width = f64::from(actor.state.size_m[1]) / 2.0;
        let (mut left, mut right) = (0.0_f64, 0.0_f64);
        let length = world.net.lanes[lane].length_m;
        let next = on.next.first().map(|&next| self.on_lane(next).map(move |e| (e, length)));
        for (entry, begins) in self.on_lane(lane).map(|e| (e, 0.0)).chain(next.into_iter().flatten()) {
            let ahead = begins + entry.s_m - on.s_m;
            let stands = match entry.actor {
                EGO => entry.speed_mps.abs() < 0.2,
                other => !matches!(world.actors[other].behaviour, Behaviour::Lane(_)),
            };
            if !stands || !(-8.0..30.0).contains(&ahead) {
                continue;
            }
            let needs = entry.half_width_m + half_width + 0.3 - entry.lateral_m.abs();
            if entry.lateral_m > 0.0 { right = right.max(needs) } else { left = left.max(needs) }
        }
        match (left, right) {
            (l, 0.0) if l <= MOST_M => l,
            (0.0, r) if r <= MOST_M => -r,
            _ => 0.0,
        }
    }

    /// The nearest one ahead within sight: bumper-to-bumper gap and its speed along the path.
    fn leader(&self, world: &World, index: usize, driver: &LaneFollowing, lane: LaneId) -> Option<(f64, f64)> {
        let actor = &world.actors[index];
        let on = &actor.on_lanes;
        let half_length = f64::from(actor.state.size_m[0]) / 2.0;
        let half_width = f64::from(actor.state.size_m[1]) / 2.0;
        let speed = actor.speed_mps();
        let sight = 25.0 + speed * 1.5 + speed * speed / 5.0;
        let mut best: Option<(f64, f64)> = None;
        let mut start = -on.s_m;
        let mut at = lane;
        let mut next = on.next.iter();
        loop {
            for entry in self.on_lane(at) {
                if entry.actor == index || (driver.ignore_ego && entry.actor == EGO) {
                    continue;
                }
                let ahead = start + entry.s_m;
                // Beside where it is and beside where it is going.
                let wanted = driver.lateral_offset_m;
                let beside = (entry.lateral_m - on.lateral_m).abs().min((entry.lateral_m - wanted).abs());
                if ahead <= 0.0 || beside > entry.half_width_m + half_width + 0.15 {
                    continue;
                }
                let gap = ahead - entry.half_length_m - half_length;
                if best.is_none_or(|(g, _)| gap < g) {
                    best = Some((gap, entry.speed_mps));
                }
            }
            start += world.net.lanes[at].length_m;
            if best.is_some() || start > sight {
                break;
            }
            match next.next() {
                Some(&lane) => at = lane,
                None => break,
            }
        }
        // While changing lanes, those in the lane left behind count as long as they are in the way.
        if let Some(old) = on.leaving {
            let (shift, lateral) = world.net.lanes[old].project(actor.pose().position());
            for entry in self.on_lane(old).filter(|e| e.actor != index && !(driver.ignore_ego && e.actor == EGO)) {
                let gap = entry.s_m - shift - entry.half_length_m - half_length;
                let in_way = (entry.lateral_m - lateral).abs() < entry.half_width_m + half_width + 0.15;
                if in_way && entry.s_m > shift && best.is_none_or(|(g, _)| gap < g) {
                    best = Some((gap, entry.speed_mps));
                }
            }
        }
        best
    }

    /// Everybody on a lane, by place.
    pub fn on_lane(&self, lane: LaneId) -> impl Iterator<Item = &Entry> {
        let (epoch, begin, end) = self.spans[lane];
        let range = if epoch == self.epoch { begin as usize..end as usize } else { 0..0 };
        self.entries[range].iter()
    }

    fn list_entries(&mut self, world: &World) {
        self.entries.clear();
        let net = &world.net;
        for (index, actor) in world.actors.iter().enumerate() {
            let on = &actor.on_lanes;
            match (&actor.behaviour, on.lane) {
                (Behaviour::Lane(_), Some(lane)) => self.list_on_lanes(net, index, actor, lane),
                _ => self.entries.extend(on.touching.iter().map(|touch| Entry { actor: index, ..*touch })),
            }
        }
        touch(net, &world.ego.footprint(), world.ego.ground_z_m, world.ego.speed_mps, EGO, &mut self.entries);
        self.entries
            .sort_unstable_by(|a, b| a.lane.cmp(&b.lane).then(a.s_m.total_cmp(&b.s_m)).then(a.actor.cmp(&b.actor)));
        self.epoch = self.epoch.wrapping_add(1).max(1);
        let mut begin = 0;
        while begin < self.entries.len() {
            let lane = self.entries[begin].lane;
            let end = begin + self.entries[begin..].iter().take_while(|e| e.lane == lane).count();
            self.spans[lane] = (self.epoch, begin as u32, end as u32);
            begin = end;
        }
    }

    fn list_on_lanes(&mut self, net: &RoadNetwork, index: usize, actor: &Actor, lane: LaneId) {
        let on = &actor.on_lanes;
        let half_length_m = f64::from(actor.state.size_m[0]) / 2.0;
        // A slanted car is wider.
        let slant = (on.lateral_rate_mps.abs() / actor.speed_mps().max(1.0)).min(0.3);
        let entry = Entry {
            lane,
            s_m: on.s_m,
            half_length_m,
            half_width_m: f64::from(actor.state.size_m[1]) / 2.0 + slant * half_length_m,
            lateral_m: on.lateral_m,
            speed_mps: actor.speed_mps(),
            actor: index,
        };
        self.entries.push(entry);
        // The tail may still be on the lanes behind, the nose already on the next one.
        let mut s = on.s_m;
        for back in on.trail.iter().map_while(|l| *l) {
            if s - half_length_m >= 0.0 {
                break;
            }
            s += net.lanes[back].length_m;
            self.entries.push(Entry { lane: back, s_m: s, ..entry });
        }
        let length = net.lanes[lane].length_m;
        if let Some(&next) = on.next.first().filter(|_| on.s_m + half_length_m > length) {
            self.entries.push(Entry { lane: next, s_m: on.s_m - length, ..entry });
        }
        if let Some(old) = on.leaving {
            let (s_m, lateral_m) = net.lanes[old].project(actor.pose().position());
            self.entries.push(Entry { lane: old, s_m, lateral_m, ..entry });
        }
    }
}

/// Lanes that a box reaches into, as entries.
pub(crate) fn touch(
    net: &RoadNetwork,
    footprint: &apprentice_core::OrientedBox,
    ground_z_m: f32,
    speed_mps: f64,
    actor: usize,
    into: &mut Vec<Entry>,
) {
    let center = footprint.center;
    for found in net.lanes_near(center.position(), 2.5 + footprint.length_m / 2.0) {
        let lane = &net.lanes[found.lane];
        if lane.kind != LaneKind::Driving {
            continue;
        }
        let point = lane.at(found.s_m);
        if !same_level(point.position.z as f32, ground_z_m) {
            continue;
        }
        let (sin, cos) = wrap_angle(center.yaw_rad - point.yaw_rad).sin_cos();
        let half_length_m = (cos.abs() * footprint.length_m + sin.abs() * footprint.width_m) / 2.0;
        let half_width_m = (sin.abs() * footprint.length_m + cos.abs() * footprint.width_m) / 2.0;
        if found.lateral_m.abs() - half_width_m < point.width_m / 2.0 - 0.2 {
            into.push(Entry {
                lane: found.lane,
                s_m: found.s_m,
                half_length_m,
                half_width_m,
                lateral_m: found.lateral_m,
                speed_mps: speed_mps * cos,
                actor,
            });
        }
    }
}

/// The driver's parameters here and now.
fn idm_of(world: &World, actor: &Actor, driver: &LaneFollowing, lane: LaneId) -> Idm {
    let limit = world.net.lanes[lane].speed_limit_mps;
    let wanted = driver.target_speed_mps.unwrap_or(limit * driver.speed_factor);
    let cap = world.rules.cap_mps(&world.net, lane, actor.on_lanes.s_m);
    Idm {
        wanted_mps: wanted.min(if driver.target_speed_mps.is_some() { cap.max(4.0) } else { cap }),
        time_gap_s: driver.time_gap_s,
        min_gap_m: driver.min_gap_m,
        max_acceleration_mps2: driver.max_acceleration_mps2,
        comfortable_braking_mps2: driver.comfortable_braking_mps2,
    }
}

/// Braking for the bend that the next lane begins with.
fn bend_ahead(world: &World, actor: &Actor, lane: LaneId, idm: &Idm) -> f64 {
    let speed = actor.speed_mps();
    let mut distance = world.net.lanes[lane].length_m - actor.on_lanes.s_m;
    let mut worst = f64::INFINITY;
    for &next in &actor.on_lanes.next {
        if distance > 10.0 + speed * speed / 3.0 {
            break;
        }
        let cap = world.rules.cap_mps(&world.net, next, 0.0);
        if cap < speed {
            worst = worst.min((cap * cap - speed * speed) / (2.0 * distance.max(TICK_S * speed)));
        }
        distance += world.net.lanes[next].length_m;
    }
    worst.max(-1.5 * idm.comfortable_braking_mps2)
}
