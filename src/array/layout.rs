//! Shape, strides and offset: integers only, no data.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::error::{Error, Result, show_shape};

/// Sizes of the axes.
pub type Shape = SmallVec<[usize; 4]>;
/// Distances between neighbours along each axis, in elements; zero along a broadcast axis.
pub type Strides = SmallVec<[isize; 4]>;

/// `s`, padded with zeros if it is short.
#[must_use]
#[inline(always)]
pub fn few<T: Copy + Default>(s: &[T]) -> Option<[T; 4]> {
    let at = |i: usize| s.get(i).copied().unwrap_or_default();
    (s.len() <= 4).then(|| [at(0), at(1), at(2), at(3)])
}

/// A copy of `s` in a vector. Short copies are unrolled, because a copy of variable length calls a function.
#[must_use]
#[inline]
pub fn dims<T: Copy + Default>(s: &[T]) -> SmallVec<[T; 4]> {
    few(s).map_or_else(|| SmallVec::from_slice(s), |few| SmallVec::from_buf_and_len(few, s.len()))
}

/// Whether two shapes are equal. Written as a loop, because `==` calls a function.
#[must_use]
#[inline]
pub fn same(a: &[usize], b: &[usize]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y)
}

/// Where the elements of an array are in its storage.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Layout {
    shape: Shape,
    strides: Strides,
    offset: usize,
}

/// A layout as read from a file, unchecked.
#[derive(Deserialize)]
struct Parts {
    shape: Shape,
    strides: Strides,
    offset: usize,
}

impl TryFrom<Parts> for Layout {
    type Error = String;

    /// Rejects a layout that no array can have: its offsets must not overflow, nor be before the start of the storage.
    fn try_from(p: Parts) -> std::result::Result<Self, String> {
        let fail = || format!("a layout of shape {:?}, strides {:?} and offset {} describes no array", p.shape, p.strides, p.offset);
        if p.shape.len() != p.strides.len() || p.shape.len() > super::alloc_check::MAX_NDIM {
            return Err(fail());
        }
        let (mut size, mut low, mut high) = (1_isize, isize::try_from(p.offset).map_err(|_| fail())?, p.offset.cast_signed());
        for (&n, &s) in p.shape.iter().zip(&p.strides) {
            size = isize::try_from(n.max(1)).ok().and_then(|n| size.checked_mul(n)).ok_or_else(fail)?;
            let reach = s.checked_mul(n.max(1).cast_signed() - 1).ok_or_else(fail)?;
            let end = if reach < 0 { &mut low } else { &mut high };
            *end = end.checked_add(reach).ok_or_else(fail)?;
        }
        if low < 0 && !p.shape.contains(&0) {
            return Err(fail());
        }
        Ok(Self { shape: p.shape, strides: p.strides, offset: p.offset })
    }
}

impl Clone for Layout {
    /// Copies whole slices: this is called several times per operation, and copying element by element is slower.
    #[inline]
    fn clone(&self) -> Self {
        Self { shape: dims(&self.shape), strides: dims(&self.strides), offset: self.offset }
    }
}

/// Row-major strides of `shape`.
fn row_major(shape: &[usize]) -> Strides {
    let mut out = Strides::from_elem(1, shape.len());
    let mut step = 1_isize;
    for (s, &n) in out.iter_mut().zip(shape).rev() {
        *s = step;
        // It wraps only if another axis is empty: then no stride is used.
        step = step.wrapping_mul(n.max(1).cast_signed());
    }
    out
}

/// The product of the sizes.
#[must_use]
#[inline]
pub fn size_of(shape: &[usize]) -> usize {
    // Most shapes have one axis or two; the loop is for others.
    match *shape {
        [] => 1,
        [n] => n,
        [a, b] => a * b,
        _ => shape.iter().product(),
    }
}

/// The shape that two shapes broadcast to, if they are compatible.
#[must_use]
pub fn broadcast_shapes(a: &[usize], b: &[usize]) -> Option<Shape> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let mut out = Shape::from_slice(long);
    let lead = long.len() - short.len();
    for (o, &s) in out[lead..].iter_mut().zip(short) {
        match (*o, s) {
            (x, y) if x == y => {}
            (1, y) => *o = y,
            (_, 1) => {}
            _ => return None,
        }
    }
    Some(out)
}

/// `axis` counted from the front; negative ones count from the end.
///
/// # Errors
/// `Axis` when it is out of range.
pub fn normalize_axis(op: &str, axis: isize, ndim: usize) -> Result<usize> {
    let n = ndim.cast_signed();
    if axis < -n || axis >= n {
        return Err(Error::axis(op, axis, ndim));
    }
    Ok(if axis < 0 { axis + n } else { axis }.cast_unsigned())
}

