//! A module of wasm-bindgen's `web` target as a function that makes instances.
//!
//! It works line by line on what wasm-bindgen is known to write, and refuses anything else.

use anyhow::{Context, Result, bail, ensure};

/// The last statement of the `web` target; both names are the module's own way to make its one instance.
const LAST: &str = "export { initSync, __wbg_init as default };";

/// The text of a module whose default export is a function of a `WebAssembly` and a compiled module, which returns
/// the exports of a new instance.
pub(crate) fn from_module(module: &str) -> Result<String> {
    let (mut imports, mut body, mut exports) = (String::new(), String::new(), Vec::new());
    let mut ended = false;
    for line in module.lines() {
        if line == LAST {
            ended = true;
        } else if line.starts_with("import ") {
            ensure!(line.contains(" from "), "an import over several lines: {line}");
            push(&mut imports, line);
        } else if let Some(exported) = line.strip_prefix("export ") {
            exports.push(name(exported).with_context(|| format!("an export of an unknown kind: {line}"))?);
            push(&mut body, exported);
        } else {
            push(&mut body, line);
        }
    }
    if !ended {
        bail!("the module does not end as expected");
    }
    let exports = exports.join(", ");
    Ok(format!(
        "{imports}\nexport default function instantiate(WebAssembly, module) {{\n{body}\ninitSync({{ module }});\n\
         return {{ {exports} }};\n}}\n"
    ))
}

/// The name that a declaration declares.
fn name(declaration: &str) -> Option<&str> {
    let rest =
        ["async function ", "function ", "class ", "const "].iter().find_map(|kind| declaration.strip_prefix(kind));
    let rest = rest?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "import { seal } from './platform.js';\n\
        export class Peers {\n}\n\
        export function fetch(request) {\n    return wasm.fetch(request);\n}\n\
        let wasm;\n\
        function initSync(module) {}\n\
        export { initSync, __wbg_init as default };\n";

    #[test]
    fn state_and_exports_go_into_a_function_and_imports_stay_outside() {
        let factory = from_module(MODULE).expect("made");
        let (outside, inside) = factory.split_once("export default function").expect("a function");
        assert!(outside.contains("import { seal }"));
        assert!(inside.contains("let wasm;") && !inside.contains("export "), "{inside}");
        assert!(inside.contains("return { Peers, fetch };"), "{inside}");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let others = [
            "let wasm;\n".to_owned(),
            MODULE.replace("export class", "export default class"),
            MODULE.replace("{ seal } from './platform.js';", "{\n  seal\n} from './platform.js';"),
        ];
        for module in others {
            assert!(from_module(&module).is_err(), "{module}");
        }
    }
}
