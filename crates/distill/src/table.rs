//! The table of a proof: arms against the base, per tier, with clustered intervals and the gates.

use crate::DistillError;
use crate::prove::{Arm, ProveConfig};
use apprentice_core::AgentClass;
use apprentice_core::sample::SampleId;
use apprentice_data::WorldSet;
use apprentice_eval::interval::{Clusters, SEED};
use apprentice_eval::planning::tier_rank;
use apprentice_eval::{Estimate, Gate, Judged, PlanningResult, gates};
use apprentice_teacher::QuizReport;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Schema of the document.
pub const PROVE_SCHEMA: &str = "apprentice.prove/1";

/// Results of one arm: `results[seed][protocol]`.
pub(crate) struct ArmRow {
    arm: Arm,
    results: Vec<Vec<PlanningResult>>,
}

impl ArmRow {
    pub(crate) fn new(arm: Arm, results: Vec<Vec<PlanningResult>>) -> Self {
        Self { arm, results }
    }

    /// Per start, means over seeds: L2 (mean of averages up to 1, 2, 3 s), any collision, least gap.
    fn columns(&self) -> [Vec<f64>; 3] {
        let rows = |seed: &Vec<PlanningResult>| seed.first().map_or(&[][..], |r| r.rows.as_slice()).to_vec();
        let seeds: Vec<Vec<Judged>> = self.results.iter().map(rows).collect();
        let starts = seeds.iter().map(Vec::len).min().unwrap_or(0);
        let mean = |metric: fn(&Judged) -> f64| -> Vec<f64> {
            (0..starts).map(|i| seeds.iter().map(|s| metric(&s[i])).sum::<f64>() / seeds.len() as f64).collect()
        };
        [mean(l2_mean), mean(Judged::collision_any), mean(|row| row.min_gap_m)]
    }

    /// The first seed's result with the L2 of every start averaged over seeds: what the gates look at.
    fn averaged(&self) -> Option<PlanningResult> {
        let mut result = self.results.first()?.first()?.clone();
        let n = self.results.len() as f64;
        for (i, row) in result.rows.iter_mut().enumerate() {
            for t in 0..row.l2_m.len() {
                row.l2_m[t] =
                    self.results.iter().filter_map(|r| r.first()?.rows.get(i)).map(|r| r.l2_m[t]).sum::<f64>() / n;
            }
        }
        Some(result)
    }
}

fn l2_mean(row: &Judged) -> f64 {
    row.l2_avg_to_t().iter().sum::<f64>() / 3.0
}

/// Figures of an arm over a group of starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFigures {
    /// `all` or a tier.
    pub group: String,
    /// Starts.
    pub starts: usize,
    /// Worlds.
    pub worlds: usize,
    /// Mean over 1, 2, 3 s of L2 averaged up to t, metres.
    pub l2_mean: Estimate,
    /// Fraction of starts with a collision at any step.
    pub collision_any: Estimate,
    /// Metres.
    pub min_gap_m: Estimate,
    /// Paired difference of `l2_mean` to the base, metres; negative is better.
    pub l2_vs_base: Option<Estimate>,
    /// Paired difference of `collision_any` to the base.
    pub collision_vs_base: Option<Estimate>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmFigures {
    /// Arm.
    pub arm: Arm,
    /// Training runs.
    pub seeds: usize,
    /// Parameters at test time.
    pub parameters: Option<u64>,
    /// Overall `l2_mean` of each seed, metres: the spread of training.
    pub l2_by_seed: Vec<f64>,
    /// All starts, then tiers.
    pub groups: Vec<GroupFigures>,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProveReport {
    /// [`PROVE_SCHEMA`].
    pub schema: String,
    /// Protocol of the table.
    pub protocol: String,
    /// The held-out part.
    pub part: String,
    /// Data set.
    pub data_hash: String,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Steps of a student's training, the stem's included.
    pub student_steps: u64,
    /// How many of them are the stem's.
    pub stem_steps: u64,
    /// Steps of the teacher's.
    pub teacher_steps: u64,
    /// Written down before the run.
    pub primary_endpoint: String,
    /// Perception and teacher gates.
    pub gates: Vec<Gate>,
    /// How well the teacher answers.
    pub quiz: Option<QuizReport>,
    /// Rows.
    pub arms: Vec<ArmFigures>,
}

fn groups_of(rows: &[Judged]) -> Vec<(String, Vec<usize>)> {
    let mut tiers: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        tiers.entry((tier_rank(&row.tier), row.tier.clone())).or_default().push(i);
    }
    let mut groups = vec![("all".to_string(), (0..rows.len()).collect())];
    groups.extend(tiers.into_iter().map(|((_, name), members)| (name, members)));
    groups
}

