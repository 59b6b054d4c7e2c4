//! The JSON that the first badbits list came as: `[{"anchor": "<64 hex digits>"}, …]`, all of them legacy anchors.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};

use crate::rule::{LineError, Rule, Subject, anchor};
use crate::rules::{ListError, Rules};

/// Adds the rules of a list. Its items are not held: they are added as they are read.
pub(crate) fn read(text: &[u8], rules: &mut Rules) -> Result<(), ListError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut items = Items { rules, full: false };
    let read = reader.deserialize_seq(&mut items).and_then(|()| reader.end());
    match read {
        Err(_) if items.full => Err(ListError::TooMany),
        read => read.map_err(|error| ListError::Json(error.to_string())),
    }
}

/// An item; what else it says is passed over.
#[derive(Deserialize)]
struct Item {
    anchor: String,
}

struct Items<'a> {
    rules: &'a mut Rules,
    full: bool,
}

impl<'de> Visitor<'de> for &mut Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects with an anchor")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(item) = list.next_element::<Item>()? {
            number += 1;
            match anchor(&item.anchor) {
                Some(digest) => {
                    let rule = Rule { allow: false, subject: Subject::Legacy(digest) };
                    if self.rules.push(&rule).is_err() {
                        self.full = true;
                        return Err(A::Error::custom("too many"));
                    }
                }
                None => self.rules.malformed(number, LineError::Hash),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANCHOR: &str = "9114ba0c4aa2a162ac02d1c77cbb09eaa65f10e9c66484a5bd65902640387a5b";

    #[test]
    fn anchors_are_read_whatever_else_their_items_say() {
        let mut rules = Rules::new();
        let list =
            format!(r#" [{{"anchor":"{ANCHOR}"}}, {{"reason": [1, {{}}], "anchor": "{ANCHOR}"}}, {{"anchor": ""}}]"#);
        rules.read(list.as_bytes()).expect("a list");
        assert_eq!((rules.counts().legacy, rules.counts().malformed), (2, 1));
        assert_eq!(rules.problems()[0].line, 3);
        Rules::new().read(b"[]").expect("a list that denies nothing");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for list in [
            "[".to_owned(),
            format!(r#"[{{"anchor":"{ANCHOR}"}}"#),
            format!(r#"[{{"anchor":"{ANCHOR}"}}] and more"#),
            r#"[{"cid":"x"}]"#.to_owned(),
            "[[".repeat(100_000),
        ] {
            assert!(matches!(Rules::new().read(list.as_bytes()), Err(ListError::Json(_))), "{list:.40}");
        }
    }
}
