//! Code that the test guests share. The guests are the examples of this package; `test-artifacts`
//! builds them and exports their paths.
//!
//! A host test instructs a guest through files of the source (below `/source`), the model's name (a
//! `base_name` such as `test/<case>`, whose last part is the case; `test/model` is the guest's
//! default case), and the kwargs.

use modelzoo_guest::plan::{Architecture, Classification};
use modelzoo_guest::prelude::*;
use serde_json::json;

/// The source's file that the guests copy as the model's weights.
pub const WEIGHTS: &str = "weights.safetensors";

/// The source's file with what to fetch; see [`FetchTarget`].
pub const URL_FILE: &str = "url.txt";

/// What to fetch: the words of the source's `url.txt`.
#[derive(Debug)]
pub struct FetchTarget {
    /// The first word.
    pub url: String,
    /// The second word, if there is one: the expected digest.
    pub sha256: Option<String>,
    /// The third word, if there is one: the expected length in bytes.
    pub size: Option<u64>,
}

impl FetchTarget {
    /// Reads `url.txt`.
    ///
    /// # Errors
    ///
    /// The file cannot be read or parsed.
    pub fn read() -> Result<Self> {
        let text = source::read_to_string(URL_FILE)?;
        let mut words = text.split_whitespace().map(str::to_owned);
        Ok(Self {
            url: words.next().ok_or("url.txt is empty")?,
            sha256: words.next(),
            size: words
                .next()
                .map(|word| word.parse())
                .transpose()
                .map_err(Error::other)?,
        })
    }

    /// The request for a download, with the expected digest and length.
    pub fn request(&self) -> fetch::Download {
        let mut request = fetch::Download::from(fetch::url(&self.url));
        if let Some(digest) = &self.sha256 {
            request = request.sha256(digest);
        }
        if let Some(size) = self.size {
            request = request.size(size);
        }
        request
    }

    /// Tries both functions of `fetch`, which the host must deny. Returns the host's error, or one
    /// that names the function that was not denied.
    pub fn expect_denial(&self) -> Error {
        match fetch::url(&self.url).get() {
            Err(Error::Denied(_)) => {}
            other => return Error::other(format_args!("get was not denied: {other:?}")),
        }
        match self.request().download("stolen") {
            Err(error @ Error::Denied(_)) => error,
            other => Error::other(format_args!("download was not denied: {other:?}")),
        }
    }
}

/// The case that the host test asks for: the last part of a model's name, without its version;
/// `default` if that is `model`.
#[must_use]
pub fn case<'a>(model_name: &'a str, default: &'a str) -> &'a str {
    let name = model_name.split('@').next().unwrap_or_default();
    match name.rsplit('/').next() {
        Some("model") | None => default,
        Some(case) => case,
    }
}

/// The error for an unknown case, so that a mistake in a host test is noticed.
#[must_use]
pub fn unknown_case(case: &str) -> Error {
    Error::other(format_args!("this guest has no case `{case}`"))
}

/// Copies the source's [`WEIGHTS`] to the model's file.
///
/// # Errors
///
/// The host's.
pub fn copy_weights(model_path: &ModelPath) -> Result<()> {
    artifacts::copy_from_source(WEIGHTS, model_path)?;
    Ok(())
}

/// The plan of a tiny model: four gray pixels, one linear layer `fc`, two classes.
/// `test_artifacts::tiny_weights` has its weights.
///
/// # Errors
///
/// None.
pub fn tiny_plan(model_path: &ModelPath) -> Result<Plan> {
    let layers = json!([
        {"type": "flatten"},
        {"type": "linear", "name": "fc", "in_features": 4, "out_features": 2},
    ]);
    Ok(Plan::new(
        Architecture::new("sequential", json!({"layers": layers}))?,
        Classification::new(["dark", "light"]),
    )
    .weights([model_path])
    .preprocessing(Preprocessing::gray().resize(2)))
}

/// Exports `load-model` of a type that implements the trait of the bindings.
#[macro_export]
macro_rules! export_raw_load {
    ($guest:ident) => {
        #[cfg(target_family = "wasm")]
        ::modelzoo_guest::export::export_load!(
            $guest with_types_in ::modelzoo_guest::export::load_types
        );
        // Linkers for other targets do not accept the names of component exports.
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            use ::modelzoo_guest::bindings::load::exports::modelzoo::source::loader::Guest as Hook;
            let _ = <$guest as Hook>::load_model;
        };
    };
}

#[cfg(test)]
mod tests {
    use super::case;

    #[test]
    fn case_is_the_last_part_of_the_name() {
        assert_eq!(case("test/source/exit@1.0", "panic"), "exit");
        assert_eq!(case("exit", "panic"), "exit");
        assert_eq!(case("test/model@2", "panic"), "panic");
    }
}
