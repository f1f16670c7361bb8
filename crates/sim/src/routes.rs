//! CARLA route files, read unchanged: waypoints, weather keyframes, scenarios with trigger and parameters.
//!
//! CARLA is left-handed. On reading, y becomes −y and yaw (degrees, clockwise) becomes −yaw in radians, and
//! nothing downstream knows. Reading is strict: whatever is missing, doubled or not a number is an error that
//! names route and field.

use crate::error::SimError;
use crate::scenario::ScenarioSpec;
use crate::state::Weather;
use apprentice_core::geometry::DVec3;
use apprentice_core::{Pose2, wrap_angle};
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One route of a route file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// The file's id, unique in it.
    pub id: String,
    /// Town, such as `Town04`.
    pub town: String,
    /// Key points to pass, world frame, metres. Routing on the map fills the gaps.
    pub waypoints: Vec<DVec3>,
    /// What happens on the way.
    pub scenarios: Vec<ScenarioSpec>,
    /// Keyframes (percentage of the route, weather), by rising percentage; at least one.
    pub weather: Vec<(f32, Weather)>,
}

impl RouteSpec {
    /// Weather after `percent` of the route: linear between keyframes, constant outside them.
    pub fn weather_at(&self, percent: f32) -> Weather {
        let after = self.weather.partition_point(|(at, _)| *at <= percent);
        match (after.checked_sub(1).and_then(|i| self.weather.get(i)), self.weather.get(after)) {
            (Some((a, from)), Some((b, to))) => from.mix(to, (percent - a) / (b - a)),
            (Some((_, only)), None) | (None, Some((_, only))) => *only,
            (None, None) => Weather::default(),
        }
    }

    /// The scenario whose name the result file bears: the first, or none.
    pub fn scenario_name(&self) -> &str {
        self.scenarios.first().map_or("None", |s| &s.name)
    }
}

impl Weather {
    /// Linear mixture: `self` at 0, `other` at 1.
    pub fn mix(&self, other: &Weather, t: f32) -> Weather {
        let m = |a: f32, b: f32| a + (b - a) * t;
        Weather {
            cloudiness: m(self.cloudiness, other.cloudiness),
            precipitation: m(self.precipitation, other.precipitation),
            wetness: m(self.wetness, other.wetness),
            fog_density: m(self.fog_density, other.fog_density),
            sun_azimuth_deg: m(self.sun_azimuth_deg, other.sun_azimuth_deg),
            sun_altitude_deg: m(self.sun_altitude_deg, other.sun_altitude_deg),
        }
    }
}

/// Read a route file.
///
/// # Errors
/// [`SimError::Xml`] when the text is not XML, [`SimError::Route`] naming route and field otherwise.
pub fn parse_routes(xml: &str) -> Result<Vec<RouteSpec>, SimError> {
    let document = Document::parse(xml)?;
    let root = document.root_element();
    if !root.has_tag_name("routes") {
        return Err(route_error("-", "routes", format!("the root element is <{}>", root.tag_name().name())));
    }
    let mut seen = BTreeSet::new();
    let mut routes = Vec::new();
    for node in root.children().filter(|n| n.has_tag_name("route")) {
        let route = parse_route(node)?;
        if !seen.insert(route.id.clone()) {
            return Err(route_error(&route.id, "id", "this id occurs twice".into()));
        }
        routes.push(route);
    }
    if routes.is_empty() {
        return Err(route_error("-", "route", "the file holds no <route>".into()));
    }
    Ok(routes)
}

fn route_error(route: &str, field: &str, problem: String) -> SimError {
    SimError::Route { route: route.into(), field: field.into(), problem }
}

