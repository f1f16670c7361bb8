//! The split file: every world of a data set, decided and hashed before the first one is made.
//!
//! `split.json` says for each world who may use it, which scenario family it shows and of which tier, in which town
//! and weather, along which way, with how much traffic, under which seed. Worlds are made from it and nothing else.

use crate::families::{self, CRUISE, FAMILIES, Family};
use crate::towns::{TownChoice, TownLibrary, TownTier};
use crate::{DataError, Part, Size, sites, variants, weather};
use apprentice_core::hash::content_hash;
use apprentice_core::sample::Tier;
use apprentice_core::{Pose2, Rng};
use apprentice_sim::scenario::ScenarioSpec;
use apprentice_sim::state::Weather;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the split file.
pub const SPLIT_VERSION: u32 = 1;
/// Name of the split file in a data set's folder.
pub const SPLIT_FILE: &str = "split.json";

/// How the ego starts, beside the first point of its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Metres to the left of the way.
    pub lateral_m: f64,
    /// Radians to the left of the way's direction.
    pub heading_rad: f64,
    /// Metres per second.
    pub speed_mps: f64,
}

/// One world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldSpec {
    /// Unique: part and number, such as `driving-00012`.
    pub id: String,
    /// Who may use it for what.
    pub part: Part,
    /// Tier of its family.
    pub tier: Tier,
    /// Scenario family.
    pub family: String,
    /// Its town.
    pub town: TownChoice,
    /// Whether its kind of town is held out from every training part.
    pub town_tier: TownTier,
    /// Name of its weather.
    pub weather_name: String,
    /// Its weather.
    pub weather: Weather,
    /// Points the route passes, world frame, metres.
    pub waypoints: Vec<[f64; 3]>,
    /// What happens on the way.
    pub scenarios: Vec<ScenarioSpec>,
    /// Background vehicles.
    pub vehicles: usize,
    /// Background pedestrians.
    pub pedestrians: usize,
    /// How the ego starts.
    pub start: Start,
    /// Short pushes at the wheel during the drive (per minute), so that recoveries are seen. What the pushes did is
    /// in no label.
    pub pushes_per_minute: f64,
    /// Longest simulated time, seconds.
    pub duration_s: f64,
    /// Seed of everything random in it.
    pub seed: u64,
}

/// Which tier a family belongs to, as written in the split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyTier {
    /// Family.
    pub family: String,
    /// Its tier.
    pub tier: Tier,
}

/// The whole split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// [`SPLIT_VERSION`].
    pub version: u32,
    /// Preset it was planned with.
    pub size: Size,
    /// Seed it was planned with.
    pub seed: u64,
    /// Tiers of the families.
    pub families: Vec<FamilyTier>,
    /// Families for which no town of some part had a place, as `part/family`; they have no worlds there.
    pub without_place: Vec<String>,
    /// Every world, by part and number.
    pub worlds: Vec<WorldSpec>,
}

impl Split {
    /// Plan a split: a pure function of size and seed (and of this program's towns).
    ///
    /// # Errors
    /// When a town cannot be built.
    pub fn plan(size: Size, seed: u64, towns: &TownLibrary) -> Result<Self, DataError> {
        let mut planner = Planner { size, seed, towns, without_place: Vec::new(), worlds: Vec::new() };
        for part in Part::ALL {
            planner.plan_part(part)?;
        }
        planner.without_place.sort();
        planner.without_place.dedup();
        let families = FAMILIES.iter().map(|f| FamilyTier { family: f.name.into(), tier: f.tier }).collect();
        Ok(Self {
            version: SPLIT_VERSION,
            size,
            seed,
            families,
            without_place: planner.without_place,
            worlds: planner.worlds,
        })
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a split is plain data");
        text.push('\n');
        text
    }

    /// Hash of the file's text: the name of the data set.
    pub fn hash(&self) -> String {
        content_hash(self.to_json().as_bytes())
    }

    /// Read a split file.
    ///
    /// # Errors
    /// Names the file and the field.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let split: Self = apprentice_store::read_json(path)?;
        if split.version != SPLIT_VERSION {
            return Err(DataError::invalid(
                path,
                "version",
                format!("this program reads {SPLIT_VERSION}, the file says {}", split.version),
            ));
        }
        for pair in split.worlds.windows(2) {
            if (pair[1].part, &pair[1].id) <= (pair[0].part, &pair[0].id) {
                return Err(DataError::invalid(
                    path,
                    format!("worlds: {}", pair[1].id),
                    "it is doubled or out of order",
                ));
            }
        }
        for world in &split.worlds {
            world.check().map_err(|(field, problem)| {
                DataError::invalid(path, format!("world {}: {field}", world.id), problem)
            })?;
        }
        Ok(split)
    }

    /// A world by its id.
    pub fn world(&self, id: &str) -> Option<&WorldSpec> {
        self.worlds.iter().find(|w| w.id == id)
    }
}

impl WorldSpec {
    /// What cannot be so: the field and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let named = !self.id.is_empty() && self.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !named {
            return Err(("id", "it is not made of letters, digits and dashes".into()));
        }
        if self.waypoints.len() < 2 || !self.waypoints.iter().flatten().all(|v| v.abs() < 1e6) {
            return Err(("waypoints", "a route needs two places within the world".into()));
        }
        if !(self.duration_s > 0.0 && self.duration_s <= 600.0) {
            return Err(("duration_s", format!("{} is not within 0..600", self.duration_s)));
        }
        if self.vehicles > 500 || self.pedestrians > 500 {
            return Err(("vehicles", "more than 500".into()));
        }
        if !(0.0..=60.0).contains(&self.pushes_per_minute) {
            return Err(("pushes_per_minute", format!("{} is not within 0..60", self.pushes_per_minute)));
        }
        let start = [self.start.lateral_m / 2.0, self.start.heading_rad, (self.start.speed_mps - 20.0) / 20.0];
        if !start.iter().all(|v| v.abs() <= 1.0) {
            return Err(("start", "it is beyond 2 m, 1 rad or 40 m/s".into()));
        }
        Ok(())
    }
}

