//! What can go wrong in the world room.

use apprentice_core::Hint;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A route file is not XML.
    #[error("the text is not well-formed XML: {0}")]
    Xml(#[from] roxmltree::Error),
    /// A route file says something impossible.
    #[error("route {route}: field `{field}`: {problem}")]
    Route {
        /// Route id, `-` for the file as a whole.
        route: String,
        /// Element and attribute.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A scenario type that this version does not play.
    #[error("scenario type `{kind}` is not built")]
    NotBuilt {
        /// The type.
        kind: String,
    },
    /// A scenario does not fit its place.
    #[error("scenario {name}: {problem}")]
    Scenario {
        /// Its name in the route file.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// A world needs a route to drive.
    #[error("the route has no points")]
    EmptyRoute,
}

impl Hint for SimError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Xml(_) => "the file is cut short or no route file; fetch it again".into(),
            Self::NotBuilt { .. } => "leave the route out; `drive` lists such routes as skipped".into(),
            Self::Scenario { .. } => "move its trigger onto the route, or give the parameters it needs".into(),
            Self::EmptyRoute => "give the route at least two waypoints on a driving lane".into(),
            Self::Route { .. } => "mend the route file at that field, or leave the route out".into(),
        })
    }
}
