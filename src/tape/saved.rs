//! What a node saves for its gradient rule: arrays, and the role of each array.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::node::try_clone;
use crate::array::{Array, alloc_check};
use crate::error::Result;

/// The role of a saved array: its kind in the high bits, its number in the low ones. Zero is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role(u16);

impl Role {
    const INPUT: u16 = 1 << 8;
    const OUTPUT: u16 = 2 << 8;
    const EXTRA: u16 = 3 << 8;

    /// An input.
    #[must_use]
    #[inline]
    pub const fn input(i: u8) -> Self {
        Self(Self::INPUT | i as u16)
    }

    /// An output.
    #[must_use]
    #[inline]
    pub const fn output(i: u8) -> Self {
        Self(Self::OUTPUT | i as u16)
    }

    /// A value that the forward pass has computed, and that differentiation treats as constant.
    #[must_use]
    #[inline]
    pub const fn saved_constant(i: u8) -> Self {
        Self(Self::EXTRA | i as u16)
    }

    /// The number of the input, or of the output when the flag is true.
    #[inline]
    pub(super) fn place(self) -> (bool, usize) {
        (self.0 & !0xff == Self::OUTPUT, usize::from(self.0 & 0xff))
    }
}

/// Roles in the order in which they were declared. Most rules save one or two values: one word holds up to four roles, the first in its
/// lowest bits. Derivatives of products save one more per order.
#[derive(Clone, Default)]
pub(super) struct Roles {
    word: u64,
    count: usize,
    more: Vec<Role>,
}

impl Roles {
    /// Number of roles that fit the word.
    const INLINE_ROLES: usize = 4;

    /// Appends a role.
    #[inline(always)]
    pub(super) fn push(&mut self, role: Role) {
        if self.count < Self::INLINE_ROLES {
            self.word |= u64::from(role.0) << (16 * self.count);
        } else {
            self.more.push(role);
        }
        self.count += 1;
    }

    /// Number of roles.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All roles. Indexing is faster than chaining two iterators: with `chain`, recording and backward took 5 % longer.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = Role> {
        (0..self.count).map(|i| {
            #[allow(clippy::cast_possible_truncation, reason = "the lowest bits")]
            if i < Self::INLINE_ROLES { Role((self.word >> (16 * i)) as u16) } else { self.more[i - Self::INLINE_ROLES] }
        })
    }

    #[inline]
    fn clear(&mut self) {
        (self.word, self.count) = (0, 0);
        self.more.clear();
    }
}

/// The arrays that a gradient rule needs, in memory that nothing writes any more (see [`Array::kept`]).
///
/// Roles are in a list of their own, so that the elements of both lists can be moved in registers.
#[derive(Default)]
pub(super) struct Saved {
    roles: Roles,
    arrays: SmallVec<[Array; 2]>,
}

impl Saved {
    /// Appends an array; [`Saved::set_roles`] sets its role.
    #[inline(always)]
    pub(super) fn push(&mut self, array: Array) {
        self.arrays.push(array);
    }

    /// Makes room for `count` arrays.
    pub(super) fn try_reserve(&mut self, count: usize) -> Result<()> {
        alloc_check::try_reserve_small("record", &mut self.arrays, count)
    }

    /// Sets the roles of the arrays. `roles` is moved out and must not be used afterwards.
    #[inline(always)]
    pub(super) fn set_roles(&mut self, roles: &mut Roles) {
        (self.roles.word, self.roles.count) = (roles.word, roles.count);
        if !roles.more.is_empty() {
            std::mem::swap(&mut self.roles.more, &mut roles.more);
        }
    }

    /// Appends an array and its role.
    #[inline(always)]
    pub(super) fn push_with(&mut self, role: Role, array: Array) {
        self.roles.push(role);
        self.arrays.push(array);
    }

    #[inline]
    pub(super) fn get(&self, role: Role) -> Option<&Array> {
        self.roles.iter().position(|r| r == role).and_then(|i| self.arrays.get(i))
    }

    /// The roles of the arrays.
    pub(super) fn roles(&self) -> impl Iterator<Item = Role> {
        self.roles.iter()
    }

    pub(super) fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    /// A copy, or an error when there is no memory for it.
    pub(super) fn try_clone(&self) -> Result<Self> {
        Ok(Self { roles: self.roles.clone(), arrays: try_clone(&self.arrays)? })
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.roles.clear();
        self.arrays.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_places() {
        assert_eq!(Role::output(5).place(), (true, 5));
        assert_eq!(Role::input(255).place(), (false, 255));
        assert_ne!(Role::input(0), Role::saved_constant(0));
    }

    #[test]
    fn many_are_saved() {
        let mut saved = Saved::default();
        (0..40).for_each(|i| saved.push_with(Role::input(i), Array::scalar(f64::from(i))));
        let copy = saved.try_clone().unwrap();
        saved.clear();
        assert!((0..40).all(|i| copy.get(Role::input(i)).is_some_and(|a| a.to_vec::<f64>() == [f64::from(i)])));
        assert!(saved.get(Role::input(0)).is_none());
    }

    #[test]
    fn what_was_saved_is_found_by_its_role() {
        let mut saved = Saved::default();
        saved.push_with(Role::output(0), Array::scalar(1.0));
        saved.push_with(Role::input(0), Array::scalar(2.0));
        assert_eq!(saved.get(Role::input(0)).unwrap().to_vec::<f64>(), [2.0]);
        assert_eq!(saved.get(Role::output(0)).unwrap().to_vec::<f64>(), [1.0]);
        assert!(saved.get(Role::input(1)).is_none());
        saved.clear();
        assert!(saved.get(Role::input(0)).is_none() && saved.arrays().is_empty());
    }
}
