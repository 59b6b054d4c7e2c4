//! One row: an item of DynamoDB's JSON, with each value under the name of its type.

use std::io;

use cid::Cid;
use hoverboard_car::{BlockOffset, Writer};
use hoverboard_store::CarCid;
use multihash::Multihash;
use serde::Deserialize;

/// The multihash code of sha2-256.
const SHA2_256: u64 = 0x12;

/// A row of one of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Of `v1-blocks-cars-position`
    Block(BlockRow),
    /// Of `v1-cars`
    Car(CarRow),
}

/// Where a block lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// The block
    pub block: Multihash<64>,
    /// The CAR that its path names; `None`: a path that does not say which CAR it is, as those under `complete/`
    pub car: Option<CarCid>,
    /// Where the block's own bytes begin
    pub offset: BlockOffset,
    /// How many there are
    pub length: u32,
}

/// What a CAR was when it was indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarRow {
    /// The CAR, as in [`BlockRow::car`]
    pub car: Option<CarCid>,
    /// Its length in bytes
    pub size: u64,
    /// Where its first section begins, by the roots that it was said to have. Headers that are written otherwise than
    /// the specification says are longer or shorter
    pub first_section: u64,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// It is longer than is read
    #[error("a line of over {max} bytes")]
    TooLong {
        /// The limit
        max: usize,
    },
    /// It is no item of DynamoDB's JSON
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is an item of another table
    #[error("no row of v1-blocks-cars-position or v1-cars")]
    Table,
    /// The block is not named by a multihash
    #[error("blockmultihash {0:?} is no multihash in base58btc")]
    Multihash(String),
    /// A root of a CAR is no CID
    #[error("a root is no CID: {0}")]
    Root(cid::Error),
    /// A number is not one, or is larger than any that makes sense
    #[error("{field} {value:?} is no number that it can be")]
    Number {
        /// Which
        field: &'static str,
        /// As it stands there
        value: String,
    },
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Item")]
    item: Item,
}

/// The attributes of both tables that are of use. Others are passed over.
#[derive(Deserialize)]
struct Item {
    blockmultihash: Option<Text>,
    carpath: Option<Text>,
    offset: Option<Number>,
    length: Option<Number>,
    path: Option<Text>,
    #[serde(rename = "fileSize")]
    file_size: Option<Number>,
    roots: Option<List>,
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "L")]
    items: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    text: String,
}

/// DynamoDB writes numbers as text, so that none loses digits.
#[derive(Deserialize)]
struct Number {
    #[serde(rename = "N")]
    text: String,
}

impl Row {
    /// Reads a line, without its end.
    pub fn parse(line: &[u8]) -> Result<Self, RowError> {
        let Line { item } = serde_json::from_slice(line)?;
        match item {
            Item {
                blockmultihash: Some(block),
                carpath: Some(path),
                offset: Some(offset),
                length: Some(length),
                ..
            } => Ok(Self::Block(BlockRow {
                block: multihash(&block.text).ok_or(RowError::Multihash(block.text))?,
                car: car_named(&path.text),
                offset: BlockOffset(number("offset", offset)?),
                length: number("length", length)?,
            })),
            Item { path: Some(path), file_size: Some(size), roots, .. } => {
                let roots = roots.into_iter().flat_map(|roots| roots.items).map(|root| Cid::try_from(root.text));
                let roots: Vec<Cid> = roots.collect::<Result<_, _>>().map_err(RowError::Root)?;
                let first_section = Writer::new(io::sink(), &roots).map_err(|_| RowError::Table)?.written();
                Ok(Self::Car(CarRow { car: car_named(&path.text), size: number("fileSize", size)?, first_section }))
            }
            _ => Err(RowError::Table),
        }
    }
}

fn number<T: std::str::FromStr>(field: &'static str, number: Number) -> Result<T, RowError> {
    number.text.parse().map_err(|_| RowError::Number { field, value: number.text })
}

/// `z` and base58btc, as the table has it.
fn multihash(text: &str) -> Option<Multihash<64>> {
    let (base, bytes) = multibase::decode(text).ok()?;
    (base == multibase::Base::Base58Btc).then(|| Multihash::from_bytes(&bytes).ok()).flatten()
}

