//! Which URLs are asked.

use core::net::IpAddr;

use hoverboard_claims::{Addresses, Allowed, Carpark, Policy, Refusal, Site, is_public};

use crate::support::{CAR_CID, car_cid};

fn policy() -> Policy {
    let mut policy = Policy::default();
    for allowed in ["good.example", "*.r2.example", "http://10.0.0.5:9000"] {
        policy.allowed.push(allowed.parse().unwrap());
    }
    policy.carparks.push("https://carpark.example/base".parse().unwrap());
    policy
}

#[test]
fn nothing_is_asked_that_nobody_allowed() {
    assert_eq!(Policy::default().admit("https://good.example/x"), Err(Refusal::Host));
}

#[test]
fn allowed_hosts_are_asked_by_https_at_public_addresses() {
    for url in
        ["https://good.example/x?y=z", "https://a.r2.example/", "https://a.b.r2.example/", "HTTPS://GOOD.EXAMPLE:443/"]
    {
        let Ok(Site::Web { addresses: Addresses::Public, .. }) = policy().admit(url) else { panic!("{url}") };
    }
}

#[test]
fn an_origin_that_is_vouched_for_is_asked_wherever_it_is() {
    let Ok(Site::Web { addresses: Addresses::Any, .. }) = policy().admit("http://10.0.0.5:9000/x") else { panic!() };
    for url in ["http://10.0.0.5/x", "https://10.0.0.5:9000/x", "http://10.0.0.6:9000/x"] {
        assert!(policy().admit(url).is_err(), "{url}");
    }
}

#[test]
fn everything_else_is_refused() {
    for (url, refusal) in [
        ("", Refusal::NoUrl),
        ("/etc/passwd", Refusal::NoUrl),
        ("https://", Refusal::NoUrl),
        ("http://good.example/", Refusal::NotHttps),
        ("file:///etc/passwd", Refusal::NotHttps),
        ("ftp://good.example/", Refusal::NotHttps),
        ("data:,x", Refusal::NotHttps),
        ("https://good.example:8443/", Refusal::Port),
        ("https://good.example.evil.example/", Refusal::Host),
        ("https://evilgood.example/", Refusal::Host),
        ("https://r2.example/", Refusal::Host),
        ("https://evilr2.example/", Refusal::Host),
        ("https://good.example./", Refusal::Host),
        ("https://user@good.example/", Refusal::Credentials),
        ("https://good.example@evil.example/", Refusal::Credentials),
        ("https://127.0.0.1/", Refusal::Host),
        ("https://2130706433/", Refusal::Host),
        ("https://0x7f.1/", Refusal::Host),
        ("https://[::1]/", Refusal::Host),
        ("https://localhost/", Refusal::Host),
        // A backslash is a slash to a browser: both readings have to be of one host.
        ("https://evil.example\\@good.example/", Refusal::Host),
    ] {
        assert_eq!(policy().admit(url), Err(refusal), "{url}");
    }
}

#[test]
fn our_own_carpark_is_not_asked_but_read() {
    let digest: [u8; 32] = car_cid().hash().digest().try_into().unwrap();
    let blob = "zQmRSdGTkQvCjNBEMDCALhVwEKnVrWMJtV6yMnqpqL9nVqS";
    let under = |path: &str| policy().admit(&format!("https://carpark.example/base/{path}"));
    assert_eq!(under(&format!("{CAR_CID}/{CAR_CID}.car")), Ok(Site::Car(digest)));
    let name = multibase_58(&car_cid().hash().to_bytes());
    assert_eq!(under(&format!("{name}/{name}.blob")), Ok(Site::Car(digest)));
    for path in [
        String::new(),
        format!("{CAR_CID}/{CAR_CID}.car?x"),
        format!("{CAR_CID}/{CAR_CID}.car.idx"),
        format!("{CAR_CID}/{blob}.car"),
        format!("{CAR_CID}/../{CAR_CID}.car"),
        format!("x/{CAR_CID}/{CAR_CID}.car"),
        format!("{CAR_CID}%2F{CAR_CID}.car"),
    ] {
        assert_eq!(under(&path), Err(Refusal::Host), "{path}");
    }
}

fn multibase_58(bytes: &[u8]) -> String {
    hoverboard_claims::Ask::path(&multihash::Multihash::from_bytes(bytes).unwrap())
        .trim_start_matches("claims/multihash/")
        .trim_end_matches("?walk=parts,includes")
        .to_owned()
}

#[test]
fn what_allows_nothing_is_said_at_once() {
    for text in
        ["", "*", "*.", "10.0.0.1", "[::1]", "a b", "https://a.example/path", "ftp://a.example", "https://u@a.example"]
    {
        assert!(text.parse::<Allowed>().is_err(), "{text}");
    }
    for url in ["", "carpark", "https://a/?x", "https://u:p@a/", "file:///x"] {
        assert!(url.parse::<Carpark>().is_err(), "{url}");
    }
}

#[test]
fn private_addresses_are_not_public_in_any_disguise() {
    let public = |text: &str| is_public(text.parse::<IpAddr>().unwrap());
    for text in ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255"] {
        assert!(public(text), "{text}");
    }
    for text in ["2606:4700::1", "2a00::1", "2001:4860::1", "2001:200::1", "64:ff9b::101:101", "::ffff:1.1.1.1"] {
        assert!(public(text), "{text}");
    }
    for text in [
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        assert!(!public(text), "{text}");
        assert!(!public(&format!("::ffff:{text}")), "{text} mapped");
        let octets = text.parse::<core::net::Ipv4Addr>().unwrap().octets();
        let [a, b, c, d] = octets.map(u16::from);
        assert!(!public(&format!("64:ff9b::{:x}:{:x}", a << 8 | b, c << 8 | d)), "{text} by NAT64");
        assert!(!public(&format!("2002:{:x}:{:x}::1", a << 8 | b, c << 8 | d)), "{text} by 6to4");
    }
    for text in [
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2001:10::1",
        "3fff::1",
        "100::1",
        "::127.0.0.1",
        "64:ff9b:1::1",
        "5f00::1",
    ] {
        assert!(!public(text), "{text}");
    }
}
