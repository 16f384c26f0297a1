//! Several calls in one session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use modelzoo_sandbox::{Activity, Engine, HookError, Level, Limit, Limits, Log, NoLog, Session};
use serde_json::Map;
use tempfile::TempDir;

use crate::guest::{Guest, Lines, open};
use crate::limits::sleeper;

/// A session with a guest, and the directory of its source and model.
fn session(guest: &Guest, limits: Limits, log: Arc<dyn Log>) -> (Session, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(None, limits).unwrap();
    let component = engine.load(&guest.bytes()).unwrap();
    let session = open(&engine, &component, dir.path(), dir.path(), log).unwrap();
    (session, dir)
}

async fn call(session: &mut Session) -> HookError {
    session.load_model(&Map::new()).await.unwrap_err()
}

/// The text of the error that the guest returned.
#[track_caller]
fn text(error: HookError) -> String {
    match error {
        HookError::Guest { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_ended(error: &HookError) {
    assert!(matches!(error, HookError::Ended { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "load_model of `acme/source` for `model@1` cannot be called again: an earlier call ended \
         its session"
    );
}

/// Returns the digit at address 16 as an error, and increments it.
const COUNT: &str = r#"(data (i32.const 16) "0")
    (func $count (result i32)
      (i32.store8 (i32.const 16) (i32.add (i32.load8_u (i32.const 16)) (i32.const 1)))
      (call $fail (i32.const 9) (i32.const 16) (i32.const 1)))"#;

#[tokio::test]
async fn memory_of_the_guest_survives_between_calls() {
    let guest = Guest::loader_with(COUNT, "(call $count)");
    let (mut session, _dir) = session(&guest, Limits::default(), Arc::new(NoLog));
    for want in ["1", "2", "3"] {
        assert_eq!(text(call(&mut session).await), want);
    }
}

#[tokio::test]
async fn sessions_of_one_component_share_nothing() {
    let guest = Guest::loader_with(COUNT, "(call $count)");
    for _ in 0..2 {
        let (mut session, _dir) = session(&guest, Limits::default(), Arc::new(NoLog));
        assert_eq!(text(call(&mut session).await), "1");
    }
}

#[tokio::test]
async fn each_call_has_the_whole_time() {
    // Two calls together take longer than one may, and so does the pause between them.
    let limits = Limits {
        wall: Duration::from_secs(1),
        ..Limits::default()
    };
    let guest = sleeper(
        "(call $block (call $sleep (i64.const 600000000)))
         (call $fail (i32.const 9) (i32.const 16) (i32.const 1))",
    );
    let (mut session, _dir) = session(&guest, limits, Arc::new(NoLog));
    text(call(&mut session).await);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    text(call(&mut session).await);
}

#[tokio::test]
async fn each_call_has_its_own_messages() {
    let limits = Limits {
        log_bytes: 100,
        ..Limits::default()
    };
    let lines = Arc::new(Lines::default());
    // Two of three messages are within the limit.
    let guest = Guest::loader_with(
        r#"(data (i32.const 32) "abcdefghijklmnopqrstuvwxyzabcd")"#,
        "(local $n i32)
         (loop
           (call $log (i32.const 1) (i32.const 32) (i32.const 30))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $n) (i32.const 3))))
         (call $fail (i32.const 9) (i32.const 16) (i32.const 1))",
    );
    let (mut session, _dir) = session(&guest, limits, lines.clone());
    for _ in 0..2 {
        call(&mut session).await;
        let log = lines.take();
        assert_eq!(log.len(), 3, "{log:?}");
        assert_eq!(log[2].0, Level::Warn);
        assert!(log[2].1.contains("dropped"), "{log:?}");
    }
}

#[tokio::test]
async fn memory_is_limited_for_all_calls_together() {
    let limits = Limits {
        memory_bytes: 4 << 20,
        ..Limits::default()
    };
    let guest = Guest::loader(
        "(drop (memory.grow (i32.const 16)))
         (call $fail (i32.const 9) (i32.const 16) (i32.const 1))",
    );
    let (mut session, _dir) = session(&guest, limits, Arc::new(NoLog));
    for calls in 1.. {
        match call(&mut session).await {
            HookError::Guest { .. } => assert!(calls < 10),
            HookError::Limit { which, .. } => {
                assert_eq!(which, Limit::Memory);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_ended(&call(&mut session).await);
}

#[tokio::test]
async fn trap_ends_the_session() {
    let guest = Guest::loader("unreachable");
    let (mut session, _dir) = session(&guest, Limits::default(), Arc::new(NoLog));
    let error = call(&mut session).await;
    assert!(matches!(error, HookError::Trap { .. }), "{error:?}");
    assert_ended(&call(&mut session).await);
    assert_ended(&call(&mut session).await);
}

#[tokio::test]
async fn timeout_ends_the_session() {
    let guest = Guest::loader("(loop (br 0)) unreachable");
    let limits = Limits {
        wall: Duration::from_millis(50),
        ..Limits::default()
    };
    let (mut session, _dir) = session(&guest, limits, Arc::new(NoLog));
    let error = call(&mut session).await;
    assert!(
        matches!(
            error,
            HookError::Timeout {
                activity: Activity::Guest,
                ..
            }
        ),
        "{error:?}"
    );
    assert_ended(&call(&mut session).await);
}

#[tokio::test]
async fn dropping_a_call_ends_the_session() {
    let guest = Guest::loader("(loop (br 0)) unreachable");
    let log: Arc<dyn Log> = Arc::new(NoLog);
    let (mut session, _dir) = session(&guest, Limits::default(), log.clone());
    let started = Instant::now();
    let cut = tokio::time::timeout(Duration::from_millis(20), call(&mut session)).await;
    assert!(cut.is_err());
    assert_ended(&call(&mut session).await);
    assert!(started.elapsed() < Duration::from_secs(30));
    // The thread drops what it held.
    drop(session);
    while Arc::strong_count(&log) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn dropping_an_idle_session_ends_its_thread() {
    let guest = Guest::loader_with(COUNT, "(call $count)");
    let log: Arc<dyn Log> = Arc::new(NoLog);
    let (mut session, _dir) = session(&guest, Limits::default(), log.clone());
    assert_eq!(text(call(&mut session).await), "1");
    assert!(Arc::strong_count(&log) > 1);
    drop(session);
    while Arc::strong_count(&log) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
