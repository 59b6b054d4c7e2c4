//! The core's sources name no socket, file, thread, process, environment or clock of the standard library.
//!
//! A check of words, not of meaning: it is there to stop the honest mistake, which a build for wasm does not, because
//! the standard library has all of these for wasm too and they panic when called.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};

use super::CORE;
use crate::shell::root;

/// Modules of `std` that do input, output or scheduling. `std::io` is traits over bytes and is not one of them.
const MODULES: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];
/// Types that read a clock.
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

pub(crate) fn check() -> Result<()> {
    let mut files = Vec::new();
    for package in CORE {
        let folder = package.trim_start_matches("hoverboard-");
        sources(&root().join("crates").join(folder).join("src"), &mut files)?;
    }
    ensure!(files.len() >= CORE.len(), "the core has no sources");
    let mut faults = Vec::new();
    for file in files {
        for word in forbidden(&fs::read_to_string(&file)?) {
            let shown = file.strip_prefix(root()).unwrap_or(&file);
            faults.push(format!("{} uses {word}", shown.display()));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The forbidden names in a source file, outside comments and its own tests.
fn forbidden(source: &str) -> Vec<String> {
    let product = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code: String = product
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.chars().chain(['\n']))
        .collect();
    let mut found = Vec::new();
    for start in code.match_indices("std::").map(|(start, word)| start + word.len()) {
        for segment in first_segments(&code[start..]) {
            if MODULES.contains(&segment) {
                found.push(format!("std::{segment}"));
            }
        }
    }
    let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    found.extend(words.filter(|word| CLOCKS.contains(word)).map(str::to_owned));
    found.dedup();
    found
}

/// What comes right after `std::`: one name, or the first name of each branch of a `{…}`.
fn first_segments(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut segments = vec![name(group)];
    let mut depth = 1;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => segments.push(name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    segments
}

fn name(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &path[..end.unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_grouped_imports_are_found() {
        assert_eq!(forbidden("use std::net::TcpStream;"), ["std::net"]);
        assert_eq!(forbidden("use std::{\n    io::{self, Read},\n    fs,\n};"), ["std::fs"]);
        assert_eq!(forbidden("let x = std::thread::spawn(f);"), ["std::thread"]);
        assert_eq!(forbidden("use std::time::{Duration, Instant};"), ["Instant"]);
    }

    #[test]
    fn harmless_code_is_not() {
        let source = "//! No std::net here.\nuse std::{collections::HashMap, io::{self, fs_like}, time::Duration};\n";
        assert_eq!(forbidden(source), Vec::<String>::new());
        assert_eq!(forbidden("#[cfg(test)]\nmod tests { use std::fs; }"), Vec::<String>::new());
    }
}
