//! `apprentice data info|check|export`, and recordings as sources.

use super::part_named;
use crate::arguments::{DataExport, DataRead, ExportFormat};
use crate::source::Source;
use crate::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_data::export::{Bench2DriveOptions, Exported, NuScenesOptions, bench2drive, nuscenes};
use apprentice_data::nuscenes::{Check, Fault, NuScenes, faults};
use apprentice_data::scenarionet::Scene;
use apprentice_data::{Part, WorldSet, bench2drive::read_clip, scenarionet};
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
            let stride = std::fs::read_to_string(dir.join(STRIDE_FILE)).ok();
            let stride = stride.and_then(|text| text.trim().parse().ok()).unwrap_or(CLIP_STRIDE);
            let scenes: Result<Vec<Scene>, _> = clips(dir)?.iter().map(|clip| read_clip(clip, stride)).collect();
            Ok(("worlds", scenes?))
        }
        Source::Worlds(dir) => Err(CliError::new(
            format!("worlds:{} is simulated, not recorded", dir.display()),
            "name scenarionet:DIR, nuscenes:ROOT or bench2drive:DIR",
        )
        .into()),
    }
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
            Ok((Holds::Other(Counts { scenes: scenes.len(), samples: moments().count(), boxes }), Vec::new()))
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
    if document.sound {
        return Ok(());
    }
    let message = format!("{} faults in {}", document.faults.len(), read.data);
    Err(CliError::new(message, "unpack the data set again, or leave out the scenes named").into())
}

/// Write simulated worlds as another data set.
pub fn export(export: &DataExport, console: &Console) -> Result<(), BoxedError> {
    let Source::Worlds(dir) = &export.data else {
        return Err(CliError::new("only worlds can be exported", "name worlds:DIR").into());
    };
    let set = WorldSet::open(dir)?;
    let parts: Result<Vec<Part>, BoxedError> = export.parts.iter().map(|name| part_named(name)).collect();
    let parts = parts?;
    let size = export.size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let size: (usize, usize) =
        size.filter(|(w, h)| (16..=4096).contains(w) && (16..=4096).contains(h)).ok_or_else(|| {
            CliError::new(
                format!("`{}` is no size of a picture", export.size),
                "give width and height, such as 1600x900",
            )
        })?;
    let (out, limit) = (export.out.clone(), export.limit);
    let quality = |usual: u8| export.quality.unwrap_or(usual).clamp(1, 100);
    let (to, exported) = match export.to {
        ExportFormat::Nuscenes => {
            let (version, quality) = (export.version.clone(), quality(90));
            ("nuscenes", nuscenes(&set, &NuScenesOptions { out, version, parts, size, quality, limit }, console)?)
        }
        ExportFormat::Bench2drive => {
            let options = Bench2DriveOptions { out, parts, size, quality: quality(20), limit };
            let exported = bench2drive(&set, &options, console)?;
            apprentice_store::write_atomic(&export.out.join(STRIDE_FILE), b"1\n")?;
            ("bench2drive", exported)
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
        for (world, name) in &exported.scenes {
            lines += &format!("  {name}: {world}\n");
        }
        for (world, reason) in &exported.left_out {
            lines += &format!("  left out: {world}: {reason}\n");
        }
        lines
    });
    Ok(())
}
