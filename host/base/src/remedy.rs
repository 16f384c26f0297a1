//! What would fix an error, as data.
//!
//! A library's errors answer `remedy()`; it knows what would help, and nothing of the flags and
//! verbs of a command. The command renders each variant as a hint, with an exhaustive match; other
//! programs can show [`Remedy`] as it is, or offer the fix themselves.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// What would fix an error.
///
/// The text that it displays as names neither flags nor verbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Something that is done outside of modelzoo, or by editing a file or the environment.
    Advice(Cow<'static, str>),
    /// One of these names was probably meant. There is at least one.
    DidYouMean(Vec<String>),

    /// Let modelzoo open sockets.
    GoOnline,
    /// Grant these permissions to the source.
    Grant(Vec<String>),
    /// Have the author of the source declare this permission, and grant it then.
    DeclareAndGrant(String),
    /// Grant nothing: the source asks for nothing.
    GrantNothing,

    /// Register a source first.
    RegisterSource,
    /// Register a source that is registered already again, and so replace what is stored of it.
    RegisterAgain {
        /// The source, if it is not the one that was just named.
        source_id: Option<String>,
    },
    /// Look at the registered sources.
    ListSources,
    /// Look at the models of the registered sources.
    ListModels,
    /// Look at the sources that the audit log has records of.
    ListAudited,
    /// Download the model again, and accept what changed of its files.
    AcceptChanges {
        /// The model.
        model: String,
        /// The source that declares it.
        source_id: String,
    },
    /// Import the bundle, and accept its files in place of those that were downloaded before.
    AcceptBundle,
    /// Accept the lock as it was edited.
    AcceptLock,
    /// Register a commit that is on no branch or tag of its repository.
    AllowUnreachableCommit {
        /// The reference that names the commit.
        reference: String,
    },
    /// Allow the source to go back to an older version.
    AllowRollback {
        /// The source.
        source_id: String,
    },
    /// Let modelzoo change the lock.
    Unlock,
    /// Let modelzoo download what was never downloaded before.
    Unfreeze,

    /// Say which source declares the model.
    NameSource {
        /// The model with the first of the sources, as it can be typed.
        example: String,
    },
    /// Say which model of the source is meant.
    NameModel,
    /// Download the model.
    Download {
        /// The model.
        model: String,
    },
    /// Download the model again.
    DownloadAgain {
        /// The model, if it is not the one that was just named.
        model: Option<String>,
    },
    /// Check the model's files, and download again what is not as recorded.
    Repair {
        /// The model.
        model: String,
    },
    /// Free space on the disk of the store.
    MakeRoom,
    /// Have this machine examined.
    Diagnose,

    /// Choose another path for the bundle, or remove what is there.
    OtherBundlePath,
    /// Make a bundle with modelzoo.
    ExportBundle,
    /// Replace the registered source by the bundle's.
    ReplaceByBundle,
    /// Download the model as the source is now, or leave it out of the bundle.
    RefreshOrOmit {
        /// The model.
        model: String,
    },

    /// Give the hook the arguments that the source documents.
    GiveArguments,
    /// Give this argument to `load_model`.
    GiveArgument {
        /// Its name.
        name: &'static str,
        /// What its value looks like, as JSON.
        value: &'static str,
    },
    /// Correct a value of the configuration, which came from the manifest or from an argument.
    CorrectArgument,
    /// Compute embeddings: the model gives no labels.
    Embed {
        /// The model, where it has a name.
        model: Option<String>,
    },
    /// Compute on another device.
    OtherDevice {
        /// The feature that a build for the wanted device has.
        feature: Option<&'static str>,
    },
    /// Compute on another device, or in spite of the manifest's requirements.
    OtherDeviceOrLevel,
    /// Compute in spite of the manifest's requirements.
    IgnoreRequirement,
    /// Compute in full precision.
    FullPrecision,
    /// Compute in full precision, or on a device that gains from half precision.
    FullPrecisionOrGpu,
    /// Take the embeddings from another layer.
    OtherLayer,

    /// Read the texts from one of these columns.
    TextColumn(Vec<String>),
    /// Read files that the dataset names outside its own directory.
    AllowOutside,
    /// Write the results to a path of their own.
    WriteElsewhere {
        /// The endings of files that can hold them, with their dots.
        endings: &'static [&'static str],
    },
    /// Write to another field, or to a path of its own.
    OtherField,
    /// Choose another path for the results, or replace what is there.
    ReplaceOutput,
}

impl Remedy {
    /// Advice that fits no other variant.
    pub fn advice(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Advice(text.into())
    }

