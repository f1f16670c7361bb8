//! Low-rank adapters (LoRA, Hu et al. 2021, Eq. 3) on any linear layer, chosen by name: W + (α/r) B A.
//!
//! On disk they are in PEFT's format (`adapter_config.json`, `adapter_model.safetensors`), read and written.

use crate::checkpoint::{read_tensors, write_tensors};
use crate::error::NnError;
use crate::linear::{Slot, Update};
use crate::vars::{Init, VarStore};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Kind, Tensor, no_grad};

/// Which layers, and how wide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// r.
    pub rank: i64,
    /// α.
    pub alpha: f64,
    /// Divide α by √r in place of r (rsLoRA).
    pub rank_stabilised: bool,
    /// Layers whose key is one of these, or ends in `.` and one of these. `*` stands for any run of characters.
    pub targets: Vec<String>,
}

impl LoraConfig {
    /// Rank r, α = 2 r.
    pub fn new(rank: i64, targets: &[&str]) -> Self {
        let targets = targets.iter().map(|t| (*t).to_string()).collect();
        Self { rank, alpha: 2.0 * rank as f64, rank_stabilised: false, targets }
    }

    /// The factor of B A.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }

    pub(crate) fn wants(&self, key: &str) -> bool {
        self.targets.iter().any(|target| {
            let tail = key.char_indices().filter(|&(i, c)| c == '.' && i > 0).map(|(i, _)| &key[i + 1..]);
            std::iter::once(key).chain(tail).any(|part| matches(target, part))
        })
    }
}

/// Whether `text` is `pattern`, where `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|text| (0..=text.len()).any(|i| text.is_char_boundary(i) && matches(rest, &text[i..]))),
    }
}

/// The part of PEFT's `adapter_config.json` that says what the weights mean.
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: i64,
    lora_alpha: f64,
    target_modules: serde_json::Value,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    inference_mode: bool,
    #[serde(default)]
    rank_pattern: BTreeMap<String, i64>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const PEFT_ROOT: &str = "base_model.model.";

/// An adapter on a model.
#[derive(Debug)]
pub struct Lora {
    config: LoraConfig,
    places: Vec<(String, Slot)>,
}

impl Lora {
    /// Put a new adapter on the model whose variables are in `store`: A uniform in ±1/√in, B zero, so that nothing changes
    /// yet. Its parameters become trainable variables `KEY.lora_A.weight` and `KEY.lora_B.weight` of the store.
    ///
    /// # Errors
    /// [`NnError::Adapter`] when no layer matches, or one has an adapter already.
    pub fn attach(store: &VarStore, config: &LoraConfig) -> Result<Self, NnError> {
        let wrong = |reason: String| NnError::Adapter { path: "(new adapter)".into(), reason };
        let places: Vec<_> = store.linears().into_iter().filter(|(key, _)| config.wants(key)).collect();
        if places.is_empty() {
            let some: Vec<_> = store.linears().into_iter().map(|(key, _)| key).take(4).collect();
            let reason = format!("no linear layer matches {:?}; there are {} …", config.targets, some.join(", "));
            return Err(wrong(reason));
        }
        let root = store.root();
        for (key, slot) in &places {
            let mut layer = slot.lock().expect("no thread panics while it holds an update");
            if layer.update.is_some() {
                return Err(wrong(format!("{key} has an adapter already")));
            }
            let (outputs, inputs) = layer.weight.size2().expect("a linear weight is [out, in]");
            let bound = Init::Uniform(1.0 / (inputs as f64).sqrt());
            let a = (&root / key / "lora_A").param("weight", &[config.rank, inputs], bound);
            let b = (&root / key / "lora_B").param("weight", &[outputs, config.rank], Init::Constant(0.0));
            layer.update = Some(Update { a, b, scale: config.scale(), merged: false });
        }
        Ok(Self { config: config.clone(), places })
    }

