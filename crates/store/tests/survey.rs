//! The first pass of an import: what it finds in whole CARs, and what it says of broken ones.

use std::path::Path;

use cid::Cid;
use hoverboard_car::index::SortedIndex;
use hoverboard_car::{Writer, wrap};
use hoverboard_store::import::{ImportError, MAX_FOUND_ROOTS, Survey, Surveyed};
use multihash::Multihash;
use proptest::prelude::*;

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const DAG_CBOR: u64 = 0x71;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../car/tests/fixtures").join(name)).expect("a fixture")
}

fn survey(file: &[u8], roots: &[Cid]) -> Result<Surveyed, ImportError> {
    survey_in(file.chunks(4096), roots)
}

fn survey_in<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, roots: &[Cid]) -> Result<Surveyed, ImportError> {
    pieces.into_iter().try_fold(Survey::new(roots), |survey, piece| survey.push(piece))?.finish()
}

fn cid(codec: u64, data: &[u8]) -> Cid {
    Cid::new_v1(codec, hoverboard_dag::multihash(0x12, 32, data).expect("a known hash"))
}

fn raw(text: &str) -> (Cid, Vec<u8>) {
    (cid(RAW, text.as_bytes()), text.as_bytes().to_vec())
}

/// A dag-cbor list of fewer than 24 links.
fn list(links: &[Cid]) -> (Cid, Vec<u8>) {
    let mut data = vec![0x80 + links.len() as u8];
    for link in links {
        data.extend([0xd8, 0x2a, 0x58, link.encoded_len() as u8 + 1, 0]);
        data.extend(link.to_bytes());
    }
    (cid(DAG_CBOR, &data), data)
}

fn car(roots: &[Cid], blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), roots).expect("in memory");
    for (cid, data) in blocks {
        writer.write(cid, data).expect("in memory");
    }
    writer.finish().expect("in memory")
}

fn identity(codec: u64, data: &[u8]) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0, data).expect("short"))
}

#[test]
fn the_worked_car_has_the_worked_name_and_index() {
    let surveyed = survey(&fixture("eipfs/test-cid1.car"), &[]).unwrap();
    assert_eq!(surveyed.car.to_string(), "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq");
    assert_eq!(surveyed.roots[0].to_string(), "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q");
    assert_eq!((surveyed.payload, surveyed.blocks), (0..101, 1));
    let hex: String = surveyed.index.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = "a883dafc480d466ee04e0d6da986bd78eb1fdd2178d04693723da3a8f95d42f4";
    assert_eq!(
        hex,
        format!(
            "8108{one}1200000000000000{one}{width}{width}00000000{digest}3b00000000000000",
            one = "01000000",
            width = "28000000"
        )
    );
}

#[test]
fn of_a_carv2_the_payload_is_what_counts() {
    for (v2, v1) in
        [("car/sample-wrapped-v2.car", "car/sample-v1.car"), ("car/sample-v2-indexless.car", "car/sample-v1.car")]
    {
        let (file, inner) = (fixture(v2), fixture(v1));
        let (outer, plain) = (survey(&file, &[]).unwrap(), survey(&inner, &[]).unwrap());
        assert_eq!(file[outer.payload.start as usize..outer.payload.end as usize], inner, "{v2}");
        assert_eq!((outer.car, &outer.index, &outer.roots), (plain.car, &plain.index, &plain.roots), "{v2}");
    }
}

#[test]
fn the_payload_of_a_carv2_may_begin_anywhere() {
    let inner = fixture("car/simple-unixfs.car");
    let plain = survey(&inner, &[]).unwrap();
    for padding in [0, 1, 3_000, 5 << 20] {
        let mut file = Vec::new();
        wrap(&*inner, inner.len() as u64, None, &mut file).unwrap();
        file[27..35].copy_from_slice(&(51 + padding as u64).to_le_bytes());
        file.splice(51..51, std::iter::repeat_n(0xee, padding));
        file.extend(b"something behind it");
        let surveyed = survey(&file, &[]).unwrap();
        assert_eq!(surveyed.car, plain.car, "{padding}");
        assert_eq!(surveyed.payload.start, 51 + padding as u64);
    }
}

#[test]
fn broken_files_are_refused_with_the_byte_that_is_wrong() {
    let broken = [
        "badheaderlength",
        "badsectionlength",
        "sample-corrupt-pragma",
        "sample-rootless-v42",
        "sample-v1-tailing-corrupt-section",
        "sample-v1-with-zero-len-section",
        "sample-v2-corrupt-data-and-index",
    ];
    for name in broken {
        let error = survey(&fixture(&format!("car/{name}.car")), &[]).unwrap_err();
        assert!(matches!(&error, ImportError::Car(error) if error.at().is_some()), "{name}: {error}");
        assert!(error.to_string().contains("byte"), "{name}: {error}");
    }
    assert!(survey(&[], &[]).is_err());
}

