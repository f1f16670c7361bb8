//! A report from the files of a run folder: everything that lies there is shown, and a damaged file is named.
#![allow(clippy::unwrap_used)]

#[path = "../examples/sample_pages/sample.rs"]
mod sample;

use apprentice_core::Hint;
use apprentice_eval::bench2drive::ResultFile;
use apprentice_report::run::INDEX_FILE;
use apprentice_report::{DriverFiles, Index, Report, ReportError, replay_html};
use apprentice_store::{write_atomic, write_json};
use serde_json::json;
use std::path::Path;

const METRICS: &str = "{\"step\":0,\"loss\":4.0,\"gradient_norm\":1.0,\"terms\":{\"plan_l1\":2.0}}\n\
     {\"step\":1,\"loss\":null,\"gradient_norm\":null,\"terms\":{\"plan_l1\":null}}\n\
     {\"step\":2,\"loss\":3.0,\"gradient_norm\":1.0,\"terms\":{\"plan_l1\":1.5}}\n";

/// The invented drive as a comparison's folder.
fn comparison(folder: &Path) {
    let report = sample::report();
    let drivers = report.arms.iter().map(|arm| {
        let place = Path::new("runs").join(&arm.name);
        let mut files = DriverFiles { name: arm.name.clone(), ..DriverFiles::default() };
        for result in &arm.open_loop {
            let path = place.join(format!("{}.json", result.protocol.name));
            write_json(&folder.join(&path), result).unwrap();
            files.open_loop.push(path);
        }
        if let Some(driving) = &arm.driving {
            write_json(&folder.join(&place).join("results.json"), &ResultFile::to_json(&driving.records, 1)).unwrap();
            let page = replay_html(&sample::replay()).unwrap();
            let name = driving.worst_first()[0].route();
            write_atomic(&folder.join(&place).join(format!("replay/{name}.html")), page.as_bytes()).unwrap();
            files.driving = Some(place.clone());
        }
        if arm.parameters.is_some() {
            write_atomic(&folder.join(&place).join("metrics.jsonl"), METRICS.as_bytes()).unwrap();
            (files.training, files.plot) = (Some(place), "Students".into());
        }
        files
    });
    let index = Index::new("proof.json".into(), drivers.collect());
    write_json(&folder.join(INDEX_FILE), &index).unwrap();
    let quiz = json!({ "kinds": [{ "kind": "hazard", "questions": 8, "accuracy": 0.5, "majority": 0.25, "majority_answer": "no" }] });
    let proof = json!({
        "schema": "apprentice.prove/1", "data_hash": "0123456789abcdef-more", "seeds": [0, 1], "student_steps": 7,
        "teacher_steps": 9, "primary_endpoint": "what was promised", "gates": report.gates, "quiz": quiz, "arms": [],
    });
    write_json(&folder.join("proof.json"), &proof).unwrap();
}

#[test]
fn a_comparison_is_shown_whole_and_its_links_lead_there() {
    let here = tempfile::tempdir().unwrap();
    let run = here.path().join("run");
    comparison(&run);
    let report = Report::of_run(&run, &run.join("report.html")).unwrap();
    let arms = sample::report().arms;
    assert_eq!(report.arms.len(), arms.len());
    for (got, wanted) in report.arms.iter().zip(&arms) {
        assert_eq!((&got.name, &got.open_loop, &got.driving), (&wanted.name, &wanted.open_loop, &wanted.driving));
    }
    assert!(report.panels.len() == 1 && report.panels[0].title == "Students");
    assert_eq!(report.panels[0].curves[0].points, [(0.0, 4.0), (2.0, 3.0)], "null is left out");
    assert!(!report.worst.is_empty() && report.worst.iter().any(|w| !w.replay.is_empty()));
    let html = report.html().unwrap();
    for part in ["what was promised", "0123456789abcdef", "hazard", "50.0", "Worst episodes first", "Replays"] {
        assert!(html.contains(part), "{part}");
    }
    // Links are relative to the page, wherever that is written.
    for page in [run.join("report.html"), here.path().join("elsewhere/deep/page.html")] {
        let report = Report::of_run(&run, &page).unwrap();
        assert!(!report.replays.is_empty());
        for (_, link) in &report.replays {
            std::fs::create_dir_all(page.parent().unwrap()).unwrap();
            assert!(page.parent().unwrap().join(link).is_file(), "{link}");
        }
    }
}

#[test]
fn a_training_run_shows_its_loss_and_terms() {
    let run = tempfile::tempdir().unwrap();
    write_atomic(&run.path().join("metrics.jsonl"), METRICS.as_bytes()).unwrap();
    let report = Report::of_run(run.path(), &run.path().join("report.html")).unwrap();
    let titles: Vec<&str> = report.panels.iter().map(|p| p.title.as_str()).collect();
    assert_eq!(titles, ["Loss", "plan_l1"]);
    assert!(report.html().unwrap().contains("3.0000"), "the last loss");
}

#[test]
fn what_is_no_run_or_damaged_is_named() {
    let run = tempfile::tempdir().unwrap();
    let page = run.path().join("report.html");
    let nothing = Report::of_run(run.path(), &page).unwrap_err();
    assert!(matches!(nothing, ReportError::NoRun { .. }) && nothing.hint().is_some());
    comparison(run.path());
    let victims = [(INDEX_FILE, "{}", "index.json"), ("proof.json", "{", "proof.json")];
    for (file, text, word) in victims {
        let good = std::fs::read(run.path().join(file)).unwrap();
        std::fs::write(run.path().join(file), text).unwrap();
        let error = Report::of_run(run.path(), &page).unwrap_err();
        assert!(error.to_string().contains(word) && error.hint().is_some(), "{error}");
        std::fs::write(run.path().join(file), good).unwrap();
    }
    let metrics =
        run.path().join("runs").join(&sample::report().arms.iter().find(|a| a.parameters.is_some()).unwrap().name);
    std::fs::write(metrics.join("metrics.jsonl"), "{\"step\":0}\n").unwrap();
    let error = Report::of_run(run.path(), &page).unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl") && error.contains("line 1"), "{error}");
}
