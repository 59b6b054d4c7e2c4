//! A block of any codec gives links or an error.
#![no_main]

use hoverboard_dag::{codec, links};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    for codec in [codec::DAG_PB, codec::DAG_CBOR, codec::DAG_JSON] {
        if let Ok(links) = links(codec, block) {
            // Every link is bytes of the block, so there is no way to more of them.
            assert!(links.len() <= block.len());
        }
    }
});
