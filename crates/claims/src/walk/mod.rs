//! From a block to the places where others say it lies: a state machine that says what to ask next.
//!
//! It starts from what is claimed about the block itself. A location is a place. An index, a partition or a relation
//! leads to indexes, which are fetched, checked against their hash, and searched for the block; what they name are
//! offsets in blobs, whose locations are asked for in turn. Nothing is asked twice, so that claims which name each other
//! in a circle end.

mod node;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::index::Index;
use hoverboard_car::{BlockOffset, SectionOffset};
use hoverboard_dag::{codec, verify};
use multihash::Multihash;

use self::node::{Hit, Node, Role};
use crate::shards::ShardedIndex;
use crate::{Assertion, ByteRange, Error, MAX_RESPONSE, Policy, Site};

/// The multicodec of a CAR as a block.
const CAR: u64 = 0x0202;
/// Things that are known of one walk at a time: blocks, blobs and indexes with claims about them.
const MAX_NODES: usize = 1024;
/// Claims about one thing that are kept, and reasons for which it is of interest.
const MAX_CLAIMS_OF_ONE: usize = 64;

/// How far a walk goes. What it would have asked beyond is not asked, and the walk is not [sure](Walk::is_sure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in all: 16.
    pub requests: u32,
    /// Bytes of all answers: 16 MiB.
    pub bytes: u64,
    /// Bytes of one answer of a claims service: 1 MiB; more than [`MAX_RESPONSE`] are never read.
    pub claims: u64,
    /// Bytes of one index: 4 MiB.
    pub index: u64,
    /// Steps from one claim to the next: 4. The block itself is at 0, its index at 1, the blob that this names at 2.
    pub depth: u8,
    /// Places that are kept: 8.
    pub places: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 16, bytes: 16 << 20, claims: 1 << 20, index: 4 << 20, depth: 4, places: 8 }
    }
}

/// Something to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the request when it is answered.
    pub id: u32,
    /// What to ask for.
    pub ask: Ask,
    /// An answer of more bytes than this has failed, and need not be read further.
    pub max_bytes: u64,
}

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What a claims service has to say: see [`path`](Self::path).
    Claims(Multihash<64>),
    /// An index.
    Index {
        /// Where it is.
        site: Site,
        /// Which of the bytes there; `None`: all.
        range: Option<ByteRange>,
    },
}

impl Ask {
    /// What comes behind the URL of a claims service, for [`Ask::Claims`].
    pub fn path(multihash: &Multihash<64>) -> String {
        let multihash = multibase::encode(multibase::Base::Base58Btc, multihash.to_bytes());
        format!("claims/multihash/{multihash}?walk=parts,includes")
    }
}

/// Where the block lies, if the claims are true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where to ask.
    pub site: Site,
    /// Where in what is there.
    pub at: At,
}

/// Where a block lies in a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Its own bytes begin here.
    Bytes {
        /// The first of them.
        offset: BlockOffset,
        /// How many there are; `None`: all to the end of the blob.
        length: Option<u64>,
    },
    /// The section that has it begins here. How long it is stands at its front.
    Section(SectionOffset),
}

/// A walk from one block.
///
/// Take requests with [`next`](Self::next), answer each with [`answered`](Self::answered), [`missing`](Self::missing) or
/// [`failed`](Self::failed) in any order, and take again. It is over when there is nothing to take and nothing open.
/// [`places`](Self::places) may be looked at all the while.
#[derive(Debug)]
pub struct Walk {
    target: Multihash<64>,
    policy: Arc<Policy>,
    limits: Limits,
    nodes: HashMap<Multihash<64>, Node>,
    queue: VecDeque<Purpose>,
    open: HashMap<u32, (Purpose, u64)>,
    next_id: u32,
    bytes: u64,
    places: Vec<Place>,
    refused: u32,
    /// Something failed, was cut off or could not be read.
    doubt: bool,
}

/// What a request is for.
#[derive(Clone, Debug)]
enum Purpose {
    Claims(Multihash<64>),
    Index(Multihash<64>, Site, Option<ByteRange>),
}

impl Walk {
    /// A walk from this block.
    pub fn new(block: Multihash<64>, policy: Arc<Policy>, limits: Limits) -> Self {
        let mut walk = Self {
            target: block,
            policy,
            limits,
            nodes: HashMap::new(),
            queue: VecDeque::new(),
            open: HashMap::new(),
            next_id: 0,
            bytes: 0,
            places: Vec::new(),
            refused: 0,
            doubt: false,
        };
        walk.take_on(block, Role::Target, 0);
        walk
    }

