//! What the world can say about itself: questions about a moment and their true answers.
//!
//! Answers speak of what the cameras show (an object counts from [`VISIBLE_PIXELS`] on), of the route, and of what the
//! expert did next and why. They use a small closed vocabulary and a few phrasings per question, so that a small language
//! model can learn them, and say what boxes do not: who matters, what they are about to do, what follows from it.
//!
//! This is ground truth. It trains general models and scores their answers; nothing that is read at test time holds it.

use crate::state::{ActorKind, ActorState, Lamps, Snapshot};
use apprentice_core::geometry::DVec2;
use apprentice_core::sample::{AgentLabel, LightState, QuestionAnswer};
use apprentice_core::{Command, Rng, Trajectory};

/// Pixels, over all cameras at the labelling resolution, from which on a thing counts as seen.
pub const VISIBLE_PIXELS: u32 = 12;

/// What limits the expert's speed or moves it from its lane: the reason it would give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nothing: the road is free.
    Free,
    /// The road bends or the route turns.
    Curve,
    /// A vehicle ahead.
    Leader,
    /// Somebody on foot or on a bicycle in the way or about to be.
    Crossing,
    /// A red or yellow light.
    RedLight,
    /// A stop sign.
    StopSign,
    /// Others have the right of way.
    GiveWay,
    /// Something stands in the lane.
    Obstacle,
    /// Oncoming traffic keeps it from passing an obstacle.
    Oncoming,
    /// An emergency vehicle wants to pass.
    Emergency,
    /// Somebody might step out from behind something.
    Hidden,
    /// Others leave no room for a lane change.
    LaneChange,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 12] = [
        Self::Free,
        Self::Curve,
        Self::Leader,
        Self::Crossing,
        Self::RedLight,
        Self::StopSign,
        Self::GiveWay,
        Self::Obstacle,
        Self::Oncoming,
        Self::Emergency,
        Self::Hidden,
        Self::LaneChange,
    ];

    /// As an answer to "why".
    pub fn words(self) -> &'static str {
        match self {
            Self::Free => "the road is free",
            Self::Curve => "the road turns",
            Self::Leader => "a vehicle is ahead",
            Self::Crossing => "someone may cross",
            Self::RedLight => "the light is not green",
            Self::StopSign => "there is a stop sign",
            Self::GiveWay => "others have the right of way",
            Self::Obstacle => "the lane is blocked",
            Self::Oncoming => "oncoming traffic blocks the way around",
            Self::Emergency => "an emergency vehicle wants to pass",
            Self::Hidden => "someone may be hidden",
            Self::LaneChange => "there is no room to change lanes",
        }
    }
}

/// What the expert does over the next three seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Stands and goes on standing.
    Wait,
    /// Comes to a stop.
    Stop,
    /// Starts from rest.
    Start,
    /// Slows down.
    Slow,
    /// Speeds up.
    SpeedUp,
    /// Goes on.
    Keep,
}

impl Action {
    /// Read off the ego's own next three seconds. `None` when they are not fully known.
    pub fn of(speed_mps: f64, future: &Trajectory, future_steps: u8) -> Option<Self> {
        if usize::from(future_steps) < future.0.len() {
            return None;
        }
        let at = |i: usize| DVec2::new(future.0[i][0].into(), future.0[i][1].into());
        let final_mps = at(5).distance(at(4)) / 0.5;
        Some(match () {
            () if speed_mps < 0.3 && at(5).length() < 0.5 => Self::Wait,
            () if speed_mps < 0.3 => Self::Start,
            () if final_mps < 0.3 => Self::Stop,
            () if final_mps < speed_mps - 1.5 => Self::Slow,
            () if final_mps > speed_mps + 1.5 => Self::SpeedUp,
            () => Self::Keep,
        })
    }

    /// As an answer.
    pub fn words(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Stop => "stop",
            Self::Start => "start driving",
            Self::Slow => "slow down",
            Self::SpeedUp => "speed up",
            Self::Keep => "keep the speed",
        }
    }
}

