//! Weights: tensors by name, from the files of a model.
//!
//! The format of a file is detected by its content:
//! - **safetensors**;
//! - **PyTorch checkpoints** (`.pth`, `.pt`, `.bin`): the zip archives of `torch.save` since
//!   PyTorch 1.6, the format before it, and TorchScript archives (whose code is not read).
//!   `checkpoint.rs` documents the names of the tensors;
//!   A pickled module (Ultralytics) is read as an inert record: `pickle/modules.rs` lists the classes;
//! - **an index of shards** (`*.index.json`), which stands for the files that it lists (`index.rs`).
//!
//! Where all tensors share the prefix of a wrapper (`module.`, `_orig_mod.`, `model.`), they are
//! found without it too (`names.rs`).
//!
//! Files are mapped; the elements of a tensor are copied once, when an architecture reads them.
//! Nothing is unpickled: the pickle of a checkpoint is read as data, with a closed list of names
//! ([`Error::UnsafePickle`] for any other), and its sizes, offsets and strides are checked against
//! the file before they are used ([`Error::WeightsFile`]).

mod archive;
mod checkpoint;
mod configuration;
mod entry;
mod file;
mod header;
mod index;
mod legacy;
mod names;
mod pickle;
mod refusal;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::error::Error;
use crate::files::inside;
use archive::Contents;
use entry::{Entry, Type};
use file::{Format, Source};
use index::Index;
use modelzoo_base::nearest;
use refusal::Refusal;

/// The most tensors of all files of a model. Those of the largest have some 150,000.
const MAX_TENSORS: usize = 1 << 18;

/// All tensors of a model's files, and a record of those that were read.
pub struct Weights {
    sources: Vec<Source>,
    /// Each tensor, and the first source of its file.
    tensors: BTreeMap<String, (usize, Entry)>,
    /// What a tensor's name may have before the name that is asked for: nothing, first.
    prefixes: Vec<String>,
    used: RefCell<BTreeSet<String>>,
    /// What a pickled module says about itself; see `configuration.rs`.
    configuration: Option<Value>,
}

impl Weights {
    /// Maps the files `names` of the directory `dir` and checks their descriptions of tensors.
    ///
    /// # Errors
    /// [`Error::BadPlan`] for a name outside of `dir`, [`Error::WeightsIo`] for a file that cannot
    /// be read, [`Error::WeightsFile`] for an invalid one, [`Error::UnsafePickle`] for one that
    /// needs more than tensors.
    pub fn open(dir: &Path, names: &[String]) -> Result<Self, Error> {
        let mut opened = Opened::default();
        for name in names {
            let path = inside(dir, "weights", name)?;
            let file = file::map(&path)?;
            if !index::is_index(name) {
                opened.add(&path, file, None)?;
                continue;
            }
            let Index(shards) = Index::read(&file).map_err(|refusal| refusal.of(&path))?;
            for (shard, listed) in shards {
                let path = path.with_file_name(shard);
                opened.add(&path, file::map(&path)?, Some(&listed))?;
            }
        }
        let Opened {
            sources,
            tensors,
            configuration,
        } = opened;
        Ok(Self {
            sources,
            configuration,
            prefixes: names::prefixes(tensors.keys().map(String::as_str)),
            tensors,
            used: RefCell::default(),
        })
    }

    /// The tensors, sorted by name: the name, the type in safetensors' notation, and the shape.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &'static str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, (_, entry))| (name.as_str(), entry.dtype.name(), entry.shape.as_slice()))
    }

    /// The elements of the tensor `name`, row by row, as f32.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::WrongType`] for other types than floating-point numbers.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, Error> {
        let shape = self.find(name).map(|(_, (_, entry))| entry.shape.clone());
        let tensor = self.get(name.to_owned(), &shape.unwrap_or_default())?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    /// The scope of all tensors, from which an architecture reads.
    pub(crate) fn root(&self) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: String::new(),
        }
    }

    /// Checks, once the architecture is built, that it has read all tensors.
    ///
    /// # Errors
    /// [`Error::UnexpectedTensor`].
    pub(crate) fn finish(self) -> Result<(), Error> {
        let used = self.used.into_inner();
        let mut unexpected = self
            .tensors
            .keys()
            .filter(|name| !used.contains(*name) && !names::is_ignored(name));
        let Some(name) = unexpected.next() else {
            return Ok(());
        };
        Err(Error::UnexpectedTensor {
            name: name.clone(),
            others: unexpected.count(),
            nearest: nearest(name, used.iter().map(String::as_str)),
        })
    }

    /// The tensor that is asked for by `name`, with its name in the file.
    fn find(&self, name: &str) -> Option<(&String, &(usize, Entry))> {
        self.prefixes
            .iter()
            .find_map(|prefix| match prefix.as_str() {
                "" => self.tensors.get_key_value(name),
                prefix => self.tensors.get_key_value(&format!("{prefix}{name}")),
            })
    }

    fn missing(&self, name: String) -> Error {
        let used = self.used.borrow();
        let unused = self.tensors.keys().filter(|name| !used.contains(*name));
        Error::MissingTensor {
            nearest: nearest(&name, unused.map(String::as_str)),
            name,
        }
    }

    fn get(&self, name: String, shape: &[usize]) -> Result<Tensor, Error> {
        let Some((name, (first, entry))) = self.find(&name) else {
            return Err(self.missing(name));
        };
        let name = name.clone();
        if entry.shape != shape {
            return Err(Error::WrongShape {
                name,
                want: shape.to_vec(),
                got: entry.shape.clone(),
            });
        }
        let dtype = match entry.dtype {
            Type::F16 => DType::F16,
            Type::Bf16 => DType::BF16,
            Type::F32 => DType::F32,
            Type::F64 => DType::F64,
            other => {
                let dtype = other.name();
                return Err(Error::WrongType { name, dtype });
            }
        };
        let source = self.sources.get(first + entry.source);
        let bytes = entry.gather(source.map(|source| &**source).unwrap_or_default());
        self.used.borrow_mut().insert(name);
        Ok(Tensor::from_raw_buffer(&bytes, dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?)
    }
}

