//! The multicodecs of the block formats read here.

/// Bytes without structure.
pub const RAW: u64 = 0x55;
/// Protobuf nodes: UnixFS lives in these.
pub const DAG_PB: u64 = 0x70;
/// CBOR with links.
pub const DAG_CBOR: u64 = 0x71;
/// JSON with links.
pub const DAG_JSON: u64 = 0x0129;
/// Plain CBOR: no links.
pub const CBOR: u64 = 0x51;
/// Plain JSON: no links.
pub const JSON: u64 = 0x0200;
