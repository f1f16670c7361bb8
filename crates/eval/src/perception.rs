//! What detection, tracking and motion share: recorded and predicted boxes, the frozen protocols' common part, nuScenes'
//! result files, and the filter that decides which boxes count.
//!
//! The definitions are those of nuscenes-devkit 1.2.0 (`eval/common`); its order of boxes is kept wherever it decides a
//! tie. Truth comes in as plain data ([`TruthSample`]): the judge opens no data set.

use crate::EvalError;
use crate::planning::ProtocolRef;
use apprentice_core::AgentClass;
use apprentice_core::geometry::{DQuat, DVec3};
use apprentice_core::hash::content_hash;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// nuScenes' eight attributes.
pub const ATTRIBUTES: [&str; 8] = [
    "pedestrian.moving",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "cycle.with_rider",
    "cycle.without_rider",
    "vehicle.moving",
    "vehicle.parked",
    "vehicle.stopped",
];

/// The five choices behind a figure, in words; they travel in every result beside the protocol's name and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axes {
    /// Which moments are judged.
    pub sample_set: String,
    /// What predictions are compared with.
    pub ground_truth: String,
    /// Which classes count.
    pub classes: String,
    /// How single values become one number.
    pub aggregation: String,
    /// What belongs to what.
    pub matching: String,
}

/// A frozen protocol file: its name, its axes and its own tables.
#[derive(Clone, Debug)]
pub struct Frozen<T> {
    /// Name and hash, as results carry them.
    pub reference: ProtocolRef,
    /// The choices in words.
    pub axes: Axes,
    /// The values.
    pub values: T,
}

/// What is being judged, as results name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The data, as on the command line.
    pub data: String,
    /// Which split of it.
    pub split: String,
    /// The result file.
    pub results: String,
}

/// What every result of these tasks begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heading {
    /// Schema of the document.
    pub schema: String,
    /// Under which protocol.
    pub protocol: ProtocolRef,
    /// The protocol's choices in words.
    pub axes: Axes,
    /// What was judged.
    #[serde(flatten)]
    pub named: Named,
}

impl Heading {
    /// Of a result under a protocol.
    pub fn new<T>(schema: &str, protocol: &Frozen<T>, named: Named) -> Self {
        Self { schema: schema.into(), protocol: protocol.reference.clone(), axes: protocol.axes.clone(), named }
    }
}

impl std::fmt::Display for Heading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Named { data, split, results } = &self.named;
        write!(f, "{results} on {data} {split} under `{}`", self.protocol.name)
    }
}

impl<T: DeserializeOwned> Frozen<T> {
    /// Parse a protocol file.
    ///
    /// # Errors
    /// When it does not parse or bears another name.
    pub fn parse(name: &str, text: &str) -> Result<Self, EvalError> {
        #[derive(Deserialize)]
        struct File<T> {
            name: String,
            #[serde(rename = "version")]
            _version: u32,
            axes: Axes,
            #[serde(flatten)]
            values: T,
        }
        let wrong = |message: String| EvalError::Protocol { name: name.into(), message };
        let file: File<T> = toml::from_str(text).map_err(|e| wrong(e.message().to_string()))?;
        if file.name != name {
            return Err(wrong(format!("the file says `{}`", file.name)));
        }
        let hash = content_hash(text.as_bytes())[..16].to_string();
        Ok(Self { reference: ProtocolRef { name: file.name, hash }, axes: file.axes, values: file.values })
    }
}

/// A box in the world frame, as nuScenes writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldBox {
    /// Centre, metres.
    pub center: [f64; 3],
    /// Width, length, height, metres.
    pub size_wlh_m: [f64; 3],
    /// Rotation as a quaternion w, x, y, z.
    pub rotation: [f64; 4],
}

