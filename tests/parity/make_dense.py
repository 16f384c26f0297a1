"""Writes the fixtures of networks that find things in images: segmentation, depth, objects.

Beside the outputs a case has `labels.json`: what the reference makes of its outputs for the images of
`x` as they are, which are integers divided by 255 and perhaps normalised. README.md describes it.
"""

import json
import re
import sys

import numpy as np
import torch
import torchvision
import transformers as hf

import case
from make_huggingface import Published, plain_config

hf.utils.logging.disable_progress_bar()


def pixels(shape, seed: int) -> np.ndarray:
    """Images of coarse blocks and fine noise, integers divided by 255."""
    values = case.picture(shape, seed)
    low, high = values.min(), values.max()
    return (np.round((values - low) / (high - low) * 255) / 255).astype("float32")


class Renamed:
    """A module whose tensors have other names in a checkpoint; `names` are pairs of patterns."""

    def __init__(self, model, names) -> None:
        self.model = model.eval()
        self.names = names

    def renamed(self, key: str) -> str:
        for pattern, replacement in self.names:
            key = re.sub(pattern, replacement, key)
        return key

    def state_dict(self) -> dict:
        return {self.renamed(key): value for key, value in self.model.state_dict().items()}

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict({key: state[self.renamed(key)] for key in self.model.state_dict()})

    def eval(self):
        self.model.eval()
        return self

    def double(self):
        self.model.double()
        return self


class Kept(Published):
    """A published model some of whose tensors are constants, which keep their values."""

    CONSTANT = ("n_points_scale", "num_points_scale", "decoder.up", "decoder.reg_scale")

    def state_dict(self) -> dict:
        self.whole = super().state_dict()
        return {key: value for key, value in self.whole.items() if not key.endswith(self.CONSTANT)}

    def load_state_dict(self, state: dict) -> None:
        constant = {key: value for key, value in self.whole.items() if key.endswith(self.CONSTANT)}
        super().load_state_dict(state | constant)


def contrasted(images: np.ndarray, std: float) -> np.ndarray:
    """What a plan's `normalize` makes of images, with a mean of a half."""
    return (images - np.float32(0.5)) / np.float32(std)


def write_labels(name: str, labels, std: float | None = None) -> None:
    """`std` is what `contrasted` got."""
    normalize = {} if std is None else {"normalize": {"mean": [0.5] * 3, "std": [std] * 3}}
    (case.FIXTURES / name / "labels.json").write_text(json.dumps({"images": labels, **normalize}) + "\n")


def rounded(values) -> list:
    return [round(float(value), 6) for value in values]


def detections(found) -> list:
    """Boxes `[left, top, right, bottom]` in pixels, scores and classes, as the reference orders them."""
    return [
        {
            "boxes": [rounded(box) for box in image["boxes"]],
            "scores": rounded(image["scores"]),
            "classes": [int(label) for label in image["labels"]],
        }
        for image in found
    ]


def masks(logits) -> list:
    """The class of each pixel, as text: one line per row, one letter per pixel."""
    classes = logits.argmax(1)
    return [{"mask": ["".join(chr(ord("a") + int(at)) for at in row) for row in image]} for image in classes]


def semantic(model, inputs) -> dict:
    return {"y": model.model(inputs["x"]).logits}


def resized(logits, size):
    return torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def single(model, inputs: dict) -> dict:
    """The inputs in the precision of the model, after `case.write` the double one."""
    return {key: torch.from_numpy(value).double() for key, value in inputs.items()}


def segformer() -> None:
    config = hf.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 2, 1, 1],
        num_attention_heads=[1, 2, 3, 4],
        sr_ratios=[4, 2, 2, 1],
        mlp_ratios=[4, 2, 2, 2],
        decoder_hidden_size=16,
        num_labels=5,
    )
    kind = hf.SegformerForSemanticSegmentation
    model = Published(kind, config)
    inputs = {"x": pixels((2, 3, 64, 96), 51)}

    def outputs(model, inputs):
        whole = model.model(inputs["x"], output_hidden_states=True)
        states = {f"layer:hidden_states.{at}": state for at, state in enumerate(whole.hidden_states)}
        return {"y": whole.logits, "layer:classifier": whole.logits, **states}

    ignore = ["num_batches_tracked"]
    case.write("segformer-tiny", "segformer", plain_config(kind, config), model, 51, inputs, outputs, ignore)
    with torch.inference_mode():
        logits = semantic(model, single(model, inputs))["y"]
    write_labels("segformer-tiny", masks(resized(logits, (64, 96))))


