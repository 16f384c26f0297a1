//! The components that the host's tests run: the paths of the guests in `tests/guests` and of the
//! example sources, which the build script of this package compiles.
//!
//! The tests of one crate must have a test for every guest. They check that with
//!
//! ```ignore
//! macro_rules! assert_test_exists {
//!     ($guest:ident) => {
//!         #[expect(unused_imports, reason = "it only has to exist")]
//!         use self::$guest as _;
//!     };
//! }
//! test_artifacts::foreach_guest!(assert_test_exists);
//! ```
//!
//! which compiles only if there is a function (or a module) with the name of every guest.

include!(concat!(env!("OUT_DIR"), "/artifacts.rs"));

/// Weights for the model whose plan most guests answer with, in safetensors format: an image's
/// four gray pixels, each 0 to 1, and one linear layer, `fc`, with two outputs. The second class
/// wins where the pixels' sum is more than 2.
#[must_use]
pub fn tiny_weights() -> Vec<u8> {
    let header = r#"{"fc.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]},"fc.bias":{"dtype":"F32","shape":[2],"data_offsets":[32,40]}}"#;
    let values: [f32; 10] = [-1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 2.0, -2.0];
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