impl WorldBox {
    /// Heading of the box's length in the plane, radians. The quaternion need not be of unit length.
    pub fn yaw_rad(&self) -> f64 {
        let [w, x, y, z] = self.rotation;
        (2.0 * (x * y + w * z)).atan2(w * w + x * x - y * y - z * z)
    }

    /// Distance between two centres in the plane, metres.
    pub fn distance_m(&self, other: &Self) -> f64 {
        let (dx, dy) = (other.center[0] - self.center[0], other.center[1] - self.center[1]);
        (dx * dx + dy * dy).sqrt()
    }

    /// Whether a point lies in the box; its surface counts.
    pub fn contains(&self, point: [f64; 3]) -> bool {
        let [w, x, y, z] = self.rotation;
        let norm = (w * w + x * x + y * y + z * z).sqrt();
        if norm == 0.0 {
            return false;
        }
        let inverse = DQuat::from_xyzw(-x / norm, -y / norm, -z / norm, w / norm);
        let local = inverse * (DVec3::from_array(point) - DVec3::from_array(self.center));
        let [width, length, height] = self.size_wlh_m;
        local.x.abs() <= length / 2.0 && local.y.abs() <= width / 2.0 && local.z.abs() <= height / 2.0
    }
}

/// One recorded box.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthBox {
    /// Where.
    pub bounds: WorldBox,
    /// Detection class.
    pub class: AgentClass,
    /// In the plane, m/s; `None` where neighbouring keyframes do not tell.
    pub velocity_mps: Option<[f64; 2]>,
    /// Index into [`ATTRIBUTES`].
    pub attribute: Option<u8>,
    /// Lidar and radar points in it.
    pub points: u32,
    /// Constant along a track, unique in its scene.
    pub track: u32,
    /// Recorded centres after it. Which, the protocol says: `motion-vad` wants those of the next keyframes as far as they follow
    /// without a gap, `motion-uniad` the track's next annotations.
    pub future: Vec<[f64; 2]>,
}

/// One recorded keyframe.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthSample {
    /// Its token.
    pub token: String,
    /// Number of its scene. Samples of a scene stand together, in order of time.
    pub scene: u32,
    /// Microseconds.
    pub timestamp_us: u64,
    /// Ego position in the world.
    pub ego: [f64; 3],
    /// Heading of the ego, radians.
    pub ego_yaw_rad: f64,
    /// Boxes of the detection classes, in the order of the annotation table.
    pub boxes: Vec<TruthBox>,
    /// Bicycle racks: bicycles and motorcycles in them do not count.
    pub bicycle_racks: Vec<WorldBox>,
}

/// One predicted box.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedBox {
    /// Where.
    pub bounds: WorldBox,
    /// Class.
    pub class: AgentClass,
    /// In the plane, m/s.
    pub velocity_mps: [f64; 2],
    /// Confidence; of a track, before averaging.
    pub score: f64,
    /// Index into [`ATTRIBUTES`].
    pub attribute: Option<u8>,
    /// Points in it; negative (unknown) in all files but copied truth.
    pub points: i64,
    /// Number of the track's name in the file; 0 in detections.
    pub track: u32,
    /// Forecast centres of each mode, world frame; empty unless the file has `futures`.
    pub futures: Vec<Vec<[f64; 2]>>,
}

/// The boxes of one sample: where the sample is in the truth, and what was predicted for it.
pub type SampleBoxes = (usize, Vec<PredictedBox>);

/// Which kind of nuScenes result file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// `detection_name`, `detection_score`, `attribute_name`.
    Detection,
    /// `tracking_id`, `tracking_name`, `tracking_score`.
    Tracking,
}

#[derive(Deserialize)]
struct RawBox<'a> {
    #[serde(borrow)]
    sample_token: Cow<'a, str>,
    translation: [f64; 3],
    size: [f64; 3],
    rotation: [f64; 4],
    velocity: [f64; 2],
    #[serde(default)]
    num_pts: Option<i64>,
    #[serde(borrow, alias = "tracking_name")]
    detection_name: Cow<'a, str>,
    #[serde(alias = "tracking_score")]
    detection_score: f64,
    #[serde(borrow, default)]
    attribute_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tracking_id: Option<Cow<'a, str>>,
    #[serde(default)]
    futures: Vec<Vec<[f64; 2]>>,
}

