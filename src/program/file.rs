//! Files of programs: safetensors, with the steps as JSON text in the header.
//!
//! The tensors `value.N` are the constants of a program, values of parameters and buffers included. Those of a [loop](loops) in step K are
//! `step.K.value.N`. The header's metadata holds the text of a [`Document`] under [`KEY`], and a checksum of the text and all tensors under
//! [`CHECKSUM`]. A file holds no plan: that is made when the program is loaded.
//!
//! A file is not trusted. Its steps must name primitives that exist, and may only use values that were made before, each of them once.
//! Layouts must stay within the arrays that they view. All steps are run once on zeros; shapes and dtypes must agree with the file.

mod loops;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use smallvec::SmallVec;

use super::{Loop, Program, SCAN};
use crate::array::{Array, BF16, DType, Element, F16, Layout, Scalar, alloc_check, number_text, size_of};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::registry;
use crate::tape::capture::{Arg, Op, Slot, Source, Step, Trace};
use crate::tape::{Attrs, Operand, Primitive, RuleCall, RuleParts, Variable, evaluate, recording};

/// The entry of the header that holds the program.
const KEY: &str = "tapegrad.program";
/// The entry of the header that holds the checksum.
const CHECKSUM: &str = "tapegrad.program.checksum";
/// The version of the format. A reader refuses larger ones.
const FORMAT: u32 = 1;

/// A program as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// The version of the format.
    format: u32,
    /// The version of the library that wrote it.
    library: String,
    /// Number of inputs.
    inputs: usize,
    /// All values, by their numbers.
    values: Vec<Value>,
    /// Values that no step makes.
    sources: Vec<Origin>,
    steps: Vec<Instruction>,
    /// Numbers of the results.
    outputs: Vec<Slot>,
    /// What the owner of the program adds, for instance how its results are nested.
    notes: Option<String>,
}

/// Dtype and layout of a value.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    dtype: DType,
    layout: Layout,
}

/// The origin of a value that no step makes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Origin {
    /// The number of the value, and that of the input.
    Input(Slot, usize),
    /// The number of the value, and of the tensor that holds it.
    Constant(Slot),
}

/// A step.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instruction {
    what: Action,
    inputs: SmallVec<[Argument; 4]>,
    outputs: SmallVec<[Option<Slot>; 2]>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// A primitive, its attributes, whether it computes hidden results, whether it may overwrite operand 0.
    Call {
        name: String,
        attributes: Option<Named>,
        hidden: bool,
        update: bool,
    },
    /// The gradient rule of a primitive.
    Rule {
        name: String,
        attributes: Option<Named>,
        call: Box<RuleParts>,
    },
    /// A view: its layout, and the distance of its first element from that of the operand.
    View(Layout, isize),
    Copy,
    /// A computation that is not a primitive.
    Compute(Named),
}

