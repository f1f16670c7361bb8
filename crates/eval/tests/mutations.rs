//! Readers and damaged files: an error or a result, never a panic. `cargo xtask mutations` runs 100,000 of them and more in the
//! data room, and counts them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use apprentice_core::Rng;
use apprentice_eval::bench2drive::{comfort, read_ticks, score_text};
use apprentice_eval::language::{captions, drivelm, nu_x, qa, tod3cap};
use apprentice_eval::sheet::Sheet;
use apprentice_eval::{PlanningResult, instances, plans, vector_map};
use std::collections::BTreeMap;

/// Whether the text was read.
type Reader = fn(&str) -> bool;

fn readers() -> Vec<(&'static str, String, Reader)> {
    let tick = "{\"acceleration\": [1, 0, 0], \"angular_velocity\": [0, 0, 2], \"forward_vector\": [1, 0, 0], \"right_vector\": [0, 1, 0]}";
    let ticks = format!("{{{}}}", (0..8).map(|i| format!("\"{i}\": {tick}")).collect::<Vec<_>>().join(", "));
    let place = "\"translation\": [1.0, 2.0, 0.5], \"size\": [2.0, 4.0, 1.5], \"rotation\": [1.0, 0.0, 0.0, 0.1]";
    vec![
        ("pairs", "{\"candidate\": \"A car, it's 5 p.m.\", \"references\": [\"the car.\"]}\n".repeat(2), |text| {
            captions::sheet("f", text, None).is_ok()
        }),
        (
            "questions",
            "{\"questions\": [{\"sample_token\": \"s\", \"question\": \"q\", \"answer\": 3, \"template_type\": \"exist\", \"num_hop\": 0}]}".into(),
            |text| {
                qa::read_questions("f", text).is_ok_and(|asked| qa::score(("f", text), &asked, ("s", &[])).is_ok())
            },
        ),
        ("answers", "{\"sample_token\": \"s\", \"question\": \"q\", \"answer\": \"yes\"}\n".repeat(2), |text| {
            qa::read_answers("f", text).is_ok()
        }),
        ("captions of boxes", "{\"a\": {\"final_caption\": \"a car\", \"depth_caption\": {\"depth\": 3}}}".into(), |text| {
            tod3cap::read_captions("f", text).is_ok()
        }),
        ("boxes", format!("{{\"results\": {{\"s\": [{{{place}, \"caption\": \"a car\"}}, {{{place}, \"caption\": \"b\"}}]}}}}"), |text| {
            let Ok(said) = tod3cap::read_boxes::<tod3cap::CaptionedBox>("f", text, |b| &b.place) else { return false };
            let captions = BTreeMap::from([("t".to_string(), "the car".to_string())]);
            let first = said.values().flatten().next().map(|b| b.place);
            let truth = said.keys().map(|s| {
                let boxes = first.iter().map(|place| tod3cap::TrueBox { token: "t".into(), place: *place }).collect();
                (s.clone(), boxes)
            });
            let truth = truth.collect();
            let modes = [tod3cap::Mode::Paper, tod3cap::Mode::Repo];
            let score = |mode| tod3cap::score(mode, ("f", text), &captions, &truth, ("s", &said), None).is_ok();
            modes.map(score).contains(&true)
        }),
        ("accounts", "{\"s\": {\"narration\": \"the car stops\", \"reasoning\": \"a light\"}}".into(), |text| {
            nu_x::read::<nu_x::Account>("f", text).is_ok_and(|accounts| {
                let said = accounts.keys().map(|k| (k.clone(), format!("Narration: {k}. Reasoning: {text}."))).collect();
                nu_x::score(("f", text), &accounts, ("s", &said), None).is_ok()
            })
        }),
        (
            "graph of questions",
            "{\"s\": {\"key_frames\": {\"f\": {\"QA\": {\"perception\": [{\"Q\": \"where?\", \"A\": \"<c1,X,10.5,20.5>\", \"tag\": [2, 3]}], \
             \"prediction\": [{\"Q\": \"<c1,X,10.5,20.5>?\", \"A\": \"no\", \"tag\": [0]}], \"planning\": [], \"behavior\": []}}}}}"
                .into(),
            |text| {
                drivelm::read_questions("f", text).is_ok_and(|questions| {
                    let said = questions.iter().map(|q| (q.id.clone(), q.answer.clone())).collect();
                    drivelm::score(("f", text), &questions, ("s", &said)).is_ok()
                })
            },
        ),
        (
            "map",
            "{\"frames\": {\"f\": [{\"class\": \"divider\", \"points\": [[0.0, 1.0], [5.0, 1.5], [9.0, 4.0]], \"score\": 0.5}]}}".into(),
            |text| {
                vector_map::read("f", text, true)
                    .is_ok_and(|frames| vector_map::score(("f", text), &frames, ("s", &frames)).is_ok())
            },
        ),
        ("grids", "{\"id\": \"a\", \"size\": [200, 200], \"frames\": [[[0, 39991], [3, 9]]]}\n".into(), |text| {
            instances::read("f", text)
                .is_ok_and(|sequences| instances::score(("f", text), &sequences, ("s", &sequences)).is_ok())
        }),
        (
            "plans",
            "{\"world\": \"w\", \"index\": 1, \"waypoints\": [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [6, 0]]}\n".into(),
            |text| {
                plans::read("f", text).is_ok()
            },
        ),
        ("subsets", "{\"overtake\": [\"w#1\", \"w#2\"]}".into(), |text| {
            plans::read_subsets("f", text).is_ok()
        }),
        ("ticks", ticks, |text| {
            let ticks = read_ticks("f", text);
            if let Ok(ticks) = &ticks {
                assert!((0.0..=1.0).contains(&comfort(ticks)));
            }
            ticks.is_ok()
        }),
        ("routes", "{\"_checkpoint\": {\"records\": []}, \"driving score\": 0.0}".into(), |text| {
            score_text("f", text).is_ok()
        }),
        (
            "sheet",
            "{\"schema\": \"apprentice.sheet/1\", \"protocol\": {\"name\": \"a\", \"hash\": \"b\"}, \"axes\": {}, \"subject\": \"s\", \"data\": \"d\", \
             \"data_hash\": \"h\", \"coverage\": {\"asked\": 1, \"answered\": 1, \"missing\": {}}, \"metrics\": [], \"parts\": [], \"remarks\": [], \
             \"columns\": [\"c\"], \"rows\": [{\"id\": \"i\", \"cluster\": \"i\", \"values\": [1.0]}]}"
                .into(),
            |text| {
                Sheet::parse("f", text).is_ok_and(|sheet| apprentice_eval::sheet::compare(&sheet, &sheet).is_ok())
            },
        ),
        ("planning result", "{\"schema\": \"apprentice.planning/1\", \"rows\": []}".into(), |text| {
            PlanningResult::parse("f", text).is_ok()
        }),
    ]
}

