//! How pictures enter published models: resized, cropped, scaled and normalised as their `preprocessor_config.json` says.
//!
//! Resizing is Pillow's (an antialiased kernel in two passes, 22-bit fixed point, rounded to bytes after each), because that is
//! what the models were trained with.

use super::folder::{Fields, ModelFolder};
use crate::TeacherError;
use apprentice_core::Image;
use tch::Tensor;

/// Kernel of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Filter {
    Bilinear,
    Bicubic,
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        let x = x.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            // Keys' kernel with a = −0.5.
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

const PRECISION_BITS: u32 = 32 - 8 - 2;

/// For each place of the output: the first place of the input it reads, and the weights from there on.
fn weights(input: usize, output: usize, filter: Filter) -> Vec<(usize, Vec<i64>)> {
    let scale = input as f64 / output as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let place = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(input);
        // Products with reciprocals, as Pillow has them: a weight that differs in its last bit can tip a byte.
        let narrow = 1.0 / stretch;
        let raw: Vec<f64> = (first..end).map(|i| filter.at((i as f64 - center + 0.5) * narrow)).collect();
        let share = 1.0 / raw.iter().sum::<f64>();
        let fixed = |w: f64| {
            let w = w * share * f64::from(1u32 << PRECISION_BITS);
            (if w < 0.0 { w - 0.5 } else { w + 0.5 }) as i64
        };
        (first, raw.into_iter().map(fixed).collect())
    };
    (0..output).map(place).collect()
}

fn byte(sum: i64) -> u8 {
    ((sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS).clamp(0, 255) as u8
}

fn across(image: Image, width: usize, filter: Filter) -> Image {
    if width == image.width {
        return image;
    }
    let mut out = Image::black(width, image.height);
    let taps = weights(image.width, width, filter);
    for row in 0..image.height {
        let line = &image.rgb[row * image.width * 3..(row + 1) * image.width * 3];
        for (column, (first, weights)) in taps.iter().enumerate() {
            for channel in 0..3 {
                let value = |(i, w): (usize, &i64)| i64::from(line[(first + i) * 3 + channel]) * w;
                out.rgb[(row * width + column) * 3 + channel] = byte(weights.iter().enumerate().map(value).sum());
            }
        }
    }
    out
}

fn down(image: Image, height: usize, filter: Filter) -> Image {
    if height == image.height {
        return image;
    }
    let line = image.width * 3;
    let mut out = Image::black(image.width, height);
    for (row, (first, weights)) in weights(image.height, height, filter).iter().enumerate() {
        for at in 0..line {
            let value = |(i, w): (usize, &i64)| i64::from(image.rgb[(first + i) * line + at]) * w;
            out.rgb[row * line + at] = byte(weights.iter().enumerate().map(value).sum());
        }
    }
    out
}

/// Resize as Pillow does: columns first. (Pillow 13 takes rows first where a tall picture shrinks more in height than in width,
/// which moves bytes by one; published models saw older ones.)
pub fn resize(image: &Image, width: usize, height: usize, filter: Filter) -> Image {
    down(across(image.clone(), width, filter), height, filter)
}

/// The middle of an image; black beyond its edge.
pub fn center_crop(image: &Image, width: usize, height: usize) -> Image {
    let mut out = Image::black(width, height);
    let offset = |have: usize, want: usize| (have as i64 - want as i64).div_euclid(2);
    let (left, top) = (offset(image.width, width), offset(image.height, height));
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (column as i64 + left, row as i64 + top);
            if (0..image.width as i64).contains(&x) && (0..image.height as i64).contains(&y) {
                let from = (y as usize * image.width + x as usize) * 3;
                let to = (row * width + column) * 3;
                out.rgb[to..to + 3].copy_from_slice(&image.rgb[from..from + 3]);
            }
        }
    }
    out
}

/// The size a resize aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Exactly(usize, usize),
    ShortestEdge(usize),
}

/// A model's preprocessing.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    target: Option<Target>,
    filter: Filter,
    /// Width, height.
    crop: Option<(usize, usize)>,
    factor: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
}

