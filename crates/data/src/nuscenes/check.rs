//! What a data set holds and what is wrong with it, for `apprentice data info` and `apprentice data check`.

use super::{CAMERAS, EGO_CHANNEL, NuScenes, Split};
use crate::fault::{Fault, whole_jpeg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The counts of a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Such as `v1.0-mini`.
    pub version: String,
    /// Scenes.
    pub scenes: usize,
    /// Scenes by split.
    pub splits: BTreeMap<String, usize>,
    /// Scenes by location.
    pub locations: BTreeMap<String, usize>,
    /// Keyframes.
    pub samples: usize,
    /// Recordings, sweeps among them.
    pub recordings: u32,
    /// Recordings at keyframes.
    pub key_recordings: usize,
    /// Ego poses.
    pub ego_poses: u32,
    /// Objects.
    pub instances: usize,
    /// Boxes.
    pub annotations: usize,
    /// Boxes by category.
    pub boxes_by_category: BTreeMap<String, usize>,
    /// Locations with a map expansion.
    pub map_expansions: Vec<String>,
    /// Scenes with CAN bus messages.
    pub can_scenes: usize,
}

impl Check {
    /// Count.
    pub fn of(set: &NuScenes) -> Self {
        let t = &set.tables;
        let mut check = Self {
            version: set.version().into(),
            scenes: t.scenes.len(),
            samples: t.samples.len(),
            recordings: t.data_rows,
            key_recordings: t.data.len(),
            ego_poses: t.pose_rows,
            instances: t.instances.len(),
            annotations: t.annotations.len(),
            ..Self::default()
        };
        for scene in &t.scenes {
            let known = Split::ALL.iter().filter(|s| set.version().ends_with(s.version) && s.holds(&scene.name));
            known.for_each(|s| *check.splits.entry(s.name.into()).or_default() += 1);
            *check.locations.entry(t.logs[scene.log as usize].location.clone()).or_default() += 1;
            let can = set.root().join("can_bus").join(format!("{}_pose.json", scene.name));
            check.can_scenes += usize::from(can.is_file());
        }
        let mapped =
            |location: &&String| set.root().join("maps/expansion").join(location).with_extension("json").is_file();
        check.map_expansions = check.locations.keys().filter(mapped).cloned().collect();
        for annotation in &t.annotations {
            let category = t.instances[annotation.instance as usize].category;
            *check.boxes_by_category.entry(t.categories[category as usize].clone()).or_default() += 1;
        }
        check
    }
}

/// Everything that is wrong with a data set's keyframes and files. Opening it has checked the tables.
pub fn faults(set: &NuScenes) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |kind: &str, subject: String, problem: String| {
        faults.push(Fault { kind: kind.into(), subject, problem });
    };
    for (scene, at) in set.tables.scenes.iter().zip(0_u32..) {
        let samples: Vec<u32> = set.samples_of(at).collect();
        let time = |sample: u32| set.tables.samples[sample as usize].timestamp_us;
        for pair in samples.windows(2).filter(|pair| time(pair[1]) <= time(pair[0])) {
            let subject =
                format!("{} sample {}", scene.name, set.token_text(set.tables.samples[pair[1] as usize].token));
            add("sample", subject, "it is not later than the sample before it".into());
        }
        for sample in samples {
            let name =
                || format!("{} sample {}", scene.name, set.token_text(set.tables.samples[sample as usize].token));
            let missing: Vec<&str> =
                CAMERAS.iter().chain([&EGO_CHANNEL]).filter(|c| set.recording(sample, c).is_none()).copied().collect();
            if !missing.is_empty() {
                add("sample", name(), format!("no keyframe of {}", missing.join(", ")));
            }
        }
    }
    for map in &set.tables.maps {
        if !set.root().join(&map.filename).is_file() {
            add("map", map.filename.clone(), "the file is missing".into());
        }
    }
    for data in &set.tables.data {
        let path = set.root().join(&data.filename);
        if !path.is_file() {
            add("file", data.filename.clone(), "the file is missing".into());
        } else if set.channel(data).starts_with("CAM_")
            && let Err(problem) = whole_jpeg(&path, Some([data.width, data.height]))
        {
            add("image", data.filename.clone(), problem);
        }
    }
    faults
}
