//! The picture of the tape that a garbage collector sees. This test has its own process, because a picture is of all nodes and leaves.

use std::any::Any;
use std::sync::Arc;

use tapegrad::Result;
use tapegrad::array::Array;
use tapegrad::ops;
use tapegrad::tape::gc::{Entry, Picture, is_true, picture, running};
use tapegrad::tape::{
    BackwardOptions, CustomRule, Edge, Primitive, Variable, Vjp, VjpContext, backward, backward_with, record_custom, retained_leaf, tape_stats,
};

/// The number of entries that a collector would keep if nothing reached these handles.
fn kept(picture: &Picture, handles: &[&Variable]) -> usize {
    let entries = picture.entries();
    let mut left: Vec<usize> = entries.iter().map(|e| e.refs).collect();
    let targets = entries.iter().flat_map(|e| e.targets.iter().copied());
    targets.chain(handles.iter().filter_map(|v| picture.of_edge(v.edge()))).for_each(|t| left[t] -= 1);
    let mut work: Vec<usize> = (0..left.len()).filter(|&i| left[i] > 0).collect();
    let mut seen = vec![false; left.len()];
    while let Some(i) = work.pop() {
        if !std::mem::replace(&mut seen[i], true) {
            work.extend(&entries[i].targets);
        }
    }
    seen.into_iter().filter(|seen| *seen).count()
}

#[test]
fn a_cycle_of_the_tape_alone_is_shown_and_broken() {
    assert!(picture().is_none(), "a tape without hooks and without gradients of gradients");
    let x = Variable::parameter(Array::scalar(2.0)).unwrap();
    let y = ops::multiply(&x, &x).unwrap();
    let Edge::Node { node, output } = y.edge() else { unreachable!("recorded") };
    let _ = retained_leaf(node, *output, &y);
    let z = ops::multiply(&y, &y).unwrap();
    assert!(picture().is_none());
    backward_with(&[(z.clone(), None)], None, BackwardOptions { retain_graph: true, create_graph: true, ..BackwardOptions::default() }).unwrap();

    let seen = picture().unwrap();
    let all = seen.entries().len();
    assert!(all >= 4);
    assert_eq!(kept(&seen, &[]), all, "handles have references of their own");
    assert_eq!(kept(&seen, &[&x, &y, &z]), 0);
    let one = kept(&seen, &[&x, &z]);
    assert!(one > 0, "y keeps its gradient's graph");
    assert!(is_true());
    let more = ops::multiply(&x, &x).unwrap();
    assert!(!is_true(), "the tape has changed");
    drop((more, seen));

    let thread = running();
    assert!(picture().is_none(), "a thread may change the tape at any time");
    drop(thread);

    let seen = picture().unwrap();
    drop((x, y, z));
    assert!(tape_stats().live_nodes > 0);
    seen.entries().iter().for_each(Entry::clear);
    assert_eq!(tape_stats().live_nodes, 0);

    // A user's rule is shown as long as its graph is there; a backward pass drops it while a handle keeps the node.
    let x = Variable::parameter(Array::scalar(2.0)).unwrap();
    let y = record_custom(&DOUBLED, &[&x], vec![Array::scalar(4.0)], Arc::new(Doubled)).unwrap().remove(0);
    assert_eq!(picture().unwrap().entries().len(), 1);
    backward(&y).unwrap();
    assert!(picture().is_none());
}

static DOUBLED: Primitive = Primitive { name: "doubled", vjp: Vjp::Rule(|_| Ok(())), ..Primitive::BASE };

struct Doubled;

impl CustomRule for Doubled {
    fn name(&self) -> &'static str {
        "doubled"
    }

    fn vjp(&self, ctx: &mut VjpContext<'_>) -> Result<()> {
        let g = ctx.cotangent();
        ctx.add(0, ops::multiply(&g, 2.0)?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
