//! Snapshots to frames.

use crate::actors;
use crate::faces::{Face, FaceSet, Glow, Material, Object};
use crate::frames::{Frames, IdKind, PixelId};
use crate::light::{Atmosphere, Headlights};
use crate::options::RenderOptions;
use crate::raster::{Visibility, depth_plane};
use crate::scene::TownScene;
use crate::shade::{self, Kind, SurfaceColor};
use crate::street;
use crate::view::{NEAR_M, View, clip_near, ego_axes};
use apprentice_core::{Camera, Image, Rig, Rng};
use apprentice_sim::state::Snapshot;
use glam::Vec3;

/// Surface index of the ground (1) and of bridges (2); see [`shade`].
pub const GROUND: u32 = 1;
/// Set in the surface index of ground that lies in a shadow.
pub const SHADOW: u32 = 1 << 31;
/// Actors farther than this are not drawn, metres.
const ACTOR_REACH_M: f64 = 160.0;
/// Lamps of traffic lights farther than this are not lit, metres.
const LIGHT_REACH_M: f64 = 160.0;

/// Scratch memory of one thread. Make one per thread and keep it.
#[derive(Debug, Default)]
pub struct Renderer {
    moving: FaceSet,
    shadows: Vec<[Vec3; 4]>,
    buffer: Visibility,
    surfaces: Vec<SurfaceColor>,
    rows: shade::Rows,
}

/// What all cameras of a frame share.
pub(crate) struct FrameContext<'a> {
    pub town: &'a TownScene,
    pub air: Atmosphere,
    pub headlights: Headlights,
    pub options: &'a RenderOptions,
    pub tick: u32,
}

impl Renderer {
    /// A renderer with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Render all cameras of a rig.
    pub fn render(&mut self, town: &TownScene, snapshot: &Snapshot, rig: &Rig, options: &RenderOptions) -> Frames {
        let mut frames = Frames::default();
        self.render_into(town, snapshot, rig, options, &mut frames);
        frames
    }

    /// Render all cameras of a rig into frames made before.
    pub fn render_into(
        &mut self,
        town: &TownScene,
        snapshot: &Snapshot,
        rig: &Rig,
        options: &RenderOptions,
        frames: &mut Frames,
    ) {
        self.build_moving(town, snapshot, options);
        let [forward, ..] = ego_axes(&snapshot.ego);
        let lamp = crate::view::ego_to_world(&snapshot.ego, apprentice_core::geometry::DVec3::new(3.4, 0.0, 0.7));
        let air = Atmosphere::new(&snapshot.weather, options);
        let strength = if options.features.headlights { air.night } else { 0.0 };
        let headlights = Headlights::new(lamp.as_vec3(), forward.as_vec3(), strength);
        let context = FrameContext { town, air, headlights, options, tick: snapshot.tick };
        let cameras = rig.cameras.len();
        frames.images.resize_with(cameras, || Image::black(0, 0));
        frames.depth.resize_with(cameras, Vec::new);
        frames.ids.resize_with(cameras, Vec::new);
        for (i, camera) in rig.cameras.iter().enumerate() {
            let view = self.view(snapshot, camera, options, i);
            let image = &mut frames.images[i];
            let pixels = camera.width * camera.height;
            (image.width, image.height) = (camera.width, camera.height);
            image.rgb.resize(pixels * 3, 0);
            frames.depth[i].resize(pixels, 0.0);
            frames.ids[i].resize(pixels, 0);
            self.camera(&context, &view, i as u64, &mut image.rgb, &mut frames.depth[i], &mut frames.ids[i]);
        }
    }

    fn view(&self, snapshot: &Snapshot, camera: &Camera, options: &RenderOptions, index: usize) -> View {
        if options.pose_jitter == 0.0 {
            return View::new(&snapshot.ego, camera);
        }
        let mut rng = Rng::new(&[options.seed, 0x9_0e5e, index as u64]);
        let mut draw = |amount: f64| rng.range(-amount, amount) * f64::from(options.pose_jitter);
        let mut camera = camera.clone();
        let degree = 1f64.to_radians();
        camera.yaw_rad += draw(degree);
        camera.pitch_rad += draw(degree);
        camera.roll_rad += draw(degree);
        for axis in &mut camera.position_in_ego {
            *axis += draw(0.03);
        }
        View::new(&snapshot.ego, &camera)
    }

