//! Handles that are views: a base handle and a layout, without a value of their own.
//!
//! A read takes the base's present value and applies the layout. A write stores the part in the base's value, so the base and all its other
//! views show it. A base does not know its views: the edge that a view keeps is valid as long as the base has the edge from which it was
//! made.
//!
//! # Locks
//! The lock of a view is never held while waiting for the lock of its base. Under a base's lock a part is written and a node is recorded.
//! No user code runs there, and what a write drops is dropped afterwards.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::bind::is_held_once;
use super::error::GradError;
use super::gc;
use super::variable::{PyVariable, State};
use super::written;
use crate::array::{Array, DType, Layout, Shape, alloc_check, dims};
use crate::error::Result;
use crate::lock::changing;
use crate::ops::view::{self, Part};
use crate::ops::work::LONG_CALL;
use crate::tape::{self, Edge, EdgeKey, Leaf, Recorded, Variable, capture};

/// Restrictions of a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Made by `detach()` or `.data`: not tracked, and writes change data only.
    pub detached: bool,
    /// Made from a tracked base while recording was off: reads give a constant.
    pub constant: bool,
    /// It repeats elements, so it cannot be written.
    pub read_only: bool,
}

/// The data of a leaf, for untracked views. `x.data = y` gives the leaf new data; views made before keep the old data, in a separate
/// handle.
#[derive(Default)]
struct LeafData(OnceLock<Py<PyVariable>>);

/// What a view shows: a part of another handle.
pub struct Link {
    /// Never a view itself.
    pub base: Py<PyVariable>,
    /// For an untracked view of a leaf: the data that it shows.
    data: Option<Arc<LeafData>>,
    /// The positions of its elements, as row-major positions of the base; `None` for the whole base.
    map: Option<Arc<Layout>>,
    pub kind: Kind,
}

/// The state of a handle that is a view.
pub struct View {
    link: Link,
    /// Its edge when it was last read, and the base's edge at that time.
    edge: Edge,
    on: EdgeKey,
    /// The value of an element. Like a NumPy scalar, it keeps the value that was read.
    element: Option<Variable>,
}

/// A view in a handle. Dropping a handle is part of every operation, so dropping a view is a separate function that is not inlined.
pub struct ViewBox(Option<Box<View>>);

impl ViewBox {
    fn new(view: View) -> Self {
        Self(Some(Box::new(view)))
    }
}

impl Drop for ViewBox {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn end(view: Option<Box<View>>) {
            drop(view);
        }
        end(self.0.take());
    }
}

impl Deref for ViewBox {
    type Target = View;

    fn deref(&self) -> &View {
        match &self.0 {
            Some(view) => view,
            None => unreachable!("it is taken when it is dropped"),
        }
    }
}

impl DerefMut for ViewBox {
    fn deref_mut(&mut self) -> &mut View {
        match &mut self.0 {
            Some(view) => view,
            None => unreachable!("it is taken when it is dropped"),
        }
    }
}

impl View {
    /// Whether it is a single element that was read by its position.
    pub fn is_element(&self) -> bool {
        self.element.is_some()
    }

    /// Its edge when it was last read.
    pub fn edge(&self) -> &Edge {
        self.element.as_ref().map_or(&self.edge, Variable::edge)
    }

    /// Reports its references to a garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.link.base)?;
        gc::traverse(self.edge(), visit)
    }
}

