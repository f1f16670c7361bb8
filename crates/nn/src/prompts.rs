//! LLaMA-Adapter v2 (Gao et al. 2023): learned prompts in front of the topmost blocks, whose attention enters through a gate that
//! begins closed; and a bias and a scale on linear layers.
//!
//! A prompt of N vectors goes through a block's own key and value projections, without positions. Queries attend to it apart
//! from everything else (a softmax of its own), and tanh(gate) of the result, head by head, is added to what the block's
//! attention gives. NetRoller and TOD3Cap add a picture's vectors to the prompts.

use crate::checkpoint::{read_tensors, write_tensors};
use crate::error::NnError;
use crate::linear::{Slot, Tuned};
use crate::llama::LlamaConfig;
use crate::lora::LoraConfig;
use crate::vars::{Init, VarStore};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Tensor, no_grad};

/// Which blocks have prompts, and which linear layers are tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsConfig {
    /// N.
    pub length: i64,
    /// Topmost blocks with a prompt (LLaMA-Adapter: all but the first, 31 of 32).
    pub blocks: usize,
    /// Linear layers with a bias and a scale of their own, by name as in [`LoraConfig::targets`]; none for prompts alone.
    pub tuned: Vec<String>,
}

/// The prompt of one block, as it is read.
#[derive(Debug)]
pub struct BlockPrompt {
    /// `[B or 1, N, D]`.
    pub prompt: Tensor,
    /// `[heads]`; its tanh counts.
    pub gate: Tensor,
}

/// Prompts on a model.
#[derive(Debug)]
pub struct AdapterPrompts {
    config: PromptsConfig,
    /// Block by block.
    prompts: Vec<Option<[Tensor; 2]>>,
    parameters: Vec<(String, Tensor)>,
    tuned: Vec<(String, Slot)>,
}

const CONFIG_FIELD: &str = "apprentice.adapter_prompts";

impl AdapterPrompts {
    /// Put new prompts on a decoder whose variables are in `store`: gates closed, scales one and biases zero, so that nothing
    /// changes yet. Parameters become trainable variables `adapter_prompts.<block>.{prompt,gate}` and
    /// `<layer>.adapter_{bias,scale}` of the store.
    ///
    /// # Errors
    /// [`NnError::Adapter`] names what does not fit.
    pub fn attach(store: &VarStore, decoder: &LlamaConfig, config: &PromptsConfig) -> Result<Self, NnError> {
        let wrong = |reason: String| NnError::Adapter { path: "(new prompts)".into(), reason };
        let count = decoder.num_hidden_layers;
        if config.length < 1 || config.blocks > count {
            let reason = format!("length {} (at least 1) on {} of {count} blocks", config.length, config.blocks);
            return Err(wrong(reason));
        }
        let wanted = LoraConfig::new(1, &config.tuned.iter().map(String::as_str).collect::<Vec<_>>());
        let tuned: Vec<_> = store.linears().into_iter().filter(|(key, _)| wanted.wants(key)).collect();
        if tuned.is_empty() && !config.tuned.is_empty() {
            return Err(wrong(format!("no linear layer matches {:?}", config.tuned)));
        }
        let root = store.root();
        let mut parameters = vec![];
        let mut prompts = vec![];
        for block in 0..count {
            if block + config.blocks < count {
                prompts.push(None);
                continue;
            }
            let place = &root / "adapter_prompts" / block;
            let prompt = place.param("prompt", &[config.length, decoder.hidden_size], Init::Normal(0.02));
            let gate = place.param("gate", &[decoder.num_attention_heads], Init::Constant(0.0));
            for (name, tensor) in [("prompt", &prompt), ("gate", &gate)] {
                parameters.push((format!("adapter_prompts.{block}.{name}"), tensor.shallow_clone()));
            }
            prompts.push(Some([prompt, gate]));
        }
        for (key, slot) in &tuned {
            let mut layer = slot.lock().expect("no thread panics while it holds an update");
            if layer.tuned.is_some() {
                return Err(wrong(format!("{key} is tuned already")));
            }
            let outputs = layer.weight.size()[0];
            let place = &root / key;
            let bias = place.param("adapter_bias", &[outputs], Init::Constant(0.0));
            let scale = place.param("adapter_scale", &[outputs], Init::Constant(1.0));
            parameters.push((format!("{key}.adapter_bias"), bias.shallow_clone()));
            parameters.push((format!("{key}.adapter_scale"), scale.shallow_clone()));
            layer.tuned = Some(Tuned { bias, scale });
        }
        Ok(Self { config: config.clone(), prompts, parameters, tuned })
    }

    /// What a [`crate::llama::Reading`] takes: the prompts, with a picture's vectors added where there are some.
    ///
    /// # Shapes
    /// visual `[B, N, D]`.
    pub fn read(&self, visual: Option<&Tensor>) -> Vec<Option<BlockPrompt>> {
        let of = |[prompt, gate]: &[Tensor; 2]| {
            let prompt = prompt.unsqueeze(0);
            let prompt = visual.map_or_else(|| prompt.shallow_clone(), |visual| &prompt + visual);
            BlockPrompt { prompt, gate: gate.shallow_clone() }
        };
        self.prompts.iter().map(|block| block.as_ref().map(of)).collect()
    }

    /// Its parameters by name.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// Its settings.
    pub fn config(&self) -> &PromptsConfig {
        &self.config
    }

    /// Write the prompts alone (`.safetensors`).
    ///
    /// # Errors
    /// [`NnError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        let tensors: Vec<_> = self.parameters.iter().map(|(name, t)| (name.clone(), t.detach())).collect();
        let config = serde_json::to_string(&self.config).expect("a configuration is plain data");
        write_tensors(path, &tensors, &BTreeMap::from([(CONFIG_FIELD.to_string(), config)]))
    }

    /// Put saved prompts on a decoder.
    ///
    /// # Errors
    /// [`NnError::Metadata`] for a file that holds no prompts; [`NnError::Difference`] lists tensors that do not fit.
    pub fn load(store: &VarStore, decoder: &LlamaConfig, path: &Path) -> Result<Self, NnError> {
        let file = read_tensors(path)?;
        let text = file.field(CONFIG_FIELD)?;
        let config: PromptsConfig = serde_json::from_str(text)
            .map_err(|e| NnError::Adapter { path: path.into(), reason: format!("{CONFIG_FIELD}: {e}") })?;
        let prompts = Self::attach(store, decoder, &config)?;
        let mut lines = vec![];
        for (name, tensor) in &prompts.parameters {
            match file.tensors.get(name).map(Tensor::size) {
                None => lines.push(format!("  missing     {name}")),
                Some(size) if size != tensor.size() => {
                    lines.push(format!("  shape       {name}: needs {:?}, has {size:?}", tensor.size()));
                }
                Some(_) => {}
            }
        }
        let known = |name: &&String| !prompts.parameters.iter().any(|(known, _)| known == *name);
        lines.extend(file.tensors.keys().filter(known).map(|name| format!("  unexpected  {name}")));
        if !lines.is_empty() {
            prompts.detach();
            return Err(NnError::Difference { path: path.into(), difference: lines.join("\n") });
        }
        no_grad(|| {
            for (name, tensor) in &prompts.parameters {
                tensor.shallow_clone().copy_(&file.tensors[name]);
            }
        });
        Ok(prompts)
    }

    /// Take bias and scale off the linear layers again.
    pub fn detach(&self) {
        for (_, slot) in &self.tuned {
            slot.lock().expect("no thread panics while it holds an update").tuned = None;
        }
    }
}
