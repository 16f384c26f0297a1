//! The names that a pickle may use: a closed list, none of which runs code.

use super::super::entry::Type;
use super::modules;

/// The meaning of a known name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::weights) enum Global {
    /// `torch._utils._rebuild_tensor(storage, offset, size, stride)` and `_v2`, which adds
    /// `requires_grad`, `backward_hooks` and, sometimes, `metadata`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: as `_v2`, with the type of the elements.
    RebuildTyped,
    /// `torch._utils._rebuild_parameter(data, requires_grad, backward_hooks)` and `_with_state`.
    RebuildParameter,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch.Size(dims)`.
    Size,
    /// `torch.device(name)`.
    Device,
    /// `torch.float32` and the like.
    Dtype(Type),
    /// `torch.FloatStorage` and the like; a storage without a type has none.
    Storage(Option<Type>),
    /// A class of a TorchScript archive, whose objects have attributes only.
    Class,
    /// A class of modules of PyTorch or Ultralytics, or another whose objects say nothing about
    /// tensors: never imported, and nothing but its state is read.
    Module,
    /// Something that says nothing about tensors, whatever its arguments: a set, a path.
    Inert,
    /// `torch.jit._pickle.build_intlist` and the like, and `restore_type_tag`: their first
    /// argument, unchanged.
    Same,
}

/// The classes of storages in the module `torch`, with the types of their elements.
const STORAGES: &[(&str, Type)] = &[
    ("DoubleStorage", Type::F64),
    ("FloatStorage", Type::F32),
    ("HalfStorage", Type::F16),
    ("BFloat16Storage", Type::Bf16),
    ("LongStorage", Type::I64),
    ("IntStorage", Type::I32),
    ("ShortStorage", Type::I16),
    ("CharStorage", Type::I8),
    ("ByteStorage", Type::U8),
    ("BoolStorage", Type::Bool),
    ("ComplexFloatStorage", Type::C64),
];

/// The types in the module `torch`.
const DTYPES: &[(&str, Type)] = &[
    ("float64", Type::F64),
    ("double", Type::F64),
    ("float32", Type::F32),
    ("float", Type::F32),
    ("float16", Type::F16),
    ("half", Type::F16),
    ("bfloat16", Type::Bf16),
    ("int64", Type::I64),
    ("long", Type::I64),
    ("int32", Type::I32),
    ("int", Type::I32),
    ("int16", Type::I16),
    ("short", Type::I16),
    ("int8", Type::I8),
    ("uint8", Type::U8),
    ("uint16", Type::U16),
    ("uint32", Type::U32),
    ("uint64", Type::U64),
    ("bool", Type::Bool),
    ("complex64", Type::C64),
    ("float8_e4m3fn", Type::F8E4M3),
    ("float8_e5m2", Type::F8E5M2),
];

/// The meaning of `module.name`; none if it is not in the list. `script` is whether the file is a
/// TorchScript archive.
pub(super) fn find(module: &str, name: &str, script: bool) -> Option<Global> {
    let typed = |list: &[(&str, Type)]| {
        let known = list.iter().find(|(known, _)| *known == name);
        known.map(|&(_, dtype)| dtype)
    };
    Some(match (module, name) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTyped,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Global::RebuildParameter
        }
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Device,
        ("torch.storage", "UntypedStorage" | "_UntypedStorage") => Global::Storage(None),
        ("torch", _) => match typed(STORAGES) {
            Some(dtype) => Global::Storage(Some(dtype)),
            None => Global::Dtype(typed(DTYPES)?),
        },
        (
            "torch.jit._pickle",
            "build_intlist" | "build_tensorlist" | "build_doublelist" | "build_boollist"
            | "restore_type_tag",
        ) if script => Global::Same,
        ("__builtin__" | "builtins", "set" | "frozenset")
        | ("_codecs", "encode")
        | ("pathlib", "Path" | "PosixPath" | "PurePosixPath" | "WindowsPath")
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
        | ("numpy", "dtype") => Global::Inert,
        _ if modules::is_known(module, name) => Global::Module,
        _ if script && (module == "__torch__" || module.starts_with("__torch__.")) => Global::Class,
        _ => return None,
    })
}
