//! Complex numbers: real and imaginary parts, conjugates, absolute values, angles, and conversion from real numbers.
//!
//! The gradient of a real loss L with respect to z = x + iy is ∂L/∂x + i ∂L/∂y, the direction of steepest ascent, as in PyTorch. So a rule
//! is the adjoint of the tangent map under the inner product Re Σ conj(a) b. For a holomorphic function that is g · conj(f'(z)). Where a
//! real value was converted to complex, its gradient is the real part.

use std::f64::consts::PI;

use smallvec::smallvec;

use super::registry::{Arg, Entry, Gradient, Param, Sample};
use super::samples::{Draw, NONZERO, REAL};
use super::{add, annihilate, cos, divide, equal, isnan, less, multiply, negative, sin, squeeze, stack, subtract, where_};
use crate::array::{Array, Scalar, broadcast_shapes};
use crate::error::{Error, Result, show_shape};
use crate::kernel::complex::{self, functions};
use crate::tape::accumulate::{CAST, ToDType};
use crate::tape::{Batch, Jvp, Primitive, Variable, Vjp, apply};

/// The primitives of this file.
pub const PRIMITIVES: &[&Primitive] = &[&REAL_PART, &IMAG, &CONJ, &FROM_PARTS, &ABS, &ANGLE, &SIGN];

static REAL_PART: Primitive = Primitive { name: "real", ..CAST };

static IMAG: Primitive = Primitive {
    name: "imag",
    eval: |call| {
        call.give(complex::imag(call.array(0)));
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, complex(&zeros_like(&g), &g)?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

static CONJ: Primitive = Primitive {
    name: "conj",
    eval: |call| {
        call.give(complex::conj(call.array(0)));
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, conj(&g)?)
    }),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

static FROM_PARTS: Primitive = Primitive {
    name: "complex",
    eval: |call| {
        let (re, im) = (call.array(0), call.array(1));
        // In a batch, one part may be the same for all samples.
        let shape = broadcast_shapes(re.shape(), im.shape()).ok_or_else(|| Error::broadcast("complex", re.shape(), im.shape()))?;
        call.give(complex::from_parts(re, im, &shape));
        Ok(())
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        if ctx.needs(0) {
            ctx.add(0, real(&g)?)?;
        }
        if ctx.needs(1) { ctx.add(1, imag(&g)?) } else { Ok(()) }
    }),
    jvp: Jvp::Linear,
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

static ABS: Primitive = Primitive {
    name: "abs",
    eval: |call| {
        call.give(complex::map_real(call.array(0), functions::abs));
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, multiply(&sign(&ctx.input(0))?, &g)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        Ok(smallvec![inner(&sign(&ctx.input(0))?, t)?])
    }),
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

static ANGLE: Primitive = Primitive {
    name: "angle",
    eval: |call| {
        call.give(complex::map_real(call.array(0), functions::angle));
        Ok(())
    },
    saves: |s| s.input(0),
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, multiply(&turn(&ctx.input(0))?, &g)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        Ok(smallvec![inner(&turn(&ctx.input(0))?, t)?])
    }),
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

/// z / |z|.
static SIGN: Primitive = Primitive {
    name: "sign",
    eval: |call| {
        call.give(complex::map(call.array(0), functions::sign));
        Ok(())
    },
    saves: |s| {
        s.input(0);
        s.output(0);
    },
    vjp: Vjp::Rule(|ctx| {
        let g = ctx.cotangent();
        ctx.add(0, sign_tangent(&ctx.input(0), &ctx.output(0), &g)?)
    }),
    jvp: Jvp::Rule(|ctx| {
        let Some(t) = &ctx.tangents[0] else { return Ok(smallvec![]) };
        Ok(smallvec![sign_tangent(&ctx.input(0), &ctx.outputs[0], t)?])
    }),
    batch: Batch::Elementwise,
    ..Primitive::BASE
};

/// The derivative of s = z / |z| along t, which is self-adjoint: (t - Re(conj(s) t) s) / |z|; 0 where z is 0.
fn sign_tangent(z: &Variable, s: &Variable, t: &Variable) -> Result<Variable> {
    let across = subtract(t, &multiply(s, &inner(s, t)?)?)?;
    let length = abs(z)?;
    divide(&where_(&equal(&length, 0.0)?, 0.0, &across)?, &where_(&equal(&length, 0.0)?, 1.0, &length)?)
}

/// Re(conj(a) b), element by element.
fn inner(a: &Variable, b: &Variable) -> Result<Variable> {
    add(&multiply(&real(a)?, &real(b)?)?, &multiply(&imag(a)?, &imag(b)?)?)
}

/// The gradient of the angle of z: i z / |z|²; 0 where z is 0.
fn turn(z: &Variable) -> Result<Variable> {
    let length = abs(z)?;
    let zero = equal(&length, 0.0)?;
    let direction = divide(&sign(z)?, &where_(&zero, 1.0, &length)?)?;
    complex(&negative(&imag(&direction)?)?, &real(&direction)?)
}

