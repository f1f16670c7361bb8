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
}

impl Source {
    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Worlds(_) => "worlds",
            Self::ScenarioNet(_) => "scenarionet",
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Worlds(path) | Self::ScenarioNet(path)) = self;
        write!(f, "{}:{}", self.kind(), path.display())
    }
}

impl FromStr for Source {
    type Err = CliError;

    fn from_str(text: &str) -> Result<Self, CliError> {
        let hint = "name a source as kind:path, such as `worlds:runs/worlds` or `scenarionet:DIR`";
        match text.split_once(':') {
            Some(("worlds", path)) => Ok(Self::Worlds(path.into())),
            Some(("scenarionet", path)) => Ok(Self::ScenarioNet(path.into())),
            Some((kind, _)) => Err(CliError::new(format!("there is no data source of kind `{kind}`"), hint)),
            None => Err(CliError::new(format!("`{text}` does not say what kind of data it is"), hint)),
        }
    }
}
