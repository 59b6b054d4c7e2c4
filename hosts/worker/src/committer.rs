//! The one object that changes the index: it settles the CARs that consumers name, those of a second in one change, and has
//! merges and clearing away done in steps.
//!
//! All of it is done in alarms, one step in each, so that nothing hangs on who asked, and every step has the requests and the
//! memory of an event to itself. What is asked for and not answered is lost with the object: whoever asked sees that, and its
//! message comes again. Only what nobody would ask for again is stored.
//!
//! Others may change the index at the same time, such as `hoverboard index`: the object is there to save changes, and not to be
//! the only one who makes them.

mod chores;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use hoverboard_store::CarCid;
use hoverboard_store::index::{IndexError, Settled};
use hoverboard_store::ledger::Account;
use serde::{Deserialize, Serialize};
use worker::{
    Delay, DurableObject, Env, Method, Request, RequestInit, Response, Result, ScheduledTime, State, durable_object,
};

use self::chores::Chores;
use crate::host::{Host, now};
use crate::indexer::workshop::{PORTION, Workshop};

/// The object's name: there is one.
const NAME: &str = "committer";

/// The binding of the object. Where there is none, who wants to settle a CAR does it alone.
const BINDING: &str = "COMMITTER";

/// How long a change may take, before its message is to come again.
const PATIENCE: Duration = Duration::from_secs(120);

/// The least time between two changes.
const GROUPED: Duration = Duration::from_secs(1);

/// The time between two steps of other work.
const STEP: Duration = Duration::from_millis(50);

/// After a step that failed.
const PAUSE: Duration = Duration::from_secs(10);

/// CARs that wait to be settled; more are told to come again.
const MAX_WAITING: usize = 1000;

/// CARs of one change, where an event has requests enough.
const MAX_AT_ONCE: usize = 250;

/// Requests for each of them: there are at most six, and those for the change itself.
const REQUESTS_A_CAR: u64 = 12;

/// What the committer says of a CAR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// The index is as the bucket is.
    Settled,
    /// It has no index of its own: it has to be read first.
    Unread,
    /// Its index has so many bytes, which are too many.
    TooLong(u64),
    /// Not now, for this reason.
    Later(String),
}

impl From<Settled> for Answer {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Indexed | Settled::Added(_) | Settled::Gone => Self::Settled,
            Settled::Unread(_) => Self::Unread,
            Settled::TooLong(bytes) => Self::TooLong(bytes),
        }
    }
}

/// Has a CAR settled, and waits until the index is as the bucket is.
///
/// # Errors
///
/// The object could not be asked, or did not answer in time.
pub(crate) async fn settle(env: &Env, host: &Host, car: CarCid) -> Result<Answer> {
    let Ok(objects) = env.durable_object(BINDING) else {
        let workshop = Workshop::new(host, env)?;
        let account = workshop.begin_event();
        let settled = workshop.index.settle(&workshop.runs, &[car], &PORTION, &account).await;
        return Ok(match settled {
            Ok(settled) => settled.into_iter().next().map_or_else(|| Answer::Later(String::new()), Answer::from),
            Err(error) => Answer::Later(error.to_string()),
        });
    };
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(car.to_string().into()));
    let request = Request::new_with_init("https://committer/", &init)?;
    let asked = async { objects.get_by_name(NAME)?.fetch_with_request(request).await?.json().await };
    match select(std::pin::pin!(asked), Delay::from(PATIENCE)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(worker::Error::RustError(format!("no change within {PATIENCE:?}"))),
    }
}

/// The Durable Object.
#[durable_object]
pub struct Committer {
    state: State,
    env: Env,
    workshop: RefCell<Option<Rc<Workshop>>>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// When the last change was made.
    committed: Cell<Duration>,
}

/// A CAR that somebody wants settled.
struct Waiting {
    car: CarCid,
    answer: oneshot::Sender<Answer>,
}

impl DurableObject for Committer {
    fn new(state: State, env: Env) -> Self {
        let (workshop, waiting) = (RefCell::default(), RefCell::default());
        Self { state, env, workshop, waiting, committed: Cell::default() }
    }

