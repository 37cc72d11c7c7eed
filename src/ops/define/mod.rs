//! Turning a formula into an elementwise operation: the traits, and the two macros that implement them.
//!
//! ```text
//! unary! {
//!     /// Hyperbolic tangent.
//!     fn tanh(x) -> y { x.tanh() }
//!     gradient(y) { F::lit(1.0) - y * y }
//!     domain REAL;
//! }
//! ```
//! becomes a type `tanh` that implements [`Unary`] and a function `tanh(&Variable) -> Result<Variable>`. The factor in
//! `gradient` names what it needs: `y` makes the tape save the output, `x` the input. The text is compiled three
//! times: into SIMD loops over `f32` and `f64`, and into recorded operations for gradients of gradients. Where the text
//! does not read as mathematics, `rule "dy/dx = …";` before the domain says what the reference page shows.
//!
//! `complex Holomorphic(f);` defines the operation for complex numbers, too: f is the function, and the formula of the factor, recorded on
//! complex values, is its derivative.

mod complex;
mod in_place;
mod integer;
mod one_array;
mod two_arrays;

use crate::array::{self, Array};
use crate::dispatch;
use crate::error::Result;
use crate::kernel::blocks::Input;
use crate::kernel::map::{self, Pointwise};
use crate::tape::VjpContext;

pub use complex::{Complex1, Complex2, undefined};
pub use in_place::update_binary;
pub use integer::Integer;
pub use one_array::{Unary, apply_unary, update_unary};
pub use two_arrays::{Binary, Other, Shortcut, apply_binary, result_type};

/// Which values a factor needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saves {
    /// The first input.
    pub a: bool,
    /// The second input, of a binary operation.
    pub b: bool,
    /// The output.
    pub y: bool,
}

impl Saves {
    /// Reads the names that a factor asks for.
    #[must_use]
    pub const fn of(names: &[&str], a: &str, b: &str) -> Self {
        let mut saves = Self { a: false, b: false, y: false };
        let mut i = 0;
        while i < names.len() {
            if same(names[i], a) {
                saves.a = true;
            } else if same(names[i], b) {
                saves.b = true;
            } else {
                saves.y = true;
            }
            i += 1;
        }
        saves
    }
}

/// The gradient as the reference page shows it: the given text, else the formula.
#[must_use]
pub const fn either(given: &[&'static str], formula: &'static str) -> &'static str {
    if given.is_empty() { formula } else { given[0] }
}

/// `==` of strings, in constants.
#[must_use]
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Functions in formulas that take longer than loading an operand.
const DEAR: [&str; 16] =
    ["exp", "ln", "log", "sin", "cos", "tan", "sigmoid", "erf", "gelu", "silu", "cdf", "pow", "quotient", "fmod", "gap", "remainder"];

