//! How a frame is to be rendered.

use serde::{Deserialize, Serialize};

/// Parts of the picture that can be left out (for tests, and for measuring what each costs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Ground texture: surface kinds, kerbs, lane paint, crosswalks, stop lines. Off: bare asphalt everywhere.
    pub ground_texture: bool,
    /// Contact and cast shadows of actors.
    pub shadows: bool,
    /// Buildings, trees, poles.
    pub scenery: bool,
    /// Windows of buildings.
    pub facades: bool,
    /// Traffic lights and signs.
    pub signals: bool,
    /// Brake, turn, emergency and head lamps.
    pub lamps: bool,
    /// Fog and haze.
    pub fog: bool,
    /// Rain streaks and the shine of wet ground.
    pub rain: bool,
    /// The ego's own headlights at night.
    pub headlights: bool,
    /// The sun's glow in the sky.
    pub sun_glow: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            ground_texture: true,
            shadows: true,
            scenery: true,
            facades: true,
            signals: true,
            lamps: true,
            fog: true,
            rain: true,
            headlights: true,
            sun_glow: true,
        }
    }
}

/// How a frame is to be rendered. The default is the plain picture: no randomisation, no noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderOptions {
    /// Seed of everything random below. Equal seeds give equal bytes.
    pub seed: u64,
    /// Strength of the randomised appearance (sun direction and colour, exposure, gamma, white balance, asphalt tone,
    /// paint wear): 0 none, 1 full.
    pub randomise: f32,
    /// Standard deviation of the sensor noise, in 8-bit grey levels.
    pub noise: f32,
    /// Camera pose jitter: 1 turns each camera by up to ±1° and moves it by up to ±3 cm. Projected boxes then no longer
    /// land on the pixels exactly, as with a badly calibrated car.
    pub pose_jitter: f32,
    /// Parts of the picture.
    pub features: Features,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { seed: 0, randomise: 0.0, noise: 0.0, pose_jitter: 0.0, features: Features::default() }
    }
}

impl RenderOptions {
    /// The usual training augmentation under a seed: full appearance randomisation, noise of two grey levels, no jitter.
    pub fn augmented(seed: u64) -> Self {
        Self { seed, randomise: 1.0, noise: 2.0, ..Self::default() }
    }
}