/// Everything that the answers are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// World state.
    pub snapshot: &'a Snapshot,
    /// Labels of road users, ego frame.
    pub agents: &'a [AgentLabel],
    /// The governing light.
    pub light: LightState,
    /// Command from the route.
    pub command: Command,
    /// Forward speed, m/s.
    pub speed_mps: f64,
    /// What the expert did next, ego frame.
    pub future: &'a Trajectory,
    /// How much of it is known.
    pub future_steps: u8,
    /// Why, and because of whom.
    pub cause: Cause,
    /// The actor that matters most, if it is one.
    pub critical: Option<u32>,
    /// The route ahead in the ego frame, about 1 m apart, from the ego on.
    pub route_in_ego: &'a [DVec2],
}

struct Seen<'a> {
    label: &'a AgentLabel,
    state: &'a ActorState,
    /// Metres along the route ahead of the ego, and to its left.
    along_m: f64,
    across_m: f64,
}

/// Questions and true answers about a scene. Phrasings are drawn from the random stream.
pub fn describe(scene: &Scene<'_>, rng: &mut Rng) -> Vec<QuestionAnswer> {
    let seen = seen(scene);
    // Nobody is blamed who cannot be seen.
    let known = scene.critical.is_none_or(|id| seen.iter().any(|s| s.label.id == id));
    let scene = &Scene { cause: if known { scene.cause } else { Cause::Free }, ..*scene };
    let mut out = Vec::new();
    let mut say = |kind: &str, questions: &[&str], answer: String| {
        out.push(QuestionAnswer { kind: kind.into(), question: questions[rng.below(questions.len())].into(), answer });
    };
    let lead = lead(&seen);
    let crossing = crossing(&seen);
    say("light", &["what does the traffic light show?", "which color is the light?"], light_words(scene.light).into());
    say("lead", &["what is ahead in the lane?", "who is in front of us?"], lead_words(lead));
    say(
        "signals",
        &["what does the vehicle ahead signal?", "which lamps does the leader show?"],
        lamp_words(lead).into(),
    );
    say("pedestrians", &["how many people are there?", "how many pedestrians do you see?"], people_words(&seen).into());
    say("vehicles", &["how many vehicles are there?", "how many cars are around?"], vehicle_words(&seen).into());
    say("crossing", &["does someone cross?", "is anyone about to cross our way?"], crossing_words(crossing));
    say("hazard", &["what matters most?", "what should we watch?"], hazard_words(scene, &seen, crossing));
    say("command", &["where does the route go?", "what does the route ask for?"], scene.command.words().into());
    say("weather", &["how is the weather?", "what are the conditions?"], weather_words(scene.snapshot).into());
    if let Some(action) = Action::of(scene.speed_mps, scene.future, scene.future_steps) {
        say("action", &["what should we do?", "what is the right action?"], action.words().into());
        say("reason", &["why?", "what is the reason?"], scene.cause.words().into());
        say("path", &["where will we be in three seconds?", "how far will we get?"], path_words(scene.future));
        let scene_words =
            format!("{} . {} because {} .", hazard_words(scene, &seen, crossing), action.words(), scene.cause.words());
        say("describe", &["describe the situation.", "what is going on?"], scene_words);
    }
    out
}

fn seen<'a>(scene: &Scene<'a>) -> Vec<Seen<'a>> {
    let actors = &scene.snapshot.actors;
    scene
        .agents
        .iter()
        .filter(|a| a.visible_pixels >= VISIBLE_PIXELS)
        .filter_map(|label| {
            let state = &actors[actors.binary_search_by_key(&label.id, |a| a.id).ok()?];
            let p = DVec2::new(label.center_in_ego[0].into(), label.center_in_ego[1].into());
            let (along_m, across_m) = along_route(scene.route_in_ego, p);
            Some(Seen { label, state, along_m, across_m })
        })
        .collect()
}

/// Metres along the route ahead and to the left of it. Without a route: of the ego's axis.
fn along_route(route: &[DVec2], p: DVec2) -> (f64, f64) {
    let mut best = (f64::INFINITY, p.x, p.y);
    let mut travelled = 0.0;
    for pair in route.windows(2) {
        let d = pair[1] - pair[0];
        let length = d.length();
        if length < 1e-6 {
            continue;
        }
        // Behind the ego the first piece goes on backwards.
        let low = if travelled == 0.0 { f64::NEG_INFINITY } else { 0.0 };
        let t = ((p - pair[0]).dot(d) / (length * length)).clamp(low, 1.0);
        let distance = p.distance(pair[0] + d * t);
        if distance < best.0 {
            best = (distance, travelled + t * length, d.perp_dot(p - pair[0]) / length);
        }
        travelled += length;
    }
    (best.1, best.2)
}

