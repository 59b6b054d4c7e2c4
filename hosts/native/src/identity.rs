//! Who this node is: the key pair behind its peer id.
//!
//! The key is a libp2p protobuf-encoded private key, the form that `ipfs key export` writes by default. Without
//! `--key` it lives in the state folder as `identity.key`, readable by its owner alone, and is made (Ed25519) at the
//! first start.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use libp2p_identity::Keypair;

/// Name of the key in the state folder.
pub const KEY_FILE: &str = "identity.key";

/// Longest key file that is read. The largest key, RSA of 8192 bits, is under 5 KiB.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// An identity that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read
    #[error("cannot read the private key {}: {error}. Name a readable key file with --key FILE", path.display())]
    Read {
        /// The key file
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
    /// The file is not a private key that can be used
    #[error(
        "{} is not a libp2p private key: {reason}. \
         Export one with `ipfs key export --format=libp2p-protobuf-cleartext`",
        path.display()
    )]
    Format {
        /// The key file
        path: PathBuf,
        /// What is wrong with it
        reason: String,
    },
    /// The new key cannot be stored
    #[error("cannot store a new private key at {}: {error}. Give a writable folder with --state DIR", path.display())]
    Create {
        /// Where it was to be
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
}

/// The key in `file`, or else the one in the state folder, made if there is none.
pub fn load_or_create(file: Option<&Path>, state: &Path) -> Result<Keypair, IdentityError> {
    if let Some(path) = file {
        return load(path);
    }
    let path = state.join(KEY_FILE);
    match load(&path) {
        Err(IdentityError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => create(&path),
        loaded => loaded,
    }
}

/// Reads a libp2p protobuf-encoded private key of any type. Warns when others can read the file too.
pub fn load(path: &Path) -> Result<Keypair, IdentityError> {
    let read = |error| IdentityError::Read { path: path.to_path_buf(), error };
    let format = |reason: String| IdentityError::Format { path: path.to_path_buf(), reason };
    let file = File::open(path).map_err(read)?;
    warn_if_shared(path, &file);
    let mut bytes = Vec::new();
    file.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MAX_KEY_FILE {
        return Err(format(format!("it is longer than {MAX_KEY_FILE} bytes")));
    }
    if bytes.starts_with(b"-----BEGIN") {
        return Err(format("it is PEM".into()));
    }
    Keypair::from_protobuf_encoding(&bytes).map_err(|error| format(error.to_string()))
}

/// Makes an Ed25519 key and stores it, whole or not at all. If another process was first, its key is the one.
fn create(path: &Path) -> Result<Keypair, IdentityError> {
    let failed = |error| IdentityError::Create { path: path.to_path_buf(), error };
    let key = Keypair::generate_ed25519();
    let bytes = key.to_protobuf_encoding().map_err(|error| failed(io::Error::other(error)))?;
    // Temporary files are made with mode 0600, which the rename keeps.
    let mut file = tempfile::Builder::new()
        .prefix(".identity-")
        .tempfile_in(path.parent().unwrap_or(Path::new(".")))
        .map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            tracing::info!(peer = %key.public().to_peer_id(), path = %path.display(), "made a new identity");
            Ok(key)
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => load(path),
        Err(error) => Err(failed(error.error)),
    }
}

#[cfg(unix)]
fn warn_if_shared(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt;
    if file.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "other users may read the private key: chmod 600 it");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &Path, _: &File) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_made_at_first_start_stays() {
        let state = tempfile::tempdir().expect("a folder");
        let first = load_or_create(None, state.path()).expect("made");
        let second = load_or_create(None, state.path()).expect("loaded");
        assert_eq!(first.public(), second.public());
        assert_eq!(std::fs::read_dir(state.path()).expect("listed").count(), 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_a_new_identity() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().expect("a folder");
        load_or_create(None, state.path()).expect("made");
        let mode = std::fs::metadata(state.path().join(KEY_FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_left_alone() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join(KEY_FILE);
        for junk in [&b""[..], b"junk", b"-----BEGIN PRIVATE KEY-----", &[7; 20_000]] {
            std::fs::write(&path, junk).expect("written");
            let error = load_or_create(None, state.path()).expect_err("no key");
            assert!(error.to_string().contains(KEY_FILE), "{error}");
            assert_eq!(std::fs::read(&path).expect("still there"), junk);
        }
    }

    #[test]
    fn a_missing_key_file_is_not_made_up() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("other.key");
        assert!(matches!(load_or_create(Some(&path), state.path()), Err(IdentityError::Read { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn keys_of_every_type_are_read() {
        let secp256k1 = Keypair::from(libp2p_identity::secp256k1::Keypair::generate());
        let ecdsa = Keypair::from(libp2p_identity::ecdsa::Keypair::generate());
        let file = tempfile::NamedTempFile::new().expect("a file");
        for key in [Keypair::generate_ed25519(), secp256k1, ecdsa] {
            std::fs::write(file.path(), key.to_protobuf_encoding().expect("encodes")).expect("written");
            assert_eq!(load(file.path()).expect("read").public(), key.public());
        }
    }
}
