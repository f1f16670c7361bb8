//! Lessons as tensors: several questions about one scene share one reading of it.
//!
//! After the prefix (scene and planning token) stand the branches `<user> question <assistant> answer <eos>`. Each branch
//! reads the prefix and itself, never another branch, and its positions go on from the prefix.
//!
//! B batch, P prefix length, T text length (the longest of the batch), R answer tokens of the batch.

use crate::Lesson;
use tch::{Device, Kind, Tensor};

/// The text of one batch.
#[derive(Debug)]
pub struct TextBatch {
    /// `[B, T]`.
    pub ids: Tensor,
    /// Rotary positions, `[B, T]`, from 0 at the start of each branch.
    pub positions: Tensor,
    /// Same branch and not later, `[B, T, T]` (bool).
    pub allowed: Tensor,
    /// Places in B·T after which an answer token must come, `[R]`.
    pub places: Tensor,
    /// These answer tokens, `[R]`.
    pub targets: Tensor,
}

impl TextBatch {
    /// Lay out lessons; `lessons[b]` are those of sample b. `None` when there are none at all.
    pub fn new(lessons: &[Vec<Lesson>], pad: i64, device: Device) -> Option<Self> {
        let branches: Vec<Vec<(Vec<i64>, usize)>> =
            lessons.iter().map(|of_sample| of_sample.iter().map(Lesson::ids).collect()).collect();
        let length = |of_sample: &Vec<(Vec<i64>, usize)>| of_sample.iter().map(|(ids, _)| ids.len()).sum::<usize>();
        let (batch, width) = (lessons.len(), branches.iter().map(length).max().unwrap_or(0));
        if width == 0 {
            return None;
        }
        let mut ids = vec![pad; batch * width];
        let mut positions = vec![0i64; batch * width];
        let mut allowed = vec![false; batch * width * width];
        let (mut places, mut targets) = (vec![], vec![]);
        for (b, of_sample) in branches.iter().enumerate() {
            let mut start = 0;
            for (branch, first_answer) in of_sample {
                for (i, &id) in branch.iter().enumerate() {
                    let row = b * width + start + i;
                    ids[row] = id;
                    positions[row] = i as i64;
                    allowed[row * width + start..=row * width + start + i].fill(true);
                    if i + 1 >= *first_answer && i + 1 < branch.len() {
                        places.push(row as i64);
                        targets.push(branch[i + 1]);
                    }
                }
                start += branch.len();
            }
            for i in start..width {
                allowed[(b * width + i) * width + i] = true;
            }
        }
        let shape = [batch as i64, width as i64];
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        Some(Self {
            ids: tensor(&ids).reshape(shape),
            positions: tensor(&positions).reshape(shape),
            allowed: Tensor::from_slice(&allowed).reshape([shape[0], shape[1], shape[1]]).to_device(device),
            places: tensor(&places),
            targets: tensor(&targets),
        })
    }

    /// T.
    pub fn width(&self) -> i64 {
        self.ids.size()[1]
    }
}

/// What may look at what in the prefix `<bos> <scene> vision… <plan>`: all but `<plan>` at each other, `<plan>` at all.
///
/// # Shapes
/// `[P, P]` (bool).
pub fn prefix_mask(length: i64, device: Device) -> Tensor {
    let mask = Tensor::ones([length, length], (Kind::Bool, device));
    let _ = mask.narrow(0, 0, length - 1).narrow(1, length - 1, 1).fill_(0);
    mask
}

/// Prefix and text together: text reads the whole prefix, the prefix never reads text.
///
/// # Shapes
/// `[B, P + T, P + T]` (bool).
pub fn joint_mask(prefix: i64, text: &TextBatch) -> Tensor {
    let (batch, width) = text.ids.size2().expect("ids are [B, T]");
    let options = (Kind::Bool, text.ids.device());
    let above = Tensor::cat(
        &[
            &prefix_mask(prefix, options.1).unsqueeze(0).expand([batch, prefix, prefix], false),
            &Tensor::zeros([batch, prefix, width], options),
        ],
        2,
    );
    let below = Tensor::cat(&[&Tensor::ones([batch, width, prefix], options), &text.allowed], 2);
    Tensor::cat(&[&above, &below], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextTokenizer;
    use apprentice_core::sample::QuestionAnswer;

    #[test]
    fn branches_are_apart_and_only_answers_are_scored() {
        let tokenizer = TextTokenizer::train(["is it red? yes no maybe"].into_iter(), 300).unwrap();
        let lesson = |question: &str, answer: &str| {
            let qa = QuestionAnswer { kind: "k".into(), question: question.into(), answer: answer.into() };
            Lesson::new(&tokenizer, &qa).unwrap()
        };
        let (a, b) = (lesson("is it red?", "yes"), lesson("red?", "no"));
        let (la, lb) = (a.ids().0.len() as i64, b.ids().0.len() as i64);
        let text = TextBatch::new(&[vec![a.clone(), b], vec![a]], 0, Device::Cpu).unwrap();
        assert_eq!(text.width(), la + lb);
        let may = |row: i64, i: i64, j: i64| text.allowed.int64_value(&[row, i, j]) != 0;
        assert!(may(0, la, la) && !may(0, la, la - 1) && may(0, la - 1, 0) && !may(0, 0, 1));
        assert_eq!(text.positions.int64_value(&[0, la]), 0);
        // Sample 1 is padded: its padding looks at itself alone.
        assert!(may(1, la, la) && !may(1, la, 0));
        let answers = |words: &str| tokenizer.encode(words).unwrap().len() as i64 + 1;
        assert_eq!(text.targets.size()[0], 2 * answers("yes") + answers("no"));
        assert!(TextBatch::new(&[vec![], vec![]], 0, Device::Cpu).is_none());
        let joint = joint_mask(4, &text);
        let sees = |i: i64, j: i64| joint.int64_value(&[0, i, j]) != 0;
        assert!(sees(0, 2) && !sees(0, 3) && sees(3, 3) && !sees(3, 4) && sees(4, 3) && sees(4, 0));
    }
}
