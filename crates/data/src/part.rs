//! The parts of a data set and the sizes it comes in.

use serde::{Deserialize, Serialize};

/// Who may use a world for what (the proving ground's kinds of data).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Broad: images, language and plans for general models.
    Corpus,
    /// Narrow: images, labels and expert trajectories for students.
    Driving,
    /// Broad images without labels, where guidance may be harvested.
    OpenRoad,
    /// Held out, for decisions.
    Design,
    /// Held out, for the table.
    Test,
}

impl Part {
    /// All parts in order.
    pub const ALL: [Part; 5] = [Self::Corpus, Self::Driving, Self::OpenRoad, Self::Design, Self::Test];

    /// As written in files, ids and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Corpus => "corpus",
            Self::Driving => "driving",
            Self::OpenRoad => "open-road",
            Self::Design => "design",
            Self::Test => "test",
        }
    }

    /// Whether nobody may train on it.
    pub fn is_held_out(self) -> bool {
        matches!(self, Self::Design | Self::Test)
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// A handful of worlds, for tests.
    Tiny,
    /// The demo.
    Minutes,
    /// One recipe with its arms and seeds on two cores, over night.
    Hours,
    /// A GPU.
    Full,
}

impl Size {
    /// All sizes.
    pub const ALL: [Size; 4] = [Self::Tiny, Self::Minutes, Self::Hours, Self::Full];

    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Full => "full",
        }
    }

    /// From the command line's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Worlds per part.
    pub fn worlds(self, part: Part) -> usize {
        let [corpus, driving, open_road, design, test] = match self {
            Self::Tiny => [4, 4, 3, 5, 5],
            Self::Minutes => [100, 100, 40, 20, 60],
            Self::Hours => [1600, 1400, 800, 250, 500],
            Self::Full => [16_000, 10_000, 8_000, 500, 1_000],
        };
        match part {
            Part::Corpus => corpus,
            Part::Driving => driving,
            Part::OpenRoad => open_road,
            Part::Design => design,
            Part::Test => test,
        }
    }

    /// Different towns per layout and purpose.
    pub fn towns_per_layout(self) -> u64 {
        match self {
            Self::Tiny => 1,
            Self::Minutes => 3,
            Self::Hours => 6,
            Self::Full => 12,
        }
    }
}
