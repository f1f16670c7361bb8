//! What a checkpoint promises: everything that must be equal between training and deployment.
//!
//! The contract travels inside every checkpoint (safetensors metadata) and every exported ONNX file
//! (metadata property `apprentice.contract`), as one JSON document. Loading is strict: a contract that
//! differs from what the code can honour is an error that names the field.

use crate::camera::Rig;
use crate::hash::content_hash;
use crate::trajectory::{HORIZON_STEPS, WAYPOINT_DT_S};
use crate::{Command, Hint};
use serde::{Deserialize, Serialize};

/// Version of the contract's own layout.
pub const CONTRACT_VERSION: u32 = 1;

/// How pixels become network input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The cameras, their order, sizes and poses.
    pub rig: Rig,
    /// `rgb` or `bgr`, the order in which channels enter the network.
    pub channel_order: ChannelOrder,
    /// Subtracted per channel, in 0..255 units, in `channel_order`.
    pub mean: [f32; 3],
    /// Divided by, per channel, in 0..255 units.
    pub std: [f32; 3],
    /// JPEG quality the images pass through before the network (Bench2Drive: 20), or none.
    pub jpeg_quality: Option<u8>,
}

/// Channel order at the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ChannelOrder {
    Rgb,
    Bgr,
}

/// What state the driver carries from one plan to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemporalState {
    /// None: every plan stands alone.
    None,
}

/// The promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// [`CONTRACT_VERSION`].
    pub version: u32,
    /// What the weights are: `student` or `teacher`.
    pub kind: String,
    /// Version of Apprentice that wrote it.
    pub apprentice: String,
    /// Pixels.
    pub preprocessing: Preprocessing,
    /// Frame of the waypoints; always `ego-rear-axle`.
    pub waypoint_frame: String,
    /// Waypoints per trajectory.
    pub waypoint_steps: usize,
    /// Seconds between waypoints.
    pub waypoint_dt_s: f64,
    /// The words of the commands in index order.
    pub commands: Vec<String>,
    /// State between plans.
    pub temporal: TemporalState,
    /// Recipe that trained it, such as `base` or `orion-lite/own-encoder`.
    pub recipe: String,
    /// The resolved model configuration.
    pub model: serde_json::Value,
    /// The resolved training configuration.
    pub training: serde_json::Value,
    /// Hash of the split file or data set it was trained on.
    pub data_hash: String,
    /// Hash of the teacher's checkpoint, when one was used.
    pub teacher_hash: Option<String>,
}

/// A contract that cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The document does not parse.
    #[error("the contract does not parse: {0}")]
    Parse(#[from] serde_json::Error),
    /// A field has a value this code cannot honour.
    #[error("contract field `{field}`: this program needs {expected}, the file says {found}")]
    Mismatch {
        /// Name of the field.
        field: &'static str,
        /// What is needed.
        expected: String,
        /// What the file holds.
        found: String,
    },
}

impl ContractError {
    /// The model configuration inside a contract cannot be built, for this reason.
    pub fn unsound_model(reason: impl std::fmt::Display) -> Self {
        Self::Mismatch { field: "model", expected: "a model that can be built".into(), found: reason.to_string() }
    }
}

impl Hint for ContractError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Parse(_) => "the file was not written by apprentice, or was cut short; write it again with `apprentice export` or the training command".into(),
            Self::Mismatch { .. } => "use the file with the version and settings that made it, or train again".into(),
        })
    }
}

impl Contract {
    /// A contract under today's conventions.
    pub fn new(
        kind: &str,
        preprocessing: Preprocessing,
        recipe: &str,
        model: serde_json::Value,
        training: serde_json::Value,
        data_hash: &str,
    ) -> Self {
        Self {
            version: CONTRACT_VERSION,
            kind: kind.into(),
            apprentice: env!("CARGO_PKG_VERSION").into(),
            preprocessing,
            waypoint_frame: "ego-rear-axle".into(),
            waypoint_steps: HORIZON_STEPS,
            waypoint_dt_s: WAYPOINT_DT_S,
            commands: Command::ALL.iter().map(|c| c.words().to_string()).collect(),
            temporal: TemporalState::None,
            recipe: recipe.into(),
            model,
            training,
            data_hash: data_hash.into(),
            teacher_hash: None,
        }
    }

    /// Parse and check a contract: version, kind and conventions.
    ///
    /// # Errors
    /// Names the first field that cannot be honoured.
    pub fn parse(json: &str, kind: &str) -> Result<Self, ContractError> {
        let contract: Self = serde_json::from_str(json)?;
        let same = |field: &'static str, expected: String, found: String| {
            if expected == found { Ok(()) } else { Err(ContractError::Mismatch { field, expected, found }) }
        };
        same("version", CONTRACT_VERSION.to_string(), contract.version.to_string())?;
        same("kind", kind.into(), contract.kind.clone())?;
        same("waypoint_frame", "ego-rear-axle".into(), contract.waypoint_frame.clone())?;
        same("waypoint_steps", HORIZON_STEPS.to_string(), contract.waypoint_steps.to_string())?;
        same("waypoint_dt_s", WAYPOINT_DT_S.to_string(), contract.waypoint_dt_s.to_string())?;
        let words: Vec<_> = Command::ALL.iter().map(|c| c.words()).collect();
        same("commands", words.join(", "), contract.commands.join(", "))?;
        Ok(contract)
    }

    /// The document.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a contract is plain data")
    }
}

impl Preprocessing {
    /// Content hash.
    pub fn hash(&self) -> String {
        content_hash(serde_json::to_string(self).expect("plain data").as_bytes())[..16].to_string()
    }
}
