//! The tape: an arena of nodes, grad modes, the backward engine, inspection. It knows no operation by name, except
//! the three it needs itself (`accumulate`).

pub(crate) mod accumulate;
mod arena;
mod backward;
mod cotangent;
mod definition;
pub mod gc;
mod hooks;
mod inspect;
mod leaf;
mod mode;
mod node;
mod primitive;
mod saved;
mod step;
mod sweep;
mod variable;
mod work;

pub use arena::NodeRef;
pub use backward::{BackwardOptions, backward, backward_with, grad};
pub use hooks::{add_node_hook, find_retained, move_retained, remove_node_hook, retained_leaf};
pub use inspect::{NodeInfo, Source, TapeStats, listing, op_name, tape_stats, to_dot};
pub use leaf::{Hook, HookFn, Leaf};
pub use mode::{RecordingGuard, is_anomaly, is_observed, is_recording, recording, set_anomaly, set_recording, set_source_provider, unwatch, watch};
pub use node::{AttrData, Attrs, CustomRule, Meta, Op, Rule};
pub use primitive::{
    AttrSet, Batch, BatchContext, Call, Definition, Jvp, JvpContext, Lift, Lifted, Operand, Outputs, Primitive, Transformation, apply, apply_all,
    apply_update,
};
pub use saved::Role;
pub use step::{Grads, Saver, Step, one_gradient};
pub use variable::{Edge, EdgeKey, Variable, record, record_many};
pub use variable::{Recorded, record_under_lock};
