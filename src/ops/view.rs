//! Views on the tape: reading a part of a base, and writing one.
//!
//! A part is a layout over the *row-major positions* of the base, whatever the memory layout of the base is: any chain of slices,
//! transpositions, reshapes and diagonals is one such map. Both operations are linear in all their inputs.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use smallvec::smallvec;

use super::index::Assignment;
use crate::array::{Array, Layout, Scalar, Shape};
use crate::error::Result;
use crate::kernel::slice_write;
use crate::tape::{
    AttrSet, Batch, BatchContext, Jvp, Outputs, Primitive, Recorded, Variable, Vjp, VjpContext, apply, apply_update, record_under_lock,
};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&VIEW, &COPY_PART, &VIEW_ADD, &VIEW_WRITE];

static VIEW: Primitive = VIEWING;

/// A part of a base. It shares the memory of the base if that is row-major.
const VIEWING: Primitive = Primitive {
    is_view: true,
    name: "view",
    eval: |call| {
        call.give(call.array(0).contiguous().window(&call.attrs::<Map>().map));
        Ok(())
    },
    vjp: Vjp::Rule(view_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| ctx.apply_spread(&batched(ctx))),
    ..Primitive::BASE
};

/// As [`VIEW`], but copied: sharing the buffer would prevent it from being overwritten.
static COPY_PART: Primitive = Primitive {
    eval: |call| {
        call.give(call.array(0).contiguous().window(&call.attrs::<Map>().map).copy());
        Ok(())
    },
    ..VIEWING
};

/// A base (input 0) with a value (input 1) added to a part.
static VIEW_ADD: Primitive = Primitive {
    name: "view_add",
    eval: |call| {
        let (value, map) = (call.array(1), call.attrs::<Map>());
        let out = call.update();
        *out = std::mem::replace(out, value.clone()).contiguous();
        slice_write::add(out, in_memory(&map.map), value);
        Ok(())
    },
    vjp: Vjp::Rule(view_add_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_write),
    ..Primitive::BASE
};

/// A base (input 0), where a part is replaced by a value (input 1).
static VIEW_WRITE: Primitive = Primitive {
    moves: true,
    name: "view_write",
    eval: |call| {
        let (value, map) = (call.array(1), call.attrs::<Map>());
        let out = call.update();
        *out = std::mem::replace(out, value.clone()).contiguous();
        slice_write::write(out, in_memory(&map.map), value);
        Ok(())
    },
    vjp: Vjp::Rule(view_write_vjp),
    jvp: Jvp::Linear,
    batch: Batch::Rule(batch_write),
    ..Primitive::BASE
};

/// The map for a batch of bases: an additional axis, whose stride is the size of a base.
fn batched(ctx: &BatchContext<'_>) -> Map {
    let map = &ctx.attrs::<Map>().map;
    let base = ctx.array(0);
    let sample: usize = base.shape()[usize::from(ctx.mapped[0])..].iter().product();
    let shape: Shape = std::iter::once(ctx.size).chain(map.shape().iter().copied()).collect();
    let strides: Vec<isize> = std::iter::once(sample.cast_signed()).chain(map.strides().iter().copied()).collect();
    Map { map: Arc::new(Layout::strided(&shape, &strides, map.offset())) }
}

fn batch_write(ctx: &BatchContext<'_>) -> Result<Outputs> {
    let value = ctx.aligned(1, ctx.attrs::<Map>().map.shape().len())?;
    Ok(smallvec![apply_update(ctx.primitive, ctx.batched_input(0)?, &[(&value).into()], &batched(ctx))?])
}

/// A part of a base, as a layout over the row-major positions of the base.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Map {
    map: Arc<Layout>,
}
crate::attributes!(Map);

fn attrs(map: &Arc<Layout>) -> Map {
    Map { map: Arc::clone(map) }
}

/// The map as a layout of the memory of a row-major array.
fn in_memory(map: &Layout) -> impl FnOnce(&Layout) -> Layout {
    |whole| map.shifted(whole.offset())
}

/// The part of `base` that `map` describes. It shares the memory of the base if that is row-major.
///
/// # Errors
/// Those of recording.
pub fn view(base: &Variable, map: &Arc<Layout>) -> Result<Variable> {
    apply(&VIEW, &[base.into()], &attrs(map))
}

