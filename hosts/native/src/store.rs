//! Opening the store that a flag names: a local folder, or a bucket of S3 or of what speaks it, such as R2.
//!
//! S3 is set up by the variables that its other tools read: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
//! `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, and the rest of those that object_store's builder knows.
//!
//! | module | it is |
//! |---|---|
//! | [`serving`] | what all connections share of a store that is served |
//! | [`peers`] | which CARs each peer was reading |
//! | [`counted`] | a part of a store, and how often it is asked |

mod counted;
mod peers;
mod serving;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hoverboard_store::layout::{self, CARPARK, INDEX, SATNAV};
use hoverboard_store::{Bucket, CarCid};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

pub use self::serving::ServedStore;

/// The time in which a write must have its answer: a part of 8 MiB at 256 kbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// A request that fails for a reason that may pass is tried again for so long, and so often.
const RETRY_FOR: Duration = Duration::from_secs(120);
const RETRIES: usize = 6;
/// A file being written that was not touched for so long is nobody's.
const STALE: Duration = Duration::from_secs(600);
/// Where S3's requests go if no variable says so, in R2's word for "wherever it is".
const DEFAULT_REGION: &str = "auto";

/// Where a store is: a folder, or `s3://BUCKET[/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local folder
    Folder(PathBuf),
    /// A bucket, or what lies under a prefix of it
    S3 {
        /// The bucket's name
        bucket: String,
        /// The prefix; empty for all of it
        prefix: Path,
    },
}

/// A text that names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a folder, or s3://BUCKET or s3://BUCKET/PREFIX")]
pub struct LocationError;

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() { Err(LocationError) } else { Ok(Self::Folder(text.into())) };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme != "s3" || bucket.is_empty() {
            return Err(LocationError);
        }
        let prefix = Path::parse(prefix).map_err(|_| LocationError)?;
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.as_ref().is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Why a store cannot be opened: what, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is not there or cannot be made
    #[error("cannot use the folder {}: {error}", path.display())]
    Folder {
        /// The folder
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
    /// S3 wants to know who asks
    #[error("no credentials for {0}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    NoCredentials(Location),
    /// Keys and data would go over the network as they are
    #[error("AWS_ENDPOINT_URL {0} is not encrypted: use https, or set AWS_ALLOW_HTTP=true")]
    PlainHttp(String),
    /// It is not there, or does not let itself be read
    #[error("cannot read {location}: {why}. Look at --store, and for S3 at the AWS_… variables")]
    Unreadable {
        /// The store
        location: Location,
        /// What it says, if anything
        why: String,
    },
    /// What peers were reading cannot be kept
    #[error("cannot use the state folder {}: {error}. Give another one with --state DIR", path.display())]
    State {
        /// The folder
        path: PathBuf,
        /// Why not
        error: io::Error,
    },
    /// Claims cannot be asked for
    #[error("cannot ask for claims: {0}")]
    Claims(#[from] crate::claims::FetchError),
    /// A setting is wrong
    #[error("cannot use {location}: {error}. Look at the AWS_… variables")]
    S3 {
        /// The store
        location: Location,
        /// What the builder says
        error: object_store::Error,
    },
}

/// What the store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It has to be there
    Read,
    /// A folder that is not there is made
    Write,
    /// It has to be there, and is written to
    Existing,
}

impl Location {
    /// Opens the store with the variables of this process. Nothing is asked of S3 yet.
    pub fn open(&self, access: Access) -> Result<Bucket, StoreError> {
        self.open_with(access, variables())
    }

