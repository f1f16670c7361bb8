//! How well a teacher answers: exact answers by type of question, beside always giving the most frequent answer.

use crate::{Prompt, Question, Teacher, TeacherError};
use apprentice_core::Sample;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// One type of question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindScore {
    /// Type of question.
    pub kind: String,
    /// Questions asked.
    pub questions: usize,
    /// Share answered word for word.
    pub accuracy: f64,
    /// Share that the most frequent true answer of this type would get.
    pub majority: f64,
    /// That answer.
    pub majority_answer: String,
}

/// All types.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuizReport {
    /// By type, in alphabetical order.
    pub kinds: Vec<KindScore>,
}

impl QuizReport {
    /// Mean over types of accuracy and of majority.
    pub fn means(&self) -> Option<[f64; 2]> {
        let n = self.kinds.len() as f64;
        (n > 0.0).then(|| {
            [
                self.kinds.iter().map(|k| k.accuracy).sum::<f64>() / n,
                self.kinds.iter().map(|k| k.majority).sum::<f64>() / n,
            ]
        })
    }

    /// Types whose answers are better than the majority answer.
    pub fn beaten(&self) -> usize {
        self.kinds.iter().filter(|k| k.accuracy > k.majority).count()
    }
}

/// What was said, and what is true, both in small letters and single blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The answer.
    pub said: String,
    /// The truth.
    pub truth: String,
}

/// Collects answers and truths.
#[derive(Debug, Default)]
pub struct Quiz {
    said: BTreeMap<String, Vec<Marked>>,
}

fn plain(answer: &str) -> String {
    answer.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

impl Quiz {
    /// Mark one answer.
    pub fn mark(&mut self, kind: &str, said: &str, truth: &str) {
        self.said.entry(kind.into()).or_default().push(Marked { said: plain(said), truth: plain(truth) });
    }

    /// Ask all questions of some samples, whose vision tokens are `[B, V, D]`.
    ///
    /// # Errors
    /// When the tokenizer cannot read a question or write an answer.
    pub fn ask(&mut self, teacher: &Teacher, vision_tokens: &Tensor, samples: &[&Sample]) -> Result<(), TeacherError> {
        let mut prompts = vec![];
        for (row, sample) in samples.iter().enumerate() {
            for truth in &sample.language {
                prompts.push((row, Prompt::ask(&teacher.tokenizer, &Question::of(truth))?));
            }
        }
        let questions: Vec<_> = prompts.iter().map(|(row, prompt)| (*row, prompt)).collect();
        let said = teacher.answer(vision_tokens, &questions)?;
        let truths = samples.iter().flat_map(|s| &s.language);
        truths.zip(&said).for_each(|(truth, said)| self.mark(&truth.kind, said, &truth.answer));
        Ok(())
    }

    /// The answers to one type of question.
    pub fn answers(&self, kind: &str) -> &[Marked] {
        self.said.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The score.
    pub fn report(&self) -> QuizReport {
        let score = |(kind, marks): (&String, &Vec<Marked>)| {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            marks.iter().for_each(|mark| *counts.entry(&mark.truth).or_default() += 1);
            // The first in alphabetical order among equals.
            let (answer, most) =
                counts.iter().fold(("", 0), |best, (answer, &n)| if n > best.1 { (*answer, n) } else { best });
            let n = marks.len();
            KindScore {
                kind: kind.clone(),
                questions: n,
                accuracy: marks.iter().filter(|mark| mark.said == mark.truth).count() as f64 / n as f64,
                majority: most as f64 / n as f64,
                majority_answer: answer.into(),
            }
        };
        QuizReport { kinds: self.said.iter().map(score).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_stands_beside_the_majority_answer() {
        let mut quiz = Quiz::default();
        for (said, truth) in [("Red", "red"), ("red", "green"), ("green ", "green"), ("green", "green")] {
            quiz.mark("light", said, truth);
        }
        quiz.mark("count", "two", "three");
        let report = quiz.report();
        assert_eq!(report.kinds[0].kind, "count");
        let light = &report.kinds[1];
        assert_eq!((light.accuracy, light.majority, light.majority_answer.as_str()), (0.75, 0.75, "green"));
        assert_eq!(report.beaten(), 0);
        assert_eq!(quiz.answers("count"), [Marked { said: "two".into(), truth: "three".into() }]);
        assert!(quiz.answers("weather").is_empty());
        assert_eq!(report.means(), Some([0.375, 0.875]));
    }
}
