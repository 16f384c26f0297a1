//! What a manifest says that a model requires. It is shown and checked, never run.
//!
//! FiftyOne installs these packages with pip, reads them from a file, or calls a function that the
//! manifest names. Here nothing is opened, resolved or installed: the host computes itself, and a
//! closed table says which packages it replaces.

use serde::Serialize;
use serde_json::{Map, Value};

/// The packages that the host replaces, by their normalized names, each with its replacement.
const REPLACED: &[(&str, &str)] = &[
    ("accelerate", "candle"),
    ("huggingface-hub", "the downloader"),
    ("numpy", "candle"),
    ("open-clip-torch", "candle"),
    ("opencv-python", "the image decoder"),
    ("opencv-python-headless", "the image decoder"),
    ("pillow", "the image decoder"),
    ("pytorch", "candle"),
    ("requests", "the downloader"),
    ("safetensors", "candle"),
    ("sentence-transformers", "candle"),
    ("timm", "candle"),
    ("tokenizers", "candle"),
    ("torch", "candle"),
    ("torchvision", "candle"),
    ("tqdm", "the downloader"),
    ("transformers", "candle"),
];

/// The longest text that is taken for a list of packages, in bytes: each takes many times its own.
const MAX_SPLIT: usize = 64 << 10;

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
    /// The CUDA versions that it needs, as written, such as `>=9`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_version: Option<String>,
    /// The cuDNN versions that it needs, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cudnn_version: Option<String>,
    /// The function that lists the packages in FiftyOne, as written; never resolved or called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Value>,
}

/// Whether a package is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageState {
    /// As written.
    pub package: String,
    /// Whether the host replaces it.
    pub satisfied: bool,
    /// The part of the host that replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
}

/// A bad requirement: its place within `requirements`, and what is wrong with it.
pub(crate) type Problem = (String, String);

impl Requirements {
    /// Reads the field. What cannot be understood is left out and described, with its place below
    /// the field (empty for the field itself).
    pub(crate) fn read(value: &Value) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut requirements = Self::default();
        let Some(object) = value.as_object() else {
            if !value.is_null() {
                problems.push((String::new(), "is not an object".to_owned()));
            }
            return (requirements, problems);
        };
        let mut reader = Reader {
            problems: &mut problems,
        };
        if let Some(Value::Object(function)) = object.get("packages") {
            reader.problem(
                "packages",
                "names a function, which is shown and not called",
            );
            requirements.entrypoint = Some(Value::Object(function.clone()));
        } else {
            requirements.packages = reader.packages(object, "packages");
        }
        if let Some(cpu) = reader.object(object, "cpu") {
            requirements.cpu = reader.support(cpu, "cpu.support");
            requirements.cpu_packages = reader.packages(cpu, "cpu.packages");
        }
        if let Some(gpu) = reader.object(object, "gpu") {
            requirements.gpu = reader.support(gpu, "gpu.support");
            requirements.gpu_packages = reader.packages(gpu, "gpu.packages");
            requirements.cuda_version = reader.version(gpu, "gpu.cuda_version");
            requirements.cudnn_version = reader.version(gpu, "gpu.cudnn_version");
        }
        (requirements, problems)
    }

    /// Each package for a device, with whether the host replaces it.
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
            .map(|package| {
                let by = package.split('|').find_map(replacement);
                PackageState {
                    package: package.clone(),
                    satisfied: by.is_some(),
                    by,
                }
            })
            .collect()
    }
}

/// Reads the members of one object, noting problems. A place such as `cpu.packages` is the
/// member `packages`.
struct Reader<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: &str, reason: &str) {
        self.problems.push((at.to_owned(), reason.to_owned()));
    }

    fn object<'v>(
        &mut self,
        of: &'v Map<String, Value>,
        at: &str,
    ) -> Option<&'v Map<String, Value>> {
        let value = member(of, at)?;
        if !value.is_object() {
            self.problem(at, "is not an object");
        }
        value.as_object()
    }

    fn support(&mut self, of: &Map<String, Value>, at: &str) -> Option<bool> {
        let value = member(of, at)?;
        if !value.is_boolean() {
            self.problem(at, "is neither true nor false");
        }
        value.as_bool()
    }

    fn version(&mut self, of: &Map<String, Value>, at: &str) -> Option<String> {
        match member(of, at)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.problem(at, "is not a string");
                None
            }
        }
    }

    /// A list, or a text with commas.
    fn packages(&mut self, of: &Map<String, Value>, at: &str) -> Vec<String> {
        match member(of, at) {
            None => Vec::new(),
            Some(Value::String(text)) if text.len() > MAX_SPLIT => {
                let reason = format!("is a text of more than {MAX_SPLIT} bytes, and not read");
                self.problem(at, &reason);
                Vec::new()
            }
            Some(Value::String(text)) => split(text),
            Some(Value::Array(items)) => {
                let mut packages = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    match item.as_str().map(str::trim) {
                        Some("") => {}
                        Some(text) => packages.push(text.to_owned()),
                        None => self.problem(&format!("{at}[{index}]"), "is not a string"),
                    }
                }
                packages
            }
            Some(_) => {
                self.problem(at, "is neither a list nor a string");
                Vec::new()
            }
        }
    }
}

/// The member that the last part of a place names; `null` counts as absent.
fn member<'v>(of: &'v Map<String, Value>, at: &str) -> Option<&'v Value> {
    let name = at.rsplit('.').next().unwrap_or(at);
    of.get(name).filter(|value| !value.is_null())
}

