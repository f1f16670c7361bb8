//! Sun, sky, fog and exposure of a frame, from the weather and the appearance seed.

use crate::options::RenderOptions;
use apprentice_core::Rng;
use apprentice_sim::state::Weather;
use glam::Vec3;

/// Everything that colours a frame. Colours are in 0..255 of the final picture, lights are factors on them.
#[derive(Clone, Debug)]
pub struct Atmosphere {
    /// Unit vector towards the sun (at night: the moon).
    pub to_sun: Vec3,
    /// Light from the sun.
    pub sun: Vec3,
    /// Light from everywhere.
    pub ambient: Vec3,
    /// Sky overhead.
    pub zenith: Vec3,
    /// Sky at the horizon; also the fog's colour.
    pub horizon: Vec3,
    /// Glow around the sun.
    pub glow: Vec3,
    /// Optical depth of the fog per metre.
    pub fog_per_m: f32,
    /// Wetness of the ground, 0..1.
    pub wet: f32,
    /// Rain, 0..1.
    pub rain: f32,
    /// Darkness, 0 by day, 1 by night.
    pub night: f32,
    /// Ground colours are multiplied by this …
    pub ground_gain: Vec3,
    /// … and this is added (paint wear).
    pub ground_offset: Vec3,
    /// 8-bit curve of exposure, gamma and white balance per channel; `None` is the identity.
    pub curve: Option<Box<[[u8; 256]; 3]>>,
}

fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl Atmosphere {
    /// The atmosphere of a weather under options.
    pub fn new(weather: &Weather, options: &RenderOptions) -> Self {
        let mut rng = Rng::new(&[options.seed, 0x11_6874]);
        let strength = f64::from(options.randomise);
        let mut jitter = |amount: f64| (rng.range(-amount, amount) * strength) as f32;

        let altitude_deg = (weather.sun_altitude_deg + jitter(8.0)).clamp(-90.0, 90.0);
        let azimuth_rad = -(weather.sun_azimuth_deg + jitter(180.0)).to_radians(); // CARLA's y is minus ours.
        let cloud = (weather.cloudiness / 100.0).clamp(0.0, 1.0);
        let rain = (weather.precipitation / 100.0).clamp(0.0, 1.0);
        let wet = (weather.wetness / 100.0).max(rain * 0.8).clamp(0.0, 1.0);
        let day = smoothstep(-7.0, 8.0, altitude_deg);
        let low_sun = smoothstep(28.0, 3.0, altitude_deg) * day;

        let raised_rad = altitude_deg.max(4.0).to_radians();
        let to_sun = if altitude_deg > -2.0 {
            Vec3::new(raised_rad.cos() * azimuth_rad.cos(), raised_rad.cos() * azimuth_rad.sin(), raised_rad.sin())
        } else {
            Vec3::new(0.35, 0.25, 0.9).normalize()
        };

        let grey = 1.0 - 0.75 * cloud;
        let tint = Vec3::new(1.0, 1.0 + jitter(0.03), 1.0 + jitter(0.06));
        let sun_day = Vec3::new(0.56, 0.54, 0.50).lerp(Vec3::new(0.72, 0.48, 0.28), low_sun) * grey * tint;
        let ambient_day = Vec3::new(0.66, 0.68, 0.72) * (1.0 + 0.18 * cloud - 0.12 * low_sun) * (1.0 - 0.2 * rain);
        let sun = Vec3::new(0.05, 0.055, 0.07).lerp(sun_day, day);
        let ambient = Vec3::new(0.27, 0.27, 0.30).lerp(ambient_day, day);

        let overcast = Vec3::new(168.0, 174.0, 182.0) * (1.0 - 0.25 * rain);
        let clear_zenith = Vec3::new(70.0, 118.0, 190.0).lerp(Vec3::new(74.0, 92.0, 140.0), low_sun);
        let clear_horizon = Vec3::new(186.0, 208.0, 228.0).lerp(Vec3::new(235.0, 178.0, 122.0), low_sun);
        let zenith = Vec3::new(9.0, 11.0, 20.0).lerp(clear_zenith.lerp(overcast * 0.9, cloud), day);
        let horizon = Vec3::new(26.0, 27.0, 36.0).lerp(clear_horizon.lerp(overcast, cloud), day);
        let glow = Vec3::new(90.0, 80.0, 60.0).lerp(Vec3::new(110.0, 70.0, 20.0), low_sun) * day * (1.0 - 0.85 * cloud);

        let fog_percent = weather.fog_density.clamp(0.0, 100.0) / 100.0;
        let fog_per_m = 0.0008 + 0.0010 * cloud * 0.3 + 0.030 * fog_percent * fog_percent + 0.004 * rain;

        let fog_per_m = if options.features.fog { fog_per_m } else { 0.0 };
        // The sky drowns in fog as the ground does.
        let zenith = zenith.lerp(horizon, ((fog_per_m - 0.003) * 60.0).clamp(0.0, 1.0));

        let wear = 1.0 + jitter(0.35).min(0.1);
        let tone = 1.0 + jitter(0.18);
        let asphalt = Vec3::new(96.0, 97.0, 100.0);
        let darken = 1.0 - 0.28 * wet;

        let exposure = 1.0 + jitter(0.22);
        let gamma = 1.0 + jitter(0.18);
        let white = [1.0 + jitter(0.06), 1.0 + jitter(0.03), 1.0 + jitter(0.06)];
        let curve = (strength > 0.0).then(|| {
            let mut curve = Box::new([[0u8; 256]; 3]);
            for (channel, gain) in curve.iter_mut().zip(white) {
                for (i, out) in channel.iter_mut().enumerate() {
                    let x = (i as f32 / 255.0).powf(gamma) * exposure * gain;
                    *out = (x * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
                }
            }
            curve
        });

        Self {
            to_sun,
            sun,
            ambient,
            zenith,
            horizon,
            glow: if options.features.sun_glow { glow } else { Vec3::ZERO },
            fog_per_m,
            wet: if options.features.rain { wet } else { 0.0 },
            rain: if options.features.rain { rain } else { 0.0 },
            night: 1.0 - day,
            ground_gain: Vec3::splat(tone * wear * darken),
            ground_offset: asphalt * (1.0 - wear) * tone * darken,
            curve,
        }
    }

    /// Light falling on a surface with this normal.
    pub fn light(&self, normal: Vec3) -> Vec3 {
        self.ambient * (0.86 + 0.14 * normal.z) + self.sun * normal.dot(self.to_sun).max(0.0)
    }
}

/// The ego's headlights at night: two broad beams as one smooth patch in front of the car.
#[derive(Clone, Copy, Debug)]
pub struct Headlights {
    origin: Vec3,
    forward: Vec3,
    strength: f32,
}

impl Headlights {
    /// Beams of an ego at `origin` looking along `forward`; `strength` 0 switches them off.
    pub fn new(origin: Vec3, forward: Vec3, strength: f32) -> Self {
        Self { origin, forward, strength }
    }

    /// Whether they shine at all.
    pub fn on(&self) -> bool {
        self.strength > 0.01
    }

    /// Light added to a surface at a point of the world frame.
    #[inline(always)]
    pub fn light(&self, point: Vec3) -> f32 {
        let d = point - self.origin;
        let ahead = d.dot(self.forward);
        if ahead < 0.5 {
            return 0.0;
        }
        let aside2 = (d.length_squared() - ahead * ahead).max(0.0);
        let spread = 1.5 + 0.42 * ahead;
        let beam = (1.0 - aside2 / (spread * spread)).max(0.0);
        let reach = 1.0 / (1.0 + (ahead / 24.0) * (ahead / 24.0));
        self.strength * 0.75 * beam * reach
    }
}
