//! The form in which a session is stored while its host is away.
//!
//! A counter used twice under one key reveals plaintext, and a crash between sending and storing would do it. So
//! what is stored says whether a host is at work on it: a host writes [`Stored::Running`] before the first byte of an
//! event leaves, and [`Stored::Frozen`], one generation on, when the event ends. Thawing a form that says *running*
//! is refused, and its socket closed. A form may be kept in several places: parts of two generations do not join, and
//! *running* is one part of 15 bytes, which written over the first is enough.
//!
//! What is stored holds keys. It is never logged.

use std::fmt;

/// The version of the form. Another version closes the session: no attempt is made to read it.
pub const VERSION: u16 = 1;

const HEADER: usize = 2 + 1 + 8 + 2 + 2;
const RUNNING: u8 = 0;
const FROZEN: u8 = 1;

/// What is stored of a session.
#[derive(Clone, PartialEq, Eq)]
pub enum Stored {
    /// A host is at work on it, or died at it.
    Running {
        /// The generation that the host began with.
        generation: u64,
    },
    /// It can be thawed, once.
    Frozen {
        /// One more than the generation before.
        generation: u64,
        /// What [`Session::freeze`](crate::Session::freeze) gave.
        session: Vec<u8>,
    },
}

/// Why a stored session cannot be used. Its socket is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is shorter than its header.
    #[error("the stored session is cut short")]
    Truncated,
    /// It was written by another version of this program.
    #[error("the stored session is of version {0}, not {VERSION}")]
    Version(u16),
    /// The host was at work on it when it died: its counters are not to be trusted.
    #[error("the host died while it was at work on the session")]
    Running,
    /// Its parts were written at different times, or some are missing.
    #[error("the parts of the stored session do not belong together")]
    Parts,
}

impl Stored {
    /// The form as parts of at most `size` bytes, to be stored in this order; at least one.
    ///
    /// `None` if `size` leaves no room for anything, or more than 65,535 parts would be needed.
    pub fn split(&self, size: usize) -> Option<Vec<Vec<u8>>> {
        let (state, generation, session): (u8, u64, &[u8]) = match self {
            Self::Running { generation } => (RUNNING, *generation, &[]),
            Self::Frozen { generation, session } => (FROZEN, *generation, session),
        };
        let room = size.checked_sub(HEADER).filter(|room| *room > 0)?;
        let count = u16::try_from(session.len().div_ceil(room).max(1)).ok()?;
        let part = |index: u16| {
            let from = (usize::from(index) * room).min(session.len());
            let bytes = &session[from..session.len().min(from + room)];
            let mut part = Vec::with_capacity(HEADER + bytes.len());
            part.extend_from_slice(&VERSION.to_le_bytes());
            part.push(state);
            part.extend_from_slice(&generation.to_le_bytes());
            part.extend_from_slice(&index.to_le_bytes());
            part.extend_from_slice(&count.to_le_bytes());
            part.extend_from_slice(bytes);
            part
        };
        Some((0..count).map(part).collect())
    }

    /// How many parts there are, by the first of them.
    pub fn parts(first: &[u8]) -> Result<usize, StoredError> {
        Header::read(first).map(|(header, _)| usize::from(header.count))
    }

    /// Joins the parts that [`split`](Self::split) made, and gives the session and its generation.
    pub fn join<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(u64, Vec<u8>), StoredError> {
        let mut session = Vec::new();
        let mut first: Option<Header> = None;
        let mut next = 0;
        for part in parts {
            let (header, bytes) = Header::read(part)?;
            if header.state != FROZEN {
                return Err(StoredError::Running);
            }
            let known = *first.get_or_insert(header);
            if header.index != next || header.generation != known.generation || header.count != known.count {
                return Err(StoredError::Parts);
            }
            next += 1;
            session.extend_from_slice(bytes);
        }
        match first {
            Some(header) if header.count == next => Ok((header.generation, session)),
            _ => Err(StoredError::Parts),
        }
    }
}

