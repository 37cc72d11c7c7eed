//! Sums of products in Einstein's notation, for any number of operands.
//!
//! Two operands at a time are combined, by one matrix product over a batch, or by a broadcast product if no index is summed. The order
//! minimises the number of multiplications.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::diagonal::diagonal;
use super::permute::permute;
use super::reduction::sum_over;
use super::registry::{Arg, Args, Entry, Gradient, Kind, Param, Sample, Value};
use super::samples::{Draw, REAL};
use super::shape::{astype, reshape_to};
use super::{matmul, multiply};
use crate::array::{DType, Shape};
use crate::error::{Error, Result, show_shape};
use crate::tape::Variable;

/// Indices of an operand, one for each axis.
type Labels = Vec<char>;
/// For more operands than this, the order is chosen greedily.
const SEARCHED: usize = 8;

/// An operand and the labels of its axes.
#[derive(Clone)]
struct Term {
    x: Variable,
    labels: Labels,
}

/// The label of axis `i` of the ellipsis, counted from its end.
fn hidden(i: usize) -> char {
    char::from_u32(0xE000 + u32::try_from(i).unwrap_or(0)).unwrap_or('\u{E000}')
}

fn wrong(subscripts: &str, why: &str) -> Error {
    Error::Value(format!("einsum: {why} in '{subscripts}'"))
}

/// The labels of one operand. An ellipsis becomes `axes` hidden labels.
fn labels(subscripts: &str, part: &str, axes: usize) -> Result<Labels> {
    let mut out = Labels::new();
    let mut rest = part;
    let mut open = true;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            if !open {
                return Err(wrong(subscripts, "an operand has two ellipses"));
            }
            open = false;
            out.extend((0..axes).rev().map(hidden));
            rest = after;
            continue;
        }
        if !c.is_alphabetic() {
            return Err(wrong(subscripts, &format!("'{c}' is not an index, which is a letter")));
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Ok(out)
}

/// Number of indices in `part`.
fn named(part: &str) -> usize {
    part.chars().filter(|c| *c != '.').count()
}

/// The operands with their labels, and the labels of the result.
fn parse(subscripts: &str, operands: &[Variable]) -> Result<(Vec<Term>, Labels)> {
    let text: String = subscripts.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = text.split_once("->").map_or((text.as_str(), None), |(l, r)| (l, Some(r)));
    let parts: Vec<&str> = left.split(',').collect();
    if parts.len() != operands.len() {
        return Err(wrong(subscripts, &format!("{} operands are given and {} are named", operands.len(), parts.len())));
    }
    let mut terms = Vec::new();
    let mut widest = 0;
    for (part, x) in parts.iter().zip(operands) {
        let axes = if part.contains("...") { x.ndim().checked_sub(named(part)) } else { (named(part) == x.ndim()).then_some(0) };
        let Some(axes) = axes else {
            return Err(wrong(subscripts, &format!("'{part}' does not name the axes of an operand of shape {}", show_shape(x.shape()))));
        };
        widest = widest.max(axes);
        terms.push(Term { x: x.clone(), labels: labels(subscripts, part, axes)? });
    }
    let out = match right {
        Some(right) => labels(subscripts, right, widest)?,
        None => implicit(&terms, widest),
    };
    if let Some(c) = out.iter().find(|c| !terms.iter().any(|t| t.labels.contains(c))) {
        return Err(wrong(subscripts, &format!("the result names '{c}', which no operand has,")));
    }
    if (1..out.len()).any(|i| out[..i].contains(&out[i])) {
        return Err(wrong(subscripts, "the result names an index twice"));
    }
    Ok((terms, out))
}

/// Without an arrow: the ellipsis, then the indices that occur once, in alphabetical order.
fn implicit(terms: &[Term], widest: usize) -> Labels {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for c in terms.iter().flat_map(|t| &t.labels).filter(|c| !is_hidden(**c)) {
        *counts.entry(*c).or_default() += 1;
    }
    (0..widest).rev().map(hidden).chain(counts.into_iter().filter(|(_, n)| *n == 1).map(|(c, _)| c)).collect()
}

fn is_hidden(c: char) -> bool {
    ('\u{E000}'..'\u{F000}').contains(&c)
}

