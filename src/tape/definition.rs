//! The vjp of a fused primitive: that of its definition.

use super::backward::{self, BackwardOptions};
use super::mode;
use super::node::Attrs;
use super::primitive::AttrSet;
use super::step::{Grads, Step};
use super::variable::Variable;
use crate::error::Result;

/// Runs the definition of the recorded primitive on its saved inputs, and pulls the cotangents back through it.
///
/// Where the rule itself is recorded, the inputs stand at their places on the tape, and so do the gradients.
pub(super) fn vjp(step: &mut Step<'_>) -> Result<Grads> {
    let primitive = step.work.node.op;
    let Some(definition) = primitive.definition else { unreachable!("{}: has a definition", primitive.name) };
    let again = step.create_graph();
    let inputs = (0..step.input_count())
        .map(|i| {
            let at = u8::try_from(i).unwrap_or(u8::MAX);
            if step.needs(i) && !again { Variable::parameter(step.input_array(at).clone()) } else { Ok(step.input(at)) }
        })
        .collect::<Result<Vec<_>>>()?;
    let recording = mode::recording(true);
    let outputs = definition(&inputs, attrs(step.attrs()))?;
    drop(recording);
    let roots: Vec<(Variable, Option<Variable>)> =
        outputs.into_iter().enumerate().filter_map(|(i, y)| step.cotangent(i).map(|g| (y, Some(g)))).filter(|(y, _)| y.is_tracked()).collect();
    let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| step.needs(i)).collect();
    let targets: Vec<Variable> = wanted.iter().map(|&i| inputs[i].clone()).collect();
    let mut grads = Grads::from_elem(None, inputs.len());
    if roots.is_empty() {
        return Ok(grads);
    }
    let found = backward::grad(&roots, &targets, BackwardOptions { create_graph: again, retain_graph: again })?;
    for (i, g) in wanted.into_iter().zip(found) {
        grads[i] = g;
    }
    Ok(grads)
}

fn attrs(attrs: &Attrs) -> &dyn AttrSet {
    if let Attrs::Set(set) = attrs { &**set } else { &() }
}
