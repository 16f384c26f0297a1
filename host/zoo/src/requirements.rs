//! What a manifest says that a model requires. It is shown and checked, never run.
//!
//! The reference system installs these packages with pip. Here the packages that compute are
//! what the host itself stands in for.

use serde::Serialize;
use serde_json::Value;

/// Packages whose part the host plays itself.
const SATISFIED: &[&str] = &[
    "torch",
    "torchvision",
    "transformers",
    "open_clip_torch",
    "huggingface_hub",
    "safetensors",
    "numpy",
    "pillow",
    "timm",
    "sentence-transformers",
    "tokenizers",
];

/// A model's `requirements`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// Packages, each as written; `a|b` are alternatives.
    pub packages: Vec<String>,
    /// Whether it runs on a CPU, where the manifest says.
    pub cpu: Option<bool>,
    /// Whether it runs on a GPU, where the manifest says.
    pub gpu: Option<bool>,
    /// Packages for a CPU only.
    pub cpu_packages: Vec<String>,
    /// Packages for a GPU only.
    pub gpu_packages: Vec<String>,
}

/// Whether a package is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageState {
    /// As written.
    pub package: String,
    /// Whether the host stands in for it.
    pub satisfied: bool,
}

impl Requirements {
    /// Reads the field. What cannot be understood is left out and described.
    #[must_use]
    pub fn read(value: &Value) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        if !value.is_object() && !value.is_null() {
            problems.push("is no object".to_owned());
        }
        let device = |name: &str| value.get(name).cloned().unwrap_or_default();
        let (cpu, gpu) = (device("cpu"), device("gpu"));
        let mut packages = |of: &Value, at: &str| match read_packages(
            of.get("packages").unwrap_or(&Value::Null),
        ) {
            Ok(packages) => packages,
            Err(problem) => {
                problems.push(format!("{at}packages {problem}"));
                Vec::new()
            }
        };
        let read = Self {
            packages: packages(value, ""),
            cpu_packages: packages(&cpu, "cpu."),
            gpu_packages: packages(&gpu, "gpu."),
            cpu: cpu.get("support").and_then(Value::as_bool),
            gpu: gpu.get("support").and_then(Value::as_bool),
        };
        (read, problems)
    }

    /// Each package for a device, with whether the host stands in for it.
    #[must_use]
    pub fn packages(&self, on_gpu: bool) -> Vec<PackageState> {
        let device = if on_gpu {
            &self.gpu_packages
        } else {
            &self.cpu_packages
        };
        self.packages
            .iter()
            .chain(device)
            .map(|package| PackageState {
                package: package.clone(),
                satisfied: package.split('|').any(is_satisfied),
            })
            .collect()
    }
}

/// A list, or a text with commas. An object would be a function to call in the reference system:
/// it is shown, and never resolved.
fn read_packages(value: &Value) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text
            .split(',')
            .map(str::trim)
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_owned)
                    .ok_or("holds something other than text")
            })
            .collect(),
        Value::Object(_) => Err("names a function, which is not called"),
        _ => Err("is neither a list nor a text"),
    }
}

fn is_satisfied(requirement: &str) -> bool {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let (name, rest) = requirement
        .trim()
        .split_at(end.unwrap_or(requirement.trim().len()));
    let fold = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "-");
    // `name @ url` asks for something else than the package of that name.
    !rest.contains('@') && SATISFIED.iter().any(|known| fold(known) == fold(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form() {
        let (read, problems) = Requirements::read(&json!({
            "packages": ["torch>=2", "torchvision", "acme|numpy", "evil @ git+https://x"],
            "cpu": {"support": false}, "gpu": {"support": true, "packages": "cupy, "},
        }));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((read.cpu, read.gpu), (Some(false), Some(true)));
        let states: Vec<_> = read.packages(true).iter().map(|p| p.satisfied).collect();
        assert_eq!(states, [true, true, true, false, false]);
    }

    #[test]
    fn a_function_is_described_and_never_called() {
        let (read, problems) = Requirements::read(&json!({
            "packages": {"entrypoint_fcn": "os.system", "entrypoint_args": {"command": "touch pwned"}}
        }));
        assert_eq!(read.packages, Vec::<String>::new());
        assert!(problems[0].contains("not called"));
    }

    #[test]
    fn a_file_name_is_only_a_text() {
        let (read, _) = Requirements::read(&json!({"packages": "/etc/passwd"}));
        assert_eq!(read.packages, ["/etc/passwd"]);
    }
}