fn zeros_like(x: &Variable) -> Variable {
    match Array::full(&[], Scalar::Int(0), x.dtype()).broadcast_to("zeros", x.shape()) {
        Ok(zeros) => zeros.into(),
        Err(_) => Array::zeros(x.shape(), x.dtype()).into(),
    }
}

/// The real parts; a real array is returned as it is.
///
/// # Errors
/// Those of recording.
pub fn real(x: &Variable) -> Result<Variable> {
    if !x.dtype().is_complex() {
        return Ok(x.clone());
    }
    apply(&REAL_PART, &[x.into()], &ToDType { dtype: x.dtype().real() })
}

/// The imaginary parts; zeros for a real array.
///
/// # Errors
/// Those of recording.
pub fn imag(x: &Variable) -> Result<Variable> {
    if x.dtype().is_complex() { apply(&IMAG, &[x.into()], &()) } else { Ok(Array::zeros(x.shape(), x.dtype()).into()) }
}

/// The complex conjugates; a real array is returned as it is.
///
/// # Errors
/// Those of recording.
pub fn conj(x: &Variable) -> Result<Variable> {
    if x.dtype().is_complex() { apply(&CONJ, &[x.into()], &()) } else { Ok(x.clone()) }
}

/// The complex numbers with real parts `re` and imaginary parts `im`, which broadcast.
///
/// # Errors
/// `DType` for complex parts, `Shape` when they do not broadcast.
pub fn complex(re: &Variable, im: &Variable) -> Result<Variable> {
    let dtype = re.dtype().promote(im.dtype());
    if dtype.is_complex() {
        return Err(Error::dtype("complex", dtype, "real parts"));
    }
    let dtype = if dtype.is_float() { dtype } else { crate::array::default_float() };
    let shape = broadcast_shapes(re.shape(), im.shape()).ok_or_else(|| Error::broadcast("complex", re.shape(), im.shape()))?;
    let part = |x: &Variable| -> Result<Variable> {
        let x = super::astype(x, dtype)?;
        if x.shape() == shape.as_slice() { Ok(x) } else { super::broadcast_to(&x, &shape) }
    };
    apply(&FROM_PARTS, &[(&part(re)?).into(), (&part(im)?).into()], &())
}

/// The absolute values of complex numbers. The gradient at 0 is 0.
///
/// # Errors
/// Those of recording.
pub(super) fn abs(z: &Variable) -> Result<Variable> {
    apply(&ABS, &[z.into()], &())
}

/// z / |z| for complex numbers; 0 for 0. The gradient at 0 is 0.
///
/// # Errors
/// Those of recording.
pub(super) fn sign(z: &Variable) -> Result<Variable> {
    apply(&SIGN, &[z.into()], &())
}

/// The angles of complex numbers in radians, between -π and π; 0 or π for real numbers. The gradient at 0 is 0.
///
/// # Errors
/// Those of recording.
pub fn angle(x: &Variable) -> Result<Variable> {
    if x.dtype().is_complex() {
        return apply(&ANGLE, &[x.into()], &());
    }
    let x = super::reduction::inexact(x)?;
    // NaN has no angle, and -0.0 does not count as negative.
    let flat = annihilate(&zeros_like(&x), &x)?;
    where_(&less(&x, 0.0)?, PI, &where_(&isnan(&x)?, &x, &flat)?)
}

/// The complex numbers with absolute values `r` and angles `theta`.
///
/// # Errors
/// `DType` for complex operands, `Shape` when they do not broadcast.
pub fn polar(r: &Variable, theta: &Variable) -> Result<Variable> {
    complex(&multiply(r, &cos(theta)?)?, &multiply(r, &sin(theta)?)?)
}

/// Real and imaginary parts as a new last axis.
///
/// # Errors
/// `DType` unless `z` is complex.
pub fn view_as_real(z: &Variable) -> Result<Variable> {
    if !z.dtype().is_complex() {
        return Err(Error::dtype("view_as_real", z.dtype(), "complex64 or complex128"));
    }
    stack(&[real(z)?, imag(z)?], -1)
}

/// The complex numbers whose real and imaginary parts are along the last axis.
///
/// # Errors
/// `DType` unless `x` is real and floating, `Shape` unless its last axis has size 2.
pub fn view_as_complex(x: &Variable) -> Result<Variable> {
    if !x.dtype().is_float() {
        return Err(Error::dtype("view_as_complex", x.dtype(), "float32 or float64"));
    }
    if x.shape().last() != Some(&2) {
        return Err(Error::Shape(format!("view_as_complex: shape {}, expected a last axis of size 2", show_shape(x.shape()))));
    }
    let parts = super::split(x, super::Sections::Count(2), -1)?;
    complex(&squeeze(&parts[0], Some(&[-1]))?, &squeeze(&parts[1], Some(&[-1]))?)
}

/// `f` of the real and of the imaginary parts, as complex numbers.
///
/// # Errors
/// Those of `f`.
pub(super) fn by_parts(z: &Variable, f: impl Fn(&Variable) -> Result<Variable>) -> Result<Variable> {
    complex(&f(&real(z)?)?, &f(&imag(z)?)?)
}

