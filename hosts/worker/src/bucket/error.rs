//! What the binding says when it does not do as it was asked.

use hoverboard_store::ledger::TooManySubrequests;
use object_store::Error;
use object_store::path::Path;

/// What errors call this kind of store.
pub(super) const NAME: &str = "R2";

/// The words by which the platform refuses any further request in an event, in lower case.
const REFUSALS: [&str; 2] = ["too many subrequests", "too many api requests"];

/// The numbers of R2's errors that say that something is not there: a key, an upload.
const NOT_THERE: [&str; 2] = ["(10007)", "(10024)"];

/// R2's number for a condition that does not hold.
const CONDITION: &str = "(10031)";

/// An error of the binding, told apart by its words: it has no other mark.
pub(super) fn failed(location: &Path, error: &worker::Error) -> Error {
    let said = error.to_string();
    let lower = said.to_ascii_lowercase();
    if REFUSALS.iter().any(|refusal| lower.contains(refusal)) {
        generic(TooManySubrequests.into())
    } else if NOT_THERE.iter().any(|number| said.contains(number)) {
        Error::NotFound { path: location.to_string(), source: said.into() }
    } else if said.contains(CONDITION) {
        Error::Precondition { path: location.to_string(), source: said.into() }
    } else {
        generic(format!("{location}: {said}").into())
    }
}

pub(super) fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Generic { store: NAME, source }
}

pub(super) fn no_key(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: "no such key".into() }
}

pub(super) fn precondition(location: &Path) -> Error {
    Error::Precondition { path: location.to_string(), source: "the object is another one".into() }
}

pub(super) fn exists(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "the key is taken".into() }
}

#[cfg(test)]
mod tests {
    use hoverboard_store::ledger::Spent;

    use super::*;

    fn told(said: &str) -> Error {
        failed(&Path::from("a/key"), &worker::Error::RustError(said.to_owned()))
    }

    #[test]
    fn the_platforms_refusal_is_recognised() {
        for said in ["Error: Too many subrequests.", "Too many API requests by single Worker invocation."] {
            assert_eq!(Spent::of(&told(said)), Some(Spent::Platform), "{said}");
        }
        assert_eq!(Spent::of(&told("get: Internal error (10001)")), None);
    }

    #[test]
    fn only_what_is_not_there_is_not_found() {
        assert!(matches!(told("get: The specified key does not exist. (10007)"), Error::NotFound { .. }));
        assert!(matches!(told("get: At least one of the pre-conditions failed (10031)"), Error::Precondition { .. }));
        for said in ["get: Internal error (10001)", "Network connection lost.", "get: please retry (10058)"] {
            assert!(matches!(told(said), Error::Generic { .. }), "{said}");
        }
    }

    #[test]
    fn an_error_names_the_key() {
        assert!(told("Network connection lost.").to_string().contains("a/key"));
    }
}
