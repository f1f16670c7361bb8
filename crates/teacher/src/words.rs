//! Text for and from general models, told apart by type: what may be read where a driver is judged, and what may not.
//!
//! [`OpenText`] holds nothing that a driver could not know: a fixed question, filled in with the route's command and the ego's
//! speed ([`Observed`]), or what a model said when it was asked with open text and pictures. [`TruthText`] may know the truth:
//! captions that the world wrote about itself, answers corrected by labels (VLM-E2E). A `TruthText` never becomes an
//! `OpenText`, and everything that reads text at test time takes `OpenText`:
//!
//! ```compile_fail
//! use apprentice_teacher::words::{OpenText, TruthText};
//! fn leak(truth: TruthText) -> OpenText {
//!     truth.into()
//! }
//! ```
//!
//! ```compile_fail
//! use apprentice_core::sample::QuestionAnswer;
//! use apprentice_teacher::words::OpenText;
//! fn leak(truth: &QuestionAnswer) -> OpenText {
//!     OpenText::new(&truth.answer)
//! }
//! ```
//!
//! The second does not compile because an open text is made from words in the program (`&'static str`), from the user's command
//! line ([`OpenText::typed`], which is given no sample), or from a model's mouth ([`OpenText::said`]).

use apprentice_core::sample::{AgentClass, LightState, QuestionAnswer};
use apprentice_core::{Command, Sample};
use std::collections::BTreeSet;

/// What a driver knows of itself beside its pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// From the route ahead.
    pub command: Command,
    /// Forward speed, m/s.
    pub speed_mps: f32,
}

impl Observed {
    /// Leave the labels behind.
    pub fn of(sample: &Sample) -> Self {
        Self { command: sample.command, speed_mps: sample.ego.speed_mps }
    }
}

/// Text without ground truth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenText(String);

impl OpenText {
    /// Words of the program.
    pub fn new(words: &'static str) -> Self {
        Self(words.into())
    }

    /// Words of the user, who has seen no sample when they are typed.
    pub fn typed(words: &str) -> Self {
        Self(words.into())
    }

    /// What a model said that was told nothing but open text.
    pub fn said(_asked: &OpenText, words: &str) -> Self {
        Self(words.into())
    }

    /// With `{command}` and `{speed}` filled in.
    pub fn about(&self, observed: &Observed) -> Self {
        let speed = format!("{:.0}", observed.speed_mps * 3.6);
        Self(self.0.replace("{command}", observed.command.words()).replace("{speed}", &speed))
    }

    /// Put into a model's frame: `{question}` and `{images}` of the frame are filled in.
    pub fn framed(&self, frame: &OpenText, images: &str) -> Self {
        Self(frame.0.replace("{images}", images).replace("{question}", &self.0))
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A model's free speech made fit for an encoder: white space is one blank, what stands after the last full sentence is
    /// cut (an answer that was cut short), a sentence counts once, and a question that is only repeated is left out. What is
    /// wrong stays wrong: no label is consulted.
    pub fn cleaned(&self, asked: &OpenText) -> Self {
        let mut said = BTreeSet::new();
        let echo = plain(asked.as_str());
        let all = sentences(&self.0);
        let whole = all.iter().filter(|s| s.ends_with(['.', '!', '?'])).count();
        let kept: Vec<&str> = all
            .iter()
            // A text without any full sentence is kept as it is.
            .filter(|s| whole == 0 || s.ends_with(['.', '!', '?']))
            .filter(|s| plain(s) != echo && said.insert(plain(s)))
            .map(String::as_str)
            .collect();
        Self(kept.join(" "))
    }

    /// With what the route asks for, which a driver knows.
    pub fn with_command(&self, observed: &Observed) -> Self {
        Self(joined(&self.0, observed.command))
    }
}

/// Text that may know the truth: for training alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TruthText(String);

impl TruthText {
    /// What the world says about itself.
    pub fn answer(truth: &QuestionAnswer) -> Self {
        Self(truth.answer.clone())
    }

