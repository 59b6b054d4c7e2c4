//! Whatever is done to the files, in whatever order, the catalog never sends a wrong byte and never calls a block
//! missing that is in a file it has been told of.

mod common;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use common::{Block, Served, cid, data, settle, want, write_car};
use hoverboard::catalog::Found;
use proptest::prelude::*;

const FILES: [&str; 3] = ["a.car", "b.car", "sub/c.car"];
const BLOCKS: u64 = 12;

#[derive(Debug, Clone)]
enum Step {
    /// Another CAR in the file's place, by rename
    Replace(usize, Vec<u64>),
    /// Another CAR written over the file
    Overwrite(usize, Vec<u64>),
    Truncate(usize, u16),
    Scribble(usize, u16),
    Remove(usize),
    Settle,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..FILES.len();
    let blocks = prop::collection::vec(0..BLOCKS, 0..8);
    prop_oneof![
        3 => (file.clone(), blocks.clone()).prop_map(|(file, blocks)| Step::Replace(file, blocks)),
        1 => (file.clone(), blocks).prop_map(|(file, blocks)| Step::Overwrite(file, blocks)),
        1 => (file.clone(), any::<u16>()).prop_map(|(file, at)| Step::Truncate(file, at)),
        1 => (file.clone(), any::<u16>()).prop_map(|(file, at)| Step::Scribble(file, at)),
        1 => file.prop_map(Step::Remove),
        3 => Just(Step::Settle),
        4 => Just(Step::Read),
    ]
}

/// Blocks of sizes that are read in different ways.
fn block(number: u64) -> Vec<u8> {
    data(number, [8, 100, 1_024, 5_000, 40_000][number as usize % 5])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_wrong_byte_and_no_false_miss(steps in prop::collection::vec(step(), 1..24)) {
        let served = Served::new();
        std::fs::create_dir(served.path("sub")).expect("made");
        let catalog = served.open();
        // By file: the blocks that were whole in it when it was last settled and are untouched since.
        let mut intact: HashMap<usize, Vec<Block>> = HashMap::new();
        let mut settled: HashMap<usize, Vec<Block>> = HashMap::new();
        for step in steps {
            match step {
                Step::Replace(file, numbers) => {
                    let blocks = write_car(&served.path("new"), numbers.into_iter().map(block));
                    std::fs::rename(served.path("new"), served.path(FILES[file])).expect("renamed");
                    intact.insert(file, blocks);
                    settled.remove(&file);
                }
                Step::Overwrite(file, numbers) => {
                    intact.insert(file, write_car(&served.path(FILES[file]), numbers.into_iter().map(block)));
                    settled.remove(&file);
                }
                Step::Truncate(file, at) | Step::Scribble(file, at) => {
                    let Ok(file_open) = OpenOptions::new().write(true).open(served.path(FILES[file])) else { continue };
                    let len = file_open.metadata().expect("there").len();
                    let at = u64::from(at) % len.max(1);
                    if matches!(step, Step::Truncate(..)) {
                        file_open.set_len(at).expect("truncated");
                    } else {
                        file_open.write_all_at(b"scribble", at).expect("written");
                    }
                    intact.remove(&file);
                    settled.remove(&file);
                }
                Step::Remove(file) => {
                    let _ = std::fs::remove_file(served.path(FILES[file]));
                    intact.remove(&file);
                    settled.remove(&file);
                }
                Step::Settle => {
                    settle(&catalog);
                    settled = intact.clone();
                }
                Step::Read => {
                    let all: Vec<Vec<u8>> = (0..BLOCKS).map(block).collect();
                    let queries: Vec<_> = all.iter().map(|data| want(&cid(data))).collect();
                    for (data, found) in all.iter().zip(catalog.read(&queries)) {
                        let is_there = settled.values().flatten().any(|block| block.data == *data);
                        match found {
                            Found::Block(bytes) => prop_assert!(bytes == *data, "a wrong byte"),
                            found => prop_assert!(!is_there, "{found:?} of a block that is there"),
                        }
                    }
                }
            }
        }
    }
}
