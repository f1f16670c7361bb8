//! `report.html`: what was taught, how well it plans and drives, where it fails first.

use crate::ReportError;
use crate::arms::{Arm, arms_table, protocols};
use crate::html::{escape, page};
use crate::picture::data_url;
use crate::svg::{Series, Whisker, lines, whiskers};
use crate::table::{Align, Table};
use apprentice_core::Image;
use apprentice_eval::bench2drive::Record;
use apprentice_eval::compare::Comparison;
use apprentice_eval::{Estimate, Gate, Group, PlanningResult};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One curve of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Name for the legend.
    pub name: String,
    /// (x, y), in order of x.
    pub points: Vec<(f64, f64)>,
}

/// A plot of curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Title.
    pub title: String,
    /// What x counts, such as `step`.
    pub x_label: String,
    /// What y is, such as `loss`.
    pub y_label: String,
    /// Logarithmic y.
    pub log_y: bool,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// An episode to be shown among the worst.
#[derive(Clone, Debug)]
pub struct WorstEpisode {
    /// Driver.
    pub driver: String,
    /// What happened.
    pub record: Record,
    /// Link to its replay, relative to the report; empty for none.
    pub replay: String,
    /// A picture of the moment, such as a bird's-eye view.
    pub picture: Option<Image>,
}

/// Everything a report may show. Empty parts are left out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// A sentence under it.
    pub summary: String,
    /// Name and value of what identifies the run: seed, size, hashes, machine.
    pub facts: Vec<(String, String)>,
    /// Rows of the tables.
    pub arms: Vec<Arm>,
    /// The proving ground's gates.
    pub gates: Vec<Gate>,
    /// Paired comparisons.
    pub comparisons: Vec<Comparison>,
    /// Curves of training.
    pub panels: Vec<Panel>,
    /// More tables, such as answers by type of question.
    pub tables: Vec<Table>,
    /// Worst first.
    pub worst: Vec<WorstEpisode>,
    /// (name, link) of the replays.
    pub replays: Vec<(String, String)>,
    /// Sentences at the end: what was left out, what a figure does not say.
    pub notes: Vec<String>,
}

