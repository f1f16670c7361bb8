//! Formatting, lints, docs, and the arrows between rooms.

use crate::{Failure, command, root, run};
use std::collections::BTreeMap;
use std::fs;

/// Run every static check.
pub fn check() -> Result<(), Failure> {
    arrows()?;
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !command("cargo", &[tool, "--version"]).output().is_ok_and(|o| o.status.success()) {
            let hint = format!("install it, with rustup: `rustup component add {component}`");
            return Err(Failure::with_hint(format!("`cargo {tool}` does not run"), hint));
        }
    }
    run("cargo", &["fmt", "--all", "--check"]).map_err(|e| Failure::with_hint(e.message, "run `cargo fmt --all`"))?;
    run("cargo", &["clippy", "--quiet", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Rooms {
    uses: BTreeMap<String, Vec<String>>,
    tests: BTreeMap<String, Vec<String>>,
}

#[derive(serde::Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "build-dependencies")]
    build_dependencies: BTreeMap<String, toml::Value>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
}

/// Compare every crate's dependencies with `rooms.toml`.
fn arrows() -> Result<(), Failure> {
    let rooms: Rooms = toml::from_str(include_str!("../rooms.toml")).map_err(|e| format!("xtask/rooms.toml: {e}"))?;
    let mut forbidden = Vec::new();
    let mut folders: Vec<_> = fs::read_dir(root().join("crates"))
        .map_err(|e| format!("crates: {e}"))?
        .flatten()
        .map(|entry| entry.path())
        .chain([root().join("xtask")])
        .collect();
    folders.sort();
    for folder in folders {
        let path = folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let manifest: Manifest = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let room = manifest.package.name.trim_start_matches("apprentice-").to_string();
        let Some(allowed) = rooms.uses.get(&room) else {
            forbidden.push(format!("room `{room}` is not in xtask/rooms.toml"));
            continue;
        };
        let ours = |name: &String| name.strip_prefix("apprentice-").map(str::to_string);
        for used in manifest.dependencies.keys().chain(manifest.build_dependencies.keys()).filter_map(ours) {
            if !allowed.contains(&used) {
                forbidden.push(format!("{room} → {used}"));
            }
        }
        let in_tests = rooms.tests.get(&room).cloned().unwrap_or_default();
        for used in manifest.dev_dependencies.keys().filter_map(ours) {
            if !allowed.contains(&used) && !in_tests.contains(&used) {
                forbidden.push(format!("{room} → {used} (tests)"));
            }
        }
    }
    if forbidden.is_empty() {
        eprintln!("check: the arrows between rooms are as drawn");
        return Ok(());
    }
    Err(Failure::with_hint(
        format!("forbidden arrows between rooms: {}", forbidden.join("; ")),
        "docs/architecture.md draws the rooms; move the code, or change the plan there and in xtask/rooms.toml",
    ))
}
