//! Epilogues: groups that run on rows of a matrix product as soon as they are complete, while they are in the cache.
//!
//! The loops and the results are those of the group run separately; only the ranges differ. When nothing else needs the product, one result
//! of the group overwrites it: each block of the product is copied to a register first, unless the group already has a result that may
//! overwrite that operand.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;

use smallvec::SmallVec;

use super::super::product::Product;
use super::{Body, Code, Group, How, Operand, Outs, Read, Typed, What};
use crate::array::Array;
use crate::error::Result;
use crate::kernel::map::Floating;
use crate::kernel::matmul::After;
use crate::kernel::parallel;
use crate::kernel::reduce::{Fold, Sum};
use crate::program::{Instr, Kind};
use crate::tape::capture::{Arg, Slot};

/// A group that runs as the epilogue of a product.
pub(crate) struct Epilogue {
    group: Group,
    /// The number of the group's operand that is the product.
    at: usize,
    /// The result that overwrites the product.
    in_place: Option<usize>,
}

impl fmt::Debug for Epilogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.group, if self.in_place.is_some() { " in place" } else { "" })
    }
}

impl Typed {
    fn operands(&self) -> &[How] {
        match self {
            Self::F32(body) => &body.operands,
            Self::F64(body) => &body.operands,
        }
    }

    /// The result that overwrites operand `at`: the one that the group has chosen for it, else the first.
    fn place(&mut self, at: usize) -> usize {
        match self {
            Self::F32(body) => body.place(at),
            Self::F64(body) => body.place(at),
        }
    }

    /// Operands that are overwritten, and the results that overwrite them.
    fn reuses(&self) -> &[(u16, u16)] {
        match self {
            Self::F32(body) => &body.reuses,
            Self::F64(body) => &body.reuses,
        }
    }

    /// Whether `n` elements are worth several threads.
    fn is_split(&self, n: usize) -> bool {
        let cost = match self {
            Self::F32(body) => body.cost,
            Self::F64(body) => body.cost,
        };
        parallel::grain(n, cost) < n
    }
}

