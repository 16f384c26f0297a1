//! Refuses its kwargs and quotes them unchanged.

use modelzoo_guest::bindings::load::exports::modelzoo::source::loader;
use modelzoo_guest::bindings::modelzoo::source::types;

/// Implements the trait of the bindings, which has the text of the kwargs.
struct Guest;

impl loader::Guest for Guest {
    fn load_model(
        _: String,
        _: String,
        kwargs: String,
    ) -> Result<loader::LoadedModel, types::Error> {
        Err(types::Error::InvalidInput(kwargs))
    }
}

test_guests::export_raw_load!(Guest);
