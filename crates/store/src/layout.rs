//! The keys of a bucket, and what they name: the one place that knows them.
//!
//! | where | key | object |
//! |---|---|---|
//! | CARPARK | `<CAR CID>/<CAR CID>.car` | a CARv1 |
//! | CARPARK, newer writers | `<multihash>/<multihash>.blob` | the same |
//! | SATNAV | `<CAR CID>/<CAR CID>.car.idx` | MultihashIndexSorted over it |
//! | DUDEWHERE | `<root CID>/<CAR CID>` | nothing: the key says that this CAR holds that root |
//! | index | `manifest/<generation, 16 hex digits>` | which runs and segments there are |
//! | index | `runs/<id, 32 hex digits>/<shard, 4 hex digits>` | a part of a run: which CARs hold a block |
//! | index | `cars/<id, 32 hex digits>` | a segment of the table of CARs |
//! | index | `reading/<CAR CID>` | how far a CAR is read that takes several events; of no meaning to readers |
//!
//! CIDs are version 1 in base32, multihashes base58btc with their `z`. The first three places are web3.storage's buckets; the index is
//! ours, and specified in `docs/block-runs.md`.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use multihash::Multihash;
use object_store::path::Path;

/// The name of the place where CARs are.
pub const CARPARK: &str = "carpark";
/// The name of the place that knows which CARs hold a root.
pub const DUDEWHERE: &str = "dudewhere";
/// The name of the place where indexes are.
pub const SATNAV: &str = "satnav";
/// The name of the place where the index over all CARs is.
pub const INDEX: &str = "index";

/// In the index: what the keys of manifests begin with.
const MANIFESTS: &str = "manifest";
/// In the index: what the keys of runs begin with.
const RUNS: &str = "runs";
/// In the index: what the keys of segments begin with.
const SEGMENTS: &str = "cars";

/// The multicodec of a CAR file as a block.
const CAR: u64 = 0x0202;
/// The multihash code of sha2-256.
const SHA2_256: u64 = 0x12;

/// The name of a CAR: the sha2-256 of the whole file.
///
/// As text it is a CIDv1 with codec `0x0202`, `bagbaiera…`. Thirty-two bytes in memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarCid([u8; 32]);

/// A CID, or something else, that names no CAR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no CAR: that is a CIDv1 with codec 0x0202 and sha2-256")]
pub struct NotACar(String);

impl CarCid {
    /// The CAR whose bytes have this sha2-256.
    pub const fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The sha2-256 of the CAR's bytes.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// The CAR's multihash.
    pub fn multihash(&self) -> Multihash<64> {
        // Thirty-two bytes fit in sixty-four, so the default is never taken.
        Multihash::wrap(SHA2_256, &self.0).unwrap_or_default()
    }
}

impl From<CarCid> for Cid {
    fn from(car: CarCid) -> Self {
        Self::new_v1(CAR, car.multihash())
    }
}

impl TryFrom<&Cid> for CarCid {
    type Error = NotACar;

    fn try_from(cid: &Cid) -> Result<Self, NotACar> {
        let digest = <[u8; 32]>::try_from(cid.hash().digest());
        match digest {
            Ok(digest) if cid.codec() == CAR && cid.hash().code() == SHA2_256 => Ok(Self(digest)),
            _ => Err(NotACar(cid.to_string())),
        }
    }
}

impl FromStr for CarCid {
    type Err = NotACar;

    fn from_str(text: &str) -> Result<Self, NotACar> {
        let cid = Cid::try_from(text).map_err(|_| NotACar(text.to_owned()))?;
        Self::try_from(&cid)
    }
}

impl fmt::Display for CarCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cid::from(*self).fmt(f)
    }
}

impl fmt::Debug for CarCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In CARPARK: the CAR.
pub fn car(car: &CarCid) -> Path {
    Path::from(format!("{car}/{car}.car"))
}

/// In CARPARK: the CAR, where newer writers put it. Nothing here writes it.
pub fn blob(car: &CarCid) -> Path {
    let multihash = multibase::encode(multibase::Base::Base58Btc, car.multihash().to_bytes());
    Path::from(format!("{multihash}/{multihash}.blob"))
}

/// The CAR that a key of CARPARK names, and whether it is one of [`blob`]. `None` for everything else that lies there.
pub fn car_of_key(key: &Path) -> Option<(CarCid, bool)> {
    let name = key.filename()?;
    let (cid, is_blob) = match name.split_once('.')? {
        (cid, "car") => (cid.parse().ok()?, false),
        (multihash, "blob") => (car_of_multihash(multihash)?, true),
        _ => return None,
    };
    let expected = if is_blob { blob(&cid) } else { car(&cid) };
    (*key == expected).then_some((cid, is_blob))
}

fn car_of_multihash(text: &str) -> Option<CarCid> {
    let (_, bytes) = multibase::decode(text).ok()?;
    let multihash = Multihash::<64>::from_bytes(&bytes).ok()?;
    let digest = <[u8; 32]>::try_from(multihash.digest()).ok()?;
    (multihash.code() == SHA2_256).then_some(CarCid(digest))
}

/// In SATNAV: the CAR's index.
pub fn index(car: &CarCid) -> Path {
    Path::from(format!("{car}/{car}.car.idx"))
}

