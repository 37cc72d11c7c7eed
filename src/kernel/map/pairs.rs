//! Two arithmetic operations as one loop, for programs. The intermediate value stays in a register.
//!
//! The operations are not contracted: both results are rounded, as if the first had been stored.

use std::marker::PhantomData;

use super::{Formulas, Pointwise};
use crate::kernel::field::Field;

/// An operation on two values that can be part of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simple {
    /// a + b.
    Add,
    /// a - b.
    Subtract,
    /// b - a.
    SubtractFrom,
    /// a · b.
    Multiply,
    /// 0 if a is 0, else a · b: the product of gradient rules.
    Annihilate,
}

/// An operation as a type.
trait Operation: 'static {
    fn of<F: Field>(a: F, b: F) -> F;
}

macro_rules! operations {
    ($($name:ident($a:ident, $b:ident) $formula:expr;)*) => {
        $(
            enum $name {}
            impl Operation for $name {
                #[inline(always)]
                fn of<F: Field>($a: F, $b: F) -> F {
                    $formula
                }
            }
        )*
    };
}

operations! {
    Add(a, b) a + b;
    Subtract(a, b) a - b;
    SubtractFrom(a, b) b - a;
    Multiply(a, b) a * b;
    Annihilate(a, b) a.annihilate(b);
}

/// `B` applied to `A` of two arrays, and to an array or a number.
struct Arrays<A, B>(PhantomData<(A, B)>);

impl<A: Operation, B: Operation> Pointwise<3> for Arrays<A, B> {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([x, y, z]: [F; 3], _: [F; 2]) -> F {
        B::of(A::of(x, y), z)
    }
}

impl<A: Operation, B: Operation> Pointwise<2> for Arrays<A, B> {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([x, y]: [F; 2], [_, number]: [F; 2]) -> F {
        B::of(A::of(x, y), number)
    }
}

/// `B` applied to `A` of an array and a number, and to an array or a number.
struct Numbered<A, B>(PhantomData<(A, B)>);

impl<A: Operation, B: Operation> Pointwise<2> for Numbered<A, B> {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([x, y]: [F; 2], [number, _]: [F; 2]) -> F {
        B::of(A::of(x, number), y)
    }
}

impl<A: Operation, B: Operation> Pointwise<1> for Numbered<A, B> {
    const CHEAP: bool = true;
    #[inline(always)]
    fn eval<F: Field>([x]: [F; 1], [first, second]: [F; 2]) -> F {
        B::of(A::of(x, first), second)
    }
}

/// The loops of `second(first(x, y), z)`. `numbers` says whether y and z are parameters.
#[must_use]
pub fn pair(first: Simple, second: Simple, numbers: [bool; 2]) -> Formulas {
    match first {
        Simple::Add => behind::<Add>(second, numbers),
        Simple::Subtract => behind::<Subtract>(second, numbers),
        Simple::SubtractFrom => behind::<SubtractFrom>(second, numbers),
        Simple::Multiply => behind::<Multiply>(second, numbers),
        Simple::Annihilate => behind::<Annihilate>(second, numbers),
    }
}

fn behind<A: Operation>(second: Simple, numbers: [bool; 2]) -> Formulas {
    match second {
        Simple::Add => both::<A, Add>(numbers),
        Simple::Subtract => both::<A, Subtract>(numbers),
        Simple::SubtractFrom => both::<A, SubtractFrom>(numbers),
        Simple::Multiply => both::<A, Multiply>(numbers),
        Simple::Annihilate => both::<A, Annihilate>(numbers),
    }
}

fn both<A: Operation, B: Operation>(numbers: [bool; 2]) -> Formulas {
    match numbers {
        [false, false] => const { Formulas::three::<Arrays<A, B>>() },
        [false, true] => const { Formulas::two::<Arrays<A, B>>() },
        [true, false] => const { Formulas::two::<Numbered<A, B>>() },
        [true, true] => const { Formulas::one::<Numbered<A, B>>() },
    }
}
