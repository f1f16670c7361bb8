//! Named variables: trainable parameters and buffers, in order of creation.

use crate::checkpoint::TensorFile;
use crate::error::NnError;
use apprentice_core::Rng;
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

#[derive(Debug, Default)]
struct Inner {
    variables: Vec<Variable>,
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

    /// Stop or resume gradients for parameters whose key satisfies `select`.
    pub fn set_trainable(&self, select: impl Fn(&str) -> bool, trainable: bool) {
        for v in self.lock().variables.iter().filter(|v| v.trainable && select(&v.name)) {
            let _ = v.tensor.set_requires_grad(trainable);
        }
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
            let more = lines.len().saturating_sub(20);
            lines.truncate(20);
            if more > 0 {
                lines.push(format!("  … and {more} more"));
            }
            return Err(NnError::Difference { path: file.path.clone(), difference: lines.join("\n") });
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

    fn add(&self, name: &str, tensor: Tensor, trainable: bool) -> Tensor {
        let name = (self / name).prefix;
        let mut inner = self.store.lock();
        assert!(inner.variables.iter().all(|v| v.name != name), "two variables are called {name}");
        let tensor = tensor.to_device(self.store.device).set_requires_grad(trainable);
        inner.variables.push(Variable { name, tensor: tensor.shallow_clone(), trainable });
        tensor
    }

    /// A trainable parameter.
    ///
    /// # Shapes
    /// `shape`, f32. Fans are counted as for a linear or convolution weight `[out, in, …]`.
    pub fn param(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
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
        let tensor = Tensor::full(shape, value, (Kind::Float, Device::Cpu));
        self.add(name, tensor, false)
    }
}
