//! Formulas over recorded values: the same formula that becomes a SIMD loop becomes operations on the tape.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::registry::Operand;
use super::shape::scalar;
use crate::array::{Array, DType};
use crate::error::{Error, Result};
use crate::kernel::field::Field;
use crate::ops;
use crate::tape::Variable;

/// The values of a formula that is being recorded.
#[derive(Debug)]
pub struct Trace {
    dtype: DType,
    values: RefCell<Vec<Variable>>,
    error: RefCell<Option<Error>>,
}

/// A value of a [`Trace`], or a constant. `Copy`, so that formulas read as formulas.
#[derive(Clone, Copy)]
pub enum Traced<'t> {
    /// A constant.
    Lit(f64),
    /// Value number `.1`.
    Value(&'t Trace, usize),
}

impl fmt::Debug for Traced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lit(v) => v.fmt(f),
            Self::Value(_, i) => write!(f, "%{i}"),
        }
    }
}

impl Trace {
    /// A formula over values of `dtype`.
    #[must_use]
    pub fn new(dtype: DType) -> Self {
        Self { dtype, values: RefCell::default(), error: RefCell::default() }
    }

    /// Adds an operand.
    pub fn value(&self, v: Variable) -> Traced<'_> {
        let mut values = self.values.borrow_mut();
        values.push(v);
        Traced::Value(self, values.len() - 1)
    }

    /// The value of the formula.
    ///
    /// # Errors
    /// The first error of an operation in it.
    pub fn finish(&self, out: Traced<'_>) -> Result<Variable> {
        if let Some(e) = self.error.borrow_mut().take() {
            return Err(e);
        }
        Ok(match out {
            Traced::Lit(v) => scalar(v, self.dtype),
            Traced::Value(_, i) => self.values.borrow()[i].clone(),
        })
    }

    fn result(&self, r: Result<Variable>) -> Traced<'_> {
        match r {
            Ok(v) => self.value(v),
            Err(e) => {
                self.error.borrow_mut().get_or_insert(e);
                Traced::Lit(f64::NAN)
            }
        }
    }
}

impl Traced<'_> {
    fn variable(self) -> Variable {
        match self {
            Self::Lit(v) => Array::scalar(v).into(),
            Self::Value(t, i) => t.values.borrow()[i].clone(),
        }
    }

    /// The complex conjugate; real values are unchanged.
    #[must_use]
    pub fn conj(self) -> Self {
        match self {
            Self::Value(t, _) if t.dtype.is_complex() => t.result(ops::conj(&self.variable())),
            _ => self,
        }
    }

    /// A unary operation; constants are evaluated at once.
    fn unary(self, f: fn(&Variable) -> Result<Variable>) -> Self {
        match self {
            Self::Lit(v) => match f(&Array::scalar(v).into()).and_then(|y| y.array().item()) {
                Ok(y) => Self::Lit(y.as_f64()),
                Err(_) => Self::Lit(f64::NAN),
            },
            Self::Value(t, _) => t.result(f(&self.variable())),
        }
    }

    /// A function of several values and constants.
    pub fn call<const N: usize>(args: [Self; N], f: impl FnOnce([&Variable; N]) -> Result<Variable>) -> Self {
        let Some(t) = args.iter().find_map(|a| if let Self::Value(t, _) = a { Some(*t) } else { None }) else {
            unreachable!("a formula has at least one value among the arguments of a function")
        };
        let values = args.map(|a| if let Self::Lit(v) = a { scalar(v, t.dtype) } else { a.variable() });
        t.result(f(values.each_ref()))
    }

    fn binary(self, o: Self, f: impl Fn(Operand<'_>, Operand<'_>) -> Result<Variable>) -> Self {
        match (self, o) {
            (Self::Lit(a), Self::Lit(b)) => {
                let (a, b): (Variable, Variable) = (Array::scalar(a).into(), Array::scalar(b).into());
                match f((&a).into(), (&b).into()).and_then(|y| y.array().item()) {
                    Ok(y) => Self::Lit(y.as_f64()),
                    Err(_) => Self::Lit(f64::NAN),
                }
            }
            (Self::Value(t, _), Self::Lit(b)) => t.result(f((&self.variable()).into(), b.into())),
            (Self::Lit(a), Self::Value(t, _)) => t.result(f(a.into(), (&o.variable()).into())),
            (Self::Value(t, _), Self::Value(..)) => t.result(f((&self.variable()).into(), (&o.variable()).into())),
        }
    }
}

