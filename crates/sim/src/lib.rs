//! The world: actors, traffic, lights, pedestrians, scenarios, the ego's dynamics, its controller, the expert, criteria
//! and what the world can say about itself in words. 20 Hz, deterministic: same seed, same state hash at every tick,
//! whatever the number of threads.
//!
//! What may not enter here: cameras, tensors, files other than route XML handed in as text.

pub mod error;
pub mod routes;
pub mod scenario;
pub mod state;

pub use error::SimError;
