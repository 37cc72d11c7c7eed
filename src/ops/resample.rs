//! Sparse linear maps along the last axes, for average pooling, interpolation and padding.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use smallvec::smallvec;

use super::complex::by_parts;
use super::conv::flat;
use crate::array::{DType, Scalar, Shape, check_memory};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::resample::{Table, pick_places, resample as run};
use crate::kernel::windows::{gather, scatter};
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&RESAMPLE, &PICK, &GATHER, &SCATTER];

/// One table for each of the last axes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tables(pub(super) Arc<Vec<Table>>);
crate::attributes!(Tables, Picked, Plane);

static RESAMPLE: Primitive = Primitive {
    name: "resample",
    eval: |call| {
        let (tables, x) = (&call.attrs::<Tables>().0, call.array(0));
        let front = &x.shape()[..x.ndim() - tables.len()];
        let shape: Shape = front.iter().copied().chain(tables.iter().map(Table::outputs)).collect();
        check_memory(call.name(), &shape, x.dtype())?;
        call.give(run(x, tables));
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        let tables = ctx.attrs::<Tables>().0.iter().map(Table::transposed).collect();
        ctx.add(0, resample(&g, tables)?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&RESAMPLE, ctx.inputs, ctx.attrs::<Tables>())?])),
    ..Primitive::BASE
};

/// Applies one table along each of the last axes of `x`, which is floating or complex.
pub(super) fn resample(x: &Variable, tables: Vec<Table>) -> Result<Variable> {
    let tables = Tables(Arc::new(tables));
    let part = |x: &Variable| apply(&RESAMPLE, &[x.into()], &tables);
    if x.dtype().is_complex() { by_parts(x, part) } else { part(x) }
}

/// For each of the last axes the positions that are read, and the value where there is no position.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Picked {
    places: Arc<Vec<Vec<Option<usize>>>>,
    #[serde(with = "crate::array::number_text")]
    fill: f64,
}

static PICK: Primitive = Primitive {
    name: "pick",
    eval: |call| {
        let (p, x) = (call.attrs::<Picked>(), call.array(0));
        let front = &x.shape()[..x.ndim() - p.places.len()];
        let shape: Shape = front.iter().copied().chain(p.places.iter().map(Vec::len)).collect();
        check_memory(call.name(), &shape, x.dtype())?;
        call.give(dispatch!(x.dtype(), T => pick_places::<T>(x, &p.places, crate::array::Element::from_scalar(Scalar::Float(p.fill)))));
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        let shape = Shape::from_slice(&ctx.meta(0).shape);
        let places = &ctx.attrs::<Picked>().places;
        let sizes = &shape[shape.len() - places.len()..];
        let tables = places.iter().zip(sizes).map(|(p, n)| Table::of_places(*n, p.iter().copied()).transposed()).collect();
        ctx.add(0, resample(&g, tables)?)
    }),
    jvp: Jvp::Rule(|ctx| match &ctx.tangents[0] {
        Some(t) => Ok(smallvec![apply(&PICK, &[t.into()], &Picked { fill: 0.0, ..ctx.attrs::<Picked>().clone() })?]),
        None => Ok(smallvec![]),
    }),
    batch: Batch::Rule(|ctx| Ok(smallvec![apply(&PICK, ctx.inputs, ctx.attrs::<Picked>())?])),
    ..Primitive::BASE
};

/// The elements at positions along each of the last axes of `x`, and `fill` where there is no position.
pub(super) fn pick(x: &Variable, places: Vec<Vec<Option<usize>>>, fill: f64) -> Result<Variable> {
    apply(&PICK, &[x.into()], &Picked { places: Arc::new(places), fill })
}

/// The plane of some axes, indexed in row-major order, and the shape of the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plane {
    plane: Shape,
    out: Shape,
}

static GATHER: Primitive = Primitive {
    name: "gather_places",
    eval: |call| {
        let (p, x, places) = (call.attrs::<Plane>(), call.array(0).contiguous(), call.array(1).contiguous());
        let shape: Shape = x.shape()[..x.ndim() - p.plane.len()].iter().chain(&p.out).copied().collect();
        check_memory(call.name(), &shape, x.dtype())?;
        let (plane, count) = (p.plane.iter().product(), p.out.iter().product());
        let out = call.out(&shape, x.dtype());
        dispatch!(x.dtype(), T => gather::<T>(flat(&x), plane, flat(&places), count, out.data_mut()));
        Ok(())
    },
    saves: |s| s.input(1),
    vjp: Vjp::Rule(|ctx| {
        let (g, places) = (ctx.cotangent(), ctx.input(1));
        ctx.add(0, apply(&SCATTER, &[(&g).into(), (&places).into()], ctx.attrs::<Plane>())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| ctx.apply_spread(ctx.attrs::<Plane>())),
    ..Primitive::BASE
};

static SCATTER: Primitive = Primitive {
    name: "scatter_places",
    eval: |call| {
        let (p, g, places) = (call.attrs::<Plane>(), call.array(0).contiguous(), call.array(1).contiguous());
        let shape: Shape = g.shape()[..g.ndim() - p.out.len()].iter().chain(&p.plane).copied().collect();
        check_memory(call.name(), &shape, g.dtype())?;
        let (plane, count) = (p.plane.iter().product(), p.out.iter().product());
        let out = call.out(&shape, g.dtype());
        dispatch!(float g.dtype(), T => scatter::<T>(flat(&g), plane, flat(&places), count, out.data_mut()), else super::conv::not_floating());
        Ok(())
    },
    saves: |s| s.input(1),
    vjp: Vjp::Rule(|ctx| {
        let (g, places) = (ctx.cotangent(), ctx.input(1));
        ctx.add(0, apply(&GATHER, &[(&g).into(), (&places).into()], ctx.attrs::<Plane>())?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Rule(|ctx| ctx.apply_spread(ctx.attrs::<Plane>())),
    ..Primitive::BASE
};

/// The elements of each plane (the last `axes` axes of `x`) at `places`, an int64 array with the same leading axes; zero at -1.
pub(super) fn gather_places(x: &Variable, places: &Variable, axes: usize) -> Result<Variable> {
    let front = x.ndim() - axes;
    let attrs = Plane { plane: Shape::from_slice(&x.shape()[front..]), out: Shape::from_slice(&places.shape()[front..]) };
    apply(&GATHER, &[x.into(), places.into()], &attrs)
}

/// Planes of zeros of shape `plane`, to which the elements of `g` are added at `places`: the transpose of [`gather_places`].
pub(super) fn scatter_places(g: &Variable, places: &Variable, plane: &[usize]) -> Result<Variable> {
    let front = g.ndim() - plane.len();
    let attrs = Plane { plane: Shape::from_slice(plane), out: Shape::from_slice(&g.shape()[front..]) };
    apply(&SCATTER, &[g.into(), places.into()], &attrs)
}

/// Whether it is an int64 array.
pub(super) fn is_places(v: &Variable) -> bool {
    v.dtype() == DType::I64
}
