//! The manifest: which runs there are and over which CARs, as of one generation.
//!
//! Generations form a chain: each object is created once, under its number, and never changed, so that two writers
//! cannot both be the next. Who loses reads the winner's and drafts anew. Whoever has a generation asks for the next by its key,
//! and knows that its own is the newest while there is none.

mod draft;
mod wire;

pub use self::draft::{Addition, Draft};

use sha2::{Digest as _, Sha256};

use crate::cars::Segment;
use crate::run::Run;
use crate::{Key, Struck};

/// The most bytes of a manifest.
pub const MAX_BYTES: usize = 256 << 10;
/// The most runs of a manifest.
pub const MAX_RUNS: usize = 64;
/// The most pieces of the CAR table.
pub const MAX_SEGMENTS: usize = 256;
/// The most CARs that are struck while their entries still lie in runs.
pub const MAX_STRUCK: usize = 8192;

/// The keys of manifests begin so, in the index's place.
pub const PREFIX: &str = "manifest/";

/// A manifest that can be: everything in it is in order and within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    generation: u64,
    previous: Option<[u8; 32]>,
    at: u64,
    key: Key,
    next: u32,
    complete: bool,
    segments: Vec<Segment>,
    runs: Vec<Run>,
    struck: Struck,
}

/// Why bytes are no manifest, or why a draft cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Over [`MAX_BYTES`].
    #[error("a manifest of {0} bytes is over the {MAX_BYTES} that one may have")]
    Size(usize),
    /// Not DAG-CBOR, or with other fields.
    #[error("not a manifest: {0}")]
    Syntax(String),
    /// A version that is not known here.
    #[error("manifest version {0} is not supported here")]
    Version(u64),
    /// The bytes are not those that were written.
    #[error("wrong checksum: the manifest is damaged")]
    Checksum,
    /// The same could be said in other bytes, and has to be.
    #[error("the manifest is not in canonical form")]
    NotCanonical,
    /// The generation, or what it follows.
    #[error("generation {0} cannot follow what it names")]
    Generation(u64),
    /// Segments do not follow one another, or are empty or too large.
    #[error("piece {0} of the CAR table is not where the one before it ends")]
    Segment(usize),
    /// Runs do not follow one another, or cannot be so.
    #[error("run {0} of the manifest cannot be so, or not there")]
    Run(usize),
    /// Over [`MAX_RUNS`].
    #[error("over {MAX_RUNS} runs: they have to be merged first")]
    TooManyRuns,
    /// Over [`MAX_SEGMENTS`].
    #[error("over {MAX_SEGMENTS} pieces of the CAR table: they have to be joined first")]
    TooManySegments,
    /// Over [`MAX_STRUCK`].
    #[error("over {MAX_STRUCK} CARs are struck: the runs have to be merged first")]
    TooManyStruck,
    /// Struck ordinals out of order, or none that was given.
    #[error("CAR ordinal {0} cannot be struck")]
    Struck(u32),
    /// Ordinals are used up.
    #[error("there are no more CAR ordinals")]
    Ordinals,
    /// What a draft is to replace is not there any more: somebody else did it.
    #[error("what was to be replaced is not in the manifest any more")]
    Replaced,
}

impl Manifest {
    /// The first of a chain: no runs, no CARs, and the key of all to come. It is not [complete](Self::complete).
    pub fn first(key: Key, at: u64) -> Self {
        Self {
            generation: 1,
            previous: None,
            at,
            key,
            next: 0,
            complete: false,
            segments: Vec::new(),
            runs: Vec::new(),
            struck: Struck::default(),
        }
    }

    /// The first of a chain, of a bucket that has no CAR: it covers all there is.
    pub fn first_of_empty(key: Key, at: u64) -> Self {
        Self { complete: true, ..Self::first(key, at) }
    }

