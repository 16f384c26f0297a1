//! What is refused before anything is compiled.

use modelzoo_sandbox::{Error, Hooks, ImportAnswer, Limits, inspect};

use crate::guest::Guest;

fn refused(text: &str) -> Error {
    let bytes = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    inspect(&bytes, &Limits::default()).expect_err("it should be refused")
}

#[test]
fn inspect_describes_a_component() {
    let bytes = Guest::both("unreachable").bytes();
    let info = inspect(&bytes, &Limits::default()).unwrap();
    assert_eq!(info.size, bytes.len() as u64);
    assert_eq!(info.sha256.len(), 64);
    assert_eq!(info.wit_version.as_deref(), Some("0.1.0"));
    let both = Hooks {
        download: true,
        load: true,
    };
    assert_eq!(info.hooks, both);
    let imports = info.imports.iter().map(|i| (i.name.as_str(), i.answer));
    assert_eq!(
        imports.collect::<Vec<_>>(),
        [
            ("modelzoo:source/types@0.1.0", ImportAnswer::Host),
            ("modelzoo:source/log@0.1.0", ImportAnswer::Host),
            ("modelzoo:source/fetch@0.1.0", ImportAnswer::DownloadOnly),
            (
                "modelzoo:source/artifacts@0.1.0",
                ImportAnswer::DownloadOnly
            ),
            ("modelzoo:source/deployment@0.1.0", ImportAnswer::Host),
        ]
    );
    assert!(
        info.exports
            .contains(&"modelzoo:source/loader@0.1.0".to_owned())
    );
    let json = serde_json::to_value(&info).unwrap();
    assert_eq!(
        serde_json::from_value::<modelzoo_sandbox::ComponentInfo>(json).unwrap(),
        info
    );
}

#[test]
fn files_that_are_not_components_are_named() {
    for (bytes, want) in [
        (&b""[..], "empty"),
        (b"PK\x03\x04...............", "zip archive"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"(component)", "text"),
        (b"\x7fELF............", "does not start"),
        (b"\0asm\x07\x00\x00\x00", "07000000"),
    ] {
        let error = inspect(bytes, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::NotWasm { .. }), "{error:?}");
        assert!(error.to_string().contains(want), "{error}");
    }
    let module = wat::parse_str("(module)").unwrap();
    let error = inspect(&module, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::CoreModule), "{error:?}");
    assert!(
        error
            .remedy()
            .unwrap()
            .to_string()
            .contains("wasm32-wasip2")
    );
}

#[test]
fn truncated_components_are_refused() {
    let bytes = Guest::both("unreachable").bytes();
    // Behind the first of the two exports, what is left can be a component of its own.
    for length in 1..bytes.len() / 2 {
        let error = inspect(&bytes[..length], &Limits::default()).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { .. } | Error::NoHook { .. }),
            "{length}: {error:?}"
        );
    }
    let middle = inspect(&bytes[..bytes.len() / 2], &Limits::default()).unwrap_err();
    assert!(matches!(middle, Error::Truncated { .. }), "{middle:?}");
}

#[test]
fn inspect_survives_any_changed_byte() {
    let bytes = Guest::both("unreachable").bytes();
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0xff;
        // Nothing to assert but that it ends: some bytes are data.
        let _ = inspect(&broken, &Limits::default());
    }
}

