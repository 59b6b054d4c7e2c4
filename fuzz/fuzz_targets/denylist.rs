//! A list that is read compiles to what opens, with as many rules; bytes that open are searched without a fault, and add up
//! to the same again.
#![no_main]

use bytes::Bytes;
use hoverboard_denylist::{Denylist, Keys, Rules};
use libfuzzer_sys::fuzz_target;
use multihash::Multihash;

fuzz_target!(|bytes: &[u8]| {
    let mut rules = Rules::new();
    if rules.read(bytes).is_ok() {
        let counts = rules.counts();
        let list = Denylist::open(rules.compile()).expect("as it was written");
        assert!(list.counts().enforced() <= counts.enforced());
        assert!(list.counts().enforced() > 0 || counts.enforced() == 0);
    }
    if let Ok(list) = Denylist::open(Bytes::copy_from_slice(bytes)) {
        let multihash = Multihash::wrap(0x12, &bytes[..bytes.len().min(32)]).expect("short");
        let _ = list.verdict(&Keys::of_multihash(&multihash));
        let mut again = Rules::new();
        again.add(&list).expect("as many");
        assert_eq!(Denylist::open(again.compile()).expect("written").counts(), list.counts());
    }
});
