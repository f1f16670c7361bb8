//! Cameras: a CPU rasteriser that turns a town and a [`Snapshot`](apprentice_sim::state::Snapshot) into the six
//! pictures of the rig, with depth and instance buffers for free, and the top-down picture of reports.
//!
//! How a picture is made (one thread, no allocation after the first frame):
//! 1. [`scene::TownScene`] is built once per town: convex faces of static objects in a coarse grid, the ground as a
//!    height field, and everything flat on it (surfaces, kerbs, lane paint, crosswalks) as a sparse mip-mapped texture.
//! 2. Per frame, [`actors`] turns the moving actors into faces of the same kind.
//! 3. Per camera, faces are culled (frustum, screen size, back faces), clipped at the near plane and scanned into a
//!    visibility buffer of (1/depth, surface index).
//! 4. [`shade`] colours each visible pixel once: ground texture with anisotropic filtering, flat faces, façades, sky; then
//!    fog, rain and exposure.
//!
//! What may not enter here: tensors, files (but PNG bytes and the committed camera path), traffic rules.

pub mod actors;
pub mod bench;
pub mod bev;
pub mod error;
pub mod faces;
pub mod frames;
pub mod ground;
mod lanes;
pub mod light;
pub mod options;
pub mod project;
pub mod raster;
pub mod renderer;
pub mod scene;
pub mod shade;
pub mod street;
pub mod view;
mod weather;

pub use bev::{BevOptions, BevPath, bev_image};
pub use error::RenderError;
pub use frames::{Frames, IdKind, PixelId};
pub use options::{Features, RenderOptions};
pub use project::{camera_pose_in_world, project_actor_box};
pub use renderer::Renderer;
pub use scene::TownScene;
