//! What R2 tells a queue of an object that was written or deleted. Of all that is in it only the key counts: what happened to
//! the object is looked up, because messages are late, doubled and out of order.

use hoverboard_store::{CarCid, layout};
use object_store::path::Path;
use serde::Deserialize;

use crate::config::Buckets;

/// A message: the part of the documented form that is needed here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Notification {
    object: Object,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Object {
    key: String,
}

/// Why a message says nothing.
#[derive(Debug, thiserror::Error)]
#[error("this is no notification of R2: {0}")]
pub(crate) struct Unreadable(#[from] serde_json::Error);

impl Notification {
    pub(crate) fn parse(json: &serde_json::Value) -> Result<Self, Unreadable> {
        Ok(Self::deserialize(json)?)
    }

    /// The object's key.
    pub(crate) fn key(&self) -> &str {
        &self.object.key
    }

    /// The CAR that it is about. `None`: about something else that lies in the bucket.
    pub(crate) fn car(&self, buckets: &Buckets) -> Option<CarCid> {
        let key = Path::parse(self.key()).ok()?;
        let key: Path = match buckets {
            Buckets::One { prefix } => key.prefix_match(&prefix.clone().join(layout::CARPARK))?.collect(),
            Buckets::Three => key,
        };
        layout::car_of_key(&key).map(|(car, _)| car)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CAR: &str = "bagbaierafol62xwr2iymv62bquys55itmiemqk4oxupqm64muc45wuizh3vq";

    fn about(key: &str) -> Notification {
        let json = json!({
            "account": "3f4b7e3dcab231cbfdaa90a6a28bd548", "action": "CopyObject", "bucket": "cars",
            "object": { "key": key, "size": 65536, "eTag": "c846ff7a18f28c2e262116d6e8719ef0" },
            "eventTime": "2024-05-24T19:36:44.379Z", "copySource": { "bucket": "other", "object": "a" },
        });
        Notification::parse(&json).expect("the documented form")
    }

    #[test]
    fn a_message_names_its_car_wherever_the_layout_begins() {
        let car: CarCid = CAR.parse().expect("a CAR");
        let one = |prefix: &str| Buckets::One { prefix: Path::from(prefix) };
        for key in [layout::car(&car), layout::blob(&car)] {
            assert_eq!(about(&format!("carpark/{key}")).car(&one("")), Some(car));
            assert_eq!(about(&format!("a/b/carpark/{key}")).car(&one("a/b")), Some(car));
            assert_eq!(about(key.as_ref()).car(&Buckets::Three), Some(car));
            assert_eq!(about(key.as_ref()).car(&one("")), None);
            assert_eq!(about(&format!("carpark/{key}")).car(&one("a")), None);
        }
    }

    #[test]
    fn messages_about_other_objects_are_about_no_car_and_others_are_none() {
        for key in ["carpark/x.car", "satnav/a/a.car.idx", "", "//", "carpark"] {
            assert_eq!(about(key).car(&Buckets::One { prefix: Path::default() }), None, "{key}");
        }
        for other in [json!(null), json!([]), json!({ "object": {} }), json!("carpark/x.car")] {
            assert!(Notification::parse(&other).is_err(), "{other}");
        }
    }
}
