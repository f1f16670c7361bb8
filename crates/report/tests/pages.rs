//! Pages of an invented drive: whole, self-contained and safe.
#![allow(clippy::unwrap_used)]

#[path = "../examples/sample_pages/sample.rs"]
mod sample;

use apprentice_report::{arms_table, replay_html, write_replay};

/// Nothing in a page may ask the network or another file for anything.
fn assert_self_contained(html: &str) {
    for outside in ["http://", "https://", "src=\"/", "url(", "@import", "<link rel=\"stylesheet\""] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
}

#[test]
fn a_replay_is_one_safe_file_and_holds_its_moments() {
    let replay = sample::replay();
    let html = replay_html(&replay).unwrap();
    assert_self_contained(&html);
    assert!(!html.contains("trafficcone <b>"), "text of an event is data, not markup");
    let data = html.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["frames"].as_array().unwrap().len(), replay.frames.len());
    assert_eq!(data["pictures"].as_array().unwrap().len(), 60);
    assert_eq!(data["mosaic"], serde_json::json!([480, 128]));
    assert_eq!(data["events"][1]["text"].as_str().unwrap(), replay.events[1].text);
    // A plan is drawn where it points: ahead of the ego on the straight.
    let plan = data["frames"][30]["p"].as_array().unwrap();
    assert_eq!(plan.len(), 14);
    assert!(plan[12].as_f64().unwrap() > plan[0].as_f64().unwrap() + 3.0);
}

#[test]
fn a_route_name_cannot_leave_the_folder() {
    let here = tempfile::tempdir().unwrap();
    let mut replay = sample::replay();
    replay.route = "../../evil/route".into();
    let path = write_replay(&replay, here.path()).unwrap();
    assert_eq!(path.parent().unwrap(), here.path());
    assert!(path.is_file());
}

#[test]
fn a_report_shows_every_part_and_the_same_bytes_each_time() {
    let report = sample::report();
    let html = report.html().unwrap();
    assert_self_contained(&html);
    for part in [
        "All drivers",
        "Gates",
        "Comparisons",
        "Planning loss",
        "Worst episodes first",
        "By tier",
        "Driving score by scenario",
        "Notes",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for arm in &report.arms {
        assert!(html.contains(&arm.name), "{}", arm.name);
    }
    assert_eq!(html, sample::report().html().unwrap());
}

#[test]
fn the_closing_table_shows_both_aggregations_of_both_protocols() {
    let report = sample::report();
    let text = arms_table(&report.arms).render();
    let first = &report.arms[0].open_loop[0];
    let at = first.l2_at_t.map(|v| format!("{v:.2}")).join(" / ");
    let up_to = first.l2_avg_to_t.map(|v| format!("{v:.2}")).join(" / ");
    let row = text.lines().find(|l| l.starts_with("expert")).unwrap();
    assert!(row.contains(&at) && row.contains(&up_to), "{text}");
    assert!(text.contains("valid-starts") && text.contains("uniad-masked"));
    let widths: Vec<usize> = text.lines().skip(1).take(8).map(|l| l.chars().count()).collect();
    assert!(widths.windows(2).all(|w| w[0] == w[1]), "{text}");
}