/// A struct: the attributes of a call, or a computation. Its name, and its fields.
#[derive(Serialize, Deserialize)]
struct Named(String, Json);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Argument {
    Nothing,
    Value(Slot),
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(#[serde(with = "number_text")] f64),
    Complex(Pair),
}

#[derive(Serialize, Deserialize)]
struct Pair {
    #[serde(with = "number_text")]
    re: f64,
    #[serde(with = "number_text")]
    im: f64,
}

impl From<Arg> for Argument {
    fn from(a: Arg) -> Self {
        match a {
            Arg::None => Self::Nothing,
            Arg::Slot(s) => Self::Value(s),
            Arg::Number(Scalar::Bool(x)) => Self::Bool(x),
            Arg::Number(Scalar::Int(x)) => Self::Int(x),
            Arg::Number(Scalar::UInt(x)) => Self::UInt(x),
            Arg::Number(Scalar::Float(x)) => Self::Float(x),
            Arg::Number(Scalar::Complex(z)) => Self::Complex(Pair { re: z.re, im: z.im }),
        }
    }
}

impl From<&Argument> for Arg {
    fn from(a: &Argument) -> Self {
        Self::Number(match a {
            Argument::Nothing => return Self::None,
            Argument::Value(s) => return Self::Slot(*s),
            Argument::Bool(x) => Scalar::Bool(*x),
            Argument::Int(x) => Scalar::Int(*x),
            Argument::UInt(x) => Scalar::UInt(*x),
            Argument::Float(x) => Scalar::Float(*x),
            Argument::Complex(z) => Scalar::Complex(num_complex::Complex::new(z.re, z.im)),
        })
    }
}

// ---- bytes ----

/// Converts elements to bytes and back, in little-endian order.
trait Bytes: Element {
    fn put(self, to: &mut Vec<u8>);
    fn get(from: &[u8]) -> Self;
}

macro_rules! bytes {
    ($($t:ty),*) => {
        $(impl Bytes for $t {
            fn put(self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }
            fn get(from: &[u8]) -> Self {
                from.try_into().map_or_else(|_| Self::default(), Self::from_le_bytes)
            }
        })*
    };
    (pairs $($t:ty),*) => {
        $(impl Bytes for num_complex::Complex<$t> {
            fn put(self, to: &mut Vec<u8>) {
                self.re.put(to);
                self.im.put(to);
            }
            fn get(from: &[u8]) -> Self {
                let (re, im) = from.split_at(size_of_val(from) / 2);
                Self::new(<$t>::get(re), <$t>::get(im))
            }
        })*
    };
}
bytes!(i8, i16, i32, i64, u8, u16, u32, u64, F16, BF16, f32, f64);
bytes!(pairs f32, f64);

impl Bytes for bool {
    fn put(self, to: &mut Vec<u8>) {
        to.push(u8::from(self));
    }
    fn get(from: &[u8]) -> Self {
        from.iter().any(|b| *b != 0)
    }
}

/// The dtype of the tensor in a file. Complex numbers are pairs, with an axis of their own.
fn tensor_dtype(d: DType) -> Dtype {
    match d {
        DType::Bool => Dtype::BOOL,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::U16 => Dtype::U16,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 | DType::C64 => Dtype::F32,
        DType::F64 | DType::C128 => Dtype::F64,
    }
}

fn tensor_shape(shape: &[usize], dtype: DType) -> Vec<usize> {
    shape.iter().copied().chain(dtype.is_complex().then_some(2)).collect()
}

/// The elements in row-major order as bytes.
fn to_bytes(a: &Array) -> Vec<u8> {
    let a = a.contiguous();
    let mut out = Vec::new();
    alloc_check::reserve(&mut out, a.nbytes());
    dispatch!(a.dtype(), T => a.as_slice::<T>().unwrap_or_default().iter().for_each(|x| x.put(&mut out)));
    out
}

fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Array {
    dispatch!(dtype, T => {
        let all: Vec<T> = alloc_check::collect(bytes.chunks_exact(dtype.size()).map(T::get));
        Array::from_slice(&all, shape)
    })
}

/// FNV-1a of 64 bits, eight bytes at a time.
fn checksum(text: &str, tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for word in bytes.chunks(8) {
            let mut all = [0; 8];
            all[..word.len()].copy_from_slice(word);
            sum = (sum ^ u64::from_le_bytes(all)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        sum = (sum ^ bytes.len() as u64).wrapping_mul(0x0100_0000_01b3);
    };
    add(text.as_bytes());
    for (name, (dtype, shape, bytes)) in tensors {
        add(format!("{name} {dtype:?} {shape:?}").as_bytes());
        add(bytes);
    }
    sum
}

/// The constants of a file, by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The name of a constant. `part` is empty, or begins the names of all constants of a loop.
fn tensor_name(part: &str, slot: Slot) -> String {
    format!("{part}value.{slot}")
}

/// What the names of all constants begin with that belong to the loop in step `k`.
fn inner(part: &str, k: usize) -> String {
    format!("{part}step.{k}.")
}

// ---- writing ----

fn attributes(attrs: &Attrs, k: usize, name: &str, to: &mut Constants) -> Result<Option<Named>> {
    match attrs {
        Attrs::None => Ok(None),
        Attrs::Set(set) => {
            if let Some(l) = set.as_any().downcast_ref::<Loop>() {
                let json = to.inside(k, |to| loops::write(l, to))?;
                return Ok(Some(Named(set.kind().to_owned(), json)));
            }
            let json = set.to_json().map_err(|e| Error::Value(format!("save: step {k} ({name}) has attributes that no file can hold: {e}")))?;
            let named = Named(set.kind().to_owned(), json);
            // An attribute that JSON cannot represent must not be lost.
            if format!("{:?}", read_attributes(Some(&named), k, name, &Tensors::new(), "")?) != format!("{attrs:?}") {
                return Err(Error::Value(format!("save: step {k} ({name}) has attributes that no file can hold: {attrs:?}")));
            }
            Ok(Some(named))
        }
        Attrs::Custom(_) | Attrs::Freed(_) => {
            Err(Error::Value(format!("save: step {k} ({name}) calls Python, which no file can hold; write the function with tapegrad's operations")))
        }
    }
}

fn primitive_name(p: &'static Primitive, k: usize) -> Result<String> {
    if std::ptr::eq(p, &raw const SCAN) {
        return Ok(SCAN.name.to_owned());
    }
    registry::name_of(p).map(str::to_owned).ok_or_else(|| Error::Value(format!("save: step {k} ({}) calls Python, which no file can hold", p.name)))
}

fn instruction(k: usize, step: &Step, to: &mut Constants) -> Result<Instruction> {
    let what = match &step.op {
        Op::Eval { primitive, attrs, recorded, update } => {
            let name = primitive_name(primitive, k)?;
            Action::Call { attributes: attributes(attrs, k, &name, to)?, name, hidden: *recorded, update: *update }
        }
        Op::Rule(call) => {
            let name = primitive_name(call.primitive(), k)?;
            Action::Rule { attributes: attributes(call.attrs(), k, &name, to)?, name, call: Box::new(call.parts()) }
        }
        Op::View(layout, delta) => Action::View(layout.clone(), *delta),
        Op::Copy => Action::Copy,
        Op::Effect(e) => {
            let Some(fields) = e.to_json() else {
                return Err(Error::Value(format!("save: step {k} ({}) draws random numbers or changes state, which no file can hold", e.describe())));
            };
            Action::Compute(Named(e.name().to_owned(), fields.map_err(external)?))
        }
        Op::Store(_) | Op::Clear(_) => {
            return Err(Error::Value(format!("save: step {k} changes state; save a function that computes results alone")));
        }
    };
    Ok(Instruction { what, inputs: step.inputs.iter().map(|a| (*a).into()).collect(), outputs: step.outputs.clone() })
}

/// A constant as a tensor, and its layout over the tensor. If the constant is not contiguous, the tensor is the memory from its first to
/// its last element, unless that is much larger.
fn constant(a: &Array) -> (Array, Layout) {
    let whole = a.layout().extent().filter(|(low, high)| !a.is_contiguous() && high - low <= 2 * a.size());
    match whole {
        Some((low, high)) => {
            let flat = a.with_layout(Layout::contiguous(&[high - low]).shifted(low));
            (flat, a.layout().shifted_back(low))
        }
        None => (a.contiguous(), Layout::contiguous(a.shape())),
    }
}

/// The constants of a document and of the loops in it, with their names.
#[derive(Default)]
struct Constants {
    part: String,
    all: Vec<(String, Array)>,
}

impl Constants {
    /// Writes the loop in step `k`.
    fn inside<T>(&mut self, k: usize, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let new = inner(&self.part, k);
        let part = std::mem::replace(&mut self.part, new);
        let done = f(self);
        self.part = part;
        done
    }
}

fn document(trace: &Trace, notes: Option<String>, to: &mut Constants) -> Result<Document> {
    let mut values: Vec<Value> = trace.metas.iter().map(|(layout, dtype)| Value { dtype: *dtype, layout: layout.clone() }).collect();
    let mut sources = Vec::new();
    for (slot, source) in &trace.sources {
        match source {
            Source::Input(i) => sources.push(Origin::Input(*slot, *i)),
            Source::Constant(a, _) => {
                let (tensor, layout) = constant(a);
                values[*slot] = Value { dtype: a.dtype(), layout };
                to.all.push((tensor_name(&to.part, *slot), tensor));
                sources.push(Origin::Constant(*slot));
            }
            Source::Place(_) => return Err(Error::Value("save: the program reads state".to_owned())),
        }
    }
    let steps = trace.steps.iter().enumerate().map(|(k, s)| instruction(k, s, to)).collect::<Result<_>>()?;
    let library = env!("CARGO_PKG_VERSION").to_owned();
    let outputs = trace.outputs.clone();
    Ok(Document { format: FORMAT, library, inputs: trace.inputs, values, sources, steps, outputs, notes })
}

fn external(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::External(Box::new(e))
}

fn pack(doc: &Document, tensors: &Tensors) -> Result<Vec<u8>> {
    let text = serde_json::to_string(doc).map_err(external)?;
    let sum = checksum(&text, tensors).to_string();
    let views =
        tensors.iter().map(|(name, (dtype, shape, bytes))| Ok((name.clone(), TensorView::new(*dtype, shape.clone(), bytes).map_err(external)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    let header = HashMap::from([(KEY.to_owned(), text), (CHECKSUM.to_owned(), sum)]);
    safetensors::serialize(views, Some(header)).map_err(external)
}

impl Program {
    /// The program as the bytes of a file, with `notes` of its owner. Places are saved with their present values.
    ///
    /// # Errors
    /// `Value` for a program that changes state, draws random numbers or calls Python: the message names the step.
    pub fn to_bytes(&self, notes: Option<String>) -> Result<Vec<u8>> {
        let mut constants = Constants::default();
        let doc = document(&self.inference("save")?, notes, &mut constants)?;
        let tensor = |(name, a): (String, Array)| (name, (tensor_dtype(a.dtype()), tensor_shape(a.shape(), a.dtype()), to_bytes(&a)));
        pack(&doc, &constants.all.into_iter().map(tensor).collect())
    }

    /// Writes the program to a file that [`Program::load`] reads. An existing file is replaced once the new one is complete.
    ///
    /// # Errors
    /// As [`Program::to_bytes`], and those of the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, bytes) = (path.as_ref(), self.to_bytes(None)?);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let new = path.with_file_name(name);
        let written = File::create_new(&new).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written.map_err(external)
    }

    /// Reads a program that [`Program::save`] or Python's `program.save` wrote. It gives the same results, bit for bit, as the program that
    /// was saved. All steps are run once on zeros to check the file.
    ///
    /// ```
    /// use tapegrad::{array::Array, ops, program::Program, tape::{Variable, capture}};
    /// let x = Array::from_slice(&[1.0, 2.0], &[2]);
    /// let on = capture::begin(&[x.clone()], vec![]).unwrap();
    /// let y = ops::multiply(&Variable::from(x), 3.0)?;
    /// let path = std::env::temp_dir().join(format!("program-{}.safetensors", std::process::id()));
    /// Program::new(on.finish(&[y.into_array()]).unwrap())?.save(&path)?;
    ///
    /// let program = Program::load(&path)?;
    /// let out = program.run(&[Array::from_slice(&[5.0, 7.0], &[2])])?;
    /// assert_eq!(out[0].to_vec::<f64>(), [15.0, 21.0]);
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), tapegrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Value` for a file that is damaged, of another kind or of a newer version, and those of the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from_bytes(&std::fs::read(path).map_err(external)?)?.0)
    }

    /// The program in the bytes of a file, and the notes of its owner.
    ///
    /// # Errors
    /// As [`Program::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, Option<String>)> {
        let (doc, tensors) = unpack(bytes)?;
        let (trace, notes) = read(doc, &tensors, "")?;
        let mut program = guarded("load_program", || Self::new(trace))?;
        program.loaded = true;
        Ok((program, notes))
    }

    /// The program as text, in the format of a file's header, and its constants by number; constants of loops are left out.
    ///
    /// # Errors
    /// As [`Program::to_bytes`].
    pub fn describe(&self) -> Result<(String, Vec<(usize, Array)>)> {
        let trace = self.inference("save")?;
        let mut doc = document(&trace, None, &mut Constants::default())?;
        let constants = trace.sources.into_iter().filter_map(|(s, source)| if let Source::Constant(a, _) = source { Some((s, a)) } else { None });
        let constants: Vec<_> = constants.collect();
        for (slot, a) in &constants {
            doc.values[*slot].layout = Layout::contiguous(a.shape());
        }
        Ok((serde_json::to_string(&doc).map_err(external)?, constants))
    }
}

// ---- reading ----

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::Value(format!("load_program: the file is damaged: {what}"))
}

/// The part of the document that every version of the format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
    library: String,
}