/// In DUDEWHERE: what the entries of a root begin with, for listing.
pub fn entries(root: &Cid) -> Path {
    Path::from(root_name(root))
}

/// In DUDEWHERE: the entry that says that `car` holds `root`.
pub fn entry(root: &Cid, car: &CarCid) -> Path {
    Path::from(format!("{}/{car}", root_name(root)))
}

/// The CAR that an entry in DUDEWHERE names. `None` for the other things found there, such as a `.rollup.idx`.
pub fn car_of_entry(entry: &Path) -> Option<CarCid> {
    entry.filename()?.parse().ok()
}

/// In the index: what the keys of manifests begin with, for listing.
pub fn manifests() -> Path {
    Path::from(MANIFESTS)
}

/// In the index: the manifest of a generation.
pub fn manifest(generation: u64) -> Path {
    Path::from(format!("{MANIFESTS}/{generation:016x}"))
}

/// The generation of a manifest's key. `None` for other things.
pub fn generation(manifest_key: &Path) -> Option<u64> {
    let name = manifest_key.filename()?;
    let generation = u64::from_str_radix(name, 16).ok()?;
    (*manifest_key == manifest(generation)).then_some(generation)
}

/// In the index: what the keys of runs begin with, for listing.
pub fn runs() -> Path {
    Path::from(RUNS)
}

/// In the index: what the keys of segments begin with, for listing.
pub fn segments() -> Path {
    Path::from(SEGMENTS)
}

/// In the index: how far this CAR is read.
pub fn reading(car: &CarCid) -> Path {
    Path::from(format!("reading/{car}"))
}

/// A root as keys have it: whichever way a peer names it, the CIDv1 in base32.
fn root_name(root: &Cid) -> String {
    const DAG_PB: u64 = 0x70;
    match root.version() {
        cid::Version::V0 => Cid::new_v1(DAG_PB, *root.hash()).to_string(),
        cid::Version::V1 => root.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAR_CID: &str = "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq";
    const BLOCK: &str = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";

    #[test]
    fn a_car_cid_is_read_and_written_as_text() {
        let car: CarCid = CAR_CID.parse().unwrap();
        assert_eq!(car.to_string(), CAR_CID);
        assert_eq!(CarCid::of_digest(*car.digest()), car);
    }

    #[test]
    fn what_names_no_car_is_refused() {
        let v0 = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n";
        for text in [BLOCK, v0, "", ".rollup.idx", "bagbaiera"] {
            assert!(text.parse::<CarCid>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_those_of_web3_storage() {
        let car_cid: CarCid = CAR_CID.parse().unwrap();
        let root: Cid = BLOCK.parse().unwrap();
        assert_eq!(car(&car_cid).as_ref(), format!("{CAR_CID}/{CAR_CID}.car"));
        assert_eq!(index(&car_cid).as_ref(), format!("{CAR_CID}/{CAR_CID}.car.idx"));
        assert_eq!(entry(&root, &car_cid).as_ref(), format!("{BLOCK}/{CAR_CID}"));
        let CarCid(digest) = CarCid::of_digest(*root.hash().digest().first_chunk().unwrap());
        let multihash = "zQmZgTpJUbrss357x1D14Uo43JATwd7LhkZNbreqXVGFMmD";
        assert_eq!(blob(&CarCid(digest)).as_ref(), format!("{multihash}/{multihash}.blob"));
    }

    #[test]
    fn a_key_of_carpark_names_its_car_and_other_things_name_none() {
        let car_cid: CarCid = CAR_CID.parse().unwrap();
        assert_eq!(car_of_key(&car(&car_cid)), Some((car_cid, false)));
        assert_eq!(car_of_key(&blob(&car_cid)), Some((car_cid, true)));
        let legacy = format!("raw/{BLOCK}/1/{CAR_CID}.car");
        for other in [legacy, format!("{CAR_CID}/x.car"), format!("{CAR_CID}/{CAR_CID}"), String::new()] {
            assert_eq!(car_of_key(&Path::from(other.clone())), None, "{other}");
        }
    }

    #[test]
    fn a_manifest_is_found_by_its_generation() {
        for number in [0, 1, 0x1234, u64::MAX] {
            assert_eq!(generation(&manifest(number)), Some(number));
        }
        for other in ["manifest/1", "manifest/000000000000000G", "runs/0000000000000001", "manifest"] {
            assert_eq!(generation(&Path::from(other)), None, "{other}");
        }
    }

    #[test]
    fn both_versions_of_a_roots_cid_have_the_same_entries() {
        let v0: Cid = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n".parse().unwrap();
        let v1 = Cid::new_v1(0x70, *v0.hash());
        assert_eq!(entries(&v0), entries(&v1));
        assert!(entries(&v0).as_ref().starts_with("bafybei"));
    }

    #[test]
    fn an_entry_names_its_car_and_other_things_name_none() {
        let car_cid: CarCid = CAR_CID.parse().unwrap();
        let root: Cid = BLOCK.parse().unwrap();
        assert_eq!(car_of_entry(&entry(&root, &car_cid)), Some(car_cid));
        assert_eq!(car_of_entry(&Path::from(format!("{BLOCK}/.rollup.idx"))), None);
        assert_eq!(car_of_entry(&Path::default()), None);
    }
}
