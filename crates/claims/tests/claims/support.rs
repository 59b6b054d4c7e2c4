//! Claims of every kind, made by hand, and a service that answers with them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use hoverboard_car::Writer;
use hoverboard_claims::{Ask, Limits, Policy, Site, Walk};
use minicbor::Encoder;
use minicbor::data::Tag;
use multihash::Multihash;

pub(crate) const RAW: u64 = 0x55;
pub(crate) const DAG_CBOR: u64 = 0x71;
pub(crate) const CAR: u64 = 0x0202;
pub(crate) const CAR_INDEX: u64 = 0x0401;

/// The worked block of the formats, and the CAR that has it.
pub(crate) const BLOCK: &str = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";
pub(crate) const CAR_CID: &str = "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq";

pub(crate) fn block() -> Cid {
    BLOCK.parse().unwrap()
}

pub(crate) fn car_cid() -> Cid {
    CAR_CID.parse().unwrap()
}

pub(crate) fn cid(codec: u64, data: &[u8]) -> Cid {
    Cid::new_v1(codec, hoverboard_dag::multihash(0x12, 32, data).unwrap())
}

pub(crate) type Out = Encoder<Vec<u8>>;

pub(crate) fn link(out: &mut Out, cid: &Cid) {
    let bytes = [&[0][..], &cid.to_bytes()].concat();
    out.tag(Tag::new(42)).unwrap().bytes(&bytes).unwrap();
}

pub(crate) fn car(roots: &[Cid], blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), roots).unwrap();
    for (cid, data) in blocks {
        writer.write(cid, data).unwrap();
    }
    writer.finish().unwrap()
}

/// A claim in its CAR; `fields` writes what `nb` has beside the content.
pub(crate) fn claim(can: &str, content: &Cid, count: u64, fields: impl FnOnce(&mut Out)) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    out.map(3).unwrap().str("v").unwrap().str("0.9.1").unwrap();
    out.str("att").unwrap().array(1).unwrap().map(3).unwrap();
    // The kind comes behind what hangs on it.
    out.str("nb").unwrap().map(count + 1).unwrap().str("content").unwrap();
    link(&mut out, content);
    fields(&mut out);
    out.str("can").unwrap().str(can).unwrap().str("with").unwrap().str("did:web:a").unwrap();
    out.str("exp").unwrap().null().unwrap();
    let invocation = out.into_writer();
    let mut out = Encoder::new(Vec::new());
    out.map(1).unwrap().str("ucan@0.9.1").unwrap();
    link(&mut out, &cid(DAG_CBOR, &invocation));
    let format = out.into_writer();
    car(
        &[cid(DAG_CBOR, &format)],
        &[(cid(DAG_CBOR, &invocation), invocation.clone()), (cid(DAG_CBOR, &format), format.clone())],
    )
}

pub(crate) fn location(content: &Cid, url: &str, range: Option<(u64, Option<u64>)>) -> Vec<u8> {
    claim("assert/location", content, 1 + u64::from(range.is_some()), |out| {
        out.str("location").unwrap().array(1).unwrap().str(url).unwrap();
        if let Some((offset, length)) = range {
            out.str("range").unwrap().map(1 + u64::from(length.is_some())).unwrap();
            out.str("offset").unwrap().u64(offset).unwrap();
            if let Some(length) = length {
                out.str("length").unwrap().u64(length).unwrap();
            }
        }
    })
}

/// `inclusion`, `index` and `equals` have one link each.
pub(crate) fn linking(can: &str, content: &Cid, field: &str, to: &Cid) -> Vec<u8> {
    claim(can, content, 1, |out| {
        out.str(field).unwrap();
        link(out, to);
    })
}

pub(crate) fn partition(content: &Cid, parts: &[Cid]) -> Vec<u8> {
    claim("assert/partition", content, 1, |out| {
        out.str("parts").unwrap().array(parts.len() as u64).unwrap();
        parts.iter().for_each(|part| link(out, part));
    })
}

pub(crate) fn relation(content: &Cid, children: &[Cid], part: &Cid, includes: Option<&Cid>) -> Vec<u8> {
    claim("assert/relation", content, 2, |out| {
        out.str("children").unwrap().array(children.len() as u64).unwrap();
        children.iter().for_each(|child| link(out, child));
        out.str("parts").unwrap().array(1).unwrap().map(1 + u64::from(includes.is_some())).unwrap();
        out.str("content").unwrap();
        link(out, part);
        if let Some(includes) = includes {
            out.str("includes").unwrap().map(2).unwrap().str("content").unwrap();
            link(out, includes);
            out.str("parts").unwrap().array(1).unwrap();
            link(out, part);
        }
    })
}

/// An answer with these claims.
pub(crate) fn answer(claims: &[Vec<u8>]) -> Vec<u8> {
    let blocks: Vec<_> = claims.iter().map(|claim| (cid(CAR, claim), claim.clone())).collect();
    car(&[], &blocks)
}

/// A claims service and the places that its claims name.
#[derive(Default)]
pub(crate) struct World {
    claims: HashMap<Multihash<64>, Vec<Vec<u8>>>,
    files: HashMap<String, Vec<u8>>,
    /// What was asked, in order.
    pub(crate) asked: Vec<Ask>,
    /// Whether requests are answered at all.
    pub(crate) down: bool,
}

impl World {
    pub(crate) fn claim(&mut self, about: &Cid, claim: Vec<u8>) {
        self.claims.entry(*about.hash()).or_default().push(claim);
    }

    pub(crate) fn file(&mut self, url: &str, bytes: Vec<u8>) {
        self.files.insert(url.to_owned(), bytes);
    }

    /// Walks to the end. No walk takes more requests than its limits say.
    pub(crate) fn walk(&mut self, limits: Limits) -> Walk {
        let mut policy = Policy::default();
        policy.allowed.push("*.example.com".parse().unwrap());
        policy.carparks.push("https://carpark.example.com".parse().unwrap());
        let mut walk = Walk::new(*block().hash(), Arc::new(policy), limits);
        while let Some(request) = walk.next() {
            self.asked.push(request.ask.clone());
            assert!(self.asked.len() <= limits.requests as usize, "{:?}", self.asked);
            let found = match (&request.ask, self.down) {
                (_, true) => {
                    walk.failed(request.id);
                    continue;
                }
                (Ask::Claims(about), _) => Some(answer(self.claims.get(about).map_or(&[], Vec::as_slice))),
                (Ask::Index { site: Site::Web { url, .. }, .. }, _) => self.files.get(url.as_str()).cloned(),
                (Ask::Index { site: Site::Car(_), .. }, _) => None,
            };
            match found {
                Some(bytes) => walk.answered(request.id, Bytes::from(bytes)),
                None => walk.missing(request.id),
            }
        }
        assert!(walk.is_over());
        walk
    }
}
