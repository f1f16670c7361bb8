//! Named variables: trainable parameters and buffers, in order of creation.
//!
//! They start at random numbers, or are taken from a published checkpoint ([`VarStore::over`]): a layer is built the same
//! way in both cases, so its path through the tree is the key in the file.

use crate::checkpoint::TensorFile;
use crate::error::NnError;
use crate::linear::Slot;
use crate::weights::Weights;
use apprentice_core::Rng;
use std::collections::BTreeSet;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, MutexGuard};
use tch::{Device, Kind, Tensor, no_grad};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// One value everywhere.
    Constant(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with variance 2 / fan-out (He et al. 2015, Eq. 14), for convolutions before a rectifier.
    KaimingFanOut,
    /// Uniform with variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010, Eq. 16).
    Xavier,
}

/// One entry of a [`VarStore`].
#[derive(Debug)]
pub struct Variable {
    /// Checkpoint key.
    pub name: String,
    /// The tensor; layers hold shallow clones of it.
    pub tensor: Tensor,
    /// Whether it is a parameter (a buffer otherwise).
    pub trainable: bool,
}

/// How the numbers of a published checkpoint are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As they are in the file: on the CPU nothing is copied.
    #[default]
    Stored,
    /// All as one kind.
    Cast(Kind),
    /// Linear layers in 8 bits with one f32 scale a row, everything else in f32. For reading, not for training.
    Int8,
}

/// A checkpoint that a model is being built from.
#[derive(Debug)]
struct Source {
    weights: Weights,
    precision: Precision,
    used: BTreeSet<String>,
    difference: Vec<String>,
}

#[derive(Debug, Default)]
struct Inner {
    variables: Vec<Variable>,
    source: Option<Source>,
    linears: Vec<(String, Slot)>,
}

/// The variables of one model.
#[derive(Clone, Debug)]
pub struct VarStore {
    inner: Arc<Mutex<Inner>>,
    device: Device,
    seed: u64,
}

impl VarStore {
    /// An empty store. Initial values depend on `seed` and the variable's name alone.
    pub fn new(device: Device, seed: u64) -> Self {
        Self { inner: Arc::default(), device, seed }
    }

    /// A store whose variables are taken from a checkpoint, frozen. Build the model, then call [`VarStore::finish`].
    pub fn over(weights: Weights, precision: Precision, device: Device) -> Self {
        let store = Self::new(device, 0);
        let source = Source { weights, precision, used: BTreeSet::new(), difference: vec![] };
        store.lock().source = Some(source);
        store
    }

    /// The model is built: every variable must have come from the checkpoint, and every tensor of the checkpoint that
    /// `ignored` does not name must have become a variable. Variables made later are new ones.
    ///
    /// # Errors
    /// [`NnError::Difference`] lists what is missing, mis-shaped or unexpected.
    pub fn finish(&self, ignored: impl Fn(&str) -> bool) -> Result<(), NnError> {
        let Some(source) = self.lock().source.take() else { return Ok(()) };
        let mut lines = source.difference;
        for name in source.weights.names() {
            if !source.used.contains(name) && !ignored(name) {
                let size = source.weights.get(name).map(Tensor::size).unwrap_or_default();
                lines.push(format!("  unexpected  {name} {size:?}{}", source.weights.whence(name)));
            }
        }
        if lines.is_empty() { Ok(()) } else { Err(difference(source.weights.place(), lines)) }
    }

    /// Whether the checkpoint that the model is being built from has this key.
    pub fn offers(&self, key: &str) -> bool {
        self.lock().source.as_ref().is_some_and(|s| s.weights.has(key))
    }

    /// Every linear layer with its key, in order of creation.
    pub(crate) fn linears(&self) -> Vec<(String, Slot)> {
        self.lock().linears.clone()
    }

    /// Where the variables live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The path whose children are top-level keys.
    pub fn root(&self) -> Path {
        Path { store: self.clone(), prefix: String::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics while it holds the variables")
    }

    /// Shallow clones of all variables, in order of creation.
    pub fn variables(&self) -> Vec<Variable> {
        let copy =
            |v: &Variable| Variable { name: v.name.clone(), tensor: v.tensor.shallow_clone(), trainable: v.trainable };
        self.lock().variables.iter().map(copy).collect()
    }

    /// Number of trainable values.
    pub fn parameters(&self) -> usize {
        self.lock().variables.iter().filter(|v| v.trainable).map(|v| v.tensor.numel()).sum()
    }

    /// Keys and detached tensors of everything, to be written to a checkpoint.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.lock().variables.iter().map(|v| (v.name.clone(), v.tensor.detach())).collect()
    }

