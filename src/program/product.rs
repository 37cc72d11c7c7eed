//! Matrix products as instructions of their own.
//!
//! A product whose operands lie as they did when it was recorded needs no plan in a call: sizes, strides and how batches fold are known. A
//! right operand that never changes is copied once to the panels that the kernel reads; panels depend on the instruction set, so they are
//! made where the program runs and are in no file. A group that follows runs on rows of the product as they are complete: see [`Epilogue`].

use std::collections::{HashMap, HashSet};
use std::fmt;

use smallvec::SmallVec;

use super::group::Epilogue;
use super::lower::Metas;
use super::run::{Table, put};
use super::{Instr, Kind, Program};
use crate::array::{Array, DType, Layout, Shape};
use crate::error::{Error, Result};
use crate::kernel::contract::{Addend, Form, Planned, broadcast, contract, pack};
use crate::kernel::map::Floating;
use crate::kernel::matmul::{After, MatElement};
use crate::kernel::reduce::{Fold, Sum};
use crate::ops::matrix::forms;
use crate::tape::Variable;
use crate::tape::capture::{Arg, Op, Slot};

/// A matrix product, or a batch of them: of operands 0 and 1, added to operand 2 if there is one, which broadcasts to the result.
pub(crate) struct Product {
    planned: Planned,
    a: (Layout, Form),
    b: (Layout, Form),
    form: Form,
    /// Whether operand 1 is in panels.
    packed: bool,
    has_bias: bool,
    shape: Shape,
    dtype: DType,
    epilogue: Option<Epilogue>,
}

/// Whether a step may become a product with a group behind it.
pub(super) fn is_product(op: &Op) -> bool {
    matches!(op, Op::Eval { attrs, .. } if forms(attrs).is_some())
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (panels, bias) = (if self.packed { " in panels" } else { "" }, if self.has_bias { ", plus" } else { "" });
        write!(f, "product({:?}, {:?}{panels}{bias})", self.a.1, self.b.1)?;
        self.epilogue.as_ref().map_or(Ok(()), |e| write!(f, " then {e:?}"))
    }
}

/// Operand `i` of an instruction.
fn operand<'a>(instr: &Instr, i: usize, table: &'a Table) -> Result<&'a Array> {
    let value = instr.inputs.get(i).and_then(|a| a.slot()).and_then(|s| table[s].as_ref());
    value.map(Variable::array).ok_or_else(|| Error::Value("program: a product lacks an operand".to_owned()))
}

impl Product {
    /// The instruction of a step that is a contraction of floating numbers, and its operands.
    fn of(step: &Op, inputs: &[Arg], output: Slot, metas: &Metas) -> Option<(Self, SmallVec<[Arg; 4]>)> {
        let Op::Eval { attrs, update: false, .. } = step else { return None };
        let (&Arg::Slot(a), &Arg::Slot(b)) = (inputs.first()?, inputs.get(1)?) else { return None };
        let (layout, dtype) = &metas[output];
        let mut all: SmallVec<[Arg; 4]> = inputs.iter().copied().collect();
        let are = all.iter().all(|a| a.slot().is_some_and(|s| metas[s].1 == *dtype));
        if !matches!(dtype, DType::F32 | DType::F64) || !are || all.len() > 3 {
            return None;
        }
        let [fa, fb, form] = forms(attrs)?;
        let ((a, fa), (b, fb), form) = oriented((a, fa), (b, fb), form);
        let planned = Planned::new((&metas[a].0, fa), (&metas[b].0, fb), layout.shape(), form)?;
        (all[0], all[1]) = (Arg::Slot(a), Arg::Slot(b));
        let product = Self {
            planned,
            a: (metas[a].0.clone(), fa),
            b: (metas[b].0.clone(), fb),
            form,
            packed: false,
            has_bias: inputs.len() == 3,
            shape: Shape::from_slice(layout.shape()),
            dtype: *dtype,
            epilogue: None,
        };
        Some((product, all))
    }

    /// The product, with a group behind it. The group's results follow in the instruction's.
    pub(super) fn with_epilogue(self, epilogue: Epilogue) -> Self {
        Self { epilogue: Some(epilogue), ..self }
    }

    /// Whether a group of this shape and dtype may run on its rows: not when the group is worth several threads and the product is not.
    pub(super) fn takes(&self, shape: &[usize], dtype: DType, is_split: bool) -> bool {
        self.epilogue.is_none() && self.shape[..] == *shape && self.dtype == dtype && (!is_split || self.planned.is_split())
    }

    /// How many operands come before those of the group.
    fn own(&self) -> usize {
        if self.has_bias { 3 } else { 2 }
    }

    pub(super) fn run(&self, instr: &Instr, table: &mut Table) -> Result<()> {
        if self.dtype == DType::F64 { self.typed::<f64>(instr, table) } else { self.typed::<f32>(instr, table) }
    }

