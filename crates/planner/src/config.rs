//! Configuration of students, from `nano` (CPU) to `base` (VAD's size), by values alone.

use crate::error::PlannerError;
use apprentice_core::Rig;
use apprentice_core::contract::{ChannelOrder, Preprocessing};
use apprentice_nn::vision::ResNetConfig;
use serde::{Deserialize, Serialize};

/// What the network looks at. The arms of the proving ground differ in this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputMode {
    /// The six cameras.
    Cameras,
    /// No pixels: image features are zeros. The floor.
    EgoOnly,
    /// A raster of the visible true labels instead of camera features. The observable-only ceiling.
    VisibleLabels,
}

/// One stage of the backbone: the first block halves the resolution (unless the stem has already done so).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Channels.
    pub channels: i64,
    /// Residual blocks.
    pub blocks: usize,
}

/// Image backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// Image size, pixels.
    pub image_width: usize,
    /// Image size, pixels.
    pub image_height: usize,
    /// Channels after the first convolution.
    pub stem: i64,
    /// 2, or 4 for one wide step (cheaper: the largest grids are never filled).
    pub stem_stride: i64,
    /// Strides 4, 8, 16, …; at least two. Deeper ones are added back to stride 8 from above. The first may have no block where
    /// the stem has done its stride.
    pub stages: Vec<StageConfig>,
    /// A published residual network of so many layers (18, 34 or 50) in the place of `stem` and `stages`, whose weights can be
    /// had (`train.backbone`). Pictures are then normalised as it expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resnet: Option<i64>,
}

impl BackboneConfig {
    /// Channels of each level, from stride 4 on.
    ///
    /// # Panics
    /// For a `resnet` that is none ([`StudentConfig::check`] refuses it).
    pub fn widths(&self) -> Vec<i64> {
        match self.resnet {
            Some(depth) => {
                let published = ResNetConfig::of_depth(depth).expect("the depth was checked");
                published.stages.iter().map(|(channels, _)| *channels).collect()
            }
            None => self.stages.iter().map(|stage| stage.channels).collect(),
        }
    }
}

/// Bird's-eye-view grid and its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BevConfig {
    /// From the rear axle, metres, forward.
    pub x_range_m: [f64; 2],
    /// Metres, left.
    pub y_range_m: [f64; 2],
    /// Side of a cell, metres.
    pub cell_m: f64,
    /// Heights of the reference points of a cell, metres.
    pub heights_m: Vec<f64>,
    /// Channels of the fine grid.
    pub width: i64,
    /// Residual blocks on the fine grid.
    pub blocks: usize,
    /// Residual blocks on the coarse grid (cells twice as large), whose cells are the BEV tokens.
    pub coarse_blocks: usize,
}

impl BevConfig {
    /// Rows (along x) and columns (along y) of the fine grid.
    pub fn cells(&self) -> [i64; 2] {
        [self.x_range_m, self.y_range_m].map(|[low, high]| ((high - low) / self.cell_m).round() as i64)
    }
}

/// Everything that fixes a student's network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// Name of the preset it came from.
    pub preset: String,
    /// What it looks at.
    pub inputs: InputMode,
    /// Images.
    pub backbone: BackboneConfig,
    /// Bird's-eye view.
    pub bev: BevConfig,
    /// Channels of the tokens.
    pub width: i64,
    /// Attention heads.
    pub heads: i64,
    /// Agent queries stand on a grid over the BEV range: rows, columns.
    pub agent_grid: [i64; 2],
    /// Agent decoder layers.
    pub agent_layers: usize,
    /// Futures per agent.
    pub motion_modes: i64,
    /// Map elements.
    pub map_instances: i64,
    /// Points per map element.
    pub map_points: usize,
    /// Map decoder layers.
    pub map_layers: usize,
    /// Ego decoder layers.
    pub ego_layers: usize,
    /// The planning head.
    pub planner: PlannerConfig,
}