impl Layout {
    /// A row-major layout of the first `n` of `sizes`, from the start of the storage.
    #[inline(always)]
    pub(super) fn of_few(sizes: [usize; 4], n: usize) -> Self {
        let [_, b, c, d] = sizes.map(|n| n.max(1).cast_signed());
        let strides = match n {
            0 | 1 => [1; 4],
            2 => [b, 1, 1, 1],
            // As in `row_major`, it wraps only when no stride is used.
            3 => [b.wrapping_mul(c), c, 1, 1],
            _ => [b.wrapping_mul(c).wrapping_mul(d), c.wrapping_mul(d), d, 1],
        };
        Self { shape: Shape::from_buf_and_len(sizes, n), strides: Strides::from_buf_and_len(strides, n), offset: 0 }
    }

    /// A row-major layout from the storage's start.
    #[must_use]
    pub fn contiguous(shape: &[usize]) -> Self {
        match few(shape) {
            Some(sizes) => Self::of_few(sizes, shape.len()),
            None => Self { shape: Shape::from_slice(shape), strides: row_major(shape), offset: 0 },
        }
    }

    /// A layout with given strides. The caller guarantees that it fits its storage.
    #[must_use]
    pub fn strided(shape: &[usize], strides: &[isize], offset: usize) -> Self {
        debug_assert_eq!(shape.len(), strides.len());
        Self { shape: Shape::from_slice(shape), strides: Strides::from_slice(strides), offset }
    }

