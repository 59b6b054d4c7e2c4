//! The compiled form: a header, two sorted tables of hashes, the turns of their rules, a checksum.
//!
//! | bytes | is |
//! |---|---|
//! | 8 | `hoverdny` |
//! | 4 | the version, 1 |
//! | 4, 4 | how many legacy anchors (L) and modern double hashes (M) there are |
//! | 4, 4, 4, 4 | how many rules about paths, names, by other functions, and lines that were no rules there were |
//! | 32 L | the legacy anchors, sorted, each once |
//! | 32 M | the modern double hashes, sorted, each once |
//! | 4 L, 4 M | the turn of each, in the same order |
//! | 8 | XXH3-64 with seed 0 of all bytes before |
//!
//! Numbers are little-endian. `docs/denylist.md` has it with worked bytes.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::keys::{Keys, Kind};
use crate::rules::{Counts, Entry, MAX_RULES};
use crate::table::Index;

const MAGIC: &[u8; 8] = b"hoverdny";
const VERSION: u32 = 1;
/// Bytes before the tables.
const HEADER: usize = 36;
/// Bytes behind them.
const CHECKSUM: usize = 8;
/// Bytes of a rule: its hash and its turn.
const RULE: usize = 32 + 4;

/// Bytes that are no compiled denylist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// They begin otherwise
    #[error("it is no compiled denylist")]
    Magic,
    /// They are of a version that is not known
    #[error("it was compiled as version {0}, and {VERSION} is known")]
    Version(u32),
    /// They are more or fewer than the header says
    #[error("it has {found} bytes where its header says {expected}")]
    Length {
        /// What the header says
        expected: u64,
        /// What there is
        found: u64,
    },
    /// It has more rules than may be
    #[error("it has more than {MAX_RULES} rules")]
    TooMany,
    /// They are not what was written
    #[error("its checksum is wrong: it is damaged")]
    Checksum,
    /// A table is not in order
    #[error("its table of {0:?} hashes is not sorted")]
    Unsorted(Kind),
}

/// What a list says about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is denied, by a rule of this kind.
    Denied(Kind),
    /// It is an exception.
    Allowed,
}

/// A compiled list, checked and ready to be searched. The bytes are shared, and searched where they are; beside them it
/// takes at most 512 KiB.
#[derive(Debug, Clone)]
pub struct Denylist {
    bytes: Bytes,
    counts: Counts,
    legacy: Index,
    modern: Index,
}

impl Denylist {
    /// Whether these bytes mean to be a compiled list: they begin as one.
    pub fn is_compiled(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Opens the compiled form. Every byte of it is read once.
    ///
    /// # Errors
    /// The bytes are not as [`Rules::compile`](crate::Rules::compile) writes them, or fewer, or more.
    pub fn open(bytes: Bytes) -> Result<Self, OpenError> {
        if !Self::is_compiled(&bytes) {
            return Err(OpenError::Magic);
        }
        let found = bytes.len() as u64;
        let short = OpenError::Length { expected: (HEADER + CHECKSUM) as u64, found };
        let number = |place: usize| {
            let field = bytes.get(8 + 4 * place..12 + 4 * place)?;
            Some(u32::from_le_bytes(field.try_into().ok()?))
        };
        let field = |place| number(place).ok_or(short);
        let version = field(0)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        let counts = Counts {
            legacy: field(1)?,
            modern: field(2)?,
            paths: field(3)?,
            names: field(4)?,
            unsupported: field(5)?,
            malformed: field(6)?,
        };
        let rules = u64::from(counts.legacy) + u64::from(counts.modern);
        if rules > MAX_RULES as u64 {
            return Err(OpenError::TooMany);
        }
        let expected = (HEADER + CHECKSUM) as u64 + rules * RULE as u64;
        if expected != found {
            return Err(OpenError::Length { expected, found });
        }
        let (content, checksum) = bytes.split_last_chunk().ok_or(short)?;
        if xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err(OpenError::Checksum);
        }
        let legacy = Index::new(Kind::Legacy, digests(&bytes, &counts, Kind::Legacy))?;
        let modern = Index::new(Kind::Modern, digests(&bytes, &counts, Kind::Modern))?;
        Ok(Self { bytes, counts, legacy, modern })
    }

