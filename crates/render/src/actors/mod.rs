//! Moving things as faces: every actor fills its box, so that projected boxes and pixels agree.

mod people;
mod props;
mod vehicle;

use crate::faces::{ALWAYS, FaceSet, Material};
use crate::frames::PixelId;
use apprentice_sim::state::{ActorKind, ActorState};
use glam::Vec3;

/// Beyond this distance an actor is built from few faces, metres.
const DETAIL_M: f32 = 55.0;

/// Paints of vehicles and clothes.
pub const PALETTE: [[u8; 3]; 16] = [
    [196, 198, 200],
    [34, 36, 40],
    [236, 236, 232],
    [112, 116, 122],
    [168, 28, 30],
    [28, 60, 128],
    [70, 108, 168],
    [40, 92, 62],
    [206, 162, 44],
    [198, 98, 36],
    [112, 74, 52],
    [92, 30, 62],
    [146, 156, 132],
    [58, 132, 140],
    [222, 206, 178],
    [84, 88, 108],
];

/// The paint of an actor.
pub(crate) fn paint(actor: &ActorState) -> [u8; 3] {
    PALETTE[actor.paint as usize % PALETTE.len()]
}

/// A colour made lighter or darker.
pub(crate) fn shaded(color: [u8; 3], factor: f32) -> [u8; 3] {
    color.map(|c| (f32::from(c) * factor).clamp(0.0, 255.0) as u8)
}

pub(crate) const GLASS: Material = Material::Matt([44, 54, 66]);
pub(crate) const TYRE: Material = Material::Matt([26, 26, 28]);
pub(crate) const DARK: Material = Material::Matt([36, 37, 40]);

/// Build an actor seen from about `distance_m`.
pub fn build(set: &mut FaceSet, actor: &ActorState, distance_m: f32, lamps: bool) {
    let foot = actor.pose_in_world.position().extend(f64::from(actor.ground_z_m)).as_vec3();
    set.begin(foot, actor.pose_in_world.yaw_rad as f32);
    let near = distance_m < DETAIL_M;
    match actor.kind {
        ActorKind::Car | ActorKind::Police => vehicle::car(set, actor, near),
        ActorKind::Van | ActorKind::Ambulance => vehicle::van(set, actor, near),
        ActorKind::Truck => vehicle::truck(set, actor, near),
        ActorKind::Bus => vehicle::bus(set, actor, near),
        ActorKind::Motorcycle | ActorKind::Bicycle => people::rider(set, actor, near),
        ActorKind::Pedestrian | ActorKind::Child => people::walker(set, actor, near),
        ActorKind::Cone => props::cone(set, actor),
        ActorKind::Barrier => props::barrier(set, actor),
        ActorKind::WarningSign => props::warning_sign(set, actor),
        ActorKind::Container => props::container(set, actor),
        ActorKind::Advertisement => props::advertisement(set, actor),
        ActorKind::Debris => props::debris(set, actor),
    }
    if lamps && actor.kind.is_vehicle() {
        vehicle::lamps(set, actor);
    }
    set.end(PixelId::actor(actor.id), ALWAYS);
}

/// The dark patch under and around an actor, counter-clockwise from above.
pub fn shadow(actor: &ActorState) -> [Vec3; 4] {
    let grow = 0.18;
    let (l, w) = (actor.size_m[0] / 2.0 + grow, actor.size_m[1] / 2.0 + grow);
    let (sin, cos) = (actor.pose_in_world.yaw_rad as f32).sin_cos();
    let foot = actor.pose_in_world.position().extend(f64::from(actor.ground_z_m) + 0.02).as_vec3();
    [(l, w), (-l, w), (-l, -w), (l, -w)].map(|(x, y)| foot + Vec3::new(cos * x - sin * y, sin * x + cos * y, 0.0))
}
