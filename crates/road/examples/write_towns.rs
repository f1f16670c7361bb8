//! Writes the procedural towns that other tools are asked about: `write_towns FOLDER [SEED…]`.

use apprentice_road::town::{TownSpec, layouts, xodr};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| ".".into());
    let mut seeds: Vec<u64> = arguments.filter_map(|a| a.parse().ok()).collect();
    if seeds.is_empty() {
        seeds.push(1);
    }
    std::fs::create_dir_all(&folder)?;
    for &layout in layouts() {
        for &seed in &seeds {
            let spec = TownSpec { layout, seed };
            std::fs::write(format!("{folder}/{}.xodr", spec.name()), xodr(&spec))?;
        }
    }
    Ok(())
}
