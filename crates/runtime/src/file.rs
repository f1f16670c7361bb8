//! Reading what an exported file promises, without running it.

use crate::RuntimeError;
use apprentice_core::{Contract, seal};
use prost::Message;
use std::path::Path;

/// The two fields of ONNX's ModelProto that matter here; the others are skipped unread.
#[derive(Clone, PartialEq, prost::Message)]
struct ModelMetadata {
    #[prost(bytes = "vec", optional, tag = "7")]
    graph: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Property>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Property {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Read a file's bytes and its contract.
///
/// # Errors
/// When the file is unreadable, is no ONNX model, has no contract, or one that cannot be honoured.
pub fn read_contract(path: &Path) -> Result<(Vec<u8>, Contract), RuntimeError> {
    let bytes = std::fs::read(path).map_err(|source| RuntimeError::Read { path: path.into(), source })?;
    let format = |reason: String| RuntimeError::Format { path: path.into(), reason };
    if seal::onnx_holds(&bytes) == Some(false) {
        return Err(format(format!("the bytes do not match `{}`, their checksum", seal::KEY)));
    }
    let model = ModelMetadata::decode(bytes.as_slice()).map_err(|e| format(e.to_string()))?;
    if model.graph.is_none() {
        return Err(format("it holds no graph".into()));
    }
    let json = model
        .metadata_props
        .iter()
        .find(|p| p.key == "apprentice.contract")
        .map(|p| p.value.clone())
        .ok_or_else(|| RuntimeError::NoContract { path: path.into() })?;
    let contract =
        Contract::parse(&json, "student").map_err(|source| RuntimeError::Contract { path: path.into(), source })?;
    Ok((bytes, contract))
}
