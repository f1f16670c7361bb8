//! The judging verbs through the program: sound input gives the document that its schema promises, hostile input gives one
//! error that names file and field, with a hint, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "../../eval/tests/schema/mod.rs"]
mod schema;
#[allow(dead_code)] // the data room's tests use the rest
#[path = "../../data/tests/support/mod.rs"]
mod support;

use apprentice_data::nuscenes::NuScenes;
use apprentice_data::nuscenes::tables::NAMES;
use common::{refused, run, succeed};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const PROGRAM: &str = env!("CARGO_BIN_EXE_apprentice");

/// Sound input of every kind, made once.
fn sound() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judging");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let go = |line: &str| succeed(PROGRAM, &words(line), &folder);
        go("worlds make --out worlds --size tiny");
        go("data export --data worlds:worlds --to nuscenes --out set --limit 3 --size 64x48");
        go("data export --data worlds:worlds --to bench2drive --out clips --limit 1 --size 64x48");
        let set = NuScenes::open(&folder.join("set"), None).unwrap();
        support::write_results(&set, "mini_val", &folder);
        put("pairs.jsonl", &"{\"candidate\": \"a car stops here\", \"references\": [\"the car stops\", \"a car halts\"]}\n".repeat(3));
        put("questions.json", r#"{"questions": [
            {"sample_token": "s", "question": "is there a car?", "answer": "yes", "template_type": "exist", "num_hop": 0},
            {"sample_token": "s", "question": "how many?", "answer": 3, "template_type": "count", "num_hop": 1}]}"#);
        put("answers.jsonl", "{\"sample_token\": \"s\", \"question\": \"is there a car?\", \"answer\": \"yes\"}\n\
            {\"sample_token\": \"s\", \"question\": \"how many?\", \"answer\": \"2\"}\n");
        put("said.json", r#"{"a": {"final_caption": "a red car at the kerb"}}"#);
        let place = r#""translation": [1.0, 2.0, 0.5], "size": [2.0, 4.0, 1.5], "rotation": [1.0, 0.0, 0.0, 0.1]"#;
        put("boxes.json", &format!(r#"{{"s": [{{"token": "a", {place}}}]}}"#));
        put("found.json", &format!(r#"{{"s": [{{"caption": "a red car", {place}}}]}}"#));
        put("accounts.json", r#"{"s": {"narration": "the car stops", "reasoning": "the light is red"}}"#);
        put("told.json", r#"{"s": "Narration: the car stops. Reasoning: the light is red."}"#);
        put("graph.json", r#"{"s": {"key_frames": {"f": {"QA": {
            "perception": [{"Q": "where?", "A": "<c1,X,10.5,20.5>", "tag": [2, 3]}],
            "prediction": [{"Q": "does <c1,X,10.5,20.5> stop?", "A": "no", "tag": [0]}], "planning": [], "behavior": []}}}}}"#);
        put("replies.json", r#"[{"id": "s_f_0", "answer": "<c1,X,10.5,20.5>"}, {"id": "s_f_1", "answer": "no"}]"#);
        let line = |score: &str| format!(r#"{{"frames": {{"f": [{{"class": "divider", "points": [[0, 1], [5, 1.5]]{score}}}]}}}}"#);
        put("map.json", &line(""));
        put("lines.json", &line(r#", "score": 0.5"#));
        put("grids.jsonl", "{\"id\": \"a\", \"size\": [200, 200], \"frames\": [[[0, 20000], [3, 900], [0, 19100]]]}\n");
        go("eval captions --pairs pairs.jsonl --no-meteor --out sheet-a.json");
        std::fs::copy(folder.join("sheet-a.json"), folder.join("sheet-b.json")).unwrap();
        go("eval planning --data worlds:worlds --driver constant-velocity --out plan-a.json");
        go("eval planning --data worlds:worlds --driver stop --out plan-b.json");
        go("eval planning --data worlds:worlds --driver stop --protocol vad-grid --out plan-c.json");
        go("drive --data worlds:worlds --driver stop --out driven --limit 2");
        folder
    })
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// A folder with copies of some of the sound files.
fn copy(names: &[&str]) -> tempfile::TempDir {
    common::copies(sound(), names)
}

const SHEETS: [(&str, &[&str]); 8] = [
    ("eval captions --pairs pairs.jsonl --no-meteor", &["pairs.jsonl"]),
    ("eval qa --questions questions.json --answers answers.jsonl", &["questions.json", "answers.jsonl"]),
    (
        "eval tod3cap --captions said.json --boxes boxes.json --predictions found.json --no-meteor --mode paper",
        &["said.json", "boxes.json", "found.json"],
    ),
    (
        "eval tod3cap --captions said.json --boxes boxes.json --predictions found.json --no-meteor --mode repo",
        &["said.json", "boxes.json", "found.json"],
    ),
    ("eval nu-x --truth accounts.json --answers told.json --no-meteor", &["accounts.json", "told.json"]),
    ("eval drivelm --questions graph.json --answers replies.json", &["graph.json", "replies.json"]),
    ("eval map --truth map.json --predictions lines.json", &["map.json", "lines.json"]),
    ("eval segmentation --truth grids.jsonl --predictions grids.jsonl", &["grids.jsonl"]),
];

#[test]
fn every_verb_prints_the_document_of_its_schema() {
    let others = [
        ("eval detection --data nuscenes:set --results detection.json", "detection-1"),
        ("eval tracking --data nuscenes:set --results tracking.json", "tracking-1"),
        ("eval prediction --data nuscenes:set --results prediction.json", "prediction-1"),
        ("eval prediction --data nuscenes:set --results motion-vad.json --protocol motion-vad", "motion-1"),
        ("eval prediction --data nuscenes:set --results motion-uniad.json --protocol motion-uniad", "motion-1"),
        ("eval planning --data worlds:worlds --driver stop", "planning-1"),
        ("eval planning --data nuscenes:set --driver constant-velocity", "planning-1"),
        ("eval planning --data bench2drive:clips --driver constant-velocity", "planning-1"),
        ("data info nuscenes:set", "data-info-1"),
        ("data info worlds:worlds", "data-info-1"),
        ("data check nuscenes:set", "data-check-1"),
        ("data check worlds:worlds", "data-check-1"),
        ("data check bench2drive:clips", "data-check-1"),
        ("compare plan-a.json plan-b.json", "comparison-1"),
        ("compare sheet-a.json sheet-b.json", "sheet-comparison-1"),
        ("table sheet-a.json sheet-b.json --format markdown", "table-1"),
        ("table sheet-a.json sheet-b.json --format csv", "table-1"),
        ("table plan-a.json plan-b.json --format latex", "table-1"),
    ];
    for (line, name) in SHEETS.iter().map(|(line, _)| (*line, "sheet-1")).chain(others) {
        let printed = succeed(PROGRAM, &[&words(line)[..], &["--json"]].concat(), sound());
        let document: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{line}: {e}\n{printed}"));
        schema::check(name, &document);
        // For people it says something, too, and no JSON.
        let text = succeed(PROGRAM, &words(line), sound());
        assert!(!text.trim().is_empty() && serde_json::from_str::<Value>(&text).is_err(), "{line}");
    }
    let scores = succeed(PROGRAM, &words("score bench2drive driven/results.json --json"), sound());
    let scores: Vec<Value> = serde_json::from_str(&scores).unwrap();
    scores.iter().for_each(|score| schema::check("bench2drive-score-1", score));
    let folder = copy(&["worlds"]);
    for to in ["nuscenes", "bench2drive"] {
        let line = format!("data export --data worlds:worlds --to {to} --out {to} --limit 1 --size 32x16 --json");
        let printed: Value = serde_json::from_str(&succeed(PROGRAM, &words(&line), folder.path())).unwrap();
        schema::check("data-export-1", &printed);
        succeed(PROGRAM, &words(&format!("data check {to}:{to}")), folder.path());
    }
}

/// Write a file, run a command that must refuse it, put the file back.
fn lies(folder: &Path, name: &str, text: &str, line: &str, named: &[&str]) {
    let path = folder.join(name);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, text).unwrap();
    refused(PROGRAM, &words(line), folder, named);
    std::fs::write(&path, good).unwrap();
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn files_that_are_cut_empty_or_gone_are_named() {
    for (line, files) in SHEETS {
        let folder = copy(files);
        let line = &format!("{line} --out result.json");
        succeed(PROGRAM, &words(line), folder.path());
        std::fs::remove_file(folder.path().join("result.json")).unwrap();
        for name in files {
            let good = read(folder.path(), name);
            let half = &good[..good.len() - good.len() / 3 - 3];
            lies(folder.path(), name, half, line, &[name]);
            lies(folder.path(), name, "", line, &[name]);
            lies(folder.path(), name, "{}", line, &[name]);
            lies(folder.path(), name, "[]", line, &[name]);
            std::fs::remove_file(folder.path().join(name)).unwrap();
            refused(PROGRAM, &words(line), folder.path(), &[name]);
            std::fs::write(folder.path().join(name), good).unwrap();
        }
    }
}

#[test]
fn sheets_of_wrong_items_are_refused_with_the_field() {
    let edit = |line: &str, files: &[&str], name: &str, from: &str, to: &str, named: &[&str]| {
        let folder = copy(files);
        let good = read(folder.path(), name);
        assert!(good.contains(from), "`{from}` is not in {name}");
        let line = format!("{line} --out result.json");
        lies(folder.path(), name, &good.replacen(from, to, 1), &line, &[named, &[name]].concat());
    };
    let case = |index: usize, name: &str, from: &str, to: &str, named: &[&str]| {
        let (line, files) = SHEETS[index];
        edit(line, files, name, from, to, named);
    };
    case(0, "pairs.jsonl", "[\"the car stops\", \"a car halts\"]", "[]", &["line 1", "references"]);
    case(0, "pairs.jsonl", "\"a car stops here\"", "NaN", &["line 1", "candidate", "NaN"]);
    case(1, "questions.json", "\"exist\"", "\"why\"", &["questions[0].template_type"]);
    case(1, "questions.json", "\"num_hop\": 1", "\"num_hop\": 4", &["questions[1].num_hop"]);
    case(1, "answers.jsonl", "is there a car?", "is there a bus?", &["is there a bus?"]);
    case(2, "found.json", "[1.0, 2.0, 0.5]", "[NaN, 2.0, 0.5]", &["s[0].translation[0]", "NaN"]);
    case(2, "found.json", "[2.0, 4.0, 1.5]", "[2.0, 0.0, 1.5]", &["s[0]", "above zero"]);
    case(2, "found.json", "{\"s\"", "{\"s\": [], \"s\"", &["field `s`", "twice"]);
    case(3, "found.json", "\"s\"", "\"t\"", &["`t`", "not a sample"]);
    case(3, "boxes.json", "\"rotation\"", "\"turned\"", &["s[0]", "rotation"]);
    case(4, "told.json", "\"s\"", "\"t\"", &["`t`", "not a sample"]);
    case(4, "accounts.json", "\"reasoning\"", "\"reason\"", &["`s`", "reason"]);
    case(5, "replies.json", "s_f_1", "s_f_0", &["s_f_0", "twice"]);
    case(5, "graph.json", "\"tag\": [0]", "\"tag\": [9]", &["tag"]);
    case(6, "lines.json", "0.5", "null", &["f[0].score"]);
    case(6, "lines.json", "divider", "wall", &["f[0].class"]);
    case(6, "lines.json", "[5, 1.5]", "[5, NaN]", &["frames.f[0].points[1][1]", "NaN"]);
    case(6, "map.json", "{\"f\"", "{\"f\": [], \"f\"", &["frames.f", "twice"]);
    case(7, "grids.jsonl", "[3, 900]", "[3, 901]", &["line 1", "frame 0"]);
    case(7, "grids.jsonl", "[200, 200]", "[100, 100]", &["line 1", "size"]);
}

#[test]
fn items_without_an_answer_are_shown_and_fail() {
    let folder = copy(&["questions.json", "answers.jsonl"]);
    let first = read(folder.path(), "answers.jsonl").lines().next().unwrap().to_string();
    std::fs::write(folder.path().join("answers.jsonl"), first).unwrap();
    let output =
        run(PROGRAM, &words("eval qa --questions questions.json --answers answers.jsonl --json"), folder.path());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("sheet-1", &document);
    assert_eq!(document["coverage"]["missing"]["no answer"], 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("1 of 2") && said.contains("hint: "), "{said}");
}

#[test]
fn results_under_two_protocols_are_not_set_side_by_side() {
    let folder = copy(&["plan-a.json", "plan-b.json", "plan-c.json", "sheet-a.json", "sheet-b.json"]);
    let here = |line: &str, named: &[&str]| refused(PROGRAM, &words(line), folder.path(), named);
    // Which axis differs is said.
    here("compare plan-b.json plan-c.json", &["cannot be compared", "occupancy"]);
    here("table plan-b.json plan-c.json", &["valid-starts", "vad-grid"]);
    here("compare plan-a.json sheet-a.json", &["kind of result"]);
    for (from, to, word) in
        [("\"captions-coco\"", "\"other\"", "protocol"), ("\"data_hash\": \"", "\"data_hash\": \"0", "data")]
    {
        let good = read(folder.path(), "sheet-b.json");
        assert!(good.contains(from));
        lies(folder.path(), "sheet-b.json", &good.replacen(from, to, 1), "compare sheet-a.json sheet-b.json", &[word]);
    }
    for line in ["compare plan-a.json plan-b.json", "table plan-a.json plan-b.json"] {
        let good = read(folder.path(), "plan-b.json");
        lies(folder.path(), "plan-b.json", &good[..good.len() / 2], line, &["plan-b.json"]);
        lies(folder.path(), "plan-b.json", "{}", line, &["plan-b.json", "schema"]);
        let nan = good.replacen("\"l2_at_t\": [", "\"l2_at_t\": [NaN, ", 1);
        lies(folder.path(), "plan-b.json", &nan, line, &["plan-b.json", "l2_at_t", "NaN"]);
    }
}

const ON_SET: [&str; 3] = [
    "eval detection --data nuscenes:set --results detection.json --out result.json",
    "data check nuscenes:set",
    "eval planning --data nuscenes:set --driver stop --out result.json",
];

#[test]
fn missing_tables_and_dangling_tokens_are_named() {
    let folder = copy(&["set", "detection.json"]);
    for table in NAMES {
        let path = folder.path().join(format!("set/v1.0-mini/{table}.json"));
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for line in ON_SET {
            refused(PROGRAM, &words(line), folder.path(), &[&format!("{table}.json")]);
        }
        std::fs::write(&path, &good).unwrap();
        for text in [&good[..good.len() / 2], b"", b"{}", b"[{}]"] {
            std::fs::write(&path, text).unwrap();
            refused(PROGRAM, &words(ON_SET[1]), folder.path(), &[&format!("{table}.json")]);
        }
        std::fs::write(&path, good).unwrap();
    }
    for (table, field) in [
        ("calibrated_sensor", "sensor_token"),
        ("instance", "category_token"),
        ("sample", "scene_token"),
        ("sample", "next"),
        ("sample_annotation", "sample_token"),
        ("sample_annotation", "instance_token"),
        ("sample_annotation", "visibility_token"),
        ("sample_annotation", "next"),
        ("sample_data", "sample_token"),
        ("sample_data", "ego_pose_token"),
        ("sample_data", "calibrated_sensor_token"),
        ("scene", "log_token"),
        ("scene", "first_sample_token"),
        ("scene", "last_sample_token"),
        ("map", "log_tokens"),
        ("sample_annotation", "attribute_tokens"),
    ] {
        rows_of(
            folder.path(),
            table,
            |rows| {
                let named = |row: &&mut Value| {
                    !matches!(&row[field], Value::String(s) if s.is_empty()) && row[field] != json!([])
                };
                let row = rows.iter_mut().find(named).unwrap();
                let nowhere = json!("00000000000000000000000000000bad");
                row[field] = if row[field].is_array() { json!([nowhere]) } else { nowhere };
            },
            &[field, "token"],
        );
    }
}

/// Change a table's rows; `data check` must refuse it and name the table and these words.
fn rows_of(folder: &Path, table: &str, change: impl Fn(&mut Vec<Value>), named: &[&str]) {
    let name = format!("set/v1.0-mini/{table}.json");
    let mut rows: Vec<Value> = serde_json::from_str(&read(folder, &name)).unwrap();
    change(&mut rows);
    let text = serde_json::to_string(&rows).unwrap();
    lies(folder, &name, &text, ON_SET[1], &[named, &[&format!("{table}.json"), "row"]].concat());
}

#[test]
fn rows_that_cannot_be_so_are_named() {
    let folder = copy(&["set"]);
    let doubled = |rows: &mut Vec<Value>| rows.push(rows[0].clone());
    for table in NAMES {
        // A pose that no keyframe names is never looked at; the first one is a keyframe's.
        rows_of(folder.path(), table, doubled, &["token", "twice"]);
    }
    let name = "set/v1.0-mini/sample_annotation.json";
    let good = read(folder.path(), name);
    let mut rows: Vec<Value> = serde_json::from_str(&good).unwrap();
    rows[3]["translation"][1] = json!(-123456.5);
    let nan = serde_json::to_string(&rows).unwrap().replace("-123456.5", "NaN");
    lies(folder.path(), name, &nan, ON_SET[1], &["sample_annotation.json", "row 3", "translation", "NaN"]);
    rows_of(folder.path(), "sample_annotation", |rows| rows[2]["size"][0] = json!(0), &["row 2", "size", "positive"]);
    rows_of(
        folder.path(),
        "sample_annotation",
        |rows| rows[2]["rotation"] = json!([0, 0, 0, 0]),
        &["row 2", "rotation"],
    );
    rows_of(folder.path(), "ego_pose", |rows| rows[0]["translation"] = json!([1, 2]), &["row 0", "translation"]);
    rows_of(
        folder.path(),
        "calibrated_sensor",
        |rows| rows[0]["camera_intrinsic"] = json!([[1]]),
        &["row 0", "camera_intrinsic"],
    );
    let name = "set/v1.0-mini/scene.json";
    let mut rows: Vec<Value> = serde_json::from_str(&read(folder.path(), name)).unwrap();
    rows[0]["last_sample_token"] = rows[1]["first_sample_token"].clone();
    let text = serde_json::to_string(&rows).unwrap();
    lies(folder.path(), name, &text, ON_SET[1], &["sample.json", "the chain of"]);
    for (split, named) in [("val", "v1.0-trainval"), ("nonsense", "nonsense"), ("test", "v1.0-test")] {
        let line = format!("eval detection --data nuscenes:set --results r.json --split {split}");
        std::fs::write(folder.path().join("r.json"), "{}").unwrap();
        refused(PROGRAM, &words(&line), folder.path(), &[named]);
    }
    refused(PROGRAM, &words("data check nuscenes:set --version v1.0-trainval"), folder.path(), &["v1.0-trainval"]);
    refused(PROGRAM, &words("data check nuscenes:set/maps"), folder.path(), &["v1.0-*"]);
}

#[test]
fn pictures_maps_and_can_messages_that_are_cut_are_named() {
    let folder = copy(&["set", "clips"]);
    let first = |below: &str, ending: &str| -> PathBuf {
        let mut todo = vec![folder.path().join(below)];
        let mut found = Vec::new();
        while let Some(next) = todo.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { todo.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
    };
    let spoiled = |path: &Path, line: &str| {
        let good = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        std::fs::write(path, &good[..good.len() / 2]).unwrap();
        refused(PROGRAM, &words(line), folder.path(), &[name]);
        std::fs::write(path, &good).unwrap();
        name.to_string()
    };
    for (below, ending, line) in [
        ("set/samples/CAM_FRONT", ".jpg", "data check nuscenes:set"),
        ("set/maps/expansion", ".json", "eval planning --data nuscenes:set --driver stop --out r.json"),
        ("set/can_bus", "_pose.json", "eval planning --data nuscenes:set --driver stop --out r.json"),
        ("clips", ".jpg", "data check bench2drive:clips"),
        ("clips", "00000.json.gz", "data check bench2drive:clips"),
        ("clips", "00001.json.gz", "eval planning --data bench2drive:clips --driver stop --out r.json"),
    ] {
        let path = first(below, ending);
        spoiled(&path, line);
    }
    let maps: Value = serde_json::from_str(&read(folder.path(), "set/v1.0-mini/map.json")).unwrap();
    let mask = maps[0]["filename"].as_str().unwrap().to_string();
    for (below, ending, line) in [
        ("set/samples/CAM_BACK", ".jpg", "data check nuscenes:set"),
        ("set/maps", mask.as_str(), "data check nuscenes:set"),
        ("clips", ".jpg", "data check bench2drive:clips"),
        ("clips", "00001.json.gz", "data check bench2drive:clips"),
    ] {
        let path = first(below, ending);
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        refused(PROGRAM, &words(line), folder.path(), &[path.file_name().unwrap().to_str().unwrap(), "missing"]);
        std::fs::write(&path, good).unwrap();
    }
    succeed(PROGRAM, &words("data check nuscenes:set"), folder.path());
    succeed(PROGRAM, &words("data check bench2drive:clips"), folder.path());
}

#[test]
fn result_files_that_do_not_fit_are_refused() {
    for (verb, name, more) in [
        ("detection", "detection.json", ""),
        ("tracking", "tracking.json", ""),
        ("prediction", "motion-vad.json", " --protocol motion-vad"),
        ("prediction", "motion-uniad.json", " --protocol motion-uniad"),
    ] {
        let folder = copy(&["set", name]);
        let line = &format!("eval {verb} --data nuscenes:set --results {name}{more} --out result.json");
        let good: Value = serde_json::from_str(&read(folder.path(), name)).unwrap();
        let full = good["results"].as_object().unwrap().iter().find(|(_, b)| b.as_array().unwrap().len() > 1);
        let token = full.unwrap().0.clone();
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut other = good.clone();
            change(&mut other);
            other.to_string()
        };
        let one = |field: &str, value: Value| changed(&|v: &mut Value| v["results"][&token][1][field] = value.clone());
        let at = |field: &str| format!("results.{token}[1].{field}");
        let lie = |text: &str, named: &[&str]| lies(folder.path(), name, text, line, &[named, &[name]].concat());
        let nan = one("translation", json!([-987654.25, 0.0, 0.0])).replace("-987654.25", "NaN");
        lie(&nan, &[&at("translation[0]"), "NaN"]);
        lie(&one("size", json!([1.0, -1.0, 1.0])), &[&at("size"), "positive"]);
        lie(&one("size", json!("large")), &[&at("size")]);
        lie(&one("velocity", json!([0.0])), &[&at("velocity")]);
        lie(&one("sample_token", json!("other")), &[&at("sample_token"), "other"]);
        let kind = if verb == "tracking" { "tracking_name" } else { "detection_name" };
        lie(&one(kind, json!("tram")), &[&at(kind), "tram"]);
        lie(&changed(&|v| drop(v["results"].as_object_mut().unwrap().shift_remove(&token))), &["missing", &token]);
        lie(&changed(&|v| v["results"]["00"] = json!([])), &["`00`", "not in the split"]);
        lie(
            &good.to_string().replacen("\"results\":{", &format!("\"results\":{{\"{token}\":[],"), 1),
            &[&token, "twice"],
        );
        lie(
            &changed(&|v| v["results"].as_object_mut().unwrap().values_mut().for_each(|b| *b = json!([]))),
            &["nothing to judge"],
        );
        lie("{\"meta\": {}}", &["results"]);
        lie("{\"results\": {}}", &["missing"]);
        if verb == "prediction" {
            lie(&one("futures", json!([[[0.0, 1.0]]])), &[&at("futures"), "positions"]);
            lie(&one("futures", json!([])), &[&at("futures")]);
        }
    }
    let folder = copy(&["set", "prediction.json"]);
    let line = "eval prediction --data nuscenes:set --results prediction.json --out result.json";
    let good: Value = serde_json::from_str(&read(folder.path(), "prediction.json")).unwrap();
    let lie = |change: &dyn Fn(&mut Value), named: &[&str]| {
        let mut other = good.clone();
        change(&mut other);
        let text = other.to_string().replace("-987654.25", "NaN");
        lies(folder.path(), "prediction.json", &text, line, &[named, &["prediction.json"]].concat());
    };
    lie(&|v| v[0]["instance"] = json!("nobody"), &["[0].instance", "nobody"]);
    lie(&|v| v[0]["sample"] = json!("never"), &["[0].sample", "never"]);
    lie(&|v| v[1] = v[0].clone(), &["[1].instance", "twice"]);
    lie(&|v| v[0]["probabilities"] = json!([]), &["[0].probabilities"]);
    lie(&|v| v[0]["prediction"][0][0][0] = json!(-987_654.25), &["[0].prediction[0][0][0]", "NaN"]);
    lie(&|v| *v = json!([]), &["nothing to judge"]);
    let wrong = "eval prediction --data nuscenes:set --results prediction.json --protocol motion";
    refused(PROGRAM, &words(wrong), folder.path(), &["motion"]);
    refused(
        PROGRAM,
        &words("eval detection --data worlds:set --results prediction.json"),
        folder.path(),
        &["nuScenes"],
    );
}

#[test]
fn exports_that_cannot_be_made_leave_nothing() {
    let folder = copy(&["worlds"]);
    let export = "data export --data worlds:worlds --out new --to";
    for (rest, named) in [
        ("nuscenes --size 4x4", "4x4"),
        ("nuscenes --size large", "large"),
        ("nuscenes --version v9", "v9"),
        ("nuscenes --parts nowhere", "nowhere"),
        ("bench2drive --parts test,nowhere", "nowhere"),
    ] {
        refused(PROGRAM, &words(&format!("{export} {rest}")), folder.path(), &[named]);
    }
    refused(PROGRAM, &words("data export --data worlds:none --to nuscenes --out new"), folder.path(), &["worlds.json"]);
    // A folder that holds something else is not written into.
    succeed(PROGRAM, &words(&format!("{export} nuscenes --limit 1 --size 32x16")), folder.path());
    refused(PROGRAM, &words(&format!("{export} nuscenes --limit 1 --size 32x16")), folder.path(), &["new"]);
}

#[test]
fn scores_need_what_they_are_made_from() {
    let folder = copy(&["driven"]);
    let here = |line: &str, named: &[&str]| refused(PROGRAM, &words(line), folder.path(), named);
    here("score bench2drive driven/results.json --benchmark 0.0.9", &["0.0.9"]);
    here("score bench2drive driven/results.json --benchmark 0.0.4", &["0.0.4", "--routes"]);
    here("score bench2drive driven/results.json --metrics driven", &["metric_info.json"]);
    let good = read(folder.path(), "driven/results.json");
    let twice = good.replacen("\"records\": [", "\"records\": [], \"records\": [", 1);
    lies(
        folder.path(),
        "driven/results.json",
        &twice,
        "score bench2drive driven/results.json",
        &["results.json", "_checkpoint.records", "twice"],
    );
    let nan = good.replacen("\"score_route\": ", "\"score_route\": NaN, \"x\": ", 1);
    lies(folder.path(), "driven/results.json", &nan, "score bench2drive driven/results.json", &["score_route", "NaN"]);
    let table = r#"{"Overtaking": 0.5, "mean": 0.5}"#;
    lies(
        folder.path(),
        "driven/results.json",
        table,
        "score bench2drive driven/results.json",
        &["_checkpoint", "abilities"],
    );
}

#[test]
fn what_could_not_be_written_or_driven_is_a_failure() {
    let folder = copy(&["pairs.jsonl", "driven"]);
    let line = words("eval captions --pairs pairs.jsonl --no-meteor");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = common::command(PROGRAM, &line, folder.path()).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("could not be written") && said.contains("hint:"), "{said}");

    // A folder that another driver's results fill is left as it is.
    let before = common::tree(&folder.path().join("driven"));
    let worlds = format!("worlds:{}", sound().join("worlds").display());
    let again = format!("drive --data {worlds} --driver expert --out driven --limit 2");
    refused(PROGRAM, &words(&again), folder.path(), &["driven", "another drive", "--out"]);
    assert_eq!(before, common::tree(&folder.path().join("driven")));
    let none = format!("drive --data {worlds} --driver stop --limit 0");
    refused(PROGRAM, &words(&none), folder.path(), &["nothing was driven"]);
}

#[test]
fn a_drive_leaves_a_replay_of_each_route() {
    let folder = tempfile::tempdir().unwrap();
    let replays = |out: &Path| -> Vec<String> {
        let names = std::fs::read_dir(out.join("replay")).into_iter().flatten();
        names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    let driven = sound().join("driven");
    let report: Value = serde_json::from_slice(&std::fs::read(driven.join("report.json")).unwrap()).unwrap();
    let ids = report["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap());
    let mut wanted: Vec<String> = ids.map(|id| format!("{id}.html")).collect();
    let mut found = replays(&driven);
    wanted.sort();
    found.sort();
    assert_eq!((found.len(), found), (2, wanted));

    let worlds = format!("worlds:{}", sound().join("worlds").display());
    let bare = format!("drive --data {worlds} --driver stop --out bare --limit 1 --no-replay");
    succeed(PROGRAM, &words(&bare), folder.path());
    assert_eq!(replays(&folder.path().join("bare")), Vec::<String>::new());
}
