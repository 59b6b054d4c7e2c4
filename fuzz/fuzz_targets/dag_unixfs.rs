//! A node gives its parts and entries or an error.
#![no_main]

use hoverboard_dag::codec;
use hoverboard_dag::unixfs::Node;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    let Ok(node) = Node::parse(codec::DAG_PB, block) else {
        return;
    };
    if let Ok(parts) = node.parts() {
        let ranges = parts.iter().map(|part| part.range.clone());
        ranges.fold(node.data.len() as u64, |end, range| {
            assert_eq!(range.start, end);
            range.end
        });
    }
    let _ = node.entries();
});
