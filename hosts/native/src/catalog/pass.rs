//! One pass over a CAR: read the sections that are wanted, in the order of the file, and check every block.
//!
//! The bytes are copied to private memory and hashed there. A block that was hashed before is believed if the file's
//! stamp was the indexed one both before and after the copy, and hashed again if not. So no byte can be other than
//! what its hash says, whatever is done to the file meanwhile, short of writes that leave no trace in its stamp.
//!
//! A file whose stamp is no longer the indexed one is not kept open: the next pass reads what is at the path then.

use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use hoverboard_car::{Options, SectionHead, SectionOffset};
use hoverboard_dag::VerifyError;

use super::car::Car;
use super::files::{Reach, read_within};
use super::read::Step;
use super::refusal::Refusal;
use super::stamp::Stamp;
use super::window::Window;
use super::{Catalog, Found, Query, Want};

/// Small blocks are packed into buffers of this many bytes, so that none keeps much more memory alive than its own.
const ARENA: usize = 64 << 10;

/// How a try at one place went.
#[derive(Debug)]
pub(crate) enum Tried {
    /// An answer
    Found(Found),
    /// The place holds another block, which the index left open
    NotThere,
    /// Its bytes are further away than was to be gone, or more than are to be held
    Later,
    /// The storage failed, which may pass; counted, and logged once
    Unread,
    /// It cannot be known whether the block is there; counted, and logged once
    Failed,
}

/// A pass over one CAR.
pub(crate) struct Pass<'a> {
    catalog: &'a Catalog,
    car: &'a Car,
    file: Arc<File>,
    reach: Reach,
    /// Bytes of large blocks that may still be read; the first is read whatever it measures
    room: &'a Cell<usize>,
    /// As the file was before the first read
    before: Stamp,
    /// Whether blocks that were hashed in earlier passes are believed
    trusted: bool,
    arena: BytesMut,
    read_bytes: u64,
    hashed_bytes: u64,
}

/// What a section turned out to hold.
enum Section {
    Block(Block),
    Have { size: u64 },
    AnotherBlock,
}

/// A block in private memory.
struct Block {
    query: usize,
    record: u32,
    head: SectionHead,
    data: Bytes,
    /// Whether it was hashed in this pass; if not, it was in an earlier one
    hashed: bool,
}

impl<'a> Pass<'a> {
    /// Tries steps, which are of one CAR and in the order of its sections, and says how each went.
    pub(crate) fn run(
        catalog: &'a Catalog,
        reach: Reach,
        room: &'a Cell<usize>,
        queries: &[Query],
        steps: &'a [Step],
        mut answer: impl FnMut(usize, Tried),
    ) {
        let Some(first) = steps.first() else { return };
        let car = &*first.candidate.car;
        let opened = catalog.files.open(car).and_then(|file| Ok((Stamp::of(&file)?, file)));
        let (before, file) = match opened {
            Ok(opened) => opened,
            Err(_) if reach == Reach::Cache => return steps.iter().for_each(|step| answer(step.query, Tried::Later)),
            Err(error) => {
                catalog.files.close(car);
                catalog.report_unread(car, &error);
                catalog.alarm.ring();
                let refusal = Refusal::from(error);
                return steps.iter().for_each(|step| answer(step.query, refusal.tried()));
            }
        };
        let trusted = before == car.summary.stamp && !catalog.options.always_verify;
        let settled = before.is_settled(SystemTime::now());
        let arena = BytesMut::new();
        let mut pass = Self { catalog, car, file, reach, room, before, trusted, arena, read_bytes: 0, hashed_bytes: 0 };

        let mut blocks = Vec::with_capacity(steps.len());
        let (mut failed, mut left) = (false, false);
        Window::with(car.typical_section(), |window| {
            for (number, step) in steps.iter().enumerate() {
                match pass.section(window, &queries[step.query], &steps[number..]) {
                    Ok(Section::Block(block)) => blocks.push(block),
                    Ok(Section::Have { size }) => answer(step.query, Tried::Found(Found::Have { size })),
                    Ok(Section::AnotherBlock) => answer(step.query, Tried::NotThere),
                    Err(refusal) if refusal.is_for_later(reach) => {
                        // What lies behind is hardly nearer, and takes room too.
                        steps[number..].iter().for_each(|step| answer(step.query, Tried::Later));
                        left = true;
                        break;
                    }
                    Err(refusal) => {
                        failed |= matches!(refusal, Refusal::Read(_));
                        pass.refuse(step.candidate.record, step.candidate.offset, &refusal);
                        answer(step.query, refusal.tried());
                    }
                }
            }
        });
        if failed {
            // Its descriptor may be what is wrong.
            catalog.files.close(car);
        } else if !left && car.note_read() {
            tracing::info!(path = %car.path.display(), "the CAR can be read again");
        }
        pass.release(blocks, settled, answer);
    }

