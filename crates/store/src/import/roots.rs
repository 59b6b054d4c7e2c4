//! The roots that a CAR is found by: those given, else the header's, else the blocks that no other block links to.

use std::collections::{HashMap, HashSet};

use cid::Cid;
use hoverboard_dag::links;
use serde::{Deserialize, Serialize};

use super::ImportError;
use super::frozen::cids;

/// The most roots that are found by walking: more say that it is no DAG that was exported, but a heap of blocks.
pub const MAX_FOUND_ROOTS: usize = 64;

/// The multihash code of identity.
const IDENTITY: u64 = 0x00;

/// Roots, while the blocks go by.
#[derive(Debug)]
pub(super) enum Roots {
    Known(Vec<Cid>),
    Sought(Seeker),
}

impl Roots {
    /// The given roots, else those of the header. Writers that do not know the root put the empty identity CID there,
    /// which nobody asks for.
    pub(super) fn choose(given: &[Cid], header: &[Cid]) -> Self {
        let from = if given.is_empty() { header } else { given };
        let mut seen = HashSet::new();
        let roots = from.iter().filter(|root| root.hash().code() != IDENTITY && seen.insert(root.to_bytes()));
        let roots: Vec<Cid> = roots.copied().collect();
        match roots.is_empty() {
            false => Self::Known(roots),
            true => Self::Sought(Seeker::default()),
        }
    }

    /// As it is put away between two events.
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Known(roots) => Form::Known(roots.iter().map(Cid::to_bytes).collect()),
            Self::Sought(seeker) => {
                let unlinked = seeker.unlinked.values().map(|(number, cid)| (*number, cid.to_bytes())).collect();
                Form::Sought { linked: seeker.linked.iter().copied().collect(), unlinked, blocks: seeker.blocks }
            }
        }
    }

    pub(super) fn of_form(form: Form) -> Option<Self> {
        Some(match form {
            Form::Known(roots) => Self::Known(cids(&roots)?),
            Form::Sought { linked, unlinked, blocks } => {
                let (numbers, bytes): (Vec<u64>, Vec<Vec<u8>>) = unlinked.into_iter().unzip();
                let unlinked = numbers.into_iter().zip(cids(&bytes)?).map(|(number, cid)| (print(&cid), (number, cid)));
                Self::Sought(Seeker { linked: linked.into_iter().collect(), unlinked: unlinked.collect(), blocks })
            }
        })
    }

    /// No root, and none is looked for.
    pub(super) fn none() -> Self {
        Self::Known(Vec::new())
    }

    /// Takes a block, which was checked.
    pub(super) fn block(&mut self, cid: &Cid, data: &[u8]) -> Result<(), ImportError> {
        match self {
            Self::Known(_) => Ok(()),
            Self::Sought(seeker) => seeker.block(cid, data),
        }
    }

    /// At least one root.
    pub(super) fn finish(self) -> Result<Vec<Cid>, ImportError> {
        match self {
            Self::Known(roots) => Ok(roots),
            Self::Sought(seeker) => seeker.finish(),
        }
    }
}

/// Roots, put away.
#[derive(Serialize, Deserialize)]
pub(super) enum Form {
    Known(Vec<Vec<u8>>),
    Sought { linked: Vec<Print>, unlinked: Vec<(u64, Vec<u8>)>, blocks: u64 },
}

/// Finds the blocks that no block links to. It remembers every link, at some twenty to forty bytes.
#[derive(Debug, Default)]
pub(super) struct Seeker {
    linked: HashSet<Print>,
    /// Blocks that nothing has linked to so far, and which number they came as.
    unlinked: HashMap<Print, (u64, Cid)>,
    blocks: u64,
}

/// The first bytes of a digest. Sixteen of a hash are enough to tell the blocks of a CAR apart.
type Print = [u8; 16];

impl Seeker {
    fn block(&mut self, cid: &Cid, data: &[u8]) -> Result<(), ImportError> {
        self.blocks += 1;
        if cid.hash().code() != IDENTITY && !self.linked.contains(&print(cid)) {
            self.unlinked.entry(print(cid)).or_insert((self.blocks, *cid));
        }
        let told = |cid: Cid, data: &[u8]| {
            links(cid.codec(), data).map_err(|source| ImportError::Links { cid: Box::new(cid), source })
        };
        let mut found = told(*cid, data)?;
        while let Some(link) = found.pop() {
            if link.hash().code() == IDENTITY {
                // The block is in the link, and shorter than the one that the link is in.
                found.extend(told(link, link.hash().digest())?);
            } else if self.linked.insert(print(&link)) {
                self.unlinked.remove(&print(&link));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Cid>, ImportError> {
        match self.unlinked.len() {
            0 => return Err(ImportError::NoRoot),
            1..=MAX_FOUND_ROOTS => {}
            _ => return Err(ImportError::TooManyRoots),
        }
        let mut roots: Vec<(u64, Cid)> = self.unlinked.into_values().collect();
        roots.sort_unstable_by_key(|(number, _)| *number);
        Ok(roots.into_iter().map(|(_, cid)| cid).collect())
    }
}

fn print(cid: &Cid) -> Print {
    let digest = cid.hash().digest();
    let mut print = Print::default();
    let len = digest.len().min(print.len());
    print[..len].copy_from_slice(&digest[..len]);
    print
}
