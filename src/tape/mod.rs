//! The tape: an arena of nodes, grad modes, the backward pass, inspection. It knows no operation by name, except those that it needs itself
//! (`accumulate`).

pub(crate) mod accumulate;
mod arena;
mod backward;
mod backward_pass;
pub mod capture;
mod cotangent;
mod definition;
mod frontier;
pub mod gc;
pub mod half;
mod hooks;
mod inspect;
mod leaf;
mod mode;
mod node;
mod node_task;
mod primitive;
mod rule_call;
mod saved;
mod trace;
mod variable;
mod vjp_context;

pub use arena::{NodeRef, is_freed};
pub use backward::{BackwardOptions, backward, backward_with, deliveries, grad};
pub use backward_pass::Delivery;
pub use frontier::{frontier, groups, next_number, reaches_beyond, reaches_freed};
pub use hooks::{add_node_hook, find_retained, move_retained, remove_node_hook, retained_leaf};
pub use inspect::{NodeInfo, Source, TapeStats, history, inputs, listing, op_name, tape_stats, to_dot};
pub use leaf::next_leaf;
pub use leaf::{Hook, HookFn, Leaf};
pub use mode::{
    RecordingGuard, is_anomaly, is_observed, is_recording, observe, recording, set_anomaly, set_recording, set_source_provider, unobserve,
};
pub use node::{Attrs, CustomRule, Meta, Vjp};
pub use node_task::forget;
pub use primitive::{
    AttrKind, AttrSet, Batch, BatchContext, Blocks, Call, Definition, Factor, Jvp, JvpContext, Lift, Lifted, Operand, Outputs, Place, Primitive,
    Transformation, apply, apply_all, apply_native, apply_update, evaluate,
};
pub use rule_call::{RuleCall, RuleParts};
pub use saved::Role;
pub use trace::{Dependence, Traced, TracedInput, begin_trace, end_trace};
pub use variable::{Edge, EdgeKey, Recorded, Variable, record_custom, record_under_lock};
pub use vjp_context::{Saver, VjpContext};