fn view_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, map) = (ctx.cotangent(), &ctx.attrs::<Map>().map);
    if ctx.create_graph() {
        let sum = ctx.take_recorded(0);
        return ctx.add(0, view_add(sum, map, &g)?);
    }
    ctx.accumulate_part(0, |sum| slice_write::add(sum, in_memory(map), g.array()))
}

/// `base` with `value` added to the part that `map` describes; positions that the map repeats get the sum. `base` is overwritten unless its
/// storage is shared.
pub(super) fn view_add(base: Variable, map: &Arc<Layout>, value: &Variable) -> Result<Variable> {
    apply_update(&VIEW_ADD, base, &[value.into()], &attrs(map))
}

fn view_add_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, map) = (ctx.cotangent(), &ctx.attrs::<Map>().map);
    if ctx.needs(1) {
        ctx.add(1, view(&g, map)?)?;
    }
    ctx.add(0, g)
}

/// `base` with `value` in the part that `map` describes, which must not repeat positions. `base` is overwritten unless its storage is
/// shared.
fn view_write(base: Variable, map: &Arc<Layout>, value: &Variable) -> Result<Variable> {
    apply_update(&VIEW_WRITE, base, &[value.into()], &attrs(map))
}

fn view_write_vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let (g, map) = (ctx.cotangent(), &ctx.attrs::<Map>().map);
    if ctx.needs(1) {
        ctx.add(1, apply(&COPY_PART, &[(&g).into()], &attrs(map))?)?;
    }
    if ctx.needs(0) {
        let zero = Array::full(&[], Scalar::Int(0), g.dtype()).into();
        ctx.add(0, view_write(g, map, &zero)?)?;
    }
    Ok(())
}

/// The part of an array that a write replaces.
pub enum Part {
    /// All of it.
    Whole,
    /// The part that a view shows, as row-major positions.
    Map(Arc<Layout>),
    /// The part that an index selects.
    Item(Assignment),
}

impl Part {
    /// Writes `value`, broadcast, to the part of `array`, which is row-major and unshared.
    pub fn write(&self, array: &mut Array, value: &Array) {
        match self {
            Self::Whole => slice_write::write(array, Layout::clone, value),
            Self::Map(map) => slice_write::write(array, in_memory(map), value),
            Self::Item(item) => item.write(array, value),
        }
    }

    /// Whether the part itself is inside a transformation.
    #[must_use]
    pub fn is_lifted(&self) -> bool {
        matches!(self, Self::Item(item) if item.is_lifted())
    }

    /// `x`, where the part is replaced by `value`, as a new value.
    ///
    /// # Errors
    /// Those of recording.
    pub fn apply(&self, x: Variable, value: &Variable) -> Result<Variable> {
        match self {
            Self::Whole => {
                let map = Arc::new(Layout::contiguous(x.shape()));
                view_write(x, &map, value)
            }
            Self::Map(map) => view_write(x, map, value),
            Self::Item(item) => item.apply(x, value),
        }
    }

