//! Pickles with names that tensors do not need.

use std::path::Path;

use crate::Want::{self, Malformed, Unsafe};
use crate::write::{archive, code, legacy, script, tensor, text};
use crate::{refuse, try_open};

#[test]
fn pickles_with_unknown_globals_are_refused() {
    let command = text("touch /tmp/owned");
    let cases: Vec<(&str, Vec<u8>, Want)> = vec![
        (
            "reduce",
            code(&[b"\x80\x02cos\nsystem\n", &command, b"\x85R."]),
            Unsafe("os.system"),
        ),
        (
            "posix",
            code(&[b"\x80\x02cposix\nsystem\n", &command, b"\x85R."]),
            Unsafe("posix.system"),
        ),
        (
            "protocol 0",
            b"cos\nsystem\n(S'touch /tmp/owned'\ntR.".to_vec(),
            Unsafe("os.system"),
        ),
        (
            "by stack",
            code(&[b"\x80\x04\x8c\x02os\x8c\x06system\x93", &command, b"\x85R."]),
            Unsafe("os.system"),
        ),
        (
            "inst",
            code(&[b"\x80\x02(", &command, b"ios\nsystem\n."]),
            Unsafe("os.system"),
        ),
        (
            "inst of a known name",
            b"\x80\x02(icollections\nOrderedDict\n.".to_vec(),
            Unsafe("collections.OrderedDict"),
        ),
        (
            "obj",
            code(&[b"\x80\x02(cos\nsystem\n", &command, b"o."]),
            Unsafe("os.system"),
        ),
        (
            "obj of a known name",
            b"\x80\x02(ccollections\nOrderedDict\no.".to_vec(),
            Malformed("0x6f"),
        ),
        (
            "newobj",
            b"\x80\x02csubprocess\nPopen\n)\x81.".to_vec(),
            Unsafe("subprocess.Popen"),
        ),
        (
            "newobj of a known name",
            b"\x80\x02ccollections\nOrderedDict\n)\x81.".to_vec(),
            Malformed("not callable"),
        ),
        (
            "newobj_ex",
            b"\x80\x04ccollections\nOrderedDict\n)}\x92.".to_vec(),
            Malformed("0x92"),
        ),
        (
            "ext1",
            b"\x80\x02\x82\x01)R.".to_vec(),
            Unsafe("extension 1"),
        ),
        (
            "ext2",
            b"\x80\x02\x83\x01\x02)R.".to_vec(),
            Unsafe("extension 513"),
        ),
        (
            "ext4",
            b"\x80\x02\x84\x01\0\0\x80)R.".to_vec(),
            Unsafe("extension 2147483649"),
        ),
        (
            "builtins through numpy",
            b"\x80\x02cnumpy\n__builtins__\n}X\x04\0\0\0evalN\x87b.".to_vec(),
            Unsafe("numpy.__builtins__"),
        ),
        (
            "function of Ultralytics",
            b"\x80\x02cultralytics.nn.tasks\nattempt_load_weights\n)R.".to_vec(),
            Unsafe("ultralytics.nn.tasks.attempt_load_weights"),
        ),
        (
            "numpy array",
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.".to_vec(),
            Unsafe("numpy.core.multiarray._reconstruct"),
        ),
        (
            "getattr",
            b"\x80\x02c__builtin__\ngetattr\n.".to_vec(),
            Unsafe("__builtin__.getattr"),
        ),
        (
            "dotted name",
            b"\x80\x04\x8c\x05torch\x8c\x14_utils.__builtins__x\x93.".to_vec(),
            Unsafe("torch._utils.__builtins__x"),
        ),
        (
            "torch.load",
            b"\x80\x02ctorch\nload\n\x8c\x08/etc/fooR.".to_vec(),
            Unsafe("torch.load"),
        ),
        (
            "torch's own loader",
            b"\x80\x02ctorch.storage\n_load_from_bytes\n(C\x01.tR.".to_vec(),
            Unsafe("torch.storage._load_from_bytes"),
        ),
        (
            "hub",
            b"\x80\x02ctorch.hub\nload\n.".to_vec(),
            Unsafe("torch.hub.load"),
        ),
        (
            "whole model",
            b"\x80\x02ctorchvision.models.resnet\nResNet\n)\x81}b.".to_vec(),
            Unsafe("torchvision.models.resnet.ResNet"),
        ),
        (
            "control characters",
            b"\x80\x02co\x1b[2Js\nsys\x07tem\n.".to_vec(),
            Unsafe("o\x1b[2Js.sys\x07tem"),
        ),
        // Only a TorchScript archive may name its classes.
        (
            "class of a script",
            b"\x80\x02c__torch__.net\nNet\n)\x81}b.".to_vec(),
            Unsafe("__torch__.net.Net"),
        ),
        (
            "list of a script",
            b"\x80\x02ctorch.jit._pickle\nbuild_intlist\n.".to_vec(),
            Unsafe("torch.jit._pickle.build_intlist"),
        ),
        (
            "class of a script, almost",
            b"\x80\x02c__torch__x\nNet\n)\x81}b.".to_vec(),
            Unsafe("__torch__x.Net"),
        ),
        // Never used, but named.
        (
            "thrown away",
            code(&[b"\x80\x02cos\nsystem\n0", &tensor(0, &[6], &[1])[2..]]),
            Unsafe("os.system"),
        ),
    ];
    for (case, pickle, want) in &cases {
        refuse(case, &archive(pickle), want);
        if pickle.starts_with(b"\x80") {
            refuse(case, &legacy(pickle), want);
            // Alone in a file, as `pickle.dump` writes it.
            refuse(case, pickle, want);
        }
        if !case.ends_with("of a script") {
            refuse(case, &script(pickle), want);
        }
    }
    assert!(!Path::new("/tmp/owned").exists());
    let error = try_open(&archive(&cases[23].1)).err().unwrap();
    assert!(!error.to_string().contains(char::is_control), "{error}");
}
