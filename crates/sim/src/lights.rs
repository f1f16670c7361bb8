//! Traffic lights: phases per junction. One group of a junction is green at a time; the others are red.
//!
//! Groups come from the map's controllers; where it has none, lights whose approaches run along one line (within 45°)
//! share a phase. A cycle is, per group, green, yellow, then all red (CARLA's defaults: 10, 3 and 2 s).

use crate::state::{LightAspect, TICK_HZ};
use apprentice_core::{Rng, wrap_angle};
use apprentice_road::{RoadNetwork, SignalKind};

/// Green, seconds.
pub const GREEN_S: f64 = 10.0;
/// Yellow, seconds.
pub const YELLOW_S: f64 = 3.0;
/// All red, seconds.
pub const ALL_RED_S: f64 = 2.0;

const PURPOSE_LIGHTS: u64 = 0x6c69_6768_7473;

#[derive(Clone, Debug)]
struct Place {
    signal: usize,
    phase: usize,
    phases: usize,
    offset_ticks: u32,
}

/// All lights of a town.
#[derive(Clone, Debug)]
pub struct Lights {
    places: Vec<Place>,
    held: Vec<Option<LightAspect>>,
    aspects: Vec<LightAspect>,
}

impl Lights {
    /// Phases for every light of the map; where in its cycle a junction begins depends on the seed.
    pub fn new(net: &RoadNetwork, seed: u64) -> Self {
        let mut junctions: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
        for signal in net.signals.iter().filter(|s| s.kind == SignalKind::TrafficLight) {
            match junctions.iter_mut().find(|(junction, _)| *junction == signal.junction && junction.is_some()) {
                Some((_, members)) => members.push(signal.index),
                None => junctions.push((signal.junction, vec![signal.index])),
            }
        }
        let mut places = Vec::new();
        for (number, (junction, members)) in junctions.iter().enumerate() {
            // A phase is known by its group, or by the axis of its first light.
            let mut phases: Vec<(Option<usize>, f64)> = Vec::new();
            let mut phase_of = Vec::with_capacity(members.len());
            for &index in members {
                let signal = &net.signals[index];
                let yaw = signal.stop_lines.first().map_or(signal.pose_in_world.yaw_rad, |line| line.yaw_rad);
                let found = phases.iter().position(|&(group, axis)| match (group, signal.group) {
                    (Some(a), Some(b)) => a == b,
                    (None, None) => {
                        let turn = wrap_angle(yaw - axis).abs();
                        turn.min(std::f64::consts::PI - turn) < std::f64::consts::FRAC_PI_4
                    }
                    _ => false,
                });
                phase_of.push(found.unwrap_or_else(|| {
                    phases.push((signal.group, yaw));
                    phases.len() - 1
                }));
            }
            let key = junction.map_or(1 << 32 | number as u64, |j| j as u64);
            // A lone light still has somebody to stop for.
            let count = phases.len().max(2);
            let cycle = f64::from(phase_ticks()) * count as f64;
            let offset = Rng::new(&[seed, key, PURPOSE_LIGHTS]).uniform() * cycle;
            for (&signal, phase) in members.iter().zip(phase_of) {
                places.push(Place { signal, phase, phases: count, offset_ticks: offset as u32 });
            }
        }
        let mut lights =
            Self { places, held: vec![None; net.signals.len()], aspects: vec![LightAspect::Off; net.signals.len()] };
        lights.update(0);
        lights
    }

    /// Set the aspects of a tick.
    pub fn update(&mut self, tick: u32) {
        for place in &self.places {
            let cycle = phase_ticks() * place.phases as u32;
            let at = (tick + place.offset_ticks) % cycle;
            let since = at.checked_sub(phase_ticks() * place.phase as u32);
            let ordinary = match since.map(|t| f64::from(t) / TICK_HZ) {
                Some(t) if t < GREEN_S => LightAspect::Green,
                Some(t) if t < GREEN_S + YELLOW_S => LightAspect::Yellow,
                _ => LightAspect::Red,
            };
            self.aspects[place.signal] = self.held[place.signal].unwrap_or(ordinary);
        }
    }

    /// Hold a light at an aspect, or let it run again. It shows from the next tick on.
    pub fn hold(&mut self, signal: usize, aspect: Option<LightAspect>) {
        if let Some(held) = self.held.get_mut(signal) {
            *held = aspect;
        }
    }

    /// Indexed like [`RoadNetwork::signals`].
    pub fn aspects(&self) -> &[LightAspect] {
        &self.aspects
    }
}

fn phase_ticks() -> u32 {
    ((GREEN_S + YELLOW_S + ALL_RED_S) * TICK_HZ) as u32
}
