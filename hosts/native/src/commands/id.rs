//! `hoverboard id`: the peer id and the type of its key, or the secret by which a Worker serves under it.

use std::io::Write;

use hoverboard_peer::wire::identity::Identity;

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
    if args.worker {
        let mut noise_key = [0; 32];
        getrandom::fill(&mut noise_key).map_err(|error| Failure::Failed(error.to_string()))?;
        let identity = Identity::new(&key, noise_key).map_err(|error| Failure::Failed(error.to_string()))?;
        return printed(writeln!(std::io::stdout(), "{}", identity.to_secret()));
    }
    printed(writeln!(std::io::stdout(), "{} {}", key.public().to_peer_id(), key.key_type()))
}
