//! CAR files: content-addressed blocks one after another, and the indexes over them.
//!
//! | module | it is |
//! |---|---|
//! | [`Header`] | the first bytes of a CARv1 or CARv2 file: version, roots, where the payload lies |
//! | [`SectionHead`] | one section's length and CID, parsed without needing its data |
//! | [`Decoder`] | sections out of byte slices that are pushed in, split anywhere |
//! | [`Reader`] | the same over [`std::io::Read`] |
//! | [`Scanner`] | where every section lies, hopping over the data |
//! | [`Skipped`] | a section that cannot be read, passed over |
//! | [`Writer`], [`wrap`] | CARv1 out, and a CARv2 around it |
//! | [`index`] | IndexSorted, MultihashIndexSorted and MultiIndex, read in place and built |
//!
//! Nothing here opens a file or a socket. [`Decoder`] and [`Scanner`] do no I/O at all; [`Reader`] and [`Writer`] use
//! the caller's `Read` and `Write`. No hash is computed either: who wants a block checked passes a function
//! (`hoverboard_dag::verify` fits).
//!
//! # Two kinds of offset
//!
//! Indexes name the place where a section's *length varint* begins ([`SectionOffset`]); location claims and sharded
//! DAG indexes name the place where the *block's bytes* begin ([`BlockOffset`]). Both count from the start of the CARv1
//! payload: for a CARv1 that is the start of the file, for a CARv2 it is [`Header::payload_start`].
//! Errors count from the start of the file.
//!
//! # Example
//!
//! ```
//! use hoverboard_car::index::{Codec, IndexBuilder, SortedIndex};
//! use hoverboard_car::{Options, Reader, Scanner, Writer};
//!
//! # let cid: cid::Cid = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q".parse().unwrap();
//! # fn read_at(car: &[u8], at: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
//! #     let rest = &car[at as usize..];
//! #     let len = rest.len().min(buffer.len());
//! #     buffer[..len].copy_from_slice(&rest[..len]);
//! #     Ok(len)
//! # }
//! let mut writer = Writer::new(Vec::new(), &[cid])?;
//! writer.write(&cid, b"1234\n")?;
//! let car = writer.finish()?;
//!
//! // Where the sections lie, without reading their data.
//! let mut builder = IndexBuilder::new(Codec::MultihashIndexSorted);
//! let scanner = Scanner::new(car.len() as u64, Options::default());
//! scanner.run(|at, buffer| read_at(&car, at, buffer), |head| builder.push(head.cid.hash(), head.offset))?;
//! let index = SortedIndex::open(builder.finish().into()).unwrap();
//! assert_eq!(index.lookup(cid.hash()).next().unwrap().0, 59);
//!
//! // The blocks themselves.
//! for section in Reader::new(car.as_slice(), Options::default())? {
//!     assert_eq!(&section?.data[..], b"1234\n");
//! }
//! # Ok::<(), hoverboard_car::Error>(())
//! ```
//!
//! # Specifications
//!
//! CARv1 and CARv2 as on the IPLD documentation's transport pages, index codecs `0x0400` and `0x0401` as on the CARv2
//! page, and `0x0402` as web3.storage's content buckets have it.

mod decode;
mod error;
mod header;
pub mod index;
mod offset;
mod opening;
mod options;
mod read;
mod scan;
mod section;
mod skip;
mod varint;
mod write;

pub use self::decode::{Decoder, Event, Section};
pub use self::error::{Error, VerifyFailure};
pub use self::header::{Header, PayloadRange, V2_PREFIX_LEN, Version};
pub use self::offset::{BlockOffset, SectionOffset};
pub use self::options::{Options, ZeroLength};
pub use self::read::{Reader, Verified};
pub use self::scan::{Scanner, Want};
pub use self::section::{MAX_CID_LEN, MAX_HEAD_LEN, SectionHead};
pub use self::skip::{Skipped, SkippedBlock};
pub use self::write::{Writer, wrap};
