//! Floating numbers of 16 bits at the gate: primitives compute with them in float32, through recorded conversions.

use smallvec::SmallVec;

use super::accumulate::cast;
use super::primitive::{self, AttrSet, Operand, Outputs, Primitive};
use super::variable::Variable;
use crate::array::DType;
use crate::error::Result;

/// Whether an operand must be converted before `p` sees it.
#[inline(always)]
pub(super) fn is_met(p: &'static Primitive, inputs: &[Operand<'_>]) -> bool {
    inputs.iter().any(|o| o.variable().is_some_and(|v| v.dtype().is_half())) && !p.moves && !p.is_view
}

/// The 16-bit dtype that results of an operation on arrays of these dtypes are rounded to; `None` when they are not rounded.
pub fn rounded(dtypes: impl IntoIterator<Item = DType>) -> Option<DType> {
    dtypes.into_iter().reduce(DType::promote).filter(|d| d.is_half())
}

/// `x` in float32 if its dtype has 16 bits, else `x`.
///
/// # Errors
/// Those of recording.
pub fn widen(x: &Variable) -> Result<Variable> {
    if x.dtype().is_half() { cast(x, DType::F32) } else { Ok(x.clone()) }
}

/// A float32 result in the dtype that [`rounded`] returned.
///
/// # Errors
/// Those of recording.
pub fn narrow(y: Variable, to: Option<DType>) -> Result<Variable> {
    match to {
        Some(to) if y.dtype() == DType::F32 => cast(&y, to),
        _ => Ok(y),
    }
}

/// Runs the primitive in float32.
#[cold]
pub(super) fn apply_all(p: &'static Primitive, inputs: &[Operand<'_>], attrs: &dyn AttrSet) -> Result<Outputs> {
    let to = rounded(inputs.iter().filter_map(|o| o.variable().map(Variable::dtype)));
    let wide = inputs.iter().map(|o| o.variable().map(widen).transpose()).collect::<Result<SmallVec<[Option<Variable>; 4]>>>()?;
    let operands: SmallVec<[Operand<'_>; 4]> = inputs.iter().zip(&wide).map(|(o, w)| w.as_ref().map_or(*o, Operand::Variable)).collect();
    let outs = primitive::apply_all(p, &operands, attrs)?;
    outs.into_iter().map(|y| narrow(y, to)).collect()
}
