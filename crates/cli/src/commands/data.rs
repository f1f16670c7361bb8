//! `apprentice data info|check|export`, and recordings as sources.

use super::part_named;
use crate::arguments::{DataExport, DataRead, ExportFormat};
use crate::source::Source;
use crate::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_data::export::{
    Bench2DriveOptions, Exported, NuScenesOptions, RecordedOptions, bench2drive, nuscenes, recorded,
};
use apprentice_data::nuscenes::{Check, NuScenes, faults};
use apprentice_data::scenarionet::Scene;
use apprentice_data::staged::stage_dir;
use apprentice_data::{Fault, Part, WorldSet, bench2drive as clips_of, scenarionet};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Keyframes of Bench2Drive's clips, by their frames: originals run at 10 Hz, exported ones say that they do not.
const CLIP_STRIDE: usize = 5;
/// Written beside exported clips.
const STRIDE_FILE: &str = "keyframe_stride";

/// What `data info` and `data check` print of a source that is no nuScenes data set.
#[derive(Clone, Debug, Default, Serialize)]
struct Counts {
    scenes: usize,
    samples: usize,
    boxes: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Holds {
    NuScenes(Box<Check>),
    Other(Counts),
}

#[derive(Serialize)]
struct Info {
    schema: &'static str,
    data: String,
    kind: &'static str,
    holds: Holds,
}

#[derive(Serialize)]
struct Checked {
    schema: &'static str,
    data: String,
    kind: &'static str,
    sound: bool,
    faults: Vec<Fault>,
    holds: Holds,
}

#[derive(Serialize)]
struct Written<'a> {
    schema: &'static str,
    data: String,
    to: &'static str,
    out: &'a Path,
    #[serde(flatten)]
    exported: &'a Exported,
}

/// Scenes of a recorded source, and the name of its ego's box.
///
/// # Errors
/// When a scene cannot be read, or the source is no recording.
pub fn recorded_scenes(source: &Source) -> Result<(&'static str, Vec<Scene>), BoxedError> {
    match source {
        Source::ScenarioNet(dir) => Ok(("nuscenes", scenarionet::read_dir(dir)?)),
        Source::NuScenes(root) => {
            let set = NuScenes::open(root, None)?;
            let scenes: Result<Vec<Scene>, _> = (0..set.tables.scenes.len() as u32).map(|at| set.scene(at)).collect();
            Ok(("nuscenes", scenes?))
        }
        Source::Bench2Drive(dir) => {
            let stride = stride_of(dir)?;
            let scenes: Result<Vec<Scene>, _> =
                clips(dir)?.iter().map(|clip| clips_of::read_clip(clip, stride)).collect();
            Ok(("worlds", scenes?))
        }
        Source::Worlds(dir) => Err(CliError::new(
            format!("worlds:{} is simulated, not recorded", dir.display()),
            "name scenarionet:DIR, nuscenes:ROOT or bench2drive:DIR",
        )
        .into()),
    }
}

/// How many frames lie between keyframes of a folder's clips.
fn stride_of(dir: &Path) -> Result<usize, BoxedError> {
    let path = dir.join(STRIDE_FILE);
    if !path.is_file() {
        return Ok(CLIP_STRIDE);
    }
    let (file, text) = super::sheet::read(&path)?;
    text.trim().parse().ok().filter(|stride| *stride > 0).ok_or_else(|| {
        let message = format!("{file}: `{}` is no number of frames", text.trim());
        CliError::new(message, "write 1 for clips that `data export` wrote, or remove the file for clips at 10 Hz")
            .into()
    })
}

/// Folders with annotations, in order.
fn clips(dir: &Path) -> Result<Vec<PathBuf>, BoxedError> {
    let io = |source| apprentice_data::DataError::Io { path: dir.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.join("anno").is_dir() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        let message = format!("{} holds no clip (a folder with `anno` in it)", dir.display());
        return Err(CliError::new(message, "name the folder that holds the clips").into());
    }
    Ok(found)
}

fn look(read: &DataRead, with_faults: bool) -> Result<(Holds, Vec<Fault>), BoxedError> {
    match &read.data {
        Source::NuScenes(root) => {
            let set = NuScenes::open(root, read.version.as_deref())?;
            let found = if with_faults { faults(&set) } else { Vec::new() };
            Ok((Holds::NuScenes(Box::new(Check::of(&set))), found))
        }
        Source::Worlds(dir) => {
            let set = WorldSet::open(dir)?;
            let ids = set.ids_where(|_, _| true);
            let mut counts = Counts { scenes: set.index().worlds.len(), samples: ids.len(), boxes: 0 };
            if with_faults {
                for id in &ids {
                    counts.boxes += set.sample(id)?.agents.len();
                }
            }
            Ok((Holds::Other(counts), Vec::new()))
        }
        recorded => {
            let (_, scenes) = recorded_scenes(recorded)?;
            let moments = || scenes.iter().flat_map(|s| &s.moments);
            let boxes = moments().map(|m| m.sample.agents.len()).sum();
            let mut found = Vec::new();
            if let (Source::Bench2Drive(dir), true) = (recorded, with_faults) {
                let stride = stride_of(dir)?;
                for clip in clips(dir)? {
                    found.extend(clips_of::faults(&clip, stride)?);
                }
            }
            Ok((Holds::Other(Counts { scenes: scenes.len(), samples: moments().count(), boxes }), found))
        }
    }
}

