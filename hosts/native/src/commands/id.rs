//! `hoverboard id`: the peer id and the type of its key.

use std::io::Write;

use crate::cli::IdArgs;
use crate::config::{ConfigError, state_folder};
use crate::identity;

use super::{Failure, printed};

pub(super) fn run(args: &IdArgs) -> Result<(), Failure> {
    let key = match &args.identity.key {
        Some(file) => identity::load(file),
        None => identity::load_or_create(None, &state_folder(&args.identity)?),
    };
    let key = key.map_err(ConfigError::from)?;
    printed(writeln!(std::io::stdout(), "{} {}", key.public().to_peer_id(), key.key_type()))
}
