//! The bytes of a block, out of what is at a place, and an index out of our own bucket.

use bytes::{Buf, Bytes, BytesMut};
use cid::Cid;
use hoverboard_car::{MAX_HEAD_LEN, Options, SectionHead};
use hoverboard_claims::{At, ByteRange, Place, Site};
use hoverboard_store::{Bucket, CarCid, layout};
use multihash::Multihash;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::http::{Client, FetchError, Found};

/// The longest block, in bytes: what fits in one message.
const MAX_BLOCK: u64 = 4 << 20;
/// The codec plays no part in a check.
const RAW: u64 = 0x55;

/// Fetches a block from a place that is not ours. Its bytes are those of the multihash.
pub(super) async fn block(client: &Client, block: &Multihash<64>, place: &Place) -> Result<Bytes, FetchError> {
    let Site::Web { url, addresses } = &place.site else { return Err(FetchError::Url) };
    let bytes = match place.at {
        At::Bytes { length: Some(length), .. } if length > MAX_BLOCK => return Err(FetchError::TooLong(MAX_BLOCK)),
        At::Bytes { offset, length } => {
            let range = (offset.0, length);
            let range = if range == (0, None) { None } else { Some(range) };
            match client.get(url.clone(), *addresses, range, MAX_BLOCK).await? {
                Found::Body(bytes) => bytes,
                Found::Nothing => return Err(FetchError::Wrong("it is not there".to_owned())),
            }
        }
        At::Section(offset) => {
            let most = MAX_BLOCK + MAX_HEAD_LEN as u64;
            let range = Some((offset.0, Some(most)));
            let body = client.open(url.clone(), *addresses, range).await?;
            let mut body = body.ok_or_else(|| FetchError::Wrong("it is not there".to_owned()))?;
            let mut bytes = BytesMut::new();
            loop {
                match SectionHead::parse(&bytes, offset, 0, &Options::default()) {
                    Err(error) => return Err(FetchError::Wrong(error.to_string())),
                    Ok(Some(head)) if bytes.len() as u64 >= head.section_len() => {
                        // The section is in memory, so that its lengths are those of memory.
                        bytes.truncate(head.section_len() as usize);
                        bytes.advance(head.head_len() as usize);
                        break bytes.freeze();
                    }
                    Ok(_) => {}
                }
                // The end of the object comes before that of the range, and is an error only if the section is not whole.
                match body.read(&mut bytes, most).await {
                    Ok(true) => {}
                    Ok(false) | Err(FetchError::Range) => {
                        return Err(FetchError::Wrong("it ends within the section".to_owned()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    };
    hoverboard_dag::verify(&Cid::new_v1(RAW, *block), &bytes).map_err(|error| FetchError::Wrong(error.to_string()))?;
    Ok(bytes)
}

/// Reads an object of our own CARPARK, or `range` of it, if it is not longer than `max_bytes`.
pub(super) async fn in_bucket(
    bucket: &Bucket,
    car: &CarCid,
    range: Option<ByteRange>,
    max_bytes: u64,
) -> Result<Found, FetchError> {
    let get_range = range.map(|ByteRange { offset, length }| match length {
        Some(length) => GetRange::Bounded(offset.0..offset.0.saturating_add(length)),
        None => GetRange::Offset(offset.0),
    });
    for key in [layout::car(car), layout::blob(car)] {
        let options = GetOptions { range: get_range.clone(), ..GetOptions::default() };
        match bucket.carpark.get_opts(&key, options).await {
            Ok(found) if found.range.end - found.range.start > max_bytes => return Err(FetchError::TooLong(max_bytes)),
            Ok(found) => return Ok(Found::Body(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Found::Nothing)
}
