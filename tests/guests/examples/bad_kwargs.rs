//! Refuses its kwargs and quotes them as they came, whatever is in them.

use modelzoo_guest::bindings::load::exports::modelzoo::source::loader;
use modelzoo_guest::bindings::modelzoo::source::types;

/// Implements the bindings' trait, since it wants the text of the kwargs.
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
