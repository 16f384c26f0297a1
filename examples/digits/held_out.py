"""Writes the held-out images as a FiftyOneDataset directory."""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

DATE = {"$date": "2026-11-24T00:00:00Z"}


def as_image(values: np.ndarray) -> Image.Image:
    """The 8 x 8 grey image of one digit, whose values are 0 to 16."""
    return Image.fromarray(np.round(values * 255 / 16).astype(np.uint8))


def object_id(*parts: str) -> dict:
    """An id in FiftyOne's form that is the same in every run."""
    digest = hashlib.sha256("/".join(("modelzoo/digits", *parts)).encode()).hexdigest()
    return {"$oid": digest[:24]}


def field(name: str, kind: str, **more: object) -> dict:
    """One entry of a dataset document's `sample_fields`."""
    return {
        "name": name,
        "ftype": f"fiftyone.core.fields.{kind}",
        "embedded_doc_type": None,
        "subfield": None,
        "fields": [],
        "db_field": {"id": "_id"}.get(name, name),
        "description": None,
        "info": None,
        "read_only": name in ("created_at", "last_modified_at"),
        "created_at": DATE,
        **more,
    }


TAGS = field("tags", "ListField", subfield="fiftyone.core.fields.StringField")
CLASSIFICATION = [
    field("id", "ObjectIdField"),
    TAGS,
    field("label", "StringField"),
    field("confidence", "FloatField"),
    field("logits", "VectorField"),
]
IMAGE_METADATA = [
    field("size_bytes", "IntField"),
    field("mime_type", "StringField"),
    field("width", "IntField"),
    field("height", "IntField"),
    field("num_channels", "IntField"),
]


def write_dataset(root: Path, rows: list[int], values: np.ndarray, digits: np.ndarray) -> None:
    """The held-out images as a FiftyOneDataset directory."""
    data = root / "data"
    data.mkdir(parents=True, exist_ok=True)
    for old in data.glob("*.png"):
        old.unlink()
    dataset_id = object_id("dataset")
    samples = []
    for row in rows:
        name = f"{row:04}.png"
        as_image(values[row]).save(data / name, optimize=True)
        truth = {"_id": object_id("ground_truth", name), "_cls": "Classification", "tags": [], "label": str(digits[row])}
        samples.append(
            {
                "_id": object_id("sample", name),
                "filepath": f"data/{name}",
                "tags": ["held-out"],
                "metadata": None,
                "_media_type": "image",
                "_rand": round(int(object_id("rand", name)["$oid"][:8], 16) / 2**32, 9),
                "created_at": DATE,
                "last_modified_at": DATE,
                "_dataset_id": dataset_id,
                "ground_truth": truth,
            }
        )
    document = {
        "_id": dataset_id,
        "name": "modelzoo-digits",
        "slug": "modelzoo-digits",
        "version": "1.22.0",
        "created_at": DATE,
        "last_modified_at": DATE,
        "media_type": "image",
        "tags": [],
        "description": "Held-out handwritten digits; credits and licence in README.md",
        "info": {"license": "CC BY 4.0"},
        "sample_fields": [
            field("id", "ObjectIdField"),
            field("filepath", "StringField"),
            TAGS,
            field(
                "metadata",
                "EmbeddedDocumentField",
                embedded_doc_type="fiftyone.core.metadata.ImageMetadata",
                fields=IMAGE_METADATA,
            ),
            field("created_at", "DateTimeField"),
            field("last_modified_at", "DateTimeField"),
            field(
                "ground_truth",
                "EmbeddedDocumentField",
                embedded_doc_type="fiftyone.core.labels.Classification",
                fields=CLASSIFICATION,
            ),
        ],
        "frame_fields": [],
        "classes": {},
        "default_classes": [str(digit) for digit in range(10)],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "default_skeleton": None,
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }
    (root / "metadata.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = ",\n".join(json.dumps(sample) for sample in samples)
    (root / "samples.json").write_text('{"samples": [\n' + lines + "\n]}\n")
