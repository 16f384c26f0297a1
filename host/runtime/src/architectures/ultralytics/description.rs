//! The description of a network: the `yaml` of Ultralytics, as JSON.

use serde_json::Value;

use crate::architectures::shared::config::ConfigChecker;
use crate::error::Error;

/// The most layers.
const MAX_LAYERS: usize = 500;
/// The most values that go into a layer.
const MAX_INPUTS: usize = 16;

/// The fields that a description may have: those that decide something, and those that only
/// training or building with random weights needs.
const FIELDS: &[&str] = &[
    "activation",
    "anchors",
    "backbone",
    "ch",
    "channels",
    "depth_multiple",
    "end2end",
    "eps",
    "flip_idx",
    "head",
    "inplace",
    "kpt_names",
    "kpt_shape",
    "names",
    "nc",
    "reg_max",
    "scale",
    "scales",
    "strides",
    "task",
    "width_multiple",
    "yaml_file",
];

/// One line of a description: `[from, repeats, module, arguments]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// The layers whose values it takes, and none for the image.
    pub(super) from: Vec<Option<usize>>,
    /// The class of Ultralytics.
    pub(super) module: String,
    /// Its arguments, without those that the weights show.
    pub(super) arguments: Vec<Value>,
}

impl Line {
    /// An argument that is a number.
    pub(super) fn number(&self, at: usize) -> Option<usize> {
        let number = self.arguments.get(at)?.as_u64()?;
        usize::try_from(number).ok()
    }

    /// An argument that is true or false; Python's numbers too.
    pub(super) fn flag(&self, at: usize) -> Option<bool> {
        let value = self.arguments.get(at)?;
        value.as_bool().or_else(|| Some(value.as_i64()? != 0))
    }
}

/// A description, checked as far as it can be without weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Description {
    pub(super) lines: Vec<Line>,
    /// Whether the head gives one box per object where it can.
    pub(super) end2end: bool,
    /// The points of an object, and the numbers of each.
    pub(super) points: Option<[usize; 2]>,
    /// The names of the classes.
    pub(super) names: Option<Vec<String>>,
    /// The epsilon of batch norms, where it is said.
    pub(super) eps: Option<f64>,
}

impl Description {
    /// Refuses fields that no description has.
    pub(super) fn check_fields(checker: &ConfigChecker, config: &Value) -> Result<(), Error> {
        let fields = config.as_object().into_iter().flatten();
        match fields
            .map(|(name, _)| name)
            .find(|name| !FIELDS.contains(&name.as_str()))
        {
            Some(unknown) => Err(checker.error(unknown, "is not a field of the description")),
            None => Ok(()),
        }
    }

    /// Reads a description; `names` and `eps` are those that the weights have beside it.
    pub(super) fn read(
        checker: &ConfigChecker,
        yaml: &Value,
        names: Option<&Value>,
        eps: Option<f64>,
    ) -> Result<Self, Error> {
        let mut lines = Vec::new();
        for field in ["backbone", "head"] {
            let list = yaml.get(field).and_then(Value::as_array);
            let list = list.ok_or_else(|| checker.error(field, "must be a list of layers"))?;
            checker.check_range(field, list.len(), 1..=MAX_LAYERS)?;
            for (at, line) in list.iter().enumerate() {
                let field = format!("{field}[{at}]");
                lines.push(self::line(checker, &field, line, lines.len())?);
            }
        }
        if let Some(activation) = yaml.get("activation").filter(|value| !value.is_null())
            && !matches!(activation.as_str(), Some("nn.SiLU()" | "torch.nn.SiLU()"))
        {
            return Err(checker.unsupported("activation", &activation.to_string()));
        }
        let eps = yaml.get("eps").and_then(Value::as_f64).or(eps);
        if let Some(eps) = eps {
            checker.check_eps("eps", eps)?;
        }
        Ok(Self {
            lines,
            end2end: yaml
                .get("end2end")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            points: points(checker, yaml.get("kpt_shape"))?,
            names: self::names(yaml.get("names").or(names)),
            eps,
        })
    }
}

fn line(checker: &ConfigChecker, field: &str, line: &Value, at: usize) -> Result<Line, Error> {
    let bad = || checker.error(field, "must be `[from, repeats, module, arguments]`");
    let Some([from, repeats, module, arguments]) = line.as_array().map(Vec::as_slice) else {
        return Err(bad());
    };
    let from = match from {
        Value::Array(many) => many.iter().map(Value::as_i64).collect(),
        one => one.as_i64().map(|one| vec![one]),
    };
    let from = from.filter(|from| (1..=MAX_INPUTS).contains(&from.len()));
    let before = |from: &i64| source(*from, at);
    let from: Option<Vec<_>> = from.ok_or_else(bad)?.iter().map(before).collect();
    let module = module.as_str().ok_or_else(bad)?;
    if repeats.as_u64().is_none() {
        return Err(bad());
    }
    Ok(Line {
        from: from.ok_or_else(|| checker.error(field, "takes a value that is not before it"))?,
        module: module.to_owned(),
        arguments: arguments.as_array().ok_or_else(bad)?.clone(),
    })
}

/// The layer that `from` means at the layer `at`: a number, or one counted back.
fn source(from: i64, at: usize) -> Option<Option<usize>> {
    let at = i64::try_from(at).ok()?;
    match if from < 0 { at + from } else { from } {
        -1 if at == 0 => Some(None),
        source if (0..at).contains(&source) => Some(usize::try_from(source).ok()),
        _ => None,
    }
}

fn points(checker: &ConfigChecker, shape: Option<&Value>) -> Result<Option<[usize; 2]>, Error> {
    let Some(shape) = shape.filter(|shape| !shape.is_null()) else {
        return Ok(None);
    };
    let sizes = shape.as_array().map(Vec::as_slice);
    let sizes = match sizes {
        Some([points, numbers]) => points.as_u64().zip(numbers.as_u64()),
        _ => None,
    };
    match sizes {
        Some((points @ 1..=10_000, numbers @ 2..=3)) => {
            Ok(Some([points as usize, numbers as usize]))
        }
        _ => Err(checker.error("kpt_shape", "must be a number of points, and 2 or 3")),
    }
}

/// A list of names, or names by their numbers: 0, 1, …
fn names(names: Option<&Value>) -> Option<Vec<String>> {
    let text = |name: &Value| name.as_str().map(str::to_owned);
    match names? {
        Value::Array(list) => list.iter().map(text).collect(),
        Value::Object(object) => (0..object.len())
            .map(|number| text(object.get(&number.to_string())?))
            .collect(),
        _ => None,
    }
}
