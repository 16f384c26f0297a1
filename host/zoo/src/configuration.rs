//! The page that documents every setting, made from the settings themselves.

use std::fmt::Write as _;

use modelzoo_sandbox::Limits;

use crate::config::ENVIRONMENT;
use crate::limits::{BOUNDS, Bound, values};

const INTRODUCTION: &str = "\
# Configuration

This page is made from the settings themselves; `cargo xtask docs` writes it, and a test fails if it is out of date.

The store is the directory that `MODELZOO_HOME` names, by default `modelzoo` in the platform's data directory. Every command reads `config.toml` in it. The environment overrides the file, and options of the command override both.

## config.toml

An unknown key is an error.

| key | type | meaning |
|---|---|---|
| `offline` | boolean | open no socket |
| `allow_private` | list of text | private hosts (`nas.lan:443`), addresses (`10.0.0.7`) or networks (`10.0.0.0/8`) that may be reached; single hosts and addresses also by plain http |
| `ca_bundle` | path | a PEM file with further certificate authorities |
| `github.api_url` | URL | another API endpoint, such as a GitHub Enterprise server's |
| `mirrors.\"<origin>\"` | URL | the place to fetch from instead of this origin |

```toml
allow_private = [\"models.lan\"]
ca_bundle = \"/etc/ssl/company.pem\"

[mirrors]
\"https://huggingface.co\" = \"https://models.lan/huggingface\"

[limits]
wall = 120
```

### [limits]

What one call of a hook may use. A value outside its bounds is an error.

| key | default | least | most | what is limited |
|---|---:|---:|---:|---|
";

/// The page, as Markdown.
#[must_use]
pub fn configuration_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let defaults = values(&Limits::default());
    for Bound {
        name,
        unit,
        least,
        most,
        what,
    } in BOUNDS
    {
        let default = defaults.get(*name).cloned().unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{name}` | {default} | {least} | {most} | {unit} {what} |"
        );
    }
    page += "\n## Environment\n\n| variable | meaning |\n|---|---|\n";
    for (name, meaning) in ENVIRONMENT {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    page += "\nWithout a proxy, a name is resolved once and the connection goes to an address that was checked. A proxy resolves names itself, so that only the rules about names and literal addresses apply then. Certificates are always verified.\n";
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo xtask docs` writes the page.
    #[test]
    fn configuration_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = configuration_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            page,
            "run `cargo xtask docs`"
        );
    }
}