/// Whether a formula, as text, consists of arithmetic and comparisons only. Then it gets [more loops](Pointwise::CHEAP).
#[must_use]
pub const fn is_cheap(formula: &str) -> bool {
    let mut i = 0;
    while i < DEAR.len() {
        if contains(formula.as_bytes(), DEAR[i].as_bytes()) {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether `text` contains `part`, in constants.
const fn contains(text: &[u8], part: &[u8]) -> bool {
    let mut start = 0;
    while start + part.len() <= text.len() {
        let mut i = 0;
        while i < part.len() && text[start + i] == part[i] {
            i += 1;
        }
        if i == part.len() {
            return true;
        }
        start += 1;
    }
    false
}

/// Replaces `g` by the formula of `g` and `inputs`, in its own buffer if that is unshared.
fn apply<P: Pointwise<M>, const N: usize, const M: usize>(g: &mut Array, inputs: [Input<'_>; N], p: [f64; 2]) {
    if g.is_unique() {
        return map::update::<P, N, M>(g, inputs, p);
    }
    if P::PASSES
        && let Some(Input::Array(s)) = inputs.first()
        && is_one_repeated(g)
        && array::same(s.shape(), g.shape())
        && s.storage().is_pooled()
    {
        *g = (*s).clone();
        return;
    }
    let all: [Input<'_>; M] = std::array::from_fn(|i| if i == 0 { Input::Array(g) } else { inputs[i - 1] });
    *g = map::map::<P, M>(all, g.shape(), g.dtype(), p);
}

/// Whether it is the number one, broadcast: the cotangent that a sum passes on at the start of a backward pass.
#[allow(clippy::float_cmp, reason = "one is exact")]
fn is_one_repeated(g: &Array) -> bool {
    let layout = g.layout();
    !g.is_contiguous()
        && layout.strides().iter().all(|&stride| stride == 0)
        && dispatch!(float g.dtype(), T => g.raw::<T>()[layout.offset()] == 1.0, else false)
}

/// The cotangent from which a gradient is computed.
enum Cotangent<'a> {
    /// Borrowed: the gradient is added to the [sum](VjpContext::has_sum) of an input.
    Lent(&'a Array),
    /// Owned: its buffer may be overwritten.
    Given(Array),
}

/// The formula of `g` and `inputs` as the gradient of input `i`.
#[inline]
fn pull<P: Pointwise<M>, const N: usize, const M: usize>(
    ctx: &mut VjpContext<'_>,
    i: usize,
    g: Cotangent<'_>,
    inputs: [Input<'_>; N],
    p: [f64; 2],
) -> Result<()> {
    match g {
        Cotangent::Lent(g) => {
            let all: [Input<'_>; M] = std::array::from_fn(|i| if i == 0 { Input::Array(g) } else { inputs[i - 1] });
            map::accumulate::<P, M>(ctx.sum(i), all, p);
            Ok(())
        }
        Cotangent::Given(mut g) => {
            apply::<P, N, M>(&mut g, inputs, p);
            ctx.add_array(i, g)
        }
    }
}

/// Defines a unary operation by its formulas; see the top of this file.
macro_rules! unary {
    (
        $(#[doc = $doc:literal])+
        fn $name:ident($x:ident $(, $param:ident = $default:literal)*) -> $y:ident $forward:block
        gradient($($saved:ident),*) $factor:block
        $(integer($i:ident) $integer:block)?
        $(bools $bools:literal;)?
        $(complex $complex:expr;)?
        $(ranged $ranged:literal;)?
        $(length $length:literal;)?
        $(rule $rule:literal;)?
        domain $domain:expr;
    ) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it stands for the function of the same name")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::ops::define::Unary for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const GRADIENT: &'static str = $crate::ops::define::either(&[$($rule)?], concat!("dy/dx = ", stringify!($factor)));
            const PARAMS: &'static [$crate::ops::registry::Param] =
                &[$crate::ops::registry::Param::array("x") $(, $crate::ops::registry::Param::float(stringify!($param), $default))*];
            const SAVES: $crate::ops::define::Saves = $crate::ops::define::Saves::of(&[$(stringify!($saved)),*], stringify!($x), "");
            const FACTOR_IS_SAVED: bool = $crate::ops::define::same(stringify!($factor), concat!("{ ", $(stringify!($saved),)* " }"));
            const CHEAP_FACTOR: bool = $crate::ops::define::is_cheap(stringify!($factor));
            const DOMAIN: $crate::ops::samples::Domain = $domain;
            $(const BOOLS: bool = $bools;)?
            $(const COMPLEX: Option<$crate::ops::define::Complex1> = Some({
                #[allow(unused_imports, reason = "a function by its name")]
                use $crate::ops::define::Complex1::*;
                $complex
            });)?
            $(const RANGED: bool = $ranged;)?
            $(const LENGTH: bool = $length;)?
            #[inline(always)]
            #[allow(unused_variables, clippy::unused_unit, reason = "a formula names what it uses")]
            fn forward<F: $crate::kernel::field::Field>($x: F, p: [F; 2]) -> F {
                let [$($param,)* ..] = p;
                $forward
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "a formula names what it uses")]
            fn factor<F: $crate::kernel::field::Field>(x: F, y: F, p: [F; 2]) -> F {
                let [$($param,)* ..] = p;
                $(let $saved = if const { $crate::ops::define::same(stringify!($saved), stringify!($x)) } { x } else { y };)*
                $factor
            }
            $(
                const INTEGERS: bool = true;
                fn integer<I: $crate::ops::define::Integer>($i: I, _: [f64; 2]) -> I $integer
            )?
        }
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// Those of recording.
        pub fn $name(x: &$crate::tape::Variable $(, $param: f64)*) -> $crate::error::Result<$crate::tape::Variable> {
            #[allow(unused_mut, unused_assignments, unused_variables, reason = "most operations take no numbers")]
            let p = {
                let mut p = [0.0; 2];
                let mut i = 0;
                $(p[i] = $param; i += 1;)*
                p
            };
            $crate::ops::define::apply_unary::<$name>(x, p)
        }
    };
}

/// Defines a binary operation by its formulas.
macro_rules! binary {
    (
        $(#[doc = $doc:literal])+
        fn $name:ident($a:ident, $b:ident) -> $y:ident $forward:block
        gradient_a($($sa:ident),*) $fa:block
        gradient_b($($sb:ident),*) $fb:block
        $(integer $integer:block)?
        $(check $check:expr;)?
        $(shortcut $shortcut:expr;)?
        $(boolean $boolean:block)?
        $(complex $complex:expr;)?
        $(length $length:literal;)?
        $(rule $rule:literal;)?
        domain $da:expr, $db:expr;
    ) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it stands for the function of the same name")]
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::ops::define::Binary for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const GRADIENT: &'static str =
                $crate::ops::define::either(&[$($rule)?], concat!("dy/da = ", stringify!($fa), ", dy/db = ", stringify!($fb)));
            const SAVES_A: $crate::ops::define::Saves = $crate::ops::define::Saves::of(&[$(stringify!($sa)),*], stringify!($a), stringify!($b));
            const SAVES_B: $crate::ops::define::Saves = $crate::ops::define::Saves::of(&[$(stringify!($sb)),*], stringify!($a), stringify!($b));
            const FACTOR_IS_SAVED: [bool; 2] = [
                $crate::ops::define::same(stringify!($fa), concat!("{ ", $(stringify!($sa),)* " }")),
                $crate::ops::define::same(stringify!($fb), concat!("{ ", $(stringify!($sb),)* " }")),
            ];
            const CHEAP: bool = $crate::ops::define::is_cheap(stringify!($forward));
            const CHEAP_FACTOR: [bool; 2] = [$crate::ops::define::is_cheap(stringify!($fa)), $crate::ops::define::is_cheap(stringify!($fb))];
            const DOMAIN: [$crate::ops::samples::Domain; 2] = [$da, $db];
            $(const COMPLEX: Option<$crate::ops::define::Complex2> = Some({
                #[allow(unused_imports, reason = "a function by its name")]
                use $crate::ops::define::Complex2::*;
                $complex
            });)?
            $(const LENGTH: bool = $length;)?
            $(const SHORTCUT: Option<$crate::ops::define::Shortcut> = Some($shortcut);)?
            #[inline(always)]
            fn forward<F: $crate::kernel::field::Field>($a: F, $b: F) -> F $forward
            #[inline(always)]
            #[allow(unused_variables, reason = "a formula names what it uses")]
            fn factor_a<F: $crate::kernel::field::Field>(a: F, b: F, y: F) -> F {
                binary!(@bind [$($sa),*] $a $b a b y);
                $fa
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "a formula names what it uses")]
            fn factor_b<F: $crate::kernel::field::Field>(a: F, b: F, y: F) -> F {
                binary!(@bind [$($sb),*] $a $b a b y);
                $fb
            }
            $(
                const INTEGERS: bool = true;
                fn integer<I: $crate::ops::define::Integer>($a: I, $b: I) -> I $integer
            )?
            $(
                fn check_integers(a: &$crate::ops::registry::Operand<'_>, b: &$crate::ops::registry::Operand<'_>) -> $crate::error::Result<()> {
                    $check(a, b)
                }
            )?
            $(
                const BOOLS: bool = true;
                fn boolean($a: bool, $b: bool) -> bool $boolean
            )?
        }
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// `Shape` when the operands do not broadcast, `DType` when the operation is not defined on theirs.
        pub fn $name<'a, 'b>(
            a: impl Into<$crate::ops::registry::Operand<'a>>,
            b: impl Into<$crate::ops::registry::Operand<'b>>,
        ) -> $crate::error::Result<$crate::tape::Variable> {
            $crate::ops::define::apply_binary::<$name>(a.into(), b.into())
        }
    };
    (@bind [$($s:ident),*] $an:ident $bn:ident $a:ident $b:ident $y:ident) => {
        $(let $s = if const { $crate::ops::define::same(stringify!($s), stringify!($an)) } {
            $a
        } else if const { $crate::ops::define::same(stringify!($s), stringify!($bn)) } {
            $b
        } else {
            $y
        };)*
    };
}

/// An enum with the name of a function, which holds its primitive.
macro_rules! carrier {
    ($(#[$attribute:meta])* $name:ident = $primitive:expr) => {
        #[allow(non_camel_case_types, missing_docs, reason = "it has the name of its function, and carries the primitive")]
        pub enum $name {}

        impl $name {
            /// The primitive.
            pub(crate) const PRIMITIVE: &'static $crate::tape::Primitive = {
                $(#[$attribute])*
                static PRIMITIVE: $crate::tape::Primitive = $primitive;
                &PRIMITIVE
            };
        }
    };
}

pub(crate) use {binary, carrier, unary};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_saved() {
        assert_eq!(Saves::of(&[], "a", "b"), Saves { a: false, b: false, y: false });
        assert_eq!(Saves::of(&["b"], "a", "b"), Saves { a: false, b: true, y: false });
        assert_eq!(Saves::of(&["y", "a"], "a", "b"), Saves { a: true, b: false, y: true });
        assert!(is_cheap("{ a * b }") && is_cheap("{ F::select(x.gt(F::lit(0.0)), x, negative_slope * x) }") && is_cheap(""));
        assert!(!is_cheap("{ x.exp() }") && !is_cheap("{ y / a.ln_1p() }") && !is_cheap("ln"));
        assert!(!same("x", "xs") && !same("xs", "xt") && same("", ""));
    }
}
