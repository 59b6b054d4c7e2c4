//! Several runs into one, a shard of the result at a time.
//!
//! A step reads the pages of each run in which the entries of one shard lie, and gives that shard. Steps do not depend on one
//! another: they can be done in any order, in different places, or twice. Entries in CARs that are struck are left out, and of
//! each block at most [`MAX_PLACES`](crate::MAX_PLACES) places are kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::id::IdHasher;
use crate::kept::Condensed;
use crate::run::{BuildError, Piece, Run, Shape, Shard, Slice, TooLarge, build_shard};
use crate::{Entry, Fingerprint, Struck};

/// Joins sorted entries of several runs into sorted and condensed entries of one.
pub fn merge<I: Iterator<Item = Entry>>(inputs: Vec<I>, struck: &Struck) -> impl Iterator<Item = Entry> {
    Condensed::new(Joined::new(inputs), struck)
}

/// A merge that was decided on: of which runs, without which CARs, into what.
#[derive(Clone, Debug)]
pub struct Merge {
    inputs: Vec<Run>,
    struck: Struck,
    output: Run,
}

/// What cannot be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// No runs, or not in order of their CARs.
    #[error("these are not runs in order")]
    Order,
    /// The result would be too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Merge {
    /// Plans to merge `inputs`, which follow one another in the manifest, without the CARs in `struck`.
    ///
    /// The result's name depends on both, so a merge that is taken up again later needs the same `struck`, and not
    /// the manifest's newest.
    ///
    /// # Errors
    ///
    /// Runs that are not in order, or too many entries.
    pub fn new(inputs: &[Run], struck: &Struck) -> Result<Self, MergeError> {
        let (first, last) = inputs.first().zip(inputs.last()).ok_or(MergeError::Order)?;
        if !inputs.is_sorted_by(|a, b| a.ordinals().end <= b.first) {
            return Err(MergeError::Order);
        }
        let ordinals = first.first..last.ordinals().end;
        let struck = struck.within(ordinals.clone());
        let most = inputs.iter().fold(0_u64, |sum, run| sum.saturating_add(run.entries));
        let mut id = IdHasher::new("hoverboard block run 1: merged");
        id.number(inputs.len() as u64);
        for run in inputs {
            id.bytes(&run.id.to_bytes());
            id.number(u64::from(run.first - first.first));
            id.number(u64::from(run.cars));
        }
        id.number(struck.len() as u64);
        struck.ordinals().iter().for_each(|car| id.number(u64::from(car - first.first)));
        let output = Run {
            id: id.finish(),
            first: first.first,
            cars: ordinals.end - ordinals.start,
            entries: 0,
            shape: Shape::for_entries(most)?,
        };
        Ok(Self { inputs: inputs.to_vec(), struck, output })
    }

    /// The runs that are merged.
    pub fn inputs(&self) -> &[Run] {
        &self.inputs
    }

    /// The CARs that are left out.
    pub fn struck(&self) -> &Struck {
        &self.struck
    }

    /// The result, but for the number of its entries.
    pub fn output(&self) -> &Run {
        &self.output
    }

    /// What the step for `shard` reads of the input with this number: pieces to be opened as [`Slice`]s.
    pub fn pieces(&self, input: usize, shard: u32) -> impl Iterator<Item = Piece> {
        self.inputs.get(input).into_iter().flat_map(move |run| run.shape.covering(self.output.shape, shard))
    }

    /// Builds a shard of the result from the slices of each input, in the order of [`pieces`](Self::pieces).
    ///
    /// Takes as much memory as the slices and the shard.
    ///
    /// # Errors
    ///
    /// More entries collide than the format has room for, or the slices are not those that were asked for.
    pub fn build(&self, shard: u32, slices: &[Vec<Slice>]) -> Result<Shard, BuildError> {
        let shape = self.output.shape;
        let inputs = slices.iter().map(|slices| {
            let entries = slices.iter().flat_map(Slice::entries);
            // A page at the edge of a piece may have entries of the neighbouring shard.
            entries.filter(move |entry| shape.shard_of(entry.fingerprint) == shard)
        });
        build_shard(&self.output, shard, merge(inputs.collect(), &self.struck))
    }

    /// The result when all shards are written, of which there were so many entries in all.
    pub const fn finish(&self, entries: u64) -> Run {
        Run { entries, ..self.output }
    }
}

/// Entries of several sorted inputs, sorted.
struct Joined<I> {
    inputs: Vec<I>,
    /// The next entry of each input that has one, by fingerprint; then by input, so that the order is always the same.
    next: BinaryHeap<Reverse<Next>>,
}

/// The next entry of an input.
struct Next {
    entry: Entry,
    input: usize,
}

impl Next {
    fn order(&self) -> (Fingerprint, usize) {
        (self.entry.fingerprint, self.input)
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl<I: Iterator<Item = Entry>> Joined<I> {
    fn new(mut inputs: Vec<I>) -> Self {
        let first = inputs.iter_mut().enumerate();
        let next = first.filter_map(|(input, entries)| Some(Reverse(Next { entry: entries.next()?, input }))).collect();
        Self { inputs, next }
    }
}

impl<I: Iterator<Item = Entry>> Iterator for Joined<I> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let mut least = self.next.peek_mut()?;
        match self.inputs[least.0.input].next() {
            // Put in its place, the heap is mended once and not twice.
            Some(entry) => Some(std::mem::replace(&mut least.0.entry, entry)),
            None => Some(PeekMut::pop(least).0.entry),
        }
    }
}
