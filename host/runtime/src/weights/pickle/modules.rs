//! The classes of modules whose objects are read as inert records: a closed list.
//!
//! Nothing of a class is imported or called. Its name is only a condition for reading the
//! attributes of its objects, among which are the tensors.

/// The parts of `torch.nn.modules`, and the classes in them.
const TORCH: &[(&str, &[&str])] = &[
    (
        "activation",
        &[
            "GELU",
            "Hardsigmoid",
            "Hardswish",
            "Hardtanh",
            "LeakyReLU",
            "Mish",
            "MultiheadAttention",
            "PReLU",
            "ReLU",
            "ReLU6",
            "SiLU",
            "Sigmoid",
            "Softmax",
            "Softplus",
            "Tanh",
        ],
    ),
    (
        "batchnorm",
        &["BatchNorm1d", "BatchNorm2d", "SyncBatchNorm"],
    ),
    (
        "container",
        &["ModuleDict", "ModuleList", "ParameterList", "Sequential"],
    ),
    ("conv", &["Conv1d", "Conv2d", "ConvTranspose2d"]),
    ("dropout", &["Dropout", "Dropout2d"]),
    ("flatten", &["Flatten", "Unflatten"]),
    ("fold", &["Fold", "Unfold"]),
    (
        "linear",
        &["Identity", "Linear", "NonDynamicallyQuantizableLinear"],
    ),
    ("normalization", &["GroupNorm", "LayerNorm"]),
    ("padding", &["ReflectionPad2d", "ZeroPad2d"]),
    (
        "pooling",
        &[
            "AdaptiveAvgPool2d",
            "AdaptiveMaxPool2d",
            "AvgPool2d",
            "MaxPool2d",
        ],
    ),
    ("sparse", &["Embedding"]),
    (
        "upsampling",
        &["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"],
    ),
];

/// The parts of `ultralytics.nn.modules`, and the classes in them. Its first versions had all of
/// them in `ultralytics.nn.modules` itself.
const ULTRALYTICS: &[(&str, &[&str])] = &[
    ("activation", &["AGLU"]),
    (
        "block",
        &[
            "A2C2f",
            "AAttn",
            "ABlock",
            "ADown",
            "AConv",
            "Attention",
            "BNContrastiveHead",
            "Bottleneck",
            "BottleneckCSP",
            "C1",
            "C2",
            "C2PSA",
            "C2f",
            "C2fAttn",
            "C2fCIB",
            "C2fPSA",
            "C3",
            "C3Ghost",
            "C3TR",
            "C3f",
            "C3k",
            "C3k2",
            "C3x",
            "CBFuse",
            "CBLinear",
            "CIB",
            "ContrastiveHead",
            "DFL",
            "ELAN1",
            "GhostBottleneck",
            "HGBlock",
            "HGStem",
            "ImagePoolingAttn",
            "MaxSigmoidAttnBlock",
            "PSA",
            "PSABlock",
            "Proto",
            "Proto26",
            "RealNVP",
            "RepBottleneck",
            "RepC3",
            "RepCSP",
            "RepNCSPELAN4",
            "RepVGGDW",
            "Residual",
            "ResNetBlock",
            "ResNetLayer",
            "SAVPE",
            "SCDown",
            "SPP",
            "SPPELAN",
            "SPPF",
            "SwiGLUFFN",
            "TorchVision",
        ],
    ),
    (
        "conv",
        &[
            "CBAM",
            "ChannelAttention",
            "Concat",
            "Conv",
            "Conv2",
            "ConvTranspose",
            "DWConv",
            "DWConvTranspose2d",
            "Focus",
            "GhostConv",
            "Index",
            "LightConv",
            "RepConv",
            "SpatialAttention",
        ],
    ),
    (
        "head",
        &[
            "Classify",
            "Detect",
            "LRPCHead",
            "OBB",
            "OBB26",
            "Pose",
            "Pose26",
            "RTDETRDecoder",
            "Segment",
            "Segment26",
            "WorldDetect",
            "YOLOEDetect",
            "YOLOESegment",
            "YOLOESegment26",
            "v10Detect",
        ],
    ),
    (
        "transformer",
        &[
            "AIFI",
            "DeformableTransformerDecoder",
            "DeformableTransformerDecoderLayer",
            "LayerNorm2d",
            "MLP",
            "MLPBlock",
            "MSDeformAttn",
            "TransformerBlock",
            "TransformerEncoderLayer",
            "TransformerLayer",
        ],
    ),
];

/// The networks of `ultralytics.nn.tasks`.
const NETWORKS: &[&str] = &[
    "ClassificationModel",
    "DetectionModel",
    "OBBModel",
    "PoseModel",
    "RTDETRDetectionModel",
    "SegmentationModel",
    "WorldModel",
    "YOLOEModel",
    "YOLOESegModel",
];

/// What a network may keep of its training, attributes alone: in `ultralytics.utils`, its part
/// `loss` and its part `tal`, and in `torch.nn.modules.loss`.
const TRAINING: &[&str] = &[
    "BCEWithLogitsLoss",
    "BboxLoss",
    "CrossEntropyLoss",
    "DFLoss",
    "E2EDetectLoss",
    "IterableSimpleNamespace",
    "KeypointLoss",
    "RotatedBboxLoss",
    "RotatedTaskAlignedAssigner",
    "TaskAlignedAssigner",
    "v8ClassificationLoss",
    "v8DetectionLoss",
    "v8OBBLoss",
    "v8PoseLoss",
    "v8SegmentationLoss",
];

/// Whether `module.name` is one of the classes.
pub(super) fn is_known(module: &str, name: &str) -> bool {
    let part = |list: &[(&str, &[&str])], part: &str| {
        list.iter()
            .any(|(known, names)| *known == part && names.contains(&name))
    };
    if let Some(last) = module.strip_prefix("torch.nn.modules.") {
        return part(TORCH, last) || (last == "loss" && TRAINING.contains(&name));
    }
    if let Some(last) = module.strip_prefix("ultralytics.nn.modules.") {
        return part(ULTRALYTICS, last);
    }
    match module {
        "ultralytics.nn.modules" => ULTRALYTICS.iter().any(|(_, names)| names.contains(&name)),
        "ultralytics.nn.tasks" => NETWORKS.contains(&name),
        "ultralytics.utils"
        | "ultralytics.utils.loss"
        | "ultralytics.utils.tal"
        | "ultralytics.yolo.utils" => TRAINING.contains(&name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn list_is_closed() {
        assert!(is_known("ultralytics.nn.tasks", "DetectionModel"));
        assert!(is_known("ultralytics.nn.modules.block", "C2f"));
        assert!(is_known("ultralytics.nn.modules", "C2f"));
        assert!(is_known("torch.nn.modules.conv", "Conv2d"));
        for (module, name) in [
            ("torch.nn.modules.conv", "C2f"),
            ("torch.nn.modules", "Conv2d"),
            ("ultralytics.nn.tasks", "attempt_load_weights"),
            ("ultralytics.nn.modules.block.os", "C2f"),
            ("ultralytics.utils", "subprocess"),
            ("os", "system"),
        ] {
            assert!(!is_known(module, name), "{module}.{name}");
        }
    }
}