/// Pairs of a JSON object in the order of the file, so that doubled keys are seen.
struct Pairs<'a>(Vec<(Cow<'a, str>, Vec<RawBox<'a>>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Vec<(Cow<'de, str>, Vec<RawBox<'de>>)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of sample tokens with lists of boxes")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut pairs = Vec::new();
                while let Some((Key(key), boxes)) = map.next_entry::<Key<'de>, Boxes<'de>>()? {
                    pairs.push((key, boxes.0));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Read).map(Pairs)
    }
}

/// A list that grows as it is read.
struct Boxes<'a>(Vec<RawBox<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Boxes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Vec<RawBox<'de>>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of boxes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut boxes = Vec::new();
                while let Some(next) = seq.next_element()? {
                    boxes.push(next);
                }
                Ok(boxes)
            }
        }
        deserializer.deserialize_seq(Read).map(Boxes)
    }
}

#[derive(Deserialize)]
struct RawResults<'a> {
    #[serde(borrow)]
    results: Pairs<'a>,
}

/// Read a result file in nuScenes' own format. Every sample of the truth must be in it and no other.
///
/// # Errors
/// Names the file and the field: not JSON (NaN is not), samples missing, foreign or doubled, too many boxes, unknown
/// names, values that are no number or a size that is not positive, or no box at all.
pub fn read_results(
    file: &str,
    bytes: &[u8],
    kind: ResultKind,
    max_boxes_per_sample: usize,
    truth: &[TruthSample],
) -> Result<Vec<SampleBoxes>, EvalError> {
    let raw: RawResults<'_> =
        serde_json::from_slice(bytes).map_err(|e| crate::json::error(file, apprentice_core::json::fault(bytes, &e)))?;
    let places: BTreeMap<&str, usize> = truth.iter().enumerate().map(|(i, s)| (s.token.as_str(), i)).collect();
    let mut seen = vec![false; truth.len()];
    let mut tracks: BTreeMap<String, u32> = BTreeMap::new();
    let mut out = Vec::with_capacity(raw.results.0.len());
    for (token, boxes) in &raw.results.0 {
        let at = |field: &str| format!("results.{token}{field}");
        let Some(&place) = places.get(token.as_ref()) else {
            return Err(EvalError::OtherSamples {
                file: file.into(),
                message: format!("sample `{token}` is not in the split"),
            });
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(EvalError::field(file, at(""), "the sample is in the file twice"));
        }
        if boxes.len() > max_boxes_per_sample {
            let message = format!("at most {max_boxes_per_sample} boxes, found {}", boxes.len());
            return Err(EvalError::field(file, at(""), message));
        }
        let mut predicted = Vec::with_capacity(boxes.len());
        for (i, raw) in boxes.iter().enumerate() {
            let convert = convert(raw, token, kind, &mut tracks);
            predicted
                .push(convert.map_err(|(field, text)| EvalError::field(file, at(&format!("[{i}].{field}")), text))?);
        }
        out.push((place, predicted));
    }
    if let Some(missing) = seen.iter().position(|s| !s) {
        let count = seen.iter().filter(|s| !**s).count();
        return Err(EvalError::OtherSamples {
            file: file.into(),
            message: format!(
                "{count} of {} samples of the split are missing, such as `{}`",
                truth.len(),
                truth[missing].token
            ),
        });
    }
    if out.iter().all(|(_, boxes)| boxes.is_empty()) {
        return Err(EvalError::Empty { what: format!("predictions of {file}") });
    }
    Ok(out)
}