/// Sizes of the indices. Axes of size one broadcast.
fn sizes(subscripts: &str, terms: &[Term]) -> Result<BTreeMap<char, usize>> {
    let mut out: BTreeMap<char, usize> = BTreeMap::new();
    for t in terms {
        for (&c, &n) in t.labels.iter().zip(t.x.shape()) {
            let known = out.entry(c).or_insert(n);
            if *known == 1 {
                *known = n;
            }
            if *known != n && n != 1 {
                let name = if is_hidden(c) { "an axis of the ellipsis".to_owned() } else { format!("'{c}'") };
                return Err(Error::Shape(format!("einsum: {name} has sizes {known} and {n} in '{subscripts}'")));
            }
        }
    }
    Ok(out)
}

impl Term {
    /// Makes labels unique: repeated labels become a diagonal. Axes of size one that broadcast are dropped.
    fn simple(mut self, sizes: &BTreeMap<char, usize>) -> Result<Self> {
        for i in (0..self.labels.len()).rev() {
            if self.x.shape()[i] == 1 && sizes[&self.labels[i]] != 1 {
                let mut shape = Shape::from_slice(self.x.shape());
                shape.remove(i);
                self.x = reshape_to(&self.x, &shape)?;
                self.labels.remove(i);
            }
        }
        while let Some((i, j)) = self.repeated() {
            let c = self.labels[i];
            self.x = diagonal(&self.x, 0, [i.cast_signed(), j.cast_signed()])?;
            self.labels.remove(j);
            self.labels.remove(i);
            self.labels.push(c);
        }
        Ok(self)
    }

    fn repeated(&self) -> Option<(usize, usize)> {
        (0..self.labels.len()).find_map(|i| (i + 1..self.labels.len()).find(|&j| self.labels[i] == self.labels[j]).map(|j| (i, j)))
    }

    /// Sums over the indices that are not in `keep`.
    fn summed(self, keep: &[char]) -> Result<Self> {
        let axes: SmallVec<[usize; 4]> = (0..self.labels.len()).filter(|&i| !keep.contains(&self.labels[i])).collect();
        if axes.is_empty() {
            return Ok(self);
        }
        let x = sum_over(&self.x, &axes, false)?;
        Ok(Self { x, labels: self.labels.into_iter().filter(|c| keep.contains(c)).collect() })
    }

    /// Permutes the axes to the order of `groups`. Each group becomes one axis if it is `merged`, else it keeps its axes.
    fn arranged(&self, groups: &[(&[char], bool)]) -> Result<Variable> {
        let order: SmallVec<[usize; 4]> = groups.iter().flat_map(|(g, _)| *g).filter_map(|c| self.labels.iter().position(|l| l == c)).collect();
        let x = permute(&self.x, &order)?;
        let mut shape = Shape::new();
        let mut at = 0;
        for (g, merged) in groups {
            let part = &x.shape()[at..at + g.len()];
            if *merged {
                shape.push(part.iter().product());
            } else {
                shape.extend_from_slice(part);
            }
            at += g.len();
        }
        if shape.as_slice() == x.shape() { Ok(x) } else { reshape_to(&x, &shape) }
    }
}

