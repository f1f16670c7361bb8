//! What a proof found, start by start: small enough to keep when its worlds and weights are not.
//!
//! A proof takes hours, and its seeds are independent of one another, so they may be run on different days and machines, each leaving
//! one file (about 17 bytes per arm, seed and start). [`Evidence::pool`] joins files of one configuration; the table is made
//! from evidence alone, be it of one run or of many.

use crate::prove::{Arm, ProveConfig};
use crate::{DistillError, run};
use apprentice_core::sample::SampleId;
use apprentice_eval::planning::ProtocolRef;
use apprentice_eval::{Judged, PlanningResult};
use apprentice_store::{Container, ContainerWriter};
use apprentice_teacher::QuizReport;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file in a proof's folder.
pub const EVIDENCE_FILE: &str = "evidence.bin";
const KIND: &str = "evidence";
const KIND_VERSION: u32 = 1;
const STARTS: &str = "starts";

/// A judged start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartFacts {
    /// Identity.
    pub id: SampleId,
    /// Tier of its family.
    pub tier: String,
    /// Family of its world.
    pub family: String,
    /// Whether a camera shows somebody on foot or on two wheels within 25 m.
    pub people: bool,
}

/// What became of the plan of one start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// L2 averaged up to 1, 2, 3 s, metres.
    pub l2_avg_to_t: [f32; 3],
    /// Any collision.
    pub collides: bool,
    /// Least gap, metres.
    pub min_gap_m: f32,
}

impl Outcome {
    fn of(row: &Judged) -> Self {
        Self {
            l2_avg_to_t: row.l2_avg_to_t().map(|v| v as f32),
            collides: row.collision_any() > 0.0,
            min_gap_m: row.min_gap_m as f32,
        }
    }

    /// Mean over 1, 2, 3 s of L2 averaged up to t, metres.
    pub fn l2_mean(&self) -> f64 {
        self.l2_avg_to_t.iter().map(|&v| f64::from(v)).sum::<f64>() / 3.0
    }
}

/// One planner: an arm, trained with a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Arm.
    pub arm: Arm,
    /// Its seed; the teacher's own for the teacher; none where nothing is trained.
    pub seed: Option<u64>,
    /// Parameters at test time.
    pub parameters: Option<u64>,
    /// One per start, in the order of [`Evidence::starts`].
    #[serde(skip)]
    pub outcomes: Vec<Outcome>,
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Settings of the proof.
    pub config: ProveConfig,
    /// The data set.
    pub data_hash: String,
    /// Protocol of the outcomes.
    pub protocol: ProtocolRef,
    /// How each teacher with language answers.
    pub quizzes: Vec<QuizReport>,
    /// Judged starts.
    #[serde(skip)]
    pub starts: Vec<StartFacts>,
    /// Planners, in the order of the table, then of the seeds.
    pub runs: Vec<RunFacts>,
}

impl Evidence {
    /// Add a result. The first one says which starts there are, `people` which of them show somebody.
    ///
    /// # Errors
    /// When it was judged on other starts or under another protocol.
    pub(crate) fn add(&mut self, arm: Arm, seed: Option<u64>, result: &PlanningResult) -> Result<(), DistillError> {
        let same = self.starts.len() == result.rows.len()
            && self.starts.iter().zip(&result.rows).all(|(start, row)| start.id == row.id)
            && self.protocol == result.protocol;
        if !same {
            let problem = format!("{} was judged on other starts or under another protocol", arm.name());
            return Err(DistillError::config(problem));
        }
        let outcomes = result.rows.iter().map(Outcome::of).collect();
        self.runs.push(RunFacts { arm, seed, parameters: result.subject.parameters, outcomes });
        Ok(())
    }

