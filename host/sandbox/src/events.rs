//! Carries the events of a hook (messages, requests, progress) from its thread to the caller's.
//!
//! The thread of a hook can open no file except the hook's own
//! ([`Confinement`](crate::confinement)). An observer that adds a line to the audit log would fail
//! there. The host therefore calls the observers where the caller waits for the hook, in the order
//! of the events.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use modelzoo_net as net;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The severity of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the author of the source.
    Debug,
    /// What the hook is doing; the guest's standard output.
    Info,
    /// Something that the user should know; the guest's standard error.
    Warn,
    /// Something that stops the work.
    Error,
}

/// Receives the messages of a hook.
pub trait Log: Send + Sync {
    /// Receives one message: one line, without control characters, of at most 8 KiB.
    fn log(&self, level: Level, message: &str);
}

/// Drops all messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl Log for NoLog {
    fn log(&self, _level: Level, _message: &str) {}
}

enum Event {
    Message(Level, String),
    Request(net::RequestRecord),
    Progress(Arc<Bar>, Step),
}

/// What happened to a download.
enum Step {
    Start(String, Option<u64>),
    Total(u64),
    /// More bytes arrived; the [`Bar`] has their number.
    More,
    End,
}

/// The progress of a download, shared by both sides.
#[derive(Default)]
struct Bar {
    done: AtomicU64,
    /// Whether a [`Step::More`] is on its way, so that blocks in between need none of their own.
    is_notified: AtomicBool,
    task: Mutex<Option<Box<dyn net::Task>>>,
}

/// The hook's side. The number of events is bounded: that of messages and requests by
/// [`Limits`](crate::Limits), that of progress by one pending [`Step::More`] per download.
#[derive(Clone)]
pub(crate) struct EventSender(UnboundedSender<Event>);

/// The caller's side.
pub(crate) struct EventReceiver {
    events: UnboundedReceiver<Event>,
    observers: Observers,
    /// Whether a call is running: its last events are still to come.
    is_waiting: bool,
}

/// Who is told of the events.
#[derive(Clone)]
pub(crate) struct Observers {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) audit: Arc<dyn net::Audit>,
    pub(crate) progress: Arc<dyn net::Progress>,
}

/// Both ends of a new channel.
pub(crate) fn channel(observers: Observers) -> (Arc<EventSender>, EventReceiver) {
    let (sender, events) = unbounded_channel();
    let receiver = EventReceiver {
        events,
        observers,
        is_waiting: false,
    };
    (Arc::new(EventSender(sender)), receiver)
}

impl EventSender {
    fn send(&self, event: Event) {
        // An error means that the receiver is gone: nobody observes any more.
        let _ = self.0.send(event);
    }
}

impl Log for EventSender {
    fn log(&self, level: Level, message: &str) {
        self.send(Event::Message(level, message.to_owned()));
    }
}

impl net::Audit for EventSender {
    fn request(&self, record: &net::RequestRecord) {
        self.send(Event::Request(record.clone()));
    }
}

impl net::Progress for EventSender {
    fn start(&self, label: &str, total: Option<u64>) -> Box<dyn net::Task> {
        let task = Task {
            sender: self.clone(),
            bar: Arc::default(),
        };
        task.send(Step::Start(label.to_owned(), total));
        Box::new(task)
    }
}

struct Task {
    sender: EventSender,
    bar: Arc<Bar>,
}

impl Task {
    fn send(&self, step: Step) {
        self.sender.send(Event::Progress(self.bar.clone(), step));
    }
}

impl net::Task for Task {
    fn set_total(&mut self, total: u64) {
        self.send(Step::Total(total));
    }

    fn set(&mut self, done: u64) {
        self.bar.done.store(done, Ordering::Release);
        if !self.bar.is_notified.swap(true, Ordering::AcqRel) {
            self.send(Step::More);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.send(Step::End);
    }
}

impl EventReceiver {
    /// Waits for `work` and meanwhile passes events on; all of them, when `work` is done.
    pub(crate) async fn dispatch_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut is_open = true;
        self.is_waiting = true;
        let result = loop {
            tokio::select! {
                biased;
                event = self.events.recv(), if is_open => match event {
                    Some(event) => self.observers.dispatch(event),
                    None => is_open = false,
                },
                result = &mut work => break result,
            }
        };
        while let Ok(event) = self.events.try_recv() {
            self.observers.dispatch(event);
        }
        self.is_waiting = false;
        result
    }
}

