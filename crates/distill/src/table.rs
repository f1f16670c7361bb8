//! The table of a proof: arms against the base, per tier, with clustered intervals and the gates. It is made from
//! [`Evidence`] alone.
//!
//! A start's value of an arm is the mean over the arm's seeds. A difference to the base is taken seed by seed where both were
//! trained with that seed, and to the mean of all bases where the arm has no such seed (floors, teachers). Intervals draw worlds;
//! the spread of training shows in the values by seed beside them.

use crate::DistillError;
use crate::evidence::{Evidence, Outcome, RunFacts, StartFacts};
use crate::prove::Arm;
use apprentice_eval::interval::{Clusters, SEED};
use apprentice_eval::planning::tier_rank;
use apprentice_eval::{Estimate, Gate, gates};
use apprentice_teacher::QuizReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Schema of the document.
pub const PROVE_SCHEMA: &str = "apprentice.prove/1";

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
    /// Overall difference to the base of the same seed, for each seed that both have.
    pub l2_vs_base_by_seed: Vec<f64>,
    /// All starts, then tiers.
    pub groups: Vec<GroupFigures>,
}

/// The claim, [`CLAIM`], against another arm, start by start and seed by seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// What it is held against.
    pub minus: Arm,
    /// Difference of the endpoint's `l2_mean` for each seed that both have, metres.
    pub l2_by_seed: Vec<f64>,
    /// The endpoint's starts, then all.
    pub groups: Vec<ContrastFigures>,
}

/// A difference over a group of starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContrastFigures {
    /// [`ENDPOINT`] or `all`.
    pub group: String,
    /// Starts.
    pub starts: usize,
    /// Worlds.
    pub worlds: usize,
    /// Of `l2_mean`, metres; negative is better.
    pub l2_mean: Estimate,
    /// Of `collision_any`.
    pub collision_any: Estimate,
}

/// The arm that a claim is about.
pub const CLAIM: Arm = Arm::OwnBoth;
/// The starts that the primary endpoint is about.
pub const ENDPOINT: &str = "rare and open-road";
/// Two halves of two gates.
const GATES: usize = 4;
/// What the claim is held against: arms that could explain it otherwise, and its own cells.
const CONTROLS: [Arm; 9] = [
    Arm::Base,
    Arm::BaseTwice,
    Arm::PseudoLabels,
    Arm::AnswerLabels,
    Arm::SelfDistillation,
    Arm::TeacherWithoutLanguage,
    Arm::ShuffledGuidance,
    Arm::OwnGtOnly,
    Arm::OwnMimicOnly,
];

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
    /// The claim against its controls.
    #[serde(default)]
    pub contrasts: Vec<Contrast>,
    /// How well the teacher answers.
    pub quiz: Option<QuizReport>,
    /// Rows.
    pub arms: Vec<ArmFigures>,
}

fn groups_of(starts: &[StartFacts]) -> Vec<(String, Vec<usize>)> {
    let mut tiers: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (i, start) in starts.iter().enumerate() {
        tiers.entry((tier_rank(&start.tier), &start.tier)).or_default().push(i);
    }
    let mut groups = vec![("all".to_string(), (0..starts.len()).collect())];
    groups.extend(tiers.into_iter().map(|((_, name), members)| (name.to_string(), members)));
    groups
}