    /// Sizes of the axes.
    #[must_use]
    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Distances between neighbours along the axes, in elements.
    #[must_use]
    #[inline]
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// The index of the first element in the storage.
    #[must_use]
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Number of axes.
    #[must_use]
    #[inline]
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        size_of(&self.shape)
    }

    /// Whether all elements are the same memory: one element, repeated or not.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.shape.iter().zip(&self.strides).all(|(&n, &s)| n == 1 || (n > 0 && s == 0))
    }

    /// Whether the elements are contiguous in row-major order.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1_isize;
        for (&n, &s) in self.shape.iter().zip(&self.strides).rev() {
            if n == 0 {
                return true;
            }
            if n != 1 {
                if s != step {
                    return false;
                }
                step *= n.cast_signed();
            }
        }
        true
    }

    /// Whether another layout of the same shape walks through memory in the same way: both are row-major, or the strides are equal.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.strides == other.strides || (self.is_contiguous() && other.is_contiguous())
    }

    /// The same layout, `by` elements further on in the storage.
    #[must_use]
    pub fn shifted(&self, by: usize) -> Self {
        let mut out = self.clone();
        out.offset += by;
        out
    }

    /// The same layout, `by` elements nearer to the start of the storage. An empty array may begin anywhere.
    #[must_use]
    pub fn shifted_back(&self, by: usize) -> Self {
        let mut out = self.clone();
        out.offset = out.offset.saturating_sub(by);
        out
    }

    /// The lowest index that the elements use, and the highest plus one; `None` when there are no elements.
    #[must_use]
    pub fn extent(&self) -> Option<(usize, usize)> {
        if self.size() == 0 {
            return None;
        }
        let (mut low, mut high) = (self.offset.cast_signed(), self.offset.cast_signed());
        for (&n, &s) in self.shape.iter().zip(&self.strides) {
            let reach = (n.cast_signed() - 1) * s;
            if reach < 0 { low += reach } else { high += reach }
        }
        Some((low.cast_unsigned(), high.cast_unsigned() + 1))
    }

    /// A view of the same elements with a larger shape: broadcast axes get stride zero.
    ///
    /// # Errors
    /// `Shape` when `shape` is not a broadcast of this one.
    pub fn broadcast_to(&self, op: &str, shape: &[usize]) -> Result<Self> {
        let fail = || Error::Shape(format!("{op}: an array of shape {} cannot be broadcast to {}", show_shape(&self.shape), show_shape(shape)));
        let lead = shape.len().checked_sub(self.ndim()).ok_or_else(fail)?;
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        for (i, (&n, &s)) in self.shape.iter().zip(&self.strides).enumerate() {
            if n == shape[lead + i] {
                strides[lead + i] = s;
            } else if n != 1 {
                return Err(fail());
            }
        }
        Ok(Self { shape: Shape::from_slice(shape), strides, offset: self.offset })
    }

    /// The axes in the order `axes`, which must be a permutation.
    #[must_use]
    pub fn permute(&self, axes: &[usize]) -> Self {
        Self { shape: axes.iter().map(|&a| self.shape[a]).collect(), strides: axes.iter().map(|&a| self.strides[a]).collect(), offset: self.offset }
    }

    /// `count` elements along `axis`, `step` apart, from `start` on. The caller has checked the bounds.
    #[must_use]
    pub fn slice(&self, axis: usize, start: usize, count: usize, step: isize) -> Self {
        let mut out = self.clone();
        if count > 0 {
            out.offset = (self.offset.cast_signed() + start.cast_signed() * self.strides[axis]).cast_unsigned();
        }
        out.shape[axis] = count;
        out.strides[axis] = self.strides[axis] * step;
        out
    }

    /// The elements at `index` along `axis`, without that axis.
    #[must_use]
    pub fn select(&self, axis: usize, index: usize) -> Self {
        let mut out = self.slice(axis, index, 1, 1);
        out.shape.remove(axis);
        out.strides.remove(axis);
        out
    }

    /// With a new axis of size one before `axis`.
    #[must_use]
    pub fn insert_axis(&self, axis: usize) -> Self {
        let mut out = self.clone();
        out.shape.insert(axis, 1);
        out.strides.insert(axis, 0);
        out
    }

    /// The same elements in row-major order with another shape of the same size, if that needs no copy.
    #[must_use]
    pub fn reshape(&self, shape: &[usize]) -> Option<Self> {
        debug_assert_eq!(size_of(shape), self.size());
        if self.is_contiguous() || self.size() == 0 {
            return Some(Self { shape: Shape::from_slice(shape), strides: row_major(shape), offset: self.offset });
        }
        // Contiguous groups of old axes can be split and merged freely.
        let merged = self.coalesced();
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        let mut groups = merged.iter().rev();
        let (mut left, mut step) = groups.next().map_or((1, 0), |&(n, s)| (n, s));
        for (i, &n) in shape.iter().enumerate().rev() {
            if n == 1 {
                continue;
            }
            if left == 1 {
                (left, step) = *groups.next()?;
            }
            if !left.is_multiple_of(n) {
                return None;
            }
            strides[i] = step;
            step *= n.cast_signed();
            left /= n;
        }
        Some(Self { shape: Shape::from_slice(shape), strides, offset: self.offset })
    }

    /// Size and stride of the axes without those of size one. Neighbouring axes that are contiguous are merged.
    #[must_use]
    pub fn coalesced(&self) -> SmallVec<[(usize, isize); 4]> {
        let mut out: SmallVec<[(usize, isize); 4]> = SmallVec::new();
        for (&n, &s) in self.shape.iter().zip(&self.strides) {
            if n == 1 {
                continue;
            }
            match out.last_mut() {
                Some((m, t)) if *t == s * n.cast_signed() => {
                    *m *= n;
                    *t = s;
                }
                _ => out.push((n, s)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_views_where_it_can() {
        let l = Layout::contiguous(&[2, 3, 4]);
        assert_eq!(l.reshape(&[6, 4]).unwrap().strides(), &[4, 1]);
        let t = l.permute(&[2, 0, 1]);
        assert_eq!(t.reshape(&[4, 6]).unwrap().strides(), &[1, 4]);
        assert_eq!(t.reshape(&[2, 2, 6]).unwrap().strides(), &[2, 1, 4]);
        assert!(t.reshape(&[24]).is_none());
        assert!(Layout::contiguous(&[]).reshape(&[1, 1]).is_some());
    }

    #[test]
    fn broadcasting_keeps_zero_sizes() {
        assert_eq!(broadcast_shapes(&[0, 3], &[1, 3]).unwrap().as_slice(), &[0, 3]);
        assert_eq!(broadcast_shapes(&[2, 1], &[3]).unwrap().as_slice(), &[2, 3]);
        assert!(broadcast_shapes(&[2, 3], &[2]).is_none());
    }

    #[test]
    fn extent_of_reversed_and_empty() {
        let l = Layout::contiguous(&[5]).slice(0, 4, 5, -1);
        assert_eq!(l.extent(), Some((0, 5)));
        assert_eq!(Layout::contiguous(&[0, 4]).extent(), None);
    }

    #[test]
    fn contiguity_ignores_axes_of_one() {
        assert!(Layout::strided(&[1, 3], &[77, 1], 0).is_contiguous());
        assert!(!Layout::strided(&[3], &[2], 0).is_contiguous());
    }
}