/// Files that have been mapped and read.
#[derive(Default)]
struct Opened {
    sources: Vec<Source>,
    tensors: BTreeMap<String, (usize, Entry)>,
    configuration: Option<Value>,
}

impl Opened {
    /// Adds a file of weights; `listed` are the tensors that it must have, where it is a shard.
    fn add(
        &mut self,
        path: &Path,
        file: memmap2::Mmap,
        listed: Option<&BTreeSet<String>>,
    ) -> Result<(), Error> {
        let first = self.sources.len();
        let refused = |refusal: Refusal| refusal.of(path);
        let Contents {
            tensors: found,
            unpacked,
            configuration,
        } = read(&file).map_err(refused)?;
        if configuration.is_some() {
            self.configuration = configuration;
        }
        if let Some(listed) = listed {
            let held = found.iter().map(|(name, _)| name.as_str());
            index::compare(listed, held).map_err(refused)?;
        }
        if self.tensors.len() + found.len() > MAX_TENSORS {
            let reason = format!("is one tensor too many, or more: {MAX_TENSORS} are read");
            return Err(refused(Refusal::Malformed(reason)));
        }
        for (tensor, entry) in found {
            if self.tensors.contains_key(&tensor) {
                let reason = format!("tensor {tensor:?} is in another of the weight files too");
                return Err(refused(Refusal::Malformed(reason)));
            }
            self.tensors.insert(tensor, (first, entry));
        }
        self.sources.push(Source::Mapped(file));
        self.sources
            .extend(unpacked.into_iter().map(Source::Unpacked));
        Ok(())
    }
}

/// The tensors of a file, whatever its format.
fn read(file: &[u8]) -> Result<Contents, Refusal> {
    let plain = |tensors| Contents {
        tensors,
        unpacked: Vec::new(),
        configuration: None,
    };
    Ok(match Format::of(file) {
        Format::Safetensors => plain(header::read(file)?),
        Format::Archive => archive::read(file)?,
        Format::Legacy => plain(legacy::read(file)?),
    })
}

/// The part of the weights whose names have a common prefix.
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl Scope<'_> {
    /// The part with `name` added to the prefix.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self {
            weights: self.weights,
            prefix: self.full(name),
        }
    }

    /// What a pickled module says about itself: an object with the members `yaml` and `names`, as
    /// far as it has them.
    pub(crate) fn configuration(&self) -> Option<&Value> {
        self.weights.configuration.as_ref()
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

    /// Whether the files have the tensor `name` of this part, of any shape.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights.find(&self.full(name)).is_some()
    }

    /// The shape of the tensor `name` of this part, for an architecture that reads its sizes from the
    /// weights.
    ///
    /// # Errors
    /// [`Error::MissingTensor`].
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize], Error> {
        let name = self.full(name);
        match self.weights.find(&name) {
            Some((_, (_, entry))) => Ok(&entry.shape),
            None => Err(self.weights.missing(name)),
        }
    }

    /// Counts the tensor `name` as read, if it exists: one that is published with the weights, but
    /// not used in inference.
    pub(crate) fn ignore(&self, name: &str) {
        if let Some((name, _)) = self.weights.find(&self.full(name)) {
            self.weights.used.borrow_mut().insert(name.clone());
        }
    }

    /// Counts all tensors below `name` as used: a head that is published with the weights but has
    /// no part in inference.
    pub(crate) fn ignore_below(&self, name: &str) {
        let name = self.full(name);
        let mut used = self.weights.used.borrow_mut();
        for prefix in &self.weights.prefixes {
            let start = format!("{prefix}{name}.");
            let names = self
                .weights
                .tensors
                .range(start.clone()..)
                .map(|(name, _)| name);
            used.extend(names.take_while(|name| name.starts_with(&start)).cloned());
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
