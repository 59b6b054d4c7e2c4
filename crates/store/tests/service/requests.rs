//! What is asked, and who may.

use hoverboard_store::service::{Access, Admitted, MAX_BATCH, MAX_BODY, Query, Request};
use serde_json::json;

use crate::support::{Place, Runs, TOKEN, cid, z58};

#[tokio::test]
async fn other_paths_are_for_others() {
    let place = Place::new(Vec::new());
    for path in ["/", "", "/metrics", "/blocksx", "blocks/x", "/health/live"] {
        assert!(place.ask("GET", path, "").await.is_none(), "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let place = Place::new(Vec::new());
    let block = z58(&cid(b"x"));
    let many = json!(vec![&block; MAX_BATCH + 1]).to_string();
    let long = " ".repeat(MAX_BODY + 1);
    for (method, path, body, status) in [
        ("GET", "/blocks", "", 405),
        ("POST", &format!("/blocks/{block}"), "", 405),
        ("DELETE", &format!("/claims/multihash/{block}"), "", 405),
        ("GET", "/blocks/nonsense", "", 400),
        ("GET", &format!("/blocks/{}", "z".repeat(10_000)), "", 400),
        ("GET", &format!("/blocks/{block}/x"), "", 404),
        ("GET", &format!("/claims/{block}"), "", 404),
        ("GET", "/claims", "", 404),
        ("POST", "/blocks", "", 400),
        ("POST", "/blocks", "{}", 400),
        ("POST", "/blocks", r#"["nonsense"]"#, 400),
        ("POST", "/blocks", &many, 400),
        ("POST", "/blocks", &long, 413),
        ("POST", "/blocks", "[]", 200),
        ("HEAD", &format!("/blocks/{block}"), "", 404),
    ] {
        assert_eq!(place.ask(method, path, body).await.unwrap().status, status, "{method} {path} {body}");
    }
}

#[test]
fn a_block_is_named_by_multihash_or_cid_in_any_base() {
    let block = cid(b"x");
    let base32 = multibase::encode(multibase::Base::Base32Lower, block.hash().to_bytes());
    let names = [z58(&block), base32, block.to_string(), cid::Cid::new_v0(*block.hash()).unwrap().to_string()];
    let Ok(Query::Blocks(multihashes)) = Query::of_body(json!(names).to_string().as_bytes()) else { panic!() };
    assert_eq!(multihashes, [*block.hash(); 4]);
}

#[test]
fn without_the_token_nothing_is_answered() {
    let place = Place::with(Runs::default(), Access::Token(TOKEN.parse().unwrap()), true);
    let path = format!("/blocks/{}", z58(&cid(b"x")));
    let admit = |path: &str, authorization: Option<&str>| {
        let authorization = authorization.map(str::as_bytes);
        place.service.admit(&Request { method: "GET", path, authorization }).unwrap()
    };
    assert!(matches!(admit(&path, Some(&format!("Bearer {TOKEN}"))), Admitted::Query(_)));
    for wrong in [None, Some(""), Some("Bearer"), Some("Bearer 0123456789abcdeX"), Some(TOKEN), Some("Basic x")] {
        // Not even which paths there are.
        for path in [&path, "/blocks/nonsense", "/claims/x/y/z"] {
            let Admitted::Answer(response) = admit(path, wrong) else { panic!("{wrong:?}") };
            assert_eq!(response.status, 401);
        }
    }
}