def depth_anything() -> None:
    backbone = hf.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    for name, seed, fields in [
        ("depth-anything-tiny", 52, {}),
        ("depth-anything-metric-tiny", 53, {"depth_estimation_type": "metric", "max_depth": 20}),
    ]:
        config = hf.DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=32,
            neck_hidden_sizes=[8, 12, 16, 20],
            fusion_hidden_size=16,
            head_hidden_size=8,
            patch_size=14,
            **fields,
        )
        kind = hf.DepthAnythingForDepthEstimation
        model = Published(kind, config)
        inputs = {"x": pixels((2, 3, 56, 84), seed) * 3}

        def outputs(model, inputs):
            depth = model.model(inputs["x"]).predicted_depth.unsqueeze(1)
            return {"y": depth, "layer:predicted_depth": depth}

        plain = plain_config(kind, config)
        plain["backbone_config"] = {
            key: value for key, value in config.backbone_config.to_diff_dict().items() if key != "transformers_version"
        } | {"model_type": "dinov2"}
        case.write(name, "depth_anything", plain, model, seed, inputs, outputs)


def torchvision_segmentation() -> None:
    for name, architecture, builder, seed in [
        ("fcn-tiny", "fcn", torchvision.models.segmentation.fcn_resnet50, 54),
        ("deeplabv3-tiny", "deeplabv3", torchvision.models.segmentation.deeplabv3_resnet50, 55),
    ]:
        model = builder(weights=None, weights_backbone=None, num_classes=5, aux_loss=False)
        inputs = {"x": pixels((2, 3, 48, 64), seed)}

        def outputs(model, inputs):
            return {"y": model(inputs["x"])["out"]}

        config = {"depth": 50, "num_classes": 5}
        case.write(name, architecture, config, model, seed, inputs, outputs, ["num_batches_tracked"])
        with torch.inference_mode():
            logits = outputs(model, single(model, inputs))["y"]
        write_labels(name, masks(logits))


class Body(torch.nn.Module):
    """A ResNet of torchvision in the place of timm's, whose tensors have the same names."""

    def __init__(self) -> None:
        super().__init__()
        resnet = torchvision.models.resnet18(norm_layer=torchvision.ops.FrozenBatchNorm2d)
        for part in ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]:
            setattr(self, part, getattr(resnet, part))

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = []
        for stage in [self.layer1, self.layer2, self.layer3, self.layer4]:
            x = stage(x)
            features.append(x)
        return features


def queries(model, inputs) -> dict:
    whole = model.model(inputs["x"])
    logits, boxes = whole.logits, whole.pred_boxes
    return {"y": torch.cat([logits, boxes], 2), "layer:logits": logits, "layer:pred_boxes": boxes}


def found_by_queries(model, inputs, processor) -> list:
    """The reference's own postprocessing, without a threshold."""
    with torch.inference_mode():
        whole = model.model(single(model, inputs)["x"])
    sizes = [tuple(inputs["x"].shape[2:])] * len(inputs["x"])
    return detections(processor.post_process_object_detection(whole, threshold=-1.0, target_sizes=sizes))


def detr() -> None:
    config = hf.DetrConfig(
        backbone_config=hf.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 8, 8, 512], depths=[1, 1, 1, 1], out_indices=[1, 2, 3, 4]
        ),
        d_model=32,
        num_queries=7,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_labels=4,
    )
    config._attn_implementation = "eager"
    network = hf.DetrForObjectDetection(config)
    network.model.backbone.model = Body()
    names = [
        (r"^model\.backbone\.model\.", "model.backbone.conv_encoder.model."),
        (r"\.o_proj\.", ".out_proj."),
        (r"\.mlp\.fc", ".fc"),
    ]
    model = Renamed(network, names)
    inputs = {"x": contrasted(pixels((2, 3, 96, 128), 56), 0.05)}
    plain = {
        key: getattr(config, key)
        for key in [
            "d_model", "num_queries", "encoder_layers", "decoder_layers", "encoder_attention_heads",
            "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim",
        ]
    }  # fmt: skip
    plain |= {"model_type": "detr", "backbone": "resnet18", "use_timm_backbone": True, "num_labels": 4}

    case.write("detr-tiny", "detr", plain, model, 56, inputs, queries, ["num_batches_tracked"])
    write_labels("detr-tiny", found_by_queries(model, inputs, hf.DetrImageProcessor()), 0.05)