/// ORION's VAE planner at any scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannerConfig {
    /// Width L of the planning latent s; a multiple of `gru_layers`.
    pub latent: i64,
    /// Hidden width of the two distributions.
    pub distribution_hidden: i64,
    /// Width of z.
    pub z: i64,
    /// GRU layers; each starts from its own part of s.
    pub gru_layers: i64,
    /// Hidden width of the offset decoder.
    pub decoder_hidden: i64,
    /// Waypoints are predicted relative to going straight at the present speed. ORION predicts them outright
    /// (`false`); relative ones learn faster at this scale.
    pub relative_to_speed: bool,
}

impl StudentConfig {
    /// For the CPU: six 160×64 images, ~1 M parameters.
    pub fn nano() -> Self {
        let stage = |channels, blocks| StageConfig { channels, blocks };
        Self {
            preset: "nano".into(),
            inputs: InputMode::Cameras,
            backbone: BackboneConfig {
                image_width: 160,
                image_height: 64,
                stem: 32,
                stem_stride: 4,
                stages: vec![stage(32, 1), stage(64, 1), stage(96, 1)],
                resnet: None,
            },
            bev: BevConfig {
                x_range_m: [-16.0, 48.0],
                y_range_m: [-24.0, 24.0],
                cell_m: 2.0,
                heights_m: vec![0.0, 0.8, 1.6, 3.2],
                width: 48,
                blocks: 1,
                coarse_blocks: 2,
            },
            width: 64,
            heads: 4,
            agent_grid: [8, 6],
            agent_layers: 1,
            motion_modes: 3,
            map_instances: 16,
            map_points: 8,
            map_layers: 1,
            ego_layers: 2,
            planner: PlannerConfig {
                latent: 128,
                distribution_hidden: 128,
                z: 16,
                gru_layers: 2,
                decoder_hidden: 128,
                relative_to_speed: true,
            },
        }
    }

    /// For one small GPU: 320×128 images, 1 m cells.
    pub fn tiny() -> Self {
        let stage = |channels, blocks| StageConfig { channels, blocks };
        let nano = Self::nano();
        Self {
            preset: "tiny".into(),
            backbone: BackboneConfig {
                image_width: 320,
                image_height: 128,
                stem: 32,
                stem_stride: 2,
                stages: vec![stage(64, 2), stage(128, 2), stage(192, 2), stage(256, 2)],
                resnet: None,
            },
            bev: BevConfig { cell_m: 1.0, width: 96, blocks: 2, coarse_blocks: 3, ..nano.bev.clone() },
            width: 128,
            heads: 8,
            agent_grid: [16, 12],
            agent_layers: 3,
            motion_modes: 6,
            map_instances: 50,
            map_points: 12,
            map_layers: 3,
            planner: PlannerConfig {
                latent: 512,
                distribution_hidden: 512,
                z: 32,
                gru_layers: 4,
                decoder_hidden: 512,
                ..nano.planner
            },
            ..nano
        }
    }

    /// VAD's size: width 256, 300 agent queries, 100 × 20 map queries, six layers each.
    pub fn base() -> Self {
        let stage = |channels, blocks| StageConfig { channels, blocks };
        let tiny = Self::tiny();
        Self {
            preset: "base".into(),
            backbone: BackboneConfig {
                image_width: 640,
                image_height: 256,
                stem: 64,
                stem_stride: 2,
                stages: vec![stage(64, 3), stage(128, 4), stage(256, 6), stage(512, 3)],
                resnet: None,
            },
            bev: BevConfig { cell_m: 0.5, width: 128, blocks: 3, coarse_blocks: 4, ..tiny.bev.clone() },
            width: 256,
            agent_grid: [20, 15],
            agent_layers: 6,
            map_instances: 100,
            map_points: 20,
            map_layers: 6,
            planner: PlannerConfig { latent: 1024, distribution_hidden: 1024, decoder_hidden: 1024, ..tiny.planner },
            ..tiny
        }
    }

