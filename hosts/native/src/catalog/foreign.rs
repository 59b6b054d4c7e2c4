//! Indexes that another program made: the one inside a CARv2, or `NAME.car.idx` beside `NAME.car`.
//!
//! They save reading the whole CAR before it is served, and they may be wrong. Before one is used it must be sorted, lie
//! within the payload, and hold for a sample of the file: between sampled records every section must be indexed. What
//! the sample does not show does no harm: no block leaves unchecked, and no miss is definite until all section
//! heads were read, which the watcher sees to while the index serves.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hoverboard_car::index::{Index, SortedIndex};
use hoverboard_car::{Header, MAX_HEAD_LEN, Options, Scanner, SectionHead, SectionOffset};

use super::files::{open, read_full_at};
use super::index_file::{Origin, Summary};
use super::stamp::Stamp;

/// Places of the file that are looked at before an index is believed.
const SAMPLES: usize = 64;
/// Sections in a row that may be missing from an index, for the reasons in [`covers`].
const MAX_HOLE: usize = 256;
/// The longest index that is read, in bytes: 25 million blocks of sha2-256 take a gigabyte.
const MAX_INDEX: u64 = 4 << 30;

/// The first index that can be used, of the two places where there may be one.
///
/// # Errors
/// The CAR itself cannot be read.
pub(crate) fn find(path: &Path, file: &File, stamp: &Stamp) -> io::Result<Option<(Summary, Bytes)>> {
    let Some(header) = header(file, stamp)? else { return Ok(None) };
    let Ok(payload) = header.payload_in(stamp.size) else { return Ok(None) };
    let beside = beside(path);
    let sources = [(Origin::CarV2, inside(file, &header, stamp.size)), (Origin::Beside, outside(&beside, stamp.size))];
    for (origin, bytes) in sources {
        let usable = match bytes {
            Ok(None) => continue,
            Ok(Some(bytes)) => check(bytes.clone(), file, &header, &payload).map(|()| bytes),
            Err(error) => Err(error.to_string()),
        };
        match usable {
            Ok(bytes) => return Ok(Some((Summary { stamp: *stamp, payload, origin, fault: None }, bytes))),
            Err(reason) => {
                let at = if origin == Origin::CarV2 { path } else { &beside };
                tracing::warn!(path = %at.display(), "index not used, reading the CAR through instead: {reason}");
            }
        }
    }
    Ok(None)
}

/// `NAME.car.idx` for `NAME.car`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".idx");
    name.into()
}

/// Reads as far as the header. `None`: it is damaged, which a survey will say better.
fn header(file: &File, stamp: &Stamp) -> io::Result<Option<Header>> {
    let mut scanner = Scanner::new(stamp.size, Options::default());
    let mut buffer = Vec::new();
    while scanner.header().is_none() {
        let Some(want) = scanner.want() else { return Ok(None) };
        buffer.resize(want.useful, 0);
        let read = read_full_at(file, &mut buffer, want.offset)?;
        if scanner.feed(&buffer[..read], |_| {}).is_err() && scanner.header().is_none() {
            return Ok(None);
        }
    }
    Ok(scanner.header().cloned())
}

/// The bytes of the index inside a CARv2 of `car_len` bytes, if there is one.
pub(crate) fn inside(file: &File, header: &Header, car_len: u64) -> io::Result<Option<Bytes>> {
    let Some(start) = header.index_start() else { return Ok(None) };
    read_index(file, start, car_len.saturating_sub(start), car_len).map(Some)
}

/// The bytes of the index at `path` over a CAR of `car_len` bytes, if there is one.
pub(crate) fn outside(path: &Path, car_len: u64) -> io::Result<Option<Bytes>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    read_index(&file, 0, file.metadata()?.len(), car_len).map(Some)
}

/// Reads an index of `len` bytes over a CAR of `car_len`. One that is longer than an index over it can be is an error: a
/// record takes no more than ten times the shortest section, and a sparse file could claim any length.
fn read_index(file: &File, start: u64, len: u64, car_len: u64) -> io::Result<Bytes> {
    let most = car_len.saturating_mul(10).saturating_add(64 << 10).min(MAX_INDEX);
    if len > most {
        return Err(io::Error::other(format!("it has {len} bytes, and no index over this CAR has more than {most}")));
    }
    let mut bytes = Vec::new();
    let len = usize::try_from(len).map_err(io::Error::other)?;
    bytes.try_reserve_exact(len).map_err(io::Error::other)?;
    bytes.resize(len, 0);
    let read = read_full_at(file, &mut bytes, start)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

/// Why an index cannot be used.
fn check(bytes: Bytes, file: &File, header: &Header, payload: &Range<u64>) -> Result<(), String> {
    covers(&parse(bytes)?, file, header, payload)
}

/// An index over one CAR, in which lookups find what is there.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub(crate) fn parse(bytes: Bytes) -> Result<SortedIndex, String> {
    let index = match Index::open(bytes).map_err(|error| error.to_string())? {
        Index::Sorted(index) => index,
        Index::Multi(_) => return Err("it is an index over many CARs".into()),
    };
    index.check().map_err(|error| error.to_string())?;
    Ok(index)
}

/// Hops from section to section at a sample of places, and sees that each section is indexed. One that is not may
/// hold an identity CID, or a block that is indexed elsewhere in the file.
fn covers(index: &SortedIndex, file: &File, header: &Header, payload: &Range<u64>) -> Result<(), String> {
    let mut offsets: Vec<u64> = index.iter().map(|record| record.offset.0).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let first = header.first_section.0;
    let end = payload.end - payload.start;
    if offsets.first().is_some_and(|least| *least < first) || offsets.last().is_some_and(|most| *most >= end) {
        return Err("it points outside of the CAR's sections".into());
    }
    let step = offsets.len().div_ceil(SAMPLES).max(1);
    let sampled = (0..offsets.len()).step_by(step).chain(offsets.len().checked_sub(1));
    let spans = sampled.map(|n| (offsets[n], offsets.get(n + 1).copied().unwrap_or(end)));
    let front = (first, offsets.first().copied().unwrap_or(end));
    for (from, to) in std::iter::once(front).chain(spans) {
        let mut at = from;
        for hop in 0.. {
            if at == to {
                break;
            }
            if at > to || hop > MAX_HOLE {
                return Err(format!(
                    "between bytes {} and {} it does not match the CAR",
                    payload.start + from,
                    payload.start + to
                ));
            }
            let head = head_at(file, at, payload)?;
            let is_indexed =
                index.lookup(head.cid.hash()).any(|offset| offset.0 == at || offsets.binary_search(&at).is_err());
            if !is_indexed && head.cid.hash().code() != 0 {
                return Err(format!("the block {} at byte {} is not in it", head.cid, payload.start + at));
            }
            at = head.end().0;
        }
    }
    Ok(())
}

fn head_at(file: &File, at: u64, payload: &Range<u64>) -> Result<SectionHead, String> {
    let mut buffer = [0; MAX_HEAD_LEN];
    let start = payload.start + at;
    let read = read_full_at(file, &mut buffer, start).map_err(|error| error.to_string())?;
    SectionHead::parse(&buffer[..read], SectionOffset(at), payload.start, &Options::default())
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("the section at byte {start} is cut short"))
}
