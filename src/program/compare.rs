//! Compares two recordings of a function: are they one program?

use std::hash::{Hash, Hasher};

use crate::array::Array;
use crate::dispatch;
use crate::tape::capture::{Arg, Op, Source, Trace};

/// Adds the bits of the elements of an array, in row-major order, to a hash.
pub(super) fn hash_bits(a: &Array, hasher: &mut impl Hasher) {
    let a = a.contiguous();
    dispatch!(bits a.dtype(), T => a.as_slice::<T>().unwrap_or_default().hash(hasher));
}

/// A number that depends on all bytes, for memory that is too large to keep a copy of it. Four lanes of words are mixed by multiplications.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    const PRIMES: [u64; 4] = [0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63];
    let mix = |h: u64, word: u64, prime: u64| (h ^ word).wrapping_mul(prime).rotate_left(29);
    let mut lanes = PRIMES;
    let (words, rest) = bytes.as_chunks::<8>();
    let (blocks, last) = words.as_chunks::<4>();
    for block in blocks {
        for (k, lane) in lanes.iter_mut().enumerate() {
            *lane = mix(*lane, u64::from_le_bytes(block[k]), PRIMES[k]);
        }
    }
    let rest = last.as_flattened().iter().chain(rest).map(|b| u64::from(*b));
    let all = lanes.into_iter().chain(rest).fold(bytes.len() as u64, |h, w| mix(h, w, PRIMES[0]));
    mix(all ^ (all >> 32), all, PRIMES[1])
}

/// The [`digest`] of the elements of an array, in row-major order.
#[must_use]
pub fn digest_of(a: &Array) -> u64 {
    struct Digests(u64);
    impl Hasher for Digests {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0 = self.0.rotate_left(7) ^ digest(bytes);
        }
    }
    let mut all = Digests(0);
    hash_bits(a, &mut all);
    all.finish()
}

/// The number, in row-major order, of the first element that has other bits in one array than in the other. They have one dtype and shape.
fn first_difference(a: &Array, b: &Array) -> Option<usize> {
    let (a, b) = (a.contiguous(), b.contiguous());
    dispatch!(bits a.dtype(), T => {
        let (x, y) = (a.as_slice::<T>().unwrap_or_default(), b.as_slice::<T>().unwrap_or_default());
        x.iter().zip(y).position(|(x, y)| x != y)
    })
}

/// Whether two arrays have the same dtype, shape and bits.
#[must_use]
pub fn is_same_array(a: &Array, b: &Array) -> bool {
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        return false;
    }
    let one_memory = a.storage().as_ptr() == b.storage().as_ptr() && a.layout() == b.layout();
    one_memory || first_difference(a, b).is_none()
}

/// The first element in which two constants differ, as text.
fn show_difference(a: &Array, b: &Array) -> String {
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        return format!("an array of shape {:?} and dtype {} was of shape {:?} and dtype {}", b.shape(), b.dtype(), a.shape(), a.dtype());
    }
    let show = |a: &Array, i: usize| dispatch!(a.dtype(), T => format!("{:?}", a.contiguous().as_slice::<T>().unwrap_or_default()[i]));
    first_difference(a, b).map_or_else(String::new, |i| format!("{} was {}", show(b, i), show(a, i)))
}

fn same_number(a: Arg, b: Arg) -> bool {
    match (a, b) {
        (Arg::Number(x), Arg::Number(y)) => x.is_same(y),
        _ => a == b,
    }
}

/// A step as text: equal steps have equal texts. Places are named by their ids.
fn show(trace: &Trace, op: &Op) -> String {
    match op {
        Op::Store(at) => format!("storing the {}", show_place(trace, *at)),
        Op::Clear(at) => format!("clearing the {}", show_place(trace, *at)),
        op => format!("{op:?}"),
    }
}

fn show_place(trace: &Trace, at: usize) -> String {
    let (kind, id) = trace.places[at].id();
    format!("{} (number {id})", ["value of a parameter", "gradient of a parameter"].get(usize::from(kind)).unwrap_or(&"value of a Variable"))
}

/// Why the second recording is not the program of the first; `None` when it is.
#[must_use]
pub fn difference(first: &Trace, second: &Trace) -> Option<String> {
    for (k, (a, b)) in first.steps.iter().zip(&second.steps).enumerate() {
        let (x, y) = (show(first, &a.op), show(second, &b.op));
        if x != y && matches!((&a.op, &b.op), (Op::Store(_), Op::Store(_))) {
            return Some(
                "it changes another Variable in place than in the call before; pass the same Variable in each call, or return the new value"
                    .to_owned(),
            );
        }
        if x != y {
            return Some(format!("step {k} was {x} in one call and {y} in the next, though arguments and attributes were of the same kind"));
        }
        for (&x, &y) in a.inputs.iter().zip(&b.inputs) {
            if !same_number(x, y) {
                return Some(match (x, y) {
                    (Arg::Number(x), Arg::Number(y)) => {
                        format!("the number {y} of step {k} ({:?}) was {x} in the call before: pass it as an argument or a Variable", a.op)
                    }
                    _ => format!("step {k} ({:?}) works on other values than in the call before", a.op),
                });
            }
        }
        if a.outputs != b.outputs {
            return Some(format!("step {k} ({:?}) has other results than in the call before", a.op));
        }
    }
    if first.steps.len() != second.steps.len() {
        return Some(format!("one call took {} steps, the next {}", first.steps.len(), second.steps.len()));
    }
    sources_differ(first, second)
}

fn sources_differ(first: &Trace, second: &Trace) -> Option<String> {
    for ((s, a), (t, b)) in first.sources.iter().zip(&second.sources) {
        let same = s == t
            && match (a, b) {
                (Source::Input(i), Source::Input(j)) => i == j,
                (Source::Place(i), Source::Place(j)) => first.places[*i].id() == second.places[*j].id(),
                (Source::Constant(x, line), Source::Constant(y, _)) => {
                    if is_same_array(x, y) {
                        true
                    } else {
                        let line = line.as_deref().map(|l| format!("{l}: ")).unwrap_or_default();
                        return Some(format!(
                            "{line}a constant changed between calls: {}. Pass it as an argument or a Variable",
                            show_difference(x, y)
                        ));
                    }
                }
                _ => false,
            };
        if !same {
            return Some(match (a, b) {
                (Source::Place(_), Source::Place(_)) => {
                    "it reads another Variable than in the call before; pass it as an argument, or change the old one in place".to_owned()
                }
                _ => "it reads an argument where it read another value in the call before, or the other way round".to_owned(),
            });
        }
    }
    if first.outputs != second.outputs || first.sources.len() != second.sources.len() || first.slots != second.slots {
        return Some("the results come from other steps than in the call before".to_owned());
    }
    None
}
