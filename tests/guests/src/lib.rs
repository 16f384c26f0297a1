//! What the test guests share. The guests are the examples of this package; `test-artifacts`
//! builds them and exports their paths.
//!
//! The host gives a guest its instructions in three places: files of the source (below `/source`),
//! the model's name (a `base_name` such as `test/<case>`, of which the last part counts; `test/model`
//! is the case that a guest names first), and the kwargs.

use modelzoo_guest::plan::{Architecture, Classification};
use modelzoo_guest::prelude::*;
use serde_json::json;

/// The file of the source from which the guests copy the model's weights.
pub const WEIGHTS: &str = "weights.safetensors";

/// The file of the source that says what to fetch; see [`Wanted`].
pub const URL_FILE: &str = "url.txt";

/// What to fetch: the words of the source's `url.txt`.
#[derive(Debug)]
pub struct Wanted {
    /// The first word.
    pub url: String,
    /// The second word, if there is one: the expected digest.
    pub sha256: Option<String>,
    /// The third word, if there is one: the expected length in bytes.
    pub size: Option<u64>,
}

impl Wanted {
    /// Reads `url.txt`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not as described.
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

    /// The request for a download, with what is expected.
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

    /// Tries both ways of fetching, which the host must deny, and answers with the host's own
    /// error, or with one that says which way was open.
    pub fn expect_denial(&self) -> Error {
        match fetch::url(&self.url).get() {
            Err(Error::Denied(_)) => {}
            other => return Error::other(format_args!("get was not denied: {other:?}")),
        }
        match self.request().download("loot") {
            Err(error @ Error::Denied(_)) => error,
            other => Error::other(format_args!("download was not denied: {other:?}")),
        }
    }
}

/// The case that the host asks for: the last part of a model's name, without its version; the
/// guest's usual case where that is `model`.
#[must_use]
pub fn case<'a>(model_name: &'a str, usual: &'a str) -> &'a str {
    let name = model_name.split('@').next().unwrap_or_default();
    match name.rsplit('/').next() {
        Some("model") | None => usual,
        Some(case) => case,
    }
}

/// The error for a case that a guest does not have, so that a slip in a host's test is seen.
#[must_use]
pub fn unknown_case(case: &str) -> Error {
    Error::other(format_args!("this guest has no case `{case}`"))
}

/// Makes the model's file from the source's [`WEIGHTS`].
///
/// # Errors
///
/// The host's.
pub fn copy_weights(model_path: &ModelPath) -> Result<()> {
    artifacts::copy_from_source(WEIGHTS, model_path)?;
    Ok(())
}

/// A plan for a model as small as can be: four gray pixels, one linear layer `fc`, two classes.
/// `test_artifacts::tiny_weights` makes the weights.
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

/// Exports the second hook of a type that implements the bindings' own trait.
#[macro_export]
macro_rules! export_raw_load {
    ($guest:ident) => {
        #[cfg(target_family = "wasm")]
        ::modelzoo_guest::export::export_load!(
            $guest with_types_in ::modelzoo_guest::export::load_types
        );
        // Linkers for other targets do not take the names of component exports.
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
    fn cases_are_the_last_part_of_the_name() {
        assert_eq!(case("test/source/exit@1.0", "panic"), "exit");
        assert_eq!(case("exit", "panic"), "exit");
        assert_eq!(case("test/model@2", "panic"), "panic");
    }
}