fn lead<'s, 'a>(seen: &'s [Seen<'a>]) -> Option<&'s Seen<'a>> {
    seen.iter()
        .filter(|s| {
            let half = f64::from(s.label.size_m[1]) / 2.0;
            s.along_m > 2.0 && s.along_m < 45.0 && s.across_m.abs() < 1.0 + half && !s.state.kind.is_pedestrian()
        })
        .min_by(|a, b| a.along_m.total_cmp(&b.along_m))
}

/// Whoever crosses the route ahead on foot or on a bicycle: in our way, or moving into it within three seconds. Riding
/// along the lane is not crossing it.
fn crossing<'s, 'a>(seen: &'s [Seen<'a>]) -> Option<&'s Seen<'a>> {
    let crosses = |s: &Seen<'_>| {
        let [x, y, _] = s.label.center_in_ego.map(f64::from);
        let future = &s.label.future_in_ego[..usize::from(s.label.future_steps)];
        // Sideways shifts in the ego frame stand for shifts across the route: it is near, so nearly parallel.
        let shifts = future.iter().map(|p| (f64::from(p[0]) - x, f64::from(p[1]) - y));
        let (mut moves, mut sideways, mut enters) = (0.0f64, 0.0f64, false);
        for (dx, dy) in shifts {
            moves = moves.max(dx.hypot(dy));
            sideways = sideways.max(dy.abs());
            enters |= (s.across_m + dy).abs() < 2.0;
        }
        match s.state.kind {
            ActorKind::Bicycle => enters && sideways > 1.0,
            kind => kind.is_pedestrian() && (s.across_m.abs() < 2.0 || enters) && moves > 0.3,
        }
    };
    seen.iter()
        .filter(|s| s.along_m > 0.0 && s.along_m < 35.0 && crosses(s))
        .min_by(|a, b| a.along_m.total_cmp(&b.along_m))
}

fn light_words(light: LightState) -> &'static str {
    match light {
        LightState::None => "there is no light",
        LightState::Green => "green",
        LightState::Yellow => "yellow",
        LightState::Red => "red",
    }
}

fn name(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Car => "a car",
        ActorKind::Van => "a van",
        ActorKind::Truck => "a truck",
        ActorKind::Bus => "a bus",
        ActorKind::Police => "a police car",
        ActorKind::Ambulance => "an ambulance",
        ActorKind::Motorcycle => "a motorcycle",
        ActorKind::Bicycle => "a bicycle",
        ActorKind::Pedestrian => "a pedestrian",
        ActorKind::Child => "a child",
        ActorKind::Cone => "a cone",
        ActorKind::Barrier => "a barrier",
        ActorKind::WarningSign => "a warning sign",
        ActorKind::Container | ActorKind::Advertisement => "a box",
        ActorKind::Debris => "debris",
    }
}

fn distance_words(metres: f64) -> &'static str {
    match metres {
        m if m < 10.0 => "very near",
        m if m < 20.0 => "near",
        m if m < 32.0 => "at some distance",
        _ => "far away",
    }
}

fn motion_words(speed_mps: f32) -> &'static str {
    match speed_mps.abs() {
        v if v < 0.4 => "standing",
        v if v < 4.0 => "slow",
        _ => "moving",
    }
}

fn lead_words(lead: Option<&Seen<'_>>) -> String {
    lead.map_or("nothing".into(), |s| {
        format!("{} {} , {}", name(s.state.kind), distance_words(s.along_m), motion_words(s.state.speed_mps))
    })
}