fn unpack(bytes: &[u8]) -> Result<(Document, Tensors)> {
    let foreign = |e: &dyn std::fmt::Display| Error::Value(format!("load_program: the file is damaged, or no safetensors file ({e})"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| foreign(&e))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| foreign(&e))?;
    let entry = |key: &str| header.metadata().as_ref().and_then(|m| m.get(key).cloned());
    let Some(text) = entry(KEY) else {
        return Err(Error::Value("load_program: the file holds no program; read arrays with tg.load".to_owned()));
    };
    let tensors: Tensors = file.tensors().into_iter().map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect();
    if entry(CHECKSUM) != Some(checksum(&text, &tensors).to_string()) {
        return Err(damaged("its checksum does not match"));
    }
    let version: Version = serde_json::from_str(&text).map_err(damaged)?;
    if version.format > FORMAT {
        return Err(Error::Value(format!(
            "load_program: the file has format {}, this version of tapegrad reads up to {FORMAT}; it was written by tapegrad {}",
            version.format, version.library
        )));
    }
    Ok((serde_json::from_str(&text).map_err(damaged)?, tensors))
}

fn read_attributes(named: Option<&Named>, k: usize, name: &str, tensors: &Tensors, part: &str) -> Result<Attrs> {
    let Some(Named(kind, json)) = named else { return Ok(Attrs::None) };
    if name == SCAN.name {
        return loops::read(kind, json, tensors, &inner(part, k));
    }
    let Some(kind) = registry::attributes(kind) else { return Err(damaged(format!("step {k} ({name}) has unknown attributes {kind:?}"))) };
    (kind.read)(json.clone()).map_err(|e| damaged(format!("step {k} ({name}) has wrong attributes: {e}")))
}