    /// Put a saved adapter (a folder in PEFT's format) on the model in `store`.
    ///
    /// # Errors
    /// [`NnError::Adapter`] names what the folder holds that is not read here; [`NnError::Difference`] lists tensors that do
    /// not fit.
    pub fn load(store: &VarStore, folder: &Path) -> Result<Self, NnError> {
        let path = folder.join(CONFIG);
        let wrong = |reason: String| NnError::Adapter { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|source| NnError::Io { path: path.clone(), source })?;
        let peft: PeftConfig = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let plain = peft.peft_type == "LORA"
            && !peft.use_dora
            && !peft.fan_in_fan_out
            && peft.rank_pattern.is_empty()
            && peft.alpha_pattern.is_empty();
        if !plain || peft.bias.as_deref().is_some_and(|b| b != "none") {
            let reason =
                "expected a plain LoRA adapter: peft_type LORA, bias none, without DoRA, fan_in_fan_out or patterns";
            return Err(wrong(reason.into()));
        }
        let tensors = folder.join(TENSORS);
        let file = read_tensors(&tensors)?;
        let stem = |key: &str| {
            let key = key.strip_prefix(PEFT_ROOT)?;
            key.strip_suffix(".lora_A.weight").or_else(|| key.strip_suffix(".lora_B.weight")).map(str::to_string)
        };
        // PEFT's target names may be a regular expression; the tensors say which layers they meant.
        let mut targets: Vec<String> = file.tensors.keys().filter_map(|key| stem(key)).collect();
        targets.sort();
        targets.dedup();
        let known: std::collections::BTreeSet<String> = store.linears().into_iter().map(|(key, _)| key).collect();
        let strange: Vec<String> = (file.tensors.keys())
            .filter(|key| !stem(key).is_some_and(|stem| known.contains(&stem)))
            .map(|key| format!("  unexpected  {key}"))
            .take(20)
            .collect();
        if !strange.is_empty() || targets.is_empty() {
            return Err(NnError::Difference { path: tensors, difference: strange.join("\n") });
        }
        let config = LoraConfig {
            rank: peft.r,
            alpha: peft.lora_alpha,
            rank_stabilised: peft.use_rslora,
            targets: targets.clone(),
        };
        let places: Vec<_> = store.linears().into_iter().filter(|(key, _)| targets.contains(key)).collect();
        let mut lines = vec![];
        for (key, slot) in &places {
            let layer = slot.lock().expect("no thread panics while it holds an update");
            let (outputs, inputs) = layer.weight.size2().expect("a linear weight is [out, in]");
            for (part, shape) in [("lora_A", [peft.r, inputs]), ("lora_B", [outputs, peft.r])] {
                let name = format!("{PEFT_ROOT}{key}.{part}.weight");
                match file.tensors.get(&name).map(Tensor::size) {
                    None => lines.push(format!("  missing     {name}")),
                    Some(size) if size != shape => {
                        lines.push(format!("  shape       {name}: needs {shape:?}, has {size:?}"))
                    }
                    Some(_) => {}
                }
            }
        }
        if !lines.is_empty() {
            return Err(NnError::Difference { path: tensors, difference: lines.join("\n") });
        }
        let lora = Self::attach(store, &config)?;
        no_grad(|| {
            for (name, mut parameter) in lora.parameters() {
                parameter.copy_(&file.tensors[&format!("{PEFT_ROOT}{name}")]);
            }
        });
        Ok(lora)
    }

