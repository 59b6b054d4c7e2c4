//! Who a peer is: libp2p public keys, the signatures they make, and what this host proves itself with.
//!
//! Ed25519, secp256k1 and ECDSA come from `libp2p-identity`. RSA is checked here, on every target alike, because
//! that crate leaves it out where ring does not build. Keys are never made and nothing but the static key of
//! Noise is signed here. Specification: libp2p peer ids and keys; RSA moduli of 2,048 to 8,192 bits.

mod secret;

use std::fmt;

use libp2p_identity::{Keypair, PeerId};
use prost::Message as _;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;

pub use self::secret::SecretError;

/// What a peer signs to bind its Noise static key to its identity.
const STATIC_KEY_DOMAIN: &[u8] = b"noise-libp2p-static-key:";

/// The longest encoded key that is looked at: an RSA key of 8,192 bits takes about 1,070 bytes.
const MAX_KEY: usize = 2_048;

/// Key lengths accepted for RSA, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The number that libp2p gives to RSA in `PublicKey.Type`.
const TYPE_RSA: i32 = 0;

/// A public key that cannot be used, or a signature that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key's encoding is longer than any key of an accepted type.
    #[error("a public key of {0} bytes is longer than {MAX_KEY}")]
    TooLong(usize),
    /// The key's encoding cannot be read, or its type is unknown.
    #[error("the public key cannot be read: {0}")]
    Malformed(String),
    /// An RSA modulus outside the accepted range.
    #[error("an RSA key of {0} bits is not between 2048 and 8192")]
    RsaSize(usize),
    /// The key did not make the signature.
    #[error("the signature of the Noise static key does not match the peer's key")]
    BadSignature,
    /// The host's own key could not sign.
    #[error("cannot sign with the identity key: {0}")]
    Signing(String),
}

/// libp2p's `PublicKey` message.
#[derive(Clone, PartialEq, prost::Message)]
struct KeyMessage {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", required, tag = "2")]
    data: Vec<u8>,
}

/// A peer's public key, of any type that libp2p knows.
#[derive(Clone)]
pub struct PublicKey {
    encoded: Vec<u8>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Rsa(Box<rsa::RsaPublicKey>),
    Other(Box<libp2p_identity::PublicKey>),
}

impl PublicKey {
    /// Reads a key as libp2p encodes it in protobuf.
    pub fn decode(encoded: &[u8]) -> Result<Self, KeyError> {
        if encoded.len() > MAX_KEY {
            return Err(KeyError::TooLong(encoded.len()));
        }
        let message = KeyMessage::decode(encoded).map_err(|e| KeyError::Malformed(e.to_string()))?;
        let kind = if message.kind == TYPE_RSA {
            Kind::Rsa(Box::new(decode_rsa(&message.data)?))
        } else {
            let key = libp2p_identity::PublicKey::try_decode_protobuf(encoded)
                .map_err(|e| KeyError::Malformed(e.to_string()))?;
            Kind::Other(Box::new(key))
        };
        // A peer id is made from the canonical encoding, whatever order of fields the peer sent.
        Ok(Self { encoded: message.encode_to_vec(), kind })
    }

    /// Whether this key signed `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Kind::Rsa(key) => {
                use rsa::signature::Verifier as _;
                let verifier = rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new((**key).clone());
                rsa::pkcs1v15::Signature::try_from(signature).is_ok_and(|s| verifier.verify(message, &s).is_ok())
            }
            Kind::Other(key) => key.verify(message, signature),
        }
    }

    /// The peer that owns this key.
    pub fn peer_id(&self) -> PeerId {
        match &self.kind {
            Kind::Other(key) => key.to_peer_id(),
            // An RSA key is always longer than the 42 bytes up to which a peer id holds the key itself.
            Kind::Rsa(_) => {
                use rsa::sha2::Digest as _;
                let mut bytes = vec![0x12, 32];
                bytes.extend_from_slice(&rsa::sha2::Sha256::digest(&self.encoded));
                PeerId::from_bytes(&bytes).expect("a sha2-256 multihash is a peer id")
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.peer_id()).finish()
    }
}

/// An RSA key as libp2p carries it: a DER `SubjectPublicKeyInfo`.
fn decode_rsa(der: &[u8]) -> Result<rsa::RsaPublicKey, KeyError> {
    use rsa::pkcs1::der::Decode as _;

    let malformed = |e: &dyn fmt::Display| KeyError::Malformed(e.to_string());
    // The crate's own decoding stops at 4,096 bits; older peers have larger keys.
    let key = match rsa::RsaPublicKey::from_public_key_der(der) {
        Ok(key) => key,
        Err(_) => {
            let info = rsa::pkcs8::SubjectPublicKeyInfoRef::from_der(der).map_err(|e| malformed(&e))?;
            let bits = info.subject_public_key.as_bytes().unwrap_or_default();
            let key = rsa::pkcs1::RsaPublicKey::from_der(bits).map_err(|e| malformed(&e))?;
            let number = |n: rsa::pkcs1::UintRef<'_>| rsa::BigUint::from_bytes_be(n.as_bytes());
            rsa::RsaPublicKey::new_with_max_size(number(key.modulus), number(key.public_exponent), *RSA_BITS.end())
                .map_err(|e| malformed(&e))?
        }
    };
    let bits = key.n().bits();
    if RSA_BITS.contains(&bits) { Ok(key) } else { Err(KeyError::RsaSize(bits)) }
}

/// What this host proves its identity with: its peer id, and a Noise static key that its identity key has
/// signed once, so that accepting a connection signs nothing.
#[derive(Clone)]
pub struct Identity {
    peer_id: PeerId,
    public_key: Vec<u8>,
    noise_key: [u8; 32],
    signature: Vec<u8>,
}

impl Identity {
    /// Signs the static key that belongs to the X25519 secret `noise_key` with `keypair`.
    pub fn new(keypair: &Keypair, noise_key: [u8; 32]) -> Result<Self, KeyError> {
        let public = crate::noise::public_key(&noise_key);
        let message = [STATIC_KEY_DOMAIN, &public].concat();
        let signature = keypair.sign(&message).map_err(|e| KeyError::Signing(e.to_string()))?;
        let public_key = keypair.public().encode_protobuf();
        Ok(Self { peer_id: keypair.public().to_peer_id(), public_key, noise_key, signature })
    }

    /// This host's peer id.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// The identity's public key, as libp2p encodes it.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(crate) fn noise_key(&self) -> &[u8; 32] {
        &self.noise_key
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

/// Checks that the owner of `key` signed the Noise static key `noise_public`.
pub(crate) fn check_static_key(key: &PublicKey, noise_public: &[u8], signature: &[u8]) -> Result<(), KeyError> {
    let message = [STATIC_KEY_DOMAIN, noise_public].concat();
    if key.verify(&message, signature) { Ok(()) } else { Err(KeyError::BadSignature) }
}
