//! The loops of formulas as values, for programs, which run them on their own slices.

use super::{Of, Piece, Pointwise, piece};
use crate::array::Element;
use crate::kernel::math::Real;

/// The loop of a formula for one type, by number of operands.
pub enum BlockLoop<T: 'static> {
    /// Of one operand.
    One(Piece<T, 1>),
    /// Of two.
    Two(Piece<T, 2>),
    /// Of three.
    Three(Piece<T, 3>),
    /// Of four.
    Four(Piece<T, 4>),
}

impl<T> Clone for BlockLoop<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BlockLoop<T> {}

impl<T> BlockLoop<T> {
    /// Writes the formula to `out`. `from` returns the elements of each operand; they are as long as `out`.
    #[inline]
    pub fn run<'a>(&self, from: impl Fn(usize) -> &'a [T], out: &mut [T], params: [f64; 2]) {
        match self {
            Self::One(f) => f(&[from(0)], out, params, false),
            Self::Two(f) => f(&[from(0), from(1)], out, params, false),
            Self::Three(f) => f(&[from(0), from(1), from(2)], out, params, false),
            Self::Four(f) => f(&[from(0), from(1), from(2), from(3)], out, params, false),
        }
    }
}

/// The loops of a formula.
#[derive(Clone, Copy)]
pub struct Formulas {
    f32: BlockLoop<f32>,
    f64: BlockLoop<f64>,
    /// Whether an operand may have a single element, which is then used everywhere.
    pub takes_numbers: bool,
    /// Nanoseconds per element.
    pub cost: f64,
}

macro_rules! formulas {
    ($($name:ident $variant:ident $n:literal),*) => {
        $(
            #[doc = concat!("The loops of a formula of ", stringify!($n), " operands.")]
            #[must_use]
            pub const fn $name<P: Pointwise<$n>>() -> Self {
                Self {
                    f32: BlockLoop::$variant(piece::<P, f32, $n>),
                    f64: BlockLoop::$variant(piece::<P, f64, $n>),
                    takes_numbers: Of::<P, f64, $n>::ONCE,
                    cost: P::COST,
                }
            }
        )*
    };
}

impl Formulas {
    formulas!(one One 1, two Two 2, three Three 3, four Four 4);
}

/// The types that have loops for formulas.
pub trait Floating: Real + Element {
    /// The loop for this type.
    fn of(formulas: &Formulas) -> BlockLoop<Self>;
}

impl Floating for f32 {
    fn of(formulas: &Formulas) -> BlockLoop<Self> {
        formulas.f32
    }
}

impl Floating for f64 {
    fn of(formulas: &Formulas) -> BlockLoop<Self> {
        formulas.f64
    }
}
