//! What a user can type to fix an error: the one place where remedies become flags and verbs.
//!
//! Whatever can be typed is in backticks: a whole command line, or flags to add to the one that
//! failed.

use std::borrow::Cow;

use modelzoo::Remedy;

use crate::names::{flag, verb};

/// What a hint suggests.
#[derive(Debug)]
pub(crate) enum Hint {
    /// What the library says would help.
    Remedy(Remedy),
    /// Replace the files that are not as recorded.
    ReplaceDamaged,
    /// Give a list as one argument for the hook.
    ListAsOneValue,
    /// Say on the command line what cannot be asked.
    AgreeBeforehand,
    /// Write a permission in one of its forms.
    FormsOfPermissions,
}

impl From<Remedy> for Hint {
    fn from(remedy: Remedy) -> Self {
        Self::Remedy(remedy)
    }
}

impl Hint {
    /// The text, which is not escaped yet.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Remedy(remedy) => remedy_text(remedy),
            Self::ReplaceDamaged => format!(
                "{} downloads models again; {} fetches a source again",
                command(&[verb::VERIFY, &long(flag::REPAIR)]),
                command(&[verb::REGISTER_SOURCE, "SOURCE", &long(flag::OVERWRITE)]),
            ),
            Self::ListAsOneValue => format!(
                "a list is one value, for example {}",
                option(flag::KWARG, r#"'classes=["a","b"]'"#)
            ),
            Self::AgreeBeforehand => format!("there is no terminal to ask: {}", switch(flag::YES)),
            Self::FormsOfPermissions => {
                "a permission is https://host[:port], https://*.host, or `all`".to_owned()
            }
        }
    }
}

