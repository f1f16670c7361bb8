//! A teacher's answers as class labels: the control that asks whether the form of language adds anything to its content.
//!
//! Only questions with few different answers can be labels. Which those are is read off the corpus, so nothing here knows the
//! questions. The teacher answers them in words, from the observation alone; the words are looked up.

use crate::{Guide, Prompt, Question, Tap, Teacher, TeacherError};
use apprentice_data::{Part, WorldSet};
use apprentice_planner::{Inputs, StudentConfig};
use std::collections::{BTreeMap, BTreeSet};
use tch::{Device, Tensor};

/// More different answers than this are no classes.
const MOST_ANSWERS: usize = 16;
/// Corpus samples that are looked at.
const SAMPLES: usize = 3000;

/// A type of question whose answers are classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerKind {
    /// How it is asked.
    pub question: Question,
    /// Its answers, in alphabetical order.
    pub answers: Vec<String>,
}

/// The types of question of a corpus whose answers are classes, in alphabetical order.
///
/// # Errors
/// When a sample cannot be read, or no type is left.
pub fn answer_kinds(set: &WorldSet) -> Result<Vec<AnswerKind>, TeacherError> {
    let ids = set.ids(Part::Corpus);
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for id in ids.iter().step_by(ids.len().div_ceil(SAMPLES).max(1)) {
        for qa in &set.sample(id)?.language {
            let (question, answers) =
                found.entry(qa.kind.clone()).or_insert_with(|| (qa.question.clone(), BTreeSet::new()));
            if qa.question < *question {
                question.clone_from(&qa.question);
            }
            answers.insert(qa.answer.clone());
        }
    }
    let kinds: Vec<_> = found
        .into_iter()
        .filter(|(_, (_, answers))| (2..=MOST_ANSWERS).contains(&answers.len()))
        .map(|(kind, (question, answers))| AnswerKind {
            question: Question::new(&kind, &question),
            answers: answers.into_iter().collect(),
        })
        .collect();
    match kinds.is_empty() {
        true => Err(TeacherError::Config { reason: "answers: no question of the corpus has few answers".into() }),
        false => Ok(kinds),
    }
}

/// A teacher that is asked. Its one tap is [`Tap::Answers`].
pub struct Answering<'a> {
    teacher: &'a Teacher,
    kinds: &'a [AnswerKind],
    prompts: Vec<Prompt>,
}

impl<'a> Answering<'a> {
    /// Ask `teacher` these types of question.
    ///
    /// # Errors
    /// When its tokenizer cannot read one.
    pub fn new(teacher: &'a Teacher, kinds: &'a [AnswerKind]) -> Result<Self, TeacherError> {
        let ask = |kind: &AnswerKind| Prompt::ask(&teacher.tokenizer, &kind.question);
        Ok(Self { teacher, kinds, prompts: kinds.iter().map(ask).collect::<Result<_, _>>()? })
    }
}

impl Guide for Answering<'_> {
    fn vision(&self) -> &StudentConfig {
        &self.teacher.config.vision
    }

    fn shape(&self, tap: Tap) -> Option<Vec<usize>> {
        (tap == Tap::Answers).then(|| vec![self.kinds.len()])
    }

    /// The class of every answer, −1 for words that are none.
    fn taste(&self, inputs: &Inputs, taps: &[Tap]) -> Vec<Tensor> {
        let (_, tokens) = self.teacher.see(inputs, false);
        let batch = tokens.size()[0] as usize;
        let questions: Vec<_> = (0..batch).flat_map(|row| self.prompts.iter().map(move |p| (row, p))).collect();
        let said = self.teacher.answer(&tokens, &questions).expect("a tokenizer writes what it has learned");
        let class = |(i, words): (usize, &String)| {
            let answers = &self.kinds[i % self.kinds.len()].answers;
            answers.iter().position(|a| a == words).map_or(-1.0, |class| class as f32)
        };
        let classes: Vec<f32> = said.iter().enumerate().map(class).collect();
        let classes = Tensor::from_slice(&classes).reshape([batch as i64, -1]);
        taps.iter().map(|_| classes.shallow_clone()).collect()
    }

    fn device(&self) -> Device {
        self.teacher.vs.device()
    }
}
