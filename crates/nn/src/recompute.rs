//! Gradients without holding every activation: checkpointing (Chen et al. 2016), and cross-entropy without all logits.
//!
//! libtorch's own checkpointing lives in Python, and `tch` has no custom backward. So the gradients are worked out here, piece
//! by piece, and handed on as a scalar whose value is the loss and whose gradient is the one found ([`with_gradients`]): any
//! optimiser, and any graph before the inputs, takes it as it takes a loss.
//!
//! N rows, D width, V vocabulary.

use tch::{Kind, Tensor, no_grad};

/// Logits of a piece of the vocabulary's table that are held together.
const LOGITS: i64 = 4 << 20;

/// A scalar with this value and, for each of some tensors, this gradient.
pub fn with_gradients(value: &Tensor, known: &[(&Tensor, &Tensor)]) -> Tensor {
    let value = value.detach();
    let part = |(tensor, gradient): &(&Tensor, &Tensor)| flat_dot(tensor, gradient);
    let Some(sum) = known.iter().map(part).reduce(|a, b| a + b) else { return value };
    value + (&sum - sum.detach())
}

/// Σ a · b in f32; the gradient with respect to `a` is `b`.
fn flat_dot(a: &Tensor, b: &Tensor) -> Tensor {
    let wide = |t: &Tensor| t.reshape([-1]).to_kind(Kind::Float);
    wide(a).dot(&wide(&b.detach()))
}

/// A step of a chain: what it makes of its input.
pub type Segment<'a> = Box<dyn Fn(&Tensor) -> Tensor + 'a>;

