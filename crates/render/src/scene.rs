//! Everything static in a town, prepared once and shared by threads.

use crate::faces::{Face, FaceSet, Material, Object};
use crate::frames::{IdKind, PixelId};
use crate::ground::classes::ClassRaster;
use crate::ground::paint::ColorTiles;
use crate::ground::{GroundTexture, HeightField, Surface};
use crate::street::{self, Facade};
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_road::{Block, RoadNetwork, Signal, TownMesh, Upright};
use glam::Vec3;

/// Side of the culling grid's cells, metres.
const CELL_M: f32 = 40.0;
/// How far the ground of a flat town goes on past its roads, metres.
const BEYOND_M: f64 = 3000.0;
/// Grass kept around the roads of a hilly town, metres.
const MARGIN_M: f64 = 60.0;
/// A surface this much above the height field is a bridge.
const BRIDGE_M: f64 = 0.5;

/// Objects of one cell of the culling grid, with a bounding sphere.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Middle of the bounding sphere.
    pub center: Vec3,
    /// Its radius, metres.
    pub radius: f32,
    /// First object.
    pub first: u32,
    /// One past the last object.
    pub last: u32,
}

/// The static part of a world.
#[derive(Clone, Debug)]
pub struct TownScene {
    /// The ground's texture, and that of bridges above it where there are any.
    pub(crate) textures: Vec<GroundTexture>,
    /// The ground's shape.
    pub(crate) heights: HeightField,
    /// What a texel is made of.
    pub(crate) classes: ClassRaster,
    pub(crate) faces: Vec<Face>,
    pub(crate) objects: Vec<Object>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) facades: Vec<Facade>,
    pub(crate) signals: Vec<Signal>,
    /// Of buildings.
    pub(crate) footprints: Vec<[DVec2; 4]>,
}

impl TownScene {
    /// The scene of a road network.
    pub fn new(net: &RoadNetwork) -> Self {
        Self::from_parts(&net.meshes(), &net.signals)
    }

    /// The scene of a town's static geometry and its signals.
    pub fn from_parts(mesh: &TownMesh, signals: &[Signal]) -> Self {
        let (low, high) = bounds(mesh);
        let heights = HeightField::new(mesh, low, high);
        let is_bridge = |p: DVec3| p.z > heights.at(p.truncate()) + BRIDGE_M;

        // Tiles double in size per mip level: whole ones at the coarsest.
        let mut classes = ClassRaster::new(low, high, 1 << (crate::ground::texture::LEVELS - 1));
        let mut above = ClassRaster::new(low, high, 1 << (crate::ground::texture::LEVELS - 1));
        let mut set = FaceSet::default();
        for strip in &mesh.surfaces {
            let middle = |i: usize| (strip.left[i - 1] + strip.right[i - 1] + strip.left[i] + strip.right[i]) / 4.0;
            classes.fill_strip(strip, |i| !is_bridge(middle(i)));
            above.fill_strip(strip, |i| is_bridge(middle(i)));
            bridge(&mut set, &strip.left, &strip.right, |i| is_bridge(middle(i)));
        }
        classes.find_kerbs();
        above.find_kerbs();
        let mut textures = Vec::new();
        let mut colors = ColorTiles::new(&classes);
        colors.paint(mesh, &|p| !is_bridge(p));
        textures.push(GroundTexture::new(&classes, &colors));
        if above.tile_count() > 0 {
            let mut colors = ColorTiles::new(&above);
            colors.paint(mesh, &is_bridge);
            textures.push(GroundTexture::new(&above, &colors));
        }

        for block in heights.blocks(low, high, BEYOND_M) {
            set.begin(Vec3::ZERO, 0.0);
            for triangle in block {
                set.face(&triangle.map(|p| p.as_vec3()), Material::Ground(0));
            }
            set.end(PixelId::new(IdKind::Ground, 0), crate::faces::ALWAYS);
        }
        let mut facades = Vec::new();
        for (i, block) in mesh.buildings.iter().enumerate() {
            let ring = block.footprint.map(|p| heights.at(p));
            let base_z = ring.iter().copied().fold(f64::MAX, f64::min);
            street::building(&mut set, &mut facades, &Block { base_z, ..*block }, i as u32);
        }
        for (i, tree) in mesh.trees.iter().enumerate() {
            street::tree(&mut set, &stand(tree, &heights), i as u32);
        }
        for (i, pole) in mesh.poles.iter().enumerate() {
            street::lamp_post(&mut set, &stand(pole, &heights), i as u32);
        }
        for signal in signals {
            street::signal(&mut set, signal);
        }
        let (objects, cells) = group(set.objects);
        let (faces, signals) = (set.faces, signals.to_vec());
        let footprints = mesh.buildings.iter().map(|b| b.footprint).collect();
        Self { textures, heights, classes, faces, objects, cells, facades, signals, footprints }
    }

