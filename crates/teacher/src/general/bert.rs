//! BERT (Devlin et al. 2019) as a sentence encoder: mean of the last hidden states over a text's tokens, as
//! sentence-transformers' all-MiniLM-L6-v2 is used. B texts, L tokens, D width.

use super::folder::{Fields, ModelFolder};
use super::language::LoadOptions;
use super::tokens::ModelTokenizer;
use super::tower::{attention, is_index, linear, rows, table};
use crate::TeacherError;
use apprentice_nn::{Activation, LayerNorm, Linear, Path, VarStore};
use tch::{Device, Kind, Tensor};

#[derive(Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_dense: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

/// A sentence encoder.
#[derive(Debug)]
pub struct Bert {
    /// All variables, under the names of `transformers`.
    pub vs: VarStore,
    tokenizer: ModelTokenizer,
    words: Tensor,
    positions: Tensor,
    kinds: Tensor,
    norm: LayerNorm,
    blocks: Vec<Block>,
    heads: i64,
    activation: Activation,
}

/// Texts that are read together.
const BATCH: usize = 32;

impl Bert {
    /// Open a model's folder.
    ///
    /// # Errors
    /// Names the file and the field, tensor or token that is not as expected.
    pub fn open(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, TeacherError> {
        let config = folder.fields();
        let weights = folder.weights()?.renamed(|name| Some(name.strip_prefix("bert.").unwrap_or(name).to_string()));
        let vs = VarStore::over(weights, options.precision, options.device);
        let vocabulary = config.int("vocab_size", 30_522)?;
        let context = config.int("max_position_embeddings", 512)?;
        let tokenizer = ModelTokenizer::open(folder.path())?;
        tokenizer.fits(vocabulary)?;
        let tokenizer = tokenizer.truncated(context as usize)?;
        let root = vs.root();
        let (d, eps) = (config.int("hidden_size", 768)?, config.float("layer_norm_eps", 1e-12)?);
        let hidden = config.int("intermediate_size", 3072)?;
        let embeddings = &root / "embeddings";
        let kind = config.text("position_embedding_type", Some("absolute"))?;
        if kind != "absolute" {
            return Err(config.wrong("position_embedding_type", "`absolute`"));
        }
        let bert = Self {
            words: table(&(&embeddings / "word_embeddings"), vocabulary, d),
            positions: table(&(&embeddings / "position_embeddings"), context, d),
            kinds: table(&(&embeddings / "token_type_embeddings"), config.int("type_vocab_size", 2)?, d),
            norm: LayerNorm::with_eps(&(&embeddings / "LayerNorm"), d, eps),
            blocks: (0..config.int("num_hidden_layers", 12)?)
                .map(|i| Block::new(&(&root / "encoder" / "layer" / i), d, hidden, eps))
                .collect(),
            heads: heads(&config, d)?,
            activation: config.activation("hidden_act", "gelu")?,
            tokenizer,
            vs,
        };
        // The pooler and the heads of pretraining are not part of a sentence's embedding.
        bert.vs.finish(|name| is_index(name) || name.starts_with("pooler.") || name.starts_with("cls."))?;
        Ok(bert)
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &ModelTokenizer {
        &self.tokenizer
    }

    /// D.
    pub fn width(&self) -> i64 {
        self.words.size()[1]
    }

    /// The last hidden states.
    ///
    /// # Shapes
    /// ids `[B, L]` (int64), valid `[B, L]` (bool) → `[B, L, D]`.
    pub fn hidden(&self, ids: &Tensor, valid: &Tensor) -> Tensor {
        let places = self.positions.narrow(0, 0, ids.size()[1]);
        let mut x = self.norm.forward(&(rows(&self.words, ids) + places + self.kinds.get(0)));
        let mask = valid.unsqueeze(1).unsqueeze(1);
        for block in &self.blocks {
            x = block.forward(&x, self.heads, self.activation, &mask);
        }
        x
    }

    /// Embeddings of texts: the mean over a text's tokens, not normalised. Texts of like length are read together.
    ///
    /// # Errors
    /// When the tokenizer cannot read a text.
    ///
    /// # Shapes
    /// → `[texts, D]` (f32, on the CPU).
    pub fn embed(&self, texts: &[String]) -> Result<Tensor, TeacherError> {
        let _guard = tch::no_grad_guard();
        let ids = texts.iter().map(|text| self.tokenizer.encode(text, true)).collect::<Result<Vec<_>, _>>()?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| (ids[i].len(), i));
        let out = Tensor::zeros([texts.len() as i64, self.width()], (Kind::Float, Device::Cpu));
        for group in order.chunks(BATCH) {
            let length = group.iter().map(|&i| ids[i].len()).max().unwrap_or(0).max(1);
            let padded: Vec<i64> =
                group.iter().flat_map(|&i| ids[i].iter().copied().chain(std::iter::repeat(0)).take(length)).collect();
            let mut present = vec![false; group.len() * length];
            for (row, &i) in group.iter().enumerate() {
                present[row * length..row * length + ids[i].len().max(1)].fill(true);
            }
            let shape = [group.len() as i64, length as i64];
            let device = self.vs.device();
            let padded = Tensor::from_slice(&padded).view(shape).to_device(device);
            let valid = Tensor::from_slice(&present).view(shape).to_device(device);
            let hidden = self.hidden(&padded, &valid).to_kind(Kind::Float);
            let weight = valid.to_kind(Kind::Float).unsqueeze(-1);
            let total = (hidden * &weight).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            let mean = total / weight.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            let places: Vec<i64> = group.iter().map(|&i| i as i64).collect();
            let _ = out.shallow_clone().index_copy_(0, &Tensor::from_slice(&places), &mean.to_device(Device::Cpu));
        }
        Ok(out)
    }
}

/// Attention heads, checked against the width.
pub(crate) fn heads(config: &Fields, width: i64) -> Result<i64, TeacherError> {
    let heads = config.int("num_attention_heads", 12)?;
    if heads < 1 || width % heads != 0 {
        return Err(config.wrong("num_attention_heads", format!("a divisor of hidden_size {width}")));
    }
    Ok(heads)
}

impl Block {
    fn new(path: &Path, d: i64, hidden: i64, eps: f64) -> Self {
        let [own, after] = ["self", "output"].map(|name| path / "attention" / name);
        Self {
            query: linear(&(&own / "query"), d, d),
            key: linear(&(&own / "key"), d, d),
            value: linear(&(&own / "value"), d, d),
            attention_dense: linear(&(&after / "dense"), d, d),
            attention_norm: LayerNorm::with_eps(&(&after / "LayerNorm"), d, eps),
            intermediate: linear(&(path / "intermediate" / "dense"), d, hidden),
            output: linear(&(path / "output" / "dense"), hidden, d),
            output_norm: LayerNorm::with_eps(&(path / "output" / "LayerNorm"), d, eps),
        }
    }

    fn forward(&self, x: &Tensor, heads: i64, activation: Activation, mask: &Tensor) -> Tensor {
        let [query, key, value] = [&self.query, &self.key, &self.value].map(|p| p.forward(x));
        let read = attention([&query, &key, &value], heads, Some(mask), false, None);
        let x = self.attention_norm.forward(&(x + self.attention_dense.forward(&read)));
        let hidden = activation.forward(&self.intermediate.forward(&x));
        self.output_norm.forward(&(&x + self.output.forward(&hidden)))
    }
}