impl Report {
    /// The page.
    ///
    /// # Errors
    /// When a picture cannot be packed.
    pub fn html(&self) -> Result<String, ReportError> {
        let mut body = format!(
            "<main class=\"report\"><header><div><h1>{}</h1><p class=\"soft\">{}</p></div>\
             <button onclick=\"switchTheme()\" aria-label=\"light or dark\">◐</button></header>",
            escape(&self.title),
            escape(&self.summary)
        );
        if !self.facts.is_empty() {
            body += "<section><dl class=\"facts\">";
            for (name, value) in &self.facts {
                let _ = write!(body, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
            }
            body += "</dl></section>";
        }
        if !self.arms.is_empty() {
            section(&mut body, "All drivers", &table_html(&arms_table(&self.arms)));
        }
        self.gates_html(&mut body);
        if !self.arms.is_empty() {
            self.intervals(&mut body);
            self.heat(&mut body);
        }
        self.comparisons_html(&mut body);
        if !self.panels.is_empty() {
            body += "<div class=\"grid2\">";
            for panel in &self.panels {
                let series: Vec<Series<'_>> =
                    panel.curves.iter().map(|c| Series { name: &c.name, points: &c.points }).collect();
                let plot = lines(&series, &panel.x_label, &panel.y_label, panel.log_y);
                let _ = write!(
                    body,
                    "<section><h2>{}</h2><div class=\"soft\">{}{}</div>{plot}</section>",
                    escape(&panel.title),
                    escape(&panel.y_label),
                    if panel.log_y { ", logarithmic" } else { "" }
                );
            }
            body += "</div>";
        }
        for table in &self.tables {
            section(&mut body, &table.title, &table_html(table));
        }
        self.worst_html(&mut body)?;
        if !self.replays.is_empty() {
            let mut links = String::from("<ul>");
            for (name, link) in &self.replays {
                let _ = write!(links, "<li><a href=\"{}\">{}</a></li>", escape(link), escape(name));
            }
            section(&mut body, "Replays", &(links + "</ul>"));
        }
        if !self.notes.is_empty() {
            let items: String = self.notes.iter().map(|n| format!("<li>{}</li>", escape(n))).collect();
            section(&mut body, "Notes", &format!("<ul>{items}</ul>"));
        }
        body += "</main>";
        Ok(page(&self.title, "", &body, ""))
    }

    /// Write the page, beside and renamed.
    ///
    /// # Errors
    /// When a picture cannot be packed or the file cannot be written.
    pub fn write(&self, path: &std::path::Path) -> Result<(), ReportError> {
        Ok(apprentice_store::write_atomic(path, self.html()?.as_bytes())?)
    }

    /// Drivers that have a result under the first protocol, whose figures are shown in detail.
    fn first_protocol(&self) -> Option<(String, Vec<(&str, &PlanningResult)>)> {
        let name = protocols(&self.arms).into_iter().next()?;
        let results = self.arms.iter().filter_map(|a| Some((a.name.as_str(), a.under(&name)?))).collect();
        Some((name, results))
    }

    /// Dots with their intervals: L2, collisions and gap under the first protocol, driving score.
    fn intervals(&self, body: &mut String) {
        let mut plots = Vec::new();
        if let Some((protocol, results)) = self.first_protocol() {
            let mut plot = |title: &str, label: &str, digits: usize, factor: f64, value: fn(&Group) -> Estimate| {
                let rows: Vec<Whisker<'_>> =
                    results.iter().map(|(name, r)| whisker(name, value(&r.all), factor)).collect();
                plots.push((format!("{title} · {protocol}"), whiskers(&rows, label, digits)));
            };
            plot("L2 up to t, mean of 1, 2, 3 s", "metres, lower is better", 3, 1.0, |g| g.l2_mean);
            plot("Plans that hit something", "percent, lower is better", 1, 100.0, |g| g.collision_any);
            plot("Least gap over 3 s", "metres, higher is better", 2, 1.0, |g| g.min_gap_m);
        }
        let driven: Vec<Whisker<'_>> =
            self.arms.iter().filter_map(|a| Some(whisker(&a.name, a.driving.as_ref()?.driving_score, 1.0))).collect();
        if !driven.is_empty() {
            plots.push(("Driving score".into(), whiskers(&driven, "percent, higher is better", 1)));
        }
        *body += "<div class=\"grid2\">";
        for (title, plot) in plots {
            section(body, &title, &plot);
        }
        *body += "</div>";
    }

    /// Drivers against tiers and families, cells shaded by error.
    fn heat(&self, body: &mut String) {
        if let Some((protocol, results)) = self.first_protocol() {
            type Pick = fn(&PlanningResult) -> &Vec<Group>;
            for (what, groups) in [("tier", (|r| &r.tiers) as Pick), ("family", (|r| &r.families) as Pick)] {
                let html = heat_table(&results, groups);
                if !html.is_empty() {
                    section(body, &format!("By {what} · L2 up to t, mean of 1, 2, 3 s · {protocol}"), &html);
                }
            }
        }
        let mut by_scenario: BTreeMap<&str, Vec<Option<(f64, usize)>>> = BTreeMap::new();
        let driven: Vec<&Arm> = self.arms.iter().filter(|a| a.driving.is_some()).collect();
        for (i, arm) in driven.iter().enumerate() {
            let Some(driving) = &arm.driving else { continue };
            for record in &driving.records {
                let cells = by_scenario.entry(record.scenario_type()).or_insert_with(|| vec![None; driven.len()]);
                let (sum, n) = cells[i].unwrap_or((0.0, 0));
                cells[i] = Some((sum + record.scores.score_composed, n + 1));
            }
        }
        if by_scenario.is_empty() {
            return;
        }
        let mut html = String::from("<div class=\"scroll\"><table><thead><tr><th>scenario</th>");
        for arm in &driven {
            let _ = write!(html, "<th class=\"r\">{}</th>", escape(&arm.name));
        }
        html += "</tr></thead><tbody>";
        for (scenario, cells) in by_scenario {
            let _ = write!(html, "<tr><td>{}</td>", escape(scenario));
            for cell in cells {
                html += &cell.map_or("<td class=\"heat soft\">–</td>".into(), |(sum, n)| {
                    let mean = sum / n as f64;
                    heat_cell(&format!("{mean:.0} <small>of {n}</small>"), 1.0 - mean / 100.0)
                });
            }
            html += "</tr>";
        }
        section(body, "Driving score by scenario", &(html + "</tbody></table></div>"));
    }

    fn gates_html(&self, body: &mut String) {
        if self.gates.is_empty() {
            return;
        }
        let mut html = String::new();
        for gate in &self.gates {
            let (class, word) = (if gate.passed { "good" } else { "bad" }, gate.verdict());
            let _ = write!(
                html,
                "<div class=\"gate\"><span class=\"pill {class}\">{word}</span><span>{}: {} (needed {:.2})</span></div>",
                escape(&gate.name),
                estimate(&gate.value, 2),
                gate.needed
            );
        }
        section(body, "Gates", &html);
    }

    fn comparisons_html(&self, body: &mut String) {
        if self.comparisons.is_empty() {
            return;
        }
        let mut html = String::from(
            "<p class=\"soft\">Paired differences, second minus first, with 95 % intervals clustered by world. \
             Negative L2 and collisions, positive gap: the second is better.</p><div class=\"scroll\"><table><thead><tr>\
             <th>first → second</th><th>starts</th><th class=\"r\">Δ L2 mean, m</th><th class=\"r\">Δ L2 at 3 s, m</th>\
             <th class=\"r\">Δ collision, %</th><th class=\"r\">Δ gap, m</th></tr></thead><tbody>",
        );
        for c in &self.comparisons {
            for (i, d) in std::iter::once(&c.all).chain(&c.tiers).enumerate() {
                let name = if i == 0 {
                    format!(
                        "<b>{} → {}</b> <small>{}</small>",
                        escape(&c.first),
                        escape(&c.second),
                        escape(&c.protocol)
                    )
                } else {
                    format!("&emsp;{}", escape(&d.name))
                };
                let percent = Estimate {
                    mean: d.collision_any.mean * 100.0,
                    low: d.collision_any.low.map(|v| v * 100.0),
                    high: d.collision_any.high.map(|v| v * 100.0),
                };
                let _ = write!(html, "<tr><td>{name}</td><td>{}</td>", d.starts);
                for (e, digits, lower) in
                    [(&d.l2_mean, 3, true), (&d.l2_at_3s, 3, true), (&percent, 1, true), (&d.min_gap_m, 2, false)]
                {
                    let class = match (e.below(0.0), e.above(0.0), lower) {
                        (true, _, true) | (_, true, false) => " style=\"color:var(--good)\"",
                        (true, _, false) | (_, true, true) => " style=\"color:var(--bad)\"",
                        _ => "",
                    };
                    let _ = write!(html, "<td class=\"r\"{class}>{}</td>", estimate(e, digits));
                }
                html += "</tr>";
            }
        }
        section(body, "Comparisons", &(html + "</tbody></table></div>"));
    }

    fn worst_html(&self, body: &mut String) -> Result<(), ReportError> {
        if self.worst.is_empty() {
            return Ok(());
        }
        let mut html = String::from("<div class=\"episodes\">");
        for episode in &self.worst {
            let r = &episode.record;
            html += "<article class=\"episode\">";
            if let Some(picture) = &episode.picture {
                let _ = write!(html, "<img alt=\"bird's-eye view\" src=\"{}\">", data_url(picture, 82)?);
            }
            let name = escape(&format!("{} · {}", r.route_id, r.scenario_name));
            let title = match episode.replay.as_str() {
                "" => name,
                link => format!("<a href=\"{}\">{name}</a>", escape(link)),
            };
            let _ = write!(
                html,
                "<div><span class=\"score\">{:.1}</span><h3>{title}</h3><div class=\"soft\">{} · {} · {} · {:.0} % of {:.0} m</div><ul>",
                r.scores.score_composed,
                escape(&episode.driver),
                escape(&r.town_name),
                escape(&r.status),
                r.scores.score_route,
                r.meta.route_length
            );
            let texts = r.infractions.by_kind().into_iter().filter(|(kind, _)| *kind != "min_speed_infractions");
            for text in texts.flat_map(|(_, texts)| texts).take(6) {
                let _ = write!(html, "<li>{}</li>", escape(text));
            }
            html += "</ul></div></article>";
        }
        section(body, "Worst episodes first", &(html + "</div>"));
        Ok(())
    }
}

fn section(body: &mut String, title: &str, inner: &str) {
    let heading = if title.is_empty() { String::new() } else { format!("<h2>{}</h2>", escape(title)) };
    let _ = write!(body, "<section>{heading}{inner}</section>");
}

fn whisker<'a>(name: &'a str, e: Estimate, factor: f64) -> Whisker<'a> {
    Whisker { name, mean: e.mean * factor, low: e.low.map(|v| v * factor), high: e.high.map(|v| v * factor) }
}

