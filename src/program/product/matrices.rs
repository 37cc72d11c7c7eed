//! Matrix products that are planned in advance.
//!
//! When the layouts of the operands are those of the recording, a call needs no plan: sizes, strides and the folding of batch axes are
//! known. A constant right operand is packed once into the panels that the kernel reads. Panels depend on the instruction set, so they are
//! made where the program runs and are not stored in files.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::Factors;
use crate::array::{Array, DType, Layout};
use crate::kernel::contract::{Addend, Form, Planned, broadcast, contract, pack};
use crate::kernel::map::Floating;
use crate::kernel::matmul::{After, MatElement};
use crate::ops::matrix::forms;
use crate::program::lower::Metas;
use crate::program::{Kind, Program};
use crate::tape::Attrs;
use crate::tape::capture::{Arg, Slot};

/// A matrix product, or a batch of them.
pub(super) struct Matrices {
    planned: Planned,
    a: (Layout, Form),
    b: (Layout, Form),
    form: Form,
    /// Whether the right operand is packed.
    packed: bool,
}

impl fmt::Debug for Matrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}{}", self.a.1, self.b.1, if self.packed { " in panels" } else { "" })
    }
}

impl Matrices {
    pub(super) fn is(attrs: &Attrs) -> bool {
        forms(attrs).is_some()
    }

    /// The product that computes a contraction with a result of `shape`, and its operands in order.
    pub(super) fn of(attrs: &Attrs, [a, b]: [Slot; 2], shape: &[usize], metas: &Metas) -> Option<(Self, [Slot; 2])> {
        let [fa, fb, form] = forms(attrs)?;
        let ((a, fa), (b, fb), form) = oriented((a, fa), (b, fb), form);
        let planned = Planned::new((&metas[a].0, fa), (&metas[b].0, fb), shape, form)?;
        Some((Self { planned, a: (metas[a].0.clone(), fa), b: (metas[b].0.clone(), fb), form, packed: false }, [a, b]))
    }

    /// Whether it is worth several threads.
    pub(super) fn is_split(&self) -> bool {
        self.planned.is_split()
    }

    /// The product with a result of `shape`, plus the bias. `after` is the epilogue.
    pub(super) fn product<T: Floating + MatElement>(
        &self,
        [a, b]: [&Array; 2],
        bias: Option<&Array>,
        shape: &[usize],
        after: Option<After<'_, T>>,
    ) -> Array {
        let mut out = bias.map_or_else(|| Array::empty(shape, T::DTYPE), |bias| broadcast(bias, shape));
        let lies = |x: &Array, (layout, _): &(Layout, Form)| x.layout().strides() == layout.strides() && x.shape() == layout.shape();
        if lies(a, &self.a) && (self.packed || lies(b, &self.b)) {
            self.planned.run::<T>(a, b, self.packed, out.data_mut::<T>(), bias.is_some(), after);
            return out;
        }
        // A packed operand needs a left operand without gaps between rows.
        let a = if self.packed { a.contiguous() } else { a.clone() };
        let right = if self.packed { &self.b.0 } else { b.layout() };
        if let Some(planned) = Planned::new((a.layout(), self.a.1), (right, self.b.1), shape, self.form) {
            planned.run::<T>(&a, b, self.packed, out.data_mut::<T>(), bias.is_some(), after);
            return out;
        }
        let addend = if bias.is_some() { Addend::Sum(out) } else { Addend::Nothing };
        let mut out = contract((&a, self.a.1), (b, self.b.1), shape, self.form, addend);
        if let Some(after) = after {
            (after.finish)(0, out.data_mut::<T>(), after.others);
        }
        out
    }

    /// If packing the right operand pays: the key of its panels, and how many elements they have.
    fn panels(&self, b: Slot, dtype: DType) -> Option<(Key, usize)> {
        let planned = Some(&self.planned).filter(|_| self.a.0.is_contiguous())?;
        let len = if dtype == DType::F64 { planned.panels::<f64>() } else { planned.panels::<f32>() };
        let (k, n, steps) = planned.right();
        len.map(|len| ((b, k, n, steps), len))
    }
}

type Operand = (Slot, Form);

/// A product with a transposed result is the product of the transposed operands in reverse order.
fn oriented(a: Operand, b: Operand, form: Form) -> (Operand, Operand, Form) {
    if form == Form::Transposed { ((b.0, b.1.t()), (a.0, a.1.t()), Form::Matrix) } else { (a, b, form) }
}

/// The layout of panels: the right operand, its rows, its columns, its strides.
type Key = (Slot, usize, usize, (isize, isize));

/// Packs constant right operands, and drops constants that nothing reads any more.
pub(in crate::program) fn pack_constants(p: &mut Program, metas: &mut Metas) {
    // Memory that another owner lends may change.
    let constants: HashMap<Slot, Array> = p.constants.iter().filter(|(_, a)| !a.is_lent()).cloned().collect();
    let mut known: HashMap<Key, Slot> = HashMap::new();
    for instr in &mut p.instrs {
        let (Kind::Product(product), Some(Arg::Slot(right))) = (&mut instr.kind, instr.inputs.get_mut(1)) else { continue };
        let dtype = product.dtype;
        let Factors::Matrices(matrices) = &mut product.of else { continue };
        let (Some(b), Some((key, len))) = (constants.get(right), matrices.panels(*right, dtype)) else { continue };
        *right = *known.entry(key).or_insert_with(|| {
            metas.push((Layout::contiguous(&[len]), dtype));
            let (slot, form) = (metas.len() - 1, matrices.b.1);
            p.constants.push((slot, if dtype == DType::F64 { pack::<f64>(b, form) } else { pack::<f32>(b, form) }));
            slot
        });
        matrices.packed = true;
    }
    p.slots = metas.len();
    let gradients = p.split.iter().flat_map(|(_, gradients)| gradients);
    let read = p.instrs.iter().flat_map(|i| i.inputs.iter().filter_map(|a| a.slot()));
    let used: HashSet<Slot> = read.chain(p.outputs.iter().copied()).chain(gradients.copied()).collect();
    p.constants.retain(|(slot, _)| used.contains(slot));
}
