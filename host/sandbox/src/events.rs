//! Carries what a hook has to tell from its thread to the caller's.
//!
//! A hook's thread can open no file but the hook's own ([`crate::confinement::thread`]). What the caller
//! does when it is told of a request or a message, such as adding a line to the audit log, would
//! fail there. So it is told where it waits for the hook, in the order in which things happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use modelzoo_net as net;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::interfaces::log::{Level, Log};

/// Something that happened.
enum Told {
    Message(Level, String),
    Request(net::RequestRecord),
    Progress(Arc<Bar>, Step),
}

/// Something that happened to a download.
enum Step {
    Start(String, Option<u64>),
    Total(u64),
    /// More bytes are there; how many stands in the [`Bar`].
    More,
    End,
}

/// The progress of a download, on both sides.
#[derive(Default)]
struct Bar {
    done: AtomicU64,
    /// Whether the caller is about to look at `done` anyway, so that it need not be told of
    /// every block.
    told: AtomicBool,
    task: std::sync::Mutex<Option<Box<dyn net::Task>>>,
}

/// The hook's side. The amount of what it tells is limited: messages and requests by
/// [`Limits`](crate::Limits), progress by telling one thing at a time.
#[derive(Clone)]
pub(crate) struct Teller(UnboundedSender<Told>);

/// The caller's side.
pub(crate) struct Listener {
    told: Option<UnboundedReceiver<Told>>,
    ears: Ears,
}

/// Whom the caller wants to be told.
#[derive(Clone)]
pub(crate) struct Ears {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) audit: Arc<dyn net::Audit>,
    pub(crate) progress: Arc<dyn net::Progress>,
}

/// Both ends of a new channel.
pub(crate) fn relay(ears: Ears) -> (Arc<Teller>, Listener) {
    let (sender, receiver) = unbounded_channel();
    let listener = Listener {
        told: Some(receiver),
        ears,
    };
    (Arc::new(Teller(sender)), listener)
}

impl Teller {
    fn tell(&self, told: Told) {
        // Whoever waited may be gone.
        let _ = self.0.send(told);
    }
}

impl Log for Teller {
    fn log(&self, level: Level, message: &str) {
        self.tell(Told::Message(level, message.to_owned()));
    }
}

impl net::Audit for Teller {
    fn request(&self, record: &net::RequestRecord) {
        self.tell(Told::Request(record.clone()));
    }
}

impl net::Progress for Teller {
    fn start(&self, label: &str, total: Option<u64>) -> Box<dyn net::Task> {
        let bar = Arc::<Bar>::default();
        self.tell(Told::Progress(
            bar.clone(),
            Step::Start(label.to_owned(), total),
        ));
        Box::new(Task {
            teller: self.clone(),
            bar,
        })
    }
}

struct Task {
    teller: Teller,
    bar: Arc<Bar>,
}

impl Task {
    fn tell(&self, step: Step) {
        self.teller.tell(Told::Progress(self.bar.clone(), step));
    }
}

impl net::Task for Task {
    fn set_total(&mut self, total: u64) {
        self.tell(Step::Total(total));
    }

    fn set(&mut self, done: u64) {
        self.bar.done.store(done, Ordering::Release);
        if !self.bar.told.swap(true, Ordering::AcqRel) {
            self.tell(Step::More);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.tell(Step::End);
    }
}

impl Listener {
    /// Waits for `work`, passing on meanwhile what is told; all of it, when `work` is done.
    pub(crate) async fn hear<T>(mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let result = loop {
            let Some(told) = &mut self.told else {
                break work.await;
            };
            tokio::select! {
                biased;
                told = told.recv() => match told {
                    Some(told) => self.ears.hear(told),
                    None => self.told = None,
                },
                result = &mut work => break result,
            }
        };
        if let Some(mut told) = self.told.take() {
            while let Ok(told) = told.try_recv() {
                self.ears.hear(told);
            }
        }
        result
    }
}

impl Drop for Listener {
    /// Nobody waits for the hook any more. It is being stopped, and what it has to tell until
    /// then, such as that a request was cancelled, is still passed on.
    fn drop(&mut self) {
        let Some(mut told) = self.told.take() else {
            return;
        };
        let ears = self.ears.clone();
        let rest = move || {
            while let Some(told) = told.blocking_recv() {
                ears.hear(told);
            }
        };
        let thread = std::thread::Builder::new().name("modelzoo-relay".to_owned());
        if let Err(e) = thread.spawn(rest) {
            tracing::debug!("the end of a hook is not recorded: {e}");
        }
    }
}

impl Ears {
    fn hear(&self, told: Told) {
        match told {
            Told::Message(level, message) => self.log.log(level, &message),
            Told::Request(record) => self.audit.request(&record),
            Told::Progress(bar, step) => {
                // Held by this side alone; a panic in `set` leaves a task that can be used.
                let mut task = bar
                    .task
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                match (step, &mut *task) {
                    (Step::Start(label, total), task) => {
                        *task = Some(self.progress.start(&label, total));
                    }
                    (Step::Total(total), Some(task)) => task.set_total(total),
                    (Step::More, Some(task)) => {
                        bar.told.store(false, Ordering::Release);
                        task.set(bar.done.load(Ordering::Acquire));
                    }
                    (Step::End, task) => *task = None,
                    (_, None) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use modelzoo_net::{Audit as _, Progress as _};

    use super::*;

    #[derive(Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl Heard {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().unwrap().push(what.into());
        }

        fn ears(&self) -> Ears {
            let own = || Arc::new(Self(self.0.clone()));
            Ears {
                log: own(),
                audit: own(),
                progress: own(),
            }
        }
    }

    impl Log for Heard {
        fn log(&self, _: Level, message: &str) {
            self.note(message);
        }
    }

    impl net::Audit for Heard {
        fn request(&self, record: &net::RequestRecord) {
            self.note(&record.url);
        }
    }

    impl net::Progress for Heard {
        fn start(&self, label: &str, total: Option<u64>) -> Box<dyn net::Task> {
            self.note(format!("start {label} {total:?}"));
            Box::new(Self(self.0.clone()))
        }
    }

    impl net::Task for Heard {
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
            outcome: net::Outcome::Failed,
            reason: None,
            bytes: 0,
            sha256: None,
        }
    }

    #[tokio::test]
    async fn everything_arrives_in_order() {
        let heard = Heard::default();
        let (teller, listener) = relay(heard.ears());
        let work = async move {
            teller.log(Level::Info, "before");
            let mut task = teller.start("weights", None);
            task.set_total(3);
            for done in 1..=3 {
                task.set(done);
            }
            drop(task);
            teller.request(&record("url"));
            "done"
        };
        assert_eq!(listener.hear(work).await, "done");
        // Of the bytes, the latest number is enough.
        let want = ["before", "start weights None", "of 3", "at 3", "url"];
        assert_eq!(*heard.0.lock().unwrap(), want);
    }

    #[tokio::test]
    async fn what_is_told_after_the_caller_left_is_heard_too() {
        let heard = Heard::default();
        let (teller, listener) = relay(heard.ears());
        let waiting = listener.hear(std::future::pending::<()>());
        let waited = tokio::time::timeout(Duration::from_millis(1), waiting).await;
        assert!(waited.is_err());
        teller.request(&record("late"));
        drop(teller);
        // The thread that passes it on is over when the last of its ears is gone.
        while Arc::strong_count(&heard.0) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(*heard.0.lock().unwrap(), ["late"]);
    }
}
