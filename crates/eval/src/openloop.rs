//! Open-loop planning: a plan against the recorded future and against what it would have met.
//!
//! Per step t = 1..6, half a second apart (protocols.md A1): `d_t = ‖p_t − g_t‖`, `c_t` whether the plan collides,
//! `c*_t` whether the recorded ego does, counted collision `k_t = c_t ∧ ¬c*_t`. At a horizon of T seconds, with
//! n = 2T: *at t* takes step n, *averaged up to t* the mean of steps 1..n. Both are always given.

use crate::collision::{agent_boxes, contact, touches};
use crate::interval::written;
use crate::protocol::{EgoBox, Protocol, SampleSet};
use apprentice_core::sample::SampleId;
use apprentice_core::trajectory::{HORIZON_STEPS, Trajectory};
use apprentice_core::{AgentLabel, Command, EgoState, MapClass, Sample};
use serde::{Deserialize, Serialize};

/// One moment to plan from, whatever it was recorded in.
#[derive(Clone, Debug)]
pub struct Start {
    /// Identity; its world is the cluster of the intervals.
    pub id: SampleId,
    /// Tier of the proving ground, or any other name to group by; empty for none.
    pub tier: String,
    /// Scenario family, or the recording's place.
    pub family: String,
    /// What the route asks for next.
    pub command: Command,
    /// Ego motion.
    pub ego: EgoState,
    /// Where the trajectory point was one keyframe (0.5 s) before, in the ego frame of the start; `None` when it is
    /// not known.
    pub previous_in_ego: Option<[f64; 2]>,
    /// Keyframes before the start.
    pub past_keyframes: u32,
    /// The recorded future.
    pub future: Trajectory,
    /// How many of its leading steps are known.
    pub future_steps: u8,
    /// Who is around.
    pub agents: Vec<AgentLabel>,
    /// Edges of the road around, in the ego frame, metres; `None` when the source has no map.
    pub boundaries_in_ego: Option<Vec<Vec<[f32; 2]>>>,
}

impl Start {
    /// A start from a sample. Its index in the world stands for the keyframes before it.
    pub fn from_sample(sample: &Sample) -> Self {
        Self {
            id: sample.id.clone(),
            tier: sample.tier.name().into(),
            family: sample.family.clone(),
            command: sample.command,
            ego: sample.ego,
            previous_in_ego: None,
            past_keyframes: sample.id.index,
            future: sample.future,
            future_steps: sample.future_steps,
            agents: sample.agents.clone(),
            boundaries_in_ego: (!sample.map.is_empty()).then(|| {
                let edges = sample.map.iter().filter(|label| label.class == MapClass::Boundary);
                edges.map(|label| label.points_in_ego.clone()).collect()
            }),
        }
    }

    /// Names of the subsets that the recorded drive puts it in: `turns` when it ends 2 m or more aside after 3 s (the
    /// rule by which VAD, UniAD and ST-P3 label commands), `sets off` when it stands (below 0.5 m/s) and has gone 2 m or
    /// more after 3 s.
    pub fn subsets(&self) -> Vec<&'static str> {
        if usize::from(self.future_steps) < HORIZON_STEPS {
            return vec![];
        }
        let [x, y] = self.future.0[HORIZON_STEPS - 1];
        let mut names = Vec::new();
        if y.abs() >= 2.0 {
            names.push("turns");
        }
        if self.ego.speed_mps.abs() < 0.5 && x.hypot(y) >= 2.0 {
            names.push("sets off");
        }
        names
    }

    /// The floor of every table: the last displacement between keyframes, repeated; without one, the speed straight
    /// ahead.
    pub fn constant_velocity(&self) -> Trajectory {
        match self.previous_in_ego {
            Some([x, y]) => Trajectory(std::array::from_fn(|i| {
                let steps = (i + 1) as f64;
                [(-x * steps) as f32, (-y * steps) as f32]
            })),
            None => Trajectory::constant_speed(self.ego.speed_mps.into()),
        }
    }

    /// Whether a protocol judges it.
    pub fn counts_in(&self, protocol: &Protocol) -> bool {
        match protocol.samples.set {
            SampleSet::AllMasked => true,
            SampleSet::FullWindow => {
                self.past_keyframes >= u32::from(protocol.samples.past_keyframes)
                    && self.future_steps >= protocol.samples.future_keyframes
            }
        }
    }
}

