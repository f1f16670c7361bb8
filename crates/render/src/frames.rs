//! The result of rendering: pictures, depth and instance buffers.

use crate::error::RenderError;
use apprentice_core::Image;

/// What a pixel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdKind {
    /// Nothing solid.
    Sky,
    /// Roads, sidewalks, grass.
    Ground,
    /// A building; the index counts buildings of the town.
    Building,
    /// A tree; the index counts trees.
    Tree,
    /// A pole or other street furniture.
    Pole,
    /// A traffic light or sign; the index is that of `RoadNetwork::signals`.
    Signal,
    /// An actor; the index is its id.
    Actor,
}

const KINDS: [IdKind; 7] =
    [IdKind::Sky, IdKind::Ground, IdKind::Building, IdKind::Tree, IdKind::Pole, IdKind::Signal, IdKind::Actor];

/// What a pixel shows, packed: the kind in the top four bits, the index in the rest. Sky is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PixelId(pub u32);

impl PixelId {
    /// Pack a kind and an index (its lower 28 bits count).
    pub fn new(kind: IdKind, index: u32) -> Self {
        Self((kind as u32) << 28 | (index & 0x0fff_ffff))
    }
    /// The id of an actor.
    pub fn actor(id: u32) -> Self {
        Self::new(IdKind::Actor, id)
    }
    /// The kind.
    pub fn kind(self) -> IdKind {
        KINDS[((self.0 >> 28) as usize).min(KINDS.len() - 1)]
    }
    /// The index within the kind.
    pub fn index(self) -> u32 {
        self.0 & 0x0fff_ffff
    }
}

/// The cameras of one moment, in the rig's order. Reuse one value over many frames: nothing is allocated again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frames {
    /// Pictures.
    pub images: Vec<Image>,
    /// Metres along the camera's axis, row by row; infinite where the sky is.
    pub depth: Vec<Vec<f32>>,
    /// [`PixelId`]s, row by row.
    pub ids: Vec<Vec<u32>>,
}

impl Frames {
    /// Pixels, over all cameras, that show an actor.
    pub fn visible_pixels(&self, actor_id: u32) -> u32 {
        self.pixels_of(PixelId::actor(actor_id))
    }

    /// Pixels, over all cameras, that show this thing.
    pub fn pixels_of(&self, id: PixelId) -> u32 {
        self.ids.iter().flatten().filter(|&&pixel| pixel == id.0).count() as u32
    }

    /// Column and row bounds (inclusive) of the pixels of a thing in one camera, or `None` when it is not seen.
    pub fn pixel_bounds(&self, camera: usize, id: PixelId) -> Option<[usize; 4]> {
        let width = self.images[camera].width;
        let mut bounds: Option<[usize; 4]> = None;
        for (i, _) in self.ids[camera].iter().enumerate().filter(|&(_, &pixel)| pixel == id.0) {
            let (x, y) = (i % width, i / width);
            let [x0, y0, x1, y1] = bounds.unwrap_or([x, y, x, y]);
            bounds = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
        }
        bounds
    }
}

/// An image as the bytes of a PNG file.
///
/// # Errors
/// When the encoder fails, which it does only on an image whose buffer does not match its size.
pub fn png_bytes(image: &Image) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// The images of a rig on one sheet: columns × rows in the order given.
pub fn contact_sheet(images: &[Image], columns: usize) -> Image {
    let Some(first) = images.first() else { return Image::black(0, 0) };
    let (w, h) = (first.width, first.height);
    let rows = images.len().div_ceil(columns);
    let mut sheet = Image::black(w * columns, h * rows);
    for (i, image) in images.iter().enumerate() {
        let (left, top) = (i % columns * w, i / columns * h);
        for y in 0..image.height.min(h) {
            let n = image.width.min(w) * 3;
            let to = ((top + y) * sheet.width + left) * 3;
            sheet.rgb[to..to + n].copy_from_slice(&image.rgb[y * image.width * 3..][..n]);
        }
    }
    sheet
}
