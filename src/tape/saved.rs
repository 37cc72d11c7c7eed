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

/// Up to eight roles in the order in which they were named: the first in the lowest byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Roles(u64);

impl Roles {
    /// Adds another role to `n`.
    #[inline]
    pub(super) fn push(&mut self, n: usize, role: Role) {
        assert!(n < 8, "a rule saves up to eight values");
        self.0 |= u64::from(role.0) << (8 * n);
    }

    /// All of them.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = Role> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            #[allow(clippy::cast_possible_truncation, reason = "the lowest byte")]
            let role = Role(rest as u8);
            rest >>= 8;
            (role.0 != 0).then_some(role)
        })
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
        self.roles.push(self.arrays.len(), role);
        self.arrays.push(array);
    }

    #[inline]
    pub(super) fn get(&self, role: Role) -> Option<&Array> {
        self.roles.iter().position(|r| r == role).and_then(|i| self.arrays.get(i))
    }

    pub(super) fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.roles = Roles::default();
        self.arrays.iter().for_each(|array| array.storage().unlock());
        self.arrays.clear();
    }
}

impl Clone for Saved {
    fn clone(&self) -> Self {
        self.arrays.iter().for_each(|array| array.storage().lock());
        Self { roles: self.roles, arrays: self.arrays.clone() }
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
    fn roles_keep_their_order() {
        let named = [Role::input(1), Role::output(0), Role::extra(63), Role::input(0)];
        let mut roles = Roles::default();
        for (n, &role) in named.iter().enumerate() {
            roles.push(n, role);
        }
        assert_eq!(roles.iter().collect::<Vec<_>>(), named);
        assert_eq!(Roles::default().iter().count(), 0);
        assert_eq!(Role::output(5).place(), (true, 5));
        assert_eq!(Role::input(5).place(), (false, 5));
    }

    #[test]
    #[should_panic(expected = "a rule saves up to eight values")]
    fn a_ninth_role_is_a_bug() {
        let mut roles = Roles::default();
        (0..9).for_each(|n| roles.push(n, Role::input(0)));
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
