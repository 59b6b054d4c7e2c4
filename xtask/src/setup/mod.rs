//! Sets up what a bare machine lacks: each part looks first, and then makes what is missing, in the cache.
//!
//! It is not an installer: the machine's own packages, toolchains and settings are left as they are (only where rustup
//! is the one way to a target is rustup asked for it).

pub(crate) mod beetswap;
mod debian;
mod go;
pub(crate) mod kubo;
pub(crate) mod node;
pub(crate) mod promtool;
pub(crate) mod versitygw;
pub(crate) mod wasm;
pub(crate) mod worker;
