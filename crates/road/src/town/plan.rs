//! A town before it is written: roads with lanes, junctions with connecting roads, signals, crosswalks; and
//! the OpenDRIVE text of it.

use super::path::{Path, Segment};
use std::fmt::Write;

/// A painted edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub kind: &'static str,
    pub color: &'static str,
    pub lane_change: &'static str,
}

pub(super) const NONE: Mark = Mark { kind: "none", color: "white", lane_change: "none" };
pub(super) const KERB: Mark = Mark { kind: "curb", color: "white", lane_change: "none" };
pub(super) const EDGE: Mark = Mark { kind: "solid", color: "white", lane_change: "none" };
pub(super) const LANE_LINE: Mark = Mark { kind: "broken", color: "white", lane_change: "both" };
pub(super) const PARKING_LINE: Mark = Mark { kind: "broken", color: "white", lane_change: "none" };
pub(super) const CENTER_BROKEN: Mark = Mark { kind: "broken", color: "yellow", lane_change: "none" };
pub(super) const CENTER_SOLID: Mark = Mark { kind: "solid", color: "yellow", lane_change: "none" };
pub(super) const CENTER_DOUBLE: Mark = Mark { kind: "solid solid", color: "yellow", lane_change: "none" };

/// A lane of one section, named by its place from the centre outward.
#[derive(Clone, Debug)]
pub(super) struct LaneDef {
    pub kind: &'static str,
    /// Width records: (sOffset, a, b, c, d).
    pub widths: Vec<[f64; 5]>,
    /// Marks of the outer edge: (sOffset, mark).
    pub marks: Vec<(f64, Mark)>,
    pub predecessor: Option<i32>,
    pub successor: Option<i32>,
}

impl LaneDef {
    pub fn new(kind: &'static str, width_m: f64, mark: Mark) -> Self {
        let widths = vec![[0.0, width_m, 0.0, 0.0, 0.0]];
        Self { kind, widths, marks: vec![(0.0, mark)], predecessor: None, successor: None }
    }
}

/// A width record that goes smoothly from `a` to `b` over `length`.
pub(super) fn ease(s: f64, a: f64, b: f64, length: f64) -> [f64; 5] {
    [s, a, 0.0, 3.0 * (b - a) / (length * length), -2.0 * (b - a) / (length * length * length)]
}

/// Lanes from some `s` on, from the centre outward on each side.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub s: f64,
    pub center: Mark,
    pub left: Vec<LaneDef>,
    pub right: Vec<LaneDef>,
}

/// What a road's end joins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Link {
    Road { id: usize, at_end: bool },
    Junction(usize),
}

/// A sign or light.
#[derive(Clone, Debug)]
pub(super) struct SignalDef {
    pub id: usize,
    pub name: &'static str,
    pub kind: &'static str,
    pub dynamic: bool,
    pub s: f64,
    pub t: f64,
    pub z: f64,
    pub along: bool,
    pub h_offset: f64,
    pub lanes: (i32, i32),
    pub value: f64,
}

/// A crosswalk across a road at `s`.
#[derive(Clone, Debug)]
pub(super) struct CrosswalkDef {
    pub id: usize,
    pub s: f64,
    pub left: f64,
    pub right: f64,
    pub depth: f64,
}

/// A road.
#[derive(Clone, Debug)]
pub(super) struct RoadDef {
    pub id: usize,
    pub junction: Option<usize>,
    pub path: Path,
    pub speed_kmh: f64,
    pub sections: Vec<Section>,
    pub predecessor: Option<Link>,
    pub successor: Option<Link>,
    pub signals: Vec<SignalDef>,
    /// Signals that stand elsewhere and govern this road's lane -1: ids.
    pub references: Vec<usize>,
    pub crosswalks: Vec<CrosswalkDef>,
}

/// A way through a junction.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub incoming: usize,
    pub connecting: usize,
    pub at_start: bool,
    pub links: Vec<(i32, i32)>,
}

/// A junction.
#[derive(Clone, Debug)]
pub(super) struct JunctionDef {
    pub id: usize,
    pub connections: Vec<Connection>,
    pub controllers: Vec<usize>,
}

/// Lights that switch together.
#[derive(Clone, Debug)]
pub(super) struct ControllerDef {
    pub id: usize,
    pub signals: Vec<usize>,
}

/// A whole town.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub roads: Vec<RoadDef>,
    pub junctions: Vec<JunctionDef>,
    pub controllers: Vec<ControllerDef>,
    next_id: usize,
}

