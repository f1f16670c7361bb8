//! OpenDRIVE text → [`RoadNetwork`], through the crate `xodr`.
//!
//! The text is checked first ([`validate`]) so that a damaged file is an error that names the element, where
//! the reader alone would skip a road and say nothing to the user.

mod junctions;
mod lanes;
mod paint;
mod signals;
mod validate;

use crate::error::RoadError;
use crate::index::SpatialIndex;
use crate::lane::LaneKind;
use crate::network::{Bounds, RoadNetwork};
use apprentice_core::geometry::DVec2;

/// What every import step reads.
struct Source<'a> {
    file: &'a str,
    net: &'a xodr::RoadNetwork,
    provenance: &'a xodr::Provenance,
    /// Whether the map says anywhere which marks may be crossed; if not, their type decides.
    says_lane_change: bool,
    facts: &'a validate::Facts,
}

/// Read a map. `file` is what errors call it.
pub(crate) fn import(file: &str, xml: &str) -> Result<RoadNetwork, RoadError> {
    let xml = xml.trim_start_matches('\u{feff}');
    let facts = validate::validate(file, xml)?;
    let (net, provenance) = read(file, xml)?;
    let source = Source {
        file,
        net: &net,
        provenance: &provenance,
        says_lane_change: xml.contains("laneChange="),
        facts: &facts,
    };
    let (mut lanes, ids) = lanes::lanes(&source)?;
    let index = SpatialIndex::new(&lanes);
    let mut junctions = junctions::junctions(&source, &mut lanes, &ids);
    let paint = paint::paint(&source, &mut lanes, &ids);
    let crosswalks = signals::crosswalks(&source);
    let signals = signals::signals(&source, &lanes, &ids, &index, &mut junctions, &crosswalks);
    let geo = net.geo_reference();
    let bounds = bounds(&lanes);
    Ok(RoadNetwork {
        name: file.to_string(),
        lanes,
        has_signals: facts.has_signals && !signals.is_empty(),
        signals,
        junctions,
        crosswalks,
        bounds,
        geo_reference: geo.proj.clone(),
        paint,
        index,
        vector_map: std::sync::OnceLock::new(),
        buildings: std::sync::OnceLock::new(),
    })
}

/// The reader's work, with its documented and undocumented failures made into ours.
fn read(file: &str, xml: &str) -> Result<(xodr::RoadNetwork, xodr::Provenance), RoadError> {
    let read = quietly(|| xodr::load_str_with_provenance(xml));
    let (net, provenance) = match read {
        Ok(Ok(done)) => done,
        Ok(Err(xodr::ImportError::Xml(e))) => {
            return Err(RoadError::Xml { file: file.into(), problem: e.to_string() });
        }
        Ok(Err(e)) => {
            return Err(RoadError::Element {
                file: file.into(),
                element: "<OpenDRIVE>".into(),
                problem: e.to_string(),
            });
        }
        Err(_) => return Err(RoadError::Reader { file: file.into(), problem: "it panicked".into() }),
    };
    for warning in &provenance.warnings {
        if let xodr::Warning::RoadSkipped { .. } = warning {
            return Err(RoadError::Element {
                file: file.into(),
                element: "<road>".into(),
                problem: warning.to_string(),
            });
        }
    }
    Ok((net, provenance))
}

/// Catch a panic of the reader without its message on the user's terminal: it becomes an error of ours.
fn quietly<T>(read: impl FnOnce() -> T + std::panic::UnwindSafe) -> std::thread::Result<T> {
    thread_local!(static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = std::panic::catch_unwind(read);
    QUIET.set(false);
    result
}

fn bounds(lanes: &[crate::lane::Lane]) -> Bounds {
    let mut bounds = Bounds { min: DVec2::INFINITY, max: DVec2::NEG_INFINITY };
    let inner = |kind: LaneKind| kind.is_carriageway() || kind == LaneKind::Sidewalk;
    for point in lanes.iter().filter(|l| inner(l.kind)).flat_map(|l| &l.points) {
        let half = DVec2::splat(point.width_m / 2.0);
        bounds.min = bounds.min.min(point.position.truncate() - half);
        bounds.max = bounds.max.max(point.position.truncate() + half);
    }
    bounds
}
