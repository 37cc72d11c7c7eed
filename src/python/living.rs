//! The objects that are there when a recording begins, and those that have come since.
//!
//! One pass over the collector's list of all objects notes their identities, and finds the Variables and optimizers among them. New objects
//! are in the youngest generation as long as nothing is collected, so they are found without another pass over all objects. Types are
//! compared, and not asked by `isinstance`, which asks for `__class__` and so may run code.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::optim::PyOptimizer;
use super::variable::PyVariable;
use crate::lock::Mutex;

/// All objects that the collector knows, at one time.
#[pyclass(frozen, name = "_Living", module = "tapegrad")]
struct PyLiving {
    /// The objects. While the list holds them, no new object gets the identity of an old one.
    #[pyo3(get)]
    objects: Py<PyList>,
    #[pyo3(get)]
    variables: Py<PyList>,
    #[pyo3(get)]
    optimizers: Py<PyList>,
    /// The addresses of the objects, sorted.
    known: Mutex<Vec<usize>>,
    /// The counts of collections.
    stats: Py<PyAny>,
}

impl PyLiving {
    /// The objects of a type that have come since.
    fn since<T: PyTypeInfo>(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        let gc = py.import("gc")?;
        let options = PyDict::new(py);
        if gc.call_method0("get_stats")?.eq(&self.stats)? {
            options.set_item("generation", 0)?;
        }
        let now = gc.call_method("get_objects", (), Some(&options))?.cast_into::<PyList>()?;
        let new: Vec<Bound<'_, PyAny>> = now.iter().filter(|o| o.is_instance_of::<T>() && !self.__contains__(o)).collect();
        Ok(PyList::new(py, new)?.unbind())
    }
}

#[pymethods]
impl PyLiving {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let gc = py.import("gc")?;
        let stats = gc.call_method0("get_stats")?.unbind();
        let objects = gc.call_method0("get_objects")?.cast_into::<PyList>()?;
        let mut known = Vec::with_capacity(objects.len());
        let (variables, optimizers) = (PyList::empty(py), PyList::empty(py));
        for o in &objects {
            known.push(o.as_ptr() as usize);
            if o.is_instance_of::<PyVariable>() {
                variables.append(o)?;
            } else if o.is_instance_of::<PyOptimizer>() {
                optimizers.append(o)?;
            }
        }
        known.sort_unstable();
        let (variables, optimizers) = (variables.unbind(), optimizers.unbind());
        Ok(Self { objects: objects.unbind(), variables, optimizers, known: Mutex::new(known), stats })
    }

    /// Whether the object was there.
    fn __contains__(&self, o: &Bound<'_, PyAny>) -> bool {
        self.known.lock().binary_search(&(o.as_ptr() as usize)).is_ok()
    }

    /// The Variables that have come since.
    fn new_variables(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        self.since::<PyVariable>(py)
    }

    /// The optimizers that have come since.
    fn new_optimizers(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        self.since::<PyOptimizer>(py)
    }

    /// Releases all objects and forgets their identities.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        *self.known.lock() = Vec::new();
        [&self.variables, &self.optimizers, &self.objects].into_iter().try_for_each(|list| list.call_method0(py, "clear").map(drop))
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyLiving>()
}
