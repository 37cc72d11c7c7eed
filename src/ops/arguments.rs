//! Arguments and results of operations, independent of the calling language.

use smallvec::SmallVec;

use crate::array::{Array, DType, Scalar};
use crate::error::{Error, Result};
use crate::tape::Variable;

/// An argument.
#[derive(Clone, Debug)]
pub enum Arg {
    /// None, or not given and without a default.
    None,
    /// An array.
    Variable(Variable),
    /// A number where an array is allowed.
    Scalar(Scalar),
    /// A sequence of arrays.
    Variables(Vec<Variable>),
    /// A float.
    Float(f64),
    /// An int.
    Int(i64),
    /// A bool.
    Bool(bool),
    /// Axes, a shape, or positions.
    Ints(SmallVec<[isize; 4]>),
    /// Floats.
    Floats(SmallVec<[f64; 3]>),
    /// A dtype.
    DType(DType),
    /// A string.
    Text(String),
    /// The items between square brackets.
    Index(Vec<super::index::IndexItem>),
}

pub use crate::tape::Operand;

/// What an operation returns.
#[derive(Clone, Debug)]
pub enum Value {
    /// One array.
    One(Variable),
    /// A list of arrays.
    Many(Vec<Variable>),
}

impl From<Variable> for Value {
    fn from(v: Variable) -> Self {
        Self::One(v)
    }
}

impl From<Vec<Variable>> for Value {
    fn from(v: Vec<Variable>) -> Self {
        Self::Many(v)
    }
}

/// The arguments of a call, one per parameter, already converted to the kinds of the parameters.
#[derive(Debug)]
pub struct Args<'a> {
    name: &'static str,
    values: &'a [Arg],
}

impl<'a> Args<'a> {
    /// Arguments for the operation `name`.
    #[must_use]
    pub fn new(name: &'static str, values: &'a [Arg]) -> Self {
        Self { name, values }
    }

    /// The operation that is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    #[cold]
    fn wrong(&self, i: usize, expected: &str) -> Error {
        Error::Type(format!("{}: argument {} must be {expected}, got {:?}", self.name, i + 1, self.values.get(i)))
    }

    /// Whether argument `i` is None.
    #[must_use]
    pub fn is_none(&self, i: usize) -> bool {
        matches!(self.values.get(i), None | Some(Arg::None))
    }