/// CLIP's channel means, which many models took over.
pub const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// CLIP's channel deviations.
pub const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// The fields of `preprocessor_config.json`, or of the `image_processor` in `processor_config.json`.
///
/// # Errors
/// When neither is there.
pub(crate) fn processor(folder: &ModelFolder) -> Result<Fields, TeacherError> {
    if let Some(fields) = folder.document("preprocessor_config.json")? {
        return Ok(fields);
    }
    match folder.document("processor_config.json")? {
        Some(fields) if fields.has("image_processor") => Ok(fields.part("image_processor")),
        _ => Err(TeacherError::Model {
            path: folder.path().join("preprocessor_config.json"),
            what: "image preprocessing".into(),
            expected: "this file, or processor_config.json with an `image_processor`".into(),
            found: "neither".into(),
        }),
    }
}

/// `resample`: Pillow's number of a kernel.
pub(crate) fn filter(fields: &Fields) -> Result<Filter, TeacherError> {
    match fields.int("resample", 3)? {
        1 => Ok(Filter::Lanczos),
        2 => Ok(Filter::Bilinear),
        3 => Ok(Filter::Bicubic),
        _ => Err(fields.wrong("resample", "1 (Lanczos), 2 (bilinear) or 3 (bicubic)")),
    }
}

impl Preprocess {
    /// Read a model's preprocessing.
    ///
    /// # Errors
    /// [`TeacherError::Model`] names the file and the field.
    pub fn open(folder: &ModelFolder) -> Result<Self, TeacherError> {
        let fields = processor(folder)?;
        let pair = |name: &str| -> Result<Target, TeacherError> {
            let size = fields.part(name);
            if let Some(side) = fields.value()[name].as_u64() {
                return Ok(if name == "size" {
                    Target::ShortestEdge(side as usize)
                } else {
                    Target::Exactly(side as usize, side as usize)
                });
            }
            if size.has("shortest_edge") {
                return Ok(Target::ShortestEdge(size.int("shortest_edge", None)? as usize));
            }
            Ok(Target::Exactly(size.int("width", None)? as usize, size.int("height", None)? as usize))
        };
        let crop = match fields.flag("do_center_crop", false)?.then(|| pair("crop_size")).transpose()? {
            Some(Target::Exactly(width, height)) => Some((width, height)),
            Some(Target::ShortestEdge(side)) => Some((side, side)),
            None => None,
        };
        let normalise = fields.flag("do_normalize", true)?;
        let three = |name: &str, plain: f64| -> Result<Vec<f64>, TeacherError> {
            let values = if normalise { fields.floats(name, None)? } else { vec![plain; 3] };
            if values.len() == 3 { Ok(values) } else { Err(fields.wrong(name, "three numbers")) }
        };
        Ok(Self {
            target: fields.flag("do_resize", true)?.then(|| pair("size")).transpose()?,
            filter: filter(&fields)?,
            crop,
            factor: if fields.flag("do_rescale", true)? { fields.float("rescale_factor", 1.0 / 255.0)? } else { 1.0 },
            mean: three("image_mean", 0.0)?,
            std: three("image_std", 1.0)?,
        })
    }

    /// A picture as the model reads it.
    ///
    /// # Shapes
    /// `[3, H, W]`, f32.
    pub fn pixels(&self, image: &Image) -> Tensor {
        let resized = match self.target {
            None => image.clone(),
            Some(Target::Exactly(width, height)) => resize(image, width, height, self.filter),
            Some(Target::ShortestEdge(side)) => {
                let (short, long) = (image.width.min(image.height), image.width.max(image.height));
                let other = side * long / short;
                let (width, height) = if image.width <= image.height { (side, other) } else { (other, side) };
                resize(image, width, height, self.filter)
            }
        };
        let cropped = self.crop.map_or(resized.clone(), |(width, height)| center_crop(&resized, width, height));
        normalised(&cropped, self.factor, &self.mean, &self.std)
    }
}

/// `(factor · byte − mean) / std` per channel.
///
/// # Shapes
/// `[3, H, W]`, f32.
pub(crate) fn normalised(image: &Image, factor: f64, mean: &[f64], std: &[f64]) -> Tensor {
    let size = [image.height as i64, image.width as i64];
    let mut planes = vec![0f32; image.rgb.len()];
    let pixels = image.width * image.height;
    for channel in 0..3 {
        // One value per byte: the table is as exact as the arithmetic.
        let table: Vec<f32> =
            (0..256).map(|v| ((f64::from(v) * factor - mean[channel]) / std[channel]) as f32).collect();
        for (pixel, rgb) in image.rgb.chunks_exact(3).enumerate() {
            planes[channel * pixels + pixel] = table[usize::from(rgb[channel])];
        }
    }
    Tensor::from_slice(&planes).view([3, size[0], size[1]])
}