fn convert(
    raw: &RawBox<'_>,
    token: &str,
    kind: ResultKind,
    tracks: &mut BTreeMap<String, u32>,
) -> Result<PredictedBox, (&'static str, String)> {
    if raw.sample_token != token {
        return Err(("sample_token", format!("expected `{token}`, found `{}`", raw.sample_token)));
    }
    // JSON has no NaN, but 1e999 reads as infinity in some parsers.
    let numbers = [&raw.translation[..], &raw.size[..], &raw.rotation[..], &raw.velocity[..]];
    let names = ["translation", "size", "rotation", "velocity"];
    for (values, name) in numbers.iter().zip(names) {
        if values.iter().any(|v| !v.is_finite()) {
            return Err((name, "a value is not finite".into()));
        }
    }
    if raw.size.iter().any(|s| *s <= 0.0) {
        return Err(("size", format!("sizes must be positive, found {:?}", raw.size)));
    }
    let (name_field, score_field) = match kind {
        ResultKind::Detection => ("detection_name", "detection_score"),
        ResultKind::Tracking => ("tracking_name", "tracking_score"),
    };
    let known = |class: &&AgentClass| kind == ResultKind::Detection || crate::tracking::CLASSES.contains(*class);
    let class = AgentClass::ALL.iter().filter(known).find(|c| c.name() == raw.detection_name);
    let class =
        *class.ok_or_else(|| (name_field, format!("there is no class `{}` in this task", raw.detection_name)))?;
    if !raw.detection_score.is_finite() {
        return Err((score_field, "the score is not finite".into()));
    }
    let attribute = match raw.attribute_name.as_deref() {
        None if kind == ResultKind::Detection => {
            return Err(("attribute_name", "it is missing (it may be empty)".into()));
        }
        None | Some("") => None,
        Some(name) => {
            let place = ATTRIBUTES.iter().position(|a| *a == name);
            Some(place.ok_or_else(|| ("attribute_name", format!("there is no attribute `{name}`")))? as u8)
        }
    };
    let track = match (&raw.tracking_id, kind) {
        (_, ResultKind::Detection) => 0,
        (None, ResultKind::Tracking) => return Err(("tracking_id", "it is missing".into())),
        (Some(name), ResultKind::Tracking) => {
            let next = tracks.len() as u32 + 1;
            *tracks.entry(name.to_string()).or_insert(next)
        }
    };
    Ok(PredictedBox {
        bounds: WorldBox { center: raw.translation, size_wlh_m: raw.size, rotation: raw.rotation },
        class,
        velocity_mps: raw.velocity,
        score: raw.detection_score,
        attribute,
        points: raw.num_pts.unwrap_or(-1),
        track,
        futures: raw.futures.clone(),
    })
}

/// Ranges of the classes, metres around the ego; a class without one does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges([Option<f64>; AgentClass::COUNT]);

impl<'de> Deserialize<'de> for Ranges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_class = BTreeMap::<AgentClass, f64>::deserialize(deserializer)?;
        Ok(Self(AgentClass::ALL.map(|class| by_class.get(&class).copied())))
    }
}

impl Ranges {
    /// Whether a box of a sample counts: near enough, with points, not a bicycle in a rack.
    pub fn keep(&self, sample: &TruthSample, class: AgentClass, bounds: &WorldBox, points: i64) -> bool {
        let (dx, dy) = (bounds.center[0] - sample.ego[0], bounds.center[1] - sample.ego[1]);
        let near = self.0[class as usize].is_some_and(|range_m| (dx * dx + dy * dy).sqrt() < range_m);
        let racked = matches!(class, AgentClass::Bicycle | AgentClass::Motorcycle)
            && sample.bicycle_racks.iter().any(|rack| rack.contains(bounds.center));
        near && points != 0 && !racked
    }

    /// The classes that count.
    pub fn classes(&self) -> impl Iterator<Item = AgentClass> {
        AgentClass::ALL.into_iter().filter(|class| self.0[*class as usize].is_some())
    }
}
