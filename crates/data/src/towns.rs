//! Towns, built once and shared: network, scenery, and the places scenario families look for.

use crate::sites::{Need, Site};
use crate::{DataError, Part, Size, sites};
use apprentice_core::geometry::DVec3;
use apprentice_render::TownScene;
use apprentice_road::town::{Layout, TownSpec};
use apprentice_road::{RoadNetwork, Route, town};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// A procedural town.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TownChoice {
    /// Name of its layout.
    pub layout: String,
    /// Seed of its plan.
    pub seed: u64,
}

impl std::fmt::Display for TownChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.layout, self.seed)
    }
}

/// Who knows a kind of town.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TownTier {
    /// A layout of the driving set.
    Driving,
    /// A layout that corpus and open road know (the driving set's among them).
    Broad,
    /// A layout nobody trains on.
    HeldOut,
}

/// A built town.
pub struct Town {
    /// Roads.
    pub net: Arc<RoadNetwork>,
    /// Scenery for the renderer.
    pub scene: TownScene,
}

type Shared<T> = Mutex<BTreeMap<TownChoice, Arc<OnceLock<T>>>>;

/// Places of a town by need.
type Places = BTreeMap<(TownChoice, String), Arc<Vec<Site>>>;

/// Builds towns when they are first asked for and keeps them.
#[derive(Default)]
pub struct TownLibrary {
    networks: Shared<Arc<RoadNetwork>>,
    towns: Shared<Arc<Town>>,
    sites: Mutex<Places>,
}

fn slot<T>(shared: &Shared<T>, town: &TownChoice) -> Arc<OnceLock<T>> {
    let mut map = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    map.entry(town.clone()).or_default().clone()
}

impl TownLibrary {
    /// An empty library.
    pub fn new() -> Self {
        Self::default()
    }

    /// Roads of a town.
    ///
    /// # Errors
    /// When the layout is unknown or its plan cannot be read.
    pub fn network(&self, town: &TownChoice) -> Result<Arc<RoadNetwork>, DataError> {
        let slot = slot(&self.networks, town);
        if let Some(net) = slot.get() {
            return Ok(net.clone());
        }
        let net = Arc::new(build_network(town)?);
        Ok(slot.get_or_init(|| net).clone())
    }

    /// Roads and scenery of a town.
    ///
    /// # Errors
    /// As [`Self::network`].
    pub fn town(&self, choice: &TownChoice) -> Result<Arc<Town>, DataError> {
        let net = self.network(choice)?;
        let slot = slot(&self.towns, choice);
        Ok(slot.get_or_init(|| Arc::new(Town { scene: TownScene::new(&net), net })).clone())
    }

    /// Places of a town that meet a need.
    pub(crate) fn sites(&self, town: &TownChoice, need: Need) -> Result<Arc<Vec<Site>>, DataError> {
        let net = self.network(town)?;
        let mut map = self.sites.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (town.clone(), format!("{need:?}"));
        Ok(map.entry(key).or_insert_with(|| Arc::new(sites::find(&net, need))).clone())
    }

    /// Towns that a part may use under a town tier. Training parts and held-out parts never share a town.
    pub(crate) fn choices(&self, part: Part, tier: TownTier, size: Size) -> Vec<TownChoice> {
        let count = size.towns_per_layout();
        // Seeds by purpose: 1.. for training, 101.. for design, 201.. for test.
        let base = match part {
            Part::Corpus | Part::Driving | Part::OpenRoad => 1,
            Part::Design => 101,
            Part::Test => 201,
        };
        let mut choices = Vec::new();
        for &layout in town::layouts() {
            let fits = match tier {
                TownTier::Driving => layout_tier(layout) == TownTier::Driving,
                TownTier::Broad => layout_tier(layout) != TownTier::HeldOut,
                TownTier::HeldOut => layout_tier(layout) == TownTier::HeldOut,
            };
            if fits {
                let name = layout.name().to_string();
                choices.extend((0..count).map(|i| TownChoice { layout: name.clone(), seed: base + i }));
            }
        }
        choices
    }

    /// Whether the planned route follows the path (length within a tenth).
    pub(crate) fn route_is_sound(
        &self,
        town: &TownChoice,
        waypoints: &[[f64; 3]],
        path_length_m: f64,
    ) -> Result<bool, DataError> {
        let net = self.network(town)?;
        let near = |length_m: f64| (length_m - path_length_m).abs() < 0.1 * path_length_m + 5.0;
        Ok(plan_route(&net, waypoints).is_ok_and(|route| near(route.length_m)))
    }
}

/// The route through a world's waypoints.
pub(crate) fn plan_route(net: &RoadNetwork, waypoints: &[[f64; 3]]) -> Result<Route, apprentice_road::RoadError> {
    let points: Vec<DVec3> = waypoints.iter().map(|p| DVec3::from_array(*p)).collect();
    Route::plan(net, &points)
}

fn build_network(choice: &TownChoice) -> Result<RoadNetwork, DataError> {
    let layout = town::layouts().iter().copied().find(|l| l.name() == choice.layout).ok_or_else(|| {
        let known: Vec<_> = town::layouts().iter().map(|l| l.name()).collect();
        DataError::Request(format!("there is no town layout `{}`; there are {}", choice.layout, known.join(", ")))
    })?;
    TownSpec { layout, seed: choice.seed }
        .network()
        .map_err(|e| DataError::Road { town: choice.to_string(), source: Box::new(e) })
}

/// Which layouts the driving set knows, and which nobody trains on.
fn layout_tier(layout: Layout) -> TownTier {
    match layout {
        _ if layout.is_held_out() => TownTier::HeldOut,
        Layout::Grid | Layout::Suburb => TownTier::Driving,
        _ => TownTier::Broad,
    }
}
