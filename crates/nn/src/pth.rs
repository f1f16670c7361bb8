//! PyTorch's own checkpoint files, read as data: no class is looked up and no code of the file is run.
//!
//! Both layouts are known: the zip archive (PyTorch ≥ 1.6: `data.pkl` beside `data/KEY`), and the older stream of pickles
//! followed by raw storages. A pickle is a program for a stack machine; here its calls only build inert values, of which the
//! two that rebuild tensors are understood and every other is kept as an opaque object.

use crate::error::NnError;
use crate::weights::view_of;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// The tensors of a state dict. A checkpoint that wraps it (`state_dict`, `model`, …) is unwrapped.
///
/// # Errors
/// [`NnError::Format`] says what is not as expected.
pub(crate) fn read(path: &Path, bytes: &'static [u8]) -> Result<Vec<(String, Tensor)>, NnError> {
    let wrong = |reason: String| NnError::Archive { path: path.into(), reason };
    let (root, storages) = if bytes.starts_with(b"PK") { zipped(bytes) } else { legacy(bytes) }.map_err(wrong)?;
    let mut tensors = vec![];
    flatten(&unwrapped(&root), "", &storages, &mut tensors).map_err(wrong)?;
    if tensors.is_empty() {
        return Err(wrong("it holds no tensors by name".into()));
    }
    Ok(tensors)
}

type Storages = BTreeMap<String, &'static [u8]>;
type Found<T> = Result<T, String>;

#[derive(Clone, Debug)]
enum Value {
    None,
    Int(i64),
    Text(Rc<str>),
    Tuple(Rc<Vec<Value>>),
    List(Rc<RefCell<Vec<Value>>>),
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    Global(Rc<str>),
    Storage { kind: Kind, key: Rc<str> },
    Tensor(Rc<TensorPlan>),
    Opaque,
}

#[derive(Debug)]
struct TensorPlan {
    kind: Kind,
    storage: Rc<str>,
    offset: i64,
    size: Vec<i64>,
    stride: Vec<i64>,
}

impl Value {
    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    fn ints(&self) -> Option<Vec<i64>> {
        if let Self::Tuple(items) = self { items.iter().map(Self::int).collect() } else { None }
    }

    fn entry(&self, key: &str) -> Option<Value> {
        let Self::Dict(entries) = self else { return None };
        entries.borrow().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v.clone())
    }
}

/// The state dict inside a training checkpoint.
fn unwrapped(root: &Value) -> Value {
    let holds_tensors = |value: &Value| match value {
        Value::Dict(entries) => entries.borrow().iter().any(|(_, v)| matches!(v, Value::Tensor(_))),
        _ => false,
    };
    if holds_tensors(root) {
        return root.clone();
    }
    let names = ["state_dict", "model_state_dict", "model", "module", "net"];
    names.iter().filter_map(|name| root.entry(name)).find(|v| holds_tensors(v)).unwrap_or_else(|| root.clone())
}

fn flatten(value: &Value, prefix: &str, storages: &Storages, out: &mut Vec<(String, Tensor)>) -> Found<()> {
    match value {
        Value::Dict(entries) => {
            for (key, value) in entries.borrow().iter() {
                let Some(key) = key.text() else { continue };
                let name = if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
                flatten(value, &name, storages, out)?;
            }
        }
        Value::Tensor(plan) => out.push((prefix.to_string(), plan.build(prefix, storages)?)),
        _ => {}
    }
    Ok(())
}

impl TensorPlan {
    fn build(&self, name: &str, storages: &Storages) -> Found<Tensor> {
        let bytes =
            storages.get(&*self.storage).ok_or_else(|| format!("storage {} of `{name}` is missing", self.storage))?;
        let width = self.kind.elt_size_in_bytes();
        let held = (bytes.len() / width) as i64;
        let sane = self.size.len() == self.stride.len()
            && self.offset >= 0
            && self.size.iter().chain(&self.stride).all(|&n| (0..=i64::from(i32::MAX)).contains(&n));
        let empty = self.size.contains(&0);
        let reach = self.size.iter().zip(&self.stride).try_fold(self.offset, |sum, (&size, &stride)| {
            (size - 1).max(0).checked_mul(stride).and_then(|n| sum.checked_add(n))
        });
        if !sane || (!empty && reach.is_none_or(|last| last >= held)) {
            return Err(format!("`{name}` reaches beyond its storage of {held} values"));
        }
        if empty {
            return Ok(Tensor::zeros(&self.size, (self.kind, tch::Device::Cpu)));
        }
        let whole = view_of(bytes, &[held], self.kind);
        Ok(whole.as_strided(&self.size, &self.stride, self.offset))
    }
}

