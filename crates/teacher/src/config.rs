//! Configuration of teachers, from `nano` upwards, by values alone.

use crate::TeacherError;
use apprentice_nn::llama::LlamaConfig;
use apprentice_planner::StudentConfig;
use serde::{Deserialize, Serialize};

/// How scene tokens become vision tokens of the language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionTokensConfig {
    /// The BEV tokens are averaged to this grid: rows (along x), columns (along y).
    pub bev_grid: [i64; 2],
    /// The front camera's tokens are averaged to this grid: rows, columns.
    pub front_grid: [i64; 2],
    /// Agent tokens that are kept: those whose class head is surest that something is there.
    pub agents: i64,
}

/// Everything that fixes a teacher's network but its tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Name of the preset it came from.
    pub preset: String,
    /// Vision side and planning head.
    pub vision: StudentConfig,
    /// From one to the other.
    pub tokens: VisionTokensConfig,
    /// Language model. Its vocabulary is the tokenizer's (0 before a tokenizer is known).
    pub lm: LlamaConfig,
    /// Upper bound of the vocabulary of a tokenizer trained here.
    pub vocabulary: usize,
    /// Whether the planning latent is the encoder's own latent plus what the planning token adds. ORION has the token
    /// alone (`false`); with minutes of training the language model is not yet a road for everything.
    pub latent_skip: bool,
    /// Longest answer, tokens.
    pub answer_tokens: usize,
}

impl TeacherConfig {
    /// For the CPU.
    pub fn nano() -> Self {
        Self {
            preset: "nano".into(),
            vision: StudentConfig::nano(),
            tokens: VisionTokensConfig { bev_grid: [4, 6], front_grid: [2, 10], agents: 16 },
            lm: LlamaConfig { num_hidden_layers: 3, ..LlamaConfig::nano(0) },
            vocabulary: 768,
            latent_skip: true,
            answer_tokens: 24,
        }
    }

    /// For one GPU.
    pub fn tiny() -> Self {
        Self {
            preset: "tiny".into(),
            vision: StudentConfig::tiny(),
            tokens: VisionTokensConfig { bev_grid: [8, 12], front_grid: [4, 10], agents: 64 },
            lm: LlamaConfig {
                hidden_size: 512,
                intermediate_size: 1408,
                num_hidden_layers: 8,
                num_attention_heads: 8,
                num_key_value_heads: 8,
                ..LlamaConfig::nano(0)
            },
            vocabulary: 4096,
            latent_skip: false,
            answer_tokens: 48,
        }
    }

    /// A preset by name.
    ///
    /// # Errors
    /// Names the presets there are.
    pub fn preset(name: &str) -> Result<Self, TeacherError> {
        match name {
            "nano" => Ok(Self::nano()),
            "tiny" => Ok(Self::tiny()),
            other => Err(TeacherError::Config { reason: format!("preset: `{other}` is none of nano, tiny") }),
        }
    }

    /// Vision tokens that the language model reads.
    pub fn vision_tokens(&self) -> i64 {
        let t = &self.tokens;
        t.bev_grid[0] * t.bev_grid[1] + t.agents + self.vision.map_instances + t.front_grid[0] * t.front_grid[1] + 2
    }

    /// Check the values that could not be built.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), TeacherError> {
        self.vision.check()?;
        let fail = |reason: String| Err(TeacherError::Config { reason });
        if let Some(problem) = self.lm.problem() {
            return fail(format!("lm: {problem}"));
        }
        let agents = self.vision.agent_grid[0] * self.vision.agent_grid[1];
        if self.tokens.agents < 0 || self.tokens.agents > agents {
            return fail(format!("tokens.agents: {} of {agents} queries", self.tokens.agents));
        }
        let [rows, columns] = self.vision.bev.cells().map(|n| n / 2);
        let front = [self.vision.backbone.image_height as i64 / 8, self.vision.backbone.image_width as i64 / 8];
        for (name, grid, of) in
            [("bev_grid", self.tokens.bev_grid, [rows, columns]), ("front_grid", self.tokens.front_grid, front)]
        {
            if (0..2).any(|i| grid[i] < 1 || of[i] % grid[i] != 0) {
                return fail(format!("tokens.{name}: {grid:?} does not divide {of:?}"));
            }
        }
        if self.answer_tokens == 0 {
            return fail("answer_tokens: must be positive".into());
        }
        Ok(())
    }
}
