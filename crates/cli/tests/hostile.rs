//! Truncated, damaged and lying files given to the program: one error that names the file and the field, a hint, an exit
//! code, no panic, nothing half-written.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use apprentice_core::seal;
use apprentice_road::town::{Layout, TownSpec, xodr};
use apprentice_road::{LaneKind, RoadNetwork};
use common::{full, refused, succeed, survives_mutations};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const PROGRAM: &str = env!("CARGO_BIN_EXE_apprentice");
const ROUTES: [&str; 7] = ["drive", "--maps", "maps", "--routes", "routes.xml", "--driver", "stop"];
const EVAL: [&str; 5] = ["eval", "planning", "--data", "worlds:worlds", "--driver"];

/// Sound files of every kind, made once.
fn sound() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
        let _ = std::fs::remove_dir_all(&folder);
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let map = xodr(&TownSpec { layout: Layout::Curves, seed: 3 });
        put("maps/Town.xodr", map.as_bytes());
        put("routes.xml", routes(&map).as_bytes());
        let run = |words: &[&str]| succeed(PROGRAM, words, &folder);
        run(&["worlds", "make", "--out", "worlds", "--size", "tiny"]);
        run(&[&EVAL[..], &["constant-velocity", "--out", "a.json"]].concat());
        run(&[&EVAL[..], &["stop", "--out", "b.json"]].concat());
        run(&["drive", "--data", "worlds:worlds", "--driver", "stop", "--out", "driven", "--limit", "2"]);
        put("report/index.json", br#"{"schema":"apprentice.index/1","proof":"prove.json","drivers":[
            {"name":"stop","training":".","plot":"Curves","open_loop":["../a.json"],"driving":"../driven"}]}"#);
        put("report/prove.json", br#"{"data_hash":"00","seeds":[0],"student_steps":1,"teacher_steps":1,
            "primary_endpoint":"none","gates":[],"quiz":{"kinds":[{"kind":"action","questions":3,"accuracy":0.5,"majority":0.5}]}}"#);
        put("report/metrics.jsonl", b"{\"step\":0,\"loss\":2.5,\"terms\":{\"plan\":1.0}}\n{\"step\":1,\"loss\":2.0,\"terms\":{}}\n");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/nano-student.onnx");
        let mut model = std::fs::read(shipped).unwrap();
        seal::onnx(&mut model);
        put("student.onnx", &model);
        folder
    })
}

/// A route of sixty metres with a scenario on the map's longest lane.
fn routes(map: &str) -> String {
    let net = RoadNetwork::from_xodr("map", map).unwrap();
    let driving = net.lanes.iter().filter(|l| l.kind == LaneKind::Driving && l.junction.is_none());
    let lane = driving.max_by(|a, b| a.length_m.total_cmp(&b.length_m)).unwrap();
    // CARLA's y is minus ours.
    let at = |s: f64| {
        let p = lane.at(s).position;
        format!("x=\"{:.2}\" y=\"{:.2}\" z=\"{:.2}\"", p.x, -p.y, p.z)
    };
    format!(
        "<routes><route id=\"1\" town=\"Town\"><waypoints><position {}/><position {}/></waypoints><scenarios>\
         <scenario name=\"HardBreakRoute_1\" type=\"HardBreakRoute\"><trigger_point {} yaw=\"0\"/></scenario></scenarios>\
         <weathers><weather route_percentage=\"0\" cloudiness=\"10\" sun_altitude_angle=\"60\"/></weathers></route></routes>",
        at(5.0),
        at(65.0),
        at(15.0)
    )
}

/// A folder with copies of some of the sound files.
fn copy(names: &[&str]) -> tempfile::TempDir {
    common::copies(sound(), names)
}

