//! The ground: its shape (a height field) and its looks (a sparse, mip-mapped texture seen from above).

pub mod classes;
pub mod height;
pub mod paint;
#[cfg(target_arch = "x86_64")]
mod patch;
pub mod texture;

pub use classes::Surface;
pub use height::HeightField;
pub use texture::GroundTexture;
