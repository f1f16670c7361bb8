//! Losses. Weights are configuration; every term is a mean that does not depend on the batch size.

pub mod perception;
pub mod planning;

pub use perception::{PerceptionLosses, PerceptionWeights, perception};
pub use planning::{PlanLosses, PlanWeights, planning};

use tch::{Kind, Reduction, Tensor};

/// Sigmoid focal loss (Lin et al. 2017, Eq. 5; α 0.25, γ 2), not reduced.
///
/// # Shapes
/// logits and targets (0 or 1) of one shape → that shape.
pub fn sigmoid_focal(logits: &Tensor, targets: &Tensor) -> Tensor {
    let none: Option<&Tensor> = None;
    let entropy = logits.binary_cross_entropy_with_logits(targets, none, none, Reduction::None);
    let p = logits.sigmoid();
    // How wrong: 1 − p where the target is 1, p where it is 0. The weight is 0.25 and 0.75.
    let wrong = (targets - &p).abs();
    let alpha: Tensor = targets * -0.5 + 0.75;
    entropy * alpha * wrong.square()
}

/// A zero that keeps the graph.
fn zero_like(t: &Tensor) -> Tensor {
    t.flatten(0, -1).narrow(0, 0, 0).sum(Kind::Float)
}
