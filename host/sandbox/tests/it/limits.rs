//! Guests that never end, or that want too much.

use std::time::{Duration, Instant};

use modelzoo_sandbox::{Activity, Engine, HookError, Limit, Limits};

use crate::guest::{Guest, load, short};

fn is_timeout(error: &HookError) -> bool {
    matches!(
        error,
        HookError::Timeout {
            activity: Activity::Guest,
            ..
        }
    )
}

fn reached(error: HookError) -> (Limit, u64) {
    match error {
        HookError::Limit { which, limit, .. } => (which, limit),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn endless_guests_are_stopped() {
    for (fields, body) in [
        ("", "(loop (br 0)) unreachable"),
        // Before the hook is even called.
        ("(func $start (loop (br 0))) (start $start)", "unreachable"),
        // In and out of the host.
        (
            "",
            "(loop (call $log (i32.const 1) (i32.const 16) (i32.const 1)) (br 0)) unreachable",
        ),
    ] {
        let run = Guest::loader_with(fields, body).load(short()).await;
        assert!(run.log.len() < 50_000, "{}", run.log.len());
        let error = run.error();
        assert!(is_timeout(&error), "{body}: {error:?}");
        assert!(error.to_string().contains("more than 0.3 s"), "{error}");
    }
}

/// `wasi:clocks` and `wasi:io`, as far as sleeping needs them.
const SLEEP: &str = r#"
  (import "wasi:io/poll@0.2.3" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $pollable (eq $pollable')))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $now (canon lower (func $clock "now")))
  (core func $sleep (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
"#;

/// A guest that can sleep and read its clock.
pub(crate) fn sleeper(body: &str) -> Guest {
    Guest::loader(body).import(
        SLEEP,
        &[
            ("now", "(result i64)"),
            ("sleep", "(param i64) (result i32)"),
            ("block", "(param i32)"),
        ],
    )
}

#[tokio::test]
async fn sleeping_guests_are_stopped() {
    for (what, nanoseconds) in [("long", 3_600_000_000_000_i64), ("for ever", -1)] {
        let body = format!("(call $block (call $sleep (i64.const {nanoseconds}))) unreachable");
        let error = sleeper(&body).load(short()).await.error();
        assert!(is_timeout(&error), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn sleeping_moves_the_guests_clock() {
    // Sleeps 20 ms, and answers only if its clock agrees.
    let body = "(call $block (call $sleep (i64.const 20000000)))
        (if (i64.lt_u (call $now) (i64.const 20000000)) (then unreachable))
        (call $fail (i32.const 9) (i32.const 16) (i32.const 1))";
    let error = sleeper(body).load(short()).await.error();
    assert!(matches!(error, HookError::Guest { .. }), "{error:?}");
}

#[tokio::test]
async fn polling_the_clock_ends() {
    // Does not sleep, but reads the clock until a second has passed.
    let body = "(loop (br_if 0 (i64.lt_u (call $now) (i64.const 1000000000))))
        (call $fail (i32.const 9) (i32.const 16) (i32.const 1))";
    let error = sleeper(body).load(Limits::default()).await.error();
    assert!(matches!(error, HookError::Guest { .. }), "{error:?}");
}

#[tokio::test]
async fn endless_guest_does_not_block_other_guests() {
    let engine = Engine::new(
        None,
        Limits {
            wall: Duration::from_millis(600),
            ..Limits::default()
        },
    )
    .unwrap();
    let runaway = engine
        .load(&Guest::loader("(loop (br 0)) unreachable").bytes())
        .unwrap();
    let neighbour = engine
        .load(&Guest::loader("(call $fail (i32.const 9) (i32.const 16) (i32.const 1))").bytes())
        .unwrap();
    // On one thread: the runaway must let go of it.
    let start = Instant::now();
    let (first, second) = tokio::join!(load(&engine, &runaway), async {
        let mut rounds = 0;
        while start.elapsed() < Duration::from_millis(400) {
            let error = load(&engine, &neighbour).await.error();
            assert!(matches!(error, HookError::Guest { .. }), "{error:?}");
            rounds += 1;
        }
        rounds
    });
    assert!(is_timeout(&first.error()));
    assert!(second > 1);
    // And the engine goes on.
    let error = load(&engine, &neighbour).await.error();
    assert!(matches!(error, HookError::Guest { .. }), "{error:?}");
}

#[tokio::test]
async fn memory_is_limited() {
    let limits = || Limits {
        memory_bytes: 4 << 20,
        ..Limits::default()
    };
    let grow = Guest::loader("(loop (br_if 0 (memory.grow (i32.const 1)))) unreachable");
    let error = grow.load(limits()).await.error();
    assert_eq!(reached(error), (Limit::Memory, 4 << 20));

    // At once, and to start with, and in pieces that are each small enough.
    let once = Guest::loader("(drop (memory.grow (i32.const 65535))) unreachable");
    assert_eq!(reached(once.load(limits()).await.error()).0, Limit::Memory);
    let start = Guest::loader_with("(memory $big 1000)", "unreachable");
    assert_eq!(reached(start.load(limits()).await.error()).0, Limit::Memory);
    let pieces = "(memory 20)".repeat(4);
    let pieces = Guest::loader_with(&pieces, "unreachable");
    assert_eq!(
        reached(pieces.load(limits()).await.error()).0,
        Limit::Memory
    );
}

#[tokio::test]
async fn tables_are_limited() {
    let grow = Guest::loader_with(
        "(table $t 1 funcref)",
        "(loop (br_if 0 (table.grow $t (ref.null func) (i32.const 1000)))) unreachable",
    );
    let error = grow.load(Limits::default()).await.error();
    assert_eq!(reached(error), (Limit::TableElements, 1 << 18));
}

#[tokio::test]
async fn instances_are_limited() {
    let limits = Limits {
        instances: 1,
        ..Limits::default()
    };
    let error = Guest::loader("unreachable").load(limits).await.error();
    assert_eq!(reached(error).0, Limit::Instances);

    // Tables and memories, too, however small they are.
    for (fields, limits) in [
        (
            "(table 1 funcref) (table 1 funcref)",
            Limits {
                tables: 1,
                ..Limits::default()
            },
        ),
        (
            "(memory $own 1)",
            Limits {
                memories: 1,
                ..Limits::default()
            },
        ),
    ] {
        let guest = Guest::loader_with(fields, "unreachable");
        assert_eq!(
            reached(guest.load(limits).await.error()).0,
            Limit::Instances
        );
    }
}

#[tokio::test]
async fn bytes_per_host_call_are_limited() {
    let guest = Guest::loader(
        "(drop (memory.grow (i32.const 64)))
         (call $log (i32.const 1) (i32.const 0) (i32.const 4194304)) unreachable",
    );
    let limits = Limits {
        hostcall_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = guest.load(limits).await.error();
    assert_eq!(reached(error), (Limit::Hostcall, 1 << 20));

    // The answer of the hook, too.
    let guest = Guest::loader(
        "(drop (memory.grow (i32.const 64)))
         (call $fail (i32.const 9) (i32.const 0) (i32.const 4194304))",
    );
    let limits = Limits {
        hostcall_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = guest.load(limits).await.error();
    assert_eq!(reached(error), (Limit::Hostcall, 1 << 20));
}

#[tokio::test]
async fn handles_are_limited() {
    let guest = sleeper("(loop (drop (call $sleep (i64.const 0))) (br 0)) unreachable");
    let error = guest.load(Limits::default()).await.error();
    assert_eq!(reached(error), (Limit::Resources, 1024));
}

#[tokio::test]
async fn messages_are_limited() {
    let guest = Guest::loader(
        "(local $n i32)
         (loop
           (call $log (i32.const 1) (i32.const 0) (i32.const 1000))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $n) (i32.const 10000))))
         (call $fail (i32.const 9) (i32.const 16) (i32.const 1))",
    );
    let limits = Limits {
        log_bytes: 100_000,
        ..Limits::default()
    };
    let run = guest.load(limits).await;
    let bytes: usize = run.messages().iter().map(|message| message.len()).sum();
    assert!(bytes < 101_000, "{bytes}");
    assert!(run.messages().last().unwrap().contains("dropped"));
}
