//! Optimizers with PyTorch's formulas.
//!
//! An [`Optimizer`] holds groups of parameters, each with its options, and the state of each parameter, keyed by the identity of its leaf.
//! A parameter without a gradient is skipped in a step, and its state is not changed. A step is one call; each parameter is updated in one
//! fused pass, in place if its value is unshared.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod asgd;
mod clip;
mod formulas;
mod lion;
mod nadam;
mod radam;
mod rmsprop;
mod rprop;
mod sgd;
mod state;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

pub use adadelta::{Adadelta, AdadeltaOptions};
pub use adagrad::{Adagrad, AdagradOptions};
pub use adam::{Adam, AdamOptions};
pub use adamax::{Adamax, AdamaxOptions};
pub use asgd::{Asgd, AsgdOptions};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use lion::{Lion, LionOptions};
pub use nadam::{NAdam, NAdamOptions};
pub use radam::{RAdam, RAdamOptions};
pub use rmsprop::{RmsProp, RmsPropOptions};
pub use rprop::{Rprop, RpropOptions};
pub use sgd::{Sgd, SgdOptions};
pub use state::State;

use crate::array::{Array, alloc_check, size_of};
use crate::dispatch;
use crate::error::{Error, Result, show_shape};
use crate::tape::{Edge, Leaf, Variable, capture};

/// The formula of an optimization method.
pub trait Method: fmt::Debug + Send + Sync + 'static {
    /// Its name, for messages.
    const NAME: &'static str;
    /// Names of the arrays that a parameter's state may hold.
    const SLOTS: &'static [&'static str];
    /// Whether a parameter's state counts its steps.
    const COUNTS: bool;
    /// Names in states saved by `PyTorch` that follow from the number of steps, and are ignored.
    const DERIVED: &'static [&'static str] = &[];
    /// The options of a group of parameters.
    type Options: Clone + fmt::Debug + PartialEq + Default + Send + Sync;

    /// The name that users know, which may depend on the options.
    #[must_use]
    fn name(_: &Self::Options) -> &'static str {
        Self::NAME
    }

    /// Fails for invalid options.
    ///
    /// # Errors
    /// `Value`, naming the option.
    fn check(options: &Self::Options) -> Result<()>;

    /// Which of [`Method::SLOTS`] a step with these options needs: all, unless the method overrides this.
    #[must_use]
    fn slots(_: &Self::Options) -> Vec<usize> {
        (0..Self::SLOTS.len()).collect()
    }

    /// The slots that a step with these options writes.
    fn written(options: &Self::Options) -> Vec<usize> {
        Self::slots(options)
    }

    /// The coefficients of one step. Parameters with the same options and the same number of steps share them.
    type Step: Copy + Send + Sync;

    /// The coefficients of step `t`, counted from one, for gradients that are multiplied by `scale`. Without [`Method::COUNTS`], `t` is 0.
    fn prepare(options: &Self::Options, t: f64, scale: f64) -> Self::Step;

    /// Executes one step for one parameter.
    fn update(step: Self::Step, state: &mut State, p: &mut Array, g: &Array);
}

/// Parameters that share their options.
#[derive(Clone, Debug)]
pub struct Group<O> {
    /// Their options.
    pub options: O,
    /// The parameters.
    pub params: Vec<Arc<Leaf>>,
}

/// Groups of parameters, and the state of each.
///
/// ```
/// use tapegrad::{array::Array, ops, optim::{Group, Optimizer, Sgd, SgdOptions, leaf_of}, tape::{Variable, backward}};
/// let x = Variable::parameter(Array::scalar(3.0))?;
/// let leaf = leaf_of("SGD", &x)?;
/// let options = SgdOptions { lr: 0.5, ..SgdOptions::default() };
/// let mut sgd = Optimizer::<Sgd>::new(vec![Group { options, params: vec![leaf.clone()] }])?;
/// backward(&ops::square(&x)?)?;
/// sgd.step()?;
/// assert_eq!(leaf.array().to_vec::<f64>(), [0.0]);
/// # Ok::<(), tapegrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer<M: Method> {
    groups: Vec<Group<M::Options>>,
    /// Number of elements of all parameters.
    size: usize,
    state: HashMap<u64, State, ById>,
}

/// Hashes identities, which are unique numbers: one multiplication is sufficient.
#[derive(Default)]
struct IdHasher(u64);