fn find(name: &str, k: usize) -> Result<&'static Primitive> {
    if name == SCAN.name {
        return Ok(&SCAN);
    }
    registry::primitive(name).ok_or_else(|| {
        Error::Value(format!("load_program: step {k} is {name:?}, which this version of tapegrad does not have; the file is damaged or newer"))
    })
}

fn read_step(k: usize, i: &Instruction, tensors: &Tensors, part: &str) -> Result<Step> {
    let counts = |inputs: usize, outputs: usize| {
        let fits = i.inputs.len() == inputs && i.outputs.len() == outputs;
        if fits { Ok(()) } else { Err(damaged(format!("step {k} has {} operands and {} results", i.inputs.len(), i.outputs.len()))) }
    };
    let op = match &i.what {
        Action::Call { name, attributes, hidden, update } => Op::Eval {
            primitive: find(name, k)?,
            attrs: read_attributes(attributes.as_ref(), k, name, tensors, part)?,
            recorded: *hidden,
            update: *update && i.inputs.first().is_some_and(|a| matches!(a, Argument::Value(_))),
        },
        Action::Rule { name, attributes, call } => {
            let copy = serde_json::to_value(&**call).and_then(serde_json::from_value).map_err(damaged)?;
            let call = RuleCall::from_parts(find(name, k)?, read_attributes(attributes.as_ref(), k, name, tensors, part)?, copy)?;
            counts(call.saved_count() + call.cotangent_count() + call.sum_count(), call.sum_count())?;
            if i.inputs[..call.saved_count()].iter().any(|a| !matches!(a, Argument::Value(_))) {
                return Err(damaged(format!("step {k} lacks a saved value")));
            }
            Op::Rule(Arc::new(call))
        }
        Action::View(layout, delta) => {
            counts(1, 1)?;
            Op::View(layout.clone(), *delta)
        }
        Action::Copy => {
            counts(1, 1)?;
            Op::Copy
        }
        Action::Compute(Named(name, fields)) => {
            let Some(kind) = registry::computation(name) else { return Err(damaged(format!("step {k} is an unknown computation {name:?}"))) };
            counts(kind.inputs, kind.outputs)?;
            if i.inputs.iter().any(|a| !matches!(a, Argument::Value(_))) {
                return Err(damaged(format!("step {k} ({name}) reads a number, not an array")));
            }
            Op::Effect((kind.read)(fields.clone()).map_err(|e| damaged(format!("step {k} ({name}) has wrong fields: {e}")))?)
        }
    };
    Ok(Step { op, inputs: i.inputs.iter().map(Arg::from).collect(), outputs: i.outputs.clone() })
}

