//! Writes the JavaScript side of a wasm module that was built with wasm-bindgen, as a function that makes instances:
//! `bindgen MODULE.wasm FOLDER NAME` writes `NAME.js`, `NAME.wasm` and what they import.
//!
//! wasm-bindgen writes a module with one instance, whose state is spread over the module's variables. When an instance
//! has trapped, nothing of it may be entered again: not by a promise that it waits for, nor by a timer. wasm-bindgen's own
//! way to begin anew puts the new instance under the old variables, where what the old one left behind finds it. Here each
//! instance gets variables of its own: the module's body becomes the body of a function, its exports what the function
//! returns, and its `WebAssembly` an argument, so that the caller can stand between the two sides.

mod factory;

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder, name] = arguments.as_slice() else {
        bail!("usage: bindgen MODULE.wasm FOLDER NAME");
    };
    Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .generate(folder)
        .with_context(|| format!("cannot write bindings for {module}"))?;
    let folder = Path::new(folder);
    fs::rename(folder.join(format!("{name}_bg.wasm")), folder.join(format!("{name}.wasm")))?;
    let script = folder.join(format!("{name}.js"));
    let factory = factory::from_module(&fs::read_to_string(&script)?)?;
    fs::write(&script, factory).with_context(|| format!("cannot write {}", script.display()))
}
