//! What a route file says about one scenario.

use apprentice_core::Pose2;
use apprentice_core::geometry::DVec3;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The attributes of one parameter element, such as `value` or `from` and `to`, as text.
pub type Params = BTreeMap<String, String>;

/// One scenario of a route: its type, where it starts, its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioSpec {
    /// Name in the file, such as `Accident_1`.
    pub name: String,
    /// Bench2Drive's scenario type, such as `Accident`.
    pub kind: String,
    /// Where the ego sets it off, world frame.
    pub trigger: Pose2,
    /// Height of the trigger, metres (towns have bridges).
    pub trigger_z_m: f64,
    /// Parameter elements by tag. The route reader has checked that numbers are numbers.
    pub parameters: BTreeMap<String, Params>,
}

impl ScenarioSpec {
    /// A scenario without parameters.
    pub fn new(kind: &str, trigger: Pose2) -> Self {
        Self { name: format!("{kind}_1"), kind: kind.into(), trigger, trigger_z_m: 0.0, parameters: BTreeMap::new() }
    }

    /// The same with a numeric parameter.
    #[must_use]
    pub fn with(mut self, tag: &str, value: f64) -> Self {
        self.parameters.insert(tag.into(), [("value".to_string(), value.to_string())].into());
        self
    }

    /// The same with a textual parameter.
    #[must_use]
    pub fn with_text(mut self, tag: &str, value: &str) -> Self {
        self.parameters.insert(tag.into(), [("value".to_string(), value.to_string())].into());
        self
    }

    fn attribute(&self, tag: &str, name: &str) -> Option<f64> {
        self.parameters.get(tag)?.get(name)?.parse().ok()
    }

    /// `<tag value="…"/>` as a number.
    pub fn number(&self, tag: &str) -> Option<f64> {
        self.attribute(tag, "value")
    }

    /// `<tag value="…"/>` as text.
    pub fn text(&self, tag: &str) -> Option<&str> {
        self.parameters.get(tag)?.get("value").map(String::as_str)
    }

    /// `<tag from="…" to="…"/>`.
    pub fn interval(&self, tag: &str) -> Option<(f64, f64)> {
        Some((self.attribute(tag, "from")?, self.attribute(tag, "to")?))
    }

    /// `<tag x="…" y="…" z="…"/>` in our world frame.
    pub fn location(&self, tag: &str) -> Option<DVec3> {
        Some(DVec3::new(self.attribute(tag, "x")?, -self.attribute(tag, "y")?, self.attribute(tag, "z")?))
    }
}
