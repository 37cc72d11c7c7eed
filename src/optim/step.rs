//! One step of an optimizer: updates each parameter, one after the other or on several threads.

use super::{Group, Method, Optimizer, State};
use crate::array::{Array, DType, alloc_check, size_of};
use crate::error::{Error, Result, show_shape};
use crate::kernel::cast::cast;
use crate::kernel::parallel;
use crate::tape::Meta;

impl<M: Method> Optimizer<M> {
    /// A step with gradients that are multiplied by `factor`.
    pub(super) fn advance(&mut self, factor: f64) -> Result<()> {
        let (mut total, mut largest) = (0, 0);
        for group in &self.groups {
            for p in group.params.iter().filter(|p| p.requires_grad()) {
                let Some(fits) = p.with_grad(|g| g.meta() == p.meta()) else { continue };
                if !fits && let Some(g) = p.grad() {
                    return Err(misfit(M::name(&group.options), g.meta(), p.meta()));
                }
                let size = size_of(&p.meta().shape);
                (total, largest) = (total + size, largest.max(size));
            }
        }
        self.make_ready()?;
        if are_many(total, largest) {
            self.share_out(factor);
            return Ok(());
        }
        let Self { groups, state, .. } = self;
        let mut steps = Steps::<M>::new(groups, factor);
        for (i, group) in groups.iter().enumerate() {
            for p in group.params.iter().filter(|p| p.requires_grad()) {
                p.update_by_grad(|value, g| {
                    let state = state.entry(p.id()).or_insert_with(|| State::new(M::SLOTS.len()));
                    update::<M>(steps.next(i, state), state, value, g);
                });
            }
        }
        Ok(())
    }

    /// Makes everything that a step writes unshared before it changes anything, so that the step cannot fail half-way.
    fn make_ready(&mut self) -> Result<()> {
        let Self { groups, state, size: _ } = self;
        let mut fresh = Vec::new();
        for group in groups {
            let slots = M::written(&group.options);
            for p in group.params.iter().filter(|p| p.requires_grad()) {
                let Some(g) = p.grad() else { continue };
                g.make_contiguous();
                p.make_unique();
                if let Some(known) = state.get_mut(&p.id()) {
                    known.make_ready(&slots, p.meta());
                } else {
                    let mut new = State::new(M::SLOTS.len());
                    new.make_ready(&slots, p.meta());
                    alloc_check::push(&mut fresh, (p.id(), new));
                }
            }
        }
        state.try_reserve(fresh.len()).map_err(|_| alloc_check::exhausted(M::NAME))?;
        state.extend(fresh);
        Ok(())
    }

    /// [`Optimizer::advance`] with the parameters distributed over threads.
    fn share_out(&mut self, factor: f64) {
        let Self { groups, state, .. } = self;
        let mut steps = Steps::<M>::new(groups, factor);
        let mut items = alloc_check::with_capacity(groups.iter().map(|g| g.params.len()).sum());
        for (i, group) in groups.iter().enumerate() {
            for p in group.params.iter().filter(|p| p.requires_grad()) {
                let Some(g) = p.grad().map(|g| g.array()) else { continue };
                let mut state = state.remove(&p.id()).unwrap_or_else(|| State::new(M::SLOTS.len()));
                items.push((steps.next(i, &mut state), state, p, g));
            }
        }
        let size = items.iter().map(|(_, _, _, g)| g.size()).sum::<usize>() / items.len().max(1);
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let grain = parallel::grain(items.len(), size as f64);
        parallel::for_each_chunk_mut(&mut items, grain, |_, items| {
            for (step, state, p, g) in items {
                p.update(|p| update::<M>(*step, state, p, g));
            }
        });
        state.extend(items.into_iter().map(|(_, state, p, _)| (p.id(), state)));
    }
}

/// A step of one parameter. A complex one is updated as pairs of real numbers, as in `PyTorch`.
#[inline]
fn update<M: Method>(step: M::Step, state: &mut State, p: &mut Array, g: &Array) {
    match p.dtype() {
        DType::F32 | DType::F64 => M::update(step, state, p, g),
        dtype if dtype.is_complex() => update_complex::<M>(step, state, p, g),
        dtype => {
            // The state is kept in float32, and only the parameter is rounded.
            let mut wide = cast(p, DType::F32);
            M::update(step, state, &mut wide, &cast(g, DType::F32));
            *p = cast(&wide, dtype);
        }
    }
}

#[cold]
fn update_complex<M: Method>(step: M::Step, state: &mut State, p: &mut Array, g: &Array) {
    let dtype = p.dtype();
    p.turn_into(dtype.real());
    state.turn_into(dtype.real());
    M::update(step, state, p, &g.seen_as(dtype.real()));
    p.turn_into(dtype);
    state.turn_into(dtype);
}

/// The coefficients of steps, computed once for parameters with the same options and the same number of steps.
struct Steps<'a, M: Method> {
    groups: &'a [Group<M::Options>],
    factor: f64,
    last: Option<(usize, u64, M::Step)>,
}

impl<'a, M: Method> Steps<'a, M> {
    fn new(groups: &'a [Group<M::Options>], factor: f64) -> Self {
        Self { groups, factor, last: None }
    }

    /// The next step of a parameter of `group` with this state.
    fn next(&mut self, group: usize, state: &mut State) -> M::Step {
        let t = if M::COUNTS { state.count() } else { 0 };
        match self.last {
            Some((i, at, step)) if (i, at) == (group, t) => step,
            _ => {
                #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^53 steps")]
                let step = M::prepare(&self.groups[group].options, t as f64, self.factor);
                self.last = Some((group, t, step));
                step
            }
        }
    }
}

/// From so many elements in all on, threads may take whole parameters.
const MANY_ELEMENTS: usize = 1 << 18;
/// Threads take whole parameters only if the largest has at most one part in so many of all elements.
const LARGEST_SHARE: usize = 8;

/// Whether threads take whole parameters instead of parts of each: if there is much work and no parameter has most of it.
pub(super) fn are_many(total: usize, largest: usize) -> bool {
    total >= MANY_ELEMENTS && largest <= total / LARGEST_SHARE
}

/// The error for a gradient like `g` that does not fit a parameter like `p`.
fn misfit(name: &str, g: &Meta, p: &Meta) -> Error {
    if g.shape == p.shape {
        return Error::DType(format!("{name}: a parameter of dtype {} has a gradient of dtype {}", p.dtype, g.dtype));
    }
    let shapes = format!("a parameter of shape {} has a gradient of shape {}", show_shape(&p.shape), show_shape(&g.shape));
    Error::Shape(format!("{name}: {shapes}"))
}