/// `loss(segment_n(… segment_1(input)))`, with the activations of one segment at a time: what each segment reads is kept, and it
/// is run again when its gradient is wanted. Gradients reach `input` and `reached`: everything that segments and loss read
/// beside their input and that something is to be learned about.
///
/// The segments must give the same values when they are run again.
pub fn checkpointed(
    segments: &[Segment<'_>],
    input: &Tensor,
    reached: &[Tensor],
    loss: impl FnOnce(&Tensor) -> Tensor,
) -> Tensor {
    let mut kept = vec![input.detach()];
    no_grad(|| {
        for segment in segments {
            let next = segment(&kept[kept.len() - 1]);
            kept.push(next);
        }
    });
    let mut gradients: Vec<Option<Tensor>> = reached.iter().map(|_| None).collect();
    let mut back = |scalar: &Tensor, x: &Tensor| -> Option<Tensor> {
        let targets: Vec<&Tensor> = reached.iter().chain(x.requires_grad().then_some(x)).collect();
        if targets.is_empty() {
            return None;
        }
        let mut found = Tensor::run_backward(&[scalar], &targets, false, false);
        let of_input = if x.requires_grad() { found.pop() } else { None };
        no_grad(|| {
            for (sum, new) in gradients.iter_mut().zip(found).filter(|(_, new)| new.defined()) {
                *sum = Some(match sum.take() {
                    None => new,
                    Some(old) => old + new,
                });
            }
        });
        of_input
    };
    let last = kept.pop().expect("the input is kept").detach();
    // Without a segment, the loss reads the input itself.
    let wanted = !segments.is_empty() || input.requires_grad();
    let last = last.set_requires_grad(wanted);
    let value = loss(&last);
    let mut upstream = back(&value, &last);
    let value = value.detach();
    drop(last);
    for (index, segment) in segments.iter().enumerate().rev() {
        let Some(above) = upstream.filter(Tensor::defined) else {
            upstream = None;
            break;
        };
        let x = kept.pop().expect("one input for each segment").detach();
        let x = x.set_requires_grad(index > 0 || input.requires_grad());
        let y = segment(&x);
        upstream = back(&flat_dot(&y, &above), &x);
    }
    let mut known: Vec<(&Tensor, &Tensor)> = vec![];
    if let Some(of_input) = upstream.as_ref().filter(|g| input.requires_grad() && g.defined()) {
        known.push((input, of_input));
    }
    known.extend(reached.iter().zip(&gradients).filter_map(|(tensor, g)| g.as_ref().map(|g| (tensor, g))));
    with_gradients(&value, &known)
}

/// Mean cross-entropy of targets under the logits `hidden · weightᵀ`, without ever holding all logits: a few rows at a time,
/// each with its gradient. Gradients reach `hidden`, and `weight` where it is trained.
///
/// # Shapes
/// hidden `[N, D]`, weight `[V, D]`, targets `[N]` (int64) → scalar (f32).
pub fn cross_entropy(hidden: &Tensor, weight: &Tensor, targets: &Tensor) -> Tensor {
    let (count, _) = hidden.size2().expect("hidden states are [N, D]");
    let step = (LOGITS / weight.size()[0]).clamp(1, count.max(1));
    let wanted = (hidden.requires_grad(), weight.requires_grad());
    let mut sum = Tensor::zeros([], (Kind::Float, hidden.device()));
    let mut of_hidden = vec![];
    let mut of_weight: Option<Tensor> = None;
    no_grad(|| {
        let mut start = 0;
        while start < count {
            let rows = step.min(count - start);
            let (h, t) = (hidden.narrow(0, start, rows), targets.narrow(0, start, rows).unsqueeze(1));
            let mut likely = h.linear::<&Tensor>(weight, None).log_softmax(-1, Kind::Float);
            let _ = sum.g_sub_(&likely.gather(1, &t, false).sum(Kind::Float));
            if wanted.0 || wanted.1 {
                // Softmax minus one-hot, over N.
                let mut slope = likely.exp_();
                let one = Tensor::full([rows, 1], -1.0, (Kind::Float, h.device()));
                let slope = slope.scatter_add_(1, &t, &one).g_mul_scalar_(1.0 / count as f64).to_kind(h.kind());
                if wanted.0 {
                    of_hidden.push(slope.matmul(weight));
                }
                if wanted.1 {
                    let more = slope.tr().matmul(&h);
                    of_weight = Some(match of_weight.take() {
                        None => more,
                        Some(old) => old + more,
                    });
                }
            }
            start += rows;
        }
    });
    let value = sum / count as f64;
    let of_hidden = (!of_hidden.is_empty()).then(|| Tensor::cat(&of_hidden, 0));
    let known = [(hidden, of_hidden.as_ref()), (weight, of_weight.as_ref())];
    let known: Vec<_> = known.into_iter().filter_map(|(tensor, g)| g.map(|g| (tensor, g))).collect();
    with_gradients(&value, &known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise;

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn a_chain_with_recomputation_has_the_plain_gradients() {
        let leaf = |key: u64, shape: &[i64]| noise(&[key], shape).set_requires_grad(true);
        let (w1, w2, gain, x) = (leaf(1, &[6, 6]), leaf(2, &[6, 6]), leaf(3, &[6]), leaf(4, &[3, 6]));
        let first = |x: &Tensor| x.matmul(&w1).tanh();
        // The gain is read by both a segment and the loss.
        let second = |x: &Tensor| (x.matmul(&w2) * &gain).tanh();
        let loss = |x: &Tensor| (x * &gain).square().mean(Kind::Float);
        let all = [&w1, &w2, &gain, &x];
        let plain = loss(&second(&first(&x)));
        let theirs = Tensor::run_backward(&[&plain], &all, false, false);
        let segments: Vec<Segment<'_>> = vec![Box::new(first), Box::new(second)];
        let reached = [&w1, &w2, &gain].map(Tensor::shallow_clone);
        let ours = checkpointed(&segments, &x, &reached, loss);
        assert!(far(&ours, &plain) < 1e-7);
        for (ours, theirs) in Tensor::run_backward(&[&ours], &all, false, false).iter().zip(&theirs) {
            assert!(far(ours, theirs) < 1e-6);
        }
        // What comes before the input learns too.
        let before = leaf(5, &[3, 6]);
        let scaled = &before * 2.0;
        let ours = checkpointed(&segments, &scaled, &reached, loss);
        let plain = loss(&second(&first(&scaled)));
        let [a, b] = [ours, plain].map(|l| Tensor::run_backward(&[&l], &[&before], true, false).remove(0));
        assert!(far(&a, &b) < 1e-6);
        // A frozen input asks for nothing.
        let frozen = checkpointed(&segments, &x.detach(), &reached, loss);
        assert!(far(&Tensor::run_backward(&[&frozen], &[&w1], false, false)[0], &theirs[0]) < 1e-6);
    }

    #[test]
    fn cross_entropy_in_pieces_is_cross_entropy() {
        // Three pieces: the table is too long for one.
        let vocabulary = LOGITS / 2 + 1;
        let hidden = noise(&[1], &[5, 2]).set_requires_grad(true);
        let weight = Tensor::arange(vocabulary * 2, (Kind::Float, tch::Device::Cpu)).sin().view([vocabulary, 2]);
        let targets = Tensor::from_slice(&[3i64, vocabulary - 1, 0, 17, 9]);
        for trained in [false, true] {
            let weight = weight.shallow_clone().set_requires_grad(trained);
            let plain = hidden.linear::<&Tensor>(&weight, None).cross_entropy_for_logits(&targets);
            let ours = cross_entropy(&hidden, &weight, &targets);
            assert!(far(&plain, &ours) < 1e-5);
            let all: Vec<&Tensor> = [&hidden].into_iter().chain(trained.then_some(&weight)).collect();
            let [a, b] = [&plain, &ours].map(|l| Tensor::run_backward(&[l], &all, false, false));
            for (a, b) in a.iter().zip(&b) {
                assert!(far(a, b) < 1e-6);
            }
        }
        let judged = cross_entropy(&hidden.detach(), &weight.detach(), &targets);
        assert!(!judged.requires_grad());
    }
}