impl Plan {
    /// A number no other element of the town has.
    pub fn fresh(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    pub fn road(&mut self, id: usize) -> &mut RoadDef {
        let place = self.roads.iter().position(|r| r.id == id).expect("roads are added before they are named");
        &mut self.roads[place]
    }

    /// The OpenDRIVE text.
    pub fn xodr(&self, name: &str) -> String {
        let mut out = String::new();
        self.write(&mut out, name).expect("writing to a string cannot fail");
        out
    }

    fn write(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let reach = |axis: fn(&Path) -> f64| self.roads.iter().map(|r| axis(&r.path)).fold(0.0, f64::max) + 200.0;
        let extent = reach(|p| p.start.x.abs()).max(reach(|p| p.start.y.abs()));
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        writeln!(out, "<OpenDRIVE>")?;
        writeln!(
            out,
            "<header revMajor=\"1\" revMinor=\"4\" name=\"{name}\" version=\"1\" north=\"{extent}\" south=\"-{extent}\" east=\"{extent}\" west=\"-{extent}\" vendor=\"Apprentice\">"
        )?;
        writeln!(
            out,
            "<geoReference><![CDATA[+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +x_0=0 +y_0=0 +datum=WGS84]]></geoReference>"
        )?;
        writeln!(out, "</header>")?;
        for road in &self.roads {
            road.write(out)?;
        }
        for controller in &self.controllers {
            writeln!(out, "<controller name=\"phase{0}\" id=\"{0}\" sequence=\"0\">", controller.id)?;
            for signal in &controller.signals {
                writeln!(out, "<control signalId=\"{signal}\" type=\"\"/>")?;
            }
            writeln!(out, "</controller>")?;
        }
        for junction in &self.junctions {
            writeln!(out, "<junction id=\"{0}\" name=\"junction{0}\">", junction.id)?;
            for (i, c) in junction.connections.iter().enumerate() {
                let contact = if c.at_start { "start" } else { "end" };
                writeln!(
                    out,
                    "<connection id=\"{i}\" incomingRoad=\"{}\" connectingRoad=\"{}\" contactPoint=\"{contact}\">",
                    c.incoming, c.connecting
                )?;
                for (from, to) in &c.links {
                    writeln!(out, "<laneLink from=\"{from}\" to=\"{to}\"/>")?;
                }
                writeln!(out, "</connection>")?;
            }
            for controller in &junction.controllers {
                writeln!(out, "<controller id=\"{controller}\" type=\"\" sequence=\"0\"/>")?;
            }
            writeln!(out, "</junction>")?;
        }
        writeln!(out, "</OpenDRIVE>")
    }
}

impl RoadDef {
    pub fn new(id: usize, path: Path, speed_kmh: f64, sections: Vec<Section>) -> Self {
        Self {
            id,
            junction: None,
            path,
            speed_kmh,
            sections,
            predecessor: None,
            successor: None,
            signals: Vec::new(),
            references: Vec::new(),
            crosswalks: Vec::new(),
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let junction = self.junction.map_or("-1".to_string(), |j| j.to_string());
        let length = self.path.length();
        writeln!(out, "<road name=\"road{0}\" length=\"{length}\" id=\"{0}\" junction=\"{junction}\">", self.id)?;
        writeln!(out, "<link>")?;
        for (name, link) in [("predecessor", self.predecessor), ("successor", self.successor)] {
            match link {
                Some(Link::Road { id, at_end }) => {
                    let contact = if at_end { "end" } else { "start" };
                    writeln!(out, "<{name} elementType=\"road\" elementId=\"{id}\" contactPoint=\"{contact}\"/>")?;
                }
                Some(Link::Junction(id)) => {
                    writeln!(out, "<{name} elementType=\"junction\" elementId=\"{id}\"/>")?;
                }
                None => {}
            }
        }
        writeln!(out, "</link>")?;
        writeln!(out, "<type s=\"0\" type=\"town\"><speed max=\"{}\" unit=\"km/h\"/></type>", self.speed_kmh)?;
        self.write_path(out)?;
        writeln!(out, "<elevationProfile><elevation s=\"0\" a=\"0\" b=\"0\" c=\"0\" d=\"0\"/></elevationProfile>")?;
        writeln!(out, "<lateralProfile/>")?;
        writeln!(out, "<lanes><laneOffset s=\"0\" a=\"0\" b=\"0\" c=\"0\" d=\"0\"/>")?;
        for section in &self.sections {
            section.write(out)?;
        }
        writeln!(out, "</lanes>")?;
        self.write_objects(out)?;
        self.write_signals(out)?;
        writeln!(out, "</road>")
    }

    fn write_path(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "<planView>")?;
        let (mut s, mut pose) = (0.0, self.path.start);
        for segment in &self.path.segments {
            let length = segment.length();
            writeln!(
                out,
                "<geometry s=\"{s}\" x=\"{}\" y=\"{}\" hdg=\"{}\" length=\"{length}\">",
                pose.x, pose.y, pose.yaw_rad
            )?;
            match *segment {
                Segment::Line { .. } => writeln!(out, "<line/>")?,
                Segment::Arc { curvature, .. } => writeln!(out, "<arc curvature=\"{curvature}\"/>")?,
                Segment::Spiral { from, to, .. } => {
                    writeln!(out, "<spiral curvStart=\"{from}\" curvEnd=\"{to}\"/>")?;
                }
            }
            writeln!(out, "</geometry>")?;
            pose = segment.pose(pose, length);
            s += length;
        }
        writeln!(out, "</planView>")
    }

