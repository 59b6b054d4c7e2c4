//! What a deployment may set, and what it is told when that is wrong.

use libp2p_identity::Keypair;

use super::*;

/// An environment: a good identity, one bucket, and what is given.
fn parse(variables: &[(&str, &str)], bindings: &[&str]) -> Result<Config, ConfigError> {
    let key = Keypair::ed25519_from_bytes([5; 32]).expect("a key");
    let secret = Identity::new(&key, [7; 32]).expect("signed").to_secret();
    let text = |name: &str| match variables.iter().find(|(variable, _)| *variable == name) {
        Some((_, value)) => Some((*value).to_owned()),
        None => (name == "HOVERBOARD_IDENTITY").then(|| secret.clone()),
    };
    Config::parse(&text, &|name| bindings.contains(&name))
}

fn refused(variable: &str, value: &str) {
    let error = parse(&[(variable, value)], &["PEERS", "BUCKET"]).expect_err(value).to_string();
    assert!(error.starts_with(variable), "{error}");
    assert!(value.is_empty() || !error.contains(value), "{error}");
}

#[test]
fn an_identity_and_a_bucket_are_enough() {
    let config = parse(&[], &["PEERS", "BUCKET"]).expect("good");
    assert_eq!(config.mode, Mode::Object);
    assert_eq!(config.buckets, Buckets::One { prefix: Path::default() });
    assert_eq!(config.budget().requests, 10_000);
    assert!(config.announce.is_empty());
}

#[test]
fn three_buckets_do_as_well() {
    let config = parse(&[("HOVERBOARD_MODE", "plain")], &["CARPARK", "DUDEWHERE", "SATNAV"]).expect("good");
    assert_eq!(config.buckets, Buckets::Three);
    let error = parse(&[], &["PEERS", "CARPARK", "DUDEWHERE"]).expect_err("one is missing");
    assert!(error.to_string().starts_with("SATNAV"), "{error}");
}

#[test]
fn a_wrong_value_names_its_variable_and_is_not_repeated() {
    refused("HOVERBOARD_IDENTITY", "");
    refused("HOVERBOARD_IDENTITY", "hoverboard:1:AAAAAAAAAAAA");
    refused("HOVERBOARD_IDENTITY", "CAESQPvt7F0hunter2");
    refused("HOVERBOARD_MODE", "objects");
    refused("HOVERBOARD_OBJECTS", "1001");
    refused("HOVERBOARD_REQUESTS", "ten thousand");
    refused("HOVERBOARD_CPU_MS", "-17");
    refused("HOVERBOARD_MAX_CONNECTIONS", "77777777777777777777777");
    refused("HOVERBOARD_ANNOUNCE", "wss://example.net");
    refused("HOVERBOARD_PREFIX", "first//second");
    refused("HOVERBOARD_DENYLIST_REFRESH", "9");
    refused("HOVERBOARD_INDEX_TOKEN", "too-short");
    refused("HOVERBOARD_CARPARK_URL", "cars.example.net");
}

#[test]
fn nobody_is_told_where_blocks_are_unless_that_is_said() {
    let told = |variables: &[(&str, &str)]| {
        parse(variables, &["PEERS", "BUCKET"]).map(|config| config.told.map(|told| told.access))
    };
    let token = ("HOVERBOARD_INDEX_TOKEN", "0123456789abcdef");
    assert!(matches!(told(&[]), Ok(None)));
    assert!(matches!(told(&[("HOVERBOARD_INDEX_PUBLIC", "0")]), Ok(None)));
    assert!(matches!(told(&[("HOVERBOARD_INDEX_PUBLIC", "1")]), Ok(Some(Access::Public))));
    assert!(matches!(told(&[token]), Ok(Some(Access::Token(_)))));
    assert!(told(&[token, ("HOVERBOARD_INDEX_PUBLIC", "1")]).is_err());
}

#[test]
fn object_mode_wants_its_binding() {
    assert!(parse(&[], &["BUCKET"]).is_err());
    assert!(parse(&[("HOVERBOARD_MODE", "plain")], &["BUCKET"]).is_ok());
}

#[test]
fn debug_variables_count_only_where_debugging_is_on() {
    let on = |debug| parse(&[("HOVERBOARD_DEBUG", debug), ("HOVERBOARD_DEBUG_FORGET", "1")], &["PEERS", "BUCKET"]);
    assert!(!on("").expect("good").debug_forget);
    assert!(on("1").expect("good").debug_forget);
}

#[test]
fn a_network_always_meets_the_same_object_and_networks_are_spread() {
    let config = parse(&[("HOVERBOARD_OBJECTS", "16")], &["PEERS", "BUCKET"]).expect("good");
    assert_eq!(config.object_of("2001:db8:1:2:3::4"), config.object_of("2001:db8:1:2:ffff::1"));
    let names: std::collections::BTreeSet<_> =
        (0..200).map(|last| config.object_of(&format!("192.0.2.{last}"))).collect();
    assert_eq!(names.len(), 16, "{names:?}");
    assert!(config.object_of("").starts_with("peers-"));
}

#[test]
fn a_denylist_is_a_key_in_a_bucket() {
    let config = parse(&[("HOVERBOARD_DENYLIST", "lists/bad")], &["PEERS", "BUCKET"]).expect("good");
    let settings = deny::Settings { key: "lists/bad".to_owned(), refresh: Duration::from_secs(300), optional: false };
    assert_eq!(config.denylist, Some(settings));
    let three = ["PEERS", "CARPARK", "DUDEWHERE", "SATNAV"];
    let error = parse(&[("HOVERBOARD_DENYLIST", "lists/bad")], &three).expect_err("no bucket has it");
    assert!(error.to_string().starts_with("DENYLIST"), "{error}");
    assert_eq!(parse(&[], &three).expect("good").denylist, None);
}
