//! The 13 tables, linked: tokens become row numbers, and a token that leads nowhere is an error.
//!
//! Of `sample_data` only keyframes are kept, and of `ego_pose` only the poses of those: a data set's sweeps are ten times
//! its keyframes and nothing here looks at them.

use super::scan::{Row, Table, collect, rows};
use super::token::{Places, Token, quoted_token};
use crate::DataError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const TWICE: &str = "this token is in the table twice";

/// No row: the end of a chain.
pub const NONE: u32 = u32::MAX;

/// A place and a rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Metres.
    pub translation: [f64; 3],
    /// Quaternion w, x, y, z.
    pub rotation: [f64; 4],
}

/// A sensor's mounting in one log.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibratedSensor {
    /// Its token.
    pub token: Token,
    /// Row of `sensors`.
    pub sensor: u32,
    /// In the ego frame.
    pub in_ego: Place,
    /// Intrinsic matrix of a camera.
    pub intrinsic: Option<[[f64; 3]; 3]>,
}

/// A sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// Its token.
    pub token: Token,
    /// Such as `CAM_FRONT`.
    pub channel: String,
    /// `camera`, `lidar` or `radar`.
    pub modality: String,
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its token.
    pub token: Token,
    /// Name of the recording.
    pub logfile: String,
    /// Map.
    pub location: String,
}

/// Twenty seconds of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Its token.
    pub token: Token,
    /// Such as `scene-0103`.
    pub name: String,
    /// In words.
    pub description: String,
    /// Row of `logs`.
    pub log: u32,
    /// First row of `samples`.
    pub first: u32,
    /// Last row of `samples`.
    pub last: u32,
}

/// A keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRow {
    /// Its token.
    pub token: Token,
    /// Microseconds.
    pub timestamp_us: u64,
    /// Row of `scenes`.
    pub scene: u32,
    /// Row of `samples`, or [`NONE`].
    pub prev: u32,
    /// Row of `samples`, or [`NONE`].
    pub next: u32,
}

/// What a sensor recorded at a keyframe.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyData {
    /// Its token.
    pub token: Token,
    /// Row of `samples`.
    pub sample: u32,
    /// Row of `calibrated`.
    pub calibrated: u32,
    /// The ego in the world when it was recorded.
    pub ego: Place,
    /// Microseconds.
    pub timestamp_us: u64,
    /// Relative to the root.
    pub filename: String,
    /// Pixels; 0 of what is no image.
    pub width: u32,
    /// Pixels; 0 of what is no image.
    pub height: u32,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its token.
    pub token: Token,
    /// Row of `categories`.
    pub category: u32,
}

/// A box at a keyframe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Annotation {
    /// Its token.
    pub token: Token,
    /// Row of `samples`.
    pub sample: u32,
    /// Row of `instances`.
    pub instance: u32,
    /// In the world.
    pub place: Place,
    /// Width, length, height, metres.
    pub size_wlh_m: [f64; 3],
    /// Row of `attributes`, or [`NONE`].
    pub attribute: u32,
    /// 1 (up to 40 % visible) to 4 (over 80 %); 0 where it is not said.
    pub visibility: u8,
    /// Lidar points in it.
    pub lidar_points: u32,
    /// Radar points in it.
    pub radar_points: u32,
    /// Row of `annotations`, or [`NONE`].
    pub prev: u32,
    /// Row of `annotations`, or [`NONE`].
    pub next: u32,
}

/// A map and the logs recorded on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapRow {
    /// Its token.
    pub token: Token,
    /// Mask, relative to the root.
    pub filename: String,
    /// Rows of `logs`.
    pub logs: Vec<u32>,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Names of categories.
    pub categories: Vec<String>,
    /// Names of attributes.
    pub attributes: Vec<String>,
    /// Sensors.
    pub sensors: Vec<Sensor>,
    /// Mountings.
    pub calibrated: Vec<CalibratedSensor>,
    /// Logs.
    pub logs: Vec<Log>,
    /// Scenes.
    pub scenes: Vec<Scene>,
    /// Keyframes.
    pub samples: Vec<SampleRow>,
    /// Recordings at keyframes.
    pub data: Vec<KeyData>,
    /// Objects.
    pub instances: Vec<Instance>,
    /// Boxes.
    pub annotations: Vec<Annotation>,
    /// Maps.
    pub maps: Vec<MapRow>,
    /// Rows of `sample_data`, sweeps among them.
    pub data_rows: u32,
    /// Rows of `ego_pose`.
    pub pose_rows: u32,
    /// Tokens of samples and instances that are not 32 hexadecimal digits.
    pub odd_tokens: BTreeMap<u128, String>,
}

