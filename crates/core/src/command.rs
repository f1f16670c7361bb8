//! The navigation command: what the route asks for next.

use serde::{Deserialize, Serialize};

/// Bench2Drive's six commands, in its order (its numbers are these plus one; a negative number means
/// [`Command::LaneFollow`]). A command comes from the route ahead, never from the recorded future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Command {
    Left = 0,
    Right = 1,
    Straight = 2,
    LaneFollow = 3,
    ChangeLaneLeft = 4,
    ChangeLaneRight = 5,
}

impl Command {
    /// How many commands there are.
    pub const COUNT: usize = 6;
    /// All of them, in index order.
    pub const ALL: [Command; 6] =
        [Self::Left, Self::Right, Self::Straight, Self::LaneFollow, Self::ChangeLaneLeft, Self::ChangeLaneRight];

    /// 0..6.
    pub fn index(self) -> usize {
        self as usize
    }

    /// From an index 0..6.
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// From CARLA's RoadOption number (1..6; anything else is lane following).
    pub fn from_carla(option: i32) -> Self {
        usize::try_from(option - 1).ok().and_then(Self::from_index).unwrap_or(Self::LaneFollow)
    }

    /// As said in prompts and tables.
    pub fn words(self) -> &'static str {
        match self {
            Self::Left => "turn left",
            Self::Right => "turn right",
            Self::Straight => "go straight",
            Self::LaneFollow => "follow the lane",
            Self::ChangeLaneLeft => "change lane to the left",
            Self::ChangeLaneRight => "change lane to the right",
        }
    }
}