    /// Argument `i` as an operand.
    ///
    /// # Errors
    /// `Type` when it is neither an array nor a number.
    pub fn operand(&self, i: usize) -> Result<Operand<'a>> {
        match self.values.get(i) {
            Some(Arg::Variable(v)) => Ok(Operand::Variable(v)),
            Some(Arg::Scalar(s)) => Ok(Operand::Scalar(*s)),
            Some(Arg::Float(x)) => Ok(Operand::Scalar(Scalar::Float(*x))),
            Some(Arg::Int(x)) => Ok(Operand::Scalar(Scalar::Int(*x))),
            _ => Err(self.wrong(i, "an array or a number")),
        }
    }

    /// Argument `i` as an array; a number becomes a 0-d one, with as many digits as the arrays beside it have.
    ///
    /// # Errors
    /// As [`Args::operand`].
    pub fn variable(&self, i: usize) -> Result<Variable> {
        Ok(match self.operand(i)? {
            Operand::Variable(v) => v.clone(),
            Operand::Scalar(s) => Array::full(&[], s, s.dtype_beside(self.floating())).into(),
        })
    }

    /// The widest real floating dtype of the arrays.
    fn floating(&self) -> Option<DType> {
        let arrays = self.values.iter().flat_map(|value| match value {
            Arg::Variable(v) => std::slice::from_ref(v),
            Arg::Variables(vs) => vs,
            _ => &[],
        });
        arrays.map(Variable::dtype).filter(|d| d.is_inexact()).map(DType::real).reduce(DType::promote)
    }

    /// Argument `i` as an array, or None.
    ///
    /// # Errors
    /// As [`Args::operand`].
    pub fn opt_variable(&self, i: usize) -> Result<Option<Variable>> {
        if self.is_none(i) { Ok(None) } else { self.variable(i).map(Some) }
    }

    /// Argument `i` as arrays.
    ///
    /// # Errors
    /// `Type` when it is not a sequence of arrays.
    pub fn variables(&self, i: usize) -> Result<&'a [Variable]> {
        if let Some(Arg::Variables(v)) = self.values.get(i) { Ok(v) } else { Err(self.wrong(i, "a sequence of arrays")) }
    }

    /// Argument `i` as a float.
    ///
    /// # Errors
    /// `Type` when it is not a float.
    #[allow(clippy::cast_precision_loss, reason = "Python's own conversion")]
    pub fn float(&self, i: usize) -> Result<f64> {
        match self.values.get(i) {
            Some(Arg::Float(x)) => Ok(*x),
            Some(Arg::Int(x)) => Ok(*x as f64),
            Some(Arg::Scalar(s)) => Ok(s.as_f64()),
            _ => Err(self.wrong(i, "a float")),
        }
    }

    /// Argument `i` as a float or None.
    ///
    /// # Errors
    /// `Type` when it is neither.
    pub fn opt_float(&self, i: usize) -> Result<Option<f64>> {
        if self.is_none(i) { Ok(None) } else { self.float(i).map(Some) }
    }

    /// Argument `i` as an int.
    ///
    /// # Errors
    /// `Type` when it is not an int.
    pub fn int(&self, i: usize) -> Result<i64> {
        match self.values.get(i) {
            Some(Arg::Int(x) | Arg::Scalar(Scalar::Int(x))) => Ok(*x),
            _ => Err(self.wrong(i, "an int")),
        }
    }

    /// Argument `i` as an axis.
    ///
    /// # Errors
    /// `Type` when it is not an int.
    pub fn axis(&self, i: usize) -> Result<isize> {
        self.int(i).map(|x| isize::try_from(x).unwrap_or(isize::MAX))
    }

    /// Argument `i` as an int or None.
    ///
    /// # Errors
    /// `Type` when it is neither.
    pub fn opt_int(&self, i: usize) -> Result<Option<i64>> {
        if self.is_none(i) { Ok(None) } else { self.int(i).map(Some) }
    }

    /// Argument `i` as a bool.
    ///
    /// # Errors
    /// `Type` when it is not a bool.
    pub fn flag(&self, i: usize) -> Result<bool> {
        if let Some(Arg::Bool(b)) = self.values.get(i) { Ok(*b) } else { Err(self.wrong(i, "a bool")) }
    }

    /// Argument `i` as axes; `None` means all.
    ///
    /// # Errors
    /// `Type` when it is neither None, an int nor a tuple of ints.
    pub fn axes(&self, i: usize) -> Result<Option<&'a [isize]>> {
        if self.is_none(i) { Ok(None) } else { self.ints(i).map(Some) }
    }

    /// Argument `i` as ints.
    ///
    /// # Errors
    /// `Type` when it is neither an int nor a tuple of ints.
    pub fn ints(&self, i: usize) -> Result<&'a [isize]> {
        if let Some(Arg::Ints(v)) = self.values.get(i) { Ok(v) } else { Err(self.wrong(i, "an int or a tuple of ints")) }
    }

    /// Argument `i` as floats, or None.
    ///
    /// # Errors
    /// `Type` when it is neither.
    pub fn opt_floats(&self, i: usize) -> Result<Option<SmallVec<[f64; 3]>>> {
        match self.values.get(i) {
            None | Some(Arg::None) => Ok(None),
            Some(Arg::Floats(v)) => Ok(Some(v.clone())),
            _ => self.float(i).map(|x| Some(SmallVec::from_slice(&[x]))),
        }
    }

    /// Argument `i` as ints; a single one is a list of one.
    ///
    /// # Errors
    /// `Type` when it is neither an int nor a tuple of ints.
    pub fn int_list(&self, i: usize) -> Result<SmallVec<[isize; 4]>> {
        match self.values.get(i) {
            Some(Arg::Int(x)) => Ok(SmallVec::from_slice(&[isize::try_from(*x).unwrap_or(isize::MAX)])),
            _ => self.ints(i).map(SmallVec::from_slice),
        }
    }

    /// [`Args::int_list`], or None.
    ///
    /// # Errors
    /// `Type` when it is neither.
    pub fn opt_int_list(&self, i: usize) -> Result<Option<SmallVec<[isize; 4]>>> {
        if self.is_none(i) { Ok(None) } else { self.int_list(i).map(Some) }
    }

    /// Argument `i` as a dtype or None.
    ///
    /// # Errors
    /// `Type` when it is neither.
    pub fn dtype(&self, i: usize) -> Result<Option<DType>> {
        match self.values.get(i) {
            Some(Arg::DType(d)) => Ok(Some(*d)),
            None | Some(Arg::None) => Ok(None),
            _ => Err(self.wrong(i, "a dtype")),
        }
    }

    /// Argument `i` as a string.
    ///
    /// # Errors
    /// `Type` when it is not a string.
    pub fn text(&self, i: usize) -> Result<&'a str> {
        if let Some(Arg::Text(t)) = self.values.get(i) { Ok(t) } else { Err(self.wrong(i, "a string")) }
    }

    /// Argument `i` as an index.
    ///
    /// # Errors
    /// `Type` when it is not an index.
    pub fn index(&self, i: usize) -> Result<&'a [super::index::IndexItem]> {
        if let Some(Arg::Index(t)) = self.values.get(i) { Ok(t) } else { Err(self.wrong(i, "an index")) }
    }
}