/// The product of two operands, summed over the indices that are not in `keep`.
fn pair(a: Term, b: Term, keep: &[char]) -> Result<Term> {
    let with = |labels: &[char], other: &[char]| -> Labels { labels.iter().copied().filter(|c| other.contains(c) || keep.contains(c)).collect() };
    let (of_a, of_b) = (with(&a.labels, &b.labels), with(&b.labels, &a.labels));
    let (a, b) = (a.summed(&of_a)?, b.summed(&of_b)?);
    let pick = |labels: &[char], f: &dyn Fn(&char) -> bool| -> Labels { labels.iter().copied().filter(f).collect() };
    let batch = pick(&a.labels, &|c| b.labels.contains(c) && keep.contains(c));
    let gone = pick(&a.labels, &|c| b.labels.contains(c) && !keep.contains(c));
    let rows = pick(&a.labels, &|c| !b.labels.contains(c));
    let columns = pick(&b.labels, &|c| !a.labels.contains(c));
    let out: Labels = [&batch[..], &rows, &columns].concat();
    let shape: Shape =
        out.iter().filter_map(|c| [&a, &b].into_iter().find_map(|t| t.labels.iter().position(|l| l == c).map(|i| t.x.shape()[i]))).collect();
    let x = if gone.is_empty() {
        let left = a.arranged(&[(&batch, false), (&rows, false)])?;
        let wide: Shape = left.shape().iter().copied().chain(columns.iter().map(|_| 1)).collect();
        let right = b.arranged(&[(&batch, false), (&columns, false)])?;
        let (front, back) = right.shape().split_at(batch.len());
        let apart: Shape = front.iter().copied().chain(rows.iter().map(|_| 1)).chain(back.iter().copied()).collect();
        multiply(&reshape_to(&left, &wide)?, &reshape_to(&right, &apart)?)?
    } else {
        let left = a.arranged(&[(&batch, false), (&rows, true), (&gone, true)])?;
        let right = b.arranged(&[(&batch, false), (&gone, true), (&columns, true)])?;
        reshape_to(&matmul(&left, &right)?, &shape)?
    };
    Ok(Term { x, labels: out })
}

/// The costs of contraction orders.
struct ContractionPlan<'a> {
    labels: Vec<Labels>,
    out: &'a [char],
    sizes: &'a BTreeMap<char, usize>,
}

impl ContractionPlan<'_> {
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn size<'c>(&self, labels: impl Iterator<Item = &'c char>) -> f64 {
        labels.map(|c| self.sizes[c] as f64).product()
    }

    /// The indices of the set `of` that the result or an operand outside needs.
    fn left(&self, of: usize) -> Labels {
        let inside = |i: usize| of >> i & 1 == 1;
        let mut found = Labels::new();
        for (i, all) in self.labels.iter().enumerate() {
            for c in all.iter().filter(|_| inside(i)) {
                let needed = self.out.contains(c) || self.labels.iter().enumerate().any(|(k, l)| !inside(k) && l.contains(c));
                if needed && !found.contains(c) {
                    found.push(*c);
                }
            }
        }
        found
    }

    /// Number of multiplications of the product of two sets of operands.
    fn cost(&self, a: usize, b: usize) -> f64 {
        let (left, right) = (self.left(a), self.left(b));
        self.size(left.iter().chain(right.iter().filter(|c| !left.contains(c))))
    }

    /// For every set of operands, the cheapest split into two, by dynamic programming.
    fn splits(&self) -> Vec<usize> {
        let all = 1_usize << self.labels.len();
        let (mut best, mut split) = (vec![f64::INFINITY; all], vec![0; all]);
        for of in 1..all {
            if of.is_power_of_two() {
                best[of] = 0.0;
                continue;
            }
            let mut a = (of - 1) & of;
            while a > 0 {
                let b = of & !a;
                if a > b {
                    let cost = best[a] + best[b] + self.cost(a, b);
                    if cost < best[of] {
                        (best[of], split[of]) = (cost, a);
                    }
                }
                a = (a - 1) & of;
            }
        }
        split
    }
}

/// The product of the operands in the set `of`, by the splits.
fn product(terms: &[Term], plan: &ContractionPlan<'_>, splits: &[usize], of: usize) -> Result<Term> {
    if of.is_power_of_two() {
        return Ok(terms[of.trailing_zeros() as usize].clone());
    }
    let (a, b) = (splits[of], of & !splits[of]);
    pair(product(terms, plan, splits, a)?, product(terms, plan, splits, b)?, &plan.left(of))
}

/// For many operands: always combines the pair that is cheapest at that point.
fn greedy(mut terms: Vec<Term>, out: &[char], sizes: &BTreeMap<char, usize>) -> Result<Term> {
    while terms.len() > 1 {
        let mut best = (f64::INFINITY, 0, 1);
        for i in 0..terms.len() {
            for j in i + 1..terms.len() {
                let both: std::collections::BTreeSet<&char> = terms[i].labels.iter().chain(&terms[j].labels).collect();
                #[allow(clippy::cast_precision_loss, reason = "an estimate")]
                let cost: f64 = both.iter().map(|c| sizes[c] as f64).product();
                if cost < best.0 {
                    best = (cost, i, j);
                }
            }
        }
        let (b, a) = (terms.remove(best.2), terms.remove(best.1));
        let keep: Labels = out.iter().chain(terms.iter().flat_map(|t| &t.labels)).copied().collect();
        terms.push(pair(a, b, &keep)?);
    }
    terms.pop().ok_or_else(|| Error::Value("einsum: at least one operand is needed".to_owned()))
}