    /// Height of the ground at a point of the world, metres; under bridges, the ground below.
    pub fn ground_z_m(&self, point: DVec2) -> f64 {
        self.heights.at(point)
    }

    /// What the ground is made of at a point of the world.
    pub fn surface_at(&self, point: DVec2) -> Surface {
        self.classes.at(point)
    }

    /// Mean colour of the ground, 0..255, in a square of this side about a point.
    pub fn ground_color(&self, point: DVec2, side_m: f64) -> [f32; 3] {
        self.textures[0].color_at(point, side_m)
    }

    /// Bytes the scene holds, roughly.
    pub fn bytes(&self) -> usize {
        self.textures.iter().map(GroundTexture::bytes).sum::<usize>()
            + self.classes.tile_count() * 1024
            + std::mem::size_of_val(&self.faces[..])
            + std::mem::size_of_val(&self.objects[..])
    }
}

/// The rectangle that holds all surfaces, with a margin.
fn bounds(mesh: &TownMesh) -> (DVec2, DVec2) {
    let mut points = mesh.surfaces.iter().flat_map(|s| s.left.iter().chain(&s.right)).map(|p| p.truncate());
    let first = points.next().unwrap_or(DVec2::ZERO);
    let (low, high) = points.fold((first, first), |(l, h), p| (l.min(p), h.max(p)));
    (low - MARGIN_M, high + MARGIN_M)
}

/// An upright on the ground that is drawn, unless it stands on a bridge.
fn stand(upright: &Upright, heights: &HeightField) -> Upright {
    let ground = heights.at(upright.base.truncate());
    let z = if upright.base.z > ground + 3.0 { upright.base.z } else { ground };
    Upright { base: upright.base.truncate().extend(z), ..*upright }
}

/// The faces of a raised stretch of road: deck, underside and sides with a parapet's height.
fn bridge(set: &mut FaceSet, left: &[DVec3], right: &[DVec3], is_bridge: impl Fn(usize) -> bool) {
    let count = left.len().min(right.len());
    let mut i = 1;
    while i < count {
        if !is_bridge(i) {
            i += 1;
            continue;
        }
        set.begin(Vec3::ZERO, 0.0);
        let start = i;
        while i < count && i < start + 12 && is_bridge(i) {
            let [a, b, c, d] = [right[i - 1], right[i], left[i], left[i - 1]].map(|p| p.as_vec3());
            set.face(&[a, b, c], Material::Ground(1));
            set.face(&[a, c, d], Material::Ground(1));
            let under = Vec3::new(0.0, 0.0, -0.6);
            let concrete = Material::Matt([150, 148, 144]);
            set.face(&[c + under, b + under, a + under], concrete);
            set.face(&[d + under, c + under, a + under], concrete);
            set.face(&[a + under, b + under, b, a], concrete);
            set.face(&[c + under, d + under, d, c], concrete);
            i += 1;
        }
        set.end(PixelId::new(IdKind::Ground, 1), crate::faces::ALWAYS);
    }
}

/// Sort objects into the cells of a grid. Objects larger than a cell get one of their own.
fn group(mut objects: Vec<Object>) -> (Vec<Object>, Vec<Cell>) {
    let key = |o: &Object| {
        let cell = (o.center / CELL_M).floor();
        (o.radius > CELL_M, cell.y as i32, cell.x as i32)
    };
    objects.sort_by_key(key);
    let mut cells: Vec<Cell> = Vec::new();
    let mut first = 0;
    while first < objects.len() {
        let mut last = first + 1;
        while last < objects.len() && !objects[first].is_large() && key(&objects[last]) == key(&objects[first]) {
            last += 1;
        }
        let members = &objects[first..last];
        let (low, high) = members
            .iter()
            .fold((Vec3::MAX, Vec3::MIN), |(l, h), o| (l.min(o.center - o.radius), h.max(o.center + o.radius)));
        let center = (low + high) * 0.5;
        let radius = members.iter().map(|o| (o.center - center).length() + o.radius).fold(0.0, f32::max);
        cells.push(Cell { center, radius, first: first as u32, last: last as u32 });
        first = last;
    }
    (objects, cells)
}

impl Object {
    fn is_large(&self) -> bool {
        self.radius > CELL_M
    }
}
