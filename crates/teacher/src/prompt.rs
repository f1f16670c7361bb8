//! What a general model is told, apart by type from what is true.
//!
//! A [`Prompt`] is all that a model may read when it is judged or when it guides: a [`Question`], and nothing that
//! holds an answer converts into one with the answer kept. A [`Lesson`] is a prompt with its true answer; only training takes
//! lessons.

use crate::{TeacherError, TextTokenizer};
use apprentice_core::sample::QuestionAnswer;

/// A question without its answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    kind: String,
    text: String,
}

impl Question {
    /// A question of one's own.
    pub fn new(kind: &str, text: &str) -> Self {
        Self { kind: kind.into(), text: text.into() }
    }

    /// Leave the answer behind.
    pub fn of(truth: &QuestionAnswer) -> Self {
        Self::new(&truth.kind, &truth.question)
    }

    /// Type of question.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its words.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What a model reads after the scene: `<user> question <assistant>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    ids: Vec<i64>,
}

impl Prompt {
    /// Ask a question.
    ///
    /// # Errors
    /// When the tokenizer cannot read it.
    pub fn ask(tokenizer: &TextTokenizer, question: &Question) -> Result<Self, TeacherError> {
        let special = tokenizer.special();
        let mut ids = vec![special.user];
        ids.extend(tokenizer.encode(question.text())?);
        ids.push(special.assistant);
        Ok(Self { ids })
    }

    /// Token ids.
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }
}

/// A prompt and its true answer, for training alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    prompt: Prompt,
    answer: Vec<i64>,
}

impl Lesson {
    /// From what the world says about itself.
    ///
    /// # Errors
    /// When the tokenizer cannot read it.
    pub fn new(tokenizer: &TextTokenizer, truth: &QuestionAnswer) -> Result<Self, TeacherError> {
        let mut answer = tokenizer.encode(&truth.answer)?;
        answer.push(tokenizer.special().eos);
        Ok(Self { prompt: Prompt::ask(tokenizer, &Question::of(truth))?, answer })
    }

    /// Prompt and answer in reading order, with the index of the first answer token.
    pub fn ids(&self) -> (Vec<i64>, usize) {
        let mut ids = self.prompt.ids.clone();
        ids.extend_from_slice(&self.answer);
        (ids, self.prompt.ids.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_the_same_whatever_the_answer() {
        let tokenizer = TextTokenizer::train(["what is ahead? a red van", "nothing"].into_iter(), 300).unwrap();
        let truth = |answer: &str| QuestionAnswer {
            kind: "lead".into(),
            question: "what is ahead?".into(),
            answer: answer.into(),
        };
        let prompt = |t: &QuestionAnswer| Prompt::ask(&tokenizer, &Question::of(t)).unwrap();
        assert_eq!(prompt(&truth("a red van")), prompt(&truth("nothing")));
        let (ids, start) = Lesson::new(&tokenizer, &truth("nothing")).unwrap().ids();
        assert_eq!(&ids[..start], prompt(&truth("a red van")).ids());
        assert_eq!(tokenizer.decode(&ids[start..]).unwrap(), "nothing");
        assert_eq!(ids.last(), Some(&tokenizer.special().eos));
    }
}
