//! Progress of downloads.

/// Makes one [`Task`] for every download.
pub trait Progress: Send + Sync {
    /// A download starts. `total` is its size in bytes where that is known already.
    fn start(&self, label: &str, total: Option<u64>) -> Box<dyn Task>;
}

/// The progress of one download, which ends when it is dropped.
pub trait Task: Send {
    /// The size in bytes became known, or changed.
    fn set_total(&mut self, total: u64);
    /// This many bytes are there. The number decreases if a download restarts.
    fn set(&mut self, done: u64);
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _label: &str, _total: Option<u64>) -> Box<dyn Task> {
        Box::new(Self)
    }
}

impl Task for NoProgress {
    fn set_total(&mut self, _total: u64) {}
    fn set(&mut self, _done: u64) {}
}