fn lamp_words(lead: Option<&Seen<'_>>) -> &'static str {
    let Some(lead) = lead.filter(|s| s.state.kind.is_vehicle()) else { return "there is no vehicle ahead" };
    let lamps = lead.state.lamps;
    match () {
        () if lamps.has(Lamps::EMERGENCY) => "emergency lights",
        () if lamps.has(Lamps::LEFT) && lamps.has(Lamps::RIGHT) => "hazard lights",
        () if lamps.has(Lamps::BRAKE) => "brake lights",
        () if lamps.has(Lamps::LEFT) => "left indicator",
        () if lamps.has(Lamps::RIGHT) => "right indicator",
        () => "nothing",
    }
}

fn people_words(seen: &[Seen<'_>]) -> &'static str {
    match seen.iter().filter(|s| s.state.kind.is_pedestrian()).count() {
        0 => "none",
        1 => "one",
        2 => "two",
        3 | 4 => "a few",
        _ => "many",
    }
}

fn vehicle_words(seen: &[Seen<'_>]) -> &'static str {
    match seen.iter().filter(|s| s.state.kind.is_vehicle()).count() {
        0 => "none",
        1 => "one",
        2 => "two",
        3..=5 => "a few",
        _ => "many",
    }
}

fn side_words(across_m: f64) -> &'static str {
    match across_m {
        y if y > 1.8 => "on the left",
        y if y < -1.8 => "on the right",
        _ => "in our way",
    }
}

fn crossing_words(crossing: Option<&Seen<'_>>) -> String {
    crossing.map_or("no".into(), |s| {
        format!("yes , {} {} , {}", name(s.state.kind), side_words(s.across_m), distance_words(s.along_m))
    })
}

fn hazard_words(scene: &Scene<'_>, seen: &[Seen<'_>], crossing: Option<&Seen<'_>>) -> String {
    let critical = scene.critical.and_then(|id| seen.iter().find(|s| s.label.id == id));
    match critical.or(crossing) {
        Some(s) => format!("{} {} , {}", name(s.state.kind), side_words(s.across_m), distance_words(s.along_m)),
        None => match scene.cause {
            Cause::RedLight => "the traffic light".into(),
            Cause::StopSign => "the stop sign".into(),
            Cause::GiveWay => "the traffic at the junction".into(),
            Cause::Curve => "the turn".into(),
            _ => "nothing".into(),
        },
    }
}

fn weather_words(snapshot: &Snapshot) -> &'static str {
    let w = &snapshot.weather;
    match () {
        () if w.sun_altitude_deg < 0.0 => "night",
        () if w.fog_density > 25.0 => "fog",
        () if w.precipitation > 15.0 => "rain",
        () if w.wetness > 30.0 => "a wet road",
        () if w.sun_altitude_deg < 12.0 => "a low sun",
        () if w.cloudiness > 50.0 => "clouds",
        () => "clear",
    }
}

fn path_words(future: &Trajectory) -> String {
    let [x, y] = future.0[5].map(f64::from);
    let length = future.0.iter().fold((0.0, DVec2::ZERO), |(sum, last), p| {
        let p = DVec2::new(p[0].into(), p[1].into());
        (sum + p.distance(last), p)
    });
    let metres = ((length.0 / 3.0).round() * 3.0) as i64;
    let side = match y {
        _ if x.hypot(y) < 2.0 => "here",
        y if y > 0.25 * x.abs() + 0.6 => "far to the left",
        y if y > 0.8 => "to the left",
        y if y < -0.25 * x.abs() - 0.6 => "far to the right",
        y if y < -0.8 => "to the right",
        _ => "straight ahead",
    };
    format!("{metres} metres , {side}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{EgoVehicle, Weather};
    use apprentice_core::{HORIZON_STEPS, Pose2};

    fn actor(id: u32, kind: ActorKind, x: f64, y: f64, speed_mps: f32, lamps: u8) -> ActorState {
        ActorState {
            id,
            kind,
            pose_in_world: Pose2::new(x, y, 0.0),
            ground_z_m: 0.0,
            size_m: kind.size_m(),
            speed_mps,
            lamps: Lamps(lamps),
            paint: 0,
            gait_rad: 0.0,
        }
    }

    /// Answers about a straight road; the ego brakes from 8 m/s. `sideways` is each actor's motion in 0.5 s.
    fn answers(actors: Vec<(ActorState, u32, f32)>, light: LightState, cause: Cause) -> Vec<QuestionAnswer> {
        let agents: Vec<AgentLabel> = actors
            .iter()
            .map(|(a, pixels, sideways)| AgentLabel {
                id: a.id,
                class: a.kind.class(),
                center_in_ego: [a.pose_in_world.x as f32, a.pose_in_world.y as f32, 0.8],
                size_m: a.size_m,
                yaw_rad: 0.0,
                velocity_in_ego_mps: [a.speed_mps, 0.0],
                visible_pixels: *pixels,
                future_in_ego: std::array::from_fn(|i| {
                    [a.pose_in_world.x as f32, a.pose_in_world.y as f32 + sideways * (i + 1) as f32]
                }),
                future_yaw_rad: [0.0; HORIZON_STEPS],
                future_steps: HORIZON_STEPS as u8,
            })
            .collect();
        let ego = EgoVehicle {
            pose_in_world: Pose2::default(),
            ground_z_m: 0.0,
            pitch_rad: 0.0,
            speed_mps: 8.0,
            acceleration_mps2: 0.0,
            yaw_rate_radps: 0.0,
        };
        let snapshot = Snapshot {
            tick: 0,
            ego,
            actors: actors.into_iter().map(|(a, ..)| a).collect(),
            lights: Vec::new(),
            weather: Weather::default(),
        };
        let future = Trajectory([[3.5, 0.0], [6.0, 0.0], [7.5, 0.0], [8.0, 0.0], [8.1, 0.0], [8.1, 0.0]]);
        let route: Vec<DVec2> = (0..60).map(|i| DVec2::new(f64::from(i), 0.0)).collect();
        let scene = Scene {
            snapshot: &snapshot,
            agents: &agents,
            light,
            command: Command::LaneFollow,
            speed_mps: 8.0,
            future: &future,
            future_steps: 6,
            cause,
            critical: None,
            route_in_ego: &route,
        };
        describe(&scene, &mut Rng::new(&[1]))
    }

    fn answer<'a>(all: &'a [QuestionAnswer], kind: &str) -> &'a str {
        &all.iter().find(|q| q.kind == kind).unwrap().answer
    }

    #[test]
    fn tells_what_is_seen_and_why_to_stop() {
        let car = actor(1, ActorKind::Car, 15.0, 0.3, 5.0, Lamps::BRAKE);
        let walker = actor(2, ActorKind::Child, 12.0, -4.0, 0.0, 0);
        let all = answers(vec![(car, 200, 0.0), (walker, 30, 0.7)], LightState::Red, Cause::Crossing);
        assert_eq!(answer(&all, "light"), "red");
        assert_eq!(answer(&all, "lead"), "a car near , moving");
        assert_eq!(answer(&all, "signals"), "brake lights");
        assert_eq!(answer(&all, "pedestrians"), "one");
        assert_eq!(answer(&all, "vehicles"), "one");
        assert_eq!(answer(&all, "crossing"), "yes , a child on the right , near");
        assert_eq!(answer(&all, "hazard"), "a child on the right , near");
        assert_eq!(answer(&all, "action"), "stop");
        assert_eq!(answer(&all, "reason"), "someone may cross");
        assert_eq!(answer(&all, "path"), "9 metres , straight ahead");
        assert_eq!(answer(&all, "describe"), "a child on the right , near . stop because someone may cross .");
    }

    #[test]
    fn riding_along_the_lane_is_not_crossing_it() {
        let cyclist = actor(1, ActorKind::Bicycle, 14.0, -1.0, 3.0, 0);
        let all = answers(vec![(cyclist.clone(), 60, 0.0)], LightState::None, Cause::Leader);
        assert_eq!((answer(&all, "crossing"), answer(&all, "lead")), ("no", "a bicycle near , slow"));
        let all = answers(vec![(cyclist, 60, 0.6)], LightState::None, Cause::Crossing);
        assert_eq!(answer(&all, "crossing"), "yes , a bicycle in our way , near");
    }

    #[test]
    fn is_silent_about_what_is_hidden_and_who_only_stands_there() {
        let hidden = actor(1, ActorKind::Child, 12.0, -4.0, 0.0, 0);
        let waiting = actor(2, ActorKind::Pedestrian, 14.0, -4.0, 0.0, 0);
        let all = answers(vec![(hidden, 3, 0.7), (waiting, 40, 0.0)], LightState::None, Cause::Free);
        assert_eq!(answer(&all, "crossing"), "no");
        assert_eq!(answer(&all, "pedestrians"), "one");
        assert_eq!(answer(&all, "lead"), "nothing");
        assert_eq!(answer(&all, "signals"), "there is no vehicle ahead");
        assert_eq!(answer(&all, "hazard"), "nothing");
    }
}
