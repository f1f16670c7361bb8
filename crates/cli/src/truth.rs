//! A nuScenes data set as the judge's truth: `eval` opens no data, `data` knows no scores, so they meet here.

use apprentice_core::BoxedError;
use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_data::nuscenes::tables::{Annotation, Place};
use apprentice_data::nuscenes::token::Token;
use apprentice_data::nuscenes::{MapExpansion, NuScenes, class_of_category, yaw_rad};
use apprentice_eval::perception::Named;
use apprentice_eval::perception::{ATTRIBUTES, TruthBox, TruthSample, WorldBox};
use apprentice_eval::prediction::{self, PredictedAgent};
use apprentice_eval::{EvalError, motion_uniad};
use std::collections::BTreeMap;

/// Boxes in these take no part.
const BICYCLE_RACK: &str = "static_object.bicycle_rack";

fn world_box(place: &Place, size_wlh_m: [f64; 3]) -> WorldBox {
    WorldBox { center: place.translation, size_wlh_m, rotation: place.rotation }
}

/// The keyframes of a split, scene after scene. Futures are the next keyframes', as far as they follow without a gap.
///
/// # Errors
/// When the split is not in this data set, or a keyframe has no pose.
pub fn truth_of(set: &NuScenes, split: &str) -> Result<Vec<TruthSample>, BoxedError> {
    let next = |a: &Annotation| {
        let ahead = set.ahead(a, HORIZON_STEPS);
        ahead.map(|a| [a.place.translation[0], a.place.translation[1]]).collect()
    };
    truth_with(set, split, next)
}

/// The same with the futures that `motion-uniad` compares with.
///
/// # Errors
/// As [`truth_of`].
pub fn truth_for_uniad(set: &NuScenes, split: &str) -> Result<Vec<TruthSample>, BoxedError> {
    let (steps, limit_s) = motion_uniad::protocol()?.values.future();
    truth_with(set, split, |a| set.future(a, steps, limit_s))
}

fn truth_with(
    set: &NuScenes,
    split: &str,
    future: impl Fn(&Annotation) -> Vec<[f64; 2]>,
) -> Result<Vec<TruthSample>, BoxedError> {
    let tables = &set.tables;
    let category = |a: &Annotation| tables.instances[a.instance as usize].category as usize;
    let classes: Vec<_> = tables.categories.iter().map(|name| class_of_category(name)).collect();
    let attributes: Vec<Option<u8>> =
        tables.attributes.iter().map(|name| ATTRIBUTES.iter().position(|a| a == name).map(|at| at as u8)).collect();
    let mut out = Vec::new();
    for scene in set.scenes_of(split)? {
        for sample in set.samples_of(scene) {
            let row = &tables.samples[sample as usize];
            let ego = set.ego(sample)?;
            let (mut boxes, mut bicycle_racks) = (Vec::new(), Vec::new());
            for (_, annotation) in set.boxes(sample) {
                if tables.categories[category(annotation)] == BICYCLE_RACK {
                    bicycle_racks.push(world_box(&annotation.place, annotation.size_wlh_m));
                }
                let Some(class) = classes[category(annotation)] else { continue };
                boxes.push(TruthBox {
                    bounds: world_box(&annotation.place, annotation.size_wlh_m),
                    class,
                    velocity_mps: set.velocity_mps(annotation),
                    attribute: attributes.get(annotation.attribute as usize).copied().flatten(),
                    points: annotation.lidar_points.saturating_add(annotation.radar_points),
                    track: annotation.instance,
                    future: future(annotation),
                });
            }
            out.push(TruthSample {
                token: set.token_text(row.token),
                scene,
                timestamp_us: row.timestamp_us,
                ego: ego.translation,
                ego_yaw_rad: yaw_rad(ego.rotation),
                boxes,
                bicycle_racks,
            });
        }
    }
    Ok(out)
}

/// The recorded future of each predicted agent, and the share of its modes that leave the drivable area.
type Future = (Vec<[f64; 2]>, Option<f64>);

/// What happened to the agents of a result file.
///
/// # Errors
/// When an entry names an agent or a keyframe that is not in the data set, or a map cannot be read.
pub fn futures_of(set: &NuScenes, named: &Named, entries: &[PredictedAgent]) -> Result<Vec<Future>, BoxedError> {
    let horizon = prediction::protocol()?.values.horizon;
    let count = (horizon.seconds * horizon.steps_per_second) as usize;
    let limit_s = f64::from(horizon.seconds) + horizon.slack_s;
    let tables = &set.tables;
    let place = |tokens: &mut dyn Iterator<Item = Token>| -> BTreeMap<Token, u32> { tokens.zip(0..).collect() };
    let instances = place(&mut tables.instances.iter().map(|i| i.token));
    let samples = place(&mut tables.samples.iter().map(|s| s.token));
    let mut maps: BTreeMap<&str, Option<MapExpansion>> = BTreeMap::new();
    let mut out = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        let wrong = |field: &str, message: String| {
            let field = format!("[{i}].{field}");
            EvalError::Field { file: named.results.clone(), field, message }
        };
        let find = |table: &BTreeMap<Token, u32>, field: &str, token: &str| {
            let row = table.get(&Token::new(token.as_bytes())).copied();
            row.ok_or_else(|| wrong(field, format!("`{token}` is not in the data set")))
        };
        let instance = find(&instances, "instance", &entry.instance)?;
        let sample = find(&samples, "sample", &entry.sample)?;
        let annotation = set.boxes(sample).find(|(_, a)| a.instance == instance);
        let (_, annotation) = annotation
            .ok_or_else(|| wrong("instance", format!("`{}` has no box at `{}`", entry.instance, entry.sample)))?;
        let scene = tables.samples[sample as usize].scene;
        let location = tables.logs[tables.scenes[scene as usize].log as usize].location.as_str();
        if !maps.contains_key(location) {
            maps.insert(location, MapExpansion::read(set, location)?);
        }
        let off_road = maps[location].as_ref().map(|map| {
            let leaves = |mode: &&Vec<[f64; 2]>| !prediction::path(mode).iter().all(|p| map.drivable.covers(*p));
            entry.prediction.iter().filter(leaves).count() as f64 / entry.prediction.len() as f64
        });
        out.push((set.future(annotation, count, limit_s), off_road));
    }
    Ok(out)
}