#[derive(Clone, Copy)]
struct Header {
    state: u8,
    generation: u64,
    index: u16,
    count: u16,
}

impl Header {
    fn read(part: &[u8]) -> Result<(Self, &[u8]), StoredError> {
        let (version, rest) = part.split_first_chunk().ok_or(StoredError::Truncated)?;
        // Nothing behind the version of another version means what it means here.
        match u16::from_le_bytes(*version) {
            VERSION => {}
            other => return Err(StoredError::Version(other)),
        }
        let (state, rest) = rest.split_first().ok_or(StoredError::Truncated)?;
        let (generation, rest) = rest.split_first_chunk().ok_or(StoredError::Truncated)?;
        let (index, rest) = rest.split_first_chunk().ok_or(StoredError::Truncated)?;
        let (count, rest) = rest.split_first_chunk().ok_or(StoredError::Truncated)?;
        let header = Self {
            state: *state,
            generation: u64::from_le_bytes(*generation),
            index: u16::from_le_bytes(*index),
            count: u16::from_le_bytes(*count),
        };
        Ok((header, rest))
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { generation } => f.debug_struct("Running").field("generation", generation).finish(),
            Self::Frozen { generation, .. } => {
                f.debug_struct("Frozen").field("generation", generation).finish_non_exhaustive()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refs(parts: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
        parts.iter().map(Vec::as_slice)
    }

    proptest! {
        #[test]
        fn any_part_size_gives_the_session_back(
            session in prop::collection::vec(any::<u8>(), 0..3000), generation: u64, size in 16..4000_usize,
        ) {
            let stored = Stored::Frozen { generation, session: session.clone() };
            let parts = stored.split(size).expect("fits");
            prop_assert!(parts.iter().all(|part| part.len() <= size));
            prop_assert_eq!(Stored::parts(&parts[0]), Ok(parts.len()));
            prop_assert_eq!(Stored::join(refs(&parts)), Ok((generation, session)));
        }

        #[test]
        fn no_bytes_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
            let _ = Stored::join(refs(&parts));
        }
    }

    #[test]
    fn what_says_running_is_never_thawed() {
        let parts = Stored::Running { generation: 4 }.split(100).expect("fits");
        assert_eq!(Stored::join(refs(&parts)), Err(StoredError::Running));
    }

    #[test]
    fn running_written_over_the_first_of_many_parts_is_enough() {
        let mut parts = Stored::Frozen { generation: 4, session: vec![7; 100] }.split(60).expect("fits");
        parts[0] = Stored::Running { generation: 4 }.split(60).expect("fits").remove(0);
        assert_eq!((parts[0].len(), Stored::parts(&parts[0])), (15, Ok(1)));
        assert_eq!(Stored::join(refs(&parts)), Err(StoredError::Running));
    }

    #[test]
    fn parts_of_two_generations_do_not_join() {
        let split = |generation| Stored::Frozen { generation, session: vec![7; 100] }.split(60).expect("fits");
        let (old, new) = (split(4), split(5));
        assert!(new.len() > 1);
        assert_eq!(Stored::join([new[0].as_slice(), old[1].as_slice()]), Err(StoredError::Parts));
        assert_eq!(Stored::join(refs(&new[..1])), Err(StoredError::Parts));
    }

    #[test]
    fn another_version_is_refused() {
        let mut parts = Stored::Frozen { generation: 1, session: vec![1] }.split(100).expect("fits");
        parts[0][0] ^= 0xff;
        assert!(matches!(Stored::join(refs(&parts)), Err(StoredError::Version(_))));
    }

    #[test]
    fn the_session_is_not_printed() {
        let text = format!("{:?}", Stored::Frozen { generation: 1, session: vec![171; 4] });
        assert!(!text.contains("171"), "{text}");
    }
}