    /// Write the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DistillError> {
        let plain = |e: &dyn std::fmt::Display| DistillError::config(format!("{}: {e}", path.display()));
        let meta = serde_json::to_value(self).map_err(|e| plain(&e))?;
        let mut file = ContainerWriter::new(KIND, KIND_VERSION, meta);
        file.section(STARTS, postcard::to_stdvec(&self.starts).map_err(|e| plain(&e))?);
        for (i, run) in self.runs.iter().enumerate() {
            file.section(&i.to_string(), postcard::to_stdvec(&run.outcomes).map_err(|e| plain(&e))?);
        }
        file.write(path)?;
        Ok(())
    }

    /// Read a file.
    ///
    /// # Errors
    /// Names the file and the field.
    pub fn read(path: &Path) -> Result<Self, DistillError> {
        let file = Container::open(path, KIND, KIND_VERSION)?;
        let mut evidence: Self = file.meta_as()?;
        evidence.starts = file.decode(STARTS)?;
        for (i, run) in evidence.runs.iter_mut().enumerate() {
            run.outcomes = file.decode(&i.to_string())?;
            if run.outcomes.len() != evidence.starts.len() {
                let (expected, found) = (evidence.starts.len(), run.outcomes.len());
                return Err(
                    apprentice_store::StoreError::corrupt(path, format!("section `{i}`"), expected, found).into()
                );
            }
        }
        Ok(evidence)
    }

    /// Evidence of one configuration but for its seeds and arms, as one.
    ///
    /// # Errors
    /// When there is none, when settings, data or starts differ, or when two files tell of the same run.
    pub fn pool(files: Vec<(std::path::PathBuf, Self)>) -> Result<Self, DistillError> {
        let mut files = files.into_iter();
        let (first_path, mut all) = files.next().ok_or_else(|| DistillError::config("no evidence to pool"))?;
        let settings = |e: &Self| {
            let mut config = e.config.clone();
            (config.seeds, config.arms, config.teacher.train.seed) = (vec![], vec![], 0);
            serde_json::json!({ "config": config, "data": e.data_hash, "protocol": e.protocol })
        };
        for (path, other) in files {
            if let Some(difference) = run::difference(&settings(&all), &settings(&other)) {
                return Err(DistillError::OtherRun { path, difference });
            }
            let unlike =
                |what: String| DistillError::config(format!("{} and {}: {what}", first_path.display(), path.display()));
            if other.starts != all.starts {
                return Err(unlike("they were judged on other starts".into()));
            }
            for run in other.runs {
                let known = all.runs.iter().find(|r| (r.arm, r.seed) == (run.arm, run.seed));
                match known {
                    None => all.runs.push(run),
                    // What nobody trains is the same everywhere.
                    Some(known) if run.seed.is_none() && known.outcomes == run.outcomes => {}
                    Some(_) => {
                        let seed = run.seed.map_or_else(String::new, |s| format!(" with seed {s}"));
                        return Err(unlike(format!("both hold the arm {}{seed}", run.arm.name())));
                    }
                }
            }
            all.quizzes.extend(other.quizzes);
            all.config.seeds.extend(other.config.seeds);
            all.config.arms.extend(other.config.arms);
        }
        all.config.seeds.sort_unstable();
        all.config.seeds.dedup();
        all.config.arms.sort();
        all.config.arms.dedup();
        all.runs.sort_by_key(|r| (r.arm, r.seed));
        Ok(all)
    }

    /// Runs of an arm.
    pub fn of(&self, arm: Arm) -> impl Iterator<Item = &RunFacts> {
        self.runs.iter().filter(move |r| r.arm == arm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes::orion_lite::Cell;
    use crate::table::report;
    use crate::{SharedRun, StudentRun, TeacherRun};
    use apprentice_data::Part;
    use apprentice_planner::StudentConfig;
    use apprentice_teacher::TeacherConfig;

    /// Base and own-both with one seed over 40 starts of 10 worlds; the arm is better than its base by `gain` metres.
    fn evidence(seed: u64, base_m: f32, gain: f32) -> Evidence {
        let config = ProveConfig {
            arms: vec![Arm::ConstantVelocity, Arm::Base, Arm::OwnBoth],
            seeds: vec![seed],
            teacher: TeacherRun::new(TeacherConfig::nano()),
            start: None,
            stem: None,
            student: StudentRun::base(StudentConfig::nano()),
            shared: SharedRun::new(Cell::Both),
            part: Part::Test,
            judge_samples: 40,
            protocols: vec!["valid-starts".into()],
            primary_endpoint: String::new(),
        };
        let start = |i: u32| StartFacts {
            id: SampleId { world: format!("w{}", i / 4), index: i % 4 },
            tier: if i < 20 { "common" } else { "rare" }.into(),
            family: "Cruise".into(),
            people: i.is_multiple_of(2),
        };
        let run = |arm, seed, l2: f32| RunFacts {
            arm,
            seed,
            parameters: None,
            outcomes: (0..40)
                .map(|i| Outcome { l2_avg_to_t: [l2 + i as f32 / 8.0; 3], collides: i == 0, min_gap_m: 1.0 })
                .collect(),
        };
        Evidence {
            config,
            data_hash: "data".into(),
            protocol: ProtocolRef { name: "valid-starts".into(), hash: "p".into() },
            quizzes: vec![],
            starts: (0..40).map(start).collect(),
            runs: vec![
                run(Arm::ConstantVelocity, None, 2.0),
                run(Arm::Base, Some(seed), base_m),
                run(Arm::OwnBoth, Some(seed), base_m - gain),
            ],
        }
    }

    fn pooled(files: Vec<Evidence>) -> Result<Evidence, DistillError> {
        Evidence::pool(files.into_iter().enumerate().map(|(i, e)| (format!("{i}.bin").into(), e)).collect())
    }

    #[test]
    fn seeds_of_several_days_make_one_table_with_differences_seed_by_seed() {
        let all = pooled(vec![evidence(2, 1.0, 0.1), evidence(0, 1.5, 0.3)]).unwrap();
        assert_eq!(all.config.seeds, [0, 2]);
        let report = report(&all).unwrap();
        assert_eq!(report.arms.iter().map(|a| a.seeds).collect::<Vec<_>>(), [1, 2, 2]);
        let arm = &report.arms[2];
        assert!((arm.l2_vs_base_by_seed[0] + 0.3).abs() < 1e-6 && (arm.l2_vs_base_by_seed[1] + 0.1).abs() < 1e-6);
        let overall = arm.groups[0].l2_vs_base.unwrap();
        assert!((overall.mean + 0.2).abs() < 1e-6 && (overall.high.unwrap() - overall.low.unwrap()).abs() < 1e-6);
        assert_eq!(
            arm.groups.iter().map(|g| (g.group.as_str(), g.starts)).collect::<Vec<_>>(),
            [("all", 40), ("common", 20), ("rare", 20)]
        );
        // The claim against the one control that was run: over the endpoint's starts, and over all.
        let [contrast] = &report.contrasts[..] else { panic!("{:?}", report.contrasts) };
        assert_eq!(contrast.minus, Arm::Base);
        assert!((contrast.l2_by_seed[0] + 0.3).abs() < 1e-6 && (contrast.l2_by_seed[1] + 0.1).abs() < 1e-6);
        let groups: Vec<_> = contrast.groups.iter().map(|g| (g.group.as_str(), g.starts, g.worlds)).collect();
        assert_eq!(groups, [("rare and open-road", 20, 5), ("all", 40, 10)]);
        assert!((contrast.groups[0].l2_mean.mean + 0.2).abs() < 1e-6 && contrast.groups[1].collision_any.mean == 0.0);
        let text = report.markdown();
        assert!(text.contains("(-0.300)") && text.contains("| base | -0.200"), "{text}");
        assert!(text.contains("gate not measured"), "{text}");
    }

    #[test]
    fn what_does_not_belong_together_is_not_pooled() {
        let refused = |change: &dyn Fn(&mut Evidence), word: &str| {
            let mut other = evidence(1, 1.0, 0.1);
            change(&mut other);
            let error = pooled(vec![evidence(0, 1.0, 0.1), other]).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&|e| e.config.student.train.steps = 7, "config.student.train.steps");
        refused(&|e| e.data_hash = "other".into(), "data");
        refused(&|e| e.starts.truncate(39), "other starts");
        refused(&|e| e.runs[1].seed = Some(0), "seed 0");
        assert!(pooled(vec![]).is_err());
    }

    #[test]
    fn files_come_back_as_they_were_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVIDENCE_FILE);
        let evidence = evidence(3, 1.2, 0.2);
        evidence.write(&path).unwrap();
        assert_eq!(Evidence::read(&path).unwrap(), evidence);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Evidence::read(&path).unwrap_err().to_string();
        assert!(error.contains(EVIDENCE_FILE) && error.contains("section"), "{error}");
    }
}