impl<T: Floating> Body<T>
where
    Sum: Fold<T, Acc = T>,
{
    fn place(&mut self, at: usize) -> usize {
        if let Some((_, result)) = self.reuses.iter().find(|(operand, _)| usize::from(*operand) == at) {
            return usize::from(*result);
        }
        self.copy_first(at);
        0
    }

    /// Inserts a copy of each block of operand `at` to a new register, before all other instructions.
    fn copy_first(&mut self, at: usize) {
        let (Ok(operand), Ok(own), Ok(reads)) = (u16::try_from(at), u16::try_from(self.registers), u16::try_from(self.reads.len())) else { return };
        let old = self.reads.iter().position(|r| *r == Read::Flat(operand)).and_then(|i| u16::try_from(i).ok());
        // Results follow the registers.
        let moved = |place: u16| if place >= own { place + 1 } else { place };
        for code in &mut self.code {
            code.to = moved(code.to);
            if let What::Formula { from, .. } = &mut code.what {
                for f in from {
                    *f = match *f {
                        f if Some(f) == old => reads + own,
                        f if f >= reads => reads + moved(f - reads),
                        f => f,
                    };
                }
            }
        }
        self.code.insert(0, Code { what: What::Gather(operand), to: own });
        self.registers += 1;
        self.operands[at] = How::Strided;
    }

    /// Runs `product`, with the group on its rows. Returns the product or the result that overwrites it; all other results are added to
    /// `results`.
    fn with_product(
        &self,
        epilogue: &Epilogue,
        given: &[&Array],
        results: &mut SmallVec<[Array; 4]>,
        product: impl FnOnce(After<'_, T>) -> Result<Array>,
    ) -> Result<Array> {
        let Epilogue { group, at, in_place } = epilogue;
        let at = *at;
        let mut copies: SmallVec<[(usize, Array); 1]> = SmallVec::new();
        let mut arrays: SmallVec<[Option<&Array>; 8]> = given.iter().map(|a| Some(*a)).collect();
        arrays.insert(at, None);
        for (i, (a, how)) in arrays.iter().zip(&self.operands).enumerate() {
            if let Some(a) = a
                && !Self::fits(*how, a, group.size)
            {
                copies.push((i, a.broadcast_to("program", &group.shape)?.copy()));
            }
        }
        let mut operands: SmallVec<[Operand<'_, T>; 8]> = SmallVec::new();
        for (i, (a, how)) in arrays.iter().zip(&self.operands).enumerate() {
            operands.push(match copies.iter().find(|c| c.0 == i).map(|c| &c.1).or(*a) {
                None => in_place.map_or(Operand::Rows, Operand::Taken),
                Some(a) => Self::operand(*how, a, group)?,
            });
        }
        results.extend((usize::from(in_place.is_some())..group.outputs).map(|_| Array::empty(&group.shape, T::DTYPE)));
        let finish = |start: usize, rows: &mut [T], others: SmallVec<[&mut [T]; 4]>| {
            let (count, mut values, mut apart) = (rows.len(), SmallVec::new(), Some(rows));
            // A loop and not `collect`: the slices differ in lifetime.
            for other in others {
                if *in_place == Some(values.len()) {
                    values.extend(apart.take());
                }
                values.push(other);
            }
            if in_place.is_some() {
                values.extend(apart.take());
            }
            let rows = apart.unwrap_or_default();
            self.range(&operands, [start, count], rows, Outs { values, ..Outs::default() }, &[]);
        };
        product(After { others: results.iter_mut().map(Array::data_mut).collect(), finish: &finish })
    }
}

impl Epilogue {
    /// Runs `product`, with the group on its rows. `given` are the group's other operands.
    pub(in crate::program) fn run<T: Floating>(
        &self,
        given: &[&Array],
        results: &mut SmallVec<[Array; 4]>,
        product: impl FnOnce(After<'_, T>) -> Result<Array>,
    ) -> Result<Array>
    where
        Sum: Fold<T, Acc = T>,
    {
        let body: &dyn Any = match &self.group.body {
            Typed::F32(body) => body,
            Typed::F64(body) => body,
        };
        match body.downcast_ref::<Body<T>>() {
            Some(body) => body.with_product(self, given, results, product),
            None => unreachable!("a group has the dtype of its product"),
        }
    }
}

/// For each value, the instruction that makes it and those that read it.
struct Uses {
    made: HashMap<Slot, usize>,
    readers: HashMap<Slot, Vec<usize>>,
}

impl Uses {
    fn new(instrs: &[Instr]) -> Self {
        let (mut made, mut readers) = (HashMap::new(), HashMap::<Slot, Vec<usize>>::new());
        for (at, instr) in instrs.iter().enumerate() {
            for s in instr.outputs.iter().flatten() {
                made.insert(*s, at);
            }
            for s in instr.inputs.iter().filter_map(|a| a.slot()) {
                readers.entry(s).or_default().push(at);
            }
        }
        Self { made, readers }
    }

    /// Notes that an instruction has moved.
    fn moved(&mut self, instr: &Instr, from: usize, to: usize) {
        for s in instr.outputs.iter().flatten() {
            self.made.insert(*s, to);
        }
        for s in instr.inputs.iter().filter_map(|a| a.slot()) {
            let readers = self.readers.entry(s).or_default();
            readers.iter_mut().filter(|r| **r == from).for_each(|r| *r = to);
        }
    }
}

/// Turns groups into epilogues of the last product that they read, where one of the two can move to the other's place.
pub(in crate::program) fn join(instrs: Vec<Instr>, kept: &[Slot]) -> Vec<Instr> {
    let kept: HashSet<Slot> = kept.iter().copied().collect();
    let mut uses = Uses::new(&instrs);
    let mut all: Vec<Option<Instr>> = instrs.into_iter().map(Some).collect();
    for at in 0..all.len() {
        let found = all[at].as_ref().and_then(|group| candidate(group, at, &all, &uses, &kept));
        let Some((product, operand, needed)) = found else { continue };
        let Some(slot) = all[product].as_ref().and_then(|first| first.outputs[0]) else { continue };
        let (Some(first), Some(second)) = (all[product].take(), all[at].take()) else { continue };
        let readers = uses.readers.get(&slot).map_or(&[][..], |r| &r[..]);
        let to = if readers.iter().any(|r| *r < at) { product } else { at };
        uses.moved(&first, product, to);
        uses.moved(&second, at, to);
        all[to] = Some(joined(first, second, operand, needed));
    }
    all.into_iter().flatten().collect()
}

/// The last product before a group that can have it as an epilogue, the number of that operand, and whether something else needs the
/// product.
fn candidate(instr: &Instr, at: usize, all: &[Option<Instr>], uses: &Uses, kept: &HashSet<Slot>) -> Option<(usize, usize, bool)> {
    let Kind::Group(group) = &instr.kind else { return None };
    if !group.folds.is_empty() || group.truths > 0 || group.outputs == 0 {
        return None;
    }
    let is_split = group.body.is_split(group.size);
    let operands = instr.inputs.iter().enumerate().filter(|(i, _)| group.body.operands()[*i] == How::Flat);
    let products = operands.filter_map(|(i, a)| {
        let made = *uses.made.get(&a.slot()?)?;
        let Kind::Product(product) = &all[made].as_ref()?.kind else { return None };
        (made < at && product.takes(&group.shape, group.dtype(), is_split)).then_some((made, i))
    });
    let (product, operand) = products.max()?;
    let slot = instr.inputs[operand].slot()?;
    // An epilogue overwrites no other operands, so the group must not count on it.
    let is_needed = kept.contains(&slot) || uses.readers.get(&slot).is_some_and(|r| r.iter().any(|r| *r != at));
    if group.body.reuses().len() > usize::from(!is_needed) {
        return None;
    }
    let is_read_between = uses.readers.get(&slot).is_some_and(|r| r.iter().any(|r| *r < at));
    let is_ready = |a: &Arg| a.slot().is_none_or(|s| s == slot || uses.made.get(&s).is_none_or(|made| *made < product));
    (!is_read_between || instr.inputs.iter().all(is_ready)).then_some((product, operand, is_needed))
}

/// The product with a group as its epilogue. The product itself is a result only if something else needs it.
fn joined(product: Instr, group: Instr, at: usize, needed: bool) -> Instr {
    let (Kind::Product(first), Kind::Group(mut second)) = (product.kind, group.kind) else { unreachable!("a product and a group") };
    let in_place = if needed { None } else { Some(second.body.place(at)) };
    let mut inputs = product.inputs;
    inputs.extend(group.inputs.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, a)| *a));
    // The first result is the product, or the result that overwrites it.
    let mut outputs = group.outputs;
    let front = in_place.map_or(product.outputs[0], |k| outputs.remove(k));
    outputs.insert(0, front);
    let epilogue = Epilogue { group: second, at, in_place };
    super::instr(Kind::Product(Box::new(Product::with_epilogue(*first, epilogue))), inputs, outputs)
}