    /// Lets go of the blocks that are what they should be, now that all are copied.
    fn release(mut self, blocks: Vec<Block>, settled: bool, mut answer: impl FnMut(usize, Tried)) {
        let unchanged = Stamp::of(&self.file).is_ok_and(|after| after == self.before);
        for block in blocks {
            if !block.hashed
                && !unchanged
                && let Err(refusal) = self.hash(block.record, &block.head.cid, &block.data)
            {
                self.refuse(block.record, block.head.offset, &refusal);
                answer(block.query, Tried::Failed);
                continue;
            }
            if block.hashed && unchanged && settled && self.trusted {
                self.car.verified.insert(block.record);
            }
            answer(block.query, Tried::Found(Found::Block(block.data)));
        }
        if !unchanged || !self.is_as_indexed() {
            self.catalog.files.close(self.car);
            self.catalog.alarm.ring();
        }
        let metrics = &self.catalog.metrics.catalog;
        metrics.read_bytes.inc_by(self.read_bytes);
        metrics.hashed_bytes.inc_by(self.hashed_bytes);
    }

    /// Reads the section of the first step. The other steps are what will be asked for next.
    fn section(&mut self, window: &mut Window, query: &Query, steps: &[Step]) -> Result<Section, Refusal> {
        let Step { query: number, candidate } = &steps[0];
        let payload = &self.car.summary.payload;
        let starts = steps.iter().map(|step| payload.start.saturating_add(step.candidate.offset.0));
        let (bytes, read) = window.at(self.reach, &self.file, starts)?;
        self.read_bytes += read as u64;

        let head = SectionHead::parse(bytes, candidate.offset, payload.start, &Options::default())?
            .ok_or(Refusal::CutShort)?;
        if payload.start.saturating_add(head.end().0) > payload.end.min(self.before.size) {
            return Err(Refusal::CutShort);
        }
        if *head.cid.hash() != query.multihash {
            // An index without hash codes leaves open which function made the digest. That, and no other digest in its
            // place, makes it another block.
            let open = !self.car.knows_codes() && self.is_as_indexed();
            let same_digest = head.cid.hash().digest() == query.multihash.digest();
            return if open && same_digest { Ok(Section::AnotherBlock) } else { Err(Refusal::OtherBlock(head.cid)) };
        }
        match query.want {
            Want::Have { inline_limit } if head.data_len > inline_limit as u64 => {
                self.could_be_sent(candidate.record, &head.cid)?;
                return Ok(Section::Have { size: head.data_len });
            }
            Want::Have { .. } | Want::Block => {}
        }
        // Both fit: the head is at most MAX_HEAD_LEN, and the length is bounded by the options of the parser.
        let (start, len) = (head.head_len() as usize, head.data_len as usize);
        let data = match bytes.get(start..start + len) {
            Some(data) => copy_small(&mut self.arena, data),
            None => {
                let part = bytes.get(start..).unwrap_or_default();
                let rest = payload.start + head.block_offset().0 + part.len() as u64;
                self.copy_large(part, len, rest)?
            }
        };
        let hashed = !(self.trusted && self.car.verified.contains(candidate.record));
        if hashed {
            self.hash(candidate.record, &head.cid, &data)?;
        }
        Ok(Section::Block(Block { query: *number, record: candidate.record, head, data, hashed }))
    }

    /// Reads the rest of a block, which lies at `rest`, straight into its own buffer.
    fn copy_large(&mut self, part: &[u8], len: usize, rest: u64) -> Result<Bytes, Refusal> {
        let room = self.room.get();
        if room == 0 {
            return Err(Refusal::NoRoom);
        }
        self.room.set(room.saturating_sub(len));
        let mut data = self.catalog.pool.take(len);
        let (front, back) = data.bytes_mut().split_at_mut(part.len());
        front.copy_from_slice(part);
        let read = read_within(self.reach, &self.file, back, rest)?;
        self.read_bytes += read as u64;
        match read == back.len() {
            true => Ok(data.freeze()),
            false => Err(Refusal::CutShort),
        }
    }

    /// Whether a block may be promised that is not read now.
    fn could_be_sent(&self, record: u32, cid: &Cid) -> Result<(), Refusal> {
        if self.is_as_indexed() && self.car.corrupt.contains(record) {
            return Err(Refusal::Corrupt(*cid));
        }
        // Hashing nothing says whether there is such a hash.
        match hoverboard_dag::verify(cid, &[]) {
            Ok(()) | Err(VerifyError::Mismatch) => Ok(()),
            Err(error) => Err(Refusal::Hash(*cid, error)),
        }
    }

    fn hash(&mut self, record: u32, cid: &Cid, data: &[u8]) -> Result<(), Refusal> {
        self.hashed_bytes += data.len() as u64;
        hoverboard_dag::verify(cid, data).map_err(|error| Refusal::Hash(*cid, error))?;
        if self.car.corrupt.contains(record) {
            self.car.corrupt.remove(record);
            self.car.reported.remove(record);
        }
        Ok(())
    }

    fn refuse(&self, record: u32, offset: SectionOffset, refusal: &Refusal) {
        self.catalog.report(self.car, self.is_as_indexed(), record, offset, refusal);
    }

    /// Whether the file was the one that was indexed when the pass began.
    fn is_as_indexed(&self) -> bool {
        self.before == self.car.summary.stamp
    }
}

/// Copies a block that is small into memory that it shares with others of its pass.
fn copy_small(arena: &mut BytesMut, data: &[u8]) -> Bytes {
    if arena.capacity() < data.len() {
        *arena = BytesMut::with_capacity(ARENA.max(data.len()));
    }
    arena.extend_from_slice(data);
    arena.split().freeze()
}
