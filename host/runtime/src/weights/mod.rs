//! Weights: tensors by name, from safetensors files.

mod header;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;

use crate::error::Error;
use crate::nearest::nearest;
use header::Entry;

/// PyTorch counts batches beside each batch norm; nothing in inference uses the count.
const IGNORED_SUFFIX: &str = ".num_batches_tracked";

/// All tensors of a model's files, and which of them were asked for.
pub(crate) struct Weights {
    files: Vec<Mmap>,
    tensors: BTreeMap<String, (usize, Entry)>,
    used: RefCell<BTreeSet<String>>,
}

impl Weights {
    /// Maps the files `names` of the directory `dir` and checks their headers.
    ///
    /// # Errors
    /// [`Error::BadPlan`] for a name that leads out of `dir`, [`Error::WeightsIo`] for a file that
    /// cannot be read, [`Error::WeightsFile`] for one that is not as it should be.
    pub(crate) fn open(dir: &Path, names: &[String]) -> Result<Self, Error> {
        let mut files = Vec::new();
        let mut tensors = BTreeMap::new();
        for name in names {
            let path = inside(dir, name)?;
            let file = map(&path)?;
            let malformed = |reason| Error::WeightsFile {
                path: path.clone(),
                reason,
            };
            for (tensor, entry) in header::read(&file).map_err(malformed)? {
                if tensors.contains_key(&tensor) {
                    return Err(malformed(format!(
                        "tensor {tensor:?} is in another of the weight files too"
                    )));
                }
                tensors.insert(tensor, (files.len(), entry));
            }
            files.push(file);
        }
        Ok(Self {
            files,
            tensors,
            used: RefCell::default(),
        })
    }

    /// The place from which an architecture reads its tensors.
    pub(crate) fn root(&self) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: String::new(),
        }
    }

    /// Checks, once the architecture is built, that it has used everything.
    ///
    /// # Errors
    /// [`Error::UnexpectedTensor`].
    pub(crate) fn finish(self) -> Result<(), Error> {
        let used = self.used.into_inner();
        let mut unexpected = self
            .tensors
            .keys()
            .filter(|name| !used.contains(*name) && !name.ends_with(IGNORED_SUFFIX));
        let Some(name) = unexpected.next() else {
            return Ok(());
        };
        Err(Error::UnexpectedTensor {
            name: name.clone(),
            others: unexpected.count(),
            nearest: nearest(name, used.iter().map(String::as_str)),
        })
    }

    fn get(&self, name: String, shape: &[usize]) -> Result<Tensor, Error> {
        let Some((file, entry)) = self.tensors.get(&name) else {
            let used = self.used.borrow();
            let unused = self.tensors.keys().filter(|name| !used.contains(*name));
            return Err(Error::MissingTensor {
                nearest: nearest(&name, unused.map(String::as_str)),
                name,
            });
        };
        if entry.shape != shape {
            return Err(Error::WrongShape {
                name,
                want: shape.to_vec(),
                got: entry.shape.clone(),
            });
        }
        let dtype = match entry.dtype {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            "F32" => DType::F32,
            "F64" => DType::F64,
            other => return Err(Error::WrongType { name, dtype: other }),
        };
        let bytes = self
            .files
            .get(*file)
            .and_then(|file| file.get(entry.bytes.clone()));
        let bytes = bytes.unwrap_or_default();
        self.used.borrow_mut().insert(name);
        Ok(Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?)
    }
}

/// A part of the weights whose names share a prefix.
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl Scope<'_> {
    /// The part whose names go on with `name`.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self {
            weights: self.weights,
            prefix: self.full(name),
        }
    }

    /// The prefix, for messages: `layer1.0.conv2`.
    pub(crate) fn name(&self) -> &str {
        &self.prefix
    }

    /// The tensor `name` of this part, of exactly this shape, as f32 on the CPU.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::WrongShape`], [`Error::WrongType`].
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        self.weights.get(self.full(name), shape)
    }

    /// Whether the files hold the tensor `name` of this part, of whatever shape.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights.tensors.contains_key(&self.full(name))
    }

    /// Counts the tensor `name` as used, if it is there: one that is published with the weights
    /// but has no part in inference.
    pub(crate) fn ignore(&self, name: &str) {
        let name = self.full(name);
        if self.weights.tensors.contains_key(&name) {
            self.weights.used.borrow_mut().insert(name);
        }
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}

/// The file `name` of `dir`. The name comes from a guest; whoever made the plan has checked it,
/// and it is checked again here because this is where it is opened.
fn inside(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let normal = |component| matches!(component, Component::Normal(_));
    if name.is_empty() || !Path::new(name).components().all(normal) {
        return Err(Error::bad_plan(
            "weights",
            format!("{name:?} is not a name inside the model's directory"),
        ));
    }
    Ok(dir.join(name))
}

#[allow(unsafe_code, reason = "a mapping is unsafe by nature")]
fn map(path: &Path) -> Result<Mmap, Error> {
    let failed = |source| Error::WeightsIo {
        path: path.to_owned(),
        source,
    };
    let malformed = |reason: &str| Error::WeightsFile {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    // Asked before opening, because opening a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(malformed("is not a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the bytes of a mapping must not change while they are borrowed. The store's files
    // are written once, under another name, and renamed when complete; modelzoo never writes to
    // them again, and guests have no way to. A user who overwrites them in place while a model is
    // being built gets weights of mixed origin or a bus error, as with every program that maps
    // files. The mapping is private, read-only, and dropped when the model is built; each element
    // is copied out of it (`Tensor::from_raw_buffer`), and none of the types has invalid values.
    unsafe { Mmap::map(&file) }.map_err(failed)
}
