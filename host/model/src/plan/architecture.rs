use modelzoo_base::json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{self, PlanError};

/// The most bytes of a configuration.
pub(super) const CONFIG_BYTES: usize = 1 << 20;
/// How deep a configuration may nest.
const CONFIG_DEPTH: usize = 64;

/// An architecture by name, with its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// One of the architectures that the runtime knows.
    pub name: String,
    /// A JSON object with the fields of the architecture's configuration. An unknown field is an
    /// error.
    pub config: Value,
}

impl Architecture {
    /// An architecture whose configuration is the text of a JSON object, as Python writes it:
    /// `NaN` and the infinities become `null`.
    ///
    /// # Errors
    /// [`PlanError`] when the text is too long, nests too deep or is not a JSON object.
    pub fn parse(name: String, config: &str) -> Result<Self, PlanError> {
        // Before the text is parsed, because a parsed value needs many times its memory.
        check_text(config)?;
        let config = serde_json::from_str(&json::without_nan(config))
            .map_err(|e| PlanError::new("architecture.config", format!("is not JSON: {e}")))?;
        let architecture = Self { name, config };
        architecture.validate()?;
        Ok(architecture)
    }

    /// Checks everything but whether the runtime knows the architecture.
    pub(super) fn validate(&self) -> Result<(), PlanError> {
        check::name("architecture.name", &self.name)?;
        if !self.config.is_object() {
            let reason = "is not a JSON object";
            return Err(PlanError::new("architecture.config", reason));
        }
        check_text(&self.config.to_string())
    }
}

fn check_text(config: &str) -> Result<(), PlanError> {
    let bytes = config.len();
    let reason = if bytes > CONFIG_BYTES {
        format!("has {bytes} bytes; at most {CONFIG_BYTES} are allowed")
    } else if depth(config) > CONFIG_DEPTH {
        format!("nests more than {CONFIG_DEPTH} deep")
    } else {
        return Ok(());
    };
    Err(PlanError::new("architecture.config", reason))
}

/// How deep brackets nest outside of strings; in valid JSON, its depth.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