fn storage_kind(global: &str) -> Option<Kind> {
    Some(match global.rsplit('.').next()? {
        "FloatStorage" => Kind::Float,
        "DoubleStorage" => Kind::Double,
        "HalfStorage" => Kind::Half,
        "BFloat16Storage" => Kind::BFloat16,
        "LongStorage" => Kind::Int64,
        "IntStorage" => Kind::Int,
        "ShortStorage" => Kind::Int16,
        "CharStorage" => Kind::Int8,
        "ByteStorage" => Kind::Uint8,
        "BoolStorage" => Kind::Bool,
        _ => return None,
    })
}

/// What a call gives. Nothing is called: these are the shapes of known results.
fn called(function: &Value, arguments: &Value) -> Found<Value> {
    let (Value::Global(name), Value::Tuple(args)) = (function, arguments) else { return Ok(Value::Opaque) };
    Ok(match &**name {
        "collections.OrderedDict" | "collections.defaultdict" => Value::Dict(Rc::default()),
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            args.first().cloned().unwrap_or(Value::Opaque)
        }
        "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => {
            let plan = match args.as_slice() {
                [Value::Storage { kind, key }, offset, size, stride, ..] => (|| {
                    let (offset, size, stride) = (offset.int()?, size.ints()?, stride.ints()?);
                    Some(TensorPlan { kind: *kind, storage: key.clone(), offset, size, stride })
                })(),
                _ => None,
            };
            Value::Tensor(Rc::new(plan.ok_or("a tensor is described in a way that is not known")?))
        }
        _ => Value::Opaque,
    })
}

/// The `persistent_id` of a storage: `("storage", type, key, device, count, …)`.
fn storage(id: &Value) -> Found<Value> {
    let known = match id {
        Value::Tuple(parts) => match parts.as_slice() {
            [Value::Text(tag), Value::Global(kind), Value::Text(key), ..] if &**tag == "storage" => {
                storage_kind(kind).map(|kind| Value::Storage { kind, key: key.clone() })
            }
            _ => None,
        },
        _ => None,
    };
    known.ok_or_else(|| "it refers to a storage of a kind that is not known".to_string())
}

/// Bytes read from the front.
struct Reader {
    bytes: &'static [u8],
    at: usize,
}

impl Reader {
    fn take(&mut self, count: usize) -> Found<&'static [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or("it is cut short")?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn number(&mut self, width: usize) -> Found<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn signed(&mut self, width: usize) -> Found<i64> {
        if width == 0 || width > 8 {
            return if width == 0 { Ok(0) } else { self.take(width).map(|_| i64::MAX) };
        }
        let shift = 64 - 8 * width as u32;
        Ok(((self.number(width)? << shift) as i64) >> shift)
    }

    fn line(&mut self) -> Found<&'static str> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let length = rest.iter().position(|&b| b == b'\n').ok_or("it is cut short")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|e| e.to_string())
    }

    fn text(&mut self, count: usize) -> Found<Value> {
        let text = std::str::from_utf8(self.take(count)?).map_err(|e| e.to_string())?;
        Ok(Value::Text(text.into()))
    }
}