/// How maps by identity hash.
type ById = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(self.0 ^ u64::from(b));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The leaf of a parameter.
///
/// # Errors
/// `Value` when `x` is the result of an operation or does not require gradients.
pub fn leaf_of(name: &str, x: &Variable) -> Result<Arc<Leaf>> {
    match x.edge() {
        Edge::Leaf(leaf) if leaf.requires_grad() => Ok(Arc::clone(leaf)),
        Edge::Node { .. } => Err(Error::Value(format!(
            "{name}: a parameter of shape {} is the result of an operation; only leaves can be optimized: pass the variables it was computed from",
            show_shape(x.shape())
        ))),
        _ => Err(no_gradients(name, x.shape())),
    }
}

fn no_gradients(name: &str, shape: &[usize]) -> Error {
    Error::Value(format!("{name}: a parameter of shape {} does not require gradients; create it with requires_grad=True", show_shape(shape)))
}

impl<M: Method> Optimizer<M> {
    /// An optimizer of these groups.
    ///
    /// # Errors
    /// `Value` when there are no parameters, one is given twice, or an option is invalid.
    pub fn new(groups: Vec<Group<M::Options>>) -> Result<Self> {
        if groups.iter().all(|g| g.params.is_empty()) {
            return Err(Error::Value(format!("{}: there are no parameters to optimize", M::NAME)));
        }
        let mut out = Self { groups: Vec::new(), size: 0, state: HashMap::default() };
        groups.into_iter().try_for_each(|g| out.add_group(g))?;
        Ok(out)
    }

    /// Adds a group. A frozen parameter is skipped by steps until it requires gradients again.
    ///
    /// # Errors
    /// As [`Optimizer::new`]; then nothing is added.
    pub fn add_group(&mut self, group: Group<M::Options>) -> Result<()> {
        self.check_group(&group)?;
        self.size += group.params.iter().map(|p| size_of(&p.meta().shape)).sum::<usize>();
        self.groups.push(group);
        Ok(())
    }

    fn check_group(&self, group: &Group<M::Options>) -> Result<()> {
        M::check(&group.options)?;
        let mut known: HashSet<u64, ById> = HashSet::default();
        let count = self.params().count() + group.params.len();
        known.try_reserve(count).map_err(|_| alloc_check::exhausted(M::name(&group.options)))?;
        known.extend(self.params().map(|p| p.id()));
        match group.params.iter().find(|p| !known.insert(p.id())) {
            Some(p) => {
                let (name, shape) = (M::name(&group.options), show_shape(&p.meta().shape));
                Err(Error::Value(format!("{name}: a parameter of shape {shape} is given twice")))
            }
            None => Ok(()),
        }
    }

    /// The groups, in the order in which they were added.
    #[must_use]
    pub fn groups(&self) -> &[Group<M::Options>] {
        &self.groups
    }

    /// Replaces the groups. Parameters that remain keep their state, and may have been frozen since.
    ///
    /// # Errors
    /// `Value` when a parameter is given twice or an option is invalid; then nothing changes.
    pub fn set_groups(&mut self, groups: Vec<Group<M::Options>>) -> Result<Vec<Group<M::Options>>> {
        let same =
            |(a, b): (&Group<_>, &Group<_>)| a.params.len() == b.params.len() && a.params.iter().zip(&b.params).all(|(a, b)| Arc::ptr_eq(a, b));
        if groups.len() == self.groups.len() && self.groups.iter().zip(&groups).all(same) {
            groups.iter().try_for_each(|g| M::check(&g.options))?;
            return Ok(std::mem::replace(&mut self.groups, groups));
        }
        let mut new = Self { groups: Vec::new(), size: 0, state: HashMap::default() };
        groups.into_iter().try_for_each(|g| new.add_group(g))?;
        new.state = std::mem::take(&mut self.state);
        Ok(std::mem::replace(self, new).groups)
    }

    /// Replaces the options of all groups, in order.
    ///
    /// # Errors
    /// `Value` when one is invalid; then nothing changes.
    pub fn set_all_options(&mut self, options: Vec<M::Options>) -> Result<()> {
        options.iter().try_for_each(M::check)?;
        self.groups.iter_mut().zip(options).for_each(|(group, o)| group.options = o);
        Ok(())
    }

    /// Replaces the options of group `index`, from the next step on.
    ///
    /// # Errors
    /// `Value` when an option is invalid; then nothing changes.
    pub fn set_options(&mut self, index: usize, options: M::Options) -> Result<()> {
        M::check(&options)?;
        self.groups[index].options = options;
        Ok(())
    }

    /// All parameters, in the order of groups.
    pub fn params(&self) -> impl Iterator<Item = &Arc<Leaf>> {
        self.groups.iter().flat_map(|g| &g.params)
    }