/// Bytes changed, cut, doubled, or replaced by what files should not hold.
fn damaged(text: &str, rng: &mut Rng) -> String {
    const ODD: [&str; 18] = [
        "NaN",
        "null",
        "-1",
        "1e999",
        "-0",
        "[",
        "{",
        "]",
        "}",
        "\"",
        "\\u0000",
        "\\ud800",
        "99999999999999999999",
        "0.5",
        "[]",
        "{}",
        "é😀",
        "true",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        let to = (at + 1 + rng.below(12)).min(bytes.len());
        match rng.below(6) {
            0 if !bytes.is_empty() => bytes[at] = (rng.next_u64() & 0x7f) as u8,
            1 => drop(bytes.drain(at..to)),
            2 => bytes.truncate(at),
            3 => {
                let part = bytes[at.min(to)..to].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                // A number or word as a whole.
                let such = |b: &u8| b.is_ascii_alphanumeric() || b".-+".contains(b);
                let start = bytes[..at].iter().rposition(|b| !such(b)).map_or(0, |i| i + 1);
                let end = bytes[at..].iter().position(|b| !such(b)).map_or(bytes.len(), |i| at + i).max(start);
                bytes.splice(start..end, ODD[rng.below(ODD.len())].bytes());
            }
            _ => {
                bytes.splice(at..at, ODD[rng.below(ODD.len())].bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_damaged_file_makes_a_reader_panic() {
    let full = std::env::var("APPRENTICE_TEST_FULL").as_deref() == Ok("1");
    let readers = readers();
    let each = if full { 100_000 / readers.len() + 1 } else { 70 };
    for (k, (name, sound, read)) in readers.iter().enumerate() {
        read(sound);
        let mut refused = 0;
        for i in 0..each {
            let text = damaged(sound, &mut Rng::new(&[k as u64, i as u64]));
            let outcome = std::panic::catch_unwind(|| read(&text));
            assert!(outcome.is_ok(), "{name}: {text}");
            refused += usize::from(outcome.is_ok_and(|read| !read));
        }
        println!("MUTATIONS {name}: {each} inputs, {refused} refused");
        assert!(refused > 0, "{name}");
    }
}

#[test]
fn sound_files_are_read_and_what_is_wrong_is_named() {
    let readers: BTreeMap<&str, String> = readers().into_iter().map(|(name, text, _)| (name, text)).collect();
    assert!(qa::read_questions("f", &readers["questions"]).is_ok());
    assert!(drivelm::read_questions("f", &readers["graph of questions"]).is_ok());
    assert!(tod3cap::read_boxes::<tod3cap::CaptionedBox>("f", &readers["boxes"], |b| &b.place).is_ok());
    assert!(Sheet::parse("f", &readers["sheet"]).is_ok());
    let error = |text: String| qa::read_questions("q.json", &text).unwrap_err().to_string();
    assert!(error(readers["questions"].replace("exist", "why")).contains("questions[0].template_type"));
    assert!(error("{\"questions\": []}".into()).contains("q.json"));
    let boxes = readers["boxes"].replace("[2.0, 4.0, 1.5]", "[2.0, -4.0, 1.5]");
    let error = tod3cap::read_boxes::<tod3cap::CaptionedBox>("b.json", &boxes, |b| &b.place).unwrap_err().to_string();
    assert!(error.contains("s[0]") && error.contains("above zero"), "{error}");
}