/// Names of all tables.
pub const NAMES: [&str; 13] = [
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
];

/// A table's rows by token.
struct Keyed<T> {
    path: PathBuf,
    name: &'static str,
    rows: Vec<T>,
    places: Places,
}

impl<T> Keyed<T> {
    fn empty(folder: &Path, name: &'static str) -> Self {
        Self { path: folder.join(name).with_extension("json"), name, rows: Vec::new(), places: Places::default() }
    }

    fn read<const N: usize>(
        folder: &Path,
        name: &'static str,
        fields: [&'static str; N],
        mut take: impl FnMut(&Row<'_, N>) -> Result<T, DataError>,
    ) -> Result<Self, DataError> {
        let mut table = Self::empty(folder, name);
        let path = table.path.clone();
        rows(&path, fields, |row| {
            let value = take(row)?;
            table.push(row, row.token(0)?, value)
        })?;
        Ok(table)
    }

    fn push<const N: usize>(&mut self, row: &Row<'_, N>, token: Token, value: T) -> Result<(), DataError> {
        if self.places.insert(token, self.rows.len() as u32).is_some() {
            return Err(row.wrong(0, TWICE));
        }
        self.rows.push(value);
        Ok(())
    }

    /// The row that a field names.
    fn find<const N: usize>(&self, row: &Row<'_, N>, field: usize) -> Result<u32, DataError> {
        let token = row.token(field)?;
        self.places
            .get(&token)
            .copied()
            .ok_or_else(|| row.wrong(field, format!("no row of `{}` has this token", self.name)))
    }
}

/// Turn a chain's tokens, kept aside while the table was read, into row numbers.
fn link<T>(
    table: &mut Keyed<T>,
    chain: &[[Option<Token>; 2]],
    token: impl Fn(&T) -> Token,
    field: impl Fn(&mut T) -> [&mut u32; 2],
) -> Result<(), DataError> {
    // Chains run beside each other, so the row after the one that the last row named is mostly the one.
    let mut guesses = [0_usize; 2];
    for (at, tokens) in chain.iter().enumerate() {
        for (side, name) in [(0, "prev"), (1, "next")] {
            let Some(named) = tokens[side] else { continue };
            let guessed = table.rows.get(guesses[side]).is_some_and(|row| token(row) == named);
            let place = if guessed { Some(guesses[side] as u32) } else { table.places.get(&named).copied() };
            let Some(place) = place else {
                return Err(DataError::Table {
                    path: table.path.clone(),
                    row: at,
                    field: name.into(),
                    problem: format!("no row of `{}` has this token", table.name),
                });
            };
            guesses[side] = place as usize + 1;
            *field(&mut table.rows[at])[side] = place;
        }
    }
    Ok(())
}

fn names(folder: &Path, name: &'static str) -> Result<Keyed<String>, DataError> {
    Keyed::read(folder, name, ["token", "name"], |row| Ok(row.text(1)?.into_owned()))
}

/// Read every table of a version's folder.
///
/// # Errors
/// Names the table that is missing, or the table, row and field that is wrong.
pub fn read(folder: &Path) -> Result<Tables, DataError> {
    if let Some(missing) = NAMES.iter().find(|name| !folder.join(name).with_extension("json").is_file()) {
        let path = folder.join(missing).with_extension("json");
        return Err(DataError::Missing { path, what: format!("table `{missing}` of nuScenes") });
    }
    let (categories, attributes) = (names(folder, "category")?, names(folder, "attribute")?);
    // Levels are 1 to 4 in every release; a set may name them otherwise.
    let visibility = Keyed::read(folder, "visibility", ["token", "level"], |row| {
        let token = row.text(0)?;
        Ok(token.parse::<u8>().ok().filter(|level| (1..=4).contains(level)).unwrap_or(0))
    })?;
    let sensors = Keyed::read(folder, "sensor", ["token", "channel", "modality"], |row| {
        let (channel, modality) = (row.text(1)?.into_owned(), row.text(2)?.into_owned());
        Ok(Sensor { token: row.token(0)?, channel, modality })
    })?;
    let fields = ["token", "sensor_token", "translation", "rotation", "camera_intrinsic"];
    let calibrated = Keyed::read(folder, "calibrated_sensor", fields, |row| {
        let in_ego = Place { translation: row.vector(2)?, rotation: rotation(row, 3)? };
        let (sensor, intrinsic) = (sensors.find(row, 1)?, row.matrix(4)?);
        Ok(CalibratedSensor { token: row.token(0)?, sensor, in_ego, intrinsic })
    })?;
    let logs = Keyed::read(folder, "log", ["token", "logfile", "location"], |row| {
        let (logfile, location) = (row.text(1)?.into_owned(), row.text(2)?.into_owned());
        Ok(Log { token: row.token(0)?, logfile, location })
    })?;
    let (samples, scenes, mut odd_tokens) = moments(folder, &logs)?;
    let instances = Keyed::read(folder, "instance", ["token", "category_token"], |row| {
        keep_odd(&mut odd_tokens, row)?;
        Ok(Instance { token: row.token(0)?, category: categories.find(row, 1)? })
    })?;
    // The two large files at once: recordings and poses beside annotations.
    let (recorded, annotations) = rayon::join(
        || recordings(folder, &samples, &calibrated),
        || {
            let referred =
                Referred { samples: &samples, instances: &instances, attributes: &attributes, visibility: &visibility };
            annotations(folder, &referred)
        },
    );
    let (data, data_rows, pose_rows) = recorded?;
    let maps = Keyed::read(folder, "map", ["token", "log_tokens", "filename"], |row| {
        let find = |token: &Token| logs.places.get(token).copied();
        let known: Option<Vec<u32>> = row.tokens(1)?.iter().map(find).collect();
        let logs = known.ok_or_else(|| row.wrong(1, "no row of `log` has one of these tokens"))?;
        Ok(MapRow { token: row.token(0)?, filename: row.text(2)?.into_owned(), logs })
    })?;
    Ok(Tables {
        categories: categories.rows,
        attributes: attributes.rows,
        sensors: sensors.rows,
        calibrated: calibrated.rows,
        logs: logs.rows,
        scenes: scenes.rows,
        samples: samples.rows,
        data,
        instances: instances.rows,
        annotations: annotations?,
        maps: maps.rows,
        data_rows,
        pose_rows,
        odd_tokens,
    })
}

/// A rotation that is one.
fn rotation<const N: usize>(row: &Row<'_, N>, field: usize) -> Result<[f64; 4], DataError> {
    let rotation: [f64; 4] = row.vector(field)?;
    let norm = rotation.iter().map(|v| v * v).sum::<f64>().sqrt();
    if (norm - 1.0).abs() > 1e-2 {
        return Err(row.wrong(field, format!("a quaternion of length {norm:.3} is no rotation")));
    }
    Ok(rotation)
}

fn keep_odd<const N: usize>(odd: &mut BTreeMap<u128, String>, row: &Row<'_, N>) -> Result<(), DataError> {
    if let Some(text) = row.odd_token(0)? {
        odd.insert(row.token(0)?.0, text);
    }
    Ok(())
}

type Moments = (Keyed<SampleRow>, Keyed<Scene>, BTreeMap<u128, String>);

/// Samples and scenes, which name each other.
fn moments(folder: &Path, logs: &Keyed<Log>) -> Result<Moments, DataError> {
    let (mut odd, mut chain, mut scene_of) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut samples = Keyed::read(folder, "sample", ["token", "timestamp", "prev", "next", "scene_token"], |row| {
        keep_odd(&mut odd, row)?;
        chain.push([row.optional_token(2)?, row.optional_token(3)?]);
        scene_of.push(row.token(4)?);
        Ok(SampleRow { token: row.token(0)?, timestamp_us: row.count(1)?, scene: NONE, prev: NONE, next: NONE })
    })?;
    link(&mut samples, &chain, |row| row.token, |row| [&mut row.prev, &mut row.next])?;
    let fields = ["token", "log_token", "name", "description", "first_sample_token", "last_sample_token"];
    let scenes = Keyed::read(folder, "scene", fields, |row| {
        Ok(Scene {
            token: row.token(0)?,
            name: row.text(2)?.into_owned(),
            description: row.text(3)?.into_owned(),
            log: logs.find(row, 1)?,
            first: samples.find(row, 4)?,
            last: samples.find(row, 5)?,
        })
    })?;
    let wrong = |at: usize, problem: String| {
        Err(DataError::Table { path: samples.path.clone(), row: at, field: "scene_token".into(), problem })
    };
    for (at, token) in scene_of.iter().enumerate() {
        match scenes.places.get(token) {
            Some(&scene) => samples.rows[at].scene = scene,
            None => return wrong(at, "no row of `scene` has this token".into()),
        }
    }
    // A chain that ran in a circle or into another scene would never reach its end.
    for (at, scene) in scenes.rows.iter().enumerate() {
        let (mut sample, mut steps) = (scene.first, 0);
        while sample != scene.last {
            let row = samples.rows[sample as usize];
            steps += 1;
            if row.next == NONE || row.scene != at as u32 || steps > samples.rows.len() {
                return wrong(sample as usize, format!("the chain of {} does not lead to its last sample", scene.name));
            }
            sample = row.next;
        }
        if samples.rows[sample as usize].scene != at as u32 {
            return wrong(sample as usize, format!("the last sample of {} is of another scene", scene.name));
        }
    }
    Ok((samples, scenes, odd))
}

/// Recordings at keyframes with their poses, and how many rows both tables have.
fn recordings(
    folder: &Path,
    samples: &Keyed<SampleRow>,
    calibrated: &Keyed<CalibratedSensor>,
) -> Result<(Vec<KeyData>, u32, u32), DataError> {
    let path = folder.join("sample_data.json");
    let fields = [
        "is_key_frame",
        "token",
        "sample_token",
        "ego_pose_token",
        "calibrated_sensor_token",
        "timestamp",
        "height",
        "width",
        "filename",
    ];
    let nowhere = Place { translation: [0.0; 3], rotation: [1.0, 0.0, 0.0, 0.0] };
    let Table { pieces, rows: data_rows } = collect(
        &path,
        fields,
        |is_key_frame| is_key_frame != b"false",
        |row| {
            row.flag(0)?;
            let data = KeyData {
                token: row.token(1)?,
                sample: samples.find(row, 2)?,
                calibrated: calibrated.find(row, 4)?,
                ego: nowhere,
                timestamp_us: row.count(5)?,
                filename: row.text(8)?.into_owned(),
                width: u32::try_from(row.count(7)?).map_err(|_| row.wrong(7, "too large"))?,
                height: u32::try_from(row.count(6)?).map_err(|_| row.wrong(6, "too large"))?,
            };
            Ok((data, row.token(3)?, row.number() as u32))
        },
    )?;
    let wrong = |row: u32, field: &str, problem: &str| {
        Err(DataError::Table { path: path.clone(), row: row as usize, field: field.into(), problem: problem.into() })
    };
    let mut data: Vec<KeyData> = Vec::with_capacity(pieces.iter().map(|(_, rows)| rows.len()).sum());
    // Pose → the recordings that have it, as a chain through `same_pose`.
    let (mut at_pose, mut same_pose, mut numbers) = (Places::default(), Vec::new(), Vec::new());
    let mut places = Places::default();
    for (first, rows) in pieces {
        for (recording, pose, number) in rows {
            let place = data.len() as u32;
            if places.insert(recording.token, place).is_some() {
                return wrong(first + number, "token", TWICE);
            }
            same_pose.push(at_pose.insert(pose, place).unwrap_or(NONE));
            numbers.push(first + number);
            data.push(recording);
        }
    }
    let path_of_poses = folder.join("ego_pose.json");
    let Table { pieces, rows: pose_rows } = collect(
        &path_of_poses,
        ["token", "rotation", "translation"],
        |token| quoted_token(token).is_none_or(|token| at_pose.contains_key(&token)),
        |row| {
            let ego = Place { rotation: rotation(row, 1)?, translation: row.vector(2)? };
            Ok((at_pose.get(&row.token(0)?).copied().unwrap_or(NONE), ego, row.number() as u32))
        },
    )?;
    let mut found = vec![false; data.len()];
    for (first, rows) in pieces {
        for (mut at, ego, number) in rows {
            while at != NONE {
                if std::mem::replace(&mut found[at as usize], true) {
                    let row = (first + number) as usize;
                    let (field, problem) = ("token".into(), TWICE.into());
                    return Err(DataError::Table { path: path_of_poses, row, field, problem });
                }
                data[at as usize].ego = ego;
                at = same_pose[at as usize];
            }
        }
    }
    if let Some(at) = found.iter().position(|f| !f) {
        return wrong(numbers[at], "ego_pose_token", "no row of `ego_pose` has this token");
    }
    Ok((data, data_rows, pose_rows))
}

/// What annotations refer to.
struct Referred<'a> {
    samples: &'a Keyed<SampleRow>,
    instances: &'a Keyed<Instance>,
    attributes: &'a Keyed<String>,
    visibility: &'a Keyed<u8>,
}

const ANNOTATION_FIELDS: [&str; 12] = [
    "token",
    "sample_token",
    "instance_token",
    "visibility_token",
    "attribute_tokens",
    "translation",
    "size",
    "rotation",
    "prev",
    "next",
    "num_lidar_pts",
    "num_radar_pts",
];

fn annotations(folder: &Path, referred: &Referred<'_>) -> Result<Vec<Annotation>, DataError> {
    let mut table = Keyed::empty(folder, "sample_annotation");
    let path = table.path.clone();
    let read = |row: &Row<'_, 12>| Ok((annotation(row, referred)?, [row.optional_token(8)?, row.optional_token(9)?]));
    let Table { pieces, rows } = collect(&path, ANNOTATION_FIELDS, |_| true, read)?;
    table.places.reserve(rows as usize);
    table.rows.reserve(rows as usize);
    let mut chain = Vec::with_capacity(rows as usize);
    for (annotation, links) in pieces.into_iter().flat_map(|(_, rows)| rows) {
        let row = table.rows.len();
        if table.places.insert(annotation.token, row as u32).is_some() {
            return Err(DataError::Table { path, row, field: "token".into(), problem: TWICE.into() });
        }
        table.rows.push(annotation);
        chain.push(links);
    }
    link(&mut table, &chain, |row| row.token, |row| [&mut row.prev, &mut row.next])?;
    Ok(table.rows)
}

fn annotation(row: &Row<'_, 12>, referred: &Referred<'_>) -> Result<Annotation, DataError> {
    let attribute = match row.token_at_most(4, "a box has at most one attribute")? {
        None => NONE,
        Some(token) => {
            let place = referred.attributes.places.get(&token);
            *place.ok_or_else(|| row.wrong(4, "no row of `attribute` has this token"))?
        }
    };
    let visibility = match row.optional_token(3)? {
        None => 0,
        Some(_) => referred.visibility.rows[referred.visibility.find(row, 3)? as usize],
    };
    let size_wlh_m: [f64; 3] = row.vector(6)?;
    if size_wlh_m.iter().any(|s| *s <= 0.0) {
        return Err(row.wrong(6, "a size that is not positive"));
    }
    let points =
        |field| row.count(field).and_then(|n| u32::try_from(n).map_err(|_| row.wrong(field, "too many points")));
    Ok(Annotation {
        token: row.token(0)?,
        sample: referred.samples.find(row, 1)?,
        instance: referred.instances.find(row, 2)?,
        place: Place { translation: row.vector(5)?, rotation: rotation(row, 7)? },
        size_wlh_m,
        attribute,
        visibility,
        lidar_points: points(10)?,
        radar_points: points(11)?,
        prev: NONE,
        next: NONE,
    })
}
