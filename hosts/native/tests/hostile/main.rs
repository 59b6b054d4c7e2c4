//! Peers that do what no peer should, and peers that are merely slow, against the real server: in each case its memory stays
//! under a bound, another peer is served meanwhile, and the log says once why a peer was dropped.

#[path = "../common/mod.rs"]
mod common;
mod floods;
mod frames;
mod garbage;
#[path = "../common/node.rs"]
mod node;
mod peer;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/sealer.rs"]
mod sealer;
mod server;
mod slow;
mod withheld;
