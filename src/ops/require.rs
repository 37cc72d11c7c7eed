//! Conditions that the elements of arrays must meet. A program checks them in each run.

use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::error::{Error, Result};
use crate::tape::capture::{self, Arrays, Computation, ComputationKind};

/// Fails unless all elements of the bools `ok` are true. `{}` in the message is replaced by the element of `values`, which has the same
/// shape, where the first one is false.
///
/// # Errors
/// `Value` with that message.
pub fn require_all(ok: &Array, values: &Array, message: String) -> Result<()> {
    capture::computed(AllTrue { message }, &[ok, values]).map(|_| ())
}

/// The check of [`require_all`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllTrue {
    message: String,
}

impl Computation for AllTrue {
    const NAME: &'static str = "AllTrue";
    const INPUTS: usize = 2;
    const OUTPUTS: usize = 0;

    fn run(&self, inputs: &[Array]) -> Result<Arrays> {
        let (ok, values) = (&inputs[0], &inputs[1]);
        let Some(i) = ok.view::<bool>().iter().position(|&holds| !holds) else { return Ok(Arrays::new()) };
        let flat = values.reshape(&[values.size()])?;
        let value = flat.with_layout(flat.layout().select(0, i)).item()?;
        Err(Error::Value(self.message.replacen("{}", &value.to_string(), 1)))
    }
}

/// The computations of this file.
pub static COMPUTATIONS: &[ComputationKind] = &[ComputationKind::of::<AllTrue>()];