/// Splits `torch>=1.7,<3,numpy` into packages: what starts with an operator belongs to the one
/// before it, and commas in brackets do not count.
fn split(text: &str) -> Vec<String> {
    let mut packages: Vec<String> = Vec::new();
    // Brackets that the last one has open.
    let mut open = 0_usize;
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match packages.last_mut() {
            Some(last) if part.starts_with(['<', '>', '=', '!', '~']) || open > 0 => {
                last.push(',');
                last.push_str(part);
            }
            _ => {
                packages.push(part.to_owned());
                open = 0;
            }
        }
        let opened = open + part.matches('[').count();
        open = opened.saturating_sub(part.matches(']').count());
    }
    packages
}

/// The part of the host that replaces a package.
fn replacement(requirement: &str) -> Option<&'static str> {
    let requirement = requirement.trim();
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        .unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    // `name @ url` is not the package of that name.
    if rest.contains('@') {
        return None;
    }
    // PEP 503: case and the kind of separator do not count.
    let mut folded = String::new();
    for c in name.to_ascii_lowercase().chars() {
        match c {
            '.' | '_' | '-' if folded.ends_with('-') => {}
            '.' | '_' | '-' => folded.push('-'),
            c => folded.push(c),
        }
    }
    REPLACED
        .iter()
        .find(|(known, _)| *known == folded)
        .map(|(_, by)| *by)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Requirements;

    fn read(value: &Value) -> (Requirements, Vec<String>) {
        let (read, problems) = Requirements::read(value);
        (
            read,
            problems
                .into_iter()
                .map(|(at, reason)| format!("{at}: {reason}"))
                .collect(),
        )
    }

    #[test]
    fn long_text_of_packages_is_not_read() {
        let of = |text: String| read(&json!({ "packages": text }));
        let (known, problems) = of("a,".repeat(32 << 10));
        assert_eq!((known.packages.len(), problems.len()), (32 << 10, 0));
        // All in one bracket.
        let (known, problems) = of(format!("a[{}", "b,".repeat(32_000)));
        assert_eq!((known.packages.len(), problems.len()), (1, 0));
        let (known, problems) = of("a,".repeat(1 << 20));
        assert!(known.packages.is_empty());
        assert_eq!(
            problems,
            ["packages: is a text of more than 65536 bytes, and not read"]
        );
    }

    #[test]
    fn every_form_of_requirements_is_read() {
        let (read, problems) = read(&json!({
            "packages": ["torch>=2", "Torch_Vision", "torchvision", "acme|numpy", "open.clip__torch[x]==1; python_version<'4'", "torch @ git+https://x"],
            "cpu": {"support": false},
            "gpu": {"support": true, "packages": "cupy, ", "cuda_version": ">=9", "cudnn_version": 7.5},
        }));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((read.cpu, read.gpu), (Some(false), Some(true)));
        assert_eq!(
            (read.cuda_version.as_deref(), read.cudnn_version.as_deref()),
            (Some(">=9"), Some("7.5"))
        );
        let states: Vec<_> = read.packages(true).iter().map(|p| p.satisfied).collect();
        assert_eq!(states, [true, false, true, true, true, false, false]);
        assert_eq!(read.packages(false).len(), 6);
        assert_eq!(read.packages(true)[0].by, Some("candle"));
    }

    #[test]
    fn string_with_commas_is_a_list() {
        for (text, packages) in [
            ("torch,numpy==1.14.0", &["torch", "numpy==1.14.0"][..]),
            (
                "tensorflow>=1.14,<2, torch",
                &["tensorflow>=1.14,<2", "torch"],
            ),
            ("a[b,c]>=1,d", &["a[b,c]>=1", "d"]),
            (" , ", &[]),
        ] {
            assert_eq!(
                read(&json!({"packages": text})).0.packages,
                packages,
                "{text}"
            );
        }
    }

    /// C01: a function is shown and never called.
    #[test]
    fn entrypoint_function_is_shown_and_never_called() {
        let function =
            json!({"entrypoint_fcn": "os.system", "entrypoint_args": {"command": "touch pwned"}});
        let (read, problems) = read(&json!({"packages": function}));
        assert_eq!(read.packages, Vec::<String>::new());
        assert_eq!(read.entrypoint, Some(function));
        assert_eq!(
            problems,
            ["packages: names a function, which is shown and not called"]
        );
    }

    /// C02: the name of a file is a string like any other.
    #[test]
    fn file_name_is_only_a_string() {
        let (read, problems) = read(&json!({"packages": "/etc/passwd"}));
        assert_eq!(read.packages, ["/etc/passwd"]);
        assert!(!read.packages(false)[0].satisfied);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn bad_requirements_are_left_out_and_named() {
        for (value, expected) in [
            (json!([]), ": is not an object"),
            (
                json!({"packages": 1}),
                "packages: is neither a list nor a string",
            ),
            (
                json!({"packages": ["a", 1]}),
                "packages[1]: is not a string",
            ),
            (json!({"cpu": true}), "cpu: is not an object"),
            (
                json!({"cpu": {"support": "yes"}}),
                "cpu.support: is neither true nor false",
            ),
            (
                json!({"gpu": {"packages": {}}}),
                "gpu.packages: is neither a list nor a string",
            ),
            (
                json!({"gpu": {"cuda_version": []}}),
                "gpu.cuda_version: is not a string",
            ),
        ] {
            assert_eq!(read(&value).1, [expected], "{value}");
        }
        assert_eq!(read(&json!({"packages": ["a", 1]})).0.packages, ["a"]);
        assert_eq!(
            read(&json!({"packages": null, "cpu": null})),
            (Requirements::default(), Vec::new())
        );
    }
}
