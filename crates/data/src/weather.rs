//! Named weathers of generated worlds: three narrow ones for the driving set, all of them for the rest.

use apprentice_core::Rng;
use apprentice_sim::state::Weather;

/// Name and weather. The first [`NARROW`] are the driving set's.
const WEATHERS: [(&str, Weather); 9] = [
    ("clear-noon", sky(5.0, 0.0, 0.0, 1.0, 65.0)),
    ("cloudy-noon", sky(70.0, 0.0, 0.0, 2.0, 55.0)),
    ("clear-afternoon", sky(15.0, 0.0, 0.0, 2.0, 35.0)),
    ("wet-noon", sky(40.0, 0.0, 70.0, 3.0, 50.0)),
    ("soft-rain", sky(80.0, 30.0, 60.0, 8.0, 40.0)),
    ("hard-rain", sky(95.0, 80.0, 95.0, 15.0, 35.0)),
    ("fog", sky(60.0, 0.0, 10.0, 45.0, 30.0)),
    ("sunset", sky(20.0, 0.0, 0.0, 4.0, 6.0)),
    ("night", sky(10.0, 0.0, 0.0, 3.0, -35.0)),
];

/// How many of them the driving set knows.
const NARROW: usize = 3;

const fn sky(cloudiness: f32, precipitation: f32, wetness: f32, fog_density: f32, sun_altitude_deg: f32) -> Weather {
    Weather { cloudiness, precipitation, wetness, fog_density, sun_azimuth_deg: 0.0, sun_altitude_deg }
}

/// Draw a weather: one of the driving set's, or of all. The sun stands anywhere on the horizon (whole degrees).
pub(crate) fn draw(rng: &mut Rng, narrow: bool) -> (&'static str, Weather) {
    let count = if narrow { NARROW } else { WEATHERS.len() };
    let (name, mut weather) = WEATHERS[rng.below(count)];
    weather.sun_azimuth_deg = rng.below(360) as f32;
    (name, weather)
}