fn read_constant(slot: Slot, value: &Value, tensors: &Tensors, part: &str) -> Result<Array> {
    let name = tensor_name(part, slot);
    let Some((dtype, shape, bytes)) = tensors.get(&name) else { return Err(damaged(format!("the tensor {name:?} is missing"))) };
    let plain = value.layout.is_contiguous() && value.layout.offset() == 0;
    let expected: Vec<usize> = if plain { value.layout.shape().to_vec() } else { vec![bytes.len() / value.dtype.size()] };
    let inside = plain || value.layout.extent().is_none_or(|(_, end)| end <= expected[0]);
    if *dtype != tensor_dtype(value.dtype) || *shape != tensor_shape(&expected, value.dtype) || !inside {
        return Err(damaged(format!("the tensor {name:?} has another shape or dtype than the program says")));
    }
    let a = from_bytes(bytes, &expected, value.dtype);
    Ok(if plain { a } else { a.with_layout(value.layout.clone()) })
}

/// Checks that each value is made exactly once, and before it is used.
struct Made(Vec<bool>);

impl Made {
    fn make(&mut self, slot: Slot) -> Result<()> {
        match self.0.get_mut(slot) {
            Some(made) if !*made => {
                *made = true;
                Ok(())
            }
            Some(_) => Err(damaged(format!("value {slot} is made twice"))),
            None => Err(damaged(format!("value {slot} is out of range, there are {}", self.0.len()))),
        }
    }

