//! Writes a report and a replay of an invented drive, to look at the pages without a world:
//! `cargo run --release -p apprentice-report --example sample_pages -- DIR`.

mod sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).ok_or("name a folder")?);
    std::fs::create_dir_all(folder.join("replay"))?;
    apprentice_report::write_replay(&sample::replay(), &folder.join("replay"))?;
    sample::report().write(&folder.join("report.html"))?;
    Ok(())
}
