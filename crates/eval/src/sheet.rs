//! The one result document of every benchmark but planning and closed-loop driving: named metrics, groups, coverage, and
//! a row per judged item, so that two results can be compared item by item.
//!
//! A benchmark's rules are a file in `crates/eval/protocols/sheets`, compiled in, with the same five axes for all:
//! samples, ground truth, text, aggregation, matching. The hash of the file travels in the result.

use crate::EvalError;
use crate::interval::{Clusters, Estimate, SEED, written};
use crate::planning::ProtocolRef;
use crate::protocol::file_named;
use apprentice_core::Rng;
use apprentice_core::hash::content_hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.sheet/1";
/// Name and version of the document of a comparison.
pub const COMPARISON_SCHEMA: &str = "apprentice.sheet-comparison/1";

const FILES: [(&str, &str); 8] = [
    ("captions-coco", include_str!("../protocols/sheets/captions-coco.toml")),
    ("nuscenes-qa", include_str!("../protocols/sheets/nuscenes-qa.toml")),
    ("tod3cap-paper", include_str!("../protocols/sheets/tod3cap-paper.toml")),
    ("tod3cap-repo", include_str!("../protocols/sheets/tod3cap-repo.toml")),
    ("nu-x", include_str!("../protocols/sheets/nu-x.toml")),
    ("drivelm", include_str!("../protocols/sheets/drivelm.toml")),
    ("vector-map", include_str!("../protocols/sheets/vector-map.toml")),
    ("future-instances", include_str!("../protocols/sheets/future-instances.toml")),
];

/// The rules of a benchmark.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Name.
    pub name: String,
    /// Version of the file layout.
    pub version: u32,
    /// One line for tables.
    pub summary: String,
    /// What is judged, against what, how it is read, summed up and matched.
    pub axes: BTreeMap<String, String>,
    /// Hash of the file.
    #[serde(skip)]
    pub hash: String,
}

impl Rules {
    /// The names of all rules.
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).collect()
    }

    /// The rules of a name.
    ///
    /// # Errors
    /// When there are none.
    pub fn named(name: &str) -> Result<Self, EvalError> {
        let text = file_named(&FILES, name)?;
        let mut rules: Self = toml::from_str(text)
            .map_err(|e| EvalError::Protocol { name: name.into(), message: e.message().to_string() })?;
        rules.hash = content_hash(text.as_bytes())[..16].to_string();
        Ok(rules)
    }
}

/// A named figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Name, as the field writes it.
    pub name: String,
    /// A fraction unless the name says otherwise; `None` where there was nothing to judge.
    pub value: Option<f64>,
}

impl Metric {
    /// A figure.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value: value.is_finite().then(|| written(value)) }
    }

    /// A figure that could not be computed.
    pub fn absent(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: None }
    }
}

/// Figures of a part of the items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Name.
    pub name: String,
    /// Items in it.
    pub items: usize,
    /// Figures, in the order of the sheet's own.
    pub metrics: Vec<Metric>,
}

/// How much of what was asked for has an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Items of the ground truth.
    pub asked: usize,
    /// Items with a usable answer.
    pub answered: usize,
    /// Why the others have none, and how many.
    pub missing: BTreeMap<String, usize>,
}

impl Coverage {
    /// Everything has an answer.
    pub fn whole(items: usize) -> Self {
        Self { asked: items, answered: items, missing: BTreeMap::new() }
    }

    /// One item more has no answer.
    pub fn miss(&mut self, reason: &str) {
        *self.missing.entry(reason.into()).or_default() += 1;
    }

    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.answered == self.asked
    }
}

/// One judged item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identity.
    pub id: String,
    /// What it is drawn with, such as its scene; its own id where there is nothing above it.
    pub cluster: String,
    /// One value per column of the sheet.
    pub values: Vec<f64>,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// [`SCHEMA`].
    pub schema: String,
    /// The rules, by name and hash.
    pub protocol: ProtocolRef,
    /// The rules' axes.
    pub axes: BTreeMap<String, String>,
    /// What was judged.
    pub subject: String,
    /// Against which file.
    pub data: String,
    /// Hash of that file.
    pub data_hash: String,
    /// How much has an answer.
    pub coverage: Coverage,
    /// Figures, in the order of the field's tables.
    pub metrics: Vec<Metric>,
    /// By part.
    pub parts: Vec<Part>,
    /// What should be known beside the figures.
    pub remarks: Vec<String>,
    /// Names of the rows' values.
    pub columns: Vec<String>,
    /// Every judged item; may be left out of a printed document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
}

