//! `harvest` of published models through the program: priced, run, run again, and refused with a reason.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../cli/tests/common/mod.rs"]
mod common;
mod small;

use apprentice_teacher::GuidanceCache;
use common::{refused, succeed};
use small::{PROGRAM, Stage, TEACHER, published, short};

#[test]
fn a_vision_language_model_answers_about_the_worlds_pictures() {
    let stage = Stage::worlds();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let llava = published("llava");
    let base =
        ["harvest", "--teacher", &llava, "--data", &stage.data, "--out", "g", "--size", "64x36", "--store", "f32"];
    let taken = ["--layers", "all", "--places", "said", "--stop-after", "3", "--answers", "--prompt", "{command}?"];
    let words = [&base[..], &taken[..], &["--limit", "70"]].concat();
    let price = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&succeed(PROGRAM, &[words, &["--dry-run", "--json"]].concat(), folder)).unwrap()
    };
    let before = price(&words);
    assert_eq!((before["samples"].as_u64(), before["missing"].as_u64()), (Some(70), Some(70)), "{before}");
    assert_eq!(before["misses"][0]["why"], "not harvested yet");
    assert!(before["seconds"].as_f64().unwrap() > 0.0);
    assert!(!folder.join("g").exists(), "a dry run writes nothing");
    let human = succeed(PROGRAM, &[&words[..], &["--dry-run"]].concat(), folder);
    assert!(
        human.contains("GB") && human.contains(" h ") && human.contains("70 missing: not harvested yet"),
        "{human}"
    );

    let done: serde_json::Value =
        serde_json::from_str(&succeed(PROGRAM, &[&words[..], &["--json"]].concat(), folder)).unwrap();
    assert_eq!(done["taps"][0]["tap"], "hidden.prompt");
    let cache = GuidanceCache::open(&folder.join("g/hidden.prompt")).unwrap();
    assert_eq!((cache.len(), &cache.spec().shape[..]), (70, &[3, 3, 32][..]));
    let answers = GuidanceCache::open(&folder.join("g/answer.prompt")).unwrap();
    let said = answers.samples().filter(|id| answers.text(id).unwrap().is_some()).count();
    assert!(said > 60, "{said} answers");
    let again = succeed(PROGRAM, &[&words[..], &["--json"]].concat(), folder);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&again).unwrap(), done);
    assert_eq!(price(&words)["missing"], 0);

    // More samples keep the whole shards; what was made for something else is told apart, with the reason.
    let more = [&base[..], &taken[..], &["--limit", "100"]].concat();
    assert_eq!(price(&more)["missing"].as_u64(), Some(100 - 64));
    let other = [&words[..], &["--appearance", "4"]].concat();
    let why = price(&other)["misses"][0]["why"].as_str().unwrap().to_string();
    assert!(why.contains("augmentation") && why.contains("appearance-"), "{why}");
    refused(PROGRAM, &other, folder, &["guidance.json", "augmentation"]);
    let asked = [&base[..], &taken[..7], &["--prompt", "why?", "--limit", "70"]].concat();
    refused(PROGRAM, &asked, folder, &["guidance.json", "prompt"]);

    // What was said becomes an encoder's vectors; labels do not where drivers are judged.
    let clip = published("clip");
    let embed = ["harvest", "--teacher", &clip, "--data", &stage.data, "--size", "64x36", "--limit", "70"];
    let texts = "said:g/answer.prompt,corrected:g/answer.prompt,world:describe";
    succeed(PROGRAM, &[&embed[..], &["--out", "c", "--texts", texts]].concat(), folder);
    let knows = |tap: &str| GuidanceCache::open(&folder.join("c").join(tap)).unwrap().spec().knows_truth;
    assert!(
        !knows("text-embedding.said") && knows("text-embedding.corrected") && knows("text-embedding.world.describe")
    );
    let held_out = [&embed[..], &["--out", "d", "--part", "design", "--texts", "world:describe"]].concat();
    refused(PROGRAM, &held_out, folder, &["world:describe", "design"]);
    succeed(PROGRAM, &[&embed[..], &["--out", "e", "--part", "design", "--cameras", "all"]].concat(), folder);
    assert_eq!(GuidanceCache::open(&folder.join("e/image-embedding")).unwrap().spec().shape, [6, 20]);

    for (extra, word) in [
        (&["--layers", "9"][..], "0 to 2"),
        (&["--layers", "none"][..], "layers"),
        (&["--cameras", "roof"][..], "roof"),
        (&["--questions", "weather"][..], "attention"),
        (&["--size", "big"][..], "--size"),
        (&["--part", "night"][..], "night"),
        (&["--texts", "said:g/answer.prompt"][..], "encoder"),
    ] {
        let out = ["harvest", "--teacher", &llava, "--data", &stage.data, "--out", "h"];
        refused(PROGRAM, &[&out[..], extra].concat(), folder, &[word]);
        assert!(!folder.join("h").exists());
    }
}

#[test]
fn a_teacher_leaves_a_card() {
    let stage = Stage::worlds();
    let place = tempfile::tempdir().unwrap();
    let words = short(&["train", "teacher", "--data", &stage.data, "--out", "t"], TEACHER);
    succeed(PROGRAM, &words, place.path());
    let card = std::fs::read_to_string(place.path().join("t/teacher.md")).unwrap();
    for part in ["Answers, word for word", "| light |", "BLEU-4", "CIDEr-D", "valid-starts", "L2 at 1, 2, 3 s"] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    let scores: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path().join("t/scores.json")).unwrap()).unwrap();
    assert!(scores["captions"].as_u64().unwrap() > 0 && scores["planning"][0]["starts"].as_u64().unwrap() > 0);
}