    /// Updates every parameter that has a gradient and still requires one.
    ///
    /// # Errors
    /// `Shape` or `DType` when a gradient does not fit its parameter; then nothing changes.
    pub fn step(&mut self) -> Result<()> {
        self.advance(1.0)
    }

    /// [`Optimizer::step`] with the gradients scaled to a joint norm of at most `max_norm`. The result is the same, bit for bit, as
    /// [`clip_grad_norm`] before a step, but the gradients themselves are not changed. Returns the norm.
    ///
    /// # Errors
    /// As [`Optimizer::step`], and `Value` when `max_norm` is negative or NaN.
    pub fn step_clipped(&mut self, max_norm: f64) -> Result<f64> {
        clip::check(M::NAME, "clip_norm", max_norm)?;
        let norm = clip::norm_of(&clip::gradients(self.params().filter(|p| p.requires_grad())), 2.0);
        self.advance(clip::factor(norm, max_norm))?;
        Ok(norm)
    }

    /// Number of elements of all parameters.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Drops the gradients of all parameters, or overwrites them with zeros.
    pub fn zero_grad(&self, set_to_none: bool) {
        zero_grad(self.params(), set_to_none);
    }

    /// The state of a parameter, once it has made a step.
    #[must_use]
    pub fn state(&self, p: &Leaf) -> Option<&State> {
        self.state.get(&p.id())
    }

    /// Checks a state that was saved for a parameter with these options, and converts it for restoring.
    ///
    /// # Errors
    /// `Key` for arrays that are missing or unknown, `Shape` for those of another shape than the parameter.
    pub fn read_state(options: &M::Options, p: &Leaf, step: Option<u64>, arrays: &[(String, Array)]) -> Result<State> {
        State::read::<M>(options, p.meta(), step, arrays)
    }

    /// The states of all parameters that have one: what [`Optimizer::restore_states`] puts back.
    #[must_use]
    pub fn saved_states(&self) -> Vec<(u64, State)> {
        self.state.iter().map(|(id, state)| (*id, state.clone())).collect()
    }

    /// Restores states that were saved for these parameters; the states of other parameters are not changed.
    pub fn restore_states(&mut self, params: &[Arc<Leaf>], saved: Vec<(u64, State)>) {
        for p in params {
            self.state.remove(&p.id());
        }
        self.state.extend(saved.into_iter().filter(|(id, _)| params.iter().any(|p| p.id() == *id)));
    }

    /// Replaces the states of all parameters and returns the old ones. Parameters that are not listed start without a state.
    ///
    /// # Errors
    /// `Memory` when there is none for them; then nothing changes.
    pub fn set_states(&mut self, states: Vec<(Arc<Leaf>, State)>) -> Result<Vec<State>> {
        let mut new: HashMap<u64, State, ById> = HashMap::default();
        let mut old = Vec::new();
        new.try_reserve(states.len()).map_err(|_| alloc_check::exhausted(M::NAME))?;
        alloc_check::try_reserve(M::NAME, &mut old, self.state.len())?;
        new.extend(states.into_iter().map(|(p, s)| (p.id(), s)));
        old.extend(std::mem::replace(&mut self.state, new).into_values());
        Ok(old)
    }
}

/// Drops the gradients of these parameters, or overwrites them with zeros.
pub fn zero_grad<'a>(params: impl IntoIterator<Item = &'a Arc<Leaf>>, set_to_none: bool) {
    let params = params.into_iter();
    if set_to_none {
        return params.for_each(|p| p.set_grad(None));
    }
    let places = alloc_check::collect(params.filter_map(|p| {
        capture::note_state((capture::GRADIENT, p.id()));
        p.grad()
    }));
    // Copies are made before the first gradient changes, so that nothing can fail half-way.
    for slot in &places {
        slot.make_unique();
    }
    for slot in places {
        if slot.variable().is_tracked() {
            slot.set(slot.variable().detach());
        }
        slot.update(zero);
    }
}

fn zero(a: &mut Array) {
    dispatch!(a.dtype(), T => a.data_mut::<T>().fill(T::default()));
}

/// Fails unless `value` is at least zero.
fn not_negative(name: &str, option: &str, value: f64) -> Result<()> {
    if value >= 0.0 { Ok(()) } else { Err(Error::Value(format!("{name}: {option} must not be negative, not {value}"))) }
}

/// Fails unless both rates lie in [0, 1).
fn decay_rates(name: &str, betas: [f64; 2]) -> Result<()> {
    match betas.iter().position(|beta| !(0.0..1.0).contains(beta)) {
        Some(i) => Err(Error::Value(format!("{name}: betas[{i}] must lie in [0, 1), not {}", betas[i]))),
        None => Ok(()),
    }
}