fn remedy_text(remedy: &Remedy) -> String {
    match remedy {
        // These name nothing that is typed here.
        Remedy::Advice(_) | Remedy::DidYouMean(_) | Remedy::NameSource { .. } => remedy.to_string(),

        Remedy::GoOnline => format!(
            "leave {} out, and unset MODELZOO_OFFLINE and `offline` of config.toml, to fetch it",
            switch(flag::OFFLINE)
        ),
        Remedy::Grant(permissions) => format!(
            "grant them with {}, or all that the source declares with {}",
            grants(permissions),
            option(flag::GRANT, "all")
        ),
        Remedy::DeclareAndGrant(permission) => {
            format!("{remedy}: {}", option(flag::GRANT, permission))
        }
        Remedy::GrantNothing => format!(
            "it asks for no permission: leave {} out",
            switch(flag::GRANT)
        ),

        Remedy::RegisterSource => format!(
            "no source is registered yet: {}",
            command(&[verb::REGISTER_SOURCE, "SOURCE"])
        ),
        Remedy::RegisterAgain { source_id: None } => format!(
            "{} accepts what is there now",
            command(&[verb::REGISTER_SOURCE, "SOURCE", &long(flag::OVERWRITE)])
        ),
        Remedy::RegisterAgain {
            source_id: Some(source_id),
        } => format!(
            "{} fetches it again, and accepts what is there now",
            command(&[
                verb::REGISTER_SOURCE,
                &quoted(source_id),
                &long(flag::OVERWRITE)
            ])
        ),
        Remedy::ListSources => {
            format!(
                "{} shows what is registered",
                command(&[verb::LIST_SOURCES])
            )
        }
        Remedy::ListModels => format!("{} shows all models", command(&[verb::LIST])),
        Remedy::ListAudited => format!(
            "{} shows all sources that there are records of",
            command(&[verb::AUDIT])
        ),
        Remedy::AcceptChanges { model, source_id } => format!(
            "if its publisher changed it on purpose, {} accepts it",
            command(&[
                verb::DOWNLOAD,
                &quoted(model),
                &long(flag::SOURCE),
                &quoted(source_id),
                &long(flag::OVERWRITE),
                &long(flag::ACCEPT_CHANGES),
            ])
        ),
        Remedy::AcceptBundle => format!(
            "if you trust the bundle more, `--{} --{}` replaces what is there",
            flag::OVERWRITE,
            flag::ACCEPT_CHANGES
        ),
        Remedy::AcceptLock => format!(
            "if you changed it on purpose, {} accepts it as it is; if not, restore it from a copy",
            command(&[verb::VERIFY, &long(flag::ACCEPT_LOCK)])
        ),
        Remedy::AllowUnreachableCommit { reference } => format!(
            "anybody can have such a commit; if it is the one that you want, {} takes it",
            command(&[
                verb::REGISTER_SOURCE,
                &quoted(reference),
                &long(flag::ALLOW_UNREACHABLE_COMMIT)
            ])
        ),
        Remedy::AllowRollback { source_id } => format!(
            "an attacker could want an older version back; if its publisher withdrew the newer one \
             on purpose, {} accepts what is there now",
            command(&[verb::UPDATE_SOURCE, &long(flag::ALLOW_ROLLBACK), source_id])
        ),
        Remedy::Unlock => format!("leave {} out", switch(flag::LOCKED)),
        Remedy::Unfreeze => format!("download it once without {}", switch(flag::FROZEN)),

        Remedy::NameModel => format!("choose one with {}", switch(flag::MODEL_NAME)),
        Remedy::Download { model } => command(&[verb::DOWNLOAD, model]),
        Remedy::DownloadAgain { model } => format!(
            "{} downloads it again",
            command(&[
                verb::DOWNLOAD,
                model.as_deref().unwrap_or("MODEL"),
                &long(flag::OVERWRITE)
            ])
        ),
        Remedy::Repair { model } => format!(
            "{} downloads it again",
            command(&[verb::VERIFY, model, &long(flag::REPAIR)])
        ),
        Remedy::MakeRoom => format!(
            "make room, for example with {}, or set MODELZOO_HOME to a directory on another disk",
            command(&[verb::GC])
        ),
        Remedy::Diagnose => format!(
            "modelzoo starts itself to compile components; {} shows whether it can",
            command(&[verb::DOCTOR])
        ),

        Remedy::OtherBundlePath => format!(
            "choose another path for {}, or remove it first",
            switch(flag::OUTPUT)
        ),
        Remedy::ExportBundle => format!(
            "{} makes one",
            command(&[
                verb::BUNDLE,
                verb::BUNDLE_EXPORT,
                "SOURCE",
                &long(flag::OUTPUT),
                "FILE"
            ])
        ),
        Remedy::ReplaceByBundle => {
            format!("{} replaces it by the bundle's", switch(flag::OVERWRITE))
        }
        Remedy::RefreshOrOmit { model } => format!(
            "{} downloads it as the source is now; {} exports only the models that it names",
            command(&[verb::DOWNLOAD, model, &long(flag::OVERWRITE)]),
            switch(flag::MODEL_NAME)
        ),

        Remedy::GiveArguments => format!(
            "give the arguments that the source's README lists with {}, and a list as in {}",
            option(flag::KWARG, "KEY=VALUE"),
            option(flag::KWARG, r#"'KEY=["a","b"]'"#)
        ),
        Remedy::GiveArgument { name, value } => format!(
            "give it, for example {}",
            option(flag::KWARG, &format!("'{name}={value}'"))
        ),
        Remedy::CorrectArgument => format!(
            "it is in the manifest, or was given with {}",
            switch(flag::KWARG)
        ),
        Remedy::Embed { model } => format!(
            "it gives embeddings: {}",
            command(&[
                verb::EMBED,
                model.as_deref().unwrap_or("MODEL"),
                "DATASET",
                "FIELD"
            ])
        ),
        Remedy::OtherDevice {
            feature: Some(feature),
        } => format!(
            "build modelzoo with the feature {feature}, or use {}",
            option(flag::DEVICE, "cpu")
        ),
        Remedy::OtherDevice { feature: None } => format!(
            "use {}, or {} for whatever there is",
            option(flag::DEVICE, "cpu"),
            option(flag::DEVICE, "auto")
        ),
        Remedy::IgnoreRequirement => format!(
            "try it nevertheless with {}",
            option(flag::ERROR_LEVEL, "1")
        ),
        Remedy::OtherDeviceOrLevel => format!(
            "choose another device, as in {}, or try it nevertheless with {}",
            option(flag::DEVICE, "cpu"),
            option(flag::ERROR_LEVEL, "1")
        ),
        Remedy::FullPrecision => format!(
            "numbers beyond 65504 are infinite in half precision: use {}",
            option(flag::PRECISION, "full")
        ),
        Remedy::FullPrecisionOrGpu => format!(
            "use {}, or a device that gains from half precision: {} or {}",
            option(flag::PRECISION, "full"),
            option(flag::DEVICE, "cuda"),
            option(flag::DEVICE, "metal")
        ),
        Remedy::OtherLayer => format!(
            "use another layer, with {}, or let the model pool its features",
            option(flag::LAYER, "LAYER")
        ),

        Remedy::TextColumn(columns) => format!(
            "name one with {}: {}",
            switch(flag::TEXT_FIELD),
            columns.join(", ")
        ),
        Remedy::AllowOutside => format!(
            "{} reads files that the dataset names outside its own directory",
            switch(flag::ALLOW_OUTSIDE)
        ),
        Remedy::WriteElsewhere { endings } => {
            let outputs: Vec<_> = endings
                .iter()
                .map(|ending| option(flag::OUTPUT, &format!("results{ending}")))
                .collect();
            format!("write the results elsewhere with {}", outputs.join(" or "))
        }
        Remedy::OtherField => format!(
            "choose another field name, or write elsewhere with {}",
            option(flag::OUTPUT, "PATH")
        ),
        Remedy::ReplaceOutput => format!(
            "choose another path, or replace it with {}",
            switch(flag::OVERWRITE)
        ),
    }
}

/// A command line.
pub(crate) fn command(words: &[&str]) -> String {
    format!("`modelzoo {}`", words.join(" "))
}

/// A word of a command line, in quotes if a shell would read it as something else.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', r"'\''"))),
    }
}

/// A flag, with its dashes.
pub(crate) fn long(name: &str) -> String {
    format!("--{name}")
}

/// A flag alone.
pub(crate) fn switch(name: &str) -> String {
    format!("`--{name}`")
}

/// A flag with its value.
fn option(name: &str, value: &str) -> String {
    format!("`--{name} {value}`")
}

/// The flags that grant these permissions.
fn grants(permissions: &[String]) -> String {
    let flags: Vec<_> = permissions
        .iter()
        .map(|permission| format!("--{} {permission}", flag::GRANT))
        .collect();
    format!("`{}`", flags.join(" "))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::words;