fn collides(outcome: &Outcome) -> f64 {
    f64::from(u8::from(outcome.collides))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// A group of starts: how many worlds it has, and the estimates of columns that have a value for every start there is.
/// `None` where the group is empty.
fn estimates(starts: &[StartFacts], members: &[usize], columns: &[Vec<f64>]) -> Option<(usize, Vec<Estimate>)> {
    let clusters = Clusters::new(members.iter().map(|&i| starts[i].id.world.as_str()));
    let taken: Vec<Vec<f64>> = columns.iter().map(|c| members.iter().map(|&i| c[i]).collect()).collect();
    let borrowed: Vec<&[f64]> = taken.iter().map(Vec::as_slice).collect();
    let found = clusters.estimates(&borrowed, SEED).into_iter().collect::<Option<_>>()?;
    Some((clusters.count(), found))
}

/// Mean over runs, start by start.
fn averaged(runs: &[&RunFacts], metric: fn(&Outcome) -> f64) -> Vec<f64> {
    let starts = runs.first().map_or(0, |r| r.outcomes.len());
    (0..starts).map(|i| runs.iter().map(|r| metric(&r.outcomes[i])).sum::<f64>() / runs.len() as f64).collect()
}

/// Mean difference to the base, start by start.
fn against(runs: &[&RunFacts], bases: &[&RunFacts], metric: fn(&Outcome) -> f64) -> Vec<f64> {
    let (arms, paired): (Vec<&RunFacts>, Vec<&RunFacts>) = pairs(runs, bases).into_iter().unzip();
    let (arms, paired) = if arms.is_empty() { (runs.to_vec(), bases.to_vec()) } else { (arms, paired) };
    averaged(&arms, metric).iter().zip(averaged(&paired, metric)).map(|(a, b)| a - b).collect()
}

/// Where the primary endpoint is taken.
fn in_endpoint(start: &StartFacts) -> bool {
    start.tier == "rare" || start.tier == "open-road"
}

/// The claim against each control that was run.
fn contrasts_of(evidence: &Evidence) -> Vec<Contrast> {
    let starts = &evidence.starts;
    let claim: Vec<_> = evidence.of(CLAIM).collect();
    let groups = [(ENDPOINT, in_endpoint as fn(&StartFacts) -> bool), ("all", |_| true)];
    let contrast = |minus: Arm| {
        let other: Vec<_> = evidence.of(minus).collect();
        if claim.is_empty() || other.is_empty() {
            return None;
        }
        let columns = [against(&claim, &other, Outcome::l2_mean), against(&claim, &other, collides)];
        let figures = groups.iter().filter_map(|(name, inside)| {
            let members: Vec<_> = (0..starts.len()).filter(|&i| inside(&starts[i])).collect();
            let (worlds, e) = estimates(starts, &members, &columns)?;
            let (l2_mean, collision_any) = (e[0], e[1]);
            Some(ContrastFigures { group: (*name).into(), starts: members.len(), worlds, l2_mean, collision_any })
        });
        let endpoint = |run: &RunFacts| {
            let l2 = run.outcomes.iter().zip(starts).filter(|(_, start)| in_endpoint(start));
            mean(&l2.map(|(outcome, _)| outcome.l2_mean()).collect::<Vec<_>>())
        };
        let by_seed = pairs(&claim, &other).into_iter().map(|(a, b)| endpoint(a) - endpoint(b)).collect();
        Some(Contrast { minus, l2_by_seed: by_seed, groups: figures.collect() })
    };
    CONTROLS.into_iter().filter_map(contrast).collect()
}

/// Runs with the base of the same seed. A teacher's seed is its own, not that of a base.
fn pairs<'a>(runs: &[&'a RunFacts], bases: &[&'a RunFacts]) -> Vec<(&'a RunFacts, &'a RunFacts)> {
    runs.iter()
        .filter(|r| r.arm != Arm::Teacher && r.seed.is_some())
        .filter_map(|r| Some((*r, *bases.iter().find(|b| b.seed == r.seed)?)))
        .collect()
}

/// Mean of several teachers' scores, question type by question type.
fn mean_quiz(quizzes: &[QuizReport]) -> Option<QuizReport> {
    let mut all = quizzes.first()?.clone();
    for kind in &mut all.kinds {
        let same: Vec<f64> =
            quizzes.iter().filter_map(|q| q.kinds.iter().find(|k| k.kind == kind.kind)).map(|k| k.accuracy).collect();
        kind.accuracy = mean(&same);
    }
    Some(all)
}