/// What is done to a file.
enum Damage {
    /// Only this share of it is left.
    Cut(f64),
    /// A bit in the middle is another.
    Flip,
    /// The first such text is another.
    Lie(&'static str, &'static str),
    /// It holds this.
    Is(&'static str),
    /// It is not there.
    Gone,
}
use Damage::{Cut, Flip, Gone, Is, Lie};

fn damage(path: &Path, how: &Damage) {
    let mut bytes = std::fs::read(path).unwrap();
    match how {
        Cut(share) => bytes.truncate((bytes.len() as f64 * share) as usize),
        Flip => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }
        Lie(from, to) => {
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
            let at = at.unwrap_or_else(|| panic!("`{from}` is not in {}", path.display()));
            bytes.splice(at..at + from.len(), to.bytes());
        }
        Is(text) => bytes = text.as_bytes().to_vec(),
        Gone => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

/// Damage one file in every way, one after the other; each time the command must refuse it and name the words.
fn table(names: &[&str], file: &str, arguments: &[&str], cases: &[(Damage, &[&str])]) {
    let folder = copy(names);
    let path = folder.path().join(file);
    let good = std::fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    for (how, words) in cases {
        damage(&path, how);
        refused(PROGRAM, arguments, folder.path(), &[words, &[name][..]].concat());
        std::fs::write(&path, &good).unwrap();
    }
    succeed(PROGRAM, arguments, folder.path());
}

#[test]
fn maps_and_routes() {
    let drive = [&ROUTES[..], &["--out", "out"]].concat();
    table(
        &["maps", "routes.xml"],
        "maps/Town.xodr",
        &drive,
        &[
            (Cut(0.5), &["XML"]),
            (Is(""), &["XML"]),
            (Is("<svg/>"), &["<svg>"]),
            (Lie("<road name=\"road1\" length=\"", "<road name=\"road1\" length=\"9"), &["<road id=\"1\">"]),
            (Lie(" hdg=\"", " hdg=\"x"), &["hdg"]),
            (Lie("<lane id=\"-1\"", "<lane id=\"one\""), &["lane"]),
        ],
    );
    table(
        &["maps", "routes.xml"],
        "routes.xml",
        &drive,
        &[
            (Cut(0.5), &["XML"]),
            (Gone, &[]),
            (Is("<routes/>"), &["route"]),
            (Lie("town=\"Town\"", ""), &["route 1", "town"]),
            (Lie("x=\"", "x=\"a"), &["route 1", "waypoints.position.x"]),
            (Lie("id=\"1\"", "id=\"../../1\""), &["route.id"]),
            (Lie("HardBreakRoute_1", "a/../../b"), &["scenario.name"]),
            (Lie("trigger_point", "trigger"), &["trigger_point"]),
        ],
    );
}

#[test]
fn results() {
    table(
        &["driven"],
        "driven/results.json",
        &["score", "bench2drive", "driven/results.json"],
        &[
            (Cut(0.4), &["JSON"]),
            (Gone, &[]),
            (Is("{}"), &["_checkpoint"]),
            (Lie("\"score_penalty\": ", "\"score_penalty\": 7"), &["score_penalty"]),
            (Lie("\"num_infractions\": ", "\"num_infractions\": 9"), &["num_infractions"]),
            (Lie("\"status\": \"", "\"status\": \"Almost "), &["status"]),
            (Lie("\"scores\"", "\"score\""), &["scores"]),
        ],
    );
    table(
        &["a.json", "b.json"],
        "b.json",
        &["compare", "a.json", "b.json"],
        &[
            (Cut(0.7), &["JSON"]),
            (Is("[]"), &["schema"]),
            (Lie("apprentice.planning/1", "apprentice.planning/9"), &["schema"]),
            (Lie("\"starts\": ", "\"starts\": \"many\", \"x\": "), &["starts"]),
        ],
    );
    // What cannot be compared is no fault of one file.
    let folder = copy(&["a.json", "b.json"]);
    damage(&folder.path().join("b.json"), &Lie("\"name\": \"valid-starts\"", "\"name\": \"other\""));
    refused(PROGRAM, &["compare", "a.json", "b.json"], folder.path(), &["protocol"]);
}

#[test]
fn worlds() {
    let eval = [&EVAL[..], &["constant-velocity", "--out", "result.json"]].concat();
    let world = "worlds/worlds/test-00001.world";
    table(
        &["worlds"],
        "worlds/worlds.json",
        &eval,
        &[
            (Cut(0.5), &["line"]),
            (Gone, &[]),
            (Lie("\"version\": 1", "\"version\": 7"), &["version"]),
            (Lie("\"worlds\": [", "\"surprise\": 1, \"worlds\": ["), &["surprise"]),
            (Lie("\"id\": \"test-00001\"", "\"id\": \"../test\""), &["../test"]),
        ],
    );
    table(&["worlds"], "worlds/split.json", &eval, &[(Cut(0.5), &["hash"]), (Flip, &["hash"]), (Gone, &[])]);
    table(&["worlds"], world, &eval, &[(Cut(0.5), &[]), (Cut(0.0), &["length"]), (Flip, &["checksum"]), (Gone, &[])]);
    // A whole file, but of another world.
    let folder = copy(&["worlds"]);
    std::fs::copy(folder.path().join("worlds/worlds/test-00000.world"), folder.path().join(world)).unwrap();
    refused(PROGRAM, &eval, folder.path(), &["test-00001.world", "hash"]);
}

#[test]
fn exported_students() {
    for engine in ["tract", "onnxruntime"] {
        let eval = [&EVAL[..], &["student.onnx", "--engine", engine, "--out", "result.json"]].concat();
        let cases = [(Cut(0.5), &[][..]), (Cut(0.0), &[]), (Flip, &["checksum"]), (Is("no model"), &[]), (Gone, &[])];
        table(&["worlds", "student.onnx"], "student.onnx", &eval, &cases);
        // Whole, but promising something else: the seal is renewed over the lie.
        let folder = copy(&["worlds", "student.onnx"]);
        let path = folder.path().join("student.onnx");
        let good = std::fs::read(&path).unwrap();
        for (from, to, word) in [
            ("\"kind\":\"student\"", "\"kind\":\"teacher\"", "kind"),
            ("\"waypoint_steps\":6", "\"waypoint_steps\":8", "waypoint_steps"),
            ("\"version\":1", "\"version\":2", "version"),
            ("apprentice.contract", "apprentice.contrast", "apprentice.contract"),
            ("\"waypoint_frame\"", "\"waypoint_place\"", "waypoint_place"),
            ("\"width\":160", "\"width\":161", "student.onnx"),
        ] {
            damage(&path, &Lie(from, to));
            let mut bytes = std::fs::read(&path).unwrap();
            seal::onnx(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
            refused(PROGRAM, &eval, folder.path(), &[word]);
            std::fs::write(&path, &good).unwrap();
        }
    }
}

#[test]
fn run_folders_and_command_lines() {
    let report = ["report", "report", "--out", "page.html"];
    let all = ["report", "a.json", "driven"];
    table(
        &all,
        "report/index.json",
        &report,
        &[
            (Cut(0.5), &["line"]),
            (Lie("apprentice.index/1", "apprentice.index/2"), &["schema"]),
            (Lie("\"name\"", "\"named\""), &["named"]),
        ],
    );
    table(
        &all,
        "report/prove.json",
        &report,
        &[(Cut(0.5), &["line"]), (Gone, &[]), (Lie("seeds", "seed"), &["seeds"])],
    );
    table(
        &all,
        "report/metrics.jsonl",
        &report,
        &[(Cut(0.6), &["line 2"]), (Lie("2.5", "x"), &["line 1"]), (Gone, &[])],
    );
    table(&all, "a.json", &report, &[(Cut(0.6), &["JSON"]), (Is("{}"), &["schema"])]);

    let folder = copy(&["worlds", "maps"]);
    let here = |words: &[&str], named: &[&str]| refused(PROGRAM, words, folder.path(), named);
    here(&["report", "maps"], &["maps"]);
    here(&["worlds", "make", "--out", "new", "--size", "huge"], &["huge"]);
    here(&["worlds", "make", "--out", "worlds", "--size", "minutes"], &["worlds", "minutes"]);
    here(&[&EVAL[..], &["nobody"]].concat(), &["nobody"]);
    here(&[&EVAL[..], &["stop", "--protocol", "none"]].concat(), &["none"]);
    here(&[&EVAL[..], &["stop", "--part", "none"]].concat(), &["none"]);
    here(&[&EVAL[..], &["stop", "--set", "train.steps=3"]].concat(), &["--set"]);
    here(&["drive", "--data", "worlds:maps", "--driver", "stop"], &["worlds.json"]);
    here(&["drive", "--data", "worlds:worlds", "--driver", "stop", "--only", "test-99999"], &["test-99999"]);
    here(&["drive", "--maps", "worlds", "--routes", "routes.xml", "--driver", "stop"], &["routes.xml"]);
    here(&["bench", "speed"], &["speed"]);
}

fn cases(fast: usize, slow: usize) -> usize {
    if full() { slow } else { fast }
}

#[test]
fn mutated_maps() {
    let folder = copy(&["maps", "routes.xml"]);
    let look = [&ROUTES[..], &["--dry-run"]].concat();
    survives_mutations(PROGRAM, &look, folder.path(), "maps/Town.xodr", &["Town.xodr"], cases(60, 3000), 31);
    survives_mutations(PROGRAM, &ROUTES, folder.path(), "maps/Town.xodr", &["Town.xodr"], cases(10, 300), 32);
}

#[test]
fn mutated_routes() {
    let folder = copy(&["maps", "routes.xml"]);
    let look = [&ROUTES[..], &["--dry-run"]].concat();
    survives_mutations(PROGRAM, &look, folder.path(), "routes.xml", &["routes.xml"], cases(60, 4000), 33);
    survives_mutations(PROGRAM, &ROUTES, folder.path(), "routes.xml", &["routes.xml"], cases(20, 700), 34);
}

#[test]
fn mutated_results() {
    let folder = copy(&["driven", "a.json", "b.json", "report"]);
    let score = ["score", "bench2drive", "driven/results.json"];
    survives_mutations(PROGRAM, &score, folder.path(), "driven/results.json", &["results.json"], cases(60, 4000), 35);
    let both = ["compare", "a.json", "b.json"];
    let words = ["b.json", "cannot be compared"];
    survives_mutations(PROGRAM, &both, folder.path(), "b.json", &words, cases(30, 2000), 36);
    let report = ["report", "report"];
    for (i, file) in ["report/index.json", "report/prove.json", "report/metrics.jsonl"].into_iter().enumerate() {
        let words = ["report/", "driven/", "a.json"];
        survives_mutations(PROGRAM, &report, folder.path(), file, &words, cases(20, 1000), 37 + i as u64);
    }
}

#[test]
fn mutated_worlds() {
    let folder = copy(&["worlds"]);
    let eval = [&EVAL[..], &["constant-velocity"]].concat();
    let words = ["worlds.json", "split.json", ".world"];
    for (i, file) in
        ["worlds/worlds.json", "worlds/split.json", "worlds/worlds/test-00000.world"].into_iter().enumerate()
    {
        survives_mutations(PROGRAM, &eval, folder.path(), file, &words, cases(20, 1000), 41 + i as u64);
    }
}

#[test]
fn mutated_students() {
    let folder = copy(&["worlds", "student.onnx"]);
    let eval = [&EVAL[..], &["student.onnx", "--engine", "tract"]].concat();
    survives_mutations(PROGRAM, &eval, folder.path(), "student.onnx", &["student.onnx"], cases(20, 500), 51);
}

#[test]
fn recorded_scenes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nuscenes_mini_scenarionet");
    let Ok(scene) = std::fs::read(root.join("scene-0757.json.gz")) else {
        println!("SKIPPED: no recorded scenes at {}", root.display());
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scenes")).unwrap();
    let path = folder.path().join("scenes/scene-0757.json.gz");
    std::fs::write(&path, &scene).unwrap();
    let eval = ["eval", "planning", "--data", "scenarionet:scenes", "--driver", "constant-velocity"];
    succeed(PROGRAM, &eval, folder.path());
    for how in [Cut(0.5), Flip, Is(""), Is("{}")] {
        damage(&path, &how);
        refused(PROGRAM, &eval, folder.path(), &["scene-0757.json.gz"]);
        std::fs::write(&path, &scene).unwrap();
    }
    survives_mutations(PROGRAM, &eval, folder.path(), "scenes/scene-0757.json.gz", &["scene-0757"], cases(10, 500), 61);
}
