//! Lanes side by side in one lane section, seen as one band of surface.

use crate::lane::{Lane, LaneId, LaneKind};
use crate::network::RoadNetwork;
use apprentice_core::geometry::DVec3;
use std::collections::BTreeMap;

/// Edges closer than this are one edge.
const TOUCH_M: f64 = 0.2;
/// Lanes tilted more differently than this do not lie in one plane.
const BANK_RAD: f64 = 0.01;

/// A band of surface along a road, in the direction of the reference line.
pub(crate) struct Ribbon {
    pub kind: LaneKind,
    pub junction: Option<usize>,
    pub left: Vec<DVec3>,
    /// Of the same length as `left`.
    pub right: Vec<DVec3>,
    /// The lanes it is made of.
    pub lanes: Vec<LaneId>,
}

/// The place at fraction `t` of the road's direction on a lane's outer or inner edge.
fn edge(lane: &Lane, t: f64, left_of_road: bool) -> DVec3 {
    let at = lane.at(lane.length_m * if lane.along_road { t } else { 1.0 - t });
    if left_of_road == lane.along_road { at.left_edge() } else { at.right_edge() }
}

/// Bands of all lanes that `class` names; neighbours of one class become one band.
pub(crate) fn ribbons(net: &RoadNetwork, class: impl Fn(LaneKind) -> Option<LaneKind>) -> Vec<Ribbon> {
    let mut sections: BTreeMap<(&str, usize), Vec<&Lane>> = BTreeMap::new();
    for lane in net.lanes.iter() {
        sections.entry((lane.road.as_str(), lane.section)).or_default().push(lane);
    }
    let mut out = Vec::new();
    for lanes in sections.values_mut() {
        // From right to left of the reference line.
        lanes.sort_by_key(|l| l.lane);
        let mut band: Vec<&Lane> = Vec::new();
        for lane in lanes.iter() {
            let joins = band.last().is_some_and(|last| {
                class(last.kind).is_some()
                    && class(last.kind) == class(lane.kind)
                    && [0.05, 0.5, 0.95].iter().all(|&t| touches(edge(last, t, true), lane))
                    && bank(last).min(bank(lane)) + BANK_RAD > bank(last).max(bank(lane))
            });
            if !joins {
                out.extend(finish(&band, &class));
                band.clear();
            }
            band.push(lane);
        }
        out.extend(finish(&band, &class));
    }
    out
}

/// Whether a point lies on one of a lane's edges (lanes of one section differ in length on bends, so places
/// cannot be paired by fraction).
fn touches(p: DVec3, lane: &Lane) -> bool {
    let (s_m, lateral_m) = lane.project(p.truncate());
    (lateral_m.abs() - lane.at(s_m).width_m / 2.0).abs() < TOUCH_M
}

/// Cross-slope in the road's direction.
fn bank(lane: &Lane) -> f64 {
    let bank = lane.at(lane.length_m / 2.0).bank_rad;
    if lane.along_road { bank } else { -bank }
}

fn finish(band: &[&Lane], class: &impl Fn(LaneKind) -> Option<LaneKind>) -> Option<Ribbon> {
    let (first, last) = (band.first()?, band.last()?);
    let kind = class(first.kind)?;
    let segments = band.iter().map(|l| l.points.len() - 1).max()?;
    let side = |lane: &Lane, left: bool| -> Vec<DVec3> {
        (0..=segments).map(|k| edge(lane, k as f64 / segments as f64, left)).collect()
    };
    let (left, right) = (side(last, true), side(first, false));
    let widest = left.iter().zip(&right).map(|(l, r)| (*l - *r).length()).fold(0.0, f64::max);
    (widest > 0.02).then(|| Ribbon {
        kind,
        junction: first.junction,
        left,
        right,
        lanes: band.iter().map(|l| l.id).collect(),
    })
}
