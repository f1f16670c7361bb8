//! Recorded scenes without pictures, rendered and written as a nuScenes data set: real behaviour, synthetic pixels, and each
//! scene's description says so. Names, places and coordinates stay the recording's own.

use super::Exported;
use super::expansion::{LOCATIONS, LocationMap};
use super::nuscenes::{CanMessages, Category, Shot, category};
use super::tables::{CATEGORIES, SceneRows, write_tables};
use crate::DataError;
use crate::nuscenes::{NuScenes, Split};
use crate::staged::Staged;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Progress, Rig};
use apprentice_render::{Frames, Renderer};
use apprentice_sim::state::ActorState;
use std::path::PathBuf;

/// How to export recorded scenes.
pub struct RecordedOptions<'a> {
    /// Folder to write.
    pub out: PathBuf,
    /// `v1.0-mini` or `v1.0-trainval`: it must know the scenes' names.
    pub version: String,
    /// Width and height of the pictures.
    pub size: (usize, usize),
    /// Quality of the JPEGs.
    pub quality: u8,
    /// At most this many scenes.
    pub limit: Option<usize>,
    /// The data set whose cameras are used for scenes that it holds; Bench2Drive's rig for all others.
    pub cameras_of: Option<&'a NuScenes>,
}

/// Write the data set.
///
/// # Errors
/// When no scene is left, or a file cannot be written.
pub fn recorded(
    scenes: &[Staged],
    options: &RecordedOptions<'_>,
    progress: &dyn Progress,
) -> Result<Exported, DataError> {
    let splits: Vec<&Split> = Split::ALL.iter().filter(|split| options.version.ends_with(split.version)).collect();
    let mut exported = Exported::default();
    let mut maps: Vec<LocationMap> = (0..LOCATIONS.len()).map(LocationMap::new).collect();
    let mut used = [false; LOCATIONS.len()];
    let mut chosen = Vec::new();
    for staged in scenes {
        let scene = &staged.scene;
        let location = LOCATIONS.iter().position(|(name, ..)| *name == scene.place);
        let known = splits.iter().any(|split| split.holds(&scene.name));
        let why = match location {
            _ if !known => format!("{} has no scene of this name", options.version),
            None => format!("nuScenes has no map `{}`", scene.place),
            Some(_) if options.limit.is_some_and(|limit| chosen.len() >= limit) => "over the limit".into(),
            Some(at) => {
                maps[at].add_ground(&scene.name, &staged.ground);
                used[at] = true;
                chosen.push(staged);
                continue;
            }
        };
        exported.left_out.push((scene.name.clone(), why));
    }
    if chosen.is_empty() {
        let first = exported.left_out.first().map_or("there is none", |(_, why)| why);
        return Err(DataError::Request(format!("no scene to export: {first}")));
    }
    let mut written = Vec::new();
    for (map, _) in maps.into_iter().zip(used).filter(|(_, used)| *used) {
        let name = map.name.to_string();
        written.push((name, map.write(&options.out)?));
    }
    progress.start("scenes", chosen.len() as u64);
    let mut buffers = (Renderer::new(), Frames::default());
    let mut rows = Vec::with_capacity(chosen.len());
    for (staged, number) in chosen.into_iter().zip(0..) {
        let scene = film(staged, number, options, &mut buffers)?;
        exported.samples += scene.keyframes.len();
        exported.boxes += scene.keyframes.iter().map(|k| k.boxes.len()).sum::<usize>();
        exported.images += scene.keyframes.iter().map(|k| k.recordings.len() - 1).sum::<usize>();
        exported.scenes.push((staged.scene.name.clone(), scene.name.clone()));
        rows.push(scene);
        progress.advance(1);
    }
    progress.finish();
    write_tables(&options.out, &options.version, &rows, &written)?;
    Ok(exported)
}

fn film(
    staged: &Staged,
    number: u64,
    options: &RecordedOptions<'_>,
    buffers: &mut (Renderer, Frames),
) -> Result<SceneRows, DataError> {
    let name = &staged.scene.name;
    let real = options.cameras_of.and_then(|set| cameras_of(set, name, options.size));
    let whose = if real.is_some() { "the recording's cameras" } else { "Bench2Drive's cameras" };
    let rig = real.unwrap_or_else(|| Rig::bench2drive(options.size.0, options.size.1));
    let shot = Shot {
        out: &options.out,
        quality: options.quality,
        name,
        number,
        town: &staged.town,
        rig: &rig,
        shift: DVec2::ZERO,
    };
    // What it was recorded as, where nuScenes has that category; its looks are only the renderer's.
    let recorded = |actor: &ActorState| -> Category {
        let (by_looks, attribute) = category(actor);
        let own = staged.categories.get(&actor.id).and_then(|own| CATEGORIES.iter().find(|c| *c == own));
        (own.copied().unwrap_or(by_looks), attribute)
    };
    let mut can = CanMessages::default();
    let mut keyframes = Vec::with_capacity(staged.snapshots.len());
    for (index, snapshot) in staged.snapshots.iter().enumerate() {
        let keyframe = shot.keyframe(index, snapshot, &recorded, buffers)?;
        can.add(keyframe.timestamp_us, &snapshot.ego, keyframe.ego);
        keyframes.push(keyframe);
    }
    let way: Vec<[f64; 2]> = staged.snapshots.iter().map(|s| s.ego.pose_in_world.position().to_array()).collect();
    can.write(&options.out, name, &way)?;
    Ok(SceneRows {
        name: name.clone(),
        description: format!("real behaviour, synthetic pixels through {whose}: rendered from recorded tracks"),
        location: staged.scene.place.clone(),
        logfile: format!("rendered-{name}"),
        keyframes,
    })
}

/// The cameras of a scene's first keyframe, scaled to pictures of a size; `None` unless all six are there.
fn cameras_of(set: &NuScenes, scene: &str, (width, height): (usize, usize)) -> Option<Rig> {
    let row = set.tables.scenes.iter().find(|row| row.name == scene)?;
    let mut cameras: Vec<_> = set.cameras(row.first).into_iter().map(|frame| frame.camera).collect();
    for camera in &mut cameras {
        let scale = [width as f64 / camera.width.max(1) as f64, height as f64 / camera.height.max(1) as f64];
        (camera.width, camera.height) = (width, height);
        camera.focal = [camera.focal[0] * scale[0], camera.focal[1] * scale[1]];
        camera.principal = [camera.principal[0] * scale[0], camera.principal[1] * scale[1]];
    }
    (cameras.len() == crate::nuscenes::CAMERAS.len()).then_some(Rig { cameras })
}
