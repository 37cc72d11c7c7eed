//! What a node saves for its gradient rule: arrays, and which values of the operation they are.

use smallvec::SmallVec;

use crate::array::Array;

/// Which value of the operation a saved array is: in a byte, as many of them are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role(u8);

impl Role {
    /// The kinds, above a place of six bits. None of them is zero.
    const INPUT: u8 = 1;
    const OUTPUT: u8 = 2;
    const EXTRA: u8 = 3;

    #[inline]
    const fn new(kind: u8, i: u8) -> Self {
        assert!(i < 1 << 6, "a rule saves one of its first 64 values");
        Self(kind << 6 | i)
    }

    /// An input.
    #[must_use]
    #[inline]
    pub const fn input(i: u8) -> Self {
        Self::new(Self::INPUT, i)
    }

    /// An output.
    #[must_use]
    #[inline]
    pub const fn output(i: u8) -> Self {
        Self::new(Self::OUTPUT, i)
    }

    /// Something the forward computed on the way: a constant for differentiation.
    #[must_use]
    #[inline]
    pub const fn extra(i: u8) -> Self {
        Self::new(Self::EXTRA, i)
    }

    /// Which of the inputs or, when true, of the outputs.
    #[inline]
    pub(super) fn place(self) -> (bool, usize) {
        (self.0 >> 6 == Self::OUTPUT, usize::from(self.0 & 0x3f))
    }
}

/// Roles in the order in which they were named. Most rules save one value or two: a word holds eight, the first in its lowest
/// byte. Derivatives of products save one more for each order.
#[derive(Clone, Default)]
pub(super) struct Roles {
    word: u64,
    count: usize,
    more: Vec<Role>,
}

impl Roles {
    /// Adds one.
    #[inline(always)]
    pub(super) fn push(&mut self, role: Role) {
        if self.count < 8 {
            self.word |= u64::from(role.0) << (8 * self.count);
        } else {
            self.more.push(role);
        }
        self.count += 1;
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The one that was named after `i` others.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the lowest byte")]
    pub(super) fn at(&self, i: usize) -> Role {
        if i < 8 { Role((self.word >> (8 * i)) as u8) } else { self.more[i - 8] }
    }

    #[inline]
    fn clear(&mut self) {
        (self.word, self.count) = (0, 0);
        if !self.more.is_empty() {
            self.more.clear();
        }
    }
}

/// The arrays that the gradient rule needs. While they are here, a lender of their memory keeps others from writing.
///
/// What they are stands apart: so each list holds what is moved in registers.
#[derive(Default)]
pub(super) struct Saved {
    roles: Roles,
    arrays: SmallVec<[Array; 2]>,
}

impl Saved {
    /// Adds an array whose storage has been locked.
    #[inline(always)]
    pub(super) fn push_locked(&mut self, role: Role, array: Array) {
        self.roles.push(role);
        self.arrays.push(array);
    }

    #[inline]
    pub(super) fn get(&self, role: Role) -> Option<&Array> {
        (0..self.roles.len()).find(|&i| self.roles.at(i) == role).and_then(|i| self.arrays.get(i))
    }

    pub(super) fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.roles.clear();
        self.arrays.iter().for_each(|array| array.storage().unlock());
        self.arrays.clear();
    }
}

impl Clone for Saved {
    fn clone(&self) -> Self {
        self.arrays.iter().for_each(|array| array.storage().lock());
        Self { roles: self.roles.clone(), arrays: self.arrays.clone() }
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        self.arrays.iter().for_each(|array| array.storage().unlock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_places() {
        assert_eq!(Role::output(5).place(), (true, 5));
        assert_eq!(Role::input(63).place(), (false, 63));
        assert_ne!(Role::input(0), Role::extra(0));
    }

    #[test]
    fn many_are_saved() {
        let mut saved = Saved::default();
        (0..40).for_each(|i| saved.push_locked(Role::input(i), Array::scalar(f64::from(i))));
        let copy = saved.clone();
        saved.clear();
        assert!((0..40).all(|i| copy.get(Role::input(i)).is_some_and(|a| a.to_vec::<f64>() == [f64::from(i)])));
        assert!(saved.get(Role::input(0)).is_none());
    }

    #[test]
    fn what_was_saved_is_found_by_its_role() {
        let mut saved = Saved::default();
        saved.push_locked(Role::output(0), Array::scalar(1.0));
        saved.push_locked(Role::input(0), Array::scalar(2.0));
        assert_eq!(saved.get(Role::input(0)).unwrap().to_vec::<f64>(), [2.0]);
        assert_eq!(saved.get(Role::output(0)).unwrap().to_vec::<f64>(), [1.0]);
        assert!(saved.get(Role::input(1)).is_none());
        saved.clear();
        assert!(saved.get(Role::input(0)).is_none() && saved.arrays().is_empty());
    }
}
