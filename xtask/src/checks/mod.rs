//! Checks on the code itself that no compiler makes.

pub(crate) mod graph;
pub(crate) mod sources;

/// The crates that know no runtime, socket, clock, source of randomness or bucket.
pub(crate) const CORE: [&str; 9] = [
    "hoverboard-caps",
    "hoverboard-car",
    "hoverboard-dag",
    "hoverboard-wire",
    "hoverboard-bitswap",
    "hoverboard-peer",
    "hoverboard-claims",
    "hoverboard-denylist",
    "hoverboard-index",
];
