//! Convex faces and objects: what static scenery and actors are made of, and the small solids they are built from.

use crate::frames::PixelId;
use glam::Vec3;

/// How a face is coloured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Material {
    /// Diffuse colour, 0..255.
    Matt([u8; 3]),
    /// Shines by itself.
    Lamp([u8; 3]),
    /// A building's wall: diffuse colour, and windows seen from (world frame) `origin` along the wall.
    Facade {
        /// Wall colour.
        wall: [u8; 3],
        /// Index into [`crate::scene::TownScene`]'s façades.
        facade: u32,
    },
    /// The ground texture of a layer (0 the ground itself, 1 bridges above it).
    Ground(u8),
}

/// A planar convex polygon of three or four corners, counter-clockwise seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    /// Corners; the first `count` are valid.
    pub corners: [Vec3; 4],
    /// Three or four.
    pub count: u8,
    /// Outward unit normal.
    pub normal: Vec3,
    /// Colour.
    pub material: Material,
}

/// A thing: faces with a bounding sphere and an identity.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Middle of the bounding sphere.
    pub center: Vec3,
    /// Its radius, metres.
    pub radius: f32,
    /// First face.
    pub first: u32,
    /// One past the last face.
    pub last: u32,
    /// What its pixels are called.
    pub id: PixelId,
    /// Drawn only while its radius covers this range of pixels: from nothing-smaller-than to level-of-detail change.
    pub pixels: [f32; 2],
}

/// A lit lamp: a disc that faces the camera, never drawn smaller than a camera's bloom would make it.
#[derive(Clone, Copy, Debug)]
pub struct Glow {
    /// Middle.
    pub center: Vec3,
    /// Radius of the lens, metres.
    pub radius_m: f32,
    /// Smallest angular radius, radians, within [`Glow::REACH_M`].
    pub bloom_rad: f32,
    /// Direction it shines in; it is not seen from behind.
    pub facing: Vec3,
    /// Colour.
    pub color: [u8; 3],
    /// What its pixels are called.
    pub id: PixelId,
}

impl Glow {
    /// Beyond this distance a lamp's smallest size no longer holds.
    pub const REACH_M: f32 = 90.0;
}

/// Drawn at any size.
pub const ALWAYS: [f32; 2] = [0.0, f32::MAX];

/// Collects faces and objects. Solids are given in a local frame that a yaw and an origin place in the world.
#[derive(Clone, Debug, Default)]
pub struct FaceSet {
    /// All faces.
    pub faces: Vec<Face>,
    /// All objects.
    pub objects: Vec<Object>,
    /// All lit lamps.
    pub glows: Vec<Glow>,
    origin: Vec3,
    cos_sin: [f32; 2],
    start: u32,
}

impl FaceSet {
    /// Forget everything, keep the memory.
    pub fn clear(&mut self) {
        self.faces.clear();
        self.objects.clear();
        self.glows.clear();
    }

    /// Begin an object whose local frame (x forward, y left, z up) stands at `origin`, turned by `yaw_rad`.
    pub fn begin(&mut self, origin: Vec3, yaw_rad: f32) {
        let (sin, cos) = yaw_rad.sin_cos();
        self.origin = origin;
        self.cos_sin = [cos, sin];
        self.start = self.faces.len() as u32;
    }

    /// End the object begun last; its bounding sphere is that of its faces' bounding box.
    pub fn end(&mut self, id: PixelId, pixels: [f32; 2]) {
        let faces = &self.faces[self.start as usize..];
        let Some(first) = faces.first() else { return };
        let (mut low, mut high) = (first.corners[0], first.corners[0]);
        for face in faces {
            for &corner in &face.corners[..face.count as usize] {
                low = low.min(corner);
                high = high.max(corner);
            }
        }
        self.objects.push(Object {
            center: (low + high) * 0.5,
            radius: (high - low).length() * 0.5,
            first: self.start,
            last: self.faces.len() as u32,
            id,
            pixels,
        });
    }

    /// A point of the local frame in the world.
    pub fn place(&self, p: Vec3) -> Vec3 {
        let [cos, sin] = self.cos_sin;
        self.origin + Vec3::new(cos * p.x - sin * p.y, sin * p.x + cos * p.y, p.z)
    }

    /// A direction of the local frame in the world.
    pub fn turn(&self, v: Vec3) -> Vec3 {
        self.place(v) - self.origin
    }

