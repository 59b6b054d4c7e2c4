//! Whatever bytes are read as a stored ledger, and whatever text as limits: nothing panics, and a ledger that was read
//! goes on.
#![no_main]

use hoverboard_caps::meter::Report;
use hoverboard_caps::{Caller, Limits, Override, Prices, Rules, Shard, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u64, bool, &[u8])| {
    let (text, now, asks, state) = input;
    if let Ok(limits) = text.parse::<Limits>() {
        assert_eq!(limits.to_string().parse(), Ok(limits));
    }
    let _ = text.parse::<Prices>();
    let rules = Rules { overrides: text.parse::<Override>().into_iter().collect(), ..Rules::unlimited() };
    let Ok(mut shard) = Shard::decode(state) else { return };
    let peer = libp2p_identity::PeerId::from_bytes(&[0, 1, 7]).expect("an id");
    let caller = Caller { peer, address: std::net::IpAddr::from([192, 0, 2, 1]).into() };
    shard.report(&rules, &caller, &Report { asks, ..Report::default() }, Timestamp(now));
    shard.top(Timestamp(now), 10);
    shard.prune(&rules, Timestamp(now));
    Shard::decode(&shard.encode()).expect("what was written is read");
});
