//! Benchmarks of sentences by hand, and the places where two definitions disagree.
#![allow(clippy::unwrap_used)]

use apprentice_eval::EvalError;
use apprentice_eval::language::tod3cap::{CaptionedBox, Mode, TrueBox, read_boxes, read_captions, score};
use apprentice_eval::language::{captions, qa};
use apprentice_eval::sheet::{Sheet, compare};

const CAPTIONS: &str = r#"{
    "a": {"final_caption": "a red car stands at the kerb"},
    "b": {"final_caption": "two people wait at the crossing"}
}"#;

fn boxes(entries: &[(&str, [f64; 2], [f64; 3])], key: &str) -> String {
    let entry = |(name, [x, y], [w, l, h]): &(&str, [f64; 2], [f64; 3])| {
        format!(
            "{{\"{key}\": \"{name}\", \"translation\": [{x}, {y}, 0], \"size\": [{w}, {l}, {h}], \"rotation\": [1, 0, 0, 0]}}"
        )
    };
    format!("{{\"s\": [{}]}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn judged(mode: Mode, predicted: &[(&str, [f64; 2], [f64; 3])]) -> Sheet {
    let truth = boxes(&[("a", [0.0, 0.0], [2.0, 4.0, 1.5]), ("b", [20.0, 5.0], [1.0, 1.0, 1.8])], "token");
    let truth = read_boxes::<TrueBox>("truth", &truth, |b| &b.place).unwrap();
    let said = read_boxes::<CaptionedBox>("said", &boxes(predicted, "caption"), |b| &b.place).unwrap();
    score(mode, ("captions", CAPTIONS), &read_captions("captions", CAPTIONS).unwrap(), &truth, ("said", &said), None)
        .unwrap()
}

#[test]
fn the_two_definitions_of_tod3cap_disagree_about_a_box_in_the_wrong_place() {
    let car = [2.0, 4.0, 1.5];
    let there = [("a red car stands at the kerb", [0.0, 0.0], car)];
    let elsewhere = [("a red car stands at the kerb", [50.0, 0.0], car)];
    // One of two true boxes is described, in full.
    let paper = judged(Mode::Paper, &there);
    assert!((paper.metric("ROUGE-L@0.25").unwrap() - 0.5).abs() < 1e-9);
    assert!((paper.metric("BLEU-4@0.5").unwrap() - 0.5).abs() < 1e-6);
    assert_eq!(judged(Mode::Paper, &elsewhere).metric("ROUGE-L@0.25"), Some(0.0));
    // By sizes alone the place does not matter, and the box that nobody described does not count.
    for predicted in [&there, &elsewhere] {
        assert!((judged(Mode::Repo, predicted).metric("ROUGE-L@0.25").unwrap() - 1.0).abs() < 1e-9);
    }
    let error = compare(&paper, &judged(Mode::Repo, &there)).unwrap_err();
    assert!(matches!(&error, EvalError::Incomparable { field, .. } if field.contains("axis")), "{error}");
}

#[test]
fn predictions_below_the_overlap_count_in_the_denominator_of_the_script() {
    let said =
        [("a red car stands at the kerb", [0.0, 0.0], [2.0, 4.0, 1.5]), ("a lorry", [0.0, 0.0], [9.0, 30.0, 9.0])];
    let sheet = judged(Mode::Repo, &said);
    assert!((sheet.metric("ROUGE-L@0.25").unwrap() - 0.5).abs() < 1e-9, "{:?}", sheet.metrics);
    assert!(sheet.remarks[0].starts_with("1 of 2"));
}

fn questions() -> String {
    let entry = |sample: &str, kind: &str, hop: u8, answer: &str| {
        format!(
            "{{\"sample_token\": \"{sample}\", \"question\": \"{kind} {hop}?\", \"answer\": {answer}, \"template_type\": \"{kind}\", \"num_hop\": {hop}}}"
        )
    };
    let entries = [
        entry("s", "exist", 0, "\"yes\""),
        entry("s", "exist", 1, "\"no\""),
        entry("s", "count", 0, "3"),
        entry("t", "count", 0, "\"0\""),
    ];
    format!("{{\"questions\": [{}]}}", entries.join(", "))
}

#[test]
fn questions_are_tallied_by_type_and_hop_and_missing_answers_are_wrong() {
    let text = questions();
    let asked = qa::read_questions("q", &text).unwrap();
    let line = |sample: &str, question: &str, answer: &str| {
        format!("{{\"sample_token\": \"{sample}\", \"question\": \"{question}\", \"answer\": \"{answer}\"}}\n")
    };
    let said = line("s", "exist 0?", "yes") + &line("s", "exist 1?", "yes") + &line("s", "count 0?", "3");
    let sheet = qa::score(("q", &text), &asked, ("a", &qa::read_answers("a", &said).unwrap())).unwrap();
    assert!((sheet.metric("H0").unwrap() - 2.0 / 3.0).abs() < 1e-8);
    assert_eq!((sheet.metric("H1"), sheet.metric("accuracy")), (Some(0.0), Some(0.5)));
    assert_eq!(sheet.coverage.missing.get("no answer"), Some(&1));
    let count = sheet.parts.iter().find(|part| part.name == "count").unwrap();
    assert_eq!((count.items, count.metrics[2].value, count.metrics[1].value), (2, Some(0.5), None));
    // An answer to what was not asked is an error, not a silence.
    let more = said + &line("s", "why?", "yes");
    let error = qa::score(("q", &text), &asked, ("a", &qa::read_answers("a", &more).unwrap())).unwrap_err();
    assert!(error.to_string().contains("why?"));
}

#[test]
fn captions_of_other_references_are_not_compared() {
    let sheet = |candidate: &str, reference: &str| {
        let line = format!("{{\"candidate\": \"{candidate}\", \"references\": [\"{reference}\"]}}\n");
        captions::sheet("f", &line.repeat(4), None).unwrap()
    };
    let (a, b) = (sheet("a car", "the car stops"), sheet("the car stops", "the car stops"));
    let both = compare(&a, &b).unwrap();
    assert!(both.differences.iter().find(|d| d.name == "ROUGE-L").unwrap().difference.mean > 0.3);
    assert!(compare(&a, &sheet("a car", "the bus stops")).unwrap_err().to_string().contains("data"));
}
