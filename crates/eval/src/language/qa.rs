//! NuScenes-QA: exact match of short answers, by question type and hop (`src/execution/result_eval.py`).

use crate::EvalError;
use crate::sheet::{Coverage, Metric, Part, Row, Rules, Sheet};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Question types, in the order of the field's tables.
pub const TYPES: [&str; 5] = ["exist", "count", "object", "status", "comparison"];

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Question {
    /// Sample it is about.
    pub sample_token: String,
    /// The question.
    pub question: String,
    /// The answer; the files also hold bare numbers.
    #[serde(deserialize_with = "text_or_number")]
    pub answer: String,
    /// One of [`TYPES`].
    pub template_type: String,
    /// 0 or 1.
    pub num_hop: u8,
}

/// What a model says to a question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Answer {
    /// Sample it is about.
    pub sample_token: String,
    /// The question.
    pub question: String,
    /// The answer.
    #[serde(deserialize_with = "text_or_number")]
    pub answer: String,
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(serde::de::Error::custom(format!("expected text or a number, found {other}"))),
    }
}

/// Read `NuScenes_{train,val}_questions.json`.
///
/// # Errors
/// Names the question that is not one.
pub fn read_questions(file: &str, text: &str) -> Result<Vec<Question>, EvalError> {
    let document: Value = crate::json::read(file, text)?;
    let list = document
        .get("questions")
        .and_then(Value::as_array)
        .ok_or_else(|| EvalError::field(file, "questions", "expected a list, found none"))?;
    let questions = list.iter().enumerate().map(|(i, value)| {
        let at = format!("questions[{i}]");
        let question = Question::deserialize(value).map_err(|e| EvalError::field(file, &at, e.to_string()))?;
        if !TYPES.contains(&question.template_type.as_str()) {
            let message = format!("expected one of {}, found `{}`", TYPES.join(", "), question.template_type);
            return Err(EvalError::field(file, format!("{at}.template_type"), message));
        }
        if question.num_hop > 1 {
            return Err(EvalError::field(
                file,
                format!("{at}.num_hop"),
                format!("expected 0 or 1, found {}", question.num_hop),
            ));
        }
        Ok(question)
    });
    let questions: Vec<Question> = questions.collect::<Result<_, _>>()?;
    if questions.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(questions) }
}

/// Read answers: JSON lines of [`Answer`].
///
/// # Errors
/// Names the line that is not one.
pub fn read_answers(file: &str, text: &str) -> Result<Vec<Answer>, EvalError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let answers: Vec<Answer> =
        lines.map(|(i, line)| crate::json::read_line(file, i + 1, line)).collect::<Result<_, _>>()?;
    if answers.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(answers) }
}

/// Score answers.
///
/// # Errors
/// When an answer is to a question that was not asked.
pub fn score(
    (file, text): (&str, &str),
    questions: &[Question],
    (subject, answers): (&str, &[Answer]),
) -> Result<Sheet, EvalError> {
    let mut given: HashMap<(&str, &str), VecDeque<&str>> = HashMap::new();
    for answer in answers {
        given.entry((&answer.sample_token, &answer.question)).or_default().push_back(&answer.answer);
    }
    let mut sheet = Sheet::new(&Rules::named("nuscenes-qa")?, subject, file, text.as_bytes());
    sheet.columns = vec!["correct".into()];
    sheet.coverage = Coverage { asked: questions.len(), ..Coverage::default() };
    // (type, hop) → correct, asked
    let mut tally: BTreeMap<(usize, u8), [usize; 2]> = BTreeMap::new();
    for (i, question) in questions.iter().enumerate() {
        let answer = given.get_mut(&(&*question.sample_token, &*question.question)).and_then(VecDeque::pop_front);
        match answer {
            Some(_) => sheet.coverage.answered += 1,
            None => sheet.coverage.miss("no answer"),
        }
        let correct = answer == Some(question.answer.as_str());
        let kind = TYPES.iter().position(|t| *t == question.template_type).unwrap_or(0);
        let counts = tally.entry((kind, question.num_hop)).or_default();
        counts[0] += usize::from(correct);
        counts[1] += 1;
        sheet.rows.push(Row {
            id: format!("{}#{i}", question.sample_token),
            cluster: question.sample_token.clone(),
            values: vec![f64::from(u8::from(correct))],
        });
    }
    if let Some(((sample, question), _)) =
        given.iter().filter(|(_, left)| !left.is_empty()).min_by_key(|(key, _)| **key)
    {
        let message = format!("sample {sample}: `{question}` is not among the questions, or is answered too often");
        return Err(EvalError::field(subject, "question", message));
    }
    let share = |name: &str, such: &dyn Fn(usize, u8) -> bool| {
        let counts = tally.iter().filter(|((kind, hop), _)| such(*kind, *hop));
        let (correct, asked) = counts.fold((0, 0), |(c, a), (_, n)| (c + n[0], a + n[1]));
        let metric = if asked == 0 { Metric::absent(name) } else { Metric::new(name, correct as f64 / asked as f64) };
        (metric, asked)
    };
    sheet.metrics =
        vec![share("H0", &|_, hop| hop == 0).0, share("H1", &|_, hop| hop == 1).0, share("accuracy", &|_, _| true).0];
    sheet.parts = TYPES
        .iter()
        .enumerate()
        .map(|(k, name)| Part {
            name: (*name).into(),
            items: share("", &|kind, _| kind == k).1,
            metrics: vec![
                share("H0", &|kind, hop| kind == k && hop == 0).0,
                share("H1", &|kind, hop| kind == k && hop == 1).0,
                share("accuracy", &|kind, _| kind == k).0,
            ],
        })
        .filter(|part| part.items > 0)
        .collect();
    Ok(sheet)
}
