//! Entry points of the backward pass: mark what the roots reach, then run rules from the newest node to the oldest.
//!
//! Sequence numbers are a topological order: nothing is sorted, and nothing recurses. Gradients of leaves are added at the end, when every
//! rule and hook has run: an error before that leaves every `.grad` as it was.

use std::sync::Arc;

use super::backward_pass::{BackwardPass, Delivery};
use super::hooks::{retained_leaf, run_hooks};
use super::leaf::{Leaf, accumulate_all};
use super::mode;
use super::variable::{Edge, Variable};
use crate::array::alloc_check;
use crate::error::{Error, Result};

/// Options of a backward pass.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "options that have nothing to do with each other")]
pub struct BackwardOptions {
    /// Keep the graph for another pass.
    pub retain_graph: bool,
    /// Record the pass itself, so that gradients can be differentiated.
    pub create_graph: bool,
    /// Stop at the inputs: no gradient passes through one input to another. The gradients are a part of another pass, so the hooks of the
    /// inputs do not run: that pass runs them.
    pub stop_at_inputs: bool,
    /// Run no hooks, and refuse a recording that meets one. For a pass that is only recorded.
    pub skip_hooks: bool,
}

/// Adds the gradients of a scalar to the `.grad` of its leaves, and frees the graph.
///
/// # Errors
/// `Grad` when `root` is not tracked or not a single element, `Freed` when its graph was freed.
pub fn backward(root: &Variable) -> Result<()> {
    backward_with(&[(root.clone(), None)], None, BackwardOptions::default())
}

/// A backward pass from several roots, each with its cotangent. `None` is a cotangent of one, for single elements. With `inputs` only
/// these get a gradient, and results on the way to them that keep theirs.
///
/// # Errors
/// As [`backward`]; `Shape` or `DType` when a cotangent does not fit its root.
pub fn backward_with(roots: &[(Variable, Option<Variable>)], inputs: Option<&[Variable]>, options: BackwardOptions) -> Result<()> {
    if let Some(inputs) = inputs {
        let (grads, retained) = gradients(roots, inputs, options)?;
        let mut ready = alloc_check::with_capacity(inputs.len() + retained.len());
        for (x, g) in inputs.iter().zip(grads) {
            match (x.edge(), g) {
                (Edge::Leaf(leaf), Some(g)) => ready.push((Arc::clone(leaf), g)),
                (Edge::Node { node, output }, Some(g)) => ready.push((retained_leaf(node, *output, x), g)),
                (Edge::None | Edge::Lifted(_), _) | (_, None) => {}
            }
        }
        // An input that keeps its gradient is among both.
        let given = ready.len();
        for (leaf, g) in retained {
            if !ready[..given].iter().any(|(own, _)| Arc::ptr_eq(own, &leaf)) {
                ready.push((leaf, g));
            }
        }
        // A leaf that is given twice gets its gradient twice, one after the other.
        ready.sort_unstable_by_key(|(leaf, _)| leaf.id());
        let repeated = |i: usize| i > 0 && Arc::ptr_eq(&ready[i].0, &ready[i - 1].0);
        if !(0..ready.len()).any(repeated) {
            return accumulate_all(ready, || {});
        }
        return ready.into_iter().try_for_each(|one| accumulate_all(alloc_check::collect([one]), || {}));
    }
    let mut sweep = BackwardPass::new(roots, &[], options)?;
    sweep.run()?;
    sweep.commit()
}

/// Gradients of `roots` with respect to `inputs`; `None` for an input that no root depends on. No `.grad` changes.
///
/// # Errors
/// As [`backward_with`], and `Grad` when an input is not tracked.
pub fn grad(roots: &[(Variable, Option<Variable>)], inputs: &[Variable], options: BackwardOptions) -> Result<Vec<Option<Variable>>> {
    gradients(roots, inputs, options).map(|(grads, _)| grads)
}

/// A gradient for each input, and those of results on the way that keep theirs.
type Gradients = (Vec<Option<Variable>>, Vec<(Arc<Leaf>, Variable)>);

fn gradients(roots: &[(Variable, Option<Variable>)], inputs: &[Variable], options: BackwardOptions) -> Result<Gradients> {
    if let Some(i) = inputs.iter().position(|x| !x.is_tracked()) {
        return Err(Error::Grad(format!(
            "grad: input {i} does not require gradients, so nothing can be differentiated by it; create it with requires_grad=True"
        )));
    }
    let mut sweep = BackwardPass::new(roots, inputs, options)?;
    sweep.run()?;
    let mut grads = alloc_check::with_capacity(inputs.len());
    let mode = mode::recording(options.create_graph);
    for mut target in sweep.take_targets() {
        grads.push(target.gradient.take().map_or(Ok(None), |g| run_hooks(&target.hooks, g).map(|g| Some(g.pooled())))?);
    }
    drop(mode);
    sweep.finish();
    Ok((grads, sweep.take_retained()))
}

/// The gradients that each rule delivers in a backward pass from `root`: one for every input of every operation, in the order of the pass.
/// The graph stays, and no `.grad` changes.
///
/// # Errors
/// As [`backward_with`].
pub fn deliveries(root: &Variable, gradient: &Variable) -> Result<Vec<Delivery>> {
    let options = BackwardOptions { retain_graph: true, ..BackwardOptions::default() };
    BackwardPass::new(&[(root.clone(), Some(gradient.clone()))], &[], options)?.run_and_tell()
}