/// What a protocol says about one plan. Steps without a recorded future hold zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Identity.
    pub id: SampleId,
    /// Tier, or empty.
    pub tier: String,
    /// Family.
    pub family: String,
    /// d_t, metres.
    pub l2_m: [f64; HORIZON_STEPS],
    /// k_t: the plan collides and the recorded ego does not.
    pub collides: [bool; HORIZON_STEPS],
    /// c*_t: the recorded ego itself collides, so the step is excluded.
    pub excluded: [bool; HORIZON_STEPS],
    /// Least gap to another object over the known, not excluded steps, metres, cut off at the protocol's cap.
    pub min_gap_m: f64,
    /// The plan's box touches an edge of the road and the recorded ego's does not; `None` without a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_road: Option<[bool; HORIZON_STEPS]>,
    /// Subsets that it belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subsets: Vec<String>,
}

impl Judged {
    /// Touched edges at T = 1, 2, 3 s, as 0 or 1; 0 without a map.
    pub fn off_road_at_t(&self) -> [f64; 3] {
        let touched = self.off_road.unwrap_or_default();
        [1, 3, 5].map(|i| f64::from(u8::from(touched[i])))
    }

    /// Mean over all steps up to T = 1, 2, 3 s.
    pub fn off_road_avg_to_t(&self) -> [f64; 3] {
        let touched = self.off_road.unwrap_or_default();
        [2, 4, 6].map(|n| touched[..n].iter().filter(|hit| **hit).count() as f64 / n as f64)
    }

    /// d at T = 1, 2, 3 s.
    pub fn l2_at_t(&self) -> [f64; 3] {
        [1, 3, 5].map(|i| self.l2_m[i])
    }

    /// Mean d of all steps up to T = 1, 2, 3 s.
    pub fn l2_avg_to_t(&self) -> [f64; 3] {
        [2, 4, 6].map(|n| self.l2_m[..n].iter().sum::<f64>() / n as f64)
    }

    /// Mean of the three, the figure of the gates, metres.
    pub fn l2_mean(&self) -> f64 {
        self.l2_avg_to_t().iter().sum::<f64>() / 3.0
    }

    /// k at T = 1, 2, 3 s, as 0 or 1.
    pub fn collision_at_t(&self) -> [f64; 3] {
        [1, 3, 5].map(|i| f64::from(u8::from(self.collides[i])))
    }

    /// Mean k of all steps up to T = 1, 2, 3 s.
    pub fn collision_avg_to_t(&self) -> [f64; 3] {
        [2, 4, 6].map(|n| self.collides[..n].iter().filter(|hit| **hit).count() as f64 / n as f64)
    }

    /// Whether any step collides, as 0 or 1.
    pub fn collision_any(&self) -> f64 {
        f64::from(u8::from(self.collides.contains(&true)))
    }
}

