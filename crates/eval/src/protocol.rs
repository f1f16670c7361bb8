//! Named, frozen protocols: the five choices that make open-loop figures comparable or not.
//!
//! A protocol is a file in `crates/eval/protocols`, compiled in. Its hash is that of the file's bytes; the tests hold
//! the hashes, so that no protocol changes under its name. The five axes (`docs` in the files): sample set, ground
//! truth, occupancy classes, aggregation over the horizon, kind of collision.

use crate::EvalError;
use apprentice_core::AgentClass;
use apprentice_core::hash::content_hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILES: [(&str, &str); 5] = [
    ("valid-starts", include_str!("../protocols/valid-starts.toml")),
    ("vad-grid", include_str!("../protocols/vad-grid.toml")),
    ("uniad-masked", include_str!("../protocols/uniad-masked.toml")),
    ("stp3-grid", include_str!("../protocols/stp3-grid.toml")),
    ("para-drive-unverified", include_str!("../protocols/para-drive-unverified.toml")),
];

/// Which moments are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SampleSet {
    /// Moments with the whole past and future that the protocol asks for.
    FullWindow,
    /// Every moment; a missing future step adds zero and stays in the denominator.
    AllMasked,
}

/// Axis 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// Which moments are judged.
    pub set: SampleSet,
    /// Keyframes that must come before a moment.
    pub past_keyframes: u8,
    /// Keyframes that must follow it.
    pub future_keyframes: u8,
}

/// Axis 2: what a plan is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// The recorded positions of the trajectory point, in the plane.
    RecordedPlane,
}

/// Axis 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroundTruth {
    /// What a plan is compared with.
    pub positions: Positions,
}

/// Axis 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Occupancy {
    /// Who can be hit.
    pub classes: Vec<AgentClass>,
    /// Only agents that start within this distance ahead or behind, metres.
    #[serde(default)]
    pub range_ahead_m: Option<f64>,
    /// Only agents that start within this distance aside, metres.
    #[serde(default)]
    pub range_aside_m: Option<f64>,
}

/// How the steps of a horizon become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// The value at the horizon.
    AtT,
    /// The mean of all steps up to the horizon.
    AvgToT,
}

/// Axis 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Horizons {
    /// Seconds; always 1, 2, 3.
    pub horizons_s: [u8; 3],
    /// Always both.
    pub report: [Aggregation; 2],
}

/// What counts as a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CollisionKind {
    /// Two oriented rectangles share a point.
    OrientedPolygon,
    /// A cell of the ego's box is a cell of another's.
    Grid,
}

/// Where the ego box's heading comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heading {
    /// Central differences of the plan; while it hardly moves, the heading before.
    FromPlan,
    /// The box keeps the heading of the start.
    None,
}

/// Axis 5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collision {
    /// What counts.
    pub kind: CollisionKind,
    /// Cell size of the grid, metres.
    #[serde(default)]
    pub cell_m: Option<f64>,
    /// Half the side of the grid, metres.
    #[serde(default)]
    pub half_extent_m: Option<f64>,
    /// Heading of the ego box.
    pub heading: Heading,
    /// A difference of positions below this says nothing about heading, metres.
    pub still_below_m: f64,
    /// Whether a step at which the recorded ego collides is excluded (k_t = c_t ∧ ¬c*_t).
    pub exclude_recorded_collisions: bool,
    /// The gap to the nearest object is cut off here, metres.
    pub gap_cap_m: f64,
}

/// The ego's box around a trajectory point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgoBox {
    /// Metres.
    pub length_m: f64,
    /// Metres.
    pub width_m: f64,
    /// From the trajectory point forward to the centre, metres.
    pub ahead_m: f64,
}

/// A protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// Version of the file layout.
    pub version: u32,
    /// One line for tables.
    pub summary: String,
    /// Axis 1.
    pub samples: Samples,
    /// Axis 2.
    pub ground_truth: GroundTruth,
    /// Axis 3.
    pub occupancy: Occupancy,
    /// Axis 4.
    pub aggregation: Horizons,
    /// Axis 5.
    pub collision: Collision,
    /// The ego's box, by kind of source.
    pub ego_box: BTreeMap<String, EgoBox>,
    /// Hash of the file.
    #[serde(skip)]
    pub hash: String,
}

