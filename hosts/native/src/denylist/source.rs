//! Where a denylist comes from, as a flag names it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::store::Location;

/// A file, `https://…`, or `s3://BUCKET/KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A local file
    File(PathBuf),
    /// What a GET of this address answers
    Url(Url),
    /// An object: its key is the location's prefix
    Object(Location),
}

/// A text that names no denylist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It is none of the three
    #[error("write a file, https://…, or s3://BUCKET/KEY")]
    Form,
    /// Whoever is on the way could change what is denied
    #[error("a denylist comes over https, or over http from this machine")]
    PlainHttp,
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return if text.is_empty() { Err(SourceError::Form) } else { Ok(Self::File(text.into())) };
        };
        match scheme {
            "s3" => match text.parse() {
                Ok(Location::S3 { prefix, .. }) if prefix.as_ref().is_empty() => Err(SourceError::Form),
                Ok(location) => Ok(Self::Object(location)),
                Err(_) => Err(SourceError::Form),
            },
            "https" | "http" => {
                let url = Url::parse(text).map_err(|_| SourceError::Form)?;
                if url.scheme() == "https" || is_loopback(&url) {
                    Ok(Self::Url(url))
                } else {
                    Err(SourceError::PlainHttp)
                }
            }
            _ => Err(SourceError::Form),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for Source {
    /// A URL without what may be secret in it: user, password and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Object(location) => location.fmt(f),
            Self::Url(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_file_an_address_or_an_object() {
        assert_eq!("some/list.deny".parse(), Ok(Source::File("some/list.deny".into())));
        for text in ["https://example.org/denylist.json", "http://127.0.0.1:8080/list", "http://[::1]/list"] {
            let source: Source = text.parse().expect(text);
            assert!(matches!(source, Source::Url(_)));
            assert_eq!(source.to_string(), text);
        }
        assert!(matches!("s3://bucket/lists/bad.deny".parse(), Ok(Source::Object(Location::S3 { .. }))));
        for text in ["", "s3://bucket", "s3://bucket/", "ftp://example.org/list", "https://"] {
            assert_eq!(text.parse::<Source>(), Err(SourceError::Form), "{text}");
        }
        for text in ["http://example.org/list", "http://127.0.0.1.example.org/list", "http://192.0.2.1/"] {
            assert_eq!(text.parse::<Source>(), Err(SourceError::PlainHttp), "{text}");
        }
    }

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        let source: Source = "https://user:secret@example.org/list?token=secret#x".parse().expect("an address");
        assert_eq!(source.to_string(), "https://example.org/list");
    }
}
