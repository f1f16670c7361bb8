//! Pictures of the user's: PNG and JPEG files as RGB.

use apprentice_cli::CliError;
use apprentice_core::{BoxedError, Image};
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Read a picture; grey becomes RGB, transparency is dropped.
pub fn read(path: &Path) -> Result<Image, BoxedError> {
    let bytes = apprentice_store::read_bytes(path)?;
    let image = if bytes.starts_with(&[0xff, 0xd8]) { jpeg(&bytes) } else { png(&bytes) };
    image.map_err(|reason| {
        CliError::new(
            format!("{}: not a picture that is read here: {reason}", path.display()),
            "give a PNG or JPEG file",
        )
        .into()
    })
}

fn jpeg(bytes: &[u8]) -> Result<Image, String> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let rgb = decoder.decode().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    Ok(Image { width, height, rgb })
}

fn png(bytes: &[u8]) -> Result<Image, String> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let mut raw = vec![0; reader.output_buffer_size().ok_or("it is too large")?];
    let info = reader.next_frame(&mut raw).map_err(|e| e.to_string())?;
    let channels = info.color_type.samples();
    let rgb = raw[..info.buffer_size()]
        .chunks_exact(channels)
        .flat_map(|p| if channels < 3 { [p[0]; 3] } else { [p[0], p[1], p[2]] })
        .collect();
    Ok(Image { width: info.width as usize, height: info.height as usize, rgb })
}
