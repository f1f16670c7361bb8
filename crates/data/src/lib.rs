//! (room not furnished yet)

pub mod scenarionet;
