//! The Python module: conversions, the class, bindings made from the registry. No arithmetic here.
#![allow(clippy::doc_markdown, clippy::doc_link_with_quotes, reason = "most docs here are Python's docstrings")]

mod arguments;
mod bind;
mod clip;
mod compile;
mod convert;
mod describe;
mod dlpack;
mod dtype;
mod error;
mod function;
mod gc;
mod grad;
mod grad_fn;
mod heap;
mod in_place;
mod index;
mod interchange;
mod lender;
mod living;
mod looped;
mod number;
mod numpy;
mod objects;
mod operators;
mod optim;
mod optim_groups;
mod protocol;
mod random;
mod release;
mod rows;
mod tape;
mod trace;
mod tracking;
mod transform;
mod traps;
mod variable;
mod view;
mod written;

/// The compiled half of `tapegrad`.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::error::register(m)?;
        super::heap::register(m)?;
        super::dtype::register(m)?;
        super::variable::register(m)?;
        super::interchange::register(m)?;
        super::number::register(m)?;
        super::grad::register(m)?;
        super::grad_fn::register(m)?;
        super::function::register(m)?;
        super::transform::register(m)?;
        super::tape::register(m)?;
        super::trace::register(m)?;
        super::gc::register(m)?;
        super::random::register(m)?;
        super::optim::register(m)?;
        super::clip::register(m)?;
        super::compile::register(m)?;
        super::living::register(m)?;
        super::looped::register(m)?;
        super::bind::register(m)
    }
}
