//! What dag-cbor has beyond CBOR, and the shapes that claims are made of.
//!
//! Reading is lenient where nothing hangs on it: map keys come in any order, and those that are not known are passed
//! over. Nothing recurses, and nothing is allocated by a length that is only claimed.

use cid::Cid;
use minicbor::data::{Tag, Type};
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use multihash::Multihash;

/// The tag of a link.
const CID_TAG: Tag = Tag::new(42);

/// Reads a map, and hands each key to `entry`, which has to read or [skip](Decoder::skip) the value.
pub(crate) fn map<'a>(
    decoder: &mut Decoder<'a>,
    mut entry: impl FnMut(&'a str, &mut Decoder<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let at = decoder.position();
    let len = decoder.map()?.ok_or_else(|| Error::message("an indefinite length").at(at))?;
    for _ in 0..len {
        let key = decoder.str()?;
        entry(key, decoder)?;
    }
    Ok(())
}

/// Reads an array, and has `item` read each item.
pub(crate) fn array<'a>(
    decoder: &mut Decoder<'a>,
    mut item: impl FnMut(&mut Decoder<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let len = array_len(decoder)?;
    for _ in 0..len {
        item(decoder)?;
    }
    Ok(())
}

/// Reads the head of an array: how many items follow.
pub(crate) fn array_len(decoder: &mut Decoder<'_>) -> Result<u64, Error> {
    let at = decoder.position();
    decoder.array()?.ok_or_else(|| Error::message("an indefinite length").at(at))
}

/// Reads a link: tag 42, and a byte string of a zero and a CID.
pub(crate) fn link(decoder: &mut Decoder<'_>) -> Result<Cid, Error> {
    let at = decoder.position();
    let bad = |why| Error::message(why).at(at);
    if decoder.tag()? != CID_TAG {
        return Err(bad("a tag that is no link's"));
    }
    let [0, bytes @ ..] = decoder.bytes()? else { return Err(bad("a link without its zero byte")) };
    whole_cid(bytes).ok_or_else(|| bad("a link without a valid CID"))
}

/// Reads a multihash out of a byte string.
pub(crate) fn multihash(decoder: &mut Decoder<'_>) -> Result<Multihash<64>, Error> {
    let at = decoder.position();
    Multihash::from_bytes(decoder.bytes()?).map_err(|_| Error::message("no multihash").at(at))
}

/// Whether the next item is a map.
pub(crate) fn is_map(decoder: &Decoder<'_>) -> Result<bool, Error> {
    Ok(decoder.datatype()? == Type::Map)
}

/// Fails unless everything was read.
pub(crate) fn end(decoder: &Decoder<'_>) -> Result<(), Error> {
    let at = decoder.position();
    match at == decoder.input().len() {
        true => Ok(()),
        false => Err(Error::message("bytes behind the item").at(at)),
    }
}

/// A field that has to be there.
pub(crate) fn field<T>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::message(format_args!("no field {name}")))
}

/// A CID that takes all of `bytes`.
fn whole_cid(bytes: &[u8]) -> Option<Cid> {
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest).ok()?;
    rest.is_empty().then_some(cid)
}

/// Writing into memory, which cannot fail.
pub(crate) type Out = Encoder<Vec<u8>>;

/// What an [`Out`] says for an error.
pub(crate) type OutError = minicbor::encode::Error<core::convert::Infallible>;

/// The dag-cbor that `write` makes.
pub(crate) fn encode(write: impl FnOnce(&mut Out) -> Result<(), OutError>) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    match write(&mut out) {
        // A vector takes everything, and the encodings used here have no other way to fail.
        Ok(()) | Err(_) => out.into_writer(),
    }
}

/// Writes a link.
pub(crate) fn write_link(out: &mut Out, cid: &Cid) -> Result<(), OutError> {
    let bytes = [&[0][..], &cid.to_bytes()].concat();
    out.tag(CID_TAG)?.bytes(&bytes)?;
    Ok(())
}
