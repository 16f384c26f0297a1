//! A thread of its own for each call of a hook, behind the [wall](crate::confinement).
//!
//! The guest runs there, and so does everything that the host does for it: reading its files,
//! writing its artifacts, looking names up. The thread has a Tokio runtime of its own, so that
//! what it hands to other threads goes to threads that it has started, which are behind the wall
//! with it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::sync::oneshot;

use crate::confinement::Wall;

/// What a thread of a hook is called.
const THREAD: &str = "modelzoo-hook";

/// Does `work` on a thread behind `wall`. When the answer is dropped before it is done, `work` is
/// dropped where it next waits.
///
/// # Errors
///
/// The thread cannot be started or the wall cannot be raised; nothing of `work` was done then.
///
/// # Panics
///
/// When `work` panics.
pub(crate) async fn run<T: Send + 'static>(
    wall: Wall,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let (mut done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| {
                behind(&wall, async {
                    tokio::select! {
                        biased;
                        // Nobody waits any more.
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
        // It only stops early, or says nothing, when this future is dropped.
        Ok(Ok(Ok(None))) | Err(_) => Err(io::Error::other("the thread of the hook is gone")),
    }
}

fn behind<T>(wall: &Wall, work: impl Future<Output = T>) -> io::Result<T> {
    wall.raise()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // A name that is still being looked up is waited for by nobody.
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_a_thread_of_its_own() {
        let here = std::thread::current().id();
        let there = run(Wall::new(), async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::current().id()
        });
        assert_ne!(there.await.unwrap(), here);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_dropped() {
        let (alive, dropped) = oneshot::channel::<()>();
        let work = run(Wall::new(), async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        // It has begun, and is given up.
        assert!(
            tokio::time::timeout(Duration::from_millis(50), work)
                .await
                .is_err()
        );
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_arrives_where_it_is_waited_for() {
        let caller = tokio::spawn(run(Wall::new(), async { panic!("as it should") }));
        let panic = caller.await.unwrap_err().into_panic();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "as it should");
    }
}
