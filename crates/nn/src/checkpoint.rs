//! Safetensors files: written with a sorted header (equal tensors give equal bytes), read strictly.

use crate::error::NnError;
use apprentice_core::seal;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What a safetensors file holds.
#[derive(Debug)]
pub struct TensorFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its tensors by key.
    pub tensors: BTreeMap<String, Tensor>,
}

impl TensorFile {
    /// A metadata field.
    ///
    /// # Errors
    /// [`NnError::Metadata`] if it is not there.
    pub fn field(&self, field: &str) -> Result<&str, NnError> {
        self.metadata
            .get(field)
            .map(String::as_str)
            .ok_or_else(|| NnError::Metadata { path: self.path.clone(), field: field.into() })
    }

    /// Take out the tensors whose key begins with `prefix`, with the prefix removed.
    pub fn split_off(&mut self, prefix: &str) -> TensorFile {
        let keys: Vec<_> = self.tensors.keys().filter(|k| k.starts_with(prefix)).cloned().collect();
        let tensors = keys
            .into_iter()
            .filter_map(|k| self.tensors.remove(&k).map(|t| (k[prefix.len()..].to_string(), t)))
            .collect();
        TensorFile { path: self.path.clone(), metadata: self.metadata.clone(), tensors }
    }
}

fn dtype_name(kind: Kind) -> Option<(&'static str, usize)> {
    Some(match kind {
        Kind::Float => ("F32", 4),
        Kind::Double => ("F64", 8),
        Kind::Half => ("F16", 2),
        Kind::BFloat16 => ("BF16", 2),
        Kind::Int64 => ("I64", 8),
        Kind::Int => ("I32", 4),
        Kind::Uint8 => ("U8", 1),
        Kind::Int16 => ("I16", 2),
        Kind::Int8 => ("I8", 1),
        Kind::Bool => ("BOOL", 1),
        _ => return None,
    })
}

pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

/// The header of a safetensors file, its length before it: room for its checksum, metadata ordered by field, tensors in order.
///
/// # Panics
/// If a tensor is of a kind that no model here uses (complex, quantised).
fn header(ordered: &[&(String, Tensor)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let quote = |s: &str| serde_json::Value::from(s).to_string();
    let fields = metadata.iter().filter(|(k, _)| *k != seal::KEY);
    let fields: String = fields.map(|(k, v)| format!(",{}:{}", quote(k), quote(v))).collect();
    let mut entries = vec![format!("{}{fields}}}", seal::safetensors_blank())];
    let mut end = 0;
    for (name, tensor) in ordered {
        let (dtype, width) = dtype_name(tensor.kind()).expect("models hold plain numbers");
        let begin = end;
        end += tensor.numel() * width;
        entries.push(format!(
            "{}:{{\"dtype\":\"{dtype}\",\"shape\":{:?},\"data_offsets\":[{begin},{end}]}}",
            quote(name),
            tensor.size(),
        ));
    }
    let mut header = format!("{}}}", entries.join(","));
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// A tensor's numbers.
fn data(tensor: &Tensor) -> Vec<u8> {
    let count = tensor.numel();
    let mut bytes = vec![0; count * tensor.kind().elt_size_in_bytes()];
    tensor.to_device(Device::Cpu).contiguous().copy_data_u8(&mut bytes, count);
    bytes
}

fn ordered(tensors: &[(String, Tensor)]) -> Vec<&(String, Tensor)> {
    let mut ordered: Vec<_> = tensors.iter().collect();
    ordered.sort_by(|a, b| a.0.cmp(&b.0));
    ordered
}

/// The bytes of a safetensors file: its checksum, metadata ordered by field, tensors ordered by key.
///
/// # Panics
/// If a tensor is of a kind that no model here uses (complex, quantised).
pub fn tensor_bytes(tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let ordered = ordered(tensors);
    let mut bytes = header(&ordered, metadata);
    ordered.iter().for_each(|(_, tensor)| bytes.extend(data(tensor)));
    seal::safetensors(&mut bytes);
    bytes
}

/// Write a safetensors file beside its place and rename it there, so that it is never half-written: the bytes of
/// [`tensor_bytes`], of which one tensor at a time is in memory.
///
/// # Errors
/// [`NnError::Io`].
///
/// # Panics
/// If a tensor is of a kind that no model here uses (complex, quantised).
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), NnError> {
    let io = |source| NnError::Io { path: path.into(), source };
    let ordered = ordered(tensors);
    let mut header = header(&ordered, metadata);
    let mut checksum = seal::SafetensorsSeal::new(&header);
    ordered.iter().for_each(|(_, tensor)| checksum.update(&data(tensor)));
    checksum.fill(&mut header);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let mut file = std::fs::File::create(&beside).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for (_, tensor) in &ordered {
        file.write_all(&data(tensor)).map_err(io)?;
    }
    file.sync_all().map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}

/// Read a whole safetensors file onto the CPU.
///
/// # Errors
/// [`NnError::Io`], or [`NnError::Format`] for a file that is cut short, lies about its lengths, or holds a type of
/// number this code does not read.
pub fn read_tensors(path: &Path) -> Result<TensorFile, NnError> {
    let bytes = std::fs::read(path).map_err(|source| NnError::Io { path: path.into(), source })?;
    parse_tensors(path, &bytes)
}

/// As [`read_tensors`], from bytes; `path` is for error messages.
///
/// # Errors
/// [`NnError::Format`].
pub fn parse_tensors(path: &Path, bytes: &[u8]) -> Result<TensorFile, NnError> {
    let wrong = |reason: String| NnError::Format { path: path.into(), reason };
    if seal::safetensors_holds(bytes) == Some(false) {
        return Err(wrong(format!("the bytes do not match `{}`, their checksum", seal::KEY)));
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(e.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(e.to_string()))?;
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let kind = kind_of(view.dtype())
            .ok_or_else(|| wrong(format!("tensor `{name}` is of type {:?}, which is not read here", view.dtype())))?;
        let size: Vec<i64> = view.shape().iter().map(|&d| d as i64).collect();
        let tensor =
            Tensor::f_from_data_size(view.data(), &size, kind).map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        tensors.insert(name.to_string(), tensor);
    }
    Ok(TensorFile { path: path.into(), metadata, tensors })
}