impl Drop for EventReceiver {
    /// Nobody waits for the running call any more, and it is being stopped. The events until then,
    /// such as that a request was cancelled, are passed on by a thread.
    fn drop(&mut self) {
        if !self.is_waiting {
            return;
        }
        let (_, closed) = unbounded_channel();
        let mut events = std::mem::replace(&mut self.events, closed);
        let observers = self.observers.clone();
        let drain = move || {
            while let Some(event) = events.blocking_recv() {
                observers.dispatch(event);
            }
        };
        let thread = std::thread::Builder::new().name("modelzoo-events".to_owned());
        if let Err(e) = thread.spawn(drain) {
            tracing::debug!("the last events of a hook are not recorded: {e}");
        }
    }
}

impl Observers {
    fn dispatch(&self, event: Event) {
        match event {
            Event::Message(level, message) => self.log.log(level, &message),
            Event::Request(record) => self.audit.request(&record),
            Event::Progress(bar, step) => {
                // Locked by this side alone; a panic in `set` leaves a task that can be used.
                let mut task = bar.task.lock().unwrap_or_else(PoisonError::into_inner);
                match (step, &mut *task) {
                    (Step::Start(label, total), task) => {
                        *task = Some(self.progress.start(&label, total));
                    }
                    (Step::Total(total), Some(task)) => task.set_total(total),
                    (Step::More, Some(task)) => {
                        bar.is_notified.store(false, Ordering::Release);
                        task.set(bar.done.load(Ordering::Acquire));
                    }
                    (Step::End, task) => *task = None,
                    (Step::Total(_) | Step::More, None) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use modelzoo_net::{Audit as _, Progress as _};

    use super::*;

    #[derive(Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Recorder {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().unwrap().push(what.into());
        }

        fn observers(&self) -> Observers {
            let own = || Arc::new(Self(self.0.clone()));
            Observers {
                log: own(),
                audit: own(),
                progress: own(),
            }
        }
    }

    impl Log for Recorder {
        fn log(&self, _: Level, message: &str) {
            self.note(message);
        }
    }

    impl net::Audit for Recorder {
        fn request(&self, record: &net::RequestRecord) {
            self.note(&record.url);
        }
    }

    impl net::Progress for Recorder {
        fn start(&self, label: &str, total: Option<u64>) -> Box<dyn net::Task> {
            self.note(format!("start {label} {total:?}"));
            Box::new(Self(self.0.clone()))
        }
    }

    impl net::Task for Recorder {
        fn set_total(&mut self, total: u64) {
            self.note(format!("of {total}"));
        }

        fn set(&mut self, done: u64) {
            self.note(format!("at {done}"));
        }
    }

    fn record(url: &str) -> net::RequestRecord {
        net::RequestRecord {
            method: "GET",
            url: url.to_owned(),
            hops: Vec::new(),
            more_hops: 0,
            outcome: net::Outcome::Failed,
            reason: None,
            bytes: 0,
            sha256: None,
        }
    }

    #[tokio::test]
    async fn events_arrive_in_order() {
        let recorder = Recorder::default();
        let (sender, mut receiver) = channel(recorder.observers());
        let work = async move {
            sender.log(Level::Info, "before");
            let mut task = sender.start("weights", None);
            task.set_total(3);
            for done in 1..=3 {
                task.set(done);
            }
            drop(task);
            sender.request(&record("url"));
            "done"
        };
        assert_eq!(receiver.dispatch_while(work).await, "done");
        // Of the byte counts, the latest is enough.
        let want = ["before", "start weights None", "of 3", "at 3", "url"];
        assert_eq!(*recorder.0.lock().unwrap(), want);
    }

    #[tokio::test]
    async fn events_of_the_next_call_arrive_too() {
        let recorder = Recorder::default();
        let (sender, mut receiver) = channel(recorder.observers());
        for call in ["first", "second"] {
            receiver
                .dispatch_while(async { sender.log(Level::Info, call) })
                .await;
        }
        assert_eq!(*recorder.0.lock().unwrap(), ["first", "second"]);
    }

    #[tokio::test]
    async fn events_after_the_caller_left_are_dispatched() {
        let recorder = Recorder::default();
        let (sender, mut receiver) = channel(recorder.observers());
        let waiting = receiver.dispatch_while(std::future::pending::<()>());
        let waited = tokio::time::timeout(Duration::from_millis(1), waiting).await;
        assert!(waited.is_err());
        drop(receiver);
        sender.request(&record("late"));
        drop(sender);
        // The thread that dispatches them has ended when the last observer is gone.
        while Arc::strong_count(&recorder.0) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(*recorder.0.lock().unwrap(), ["late"]);
    }
}