    /// Records the write of `value`, which was executed: `old` is the array after the write, with the edge from before.
    ///
    /// # Errors
    /// Those of recording.
    pub fn record(&self, old: &Variable, value: &Variable) -> Result<Recorded> {
        let out = old.array().clone();
        match self {
            Self::Whole => {
                let map = Arc::new(Layout::contiguous(out.shape()));
                record_under_lock(&VIEW_WRITE, &[old, value], out, |s| s.attrs(attrs(&map).share()))
            }
            Self::Map(map) => record_under_lock(&VIEW_WRITE, &[old, value], out, |s| s.attrs(attrs(map).share())),
            Self::Item(item) => item.record(old, value, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::DType;
    use crate::ops::{multiply, sum};
    use crate::tape::{BackwardOptions, grad};

    fn arange(shape: &[usize]) -> Array {
        let n: usize = shape.iter().product();
        Array::from_slice(&(0_i32..).take(n).map(f64::from).collect::<Vec<_>>(), shape)
    }

    /// The second row of a transposed 3 x 2 matrix, reversed.
    fn map() -> Arc<Layout> {
        Arc::new(Layout::contiguous(&[3, 2]).permute(&[1, 0]).select(0, 1).slice(0, 2, 3, -1))
    }

    #[test]
    fn a_map_does_not_depend_on_memory() {
        let plain = arange(&[3, 2]);
        let strided = plain.with_layout(plain.layout().permute(&[1, 0])).copy();
        let strided = strided.with_layout(strided.layout().permute(&[1, 0]));
        let tail = arange(&[4, 2]);
        let tail = tail.with_layout(tail.layout().slice(0, 1, 3, 1));
        for (base, expected) in [(plain, [5.0, 3.0, 1.0]), (strided, [5.0, 3.0, 1.0]), (tail, [7.0, 5.0, 3.0])] {
            let base = Variable::from(base);
            assert_eq!(view(&base, &map()).unwrap().array().to_vec::<f64>(), expected);
            let written = view_write(base.clone(), &map(), &arange(&[3]).into()).unwrap();
            assert_eq!(view(&written, &map()).unwrap().array().to_vec::<f64>(), [0.0, 1.0, 2.0]);
            assert_eq!(view(&base, &map()).unwrap().array().to_vec::<f64>(), expected, "the old value stays");
        }
    }

    #[test]
    fn gradients_of_both_orders() {
        let (x, v) = (Variable::parameter(arange(&[3, 2])).unwrap(), Variable::parameter(arange(&[3])).unwrap());
        let y = view_write(multiply(&x, &x).unwrap(), &map(), &multiply(&v, &v).unwrap()).unwrap();
        let part = view(&y, &map()).unwrap();
        let loss = sum(&multiply(&multiply(&y, &y).unwrap(), &y).unwrap(), None, false).unwrap();
        let loss = crate::ops::add(&loss, &sum(&multiply(&part, &part).unwrap(), None, false).unwrap()).unwrap();
        let options = BackwardOptions { retain_graph: true, create_graph: true, ..BackwardOptions::default() };
        let first = grad(&[(loss, None)], &[x.clone(), v.clone()], options).unwrap();
        let [Some(gx), Some(gv)] = &first[..] else { panic!("both have gradients") };
        // 6 x**5 where x stays, 0 where it was written; 6 v**5 + 4 v**3.
        assert_eq!(gx.array().to_vec::<f64>(), [0.0, 0.0, 192.0, 0.0, 6144.0, 0.0]);
        assert_eq!(gv.array().to_vec::<f64>(), [0.0, 10.0, 224.0]);
        let total = crate::ops::add(&sum(gx, None, false).unwrap(), &sum(gv, None, false).unwrap()).unwrap();
        let second = grad(&[(total, None)], &[x, v], BackwardOptions::default()).unwrap();
        assert_eq!(second[0].as_ref().unwrap().array().to_vec::<f64>(), [0.0, 0.0, 480.0, 0.0, 7680.0, 0.0]);
        assert_eq!(second[1].as_ref().unwrap().array().to_vec::<f64>(), [0.0, 42.0, 528.0]);
    }

    #[test]
    fn repeated_places_collect_all_of_a_gradient() {
        let x = Variable::parameter(arange(&[2])).unwrap();
        let repeated = Arc::new(Layout::strided(&[3, 2], &[0, 1], 0));
        let loss = sum(&view(&x, &repeated).unwrap(), None, false).unwrap();
        let options = BackwardOptions::default();
        let g = grad(&[(loss, None)], &[x], options).unwrap();
        assert_eq!(g[0].as_ref().unwrap().array().to_vec::<f64>(), [3.0, 3.0]);
    }

    #[test]
    fn small_parts_of_a_copied_buffer_are_saved_as_copies() {
        let mut a = Array::zeros(&[16, 4], DType::F64);
        assert!(a.make_writable().is_none(), "it is unshared");
        let row = |a: &Array| a.with_layout(a.layout().select(0, 3));
        assert!(row(&a).compact_part().is_none());
        let held = a.clone();
        assert!(a.make_writable().is_some());
        assert!(row(&a).compact_part().is_some_and(|part| part.is_contiguous() && part.storage().len() == 4));
        assert!(a.with_layout(a.layout().slice(0, 0, 4, 1)).compact_part().is_none(), "too large a part");
        assert!(row(&held).compact_part().is_none());
    }
}