    /// Opens the store with these variables, of which the ones that begin with `AWS_` count.
    pub fn open_with(
        &self,
        access: Access,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Bucket, StoreError> {
        match self {
            Self::Folder(path) => {
                let store = open_folder(path, access);
                let store = store.map_err(|error| StoreError::Folder { path: path.clone(), error })?;
                Ok(Bucket::under(&store, &Path::default()))
            }
            Self::S3 { bucket, prefix } => Ok(Bucket::under(&self.open_s3(bucket, access, variables)?, prefix)),
        }
    }

    /// The bucket of S3 itself, for an object that is no part of a store. `None` for a folder. Nothing is asked of S3 yet.
    pub(crate) fn bucket(&self, access: Access) -> Result<Option<Arc<dyn ObjectStore>>, StoreError> {
        match self {
            Self::Folder(_) => Ok(None),
            Self::S3 { bucket, .. } => self.open_s3(bucket, access, variables()).map(Some),
        }
    }

    /// Removes what a write of this CAR or its index left in a folder when it was killed. Readers do not see it, but it
    /// takes the room of a CAR. What was touched in the last ten minutes may be a write that is going on.
    pub fn clear_leftovers(&self, car: &CarCid) {
        let Self::Folder(path) = self else { return };
        for (place, key) in [(CARPARK, layout::car(car)), (SATNAV, layout::index(car))] {
            let object = path.join(place).join(key.as_ref());
            if let (Some(folder), Some(name)) = (object.parent(), object.file_name().and_then(|name| name.to_str())) {
                clear_staged(folder, name);
            }
        }
    }

    /// The same for the objects of the index.
    pub fn clear_index_leftovers(&self) {
        let Self::Folder(path) = self else { return };
        let index = path.join(INDEX);
        let runs = std::fs::read_dir(index.join("runs")).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in ["manifest", "cars"].map(|name| index.join(name)).into_iter().chain(runs) {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if let Some((name, _)) = entry.file_name().to_str().and_then(|name| name.split_once('#')) {
                    clear_staged(&folder, name);
                }
            }
        }
    }

    fn open_s3(
        &self,
        bucket: &str,
        access: Access,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Arc<dyn ObjectStore>, StoreError> {
        // TLS has no provider of its own here; a second call finds the first one's and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = match access {
            // Whoever reads notices when nothing comes, and lets a slow peer take its time.
            Access::Read => ClientOptions::new().with_timeout_disabled(),
            Access::Write | Access::Existing => ClientOptions::new().with_timeout(REQUEST_TIMEOUT),
        };
        let mut builder =
            AmazonS3Builder::new().with_region(DEFAULT_REGION).with_client_options(client).with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES,
                retry_timeout: RETRY_FOR,
            });
        for (name, value) in variables {
            if name.starts_with("AWS_")
                && let Ok(key) = name.to_ascii_lowercase().parse()
            {
                builder = builder.with_config(key, value);
            }
        }
        builder = builder.with_bucket_name(bucket);
        // Without any of these the address of a cloud machine's own metadata service would be asked, which elsewhere
        // takes a minute to fail: who wants that names its endpoint.
        let setting = |key| builder.get_config_value(key);
        let anonymous = setting(&AmazonS3ConfigKey::SkipSignature).as_deref() == Some("true");
        if !anonymous && KNOWN_CREDENTIALS.iter().all(|key| setting(key).is_none()) {
            return Err(StoreError::NoCredentials(self.clone()));
        }
        builder = allow_loopback(builder)?;
        let store = builder.build().map_err(|error| StoreError::S3 { location: self.clone(), error })?;
        Ok(Arc::new(store))
    }
}

/// The variables of this process that are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

/// The settings, one of which says who asks.
const KNOWN_CREDENTIALS: [AmazonS3ConfigKey; 5] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
    AmazonS3ConfigKey::MetadataEndpoint,
];

