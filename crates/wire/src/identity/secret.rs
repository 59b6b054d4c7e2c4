//! An identity as one line of text, for hosts that keep their secrets as text.
//!
//! It holds the public key, the Noise static key and the signature that binds the two, and not the identity's private
//! key: who steals it can answer under the peer id, until a session needs a newer static key, but can sign nothing. The form is
//! `hoverboard:1:` and the base64url (RFC 4648, without padding) of a protobuf message.

use multibase::Base;
use prost::Message as _;

use super::{Identity, KeyError, PublicKey, check_static_key};

/// What the text begins with: what it is for, and the version of the form.
const PREFIX: &str = "hoverboard:1:";

/// The longest text that is looked at. Under an RSA key of 8,192 bits it takes some 2,900 characters.
const MAX_TEXT: usize = 8_192;

/// A text that is not an identity. No message says anything of what the text was.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Something else, or damaged.
    #[error("it is not what `hoverboard id --worker` prints, whole and on one line")]
    Malformed,
    /// The public key cannot be used, or did not sign the static key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

#[derive(Clone, PartialEq, prost::Message)]
struct SecretMessage {
    #[prost(bytes = "vec", required, tag = "1")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    noise_key: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "3")]
    signature: Vec<u8>,
}

impl Identity {
    /// The identity as a line of text, to be kept secret.
    pub fn to_secret(&self) -> String {
        let message = SecretMessage {
            public_key: self.public_key.clone(),
            noise_key: self.noise_key.to_vec(),
            signature: self.signature.clone(),
        };
        format!("{PREFIX}{}", Base::Base64Url.encode(message.encode_to_vec()))
    }

    /// Reads what [`to_secret`](Self::to_secret) wrote, and verifies the signature in it. White space around it is
    /// overlooked.
    ///
    /// # Errors
    ///
    /// The text is something else or damaged, or the keys in it do not belong together.
    pub fn from_secret(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).filter(|encoded| encoded.len() <= MAX_TEXT);
        let bytes = encoded.and_then(|encoded| Base::Base64Url.decode(encoded).ok()).ok_or(SecretError::Malformed)?;
        let message = SecretMessage::decode(&*bytes).map_err(|_| SecretError::Malformed)?;
        let noise_key = message.noise_key.try_into().map_err(|_| SecretError::Malformed)?;
        let public_key = PublicKey::decode(&message.public_key)?;
        check_static_key(&public_key, &crate::noise::public_key(&noise_key), &message.signature)?;
        Ok(Self {
            peer_id: public_key.peer_id(),
            public_key: message.public_key,
            noise_key,
            signature: message.signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use libp2p_identity::Keypair;

    use super::*;

    fn identity() -> Identity {
        Identity::new(&Keypair::generate_ed25519(), [7; 32]).expect("signed")
    }

    #[test]
    fn a_secret_is_read_back() {
        let identity = identity();
        let read = Identity::from_secret(&format!(" {}\n", identity.to_secret())).expect("read");
        assert_eq!(read.peer_id(), identity.peer_id());
        assert_eq!(read.public_key, identity.public_key);
        assert_eq!(read.noise_key, identity.noise_key);
        assert_eq!(read.signature, identity.signature);
    }

    #[test]
    fn a_secret_is_one_line_without_the_private_key() {
        let keypair = Keypair::generate_ed25519();
        let secret = Identity::new(&keypair, [7; 32]).expect("signed").to_secret();
        assert!(!secret.contains(char::is_whitespace));
        let bytes = Base::Base64Url.decode(&secret[PREFIX.len()..]).expect("base64url");
        let private = keypair.try_into_ed25519().expect("of that type").secret();
        assert!(!bytes.windows(32).any(|window| window == private.as_ref()));
    }

    #[test]
    fn a_changed_character_changes_no_identity_and_the_error_does_not_repeat_the_secret() {
        let identity = identity();
        let secret = identity.to_secret();
        for at in 0..secret.len() {
            let mut changed = secret.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            match Identity::from_secret(&changed) {
                Err(error) => assert!(!error.to_string().contains(&changed[PREFIX.len()..])),
                // X25519 does not use all bits of its secret.
                Ok(same) => {
                    let public = |identity: &Identity| crate::noise::public_key(&identity.noise_key);
                    assert_eq!((same.peer_id(), public(&same)), (identity.peer_id(), public(&identity)), "at {at}");
                }
            }
        }
        for at in 0..secret.len() {
            assert!(Identity::from_secret(&secret[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_signature_of_another_static_key_is_refused() {
        let (one, other) = (identity(), Identity::new(&Keypair::generate_ed25519(), [8; 32]).expect("signed"));
        let mixed = Identity { noise_key: other.noise_key, ..one };
        assert!(matches!(Identity::from_secret(&mixed.to_secret()), Err(SecretError::Key(KeyError::BadSignature))));
    }
}
