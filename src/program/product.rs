//! Matrix products and convolutions as instructions.
//!
//! A group that follows one runs as its [epilogue](Epilogue), on rows of the product or on images of the convolution as they are complete.
//! [`matrices`] plans matrix products in advance and packs constant right operands.

mod matrices;

use std::fmt;

use smallvec::SmallVec;

use self::matrices::Matrices;
pub(super) use self::matrices::pack_constants;
use super::group::Epilogue;
use super::lower::Metas;
use super::run::{Table, put};
use super::{Instr, Kind};
use crate::array::{Array, DType, Shape};
use crate::error::{Error, Result};
use crate::kernel::map::Floating;
use crate::kernel::matmul::{After, MatElement};
use crate::kernel::reduce::{Fold, Sum};
use crate::ops::conv::Images;
use crate::tape::Variable;
use crate::tape::capture::{Arg, Op, Slot};

/// The product of operands 0 and 1, plus operand 2 if there is one.
pub(crate) struct Product {
    of: Factors,
    has_bias: bool,
    shape: Shape,
    dtype: DType,
    epilogue: Option<Epilogue>,
}

/// What kind of product it is.
enum Factors {
    /// Matrices. Operand 2 broadcasts to the result.
    Matrices(Box<Matrices>),
    /// A convolution of images with a weight, or a transposed one. Operand 2 has one number per channel.
    Images(Images),
}

/// Whether a step may become a product.
pub(super) fn is_product(op: &Op) -> bool {
    matches!(op, Op::Eval { primitive, attrs, .. } if Matrices::is(attrs) || Images::is(primitive))
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Factors::Matrices(matrices) => write!(f, "product({matrices:?}")?,
            Factors::Images(images) => write!(f, "product({images:?}")?,
        }
        write!(f, "{})", if self.has_bias { ", plus" } else { "" })?;
        self.epilogue.as_ref().map_or(Ok(()), |e| write!(f, " then {e:?}"))
    }
}

/// Operand `i` of an instruction.
fn operand<'a>(instr: &Instr, i: usize, table: &'a Table) -> Result<&'a Array> {
    let value = instr.inputs.get(i).and_then(|a| a.slot()).and_then(|s| table[s].as_ref());
    value.map(Variable::array).ok_or_else(|| Error::Value("program: a product reads a value that no instruction has computed".to_owned()))
}

impl Product {
    /// The product of a step that is a contraction or a convolution of floating numbers, and its operands in order.
    fn of(step: &Op, inputs: &[Arg], output: Slot, metas: &Metas) -> Option<(Self, SmallVec<[Arg; 4]>)> {
        let Op::Eval { primitive, attrs, update: false, .. } = step else { return None };
        let (&Arg::Slot(a), &Arg::Slot(b)) = (inputs.first()?, inputs.get(1)?) else { return None };
        let (layout, dtype) = &metas[output];
        let mut all: SmallVec<[Arg; 4]> = inputs.iter().copied().collect();
        let are = all.iter().all(|a| a.slot().is_some_and(|s| metas[s].1 == *dtype));
        if !matches!(dtype, DType::F32 | DType::F64) || !are || all.len() > 3 {
            return None;
        }
        let of = if let Some(images) = Images::of(primitive, attrs, [a, b].map(|s| metas[s].0.shape())) {
            Factors::Images(images)
        } else {
            let (matrices, factors) = Matrices::of(attrs, [a, b], layout.shape(), metas)?;
            (all[0], all[1]) = (Arg::Slot(factors[0]), Arg::Slot(factors[1]));
            Factors::Matrices(Box::new(matrices))
        };
        let product = Self { of, has_bias: inputs.len() == 3, shape: Shape::from_slice(layout.shape()), dtype: *dtype, epilogue: None };
        Some((product, all))
    }

    /// The product with an epilogue. The results of the group follow that of the product.
    pub(super) fn with_epilogue(self, epilogue: Epilogue) -> Self {
        Self { epilogue: Some(epilogue), ..self }
    }

    /// Whether a group of this shape and dtype may be its epilogue. A group that is worth several threads must not be limited to one thread
    /// by the product.
    pub(super) fn takes(&self, shape: &[usize], dtype: DType, is_split: bool) -> bool {
        let splits = || match &self.of {
            Factors::Matrices(matrices) => matrices.is_split(),
            Factors::Images(images) => images.is_split(),
        };
        self.epilogue.is_none() && self.shape[..] == *shape && self.dtype == dtype && (!is_split || splits())
    }

    /// Number of operands that are not the epilogue's.
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

    /// The product plus the bias. `after` is the epilogue.
    fn result<T: Floating + MatElement>(&self, instr: &Instr, table: &Table, after: Option<After<'_, T>>) -> Result<Array> {
        let factors = [operand(instr, 0, table)?, operand(instr, 1, table)?];
        let bias = if self.has_bias { Some(operand(instr, 2, table)?) } else { None };
        Ok(match &self.of {
            Factors::Matrices(matrices) => matrices.product::<T>(factors, bias, &self.shape, after),
            Factors::Images(images) => {
                let [x, w] = factors.map(Array::contiguous);
                let mut out = Array::empty(&self.shape, self.dtype);
                images.run::<T>([&x, &w], bias.map(Array::contiguous).as_ref(), out.data_mut(), after);
                out
            }
        })
    }
}

/// Turns contractions and convolutions into products, and groups into epilogues where possible. `kept` are values that are needed after all
/// instructions.
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