struct Planner<'a> {
    size: Size,
    seed: u64,
    towns: &'a TownLibrary,
    without_place: Vec<String>,
    worlds: Vec<WorldSpec>,
}

/// Three decimals survive text exactly.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Planner<'_> {
    /// The families of a part in the order of its worlds, before shuffling.
    fn schedule(&self, part: Part) -> Vec<&'static Family> {
        let count = self.size.worlds(part);
        let share = |tiers: &[(Tier, f64)]| {
            let mut list = Vec::with_capacity(count);
            for (i, &(tier, share)) in tiers.iter().enumerate() {
                let n = if i == 0 { 0 } else { ((share * count as f64).round() as usize).max(1) };
                list.extend(families::of_tier(tier).into_iter().cycle().take(n));
            }
            // The first tier fills what is left, so that the count is exact.
            let rest = count.saturating_sub(list.len());
            list.extend(families::of_tier(tiers[0].0).into_iter().cycle().take(rest));
            list.truncate(count);
            list
        };
        use Tier::{Common, Novel, OpenRoad, Rare, TeacherOnly};
        match part {
            Part::Corpus => share(&[(Common, 0.4), (Rare, 0.2), (OpenRoad, 0.2), (TeacherOnly, 0.2)]),
            Part::Driving => share(&[(Common, 0.99), (Rare, 0.01)]),
            Part::OpenRoad => share(&[(Common, 0.4), (Rare, 0.25), (OpenRoad, 0.35)]),
            Part::Design | Part::Test => {
                share(&[(Common, 0.2), (Rare, 0.2), (OpenRoad, 0.2), (TeacherOnly, 0.2), (Novel, 0.2)])
            }
        }
    }

    fn plan_part(&mut self, part: Part) -> Result<(), DataError> {
        let mut schedule = self.schedule(part);
        Rng::new(&[self.seed, 0x5c4e_d01e, part as u64]).shuffle(&mut schedule);
        for (number, wanted) in schedule.into_iter().enumerate() {
            let mut rng = Rng::new(&[self.seed, 0x0031_d000, part as u64, number as u64]);
            let world = match self.plan_world(part, number, wanted, &mut rng)? {
                Some(world) => Some(world),
                None => {
                    // No town of this part has a place for it: plain driving takes the slot, and the split says so.
                    self.without_place.push(format!("{}/{}", part.name(), wanted.name));
                    let cruise = families::find(CRUISE).expect("plain driving is a family");
                    self.plan_world(part, number, cruise, &mut rng)?
                }
            };
            self.worlds.extend(world);
        }
        Ok(())
    }

    fn plan_world(
        &self,
        part: Part,
        number: usize,
        family: &Family,
        rng: &mut Rng,
    ) -> Result<Option<WorldSpec>, DataError> {
        // Held-out parts: every fourth world lies in a kind of town that nobody trains on.
        let town_tier = if part.is_held_out() && number % 4 == 3 {
            TownTier::HeldOut
        } else if part == Part::Driving {
            TownTier::Driving
        } else {
            TownTier::Broad
        };
        let mut choices = self.towns.choices(part, town_tier, self.size);
        rng.shuffle(&mut choices);
        for town in choices {
            let found = self.towns.sites(&town, family.need)?;
            let net = self.towns.network(&town)?;
            for _ in 0..4.min(found.len()) {
                let site = found[rng.below(found.len())];
                let variant = variants::draw(family, rng);
                let Some(path) = sites::path(&net, site, variant.before_m, variant.after_m, rng) else { continue };
                let waypoints = path.waypoints(12);
                if !self.towns.route_is_sound(&town, &waypoints, path.length_m())? {
                    continue;
                }
                let (trigger, trigger_z_m) = path.pose(-variant.trigger_before_anchor_m);
                let trigger = Pose2::new(round(trigger.x), round(trigger.y), round(trigger.yaw_rad));
                let scenarios = variant.scenario(family, trigger, round(trigger_z_m));
                let familiar_sky = rng.chance(0.5);
                let narrow = part == Part::Driving || (part.is_held_out() && familiar_sky);
                let (weather_name, weather) = weather::draw(rng, narrow);
                let perturbed = !part.is_held_out();
                let draw_start = |rng: &mut Rng| Start {
                    lateral_m: if perturbed { round(rng.normal().clamp(-2.0, 2.0) * 0.25) } else { 0.0 },
                    heading_rad: if perturbed { round(rng.normal().clamp(-2.0, 2.0) * 0.04) } else { 0.0 },
                    speed_mps: if rng.chance(0.25) { 0.0 } else { round(rng.range(3.0, 8.0)) },
                };
                return Ok(Some(WorldSpec {
                    id: format!("{}-{number:05}", part.name()),
                    part,
                    tier: family.tier,
                    family: family.name.into(),
                    town,
                    town_tier,
                    weather_name: weather_name.into(),
                    weather,
                    waypoints,
                    scenarios,
                    vehicles: 6 + rng.below(20),
                    pedestrians: 4 + rng.below(14),
                    start: draw_start(rng),
                    pushes_per_minute: if perturbed { 8.0 } else { 0.0 },
                    duration_s: variant.duration_s,
                    seed: rng.next_u64() >> 11,
                }));
            }
        }
        Ok(None)
    }
}
