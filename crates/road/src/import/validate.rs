//! A first look at the text: is it OpenDRIVE, are its numbers numbers, do its ids name something?

use crate::error::RoadError;
use roxmltree::{Document, Node};
use std::collections::{BTreeMap, BTreeSet};

/// Attributes that must be there and be finite numbers, by element.
const NUMBERS: &[(&str, &[&str])] = &[
    ("road", &["length"]),
    ("geometry", &["s", "x", "y", "hdg", "length"]),
    ("elevation", &["s", "a", "b", "c", "d"]),
    ("superelevation", &["s", "a", "b", "c", "d"]),
    ("laneOffset", &["s", "a", "b", "c", "d"]),
    ("laneSection", &["s"]),
    ("width", &["sOffset", "a", "b", "c", "d"]),
    ("signal", &["s", "t"]),
    ("arc", &["curvature"]),
    ("spiral", &["curvStart", "curvEnd"]),
];

/// What the text says that the reader does not tell.
pub(super) struct Facts {
    /// Whether there is any `<signal>`.
    pub has_signals: bool,
    /// Where the lane sections of each road begin, and where the road ends.
    pub sections: BTreeMap<String, Vec<f64>>,
}

/// Check the text.
pub(super) fn validate(file: &str, xml: &str) -> Result<Facts, RoadError> {
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: 20_000_000, ..Default::default() };
    let document = Document::parse_with_options(xml, options)
        .map_err(|e| RoadError::Xml { file: file.into(), problem: e.to_string() })?;
    let root = document.root_element();
    if root.tag_name().name() != "OpenDRIVE" {
        return Err(RoadError::Element {
            file: file.into(),
            element: format!("<{}>", root.tag_name().name()),
            problem: "the root element of an OpenDRIVE map is <OpenDRIVE>".into(),
        });
    }
    let bad = |node: Node, problem: String| {
        let line = document.text_pos_at(node.range().start).row;
        let id = node.attribute("id").map(|id| format!(" id=\"{id}\"")).unwrap_or_default();
        let element = format!("<{}{id}> in line {line}", node.tag_name().name());
        RoadError::Element { file: file.into(), element, problem }
    };
    let mut has_signals = false;
    for node in root.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        has_signals |= name == "signal";
        let needed = NUMBERS.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, a)| a);
        for attribute in needed {
            // Widths inside marks and boards share the name of the lane's record.
            if name == "width" && node.parent_element().is_none_or(|p| p.tag_name().name() != "lane") {
                continue;
            }
            if name == "elevation" && node.attribute("s").is_none() {
                continue;
            }
            let Some(text) = node.attribute(*attribute) else {
                return Err(bad(node, format!("the attribute {attribute} is missing")));
            };
            let value: f64 = text.trim().parse().map_err(|_| {
                bad(node, format!("{attribute}=\"{}\" is not a number", text.chars().take(40).collect::<String>()))
            })?;
            if !value.is_finite() || value.abs() > 1e7 {
                return Err(bad(node, format!("{attribute}={value} is out of range")));
            }
            if *attribute == "length" && value < 0.0 {
                return Err(bad(node, format!("{attribute}={value} is negative")));
            }
        }
        if name == "lane" {
            let id = node.attribute("id").unwrap_or("");
            if id.trim().parse::<i32>().is_err() {
                return Err(bad(node, format!("the lane number \"{id}\" is not a whole number")));
            }
        }
    }
    let sections = roads(&root, &bad)?;
    Ok(Facts { has_signals, sections })
}

fn children<'a, 'b>(node: &Node<'a, 'b>, name: &'static str) -> impl Iterator<Item = Node<'a, 'b>> {
    node.children().filter(move |n| n.has_tag_name(name))
}

/// Roads have geometry of their length, and links name roads and junctions that exist.
fn roads(root: &Node, bad: &dyn Fn(Node, String) -> RoadError) -> Result<BTreeMap<String, Vec<f64>>, RoadError> {
    let mut sections = BTreeMap::new();
    let ids =
        |name: &'static str| -> BTreeSet<&str> { children(root, name).filter_map(|n| n.attribute("id")).collect() };
    let (roads, junctions) = (ids("road"), ids("junction"));
    for road in children(root, "road") {
        let Some(id) = road.attribute("id") else {
            return Err(bad(road, "the attribute id is missing".into()));
        };
        let number = |node: &Node, name: &str| node.attribute(name).and_then(|t| t.trim().parse::<f64>().ok());
        let length = number(&road, "length").unwrap_or(0.0);
        let Some(plan) = children(&road, "planView").next() else {
            return Err(bad(road, "it has no <planView>".into()));
        };
        let covered: f64 = children(&plan, "geometry").filter_map(|g| number(&g, "length")).sum();
        if (covered - length).abs() > 1.0 + 0.01 * length {
            return Err(bad(road, format!("length={length} but its <planView> is {covered} m long")));
        }
        let Some(lanes) = children(&road, "lanes").next() else {
            return Err(bad(road, "it has no <lanes>".into()));
        };
        let starts = children(&lanes, "laneSection").filter_map(|l| number(&l, "s"));
        sections.insert(id.to_string(), starts.chain([length]).collect());
        for link in children(&road, "link").flat_map(|l| l.children()).filter(|n| n.is_element()) {
            let Some(id) = link.attribute("elementId") else { continue };
            let known = match link.attribute("elementType") {
                Some("junction") => junctions.contains(id),
                Some("road") => roads.contains(id),
                _ => true,
            };
            if !known && matches!(link.tag_name().name(), "predecessor" | "successor") {
                return Err(bad(link, format!("elementId=\"{id}\" names nothing in this file")));
            }
        }
    }
    for connection in children(root, "junction").flat_map(|j| j.children()).filter(|n| n.has_tag_name("connection")) {
        for attribute in ["incomingRoad", "connectingRoad"] {
            if let Some(id) = connection.attribute(attribute)
                && !roads.contains(id)
            {
                return Err(bad(connection, format!("{attribute}=\"{id}\" names no road in this file")));
            }
        }
    }
    Ok(sections)
}
