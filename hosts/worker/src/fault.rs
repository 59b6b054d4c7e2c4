//! Panics: the one line of the log that each leaves, and some on demand, for the tests of what survives them.

use std::panic::{PanicHookInfo, set_hook};

use wasm_bindgen::prelude::wasm_bindgen;
use worker::event;

/// Runs when an instance begins.
#[event(start)]
fn log_panics() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let at = panic.location().map(ToString::to_string);
        let said = panic.payload_as_str().unwrap_or_default();
        let line = serde_json::json!({ "level": "error", "event": "panic", "at": at, "said": said });
        worker::console_error!("{line}");
    }));
}

/// Panics, or takes memory until there is none: what `js/fault.js` asks for when the debug variables say so.
#[wasm_bindgen]
pub fn strike(kind: &str) {
    match kind {
        "panic" => panic!("a panic that was asked for"),
        "oom" => {
            let mut taken = Vec::new();
            loop {
                // Kept and written to, so that no optimiser leaves it out.
                taken.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        _ => {}
    }
}
