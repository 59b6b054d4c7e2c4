//! A bucket with one CAR, and runs that say what a test tells them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoverboard_car::{SectionOffset, Writer};
use hoverboard_dag::Software;
use hoverboard_store::ledger::{Account, Budget, Ledger};
use hoverboard_store::library::{Config, Library, Located, Locator, Locators, NotLocated, Timer};
use hoverboard_store::service::{Access, Admitted, Query, Request, Response, Service, Settings};
use hoverboard_store::{Bucket, CarCid, layout};
use multihash::Multihash;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) const TOKEN: &str = "0123456789abcdef";
pub(crate) const CARPARK: &str = "https://carpark.example.com/";

/// Blocks of a CAR, and where their sections begin.
pub(crate) struct Car {
    pub(crate) cid: CarCid,
    pub(crate) blocks: Vec<(Cid, Vec<u8>, SectionOffset)>,
    bytes: Vec<u8>,
}

pub(crate) fn cid(data: &[u8]) -> Cid {
    Cid::new_v1(0x55, hoverboard_dag::multihash(0x12, 32, data).unwrap())
}

impl Car {
    pub(crate) fn new(blocks: &[&[u8]]) -> Self {
        let mut writer = Writer::new(Vec::new(), &[cid(blocks[0])]).unwrap();
        let blocks =
            blocks.iter().map(|data| (cid(data), data.to_vec(), writer.write(&cid(data), data).unwrap())).collect();
        let bytes = writer.finish().unwrap();
        Self { cid: CarCid::of_digest(Sha256::digest(&bytes).into()), blocks, bytes }
    }
}

/// Answers with what it is told to, block by block; what it was not told of is missing.
#[derive(Default)]
pub(crate) struct Runs {
    told: Mutex<Vec<(Multihash<64>, Located)>>,
    none: bool,
}

impl Locator for Runs {
    fn locate(
        &self,
        multihashes: Vec<Multihash<64>>,
        _: Account,
    ) -> BoxFuture<'static, Result<Vec<Located>, NotLocated>> {
        let told = self.told.lock().unwrap();
        let find = |asked: &Multihash<64>| told.iter().find(|(about, _)| about == asked);
        let located = multihashes.iter().map(|asked| find(asked).map_or(Located::Missing, |(_, told)| told.clone()));
        let answer = if self.none { Err(NotLocated::NoIndex) } else { Ok(located.collect()) };
        async { answer }.boxed()
    }
}

struct Never;

impl Timer for Never {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        futures_util::future::pending().boxed()
    }
}

pub(crate) struct Place {
    pub(crate) service: Service,
    carpark: Arc<dyn ObjectStore>,
    account: Account,
}

impl Place {
    pub(crate) fn new(told: Vec<(Multihash<64>, Located)>) -> Self {
        Self::with(Runs { told: Mutex::new(told), none: false }, Access::Public, true)
    }

    pub(crate) fn without_index() -> Self {
        Self::with(Runs { none: true, ..Runs::default() }, Access::Public, true)
    }

    pub(crate) fn with(runs: Runs, access: Access, claims: bool) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let bucket = Bucket::under(&store, &Path::default());
        let carpark = Arc::clone(&bucket.carpark);
        let config = Config::new(Arc::new(Software), Arc::new(Never), Arc::new(()));
        let locators = Locators { runs: Some(Arc::new(runs)), ..Locators::default() };
        let denied = *cid(b"denied").hash();
        let settings = Settings {
            access,
            carpark: claims.then(|| CARPARK.parse().unwrap()),
            issuer: "did:web:example.com".parse().unwrap(),
            denied: Arc::new(move |asked| *asked == denied),
        };
        let account = Ledger::new(Budget::UNLIMITED).account();
        Self { service: Service::new(Library::with_locators(bucket, config, locators), settings), carpark, account }
    }

    pub(crate) async fn put(&self, car: &Car, blob: bool) {
        let key = if blob { layout::blob(&car.cid) } else { layout::car(&car.cid) };
        self.carpark.put(&key, PutPayload::from(car.bytes.clone())).await.unwrap();
    }

    /// Asks as a host does.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Option<Response> {
        let query = match self.service.admit(&Request { method, path, authorization: None })? {
            Admitted::Answer(response) => return Some(response),
            Admitted::Query(query) => query,
            Admitted::Body => match Query::of_body(body.as_bytes()) {
                Ok(query) => query,
                Err(response) => return Some(response),
            },
        };
        Some(self.service.answer(query, &self.account).await)
    }

    pub(crate) async fn block(&self, block: &Cid) -> (u16, Value) {
        let response = self.ask("GET", &format!("/blocks/{}", z58(block)), "").await.unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }
}

pub(crate) fn z58(cid: &Cid) -> String {
    multibase::encode(multibase::Base::Base58Btc, cid.hash().to_bytes())
}
