//! A confined thread for the calls of a hook.
//!
//! The guest runs on it, and so does everything that the host does for the guest: reading its
//! files, writing its artifacts, resolving names. The thread has a Tokio runtime of its own, so
//! that work that it hands to other threads goes to threads that it started and that are confined
//! with it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::sync::oneshot;

use super::Confinement;

/// The name of a hook's thread.
const THREAD: &str = "modelzoo-hook";

/// Runs `work` on a confined thread. When the caller drops the returned future, the thread drops
/// `work` at its next await point.
///
/// # Errors
///
/// The thread cannot be started or confined; `work` has not begun then.
///
/// # Panics
///
/// When `work` panics.
pub(crate) async fn run<T: Send + 'static>(
    confinement: Confinement,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let (mut done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| {
                confined(&confinement, async {
                    tokio::select! {
                        biased;
                        // The caller no longer waits.
                        () = done.closed() => None,
                        result = work => Some(result),
                    }
                })
            }));
            // The other side may be gone.
            let _ = done.send(result);
        })?;
    match result.await {
        Ok(Ok(Ok(Some(result)))) => Ok(result),
        Ok(Ok(Err(e))) => Err(e),
        Ok(Err(panic)) => resume_unwind(panic),
        // Only when this future is dropped does it stop early or send nothing.
        Ok(Ok(Ok(None))) | Err(_) => Err(io::Error::other("the thread of the hook is gone")),
    }
}

fn confined<T>(confinement: &Confinement, work: impl Future<Output = T>) -> io::Result<T> {
    confinement.apply()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // Does not wait for a name that is still being resolved.
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_runs_on_another_thread() {
        let here = std::thread::current().id();
        let there = run(Confinement::new(), async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::current().id()
        });
        assert_ne!(there.await.unwrap(), here);
    }

    #[tokio::test]
    async fn dropping_the_future_drops_the_work() {
        let (alive, dropped) = oneshot::channel::<()>();
        let work = run(Confinement::new(), async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        // The work has begun when the caller gives up.
        assert!(
            tokio::time::timeout(Duration::from_millis(50), work)
                .await
                .is_err()
        );
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn panic_of_the_work_reaches_the_caller() {
        let caller = tokio::spawn(run(Confinement::new(), async { panic!("expected") }));
        let panic = caller.await.unwrap_err().into_panic();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "expected");
    }
}