/// The sum of products described by `subscripts`, such as `"ij,jk->ik"`. Without an arrow the result has the indices that occur once, in
/// alphabetical order. `...` stands for axes that broadcast.
///
/// # Errors
/// `Value` when the subscripts are malformed or do not fit the operands, `Shape` when sizes differ.
pub fn einsum(subscripts: &str, operands: &[Variable]) -> Result<Variable> {
    let dtype = operands.iter().map(Variable::dtype).reduce(DType::promote).unwrap_or(DType::F64);
    let operands = operands.iter().map(|x| astype(x, dtype)).collect::<Result<Vec<_>>>()?;
    let (terms, out) = parse(subscripts, &operands)?;
    let sizes = sizes(subscripts, &terms)?;
    let terms = terms.into_iter().map(|t| t.simple(&sizes)).collect::<Result<Vec<_>>>()?;
    let total = if terms.len() > SEARCHED {
        greedy(terms, &out, &sizes)?
    } else {
        let plan = ContractionPlan { labels: terms.iter().map(|t| t.labels.clone()).collect(), out: &out, sizes: &sizes };
        product(&terms, &plan, &plan.splits(), (1 << terms.len()) - 1)?
    };
    let total = total.summed(&out)?;
    let x = total.arranged(&[(&out, false)])?;
    astype(&x, dtype)
}

fn call(a: &Args<'_>) -> Result<Value> {
    Ok(einsum(a.text(0)?, a.variables(1)?)?.into())
}

/// The rows of this file.
pub const ENTRIES: &[Entry] = &[Entry {
    name: "einsum",
    doc: "The sum of products that the subscripts name, as in 'ij,jk->ik', for any number of operands. A repeated index of one operand is its diagonal; '...' stands for axes that broadcast; without '->' the result has the indices that stand once, in alphabetical order. The order of the products is the cheapest.\n\n>>> tg.einsum(\"ij,j->i\", tg.Variable([[1.0, 2.0], [3.0, 4.0]]), tg.Variable([1.0, 10.0]))\nVariable([21., 43.])\n",
    params: &[Param::new("subscripts", Kind::Text), Param::new("operands", Kind::Each)],
    call,
    cost: 10.0,
    gradient: Gradient::Composite("for each operand the sum of products of g and the others"),
    method: false,
    samples,
    ..Entry::BASE
}];

fn samples() -> Vec<Sample> {
    let draw = &mut Draw::new(361);
    let cases: [(&str, &[&[usize]]); 14] = [
        ("ij,jk->ik", &[&[2, 3], &[3, 2]]),
        ("ij,jk", &[&[2, 3], &[3, 2]]),
        ("ii", &[&[3, 3]]),
        ("ii->i", &[&[3, 3]]),
        ("ij->ji", &[&[2, 3]]),
        ("ij->", &[&[2, 3]]),
        ("i,j->ij", &[&[2], &[3]]),
        ("bij,bjk->bik", &[&[2, 2, 3], &[2, 3, 2]]),
        ("...ij,...jk->...ik", &[&[2, 2, 3], &[3, 2]]),
        ("ijk,ik->j", &[&[2, 3, 2], &[2, 2]]),
        ("ab,bc,cd,da->", &[&[2, 3], &[3, 2], &[2, 3], &[3, 2]]),
        ("i,i,i->i", &[&[3], &[3], &[3]]),
        ("ij,i->j", &[&[1, 3], &[2]]),
        (",i->i", &[&[], &[3]]),
    ];
    let call = |(text, shapes): (&str, &[&[usize]])| Sample {
        args: vec![Arg::Text(text.to_owned()), Arg::Variables(shapes.iter().map(|s| REAL.strided(draw, s)).collect())],
    };
    cases.into_iter().map(call).collect()
}
