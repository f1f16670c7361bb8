//! Pictures inside a page: JPEG in base64, and the cameras of one moment side by side in one picture.

use crate::ReportError;
use apprentice_core::Image;
use base64::Engine;

/// `data:` address of an image.
pub(crate) fn data_url(image: &Image, quality: u8) -> Result<String, ReportError> {
    let wrong = |message: String| ReportError::Image { message };
    if image.rgb.len() != image.width * image.height * 3 || image.rgb.is_empty() {
        return Err(wrong(format!("{} × {} pixels but {} bytes", image.width, image.height, image.rgb.len())));
    }
    let side = |n: usize| u16::try_from(n).map_err(|_| wrong(format!("{n} pixels are too many")));
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, quality)
        .encode(&image.rgb, side(image.width)?, side(image.height)?, jpeg_encoder::ColorType::Rgb)
        .map_err(|e| wrong(e.to_string()))?;
    Ok(format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

/// Where each camera goes: three columns, front cameras above, rear ones below, as the driver would turn the head.
/// Cameras of other names fill the places in order.
pub(crate) fn places(names: &[String]) -> Vec<usize> {
    const ORDER: [&str; 6] =
        ["CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"];
    let named: Option<Vec<usize>> = names.iter().map(|n| ORDER.iter().position(|o| o == n)).collect();
    match named {
        Some(places) if names.len() == ORDER.len() => places,
        _ => (0..names.len()).collect(),
    }
}

/// One picture of all cameras, three columns wide; `places` as from [`places`].
pub(crate) fn mosaic(images: &[Image], places: &[usize]) -> Image {
    let (cell_w, cell_h) = images.iter().fold((0, 0), |(w, h), i| (w.max(i.width), h.max(i.height)));
    let columns = images.len().clamp(1, 3);
    let mut out = Image::black(cell_w * columns, cell_h * images.len().div_ceil(columns));
    for (image, place) in images.iter().zip(places) {
        let (left, top) = (place % columns * cell_w, place / columns * cell_h);
        for (row, line) in image.rgb.chunks_exact(image.width * 3).enumerate().take(image.height) {
            let at = ((top + row) * out.width + left) * 3;
            out.rgb[at..at + line.len()].copy_from_slice(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_lie_as_the_head_turns() {
        let names: Vec<String> =
            apprentice_core::Rig::bench2drive(32, 16).cameras.into_iter().map(|c| c.name).collect();
        assert_eq!(places(&names), [1, 0, 2, 4, 3, 5]);
        let images: Vec<Image> = (0..6_u8).map(|i| Image { width: 4, height: 2, rgb: vec![i + 1; 24] }).collect();
        let all = mosaic(&images, &places(&names));
        assert_eq!((all.width, all.height), (12, 4));
        let at = |x: usize, y: usize| all.rgb[(y * 12 + x) * 3];
        // Front left, front, front right above; back left, back, back right below.
        assert_eq!([at(0, 0), at(4, 0), at(8, 0), at(0, 2), at(4, 2), at(8, 2)], [2, 1, 3, 5, 4, 6]);
    }

    #[test]
    fn an_image_that_lies_about_its_size_is_refused() {
        let lie = Image { width: 10, height: 10, rgb: vec![0; 30] };
        assert!(data_url(&lie, 80).is_err());
        assert!(data_url(&Image::black(8, 8), 80).unwrap().starts_with("data:image/jpeg;base64,/9j/"));
    }
}
