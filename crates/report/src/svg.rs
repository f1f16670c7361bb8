//! Curves and interval plots as inline SVG. Colours are the page's variables, so they follow light and dark.

use crate::html::escape;
use std::fmt::Write;

/// The series colours of the style sheet.
const COLOURS: usize = 8;

/// The colour variable of a series.
pub(crate) fn colour(series: usize) -> String {
    format!("var(--c{})", series % COLOURS)
}

/// A number with as many digits as it needs on an axis.
pub(crate) fn tick(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size == 0.0 => "0".into(),
        _ if size >= 1e6 => format!("{}M", trim(format!("{:.2}", value / 1e6))),
        _ if size >= 1e4 => format!("{}k", trim(format!("{:.1}", value / 1e3))),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 0.01 => trim(format!("{value:.3}")),
        _ => format!("{value:.0e}"),
    }
}

fn trim(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// Round steps that cut `low..high` into about `n` parts.
fn ticks(low: f64, high: f64, n: usize) -> Vec<f64> {
    let raw = (high - low) / n as f64;
    if !(raw.is_finite() && raw > 0.0) {
        return vec![low];
    }
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|t| *t <= high + step * 1e-9).collect()
}

/// Logarithms of 1, 2 and 5 times powers of ten (powers alone where there are many) between two logarithms.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high - low > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = low.floor() as i32..=high.ceil() as i32;
    let marks: Vec<f64> = decades
        .flat_map(|decade| steps.iter().map(move |s| s.log10() + f64::from(decade)))
        .filter(|t| (low..=high).contains(t))
        .collect();
    // Less than an octave holds too few of them.
    if marks.len() < 2 {
        let values = ticks(10_f64.powf(low), 10_f64.powf(high), 4);
        return values.into_iter().filter(|v| *v > 0.0).map(f64::log10).collect();
    }
    marks
}

/// One line of a plot.
pub(crate) struct Series<'a> {
    pub name: &'a str,
    pub points: &'a [(f64, f64)],
}

/// Smoothed with a window of about a fortieth of the curve, so that a noisy loss can be read.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 40.0).max(1.0);
    let mut mean = None;
    points
        .iter()
        .map(|&(x, y)| {
            let next = mean.map_or(y, |m: f64| m * keep + y * (1.0 - keep));
            mean = Some(next);
            (x, next)
        })
        .collect()
}

/// At most `n` points, evenly chosen, the last one kept.
fn thin(points: &[(f64, f64)], n: usize) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(n).max(1);
    let mut kept: Vec<_> = points.iter().step_by(stride).copied().collect();
    if points.len() > 1 && !(points.len() - 1).is_multiple_of(stride) {
        kept.push(points[points.len() - 1]);
    }
    kept
}

/// A line plot. `log_y` needs positive values: others are left out.
pub(crate) fn lines(series: &[Series<'_>], x_label: &str, y_label: &str, log_y: bool) -> String {
    const SIZE: [f64; 2] = [560.0, 260.0];
    const MARGIN: [f64; 4] = [12.0, 14.0, 36.0, 52.0]; // top, right, bottom, left
    let usable = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!log_y || p.1 > 0.0);
    let to_y = |y: f64| if log_y { y.log10() } else { y };
    let points: Vec<Vec<(f64, f64)>> =
        series.iter().map(|s| s.points.iter().filter(usable).map(|&(x, y)| (x, to_y(y))).collect()).collect();
    let all = || points.iter().flatten();
    if all().next().is_none() {
        return "<p class=\"soft\">no points</p>".into();
    }
    let (x0, x1) = all().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(p.0), b.max(p.0)));
    let (mut y0, mut y1) = all().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(p.1), b.max(p.1)));
    let pad = ((y1 - y0) * 0.06).max(1e-9);
    (y0, y1) = (if !log_y && y0 >= 0.0 { (y0 - pad).max(0.0) } else { y0 - pad }, y1 + pad);
    let x_span = (x1 - x0).max(1e-9);
    let px = |x: f64| MARGIN[3] + (x - x0) / x_span * (SIZE[0] - MARGIN[1] - MARGIN[3]);
    let py = |y: f64| SIZE[1] - MARGIN[2] - (y - y0) / (y1 - y0) * (SIZE[1] - MARGIN[0] - MARGIN[2]);
    let mut svg =
        format!("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", SIZE[0], SIZE[1], escape(y_label));
    for t in if log_y { log_ticks(y0, y1) } else { ticks(y0, y1, 5) } {
        let label = tick(if log_y { 10_f64.powf(t) } else { t });
        let y = py(t);
        let _ = write!(
            svg,
            "<line class=\"gridline\" x1=\"{}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            MARGIN[3],
            SIZE[0] - MARGIN[1],
            MARGIN[3] - 6.0,
            y + 4.0
        );
    }
    let base = SIZE[1] - MARGIN[2];
    for t in ticks(x0, x1, 6) {
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", px(t), base + 15.0, tick(t));
    }
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        MARGIN[3],
        SIZE[0] - MARGIN[1],
        SIZE[0] - MARGIN[1],
        SIZE[1] - 5.0,
        escape(x_label)
    );
    let path = |points: &[(f64, f64)]| -> String {
        points
            .iter()
            .enumerate()
            .map(|(i, p)| format!("{}{:.1} {:.1}", if i == 0 { "M" } else { "L" }, px(p.0), py(p.1)))
            .collect()
    };
    for (i, curve) in points.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
        let ink = colour(i);
        if curve.len() > 60 {
            let _ = write!(
                svg,
                "<path d=\"{}\" fill=\"none\" style=\"stroke:{ink}\" stroke-opacity=\".22\"/>",
                path(&thin(curve, 500))
            );
        }
        let shown = if curve.len() > 60 { thin(&smooth(curve), 300) } else { curve.clone() };
        let _ = write!(
            svg,
            "<path d=\"{}\" fill=\"none\" style=\"stroke:{ink}\" stroke-width=\"2\" stroke-linejoin=\"round\"><title>{}</title></path>",
            path(&shown),
            escape(series[i].name)
        );
    }
    svg.push_str("</svg><div class=\"legend\">");
    for (i, s) in series.iter().enumerate() {
        let last = s
            .points
            .last()
            .map_or(String::new(), |p| format!(" <span class=\"num\">{}</span>", tick((p.1 * 1e3).round() / 1e3)));
        let _ = write!(svg, "<span><i style=\"background:{}\"></i>{}{last}</span>", colour(i), escape(s.name));
    }
    svg.push_str("</div>");
    svg
}