    fn check(&self, slot: Slot) -> Result<()> {
        if self.0.get(slot) == Some(&true) { Ok(()) } else { Err(damaged(format!("value {slot} is used before it is made"))) }
    }
}

/// The recording of a document, and the notes of its owner. The names of its constants begin with `part`.
fn read(doc: Document, tensors: &Tensors, part: &str) -> Result<(Trace, Option<String>)> {
    let mut made = Made(vec![false; doc.values.len()]);
    let mut sources = Vec::new();
    for origin in &doc.sources {
        let (slot, source) = match origin {
            Origin::Input(slot, i) if *i < doc.inputs => (*slot, Source::Input(*i)),
            Origin::Input(_, i) => return Err(damaged(format!("input {i} is out of range, there are {}", doc.inputs))),
            Origin::Constant(slot) => {
                let Some(value) = doc.values.get(*slot) else { return Err(damaged(format!("value {slot} is out of range"))) };
                (*slot, Source::Constant(read_constant(*slot, value, tensors, part)?, None))
            }
        };
        made.make(slot)?;
        sources.push((slot, source));
    }
    let mut steps = Vec::new();
    for (k, i) in doc.steps.iter().enumerate() {
        let step = read_step(k, i, tensors, part)?;
        step.inputs.iter().filter_map(|a| a.slot()).try_for_each(|s| made.check(s))?;
        step.outputs.iter().flatten().try_for_each(|s| made.make(*s))?;
        steps.push(step);
    }
    doc.outputs.iter().try_for_each(|s| made.check(*s))?;
    let metas: Vec<(Layout, DType)> = doc.values.into_iter().map(|v| (v.layout, v.dtype)).collect();
    let mut trace = Trace {
        slots: metas.len(),
        steps,
        sources,
        places: Vec::new(),
        states: Vec::new(),
        asked: Vec::new(),
        outputs: doc.outputs,
        metas,
        inputs: doc.inputs,
        aliased: Vec::new(),
    };
    check_by_run(&mut trace)?;
    Ok((trace, doc.notes))
}

