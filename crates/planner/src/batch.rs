//! Host data to tensors.
//!
//! B batch, N cameras, (X, Y) fine BEV grid, T = 6 steps.

use crate::config::{InputMode, StudentConfig};
use crate::error::PlannerError;
use crate::heads::{BEV_CLASSES, IMAGE_CHANNELS};
use crate::targets::{SceneTargets, cell_of, coarse_class, covered_cells, fill_bev, fill_image, is_target};
use apprentice_core::contract::{ChannelOrder, Preprocessing};
use apprentice_core::sample::LightState;
use apprentice_core::{HORIZON_STEPS, Image, Sample, Trajectory};
use tch::{Device, Kind, Tensor};

/// Channels of the visible-labels raster: the dense classes, then sin and cos of yaw on agents' cells, then, at the cell of
/// an agent's centre, 1 and the offset of the centre within the cell. No velocity: one frame shows none.
pub const RASTER_CHANNELS: i64 = BEV_CLASSES.len() as i64 + 5;

/// What the network is given.
#[derive(Debug)]
pub struct Inputs {
    /// Normalised images, `[B, N, 3, H, W]` f32; `[B, 0]` where no camera is looked at.
    pub images: Tensor,
    /// m/s, `[B]` f32.
    pub speed: Tensor,
    /// `[B]` i64.
    pub command: Tensor,
    /// `[B, RASTER_CHANNELS, X, Y]`, for [`InputMode::VisibleLabels`] alone.
    pub raster: Option<Tensor>,
    /// One-hot light, `[B, 4]`, for [`InputMode::VisibleLabels`] alone.
    pub light: Option<Tensor>,
}

/// One sample of a batch and what may be used of it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The moment.
    pub sample: &'a Sample,
    /// One image per camera; may be empty where no camera is looked at.
    pub images: &'a [Image],
    /// Whether its boxes, map and light may be used.
    pub perception: bool,
    /// Whether its plan may be used.
    pub planning: bool,
    /// A plan instead of its own (pseudo-labels).
    pub plan: Option<Trajectory>,
}

impl<'a> Item<'a> {
    /// A fully labelled sample.
    pub fn labelled(sample: &'a Sample, images: &'a [Image]) -> Self {
        Self { sample, images, perception: true, planning: true, plan: None }
    }

    /// A sample of which only the observation may be used.
    pub fn unlabelled(sample: &'a Sample, images: &'a [Image]) -> Self {
        Self { perception: false, planning: false, ..Self::labelled(sample, images) }
    }
}

/// What the heads are trained towards.
#[derive(Debug)]
pub struct Targets {
    /// Host side, one per sample.
    pub scenes: Vec<SceneTargets>,
    /// Zeros and ones, `[B, 8, X, Y]`.
    pub bev: Tensor,
    /// `[B, N, 4, H/8, W/8]`; see [`crate::targets::fill_image`].
    pub image: Option<Tensor>,
    /// `[B]` i64.
    pub light: Tensor,
    /// Metres, `[B, 6, 2]`.
    pub future: Tensor,
    /// 1 where a waypoint is known and may be used, `[B, 6]`.
    pub future_mask: Tensor,
    /// 1 where perception labels may be used, `[B]`.
    pub perception: Tensor,
}

/// Inputs and targets.
#[derive(Debug)]
pub struct Batch {
    /// What the network is given.
    pub inputs: Inputs,
    /// What it is trained towards.
    pub targets: Targets,
}

fn tensor(values: &[f32], shape: &[i64], device: Device) -> Tensor {
    Tensor::from_slice(values).reshape(shape).to_device(device)
}

/// Images of several samples as the network's input.
///
/// # Shapes
/// → `[B, N, 3, H, W]`, f32, channels last in memory.
///
/// # Errors
/// [`PlannerError::Observation`] if number or size of the images is not the rig's.
pub fn image_tensor(
    preprocessing: &Preprocessing,
    samples: &[&[Image]],
    device: Device,
) -> Result<Tensor, PlannerError> {
    let cameras = &preprocessing.rig.cameras;
    let [width, height] = [cameras[0].width, cameras[0].height];
    let mut bytes = Vec::with_capacity(samples.len() * cameras.len() * width * height * 3);
    for images in samples {
        if images.len() != cameras.len() {
            return Err(PlannerError::Observation {
                expected: format!("{} images", cameras.len()),
                found: images.len().to_string(),
            });
        }
        for (image, camera) in images.iter().zip(cameras) {
            if (image.width, image.height) != (width, height) || image.rgb.len() != width * height * 3 {
                return Err(PlannerError::Observation {
                    expected: format!("{} images of {width}×{height}", camera.name),
                    found: format!("{}×{} ({} bytes)", image.width, image.height, image.rgb.len()),
                });
            }
            bytes.extend_from_slice(&image.rgb);
        }
    }
    let shape = [samples.len(), cameras.len(), height, width, 3].map(|d| d as i64);
    let pixels = Tensor::from_slice(&bytes).reshape(shape).to_device(device).to_kind(Kind::Float);
    let pixels = match preprocessing.channel_order {
        ChannelOrder::Rgb => pixels,
        ChannelOrder::Bgr => pixels.flip([4]),
    };
    let constant = |v: [f32; 3]| Tensor::from_slice(&v).to_device(device);
    Ok(((pixels - constant(preprocessing.mean)) / constant(preprocessing.std)).permute([0, 1, 4, 2, 3]))
}