/// The CAR that a path names: `REGION/BUCKET/KEY` or a URL, whose last part is `<CAR CID>.car` or, in the old buckets,
/// the CAR's multihash in base32.
///
/// `None` for paths that name a CAR by something else, such as its root: which CAR that is, nothing says.
pub fn car_named(path: &str) -> Option<CarCid> {
    let file = path.rsplit('/').next()?;
    let name = file.split('.').next()?;
    if let Ok(car) = name.parse() {
        return Some(car);
    }
    // A multihash with the letter of its base, as `.blob` keys have it, or in base32 without. No CID is one.
    let decode = |text: &str| multibase::decode(text).ok().and_then(|(_, bytes)| sha2_256(&bytes));
    decode(name).or_else(|| decode(&format!("b{}", name.to_ascii_lowercase())))
}

fn sha2_256(bytes: &[u8]) -> Option<CarCid> {
    let multihash = Multihash::<64>::from_bytes(bytes).ok().filter(|multihash| multihash.code() == SHA2_256)?;
    Some(CarCid::of_digest(multihash.digest().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAR: &str = "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq";
    const BLOCK: &str = "zQmZgTpJUbrss357x1D14Uo43JATwd7LhkZNbreqXVGFMmD";

    fn block_row(path: &str, offset: &str, length: &str) -> String {
        format!(
            r#"{{"Item":{{"blockmultihash":{{"S":"{BLOCK}"}},"carpath":{{"S":"{path}"}},"offset":{{"N":"{offset}"}},"length":{{"N":"{length}"}}}}}}"#
        )
    }

    #[test]
    fn a_row_says_where_the_blocks_own_bytes_are() {
        let Row::Block(row) =
            Row::parse(block_row(&format!("us-east-2/cars/{CAR}/{CAR}.car"), "96", "5").as_bytes()).unwrap()
        else {
            panic!("another table")
        };
        assert_eq!(row.car.unwrap().to_string(), CAR);
        assert_eq!((row.offset, row.length), (BlockOffset(96), 5));
        assert_eq!(multibase::encode(multibase::Base::Base58Btc, row.block.to_bytes()), BLOCK);
    }

    #[test]
    fn a_row_of_v1_cars_says_how_long_the_car_was() {
        let line = format!(
            r#"{{"Item":{{"path":{{"S":"us-east-2/cars/{CAR}/{CAR}.car"}},"bucket":{{"S":"cars"}},"roots":{{"L":[{{"S":"bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q"}}]}},"fileSize":{{"N":"101"}},"version":{{"N":"1"}}}}}}"#
        );
        assert_eq!(
            Row::parse(line.as_bytes()).unwrap(),
            Row::Car(CarRow { car: CAR.parse().ok(), size: 101, first_section: 59 })
        );
    }

    #[test]
    fn the_paths_of_all_generations_of_buckets_name_their_car() {
        let car: CarCid = CAR.parse().unwrap();
        let base32 = multibase::encode(multibase::Base::Base32Lower, car.multihash().to_bytes());
        let base58 = multibase::encode(multibase::Base::Base58Btc, car.multihash().to_bytes());
        for path in [
            format!("us-west-2/carpark-prod-0/{CAR}/{CAR}.car"),
            format!("https://carpark-prod-0.r2.w3s.link/{CAR}/{CAR}.car"),
            format!("us-west-2/dotstorage-prod-1/raw/bafyroot/315318734258473269/{}.car", &base32[1..]),
            format!("us-west-2/carpark-prod-0/{base58}/{base58}.blob"),
        ] {
            assert_eq!(car_named(&path), Some(car), "{path}");
        }
        let root = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";
        for path in [&format!("us-west-2/dotstorage-prod-0/complete/{root}.car"), "us-east-2/cars/file1.car", "", "/"] {
            assert_eq!(car_named(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        let wrong = |line: &str| Row::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(wrong("").contains("EOF"));
        assert!(wrong(r#"{"Item":{}}"#).contains("v1-blocks-cars-position"));
        assert!(wrong(&block_row("a/b/c", "-1", "5")).contains(r#"offset "-1""#));
        assert!(wrong(&block_row("a/b/c", "1", "4294967296")).contains("length"));
        assert!(wrong(&block_row("a/b/c", "1", "5").replace(BLOCK, "QmX")).contains("no multihash"));
    }
}