    /// A preset by name.
    ///
    /// # Errors
    /// [`PlannerError::Config`] names the presets there are.
    pub fn preset(name: &str) -> Result<Self, PlannerError> {
        match name {
            "nano" => Ok(Self::nano()),
            "tiny" => Ok(Self::tiny()),
            "base" => Ok(Self::base()),
            other => Err(PlannerError::Config {
                field: "preset".into(),
                reason: format!("`{other}` is none of nano, tiny, base"),
            }),
        }
    }

    /// The same network looking at something else.
    pub fn with_inputs(self, inputs: InputMode) -> Self {
        Self { inputs, ..self }
    }

    /// Check the values that could not be built.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), PlannerError> {
        let fail = |field: &str, reason: String| Err(PlannerError::Config { field: field.into(), reason });
        let [rows, columns] = self.bev.cells();
        if rows < 4 || columns < 4 || rows % 2 != 0 || columns % 2 != 0 {
            return fail(
                "bev.cell_m",
                format!("gives a grid of {rows}×{columns} cells; both must be even, at least 4"),
            );
        }
        if rows * columns > 1 << 18 {
            return fail("bev.cell_m", format!("gives a grid of {rows}×{columns} cells, which is too many"));
        }
        if self.bev.heights_m.is_empty() {
            return fail("bev.heights_m", "needs at least one height".into());
        }
        if let Some(depth) = self.backbone.resnet.filter(|&depth| ResNetConfig::of_depth(depth).is_none()) {
            return fail("backbone.resnet", format!("{depth} is none of 18, 34, 50"));
        }
        if ![2, 4].contains(&self.backbone.stem_stride) {
            return fail("backbone.stem_stride", format!("{} is neither 2 nor 4", self.backbone.stem_stride));
        }
        let stages = &self.backbone.stages;
        // The stem itself may be the first stage.
        let bare = stages
            .first()
            .is_some_and(|s| s.blocks == 0 && s.channels == self.backbone.stem && self.backbone.stem_stride == 4);
        if stages.len() < 2 || stages.iter().skip(bare.into()).any(|s| s.blocks == 0 || s.channels < 1) {
            return fail("backbone.stages", "needs at least two stages of at least one block".into());
        }
        let stride = 2usize << self.backbone.widths().len();
        if !self.backbone.image_width.is_multiple_of(stride) || !self.backbone.image_height.is_multiple_of(stride) {
            return fail("backbone.image_width", format!("image sides must be multiples of {stride}"));
        }
        if self.width < 1 || self.heads < 1 || self.width % self.heads != 0 {
            return fail("heads", format!("{} heads do not divide width {}", self.heads, self.width));
        }
        let positive = [
            ("agent_grid", self.agent_grid[0].min(self.agent_grid[1])),
            ("motion_modes", self.motion_modes),
            ("map_instances", self.map_instances),
            ("bev.width", self.bev.width),
            ("backbone.stem", self.backbone.stem),
            ("planner.z", self.planner.z),
        ];
        if let Some((field, value)) = positive.into_iter().find(|(_, v)| *v < 1) {
            return fail(field, format!("{value} is not positive"));
        }
        if self.map_points < 2 {
            return fail("map_points", "needs at least two points".into());
        }
        let p = &self.planner;
        if p.gru_layers < 1 || p.latent < 1 || p.latent % p.gru_layers != 0 {
            return fail("planner.latent", format!("{} is not a multiple of gru_layers {}", p.latent, p.gru_layers));
        }
        Ok(())
    }

    /// How pixels enter this network: the Bench2Drive rig at its image size, RGB.
    pub fn preprocessing(&self) -> Preprocessing {
        // A published network expects ImageNet's.
        let (mean, std) = match self.backbone.resnet {
            Some(_) => ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
            None => ([115.0; 3], [60.0; 3]),
        };
        Preprocessing {
            rig: Rig::bench2drive(self.backbone.image_width, self.backbone.image_height),
            channel_order: ChannelOrder::Rgb,
            mean,
            std,
            jpeg_quality: None,
        }
    }
}
