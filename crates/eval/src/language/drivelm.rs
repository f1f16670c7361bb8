//! DriveLM-nuScenes: accuracy, coordinate match and language of the challenge's `evaluation.py`.
//!
//! Each key frame is a graph of questions. The first is about the objects; a later one counts when every coordinate in it
//! is a true coordinate that the first answer has found. ChatGPT's part (40 % of the final score, half of the match
//! score) is left out, and so is the final score.

use super::{CaptionScore, Pair, Splitting, captions};
use crate::EvalError;
use crate::sheet::{Metric, Row, Rules, Sheet};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// Parts of a key frame's questions, in the order in which they are numbered.
const STAGES: [&str; 4] = ["perception", "prediction", "planning", "behavior"];
/// L1 distance below which two coordinates are the same, pixels.
const SAME_WITHIN_PX: f64 = 16.0;

/// A question of a key frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// `<scene>_<frame>_<number>`, as the challenge names it.
    pub id: String,
    /// Key frame.
    pub frame: String,
    /// Scene.
    pub scene: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// 0 accuracy, 1 ChatGPT, 2 language, 3 match.
    pub tags: Vec<u8>,
}

/// What a model says to a question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Answer {
    /// [`Question::id`].
    pub id: String,
    /// The answer.
    pub answer: String,
}

/// Read a file of questions with answers and tags (`test_eval.json`).
///
/// # Errors
/// Names what is missing, such as the answers of a file of questions alone.
pub fn read_questions(file: &str, text: &str) -> Result<Vec<Question>, EvalError> {
    let document: Value = crate::json::read(file, text)?;
    let bad = |at: &str, message: &str| EvalError::field(file, at, message);
    let scenes = document.as_object().ok_or_else(|| bad("", "expected an object of scenes"))?;
    let mut questions = Vec::new();
    for (scene, content) in scenes {
        let frames = content.get("key_frames").and_then(Value::as_object);
        for (frame, content) in frames.ok_or_else(|| bad(&format!("{scene}.key_frames"), "expected an object"))? {
            let at = format!("{scene}.{frame}.QA");
            let stages = content.get("QA").ok_or_else(|| bad(&at, "missing"))?;
            let mut number = 0;
            for stage in STAGES {
                let at = format!("{at}.{stage}");
                let list = stages.get(stage).and_then(Value::as_array).ok_or_else(|| bad(&at, "expected a list"))?;
                for entry in list {
                    let field = |name: &str| entry.get(name).ok_or_else(|| bad(&format!("{at}.{name}"), "missing"));
                    let text = |name: &str| {
                        let text = field(name)?.as_str().map(String::from);
                        text.ok_or_else(|| bad(&format!("{at}.{name}"), "expected text"))
                    };
                    let tags = field("tag")?.as_array().map(|tags| tags.iter().map(Value::as_u64).collect());
                    let tags: Option<Vec<u64>> = tags.flatten();
                    let tags = tags.filter(|tags| tags.iter().all(|t| *t <= 3));
                    questions.push(Question {
                        id: format!("{scene}_{frame}_{number}"),
                        frame: frame.clone(),
                        scene: scene.clone(),
                        question: text("Q")?,
                        answer: text("A")?,
                        tags: tags
                            .ok_or_else(|| bad(&format!("{at}.tag"), "expected a list of numbers from 0 to 3"))?
                            .into_iter()
                            .map(|t| t as u8)
                            .collect(),
                    });
                    number += 1;
                }
            }
        }
    }
    if questions.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(questions) }
}

/// Read answers (`output.json`): a list of [`Answer`]s.
///
/// # Errors
/// When it is not such a list, or an id appears twice.
pub fn read_answers(file: &str, text: &str) -> Result<HashMap<String, String>, EvalError> {
    let list: Vec<Answer> = crate::json::read(file, text)?;
    let mut answers = HashMap::new();
    for answer in list {
        if answers.insert(answer.id.clone(), answer.answer).is_some() {
            return Err(EvalError::field(file, answer.id, "is answered twice"));
        }
    }
    if answers.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(answers) }
}

/// Pairs of numbers with a decimal point; a last one without its partner is left out.
fn coordinates(text: &str) -> Vec<[f64; 2]> {
    let bytes = text.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let (mut numbers, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let whole = digits(at);
        if whole == at {
            at += 1;
            continue;
        }
        let end = if bytes.get(whole) == Some(&b'.') { digits(whole + 1) } else { whole };
        if end > whole + 1 {
            numbers.extend(text[at..end].parse::<f64>());
        }
        at = end.max(whole);
    }
    numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
}