impl Sheet {
    /// An empty sheet under some rules.
    pub fn new(rules: &Rules, subject: &str, data: &str, data_bytes: &[u8]) -> Self {
        Self {
            schema: SCHEMA.into(),
            protocol: ProtocolRef { name: rules.name.clone(), hash: rules.hash.clone() },
            axes: rules.axes.clone(),
            subject: subject.into(),
            data: data.into(),
            data_hash: content_hash(data_bytes)[..16].to_string(),
            coverage: Coverage::default(),
            metrics: Vec::new(),
            parts: Vec::new(),
            remarks: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The document without its rows, for printing.
    pub fn brief(&self) -> Self {
        Self { rows: Vec::new(), ..self.clone() }
    }

    /// A figure by name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|m| m.name == name)?.value
    }

    /// Parse a result, checking its schema.
    ///
    /// # Errors
    /// When it is not a result of this kind and version, or a row has not one value per column.
    pub fn parse(file: &str, text: &str) -> Result<Self, EvalError> {
        let sheet: Self = crate::json::read(file, text)?;
        if sheet.schema != SCHEMA {
            return Err(EvalError::field(file, "schema", format!("expected `{SCHEMA}`, found {}", sheet.schema)));
        }
        match sheet.rows.iter().find(|row| row.values.len() != sheet.columns.len()) {
            Some(row) => {
                let message = format!("expected {} values, found {}", sheet.columns.len(), row.values.len());
                Err(EvalError::field(file, format!("rows[{}]", row.id), message))
            }
            None => Ok(sheet),
        }
    }
}

/// A paired difference of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The column.
    pub name: String,
    /// Mean in the first.
    pub first: f64,
    /// Mean in the second.
    pub second: f64,
    /// Second minus first, with its 95 % interval.
    pub difference: Estimate,
    /// Chance of a difference this large if which result is which did not matter: 2000 exchanges by cluster, drawn;
    /// `None` with fewer than two clusters.
    pub p_value: Option<f64>,
}

/// The document of a comparison of two sheets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SheetComparison {
    /// [`COMPARISON_SCHEMA`].
    pub schema: String,
    /// Name of the rules both were judged under.
    pub protocol: String,
    /// First subject.
    pub first: String,
    /// Second subject.
    pub second: String,
    /// Paired items.
    pub items: usize,
    /// Clusters that they are drawn by.
    pub clusters: usize,
    /// By column.
    pub differences: Vec<PairedDifference>,
}

fn same(field: &str, left: &str, right: &str) -> Result<(), EvalError> {
    if left == right {
        return Ok(());
    }
    Err(EvalError::Incomparable { field: field.into(), left: left.into(), right: right.into() })
}

/// Compare two sheets item by item.
///
/// # Errors
/// When they were judged under different rules (the first axis that differs is named), on different data, or hold
/// different items or none.
pub fn compare(first: &Sheet, second: &Sheet) -> Result<SheetComparison, EvalError> {
    let nothing = String::from("nothing");
    for name in first.axes.keys().chain(second.axes.keys()) {
        let of = |sheet: &Sheet| sheet.axes.get(name).cloned().unwrap_or_else(|| nothing.clone());
        let (left, right) = (of(first), of(second));
        if left != right {
            let named = |sheet: &Sheet, axis: &str| format!("`{axis}` (`{}`)", sheet.protocol.name);
            return Err(EvalError::Incomparable {
                field: format!("the protocol's axis `{name}`"),
                left: named(first, &left),
                right: named(second, &right),
            });
        }
    }
    same("the protocol", &first.protocol.name, &second.protocol.name)?;
    same("the protocol's hash", &first.protocol.hash, &second.protocol.hash)?;
    same("the hash of the data", &first.data_hash, &second.data_hash)?;
    same("the list of columns", &first.columns.join(", "), &second.columns.join(", "))?;
    same("the number of items", &first.rows.len().to_string(), &second.rows.len().to_string())?;
    if first.rows.is_empty() {
        return Err(EvalError::Empty { what: "rows of the results (written with --out, not printed)".into() });
    }
    for (a, b) in first.rows.iter().zip(&second.rows) {
        same("an item", &a.id, &b.id)?;
    }
    let clusters = Clusters::new(first.rows.iter().map(|row| row.cluster.as_str()));
    let differences = first.columns.iter().enumerate().map(|(k, name)| {
        let column = |sheet: &Sheet| sheet.rows.iter().map(|row| row.values[k]).collect::<Vec<f64>>();
        let (a, b) = (column(first), column(second));
        let mean = |values: &[f64]| written(values.iter().sum::<f64>() / values.len() as f64);
        let values: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
        PairedDifference {
            name: name.clone(),
            first: mean(&a),
            second: mean(&b),
            difference: clusters.estimate(&values, SEED).unwrap_or(Estimate { mean: 0.0, low: None, high: None }),
            p_value: exchange_test(first.rows.iter().map(|row| row.cluster.as_str()), &values),
        }
    });
    Ok(SheetComparison {
        schema: COMPARISON_SCHEMA.into(),
        protocol: first.protocol.name.clone(),
        first: first.subject.clone(),
        second: second.subject.clone(),
        items: first.rows.len(),
        clusters: clusters.count(),
        differences: differences.collect(),
    })
}