/// The stack machine of one pickle.
fn unpickle(reader: &mut Reader) -> Found<Value> {
    let mut stack: Vec<Value> = vec![];
    let mut marks: Vec<usize> = vec![];
    let mut memo: BTreeMap<u64, Value> = BTreeMap::new();
    let short = || "a pickle takes more from its stack than is there".to_string();
    loop {
        let op = reader.number(1)? as u8;
        match op {
            0x80 => drop(reader.take(1)?),
            0x95 => drop(reader.take(8)?),
            b'.' => return stack.pop().ok_or_else(short),
            b'(' => marks.push(stack.len()),
            b'N' => stack.push(Value::None),
            0x88 => stack.push(Value::Int(1)),
            0x89 => stack.push(Value::Int(0)),
            b'J' => stack.push(Value::Int(reader.signed(4)?)),
            b'K' => stack.push(Value::Int(reader.number(1)? as i64)),
            b'M' => stack.push(Value::Int(reader.number(2)? as i64)),
            0x8a => {
                let width = reader.number(1)? as usize;
                stack.push(Value::Int(reader.signed(width)?));
            }
            b'G' => {
                reader.take(8)?;
                stack.push(Value::Opaque);
            }
            b'X' | b'T' => {
                let count = reader.number(4)? as usize;
                stack.push(reader.text(count)?);
            }
            0x8c | b'U' => {
                let count = reader.number(1)? as usize;
                stack.push(reader.text(count).unwrap_or(Value::Opaque));
            }
            b'C' | b'B' | 0x8e => {
                let count = reader.number(match op {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                })? as usize;
                reader.take(count)?;
                stack.push(Value::Opaque);
            }
            b')' => stack.push(Value::Tuple(Rc::default())),
            b']' => stack.push(Value::List(Rc::default())),
            b'}' => stack.push(Value::Dict(Rc::default())),
            0x8f => stack.push(Value::Opaque),
            b'c' => {
                let name = format!("{}.{}", reader.line()?, reader.line()?);
                stack.push(Value::Global(name.into()));
            }
            0x93 => {
                let (name, module) = (stack.pop().ok_or_else(short)?, stack.pop().ok_or_else(short)?);
                let name = format!("{}.{}", module.text().unwrap_or_default(), name.text().unwrap_or_default());
                stack.push(Value::Global(name.into()));
            }
            b'q' | b'r' | 0x94 => {
                let key = match op {
                    b'q' => reader.number(1)?,
                    b'r' => reader.number(4)?,
                    _ => memo.len() as u64,
                };
                memo.insert(key, stack.last().ok_or_else(short)?.clone());
            }
            b'h' | b'j' => {
                let key = reader.number(if op == b'h' { 1 } else { 4 })?;
                stack.push(memo.get(&key).ok_or("a pickle recalls what it never stored")?.clone());
            }
            0x85..=0x87 => {
                let at = stack.len().checked_sub(usize::from(op - 0x84)).ok_or_else(short)?;
                let items = stack.split_off(at);
                stack.push(Value::Tuple(Rc::new(items)));
            }
            b't' | b'l' | b'd' | b'e' | b'u' | 0x90 => {
                let mark = marks.pop().filter(|&m| m <= stack.len()).ok_or_else(short)?;
                let items = stack.split_off(mark);
                let pairs = |items: &[Value]| -> Vec<(Value, Value)> {
                    items.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).collect()
                };
                match op {
                    b't' => stack.push(Value::Tuple(Rc::new(items))),
                    b'l' => stack.push(Value::List(Rc::new(RefCell::new(items)))),
                    b'd' => stack.push(Value::Dict(Rc::new(RefCell::new(pairs(&items))))),
                    _ => match stack.last().ok_or_else(short)? {
                        Value::List(list) if op == b'e' => list.borrow_mut().extend(items),
                        Value::Dict(dict) if op == b'u' => dict.borrow_mut().extend(pairs(&items)),
                        _ => {}
                    },
                }
            }
            b'a' => {
                let item = stack.pop().ok_or_else(short)?;
                if let Value::List(list) = stack.last().ok_or_else(short)? {
                    list.borrow_mut().push(item);
                }
            }
            b's' => {
                let (value, key) = (stack.pop().ok_or_else(short)?, stack.pop().ok_or_else(short)?);
                if let Value::Dict(dict) = stack.last().ok_or_else(short)? {
                    dict.borrow_mut().push((key, value));
                }
            }
            b'Q' => {
                let id = stack.pop().ok_or_else(short)?;
                stack.push(storage(&id)?);
            }
            b'R' | 0x81 => {
                let (arguments, function) = (stack.pop().ok_or_else(short)?, stack.pop().ok_or_else(short)?);
                stack.push(called(&function, &arguments)?);
            }
            b'b' => drop(stack.pop().ok_or_else(short)?),
            b'0' => drop(stack.pop().ok_or_else(short)?),
            b'2' => stack.push(stack.last().ok_or_else(short)?.clone()),
            b'1' => {
                let mark = marks.pop().ok_or_else(short)?;
                stack.truncate(mark);
            }
            other => return Err(format!("a pickle uses operation 0x{other:02x}, which is not read here")),
        }
    }
}

/// Magic number at the head of the older layout.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

