//! Logs too much, or control sequences, and then succeeds. Cases, in both hooks: `flood` (128 MiB of
//! messages), `many` (a million small ones), `stdout` and `stderr` (128 MiB without a newline),
//! `escapes` (control sequences, forged lines, bytes that are not UTF-8).

use std::io::Write;

use modelzoo_guest::prelude::*;
use test_guests::{case, copy_weights, tiny_plan, unknown_case};

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
        speak(case(model_name, "flood"))?;
        copy_weights(model_path)
    }

    fn load_model(model_name: &str, model_path: &ModelPath, _: Kwargs) -> Result<Plan> {
        speak(case(model_name, "flood"))?;
        tiny_plan(model_path)
    }
}

/// The messages of the `escapes` case: moving the cursor, setting the title, writing to the clipboard,
/// a hyperlink, forged lines, right-to-left overrides, C1 controls, a bell.
const ESCAPES: &[&str] = &[
    "\u{1b}[2J\u{1b}[1;1Hcleared",
    "\u{1b}]0;title\u{7}",
    "\u{1b}]52;c;bG9vdA==\u{7}",
    "\u{1b}]8;;https://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\",
    "one\nerror: forged\r\nhint: forged",
    "\rovertyped",
    "user\u{202e}txt.exe\u{2066}",
    "\u{9b}31mred\u{9d}0;title\u{9c}",
    "bell\u{7}\u{8}\u{7f}\0end",
];

fn speak(case: &str) -> Result<()> {
    let block = "x".repeat(64 << 10);
    match case {
        "flood" => {
            for _ in 0..2048 {
                info!("{block}");
            }
        }
        "many" => {
            for n in 0..1_000_000 {
                info!("{n}");
            }
        }
        "stdout" => pour(std::io::stdout(), block.as_bytes())?,
        "stderr" => pour(std::io::stderr(), block.as_bytes())?,
        "escapes" => {
            for text in ESCAPES {
                warn!("{text}");
                writeln!(std::io::stdout(), "{text}")?;
                writeln!(std::io::stderr(), "{text}")?;
            }
            std::io::stdout().write_all(b"\xff\xfe no text \xc3\x28\n")?;
            std::io::stderr().write_all(b"no line's end")?;
        }
        other => return Err(unknown_case(other)),
    }
    Ok(())
}

fn pour(mut into: impl Write, block: &[u8]) -> Result<()> {
    for _ in 0..2048 {
        into.write_all(block)?;
    }
    Ok(into.flush()?)
}

modelzoo_guest::export!(Guest);