/// Starts where a camera shows somebody on foot or on two wheels within 25 m ahead or beside.
fn with_people(set: &WorldSet, rows: &[Judged]) -> Result<BTreeSet<SampleId>, DistillError> {
    let mut ids = BTreeSet::new();
    for row in rows {
        let sample = set.sample(&row.id)?;
        let near = |a: &apprentice_core::AgentLabel| {
            matches!(a.class, AgentClass::Pedestrian | AgentClass::Bicycle | AgentClass::Motorcycle)
                && a.visible_pixels > 0
                && a.center_in_ego[0].hypot(a.center_in_ego[1]) < 25.0
        };
        if sample.agents.iter().any(near) {
            ids.insert(row.id.clone());
        }
    }
    Ok(ids)
}

/// Make the document.
pub(crate) fn report(
    set: &WorldSet,
    config: &ProveConfig,
    rows: &[ArmRow],
    quiz: Option<QuizReport>,
) -> Result<ProveReport, DistillError> {
    let arm = |wanted: Arm| rows.iter().find(|r| r.arm == wanted);
    let missing = || DistillError::config("the base has no result");
    let base = arm(Arm::Base).ok_or_else(missing)?;
    let judged = base.results.first().and_then(|r| r.first()).ok_or_else(missing)?;
    let [base_l2, base_hits, _] = base.columns();
    let groups = groups_of(&judged.rows);
    let mut arms = vec![];
    for row in rows {
        let [l2, hits, gaps] = row.columns();
        if l2.len() != base_l2.len() {
            let problem =
                format!("{} was judged on {} starts, the base on {}", row.arm.name(), l2.len(), base_l2.len());
            return Err(DistillError::config(problem));
        }
        let mut figures = vec![];
        for (name, members) in &groups {
            let clusters = Clusters::new(members.iter().map(|&i| judged.rows[i].id.world.as_str()));
            let take = |values: &[f64]| members.iter().map(|&i| values[i]).collect::<Vec<_>>();
            let less = |a: &[f64], b: &[f64]| members.iter().map(|&i| a[i] - b[i]).collect::<Vec<_>>();
            let columns = [take(&l2), take(&hits), take(&gaps), less(&l2, &base_l2), less(&hits, &base_hits)];
            let borrowed: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let Some(e) = clusters.estimates(&borrowed, SEED).into_iter().collect::<Option<Vec<Estimate>>>() else {
                continue;
            };
            let against = |estimate: Estimate| (row.arm != Arm::Base).then_some(estimate);
            figures.push(GroupFigures {
                group: name.clone(),
                starts: members.len(),
                worlds: clusters.count(),
                l2_mean: e[0],
                collision_any: e[1],
                min_gap_m: e[2],
                l2_vs_base: against(e[3]),
                collision_vs_base: against(e[4]),
            });
        }
        let seed_mean = |r: &Vec<PlanningResult>| r.first().map(|r| r.all.l2_mean.mean);
        arms.push(ArmFigures {
            arm: row.arm,
            seeds: row.results.len(),
            parameters: row.results.first().and_then(|r| r.first()?.subject.parameters),
            l2_by_seed: row.results.iter().filter_map(seed_mean).collect(),
            groups: figures,
        });
    }

    let mut found = vec![];
    let averaged = |wanted: Arm| arm(wanted).and_then(ArmRow::averaged);
    if let (Some(floor), Some(base), Some(ceiling)) =
        (averaged(Arm::NoImage), averaged(Arm::Base), averaged(Arm::ObservableCeiling))
    {
        found.push(gates::perception("all", &floor, &base, &ceiling, &|_| true)?);
        let people = with_people(set, &judged.rows)?;
        if !people.is_empty() {
            found.push(gates::perception("people in view", &floor, &base, &ceiling, &|row| people.contains(&row.id))?);
        }
    }
    if let (Some(base), Some(teacher)) = (averaged(Arm::Base), averaged(Arm::Teacher)) {
        let only = |row: &Judged| row.tier == "rare" || row.tier == "open-road";
        if base.rows.iter().any(only) {
            found.push(gates::teacher("rare and open-road", &base, &teacher, &only)?);
        }
    }
    if let Some(quiz) = quiz.as_ref().filter(|quiz| !quiz.kinds.is_empty()) {
        // The teacher gate's other half: its answers must beat the majority answer for every type of question.
        let better = quiz.kinds.iter().filter(|k| k.accuracy > k.majority).count();
        let share = better as f64 / quiz.kinds.len() as f64;
        let value = Estimate { mean: share, low: None, high: None };
        let name = "teacher gate (answers: share of question types above the majority answer)".into();
        found.push(Gate { name, value, needed: 1.0, passed: better == quiz.kinds.len() });
    }
    let stem_steps = config.stem.as_ref().map_or(0, |stem| stem.steps);
    Ok(ProveReport {
        schema: PROVE_SCHEMA.into(),
        protocol: judged.protocol.name.clone(),
        part: config.part.name().into(),
        data_hash: set.hash().into(),
        seeds: config.seeds.clone(),
        student_steps: stem_steps + config.student.train.steps,
        stem_steps,
        teacher_steps: config.teacher.train.steps,
        primary_endpoint: config.primary_endpoint.clone(),
        gates: found,
        quiz,
        arms,
    })
}

