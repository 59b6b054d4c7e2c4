//! The consumer of R2's notifications: a CAR that anybody put into CARPARK is checked, described and indexed, and one that is
//! gone is struck. `js/queue.js` has the messages, and does with each what is said here.
//!
//! It keeps nothing: what a message is about is looked up in the bucket, what is indexed in the index, and a CAR that is too long
//! for one event is read on from where the last one wrote down how far it had come. So messages may come twice, late, and in
//! any order. All changes of the index are made by one object, the [`committer`](crate::committer), many CARs in one.

mod notification;
pub(crate) mod workshop;

use std::rc::Rc;

use futures_util::future::join_all;
use hoverboard_store::CarCid;
use hoverboard_store::index::{IndexError, Piece, Verified};
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Env;

use self::notification::Notification;
use self::workshop::{MAX_BLOCKS, MAX_INDEX_BYTES, Workshop, piece};
use crate::committer::{self, Answer};
use crate::host::Host;

/// Seconds before a message whose CAR is not read to its end comes again.
const GO_ON: u32 = 0;
/// Seconds before a message is tried again that failed for a reason which may pass.
const AGAIN: u32 = 15;
/// Seconds before one is tried again for which there was no time.
const SOON: u32 = 1;

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Verdict {
    /// It is settled.
    Ack,
    /// It is to come again after so many seconds.
    Retry { after: u32, why: Option<String> },
    /// It will never be settled here, and a person has to see why.
    Bury { key: Option<String>, why: String },
}

/// Why a CAR cannot be indexed here.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it has more than {MAX_BLOCKS} blocks: `hoverboard index` indexes it")]
    Blocks,
    #[error("its index has {0} bytes, and {MAX_INDEX_BYTES} are the most: `hoverboard index` indexes it")]
    Index(u64),
    #[error("what was written of it is not there: somebody removes it")]
    Unread,
}

/// How a message stands.
enum Stage {
    Verdict(Verdict),
    Asking(Notification, CarCid),
    /// Its CAR has no index and has to be read.
    Reading(Notification, CarCid),
}

/// Settles the messages of a batch, a JSON array of their bodies; a JSON array of what is to be done with each.
#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys)]
pub async fn consume(env: Env, messages: String) -> Result<String, worker::wasm_bindgen::JsValue> {
    let verdicts = verdicts(&env, &messages).await?;
    serde_json::to_string(&verdicts).map_err(|error| worker::Error::from(error).into())
}

async fn verdicts(env: &Env, messages: &str) -> worker::Result<Vec<Verdict>> {
    let host = Host::of(env)?;
    let messages: Vec<serde_json::Value> = serde_json::from_str(messages)?;
    let consumer = Consumer { env, workshop: Workshop::new(&host, env)?, host };
    let mut stages: Vec<Stage> = messages.iter().map(|message| consumer.read(message)).collect();
    stages = join_all(stages.into_iter().map(|stage| consumer.ask(stage, false))).await;
    // One CAR after the other: the memory is that of one.
    let mut left = piece(&consumer.host);
    for stage in &mut stages {
        consumer.verify(stage, &mut left).await;
    }
    let stages = join_all(stages.into_iter().map(|stage| consumer.ask(stage, true))).await;
    let unsettled = || Verdict::Retry { after: AGAIN, why: Some(Refused::Unread.to_string()) };
    Ok(stages
        .into_iter()
        .map(|stage| if let Stage::Verdict(verdict) = stage { verdict } else { unsettled() })
        .collect())
}

struct Consumer<'a> {
    env: &'a Env,
    host: Rc<Host>,
    workshop: Workshop,
}

impl Consumer<'_> {
    fn read(&self, message: &serde_json::Value) -> Stage {
        let notification = match Notification::parse(message) {
            Ok(notification) => notification,
            Err(error) => return Stage::Verdict(Verdict::Bury { key: None, why: error.to_string() }),
        };
        match notification.car(&self.host.config.buckets) {
            Some(car) => Stage::Asking(notification, car),
            // It is about something else that lies there.
            None => Stage::Verdict(Verdict::Ack),
        }
    }

    /// Has the committer settle the CAR.
    async fn ask(&self, stage: Stage, was_read: bool) -> Stage {
        let Stage::Asking(notification, car) = stage else { return stage };
        Stage::Verdict(match committer::settle(self.env, &self.host, car).await {
            Ok(Answer::Settled) => Verdict::Ack,
            Ok(Answer::Unread) if !was_read => return Stage::Reading(notification, car),
            Ok(Answer::Unread) => Verdict::Retry { after: AGAIN, why: Some(Refused::Unread.to_string()) },
            Ok(Answer::TooLong(bytes)) => bury(&notification, &Refused::Index(bytes)),
            Ok(Answer::Later(why)) => Verdict::Retry { after: AGAIN, why: Some(why) },
            Err(error) => Verdict::Retry { after: AGAIN, why: Some(error.to_string()) },
        })
    }

    /// Reads as much of the CAR as there is time for.
    async fn verify(&self, stage: &mut Stage, left: &mut Piece) {
        let Stage::Reading(notification, car) = &*stage else { return };
        if left.bytes == 0 {
            *stage = Stage::Verdict(Verdict::Retry { after: SOON, why: None });
            return;
        }
        let (notification, car) = (notification.clone(), *car);
        let index = &self.workshop.index;
        let verified = match index.find_car(&car).await {
            Ok(Some(listed)) => {
                let piece = *left;
                left.bytes = left.bytes.saturating_sub(listed.size);
                index.verify(&listed, &piece).await
            }
            // It was removed meanwhile.
            Ok(None) => Ok(Verified::Changed),
            Err(error) => Err(error),
        };
        *stage = match verified {
            Ok(Verified::Whole(_) | Verified::Changed) => Stage::Asking(notification, car),
            Ok(Verified::Further(_)) => Stage::Verdict(Verdict::Retry { after: GO_ON, why: None }),
            Ok(Verified::TooMany) => Stage::Verdict(bury(&notification, &Refused::Blocks)),
            Err(error @ IndexError::Car { .. }) => Stage::Verdict(bury(&notification, &error)),
            Err(error) => Stage::Verdict(Verdict::Retry { after: AGAIN, why: Some(error.to_string()) }),
        };
    }
}

fn bury(notification: &Notification, why: &dyn ToString) -> Verdict {
    Verdict::Bury { key: Some(notification.key().to_owned()), why: why.to_string() }
}