/// Runs `f`; a panic is reported as an error of the file. Recorded programs never panic here.
pub(super) fn guarded<T>(what: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(done) => done,
        Err(payload) => Err(match payload.downcast::<Error>() {
            Ok(e) => *e,
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
                Error::Value(format!("{what}: the file that the program was loaded from is damaged: {}", text.unwrap_or("a step failed")))
            }
        }),
    }
}

/// Zeros with the given layout.
fn zeros(layout: &Layout, dtype: DType) -> Array {
    match layout.extent() {
        Some((_, end)) if !layout.is_contiguous() => Array::zeros(&[end], dtype).with_layout(layout.clone()),
        _ => Array::zeros(layout.shape(), dtype),
    }
}

/// Runs all steps on zeros. Shapes and dtypes must be those of the file; the layouts that come out replace those of the file.
fn check_by_run(trace: &mut Trace) -> Result<()> {
    let _off = recording(false);
    let mut table: Vec<Option<Array>> = vec![None; trace.slots];
    for (slot, source) in &trace.sources {
        let (layout, dtype) = &trace.metas[*slot];
        table[*slot] = Some(match source {
            Source::Constant(a, _) => a.clone(),
            _ => guarded("load_program", || Ok(zeros(layout, *dtype)))?,
        });
    }
    let mut last: Vec<usize> = vec![0; trace.slots];
    for (k, step) in trace.steps.iter().enumerate() {
        step.inputs.iter().filter_map(|a| a.slot()).for_each(|s| last[s] = k);
    }
    for (k, step) in trace.steps.iter().enumerate() {
        let outs = guarded("load_program", || outcome(step, &table));
        let outs = match outs {
            Ok(outs) if outs.len() == step.outputs.len() => outs,
            Ok(outs) => return Err(damaged(format!("step {k} ({:?}) makes {} values, not {}", step.op, outs.len(), step.outputs.len()))),
            // Zeros may be outside the domain of a step. Then its results are taken to be as the file says.
            Err(e) if may_refuse_zeros(&step.op, &e) => step.outputs.iter().map(|o| o.map(|s| zeros(&trace.metas[s].0, trace.metas[s].1))).collect(),
            Err(Error::Memory(e)) => return Err(Error::Memory(e)),
            Err(e) => return Err(damaged(format!("step {k} ({:?}) fails: {e}", step.op))),
        };
        for (slot, a) in step.outputs.iter().zip(outs) {
            let Some(slot) = *slot else { continue };
            let Some(a) = a else { return Err(damaged(format!("step {k} ({:?}) does not make value {slot}", step.op))) };
            let (layout, dtype) = &mut trace.metas[slot];
            if a.shape() != layout.shape() || a.dtype() != *dtype {
                let (is, was) = (show_shape(a.shape()), show_shape(layout.shape()));
                return Err(damaged(format!("step {k} ({:?}) makes {} of shape {is}, the file says {dtype} of shape {was}", step.op, a.dtype())));
            }
            *layout = a.layout().clone();
            table[slot] = Some(a);
        }
        for s in step.inputs.iter().filter_map(|a| a.slot()).filter(|s| last[*s] == k) {
            table[s] = None;
        }
    }
    Ok(())
}

