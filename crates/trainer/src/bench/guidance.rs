//! How fast a guidance cache is read: every sample's values, from the mapped file into f32, in a random order, one thread.

use apprentice_cli::commands::bench::Measured;
use apprentice_core::sample::SampleId;
use apprentice_core::{BoxedError, Rng};
use apprentice_teacher::{CacheSpec, CacheWriter, GuidanceCache, Precision};
use std::path::Path;
use std::time::Instant;

/// Passes over the cache; the median counts.
const PASSES: usize = 5;

/// Read a cache, or one of each precision that is made for the occasion.
///
/// # Errors
/// When the cache cannot be opened, or there is no room for one in the temporary folder.
pub fn read(cache: Option<&Path>) -> Result<Vec<Measured>, BoxedError> {
    if let Some(folder) = cache {
        return measure(folder);
    }
    let mut measured = vec![];
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let folder = std::env::temp_dir().join(format!("apprentice-guidance-{}", std::process::id()));
        let done = make(&folder, precision).and_then(|()| measure(&folder));
        std::fs::remove_dir_all(&folder).ok();
        measured.extend(done?);
    }
    Ok(measured)
}

/// Half a gigabyte of hidden states of a 4096 wide model, 64 places each.
fn make(folder: &Path, precision: Precision) -> Result<(), BoxedError> {
    let samples = (512 << 20) / (64 * 4096 * precision.bytes());
    let ids: Vec<_> = (0..samples as u32).map(|index| SampleId { world: "made-up".into(), index }).collect();
    let spec = CacheSpec {
        teacher: "made-up".into(),
        tap: "hidden".into(),
        prompt: String::new(),
        preprocessing: "none".into(),
        augmentation: "none".into(),
        data: "made-up".into(),
        knows_truth: false,
        precision,
        shape: vec![64, 1, 4096],
        shard_samples: 64,
    };
    let writer = CacheWriter::open(folder, spec, ids)?;
    let mut rng = Rng::new(&[9]);
    let values: Vec<f32> = (0..64 * 4096).map(|_| rng.normal() as f32).collect();
    for shard in 0..writer.shards() {
        let rows: Vec<_> = writer.shard_ids(shard).iter().map(|_| Some(values.clone().into())).collect();
        writer.write(shard, &rows)?;
    }
    Ok(())
}

fn measure(folder: &Path) -> Result<Vec<Measured>, BoxedError> {
    let begun = Instant::now();
    let cache = GuidanceCache::open(folder)?;
    let (opened, bytes) = (begun.elapsed().as_secs_f64(), cache.bytes() as f64);
    let mut ids: Vec<SampleId> = cache.samples().cloned().collect();
    Rng::new(&[1]).shuffle(&mut ids);
    let mut values = vec![0f32; cache.spec().values()];
    let mut speeds = vec![];
    let mut sum = 0f64;
    for _ in 0..PASSES {
        let begun = Instant::now();
        for id in &ids {
            cache.read(id, &mut values)?;
            sum += f64::from(values[0]);
        }
        speeds.push(bytes / 1e9 / begun.elapsed().as_secs_f64());
    }
    speeds.sort_by(f64::total_cmp);
    let what = format!("guidance in {:?}", cache.spec().precision).to_lowercase();
    let note = format!("{} samples, {:.2} GB, in random order, one thread (sum {sum:.1})", ids.len(), bytes / 1e9);
    let line = |what: String, value: f64, note: String| Measured { what, value, interval_95: None, unit: "GB/s", note };
    Ok(vec![
        line(format!("opening {what}"), bytes / 1e9 / opened, "every byte checked against its hash".into()),
        line(format!("reading {what}"), speeds[PASSES / 2], note),
    ])
}
