//! The state of a parameter in an optimizer: a count of steps, and arrays of the parameter's shape.

use super::Method;
use crate::array::{Array, DType};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::kernel::optimizer_update::{Update, sweep};
use crate::ops::astype;
use crate::tape::Meta;

/// A count of steps, and arrays in the slots that [`Method::SLOTS`] names.
#[derive(Clone, Debug)]
pub struct State {
    step: u64,
    arrays: Vec<Option<Array>>,
    /// Memory for arrays that the next step will initialise.
    spare: Vec<Array>,
}

impl State {
    /// Before the first step.
    pub(super) fn new(slots: usize) -> Self {
        Self { step: 0, arrays: vec![None; slots], spare: Vec::new() }
    }

    /// The number of steps of the parameter, if the method counts them.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The arrays, under their names.
    pub fn arrays<M: Method>(&self) -> impl Iterator<Item = (&'static str, &Array)> {
        M::SLOTS.iter().zip(&self.arrays).filter_map(|(&name, a)| a.as_ref().map(|a| (name, a)))
    }

    /// Counts one more step and returns its number.
    pub(super) fn count(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.arrays[slot].is_some()
    }

    /// Makes the arrays in `slots` unshared, so that a step needs no more memory.
    pub(super) fn make_ready(&mut self, slots: &[usize], p: &Meta) {
        self.spare.clear();
        for &slot in slots {
            match &mut self.arrays[slot] {
                None => self.spare.push(Array::empty(&p.shape, dtype_of(p))),
                Some(array) => {
                    if !array.is_unique() {
                        *array = array.copy();
                    }
                }
            }
        }
    }

    /// [`Array::turn_into`] for all arrays.
    pub(super) fn turn_into(&mut self, dtype: DType) {
        self.arrays.iter_mut().flatten().chain(&mut self.spare).for_each(|a| a.turn_into(dtype));
    }

    /// Applies `update` to a parameter and the arrays in `slots`, which are initialised with zeros.
    pub(super) fn sweep<U: Update<S>, const S: usize>(&mut self, update: U, slots: [usize; S], p: &mut Array, g: &Array) {
        let copy;
        let g = if g.is_contiguous() {
            g
        } else {
            copy = g.copy();
            &copy
        };
        let Ok(slots) = self.arrays.get_disjoint_mut(slots) else { unreachable!("slots are distinct") };
        let spare = &mut self.spare;
        let arrays = slots.map(|s| s.get_or_insert_with(|| begin(spare.pop(), p)));
        dispatch!(float p.dtype(), T => {
            let Some(g) = g.as_slice::<T>() else { unreachable!("contiguous() is contiguous") };
            sweep(update, p.data_mut::<T>(), g, arrays.map(Array::data_mut::<T>));
        }, else unreachable!("parameters are floating"));
    }

    /// A saved state, checked against the parameter it is for.
    pub(super) fn read<M: Method>(options: &M::Options, p: &Meta, step: Option<u64>, arrays: &[(String, Array)]) -> Result<Self> {
        let method = M::name(options);
        if M::COUNTS && step.is_none() {
            return Err(Error::Key(format!("{method}: the state of a parameter lacks 'step'")));
        }
        let mut out = Self::new(M::SLOTS.len());
        out.step = step.unwrap_or(0);
        for (name, array) in arrays {
            let Some(slot) = M::SLOTS.iter().position(|s| s == name) else {
                return Err(Error::Key(format!("{method}: the state of a parameter has no '{name}', only {}", M::SLOTS.join(", "))));
            };
            if array.shape() != p.shape.as_slice() {
                let shapes = format!("'{name}' has shape {}, its parameter {}", show_shape(array.shape()), show_shape(&p.shape));
                return Err(Error::Shape(format!("{method}: {shapes}")));
            }
            out.arrays[slot] = Some(astype(&array.clone().into(), dtype_of(p))?.into_array());
        }
        match M::slots(options).into_iter().find(|&s| !out.has(s)) {
            Some(s) => Err(Error::Key(format!("{method}: the state of a parameter lacks '{}'", M::SLOTS[s]))),
            None => Ok(out),
        }
    }
}

/// The dtype of a parameter's state: float32 for a 16-bit parameter.
fn dtype_of(p: &Meta) -> DType {
    if p.dtype.is_half() { DType::F32 } else { p.dtype }
}

/// An array of zeros like `p`, in memory that was reserved for it.
fn begin(spare: Option<Array>, p: &Array) -> Array {
    let mut out = spare.unwrap_or_else(|| Array::empty(p.shape(), p.dtype()));
    dispatch!(out.dtype(), T => out.data_mut::<T>().fill(T::default()));
    out
}