    /// [`Remedy::DidYouMean`] where there are such names, or else `otherwise`.
    pub fn did_you_mean(names: &[String], otherwise: Self) -> Self {
        match names {
            [] => otherwise,
            names => Self::DidYouMean(names.to_vec()),
        }
    }
}

/// As its text.
impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Advice(text) => text,
            Self::DidYouMean(names) => {
                return write!(f, "did you mean {}?", names.join(" or "));
            }
            Self::GoOnline => "go online to fetch it",
            Self::Grant(permissions) => {
                return write!(f, "grant {}", permissions.join(", "));
            }
            Self::DeclareAndGrant(permission) => {
                return write!(
                    f,
                    "the source has to ask for `{permission}` in its manifest, and you have to grant it"
                );
            }
            Self::GrantNothing => "it asks for no permission: grant none",
            Self::RegisterSource => "no source is registered yet: register one",
            Self::RegisterAgain { source_id: None } => "register the source again",
            Self::RegisterAgain {
                source_id: Some(source_id),
            } => return write!(f, "register {source_id} again"),
            Self::ListSources => "look at the registered sources",
            Self::ListModels => "look at the models of the registered sources",
            Self::ListAudited => "look at the sources that there are records of",
            Self::AcceptChanges { model, source_id } => {
                return write!(
                    f,
                    "if the publisher of {source_id} changed it on purpose, download {model} again \
                     and accept the changes"
                );
            }
            Self::AcceptBundle => {
                "if you trust the bundle more, replace what is there and accept the changes"
            }
            Self::AcceptLock => {
                "if you changed it on purpose, accept it as it is; if not, restore it from a copy"
            }
            Self::AllowUnreachableCommit { reference } => {
                return write!(
                    f,
                    "anybody can have such a commit; if {reference} is the one that you want, allow \
                     an unreachable commit"
                );
            }
            Self::AllowRollback { source_id } => {
                return write!(
                    f,
                    "an attacker could want an older version back; if the publisher of {source_id} \
                     withdrew the newer one on purpose, allow the rollback"
                );
            }
            Self::Unlock => "allow changes of the lock",
            Self::Unfreeze => "download it once while new downloads are allowed",
            Self::NameSource { example } => {
                return write!(f, "name the source too, as in `{example}`");
            }
            Self::NameModel => "name the model too",
            Self::Download { model } => return write!(f, "download {model}"),
            Self::DownloadAgain { model: None } => "download the model again",
            Self::DownloadAgain { model: Some(model) } => {
                return write!(f, "download {model} again");
            }
            Self::Repair { model } => return write!(f, "repair {model}"),
            Self::MakeRoom => "free space on the disk of the store, or use a store on another disk",
            Self::Diagnose => {
                "modelzoo starts itself to compile components: check that it can on this machine"
            }
            Self::OtherBundlePath => "choose another path, or remove the file first",
            Self::ExportBundle => "export a source to make a bundle",
            Self::ReplaceByBundle => "replace the registered source by the bundle's",
            Self::RefreshOrOmit { model } => {
                return write!(
                    f,
                    "download {model} again as the source is now, or leave it out"
                );
            }
            Self::GiveArguments => "give the arguments that the source's README lists",
            Self::GiveArgument { name, value } => {
                return write!(f, "give the argument `{name}`, for example {value}");
            }
            Self::CorrectArgument => "correct it in the manifest or in the arguments",
            Self::Embed { .. } => "it gives embeddings: embed with it",
            Self::OtherDevice {
                feature: Some(feature),
            } => {
                return write!(
                    f,
                    "build with the feature `{feature}`, or use the device `cpu`"
                );
            }
            Self::OtherDevice { feature: None } => {
                "use the device `cpu`, or `auto` for whatever there is"
            }
            Self::IgnoreRequirement => "go on in spite of what the manifest requires",
            Self::OtherDeviceOrLevel => {
                "use another device, or an error level that ignores the requirement"
            }
            Self::FullPrecision => "use the precision `full`",
            Self::FullPrecisionOrGpu => {
                "use the precision `full`, or a device that gains from `half`: `cuda` or `metal`"
            }
            Self::OtherLayer => "use another layer, or let the model pool its features",
            Self::TextColumn(columns) => {
                return write!(f, "name one of the columns: {}", columns.join(", "));
            }
            Self::AllowOutside => "allow files outside the dataset's directory",
            Self::WriteElsewhere { endings } => {
                return write!(
                    f,
                    "write the results elsewhere, to a file that ends in {}",
                    endings.join(", ")
                );
            }
            Self::OtherField => "choose another field name, or write elsewhere",
            Self::ReplaceOutput => "choose another path, or allow replacing it",
        };
        f.write_str(text)
    }
}