    /// A lit lamp at a point of the local frame, shining along `facing`.
    pub fn glow(&mut self, center: Vec3, facing: Vec3, radius_m: f32, bloom_rad: f32, color: [u8; 3], id: PixelId) {
        let (center, facing) = (self.place(center), self.turn(facing));
        self.glows.push(Glow { center, radius_m, bloom_rad, facing, color, id });
    }

    /// A face from corners of the local frame, counter-clockwise from outside. Degenerate faces are dropped.
    pub fn face(&mut self, corners: &[Vec3], material: Material) {
        debug_assert!((3..=4).contains(&corners.len()));
        let mut placed = [Vec3::ZERO; 4];
        for (to, &from) in placed.iter_mut().zip(corners) {
            *to = self.place(from);
        }
        // The diagonals' cross product is the normal of a planar quadrilateral; of a triangle, two sides'.
        let normal = if corners.len() == 4 {
            (placed[2] - placed[0]).cross(placed[3] - placed[1])
        } else {
            (placed[1] - placed[0]).cross(placed[2] - placed[0])
        };
        if normal.length_squared() > 1e-14 {
            self.faces.push(Face { corners: placed, count: corners.len() as u8, normal: normal.normalize(), material });
        }
    }

    /// The sides and top (no bottom) of a solid between a lower rectangle and an upper one, each `[x0, x1, y0, y1]`.
    pub fn frustum(&mut self, lower: [f32; 4], z0: f32, upper: [f32; 4], z1: f32, sides: Material, top: Material) {
        let ring = |r: [f32; 4], z: f32| {
            [Vec3::new(r[0], r[2], z), Vec3::new(r[1], r[2], z), Vec3::new(r[1], r[3], z), Vec3::new(r[0], r[3], z)]
        };
        let (low, high) = (ring(lower, z0), ring(upper, z1));
        for i in 0..4 {
            let j = (i + 1) % 4;
            if (high[i] - high[j]).length_squared() < 1e-8 {
                self.face(&[low[i], low[j], high[j]], sides);
            } else {
                self.face(&[low[i], low[j], high[j], high[i]], sides);
            }
        }
        self.face(&high, top);
    }

    /// The sides and top of an upright box `[x0, x1, y0, y1]`.
    pub fn cuboid(&mut self, r: [f32; 4], z0: f32, z1: f32, material: Material) {
        self.frustum(r, z0, r, z1, material, material);
    }

    /// A quadrilateral seen from `+x` (or from `-x` when `behind`): a plate at x with corners y0..y1, z0..z1.
    pub fn plate_x(&mut self, x: f32, y: [f32; 2], z: [f32; 2], behind: bool, material: Material) {
        let c =
            [Vec3::new(x, y[0], z[0]), Vec3::new(x, y[1], z[0]), Vec3::new(x, y[1], z[1]), Vec3::new(x, y[0], z[1])];
        if behind { self.face(&[c[1], c[0], c[3], c[2]], material) } else { self.face(&c, material) }
    }

    /// A plate at y seen from `+y` (or from `-y` when `right`): corners x0..x1, z0..z1.
    pub fn plate_y(&mut self, y: f32, x: [f32; 2], z: [f32; 2], right: bool, material: Material) {
        let c =
            [Vec3::new(x[1], y, z[0]), Vec3::new(x[0], y, z[0]), Vec3::new(x[0], y, z[1]), Vec3::new(x[1], y, z[1])];
        if right { self.face(&[c[1], c[0], c[3], c[2]], material) } else { self.face(&c, material) }
    }

    /// An upright polygonal disc facing `+x`, of up to 8 sides, cut into quadrilaterals.
    pub fn disc_x(&mut self, x: f32, center: [f32; 2], radius: f32, sides: usize, turn_rad: f32, material: Material) {
        let corner = |i: usize| {
            let a = turn_rad + std::f32::consts::TAU * i as f32 / sides as f32;
            Vec3::new(x, center[0] + radius * a.cos(), center[1] + radius * a.sin())
        };
        let mut i = 1;
        while i + 1 < sides {
            if i + 2 < sides {
                self.face(&[corner(0), corner(i), corner(i + 1), corner(i + 2)], material);
                i += 2;
            } else {
                self.face(&[corner(0), corner(i), corner(i + 1)], material);
                i += 1;
            }
        }
    }