/// Two-sided paired randomisation test by cluster: in each of 2000 draws every cluster's difference keeps or changes its
/// sign.
pub fn exchange_test<'a>(cluster_of: impl Iterator<Item = &'a str>, values: &[f64]) -> Option<f64> {
    const DRAWS: usize = 2000;
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (cluster, value) in cluster_of.zip(values) {
        *sums.entry(cluster).or_default() += value;
    }
    if sums.len() < 2 {
        return None;
    }
    let sums: Vec<f64> = sums.into_values().collect();
    let seen = sums.iter().sum::<f64>().abs();
    // As large up to rounding: sums of the same numbers in another order.
    let slack = 1e-9 * sums.iter().map(|s| s.abs()).sum::<f64>();
    let as_large = (0..DRAWS)
        .filter(|draw| {
            let mut rng = Rng::new(&[SEED, sums.len() as u64, *draw as u64, 1]);
            let drawn: f64 = sums.iter().map(|sum| if rng.chance(0.5) { *sum } else { -sum }).sum();
            drawn.abs() >= seen - slack
        })
        .count();
    Some(written((as_large + 1) as f64 / (DRAWS + 1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(name: &str, shift: f64) -> Sheet {
        let mut sheet = Sheet::new(&Rules::named(name).unwrap(), "s", "d", b"d");
        sheet.columns = vec!["m".into()];
        sheet.rows = (0..40)
            .map(|i| {
                let mut rng = Rng::new(&[i]);
                let id = format!("i{i}");
                Row { cluster: id.clone(), id, values: vec![rng.normal() * 0.1 + shift] }
            })
            .collect();
        sheet
    }

    #[test]
    fn rules_are_frozen() {
        let frozen = [
            ("captions-coco", "29e104ee1ad7a2dc"),
            ("nuscenes-qa", "117522632800e900"),
            ("tod3cap-paper", "8588f959f1f624bd"),
            ("tod3cap-repo", "70f0c9c93602b03c"),
            ("nu-x", "52ae3b9bcbabed7d"),
            ("drivelm", "48fb8d6c22a556cf"),
            ("vector-map", "15fff2a609e1d34b"),
            ("future-instances", "5480c98dba02dfb6"),
        ];
        for (name, hash) in frozen {
            let rules = Rules::named(name).unwrap();
            assert_eq!((rules.name.as_str(), rules.hash.as_str()), (name, hash));
            assert_eq!(rules.axes.len(), 5, "{name}");
        }
        assert_eq!(Rules::names().len(), frozen.len());
    }

    #[test]
    fn differences_are_found_and_their_absence_too() {
        let (a, b) = (sheet("nuscenes-qa", 0.0), sheet("nuscenes-qa", 0.2));
        let apart = compare(&a, &b).unwrap();
        assert!(apart.differences[0].difference.above(0.0) && apart.differences[0].p_value.unwrap() < 0.01);
        let none = compare(&a, &a).unwrap();
        assert_eq!((none.differences[0].difference.mean, none.differences[0].p_value), (0.0, Some(1.0)));
    }

    #[test]
    fn other_rules_are_refused_and_the_axis_is_named() {
        let error = compare(&sheet("tod3cap-paper", 0.0), &sheet("tod3cap-repo", 0.0)).unwrap_err().to_string();
        assert!(error.contains("axis `aggregation`") && error.contains("tod3cap-repo"), "{error}");
    }
}
