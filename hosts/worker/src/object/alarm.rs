//! The one alarm of an object, on which all deadlines of its peers hang.

use std::time::Duration;

use worker::ScheduledTime;
use worker::durable::SetAlarmOptions;

use super::{PAUSE, Peers};
use crate::host::now;
use crate::peer::Peer;

/// Alarms closer than this to the one that is set are not worth a write.
const ALARM_SLACK: Duration = Duration::from_secs(1);

/// What an object knows of its alarm since it woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    Unknown,
    None,
    At(Duration),
}

impl Peers {
    /// Sets the alarm to the first deadline of all peers that are awake. Those that sleep had theirs in it before.
    pub(super) async fn set_alarm(&self) {
        let now = now();
        let due = |peer: &Peer| if peer.pumping { peer.deadline() } else { peer.due(now) };
        let first = self.peers.borrow().values().filter_map(|peer| due(&peer.borrow())).min();
        if let Some(first) = first {
            self.ring(first.max(now + PAUSE)).await;
        }
    }

    /// Lets the alarm ring at `time` or earlier.
    pub(super) async fn ring(&self, time: Duration) {
        if self.alarm.get() == Alarm::Unknown {
            let set = self.state.storage().get_alarm().await.ok().flatten();
            let set = set.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
            // Another event may have set it meanwhile.
            if self.alarm.get() == Alarm::Unknown {
                self.alarm.set(set.map_or(Alarm::None, Alarm::At));
            }
        }
        if matches!(self.alarm.get(), Alarm::At(set) if set <= time + ALARM_SLACK) {
            return;
        }
        self.alarm.set(Alarm::At(time));
        let at = ScheduledTime::new(worker::js_sys::Date::new(&(time.as_millis() as f64).into()));
        // What is sent need not wait until it is written.
        let options = SetAlarmOptions { allow_unconfirmed: Some(true), ..SetAlarmOptions::default() };
        if let Err(error) = self.state.storage().set_alarm_with_options(at, options).await {
            self.alarm.set(Alarm::Unknown);
            worker::console_warn!("{}", serde_json::json!({ "event": "alarm", "error": error.to_string() }));
        }
    }
}