/// Complex numbers whose parts are rounded to the nearest integers, halves to even.
///
/// # Errors
/// Those of recording.
pub(super) fn rint(z: &Variable) -> Result<Variable> {
    by_parts(z, super::rint)
}

/// Complex arrays of several layouts.
fn one_array() -> Vec<Sample> {
    let draw = &mut Draw::new(43);
    let part = |draw: &mut Draw, shape: &[usize]| NONZERO.strided(draw, shape).array().copy();
    let shapes = [&[][..], &[4], &[2, 3], &[0, 2]];
    shapes.map(|shape| Sample { args: vec![Arg::Variable(complex::from_parts(&part(draw, shape), &part(draw, shape), shape).into())] }).to_vec()
}

fn two_arrays() -> Vec<Sample> {
    let draw = &mut Draw::new(41);
    let shapes: [(&[usize], &[usize]); 4] = [(&[], &[]), (&[3], &[2, 3]), (&[2, 1], &[2, 3]), (&[0, 2], &[2])];
    shapes.map(|(a, b)| Sample { args: vec![Arg::Variable(REAL.strided(draw, a)), Arg::Variable(REAL.array(draw, b))] }).to_vec()
}

fn pairs() -> Vec<Sample> {
    let draw = &mut Draw::new(42);
    [&[2][..], &[3, 2], &[0, 2], &[2, 3, 2]].map(|shape| Sample { args: vec![Arg::Variable(REAL.strided(draw, shape))] }).to_vec()
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "real",
        doc: "The real parts; a real array is its own. As an attribute: x.real.\n\n>>> tg.real(tg.Variable([1 + 2j, 3j]))\nVariable([1., 0.])\n",
        params: &[Param::array("x")],
        call: |a| Ok(real(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("g, as a complex number"),
        linear: true,
        samples: one_array,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "imag",
        doc: "The imaginary parts; zeros of a real array. As an attribute: x.imag.\n\n>>> tg.imag(tg.Variable([1 + 2j, 3j]))\nVariable([2., 3.])\n",
        params: &[Param::array("x")],
        call: |a| Ok(imag(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("i g"),
        linear: true,
        samples: one_array,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "conj",
        aliases: &["conjugate"],
        doc: "The complex conjugates; a real array is its own.\n\n>>> tg.conj(tg.Variable([1 + 2j, 3j]))\nVariable([1.-2.j, 0.-3.j])\n",
        params: &[Param::array("x")],
        call: |a| Ok(conj(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("conj(g)"),
        linear: true,
        samples: one_array,
        ..Entry::BASE
    },
    Entry {
        name: "angle",
        doc: "The angles of complex numbers in radians, between -pi and pi; of real ones 0 or pi. The gradient at 0 is 0.\n\n>>> tg.angle(tg.Variable([1 + 1j, -2.0]))\nVariable([0.7853982, 3.1415927])\n",
        params: &[Param::array("x")],
        call: |a| Ok(angle(&a.variable(0)?)?.into()),
        gradient: Gradient::Rule("g i z / abs(z)^2, 0 where z is 0"),
        samples: one_array,
        ..Entry::BASE
    },
    Entry {
        name: "complex",
        doc: "The complex numbers with these real and imaginary parts, which broadcast.\n\n>>> tg.complex(tg.Variable([1.0, 2.0]), tg.Variable(3.0))\nVariable([1.+3.j, 2.+3.j])\n",
        params: &[Param::array("real"), Param::array("imag")],
        call: |a| Ok(complex(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Rule("the real and the imaginary part of g"),
        linear: true,
        samples: two_arrays,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "polar",
        doc: "The complex numbers with these lengths and angles in radians.\n\n>>> tg.polar(tg.Variable([2.0]), tg.Variable([0.0]))\nVariable([2.+0.j])\n",
        params: &[Param::array("abs"), Param::array("angle")],
        call: |a| Ok(polar(&a.variable(0)?, &a.variable(1)?)?.into()),
        gradient: Gradient::Composite("those of complex(r cos t, r sin t)"),
        samples: two_arrays,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "view_as_real",
        doc: "Real and imaginary parts side by side along a new last axis; a copy.\n\n>>> tg.view_as_real(tg.Variable([1 + 2j]))\nVariable([[1., 2.]])\n",
        params: &[Param::array("x")],
        call: |a| Ok(view_as_real(&a.variable(0)?)?.into()),
        gradient: Gradient::Composite("those of stack(real, imag)"),
        samples: one_array,
        ..Entry::BASE
    }
    .no_method(),
    Entry {
        name: "view_as_complex",
        doc: "The complex numbers whose real and imaginary parts stand side by side along the last axis; a copy.\n\n>>> tg.view_as_complex(tg.Variable([[1.0, 2.0]]))\nVariable([1.+2.j])\n",
        params: &[Param::array("x")],
        call: |a| Ok(view_as_complex(&a.variable(0)?)?.into()),
        gradient: Gradient::Composite("that of complex(real, imag)"),
        samples: pairs,
        ..Entry::BASE
    }
    .no_method(),
];