/// The true coordinates that an answer has found, and F1.
fn found(answer: &str, truth: &str) -> (Vec<[f64; 2]>, f64) {
    let (said, mut left) = (coordinates(answer), coordinates(truth));
    let (asked, mut matched) = (left.len(), Vec::new());
    for point in &said {
        let distance = |other: &[f64; 2]| (point[0] - other[0]).abs() + (point[1] - other[1]).abs();
        let nearest = left.iter().enumerate().map(|(i, other)| (distance(other), i)).min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, i)) = nearest.filter(|(d, _)| *d < SAME_WITHIN_PX) {
            matched.push(left.remove(i));
        }
    }
    let hits = matched.len() as f64;
    let precision = hits / (said.len() as f64 + 1e-8);
    let recall = hits / (asked as f64 + 1e-8);
    (matched, 2.0 * precision * recall / (precision + recall + 1e-8))
}

/// Score answers.
///
/// # Errors
/// When no question counts.
pub fn score(
    (file, text): (&str, &str),
    questions: &[Question],
    (subject, answers): (&str, &HashMap<String, String>),
) -> Result<Sheet, EvalError> {
    let mut sheet = Sheet::new(&Rules::named("drivelm")?, subject, file, text.as_bytes());
    sheet.coverage.asked = questions.len();
    let (mut exact, mut matches, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut frame, mut graph, mut used) = ("", Vec::new(), 0);
    for question in questions {
        let given = answers.get(&question.id);
        match given {
            Some(_) => sheet.coverage.answered += 1,
            None => sheet.coverage.miss("no answer"),
        }
        let answer = given.map_or("", String::as_str);
        if question.frame == frame {
            if !coordinates(&question.question).iter().all(|point| graph.contains(point)) {
                continue;
            }
        } else {
            frame = &question.frame;
            graph = found(answer, &question.answer).0;
        }
        used += 1;
        for tag in &question.tags {
            match tag {
                0 => exact.push(f64::from(u8::from(answer == question.answer))),
                2 => pairs.push(Pair { candidate: answer.into(), references: vec![question.answer.clone()] }),
                3 => matches.push(found(answer, &question.answer).1),
                _ => {}
            }
        }
    }
    let mean = |name: &str, values: &[f64]| match values.len() {
        0 => Metric::absent(name),
        n => Metric::new(name, values.iter().sum::<f64>() / n as f64),
    };
    sheet.metrics = vec![mean("accuracy", &exact), mean("match F1", &matches)];
    sheet.remarks.push(format!(
        "{used} of {} questions count ({} accuracy, {} match, {} language); ChatGPT's part and the final score are left out",
        questions.len(),
        exact.len(),
        matches.len(),
        pairs.len()
    ));
    if pairs.is_empty() {
        sheet.metrics.push(Metric::absent("language"));
        return Ok(sheet);
    }
    let scores = captions::score(&pairs, Splitting::PennTreebank, None)?;
    let language = scores.bleu.iter().sum::<f64>() / 12.0 + scores.rouge_l / 3.0 + scores.cider / 30.0;
    sheet.metrics.push(Metric::new("language", language));
    sheet.metrics.extend(scores.metrics(""));
    sheet.columns = CaptionScore::columns("", false);
    let each = scores.each.iter().enumerate();
    sheet.rows = each.map(|(i, s)| Row { id: i.to_string(), cluster: i.to_string(), values: s.values() }).collect();
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_numbers_with_a_point_two_by_two() {
        let text = "<c1,CAM_BACK,1088.3,497.5>, 12 and <c2,CAM_FRONT,5.25,8.0> and 3.";
        assert_eq!(coordinates(text), [[1088.3, 497.5], [5.25, 8.0]]);
        assert_eq!(coordinates("1.2.3 7.5"), [[1.2, 7.5]]);
    }

    #[test]
    fn each_true_point_is_found_once() {
        let (points, f1) = found("<c1,X,10.0,10.0> <c2,X,12.0,10.0>", "<c1,X,11.0,10.0>");
        assert_eq!(points, [[11.0, 10.0]]);
        assert!((f1 - 2.0 / 3.0).abs() < 1e-6);
        assert!(found("none", "<c1,X,11.0,10.0>").1.abs() < 1e-6);
    }
}