/// Make the document.
///
/// # Errors
/// When the evidence holds no base.
pub fn report(evidence: &Evidence) -> Result<ProveReport, DistillError> {
    let starts = &evidence.starts;
    let runs_of = |arm: Arm| evidence.of(arm).collect::<Vec<_>>();
    let bases = runs_of(Arm::Base);
    if bases.is_empty() {
        return Err(DistillError::config("the base has no result"));
    }
    let groups = groups_of(starts);
    let mut arms = vec![];
    for arm in Arm::ALL {
        let runs = runs_of(arm);
        if runs.is_empty() {
            continue;
        }
        let columns = [
            averaged(&runs, Outcome::l2_mean),
            averaged(&runs, collides),
            averaged(&runs, |o| o.min_gap_m.into()),
            against(&runs, &bases, Outcome::l2_mean),
            against(&runs, &bases, collides),
        ];
        let mut figures = vec![];
        for (name, members) in &groups {
            let Some((worlds, e)) = estimates(starts, members, &columns) else { continue };
            let to_base = |estimate: Estimate| (arm != Arm::Base).then_some(estimate);
            figures.push(GroupFigures {
                group: name.clone(),
                starts: members.len(),
                worlds,
                l2_mean: e[0],
                collision_any: e[1],
                min_gap_m: e[2],
                l2_vs_base: to_base(e[3]),
                collision_vs_base: to_base(e[4]),
            });
        }
        let seed_mean = |run: &RunFacts| mean(&averaged(&[run], Outcome::l2_mean));
        let differences = pairs(&runs, &bases).into_iter().filter(|_| arm != Arm::Base);
        arms.push(ArmFigures {
            arm,
            seeds: runs.len(),
            parameters: runs[0].parameters,
            l2_by_seed: runs.iter().map(|run| seed_mean(run)).collect(),
            l2_vs_base_by_seed: differences.map(|(run, base)| seed_mean(run) - seed_mean(base)).collect(),
            groups: figures,
        });
    }
    let quiz = mean_quiz(&evidence.quizzes);
    let config = &evidence.config;
    let stem_steps = config.stem.as_ref().map_or(0, |stem| stem.steps);
    Ok(ProveReport {
        schema: PROVE_SCHEMA.into(),
        protocol: evidence.protocol.name.clone(),
        part: config.part.name().into(),
        data_hash: evidence.data_hash.clone(),
        seeds: config.seeds.clone(),
        student_steps: stem_steps + config.student.train.steps,
        stem_steps,
        teacher_steps: config.teacher.train.steps,
        primary_endpoint: config.primary_endpoint.clone(),
        gates: gates_of(evidence, quiz.as_ref())?,
        contrasts: contrasts_of(evidence),
        quiz,
        arms,
    })
}

