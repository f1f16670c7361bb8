//! Caption metrics against pycocoevalcap 1.2 (`bench/fixtures/captions_fixtures.py`), and what real answers do to them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use apprentice_eval::language::captions::{read_pairs, score};
use apprentice_eval::language::{MeteorFiles, Pair, Splitting, drivelm, tokenize};
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../bench/fixtures/captions/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn pairs() -> Vec<Pair> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(fixture("pairs.jsonl.gz").as_slice()).read_to_string(&mut text).unwrap();
    read_pairs("pairs.jsonl", &text).unwrap()
}

fn meteor_files() -> Option<MeteorFiles> {
    let folder = format!("{}/../../.pycocoevalcap/pycocoevalcap/meteor", env!("CARGO_MANIFEST_DIR"));
    let files = MeteorFiles::find(&PathBuf::from(folder));
    if let Err(error) = &files {
        println!("SKIPPED: {error}; `cargo xtask setup --captions` fetches it");
    }
    files.ok()
}

fn close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-6, "{what}: {found} against {expected}");
}

#[test]
fn bleu_rouge_and_cider_are_those_of_pycocoevalcap() {
    let expected: Value = serde_json::from_slice(&fixture("scores.json")).unwrap();
    let pairs = pairs();
    assert!(pairs.len() >= 1000);
    let scores = score(&pairs, Splitting::PennTreebank, None).unwrap();
    for n in 0..4 {
        close(scores.bleu[n], &expected["bleu"][n], "BLEU");
    }
    close(scores.rouge_l, &expected["rouge_l"], "ROUGE-L");
    close(scores.cider, &expected["cider"], "CIDEr-D");
    for (i, each) in scores.each.iter().enumerate() {
        close(each.cider, &expected["ciders"][i], &format!("CIDEr-D of pair {i}"));
    }
}

#[test]
fn meteor_is_that_of_pycocoevalcap() {
    let Some(files) = meteor_files() else { return };
    let expected: Value = serde_json::from_slice(&fixture("scores.json")).unwrap();
    let scores = score(&pairs(), Splitting::PennTreebank, Some(&files)).unwrap();
    close(scores.meteor.unwrap(), &expected["meteor"], "METEOR");
    for (i, each) in scores.each.iter().enumerate() {
        close(each.meteor.unwrap(), &expected["meteors"][i], &format!("METEOR of pair {i}"));
    }
}

#[test]
fn tokens_are_those_of_the_penn_treebank() {
    // What Stanford CoreNLP 3.4.1 gives, punctuation dropped.
    for (caption, tokens) in [
        ("It's 5 p.m. in the U.S. The light is red.", "it 's 5 p.m. in the u.s. the light is red"),
        ("Don't stop (yet)!", "do n't stop -lrb- yet -rrb-"),
        ("<c1,CAM_BACK,1088.3,497.5> cannot", "< c1 cam_back ,1088.3,497.5 > can not"),
        ("½ of AT&amp;T's \u{201c}e-scooters\u{201d} – for £5", "1/2 of at&t 's e-scooters for # 5"),
        ("at 12:30, 1 1/2 km", "at 12:30 1\u{a0}1/2 km"),
        ("O'Brien said: \"y'all 're gonna go...\"", "o'brien said y' all 're gon na go"),
        ("", ""),
    ] {
        assert_eq!(tokenize(&[caption]), [tokens], "{caption}");
    }
    // One stream: how a line ends depends on how the next begins. A line break inside a caption is a space.
    assert_eq!(tokenize(&["by Foo Inc.", "a\u{2028}b\u{c}c"]), ["by foo inc.", "a b c"]);
}

#[test]
fn any_text_has_tokens_and_no_panic() {
    let rng = &mut apprentice_core::Rng::new(&[4]);
    let alphabet: Vec<char> =
        "abIN.,;:'\"`-_/\\&<>()[]{}!?@#$%^*+=|~ 159\n\u{ad}\u{a0}é½…–—’‘“”€日😀\u{2028}n't&amp;&#;www.com"
            .chars()
            .collect();
    let count = if std::env::var("APPRENTICE_TEST_FULL").as_deref() == Ok("1") { 100_000 } else { 3_000 };
    let lines: Vec<String> =
        (0..count).map(|_| (0..rng.below(24)).map(|_| alphabet[rng.below(alphabet.len())]).collect()).collect();
    let tokens = tokenize(&lines);
    assert_eq!(tokens.len(), lines.len());
    assert!(tokens.iter().all(|line| !line.contains('\n') && line.trim_end() == line));
}

fn drivelm_file() -> Option<String> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("APPRENTICE_SHARED_DATA").map_or(beside, PathBuf::from);
    let file = root.join("drivelm/test.json");
    if !file.is_file() {
        println!("SKIPPED: no real data at {}", file.display());
    }
    std::fs::read_to_string(file).ok()
}

#[test]
fn drivelm_answers_score_as_they_should() {
    let Some(text) = drivelm_file() else { return };
    let questions = drivelm::read_questions("test.json", &text).unwrap();
    let truth = questions.iter().map(|q| (q.id.clone(), q.answer.clone())).collect();
    let perfect = drivelm::score(("test.json", &text), &questions, ("truth", &truth)).unwrap();
    assert!(perfect.coverage.is_whole());
    assert_eq!(perfect.metric("accuracy"), Some(1.0));
    assert!(perfect.metric("match F1").unwrap() > 0.999 && perfect.metric("BLEU-4").unwrap() > 0.999);
    // Without the objects' coordinates, later questions about them do not count.
    let lost = questions.iter().map(|q| (q.id.clone(), "There is nothing.".to_string())).collect();
    let poor = drivelm::score(("test.json", &text), &questions, ("nothing", &lost)).unwrap();
    assert!(poor.metric("accuracy").is_none_or(|a| a < 0.1), "{:?}", poor.metrics);
    let counted = |remarks: &[String]| remarks[0].split(' ').next().unwrap().parse::<usize>().unwrap();
    assert!(counted(&poor.remarks) < counted(&perfect.remarks), "{:?} {:?}", poor.remarks, perfect.remarks);
    let missing = drivelm::score(("test.json", &text), &questions, ("none", &Default::default())).unwrap();
    assert!(!missing.coverage.is_whole());
}