/// One row of an interval plot.
pub(crate) struct Whisker<'a> {
    pub name: &'a str,
    pub mean: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Means as dots with their intervals as bars, one row per driver.
pub(crate) fn whiskers(rows: &[Whisker<'_>], x_label: &str, digits: usize) -> String {
    const WIDTH: f64 = 560.0;
    const ROW: f64 = 26.0;
    const LEFT: f64 = 190.0;
    const RIGHT: f64 = 64.0;
    let low = rows.iter().map(|r| r.low.unwrap_or(r.mean)).fold(f64::MAX, f64::min);
    let high = rows.iter().map(|r| r.high.unwrap_or(r.mean)).fold(f64::MIN, f64::max);
    if rows.is_empty() || !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    let least = 0.5 * 10_f64.powi(1 - digits as i32);
    let pad = ((high - low) * 0.08).max(high.abs() * 0.02).max(least);
    let (x0, x1) = (if low >= 0.0 { (low - pad).max(0.0) } else { low - pad }, high + pad);
    let px = |x: f64| LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
    let height = ROW * rows.len() as f64 + 34.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escape(x_label));
    let base = height - 30.0;
    for t in ticks(x0, x1, 5) {
        let _ = write!(
            svg,
            "<line class=\"gridline\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"4\" y2=\"{base}\"/><text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>",
            px(t),
            base + 13.0,
            tick(t)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        WIDTH - RIGHT,
        height - 3.0,
        escape(x_label)
    );
    for (i, row) in rows.iter().enumerate() {
        let y = 4.0 + ROW * (i as f64 + 0.5);
        // Rows bear their names: a colour each would differ from plot to plot and mean nothing.
        let ink = colour(0);
        let name: String = if row.name.chars().count() > 27 {
            row.name.chars().take(26).chain(['…']).collect()
        } else {
            row.name.into()
        };
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 12.0,
            y + 4.0,
            escape(&name)
        );
        if let (Some(low), Some(high)) = (row.low, row.high) {
            let _ = write!(
                svg,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" style=\"stroke:{ink}\" stroke-width=\"5\" stroke-opacity=\".35\" stroke-linecap=\"round\"/>",
                px(low),
                px(high)
            );
        }
        let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"4.5\" style=\"fill:{ink}\"/>", px(row.mean));
        let _ = write!(
            svg,
            "<text class=\"name num\" x=\"{}\" y=\"{}\">{:.digits$}</text>",
            WIDTH - RIGHT + 12.0,
            y + 4.0,
            row.mean
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.13, 0.52, 4), [0.2, 0.30000000000000004, 0.4, 0.5]);
        assert_eq!(ticks(3.0, 3.0, 5), [3.0]);
        assert_eq!(
            log_ticks(-0.5, 0.8).into_iter().map(|t| tick(10_f64.powf(t))).collect::<Vec<_>>(),
            ["0.5", "1", "2", "5"]
        );
        assert!(log_ticks(0.31, 0.35).len() >= 3);
    }

    #[test]
    fn a_plot_survives_bad_and_missing_points() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, -3.0), (3.0, 0.1)];
        let svg = lines(&[Series { name: "a<b", points: &points }], "step", "loss", true);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN"), "{svg}");
        assert!(lines(&[], "x", "y", false).contains("no points"));
    }
}