    fn write_objects(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "<objects>")?;
        for c in &self.crosswalks {
            let (width, depth) = (c.left + c.right, c.depth);
            let t = (c.left - c.right) / 2.0;
            writeln!(
                out,
                "<object id=\"{}\" name=\"crosswalk\" type=\"crosswalk\" s=\"{}\" t=\"{t}\" zOffset=\"0\" hdg=\"0\" pitch=\"0\" roll=\"0\" orientation=\"none\" length=\"{depth}\" width=\"{width}\">",
                c.id, c.s
            )?;
            writeln!(out, "<outline>")?;
            let (u, v) = (depth / 2.0, width / 2.0);
            for (u, v) in [(u, v), (-u, v), (-u, -v), (u, -v), (u, v)] {
                writeln!(out, "<cornerLocal u=\"{u}\" v=\"{v}\" z=\"0\" height=\"0\"/>")?;
            }
            writeln!(out, "</outline></object>")?;
        }
        writeln!(out, "</objects>")
    }

    fn write_signals(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "<signals>")?;
        for g in &self.signals {
            let dynamic = if g.dynamic { "yes" } else { "no" };
            let orientation = if g.along { "+" } else { "-" };
            writeln!(
                out,
                "<signal name=\"{}\" id=\"{}\" s=\"{}\" t=\"{}\" zOffset=\"{}\" hOffset=\"{}\" roll=\"0\" pitch=\"0\" orientation=\"{orientation}\" dynamic=\"{dynamic}\" country=\"OpenDRIVE\" type=\"{}\" subtype=\"-1\" value=\"{}\" text=\"\" height=\"1\" width=\"0.6\">",
                g.name, g.id, g.s, g.t, g.z, g.h_offset, g.kind, g.value
            )?;
            writeln!(out, "<validity fromLane=\"{}\" toLane=\"{}\"/></signal>", g.lanes.0, g.lanes.1)?;
        }
        for id in &self.references {
            writeln!(out, "<signalReference id=\"{id}\" s=\"0\" t=\"0\" orientation=\"+\">")?;
            writeln!(out, "<validity fromLane=\"-1\" toLane=\"-1\"/></signalReference>")?;
        }
        writeln!(out, "</signals>")
    }
}

impl Section {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let mark = |out: &mut String, s: f64, m: &Mark| {
            writeln!(
                out,
                "<roadMark sOffset=\"{s}\" type=\"{}\" weight=\"standard\" color=\"{}\" material=\"standard\" width=\"0.15\" laneChange=\"{}\"/>",
                m.kind, m.color, m.lane_change
            )
        };
        let lane = |out: &mut String, id: i32, def: &LaneDef| {
            writeln!(out, "<lane id=\"{id}\" type=\"{}\" level=\"false\"><link>", def.kind)?;
            if let Some(p) = def.predecessor {
                writeln!(out, "<predecessor id=\"{p}\"/>")?;
            }
            if let Some(s) = def.successor {
                writeln!(out, "<successor id=\"{s}\"/>")?;
            }
            writeln!(out, "</link>")?;
            for [s, a, b, c, d] in &def.widths {
                writeln!(out, "<width sOffset=\"{s}\" a=\"{a}\" b=\"{b}\" c=\"{c}\" d=\"{d}\"/>")?;
            }
            for (s, m) in &def.marks {
                mark(out, *s, m)?;
            }
            writeln!(out, "</lane>")
        };
        writeln!(out, "<laneSection s=\"{}\">", self.s)?;
        if !self.left.is_empty() {
            writeln!(out, "<left>")?;
            for (i, def) in self.left.iter().enumerate().rev() {
                lane(out, i as i32 + 1, def)?;
            }
            writeln!(out, "</left>")?;
        }
        writeln!(out, "<center><lane id=\"0\" type=\"none\" level=\"false\">")?;
        mark(out, 0.0, &self.center)?;
        writeln!(out, "</lane></center>")?;
        if !self.right.is_empty() {
            writeln!(out, "<right>")?;
            for (i, def) in self.right.iter().enumerate() {
                lane(out, -(i as i32) - 1, def)?;
            }
            writeln!(out, "</right>")?;
        }
        writeln!(out, "</laneSection>")
    }
}