    /// Reads a manifest. Nothing in it is taken on trust: what this gives can be built on.
    ///
    /// # Errors
    ///
    /// Bytes that this crate would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::Size(bytes.len()));
        }
        let manifest = wire::decode(bytes)?;
        manifest.check()?;
        if manifest.encode() != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// The object's bytes: deterministic DAG-CBOR, at most [`MAX_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// The key of its object in the index's place.
    pub fn object_key(&self) -> String {
        object_key(self.generation)
    }

    /// Its number in the chain, from 1.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The sha2-256 of the manifest before it. `None` for the first.
    pub const fn previous(&self) -> Option<&[u8; 32]> {
        self.previous.as_ref()
    }

    /// When its writer says that it was made: milliseconds since 1970. For people to read; nothing depends on it.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The key of the index's fingerprints.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The ordinal that the next CAR gets.
    pub const fn next_ordinal(&self) -> u32 {
        self.next
    }

    /// Whether every CAR of the bucket is in the runs, as of when that was last looked at. While it is not, a block that no
    /// run has may be there all the same.
    pub const fn complete(&self) -> bool {
        self.complete
    }

    /// The pieces of the CAR table, in order, with no gap between them.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The piece of the CAR table that has the record of a CAR.
    pub fn segment_of(&self, ordinal: u32) -> Option<&Segment> {
        let at = self.segments.partition_point(|segment| segment.ordinals().end <= ordinal);
        self.segments.get(at).filter(|segment| segment.ordinals().contains(&ordinal))
    }

    /// The runs, oldest first. No CAR is in two of them.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The entries of each run, for [`tiers`](crate::tiers).
    pub fn entries(&self) -> Vec<u64> {
        self.runs.iter().map(|run| run.entries).collect()
    }

    /// The CARs that were removed, as far as their entries still lie in runs.
    pub const fn struck(&self) -> &Struck {
        &self.struck
    }

    /// Begins the next generation, which is like this one until it is changed. `at` is the time in milliseconds since 1970.
    pub fn draft(&self, at: u64) -> Draft {
        let previous = Some(Sha256::digest(self.encode()).into());
        let generation = self.generation.saturating_add(1);
        Draft { manifest: Self { generation, previous, at, ..self.clone() } }
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.generation == 0 || (self.generation == 1) != self.previous.is_none() {
            return Err(ManifestError::Generation(self.generation));
        }
        self.check_segments()?;
        self.check_runs()?;
        if self.struck.len() > MAX_STRUCK {
            return Err(ManifestError::TooManyStruck);
        }
        match self.struck.ordinals().iter().find(|car| !self.runs.iter().any(|run| run.ordinals().contains(car))) {
            Some(car) => Err(ManifestError::Struck(*car)),
            None => Ok(()),
        }
    }

    fn check_segments(&self) -> Result<(), ManifestError> {
        if self.segments.len() > MAX_SEGMENTS {
            return Err(ManifestError::TooManySegments);
        }
        let mut next = 0;
        for (number, segment) in self.segments.iter().enumerate() {
            let good = segment.first == next && (1..=crate::cars::MAX_SEGMENT_CARS).contains(&segment.cars);
            next = segment.first.checked_add(segment.cars).filter(|_| good).ok_or(ManifestError::Segment(number))?;
        }
        if next != self.next {
            return Err(ManifestError::Segment(self.segments.len()));
        }
        Ok(())
    }

    fn check_runs(&self) -> Result<(), ManifestError> {
        if self.runs.len() > MAX_RUNS {
            return Err(ManifestError::TooManyRuns);
        }
        let mut next = 0;
        for (number, run) in self.runs.iter().enumerate() {
            let end = run.first.checked_add(run.cars).filter(|end| *end <= self.next);
            let good = run.first >= next && run.cars > 0 && run.entries > 0 && run.entries <= crate::run::MAX_ENTRIES;
            next = end.filter(|_| good).ok_or(ManifestError::Run(number))?;
        }
        Ok(())
    }
}

/// The key of a generation's object in the index's place.
pub fn object_key(generation: u64) -> String {
    format!("{PREFIX}{generation:016x}")
}

/// The generation whose object has this key. `None`: no manifest's key is so.
pub fn generation_of(object_key: &str) -> Option<u64> {
    let digits = object_key.strip_prefix(PREFIX).filter(|digits| digits.len() == 16)?;
    let generation = u64::from_str_radix(digits, 16).ok().filter(|generation| *generation > 0)?;
    (self::object_key(generation) == object_key).then_some(generation)
}