/// `mean [low, high]`.
fn estimate(e: &Estimate, digits: usize) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{:.digits$} <small>[{low:.digits$}, {high:.digits$}]</small>", e.mean),
        _ => format!("{:.digits$}", e.mean),
    }
}

fn heat_cell(inner: &str, badness: f64) -> String {
    let share = (badness.clamp(0.0, 1.0) * 62.0).round();
    format!("<td class=\"heat\" style=\"background:color-mix(in srgb, var(--c1) {share}%, transparent)\">{inner}</td>")
}

/// Rows are drivers, columns groups; a column is shaded from its best to its worst.
fn heat_table(results: &[(&str, &PlanningResult)], groups: fn(&PlanningResult) -> &Vec<Group>) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for group in results.iter().flat_map(|(_, r)| groups(r)) {
        if !columns.contains(&group.name.as_str()) {
            columns.push(&group.name);
        }
    }
    if columns.is_empty() {
        return String::new();
    }
    let cell = |r: &PlanningResult, column: &str| groups(r).iter().find(|g| g.name == column).cloned();
    // Many groups read better as rows.
    let mut html = String::from("<div class=\"scroll\"><table><thead><tr><th></th><th class=\"r\">starts</th>");
    for (name, _) in results {
        let _ = write!(html, "<th class=\"r\">{}</th>", escape(name));
    }
    html += "</tr></thead><tbody>";
    for column in columns {
        let cells: Vec<Option<Group>> = results.iter().map(|(_, r)| cell(r, column)).collect();
        let means = || cells.iter().flatten().map(|g| g.l2_mean.mean);
        let (low, high) = (means().fold(f64::MAX, f64::min), means().fold(f64::MIN, f64::max));
        let starts = cells.iter().flatten().map(|g| g.starts).max().unwrap_or(0);
        let _ = write!(html, "<tr><td>{}</td><td class=\"r\">{starts}</td>", escape(column));
        for group in &cells {
            html += &group.as_ref().map_or("<td class=\"heat soft\">–</td>".into(), |g| {
                let span = (high - low).max(1e-9);
                heat_cell(&estimate(&g.l2_mean, 2), (g.l2_mean.mean - low) / span)
            });
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// A table of more columns is set closer.
const WIDE_COLUMNS: usize = 8;

/// A table of text as HTML.
fn table_html(table: &Table) -> String {
    let class = |align: Align| if align == Align::Right { " class=\"r\"" } else { "" };
    let wide = if table.columns.len() > WIDE_COLUMNS { " class=\"wide\"" } else { "" };
    let mut html = format!("<div class=\"scroll\"><table{wide}><thead>");
    if !table.groups.is_empty() {
        html += "<tr>";
        for (name, count) in &table.groups {
            let group = if name.is_empty() { "" } else { " class=\"group\"" };
            let _ = write!(html, "<th{group} colspan=\"{count}\">{}</th>", escape(name));
        }
        html += "</tr>";
    }
    html += "<tr>";
    for (name, align) in &table.columns {
        let _ = write!(html, "<th{}>{}</th>", class(*align), escape(name));
    }
    html += "</tr></thead><tbody>";
    for row in &table.rows {
        html += "<tr>";
        for (cell, (_, align)) in row.iter().zip(&table.columns) {
            let _ = write!(html, "<td{}>{}</td>", class(*align), escape(cell));
        }
        html += "</tr>";
    }
    html += "</tbody></table></div>";
    for note in &table.notes {
        let _ = write!(html, "<div class=\"soft\"><small>{}</small></div>", escape(note));
    }
    html
}