impl Link {
    /// Another reference to the same part. If the base has been given new data since, it refers to the old data.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        let (base, data) = match self.data.as_ref().and_then(|data| data.0.get()) {
            Some(kept) => (kept, None),
            None => (&self.base, self.data.clone()),
        };
        Self { base: base.clone_ref(py), data, map: self.map.clone(), kind: self.kind }
    }

    /// Whether two views show the same elements in the same layout.
    pub fn is_same(&self, other: &Self) -> bool {
        let (a, b) = (self.layout(), other.layout());
        self.base.is(&other.base) && a == b && (self.kind == other.kind || !tape::is_recording())
    }

    /// The layout of the part.
    pub fn layout(&self) -> Arc<Layout> {
        self.map.clone().unwrap_or_else(|| Arc::new(Layout::contiguous(self.base.get().peek().0.shape())))
    }

    /// The same base through another layout.
    pub fn with_map(self, map: Layout) -> Self {
        Self { map: Some(Arc::new(map)), ..self }
    }

    /// The data, and the key of the base's edge.
    fn array(&self) -> (Array, EdgeKey) {
        let base = self.base.get();
        let Some(map) = &self.map else { return base.peek() };
        let (mut array, mut key) = base.peek();
        if !array.is_contiguous() {
            base.make_row_major();
            (array, key) = base.peek();
        }
        if fits(&array, map) { (array.contiguous().window(map), key) } else { (Array::zeros(map.shape(), array.dtype()), EdgeKey::None) }
    }

    /// The present value, recorded as a read of the base.
    fn read(&self) -> Result<(Variable, EdgeKey)> {
        let (array, key) = self.array();
        if self.is_constant(key) {
            return Ok((array.into(), key));
        }
        let _on = tape::recording(true);
        let base = self.base.get().snapshot();
        let key = base.edge().key();
        let base = if self.is_untracked() { base.detach() } else { base };
        Ok((view::view(&base, &self.layout())?, key))
    }

    /// Whether it reads as a constant, for a base with that edge. A value inside a transformation is more than its array.
    fn is_constant(&self, key: EdgeKey) -> bool {
        key == EdgeKey::None || self.is_untracked() && !matches!(key, EdgeKey::Lifted(_))
    }

    fn is_untracked(&self) -> bool {
        self.kind.detached || self.kind.constant
    }

    /// Whether a value, tracked or not, may be written now.
    pub fn check(&self, op: &str, tracked: bool) -> PyResult<()> {
        if self.kind.read_only {
            return Err(PyValueError::new_err(format!(
                "{op}: this is a view that shows elements in several places, so it is read-only; clone() it to get an array that can be written"
            )));
        }
        if !tape::is_recording() {
            return Ok(());
        }
        if self.kind.detached {
            if !tracked {
                return Ok(());
            }
            return Err(GradError::new_err(format!(
                "{op}: a tracked value cannot be written through detach() or .data, which carry no gradients; detach() the value, \
                 or write to a clone()"
            )));
        }
        self.base.get().check_leaf(op, true)?;
        if self.kind.constant && (tracked || self.base.get().peek().1 != EdgeKey::None) {
            return Err(GradError::new_err(format!(
                "{op}: this view of a tracked array was made under no_grad, so a write to it cannot be recorded; \
                 make the view while recording is on, or wrap the write in `with tg.no_grad():`"
            )));
        }
        Ok(())
    }

    /// Writes `value` to a part of the base. It must fit, and [`Link::check`] must have passed.
    pub fn put(&self, py: Python<'_>, value: Variable) -> PyResult<()> {
        let part = self.map.clone().map_or(Part::Whole, Part::Map);
        self.put_part(py, &part, value)
    }

    fn put_part(&self, py: Python<'_>, part: &Part, value: Variable) -> PyResult<()> {
        put(self.base.bind(py), part, value, tape::is_recording() && !self.kind.detached)
    }

    /// Changes the whole base in place, if this view shows all of it and the change need not be recorded. Returns whether `f` has changed
    /// it.
    pub fn update(&self, f: impl FnOnce(&mut Array) -> Result<bool>) -> Result<bool> {
        let silent = self.kind.detached || !tape::is_recording();
        if capture::is_on() || self.map.is_some() || !silent {
            return Ok(false);
        }
        self.base.get().modify(|v| if v.is_lifted() { Ok(false) } else { f(v.array_mut()) }).unwrap_or(Ok(false))
    }
}

/// Whether a map is inside an array. It always is, unless a garbage collector has cleared the base.
fn fits(array: &Array, map: &Layout) -> bool {
    map.extent().is_none_or(|(_, end)| end <= array.size())
}

