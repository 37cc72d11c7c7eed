//! The vjp of a fused primitive, by its definition.

use super::accumulate;
use super::backward::{self, BackwardOptions};
use super::mode;
use super::node::Attrs;
use super::primitive::AttrSet;
use super::variable::Variable;
use super::vjp_context::VjpContext;
use crate::error::Result;

/// Runs the definition of the recorded primitive on its saved inputs and pulls the cotangents back through it.
///
/// If the rule itself is recorded, each input gets a node of its own, connected to its history. So gradients are recorded, and an input
/// that was computed from another input is held constant when that other input varies.
pub(super) fn vjp(ctx: &mut VjpContext<'_>) -> Result<()> {
    let primitive = ctx.work.node.op;
    let Some(definition) = primitive.definition else { unreachable!("{}: has a definition", primitive.name) };
    let again = ctx.create_graph();
    let recording = mode::recording(true);
    let inputs = (0..ctx.input_count())
        .map(|i| {
            let at = u8::try_from(i).unwrap_or(u8::MAX);
            match (ctx.needs(i), again) {
                (false, _) => Ok(ctx.input(at)),
                (true, false) => Variable::parameter(ctx.input_array(at).clone()),
                (true, true) => apart(&ctx.input(at)),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let outputs = definition(&inputs, attrs(ctx.raw_attrs()))?;
    drop(recording);
    let roots: Vec<(Variable, Option<Variable>)> =
        outputs.into_iter().enumerate().filter_map(|(i, y)| ctx.cotangent_of(i).map(|g| (y, Some(g)))).filter(|(y, _)| y.is_tracked()).collect();
    let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| ctx.needs(i)).collect();
    let targets: Vec<Variable> = wanted.iter().map(|&i| inputs[i].clone()).collect();
    if roots.is_empty() {
        return Ok(());
    }
    let found = backward::grad(&roots, &targets, BackwardOptions { create_graph: again, retain_graph: again, ..BackwardOptions::default() })?;
    wanted.into_iter().zip(found).try_for_each(|(i, g)| g.map_or(Ok(()), |g| ctx.add(i, g)))
}

/// The same value, with a node of its own.
fn apart(x: &Variable) -> Result<Variable> {
    accumulate::broadcast_to(x, x.shape())
}

fn attrs(attrs: &Attrs) -> &dyn AttrSet {
    if let Attrs::Set(set) = attrs { &**set } else { &() }
}
