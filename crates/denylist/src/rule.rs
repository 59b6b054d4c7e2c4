//! One rule: a line of a `.deny` file without its line end, or an anchor of a JSON list.

use std::str::FromStr;

use cid::Cid;
use multihash::Multihash;

use crate::keys::{CODECS, legacy, modern};

/// The multihash code of sha2-256, the one function that double hashes are looked for by.
const SHA2_256: u64 = 0x12;

/// What a line says: something is denied, or is not after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whether it is an exception from what was said before.
    pub allow: bool,
    /// What it is about.
    pub subject: Subject,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A legacy anchor: a block under one codec, or a path, which cannot be told apart.
    Legacy([u8; 32]),
    /// A modern double hash: a block, or a path, which cannot be told apart.
    Modern([u8; 32]),
    /// A block by its multihash, and where the rule named a CID, the codec in it.
    Block {
        /// The multihash
        multihash: Multihash<64>,
        /// The codec
        codec: Option<u64>,
        /// It is about the paths that begin there too.
        paths: bool,
    },
    /// A path from a CID, and not the CID itself. No single block shows it.
    Path,
    /// An IPNS name. No block shows it.
    Name,
    /// A double hash by another function than sha2-256.
    Unsupported,
}

/// A line that is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is none of the forms of a rule
    #[error("a rule begins with /ipfs/, /ipns/ or //")]
    Form,
    /// What follows `/ipfs/` is neither a CID nor a multihash
    #[error("no CID follows /ipfs/")]
    Cid,
    /// What follows `//` is no hash
    #[error("neither 64 hex digits nor a multihash in base58btc follow //")]
    Hash,
    /// It is not UTF-8
    #[error("it is not UTF-8")]
    Text,
}

impl FromStr for Rule {
    type Err = LineError;

    /// Parses a line that is neither empty nor a comment. Hints behind the rule are passed over.
    fn from_str(line: &str) -> Result<Self, LineError> {
        let text = line.split_whitespace().next().ok_or(LineError::Form)?;
        // The specification has `!`; lists in use have been read with the other two as well.
        let (allow, text) = match text.strip_prefix(['!', '+', '-']) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let subject = if let Some(hash) = text.strip_prefix("//") {
            double_hash(hash)?
        } else if let Some(path) = text.strip_prefix("/ipfs/").or_else(|| text.strip_prefix("/ipld/")) {
            content(path)?
        } else if text.strip_prefix("/ipns/").is_some_and(|name| !name.is_empty()) {
            Subject::Name
        } else {
            return Err(LineError::Form);
        };
        Ok(Self { allow, subject })
    }
}

/// What follows `//`. What is 64 hex digits is an anchor: no multihash has that length in base58btc and a function that
/// is looked for.
fn double_hash(text: &str) -> Result<Subject, LineError> {
    if let Some(digest) = anchor(text) {
        return Ok(Subject::Legacy(digest));
    }
    let multihash = multihash(text).ok_or(LineError::Hash)?;
    match (multihash.code(), <[u8; 32]>::try_from(multihash.digest())) {
        (SHA2_256, Ok(digest)) => Ok(Subject::Modern(digest)),
        _ => Ok(Subject::Unsupported),
    }
}

/// What follows `/ipfs/`.
fn content(text: &str) -> Result<Subject, LineError> {
    let (cid, path) = text.split_once('/').unwrap_or((text, ""));
    let (multihash, codec) = match Cid::try_from(cid) {
        Ok(cid) => (*cid.hash(), Some(cid.codec())),
        Err(_) => (multihash(cid).ok_or(LineError::Cid)?, None),
    };
    Ok(match path.trim_matches('/') {
        "" => Subject::Block { multihash, codec, paths: false },
        // With the empty path, which is the CID itself.
        "*" => Subject::Block { multihash, codec, paths: true },
        _ => Subject::Path,
    })
}

/// 64 hex digits.
pub(crate) fn anchor(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    data_encoding::HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut digest).ok()?;
    Some(digest)
}

fn multihash(text: &str) -> Option<Multihash<64>> {
    // Longer than any: decoding costs the square of the length.
    if text.len() > 128 {
        return None;
    }
    Multihash::from_bytes(&bs58::decode(text).into_vec().ok()?).ok()
}

impl Subject {
    /// The hash that a rule like this has in the compiled form. A rule that names a block becomes a modern double hash.
    pub(crate) fn modern(&self) -> Option<[u8; 32]> {
        match self {
            Self::Modern(digest) => Some(*digest),
            Self::Block { multihash, .. } => Some(modern(multihash)),
            _ => None,
        }
    }

