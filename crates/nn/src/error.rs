//! What can go wrong with weights on disk.

use apprentice_core::Hint;
use std::path::PathBuf;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a whole safetensors file.
    #[error("{path}: not a whole safetensors file: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file lacks a metadata field.
    #[error("{path}: metadata field `{field}` is missing", path = path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Name of the field.
        field: String,
    },
    /// The folder holds no checkpoint.
    #[error("{path}: expected weights here: model.safetensors, model.safetensors.index.json or pytorch_model.bin", path = path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// The file holds no image backbone that is known.
    #[error("{path}: expected a ResNet, an EfficientNet or an EVA-02 under the names of torchvision, timm or ORION; found names such as {names}", path = path.display())]
    NoBackbone {
        /// The file.
        path: PathBuf,
        /// Some of its names.
        names: String,
    },
    /// A PyTorch checkpoint that is not read.
    #[error("{path}: not a checkpoint that is read here: {reason}", path = path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A shard is not there.
    #[error("{path}: this shard is missing; {index} expects {tensors} tensors in it ({shards} shards in all)", path = path.display(), index = index.display())]
    MissingShard {
        /// The shard.
        path: PathBuf,
        /// The file that names it.
        index: PathBuf,
        /// Shards the index names.
        shards: usize,
        /// Tensors the index places in this one.
        tensors: usize,
    },
    /// A tensor holds numbers of a type that is not read here.
    #[error("{path}: tensor `{name}` is of type {found}; expected F32, F16, BF16, F64 or whole numbers", path = path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// An adapter that cannot be put on this model.
    #[error("{path}: {reason}", path = path.display())]
    Adapter {
        /// The adapter's file or folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The tensors differ from what the model needs.
    #[error("{path}: the tensors differ from what the model needs\n{difference}", path = path.display())]
    Difference {
        /// The file.
        path: PathBuf,
        /// One line per missing, unexpected or mis-shaped tensor.
        difference: String,
    },
}

impl Hint for NnError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => Some(match source.kind() {
                std::io::ErrorKind::NotFound => "check the path, or train the model first".into(),
                std::io::ErrorKind::StorageFull => "free some disk space and run the same command again".into(),
                _ => "check the path and its permissions".into(),
            }),
            Self::Format { .. } => {
                Some("the file was cut short or is something else; copy it again, or train again".into())
            }
            Self::NoWeights { .. } => {
                Some("name the folder of one model as it was downloaded, with config.json and its weights".into())
            }
            Self::NoBackbone { .. } => {
                Some("give the names of its tensors those of torchvision with `teacher import` and a name map".into())
            }
            Self::Archive { .. } => Some(
                "copy the file again, or write the model's state_dict() to a .safetensors file where it was made"
                    .into(),
            ),
            Self::MissingShard { .. } => Some("download that file too, into the same folder".into()),
            Self::Dtype { .. } => Some(
                "take the checkpoint in float32, float16 or bfloat16; packed 4-bit and float8 files are not read"
                    .into(),
            ),
            Self::Adapter { .. } => {
                Some("an adapter fits only the model it was trained on; check its target names".into())
            }
            Self::Metadata { .. } => Some("the file was not written by apprentice; train or export again".into()),
            Self::Difference { .. } => Some(
                "load it with the configuration it was trained with (config.json, or the file's own contract)".into(),
            ),
        }
    }
}
