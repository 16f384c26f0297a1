//! The names of tensors: prefixes that training adds, and tensors that inference has no use for.

/// What wrappers of modules put before all names: `DataParallel` and its kin, `torch.compile`,
/// and training frameworks that keep the network in an attribute.
const WRAPPERS: &[&str] = &["module.", "_orig_mod.", "model."];
/// How many of them there may be.
const MAX_WRAPPERS: usize = 4;

/// The last parts of names of counters and tables that networks compute again, so that torch and
/// transformers leave them out whether they are in the file or not.
const IGNORED: &[&str] = &[
    "inv_freq",
    "num_batches_tracked",
    "position_ids",
    "relative_position_index",
];

/// The prefixes that a tensor may have besides the name that an architecture asks for: none, and
/// those that all tensors share.
pub(super) fn prefixes<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let mut prefixes = vec![String::new()];
    while prefixes.len() <= MAX_WRAPPERS {
        let shared = |prefix: &&String| {
            let mut names = names.clone().peekable();
            names.peek().is_some() && names.all(|name| name.starts_with(prefix.as_str()))
        };
        let last = prefixes.last().map_or("", String::as_str);
        let longer: Vec<String> = WRAPPERS
            .iter()
            .map(|more| format!("{last}{more}"))
            .collect();
        match longer.iter().find(shared) {
            Some(prefix) => prefixes.push(prefix.clone()),
            None => break,
        }
    }
    prefixes
}

/// Whether nothing in inference uses a tensor of this name.
pub(super) fn is_ignored(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    IGNORED.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_count_only_where_all_tensors_have_them() {
        let of = |names: &[&str]| prefixes(names.iter().copied());
        assert_eq!(of(&["a.weight", "module.b"]), [""]);
        assert_eq!(of(&["module.a", "module.b"]), ["", "module."]);
        assert_eq!(
            of(&["module._orig_mod.model.a", "module._orig_mod.model.b"]),
            [
                "",
                "module.",
                "module._orig_mod.",
                "module._orig_mod.model."
            ]
        );
        assert_eq!(of(&[]), [""]);
        assert_eq!(of(&[&"model.".repeat(20)]).len(), 1 + MAX_WRAPPERS);
    }

    #[test]
    fn counters_are_ignored_by_their_last_part() {
        assert!(is_ignored("layer.0.bn1.num_batches_tracked") && is_ignored("position_ids"));
        assert!(!is_ignored("position_ids.weight") && !is_ignored("my_position_ids"));
    }
}
