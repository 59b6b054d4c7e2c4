//! A compiler with a standard library for `wasm32-unknown-unknown`.
//!
//! In order: the target is there already; Debian has a compiler of its own with its sources, from which the library is
//! built into the cache (a minute); `rustup target add`. The second exists for machines that may use their
//! distribution's packages and nothing else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::debian;
use crate::{
    cache::Cache,
    shell::{self, cargo, root},
};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The minor version of the Rust that the workspace asks for, which Debian's has to reach.
const MINOR: u32 = 95;

/// Which compiler builds for wasm.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The one that builds everything else.
    Default,
    /// Another, by the path of its `rustc`.
    Other(PathBuf),
}

impl Toolchain {
    /// Makes a cargo command use this compiler, with a target folder of its own.
    pub(crate) fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Self::Other(rustc) = self {
            command.env("RUSTC", rustc);
            // Debian's compiler comes without a linker for the target; rustup's has one.
            if let Some(linker) = linker() {
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        command.env("CARGO_TARGET_DIR", root().join("target/wasm"))
    }
}

/// Finds or makes the toolchain.
pub(crate) fn ensure(cache: &Cache) -> Result<Toolchain> {
    if has_std(Path::new("rustc")) {
        return Ok(Toolchain::Default);
    }
    if let Some(debian) = Debian::find()? {
        return debian.ensure(cache).map(Toolchain::Other);
    }
    ensure!(shell::has("rustup"), "no standard library for {TARGET}, and no rustup to add it with");
    shell::run(Command::new("rustup").args(["target", "add", TARGET]))?;
    Ok(Toolchain::Default)
}

/// The linker that comes with the compiler that builds everything else.
fn linker() -> Option<PathBuf> {
    let libraries = shell::read(Command::new("rustc").args(["--print", "target-libdir"]).current_dir(root())).ok()?;
    let linker = Path::new(libraries.trim()).with_file_name("bin").join("rust-lld");
    linker.is_file().then_some(linker)
}

fn has_std(rustc: &Path) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]).current_dir(root());
    let Ok(folder) = shell::read(&mut command) else {
        return false;
    };
    fs::read_dir(folder.trim())
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

/// Debian's second Rust, which it keeps new for its browsers' sake and which conflicts with rustup when installed: it is
/// unpacked into the cache instead.
struct Debian {
    version: String,
}

impl Debian {
    fn find() -> Result<Option<Self>> {
        let Some(version) = debian::candidate("rust-web-src")? else {
            return Ok(None);
        };
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        Ok(minor.is_some_and(|minor| minor >= MINOR).then_some(Self { version }))
    }

    /// Unpacks the compiler and builds the library, once a version; returns the path of `rustc`.
    fn ensure(&self, cache: &Cache) -> Result<PathBuf> {
        let upstream = self.version.split('+').next().unwrap_or(&self.version);
        let name = format!("wasm-{upstream}");
        let rustc = cache.join(&name).join("rustc");
        if has_std(&rustc) {
            return Ok(rustc);
        }
        let prefix = cache.fresh_folder(&name)?;
        self.unpack(&prefix)?;
        write_wrapper(&rustc)?;
        build_std(&prefix, &rustc)?;
        ensure!(has_std(&rustc), "the library was built, but {} does not find it", rustc.display());
        Ok(rustc)
    }

    fn unpack(&self, prefix: &Path) -> Result<()> {
        let std = depends("libstd-rust-web-dev", "libstd-rust-web-")?;
        let llvm = depends(&std, "libllvm")?;
        let ours = ["rustc-web", "libstd-rust-web-dev", "rust-web-src", &std];
        let ours = ours.map(|name| format!("{name}={}", self.version));
        let packages: Vec<&str> = ours.iter().map(String::as_str).chain([llvm.as_str()]).collect();
        debian::unpack(&packages, prefix)
    }
}

/// The first dependency of a package whose name begins so.
fn depends(package: &str, prefix: &str) -> Result<String> {
    let shown = shell::read(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    let line = shown.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    let names = line.split(',').filter_map(|dependency| dependency.split_whitespace().next());
    let found = names.into_iter().find(|name| name.starts_with(prefix));
    found.map(str::to_owned).with_context(|| format!("{package} depends on no {prefix}…"))
}

/// A `rustc` that finds its libraries, which Debian keeps in a folder that only an installed one looks in.
fn write_wrapper(rustc: &Path) -> Result<()> {
    let script = "#!/bin/sh\n\
        prefix=$(dirname \"$0\")\n\
        for libraries in \"$prefix\"/usr/lib/*-linux-gnu; do\n\
        \tLD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n\
        done\n\
        export LD_LIBRARY_PATH\n\
        exec \"$prefix/usr/bin/rustc\" \"$@\"\n";
    fs::write(rustc, script)?;
    fs::set_permissions(rustc, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Compiles the standard library from the compiler's own sources and puts it where the compiler looks.
fn build_std(prefix: &Path, rustc: &Path) -> Result<()> {
    let package = prefix.join("build");
    let library = prefix.join("usr/lib/rustlib/src/rust/library");
    fs::create_dir_all(package.join("src"))?;
    fs::create_dir_all(package.join(".cargo"))?;
    fs::write(package.join("src/lib.rs"), "#![no_std]\n")?;
    fs::write(
        package.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n",
    )?;
    let vendor = library.join("vendor");
    let vendor = vendor.to_str().context("the cache folder's path is not UTF-8")?;
    fs::write(
        package.join(".cargo/config.toml"),
        format!("[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = {vendor:?}\n"),
    )?;
    shell::run(
        cargo()
            .current_dir(&package)
            .args(["build", "--release", "--target", TARGET])
            .arg("-Zbuild-std=std,panic_abort,proc_macro")
            .env("RUSTC", rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Cembed-bitcode=yes -Zforce-unstable-if-unmarked")
            .env("CARGO_TARGET_DIR", package.join("target")),
    )?;
    let built = package.join("target").join(TARGET).join("release/deps");
    let installed = prefix.join("usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&installed)?;
    let mut copied = 0;
    for file in fs::read_dir(&built)? {
        let file = file?;
        let is_library = file.path().extension().is_some_and(|extension| extension == "rlib");
        if is_library && !file.file_name().to_string_lossy().starts_with("libempty-") {
            fs::copy(file.path(), installed.join(file.file_name()))?;
            copied += 1;
        }
    }
    if copied == 0 {
        bail!("no libraries were built in {}", built.display());
    }
    fs::remove_dir_all(&package)?;
    Ok(())
}
