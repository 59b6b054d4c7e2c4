//! What is asked of the block index and depends on no machine's speed: reads, bytes, memory and the bill, small.

use std::process::Command;

#[test]
fn a_small_index_costs_what_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_hoverboard-bench-index"));
    let output = bench.args(["--check", "--entries", "1000000", "--folder"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("| | asked | aim | here |"));
}
