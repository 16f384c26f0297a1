//! Image models of transformers, and vision transformers of the same design elsewhere, against
//! their references (`tests/parity/make_huggingface.py`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use common::parity::check;

#[test]
fn vit_is_transformers() {
    check("vit-tiny");
}

#[test]
fn vit_with_a_pooler_is_transformers() {
    check("vit-pooler-tiny");
}

#[test]
fn deit_with_two_classifiers_is_transformers() {
    check("deit-tiny");
}

#[test]
fn deit_with_one_classifier_is_transformers() {
    check("deit-undistilled-tiny");
}

#[test]
fn vit_of_torchvision_is_torchvisions() {
    check("vit-torchvision-tiny");
}

#[test]
fn beit_with_a_bias_in_each_block_is_transformers() {
    check("beit-tiny");
}

#[test]
fn beit_with_a_shared_bias_of_another_size_is_transformers() {
    check("beit-shared-tiny");
}

#[test]
fn dinov2_is_transformers() {
    check("dinov2-tiny");
}

#[test]
fn dinov2_that_is_gated_and_classifies_another_size_is_transformers() {
    check("dinov2-swiglu-tiny");
}

#[test]
fn dinov2_with_registers_at_another_size_is_transformers() {
    check("dinov2-registers-tiny");
}

#[test]
fn dinov2_of_the_hub_is_facebookresearchs() {
    check("dinov2-hub-tiny");
}

#[test]
fn gated_dinov2_of_the_hub_at_another_size_is_facebookresearchs() {
    check("dinov2-hub-resized-tiny");
}

#[test]
fn dinov2_of_the_hub_with_registers_at_another_size_is_facebookresearchs() {
    check("dinov2-hub-registers-tiny");
}

#[test]
fn dinov3_is_transformers() {
    check("dinov3-tiny");
}

#[test]
fn gated_dinov3_at_another_size_is_transformers() {
    check("dinov3-gated-tiny");
}

#[test]
fn convnext_is_transformers() {
    check("convnext-tiny");
}

#[test]
fn convnext_without_a_classifier_is_transformers() {
    check("convnext-base-tiny");
}

#[test]
fn efficientnet_is_transformers() {
    check("efficientnet-tiny");
}

#[test]
fn efficientnet_of_odd_sizes_is_transformers() {
    check("efficientnet-padding-tiny");
}

#[test]
fn swinv2_is_transformers() {
    check("swinv2-tiny");
}

#[test]
fn swinv2_that_is_padded_is_transformers() {
    check("swinv2-padding-tiny");
}