/// Whether the step may fail on zeros in a file that is not damaged.
fn may_refuse_zeros(op: &Op, e: &Error) -> bool {
    matches!(e, Error::LinAlg(_) | Error::Index(_))
        || matches!((op, e), (Op::Rule(_), Error::Grad(_)) | (Op::Effect(_), Error::Value(_) | Error::Shape(_)))
}

/// The results of one step.
fn outcome(step: &Step, table: &[Option<Array>]) -> Result<SmallVec<[Option<Array>; 2]>> {
    let array = |a: &Arg| a.slot().and_then(|s| table[s].clone());
    Ok(match &step.op {
        Op::Eval { primitive, attrs, recorded, .. } => {
            let given: SmallVec<[Option<Variable>; 4]> = step.inputs.iter().map(|a| array(a).map(Variable::from)).collect();
            let operand = |(a, v)| match (a, v) {
                (&Arg::Number(x), _) => Operand::Scalar(x),
                (_, Some(v)) => Operand::Variable(v),
                _ => Operand::Scalar(Scalar::Int(0)),
            };
            let operands: SmallVec<[Operand<'_>; 4]> = step.inputs.iter().zip(given.iter().map(Option::as_ref)).map(operand).collect();
            evaluate(primitive, &operands, attrs, *recorded, None)?.into_iter().map(Some).collect()
        }
        Op::Rule(call) => {
            let (saved, rest) = step.inputs.split_at(call.saved_count());
            let (gs, sums) = rest.split_at(call.cotangent_count());
            call.run(saved.iter().filter_map(array), gs.iter().map(array), sums.iter().map(array))?
        }
        Op::Effect(e) => {
            let inputs: SmallVec<[Array; 2]> = step.inputs.iter().filter_map(array).collect();
            e.run(&inputs)?.into_iter().map(Some).collect()
        }
        Op::View(layout, delta) => {
            let Some(a) = array(&step.inputs[0]) else { return Err(damaged("a view of nothing")) };
            std::iter::once(Some(a.with_layout(view(&a, layout, *delta)?))).collect()
        }
        _ => step.inputs.iter().map(|a| array(a).map(|a| a.copy())).collect(),
    })
}

/// The layout of a view of `a`. Every element of the view must be an element of `a`.
fn view(a: &Array, layout: &Layout, delta: isize) -> Result<Layout> {
    let fail = || damaged(format!("a view of shape {} reaches outside of an array of shape {}", show_shape(layout.shape()), show_shape(a.shape())));
    let start = a.layout().offset().checked_add_signed(delta).ok_or_else(fail)?;
    let at = layout.shifted_back(layout.offset()).shifted(start);
    let Some((low, high)) = layout.extent() else { return Ok(at) };
    let (first, end) = a.layout().extent().ok_or_else(fail)?;
    // Distances from the first element, which cannot overflow.
    let below = layout.offset() - low;
    let above = high - layout.offset();
    let inside = below <= start && start - below >= first && start.checked_add(above).is_some_and(|e| e <= end);
    if inside && size_of(layout.shape()) > 0 { Ok(at) } else { Err(fail()) }
}

#[cfg(test)]
mod tests;