#[test]
fn size_is_limited() {
    let bytes = Guest::both("unreachable").bytes();
    let limits = Limits {
        component_bytes: bytes.len() as u64 - 1,
        ..Limits::default()
    };
    let error = inspect(&bytes, &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

/// What is made of a type takes many times its bytes.
#[test]
fn component_of_too_many_types_or_exports_is_refused() {
    let leb = |mut number: usize| {
        let mut bytes = Vec::new();
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            bytes.push(if number == 0 { low } else { low | 0x80 });
            if number == 0 {
                return bytes;
            }
        }
    };
    let section = |id: u8, contents: &[u8]| [&[id][..], &leb(contents.len()), contents].concat();
    let types = [leb(500_001), b"\x60\0\0".repeat(500_001)].concat();
    let module = [b"\0asm\x01\0\0\0", &section(1, &types)[..]].concat();
    let mut bytes = Guest::both("unreachable").bytes();
    for limit_passed in [false, true] {
        bytes.extend(section(1, &module));
        match inspect(&bytes, &Limits::default()) {
            Ok(_) => assert!(!limit_passed),
            Err(Error::Malformed { reason }) => {
                assert!(
                    limit_passed && reason.contains("more than 1000000 types"),
                    "{reason}"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
    let exports: String = (0..=10_000)
        .map(|n| format!("(export \"e{n}\" (type $t))"))
        .collect();
    match refused(&format!("(component (type $t u8) {exports})")) {
        Error::Malformed { reason } => assert_eq!(reason, "more than 10000 exports"),
        error => panic!("{error}"),
    }
}

#[test]
fn invalid_code_is_found_deep_inside() {
    let text = Guest::loader("unreachable").text();
    // Valid text, but an instruction that wants two operands gets none.
    let text = text.replace("unreachable)", "i32.add)");
    let error = refused(&text);
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
}

#[test]
fn start_functions_of_components_are_refused() {
    let text = r#"(component
        (import "f" (func $f))
        (start $f))"#;
    let error = refused(text);
    assert!(
        matches!(error, Error::Malformed { .. } | Error::ForeignImport { .. }),
        "{error:?}"
    );
}

#[test]
fn unknown_versions_are_named_with_the_supported_ones() {
    for (version, shown) in [("@0.2.0", "0.2.0"), ("@0.1.1", "0.1.1"), ("", "(none)")] {
        let text = Guest::loader("unreachable").text();
        let text = text.replace("@0.1.0\"", &format!("{version}\""));
        let error = refused(&text);
        assert!(matches!(error, Error::UnknownVersion { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("the component is for modelzoo:source {shown}; this modelzoo supports 0.1.0")
        );
    }
}

#[test]
fn foreign_imports_are_refused() {
    for import in [
        r#"(import "evil:host/shell@1.0.0" (instance (export "run" (func))))"#,
        r#"(import "run" (func))"#,
        r#"(import "modelzoo:source/shell@0.1.0" (instance (export "run" (func))))"#,
        r#"(import "modelzoo:other/types@0.1.0" (instance))"#,
        r#"(import "unlocked-dep=<evil:x@{>=1.0.0}>" (component))"#,
    ] {
        let text = Guest::loader("unreachable").import(import, &[]).text();
        let error = refused(&text);
        assert!(matches!(error, Error::ForeignImport { .. }), "{error:?}");
        let name = import.split('"').nth(1).unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn wasi_imports_pass_and_those_that_are_not_linked_trap() {
    for (name, answer) in [
        ("wasi:clocks/wall-clock@0.2.3", ImportAnswer::Host),
        ("wasi:clocks/wall-clock@0.3.0", ImportAnswer::Trap),
        ("wasi:clocks/wall-clock", ImportAnswer::Trap),
        ("wasi:sockets/tcp@0.2.3", ImportAnswer::Trap),
    ] {
        let import = format!(r#"(import "{name}" (instance (export "f" (func))))"#);
        let guest = Guest::loader("unreachable").import(&import, &[]);
        let info = inspect(&guest.bytes(), &Limits::default()).unwrap();
        let import = info.imports.iter().find(|import| import.name == name);
        assert_eq!(import.unwrap().answer, answer, "{name}");
    }
}

#[test]
fn loader_that_imports_the_network_is_refused() {
    for interface in ["fetch", "artifacts"] {
        let import = format!(r#"(import "modelzoo:source/{interface}@0.1.0" (instance))"#);
        let text = Guest::loader("unreachable").import(&import, &[]).text();
        let error = refused(&text);
        assert!(matches!(error, Error::PhaseImport { .. }), "{error:?}");
        assert!(error.to_string().contains(interface), "{error}");
        assert!(error.remedy().is_some());
    }
}

#[test]
fn component_without_hooks_is_refused() {
    let error = refused("(component)");
    assert_eq!(
        error.to_string(),
        "the component exports no hook of modelzoo:source; it exports nothing"
    );
    let error = refused(
        r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f"))) (export "run" (func $f)))"#,
    );
    assert!(error.to_string().ends_with("it exports `run`"), "{error}");
}