/// What a write has replaced, and what must be done after the lock is released.
struct Written {
    _old: Option<Array>,
    _edge: Edge,
    recorded: Option<Recorded>,
}

/// Writes `value`, which must fit, to a part of the value of `base`. The change is recorded if `record` and something is tracked; else the
/// base keeps its history.
pub fn put(handle: &Bound<'_, PyVariable>, part: &Part, value: Variable, record: bool) -> PyResult<()> {
    let (py, base) = (handle.py(), handle.get());
    if value.is_lifted() || part.is_lifted() || matches!(base.peek().1, EdgeKey::Lifted(_)) {
        return put_lifted(handle, part, &value);
    }
    if capture::is_on() {
        return put_seen(base, part, &value, record);
    }
    // A value that shares memory with the base is copied first: it is read as it was before the write, and the base stays unshared.
    let present = base.peek().0;
    let shared = present.storage().as_ptr() == value.array().storage().as_ptr();
    // Lent memory is read while holding the GIL.
    let lent = present.is_lent() || value.array().is_lent();
    drop(present);
    let value = if shared { Variable::with_edge(value.array().copy(), value.edge().clone()) } else { value };
    let write = || base.modify(|v| write(v, part, &value, record)).transpose();
    let written = if record || lent || value.array().size() < LONG_CALL { write()? } else { gc::detach(py, write)? };
    if let Some(recorded) = written.as_ref().and_then(|w| w.recorded.as_ref()) {
        recorded.settle();
    }
    Ok(())
}

/// [`put`] inside a transformation: the base gets a new value.
#[cold]
fn put_lifted(handle: &Bound<'_, PyVariable>, part: &Part, value: &Variable) -> PyResult<()> {
    let base = handle.get();
    if base.leaf().is_some_and(|leaf| leaf.requires_grad()) {
        return Err(GradError::new_err(
            "assignment: a value inside jvp, vmap or another transformation cannot be written into a leaf that requires gradients; \
             return it from the function instead",
        ));
    }
    written::put(handle, part.apply(base.snapshot(), value)?);
    Ok(())
}

/// [`put`] while a capture is active: the base gets a new value.
#[cold]
fn put_seen(base: &PyVariable, part: &Part, value: &Variable, record: bool) -> PyResult<()> {
    let old = base.snapshot();
    let _mode = tape::recording(record);
    let (x, value) = if record { (old.clone(), value.clone()) } else { (old.detach(), value.detach()) };
    let mut new = part.apply(x, &value)?;
    if !record {
        new = Variable::with_edge(new.into_array(), old.edge().clone());
    }
    tape::move_retained(old.edge(), new.edge());
    if let Some(leaf) = base.leaf() {
        leaf.set(if leaf.requires_grad() { new.detach() } else { new });
        return Ok(());
    }
    let gone = base.modify(|v| std::mem::replace(v, new));
    drop(gone);
    Ok(())
}

/// [`put`] under the lock of the base.
fn write(v: &mut Variable, part: &Part, value: &Variable, record: bool) -> Result<Written> {
    if let Part::Map(map) = part
        && !fits(v.array(), map)
    {
        return Ok(Written { _old: None, _edge: Edge::None, recorded: None });
    }
    let old = v.array_mut().make_writable();
    part.write(v.array_mut(), value.array());
    if !record || !(v.is_tracked() || value.is_tracked()) {
        return Ok(Written { _old: old, _edge: Edge::None, recorded: None });
    }
    let mut recorded = part.record(v, value)?;
    let edge = v.replace_edge(recorded.take_edge());
    tape::move_retained(&edge, v.edge());
    Ok(Written { _old: old, _edge: edge, recorded: Some(recorded) })
}