    /// A CAR is to be settled, named in the body.
    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let Ok(car) = request.text().await?.parse() else { return Response::error("no CAR", 400) };
        if self.waiting.borrow().len() >= MAX_WAITING {
            return Response::from_json(&Answer::Later(format!("{MAX_WAITING} others wait")));
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.borrow_mut().push_back(Waiting { car, answer });
        self.wake_for_change().await?;
        match answered.await {
            Ok(answer) => Response::from_json(&answer),
            // The alarm failed.
            Err(oneshot::Canceled) => Response::error("the change was not made", 500),
        }
    }

    /// One step of what there is to do.
    async fn alarm(&self) -> Result<Response> {
        let workshop = self.workshop()?;
        let account = workshop.begin_event();
        let mut chores = Chores::load(&self.state).await?;
        let batch = self.due(workshop.requests);
        let pause = match batch.is_empty() {
            true => match chores.step(&workshop.index).await {
                Ok(true) => Some(STEP),
                Ok(false) => None,
                Err(error) => {
                    fault(&error);
                    Some(PAUSE)
                }
            },
            false => {
                self.change(&workshop, &account, batch, &mut chores).await;
                self.committed.set(now());
                Some(STEP)
            }
        };
        chores.store(&self.state).await?;
        let waited_for = !self.waiting.borrow().is_empty();
        match pause {
            // Between two changes there is time for other work.
            Some(pause) if !waited_for || pause == STEP => self.wake_in(pause).await?,
            _ if waited_for => self.wake_for_change().await?,
            _ => {}
        }
        Response::empty()
    }
}

impl Committer {
    fn workshop(&self) -> Result<Rc<Workshop>> {
        if let Some(workshop) = &*self.workshop.borrow() {
            return Ok(workshop.clone());
        }
        let host = Host::of(&self.env)?;
        let workshop = Rc::new(Workshop::new(&host, &self.env)?);
        self.workshop.replace(Some(workshop.clone()));
        Ok(workshop)
    }

    /// The CARs of the next change, if it is time for one.
    fn due(&self, requests: u64) -> Vec<Waiting> {
        if now() < self.committed.get() + GROUPED {
            return Vec::new();
        }
        let mut waiting = self.waiting.borrow_mut();
        let most = (requests / REQUESTS_A_CAR).clamp(1, MAX_AT_ONCE as u64) as usize;
        let many = waiting.len().min(most);
        waiting.drain(..many).collect()
    }

    /// Settles CARs, in one change, and says so to who wants to know.
    async fn change(&self, workshop: &Workshop, account: &Account, batch: Vec<Waiting>, chores: &mut Chores) {
        let mut cars: Vec<CarCid> = batch.iter().map(|waiting| waiting.car).collect();
        cars.sort_unstable();
        cars.dedup();
        let settled = workshop.index.settle(&workshop.runs, &cars, &PORTION, account).await;
        let settled = settled.inspect_err(|error| {
            if error.is_full() {
                chores.merge_first();
            }
            fault(error);
        });
        if let Ok(settled) = &settled {
            chores.note(&cars, settled);
        }
        for Waiting { car, answer } in batch {
            let of_car = |settled: &Vec<Settled>| {
                let number = cars.binary_search(&car).ok()?;
                settled.get(number).cloned()
            };
            match settled.as_ref().map(of_car) {
                // Who asked may be gone.
                Ok(Some(settled)) => drop(answer.send(settled.into())),
                // The change was large enough without it.
                Ok(None) => self.waiting.borrow_mut().push_back(Waiting { car, answer }),
                Err(error) => drop(answer.send(Answer::Later(error.to_string()))),
            }
        }
    }

    /// Has an alarm make the next change: a second after the one before.
    async fn wake_for_change(&self) -> Result<()> {
        let due = self.committed.get() + GROUPED;
        self.wake_in(due.saturating_sub(now())).await
    }

    async fn wake_in(&self, time: Duration) -> Result<()> {
        let at = now() + time;
        let time = worker::js_sys::Date::new(&(at.as_millis() as f64).into());
        self.state.storage().set_alarm(ScheduledTime::new(time)).await
    }
}

fn fault(error: &IndexError) {
    worker::console_warn!("{}", serde_json::json!({ "event": "index", "error": error.to_string() }));
}