    fn typed<T: Floating + MatElement>(&self, instr: &Instr, table: &mut Table) -> Result<()>
    where
        Sum: Fold<T, Acc = T>,
    {
        let mut results = SmallVec::new();
        let out = match &self.epilogue {
            None => self.result::<T>(instr, table, None)?,
            Some(epilogue) => {
                let mut others: SmallVec<[&Array; 8]> = SmallVec::new();
                for i in self.own()..instr.inputs.len() {
                    others.push(operand(instr, i, table)?);
                }
                epilogue.run::<T>(&others, &mut results, |after| self.result::<T>(instr, table, Some(after)))?
            }
        };
        put(instr, table, std::iter::once(out).chain(results).map(Some));
        Ok(())
    }

    /// The products added to the bias. `after` sees all rows.
    fn result<T: Floating + MatElement>(&self, instr: &Instr, table: &Table, after: Option<After<'_, T>>) -> Result<Array> {
        let (a, b) = (operand(instr, 0, table)?, operand(instr, 1, table)?);
        let mut out = if self.has_bias { broadcast(operand(instr, 2, table)?, &self.shape) } else { Array::empty(&self.shape, self.dtype) };
        let lies = |x: &Array, (layout, _): &(Layout, Form)| x.layout().strides() == layout.strides() && x.shape() == layout.shape();
        if lies(a, &self.a) && (self.packed || lies(b, &self.b)) {
            self.planned.run::<T>(a, b, self.packed, out.data_mut::<T>(), self.has_bias, after);
            return Ok(out);
        }
        // Panels are for rows without gaps.
        let a = if self.packed { a.contiguous() } else { a.clone() };
        let right = if self.packed { &self.b.0 } else { b.layout() };
        if let Some(planned) = Planned::new((a.layout(), self.a.1), (right, self.b.1), &self.shape, self.form) {
            planned.run::<T>(&a, b, self.packed, out.data_mut::<T>(), self.has_bias, after);
            return Ok(out);
        }
        let addend = if self.has_bias { Addend::Sum(out) } else { Addend::Nothing };
        let mut out = contract((&a, self.a.1), (b, self.b.1), &self.shape, self.form, addend);
        if let Some(after) = after {
            (after.finish)(0, out.data_mut::<T>(), after.others);
        }
        Ok(out)
    }

    /// What tells panels of constants from each other, and how many elements they have, where they are worth it.
    fn panels(&self, b: Slot) -> Option<(Key, usize)> {
        let planned = Some(&self.planned).filter(|_| self.a.0.is_contiguous())?;
        let len = if self.dtype == DType::F64 { planned.panels::<f64>() } else { planned.panels::<f32>() };
        let (k, n, steps) = planned.right();
        len.map(|len| ((b, k, n, steps), len))
    }
}

type Operand = (Slot, Form);

/// A transposed result is the product of the transposes, in the other order.
fn oriented(a: Operand, b: Operand, form: Form) -> (Operand, Operand, Form) {
    if form == Form::Transposed { ((b.0, b.1.t()), (a.0, a.1.t()), Form::Matrix) } else { (a, b, form) }
}

/// Contractions as products, and groups as epilogues where they can be. `kept` are values that are needed after all instructions.
pub(super) fn form(instrs: Vec<Instr>, metas: &Metas, kept: &[Slot]) -> Vec<Instr> {
    let all = instrs.into_iter().map(|mut instr| {
        let product = match (&instr.kind, &instr.outputs[..]) {
            (Kind::One(op), &[Some(output)]) => Product::of(op, &instr.inputs, output, metas),
            _ => None,
        };
        if let Some((product, inputs)) = product {
            (instr.kind, instr.inputs) = (Kind::Product(Box::new(product)), inputs);
        }
        instr
    });
    super::group::join(all.collect(), kept)
}

/// A right operand: the value, rows, columns, steps.
type Key = (Slot, usize, usize, (isize, isize));

/// Packs right operands that are constants. Constants that nothing else reads go.
pub(super) fn pack_constants(p: &mut Program, metas: &mut Metas) {
    // What is lent may change.
    let constants: HashMap<Slot, Array> = p.constants.iter().filter(|(_, a)| !a.is_lent()).cloned().collect();
    let mut known: HashMap<Key, Slot> = HashMap::new();
    for instr in &mut p.instrs {
        let (Kind::Product(product), Some(Arg::Slot(right))) = (&mut instr.kind, instr.inputs.get_mut(1)) else { continue };
        let (Some(b), Some((key, len))) = (constants.get(right), product.panels(*right)) else { continue };
        *right = *known.entry(key).or_insert_with(|| {
            metas.push((Layout::contiguous(&[len]), product.dtype));
            let (slot, form) = (metas.len() - 1, product.b.1);
            p.constants.push((slot, if product.dtype == DType::F64 { pack::<f64>(b, form) } else { pack::<f32>(b, form) }));
            slot
        });
        product.packed = true;
    }
    p.slots = metas.len();
    let gradients = p.split.iter().flat_map(|(_, gradients)| gradients);
    let read = p.instrs.iter().flat_map(|i| i.inputs.iter().filter_map(|a| a.slot()));
    let used: HashSet<Slot> = read.chain(p.outputs.iter().copied()).chain(gradients.copied()).collect();
    p.constants.retain(|(slot, _)| used.contains(slot));
}
