//! `hoverboard ls`: the roots and blocks of CAR files, from their section heads. No block is read or hashed.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use hoverboard_car::{Error, Header, Options, Scanner, SectionHead, Version};
use serde_json::json;

use crate::catalog::files::{open, read_full_at};
use crate::cli::LsArgs;

use super::cars::{counted, find};
use super::{Failure, printed};

pub(super) fn run(args: &LsArgs) -> Result<(), Failure> {
    let (cars, complete) = find(&args.paths)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut good = complete;
    for path in &cars {
        let mut list = List { path, json: args.json, blocks: 0, bytes: 0, out: &mut out };
        match list.run() {
            Ok(is_whole) => good &= is_whole,
            Err(error) => return printed(Err(error)),
        }
    }
    printed(out.flush())?;
    if good { Ok(()) } else { Err(Failure::Reported) }
}

/// The listing of one file.
struct List<'a, W> {
    path: &'a Path,
    json: bool,
    blocks: u64,
    bytes: u64,
    out: &'a mut W,
}

impl<W: Write> List<'_, W> {
    /// Prints the file's lines, and on stderr what is wrong with it; says whether nothing is. A section that cannot be
    /// read is passed over, where its length says how far.
    ///
    /// # Errors
    /// Only of the output.
    fn run(&mut self) -> io::Result<bool> {
        let opened = open(self.path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(self.damage(&error.into())),
        };
        let mut scanner = Scanner::new(len, Options::default());
        let mut buffer = Vec::new();
        let mut heads = Vec::new();
        let mut named = false;
        let mut is_whole = true;
        while let Some(want) = scanner.want() {
            buffer.resize(want.useful, 0);
            let read = match read_full_at(&file, &mut buffer, want.offset) {
                Ok(read) => read,
                Err(error) => return Ok(self.damage(&error.into())),
            };
            let fed = scanner.feed(&buffer[..read], |head| heads.push(*head));
            if let Some(header) = scanner.header().filter(|_| !named) {
                self.header(header)?;
                named = true;
            }
            let start = scanner.header().map_or(0, Header::payload_start);
            heads.drain(..).try_for_each(|head| self.block(&head, start))?;
            if let Err(error) = fed {
                is_whole = self.damage(&error);
                if scanner.skip_section().is_none() {
                    break;
                }
            }
        }
        if !self.json && named {
            writeln!(self.out, "  {}, {}", counted(self.blocks, "block"), counted(self.bytes, "byte"))?;
        }
        Ok(is_whole)
    }

    /// Says what is wrong, and that the file is not whole.
    fn damage(&self, error: &Error) -> bool {
        eprintln!("{}: {error}", self.path.display());
        false
    }

    fn header(&mut self, header: &Header) -> io::Result<()> {
        let version = match header.version {
            Version::V1 => 1,
            Version::V2 { .. } => 2,
        };
        if self.json {
            let roots: Vec<String> = header.roots.iter().map(ToString::to_string).collect();
            return writeln!(
                self.out,
                "{}",
                json!({ "path": self.path.display().to_string(), "version": version, "roots": roots })
            );
        }
        writeln!(self.out, "{}: CARv{version}, {}", self.path.display(), counted(header.roots.len() as u64, "root"))?;
        header.roots.iter().try_for_each(|root| writeln!(self.out, "  root {root}"))?;
        writeln!(self.out, "  {:>12} {:>9}  CID", "offset", "length")
    }

    /// Offsets are of the block's bytes in the file, so that `dd` can cut it out.
    fn block(&mut self, head: &SectionHead, payload_start: u64) -> io::Result<()> {
        self.blocks += 1;
        self.bytes += head.data_len;
        let (cid, offset, length) = (head.cid, payload_start + head.block_offset().0, head.data_len);
        if self.json {
            let path = self.path.display().to_string();
            let line = json!({ "path": path, "cid": cid.to_string(), "offset": offset, "length": length });
            writeln!(self.out, "{line}")
        } else {
            writeln!(self.out, "  {offset:>12} {length:>9}  {cid}")
        }
    }
}
