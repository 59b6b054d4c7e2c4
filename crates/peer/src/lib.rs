//! One peer's session: a libp2p connection, Bitswap over it in both directions, and the frozen form of all of it.
//!
//! There is no I/O here. A host moves bytes between a pipe and a [`Session`], carries out its [`Lookup`]s, and calls
//! [`Session::wake`] at its deadline. Where blocks are found, budgets that span sessions, and sockets are the
//! host's.

mod asking;
pub mod bounds;
pub mod frozen;
mod inbound;
mod outbound;
mod session;

pub use self::bounds::{Bounds, Held};
pub use self::session::{Config, Counters, Error, Event, Session, protocols};
pub use hoverboard_bitswap::{Answer, Limits, Lookup, LookupKind, Ticket, WantKind};
pub use hoverboard_wire as wire;
