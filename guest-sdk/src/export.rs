//! The code that [`export!`](crate::export!) expands to.

use std::marker::PhantomData;

use crate::bindings::modelzoo::source::types as wit;
use crate::bindings::{download, load};
use crate::{DownloadSource, Kwargs, LoadSource, ModelPath, Plan, Result, Source};

pub use crate::bindings::download::export as export_download;
pub use crate::bindings::load::export as export_load;
pub use crate::bindings::{download as download_types, load as load_types};

/// The hooks of a [`Source`], for the bindings.
#[derive(Debug)]
pub struct Both<S>(PhantomData<S>);

/// The hook of a [`DownloadSource`], for the bindings.
#[derive(Debug)]
pub struct DownloadOnly<S>(PhantomData<S>);

/// The hook of a [`LoadSource`], for the bindings.
#[derive(Debug)]
pub struct LoadOnly<S>(PhantomData<S>);

/// Hooks of one of the three kinds.
pub trait Hooks {}

impl<S: Source> Hooks for Both<S> {}
impl<S: DownloadSource> Hooks for DownloadOnly<S> {}
impl<S: LoadSource> Hooks for LoadOnly<S> {}

/// Replaces the exports outside a component, where linkers do not accept their names: the compiler
/// still checks the types of the hooks.
pub const fn check<H: Hooks>() {}

use download::exports::modelzoo::source::downloader;
use load::exports::modelzoo::source::loader;

impl<S: Source> downloader::Guest for Both<S> {
    fn download_model(model_name: String, model_path: String) -> Result<(), wit::Error> {
        run_download(&model_name, &model_path, S::download_model)
    }
}

impl<S: Source> loader::Guest for Both<S> {
    fn load_model(
        model_name: String,
        model_path: String,
        kwargs: String,
    ) -> Result<loader::LoadedModel, wit::Error> {
        run_load(&model_name, &model_path, &kwargs, S::load_model)
    }
}

impl<S: DownloadSource> downloader::Guest for DownloadOnly<S> {
    fn download_model(model_name: String, model_path: String) -> Result<(), wit::Error> {
        run_download(&model_name, &model_path, S::download_model)
    }
}

impl<S: LoadSource> loader::Guest for LoadOnly<S> {
    fn load_model(
        model_name: String,
        model_path: String,
        kwargs: String,
    ) -> Result<loader::LoadedModel, wit::Error> {
        run_load(&model_name, &model_path, &kwargs, S::load_model)
    }
}

fn run_download(
    model_name: &str,
    model_path: &str,
    hook: fn(&str, &ModelPath) -> Result<()>,
) -> Result<(), wit::Error> {
    let model_path = ModelPath::from_host(model_path)?;
    Ok(hook(model_name, &model_path)?)
}

fn run_load(
    model_name: &str,
    model_path: &str,
    kwargs: &str,
    hook: fn(&str, &ModelPath, Kwargs) -> Result<Plan>,
) -> Result<loader::LoadedModel, wit::Error> {
    let model_path = ModelPath::from_host(model_path)?;
    let kwargs = Kwargs::from_json(kwargs)?;
    let plan = hook(model_name, &model_path, kwargs)?;
    Ok(loader::LoadedModel::Deployment(plan.into()))
}