def rt_detr() -> None:
    basic = {
        "embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 2, 1, 1], "layer_type": "basic",
    }  # fmt: skip
    bottleneck = {**basic, "layer_type": "bottleneck", "hidden_sizes": [16, 32, 48, 64]}
    for name, kind, config_kind, resnet, seed, fields in [
        ("rt-detr-v2-tiny", hf.RTDetrV2ForObjectDetection, hf.RTDetrV2Config, basic, 57, {"hidden_expansion": 0.5}),
        ("rt-detr-tiny", hf.RTDetrForObjectDetection, hf.RTDetrConfig, bottleneck, 58, {}),
    ]:
        backbone = hf.RTDetrResNetConfig(**resnet, out_indices=[2, 3, 4])
        config = config_kind(
            backbone_config=backbone,
            encoder_in_channels=resnet["hidden_sizes"][1:],
            encoder_hidden_dim=16,
            encoder_attention_heads=4,
            encoder_ffn_dim=24,
            d_model=32,
            decoder_in_channels=[16, 16, 16],
            decoder_layers=2,
            decoder_attention_heads=4,
            decoder_ffn_dim=40,
            num_queries=12,
            num_labels=4,
            num_denoising=0,
            **fields,
        )
        config._attn_implementation = "eager"
        model = Kept(kind, config)
        inputs = {"x": pixels((2, 3, 64, 96), seed)}
        plain = plain_config(kind, config)
        plain["backbone_config"] = {**resnet, "out_indices": [2, 3, 4], "model_type": "rt_detr_resnet"}
        ignore = ["num_batches_tracked"]
        case.write(name, config.model_type, plain, model, seed, inputs, queries, ignore)
        write_labels(name, found_by_queries(model, inputs, hf.RTDetrImageProcessor()))


def d_fine() -> None:
    sizes = {
        "stem_channels": [3, 8, 8], "stage_in_channels": [8, 16, 16, 24], "stage_mid_channels": [8, 8, 8, 12],
        "stage_out_channels": [16, 16, 24, 32], "stage_num_blocks": [1, 2, 1, 1],
        "stage_numb_of_layers": [2, 2, 2, 1], "use_learnable_affine_block": True,
    }  # fmt: skip
    for name, seed, width, points, fields in [
        ("d-fine-tiny", 59, 32, [3, 6, 3], {"hidden_expansion": 0.5, "depth_mult": 0.34}),
        ("d-fine-same-width-tiny", 60, 16, 4, {"use_learnable_affine_block": False}),
    ]:
        resnet = {**sizes, "use_learnable_affine_block": fields.pop("use_learnable_affine_block", True)}
        backbone = hf.HGNetV2Config(**resnet, hidden_sizes=resnet["stage_out_channels"], out_indices=[2, 3, 4])
        config = hf.DFineConfig(
            backbone_config=backbone,
            encoder_in_channels=[16, 24, 32],
            encoder_hidden_dim=16,
            encoder_attention_heads=4,
            encoder_ffn_dim=24,
            d_model=width,
            decoder_in_channels=[16, 16, 16],
            decoder_layers=2,
            decoder_attention_heads=4,
            decoder_ffn_dim=40,
            decoder_n_points=points,
            num_queries=12,
            num_labels=4,
            num_denoising=0,
            max_num_bins=8,
            lqe_hidden_dim=12,
            top_prob_values=3,
            **fields,
        )
        config._attn_implementation = "eager"
        model = Kept(hf.DFineForObjectDetection, config)
        inputs = {"x": pixels((2, 3, 64, 96), seed)}
        plain = plain_config(hf.DFineForObjectDetection, config)
        plain["backbone_config"] = {**resnet, "out_indices": [2, 3, 4], "model_type": "hgnet_v2"}
        ignore = ["num_batches_tracked", *Kept.CONSTANT]
        case.write(name, "d_fine", plain, model, seed, inputs, queries, ignore)
        write_labels(name, found_by_queries(model, inputs, hf.RTDetrImageProcessor()))


def yolos() -> None:
    for name, seed, size, fields in [
        ("yolos-tiny", 65, (48, 64), {}),
        ("yolos-plain-tiny", 66, (32, 48), {"use_mid_position_embeddings": False, "qkv_bias": False}),
    ]:
        config = hf.YolosConfig(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=48,
            image_size=[32, 48],
            patch_size=8,
            num_detection_tokens=6,
            num_labels=4,
            **fields,
        )
        config._attn_implementation = "eager"
        kind = hf.YolosForObjectDetection
        model = Published(kind, config)
        inputs = {"x": contrasted(pixels((2, 3, *size), seed), 0.1)}
        case.write(name, "yolos", plain_config(kind, config), model, seed, inputs, queries)
        write_labels(name, found_by_queries(model, inputs, hf.YolosImageProcessor()), 0.1)


