//! Writes a claims service's answer about the worked block to stdout, for other people's readers.

use std::io::{self, Write};

use cid::Cid;
use hoverboard_car::BlockOffset;
use hoverboard_claims::{Location, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let block: Cid = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q".parse()?;
    let car = "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq";
    let location = Location {
        content: *block.hash(),
        url: format!("https://carpark.example.com/{car}/{car}.car"),
        offset: BlockOffset(96),
        length: 5,
    };
    io::stdout().write_all(&write(&[location], &"did:web:example.com".parse()?, None))?;
    Ok(())
}