    /// How many rules there are of what kind, those with one hash counted once.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many of them are exceptions.
    pub fn exceptions(&self) -> usize {
        self.entries().filter(|(_, _, turn)| turn % 2 == 1).count()
    }

    /// The compiled form.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it has a rule of this kind: if not, blocks need no hash for it.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Legacy => self.counts.legacy > 0,
            Kind::Modern => self.counts.modern > 0,
        }
    }

    /// What the list says about a block: of the rules that are about it, the last.
    pub fn verdict(&self, keys: &Keys) -> Option<Verdict> {
        let legacy = keys.legacy().iter().filter_map(|key| self.turn(Kind::Legacy, key)).max();
        let modern = keys.modern().and_then(|key| self.turn(Kind::Modern, key));
        // Rules of one turn say the same.
        let (turn, kind) = if modern > legacy { (modern?, Kind::Modern) } else { (legacy?, Kind::Legacy) };
        Some(if turn.is_multiple_of(2) { Verdict::Denied(kind) } else { Verdict::Allowed })
    }

    /// The turn of the rule with this hash.
    fn turn(&self, kind: Kind, key: &[u8; 32]) -> Option<u32> {
        let index = match kind {
            Kind::Legacy => &self.legacy,
            Kind::Modern => &self.modern,
        };
        let place = index.find(digests(&self.bytes, &self.counts, kind), key)?;
        turns(&self.bytes, &self.counts, kind).get(place).map(|turn| u32::from_le_bytes(*turn))
    }

    /// Every rule.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Kind, [u8; 32], u32)> {
        [Kind::Legacy, Kind::Modern].into_iter().flat_map(|kind| {
            let digests = digests(&self.bytes, &self.counts, kind).iter();
            let turns = turns(&self.bytes, &self.counts, kind).iter();
            digests.zip(turns).map(move |(digest, turn)| (kind, *digest, u32::from_le_bytes(*turn)))
        })
    }
}

/// The hashes of a kind, in bytes as long as the counts say.
fn digests<'a>(bytes: &'a [u8], counts: &Counts, kind: Kind) -> &'a [[u8; 32]] {
    part(bytes.get(HEADER..), counts, kind)
}

/// The turns of the rules of a kind.
fn turns<'a>(bytes: &'a [u8], counts: &Counts, kind: Kind) -> &'a [[u8; 4]] {
    part(bytes.get(HEADER + 32 * counts.enforced() as usize..), counts, kind)
}

/// What belongs to the rules of a kind, of a column that has something for each of them.
fn part<'a, const N: usize>(column: Option<&'a [u8]>, counts: &Counts, kind: Kind) -> &'a [[u8; N]] {
    let (legacy, both) = (counts.legacy as usize, counts.enforced() as usize);
    let rules = match kind {
        Kind::Legacy => 0..legacy,
        Kind::Modern => legacy..both,
    };
    column.unwrap_or_default().as_chunks().0.get(rules).unwrap_or_default()
}

/// Writes the compiled form of tables that are sorted, with each hash once. Of the counts, those of the tables are not
/// looked at.
pub(crate) fn write(legacy: &[Entry], modern: &[Entry], counts: &Counts) -> Bytes {
    let rules = legacy.len() + modern.len();
    let mut bytes = Vec::with_capacity(HEADER + RULE * rules + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    // No more rules were taken than `MAX_RULES`.
    let (legacy_len, modern_len) = (legacy.len() as u32, modern.len() as u32);
    let numbers = [VERSION, legacy_len, modern_len, counts.paths, counts.names, counts.unsupported, counts.malformed];
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    let entries = || legacy.iter().chain(modern);
    entries().for_each(|entry| bytes.extend_from_slice(&entry.digest));
    entries().for_each(|entry| bytes.extend_from_slice(&entry.turn.to_le_bytes()));
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.into()
}