fn text(data: &Source, holds: &Holds) -> String {
    match holds {
        Holds::Other(c) => format!("{data}: {} scenes, {} samples, {} boxes", c.scenes, c.samples, c.boxes),
        Holds::NuScenes(c) => {
            let mut text = format!(
                "{data} ({}): {} scenes, {} samples, {} recordings ({} at keyframes), {} objects, {} boxes\n",
                c.version, c.scenes, c.samples, c.recordings, c.key_recordings, c.instances, c.annotations
            );
            for (name, scenes) in &c.splits {
                text += &format!("  split {name}: {scenes} scenes\n");
            }
            for (name, scenes) in &c.locations {
                let map = if c.map_expansions.contains(name) { "with map expansion" } else { "no map expansion" };
                text += &format!("  {name}: {scenes} scenes, {map}\n");
            }
            text += &format!("  CAN bus: {} scenes\n", c.can_scenes);
            for (name, boxes) in &c.boxes_by_category {
                text += &format!("  {name}: {boxes} boxes\n");
            }
            text
        }
    }
}

/// Count what a source holds.
pub fn info(read: &DataRead, console: &Console) -> Result<(), BoxedError> {
    let (holds, _) = look(read, false)?;
    let info = Info { schema: "apprentice.data-info/1", data: read.data.to_string(), kind: read.data.kind(), holds };
    console.answer(&info, || text(&read.data, &info.holds));
    Ok(())
}

/// Read everything of a source and report what is wrong with it.
pub fn check(read: &DataRead, console: &Console) -> Result<(), BoxedError> {
    let (holds, faults) = look(read, true)?;
    let document = Checked {
        schema: "apprentice.data-check/1",
        data: read.data.to_string(),
        kind: read.data.kind(),
        sound: faults.is_empty(),
        faults,
        holds,
    };
    console.answer(&document, || {
        let mut lines = text(&read.data, &document.holds);
        for fault in &document.faults {
            lines += &format!("  {}: {}: {}\n", fault.kind, fault.subject, fault.problem);
        }
        lines + if document.sound { "nothing is wrong" } else { "" }
    });
    let Some(first) = document.faults.first() else { return Ok(()) };
    let count = document.faults.len();
    let more = if count == 1 { String::new() } else { format!(" (and {} more faults)", count - 1) };
    let message = format!("{}: {} {}: {}{more}", read.data, first.kind, first.subject, first.problem);
    Err(CliError::new(message, "unpack the data set again, or leave out the scenes named").into())
}

/// Write simulated worlds, or recorded scenes with rendered pictures, as another data set.
pub fn export(export: &DataExport, console: &Console) -> Result<(), BoxedError> {
    let size = export.size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let size: (usize, usize) =
        size.filter(|(w, h)| (16..=4096).contains(w) && (16..=4096).contains(h)).ok_or_else(|| {
            CliError::new(
                format!("`{}` is no size of a picture", export.size),
                "give width and height, such as 1600x900",
            )
        })?;
    let quality = |usual: u8| export.quality.unwrap_or(usual).clamp(1, 100);
    if std::fs::read_dir(&export.out).is_ok_and(|mut entries| entries.next().is_some()) {
        let message = format!("{} is not empty", export.out.display());
        return Err(CliError::new(message, "name a new folder: two data sets in one would be mixed").into());
    }
    let to = match export.to {
        ExportFormat::Nuscenes => "nuscenes",
        ExportFormat::Bench2drive => "bench2drive",
    };
    let exported = match (&export.data, export.to) {
        (Source::Worlds(dir), _) if export.cameras_of.is_none() => {
            let set = WorldSet::open(dir)?;
            let parts: Vec<Part> = export.parts.iter().map(|name| part_named(name)).collect::<Result<_, _>>()?;
            let (out, limit) = (export.out.clone(), export.limit);
            match export.to {
                ExportFormat::Nuscenes => {
                    let (version, quality) = (export.version.clone(), quality(90));
                    nuscenes(&set, &NuScenesOptions { out, version, parts, size, quality, limit }, console)?
                }
                ExportFormat::Bench2drive => {
                    let options = Bench2DriveOptions { out, parts, size, quality: quality(20), limit };
                    let exported = bench2drive(&set, &options, console)?;
                    apprentice_store::write_atomic(&export.out.join(STRIDE_FILE), b"1\n")?;
                    exported
                }
            }
        }
        (Source::ScenarioNet(dir), ExportFormat::Nuscenes) => {
            let cameras_of = match &export.cameras_of {
                None => None,
                Some(Source::NuScenes(root)) => Some(NuScenes::open(root, None)?),
                Some(other) => {
                    let message = format!("{other} has no cameras of recorded scenes");
                    return Err(CliError::new(message, "name nuscenes:ROOT").into());
                }
            };
            let options = RecordedOptions {
                out: export.out.clone(),
                version: export.version.clone(),
                size,
                quality: quality(90),
                limit: export.limit,
                cameras_of: cameras_of.as_ref(),
            };
            recorded(&stage_dir(dir)?, &options, console)?
        }
        (source, _) => {
            return Err(CliError::new(
                format!("{source} cannot be exported so"),
                "worlds:DIR goes to nuscenes and bench2drive, scenarionet:DIR (with --cameras-of) to nuscenes",
            )
            .into());
        }
    };
    let data = export.data.to_string();
    let written = Written { schema: "apprentice.data-export/1", data, to, out: &export.out, exported: &exported };
    console.answer(&written, || {
        let mut lines = format!(
            "{}: {} scenes, {} samples, {} boxes, {} pictures\n",
            export.out.display(),
            exported.scenes.len(),
            exported.samples,
            exported.boxes,
            exported.images
        );
        for (from, name) in &exported.scenes {
            lines += &format!("  {name}: {from}\n");
        }
        for (from, reason) in &exported.left_out {
            lines += &format!("  left out: {from}: {reason}\n");
        }
        lines
    });
    Ok(())
}
