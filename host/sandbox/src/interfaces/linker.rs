//! Links the imports of a component: to the host's functions, or to functions that stop the guest
//! and name themselves.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use super::name::InterfaceName;
use super::state::{Download, Load, Phase, State};
use super::table::{INTERFACES, Interface, Link};
use crate::limits::stop::Stop;

/// A linker with the interfaces of a phase.
pub(crate) struct PhaseLinker<P: Phase> {
    linker: Linker<State<P>>,
    /// How the phase links an interface.
    link: fn(&Interface) -> Option<Link<P>>,
}

impl PhaseLinker<Download> {
    /// The interfaces of `download-model`.
    pub(crate) fn download(engine: &wasmtime::Engine) -> wasmtime::Result<Self> {
        Self::new(engine, Interface::for_download)
    }
}

impl PhaseLinker<Load> {
    /// The interfaces of `load-model`.
    pub(crate) fn load(engine: &wasmtime::Engine) -> wasmtime::Result<Self> {
        Self::new(engine, Interface::for_load)
    }
}

impl<P: Phase> PhaseLinker<P> {
    fn new(
        engine: &wasmtime::Engine,
        link: fn(&Interface) -> Option<Link<P>>,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        for link in INTERFACES.iter().filter_map(link) {
            link(&mut linker)?;
        }
        Ok(Self { linker, link })
    }

    /// Links a component and checks the types of its imports and exports.
    pub(crate) fn link(&self, component: &Component) -> wasmtime::Result<P::Linked> {
        let mut linker = self.linker.clone();
        self.trap_the_rest(&mut linker, component)?;
        P::check(linker.instantiate_pre(component)?)
    }

    fn has(&self, import: &str) -> bool {
        Interface::find(import).and_then(self.link).is_some()
    }

    /// Links every import that the phase does not have to functions that stop the guest.
    fn trap_the_rest(
        &self,
        linker: &mut Linker<State<P>>,
        component: &Component,
    ) -> wasmtime::Result<()> {
        let engine = component.engine();
        let known = self.linked_resources(component);
        for (import, item) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else {
                continue;
            };
            if self.has(import) {
                continue;
            }
            let mut stub = linker.instance(import)?;
            for (name, item) in instance.exports(engine) {
                match item.ty {
                    ComponentItem::ComponentFunc(_) => {
                        let interface = import.to_owned();
                        let function = name.to_owned();
                        stub.func_new(name, move |_, _, _, _| {
                            Err(Stop::Forbidden {
                                interface: interface.clone(),
                                function: function.clone(),
                            }
                            .into())
                        })?;
                    }
                    ComponentItem::Resource(resource) => {
                        let known = known.iter().find(|(guest, _)| *guest == resource);
                        let host = known.map_or(ResourceType::host::<Nothing>(), |(_, host)| *host);
                        stub.resource(name, host, |_, _| Ok(()))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The resources of linked interfaces: the component's types and the host's. Interfaces that
    /// are not linked use them as well, and must mean the same ones.
    fn linked_resources(&self, component: &Component) -> Vec<(ResourceType, ResourceType)> {
        let engine = component.engine();
        let mut known = Vec::new();
        for (import, item) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else {
                continue;
            };
            let Some(interface) = InterfaceName::parse(import).filter(|_| self.has(import)) else {
                continue;
            };
            for (name, item) in instance.exports(engine) {
                if let ComponentItem::Resource(guest) = item.ty
                    && let Some(host) = host_resource(interface.path, name)
                {
                    known.push((guest, host));
                }
            }
        }
        known
    }
}

/// A resource of an interface that is not linked; there is never an instance of it.
enum Nothing {}

/// The host's type of a resource that a linked interface defines.
fn host_resource(interface: &str, name: &str) -> Option<ResourceType> {
    Some(match (interface, name) {
        ("wasi:io/error", "error") => ResourceType::host::<wasmtime::Error>(),
        ("wasi:io/poll", "pollable") => ResourceType::host::<DynPollable>(),
        ("wasi:io/streams", "input-stream") => ResourceType::host::<DynInputStream>(),
        ("wasi:io/streams", "output-stream") => ResourceType::host::<DynOutputStream>(),
        ("wasi:filesystem/types", "descriptor") => ResourceType::host::<Descriptor>(),
        _ => return None,
    })
}