fn parse_route(node: Node<'_, '_>) -> Result<RouteSpec, SimError> {
    let id = node.attribute("id").ok_or_else(|| route_error("?", "id", "a <route> has no id".into()))?.to_string();
    let reader = Reader { route: &id };
    let town = reader.name(node, "town")?;
    reader.name(node, "id")?;
    let child = |name: &str| node.children().find(|n| n.has_tag_name(name));
    let waypoints_node = child("waypoints").ok_or_else(|| reader.error("waypoints", "it is missing"))?;
    let waypoints = waypoints_node
        .children()
        .filter(|n| n.has_tag_name("position"))
        .map(|n| reader.location(n, "waypoints"))
        .collect::<Result<Vec<_>, _>>()?;
    if waypoints.len() < 2 {
        return Err(reader.error("waypoints", "a route needs at least two positions"));
    }
    let scenarios = match child("scenarios") {
        Some(list) => list
            .children()
            .filter(|n| n.has_tag_name("scenario"))
            .map(|n| reader.scenario(n))
            .collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let mut weather = match child("weathers") {
        Some(list) => list
            .children()
            .filter(|n| n.has_tag_name("weather"))
            .map(|n| reader.weather(n))
            .collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    if weather.is_empty() {
        weather.push((0.0, Weather::default()));
    }
    if weather.windows(2).any(|w| w[1].0 <= w[0].0) {
        weather.sort_by(|a, b| a.0.total_cmp(&b.0));
        if weather.windows(2).any(|w| w[1].0 <= w[0].0) {
            return Err(reader.error("weather.route_percentage", "two keyframes at one percentage"));
        }
    }
    Ok(RouteSpec { town, waypoints, scenarios, weather, id })
}

/// Parameters that hold numbers in `value`, `from` or `to`.
const NUMERIC: [&str; 12] = [
    "distance",
    "speed",
    "flow_speed",
    "frequency",
    "source_dist_interval",
    "crossing_angle",
    "bicycle_speed",
    "bicycle_drive_distance",
    "front_vehicle_distance",
    "behind_vehicle_distance",
    "offset",
    "timeout",
];

struct Reader<'a> {
    route: &'a str,
}

impl Reader<'_> {
    fn error(&self, field: &str, problem: &str) -> SimError {
        route_error(self.route, field, problem.into())
    }

    fn text<'n>(&self, node: Node<'n, '_>, name: &str) -> Result<&'n str, SimError> {
        let field = || format!("{}.{name}", node.tag_name().name());
        match node.attribute(name) {
            Some(text) if !text.trim().is_empty() => Ok(text.trim()),
            Some(_) => Err(self.error(&field(), "it is empty")),
            None => Err(self.error(&field(), "it is missing")),
        }
    }

    /// A name that files will bear.
    fn name(&self, node: Node<'_, '_>, name: &str) -> Result<String, SimError> {
        let text = self.text(node, name)?;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !text.chars().all(plain) || text.starts_with('.') || text.len() > 64 {
            let shown: String = text.chars().take(40).collect();
            let problem = format!("`{shown}` is no name: letters, digits, `_`, `-` and `.` make one");
            return Err(self.error(&format!("{}.{name}", node.tag_name().name()), &problem));
        }
        Ok(text.to_string())
    }

    fn number(&self, node: Node<'_, '_>, name: &str, within: &str) -> Result<f64, SimError> {
        let text = self.text(node, name)?;
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && value.abs() < 1e7 => Ok(value),
            _ => Err(route_error(
                self.route,
                &format!("{within}.{}.{name}", node.tag_name().name()),
                format!("`{text}` is not a usable number"),
            )),
        }
    }

    fn location(&self, node: Node<'_, '_>, within: &str) -> Result<DVec3, SimError> {
        let read = |name| self.number(node, name, within);
        Ok(DVec3::new(read("x")?, -read("y")?, read("z")?))
    }

    fn scenario(&self, node: Node<'_, '_>) -> Result<ScenarioSpec, SimError> {
        let name = self.name(node, "name")?;
        let kind = self.name(node, "type")?;
        let mut trigger = None;
        let mut parameters = BTreeMap::new();
        for child in node.children().filter(Node::is_element) {
            let tag = child.tag_name().name();
            if tag == "trigger_point" {
                let at = self.location(child, &name)?;
                let yaw_deg = self.number(child, "yaw", &name)?;
                trigger = Some((Pose2::new(at.x, at.y, wrap_angle(-yaw_deg.to_radians())), at.z));
                continue;
            }
            if NUMERIC.contains(&tag) {
                for attribute in child.attributes() {
                    self.number(child, attribute.name(), &name)?;
                }
            } else if child.attribute("x").is_some() {
                self.location(child, &name)?;
            }
            let values = child
                .attributes()
                .map(|a| (a.name().to_string(), a.value().trim().to_string()))
                .collect::<BTreeMap<_, _>>();
            if parameters.insert(tag.to_string(), values).is_some() {
                return Err(self.error(&format!("{name}.{tag}"), "it is given twice"));
            }
        }
        let (trigger, trigger_z_m) =
            trigger.ok_or_else(|| self.error(&format!("{name}.trigger_point"), "it is missing"))?;
        Ok(ScenarioSpec { name, kind, trigger, trigger_z_m, parameters })
    }

    fn weather(&self, node: Node<'_, '_>) -> Result<(f32, Weather), SimError> {
        let default = Weather::default();
        let read = |name: &str, missing: f32| -> Result<f32, SimError> {
            if node.attribute(name).is_none() { Ok(missing) } else { Ok(self.number(node, name, "weathers")? as f32) }
        };
        let weather = Weather {
            cloudiness: read("cloudiness", default.cloudiness)?,
            precipitation: read("precipitation", default.precipitation)?,
            // Standing water wets the road whether or not the keyframe also says so.
            wetness: read("wetness", default.wetness)?.max(read("precipitation_deposits", 0.0)?),
            fog_density: read("fog_density", default.fog_density)?,
            sun_azimuth_deg: read("sun_azimuth_angle", default.sun_azimuth_deg)?,
            sun_altitude_deg: read("sun_altitude_angle", default.sun_altitude_deg)?,
        };
        Ok((read("route_percentage", 0.0)?, weather))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"<routes><route id="7" town="Town04">
        <waypoints><position x="1" y="2" z="0"/><position x="11" y="2" z="0"/></waypoints>
        <scenarios><scenario name="Accident_1" type="Accident"><distance value="40"/><direction value="right"/>
          <frequency from="20" to="90"/><end_actor_flow x="3" y="-4" z="0"/>
          <trigger_point x="5" y="2" z="1" yaw="90"/></scenario></scenarios>
        <weathers><weather route_percentage="0" cloudiness="0" sun_altitude_angle="80" precipitation_deposits="30"/>
          <weather route_percentage="100" cloudiness="100" sun_altitude_angle="-20"/></weathers></route></routes>"#;

    #[test]
    fn carla_axes_become_ours() {
        let route = parse_routes(ONE).unwrap().remove(0);
        assert_eq!(route.waypoints[1], DVec3::new(11.0, -2.0, 0.0));
        let scenario = &route.scenarios[0];
        assert!((scenario.trigger.yaw_rad + std::f64::consts::FRAC_PI_2).abs() < 1e-12);
        assert_eq!(scenario.number("distance"), Some(40.0));
        assert_eq!(scenario.interval("frequency"), Some((20.0, 90.0)));
        assert_eq!(scenario.location("end_actor_flow"), Some(DVec3::new(3.0, 4.0, 0.0)));
        let noon = route.weather_at(25.0);
        assert_eq!((noon.cloudiness, noon.sun_altitude_deg), (25.0, 55.0));
        assert_eq!(route.weather_at(0.0).wetness, 30.0);
        assert_eq!(route.weather_at(150.0).cloudiness, 100.0);
    }

    #[test]
    fn lies_are_named() {
        let message = |from: &str, to: &str| parse_routes(&ONE.replace(from, to)).unwrap_err().to_string();
        let bad = message(r#"x="11""#, r#"x="eleven""#);
        assert!(bad.contains("route 7") && bad.contains("waypoints.position.x") && bad.contains("eleven"), "{bad}");
        assert!(
            message(r#"<distance value="40"/>"#, r#"<distance value="NaN"/>"#).contains("Accident_1.distance.value")
        );
        assert!(message(r#"town="Town04""#, "").contains("route.town"));
        assert!(message(r#"id="7""#, r#"id="../7""#).contains("route.id"));
        assert!(message("Accident_1", "a/b").contains("scenario.name"));
        assert!(message("trigger_point", "trigger").contains("trigger_point"));
        assert!(message("</routes>", "").contains("XML"));
        assert!(parse_routes("<routes/>").is_err());
        let twice = ONE.replace("<routes>", "").replace("</routes>", "");
        assert!(parse_routes(&format!("<routes>{twice}{twice}</routes>")).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn the_real_files_read() {
        let root = std::env::var("APPRENTICE_SHARED_DATA").map_or_else(
            |_| std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            std::path::PathBuf::from,
        );
        let folder = root.join("b2d_routes");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no route files at {}", folder.display());
            return;
        }
        for (file, count) in [
            ("bench2drive220.xml", 220),
            ("dev10.xml", 10),
            ("carla_lb2_routes_validation.xml", 20),
            ("carla_lb2_routes_devtest.xml", 2),
        ] {
            let routes = parse_routes(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
            assert_eq!(routes.len(), count, "{file}");
            if count == 220 {
                let kinds: BTreeSet<_> = routes.iter().flat_map(|r| &r.scenarios).map(|s| s.kind.as_str()).collect();
                assert_eq!(kinds.len(), 44);
                assert!(kinds.iter().all(|k| crate::scenario::kinds::find(k).is_some()), "every type is listed");
            }
        }
    }
}