/// Judge one plan.
pub fn judge(protocol: &Protocol, ego: EgoBox, start: &Start, plan: &Trajectory) -> Judged {
    let known = |t: usize| t < usize::from(start.future_steps);
    let boxes = agent_boxes(&start.agents, &protocol.occupancy);
    let planned = contact(plan, ego, &boxes, &protocol.collision);
    let recorded = contact(&start.future, ego, &boxes, &protocol.collision);
    let distance = plan.l2(&start.future);
    let excluded: [bool; HORIZON_STEPS] =
        std::array::from_fn(|t| known(t) && protocol.collision.exclude_recorded_collisions && recorded.collides[t]);
    let gaps = (0..HORIZON_STEPS).filter(|&t| known(t) && !excluded[t]).map(|t| planned.gap_m[t]);
    Judged {
        id: start.id.clone(),
        tier: start.tier.clone(),
        family: start.family.clone(),
        l2_m: std::array::from_fn(|t| if known(t) { written(distance[t]) } else { 0.0 }),
        collides: std::array::from_fn(|t| known(t) && planned.collides[t] && !excluded[t]),
        excluded,
        min_gap_m: written(gaps.fold(protocol.collision.gap_cap_m, f64::min)),
        off_road: start.boundaries_in_ego.as_ref().map(|lines| {
            let planned = touches(plan, ego, &protocol.collision, lines);
            let recorded = touches(&start.future, ego, &protocol.collision, lines);
            std::array::from_fn(|t| known(t) && planned[t] && !recorded[t])
        }),
        subsets: start.subsets().into_iter().map(String::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::AgentClass;

    fn start(future_steps: u8, agents: Vec<AgentLabel>) -> Start {
        Start {
            id: SampleId { world: "w".into(), index: 3 },
            tier: "common".into(),
            family: "test".into(),
            command: Command::LaneFollow,
            ego: EgoState { speed_mps: 10.0, ..Default::default() },
            previous_in_ego: None,
            past_keyframes: 3,
            future: Trajectory::constant_speed(8.0),
            future_steps,
            agents,
            boundaries_in_ego: None,
        }
    }

    fn parked(x: f32, y: f32, class: AgentClass) -> AgentLabel {
        AgentLabel {
            id: 1,
            class,
            center_in_ego: [x, y, 0.5],
            size_m: [4.0, 2.0, 1.5],
            yaw_rad: 0.0,
            velocity_in_ego_mps: [0.0; 2],
            visible_pixels: 9,
            future_in_ego: [[x, y]; HORIZON_STEPS],
            future_yaw_rad: [0.0; HORIZON_STEPS],
            future_steps: HORIZON_STEPS as u8,
        }
    }

    fn judged(name: &str, start: &Start, plan: &Trajectory) -> Judged {
        let protocol = Protocol::named(name).unwrap();
        judge(&protocol, protocol.ego_box("nuscenes").unwrap(), start, plan)
    }

    #[test]
    fn the_same_plan_has_other_figures_at_t_and_averaged() {
        let s = start(6, vec![]);
        let j = judged("valid-starts", &s, &s.constant_velocity());
        // 2 m/s too fast: 1, 2, 3, 4, 5, 6 m off.
        let close = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-5);
        assert!(close(j.l2_at_t(), [2.0, 4.0, 6.0]) && close(j.l2_avg_to_t(), [1.5, 2.5, 3.5]), "{j:?}");
    }

    #[test]
    fn masked_steps_count_zero_under_one_protocol_and_disqualify_under_the_other() {
        let s = start(4, vec![]);
        assert!(!s.counts_in(&Protocol::named("valid-starts").unwrap()));
        assert!(s.counts_in(&Protocol::named("uniad-masked").unwrap()));
        let j = judged("uniad-masked", &s, &s.constant_velocity());
        assert_eq!(j.l2_at_t()[2], 0.0);
        assert!((j.l2_avg_to_t()[2] - (1.0 + 2.0 + 3.0 + 4.0) / 6.0).abs() < 1e-6);
    }

    #[test]
    fn a_collision_the_recorded_ego_shares_is_excluded() {
        // A parked car over the recorded position at 1.0 s (8 m), which the plan (10 m) meets too.
        let s = start(6, vec![parked(9.0, 0.0, AgentClass::Car)]);
        let j = judged("valid-starts", &s, &s.constant_velocity());
        assert!(j.excluded[1] && !j.collides[1]);
        // The plan alone meets a car at 30 m at 3.0 s; the recorded ego is at 24 m.
        let s = start(6, vec![parked(31.0, 0.0, AgentClass::Car)]);
        let j = judged("valid-starts", &s, &s.constant_velocity());
        assert_eq!(j.collides, [false, false, false, false, false, true]);
        assert_eq!((j.collision_at_t(), j.collision_any(), j.min_gap_m), ([0.0, 0.0, 1.0], 1.0, 0.0));
        assert!((j.collision_avg_to_t()[2] - 1.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn protocols_disagree_on_who_can_be_hit_and_on_turning() {
        let cone = start(6, vec![parked(31.0, 0.0, AgentClass::TrafficCone)]);
        let plan = cone.constant_velocity();
        assert_eq!(judged("valid-starts", &cone, &plan).collision_any(), 1.0);
        assert_eq!(judged("vad-grid", &cone, &plan).collision_any(), 0.0);
        // A plan that turns left into a car standing aside: the unturned box of the grid is too short to reach it.
        let aside = start(6, vec![parked(10.0, 13.2, AgentClass::Car)]);
        let turn = Trajectory([[4.0, 0.0], [8.0, 1.0], [10.0, 4.0], [10.0, 7.0], [10.0, 10.0], [10.0, 10.0]]);
        assert_eq!(judged("valid-starts", &aside, &turn).collision_any(), 1.0);
        assert_eq!(judged("vad-grid", &aside, &turn).collision_any(), 0.0);
    }
}
