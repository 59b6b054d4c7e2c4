//! What the operator said: whom to ask, where that may lead, and who is told of ours.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoverboard_claims::{Carpark, Limits, Policy};
use hoverboard_store::service::{Access, Token, TokenError};
use reqwest::Url;

use crate::cli::ClaimsArgs;

/// The longest file with a token that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// Whom to ask for blocks that the store does not have.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The claims service, which the operator vouches for: `claims/…` comes behind it
    pub service: Url,
    /// Where its claims may lead
    pub policy: Arc<Policy>,
    /// How far
    pub limits: Limits,
}

/// Who is told where our blocks are.
#[derive(Debug, Clone)]
pub struct Told {
    /// Who may ask
    pub access: Access,
    /// Where others reach our CARs
    pub carpark: Option<Carpark>,
}

/// A setting about claims that cannot be used: which, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The file cannot be read
    #[error("--index-token: cannot read {}: {error}", path.display())]
    File {
        /// The file
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
    /// What is in it is no token
    #[error("--index-token {}: {error}", path.display())]
    Token {
        /// The file
        path: PathBuf,
        /// What is wrong with it, without showing it
        error: TokenError,
    },
}

impl Settings {
    /// What was typed; `None`: nobody is asked.
    pub fn parse(args: &ClaimsArgs) -> Option<Self> {
        let policy = Policy { allowed: args.allow.clone(), carparks: args.carparks.clone() };
        let service = args.claims.clone()?;
        Some(Self { service, policy: Arc::new(policy), limits: Limits::default() })
    }
}

impl Told {
    /// What was typed; `None`: nobody is told.
    pub fn parse(args: &ClaimsArgs) -> Result<Option<Self>, ClaimsError> {
        let access = match &args.index_token {
            Some(path) => Access::Token(read_token(path)?),
            None if args.index_public => Access::Public,
            None => return Ok(None),
        };
        Ok(Some(Self { access, carpark: args.carparks.first().cloned() }))
    }
}

fn read_token(path: &Path) -> Result<Token, ClaimsError> {
    use io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.map_err(|error| ClaimsError::File { path: path.to_owned(), error })?;
    text.trim().parse().map_err(|error| ClaimsError::Token { path: path.to_owned(), error })
}