    /// A caption cleaned with labels, as VLM-E2E does it (its exact rules are not published): sentences about people, cyclists
    /// or vehicles go when no camera shows one, and about the colour of a light when it is another one; then the true
    /// manoeuvre is added. `visible_pixels` is from how many on a thing counts as seen.
    pub fn corrected(said: &OpenText, truth: &Sample, visible_pixels: u32) -> Self {
        let seen = |is: &dyn Fn(AgentClass) -> bool| {
            truth.agents.iter().any(|a| a.visible_pixels >= visible_pixels && is(a.class))
        };
        let wheels = |c| matches!(c, AgentClass::Bicycle | AgentClass::Motorcycle);
        let people = seen(&|c| c == AgentClass::Pedestrian);
        let cyclists = seen(&wheels);
        let vehicles = seen(&|c: AgentClass| c.is_vehicle() && !wheels(c));
        let colour = match truth.light {
            LightState::None => None,
            LightState::Green => Some("green"),
            LightState::Yellow => Some("yellow"),
            LightState::Red => Some("red"),
        };
        let right = |sentence: &String| {
            let words: BTreeSet<String> = plain(sentence).split(' ').map(str::to_string).collect();
            let names = |list: &[&str]| list.iter().any(|word| words.contains(*word));
            let light = names(&["light", "lights", "signal"]);
            let said_colour = ["green", "yellow", "red"].into_iter().find(|c| words.contains(*c));
            (people || !names(&["pedestrian", "pedestrians", "person", "people", "man", "woman", "child", "children"]))
                && (cyclists || !names(&["bicycle", "bicycles", "cyclist", "cyclists", "bike", "motorcycle", "rider"]))
                && (vehicles
                    || !names(&["car", "cars", "vehicle", "vehicles", "truck", "bus", "van", "traffic"])
                    || light)
                && !(light && said_colour.is_some() && said_colour != colour)
        };
        let kept: Vec<String> = sentences(&said.0).into_iter().filter(right).collect();
        Self(joined(&kept.join(" "), truth.command))
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn joined(text: &str, command: Command) -> String {
    format!("{text} The route says: {}.", command.words()).trim().to_string()
}

/// Small letters, digits and single blanks.
fn plain(text: &str) -> String {
    let letters: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Sentences with their full stops; the last one may have none.
fn sentences(text: &str) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = vec![];
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let ends =
            matches!(c, '.' | '!' | '?') && !text[at + c.len_utf8()..].starts_with(|n: char| n.is_alphanumeric());
        if ends {
            out.push(text[start..at + c.len_utf8()].trim().to_string());
            start = at + c.len_utf8();
        }
    }
    if !text[start..].trim().is_empty() {
        out.push(text[start..].trim().to_string());
    }
    out.retain(|s| !plain(s).is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::sample::{AgentLabel, SampleId, Tier};
    use apprentice_core::{EgoState, HORIZON_STEPS, Trajectory};

    fn sample(command: Command, agents: Vec<AgentLabel>, light: LightState) -> Sample {
        Sample {
            id: SampleId { world: "w".into(), index: 0 },
            tier: Tier::Common,
            family: "Cruise".into(),
            time_s: 0.0,
            ego: EgoState { speed_mps: 5.0, ..EgoState::default() },
            command,
            future: Trajectory::constant_speed(1.0),
            future_steps: 6,
            agents,
            map: vec![],
            light,
            language: vec![QuestionAnswer { kind: "k".into(), question: "q?".into(), answer: "the truth".into() }],
        }
    }

    fn walker(visible_pixels: u32) -> AgentLabel {
        AgentLabel {
            id: 1,
            class: AgentClass::Pedestrian,
            center_in_ego: [9.0, 0.0, 0.9],
            size_m: [0.6, 0.6, 1.8],
            yaw_rad: 0.0,
            velocity_in_ego_mps: [0.0, 0.0],
            visible_pixels,
            future_in_ego: [[9.0, 0.0]; HORIZON_STEPS],
            future_yaw_rad: [0.0; HORIZON_STEPS],
            future_steps: 6,
        }
    }

    #[test]
    fn open_text_is_a_function_of_what_a_driver_knows() {
        let frame = OpenText::new("USER: {images} {question} ASSISTANT:");
        let ask = OpenText::new("we drive {speed} km/h and {command}. what now?");
        let text = |s: &Sample| ask.about(&Observed::of(s)).framed(&frame, "<image>");
        let a = sample(Command::Left, vec![walker(90)], LightState::Red);
        let mut b = sample(Command::Left, vec![], LightState::Green);
        b.language[0].answer = "something else".into();
        b.future = Trajectory::constant_speed(9.0);
        // Labels, future and language differ; the prompt does not.
        assert_eq!(text(&a), text(&b));
        assert_eq!(text(&a).as_str(), "USER: <image> we drive 18 km/h and turn left. what now? ASSISTANT:");
    }

    #[test]
    fn cleaning_cuts_repeats_and_loose_ends() {
        let asked = OpenText::new("What do you see?");
        let said = |words| OpenText::said(&asked, words);
        let rough = said("What do you see?  A red car is\n2.5 m ahead. A  red car is 2.5 m ahead. The light is gre");
        assert_eq!(rough.cleaned(&asked).as_str(), "A red car is 2.5 m ahead.");
        assert_eq!(said("a street with cars").cleaned(&asked).as_str(), "a street with cars");
        assert_eq!(said(" ... ").cleaned(&asked).as_str(), "");
    }

    #[test]
    fn only_the_truth_corrects_what_was_seen_wrongly() {
        let asked = OpenText::new("caption");
        let said = OpenText::said(&asked, "A person crosses. The light is green. The road is wet.");
        let truth = sample(Command::Right, vec![walker(3)], LightState::Red);
        let corrected = TruthText::corrected(&said, &truth, 12);
        assert_eq!(corrected.as_str(), "The road is wet. The route says: turn right.");
        let seen = sample(Command::Right, vec![walker(40)], LightState::Green);
        let kept = "A person crosses. The light is green. The road is wet. The route says: turn right.";
        assert_eq!(TruthText::corrected(&said, &seen, 12).as_str(), kept);
        // Without labels nothing is corrected.
        assert_eq!(said.cleaned(&asked).with_command(&Observed::of(&truth)).as_str(), kept);
        assert_eq!(TruthText::answer(&truth.language[0]).as_str(), "the truth");
    }
}