    /// Faces, shadows and lamps of everything that moves or changes.
    fn build_moving(&mut self, town: &TownScene, snapshot: &Snapshot, options: &RenderOptions) {
        self.moving.clear();
        self.shadows.clear();
        let ego = snapshot.ego.pose_in_world.position();
        for actor in &snapshot.actors {
            let distance = (actor.pose_in_world.position() - ego).length();
            if distance < ACTOR_REACH_M {
                actors::build(&mut self.moving, actor, distance as f32, options.features.lamps);
                if options.features.shadows && distance < 70.0 {
                    self.shadows.push(actors::shadow(actor));
                }
            }
        }
        if options.features.signals && options.features.lamps {
            for (signal, &aspect) in town.signals.iter().zip(&snapshot.lights) {
                if (signal.pose_in_world.position() - ego).length() < LIGHT_REACH_M {
                    street::lit_lamp(&mut self.moving, signal, aspect);
                }
            }
        }
    }

    /// One camera.
    fn camera(
        &mut self,
        context: &FrameContext,
        view: &View,
        index: u64,
        rgb: &mut [u8],
        depth: &mut [f32],
        ids: &mut [u32],
    ) {
        self.buffer.reset(view.width, view.height);
        self.surfaces.clear();
        self.surfaces.push(SurfaceColor { kind: Kind::Sky, color: Vec3::ZERO, id: 0, detail: 0 });
        for layer in 0..2 {
            let id = PixelId::new(IdKind::Ground, layer).0;
            self.surfaces.push(SurfaceColor { kind: Kind::Ground, color: Vec3::ONE, id, detail: layer });
        }
        let features = &context.options.features;
        for cell in &context.town.cells {
            if view.sphere_depth(cell.center, cell.radius).is_none() {
                continue;
            }
            for object in &context.town.objects[cell.first as usize..cell.last as usize] {
                let wanted = match object.id.kind() {
                    IdKind::Ground => true,
                    IdKind::Signal => features.signals,
                    _ => features.scenery,
                };
                if wanted {
                    draw_object(&mut self.buffer, &mut self.surfaces, context, view, object, &context.town.faces);
                }
            }
        }
        if !context.town.heights.is_flat() {
            self.buffer.close_cracks(GROUND, GROUND + 1);
        }
        for object in &self.moving.objects {
            draw_object(&mut self.buffer, &mut self.surfaces, context, view, object, &self.moving.faces);
        }
        for glow in &self.moving.glows {
            draw_glow(&mut self.buffer, &mut self.surfaces, view, glow);
        }
        for shadow in &self.shadows {
            draw_shadow(&mut self.buffer, view, shadow);
        }
        shade::shade(&self.buffer, &self.surfaces, context, view, index, &mut self.rows, rgb, depth, ids);
    }
}

#[inline(always)]
fn draw_object(
    buffer: &mut Visibility,
    surfaces: &mut Vec<SurfaceColor>,
    context: &FrameContext,
    view: &View,
    object: &Object,
    faces: &[Face],
) {
    let Some(depth) = view.sphere_depth(object.center, object.radius) else { return };
    if object.pixels != crate::faces::ALWAYS {
        let pixels = object.radius * view.focal[0] / depth.max(NEAR_M);
        if pixels < object.pixels[0] || pixels >= object.pixels[1] {
            return;
        }
    }
    for face in &faces[object.first as usize..object.last as usize] {
        if face.normal.dot(view.position - face.corners[0]) <= 0.0 {
            continue;
        }
        let count = face.count as usize;
        let mut corners = [Vec3::ZERO; 4];
        for (to, &from) in corners.iter_mut().zip(&face.corners[..count]) {
            *to = view.to_camera(from);
        }
        // Most faces are in front as a whole and many cover no pixel: that is found out before anything else.
        let (mut points, mut n) = ([[0.0f32; 2]; 8], count);
        if corners[..count].iter().all(|c| c.z >= NEAR_M) {
            project(view, &corners[..count], &mut points);
        } else {
            let mut clipped = [Vec3::ZERO; 8];
            n = clip_near(&corners[..count], &mut clipped);
            if n < 3 {
                continue;
            }
            project(view, &clipped[..n], &mut points);
        }
        if !buffer.may_cover(&points[..n]) {
            continue;
        }
        let normal =
            Vec3::new(view.axes[0].dot(face.normal), view.axes[1].dot(face.normal), view.axes[2].dot(face.normal));
        let Some(plane) = depth_plane(normal, corners[0], view.focal, view.principal) else { continue };
        let surface = match face.material {
            Material::Ground(layer) => GROUND + u32::from(layer),
            _ => surfaces.len() as u32,
        };
        if buffer.fill(&points[..n], plane, surface) && surface == surfaces.len() as u32 {
            surfaces.push(face_color(context, face, object.id));
        }
    }
}

