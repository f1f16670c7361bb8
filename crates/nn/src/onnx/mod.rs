//! Writing ONNX: a small graph builder that layers emit themselves into.
//!
//! A layer's `emit` stands beside its `forward` and repeats it operator by operator; `apprentice export` then checks both
//! on real samples. Shapes are static (the batch too): a deployed driver plans for one vehicle. Operators are
//! kept to those that both ONNX Runtime and tract run (opset 17).

pub mod proto;

use proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use tch::{Kind, Tensor};

/// Operator set the graphs are written for.
pub const OPSET: i64 = 17;
/// Metadata property that holds the checkpoint contract.
pub const CONTRACT_PROPERTY: &str = "apprentice.contract";

/// A tensor of the graph: its name and its static shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    name: String,
    shape: Vec<i64>,
}

impl Value {
    /// Static shape.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }
}

/// An attribute of a node.
pub enum Attribute<'a> {
    /// One float.
    Float(&'a str, f32),
    /// One integer.
    Int(&'a str, i64),
    /// Integers.
    Ints(&'a str, &'a [i64]),
}

/// A graph under construction. Operators are appended in order, so the result is topologically sorted.
#[derive(Default)]
pub struct Graph {
    graph: GraphProto,
    next: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: name.into(), ..Default::default() }, next: 0 }
    }

    fn fresh(&mut self, stem: &str, shape: Vec<i64>) -> Value {
        self.next += 1;
        Value { name: format!("{stem}_{}", self.next), shape }
    }

    /// Declare a float input.
    pub fn input(&mut self, name: &str, shape: &[i64]) -> Value {
        self.graph.input.push(value_info(name, shape));
        Value { name: name.into(), shape: shape.into() }
    }

    /// Declare `value` an output under `name`.
    pub fn output(&mut self, name: &str, value: &Value) {
        self.graph.output.push(value_info(name, &value.shape));
        self.graph.node.push(NodeProto {
            input: vec![value.name.clone()],
            output: vec![name.into()],
            name: format!("output_{name}"),
            op_type: "Identity".into(),
            attribute: Vec::new(),
        });
    }

    /// A constant from a tensor (converted to f32 on the CPU).
    pub fn tensor(&mut self, tensor: &Tensor) -> Value {
        let tensor = tensor.detach().to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut data = vec![0f32; tensor.numel()];
        let count = data.len();
        tensor.copy_data(&mut data, count);
        self.floats(&data, &tensor.size())
    }

    /// A float constant.
    pub fn floats(&mut self, data: &[f32], shape: &[i64]) -> Value {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(raw, 1, shape)
    }

    /// An integer constant.
    pub fn ints(&mut self, data: &[i64], shape: &[i64]) -> Value {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(raw, 7, shape)
    }

    fn initializer(&mut self, raw_data: Vec<u8>, data_type: i32, shape: &[i64]) -> Value {
        let value = self.fresh("const", shape.into());
        self.graph.initializer.push(TensorProto { dims: shape.into(), data_type, name: value.name.clone(), raw_data });
        value
    }

    /// Any operator with one output of the given shape.
    pub fn op(&mut self, op_type: &str, inputs: &[&Value], attributes: &[Attribute<'_>], shape: &[i64]) -> Value {
        let value = self.fresh(&op_type.to_lowercase(), shape.into());
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|v| v.name.clone()).collect(),
            output: vec![value.name.clone()],
            name: value.name.clone(),
            op_type: op_type.into(),
            attribute: attributes.iter().map(attribute).collect(),
        });
        value
    }

    fn binary(&mut self, op_type: &str, a: &Value, b: &Value) -> Value {
        let shape = broadcast(&a.shape, &b.shape);
        self.op(op_type, &[a, b], &[], &shape)
    }

    fn unary(&mut self, op_type: &str, x: &Value) -> Value {
        self.op(op_type, &[x], &[], &x.shape.clone())
    }

    /// `a + b` with broadcasting.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Add", a, b)
    }
    /// `a - b`.
    pub fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Sub", a, b)
    }
    /// `a * b`.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Mul", a, b)
    }
    /// `a / b`.
    pub fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.binary("Div", a, b)
    }
    /// `x * factor`.
    pub fn scale(&mut self, x: &Value, factor: f32) -> Value {
        let factor = self.floats(&[factor], &[1]);
        self.mul(x, &factor)
    }
    /// max(x, 0).
    pub fn relu(&mut self, x: &Value) -> Value {
        self.unary("Relu", x)
    }
    /// Logistic function.
    pub fn sigmoid(&mut self, x: &Value) -> Value {
        self.unary("Sigmoid", x)
    }
    /// Hyperbolic tangent.
    pub fn tanh(&mut self, x: &Value) -> Value {
        self.unary("Tanh", x)
    }
    /// x·σ(x).
    pub fn silu(&mut self, x: &Value) -> Value {
        let gate = self.sigmoid(x);
        self.mul(x, &gate)
    }
    /// The exact GELU, x·(1 + erf(x/√2))/2.
    pub fn gelu(&mut self, x: &Value) -> Value {
        let scaled = self.scale(x, std::f32::consts::FRAC_1_SQRT_2);
        let erf = self.unary("Erf", &scaled);
        let one = self.floats(&[1.0], &[1]);
        let sum = self.add(&erf, &one);
        let product = self.mul(x, &sum);
        self.scale(&product, 0.5)
    }
    /// Limit to `[low, high]`.
    pub fn clamp(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.floats(&[low], &[]), self.floats(&[high], &[]));
        self.op("Clip", &[x, &low, &high], &[], &x.shape.clone())
    }

    /// Matrix product with numpy broadcasting of the leading dimensions.
    pub fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        let (rows, columns) = (a.shape[a.shape.len() - 2], b.shape[b.shape.len() - 1]);
        let mut shape = broadcast(&a.shape[..a.shape.len() - 2], &b.shape[..b.shape.len() - 2]);
        shape.extend([rows, columns]);
        self.op("MatMul", &[a, b], &[], &shape)
    }

    /// Affine map of the last dimension: `x·Wᵀ + b` with PyTorch's weight `[out, in]`.
    pub fn linear(&mut self, x: &Value, weight: &Tensor, bias: Option<&Tensor>) -> Value {
        let weight = self.tensor(&weight.tr());
        let y = self.matmul(x, &weight);
        match bias {
            Some(bias) => {
                let bias = self.tensor(bias);
                self.add(&y, &bias)
            }
            None => y,
        }
    }

    /// 2-D convolution, weight `[out, in/groups, kh, kw]`, equal stride and padding on both axes.
    pub fn conv2d(
        &mut self,
        x: &Value,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: i64,
        padding: i64,
        groups: i64,
    ) -> Value {
        let [out, _, kh, kw] = weight.size()[..] else { panic!("a 2-D convolution's weight has four dimensions") };
        let w = self.tensor(weight);
        let b = bias.map(|b| self.tensor(b));
        let [batch, _, height, width] = x.shape[..] else { panic!("a 2-D convolution's input has four dimensions") };
        let reduced = |n: i64, k: i64| (n + 2 * padding - k) / stride + 1;
        let shape = [batch, out, reduced(height, kh), reduced(width, kw)];
        let inputs: Vec<&Value> = [x, &w].into_iter().chain(b.as_ref()).collect();
        let attributes = [
            Attribute::Ints("kernel_shape", &[kh, kw]),
            Attribute::Ints("strides", &[stride, stride]),
            Attribute::Ints("pads", &[padding, padding, padding, padding]),
            Attribute::Ints("dilations", &[1, 1]),
            Attribute::Int("group", groups),
        ];
        self.op("Conv", &inputs, &attributes, &shape)
    }

    /// Max pooling, square kernel.
    pub fn max_pool2d(&mut self, x: &Value, kernel: i64, stride: i64, padding: i64) -> Value {
        let reduced = |n: i64| (n + 2 * padding - kernel) / stride + 1;
        let shape = [x.shape[0], x.shape[1], reduced(x.shape[2]), reduced(x.shape[3])];
        let attributes = [
            Attribute::Ints("kernel_shape", &[kernel, kernel]),
            Attribute::Ints("strides", &[stride, stride]),
            Attribute::Ints("pads", &[padding; 4]),
        ];
        self.op("MaxPool", &[x], &attributes, &shape)
    }

    /// Average pooling without padding, square kernel.
    pub fn avg_pool2d(&mut self, x: &Value, kernel: i64, stride: i64) -> Value {
        let reduced = |n: i64| (n - kernel) / stride + 1;
        let shape = [x.shape[0], x.shape[1], reduced(x.shape[2]), reduced(x.shape[3])];
        let attributes =
            [Attribute::Ints("kernel_shape", &[kernel, kernel]), Attribute::Ints("strides", &[stride, stride])];
        self.op("AveragePool", &[x], &attributes, &shape)
    }

    /// Softmax over one dimension (negative counts from the end).
    pub fn softmax(&mut self, x: &Value, axis: i64) -> Value {
        self.op("Softmax", &[x], &[Attribute::Int("axis", axis)], &x.shape.clone())
    }

    /// Layer normalisation over the last dimension.
    pub fn layer_norm(&mut self, x: &Value, weight: &Tensor, bias: &Tensor, eps: f32) -> Value {
        let (w, b) = (self.tensor(weight), self.tensor(bias));
        let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", eps)];
        self.op("LayerNormalization", &[x, &w, &b], &attributes, &x.shape.clone())
    }

    /// Mean over dimensions.
    pub fn mean(&mut self, x: &Value, axes: &[i64], keep: bool) -> Value {
        let rank = x.shape.len() as i64;
        let reduced: Vec<i64> = axes.iter().map(|a| a.rem_euclid(rank)).collect();
        let mut shape = Vec::new();
        for (i, &n) in x.shape.iter().enumerate() {
            match (reduced.contains(&(i as i64)), keep) {
                (false, _) => shape.push(n),
                (true, true) => shape.push(1),
                (true, false) => {}
            }
        }
        self.op(
            "ReduceMean",
            &[x],
            &[Attribute::Ints("axes", &reduced), Attribute::Int("keepdims", keep.into())],
            &shape,
        )
    }

    /// New shape; one entry may be -1.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let total: i64 = x.shape.iter().product();
        let known: i64 = shape.iter().filter(|&&n| n >= 0).product();
        let resolved: Vec<i64> = shape.iter().map(|&n| if n < 0 { total / known } else { n }).collect();
        assert_eq!(resolved.iter().product::<i64>(), total, "reshape {:?} to {shape:?}", x.shape);
        let target = self.ints(&resolved, &[resolved.len() as i64]);
        self.op("Reshape", &[x, &target], &[], &resolved)
    }

    /// Permute dimensions.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        let shape: Vec<i64> = order.iter().map(|&d| x.shape[d as usize]).collect();
        self.op("Transpose", &[x], &[Attribute::Ints("perm", order)], &shape)
    }

    /// Join along a dimension.
    pub fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        let at = axis.rem_euclid(parts[0].shape.len() as i64) as usize;
        let mut shape = parts[0].shape.clone();
        shape[at] = parts.iter().map(|p| p.shape[at]).sum();
        self.op("Concat", parts, &[Attribute::Int("axis", at as i64)], &shape)
    }

    /// `x[.., start..end, ..]` along a dimension.
    pub fn slice(&mut self, x: &Value, axis: i64, start: i64, end: i64) -> Value {
        let at = axis.rem_euclid(x.shape.len() as i64);
        let mut shape = x.shape.clone();
        shape[at as usize] = end - start;
        let [starts, ends, axes] = [start, end, at].map(|v| self.ints(&[v], &[1]));
        self.op("Slice", &[x, &starts, &ends, &axes], &[], &shape)
    }

    /// Rows of `x` along `axis` at constant indices.
    pub fn gather(&mut self, x: &Value, axis: i64, indices: &[i64]) -> Value {
        let at = axis.rem_euclid(x.shape.len() as i64);
        let mut shape = x.shape.clone();
        shape[at as usize] = indices.len() as i64;
        let indices = self.ints(indices, &[indices.len() as i64]);
        self.op("Gather", &[x, &indices], &[Attribute::Int("axis", at)], &shape)
    }

    /// Nearest-neighbour resize of the last two of four dimensions, with PyTorch's rounding.
    pub fn upsample_nearest(&mut self, x: &Value, to: [i64; 2]) -> Value {
        let pick = |from: i64, to: i64| (0..to).map(|i| i * from / to).collect::<Vec<_>>();
        let (h, w) = (x.shape[2], x.shape[3]);
        let rows = self.gather(x, 2, &pick(h, to[0]));
        self.gather(&rows, 3, &pick(w, to[1]))
    }

    /// Repeat size-1 dimensions up to `shape`.
    pub fn expand(&mut self, x: &Value, shape: &[i64]) -> Value {
        let target = self.ints(shape, &[shape.len() as i64]);
        self.op("Expand", &[x, &target], &[], shape)
    }

    /// The file's bytes, with metadata properties and, last, the checksum of everything before it.
    pub fn finish(self, metadata: &[(&str, &str)]) -> Vec<u8> {
        let model = ModelProto {
            ir_version: 8,
            producer_name: "apprentice".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto { key: (*key).into(), value: (*value).into() })
                .collect(),
        };
        let mut bytes = prost::Message::encode_to_vec(&model);
        apprentice_core::seal::onnx(&mut bytes);
        bytes
    }
}

fn attribute(attribute: &Attribute<'_>) -> AttributeProto {
    match *attribute {
        Attribute::Float(name, f) => AttributeProto { name: name.into(), f, r#type: 1, ..Default::default() },
        Attribute::Int(name, i) => AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() },
        Attribute::Ints(name, ints) => {
            AttributeProto { name: name.into(), ints: ints.into(), r#type: 7, ..Default::default() }
        }
    }
}

fn value_info(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = shape.iter().map(|&n| DimensionProto { dim_value: Some(n) }).collect();
    let tensor_type = TensorTypeProto { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// Numpy's broadcasting of two shapes.
fn broadcast(a: &[i64], b: &[i64]) -> Vec<i64> {
    let rank = a.len().max(b.len());
    let at = |shape: &[i64], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |j| shape[j]);
    (0..rank)
        .map(|i| {
            let (m, n) = (at(a, i), at(b, i));
            assert!(m == n || m == 1 || n == 1, "shapes {a:?} and {b:?} do not broadcast");
            m.max(n)
        })
        .collect()
}
