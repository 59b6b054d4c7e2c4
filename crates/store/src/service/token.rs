//! The token that opens the service. It is a secret: nothing shows it, and it is compared in constant time.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The shortest token, in bytes. One from `openssl rand -hex 16` has 32.
const MIN_LEN: usize = 16;
/// The longest.
const MAX_LEN: usize = 512;

/// A token, of which only the hash is kept: tokens of every length compare alike.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 16 to 512 letters, digits and signs of ASCII, without spaces")]
pub struct TokenError;

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let fits = (MIN_LEN..=MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self::hash(text.as_bytes())) } else { Err(TokenError) }
    }
}

impl Token {
    fn hash(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Whether an `Authorization` header has it.
    pub(super) fn is_in(&self, header: &[u8]) -> bool {
        let Some((scheme, rest)) = header.split_at_checked("Bearer ".len()) else { return false };
        let sent = rest.trim_ascii();
        scheme.eq_ignore_ascii_case(b"Bearer ") && sent.len() <= MAX_LEN && Self::hash(sent).0.ct_eq(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let token: Token = "0123456789abcdef".parse().unwrap();
        for header in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(token.is_in(header.as_bytes()), "{header}");
        }
        for header in ["", "Bearer", "Bearer ", "0123456789abcdef", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef"]
        {
            assert!(!token.is_in(header.as_bytes()), "{header}");
        }
    }

    #[test]
    fn what_could_be_guessed_or_not_be_sent_is_no_token() {
        for text in ["", "0123456789abcde", "0123456789abcde ", "0123456789abcde\u{e9}", &"a".repeat(513)] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        let token: Token = "0123456789abcdef".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
