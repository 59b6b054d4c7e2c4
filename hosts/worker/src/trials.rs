//! What tests and measurements want from inside the platform: the store's suite over R2, and what sealing and hashing cost.
//! It is built with the feature `trials`, and is in no deployment.

use hoverboard_dag::{Sha256 as _, Software};
use hoverboard_store::suite;
use hoverboard_wire::aead::{Aead as _, Portable};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Env;

use crate::config::Config;
use crate::{bucket, crypto};

/// Runs every case of the store's suite, and says of each in a line how it ended.
#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys)]
pub async fn suite(env: Env) -> String {
    let bucket = Config::from_env(&env).map_err(|error| error.to_string());
    let bucket = bucket.and_then(|config| bucket::open(&env, &config).map_err(|error| error.to_string()));
    let bucket = match bucket {
        Ok(bucket) => bucket,
        Err(error) => return format!("FAIL the bucket: {error}\n"),
    };
    let mut report = String::new();
    for case in suite::cases() {
        let line = match case.run(&bucket).await {
            Ok(()) => format!("ok {}\n", case.name),
            Err(failure) => format!("FAIL {}: {failure}\n", case.name),
        };
        report.push_str(&line);
    }
    report
}

/// Seals or hashes `times` times as many bytes, in wasm or by the platform. The caller has the clock.
#[wasm_bindgen]
pub fn work(what: &str, bytes: usize, times: u32) -> u8 {
    let mut data = vec![7; bytes];
    let mut last = 0;
    for nonce in 0..u64::from(times) {
        last ^= match what {
            "seal in wasm" => Portable.seal(&[9; 32], nonce, &mut data)[0],
            "seal by node" => crypto::Node.seal(&[9; 32], nonce, &mut data)[0],
            "hash in wasm" => Software.sha256(&data)[0],
            _ => crypto::Node.sha256(&data)[0],
        };
    }
    last
}
