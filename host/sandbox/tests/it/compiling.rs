//! Components that are compiled in a process of their own.
#![cfg(unix)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use modelzoo_sandbox::{CompileLimit, Compiler, Engine, Error, HookError, Limits};

use crate::guest::{Guest, load};

fn child() -> Compiler {
    Compiler::Child {
        program: env!("CARGO_BIN_EXE_modelzoo-compile").into(),
        args: Vec::new(),
        env: Vec::new(),
    }
}

/// A compiler that is a shell script.
fn script(text: &str) -> Compiler {
    Compiler::Child {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), text.into()],
        env: vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("GIVEN".into(), "yes".into()),
        ],
    }
}

fn engine(dir: Option<&Path>, limits: Limits, compiler: Compiler) -> Engine {
    Engine::with_compiler(dir, limits, compiler).unwrap()
}

fn good() -> Vec<u8> {
    Guest::loader("(call $fail (i32.const 9) (i32.const 16) (i32.const 1))").bytes()
}

/// A small file that is much to compile: any of `blocks` places can follow each other, and every
/// one of `locals` variables may have another value in each.
fn bomb(blocks: usize, locals: usize) -> Vec<u8> {
    let mut text = "(func (param i32) (result i32) (local".to_owned();
    text.push_str(&" i64".repeat(locals));
    text.push_str(") (loop $again ");
    text.push_str(&"(block ".repeat(blocks));
    text.push_str("(br_table");
    for target in 0..blocks {
        let _ = write!(text, " {target}");
    }
    text.push_str(" (local.get 0))");
    for block in 0..blocks {
        let [to, from] = [block, block * 7 + 1].map(|n| n % locals + 1);
        let _ = write!(
            text,
            ") (local.set {to} (i64.add (local.get {from}) (i64.const {block})))
              (br_if $again (i32.wrap_i64 (local.get {to})))"
        );
    }
    text.push_str(") (local.get 0))");
    Guest::loader_with(&text, "unreachable").bytes()
}

/// The engine goes on.
async fn works(engine: &Engine) {
    let component = engine.load(&good()).unwrap();
    let error = load(engine, &component).await.error();
    assert!(matches!(error, HookError::Guest { .. }), "{error:?}");
}

#[tokio::test]
async fn component_is_compiled_in_the_child_and_cached() {
    let dir = tempfile::tempdir().unwrap();
    works(&engine(Some(dir.path()), Limits::default(), child())).await;
    // Nobody has to compile it again.
    let nobody = Compiler::Child {
        program: dir.path().join("nobody"),
        args: Vec::new(),
        env: Vec::new(),
    };
    works(&engine(Some(dir.path()), Limits::default(), nobody)).await;
}

