//! Bitswap, the block exchange of IPFS, as bytes and decisions: messages in and out, and the
//! [`Engine`] that decides what one peer is answered and in which order.
//!
//! It speaks the four protocol ids in use ([`Protocol`]), following the [Bitswap
//! specification](https://specs.ipfs.tech/bitswap-protocol/) and, where that is silent, boxo, the
//! implementation in kubo.
//!
//! It is not a network: nothing here opens a stream, reads a clock or finds a block. Bytes from a
//! stream go through a [`Decoder`], whole messages through [`Message::decode`], their wantlist
//! into [`Engine::receive`]. The engine then asks the host for blocks ([`Engine::next_lookup`]),
//! takes [`Answer`]s in any order, and hands out messages to send ([`Engine::next_message`]).
//! Blocks are not hashed here either: what the host answers with must have been verified, and
//! what a peer sends is hashed by the caller, who learns from [`Prefix`] how.
//!
//! ```
//! use bytes::Bytes;
//! use hoverboard_bitswap::{Answer, Decoder, Engine, Limits, Message, Protocol, WantKind, want};
//!
//! let cid = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q".parse()?;
//! let frame = want::messages([(cid, WantKind::Block)], true)[0].to_frame(Protocol::V1_2_0);
//!
//! let mut engine = Engine::new(Limits::default());
//! let mut decoder = Decoder::new();
//! let mut chunk = frame;
//! while let Some(body) = decoder.decode(&mut chunk)? {
//!     if let Some(wantlist) = Message::decode(body)?.wantlist {
//!         engine.receive(wantlist, Protocol::V1_2_0);
//!     }
//! }
//! while let Some(lookup) = engine.next_lookup() {
//!     assert_eq!(lookup.cid, cid);
//!     engine.answer(lookup.ticket, Answer::Block(Bytes::from_static(b"1234\n")));
//! }
//! let outgoing = engine.next_message(Protocol::V1_2_0).unwrap();
//! assert_eq!(outgoing.segments.concat(), b"\x0f\x1a\x0d\x0a\x04\x01\x55\x12\x20\x12\x051234\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod engine;
mod error;
mod frame;
mod message;
mod prefix;
mod proto;
mod protocol;
pub mod want;

pub use engine::{Answer, Engine, Limits, Lookup, LookupKind, Outgoing, Receipt, Ticket};
pub use error::Error;
pub use frame::Decoder;
pub use message::{Block, Entry, Message, Presence, WantKind, Wantlist};
pub use prefix::Prefix;
pub use protocol::Protocol;

/// The longest message we send, in bytes without its length prefix: 4 MiB, which is also the most
/// that boxo and helia accept.
pub const MAX_MESSAGE: usize = 4 << 20;

/// The longest message we accept: [`MAX_MESSAGE`] and 64 KiB, for senders that hold the blocks of
/// a message to 4 MiB and forget what is written around them.
pub const MAX_RECEIVED: usize = MAX_MESSAGE + (64 << 10);

/// The most entries, blocks and presences, taken together, that one message may have.
///
/// The bytes of a message are bounded by [`MAX_RECEIVED`], but its smallest items are a few bytes
/// long and cost a hundred in memory. With this bound a decoded message never takes more than
/// about 8 MiB beside the bytes it was decoded from. Real wantlists stay below it: kubo ends a
/// message of wants at 2 MiB, which is some 45,000 of them.
pub const MAX_ITEMS: usize = 1 << 16;