/// Lets an endpoint on this machine do without TLS, and no other one unless the user says so.
fn allow_loopback(builder: AmazonS3Builder) -> Result<AmazonS3Builder, StoreError> {
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoint.iter().find_map(|key| builder.get_config_value(key));
    let Some(endpoint) = endpoint.filter(|endpoint| endpoint.starts_with("http://")) else {
        return Ok(builder);
    };
    let allowed = builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    match is_loopback(&endpoint) {
        true => Ok(builder.with_allow_http(true)),
        false if allowed.as_deref() == Some("true") => Ok(builder),
        false => Err(StoreError::PlainHttp(endpoint)),
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let authority = endpoint.trim_start_matches("http://").split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A folder whose files are on the disk when a write is answered.
fn open_folder(path: &std::path::Path, access: Access) -> io::Result<Arc<dyn ObjectStore>> {
    match access {
        Access::Write => std::fs::create_dir_all(path)?,
        Access::Read | Access::Existing if !path.metadata()?.is_dir() => {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Access::Read | Access::Existing => {}
    }
    let store = LocalFileSystem::new_with_prefix(path).map_err(io::Error::other)?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// Removes the files that `object_store` writes beside an object before they take its name: `NAME#1`, `NAME#2`…
fn clear_staged(folder: &std::path::Path, name: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let staged =
            entry.file_name().to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('#')?.parse().ok());
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|modified| modified.elapsed().ok());
        if staged.is_some_and(|_: u32| age.is_some_and(|age| age > STALE))
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove what an earlier write left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(variables: &[(&str, &str)]) -> Result<Bucket, StoreError> {
        let location: Location = "s3://bucket/some/prefix".parse().unwrap();
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        location.open_with(Access::Read, owned)
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    #[test]
    fn a_location_is_a_folder_or_a_bucket() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: Path::from(prefix) };
        assert_eq!("some/folder".parse(), Ok(Location::Folder("some/folder".into())));
        assert_eq!("s3://cars".parse(), Ok(s3("cars", "")));
        assert_eq!("s3://cars/".parse(), Ok(s3("cars", "")));
        assert_eq!("s3://cars/a/b".parse(), Ok(s3("cars", "a/b")));
        for wrong in ["", "s3://", "s3:///prefix", "gs://cars", "https://example.com/cars", "s3://cars/a//b"] {
            assert_eq!(wrong.parse::<Location>(), Err(LocationError), "{wrong}");
        }
        for text in ["some/folder", "s3://cars", "s3://cars/a/b"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn s3_without_credentials_is_refused_before_anything_is_asked() {
        assert!(matches!(open(&[]), Err(StoreError::NoCredentials(_))));
        assert!(open(&KEYS).is_ok());
        assert!(open(&[("AWS_SKIP_SIGNATURE", "true")]).is_ok());
    }

    #[test]
    fn plain_http_is_for_loopback_unless_the_user_says_so() {
        let with = |endpoint| open(&[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", endpoint)]);
        for good in ["http://127.0.0.1:9000", "http://localhost:1/", "http://[::1]:9", "https://s3.example"] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in
            ["http://192.0.2.1:9000", "http://s3.example", "http://localhost.example", "http://127.0.0.1.example"]
        {
            assert!(matches!(with(bad), Err(StoreError::PlainHttp(_))), "{bad}");
        }
        let allowed = [KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", "http://s3.example"), ("AWS_ALLOW_HTTP", "true")];
        assert!(open(&allowed).is_ok());
    }

    #[test]
    fn what_a_killed_write_left_is_removed_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let car = CarCid::of_digest([7; 32]);
        let place = folder.path().join(CARPARK).join(car.to_string());
        std::fs::create_dir_all(&place).unwrap();
        let names = ["#1", "#12", "", "#x", "#"].map(|end| format!("{car}.car{end}"));
        let old = std::time::SystemTime::now() - 2 * STALE;
        for name in &names {
            std::fs::File::create(place.join(name)).unwrap().set_modified(old).unwrap();
        }
        std::fs::File::create(place.join(format!("{car}.car#3"))).unwrap();
        Location::Folder(folder.path().into()).clear_leftovers(&car);
        let mut left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["", "#", "#3", "#x"].map(|end| std::ffi::OsString::from(format!("{car}.car{end}"))));
    }

    #[test]
    fn a_folder_is_made_to_write_in_and_has_to_be_there_to_read_from() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().join("new/one"));
        assert!(matches!(location.open(Access::Read), Err(StoreError::Folder { .. })));
        location.open(Access::Write).unwrap();
        location.open(Access::Read).unwrap();
    }
}
