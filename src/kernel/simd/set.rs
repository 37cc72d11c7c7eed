//! The instruction set of the loops of this process. It is chosen once, here and nowhere else.

use std::fmt;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Result};

/// The environment variable that names the set to use.
pub const VARIABLE: &str = "TAPEGRAD_SIMD";

/// An instruction set that kernels are compiled for. Later variants are wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Set {
    /// Whatever the compilation target guarantees: SSE2 on x86-64, NEON on aarch64.
    Baseline = 1,
    /// AVX2 and FMA, registers of 32 bytes.
    Avx2,
    /// AVX-512 (F, BW, CD, DQ, VL), registers of 64 bytes.
    Avx512,
}

impl Set {
    /// All sets, the widest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Baseline];

    /// Its name in `TAPEGRAD_SIMD`, in bug reports and in tables of benches.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor and its operating system support it.
    #[must_use]
    pub fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = || {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512cd")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            };
            match self {
                Self::Baseline => true,
                Self::Avx2 => avx2(),
                Self::Avx512 => avx2() && avx512(),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Baseline
        }
    }

    /// The widest set of this processor.
    #[must_use]
    pub fn widest() -> Self {
        Self::ALL.into_iter().find(|set| set.is_here()).unwrap_or(Self::Baseline)
    }

    /// The set in use. The first call chooses it.
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        match CURRENT.load(Relaxed) {
            1 => Self::Baseline,
            2 => Self::Avx2,
            3 => Self::Avx512,
            _ => choose(),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number of the set in use; 0 until it is chosen.
static CURRENT: AtomicU8 = AtomicU8::new(0);

/// Chooses the set: the one that `TAPEGRAD_SIMD` names, else the widest one of this processor. If the variable names none that can be used,
/// [`check`] reports it, and the widest set is used.
#[cold]
fn choose() -> Set {
    let set = asked().unwrap_or_else(|_| Set::widest());
    // Two threads may run this at the same time, with the same result.
    CURRENT.store(set as u8, Relaxed);
    set
}

/// Whether `TAPEGRAD_SIMD` can be followed. The Python module checks it on import.
///
/// # Errors
/// `Value` when it does not name a set, or names one that this processor does not support.
pub fn check() -> Result<Set> {
    asked()
}

fn asked() -> Result<Set> {
    match std::env::var_os(VARIABLE) {
        Some(name) if !name.is_empty() => named(&name.to_string_lossy(), Set::is_here),
        _ => Ok(Set::widest()),
    }
}

/// The set of this name, if this processor `has` it.
fn named(name: &str, has: impl Fn(Set) -> bool) -> Result<Set> {
    let Some(set) = Set::ALL.into_iter().find(|set| set.name() == name) else {
        return Err(Error::Value(format!("{VARIABLE}: got {name:?}, expected avx512, avx2 or baseline; unset it to use the widest set")));
    };
    if has(set) {
        return Ok(set);
    }
    let known: Vec<&str> = Set::ALL.into_iter().filter(|&set| has(set)).map(Set::name).collect();
    Err(Error::Value(format!("{VARIABLE}: got {name:?}, but this processor has {} only; unset it to use the widest set", known.join(" and "))))
}

/// Uses `set` from now on, in all threads, for benchmarks that compare sets in one run. Kernels that are running keep theirs.
///
/// # Errors
/// `Value` when this processor does not support it.
pub fn use_set(set: Set) -> Result<()> {
    named(set.name(), Set::is_here)?;
    CURRENT.store(set as u8, Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let old = |set| set <= Set::Avx2;
        assert_eq!(named("avx2", old).unwrap(), Set::Avx2);
        assert_eq!(named("baseline", old).unwrap(), Set::Baseline);
        let unknown = named("AVX9", old).unwrap_err().to_string();
        assert!(unknown.contains("\"AVX9\"") && unknown.contains("expected avx512, avx2 or baseline"), "{unknown}");
        let missing = named("avx512", old).unwrap_err().to_string();
        assert!(missing.contains("\"avx512\"") && missing.contains("avx2 and baseline only"), "{missing}");
    }

    #[test]
    fn every_machine_has_a_set() {
        assert!(Set::Baseline.is_here() && Set::widest().is_here() && Set::current().is_here());
        assert!(Set::ALL.is_sorted_by(|a, b| a > b));
    }
}