fn gates_of(evidence: &Evidence, quiz: Option<&QuizReport>) -> Result<Vec<Gate>, DistillError> {
    let starts = &evidence.starts;
    let errors = |arm: Arm| {
        let runs: Vec<_> = evidence.of(arm).collect();
        (!runs.is_empty()).then(|| averaged(&runs, Outcome::l2_mean))
    };
    let where_ =
        |only: &dyn Fn(&StartFacts) -> bool| (0..starts.len()).filter(|&i| only(&starts[i])).collect::<Vec<_>>();
    let take = |members: &[usize], values: &[f64]| members.iter().map(|&i| values[i]).collect::<Vec<_>>();
    let worlds = |members: &[usize]| members.iter().map(|&i| starts[i].id.world.as_str()).collect::<Vec<_>>();
    let mut found = vec![];
    let base = errors(Arm::Base);
    // A base that goes on from trained weights cannot be held against a floor and a ceiling that begin from chance.
    let floor = errors(Arm::NoImage).filter(|_| evidence.config.start.is_none());
    if let (Some(floor), Some(base), Some(ceiling)) = (floor, &base, errors(Arm::ObservableCeiling)) {
        for (name, members) in [("all", where_(&|_| true)), ("people in view", where_(&|s| s.people))] {
            if !members.is_empty() {
                let [floor, base, ceiling] = [&floor, base, &ceiling].map(|v| take(&members, v));
                found.push(gates::perception(name, &worlds(&members), &floor, &base, &ceiling)?);
            }
        }
    }
    if let (Some(base), Some(teacher)) = (&base, errors(Arm::Teacher)) {
        let members = where_(&in_endpoint);
        if !members.is_empty() {
            let [base, teacher] = [base, &teacher].map(|v| take(&members, v));
            found.push(gates::teacher(ENDPOINT, &worlds(&members), &base, &teacher)?);
        }
    }
    if let Some(quiz) = quiz.filter(|quiz| !quiz.kinds.is_empty()) {
        // The teacher gate's other half: its answers must beat the majority answer for every type of question.
        let better = quiz.beaten();
        let share = better as f64 / quiz.kinds.len() as f64;
        let value = Estimate { mean: share, low: None, high: None };
        let name = "teacher gate (answers: share of question types above the majority answer)".into();
        found.push(Gate { name, value, needed: 1.0, passed: better == quiz.kinds.len() });
    }
    Ok(found)
}

fn interval(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{:.3} [{low:.3}, {high:.3}]", e.mean),
        _ => format!("{:.3}", e.mean),
    }
}

impl ProveReport {
    /// Whether both halves of both gates were measured.
    fn is_gated(&self) -> bool {
        self.gates.len() == GATES
    }

    /// The claim's section; unless all gates are passed it says so where the claim would stand.
    fn contrasts_markdown(&self, put: &mut impl FnMut(String)) {
        let Some([endpoint, all]) = self.contrasts.first().and_then(|c| c.groups.first_chunk::<2>()) else { return };
        put(format!("\n### {} minus each of its controls, start by start\n", CLAIM.name()));
        if self.gates.iter().any(|gate| !gate.passed) {
            put("gate failed: what follows is exploratory, and nothing is claimed.\n".into());
        } else if !self.is_gated() {
            put("gate not measured: what follows is exploratory, and nothing is claimed.\n".into());
        }
        put(format!(
            "Δ L2 mean over {} ({} starts, {} worlds) and {} ({} starts, {} worlds).\n",
            endpoint.group, endpoint.starts, endpoint.worlds, all.group, all.starts, all.worlds
        ));
        put(format!("| minus | Δ L2, {}, m | by seed | Δ L2, all, m | Δ any collision, all |", endpoint.group));
        put("|---|---|---|---|---|".into());
        for contrast in &self.contrasts {
            let Some([endpoint, all]) = contrast.groups.first_chunk::<2>() else { continue };
            let by_seed: Vec<_> = contrast.l2_by_seed.iter().map(|l2| format!("{l2:+.3}")).collect();
            put(format!(
                "| {} | {} | {} | {} | {} |",
                contrast.minus.name(),
                interval(&endpoint.l2_mean),
                by_seed.join(", "),
                interval(&all.l2_mean),
                interval(&all.collision_any)
            ));
        }
    }

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
        self.contrasts_markdown(&mut put);
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
        put("\n### By seed: L2 mean, m (Δ to the base of that seed)\n".into());
        for arm in self.arms.iter().filter(|arm| !arm.l2_by_seed.is_empty()) {
            let seeds = arm.l2_by_seed.iter().enumerate().map(|(i, l2)| match arm.l2_vs_base_by_seed.get(i) {
                Some(difference) => format!("{l2:.3} ({difference:+.3})"),
                None => format!("{l2:.3}"),
            });
            put(format!("* {}: {}", arm.arm.name(), seeds.collect::<Vec<_>>().join(", ")));
        }
        text
    }
}
