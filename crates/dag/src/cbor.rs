//! The links in dag-cbor: byte strings under tag 42.
//!
//! A decoder that builds values is stricter than the blocks that are out there (the Filecoin chain has
//! strings that are not UTF-8) and recurses. Finding links takes neither: every item says how many bytes or
//! items it holds, so one count of items still to come is all the state there is, at any depth.

use cid::Cid;

use crate::LinksError;

const CID_TAG: u64 = 42;

/// The CIDs in the one item that `data` is, in order.
pub(crate) fn links(data: &[u8]) -> Result<Vec<Cid>, LinksError> {
    let mut input = Input { rest: data, len: data.len(), at: 0 };
    let mut links = Vec::new();
    let mut items = 1_u64;
    while items > 0 {
        input.at = input.len - input.rest.len();
        items -= 1;
        items = match input.head()? {
            Head::Number => items,
            Head::String(len) => input.take(len).map(|_| items)?,
            Head::Items(count) => items.checked_add(count).ok_or(input.bad("too many items"))?,
            Head::Tag(CID_TAG) => {
                links.push(input.cid()?);
                items
            }
            // No other tag is dag-cbor. It holds one item.
            Head::Tag(_) => items + 1,
        };
        // Each takes a byte at the least, so that a claim of more ends here.
        if items > input.rest.len() as u64 {
            return Err(input.bad("items missing"));
        }
    }
    match input.rest {
        [] => Ok(links),
        _ => Err(input.bad("bytes behind the item")),
    }
}

/// What an item begins with.
enum Head {
    /// A number or a simple value: nothing follows.
    Number,
    /// Bytes or text of this length.
    String(u64),
    /// An array or a map with this many items; a map has two for each entry.
    Items(u64),
    /// A tag for the item that follows.
    Tag(u64),
}

struct Input<'a> {
    rest: &'a [u8],
    len: usize,
    /// Where the item begins that is being read.
    at: usize,
}

impl<'a> Input<'a> {
    fn head(&mut self) -> Result<Head, LinksError> {
        let first = self.take(1)?[0];
        let argument = match first & 0x1f {
            small @ 0..=23 => u64::from(small),
            width @ 24..=27 => self.take(1 << (width - 24))?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            _ => return Err(self.bad("an indefinite length")),
        };
        Ok(match first >> 5 {
            0 | 1 | 7 => Head::Number,
            2 | 3 => Head::String(argument),
            4 => Head::Items(argument),
            5 => Head::Items(argument.checked_mul(2).ok_or(self.bad("too many items"))?),
            _ => Head::Tag(argument),
        })
    }

    /// The byte string behind tag 42: a zero, which stands for the identity multibase, and a CID.
    fn cid(&mut self) -> Result<Cid, LinksError> {
        // Major type 2; a length under 24 is in the first byte, any real CID's in the one behind.
        if !matches!(self.rest.first(), Some(0x40..=0x5f)) {
            return Err(self.bad("a link that is no byte string"));
        }
        let Head::String(len) = self.head()? else {
            return Err(self.bad("a link that is no byte string"));
        };
        match self.take(len)? {
            [0, bytes @ ..] => Cid::try_from(bytes).map_err(|_| self.bad("a link without a valid CID")),
            _ => Err(self.bad("a link without its zero byte")),
        }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], LinksError> {
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = split.ok_or(self.bad("bytes missing"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn bad(&self, reason: &'static str) -> LinksError {
        LinksError::DagCbor { at: self.at, reason }
    }
}