macro_rules! operator {
    ($($trait:ident $name:ident $op:ident),*) => {
        $(impl $trait for Traced<'_> {
            type Output = Self;
            fn $name(self, o: Self) -> Self {
                self.binary(o, |a, b| ops::$op(a, b))
            }
        })*
    };
}
operator!(Add add add, Sub sub subtract, Mul mul multiply, Div div divide);

impl Neg for Traced<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(ops::negative)
    }
}

macro_rules! functions {
    ($($name:ident = $op:ident),* $(,)?) => {
        $(fn $name(self) -> Self {
            self.unary(ops::$op)
        })*
    };
}

impl<'t> Field for Traced<'t> {
    type Mask = Traced<'t>;

    fn lit(v: f64) -> Self {
        Self::Lit(v)
    }

    functions! {
        exp = exp, exp_m1 = expm1, ln = log, ln_1p = log1p, log2 = log2, log10 = log10, sqrt = sqrt, recip = reciprocal,
        tanh = tanh, sinh = sinh, cosh = cosh, sin = sin, cos = cos, tan = tan, sigmoid = sigmoid, erf = erf, gelu = gelu_erf, gelu_tanh = gelu_tanh,
        silu = silu, sigmoid_slope = sigmoid_slope, normal_cdf = normal_cdf, gelu_tanh_cdf = gelu_tanh_cdf, sign = sign,
        abs = abs, floor = floor, ceil = ceil, round_ties_even = rint, trunc = trunc,
    }

    fn powf(self, e: Self) -> Self {
        self.binary(e, |a, b| ops::power(a, b))
    }
    fn exp_product(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::exp_product(a, b))
    }
    fn vanish(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::vanish(a, b))
    }
    fn power_slope(self, e: Self) -> Self {
        self.binary(e, |a, b| ops::power_slope(a, b))
    }
    fn power_log(self, e: Self, _: Self) -> Self {
        self.binary(e, |a, b| ops::power_log(a, b))
    }
    fn max(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::maximum(a, b))
    }
    fn min(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::minimum(a, b))
    }
    fn fmod(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::fmod(a, b))
    }
    fn gt(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::greater(a, b))
    }
    fn ge(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::greater_equal(a, b))
    }
    fn eq(self, o: Self) -> Self {
        self.binary(o, |a, b| ops::equal(a, b))
    }
    fn is_nan(self) -> Self {
        self.unary(ops::isnan)
    }
    fn and(a: Self, b: Self) -> Self {
        a.binary(b, |a, b| ops::logical_and(a, b))
    }
    fn or(a: Self, b: Self) -> Self {
        a.binary(b, |a, b| ops::logical_or(a, b))
    }
    fn not(m: Self) -> Self {
        m.unary(|x| ops::logical_not(x))
    }
    fn select(m: Self, a: Self, b: Self) -> Self {
        match m {
            Self::Lit(v) => {
                if v == 0.0 {
                    b
                } else {
                    a
                }
            }
            Self::Value(t, _) => {
                let m = m.variable();
                match (a, b) {
                    (Self::Lit(x), Self::Lit(y)) => t.result(ops::where_(&m, &scalar(x, t.dtype), y)),
                    _ => a.binary(b, |x, y| ops::where_(&m, x, y)),
                }
            }
        }
    }
    fn annihilate(self, factor: Self) -> Self {
        match factor {
            Self::Lit(1.0) => self,
            _ => self.binary(factor, |a, b| ops::annihilate(a, b)),
        }
    }
}
