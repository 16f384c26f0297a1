//! Every guest of `tests/guests` in the sandbox.

mod answers;
mod crashes;
mod fetching;
mod files;
mod limits;
mod observing;
mod well_behaved;
mod world;

use answers::*;
use crashes::*;
use fetching::*;
use files::*;
use limits::*;
use observing::*;
use well_behaved::*;

/// Compiles only if every guest has a test of its name.
macro_rules! assert_test_exists {
    ($guest:ident) => {
        const _: fn() = $guest;
    };
}
test_artifacts::foreach_guest!(assert_test_exists);
