//! `apprentice doctor`

use crate::Console;
use apprentice_core::BoxedError;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize)]
struct Diagnosis {
    schema: &'static str,
    apprentice: &'static str,
    findings: Vec<Finding>,
}

/// Look at the machine; complain with hints.
pub fn run(console: &Console) -> Result<(), BoxedError> {
    let findings = vec![threads(), libtorch(), cuda(), onnxruntime(), tract(), trainer(), data()];
    let diagnosis = Diagnosis { schema: "apprentice.doctor/1", apprentice: env!("CARGO_PKG_VERSION"), findings };
    console.answer(&diagnosis, || {
        let mut text = format!("apprentice {}\n", diagnosis.apprentice);
        for f in &diagnosis.findings {
            text += &format!("{} {:13} {}\n", if f.hint.is_some() { "!" } else { "✓" }, f.what, f.found);
            if let Some(hint) = &f.hint {
                text += &format!("  {:13} hint: {hint}\n", "");
            }
        }
        text
    });
    Ok(())
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { what, found: found.into(), hint: None }
}

fn bad(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { what, found: found.into(), hint: Some(hint.into()) }
}

fn threads() -> Finding {
    good("threads", std::thread::available_parallelism().map_or_else(|e| e.to_string(), |n| n.to_string()))
}

/// The workspace that this program was built in, if it still stands there.
fn upwards(name: &str) -> Option<PathBuf> {
    std::env::current_exe().ok()?.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.exists())
}

fn libtorch() -> Finding {
    let setup = "run `cargo xtask setup`";
    let Some(link) = upwards(".libtorch/torch") else {
        return bad("libtorch", "not found beside the workspace; training commands will not start", setup);
    };
    match std::fs::read_to_string(link.join("version.py")) {
        Ok(text) => {
            let version = text.lines().find_map(|l| l.strip_prefix("__version__ = ")).unwrap_or("?").trim_matches('\'');
            if version.starts_with("2.11.0") {
                good("libtorch", version)
            } else {
                bad(
                    "libtorch",
                    format!("{version}, this build needs 2.11.0"),
                    "unset LIBTORCH and run `cargo xtask setup`",
                )
            }
        }
        Err(_) if link.join("lib/libtorch_cpu.so").exists() => good("libtorch", "a copy without a version file"),
        Err(_) => bad("libtorch", format!("{} holds no libtorch", link.display()), setup),
    }
}

fn cuda() -> Finding {
    let driver = Path::new("/proc/driver/nvidia/version").exists();
    // libtorch's CUDA half comes with libtorch itself; what it needs comes with `setup --cuda`, cuBLAS among it.
    let library = upwards(".libtorch/torch/lib/libtorch_cuda.so").is_some();
    let wheels = [".libtorch/nvidia/cu13/lib", ".libtorch/nvidia/cublas/lib", ".libtorch/torch/lib"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(upwards(folder)?).ok())
        .any(|files| files.flatten().any(|f| f.file_name().to_string_lossy().starts_with("libcublas.so")));
    match (driver, library && wheels) {
        (true, true) => good("cuda", "driver and libraries found; commands that learn use it, unless `--device cpu`"),
        (true, false) => bad(
            "cuda",
            "not in use: driver found, but the CUDA libraries that libtorch needs are not installed",
            "run `cargo xtask setup --cuda`",
        ),
        (false, _) => good("cuda", "not in use: no NVIDIA driver on this machine; everything runs on the CPU"),
    }
}

fn onnxruntime() -> Finding {
    let found =
        std::env::var("ORT_DYLIB_PATH").ok().map(PathBuf::from).or_else(|| upwards(".onnxruntime/onnxruntime/capi"));
    match found {
        Some(path) if path.exists() => good("onnxruntime", path.display().to_string()),
        _ => bad(
            "onnxruntime",
            "not found; .onnx drivers need `--engine tract`",
            "run `cargo xtask setup`, or set ORT_DYLIB_PATH",
        ),
    }
}

fn tract() -> Finding {
    good("tract", "built in")
}

fn trainer() -> Finding {
    let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(|folder| folder.join("apprentice-torch")));
    match beside {
        Some(path) if path.exists() => good("trainer", path.display().to_string()),
        _ => bad(
            "trainer",
            "apprentice-torch is not built; training commands will not start",
            "run `cargo build --release`",
        ),
    }
}

fn data() -> Finding {
    let roots: Vec<String> = ["NUSCENES", "CARLA_ROOT", "APPRENTICE_SHARED_DATA"]
        .iter()
        .filter_map(|name| std::env::var(name).ok().filter(|p| Path::new(p).is_dir()).map(|p| format!("{name}={p}")))
        .collect();
    if roots.is_empty() {
        good("data roots", "none named (NUSCENES, CARLA_ROOT); not needed: worlds are made here")
    } else {
        good("data roots", roots.join(", "))
    }
}