/// The text of a named file of the house.
///
/// # Errors
/// When there is none of that name.
pub(crate) fn file_named(files: &[(&'static str, &'static str)], name: &str) -> Result<&'static str, EvalError> {
    let names = || files.iter().map(|(known, _)| *known).collect();
    let unknown = || EvalError::UnknownProtocol { name: name.into(), known: names() };
    files.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(unknown)
}

impl Protocol {
    /// The names of all protocols.
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).collect()
    }

    /// The protocol of a name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Self, EvalError> {
        Self::parse(name, file_named(&FILES, name)?)
    }

    /// Parse a protocol file.
    ///
    /// # Errors
    /// When it does not parse, or asks for what is not built.
    pub fn parse(name: &str, text: &str) -> Result<Self, EvalError> {
        let wrong = |message: String| EvalError::Protocol { name: name.into(), message };
        let mut protocol: Self = toml::from_str(text).map_err(|e| wrong(e.message().to_string()))?;
        if protocol.aggregation.horizons_s != [1, 2, 3]
            || protocol.aggregation.report != [Aggregation::AtT, Aggregation::AvgToT]
        {
            return Err(wrong("horizons are 1, 2, 3 s and both aggregations are reported".into()));
        }
        let grid = protocol.collision.kind == CollisionKind::Grid;
        if grid && (protocol.collision.cell_m.is_none() || protocol.collision.half_extent_m.is_none()) {
            return Err(wrong("a grid needs `cell_m` and `half_extent_m`".into()));
        }
        protocol.hash = content_hash(text.as_bytes())[..16].to_string();
        Ok(protocol)
    }

    /// The first axis in which two protocols differ, with what each says.
    pub fn differing_axis(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let axes = [
            ("samples", format!("{:?}", self.samples), format!("{:?}", other.samples)),
            ("ground truth", format!("{:?}", self.ground_truth), format!("{:?}", other.ground_truth)),
            ("occupancy", format!("{:?}", self.occupancy), format!("{:?}", other.occupancy)),
            ("aggregation", format!("{:?}", self.aggregation), format!("{:?}", other.aggregation)),
            ("collision", format!("{:?}", self.collision), format!("{:?}", other.collision)),
        ];
        axes.into_iter().find(|(_, left, right)| left != right)
    }

    /// The ego's box for a kind of source (`nuscenes`, `worlds`).
    ///
    /// # Errors
    /// When the protocol has none for it.
    pub fn ego_box(&self, source: &str) -> Result<EgoBox, EvalError> {
        self.ego_box.get(source).copied().ok_or_else(|| EvalError::Protocol {
            name: self.name.clone(),
            message: format!("no ego box for source `{source}`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_parses_under_its_own_name_and_its_hash_is_frozen() {
        // A protocol is never edited: write a new file with a new name instead.
        let frozen = [
            ("valid-starts", "ae190437cd78db9c"),
            ("vad-grid", "5eb4b702141942c0"),
            ("uniad-masked", "459167f02f690fe5"),
            ("stp3-grid", "6bc9083f6832fd2c"),
            ("para-drive-unverified", "7f1875f6d807ab5c"),
        ];
        for (name, hash) in frozen {
            let protocol = Protocol::named(name).unwrap();
            assert_eq!((protocol.name.as_str(), protocol.hash.as_str()), (name, hash));
        }
        assert_eq!(Protocol::names().len(), frozen.len());
    }

    #[test]
    fn unknown_names_and_keys_are_refused() {
        assert!(matches!(Protocol::named("invalid-starts"), Err(EvalError::UnknownProtocol { .. })));
        let edited = format!("surprise = 1\n{}", FILES[0].1);
        let error = Protocol::parse("valid-starts", &edited).unwrap_err().to_string();
        assert!(error.contains("surprise"), "{error}");
    }
}