    /// The back of [`FaceSet::disc_x`]: the same disc facing `-x`.
    pub fn disc_x_behind(
        &mut self,
        x: f32,
        center: [f32; 2],
        radius: f32,
        sides: usize,
        turn_rad: f32,
        material: Material,
    ) {
        let first = self.faces.len();
        self.disc_x(x, center, radius, sides, turn_rad, material);
        for face in &mut self.faces[first..] {
            face.corners[..face.count as usize].reverse();
            face.normal = -face.normal;
        }
    }

    /// A convex round crown: a double pyramid of six sides with a belt.
    pub fn crown(&mut self, z0: f32, z1: f32, radius: f32, low: Material, high: Material) {
        let belt = z0 + (z1 - z0) * 0.4;
        let shoulder = z0 + (z1 - z0) * 0.8;
        let ring = |i: usize, r: f32, z: f32| {
            let a = std::f32::consts::TAU * (i % 6) as f32 / 6.0;
            Vec3::new(r * a.cos(), r * a.sin(), z)
        };
        let tip = Vec3::new(0.0, 0.0, z1);
        for i in 0..6 {
            self.face(
                &[
                    ring(i, radius * 0.55, z0),
                    ring(i + 1, radius * 0.55, z0),
                    ring(i + 1, radius, belt),
                    ring(i, radius, belt),
                ],
                low,
            );
            self.face(
                &[
                    ring(i, radius, belt),
                    ring(i + 1, radius, belt),
                    ring(i + 1, radius * 0.65, shoulder),
                    ring(i, radius * 0.65, shoulder),
                ],
                high,
            );
            self.face(&[ring(i, radius * 0.65, shoulder), ring(i + 1, radius * 0.65, shoulder), tip], high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solids_face_outwards() {
        let mut set = FaceSet::default();
        set.begin(Vec3::new(5.0, -3.0, 1.0), 0.7);
        set.frustum(
            [-2.0, 2.0, -1.0, 1.0],
            0.0,
            [-1.0, 1.0, -0.5, 0.5],
            1.5,
            Material::Matt([1; 3]),
            Material::Matt([2; 3]),
        );
        set.end(PixelId::actor(1), ALWAYS);
        set.begin(Vec3::ZERO, 0.0);
        set.crown(2.0, 6.0, 2.0, Material::Matt([1; 3]), Material::Matt([2; 3]));
        set.end(PixelId::actor(2), ALWAYS);
        set.begin(Vec3::ZERO, 1.0);
        set.cuboid([0.0, 1.0, 0.0, 1.0], 0.0, 1.0, Material::Matt([1; 3]));
        set.end(PixelId::actor(3), ALWAYS);
        for object in &set.objects {
            for face in &set.faces[object.first as usize..object.last as usize] {
                let middle = face.corners[..face.count as usize].iter().sum::<Vec3>() / f32::from(face.count);
                assert!((middle - object.center).dot(face.normal) > 0.0, "{face:?}");
                // Planar.
                for corner in &face.corners[..face.count as usize] {
                    assert!((*corner - middle).dot(face.normal).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn plates_and_discs_face_the_side_they_say() {
        let mut set = FaceSet::default();
        set.begin(Vec3::ZERO, 0.0);
        let m = Material::Matt([0; 3]);
        set.plate_x(0.0, [-1.0, 1.0], [0.0, 1.0], false, m);
        set.plate_x(0.0, [-1.0, 1.0], [0.0, 1.0], true, m);
        set.plate_y(0.0, [-1.0, 1.0], [0.0, 1.0], false, m);
        set.plate_y(0.0, [-1.0, 1.0], [0.0, 1.0], true, m);
        set.disc_x(0.0, [0.0, 1.0], 0.5, 8, 0.0, m);
        let normals: Vec<_> = set.faces.iter().map(|f| f.normal).collect();
        assert!((normals[0] - Vec3::X).length() < 1e-6 && (normals[1] + Vec3::X).length() < 1e-6);
        assert!((normals[2] - Vec3::Y).length() < 1e-6 && (normals[3] + Vec3::Y).length() < 1e-6);
        assert!(normals[4..].len() == 3 && normals[4..].iter().all(|n| (*n - Vec3::X).length() < 1e-6));
    }
}
