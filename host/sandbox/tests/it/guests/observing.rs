//! Guests that search for traces of the host or for randomness.

use super::world::{MODEL_FILE, guest};

#[test]
pub(crate) fn bad_env() {
    let guest = guest(test_artifacts::BAD_ENV);
    assert_eq!(guest.download().names(), [MODEL_FILE]);
    let loaded = guest.load();
    assert!(loaded.result.is_ok(), "{:?}", loaded.result);
}

#[test]
pub(crate) fn bad_clock() {
    let observe = || {
        let guest = guest(test_artifacts::BAD_CLOCK);
        let run = guest.download();
        assert_eq!(run.names(), [MODEL_FILE]);
        let text = std::fs::read_to_string(run.model_dir.path().join(MODEL_FILE)).unwrap();
        (text, format!("{:?}", guest.load().plan().head))
    };
    let first = observe();
    // So that even a coarse clock would differ.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(observe(), first);
    for text in [&first.0, &first.1] {
        for what in [
            "wall",
            "computing",
            "sleeping",
            "hash",
            "random",
            "modified",
        ] {
            assert!(text.contains(what), "{text}");
        }
    }
}
