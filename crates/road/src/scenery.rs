//! What stands beside the roads: procedural buildings, trees and lamp posts, clear of every lane.
//!
//! A pure function of the map: places are walked in lane order and every choice is drawn from a stream keyed
//! by the map's extent, the lane and the place.

use crate::lane::{Lane, LaneKind};
use crate::mesh::{Block, Upright};
use crate::network::RoadNetwork;
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{OrientedBox, Pose2, Rng};
use rstar::{AABB, RTree, RTreeObject};

/// Along the road, one plot every so many metres.
const PLOT_M: f64 = 24.0;
/// Above this speed limit a road is open country: few houses and no lamps.
const COUNTRY_MPS: f64 = 20.0;
/// Buildings keep this far from every lane's edge.
const BUILDING_CLEAR_M: f64 = 2.5;
/// Trees and posts keep this far.
const UPRIGHT_CLEAR_M: f64 = 0.6;

/// A building in the index of taken ground.
struct Taken {
    shape: OrientedBox,
    reach_m: f64,
}

impl RTreeObject for Taken {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        let (x, y, r) = (self.shape.center.x, self.shape.center.y, self.reach_m);
        AABB::from_corners([x - r, y - r], [x + r, y + r])
    }
}

/// Buildings, trees, lamp posts.
pub(crate) fn scenery(net: &RoadNetwork) -> (Vec<Block>, Vec<Upright>, Vec<Upright>) {
    let key = [net.bounds.min.x, net.bounds.min.y, net.bounds.max.x, net.bounds.max.y].map(f64::to_bits);
    let (mut buildings, mut trees, mut poles) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken: RTree<Taken> = RTree::new();
    for lane in net.lanes.iter().filter(|l| is_outermost(net, l)) {
        let speed = speed_beside(net, lane);
        for plot in 0..(lane.length_m / PLOT_M).ceil() as usize {
            let mut rng = Rng::new(&[key[0], key[1], key[2], key[3], lane.id as u64, plot as u64]);
            let at = lane.at((plot as f64 + rng.range(0.3, 0.7)) * PLOT_M);
            let edge = at.right_edge();
            let seed = rng.next_u64();
            // Outward: to the right of the driving direction.
            let out = Pose2::new(edge.x, edge.y, at.yaw_rad - std::f64::consts::FRAC_PI_2);
            if plot % 2 == 0 && speed < COUNTRY_MPS {
                let p = out.to_parent(DVec2::new(0.9, 0.0));
                if clear(net, p, UPRIGHT_CLEAR_M) {
                    poles.push(Upright { base: p.extend(edge.z), height_m: 6.5, radius_m: 0.09, seed });
                }
            }
            let house = rng.chance(if speed < COUNTRY_MPS { 0.8 } else { 0.25 });
            if house {
                let (depth_m, width_m) = (rng.range(8.0, 18.0), rng.range(10.0, PLOT_M - 3.0));
                let center = out.offset(rng.range(3.5, 9.0) + depth_m / 2.0, 0.0);
                let shape = OrientedBox { center, length_m: depth_m, width_m };
                let height_m = if rng.chance(0.15) { rng.range(18.0, 45.0) } else { rng.range(5.0, 15.0) };
                let spot = Taken { shape, reach_m: depth_m.hypot(width_m) / 2.0 };
                let free = !taken.locate_in_envelope_intersecting(spot.envelope()).any(|t| t.shape.overlaps(&shape));
                if free && outline(&shape).into_iter().all(|p| clear(net, p, BUILDING_CLEAR_M)) {
                    buildings.push(Block { footprint: shape.corners(), base_z: edge.z - 0.5, height_m, seed });
                    taken.insert(spot);
                    continue;
                }
            }
            for _ in 0..2 {
                let p = out.to_parent(DVec2::new(rng.range(1.5, 14.0), rng.range(-PLOT_M, PLOT_M) / 2.0));
                let (height_m, radius_m) = (rng.range(4.0, 9.0), rng.range(1.0, 2.2));
                let seed = rng.next_u64();
                let reach = AABB::from_corners([p.x - radius_m, p.y - radius_m], [p.x + radius_m, p.y + radius_m]);
                let free = !taken.locate_in_envelope_intersecting(reach).any(|t| t.shape.distance_to(p) < radius_m);
                if rng.chance(0.6) && free && clear(net, p, UPRIGHT_CLEAR_M + radius_m / 2.0) {
                    trees.push(Upright { base: DVec3::new(p.x, p.y, edge.z), height_m, radius_m, seed });
                }
            }
        }
    }
    (buildings, trees, poles)
}

/// Whether nothing lies to the right of this lane, looking along it.
fn is_outermost(net: &RoadNetwork, lane: &Lane) -> bool {
    if lane.junction.is_some() || lane.kind == LaneKind::Other || lane.length_m < 4.0 {
        return false;
    }
    let middle = lane.at(lane.length_m / 2.0);
    let beyond = middle.beside(-middle.width_m / 2.0 - 0.5).truncate();
    !net.index.any_within(&net.lanes, beyond, 8.0, |other, found| {
        other.id != lane.id && found.lateral_m.abs() <= other.at(found.s_m).width_m / 2.0
    })
}

/// Speed limit of the traffic next to a lane.
fn speed_beside(net: &RoadNetwork, lane: &Lane) -> f64 {
    let p = lane.at(lane.length_m / 2.0).position.truncate();
    net.nearest_lane(p, &[LaneKind::Driving]).map_or(lane.speed_limit_mps, |n| net.lanes[n.lane].speed_limit_mps)
}

/// Points round a footprint, about every three metres.
fn outline(shape: &OrientedBox) -> Vec<DVec2> {
    let corners = shape.corners();
    let side = |i: usize| {
        let (a, b) = (corners[i], corners[(i + 1) % 4]);
        let steps = ((b - a).length() / 3.0).ceil().max(1.0) as usize;
        (0..steps).map(move |k| a.lerp(b, k as f64 / steps as f64))
    };
    (0..4).flat_map(side).chain([shape.center.position()]).collect()
}

/// Whether every lane's edge is at least `margin_m` away from `p`.
fn clear(net: &RoadNetwork, p: DVec2, margin_m: f64) -> bool {
    !net.index.any_within(&net.lanes, p, margin_m + 8.0, |lane, found| {
        found.distance2.sqrt() < lane.at(found.s_m).width_m / 2.0 + margin_m
    })
}