fn legacy(bytes: &'static [u8]) -> Found<(Value, Storages)> {
    let mut reader = Reader { bytes, at: 0 };
    if !bytes.windows(LEGACY_MAGIC.len()).take(16).any(|w| w == LEGACY_MAGIC) {
        return Err("it is neither a zip archive nor a stream of pickles as torch.save writes them".into());
    }
    for _ in 0..3 {
        unpickle(&mut reader)?; // magic number, protocol version, facts about the system
    }
    let root = unpickle(&mut reader)?;
    let Value::List(keys) = unpickle(&mut reader)? else { return Err("the list of storages is missing".into()) };
    let mut kinds = BTreeMap::new();
    collect_kinds(&root, &mut kinds);
    let mut storages = Storages::new();
    for key in keys.borrow().iter() {
        let key = key.text().ok_or("a storage has no name")?;
        let count = reader.number(8)? as usize;
        let width = kinds.get(key).copied().ok_or_else(|| format!("storage {key} belongs to no tensor"))?;
        let length = count.checked_mul(width).ok_or("it is cut short")?;
        storages.insert(key.to_string(), reader.take(length)?);
    }
    Ok((root, storages))
}

fn collect_kinds(value: &Value, kinds: &mut BTreeMap<String, usize>) {
    match value {
        Value::Tensor(plan) => {
            kinds.insert(plan.storage.to_string(), plan.kind.elt_size_in_bytes());
        }
        Value::Dict(entries) => entries.borrow().iter().for_each(|(_, v)| collect_kinds(v, kinds)),
        Value::List(items) => items.borrow().iter().for_each(|v| collect_kinds(v, kinds)),
        Value::Tuple(items) => items.iter().for_each(|v| collect_kinds(v, kinds)),
        _ => {}
    }
}

fn zipped(bytes: &'static [u8]) -> Found<(Value, Storages)> {
    let members = members(bytes)?;
    let pickle = (members.iter().find(|(name, _)| name.ends_with("/data.pkl") || *name == "data.pkl"))
        .ok_or("the archive has no data.pkl; torch.jit archives are not read here")?;
    let folder = pickle.0.trim_end_matches("data.pkl");
    let order = members.iter().find(|(name, _)| *name == format!("{folder}byteorder"));
    if order.is_some_and(|(_, order)| *order != b"little") {
        return Err("its numbers are big-endian".into());
    }
    let data = format!("{folder}data/");
    let storages =
        members.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(&data)?.to_string(), *bytes))).collect();
    Ok((unpickle(&mut Reader { bytes: pickle.1, at: 0 })?, storages))
}

/// Names and contents of an archive whose members are stored without compression, as PyTorch's are.
fn members(bytes: &'static [u8]) -> Found<Vec<(String, &'static [u8])>> {
    let tail = bytes.len().saturating_sub(22 + 65_535);
    let end = bytes[tail..].windows(4).rposition(|w| w == b"PK\x05\x06").ok_or("the archive has no directory")? + tail;
    let mut reader = Reader { bytes, at: end + 10 };
    let (mut count, _, mut start) = (reader.number(2)?, reader.number(4)?, reader.number(4)?);
    if end >= 20 && bytes[end - 20..].starts_with(b"PK\x06\x07") {
        reader.at = end - 20 + 8;
        reader.at = reader.number(8)? as usize + 32; // the zip64 record: entries, size, offset
        (count, _, start) = (reader.number(8)?, reader.number(8)?, reader.number(8)?);
    }
    reader.at = start as usize;
    let mut found = vec![];
    for _ in 0..count {
        if reader.take(4)? != b"PK\x01\x02" {
            return Err("the archive's directory is damaged".into());
        }
        reader.take(6)?;
        let method = reader.number(2)?;
        reader.take(8)?;
        let (_, mut size) = (reader.number(4)?, reader.number(4)?);
        let (name, extra, comment) = (reader.number(2)?, reader.number(2)?, reader.number(2)?);
        reader.take(8)?;
        let mut offset = reader.number(4)?;
        let name = String::from_utf8_lossy(reader.take(name as usize)?).into_owned();
        let mut extra = Reader { bytes: reader.take(extra as usize)?, at: 0 };
        while extra.at + 4 <= extra.bytes.len() {
            let (tag, length) = (extra.number(2)?, extra.number(2)? as usize);
            let mut field = Reader { bytes: extra.take(length)?, at: 0 };
            if tag == 1 {
                if size == 0xffff_ffff {
                    size = field.number(8)?;
                    let _packed = field.number(8)?;
                }
                if offset == 0xffff_ffff {
                    offset = field.number(8)?;
                }
            }
        }
        reader.take(comment as usize)?;
        if method != 0 {
            return Err(format!("`{name}` is compressed; expected an archive written by torch.save"));
        }
        let mut local = Reader { bytes, at: offset as usize + 26 };
        let skip = local.number(2)? + local.number(2)?;
        local.take(skip as usize)?;
        found.push((name, local.take(size as usize)?));
    }
    Ok(found)
}
