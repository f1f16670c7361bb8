//! `kind:path`, the way a data source is named on the command line.

use crate::CliError;
use std::path::PathBuf;
use std::str::FromStr;

/// A data source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Worlds made by `worlds make`.
    Worlds(PathBuf),
    /// A folder of ScenarioNet scenes as JSON.
    ScenarioNet(PathBuf),
    /// The root of a nuScenes data set.
    NuScenes(PathBuf),
    /// A folder of Bench2Drive clips.
    Bench2Drive(PathBuf),
}

impl Source {
    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Worlds(_) => "worlds",
            Self::ScenarioNet(_) => "scenarionet",
            Self::NuScenes(_) => "nuscenes",
            Self::Bench2Drive(_) => "bench2drive",
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Worlds(path) | Self::ScenarioNet(path) | Self::NuScenes(path) | Self::Bench2Drive(path)) = self;
        write!(f, "{}:{}", self.kind(), path.display())
    }
}

impl FromStr for Source {
    type Err = CliError;

    fn from_str(text: &str) -> Result<Self, CliError> {
        let hint = "name a source as kind:path, such as `worlds:runs/worlds`, `scenarionet:DIR`, `nuscenes:ROOT` or `bench2drive:DIR`";
        match text.split_once(':') {
            Some(("worlds", path)) => Ok(Self::Worlds(path.into())),
            Some(("scenarionet", path)) => Ok(Self::ScenarioNet(path.into())),
            Some(("nuscenes", path)) => Ok(Self::NuScenes(path.into())),
            Some(("bench2drive", path)) => Ok(Self::Bench2Drive(path.into())),
            Some((kind, _)) => Err(CliError::new(format!("there is no data source of kind `{kind}`"), hint)),
            None => Err(CliError::new(format!("`{text}` does not say what kind of data it is"), hint)),
        }
    }
}
