//! What can be wrong with bytes that a peer sent. The engine itself has no errors: whatever it is
//! asked, it answers, refuses or forgets.

/// Why a peer's bytes are not a Bitswap message. None of these can be recovered from: the stream
/// has lost its framing or the peer its mind, and the stream should be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A length prefix claims more than [`MAX_RECEIVED`](crate::MAX_RECEIVED) bytes.
    #[error("a message of {claimed} bytes is longer than the {max} that are allowed")]
    MessageTooLong {
        /// What the prefix says, in bytes; [`u64::MAX`] if it says more than fits.
        claimed: u64,
        /// What is allowed, in bytes.
        max: usize,
    },
    /// The message has more than [`MAX_ITEMS`](crate::MAX_ITEMS) entries, blocks and presences.
    #[error("a message with more than {max} entries, blocks and presences", max = crate::MAX_ITEMS)]
    TooManyItems,
    /// A varint is longer than its type allows, or a length prefix is not minimal.
    #[error("malformed varint")]
    Varint,
    /// A field is cut off by the end of the message that holds it.
    #[error("field {field} ends after its message")]
    Truncated {
        /// The protobuf field number, or 0 if the message ends inside a tag.
        field: u32,
    },
    /// A known field has a wire type that is not its own, or any field one that does not exist.
    #[error("field {field} has wire type {wire_type}")]
    WireType {
        /// The protobuf field number.
        field: u32,
        /// The wire type found.
        wire_type: u8,
    },
    /// A wantlist entry or a presence has no CID, or one that does not parse.
    #[error("malformed CID")]
    Cid,
    /// A block has no CID prefix where its version needs one, or one that does not parse.
    #[error("malformed CID prefix")]
    Prefix,
}
