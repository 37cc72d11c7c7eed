//! Loops in files: the recording of one step is a document among the attributes of the loop.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Constants, Document, Tensors, Value, damaged, document, external, guarded};
use crate::error::{Error, Result};
use crate::program::{Body, Gradients, Loop};
use crate::tape::{AttrSet as _, Attrs};

/// The attributes of a loop.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    /// Number of steps.
    length: usize,
    carries: usize,
    /// Number of stacked arrays.
    xs: usize,
    /// How the operands of a step lie in memory: carries, rows of the stacked arrays, values from outside.
    operands: Vec<Value>,
    gradients: Gradients,
    /// The recording of a step, and of its pullback.
    body: Document,
}

/// The attributes of `l`; the constants of its body go to `to`.
pub(super) fn write(l: &Loop, to: &mut Constants) -> Result<Json> {
    let b = &*l.body;
    let scan = Scan {
        length: l.length,
        carries: b.carries,
        xs: b.xs,
        operands: b.operands.iter().map(|(layout, dtype)| Value { dtype: *dtype, layout: layout.clone() }).collect(),
        gradients: b.gradients.clone(),
        body: document(&b.trace, None, to)?,
    };
    serde_json::to_value(scan).map_err(external)
}

/// The loop that [`write()`] wrote as `json`; the names of its constants begin with `part`.
pub(super) fn read(kind: &str, json: &Json, tensors: &Tensors, part: &str) -> Result<Attrs> {
    if kind != "Loop" {
        return Err(damaged(format!("a scan has attributes {kind:?}")));
    }
    let scan = Scan::deserialize(json).map_err(|e| damaged(format!("a scan has wrong attributes: {e}")))?;
    let Scan { length, carries, xs, operands, gradients, body } = scan;
    let (trace, _) = super::read(body, tensors, part)?;
    let operands = operands.into_iter().map(|v| (v.layout, v.dtype)).collect();
    let body = guarded("load_program", || Body::new(trace, operands, carries, xs, Some(gradients)));
    let body = body.map_err(|e| if matches!(e, Error::Value(_)) { damaged(e) } else { e })?;
    Ok(Loop::new(Arc::new(body), length, None).share())
}