    /// The next thing to ask for, if there is any before more answers are here.
    #[expect(clippy::should_implement_trait, reason = "`None` may mean not yet, which ends no iterator")]
    pub fn next(&mut self) -> Option<Request> {
        let purpose = self.queue.pop_front()?;
        let left = self.limits.bytes.saturating_sub(self.bytes);
        if self.next_id >= self.limits.requests || left == 0 {
            self.queue.clear();
            self.doubt = true;
            return None;
        }
        let (ask, max) = match &purpose {
            Purpose::Claims(multihash) => (Ask::Claims(*multihash), self.limits.claims.min(MAX_RESPONSE as u64)),
            Purpose::Index(_, site, range) => (Ask::Index { site: site.clone(), range: *range }, self.limits.index),
        };
        let (id, max_bytes) = (self.next_id, max.min(left));
        self.next_id += 1;
        // Reserved before it is spent, so that answers which come at the same time stay within the limit too.
        self.bytes += max_bytes;
        self.open.insert(id, (purpose, max_bytes));
        Some(Request { id, ask, max_bytes })
    }

    /// The whole answer to a request is here.
    pub fn answered(&mut self, id: u32, body: Bytes) {
        let Some((purpose, reserved)) = self.open.remove(&id) else { return };
        let len = body.len() as u64;
        self.bytes = self.bytes.saturating_sub(reserved).saturating_add(len);
        let fits = len <= reserved;
        match purpose {
            Purpose::Claims(_) if fits => self.doubt |= self.learn(&body).is_err(),
            Purpose::Claims(_) => self.doubt = true,
            Purpose::Index(index, ..) => match if fits { self.search(&index, body).ok() } else { None } {
                Some(hits) => self.found(index, hits),
                None => self.try_next_source(index),
            },
        }
    }

    /// What was asked for is certainly not there. A claims service says so if it has nothing to say.
    pub fn missing(&mut self, id: u32) {
        let Some((purpose, reserved)) = self.open.remove(&id) else { return };
        self.bytes = self.bytes.saturating_sub(reserved);
        if let Purpose::Index(index, ..) = purpose {
            self.try_next_source(index);
        }
    }

    /// The request failed. What was received of the answer counts as if it were all that it may be.
    pub fn failed(&mut self, id: u32) {
        match self.open.remove(&id) {
            Some((Purpose::Index(index, ..), _)) => self.try_next_source(index),
            Some((Purpose::Claims(_), _)) => self.doubt = true,
            None => {}
        }
    }

    /// Nothing is to be asked any more, and nothing is open.
    pub fn is_over(&self) -> bool {
        self.queue.is_empty() && self.open.is_empty()
    }

    /// Where the block is said to lie: the places found so far, in the order in which they were. It grows at its end only.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether there is no other place than [`places`](Self::places), as far as the claims go: everything was
    /// asked, answered and understood. False before the walk [is over](Self::is_over). URLs that the policy refuses
    /// count as places that there are not.
    pub fn is_sure(&self) -> bool {
        !self.doubt && self.is_over() && self.nodes.values().all(Node::is_settled)
    }

    /// How many URLs the policy refused.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Takes the claims of an answer.
    fn learn(&mut self, body: &[u8]) -> Result<(), Error> {
        let read = crate::read(body)?;
        self.doubt |= read.passed_over > 0;
        // All are kept before any is followed: what is in this answer need not be asked for.
        let mut news = Vec::new();
        for claim in read.claims {
            self.doubt |= !claim.whole;
            let Some(node) = self.node(claim.content) else { continue };
            if node.claims.contains(&claim.assertion) {
                continue;
            }
            if node.claims.len() == MAX_CLAIMS_OF_ONE {
                self.doubt = true;
                continue;
            }
            node.claims.push(claim.assertion.clone());
            // A role that comes later finds the claim here.
            news.extend(
                node.roles.iter().map(|role| (claim.content, role.clone(), node.depth, claim.assertion.clone())),
            );
        }
        for (content, role, depth, assertion) in news {
            self.apply(content, &role, &assertion, depth);
        }
        Ok(())
    }

    /// Something is of interest for a reason.
    fn take_on(&mut self, content: Multihash<64>, role: Role, depth: u8) {
        if depth > self.limits.depth {
            self.doubt = true;
            return;
        }
        let Some(node) = self.node(content) else { return };
        if node.roles.contains(&role) {
            return;
        }
        if node.roles.len() == MAX_CLAIMS_OF_ONE {
            self.doubt = true;
            return;
        }
        node.roles.push(role.clone());
        node.depth = depth;
        let (claims, hits) = (node.claims.clone(), node.hits.clone());
        // A service that was told to walk has said all that it knows of what it mentioned.
        if claims.is_empty() && !node.asked {
            node.asked = true;
            self.queue.push_back(Purpose::Claims(content));
        }
        for claim in &claims {
            self.apply(content, &role, claim, depth);
        }
        if let Some(hits) = hits {
            self.follow(&role, &hits, depth);
        }
    }

