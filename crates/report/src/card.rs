//! Model cards: what a file of weights is, where it came from and what it reaches, as Markdown.

use crate::arms::{Arm, arms_table, count};
use apprentice_core::Contract;
use std::fmt::Write;

/// What a card says beyond the contract.
#[derive(Clone, Debug, Default)]
pub struct ModelCard {
    /// Name of the model.
    pub name: String,
    /// Two or three sentences: what it is for, and what it is not.
    pub summary: String,
    /// File name of the weights.
    pub file: String,
    /// Content hash of the file.
    pub file_hash: String,
    /// Trained parameters.
    pub parameters: u64,
    /// The command that made it.
    pub command: String,
    /// Seed of training.
    pub seed: u64,
    /// Its figures and those to compare them with.
    pub arms: Vec<Arm>,
    /// Further sections: a heading and its Markdown.
    pub sections: Vec<(String, String)>,
    /// What it cannot do and what a user must know.
    pub limits: Vec<String>,
}

impl ModelCard {
    /// The card.
    pub fn markdown(&self, contract: &Contract) -> String {
        let pre = &contract.preprocessing;
        let size = pre.rig.cameras.first().map_or(String::new(), |c| format!("{} × {}", c.width, c.height));
        let mut md = format!("# {}\n\n{}\n\n| | |\n|---|---|\n", self.name, self.summary);
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(md, "| {name} | {} |", value.replace('|', "\\|"));
        };
        line("kind", &contract.kind);
        line("recipe", &contract.recipe);
        line("file", &format!("`{}`", self.file));
        line("content hash", &format!("`{}`", self.file_hash));
        line("parameters", &count(self.parameters));
        line("cameras", &format!("{} of {size} pixels", pre.rig.cameras.len()));
        line(
            "output",
            &format!(
                "{} waypoints, {} s apart, per command ({}), in frame `{}`",
                contract.waypoint_steps,
                contract.waypoint_dt_s,
                contract.commands.join(", "),
                contract.waypoint_frame
            ),
        );
        line("data hash", &format!("`{}`", contract.data_hash));
        line("teacher hash", &contract.teacher_hash.as_ref().map_or("none".into(), |h| format!("`{h}`")));
        line("seed", &self.seed.to_string());
        line("made by apprentice", &contract.apprentice);
        line("made by", &format!("`{}`", self.command));
        if !self.arms.is_empty() {
            let _ = write!(md, "\n## Figures\n\n```\n{}```\n", arms_table(&self.arms).render());
        }
        for (heading, text) in &self.sections {
            let _ = write!(md, "\n## {heading}\n\n{}\n", text.trim_end());
        }
        if !self.limits.is_empty() {
            md += "\n## Limits\n\n";
            self.limits.iter().for_each(|l| {
                let _ = writeln!(md, "* {l}");
            });
        }
        md
    }
}