fn interval(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{:.3} [{low:.3}, {high:.3}]", e.mean),
        _ => format!("{:.3}", e.mean),
    }
}

impl ProveReport {
    /// The tables in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut put = |line: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        put(format!(
            "Protocol `{}`, {} part, seeds {:?}, {} student steps ({} of them the stem's), {} teacher steps, data `{}`.",
            self.protocol,
            self.part,
            self.seeds,
            self.student_steps,
            self.stem_steps,
            self.teacher_steps,
            self.data_hash.get(..16).unwrap_or(&self.data_hash)
        ));
        put(format!("Primary endpoint: {}. Everything else is exploratory.\n", self.primary_endpoint));
        self.gates.iter().for_each(|gate| put(format!("* {}", gate.line())));
        if let Some(quiz) = &self.quiz {
            put(format!(
                "* answers: {} of {} question types beat the majority answer\n",
                quiz.beaten(),
                quiz.kinds.len()
            ));
            put("| question type | asked | teacher | majority answer |".into());
            put("|---|---|---|---|".into());
            for k in &quiz.kinds {
                put(format!(
                    "| {} | {} | {:.1} % | {:.1} % |",
                    k.kind,
                    k.questions,
                    100.0 * k.accuracy,
                    100.0 * k.majority
                ));
            }
        }
        let groups: Vec<&str> =
            self.arms.first().map(|a| a.groups.iter().map(|g| g.group.as_str()).collect()).unwrap_or_default();
        for (i, group) in groups.iter().enumerate() {
            let size = self.arms.first().map(|a| (a.groups[i].starts, a.groups[i].worlds)).unwrap_or_default();
            put(format!("\n### {group} ({} starts, {} worlds)\n", size.0, size.1));
            put("| arm | seeds | L2 mean, m | Δ to base, m | any collision | Δ to base | least gap, m |".into());
            put("|---|---|---|---|---|---|---|".into());
            for arm in &self.arms {
                let g = &arm.groups[i];
                let against = |e: &Option<Estimate>| e.as_ref().map_or_else(|| "–".into(), interval);
                put(format!(
                    "| {} | {} | {} | {} | {} | {} | {} |",
                    arm.arm.name(),
                    arm.seeds,
                    interval(&g.l2_mean),
                    against(&g.l2_vs_base),
                    interval(&g.collision_any),
                    against(&g.collision_vs_base),
                    interval(&g.min_gap_m)
                ));
            }
        }
        text
    }
}