    /// Whether a block is what this is about, by the words of the rule: what the compiled form has to agree with.
    pub fn is_about(&self, multihash: &Multihash<64>, named: Option<u64>) -> bool {
        match self {
            Self::Legacy(digest) => CODECS.into_iter().chain(named).any(|codec| legacy(codec, multihash) == *digest),
            Self::Modern(digest) => modern(multihash) == *digest,
            Self::Block { multihash: denied, .. } => denied == multihash,
            Self::Path | Self::Name | Self::Unsupported => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKED: &str = "bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q";

    fn worked() -> Cid {
        WORKED.parse().expect("a CID")
    }

    fn subject(line: &str) -> Subject {
        line.parse::<Rule>().unwrap_or_else(|error| panic!("{line}: {error}")).subject
    }

    #[test]
    fn every_form_of_the_worked_block_is_about_it_under_any_codec() {
        let other = Cid::new_v1(0x70, *worked().hash());
        for line in [
            "//9114ba0c4aa2a162ac02d1c77cbb09eaa65f10e9c66484a5bd65902640387a5b",
            "//QmPg1wBNL6wHa1xKd2fiwpnbmQXH3trC369okFheHxCEQU",
            "/ipfs/bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q",
            "/ipfs/bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q/",
            "/ipfs/bafkreifiqpnpysanizxoatqnnwuynply5mp52ily2bdjg4r5uoupsxkc6q/* gateway_status:410",
            "/ipfs/QmZgTpJUbrss357x1D14Uo43JATwd7LhkZNbreqXVGFMmD",
            "/ipld/QmZgTpJUbrss357x1D14Uo43JATwd7LhkZNbreqXVGFMmD hint:value other=value",
        ] {
            for cid in [worked(), other] {
                assert!(subject(line).is_about(cid.hash(), Some(cid.codec())), "{line}");
            }
        }
    }

    #[test]
    fn the_examples_of_the_specification_mean_what_it_says() {
        let cid: Cid = "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e".parse().expect("a CID");
        let rule = subject("//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7");
        assert!(rule.is_about(cid.hash(), None));
        let cid: Cid = "bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja".parse().expect("a CID");
        assert!(subject("//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM").is_about(cid.hash(), None));
        let cid: Cid = "QmecDgNqCRirkc3Cjz9eoRBNwXGckJ9WvTdmY16HP88768".parse().expect("a CID");
        let v1 = "/ipfs/bafybeihrw75yfhdx5qsqgesdnxejtjybscwuclpusvxkuttep6h7pkgmze";
        assert!(subject(v1).is_about(cid.hash(), None));
        // A path of it has another hash, and is about no block.
        assert!(!subject("//QmSju6XPmYLG611rmK7rEeCMFVuL6EHpqyvmEU6oGx3GR8").is_about(cid.hash(), None));
    }

    #[test]
    fn paths_names_and_other_functions_are_known_for_what_they_are() {
        assert_eq!(subject("/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test*"), Subject::Path);
        assert_eq!(subject("/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test/*"), Subject::Path);
        assert_eq!(subject("/ipns/domain.example/path"), Subject::Name);
        assert_eq!(subject("//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX"), Subject::Unsupported);
    }

    #[test]
    fn exceptions_have_three_signs() {
        for sign in ["!", "+", "-"] {
            let rule: Rule = format!("{sign}/ipfs/{WORKED}").parse().expect("a rule");
            assert!(rule.allow);
        }
        assert!(!format!("/ipfs/{WORKED}").parse::<Rule>().expect("a rule").allow);
    }

    #[test]
    fn what_is_no_rule_says_why() {
        for (line, why) in [
            (" ", LineError::Form),
            ("!", LineError::Form),
            ("<html>", LineError::Form),
            (WORKED, LineError::Form),
            ("/ipns/", LineError::Form),
            ("/ipfs/", LineError::Cid),
            ("/ipfs/nothing/path", LineError::Cid),
            ("/ipfs/*", LineError::Cid),
            ("//", LineError::Hash),
            ("//xyz", LineError::Hash),
            ("//9114ba0c4aa2a162ac02d1c77cbb09eaa65f10e9c66484a5bd65902640387a5", LineError::Hash),
        ] {
            assert_eq!(line.parse::<Rule>(), Err(why), "{line}");
        }
    }
}