    /// Copy every variable from a file. Strict: the keys and shapes must be the same set.
    ///
    /// # Errors
    /// [`NnError::Difference`] lists every difference; nothing is copied then.
    pub fn load(&self, file: &TensorFile) -> Result<(), NnError> {
        self.load_where(file, |_| true)
    }

    /// As [`VarStore::load`], for the variables and file entries whose key satisfies `select`.
    ///
    /// # Errors
    /// [`NnError::Difference`] lists every difference; nothing is copied then.
    pub fn load_where(&self, file: &TensorFile, select: impl Fn(&str) -> bool) -> Result<(), NnError> {
        let inner = self.lock();
        let mine: Vec<_> = inner.variables.iter().filter(|v| select(&v.name)).collect();
        let mut lines = vec![];
        for v in &mine {
            match file.tensors.get(&v.name) {
                None => lines.push(format!("  missing     {} {:?}", v.name, v.tensor.size())),
                Some(t) if t.size() != v.tensor.size() => {
                    lines.push(format!("  shape       {}: needs {:?}, has {:?}", v.name, v.tensor.size(), t.size()));
                }
                Some(t) if t.is_floating_point() != v.tensor.is_floating_point() => {
                    lines.push(format!("  type        {}: needs {:?}, has {:?}", v.name, v.tensor.kind(), t.kind()));
                }
                Some(_) => {}
            }
        }
        let known: std::collections::BTreeSet<_> = mine.iter().map(|v| v.name.as_str()).collect();
        for (name, t) in file.tensors.iter().filter(|(name, _)| select(name)) {
            if !known.contains(name.as_str()) {
                lines.push(format!("  unexpected  {name} {:?}", t.size()));
            }
        }
        if !lines.is_empty() {
            return Err(difference(&file.path, lines));
        }
        no_grad(|| {
            for v in &mine {
                v.tensor.shallow_clone().copy_(&file.tensors[&v.name]);
            }
        });
        Ok(())
    }

    /// Copy the variables under `from_prefix` of another store onto those under `to_prefix` here.
    ///
    /// # Errors
    /// [`NnError::Difference`] if the two sub-trees are not alike.
    pub fn copy_subtree(&self, to_prefix: &str, from: &VarStore, from_prefix: &str) -> Result<(), NnError> {
        let renamed = from.tensors().into_iter().filter_map(|(name, tensor)| {
            let rest = name.strip_prefix(from_prefix)?;
            Some((format!("{to_prefix}{rest}"), tensor))
        });
        let file = TensorFile {
            path: FilePath::new("(model in memory)").into(),
            metadata: Default::default(),
            tensors: renamed.collect(),
        };
        self.load_where(&file, |name| name.starts_with(to_prefix))
    }
}

fn difference(path: &FilePath, mut lines: Vec<String>) -> NnError {
    let more = lines.len().saturating_sub(20);
    lines.truncate(20);
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    NnError::Difference { path: path.into(), difference: lines.join("\n") }
}

/// A place in the tree of keys. `path / "encoder" / 3` extends it.
#[derive(Clone, Debug)]
pub struct Path {
    store: VarStore,
    prefix: String,
}

impl<T: std::fmt::Display> std::ops::Div<T> for &Path {
    type Output = Path;
    fn div(self, child: T) -> Path {
        let prefix = if self.prefix.is_empty() { child.to_string() } else { format!("{}.{child}", self.prefix) };
        Path { store: self.store.clone(), prefix }
    }
}

impl<T: std::fmt::Display> std::ops::Div<T> for Path {
    type Output = Path;
    fn div(self, child: T) -> Path {
        &self / child
    }
}

impl Path {
    /// The key so far.
    pub fn key(&self) -> &str {
        &self.prefix
    }

    /// Where the variables live.
    pub fn device(&self) -> Device {
        self.store.device
    }

    /// Whether the checkpoint that the model is being built from has this child. False for a model that starts at random.
    pub fn offers(&self, name: &str) -> bool {
        self.store.offers((self / name).key())
    }

    /// Whether linear layers are to be held in 8 bits.
    pub(crate) fn wants_int8(&self) -> bool {
        self.store.lock().source.as_ref().is_some_and(|s| s.precision == Precision::Int8)
    }

    /// Make a linear layer known by its key.
    pub(crate) fn register(&self, slot: &Slot) {
        self.store.lock().linears.push((self.prefix.clone(), slot.clone()));
    }

