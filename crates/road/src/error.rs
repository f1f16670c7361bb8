//! The room's errors: each names the file and the element, and says what to do.

use apprentice_core::Hint;

/// What can go wrong with a road network or a route on it.
#[derive(Debug, thiserror::Error)]
pub enum RoadError {
    /// The file cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// Path.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not XML, or cut off.
    #[error("{file}: not well-formed XML: {problem}")]
    Xml {
        /// Path or name.
        file: String,
        /// The parser's message with row and column.
        problem: String,
    },
    /// An element is missing, unreadable or contradicts another.
    #[error("{file}: {element}: {problem}")]
    Element {
        /// Path or name.
        file: String,
        /// Which element, with its line where known.
        element: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The OpenDRIVE reader gave up in a way it does not document.
    #[error("{file}: the OpenDRIVE reader failed on <OpenDRIVE>: {problem}")]
    Reader {
        /// Path or name.
        file: String,
        /// Its message.
        problem: String,
    },
    /// A route has too few waypoints.
    #[error("a route needs at least two waypoints, this one has {count}")]
    TooFewWaypoints {
        /// How many there are.
        count: usize,
    },
    /// A waypoint lies off every driving lane.
    #[error("{map}: waypoint {index} at ({x:.2}, {y:.2}) is {distance_m:.1} m from the nearest driving lane")]
    OffRoad {
        /// Network name.
        map: String,
        /// Position in the list.
        index: usize,
        /// Metres, world frame.
        x: f64,
        /// Metres, world frame.
        y: f64,
        /// Metres to the nearest driving lane (infinite: there is none near).
        distance_m: f64,
    },
    /// No way leads from one waypoint to the next.
    #[error("{map}: no way leads from waypoint {index} to waypoint {next}", next = index + 1)]
    NoWay {
        /// Network name.
        map: String,
        /// The waypoint where the search starts.
        index: usize,
    },
}

impl Hint for RoadError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check the path and its permissions".into(),
            Self::Xml { .. } => "the file is truncated or damaged: fetch or export it again".into(),
            Self::Element { .. } => "repair that element, or export the map again from the tool that wrote it".into(),
            Self::Reader { .. } => {
                "check the map with another OpenDRIVE tool: the reader met something impossible".into()
            }
            Self::TooFewWaypoints { .. } => "give a start and an end at least".into(),
            Self::OffRoad { .. } => {
                "check that the route belongs to this map and that its y is negated (CARLA's y is minus OpenDRIVE's)"
                    .into()
            }
            Self::NoWay { .. } => {
                "check that both waypoints are on lanes that traffic can drive between, in driving direction".into()
            }
        })
    }
}