#[tokio::test]
async fn compile_bomb_reaches_the_memory_limit() {
    const MEMORY: u64 = 96 << 20;
    let limits = Limits {
        compile_memory_bytes: MEMORY,
        ..Limits::default()
    };
    let engine = engine(None, limits, child());
    let bytes = bomb(600, 600);
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    let error = engine.load(&bytes).unwrap_err();
    assert!(
        matches!(
            error,
            Error::CompileLimit {
                limit: CompileLimit::Memory(MEMORY)
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!("compiling the component takes more than {MEMORY} bytes of memory")
    );
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("limits.compile_memory_bytes")
    );
    works(&engine).await;
}

#[tokio::test]
async fn compile_bomb_reaches_the_time_limit() {
    let limits = Limits {
        compile_wall: Duration::from_secs(3),
        compile_memory_bytes: 64 << 30,
        ..Limits::default()
    };
    let engine = engine(None, limits, child());
    let error = engine.load(&bomb(1000, 1000)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::CompileLimit {
                limit: CompileLimit::Time(_)
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "compiling the component takes more than 3 s"
    );
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("limits.compile_wall")
    );
    works(&engine).await;
}

#[test]
fn invalid_component_is_refused_with_the_reason() {
    // The look at the outside finds nothing; a function within is wrong.
    let bytes = Guest::loader_with("(func (result i32) (i64.const 1))", "unreachable").bytes();
    let error = engine(None, Limits::default(), child())
        .load(&bytes)
        .unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    let here = Engine::new(None, Limits::default()).unwrap();
    assert_eq!(
        error.to_string(),
        here.load(&bytes).unwrap_err().to_string()
    );
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

#[test]
fn crash_of_the_compiler_is_an_error() {
    for (what, says) in [
        ("kill -SEGV $$", "SIGSEGV"),
        ("kill -KILL $$", "SIGKILL"),
        // Also when it has answered.
        ("cat > /dev/null; echo +code; kill -ABRT $$", "SIGABRT"),
        ("echo 'it hurts' >&2; exit 101", "it hurts"),
        ("printf 'bad\\033[31m' >&2; exit 1", "bad\\u{1b}"),
    ] {
        let engine = engine(None, Limits::default(), script(what));
        let error = engine.load(&good()).unwrap_err();
        assert!(matches!(error, Error::CompilerCrashed { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.starts_with("compiling the component crashed: "),
            "{text}"
        );
        assert!(text.contains(says), "{text}");
        assert!(
            error
                .remedy()
                .unwrap()
                .to_string()
                .contains("nothing of it was run")
        );
    }
}

#[test]
fn failed_allocation_of_the_compiler_is_the_memory_limit() {
    let says = "echo 'memory allocation of 42 bytes failed' >&2; kill -ABRT $$";
    let engine = engine(None, Limits::default(), script(says));
    let error = engine.load(&good()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::CompileLimit {
                limit: CompileLimit::Memory(_)
            }
        ),
        "{error:?}"
    );
}

#[test]
fn invalid_answers_of_the_compiler_are_refused() {
    for what in [
        "true",
        "echo hello",
        "exec <&-; echo hello",
        // Code that no compiler of this version made.
        "printf +code",
        "printf + ; head -c 100000 /dev/zero",
    ] {
        let engine = engine(None, Limits::default(), script(what));
        let error = engine.load(&good()).unwrap_err();
        assert!(
            matches!(error, Error::NoCompiler { .. } | Error::Unusable { .. }),
            "{what}: {error:?}"
        );
    }
    let limits = Limits {
        compile_memory_bytes: 1 << 20,
        ..Limits::default()
    };
    let engine = engine(None, limits, script("head -c 1048577 /dev/zero"));
    let error = engine.load(&good()).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn compiler_that_does_not_end_is_killed() {
    for what in [
        "sleep 3600",
        // Having answered.
        "printf +code; exec >&- 2>&-; sleep 3600",
        // Without an end to its answer.
        "cat /dev/zero",
        // Something that it has started holds the pipes.
        "sleep 3600 & sleep 3600",
    ] {
        let limits = Limits {
            compile_wall: Duration::from_millis(200),
            ..Limits::default()
        };
        let engine = engine(None, limits, script(what));
        let error = engine.load(&good()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::CompileLimit {
                    limit: CompileLimit::Time(_)
                }
            ),
            "{what}: {error:?}"
        );
    }
}

#[test]
fn missing_compiler_is_an_error() {
    let nobody = Compiler::Child {
        program: "/nobody".into(),
        args: Vec::new(),
        env: Vec::new(),
    };
    let error = engine(None, Limits::default(), nobody)
        .load(&good())
        .unwrap_err();
    assert!(matches!(error, Error::NoCompiler { .. }), "{error:?}");
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("compile components")
    );
}

#[test]
fn compiler_inherits_nothing_from_this_process() {
    // Its environment, but for what a shell sets itself, in one line; and where it is.
    let what = "echo $(env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort) $(pwd) >&2
        exit 7";
    let engine = engine(None, Limits::default(), script(what));
    let error = engine.load(&good()).unwrap_err().to_string();
    assert!(
        error.ends_with("exit status: 7: GIVEN=yes PATH=/usr/bin:/bin /"),
        "{error}"
    );
}