    /// The checkpoint's tensor of this name, or `None` when nothing is loaded. What does not fit is noted for
    /// [`VarStore::finish`], and stands in as zeros until then.
    fn taken(&self, name: &str, shape: &[i64], whole: bool) -> Option<Tensor> {
        let key = (self / name).prefix;
        let mut inner = self.store.lock();
        let source = inner.source.as_mut()?;
        let kind = match source.precision {
            Precision::Cast(kind) => Some(kind),
            Precision::Int8 => Some(Kind::Float),
            Precision::Stored => None,
        };
        let blank = || Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand(shape, false);
        let Some(found) = source.weights.get(&key) else {
            source.difference.push(format!("  missing     {key} {shape:?}"));
            return Some(blank());
        };
        source.used.insert(key.clone());
        if found.size() != shape {
            let whence = source.weights.whence(&key);
            source.difference.push(format!("  shape       {key}: needs {shape:?}, has {:?}{whence}", found.size()));
            return Some(blank());
        }
        let floating = matches!(found.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16);
        if !floating && !whole {
            let whence = source.weights.whence(&key);
            let line = format!("  type        {key}: needs floating-point numbers, has {:?}{whence}", found.kind());
            source.difference.push(line);
            return Some(blank());
        }
        Some(match kind {
            Some(kind) if floating => found.to_kind(kind),
            _ => found.shallow_clone(),
        })
    }

    fn add(&self, name: &str, tensor: Tensor, trainable: bool) -> Tensor {
        let name = (self / name).prefix;
        let mut inner = self.store.lock();
        assert!(inner.variables.iter().all(|v| v.name != name), "two variables are called {name}");
        let tensor = tensor.to_device(self.store.device).set_requires_grad(trainable && inner.source.is_none());
        inner.variables.push(Variable { name, tensor: tensor.shallow_clone(), trainable });
        tensor
    }

    /// A trainable parameter.
    ///
    /// # Shapes
    /// `shape`, f32. Fans are counted as for a linear or convolution weight `[out, in, …]`.
    pub fn param(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        if let Some(tensor) = self.taken(name, shape, false) {
            return self.add(name, tensor, true);
        }
        let count: i64 = shape.iter().product();
        let receptive: i64 = shape.iter().skip(2).product();
        let fan_out = (shape[0] * receptive) as f64;
        let fan_in = (shape.get(1).copied().unwrap_or(1) * receptive) as f64;
        let key = (self / name).prefix;
        let name_hash = u64::from_str_radix(&apprentice_core::hash::content_hash(key.as_bytes())[..16], 16)
            .expect("a hash is hexadecimal");
        let mut rng = Rng::new(&[self.store.seed, name_hash]);
        let mut draw =
            |f: &mut dyn FnMut(&mut Rng) -> f64| -> Vec<f32> { (0..count).map(|_| f(&mut rng) as f32).collect() };
        let values = match init {
            Init::Constant(value) => vec![value as f32; count as usize],
            Init::Normal(std) => draw(&mut |r| r.normal() * std),
            Init::Uniform(bound) => draw(&mut |r| r.range(-bound, bound)),
            Init::KaimingFanOut => {
                let std = (2.0 / fan_out).sqrt();
                draw(&mut |r| r.normal() * std)
            }
            Init::Xavier => {
                let bound = (6.0 / (fan_in + fan_out)).sqrt();
                draw(&mut |r| r.range(-bound, bound))
            }
        };
        self.add(name, Tensor::from_slice(&values).reshape(shape), true)
    }

    /// A buffer that is saved but not trained, such as a running mean.
    ///
    /// # Shapes
    /// `shape`, f32.
    pub fn buffer(&self, name: &str, shape: &[i64], value: f64) -> Tensor {
        let fresh = || Tensor::full(shape, value, (Kind::Float, Device::Cpu));
        let tensor = self.taken(name, shape, false).unwrap_or_else(fresh);
        self.add(name, tensor, false)
    }

    /// The checkpoint's weight of a linear layer in 8 bits: `[out, in]` (int8) and a scale per row `[out]` (f32), rounded to
    /// nearest with the largest magnitude of a row at 127.
    pub(crate) fn quantised(&self, name: &str, shape: &[i64]) -> Option<(Tensor, Tensor)> {
        let weight = self.taken(name, shape, false)?.to_device(self.store.device);
        let scale = weight.abs().amax(1, false).clamp_min(1e-12) / 127.0;
        let whole = (weight / scale.unsqueeze(1)).round().to_kind(Kind::Int8);
        Some((self.add(name, whole, false), scale))
    }
}