#[inline(always)]
fn project(view: &View, corners: &[Vec3], points: &mut [[f32; 2]; 8]) {
    for (point, corner) in points.iter_mut().zip(corners) {
        let scale = 1.0 / corner.z;
        *point = [
            view.principal[0] + view.focal[0] * corner.x * scale,
            view.principal[1] + view.focal[1] * corner.y * scale,
        ];
    }
}

/// The colour of a face in this light.
fn face_color(context: &FrameContext, face: &Face, id: PixelId) -> SurfaceColor {
    let light = || {
        let mut light = context.air.light(face.normal);
        if context.headlights.on() {
            let middle = (face.corners[0] + face.corners[face.count as usize / 2]) * 0.5;
            light += Vec3::splat(context.headlights.light(middle) * 1.1);
        }
        light
    };
    let color = |c: [u8; 3]| Vec3::new(c[0].into(), c[1].into(), c[2].into());
    match face.material {
        Material::Matt(c) => SurfaceColor { kind: Kind::Flat, color: color(c) * light(), id: id.0, detail: 0 },
        Material::Lamp(c) => SurfaceColor { kind: Kind::Lamp, color: color(c), id: id.0, detail: 0 },
        Material::Facade { wall, facade } => {
            let kind = if context.options.features.facades { Kind::Facade } else { Kind::Flat };
            SurfaceColor { kind, color: color(wall) * light(), id: id.0, detail: facade }
        }
        Material::Ground(layer) => {
            SurfaceColor { kind: Kind::Ground, color: Vec3::ONE, id: id.0, detail: layer.into() }
        }
    }
}

/// A lamp as an octagon facing the camera.
#[inline(always)]
fn draw_glow(buffer: &mut Visibility, surfaces: &mut Vec<SurfaceColor>, view: &View, glow: &Glow) {
    if glow.facing.dot(view.position - glow.center) <= 0.0 {
        return;
    }
    let center = view.to_camera(glow.center);
    if center.z < 0.5 {
        return;
    }
    let bloom = if center.z < Glow::REACH_M { glow.bloom_rad * view.focal[0] } else { 0.0 };
    let radius = (glow.radius_m * view.focal[0] / center.z).max(bloom);
    let x = view.principal[0] + view.focal[0] * center.x / center.z;
    let y = view.principal[1] + view.focal[1] * center.y / center.z;
    const OCTAGON: [[f32; 2]; 8] = [
        [1.0, 0.414],
        [0.414, 1.0],
        [-0.414, 1.0],
        [-1.0, 0.414],
        [-1.0, -0.414],
        [-0.414, -1.0],
        [0.414, -1.0],
        [1.0, -0.414],
    ];
    let points = OCTAGON.map(|[dx, dy]| [x + radius * dx, y - radius * dy]);
    let plane = [0.0, 0.0, 1.0 / (center.z - 0.12).max(NEAR_M)];
    if buffer.fill(&points, plane, surfaces.len() as u32) {
        let color = Vec3::new(glow.color[0].into(), glow.color[1].into(), glow.color[2].into());
        surfaces.push(SurfaceColor { kind: Kind::Lamp, color, id: glow.id.0, detail: 0 });
    }
}

#[inline(always)]
fn draw_shadow(buffer: &mut Visibility, view: &View, corners: &[Vec3; 4]) {
    let placed = corners.map(|c| view.to_camera(c));
    let mut clipped = [Vec3::ZERO; 8];
    let n = clip_near(&placed, &mut clipped);
    if n < 3 {
        return;
    }
    let mut points = [[0.0f32; 2]; 8];
    project(view, &clipped[..n], &mut points);
    buffer.flag(&points[..n], GROUND, GROUND + 1, SHADOW);
}
