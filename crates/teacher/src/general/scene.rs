//! A student's tokens as input of a language model: each named group goes through an adapter of its own and stands in the prompt
//! where the prompt says `<name>`. [`Woven::spans`] says afterwards which places are whose, so that a group's hidden states can
//! be taken at any layer ([`Woven::state`]; DiMA takes the ego token's, at the last but one).

use super::decoder::{Language, Part, Woven};
use super::tokens::ModelTokenizer;
use crate::TeacherError;
use apprentice_nn::qformer::{QFormer, QFormerConfig};
use apprentice_nn::{Activation, LayerNorm, Mlp, Path};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// How a group's tokens become vectors of the language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// One vector a token: a norm and a perceptron with this many hidden channels.
    Mlp(i64),
    /// A fixed number of vectors.
    QFormer(QFormerConfig),
}

/// A named group of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// As in the prompt, between angle brackets.
    pub name: String,
    /// Channels of its tokens.
    pub width: i64,
    /// Its adapter.
    pub kind: GroupKind,
}

#[derive(Debug)]
enum Group {
    Mlp(LayerNorm, Mlp),
    QFormer(Box<QFormer>),
}

/// One adapter a group.
#[derive(Debug)]
pub struct SceneAdapters {
    groups: Vec<(GroupConfig, Group)>,
}

impl SceneAdapters {
    /// Keys `<name>.…` under `path`; `width` is the language model's.
    ///
    /// # Errors
    /// [`TeacherError::Config`] names a group that cannot be built, or that is there twice.
    pub fn new(path: &Path, width: i64, groups: &[GroupConfig]) -> Result<Self, TeacherError> {
        let mut built: Vec<(GroupConfig, Group)> = vec![];
        for config in groups {
            let wrong =
                |reason: &str| Err(TeacherError::Config { reason: format!("groups.{}: {reason}", config.name) });
            if config.name.is_empty() || config.name.contains(['<', '>', '.']) {
                return wrong("a name has letters and no `<`, `>` or `.`");
            }
            if built.iter().any(|(other, _)| other.name == config.name) {
                return wrong("it is there twice");
            }
            let place = path / &config.name;
            let group = match config.kind {
                GroupKind::Mlp(hidden) if hidden > 0 && config.width > 0 => {
                    let mlp = Mlp::new(&(&place / "mlp"), &[config.width, hidden, width], Activation::Gelu);
                    Group::Mlp(LayerNorm::new(&(&place / "norm"), config.width), mlp)
                }
                GroupKind::QFormer(q) if q.heads > 0 && q.width > 0 && q.width % q.heads == 0 && q.queries > 0 => {
                    Group::QFormer(Box::new(QFormer::new(&place, q, config.width, width)))
                }
                _ => return wrong("widths, queries and heads must be positive, and heads divide the width"),
            };
            built.push((config.clone(), group));
        }
        Ok(Self { groups: built })
    }

    /// The parts of a prompt in which each group stands once as `<name>`; `scene` gives each group's tokens `[n, width]`.
    /// Gradients flow back to the tokens and to the adapters.
    ///
    /// # Errors
    /// [`TeacherError::Config`] names a group without tokens or without a place, or a placeholder that is there twice.
    pub fn parts(
        &self,
        tokenizer: &ModelTokenizer,
        prompt: &str,
        scene: &[(&str, &Tensor)],
    ) -> Result<Vec<Part>, TeacherError> {
        let wrong = |reason: String| TeacherError::Config { reason: format!("prompt: {reason}") };
        let mut places = vec![];
        for (config, group) in &self.groups {
            let mark = format!("<{}>", config.name);
            let found: Vec<usize> = prompt.match_indices(&mark).map(|(at, _)| at).collect();
            let [at] = found[..] else {
                return Err(wrong(format!("`{mark}` must stand in it once, it is there {} times", found.len())));
            };
            let Some((_, tokens)) = scene.iter().find(|(name, _)| *name == config.name) else {
                return Err(wrong(format!("no tokens are given for `{mark}`")));
            };
            let size = tokens.size();
            if size.len() != 2 || size[1] != config.width {
                let (name, width) = (config.name.clone(), config.width);
                return Err(TeacherError::Vectors { name, width, found: size });
            }
            let vectors = match group {
                Group::Mlp(norm, mlp) => mlp.forward(&norm.forward(tokens)),
                Group::QFormer(former) => former.forward(&tokens.unsqueeze(0)).squeeze_dim(0),
            };
            places.push((at, mark.len(), config.name.clone(), vectors));
        }
        if let Some((name, _)) = scene.iter().find(|(name, _)| !self.groups.iter().any(|(c, _)| c.name == *name)) {
            return Err(wrong(format!("there is no adapter for the tokens `{name}`")));
        }
        places.sort_by_key(|(at, ..)| *at);
        let (mut parts, mut start) = (vec![], 0);
        for (at, length, name, vectors) in places {
            parts.push(Part::Tokens(tokenizer.encode(&prompt[start..at], start == 0)?));
            parts.push(Part::Vectors { name, token: 0, vectors, grid: None });
            start = at + length;
        }
        parts.push(Part::Tokens(tokenizer.encode(&prompt[start..], start == 0)?));
        Ok(parts)
    }
}

impl Woven {
    /// Hidden states `[n, D]` of a named group after `layer` blocks; what lies above is not computed. `None` when there is no
    /// such group.
    pub fn state(&self, language: &Language, name: &str, layer: usize) -> Option<Tensor> {
        let (_, span) = self.spans.iter().find(|(n, _)| n == name)?;
        Some(self.hidden_at(language, layer).narrow(0, span.start as i64, span.len() as i64))
    }
}