impl PyVariable {
    /// The present value of a view.
    #[cold]
    pub(super) fn read_view(&self) -> Variable {
        // Attached before the lock is acquired, because references are counted under it.
        Python::attach(|py| {
            let (link, cached, on) = match &*self.state.lock() {
                State::View(view) => match &view.element {
                    Some(v) => return v.clone(),
                    None => (view.link.clone_ref(py), fresh(&view.edge, view.on), view.on),
                },
                State::Value(v) => return v.clone(),
                State::Leaf(leaf) => return leaf.variable(),
            };
            let (array, key) = link.array();
            if link.is_constant(key) {
                return array.into();
            }
            match cached {
                Some(edge) if on == key => Variable::with_edge(array, edge),
                _ => self.renew(&link),
            }
        })
    }

    /// Records a read of the base, and keeps the edge.
    fn renew(&self, link: &Link) -> Variable {
        let Ok((v, key)) = link.read() else { unreachable!("a view has a gradient rule") };
        let mut old = Edge::None;
        if let State::View(view) = &mut *self.state.lock() {
            old = std::mem::replace(&mut view.edge, v.edge().clone());
            view.on = key;
        }
        tape::move_retained(&old, v.edge());
        v
    }

    /// The present data and the key of its edge, for a handle that is not a view.
    fn peek(&self) -> (Array, EdgeKey) {
        match &*self.state.lock() {
            State::Value(v) => return (v.array().clone(), v.edge().key()),
            State::Leaf(leaf) => return leaf.peek(),
            State::View(_) => {}
        }
        let v = self.read_view();
        let key = v.edge().key();
        (v.into_array(), key)
    }

    /// Runs `f` on the value and the history of a handle that is not a view. The handle is locked, so `f` must be short, must not call user
    /// code, and must return what it removes.
    fn modify<R>(&self, f: impl FnOnce(&mut Variable) -> R) -> Option<R> {
        let _changing = changing();
        let leaf = match &mut *self.state.lock() {
            State::Value(v) => return Some(f(v)),
            State::Leaf(leaf) => Arc::clone(leaf),
            State::View(_) => return None,
        };
        Some(leaf.modify(f))
    }

    /// Replaces the value of a handle that is not a view, and returns the old one; `None` for a view.
    pub fn exchange(&self, new: Variable) -> Option<Variable> {
        self.modify(|v| std::mem::replace(v, new))
    }

    /// Converts the data of a handle that is not a view to row-major order, which views of it require.
    #[cold]
    fn make_row_major(&self) {
        let _old = self.modify(|v| {
            let new = (!v.array().is_contiguous()).then(|| v.array().copy())?;
            capture::note_copy(v.array(), &new);
            Some(std::mem::replace(v.array_mut(), new))
        });
    }

    /// Makes sure that views of this handle can be made: converts its own data if it is not a view.
    pub fn lay_out(&self) {
        let strided = match &*self.state.lock() {
            State::Value(v) => !v.array().is_contiguous(),
            State::Leaf(leaf) => !leaf.peek().0.is_contiguous(),
            State::View(_) => false,
        };
        if strided {
            self.make_row_major();
        }
    }

    /// The value from which a view is made.
    pub fn source(&self) -> Variable {
        self.lay_out();
        self.snapshot()
    }

    /// The target of writes, if this is a view. A view that is the only holder of its base takes the part over, and is no longer a view.
    pub fn link(&self, py: Python<'_>) -> Option<Link> {
        match &*self.state.lock() {
            State::View(_) => {}
            _ => return None,
        }
        if self.take_over(py) {
            return None;
        }
        match &*self.state.lock() {
            State::View(view) => Some(view.link.clone_ref(py)),
            _ => None,
        }
    }

    /// Whether this handle is a view.
    pub fn is_view(&self) -> bool {
        matches!(&*self.state.lock(), State::View(_))
    }

    /// The part that a view shows, if the view is not an element.
    pub fn as_link(&self, py: Python<'_>) -> Option<Link> {
        match &*self.state.lock() {
            State::View(view) if !view.is_element() => Some(view.link.clone_ref(py)),
            _ => None,
        }
    }