    /// Write the adapter alone, in PEFT's format.
    ///
    /// # Errors
    /// [`NnError::Io`].
    pub fn save(&self, folder: &Path, base_model: &str) -> Result<(), NnError> {
        let tensors: Vec<_> =
            self.parameters().into_iter().map(|(name, t)| (format!("{PEFT_ROOT}{name}"), t.detach())).collect();
        let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        write_tensors(&folder.join(TENSORS), &tensors, &metadata)?;
        let config = PeftConfig {
            peft_type: "LORA".into(),
            r: self.config.rank,
            lora_alpha: self.config.alpha,
            target_modules: self.places.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>().into(),
            use_rslora: self.config.rank_stabilised,
            use_dora: false,
            fan_in_fan_out: false,
            bias: Some("none".into()),
            task_type: None,
            base_model_name_or_path: Some(base_model.into()),
            lora_dropout: 0.0,
            inference_mode: true,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        };
        let path = folder.join(CONFIG);
        let text = serde_json::to_string_pretty(&config).expect("a configuration is plain data");
        let beside = folder.join(format!("{CONFIG}.tmp"));
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|source| NnError::Io { path, source })
    }

    /// Its settings.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// Keys of the layers it is on.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(key, _)| key.as_str())
    }

    /// Its parameters, `KEY.lora_A.weight` before `KEY.lora_B.weight`, layer by layer.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let pair = |(key, slot): &(String, Slot)| {
            let layer = slot.lock().expect("no thread panics while it holds an update");
            let named = |(part, t): (&str, &Tensor)| (format!("{key}.{part}.weight"), t.shallow_clone());
            layer.update.iter().flat_map(|u| [("lora_A", &u.a), ("lora_B", &u.b)].map(named)).collect::<Vec<_>>()
        };
        self.places.iter().flat_map(pair).collect()
    }

    /// Add the update into the weights: reading costs no more than without an adapter then. Does nothing when merged.
    ///
    /// # Errors
    /// [`NnError::Adapter`] for weights held in 8 bits.
    pub fn merge(&self) -> Result<(), NnError> {
        self.set_merged(true)
    }

    /// Take the update out of the weights again. Does nothing when not merged.
    ///
    /// # Errors
    /// As [`Lora::merge`].
    pub fn unmerge(&self) -> Result<(), NnError> {
        self.set_merged(false)
    }

    fn set_merged(&self, merged: bool) -> Result<(), NnError> {
        for (key, slot) in &self.places {
            let mut layer = slot.lock().expect("no thread panics while it holds an update");
            if layer.quantised {
                let reason = format!("{key} is held in 8 bits; load the model in floating point to merge into it");
                return Err(NnError::Adapter { path: "(adapter)".into(), reason });
            }
            let mut weight = layer.weight.shallow_clone();
            let Some(update) = layer.update.as_mut().filter(|u| u.merged != merged) else { continue };
            no_grad(|| {
                let delta = update.delta();
                let wide = weight.to_kind(Kind::Float);
                let changed = if merged { wide + delta } else { wide - delta };
                weight.copy_(&changed);
            });
            update.merged = merged;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;
    use tch::Device;

    #[test]
    fn names_are_matched_whole_or_by_their_tail() {
        let config = LoraConfig::new(4, &["q_proj", "layers.*.fc1"]);
        for key in ["q_proj", "model.layers.0.self_attn.q_proj", "vision.layers.11.fc1"] {
            assert!(config.wants(key), "{key}");
        }
        for key in ["model.q_proj.x", "model.layers.0.self_attn.eq_proj", "fc1"] {
            assert!(!config.wants(key), "{key}");
        }
    }

    #[test]
    fn merging_changes_nothing_but_the_cost_and_can_be_undone() {
        let store = VarStore::new(Device::Cpu, 5);
        let layer = Linear::new(&(&store.root() / "a" / "q_proj"), 12, 7);
        let x = crate::noise(&[1], &[3, 12]);
        let plain = layer.forward(&x);
        let lora = Lora::attach(&store, &LoraConfig::new(3, &["q_proj"])).unwrap();
        let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        assert_eq!(far(&layer.forward(&x), &plain), 0.0);
        no_grad(|| lora.parameters()[1].1.shallow_clone().copy_(&crate::noise(&[2], &[7, 3])));
        let adapted = layer.forward(&x);
        assert!(far(&adapted, &plain) > 0.1);
        lora.merge().unwrap();
        lora.merge().unwrap();
        assert!(far(&layer.forward(&x), &adapted) < 1e-5);
        lora.unmerge().unwrap();
        assert!(far(&layer.forward(&x), &adapted) < 1e-5);
        assert!(Lora::attach(&store, &LoraConfig::new(3, &["q_proj"])).is_err());
        assert!(Lora::attach(&store, &LoraConfig::new(3, &["nothing"])).unwrap_err().to_string().contains("a.q_proj"));
    }

    #[test]
    fn an_adapter_survives_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let make = |seed| {
            let store = VarStore::new(Device::Cpu, seed);
            let layer = Linear::new(&(&store.root() / "x" / "fc1"), 6, 4);
            (store, layer)
        };
        let (store, layer) = make(1);
        let lora = Lora::attach(&store, &LoraConfig::new(2, &["fc1"])).unwrap();
        no_grad(|| lora.parameters()[1].1.shallow_clone().copy_(&crate::noise(&[2], &[4, 2])));
        lora.save(folder.path(), "none").unwrap();
        let x = crate::noise(&[3], &[2, 6]);
        let (same, again) = make(1);
        Lora::load(&same, folder.path()).unwrap();
        assert_eq!((layer.forward(&x) - again.forward(&x)).abs().max().double_value(&[]), 0.0);
        let other = VarStore::new(Device::Cpu, 1);
        let _ = Linear::new(&(&other.root() / "y" / "fc2"), 6, 4);
        assert!(Lora::load(&other, folder.path()).unwrap_err().to_string().contains("x.fc1"));
    }
}