#[test]
fn one_changed_byte_anywhere_is_noticed() {
    let (leaf, other) = (raw("leaf"), raw("other"));
    let root = list(&[leaf.0, other.0]);
    let file = car(&[root.0], &[root.clone(), leaf, other]);
    let name = survey(&file, &[]).unwrap().car;
    let links = root.1.len();
    let data = |at: usize| {
        let mut section = file[0] as usize + 1;
        [links, 4, 5].iter().any(|len| {
            let start = section + 37;
            section = start + len;
            (start..section).contains(&at)
        })
    };
    assert_eq!((0..file.len()).filter(|at| data(*at)).count(), links + 9);
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        match survey(&changed, &[]) {
            // Roots and codecs that are others make another CAR, and no wrong one.
            Ok(surveyed) => assert!(surveyed.car != name && !data(at), "byte {at}"),
            Err(error) => assert!(error.to_string().contains("byte"), "byte {at}: {error}"),
        }
    }
}

#[test]
fn roots_are_those_given_else_those_of_the_header() {
    let (one, two) = (raw("one"), raw("two"));
    let (in_header, given) = ([one.0], [two.0, raw("elsewhere").0]);
    let file = car(&in_header, &[one.clone(), two]);
    assert_eq!(survey(&file, &[]).unwrap().roots, in_header);
    assert_eq!(survey(&file, &given).unwrap().roots, given);
    let twice = car(&[one.0, one.0], std::slice::from_ref(&one));
    assert_eq!(survey(&twice, &[]).unwrap().roots, in_header);
}

#[test]
fn blocks_that_none_links_to_are_the_roots_of_a_car_that_names_none() {
    let (a, b, c, alone) = (raw("a"), raw("b"), raw("c"), raw("alone"));
    let inner = list(&[a.0, b.0]);
    let outer = list(&[inner.0, c.0]);
    let top_down = [&outer, &inner, &a, &b, &c, &alone].map(Clone::clone);
    let bottom_up = [&alone, &c, &b, &a, &inner, &outer].map(Clone::clone);
    let placeholder = [identity(RAW, b"")];
    for header in [&[][..], &placeholder] {
        assert_eq!(survey(&car(header, &top_down), &[]).unwrap().roots, [outer.0, alone.0]);
        assert_eq!(survey(&car(header, &bottom_up), &[]).unwrap().roots, [alone.0, outer.0]);
    }
}

#[test]
fn a_link_is_one_whatever_its_codec_and_also_in_an_identity_cid() {
    let leaf = raw("leaf");
    let as_pb = Cid::new_v1(DAG_PB, *leaf.0.hash());
    let root = list(&[as_pb]);
    assert_eq!(survey(&car(&[], &[leaf.clone(), root.clone()]), &[]).unwrap().roots, [root.0]);

    let hidden = identity(DAG_CBOR, &list(&[leaf.0]).1);
    let root = list(&[hidden]);
    let inlined = (hidden, hidden.hash().digest().to_vec());
    let found = survey(&car(&[], &[leaf, root.clone(), inlined]), &[]).unwrap();
    assert_eq!(found.roots, [root.0]);
    assert_eq!(SortedIndex::open(found.index).unwrap().len(), 2);
}

#[test]
fn a_car_whose_roots_cannot_be_told_is_refused_with_what_to_do() {
    let many: Vec<_> = (0..=MAX_FOUND_ROOTS).map(|number| raw(&number.to_string())).collect();
    let unknown = (cid(0x0999, b"?"), b"?".to_vec());
    let cases =
        [(car(&[], &many), "roots"), (car(&[], &[]), "root"), (car(&[], std::slice::from_ref(&unknown)), "codec")];
    for (file, says) in cases {
        let error = survey(&file, &[]).unwrap_err().to_string();
        assert!(error.contains(says) && error.to_lowercase().contains("name the root"), "{error}");
        assert_eq!(survey(&file, &[many[0].0]).unwrap().roots, [many[0].0]);
    }
    assert_eq!(survey(&car(&[], &many[1..]), &[]).unwrap().roots.len(), MAX_FOUND_ROOTS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn how_a_file_is_split_makes_no_difference(
        cuts in proptest::collection::vec(0..2_500usize, 0..12),
        v2: bool,
        cut_short in proptest::option::of(0..2_500usize),
    ) {
        let inner = fixture("car/simple-unixfs.car");
        let mut file = Vec::new();
        match v2 {
            true => { wrap(&*inner, inner.len() as u64, Some(b"no index"), &mut file).unwrap(); }
            false => file = inner,
        }
        file.truncate(cut_short.unwrap_or(usize::MAX));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(file.len())).chain([0, file.len()]).collect();
        cuts.sort_unstable();
        let split = survey_in(cuts.windows(2).map(|pair| &file[pair[0]..pair[1]]), &[]);
        let whole = survey_in([&*file], &[]);
        let told = |surveyed: Result<Surveyed, ImportError>| match surveyed {
            Ok(surveyed) => Ok((surveyed.car, surveyed.payload, surveyed.index, surveyed.roots, surveyed.blocks)),
            Err(error) => Err(error.to_string()),
        };
        prop_assert_eq!(told(split), told(whole));
    }
}
