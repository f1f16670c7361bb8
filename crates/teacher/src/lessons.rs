//! The teacher's training objective: perception + answers + planning (ORION: L = L_QT + L_CE + L_plan).

use crate::text::TextBatch;
use crate::{Lesson, Teacher, TeacherError};
use apprentice_core::{Rng, Sample};
use apprentice_planner::loss::{self, PerceptionWeights, PlanWeights};
use apprentice_planner::{Batch, Draw};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Weights of the three parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeacherWeights {
    /// On the sum of the perception terms.
    pub perception: f64,
    /// On the mean cross-entropy of answer tokens; 0 makes the teacher without language (a control).
    pub answers: f64,
    /// On the sum of the planning terms.
    pub planning: f64,
    /// Terms of perception.
    pub perception_terms: PerceptionWeights,
    /// Terms of planning.
    pub planning_terms: PlanWeights,
}

impl Default for TeacherWeights {
    fn default() -> Self {
        Self {
            perception: 1.0,
            answers: 1.0,
            planning: 1.0,
            perception_terms: PerceptionWeights::default(),
            planning_terms: PlanWeights::default(),
        }
    }
}

/// `count` of a sample's questions with their answers, drawn without replacement.
///
/// # Errors
/// When the tokenizer cannot read them.
pub fn draw_lessons(
    teacher: &Teacher,
    sample: &Sample,
    count: usize,
    key: &[u64],
) -> Result<Vec<Lesson>, TeacherError> {
    let mut order: Vec<usize> = (0..sample.language.len()).collect();
    Rng::new(key).shuffle(&mut order);
    order.truncate(count);
    order.iter().map(|&i| Lesson::new(&teacher.tokenizer, &sample.language[i])).collect()
}

/// The loss of a batch, and its terms for logs.
///
/// `noise` is standard normal, `[B, Z]`.
pub fn teacher_loss(
    teacher: &Teacher,
    batch: &Batch,
    text: Option<&TextBatch>,
    noise: &Tensor,
    weights: &TeacherWeights,
) -> (Tensor, Vec<(&'static str, f64)>) {
    let (scene, vision_tokens) = teacher.see(&batch.inputs, true);
    let perception = loss::perception(&teacher.encoder.heads(&scene), &batch.targets);
    let thought = teacher.think(&scene, &vision_tokens, text);
    let plan = teacher.decode(&scene, &thought, Draw::Posterior { future: &batch.targets.future, noise });
    let planning = loss::planning(&plan, &batch.targets, &batch.inputs.command, weights.planning_terms.start);
    let mut terms = perception.values();
    terms.extend(planning.values());
    let mut total = perception.total(&weights.perception_terms) * weights.perception
        + planning.total(&weights.planning_terms) * weights.planning;
    if let (Some(text), Some(logits)) = (text, &thought.answer_logits) {
        let entropy = logits.cross_entropy_for_logits(&text.targets);
        let right = logits.argmax(-1, false).eq_tensor(&text.targets).to_kind(Kind::Float).mean(Kind::Float);
        terms.push(("answer_ce", entropy.double_value(&[])));
        terms.push(("answer_token_accuracy", right.double_value(&[])));
        total = total + entropy * weights.answers;
    }
    (total, terms)
}