def in_letters(mask) -> list:
    """A mask as text: one line per row, `#` where the object is."""
    return ["".join("#" if at else "." for at in row) for row in mask]


def torchvision_objects() -> None:
    """R-CNNs and RetinaNet, over a ResNet-18 and at a small size."""
    detection = torchvision.models.detection
    frame = {"min_size": 96, "max_size": 128}
    chosen = {"rpn_pre_nms_top_n": 60, "rpn_post_nms_top_n": 24}
    proposals = {f"{key}_{phase}": value for key, value in chosen.items() for phase in ["test", "train"]}
    regions = {"box_detections_per_img": 8, "box_score_thresh": 0.1}

    def pyramid(**kwargs):
        return detection.backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None, **kwargs)

    def retinanet():
        levels = pyramid(
            returned_layers=[2, 3, 4], extra_blocks=torchvision.ops.feature_pyramid_network.LastLevelP6P7(256, 256)
        )
        # What `retinanet_resnet50_fpn` passes.
        anchors = detection.retinanet._default_anchorgen()
        fields = {"score_thresh": 0.3, "detections_per_img": 9, "topk_candidates": 40}
        return detection.RetinaNet(levels, num_classes=4, anchor_generator=anchors, **frame, **fields), fields

    def rcnn(kind, few: int, **kwargs):
        fields = regions | {"box_detections_per_img": few}
        return kind(pyramid(), **frame, **proposals, **fields, **kwargs), chosen | fields

    builders = {
        "faster-rcnn-tiny": (61, lambda: rcnn(detection.FasterRCNN, 8, num_classes=5)),
        "mask-rcnn-tiny": (62, lambda: rcnn(detection.MaskRCNN, 4, num_classes=5)),
        "keypoint-rcnn-tiny": (63, lambda: rcnn(detection.KeypointRCNN, 3, num_classes=3, num_keypoints=5)),
        "retinanet-tiny": (64, retinanet),
    }
    for name, (seed, build) in builders.items():
        model, fields = build()
        inputs = {"x": pixels((2, 3, 80, 100), seed)}
        architecture = name.removesuffix("-tiny").replace("-", "_")

        def outputs(model, inputs):
            images, _ = model.transform(list(inputs["x"]))
            features = model.backbone(images.tensors)
            if name == "retinanet-tiny":
                heads = model.head(list(features.values()))
                return {"y": torch.cat([heads["cls_logits"], heads["bbox_regression"]], 2)}
            objectness, deltas = model.rpn.head([features["pool"]])
            return {
                "y": features["pool"],
                "layer:backbone.3": features["3"],
                "layer:rpn.head.cls_logits": objectness[0],
                "layer:rpn.head.bbox_pred": deltas[0],
            }

        config = {"depth": 18, "frame": frame, **fields}
        config["num_classes"] = {"keypoint-rcnn-tiny": 3, "retinanet-tiny": 4}.get(name, 5)
        if name == "keypoint-rcnn-tiny":
            config["num_keypoints"] = 5
        case.write(name, architecture, config, model, seed, inputs, outputs, ["num_batches_tracked"])
        with torch.inference_mode():
            found = model(list(single(model, inputs)["x"]))
        labels = detections(found)
        for image, objects in zip(labels, found):
            if "masks" in objects:
                image["masks"] = [in_letters(mask[0] > 0.5) for mask in objects["masks"]]
            if "keypoints" in objects:
                image["points"] = [[rounded(point[:2]) for point in points] for points in objects["keypoints"]]
                image["point_scores"] = [rounded(torch.sigmoid(scores)) for scores in objects["keypoints_scores"]]
        print(name, [len(image["boxes"]) for image in labels], [image["scores"] for image in labels])
        write_labels(name, labels)


CASES = {
    "segformer": segformer,
    "depth_anything": depth_anything,
    "torchvision_segmentation": torchvision_segmentation,
    "detr": detr,
    "rt_detr": rt_detr,
    "d_fine": d_fine,
    "yolos": yolos,
    "torchvision_objects": torchvision_objects,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        CASES[name]()
