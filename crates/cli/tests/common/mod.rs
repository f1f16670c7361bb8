//! What the tests of both programs share: running them, killing them, and comparing what they leave.
#![allow(dead_code, clippy::print_stdout)] // each test uses its part and may say what it did

use apprentice_core::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Whether the slow suites are wanted (`cargo xtask test --full`).
pub fn full() -> bool {
    std::env::var("APPRENTICE_TEST_FULL").is_ok_and(|v| v == "1")
}

/// A program with arguments, started in a folder; two threads, so that runs repeat.
pub fn command(program: &str, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(["--quiet", "--threads", "2"]).current_dir(folder).env("OMP_WAIT_POLICY", "PASSIVE");
    command
}

/// Run to the end.
pub fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    command(program, arguments, folder).output().unwrap()
}

/// Run to the end, which must be a good one; what it printed.
pub fn succeed(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = run(program, arguments, folder);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} in {}: {}\n{errors}", folder.display(), output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Fields of JSON files that hold times (docs/volatile.md).
const VOLATILE_FIELDS: [&str; 4] = ["duration_system", "ms_per_plan", "ms_per_frame", "seconds"];
/// Files whose bytes may differ as a whole (docs/volatile.md).
const VOLATILE_FILES: [&str; 1] = ["journal.done"];

fn steady(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| !VOLATILE_FIELDS.contains(&name.as_str()));
            fields.values_mut().for_each(steady);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(steady),
        _ => {}
    }
}

/// Every file below a folder by relative path, without what may differ between two runs.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            if VOLATILE_FILES.iter().any(|name| path.ends_with(name)) {
                bytes.clear();
            } else if path.extension().is_some_and(|e| e == "json") {
                let mut value = serde_json::from_slice(&bytes).unwrap();
                steady(&mut value);
                bytes = serde_json::to_vec(&value).unwrap();
            }
            found.insert(path.strip_prefix(root).unwrap().into(), bytes);
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn assert_same(wanted: &BTreeMap<PathBuf, Vec<u8>>, got: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(wanted), names(got), "{what}: other files");
    for (path, bytes) in wanted {
        assert!(got[path] == *bytes, "{what}: {} differs from the undisturbed run's", path.display());
    }
}

