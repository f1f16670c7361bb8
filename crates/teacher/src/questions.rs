//! What general models are asked about driving, by the methods that ask it.
//!
//! | set | after | asks |
//! |---|---|---|
//! | `perception`, `prediction`, `planning`, `behaviour` | DriveLM's four stages, as DiMA and NetRoller ask them | what is there, what it will do, what to do, what the ego does |
//! | `attention` | VLM-E2E | a caption of what an attentive driver would watch, about the front camera |
//!
//! The wording is ours: the methods publish the kinds of question, and DriveLM's data are not ours to copy. Placeholders are
//! `{command}` and `{speed}`; nothing else about a sample can enter ([`OpenText`]).

use crate::TeacherError;
use crate::words::{Observed, OpenText};
use apprentice_core::Rng;
use apprentice_core::hash::content_hash;
use apprentice_core::sample::SampleId;

/// A question with its name, which names the folder of its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveQuestion {
    /// Short, of small letters and dashes.
    pub name: String,
    /// With placeholders.
    pub text: OpenText,
}

/// Name of a set, its questions' names and words.
type Set = (&'static str, &'static [(&'static str, &'static str)]);

const SETS: [Set; 5] = [
    (
        "perception",
        &[
            ("objects", "What are the important objects in this scene? Where is each of them, and what is it doing?"),
            ("signals", "Which traffic lights, signs and road markings matter here, and what do they show?"),
            ("conditions", "How are the weather, the light and the road?"),
        ],
    ),
    (
        "prediction",
        &[
            ("motion", "Which road users will move, and where will each of them be in three seconds?"),
            ("crossing", "Who might cross our path, and why?"),
        ],
    ),
    (
        "planning",
        &[
            ("action", "We drive at {speed} km/h and the route says: {command}. What should we do now, and why?"),
            ("danger", "We drive at {speed} km/h and the route says: {command}. Which actions would be dangerous?"),
        ],
    ),
    (
        "behaviour",
        &[(
            "behaviour",
            "We drive at {speed} km/h and the route says: {command}. Describe what our vehicle does next.",
        )],
    ),
    (
        "attention",
        &[(
            "attention",
            "Describe what an attentive driver would watch in this view: people, vehicles, lights, signs and the road ahead.",
        )],
    ),
];

/// What is asked about every sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    questions: Vec<DriveQuestion>,
    /// One question a sample, drawn by this seed, in place of all of them.
    draw: Option<u64>,
}

impl Asking {
    /// The questions of some sets (`all` for every one).
    ///
    /// # Errors
    /// [`TeacherError::Config`] lists the sets there are.
    pub fn sets(names: &[String]) -> Result<Self, TeacherError> {
        let mut questions = vec![];
        for name in names {
            let found: Vec<_> = SETS.iter().filter(|(set, _)| name == "all" || name == set).collect();
            if found.is_empty() {
                let known: Vec<_> = SETS.iter().map(|(set, _)| *set).collect();
                let reason = format!("questions: there is no set `{name}`, only {} and all", known.join(", "));
                return Err(TeacherError::Config { reason });
            }
            for (name, text) in found.into_iter().flat_map(|(_, list)| list.iter()) {
                let question = DriveQuestion { name: (*name).into(), text: OpenText::new(text) };
                if !questions.contains(&question) {
                    questions.push(question);
                }
            }
        }
        Ok(Self { questions, draw: None })
    }

    /// A question of the user's own.
    pub fn own(text: &str) -> Self {
        Self { questions: vec![DriveQuestion { name: "prompt".into(), text: OpenText::typed(text) }], draw: None }
    }

    /// One question a sample, drawn at random (NetRoller).
    #[must_use]
    pub fn drawn(self, seed: u64) -> Self {
        Self { draw: Some(seed), ..self }
    }

    /// Questions a sample is asked, by name: all of them, or one called `drawn`.
    pub fn names(&self) -> Vec<String> {
        match self.draw {
            Some(_) => vec!["drawn".into()],
            None => self.questions.iter().map(|q| q.name.clone()).collect(),
        }
    }

    /// The words of the `index`-th question of [`Asking::names`] to a sample.
    pub fn ask(&self, index: usize, sample: &SampleId, observed: &Observed) -> OpenText {
        let chosen = match self.draw {
            None => index,
            Some(seed) => {
                let hash = content_hash(sample.to_string().as_bytes());
                let key = u64::from_str_radix(&hash[..16], 16).unwrap_or(0);
                Rng::new(&[seed, 0x00a5_c000, key]).below(self.questions.len())
            }
        };
        self.questions[chosen].text.about(observed)
    }

    /// Everything that decides the words of the `index`-th question, for keys.
    pub fn identity(&self, index: usize) -> String {
        match self.draw {
            None => self.questions[index].text.as_str().into(),
            Some(seed) => {
                let all: Vec<_> = self.questions.iter().map(|q| q.text.as_str()).collect();
                format!("drawn by {seed} from\n{}", all.join("\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::Command;

    #[test]
    fn sets_are_asked_whole_or_drawn_and_words_decide_the_identity() {
        let all = Asking::sets(&["all".into()]).unwrap();
        let names = all.names();
        assert_eq!(names.len(), 9);
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 9);
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        let observed = Observed { command: Command::Left, speed_mps: 10.0 };
        let id = |i| SampleId { world: "w".into(), index: i };
        let asked = all.ask(names.iter().position(|n| n == "action").unwrap(), &id(0), &observed);
        assert!(asked.as_str().starts_with("We drive at 36 km/h and the route says: turn left."));
        let drawn = all.clone().drawn(7);
        assert_eq!(drawn.names(), ["drawn"]);
        let words = |a: &Asking| (0..60).map(|i| a.ask(0, &id(i), &observed)).collect::<Vec<_>>();
        assert_eq!(words(&drawn), words(&drawn));
        assert_ne!(words(&drawn), words(&all.clone().drawn(8)));
        assert_eq!(words(&drawn).into_iter().collect::<std::collections::BTreeSet<_>>().len(), 9);
        assert_ne!(drawn.identity(0), all.drawn(8).identity(0));
        assert!(Asking::sets(&["weather".into()]).unwrap_err().to_string().contains("attention"));
        assert_eq!(Asking::own("hello?").ask(0, &id(3), &observed).as_str(), "hello?");
    }
}