    /// Shape and dtype; for a handle that is not a view, without touching reference counts.
    pub fn with_meta(&self) -> (Shape, DType) {
        match &*self.state.lock() {
            State::Value(v) => return (dims(v.shape()), v.dtype()),
            State::Leaf(leaf) => return (dims(&leaf.meta().shape), leaf.meta().dtype),
            State::View(_) => {}
        }
        let v = self.read_view();
        (dims(v.shape()), v.dtype())
    }

    /// Whether this is an element, which is not an array for NumPy.
    pub fn is_element(&self) -> bool {
        matches!(&*self.state.lock(), State::View(view) if view.is_element())
    }

    /// Turns an element into a separate value.
    pub fn let_go(&self) {
        let mut state = self.state.lock();
        let old = match &mut *state {
            State::View(view) => view.element.take().map(|v| std::mem::replace(&mut *state, State::Value(v))),
            _ => None,
        };
        drop(state);
        drop(old);
    }

    /// Reads an element again, after a write through it.
    pub fn reload(&self, link: &Link) -> PyResult<()> {
        if !self.is_element() {
            return Ok(());
        }
        let (v, _) = link.read()?;
        let copy = v.array().copy();
        capture::note_copy(v.array(), &copy);
        let v = Variable::with_edge(copy, v.edge().clone());
        let old = match &mut *self.state.lock() {
            State::View(view) => view.element.replace(v),
            _ => None,
        };
        drop(old);
        Ok(())
    }

    /// Takes the part over from a base that is unshared.
    fn take_over(&self, py: Python<'_>) -> bool {
        let is_alone = |state: &State| {
            let State::View(view) = state else { return false };
            let base = view.link.base.bind(py);
            let free = is_held_once(base) && !view.is_element() && !view.link.kind.read_only;
            free && matches!(base.get().state.try_lock().as_deref(), Some(State::Value(_)))
        };
        if !is_alone(&self.state.lock()) {
            return false;
        }
        let v = self.snapshot();
        let Some(link) = self.as_link(py) else { return false };
        // If another thread has written meanwhile, the base has other memory, because its value is shared now.
        let is_present = link.base.get().peek().0.storage().as_ptr() == v.array().storage().as_ptr();
        drop(link);
        let mut state = self.state.lock();
        let old = (is_present && is_alone(&state)).then(|| std::mem::replace(&mut *state, State::Value(v)));
        drop(state);
        old.is_some()
    }

    /// Makes a handle that may become a leaf independent of its base. False if it shows a part of a handle that others hold.
    pub fn part_with_base(&self, py: Python<'_>) -> bool {
        self.let_go();
        let v = self.snapshot();
        let old = {
            let mut state = self.state.lock();
            match &*state {
                State::View(view) if view.link.kind.detached => Some(std::mem::replace(&mut *state, State::Value(v))),
                _ => None,
            }
        };
        old.is_some() || self.link(py).is_none()
    }
}

/// A view's edge; `None` if there is none or it was freed.
fn fresh(edge: &Edge, on: EdgeKey) -> Option<Edge> {
    match edge {
        Edge::Node { node, output } => Some(Edge::Node { node: node.clone_unless_freed(on)?, output: *output }),
        _ => None,
    }
}

/// A handle for `out`, which was computed from `source` when that had the value `seen`: a view, if it shares memory.
pub fn link(source: &Bound<'_, PyVariable>, seen: &Variable, out: Variable, read_only: bool, element: bool) -> PyVariable {
    alloc_check::check_low();
    let (py, storage) = (source.py(), seen.array().storage());
    if out.array().storage().as_ptr() != storage.as_ptr() {
        return PyVariable::new(out);
    }
    let silent = !tape::is_recording() && seen.is_tracked() && !seen.is_lifted();
    let start = seen.array().layout().offset();
    let (from, origin, on) = match &*source.get().state.lock() {
        State::View(view) if view.is_element() => return PyVariable::new(out),
        State::View(view) => {
            let first = view.link.map.as_ref().map_or(0, |map| map.offset());
            (view.link.clone_ref(py), start.saturating_sub(first), view.on)
        }
        _ => (whole(source), start, seen.edge().key()),
    };
    let kind = from.kind;
    let map = match out.array().shared_layout() {
        Some(layout) if origin == 0 => Arc::clone(layout),
        _ => Arc::new(out.array().layout().shifted_back(origin)),
    };
    let kind = Kind { constant: kind.constant || silent && !kind.detached, read_only: kind.read_only || read_only, ..kind };
    let value = element.then(|| {
        let copy = out.array().copy();
        capture::note_copy(out.array(), &copy);
        Variable::with_edge(copy, out.edge().clone())
    });
    let edge = if element || out.edge().key() == seen.edge().key() { Edge::None } else { out.edge().clone() };
    let view = View { link: Link { map: Some(map), kind, ..from }, edge, on, element: value };
    PyVariable::with_state(State::View(ViewBox::new(view)))
}