/// Kill a command at random moments, again and again, then let it end: it must leave what an undisturbed run leaves.
///
/// `arguments` write below the folder they are started in. The moments are drawn from `seed` over the time an undisturbed
/// run takes, so they fall on every part of it.
pub fn survives_kills(program: &str, arguments: &[&str], seed: u64) {
    let kills = if full() { 20 } else { 3 };
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let begun = Instant::now();
    succeed(program, arguments, &whole);
    let lasts_s = begun.elapsed().as_secs_f64();
    let wanted = tree(&whole);
    succeed(program, arguments, &whole);
    assert_same(&wanted, &tree(&whole), "the same command after the end");

    let mut rng = Rng::new(&[seed]);
    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        round += 1;
        assert!(round < 20 * kills, "the program ends before it can be killed");
        let folder = place.path().join(format!("round-{round}"));
        std::fs::create_dir(&folder).unwrap();
        let mut history = String::new();
        // A run is disturbed up to three times before it may end.
        for _ in 0..3 {
            let wait_s = lasts_s * rng.uniform();
            let mut child =
                command(program, arguments, &folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_secs_f64(wait_s));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "seed {seed}, after kills at{history}: {status}");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            history += &format!(" {wait_s:.2} s");
        }
        succeed(program, arguments, &folder);
        assert_same(&wanted, &tree(&folder), &format!("seed {seed}, killed at{history} of {lasts_s:.2} s"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
    println!("{}: {killed} kills in {round} runs of {lasts_s:.1} s", arguments[..2].join(" "));
}

/// What a run of a program on a bad file left on stderr, or `None` when it found nothing wrong.
///
/// Whatever the file: the program ends by itself in reasonable time and without a panic, and an error is one message
/// with one hint.
pub fn complaint(program: &str, arguments: &[&str], folder: &Path, context: &str) -> Option<String> {
    let (out, err) = (folder.join(".stdout"), folder.join(".stderr"));
    let file = |path: &Path| std::fs::File::create(path).unwrap();
    let mut child = command(program, arguments, folder).stdout(file(&out)).stderr(file(&err)).spawn().unwrap();
    let status = wait(&mut child).unwrap_or_else(|| panic!("{context}: {arguments:?} does not end"));
    let said = std::fs::read_to_string(&err).unwrap();
    let (code, at) = (status.code(), format!("{context}: {arguments:?}: {status}\n{said}"));
    assert!(code.is_some() && code != Some(101) && !said.contains("panicked"), "{at}");
    if status.success() {
        return None;
    }
    let lines = |prefix: &str| said.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!((lines("error: "), lines("hint: ")), (1, 1), "{at}");
    Some(said)
}

/// The status of a process that ends within five minutes.
fn wait(child: &mut std::process::Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(300) {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// A program must refuse what it is given, name every one of `words`, and leave the folder as it was.
pub fn refused(program: &str, arguments: &[&str], folder: &Path, words: &[&str]) {
    let (out, err) = (folder.join(".stdout"), folder.join(".stderr"));
    [&out, &err].into_iter().for_each(|path| std::fs::write(path, "").unwrap());
    let names = |folder: &Path| tree_names(folder).collect::<Vec<_>>();
    let before = names(folder);
    let said = complaint(program, arguments, folder, "refused");
    let said = said.unwrap_or_else(|| panic!("{arguments:?} finds nothing wrong"));
    for word in words {
        assert!(said.contains(word), "{arguments:?}: `{word}` is not in\n{said}");
    }
    assert_eq!(names(folder), before, "{arguments:?}: half-written files");
}

fn tree_names(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut found = vec![];
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found.into_iter()
}

/// A new folder with copies of some files and folders of another.
pub fn copies(from: &Path, names: &[&str]) -> tempfile::TempDir {
    fn all(from: &Path, to: &Path) {
        if from.is_dir() {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                all(&entry.path(), &to.join(entry.file_name()));
            }
        } else {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| all(&from.join(name), &folder.path().join(name)));
    folder
}

/// One to four small damages: flipped bits, cut, doubled and lost pieces, other digits.
pub fn mutate(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..1 + rng.below(4) {
        if bytes.len() < 64 {
            break;
        }
        let at = rng.below(bytes.len() - 40);
        let piece = 1 + rng.below(39);
        match rng.below(8) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next_u64() as u8,
            2 => bytes.insert(at, b"0123456789.-e\"<{"[rng.below(16)]),
            3 => drop(bytes.drain(at..at + piece)),
            4 => {
                let twice = bytes[at..at + piece].to_vec();
                bytes.splice(at..at, twice);
            }
            5 if rng.chance(0.2) => bytes.truncate(at),
            _ => {
                let end = bytes.len().min(at + 400);
                if let Some(k) = bytes[at..end].iter().position(u8::is_ascii_digit) {
                    bytes[at + k] = b"0123456789-e."[rng.below(13)];
                }
            }
        }
    }
    bytes
}

/// Damage a file again and again: whatever comes out, the program ends well, with an error that has a hint or without one.
///
/// `arguments` are run in `folder`, where `file` lies; every complaint must name one of `words`. The file is put back.
pub fn survives_mutations(
    program: &str,
    arguments: &[&str],
    folder: &Path,
    file: &str,
    words: &[&str],
    cases: usize,
    seed: u64,
) {
    let path = folder.join(file);
    let good = std::fs::read(&path).unwrap();
    let mut refusals = 0;
    for case in 0..cases as u64 {
        std::fs::write(&path, mutate(&good, &mut Rng::new(&[seed, case]))).unwrap();
        let context = format!("{file}, seed {seed}, case {case}");
        if let Some(said) = complaint(program, arguments, folder, &context) {
            refusals += 1;
            assert!(words.iter().any(|word| said.contains(word)), "{context}: no file is named in\n{said}");
        }
    }
    std::fs::write(&path, good).unwrap();
    println!("{file}: {cases} mutations, {refusals} refused");
}