    /// What a claim about something means for one of the reasons why it is of interest. Goes no deeper than
    /// [`Limits::depth`].
    fn apply(&mut self, content: Multihash<64>, role: &Role, claim: &Assertion, depth: u8) {
        match (role, claim) {
            (_, Assertion::Equals { equals }) => self.take_on(*equals.hash(), role.clone(), depth + 1),
            (Role::Target, Assertion::Location { urls, range }) => {
                let at = At::Bytes {
                    offset: range.map_or(BlockOffset(0), |range| range.offset),
                    length: range.and_then(|range| range.length),
                };
                self.add_places(urls, at);
            }
            (Role::Target, Assertion::Index { index }) => {
                self.take_on(*index.hash(), Role::Index { codec: index.codec(), of: None }, depth + 1);
            }
            (Role::Target, Assertion::Partition { parts }) => {
                parts.iter().for_each(|part| self.take_on(*part.hash(), Role::Part, depth + 1));
            }
            (Role::Target, Assertion::Relation { parts }) => {
                for part in parts {
                    let car = *part.content.hash();
                    match &part.includes {
                        Some(index) => {
                            let role = Role::Index { codec: index.codec(), of: Some(car) };
                            self.take_on(*index.hash(), role, depth + 1);
                        }
                        None => self.take_on(car, Role::Part, depth + 1),
                    }
                }
            }
            (Role::Part, Assertion::Inclusion { includes }) => {
                let role = Role::Index { codec: includes.codec(), of: Some(content) };
                self.take_on(*includes.hash(), role, depth + 1);
            }
            (Role::Index { .. }, Assertion::Location { urls, range }) => {
                let sites = self.admit(urls);
                let Some(node) = self.nodes.get_mut(&content) else { return };
                node.sources.extend(sites.into_iter().map(|site| (site, *range)));
                if !node.fetching {
                    self.fetch(content);
                }
            }
            (Role::Blob(at), Assertion::Location { urls, range }) => {
                if let Some(at) = at.inside(*range) {
                    self.add_places(urls, at);
                }
            }
            _ => {}
        }
    }

    /// Asks for an index at the next place where it is said to be.
    fn fetch(&mut self, index: Multihash<64>) {
        let Some(node) = self.nodes.get_mut(&index) else { return };
        if let Some((site, range)) = node.sources.pop_front() {
            node.fetching = true;
            self.queue.push_back(Purpose::Index(index, site, range));
        }
    }

    fn try_next_source(&mut self, index: Multihash<64>) {
        if let Some(node) = self.nodes.get_mut(&index) {
            node.fetching = false;
        }
        self.fetch(index);
    }

    /// Looks for the block in an index, if its bytes are those that were asked for.
    fn search(&self, index: &Multihash<64>, body: Bytes) -> Result<Vec<Hit>, Error> {
        let name = Cid::new_v1(codec::RAW, *index);
        verify(&name, &body).map_err(|source| Error::Block { cid: Box::new(name), source })?;
        let is_car = self
            .nodes
            .get(index)
            .is_some_and(|node| node.roles.iter().any(|role| matches!(role, Role::Index { codec: CAR, .. })));
        let mut hits = Vec::new();
        if is_car {
            let slices = ShardedIndex::open(&body, body.len())?.lookup(&self.target, self.limits.places)?;
            hits.extend(slices.iter().map(|slice| Hit {
                blob: Some(slice.shard),
                at: At::Bytes { offset: slice.offset, length: Some(slice.length) },
            }));
        } else {
            match Index::open(body)? {
                Index::Sorted(index) => {
                    let found = index.lookup(&self.target).take(self.limits.places);
                    hits.extend(found.map(|at| Hit { blob: None, at: At::Section(at) }));
                }
                Index::Multi(index) => {
                    let found = index.lookup(&self.target).take(self.limits.places);
                    hits.extend(found.map(|(car, at)| Hit { blob: Some(*car), at: At::Section(at) }));
                }
            }
        }
        Ok(hits)
    }

    fn found(&mut self, index: Multihash<64>, hits: Vec<Hit>) {
        let Some(node) = self.nodes.get_mut(&index) else { return };
        node.hits = Some(hits.clone());
        let depth = node.depth;
        for role in node.roles.clone() {
            self.follow(&role, &hits, depth);
        }
    }

    /// What was found in an index leads to the blobs that it is about.
    fn follow(&mut self, role: &Role, hits: &[Hit], depth: u8) {
        let Role::Index { of, .. } = role else { return };
        for hit in hits {
            if let Some(blob) = hit.blob.or(*of) {
                self.take_on(blob, Role::Blob(hit.at), depth + 1);
            }
        }
    }

    fn add_places(&mut self, urls: &[String], at: At) {
        for site in self.admit(urls) {
            let place = Place { site, at };
            if self.places.contains(&place) {
                continue;
            }
            match self.places.len() < self.limits.places {
                true => self.places.push(place),
                false => self.doubt = true,
            }
        }
    }

    fn admit(&mut self, urls: &[String]) -> Vec<Site> {
        let sites: Vec<Site> = urls.iter().filter_map(|url| self.policy.admit(url).ok()).collect();
        self.refused = self.refused.saturating_add((urls.len() - sites.len()) as u32);
        sites
    }

    fn node(&mut self, content: Multihash<64>) -> Option<&mut Node> {
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&content) {
            self.doubt = true;
            return None;
        }
        Some(self.nodes.entry(content).or_default())
    }
}