/// The link for all of a handle that is not a view.
pub fn whole(source: &Bound<'_, PyVariable>) -> Link {
    Link { base: source.clone().unbind(), data: None, map: None, kind: Kind::default() }
}

/// [`whole`] for an untracked view of a leaf: it keeps the present data when the leaf is given new data.
fn whole_of_leaf(source: &Bound<'_, PyVariable>, leaf: &Leaf) -> Link {
    let data = Arc::downcast(leaf.attached(|| Arc::new(LeafData::default()))).ok();
    Link { data, ..whole(source) }
}

/// Turns a handle of an untracked value into a leaf, which knows the untracked views of its data: see [`LeafData`].
pub fn make_place(v: &PyVariable) {
    let old = {
        let mut state = v.state.lock();
        match &*state {
            State::Value(value) if value.edge().key() == EdgeKey::None && value.array().storage().is_pooled() && !capture::is_on() => {
                let leaf = Leaf::new(value.clone(), false);
                Some(std::mem::replace(&mut *state, State::Leaf(leaf)))
            }
            _ => None,
        }
    };
    drop(old); // after the lock
}

/// Gives a handle that is not a view new data, which must fit. Untracked views that were made before keep the old data.
pub fn replace_data(source: &Bound<'_, PyVariable>, new: Variable) -> PyResult<()> {
    let (py, v) = (source.py(), source.get());
    let data = v.leaf().and_then(|leaf| leaf.take_attached()).and_then(|data| Arc::downcast::<LeafData>(data).ok());
    if let Some(data) = data.filter(|data| Arc::strong_count(data) > 1) {
        let _ = data.0.set(Py::new(py, PyVariable::new(v.snapshot().detach()))?);
    }
    PyVariable::replace(source, "data", new)
}

/// A view of all that `source` shows, without history.
pub fn detached(source: &Bound<'_, PyVariable>) -> PyVariable {
    alloc_check::check_low();
    let py = source.py();
    let link = match &*source.get().state.lock() {
        State::View(view) if view.is_element() => None,
        State::View(view) => Some(view.link.clone_ref(py)),
        State::Leaf(leaf) => Some(whole_of_leaf(source, leaf)),
        State::Value(_) => Some(whole(source)),
    };
    let Some(link) = link else { return PyVariable::new(source.get().snapshot().detach()) };
    let kind = Kind { detached: true, constant: false, ..link.kind };
    let view = View { link: Link { kind, ..link }, edge: Edge::None, on: EdgeKey::None, element: None };
    PyVariable::with_state(State::View(ViewBox::new(view)))
}

/// Whether `detach()` of a handle must copy: a link to a computed, tracked value would keep its graph alive.
pub fn is_computed(v: &PyVariable) -> bool {
    let base = match &*v.state.lock() {
        State::Value(v) => return matches!(v.edge(), Edge::Node { .. }),
        State::Leaf(_) => None,
        State::View(view) if view.link.kind.detached => return false,
        State::View(view) => Some(Python::attach(|py| view.link.base.clone_ref(py))),
    };
    base.is_some_and(|base| matches!(base.get().peek().1, EdgeKey::Node(..)))
}