/// Inputs of observations that carry no labels (driving).
///
/// # Errors
/// [`PlannerError::Observation`].
pub fn observe(
    config: &StudentConfig,
    preprocessing: &Preprocessing,
    images: &[&[Image]],
    speed_mps: &[f32],
    command: &[i64],
    device: Device,
) -> Result<Inputs, PlannerError> {
    let images = match config.inputs {
        InputMode::Cameras => image_tensor(preprocessing, images, device)?,
        _ => Tensor::zeros([speed_mps.len() as i64, 0], (Kind::Float, device)),
    };
    Ok(Inputs {
        images,
        speed: tensor(speed_mps, &[-1], device),
        command: Tensor::from_slice(command).to_device(device),
        raster: None,
        light: None,
    })
}

fn raster_of(config: &StudentConfig, sample: &Sample, dense: &[f32], out: &mut [f32]) {
    let bev = &config.bev;
    let [rows, columns] = bev.cells().map(|n| n as usize);
    out[..dense.len()].copy_from_slice(dense);
    let first = BEV_CLASSES.len();
    let mut set = |channel: usize, (row, column): (usize, usize), value: f32| {
        out[((first + channel) * rows + row) * columns + column] = value;
    };
    for agent in sample.agents.iter().filter(|a| is_target(config, a)) {
        debug_assert!(coarse_class(agent.class) < 3);
        for cell in covered_cells(bev, agent) {
            set(0, cell, agent.yaw_rad.sin());
            set(1, cell, agent.yaw_rad.cos());
        }
        let [x, y, _] = agent.center_in_ego;
        if let Some(cell) = cell_of(bev, [x, y]) {
            let within = |v: f32, low: f64, i: usize| ((f64::from(v) - low) / bev.cell_m - i as f64 - 0.5) as f32;
            set(2, cell, 1.0);
            set(3, cell, within(x, bev.x_range_m[0], cell.0));
            set(4, cell, within(y, bev.y_range_m[0], cell.1));
        }
    }
}

/// A batch of samples.
///
/// # Errors
/// [`PlannerError::Observation`] if images do not fit the rig.
pub fn collate(config: &StudentConfig, items: &[Item<'_>], device: Device) -> Result<Batch, PlannerError> {
    let batch = items.len() as i64;
    let preprocessing = config.preprocessing();
    let images: Vec<_> = items.iter().map(|i| i.images).collect();
    let speed: Vec<_> = items.iter().map(|i| i.sample.ego.speed_mps).collect();
    let command: Vec<_> = items.iter().map(|i| i.sample.command.index() as i64).collect();
    let mut inputs = observe(config, &preprocessing, &images, &speed, &command, device)?;

    let [rows, columns] = config.bev.cells();
    let cells = (rows * columns) as usize;
    let per_sample = BEV_CLASSES.len() * cells;
    let mut dense = vec![0.0; per_sample * items.len()];
    for (item, out) in items.iter().zip(dense.chunks_exact_mut(per_sample)) {
        fill_bev(config, item.sample, out);
    }
    if config.inputs == InputMode::VisibleLabels {
        let width = RASTER_CHANNELS as usize * cells;
        let mut raster = vec![0.0; width * items.len()];
        for (i, (item, out)) in items.iter().zip(raster.chunks_exact_mut(width)).enumerate() {
            raster_of(config, item.sample, &dense[i * per_sample..(i + 1) * per_sample], out);
        }
        inputs.raster = Some(tensor(&raster, &[batch, RASTER_CHANNELS, rows, columns], device));
        let states = LightState::COUNT;
        let mut light = vec![0.0; states * items.len()];
        for (item, out) in items.iter().zip(light.chunks_exact_mut(states)) {
            out[item.sample.light as usize] = 1.0;
        }
        inputs.light = Some(tensor(&light, &[batch, states as i64], device));
    }
    let image = (config.inputs == InputMode::Cameras).then(|| {
        let rig = &preprocessing.rig;
        let (w, h) = (config.backbone.image_width / 8, config.backbone.image_height / 8);
        let per_sample = rig.cameras.len() * IMAGE_CHANNELS as usize * w * h;
        let mut values = vec![0.0; per_sample * items.len()];
        for (item, out) in items.iter().zip(values.chunks_exact_mut(per_sample)) {
            fill_image(config, rig, item.sample, out);
        }
        tensor(&values, &[batch, rig.cameras.len() as i64, IMAGE_CHANNELS, h as i64, w as i64], device)
    });

    let scenes: Vec<_> =
        items.iter().map(|i| SceneTargets::new(config, i.sample, i.perception, i.plan, i.planning)).collect();
    let light: Vec<_> = items.iter().map(|i| i.sample.light as i64).collect();
    let future: Vec<f32> = scenes.iter().flat_map(|s| s.future.0.into_iter().flatten()).collect();
    let mask: Vec<f32> = scenes
        .iter()
        .flat_map(|s| (0..HORIZON_STEPS).map(|t| f32::from(u8::from(s.planning && t < s.future_steps))))
        .collect();
    let perception: Vec<_> = scenes.iter().map(|s| f32::from(u8::from(s.perception))).collect();
    let targets = Targets {
        scenes,
        bev: tensor(&dense, &[batch, BEV_CLASSES.len() as i64, rows, columns], device),
        image,
        light: Tensor::from_slice(&light).to_device(device),
        future: tensor(&future, &[batch, HORIZON_STEPS as i64, 2], device),
        future_mask: tensor(&mask, &[batch, HORIZON_STEPS as i64], device),
        perception: tensor(&perception, &[batch], device),
    };
    Ok(Batch { inputs, targets })
}
